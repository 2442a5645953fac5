"""`ok-to-stop` and `ok-to-remove` on a real ensemble of five of which one is down: what they say is what happens then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import pytest
from kazoo.exceptions import KazooException

from tests.real.driver import Touched, Zkprov, client, mode, wait_for
from zkprov.act.local import LocalHost
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("ok to")]
DOWN = 5
SUBSETS = [ids for n in range(1, 6) for ids in combinations(range(1, 6), n)]
STAYS_S = 3.0


@pytest.fixture(scope="module")
def five(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    home = tmp_path_factory.mktemp("okto")
    lab = Lab.create("okto", 5, home=home)
    try:
        lab.up()
        LocalHost(lab.host(DOWN)).stop(5)
        up(lab)
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


def up(lab: Lab) -> list[InventoryHost]:
    """All but the one that is down, once they serve."""
    hosts = [h for h in lab.founders if h.id != DOWN]
    wait_for(lambda: sorted(mode(h) for h in hosts) == ["follower"] * 3 + ["leader"], what="a quorum of four")
    return hosts


def each(hosts: list[InventoryHost], act: str, *arguments: float) -> None:
    with ThreadPoolExecutor(len(hosts) or 1) as pool:
        list(pool.map(lambda h: getattr(LocalHost(h), act)(*arguments), hosts))


def writes(host: InventoryHost) -> bool:
    try:
        with client(host) as session:
            session.create("/written", sequence=True)
    except (KazooException, TimeoutError):
        return False
    return True


@pytest.mark.matrix(keep=2)
@pytest.mark.parametrize("ids", SUBSETS, ids=lambda ids: "".join(map(str, ids)))
def test_stopping_comes_to_what_was_said(five: Zkprov, ids: tuple[int, ...]) -> None:
    hosts = up(five.lab)
    touched = Touched(five.lab, "zk1", *hosts)
    asked = five("ok-to-stop", *(f"zk{i}" for i in ids), "--output", "json")
    touched.nothing()
    gone = [h for h in hosts if h.id in ids]
    left = [h for h in hosts if h.id not in ids]
    each(gone, "stop", 5.0)
    try:
        if asked.code == 0:
            assert asked.json["ok"] and asked.json["staying"] == [h.id for h in left]
            wait_for(lambda: any(mode(h) == "leader" for h in left), what="a leader among those that stay")
            assert writes(left[0])
        else:
            asked.expect(3)
            assert not asked.json["ok"] and asked.json["reasons"][0]["rule"] == "R4"
            wait_for(lambda: not any(mode(h) for h in left), what="the end of the quorum")
            ends = time.monotonic() + STAYS_S
            while time.monotonic() < ends:
                assert not any(mode(h) for h in left)
    finally:
        each(gone, "start")
        up(five.lab)


def test_what_people_and_programs_read(five: Zkprov) -> None:
    up(five.lab)
    five("ok-to-stop", "zk5").expect(0, "OK to stop zk5", "1 more may fail", "zk5 is down already")
    five("ok-to-stop", "1", "2").expect(3, "NOT OK to stop zk1, zk2: the live list would have no quorum (R4)", "next")
    five("ok-to-remove", "zk5").expect(0, "OK to remove zk5", "its disk can vote until")
    five("ok-to-remove", "zk5", "zk1", "zk2").expect(3, "without", "too few may fail (R4)")
    five("ok-to-remove", "zk1").expect(3, "without 1 too few may fail (R4)", "may fail before: 1, after: 0")
    told = five("ok-to-remove", "zk1", "zk5", "--output", "json").expect(0).json
    assert told["act"] == "remove" and told["list_after"] == "{2,3,4}" and told["spare_after"] == 1
    connect = ("--connect", ",".join(str(h.client) for h in up(five.lab)))
    five("ok-to-stop", *connect, "3", inventory=False).expect(0, "OK to stop")


@pytest.mark.parametrize(
    ("servers", "words"),
    [
        (["zk55"], ("no server 'zk55'", "did you mean zk5?")),
        (["zk1", "1"], ("the same server twice",)),
        (["--", "-1"], ("no server '-1'",)),
        (["zk1\n;rm -rf /"], ("no server",)),
        ([], ("Missing argument 'SERVER…'",)),
    ],
)
def test_who_is_not_there(five: Zkprov, servers: list[str], words: tuple[str, ...]) -> None:
    for command in ("ok-to-stop", "ok-to-remove"):
        five(command, *servers).expect(2, *words)
