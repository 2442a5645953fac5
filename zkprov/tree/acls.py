"""An ACL as it lies on disk, a jute vector, and as rights."""

from __future__ import annotations

import struct

from zkprov.model.rights import Acl, Identity, Right

INT = struct.Struct(">i")


def acl_of(vector: bytes) -> Acl:
    """Raises ValueError for what is none."""
    rights, at = [], 4
    try:
        count = INT.unpack_from(vector)[0]
        for _ in range(max(count, 0)):
            perms = INT.unpack_from(vector, at)[0]
            scheme, at = _text(vector, at + 4)
            name, at = _text(vector, at)
            rights.append(Right(Identity(scheme, name), perms))
    except struct.error:
        raise ValueError("an ACL that is cut off") from None
    return tuple(rights)


def vector_of(acl: Acl) -> bytes:
    """As ZooKeeper writes it."""
    parts = [INT.pack(len(acl))]
    for right in acl:
        scheme, name = right.who.scheme.encode(), right.who.id.encode()
        parts += [INT.pack(right.perms), INT.pack(len(scheme)), scheme, INT.pack(len(name)), name]
    return b"".join(parts)


def _text(b: bytes, at: int) -> tuple[str, int]:
    size = max(INT.unpack_from(b, at)[0], 0)
    if at + 4 + size > len(b):
        raise ValueError("an ACL that is cut off")
    return b[at + 4 : at + 4 + size].decode(errors="replace"), at + 4 + size
