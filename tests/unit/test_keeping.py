"""Which side of a split the evidence speaks for; and that it is a tie where nothing tells."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import OTHERS, OURS, members
from zkprov.judge.keeping import Proposal, propose, told
from zkprov.judge.sides import Side
from zkprov.model.facts import Identity
from zkprov.model.server import HostPort

APP = Identity("/app", 0x100000002, 1_772_323_200_000)
LATER = Identity("/app", 0x200000002, 1_790_000_000_000)
NONE: tuple[tuple[str, HostPort, str], ...] = ()


def side(name: str, **more: object) -> Side:
    ids = more.pop("ids", (1, 2, 3) if name == "A" else (4, 5, 6, 7))
    assert isinstance(ids, tuple)
    made = Side(name, tuple(f"zk{i}" for i in ids), frozenset(ids), members=members(ids, version=0), epoch=1)
    return msgspec.structs.replace(made, **more)


def sessions(server: str, *ids: str) -> tuple[tuple[str, HostPort, str], ...]:
    return tuple((server, HostPort("10.1.0.1", 4000), i) for i in ids)


def decided(*sides: Side, **more: object) -> tuple[str, str]:
    made: Proposal = propose(sides, **more)  # type: ignore[arg-type]
    return made.side, made.by


def test_two_of_the_same_size_and_age_are_a_tie() -> None:
    assert decided(side("A"), side("B")) == ("", "")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"identity": OURS}, {"identity": APP}, ("A", "identity")),
        ({"members": members((1, 2, 3), version=5)}, {"identity": None}, ("A", "config")),
        ({"identity": LATER}, {"identity": APP}, ("B", "history")),
        ({"clients": sessions("zk1", "0x1", "0x2")}, {"clients": sessions("zk4", "0x3")}, ("A", "clients")),
        ({"clients": sessions("zk1", "0x1", "0x1", "")}, {"clients": sessions("zk4", "0x3")}, ("", "")),
        ({"epoch": 2}, {"epoch": 3}, ("B", "epoch")),
        # the order: an old history comes before clients and a higher epoch
        (
            {"identity": APP, "epoch": 1},
            {"identity": LATER, "epoch": 9, "clients": sessions("zk4", "0x1")},
            ("A", "history"),
        ),
    ],
)
def test_the_first_kind_of_evidence_that_tells_them_apart(
    a: dict[str, object], b: dict[str, object], expected: tuple[str, str]
) -> None:
    assert decided(side("A", **a), side("B", **b)) == expected


def test_equal_identities_prove_nothing() -> None:
    assert decided(side("A", identity=OURS), side("B", identity=OURS)) == ("", "")


def test_what_an_earlier_run_knew_is_ours() -> None:
    both = side("A", identity=OTHERS), side("B", identity=OURS)
    assert decided(*both, remembered={told(OTHERS)}) == ("A", "identity")


def test_a_side_that_was_not_read_is_not_decided_against_by_clients_or_epoch() -> None:
    a, b = side("A", identity=APP, epoch=9, clients=sessions("zk1", "0x1")), side("B")
    assert decided(a, b) == ("A", "history")
    assert decided(a, b, unread={"B"}) == ("", "")
    assert decided(a, side("B", members=members((4, 5), version=7)), unread={"B"}) == ("B", "config")


def test_after_a_merge_whoever_is_a_quorum_comes_before_clients() -> None:
    five = members(range(1, 6))
    few = side("A", ids=(1, 2), members=five, clients=sessions("zk1", "0x1"))
    assert decided(few, side("B", ids=(3, 4, 5), members=five), by_data=True) == ("B", "servers")
