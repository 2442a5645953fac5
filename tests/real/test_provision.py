"""What a lab is made of: fetched once, compared with its checksums before each use, and a clear word when it cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zkprov.act.processes import running_servers
from zkprov.lab import default_lab, faststart, provision
from zkprov.lab.home import cache_home
from zkprov.lab.lab import Lab
from zkprov.lab.provision import DEFAULT_RELEASE
from zkprov.model.problems import BadInput, NotHealthy

pytestmark = pytest.mark.real


@pytest.fixture
def copied_cache(software: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, with what the shared one holds."""
    for part in ("maven", "releases"):
        shutil.copytree(cache_home() / part, tmp_path / "cache" / "zkprov" / part)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "zkprov"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)


def test_a_damaged_jar_is_fetched_again(copied_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = provision.provision()
    assert "downloading" not in capsys.readouterr().err, "all was in the cache"
    jar = next(p for p in map(Path, whole.classpath.split(":")) if p.name == f"zookeeper-{DEFAULT_RELEASE}.jar")
    content = jar.read_bytes()
    assert str(copied_cache) in str(jar)

    for damaged in (content[: len(content) // 2], content[:-1] + bytes([content[-1] ^ 1]), b""):
        jar.write_bytes(damaged)
        assert provision.provision() == whole
        assert jar.read_bytes() == content
    captured = capsys.readouterr()
    assert captured.err.count("downloading") == 3 and captured.out == ""


@pytest.mark.usefixtures("no_network")
def test_what_is_in_the_cache_needs_no_network(copied_cache: Path) -> None:
    assert provision.provision().release == DEFAULT_RELEASE


@pytest.mark.usefixtures("no_network")
def test_offline_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotHealthy, match="Maven Central cannot be reached") as caught:
        provision.provision()
    assert "network" in caught.value.remedy


@pytest.mark.usefixtures("software")
def test_a_release_that_is_not_there() -> None:
    with pytest.raises(BadInput, match=r"--release: ZooKeeper 3\.9\.98 cannot be had"):
        provision.provision("3.9.98")


@pytest.mark.parametrize("release", ["", "3.9", "latest", "3.9.5;rm", "4.0.0", "3.4.14", "3.9.5\n", "../3.9.5"])
def test_what_is_no_release(release: str) -> None:
    with pytest.raises(BadInput, match="--release"):
        provision.provision(release)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zkprov").write_text("a file where a folder is wanted")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotHealthy, match="cannot keep the download"):
        provision.provision()


@pytest.mark.usefixtures("lab_home")
def test_the_fast_start_is_prepared_once_and_again_when_it_is_damaged(
    copied_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "preparing"
    software = provision.provision()
    flags = ("-Xmx80m", "-XX:+UseSerialGC")
    made = faststart.fast_start(software, flags, folder)
    cache = Path(made[0].removeprefix("-XX:AOTCache="))
    assert cache.stat().st_size > 1_000_000 and copied_cache in cache.parents
    assert faststart.fast_start(software, flags, folder) == made
    assert capsys.readouterr().err.count("preparing") == 1

    os.truncate(cache, 1000)
    assert faststart.fast_start(software, flags, folder) == made
    assert cache.stat().st_size > 1_000_000
    assert capsys.readouterr().err.count("preparing") == 1
    assert not folder.exists()


def test_a_preparation_that_is_killed_is_ended_by_down(copied_cache: Path, lab_home: Path) -> None:
    code = "from zkprov.cli.lab import lab; lab()"
    command = subprocess.Popen([sys.executable, "-c", code, "up", "--servers", "1"], stderr=subprocess.DEVNULL)
    try:
        while not (running := [p for p in running_servers() if p.zoo_cfg.startswith(f"{lab_home}/lab/preparing/")]):
            assert command.poll() is None
        command.kill()
        command.wait()
        assert len(running) >= 1 and default_lab() is None
    finally:
        command.kill()
        command.wait()
        for lab in Lab.list():
            lab.down()
    assert not any(p.zoo_cfg.startswith(f"{lab_home}/") for p in running_servers())
    assert list(lab_home.iterdir()) == []
