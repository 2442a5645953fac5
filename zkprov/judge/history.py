"""What the creations of znodes prove: that two servers hold different histories, never that they hold one."""

from __future__ import annotations

from zkprov.model.facts import ServerFacts


def two_histories(one: ServerFacts, other: ServerFacts) -> bool:
    """Whether the identities of two servers cannot be of one history; paths that differ say nothing.

    A znode that nobody deletes is created once. Any other may have been deleted and made anew, and a server that is a moment behind
    shows the former creation; it cannot do so once it is past the later one.
    """
    left, right = one.identity.value, other.identity.value
    if left is None or right is None or left.path != right.path or left == right:
        return False
    if left.lasting or left.czxid == right.czxid:
        return True
    former, later = (one, right.czxid) if left.czxid < right.czxid else (other, left.czxid)
    return past(former, later)


def past(facts: ServerFacts, czxid: int) -> bool:
    """Whether the server had shown a zxid past `czxid` before it was asked for its identity."""
    srvr = facts.srvr
    return srvr.value is not None and srvr.value.zxid >= czxid and srvr.at <= facts.identity.asked
