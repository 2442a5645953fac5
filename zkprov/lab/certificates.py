"""The certificates of a lab with TLS: an authority of its own, one certificate for all its servers, one for its clients."""

from __future__ import annotations

import ssl
from pathlib import Path

from zkprov.lab.record import write_private
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import ClientFiles
from zkprov.observe.tls import context_of

SERVER, CA, CERT, KEY = "server.pem", "ca.pem", "client.pem", "client.key"


def make(folder: Path, address: str = "127.0.0.1") -> str:
    """Writes them into `folder`; returns the subject of the clients' certificate, as ZooKeeper names it (RFC 2253).

    The servers' key is PKCS#8, the only form that ZooKeeper reads from PEM.
    """
    import trustme
    from cryptography import x509

    folder.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert(address, "localhost")
    # names of our own: Java escapes some characters of trustme's in ways of its own
    client = authority.issue_cert(
        "zkprov", common_name="zkprov", organization_name="zkprov", organization_unit_name="lab"
    )
    chain = b"".join(part.bytes() for part in server.cert_chain_pems)
    write_private(folder / SERVER, (_pkcs8(server.private_key_pem.bytes()) + chain).decode())
    write_private(folder / CA, authority.cert_pem.bytes().decode())
    write_private(folder / CERT, client.cert_chain_pems[0].bytes().decode())
    write_private(folder / KEY, _pkcs8(client.private_key_pem.bytes()).decode())
    return x509.load_pem_x509_certificate((folder / CERT).read_bytes()).subject.rfc4514_string()


def _pkcs8(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def client_files(folder: Path) -> ClientFiles:
    return ClientFiles(str(folder / CA), str(folder / CERT), str(folder / KEY))


def context_for(host: InventoryHost) -> ssl.SSLContext | None:
    """For a client of one of the lab's servers; None where it serves them in the clear."""
    if not host.posture.clients:
        return None
    return context_of(client_files(Path(host.trust_store).parent))
