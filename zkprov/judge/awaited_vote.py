"""From one voter to two: whether the first waits for the vote of a second that has no list with itself in it, and what would end that.

Both must be there as the second is promoted (FACTS: from one to two no observer stage is possible). Where the second dies in that moment,
the first has the new list, or has it as `.next`, and serves nobody until a quorum of it stands; the second ends as soon as it is started,
since its own list has the first alone. With the list that the first waits with the second can vote, and no other set can elect: each of
the lists needs the first. No history is lost: the first's is the newer one, or the same.
"""

from __future__ import annotations

import msgspec

from zkprov.judge.may_act import replaced, servers_of
from zkprov.judge.picture import Picture, Standing, member_at
from zkprov.judge.rendering import DYNAMIC
from zkprov.model import proof
from zkprov.model.acting import SeenList
from zkprov.model.facts import Disk, ServerFacts
from zkprov.model.members import Members


class Awaited(msgspec.Struct, frozen=True):
    """What would end it: `wanted` in the file at `path` on the second's host. `laid`: it is there already. Names are hosts'."""

    first: str
    second: str
    wanted: Members
    path: str
    laid: bool = False

    @property
    def text(self) -> str:
        """The dynamic file: the lines as the first has them."""
        return "".join(f"{line}\n" for line in self.wanted.lines)


def is_second_vote(before: Members, after: Members) -> bool:
    """Whether the step makes two voters of one."""
    return len(before.voters) == 1 and len(after.voters) == 2 and before.voters < after.voters


def awaited_vote(picture: Picture, before: Members, after: Members, second: str) -> Awaited | str:
    """The vote that is awaited, or why none is (for a person). `before` and `after`: the step's lists; `second`: the host's name."""
    serving = [f for f in picture.survey.servers if f.serving and picture.standing[f.name] is not Standing.STRANGER]
    if serving:
        return f"{picture.label(serving[0])} serves"
    joiner = picture.survey.by_name(second)
    voter = _voter(picture, before, second)
    if joiner is None or voter is None:
        return f"{second if joiner is None else f'the voter of {before}'} is not among the servers that were seen"
    waits = _wanted(voter, before, after)
    if isinstance(waits, str):
        return waits
    path = _path(joiner, before, after)
    if not path.startswith("/"):
        return path
    proved = proof.prove(
        [
            replaced(s, (*s.lists, SeenList(waits, f"{second}: the list that {voter.name} waits with")))
            if s.name == second
            else s
            for s in servers_of(picture)
        ]
    )
    if not proved.safe:
        return f"one quorum is not proved with {after} on {second}: {proved.verdict} (R1)"
    laid = joiner.disk.value is not None and _acts_under(joiner.disk.value, after)
    return Awaited(voter.name, second, waits, path, laid)


def _voter(picture: Picture, before: Members, second: str) -> ServerFacts | None:
    (only,) = before.voters
    found = [f for f in picture.survey.servers if f.name != second and (m := member_at(before, f)) and m.id == only]
    return found[0] if len(found) == 1 else None


def _wanted(voter: ServerFacts, before: Members, after: Members) -> Members | str:
    """The new list, as the first voter has it."""
    disk = voter.disk.value
    if disk is None or disk.acting is None:
        return f"{voter.name}: its list could not be read ({voter.disk if disk is None else '; '.join(disk.problems)})"
    if not disk.has_data:
        return f"{voter.name}: no data lies there, and it had the ensemble's"
    if not voter.up:
        return f"{voter.name}: no server runs there; start it, it has the data"
    if disk.acting.members.same_list(after):
        return disk.acting.members
    waiting = disk.next.members if disk.next is not None and disk.reconfig_enabled else None
    newer = waiting is not None and waiting.version > disk.acting.members.version
    if disk.acting.members.same_list(before) and waiting is not None and newer and waiting.same_list(after):
        return waiting
    return f"{voter.name} waits for nobody: its list is {disk.acting.members}" + (f", then {waiting}" if newer else "")


def _path(joiner: ServerFacts, before: Members, after: Members) -> str:
    """Where the second's list lies; else, without a slash before it, why it is not to be changed."""
    disk, name = joiner.disk.value, joiner.name
    if disk is None or disk.acting is None:
        return f"{name}: its list could not be read ({joiner.disk if disk is None else '; '.join(disk.problems)})"
    if disk.my_id not in after.voters - before.voters:
        return f"{name}: its id is {disk.my_id}, and the new voter's is {', '.join(map(str, after.voters - before.voters))}"
    if not disk.has_data:
        return f"{name}: no data lies there, and it had some when it was promoted"
    if disk.next is not None and not disk.next.members.same_list(after):
        return f"{name}: {disk.next.source} has {disk.next.members}, not {after}"
    if not (disk.acting.members.same_list(before) or _acts_under(disk, after)):
        return f"{name}: its list is {disk.acting.members}, neither {before} nor {after}"
    path = disk.acting.source
    if not path.startswith("/") or not path.rpartition("/")[2].startswith(DYNAMIC):
        return f"{name}: its list is in {path}, no {DYNAMIC} of zkprov's"
    return path


def _acts_under(disk: Disk, members: Members) -> bool:
    return disk.acting is not None and disk.acting.members.same_list(members)
