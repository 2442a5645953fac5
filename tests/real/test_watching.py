"""A watch on real servers: what looks like a second ensemble for a moment is never called one, and what is one is seen at once."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

import pytest

from tests.real.driver import QUICK, Load, Zkprov, client, mode, wait_for
from tests.real.watch import Watch, leader_of, up_again
from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.lab.outage import freeze, kill, thaw

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("watching")]

SEEN_WITHIN_S = 2.0
"""From its first answer as a leader on: with an interval of 1 s, on a machine that has time for it."""
LOADED = 3
"""Times as long, where other tests have the machine's cores: the figure itself is `bench/watch.py`'s."""


@pytest.fixture(scope="module")
def watched(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Zkprov, Watch]]:
    """Three servers that answer quickly, and a watch on them."""
    home = tmp_path_factory.mktemp("watched")
    lab = Lab.create("watched", 3, home=home, tick_ms=500)
    try:
        lab.up()
        with client(*lab.founders) as session:
            for path in ("/app", "/app/a", "/app/b"):
                session.create(path, b"x")
        zkprov = Zkprov(lab, home / "runs")
        watch = Watch(zkprov, home)
        watch.after(0, "safe")
        yield zkprov, watch
        watch.end()
    finally:
        lab.down()


def carried_out(zkprov: Zkprov, *command: str) -> None:
    """What this busy machine holds up (a look that comes too late, exit 4) is tried again, and what stands begun is resumed."""

    def done() -> bool:
        ended = zkprov(*command)
        if ended.code == 7:
            ended = zkprov("resume")
        assert ended.code in (0, 4, 7), ended
        return ended.code == 0

    wait_for(done, 120, f"the end of {command}")


def rolling_restart(zkprov: Zkprov, _: random.Random, __: bool) -> None:
    carried_out(zkprov, "restart", *QUICK)


def add_and_remove(zkprov: Zkprov, _: random.Random, __: bool) -> None:
    carried_out(zkprov, "add-node", "zk4", *QUICK)
    carried_out(zkprov, "remove-node", "zk4", *QUICK)
    carried_out(zkprov, "retired", "attest", "4", "--wiped", "--reason", "a test")


def leader_killed(zkprov: Zkprov, _: random.Random, __: bool) -> None:
    killed = leader_of(zkprov.lab.founders)
    kill(zkprov.lab, killed.id or 0)
    wait_for(lambda: any(mode(h) == "leader" for h in zkprov.lab.founders if h != killed), what="another leader")
    LocalHost(killed).start()


def paused(zkprov: Zkprov, rng: random.Random, whole: bool) -> None:
    """A server that stands still for longer than its limits, and goes on: a deposed leader that has not noticed yet."""
    host = leader_of(zkprov.lab.founders) if rng.random() < 0.7 else rng.choice(zkprov.lab.founders)
    others = [h for h in zkprov.lab.founders if h != host]
    freeze(zkprov.lab, host.id or 0)
    frozen = time.monotonic()
    try:
        wait_for(lambda: any(mode(h) == "leader" for h in others), what="a leader among the others")
        wait_for(lambda: time.monotonic() - frozen > (20 if whole else 3), 30)
    finally:
        thaw(zkprov.lab, host.id or 0)


def cut_off(zkprov: Zkprov, rng: random.Random, whole: bool) -> None:
    """A majority stands still, as behind a partition, until the one that is left serves no more; then the network heals."""
    left = rng.choice(zkprov.lab.founders)
    others = [h for h in zkprov.lab.founders if h != left]
    for host in others:
        freeze(zkprov.lab, host.id or 0)
    try:
        wait_for(lambda: not mode(left), 30, "one that serves nobody")
    finally:
        for host in others:
            thaw(zkprov.lab, host.id or 0)


ROUNDS = (rolling_restart, leader_killed, paused, add_and_remove, cut_off)


@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("number", range(50), ids=lambda n: f"{n}-{ROUNDS[n % len(ROUNDS)].__name__}")
def test_a_moment_is_never_called_an_incident(
    watched: tuple[Zkprov, Watch], number: int, rng: random.Random, request: pytest.FixtureRequest
) -> None:
    zkprov, watch = watched
    up_again(zkprov.lab.founders)
    before = watch.now()
    with Load(zkprov.lab.founders, per_s=50) as load:
        ROUNDS[number % len(ROUNDS)](zkprov, rng, request.config.option.whole)
        up_again(zkprov.lab.founders)
        # a digest that a server counted as another than it should be is cleared by an equal one, one every 128 transactions
        watch.after(len(watch.looks()), "safe")
    watch.called_nothing(before)
    assert load.acknowledged


def test_trees_that_are_written_to_are_told_to_be_equal(watched: tuple[Zkprov, Watch]) -> None:
    zkprov, _ = watched
    up_again(zkprov.lab.founders)
    with Load(zkprov.lab.founders):
        found = zkprov("check", "--trees", "--output", "json").expect(0).json
    trees = found["trees"]
    assert trees["servers"] == ["zk1", "zk2", "zk3"] and trees["znodes"] > 3
    assert trees["differences"] == [] and trees["problems"] == [] and found["incidents"] == []


def test_a_second_leader_is_seen_told_and_counted(watched: tuple[Zkprov, Watch]) -> None:
    """A host of the inventory leads an ensemble of its own."""
    zkprov, watch = watched
    up_again(zkprov.lab.founders)
    host = zkprov.lab.host(5)
    local = LocalHost(host)
    local.fence("other")
    local.configure(founding.founders_files(host, [host]), "other")
    local.unfence("other")
    before = len(watch.looks())
    local.start()
    try:
        wait_for(lambda: mode(host) == "leader", what="a second leader")
        served = time.time()
        look = watch.after(before, "unsafe")
        assert time.time() - served < LOADED * SEEN_WITHIN_S
        assert [i["shape"] for i in look["incidents"]] == ["lonely"]
        (incident,) = look["incidents"]
        assert [s["ids"] for s in incident["sides"]] == [[1, 2, 3], [5]]
        wait_for(lambda: watch.told.exists() and watch.told.read_text().count('"unsafe"') > 0, 10, "a notification")
        (told,) = [x for line in watch.told.read_text().splitlines() if (x := json.loads(line))["verdict"] == "unsafe"]
        assert told["was"] == "safe" and told["incidents"] == ["lonely"] and told["ensemble"] == zkprov.lab.name
        wait_for(
            lambda: f'zkprov_incident{{ensemble="{zkprov.lab.name}",shape="lonely"}} 1.0' in watch.metrics.read_text(),
            10,
            "the figure",
        )
        plugin = zkprov("check", "--output", "nagios").expect(2)
        assert plugin.out.startswith("ZOOKEEPER CRITICAL - ") and "lonely: two leaders" in plugin.out.splitlines()[0]
    finally:
        local.stop(0)
        local.set_aside("lonely")
    watch.after(len(watch.looks()), "safe")
    assert zkprov("check", "--output", "nagios").expect(0).out.startswith("ZOOKEEPER OK - ")
