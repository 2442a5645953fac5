"""SASL's DIGEST-MD5 (RFC 2831), the client's side, without a connection: what is said to each challenge. ZooKeeper's servers know no other
mechanism for passwords.

Taken from Java's provider where the RFC leaves a choice: quality of protection `auth`, one realm, the service `zookeeper`.
"""

from __future__ import annotations

import hashlib
import re

SERVER = "zk-sasl-md5"
"""The server's name in the digest: ZooKeeper's own word for it, whatever the host is called (`ZooKeeperSaslServer`)."""
SERVICE = "zookeeper"
NOT_KNOWN = (-115, -124)
"""What a server says to credentials that are wrong: without enforcement, and with (`KeeperException.Code`)."""
_PAIR = re.compile(r'\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))\s*(?:,|\Z)')


class Refused(ValueError):
    """The other side is not what it should be: an odd challenge, or a server that does not know the password either."""


class DigestMd5:
    """One exchange. `cnonce`: drawn anew for each. `answer` takes what the server says and gives the reply to it, until `done`."""

    def __init__(self, user: str, password: str, cnonce: str) -> None:
        self._user, self._password, self._cnonce = user, password, cnonce
        self._expected = ""
        self.done = False

    def __repr__(self) -> str:
        return f"DigestMd5({self._user})"

    def answer(self, challenge: bytes) -> bytes:
        """Raises `Refused`. The first answer is to the server's challenge, the second (empty) to its proof that it knows the password."""
        said = pairs(challenge)
        if self._expected:
            if said.get("rspauth") != self._expected:
                raise Refused("the server does not prove that it knows the password")
            self.done = True
            return b""
        if not said.get("nonce") or said.get("algorithm", "").lower() != "md5-sess":
            raise Refused("not a challenge of DIGEST-MD5")
        if "auth" not in [q.strip() for q in said.get("qop", "auth").split(",")]:
            raise Refused(f"the server wants another quality of protection: {said['qop'][:40]}")
        nonce, realm = said["nonce"], said.get("realm", SERVER)
        uri = f"{SERVICE}/{SERVER}"
        secret = self._secret(realm, nonce)
        self._expected = self._response(secret, nonce, f":{uri}")
        values = {
            "charset": "utf-8",
            "username": _quoted(self._user),
            "realm": _quoted(realm),
            "nonce": _quoted(nonce),
            "nc": "00000001",
            "cnonce": _quoted(self._cnonce),
            "digest-uri": _quoted(uri),
            "maxbuf": "65536",
            "response": self._response(secret, nonce, f"AUTHENTICATE:{uri}"),
            "qop": "auth",
        }
        return ",".join(f"{k}={v}" for k, v in values.items()).encode()

    def _secret(self, realm: str, nonce: str) -> str:
        """H(A1), in hex."""
        inner = _md5(b":".join(map(_bytes, (self._user, realm, self._password))))
        return _md5(inner + f":{nonce}:{self._cnonce}".encode()).hex()

    def _response(self, secret: str, nonce: str, what: str) -> str:
        asked = _md5(what.encode()).hex()
        return _md5(f"{secret}:{nonce}:00000001:{self._cnonce}:auth:{asked}".encode()).hex()


def pairs(challenge: bytes) -> dict[str, str]:
    """`name="value",…`; of equal names the first. Raises `Refused` for anything else."""
    try:
        text = challenge.decode()
    except UnicodeDecodeError:
        raise Refused("not a challenge of DIGEST-MD5") from None
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise Refused("not a challenge of DIGEST-MD5")
        value = pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2])
        found.setdefault(pair[1].lower(), value)
        at = pair.end()
    return found


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _bytes(text: str) -> bytes:
    """Where all is of ISO 8859-1 it is hashed as that, whatever the charset (RFC 2831, 2.1.2.1)."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
