"""What becomes of a dead letter on the living ensemble: replayed, there already, or set aside for a person. Pure."""

from __future__ import annotations

import re

import msgspec

from zkprov.model.letters import Fate, Kind, Letter, Outcome
from zkprov.tree.znodes import sum_of


class Live(msgspec.Struct, frozen=True):
    """A znode as it is now. `sum`: of its data. `acl`: as it lies on disk; None where it was not read. `made`: children ever created."""

    mzxid: int
    version: int
    aversion: int
    sum: bytes
    acl: bytes | None = None
    made: int = 0


class Decision(msgspec.Struct, frozen=True):
    """`do`: it is to be carried out; else it has its `fate`."""

    do: bool
    fate: Fate = Fate.OPEN
    said: str = ""


DO = Decision(True)
SEQUENCE = re.compile(r".*?(\d{10})", re.DOTALL)


def decide(
    letter: Letter,
    outcome: Outcome,
    live: Live | None,
    parent: Live | None,
    previous: Outcome | None,
    *,
    acl_follows: bool = False,
    blocked: bool = False,
) -> Decision:
    """`outcome`: of the letter so far. `previous`: of the last letter of the same znode that was settled, None for its first.

    `acl_follows`: another letter tells its ACL; `blocked`: an earlier letter of it was set aside. A change is replayed only on the very
    version that it rests on; what anybody has changed since is set aside.
    """
    if letter.ephemeral:
        return Decision(False, Fate.NEVER, "ephemeral: its session is gone")
    if outcome.fate is Fate.BEGUN:
        return _begun(letter, outcome, live)
    if there(letter, live, acl_follows=acl_follows):
        return Decision(False, Fate.THERE)
    if reason := _aside(letter, blocked=blocked):
        return _conflict(reason)
    if letter.kind in (Kind.CREATE, Kind.STOOD):
        again = letter.kind is Kind.STOOD and live is not None and previous is not None
        if not again:
            return _create(letter, live, parent)
    if live is None:
        return _conflict("it is not there")
    if letter.kind is Kind.ACL:
        rests = previous.aversion if previous else letter.kept.aversion if letter.kept else -1
        return DO if live.aversion == rests else _conflict("its ACL was changed since")
    rests = previous.mzxid if previous else letter.kept.mzxid if letter.kept else -1
    return DO if live.mzxid == rests else _conflict("it was changed since")


def there(letter: Letter, live: Live | None, *, acl_follows: bool) -> bool:
    """Whether the znode is by now what it was at the end of the losing side, by whichever way."""
    if letter.kind is Kind.ACL:
        return live is not None and live.acl == letter.acl
    if live is None or letter.last is None:
        return live is None and letter.last is None
    if live.sum != letter.last:
        return False
    created = letter.kind in (Kind.CREATE, Kind.STOOD)
    return not created or acl_follows or live.acl is None or live.acl == letter.acl


def _aside(letter: Letter, *, blocked: bool) -> str:
    if letter.doubt:
        return f"perhaps never acknowledged: {letter.doubt}"
    if letter.why.conflict:
        return str(letter.why.value)
    return "it follows a change that was set aside" if blocked else ""


def _create(letter: Letter, live: Live | None, parent: Live | None) -> Decision:
    if live is not None:
        return _conflict("there is one by now")
    if parent is None:
        return _conflict("its parent is not there: replay that first")
    numbered = SEQUENCE.fullmatch(letter.path)
    if numbered and int(numbered[1]) > parent.made:
        return _conflict(f"a sequence number that the kept side will still give ({parent.made} is the next)")
    return DO


def _begun(letter: Letter, outcome: Outcome, live: Live | None) -> Decision:
    """The znode's stat from before is in `outcome`: whether the act came through is told by what is there now."""
    if live is None:
        if letter.kind is Kind.DELETE:
            return Decision(False, Fate.REPLAYED, "found carried out")
        return DO if outcome.mzxid == -1 else _conflict("it was deleted while this was replayed")
    untouched = (live.mzxid, live.version, live.aversion) == (outcome.mzxid, outcome.version, outcome.aversion)
    if untouched:
        return DO
    ours = {
        Kind.CREATE: outcome.mzxid == -1 and live.version == 0 and live.sum == sum_of(letter.data),
        Kind.STOOD: live.version == outcome.version + 1 and live.sum == sum_of(letter.data),
        Kind.SET: live.version == outcome.version + 1 and live.sum == sum_of(letter.data),
        Kind.ACL: live.aversion == outcome.aversion + 1 and live.acl in (None, letter.acl),
        Kind.DELETE: False,
    }[letter.kind]
    if ours:
        return Decision(False, Fate.REPLAYED, "found carried out")
    return _conflict("it was changed while this was replayed")


def _conflict(said: str) -> Decision:
    return Decision(False, Fate.CONFLICT, said)
