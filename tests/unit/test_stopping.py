"""How a server is ended: told, and by force a tenth of a second later; not where a unit has a way of its own to end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.test_remote_act import host, remote
from zkprov.act.ansible import AnsibleHost
from zkprov.act.hosts import STOP_S
from zkprov.run import acts

__all__ = ["host", "remote"]

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {folder}/asked
case "$1" in
show)
    [ -e {folder}/ended ] && state=inactive || state=active
    echo ActiveState=$state
    [ -n "{command}" ] && echo "ExecStop={command}" ;;
stop) (sleep 0.5; touch {folder}/ended) > /dev/null 2>&1 & ;;
kill) touch {folder}/ended ;;
esac
exit 0
"""


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """`unit(command)`: a unit that runs, and takes half a second to end; what systemctl was asked for lies in the file."""

    def made(command: str) -> Path:
        folder = tmp_path / "systemd"
        folder.mkdir()
        (folder / "systemctl").write_text(SYSTEMCTL.format(folder=folder, command=command))
        (folder / "systemctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder / "asked"

    return made


def killed(asked: Path) -> bool:
    return any(line.startswith("kill --signal=SIGKILL") for line in asked.read_text().splitlines())


def test_a_unit_is_ended_by_force_before_java_has_waited(remote: AnsibleHost, unit: Callable[[str], Path]) -> None:
    asked = unit("")
    remote.stop(STOP_S)
    assert killed(asked)


def test_a_unit_with_a_stop_command_has_its_time(remote: AnsibleHost, unit: Callable[[str], Path]) -> None:
    asked = unit("{ path=/opt/zk/bin/zk ; argv[]=/opt/zk/bin/zk stop ; }")
    remote.stop(STOP_S)
    assert "stop --no-block" in asked.read_text() and not killed(asked)


def test_whether_one_still_runs_is_asked_now_and_then() -> None:
    now, asked = [0.0], list[float]()

    def is_active() -> bool:
        asked.append(now[0])
        return now[0] < 2

    process = acts.Process(SimpleNamespace(is_active=is_active), SimpleNamespace(monotonic=lambda: now[0]))  # type: ignore[arg-type]
    ended = []
    while not ended:
        now[0] += 0.02
        ended = [now[0]] if process.ended() else []
    assert len(asked) <= 5 and 2 <= ended[0] < 2 + acts.ALIVE_S + 0.05
