"""A backup over several hosts: sealed on all of them, or on none; told who has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.unit.facts_made import Made, disk_of, healthy, inventory, members
from tests.unit.test_backups import Server
from zkprov.act import backups
from zkprov.act.local import LocalHost
from zkprov.model.facts import Fact, Outcome
from zkprov.model.problems import NotHealthy
from zkprov.run.backing_up import make_backup
from zkprov.run.world import World
from zkprov.shipped.remote import backup as program

NOW = 1_800_000_000.0


class Here:
    """A world whose hosts are folders of this machine, and whose servers are made by hand."""

    def __init__(self, folder: Path, made: Made, count: int) -> None:
        self.made = made
        self.inventory = inventory(count)
        hosts = []
        for host in self.inventory.hosts:
            Server(folder / host.name)
            places = {f"{kind}_dir": str(folder / host.name / kind) for kind in ("config", "data", "data_log")}
            hosts.append(msgspec.structs.replace(host, connection="local", **places))
        self.inventory = msgspec.structs.replace(self.inventory, hosts=tuple(hosts))

    def host(self, name: str) -> LocalHost:
        found = self.inventory.host(name)
        assert found is not None
        return LocalHost(found)

    def survey(self, names: Sequence[str], clients: bool) -> Any:
        assert not clients
        return SimpleNamespace(servers=[self.made.health().picture.survey.by_name(n) for n in names])


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "RESERVE", 0)


def make(world: Here, **more: Any) -> Any:
    return make_backup(cast(World, world), world.made.health(), by="op@host", now=NOW, run="4f1c2a", **more)


def test_on_every_host_and_the_data_of_one(tmp_path: Path) -> None:
    world, around = Here(tmp_path, healthy(3), 4), list[tuple[str, str]]()
    made = make(world, leaving=frozenset({1}), around=lambda when, host: around.append((when, host)))
    assert [(b.host, b.server, b.data) for b in made.backups] == [
        ("zk1", 1, False),
        ("zk2", 2, True),
        ("zk3", 3, False),
    ]
    assert str(made).startswith("20270115T080000Z-4f1c2a: config and epochs of 1, 2, 3, data of 2 up to 0x100000007 (")
    data = made.data
    assert data is not None and len(data.looks) == 2 and data.digests and (data.by, data.run) == ("op@host", "4f1c2a")
    assert around == [("before", f"zk{i}") for i in (1, 2, 3)] + [("after", f"zk{i}") for i in (1, 2, 3)]
    assert backups.listed(world.host("zk4")) == (), "it is no member"


@pytest.mark.parametrize("failing", ["zk1", "zk2"])
def test_what_one_host_cannot_do_is_done_on_none(tmp_path: Path, failing: str) -> None:
    """`zk1` has the data, `zk2` the configs alone."""
    world = Here(tmp_path, healthy(3), 3)
    folder = Path(world.host(failing).host.backups)
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(NotHealthy, match=f"{failing}: .* others may write there"):
        make(world)
    assert not any(backups.listed(world.host(f"zk{i}")) for i in (1, 2, 3))


def test_who_is_down_and_cannot_be_reached_has_none_and_that_is_told(tmp_path: Path) -> None:
    made = healthy(3).down(2).having(2, disk=Fact("disk", Outcome.TIMEOUT, detail="no answer in time"))
    world = Here(tmp_path, made, 3)
    found = make(world)
    assert [b.host for b in found.backups] == ["zk1", "zk3"]
    assert "; none of zk2: disk: no answer in time" in str(found)


def test_who_is_down_has_one_where_its_host_can_be_reached(tmp_path: Path) -> None:
    live = members((1, 2, 3))
    world = Here(tmp_path, healthy(3).down(2).having(2, disk=disk_of(2, live, active=False)), 3)
    assert [b.host for b in make(world).backups] == ["zk1", "zk2", "zk3"]


def test_a_member_that_is_no_host_of_the_inventory_is_told(tmp_path: Path) -> None:
    world = Here(tmp_path, healthy(3), 2)
    assert "; none of 3: no host of the inventory" in str(make(world))
