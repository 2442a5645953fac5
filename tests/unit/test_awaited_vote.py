"""One voter waits for a second that died as it was promoted: what is seen to be that, and what is not.

Each case is the scene that tests/faults/test_one_to_two.py makes with real servers, with one thing changed.
"""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import Made, Outcome, disk_of, ensemble, members, serving
from zkprov.judge.awaited_vote import Awaited, awaited_vote, is_second_vote
from zkprov.model.facts import Disk, ListOnDisk

BEFORE = members((1,), version=0x100000000)
AFTER = members((1, 2), version=0x100000019)
PATH = "/etc/zookeeper/zoo.cfg.dynamic.100000000"


def scene(first: Disk | None = None, second: Disk | None = None) -> Made:
    """1 has the new list as `.next` and looks for a quorum; 2 is down, with the list that it followed under."""
    made = ensemble(BEFORE, 1).also(serving(2, BEFORE, 1)).looking(1).down(2, disk=True)
    made = made.having(1, disk=first or disk_of(1, BEFORE, AFTER), config=Outcome.NOT_SERVING)
    return made.having(2, disk=second or disk_of(2, BEFORE, active=False))


def told(made: Made) -> Awaited | str:
    return awaited_vote(made.picture, BEFORE, AFTER, "zk2")


@pytest.mark.parametrize("first", [disk_of(1, BEFORE, AFTER), disk_of(1, AFTER)], ids=["next", "acting"])
def test_the_second_is_to_get_the_list_that_the_first_waits_with(first: Disk) -> None:
    found = told(scene(first))
    assert found == Awaited("zk1", "zk2", AFTER, PATH)
    assert isinstance(found, Awaited) and found.text == "".join(f"{s.line}\n" for s in AFTER.servers)
    assert "version" not in found.text


def test_once_it_is_laid_only_the_start_is_missing() -> None:
    mine = msgspec.structs.replace(disk_of(2, BEFORE, active=False), acting=ListOnDisk(AFTER, PATH))
    found = told(scene(second=mine))
    assert isinstance(found, Awaited) and found.laid


OTHER = members((1, 2, 3), version=0x100000019)
CASES = {
    "1 serves": (ensemble(BEFORE, 1).also(serving(2, BEFORE, 1)), "1 (zk1) serves"),
    "1 is stopped": (scene().down(1, disk=True), "zk1: no server runs there; start it, it has the data"),
    "1 was wiped": (scene(disk_of(1, BEFORE, AFTER, has_data=False)), "zk1: no data lies there"),
    "1 cannot be read": (scene().having(1, disk=Outcome.DENIED), "zk1: its list could not be read (disk: denied)"),
    "1 heard nothing": (scene(disk_of(1, BEFORE)), "zk1 waits for nobody: its list is {1}"),
    "1 heeds no .next": (
        scene(disk_of(1, BEFORE, AFTER, settings={"reconfigEnabled": "false"})),
        "zk1 waits for nobody: its list is {1}",
    ),
    "1 has another .next": (scene(disk_of(1, BEFORE, OTHER)), "zk1 waits for nobody: its list is {1}, then {1,2,3}"),
    "1 has an older .next": (
        scene(disk_of(1, BEFORE, AFTER.at_version(0x0FFFFFFFF))),
        "zk1 waits for nobody: its list is {1}",
    ),
    "2 cannot be read": (scene().having(2, disk=Outcome.TIMEOUT), "zk2: its list could not be read (disk: timeout)"),
    "2 was wiped": (scene(second=disk_of(2, BEFORE, has_data=False)), "zk2: no data lies there"),
    "2 is 3": (scene(second=disk_of(3, BEFORE)), "zk2: its id is 3, and the new voter's is 2"),
    "2 has another list": (scene(second=disk_of(2, OTHER)), "zk2: its list is {1,2,3}, neither {1} nor {1,2}"),
    "2 has another .next": (scene(second=disk_of(2, BEFORE, OTHER)), "has {1,2,3}, not {1,2}"),
    "2 has its list in zoo.cfg": (
        scene(second=msgspec.structs.replace(disk_of(2, BEFORE), acting=ListOnDisk(BEFORE, "/etc/zookeeper/zoo.cfg:9"))),
        "its list is in /etc/zookeeper/zoo.cfg:9, no zoo.cfg.dynamic",
    ),
    "2 is not there": (scene().without(2), "zk2 is not among the servers that were seen"),
    "nobody is there": (scene().without(1), "the voter of {1} is not among the servers that were seen"),
    "2 is asked at 1's place": (
        msgspec.structs.replace(scene().without(1), servers=(msgspec.structs.replace(scene().servers[0], name="zk2"),)),
        "the voter of {1} is not among",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "words"), CASES.values(), ids=CASES)
def test_anything_else_is_for_a_person(made: Made, words: str) -> None:
    reason = told(made)
    assert isinstance(reason, str) and words in reason


def test_not_where_a_third_could_lead_beside_them() -> None:
    """A server beside them that could lead alone, by its disk, while both do: R1 before all."""
    made = scene().also(serving(3, members((3,), observers=(1, 2), version=0x100000019), 3)).down(3, disk=True)
    reason = told(made)
    assert isinstance(reason, str) and "one quorum is not proved with {1,2} on zk2" in reason and "(R1)" in reason


@pytest.mark.parametrize(
    ("before", "after", "is_one"),
    [((1,), (1, 2), True), ((1, 2), (1, 2, 3), False), ((1,), (1,), False), ((1,), (2, 3), False), ((1, 2), (1,), False)],
)  # fmt: skip
def test_which_step_it_is(before: tuple[int, ...], after: tuple[int, ...], is_one: bool) -> None:
    assert is_second_vote(members(before), members(after)) is is_one
