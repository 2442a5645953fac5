"""New servers take the places of old ones, under load, until nobody of the first three is left; what was theirs elects nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.driver import Load, Sampler, Touched, Zkprov, events_in, lists_on_disk, mode, wait_for
from tests.real.test_remove_node import gone_for_good, kill_follower, leader_of, ledger, members
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("replace node")]
QUICK = ("--yes", "--settle", "0", "--samples", "1", "--drain", "0", "--season", "3s", "--reason", "a lab")


@pytest.mark.matrix(keep=1, of="members that change")
@pytest.mark.timeout(400)
def test_all_three_are_replaced_under_load(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov = Zkprov(lab, tmp_path / "runs")
    old, new = [lab.host(i) for i in (1, 2, 3)], [lab.host(i) for i in (4, 5, 6)]
    handed_over = 0
    with Load([*old, *new], per_s=50) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 50)
        sampler.epochs.clear()  # a leader without a transaction tells the epoch before its own
        for leaves, comes in zip(old, new, strict=True):
            handed_over += leader_of([*old, *new]) == leaves
            zkprov("replace-node", str(leaves.id), comes.name, *QUICK).expect(0, "one quorum", "is seasoned (3 s)")
    assert all(len(set(names)) <= 2 for names in sampler.leaders)
    assert len(sampler.epochs) - 1 <= handed_over, "an election beyond the hand-overs"
    assert handed_over >= 1
    for host in new:
        assert members(host) == {4, 5, 6} and not load.missing(host)
    assert len({lists_on_disk(h) for h in new}) == 1
    for host in old:
        gone_for_good(host, *new)
    zkprov("check").expect(0)
    zkprov("prove").expect(0)

    # all that was theirs is put back, and started by hand: they elect nobody
    for host in old:
        aside = ledger(new[0], f"retired/{host.id}")["where"].rpartition(".retired-")[2]
        for folder in (host.config_dir, host.data_dir):
            Path(f"{folder}.retired-{aside}").rename(folder)
        LocalHost(host).enable()
        LocalHost(host).start()
    with Sampler(lab) as sampler:
        wait_for(lambda: len(sampler.leaders) > 30, what="three seconds of it")
        zkprov("status").expect(0, "SAFE")
    assert all(set(names) <= {h.name for h in new} for names in sampler.leaders), sampler.leaders
    for host in old:
        LocalHost(host).stop(5)


@pytest.mark.matrix(keep=1, of="members that change")
def test_a_dead_one_is_replaced_out_first(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(3)
    zkprov, events = Zkprov(lab, tmp_path / "runs"), tmp_path / "events.jsonl"
    leader_of(list(lab.founders))
    dead = kill_follower(lab)
    rest = [h for h in lab.founders if h != dead]
    zkprov("add-node", "zk4", "--yes").expect(3, "R4")
    zkprov("replace-node", dead.name, "zk4", *QUICK, "--events", str(events)).expect(0, f"{dead.id} is down")
    begun = [e["evidence"]["step"] for e in events_in(events) if e["kind"] == "step.begun"]
    assert begun[0] in {f"backup {h.id}" for h in rest}
    assert begun[1:] == [f"remove {dead.id}", f"retire {dead.id}", "start 4", "admit 4", "promote 4"]
    new = lab.host(4)
    assert members(*rest) == {*(h.id for h in rest), 4} == members(new)
    gone_for_good(dead, *rest)
    zkprov("check").expect(0)


@pytest.mark.matrix(keep=1, of="members that change")
def test_one_that_is_alone_is_replaced(make_lab: Any, tmp_path: Path) -> None:
    lab = make_lab(1)
    zkprov = Zkprov(lab, tmp_path / "runs")
    with Load([lab.host(1), lab.host(2)], per_s=20) as load:
        zkprov("replace-node", "zk1", "zk2", *QUICK).expect(0, "done: {2}")
    new = lab.host(2)
    assert mode(new) == "leader" and members(new) == {2} and not load.missing(new)
    gone_for_good(lab.host(1), new)


@pytest.fixture(scope="module")
def three(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("replaced")
    lab = Lab.create("replaced", 3, home=home)
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


@pytest.mark.matrix(keep=3, of="changes that are refused")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("zk1", "zk1"), 2, ("zk1 is zk1: a server is not replaced by itself",)),
        (("1", "zk1"), 2, ("a server is not replaced by itself",)),
        (("zk1", "zk2"), 2, ("zk2 is a member already",)),
        (("zk5", "zk4"), 2, ("zk5 is no member of {1,2,3}",)),
        (("zk1", "zk77"), 2, ("no host 'zk77'",)),
        (("zk77", "zk4"), 2, ("no server 'zk77'",)),
        (("zk1",), 2, ("name NEW, or say --same-host",)),
        (("zk1", "zk4", "--same-host"), 2, ("name NEW, or say --same-host",)),
        (("zk1", "--same-host"), 3, ("zk1 is not down",)),
        (("zk4", "--same-host"), 2, ("zk4 is no member of {1,2,3}",)),
        (("zk1", "zk4", "--season", "3s"), 2, ("needs a reason",)),
        (("zk1", "zk4\n;id"), 2, ("no host",)),
    ],
)
def test_refused(three: Zkprov, arguments: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    touched = Touched(three.lab, "zk4")
    three("replace-node", *arguments, "--yes").expect(code, *words)
    touched.nothing()


@pytest.mark.matrix(keep=3, of="changes that are refused")
def test_a_plan_shows_all_of_it(three: Zkprov, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    three("plan", "replace", "zk1", "zk4", "--out", str(plan), "--detailed-exitcode").expect(
        10, "promote 4", "until 4 is seasoned (15 min)", "remove 1", "retire 1: stop, disable, set aside"
    )
    told = three("plan", "replace", "zk1", "zk4", "--output", "json").expect(0).json["plan"]
    assert told["kind"] == "replace"
    assert told["leavers"][0]["host"] == "zk1" and told["joiners"][0]["host"] == "zk4"
