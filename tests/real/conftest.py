"""Real ensembles for tests: each in a folder of its own, ended whatever happens; the downloads are shared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from zkprov.act.processes import end, running_servers
from zkprov.lab.lab import Lab
from zkprov.lab.provision import DEFAULT_RELEASE, provision
from zkprov.model.problems import NotHealthy

MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def software() -> None:
    """ZooKeeper is there. Without a network a developer's run is skipped; in CI that is a failure, for a skip would hide it."""
    try:
        provision(DEFAULT_RELEASE)
    except NotHealthy as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no ZooKeeper to test with: {problem}")


@pytest.fixture
def lab_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's own, for this process and those that it starts; XDG_CACHE_HOME stays as it is."""
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for variable in ("ZKPROV_INVENTORY", "ZKPROV_ENSEMBLE"):
        monkeypatch.delenv(variable, raising=False)
    return state.resolve() / "zkprov" / "labs"


@pytest.fixture
def make_lab(software: None, lab_home: Path) -> Iterator[MakeLab]:
    """`make_lab(servers=3, **Lab.create's keywords) -> Lab` that is up (`start=False`: made only). All end with the test."""
    made = 0

    def make(servers: int = 3, *, name: str = "", start: bool = True, **keywords: Any) -> Lab:
        nonlocal made
        made += 1
        lab = Lab.create(name or f"lab{made}", servers, **keywords)
        ending.callback(lab.down)
        if start:
            lab.up()
        return lab

    with ExitStack() as ending:
        yield make


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No server of this session's folders outlives it: one that does is ended, and fails the run."""
    yield
    ours = f"{tmp_path_factory.getbasetemp().resolve()}/"
    left = [process for process in running_servers() if process.zoo_cfg.startswith(ours)]
    end(left, 0)
    assert not left, f"servers were left running: {[process.zoo_cfg for process in left]}"
