"""Machines for tests: a set takes a second or two, so a test that changes one has a set of its own."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.hosts.archive import archive
from tests.hosts.base import Missing, base
from tests.hosts.cuts import Scene
from tests.hosts.machines import Machines
from tests.hosts.operator import QUICK, Operator
from zkprov.model.problems import NotHealthy

MakeMachines = Callable[..., Machines]


@pytest.fixture(scope="session")
def can_have_machines() -> None:
    """The packages and the base are there. Elsewhere than in CI a test without them is skipped, and told at the end of a run."""
    try:
        base()
    except Missing as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


@pytest.fixture
def make_machines(can_have_machines: None, tmp_path: Path) -> Iterator[MakeMachines]:
    """`make_machines(count=3, prefix="zk") -> Machines` that are up; they end with the test."""
    made = 0

    def make(count: int = 3, *, prefix: str = "zk") -> Machines:
        nonlocal made
        made += 1
        return ending.enter_context(Machines(tmp_path / f"machines{made}", count, prefix=prefix))

    with ExitStack() as ending:
        yield make


@pytest.fixture(scope="session")
def shared_machines(can_have_machines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Three for all tests that only look, or leave them as they were."""
    with Machines(tmp_path_factory.mktemp("machines"), 3) as machines:
        yield machines


@pytest.fixture(scope="session")
def zookeeper_archive() -> tuple[Path, str]:
    """(path, SHA-512) of ZooKeeper's binary archive. Without a network a developer's run is skipped; in CI it fails."""
    try:
        return archive()
    except NotHealthy as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no ZooKeeper to test with: {problem}")


@pytest.fixture
def operator(
    make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], tmp_path: Path
) -> Callable[[int], Operator]:
    return lambda count: Operator(make_machines(count), zookeeper_archive, tmp_path)


@pytest.fixture(scope="session")
def machines_to_cut(can_have_machines: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Four, whose disks are kept as they are: `bare`."""
    with Machines(tmp_path_factory.mktemp("cut"), 4) as machines:
        for machine in machines:
            machine.power_cut()
            machine.keep_disk("bare")
        yield machines


@pytest.fixture(scope="session")
def three_members(
    machines_to_cut: Machines, zookeeper_archive: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of those disks when three of the four are members."""
    folder, name = tmp_path_factory.mktemp("three"), "three members"
    _boot(machines_to_cut, "bare")
    with pytest.MonkeyPatch.context() as patch, ending_connections(patch):
        Operator(machines_to_cut, zookeeper_archive, folder).of(3)("bootstrap", *QUICK, timeout_s=300).expect(0)
    for machine in machines_to_cut:
        machine.power_cut()
        machine.keep_disk(name)
    return name


def _boot(machines: Machines, disks: str) -> None:
    for machine in machines:
        machine.bring_back(disks, wait=False)
    for machine in machines:
        machine.wait_until_up()


@pytest.fixture
def make_scene(
    machines_to_cut: Machines, zookeeper_archive: tuple[Path, str], tmp_path: Path, rng: random.Random
) -> Iterator[Callable[..., Scene]]:
    """`make_scene(disks, count=, members=) -> Scene`: the machines with those disks; `count` of them are in the inventory."""

    def make(disks: str, *, count: int, members: int) -> Scene:
        _boot(machines_to_cut, disks)
        scene = Scene(machines_to_cut, zookeeper_archive, tmp_path, rng, count=count, members=members)
        return ending.enter_context(scene)

    with ExitStack() as ending:
        yield make


@pytest.fixture(autouse=True)
def no_connection_outlives_a_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ending_connections(monkeypatch):
        yield


@contextmanager
def ending_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ansible's connections are shared by plays, and would linger for a minute."""
    with tempfile.TemporaryDirectory(prefix="zkp-") as folder:
        monkeypatch.setenv("ANSIBLE_SSH_CONTROL_PATH_DIR", folder)
        yield
        for path in Path(folder).iterdir():
            subprocess.run(["ssh", "-q", "-O", "exit", "-o", f"ControlPath={path}", "any"], check=False)
