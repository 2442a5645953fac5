"""Who founds an ensemble anew whose quorum is lost for good; and everything that must not be taken for it."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import SETTINGS, Made, disk_of, healthy, inventory, members, outage
from zkprov.judge.health import judge
from zkprov.model.backup import Reached
from zkprov.model.facts import Outcome
from zkprov.model.problems import BadInput
from zkprov.model.recovery import Recovery
from zkprov.plan.recovery import Attested, plan_recovery
from zkprov.plan.steps import Refusal

FIVE = members(range(1, 6))
FAR, FARTHER = Reached(7, 7, 0x700000100, 0, 1_772_323_200_000), Reached(7, 7, 0x700000200, 0, 1_772_323_260_000)


def lost(*left: int, wiped: tuple[int, ...] = (), of: int = 5, made: Made | None = None) -> Made:
    """Nobody serves; the disks of `left` can be read, those of `wiped` are there and empty."""
    made = made or healthy(of)
    every = tuple(s.expected_id or 0 for s in made.servers)
    made = made.down(*(i for i in every if i not in left and i not in wiped))
    made = made.down(*left, *wiped, disk=True)
    for i in wiped:
        made = made.having(i, disk=Outcome.ABSENT)
    return made


def planned(
    made: Made, reached: dict[int, Reached | str], attested: Attested | None = None
) -> Recovery | Refusal | None:
    far = {f"zk{i}": r for i, r in reached.items()}
    return plan_recovery(judge(made.survey), far, inventory(5), attested or Attested())


ALL_DEAD = Attested(dead={"zk3": "burnt", "4": "burnt", "zk5": "the disk is scrap"})


def test_the_best_of_those_that_are_left_founds_it_anew() -> None:
    found = planned(lost(1, 2), {1: FARTHER, 2: FAR}, ALL_DEAD)
    assert isinstance(found, Recovery)
    assert (found.host, found.founder.id, [s.id for s in found.survivors]) == ("zk1", 1, [1, 2])
    assert [(g.server.id, g.fate, g.why) for g in found.gone] == [
        (3, "destroyed", "burnt"),
        (4, "destroyed", "burnt"),
        (5, "destroyed", "the disk is scrap"),
    ]
    assert found.hosts == ("zk1", "zk2") and found.others == ("zk2",)
    assert found.proof.startswith("one quorum is proved") and found.base.same_list(FIVE)
    assert "after 0x700000200" in found.notes[0] and "2 ends at 0x700000100" in found.notes[1]


def test_an_epoch_goes_before_a_zxid() -> None:
    later = Reached(8, 8, 0x700000001, 0, 0)
    found = planned(lost(1, 2), {1: FARTHER, 2: later}, ALL_DEAD)
    assert isinstance(found, Recovery) and found.host == "zk2"


def test_the_wiped_are_told_from_the_dead() -> None:
    attested = Attested(dead={"zk5": "scrap"}, wiped={"zk3": "new disk", "zk4": "new disk"})
    found = planned(lost(1, 2, wiped=(3, 4)), {1: FAR, 2: FAR}, attested)
    assert isinstance(found, Recovery)
    assert {g.server.id: g.fate for g in found.gone} == {3: "wiped", 4: "wiped", 5: "destroyed"}
    assert found.others == ("zk1", "zk3", "zk4"), "whose hosts are there come in again"
    for wrong in (
        Attested(dead={"zk3": "x", "zk4": "x", "zk5": "x"}),
        Attested(wiped={"zk3": "x", "zk4": "x", "zk5": "x"}),
    ):
        with pytest.raises(BadInput, match=r"disk is empty|not seen to be empty"):
            planned(lost(1, 2, wiped=(3, 4)), {1: FAR, 2: FAR}, wrong)


def test_each_is_named_or_nothing_is_done() -> None:
    refused = planned(lost(1, 2, wiped=(3,)), {1: FAR, 2: FAR}, Attested(dead={"zk5": "scrap"}))
    assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R1", 3)
    assert refused.next[0][0] == "zkprov recover --dead zk5=… --wiped zk3=WHY --dead zk4=WHY"
    assert any(line.startswith("3 (zk3): its host answers, and its disk is empty") for line in refused.evidence)


def test_a_quorum_that_serves_is_nothing_to_recover() -> None:
    assert planned(healthy(5), {}) is None
    assert planned(healthy(5).down(4, 5), {}) is None


def test_a_quorum_that_is_only_down_is_started() -> None:
    refused = planned(lost(1, 2, 3), {1: FAR, 2: FAR, 3: FAR}, Attested(dead={"zk4": "x", "zk5": "x"}))
    assert isinstance(refused, Refusal) and refused.exit_code == 4
    assert "{1,2,3} have their disks, and are a quorum" in refused.headline
    assert "start the servers on" in refused.next[0][1]


def test_somebody_who_serves_stands_in_the_way() -> None:
    made = lost(1, 2)
    alone = healthy(5).servers[2]
    made = msgspec.structs.replace(made, servers=tuple(alone if s.name == "zk3" else s for s in made.servers))
    refused = planned(made, {1: FAR, 2: FAR}, ALL_DEAD)
    assert isinstance(refused, Refusal) and "somebody serves" in refused.headline


def test_one_that_reaches_furthest_under_an_older_list_is_a_person_s_affair() -> None:
    made = lost(1, 2).having(2, disk=disk_of(2, members(range(1, 6), version=0x700000099)))
    refused = planned(made, {1: FARTHER, 2: FAR}, ALL_DEAD)
    assert isinstance(refused, Refusal) and refused.rule == "R8"
    assert refused.headline.startswith("1 reaches furthest, and acts under an older list than 2")


def test_a_list_that_was_about_to_be_counts() -> None:
    coming = members(range(1, 5), version=0x700000099)
    made = lost(1, 2).having(1, disk=disk_of(1, FIVE, coming))
    found = planned(made, {1: FARTHER, 2: FAR}, Attested(dead={"zk3": "burnt", "zk4": "burnt"}))
    assert isinstance(found, Recovery) and found.base.same_list(coming)


@pytest.mark.parametrize("why", ["zk2: Permission denied", Reached(7, 7, 1, 0, 0, "log.1: damaged at byte 16")])
def test_a_disk_that_cannot_be_read_through_is_looked_at_first(why: Reached | str) -> None:
    refused = planned(lost(1, 2), {1: FAR, 2: why}, ALL_DEAD)
    assert isinstance(refused, Refusal) and refused.exit_code == 4
    assert "how far the disk of 2 (zk2) reaches cannot be told" in refused.headline


@pytest.mark.parametrize("my_id", [None, 4])
def test_half_a_disk_is_a_person_s_affair(my_id: int | None) -> None:
    made = lost(1, 2, 3).having(3, disk=msgspec.structs.replace(disk_of(3, FIVE), my_id=my_id, acting=None))
    refused = planned(made, {1: FAR, 2: FAR}, ALL_DEAD)
    assert isinstance(refused, Refusal) and refused.headline.startswith("zk3 holds data, and not as server 3")


def test_nothing_is_left() -> None:
    refused = planned(lost(wiped=(1, 2)), {}, ALL_DEAD)
    assert isinstance(refused, Refusal) and "no list of members could be read" in refused.headline


@pytest.mark.parametrize(
    ("attested", "what"),
    [
        (Attested(dead={**ALL_DEAD.dead, "zk1": "x"}), "zk1 is no voter of"),
        (Attested(dead={**ALL_DEAD.dead, "zk77": "x"}), "zk77 is no voter of"),
        (Attested(dead={**ALL_DEAD.dead, "zk3": " "}), "no reason"),
    ],
)
def test_what_is_attested_must_fit(attested: Attested, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        planned(lost(1, 2), {1: FAR, 2: FAR}, attested)


def test_a_list_with_groups_is_done_by_hand() -> None:
    grouped = msgspec.structs.replace(FIVE, groups=((1, (1, 2)), (2, (3, 4)), (3, (5,))))
    made = lost(1, 2).having(1, disk=disk_of(1, grouped)).having(2, disk=disk_of(2, grouped))
    refused = planned(made, {1: FAR, 2: FAR}, ALL_DEAD)
    assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R12", 3)
    assert refused.evidence[0].startswith("has its disk: 2 (zk2)") or refused.evidence[0].startswith(
        "has its disk: 1 (zk1)"
    )
    assert "{1,2} are no quorum" in refused.evidence[-1]
    assert refused.next[0][1].startswith("bring {5} back"), "its group lacks nobody else"
    assert 'docs: recover, "A list with groups"' in refused.next[-1][1]


def test_a_list_with_groups_that_has_its_quorum_is_only_started() -> None:
    grouped = msgspec.structs.replace(FIVE, groups=((1, (1, 2)), (2, (3, 4)), (3, (5,))))
    made = lost(1, 2, 5)
    for i in (1, 2, 5):
        made = made.having(i, disk=disk_of(i, grouped))
    refused = planned(made, dict.fromkeys((1, 2, 5), FAR), Attested())
    assert isinstance(refused, Refusal) and refused.headline.startswith("the quorum is not lost: {1,2,5}")


def test_an_unsafe_ensemble_is_not_nothing_to_recover() -> None:
    refused = planned(outage(), {})
    assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R1", 3)
    assert "second-leader" in refused.headline and refused.evidence
    assert refused.next[0][0] == "zkprov heal --plan"


def test_survivors_that_could_elect_without_the_founder_are_seen() -> None:
    """A survivor whose own list is shorter than the newest: with its disk put back it would elect beside the founder."""
    short = members((2,), version=FIVE.version)
    made = lost(1, 2).having(2, disk=disk_of(2, short, FIVE.at_version(FIVE.version + 1)))
    made = made.having(2, disk=disk_of(2, short, settings={**SETTINGS}))
    found = planned(made, {1: FARTHER, 2: FAR}, ALL_DEAD)
    assert isinstance(found, Refusal) and found.rule == "R1" and found.evidence


def test_the_hosts_are_those_of_the_inventory() -> None:
    """A voter that no host of the inventory is can be dead only by its address."""
    six = members(range(1, 7))
    made = lost(1, 2, of=6)
    for i in (1, 2):
        made = made.having(i, disk=disk_of(i, six))
    refused = planned(made, {1: FAR, 2: FAR}, ALL_DEAD)
    assert isinstance(refused, Refusal) and "--dead 10.0.0.6:2181=WHY" in refused.next[0][0]
    found = planned(made, {1: FAR, 2: FAR}, Attested(dead={**ALL_DEAD.dead, "6": "burnt"}))
    assert isinstance(found, Recovery) and found.gone[-1].host == "10.0.0.6:2181"
