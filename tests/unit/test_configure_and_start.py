"""A new server on a host over SSH: its files and its start are one run of Ansible, unless something must stand between the two.

Nothing is played here: what would be, and what the host is asked, is counted. tests/hosts play it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from zkprov.act.ansible import AnsibleHost
from zkprov.act.play_events import part_of
from zkprov.act.plays import PlayResult, Plays
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy

ONE = ["before-configure", "configure_and_start", "after-start"]
TWO = ["before-configure", "configure", "after-configure", "before-start", "start", "after-start"]


class Told(Plays):
    """Tells what it would play; `refused`: a playbook that fails."""

    refused = ""

    def __init__(self, folder: Path) -> None:
        super().__init__("hosts.yml", playbooks=folder, artifacts=folder)
        self.told: list[str] = []

    def play(self, name: str, *_: Any, **__: Any) -> PlayResult:
        self.told.append(name)
        if name == self.refused:
            raise NotHealthy("data lies there", place="zk1")
        return PlayResult(0)

    def hooks(self, when: str, phase: str, host: str, run: str) -> bool:
        self.told.append(f"{when}-{phase}")
        return True


class Asked:
    """In place of `Connections`; `disabled`: whether the host's server is to stay down."""

    def __init__(self, *, disabled: bool = False) -> None:
        self.disabled, self.asked = disabled, list[str]()

    def run(self, host: InventoryHost, program: str, arguments: Mapping[str, Any], **_: Any) -> Any:
        self.asked.append(str(arguments["act"]))
        return {"ok": self.disabled}


def bring_up(plays: Told, connections: Asked) -> None:
    AnsibleHost(InventoryHost("zk1", "10.0.0.1"), connections, plays).configure_and_start({"myid": "1\n"}, "r1")


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ((), ONE),
        (("before-configure", "after-start.yml"), ONE),
        (("after-configure",), TWO),
        (("before-start.yml",), TWO),
    ],
    ids=lambda x: "-".join(x) or "none",
)
def test_they_are_one_unless_a_hook_stands_between(tmp_path: Path, hooks: tuple[str, ...], told: list[str]) -> None:
    for name in hooks:
        (tmp_path / name).touch()
    plays = Told(tmp_path)
    bring_up(plays, Asked())
    assert plays.told == told


def test_one_that_is_to_stay_down_is_enabled_in_between(tmp_path: Path) -> None:
    plays, connections = Told(tmp_path), Asked(disabled=True)
    bring_up(plays, connections)
    assert plays.told == TWO and connections.asked == ["disabled", "enable"]


@pytest.mark.parametrize("disabled", [True, False])
def test_what_refuses_the_files_enables_nothing(tmp_path: Path, disabled: bool) -> None:
    """A retired server, say, whose data lies there: it must not come back."""
    plays, connections = Told(tmp_path), Asked(disabled=disabled)
    plays.refused = "configure" if disabled else "configure_and_start"
    with pytest.raises(NotHealthy, match="data lies there"):
        bring_up(plays, connections)
    assert connections.asked == ["disabled"]


def test_of_which_playbook_an_event_is() -> None:
    def of(name: str, play: object) -> str:
        return part_of(name, {"event_data": {"play": play}})

    assert [of("configure_and_start", x) for x in ("Configure", "Start")] == ["configure", "start"]
    assert of("configure_and_start", "Somebody's own") == of("configure_and_start", None) == "configure_and_start"
    assert of("release", "Release") == of("release", "Install") == "release" and part_of("stop", {}) == "stop"
