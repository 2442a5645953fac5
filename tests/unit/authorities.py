"""Real CAs, keys and certificates, made by `cryptography`: what an operator would have laid on each host."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NOW = dt.datetime(2027, 1, 15, 8, tzinfo=dt.UTC)  # facts_made.NOW_MS
YEAR = dt.timedelta(days=365)
PKCS8, PKCS1 = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """One key a name: making keys is most of what these tests cost."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_pem(private: Key, form: PrivateFormat = PKCS8, password: str = "") -> str:
    hidden: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, form, hidden).decode()


def san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Authority:
    """A CA; `by` makes it an intermediate one. `ends`: when its own certificate does. `now`: what its certificates are valid around."""

    def __init__(
        self, name: str = "CA", by: Authority | None = None, ends: dt.datetime | None = None, now: dt.datetime = NOW
    ) -> None:
        self.name, self.key, self.now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key(name), now
        self.certificate = (by or self)._signed(self.name, self.key, now - YEAR, ends or now + 10 * YEAR, (), ca=True)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def _signed(
        self, subject: x509.Name, private: Key, begins: dt.datetime, ends: dt.datetime, sans: Iterable[str], *, ca: bool
    ) -> x509.Certificate:
        made = (
            x509.CertificateBuilder(self.name, subject, private.public_key(), x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if names := list(sans):
            made = made.add_extension(x509.SubjectAlternativeName([san(n) for n in names]), critical=False)
        return made.sign(self.key, hashes.SHA256())

    def certificate_of(
        self,
        *sans: str,
        private: Key | None = None,
        begins: dt.datetime | None = None,
        ends: dt.datetime | None = None,
        organisation: str = "Kafka",
    ) -> str:
        """PEM of a server's certificate; its subject is `O=…` and, in the order in which it is written, `CN=` the first SAN."""
        subject = [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, next(iter(sans), "nobody")),
        ]
        begins, ends = begins or self.now - YEAR, ends or self.now + YEAR
        signed = self._signed(x509.Name(subject), private or key("server"), begins, ends, sans, ca=False)
        return signed.public_bytes(Encoding.PEM).decode()


def lay(folder: Path, name: str, *parts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(parts))
    return path
