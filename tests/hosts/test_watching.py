"""Networks that part and heal, watched: a leader that is deposed behind a partition is waited for, and never called a second one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.hosts.conftest import ending_connections
from tests.hosts.machine import Machine
from tests.hosts.machines import Machines
from tests.hosts.operator import QUICK, Operator
from tests.real.driver import Load, mode, wait_for
from tests.real.watch import Watch, leader_of, up_again
from zkprov.model.inventory import InventoryHost

pytestmark = pytest.mark.real

TICK_S, LIMIT_S = 2.0, 12.0
"""ZooKeeper's own: a leader notices after (syncLimit + 1) × tickTime at the latest."""
Cut = Callable[[list[Machine], Random], None]
"""Cuts, of three machines of whom the first leads."""


class Watched:
    """Three machines that are an ensemble, and a watch on them; it sees all of them, whatever is cut between them."""

    def __init__(self, made: Operator, folder: Path) -> None:
        self.machines = made.machines
        zkprov = made.of(3)
        zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
        self.hosts = made.hosts()
        self.watch = Watch(zkprov, folder, interval_s=0.3, timeout_s=2)
        self.watch.after(0, "safe")

    def leader_first(self) -> list[InventoryHost]:
        first = leader_of(self.hosts)
        return [first, *(h for h in self.hosts if h != first)]

    def heal(self) -> None:
        for machine in self.machines:
            machine.heal()


@pytest.fixture(scope="module")
def watched(
    can_have_machines: None, zookeeper_archive: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as ending:
        patch = ending.enter_context(pytest.MonkeyPatch.context())
        ending.enter_context(ending_connections(patch))
        machines = ending.enter_context(Machines(folder / "machines", 3))
        found = Watched(Operator(machines, zookeeper_archive, folder), folder)
        yield found
        found.watch.end()


def leader_cut_off(machines: list[Machine], _: Random) -> None:
    leader, *rest = machines
    leader.partition(*rest)


def leader_unheard(machines: list[Machine], _: Random) -> None:
    """It hears the others, and they do not hear it."""
    leader, *rest = machines
    leader.partition(*rest, way="leaving")


def leader_deaf(machines: list[Machine], _: Random) -> None:
    """The others hear it, and it does not hear them."""
    leader, *rest = machines
    leader.partition(*rest, way="arriving")


def leader_and_one(machines: list[Machine], rng: Random) -> None:
    """They do not see each other, and the third sees both."""
    machines[0].partition(rng.choice(machines[1:]), way=rng.choice(["both", "arriving", "leaving"]))


def follower_cut_off(machines: list[Machine], rng: Random) -> None:
    cut = rng.choice(machines[1:])
    cut.partition(*(m for m in machines if m is not cut), way=rng.choice(["both", "arriving", "leaving"]))


def followers_apart(machines: list[Machine], _: Random) -> None:
    """All see the leader, and the followers not each other."""
    machines[1].partition(machines[2])


def all_apart(machines: list[Machine], _: Random) -> None:
    for machine in machines:
        machine.partition(*(m for m in machines if m is not machine))


CUTS: tuple[Cut, ...] = (
    leader_cut_off,
    leader_unheard,
    leader_deaf,
    leader_and_one,
    follower_cut_off,
    followers_apart,
    all_apart,
)


@pytest.mark.timeout(400)
@pytest.mark.matrix(keep=1, of="false alarms on hosts", among="stories on hosts")
@pytest.mark.parametrize("number", range(2 * len(CUTS)), ids=lambda n: f"{n}-{CUTS[n % len(CUTS)].__name__}")
def test_a_partition_that_heals_is_never_called_an_incident(watched: Watched, number: int, rng: Random) -> None:
    """With a client that writes wherever it can: what a leader without its quorum took, and nobody was told, is lost by right."""
    up_again(watched.hosts)
    hosts = watched.leader_first()
    before = watched.watch.now()
    with Load(hosts, per_s=20) as load:
        try:
            CUTS[number % len(CUTS)]([watched.machines[h.name] for h in hosts], rng)
            parted = time.monotonic()
            # long enough for each side to have noticed, at some instant of whatever it does then
            until = parted + LIMIT_S + 2 * TICK_S * rng.random()
            wait_for(lambda: time.monotonic() > until)
        finally:
            watched.heal()
        up_again(watched.hosts)
        watched.watch.after(len(watched.watch.looks()), "safe")
    waited = watched.watch.called_nothing(before)
    assert all(limit == LIMIT_S and for_s < limit for for_s, limit in waited), waited
    assert load.acknowledged and not any(load.missing(h) for h in hosts if mode(h))
