"""A founding takes all hosts, or none: fences on the disks of this machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zkprov.act.local import LocalHost
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Unreached
from zkprov.run.founding import AGAIN, Founder, _begun


def host(folder: Path, name: str) -> LocalHost:
    at = folder / name
    return LocalHost(
        InventoryHost(name, "127.0.0.1", connection="local", config_dir=f"{at}/conf", data_dir=f"{at}/data",
                      data_log_dir=f"{at}/data", log_dir=f"{at}/log")
    )  # fmt: skip


def founder(run: str) -> Founder:
    conductor: Any = SimpleNamespace(world=None, clock=SimpleNamespace(now=lambda: 7.0), stop=None)
    made: Any = SimpleNamespace(run=run)
    return Founder(conductor, made, lambda line: None)


def test_who_finds_another_gives_back_what_it_took(tmp_path: Path) -> None:
    hosts = [host(tmp_path, f"zk{n}") for n in (1, 2, 3)]
    hosts[2].fence("bootstrap-zk3", 7)
    with pytest.raises(Busy):
        founder("bootstrap-zk1")._fence(hosts)
    assert [h.fenced_by() for h in hosts] == [None, None, "bootstrap-zk3"]
    hosts[2].unfence("bootstrap-zk3", 7)
    founder("bootstrap-zk1")._fence(hosts)
    assert [h.fenced_by() for h in hosts] == ["bootstrap-zk1"] * 3


def test_but_not_what_an_earlier_attempt_had(tmp_path: Path) -> None:
    """Something of it may lie there."""
    hosts = [host(tmp_path, f"zk{n}") for n in (1, 2)]
    hosts[0].fence("bootstrap-zk1", 6)
    hosts[1].fence("another", 1)
    with pytest.raises(Busy):
        founder("bootstrap-zk1")._fence(hosts)
    assert [h.fenced_by() for h in hosts] == ["bootstrap-zk1", "another"]


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (Unreached("not reached", outcome="timeout", place="zk2", remedy="look"), f"look; then {AGAIN}"),
        (NotHealthy("not reached", place="zk2"), AGAIN),
        (
            NotHealthy("not reached", place="zk2", remedy="zkprov bootstrap: it looks again"),
            "zkprov bootstrap: it looks again",
        ),
    ],
)
def test_what_stops_it_once_it_is_begun_leaves_something_standing(wrong: NotHealthy, remedy: str) -> None:
    with pytest.raises(Interrupted) as stopped, _begun():
        raise wrong
    assert (str(stopped.value), stopped.value.remedy, stopped.value.exit_code) == ("zk2: not reached", remedy, 7)
    with pytest.raises(Busy), _begun():
        raise Busy("another has it")
