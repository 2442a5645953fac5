"""Runs on a host within look.py, and here for this machine's files: what a key or trust store holds, without its private key.

No byte of a private key is in what these functions give: the form of the key by the label of its block, whether it goes with the
certificate, and certificates, each written anew from what was seen to be one. For Python 3.6 and later.
"""

# ruff: noqa: UP031

import binascii
import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMS = {
    "PRIVATE KEY": "pkcs8",
    "ENCRYPTED PRIVATE KEY": "encrypted pkcs8",
    "RSA PRIVATE KEY": "pkcs1",
    "EC PRIVATE KEY": "sec1",
}
BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
NO_PAIR = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
# What OpenSSL says of pairs that belong together, but not to its own taste.
OWN_TASTE = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")


def store_at(path: "str", keys: "bool", max_bytes: "int", left: "list[int]") -> "dict[str, Any]":
    """{`errno`}: it cannot be opened; {`kind`}: it is no file; {`size`}: too large; else {`key`, `pem`, `damage`, `matches`, `why`}.

    `keys`: whether it is to hold a key. `left`: how much may be given in all, lessened by what this gives.
    """
    try:
        descriptor = os.open(path.encode("utf-8", "surrogateescape"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return {"errno": error.errno}
    except ValueError:
        return {"errno": errno.ENOENT}
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return {"kind": "other"}
        if found.st_size > max_bytes:
            return {"size": found.st_size}
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes)
    except OSError as error:
        return {"errno": error.errno}
    finally:
        os.close(descriptor)
    if data[:4] == b"\xfe\xed\xfe\xed" or data[:2] in (b"\x30\x82", b"\x30\x80", b"\x30\x83"):
        return {"key": "not PEM"}
    form, certificates, damage = blocks(data.decode("latin-1"))
    text = "".join(certificates)
    if len(text) > left[0]:
        return {"size": len(data)}
    left[0] -= len(text)
    told = {"key": form, "pem": text, "damage": damage}  # type: dict[str, Any]
    if keys and certificates and form not in ("none", "encrypted pkcs8"):
        told["matches"], told["why"] = matching(path)
        if told["why"] and told["matches"] is None and told["why"] not in OWN_TASTE and not damage:
            told["damage"] = "OpenSSL does not take its key (%s)" % told["why"]
    return told


def blocks(text: "str") -> "tuple[str, list[str], str]":
    """(form of the first private key, the certificates as PEM, what in the text is no PEM)."""
    form, certificates, damage = "none", [], []  # type: str, list[str], list[str]
    label, body, begun = None, [], 0  # type: str | None, list[str], int
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith("-----BEGIN ") and line.endswith("-----"):
            if label is not None:
                damage.append("line %d: a block that does not end" % begun)
            label, body, begun = line[11:-5], [], number
        elif line.startswith("-----END "):
            if label is None or line != "-----END %s-----" % label:
                damage.append("line %d: the end of a block that did not begin" % number)
            elif label == "CERTIFICATE":
                written = certificate("".join(body))
                if written:
                    certificates.append(written)
                else:
                    damage.append("line %d: a block that says CERTIFICATE and holds none" % begun)
            elif label.endswith("PRIVATE KEY") and form == "none":
                form = FORMS.get(label, "other")
            label = None
        elif label is not None:
            body.append(line)
    if label is not None:
        damage.append("line %d: a block that does not end" % begun)
    return form, certificates, damage[0] if damage else ""


def certificate(text: "str") -> "str":
    """The certificate as PEM, written anew; empty where `text` is not one in base64."""
    if not BASE64.issuperset(text):
        return ""
    try:
        der = binascii.a2b_base64(text)
    except binascii.Error:
        return ""
    if not shaped(der):
        return ""
    plain = binascii.b2a_base64(der, newline=False).decode("ascii")
    lines = [plain[i : i + 64] for i in range(0, len(plain), 64)]
    return "-----BEGIN CERTIFICATE-----\n" + "\n".join(lines) + "\n-----END CERTIFICATE-----\n"


def shaped(der: "bytes") -> "bool":
    """SEQUENCE of SEQUENCE, SEQUENCE and BIT STRING, with nothing behind it: a private key, in whatever form, does not look like that."""
    outer = element(der, 0)
    if outer is None or outer[0] != 0x30 or outer[2] != len(der):
        return False
    at, tags = outer[1], []  # type: int, list[int]
    while at < len(der) and len(tags) < 4:
        part = element(der, at)
        if part is None:
            return False
        tags.append(part[0])
        at = part[2]
    return tags == [0x30, 0x30, 0x03]


def element(der: "bytes", at: "int") -> "tuple[int, int, int] | None":
    """(tag, begin, end) of the DER value at `at`; None where there is no whole one."""
    if at + 2 > len(der):
        return None
    tag, length, begin = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or begin + count > len(der):
            return None
        length = int.from_bytes(der[begin : begin + count], "big")
        begin += count
    return (tag, begin, begin + length) if begin + length <= len(der) else None


def matching(path: "str") -> "tuple[bool | None, str]":
    """Whether OpenSSL takes key and certificate for a pair; None, and its word for why, where it does not say."""
    try:
        # late: it takes longer than all else here
        import ssl
    except ImportError:
        return None, ""
    try:
        # a password is never asked for at a terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: "")
    except ssl.SSLError as error:
        reason = error.reason or "no reason given"
        return (False, "") if reason in NO_PAIR else (None, reason)
    except (OSError, ValueError) as error:
        return None, type(error).__name__
    return True, ""
