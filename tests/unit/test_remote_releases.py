"""The releases of a host reached over SSH: what lies there, what the unit starts, and what it is switched to, by the program itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.test_remote_act import Here
from zkprov.act import ansible
from zkprov.act.ansible import AnsibleHost
from zkprov.act.plays import PlayResult, Plays
from zkprov.model.inventory import InventoryHost, ReleaseSource
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy, NotSwitchable
from zkprov.run.switching import lying

SUM = "ab" * 64


class Told(Plays):
    """What would be played."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "inventory"), artifacts=folder / "artifacts")
        self.played: list[tuple[str, Mapping[str, Any]]] = []

    def play(self, name: str, host: str, extra: Any = None, files: Any = None, **_: Any) -> PlayResult:
        self.played.append((name, extra))
        return PlayResult(1)


@pytest.fixture
def plays(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def host(tmp_path: Path) -> InventoryHost:
    folders = {f"{kind}_dir": str(tmp_path / "zk1" / kind) for kind in ("config", "data", "data_log", "log", "install")}
    known = {"3.9.5": ReleaseSource(archive="/srv/nine.tar.gz", sha512=SUM)}
    return InventoryHost(
        name="zk1", address="127.0.0.1", id=1, release="3.8.6", archive="/srv/eight.tar.gz", releases=known, **folders
    )


@pytest.fixture
def remote(host: InventoryHost, plays: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnsibleHost:
    monkeypatch.setattr(ansible, "CONTROL", str(tmp_path / "control"))
    return AnsibleHost(host, Here(), plays)


@pytest.fixture
def lay(host: InventoryHost) -> Callable[..., None]:
    """`lay(release, current=False)`; without `jars` a folder that is none."""

    def laid(release: str, *, current: bool = False, jars: bool = True) -> None:
        folder = Path(host.install_dir) / f"apache-zookeeper-{release}-bin"
        (folder / "lib").mkdir(parents=True)
        if jars:
            (folder / "lib" / "zookeeper.jar").touch()
        if current:
            (Path(host.install_dir) / "current").symlink_to(folder.name)

    return laid


@pytest.fixture
def unit(host: InventoryHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`unit(words, state="inactive")`: what systemd says of it."""
    said = tmp_path / "said"
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(f"#!/bin/sh\nexec cat {said}\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    def write(words: str, state: str = "inactive") -> None:
        said.write_text(f"ExecStart={{ path=/usr/bin/java ; argv[]={words} ; }}\nActiveState={state}\n")

    write(f"java -cp {host.install_dir}/current/lib/*:/etc/zk Main /etc/zk/zoo.cfg")
    return write


@pytest.mark.usefixtures("unit")
def test_what_lies_there_is_told_oldest_first(remote: AnsibleHost, lay: Callable[..., None]) -> None:
    assert remote.releases() == () and remote.current() == ""
    for release in ("3.10.1", "3.9.5", "3.8.6", "3.9.5-rc1"):
        lay(release)
    lay("3.7.2", jars=False)
    assert remote.releases() == ("3.8.6", "3.9.5", "3.10.1") and remote.current() == ""


def test_it_is_switched_while_nothing_runs(
    remote: AnsibleHost, lay: Callable[..., None], unit: Callable[..., None], host: InventoryHost
) -> None:
    lay("3.8.6", current=True)
    lay("3.9.5")
    lay("3.7.2", jars=False)
    # what a switch that was cut off has left
    (Path(host.install_dir) / ".current-next").symlink_to("apache-zookeeper-3.7.2-bin")
    remote.fence("r1", 1)
    for release in ("3.7.2", "3.6.4"):
        with pytest.raises(NotHealthy, match=rf"ZooKeeper {release} is not in .*install") as caught:
            remote.switch(release, "r1", 1)
        assert "release.yml" in caught.value.remedy
    for _ in range(2):
        remote.switch("3.9.5", "r1", 1)
        assert remote.current() == "3.9.5"
    assert sorted(p.name for p in Path(host.install_dir).glob("*curr*")) == ["current"]
    unit(f"java -cp {host.install_dir}/current/lib/*", "active")
    with pytest.raises(NotHealthy, match="a server is running here"):
        remote.switch("3.8.6", "r1", 1)
    assert remote.current() == "3.9.5"


def test_a_current_that_is_no_link_is_left(
    remote: AnsibleHost, lay: Callable[..., None], unit: Callable[..., None], host: InventoryHost
) -> None:
    lay("3.9.5")
    (Path(host.install_dir) / "current").mkdir()
    with pytest.raises(NotHealthy, match=r"current is no link"):
        remote.switch("3.9.5", "", 0)
    assert remote.current() == ""


@pytest.mark.usefixtures("unit")
def test_only_whoever_has_the_host(remote: AnsibleHost, lay: Callable[..., None], plays: Told) -> None:
    lay("3.8.6", current=True)
    lay("3.9.5")
    remote.fence("r1", 1)
    for act in (remote.lay_release, remote.switch):
        with pytest.raises(Busy):
            act("3.9.5", "r2")
        with pytest.raises(Interrupted):
            act("3.9.5", "r1", 0)
    assert remote.current() == "3.8.6" and not plays.played


@pytest.mark.usefixtures("unit")
def test_what_lies_there_is_not_laid_again(remote: AnsibleHost, lay: Callable[..., None], plays: Told) -> None:
    lay("3.7.2")
    remote.fence("r1")
    remote.lay_release("3.7.2", "r1")
    assert not plays.played
    with pytest.raises(BadInput, match=r"nothing says where 3\.6\.4 comes from") as caught:
        remote.lay_release("3.6.4", "r1")
    assert "zkprov_releases, as 3.6.4: {archive" in caught.value.remedy and not plays.played
    for release in ("3.9.5", "3.8.6"):
        remote.lay_release(release, "r1")
    assert [(name, extra["zkprov_release"], extra["zkprov_run"]) for name, extra in plays.played] == [
        ("release", "3.9.5", "r1"),
        ("release", "3.8.6", "r1"),
    ]
    # by which the playbook finds the first, and the second
    extra = plays.played[0][1]
    assert extra["zkprov_releases"] == {"3.9.5": {"archive": "/srv/nine.tar.gz", "sha512": SUM}}
    assert extra["zkprov_archive"] == "/srv/eight.tar.gz"


@pytest.mark.parametrize(
    "words",
    [
        "/srv/zk/bin/zkServer.sh start",
        "java -cp {install}/apache-zookeeper-3.8.6-bin/lib/*",
        "java -cp {install}/currently/*",
        "",
    ],
)
def test_a_unit_that_starts_something_else_is_not_switched(
    remote: AnsibleHost, lay: Callable[..., None], unit: Callable[..., None], host: InventoryHost, words: str
) -> None:
    lay("3.8.6", current=True)
    unit(words.format(install=host.install_dir))
    acts: tuple[Callable[[], object], ...] = (
        remote.releases,
        remote.current,
        lambda: remote.lay_release("3.8.6", ""),
        lambda: remote.switch("3.8.6", ""),
    )
    for act in acts:
        with pytest.raises(
            NotSwitchable, match=r"zookeeper\.service does not start what lies in .*install/current"
        ) as caught:
            act()
        assert caught.value.exit_code == 4 and "zkprov_unit" in caught.value.remedy


@pytest.mark.parametrize("more", [{"classpath": "/srv/zk/lib/*"}, {"start_command": "x", "is_active_command": "true"}])
def test_what_the_inventory_says_is_elsewhere_is_not_asked(
    remote: AnsibleHost, host: InventoryHost, plays: Told, more: dict[str, str]
) -> None:
    own = AnsibleHost(msgspec.structs.replace(host, **more), Here(), plays)
    for act in (own.lay_release, own.switch):
        with pytest.raises(NotSwitchable, match=f"zkprov_{next(iter(more))}") as caught:
            act("3.9.5", "r1")
        assert "your own commands" in caught.value.remedy
    for told in (own.releases, own.current):
        with pytest.raises(NotSwitchable):
            told()


def test_a_host_without_systemd(remote: AnsibleHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotSwitchable, match=r"zookeeper\.service does not start"):
        remote.releases()


def test_whoever_plans_is_told_of_each_host(
    remote: AnsibleHost, lay: Callable[..., None], unit: Callable[..., None], host: InventoryHost, plays: Told
) -> None:
    lay("3.8.6", current=True)
    hosts = {
        "zk1": remote,
        "zk2": AnsibleHost(msgspec.structs.replace(host, name="zk2", install_dir="/opt/other"), Here(), plays),
        "zk3": AnsibleHost(msgspec.structs.replace(host, name="zk3", classpath="/z/*"), Here(), plays),
    }

    class World:
        class inventory:
            @staticmethod
            def host(name: str) -> InventoryHost | None:
                return hosts[name].host if name in hosts else None

        @staticmethod
        def host(name: str) -> AnsibleHost:
            return hosts[name]

    laid, fixed = lying(World(), ["zk1", "zk2", "zk3", "zk4"])  # type: ignore[arg-type]
    assert laid == {"zk1": ("3.8.6",)} and list(fixed) == ["zk2"]
    assert "does not start what lies in /opt/other/current" in fixed["zk2"] and "zkprov_install_dir" in fixed["zk2"]
