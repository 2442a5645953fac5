"""Who may do what with a znode (ZooKeeper's ACLs), and what becomes of it when somebody is given a right."""

from __future__ import annotations

import re

import msgspec

from zkprov.model.problems import BadInput

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
ALL = 31
SCHEMES = ("x509", "sasl", "digest")
"""By which somebody may be known, in the order of preference. (`auth` and `super` are nobody's name, `ip` is no proof.)"""


class Identity(msgspec.Struct, frozen=True, order=True):
    """Somebody as ZooKeeper knows him. The `id` of scheme `digest` is `user:hash`."""

    scheme: str
    id: str

    @property
    def masked(self) -> bool:
        """Whether a server told the user alone: it shows the hash to whom the znode is administered by."""
        return self.scheme == "digest" and self.id.endswith(":x")

    def __str__(self) -> str:
        # the hash can be tried out by whoever sees it
        shown = self.id.partition(":")[0] if self.scheme == "digest" else self.id
        return f"{self.scheme}:{shown}"


ANYONE = Identity("world", "anyone")


class Right(msgspec.Struct, frozen=True, order=True):
    """One entry of an ACL. `perms`: the sum of READ and its like."""

    who: Identity
    perms: int

    def __str__(self) -> str:
        letters = ((CREATE, "c"), (DELETE, "d"), (READ, "r"), (WRITE, "w"), (ADMIN, "a"))
        return f"{self.who} {''.join(letter for perm, letter in letters if self.perms & perm)}"


Acl = tuple[Right, ...]


def widened(acl: Acl, who: Identity, perms: int, *, replace: bool = False) -> Acl:
    """With `perms` for `who`, and anybody's right to read kept. Nobody loses a right, but with `replace` all others do."""
    kept = tuple(r for r in acl if r.who in (who, ANYONE)) if replace else acl
    if replace:
        kept = tuple(Right(ANYONE, READ) if r.who == ANYONE else r for r in kept)
    found: dict[Identity, int] = {}
    for right in (*kept, Right(ANYONE, READ), Right(who, perms)):
        found[right.who] = found.get(right.who, 0) | right.perms
    return tuple(Right(one, has) for one, has in found.items())


def writers(acl: Acl) -> Acl:
    """All rights for those who may write by name, as far as they are told."""
    named = (r.who for r in acl if r.perms & WRITE and r.who.scheme in SCHEMES and not r.who.masked)
    return tuple(Right(who, ALL) for who in named)


def lost(before: Acl, after: Acl) -> Acl:
    """What somebody had and has no longer."""
    has = {r.who: r.perms for r in after}
    return tuple(Right(r.who, gone) for r in before if (gone := r.perms & ~has.get(r.who, 0)))


def parse_identity(text: str) -> Identity:
    """`sasl:kafka`, `x509:CN=zkprov,O=Example`, `digest:user:hash`. Raises `BadInput`, without a word of what may be a password."""
    scheme, _, who = text.partition(":")
    remedy = "write sasl:USER, x509:SUBJECT, or digest:USER:HASH (the hash in base64, never the password)"
    if scheme not in SCHEMES or not who or not who.isprintable():
        raise BadInput(f"not one of {', '.join(SCHEMES)}, or nobody", place="--to", remedy=remedy)
    if scheme == "digest" and not re.fullmatch(r"[^:]+:[A-Za-z0-9+/]{27}=", who):
        raise BadInput("not USER:HASH", place="--to", remedy=remedy)
    return Identity(scheme, who)
