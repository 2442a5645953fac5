"""The module that unpacks a release: what it refuses before it writes anything, and what it leaves when it is cut off."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from zkprov.shipped import shipped

TOP = "apache-zookeeper-3.9.5-bin"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As Ansible runs it on a host, beside its own copy of what our modules share."""
    here = shipped("playbooks")
    return _loaded(
        "zkprov_release",
        here / "library" / "zkprov_release.py",
        monkeypatch,
        *(
            (f"ansible.module_utils.{n}", here / "module_utils" / f"{n}.py")
            for n in ("zkprov_stands", "zkprov_releases")
        ),
    )


def _loaded(name: str, path: Path, patch: pytest.MonkeyPatch, *beside: tuple[str, Path]) -> ModuleType:
    for other, file in beside:
        patch.setitem(sys.modules, other, _loaded(other, file, patch))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(tmp_path: Path, archive: Path | None, **other: Any) -> dict[str, Any]:
    (tmp_path / "opt").mkdir(exist_ok=True)
    return {
        "install_dir": str(tmp_path / "opt"),
        "release": "3.9.5",
        "config_dir": str(tmp_path / "config"),
        "unit": "zkprov-no-such-unit",
        "archive": str(archive or ""),
        "sha512": hashlib.sha512(archive.read_bytes()).hexdigest() if archive else "",
        "keyring": "",
        "current": True,
        "size": archive.stat().st_size if archive else 0,
        "sent": {"archive": str(archive)} if archive else None,
        **other,
    }


def install(module: ModuleType, p: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = module.install(SimpleNamespace(params=p, check_mode=False))
    return result


def tarball(path: Path, *members: tuple[str, str], lib: str = f"{TOP}/lib/zookeeper.jar") -> Path:
    """(name, content), or `-> target` for a link, `=> target` for a hard one, `!` for a pipe."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in ((lib, "jar"), *members):
            entry = tarfile.TarInfo(name)
            entry.mode = 0o6777
            if content[:1] == "!":
                entry.type = tarfile.FIFOTYPE
            elif content[:3] in ("-> ", "=> "):
                entry.type = tarfile.SYMTYPE if content[0] == "-" else tarfile.LNKTYPE
                entry.linkname = content[3:]
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return path


def test_a_release_is_laid_beside_others(module: ModuleType, tmp_path: Path) -> None:
    p = parameters(tmp_path, tarball(tmp_path / "a.tgz", (f"{TOP}/bin/x", "x")))
    (tmp_path / "opt" / "apache-zookeeper-3.8.6-bin").mkdir()
    (tmp_path / "opt" / ".unpacking-cut-off").mkdir()
    (tmp_path / "opt" / TOP / "lib").mkdir(parents=True)
    assert install(module, p)["changed"] is True
    assert install(module, {**p, "archive": "", "sent": None})["changed"] is False, "what is there needs no archive"
    assert sorted(f.name for f in (tmp_path / "opt").iterdir()) == ["apache-zookeeper-3.8.6-bin", TOP, "current"]
    assert (tmp_path / "opt" / "current").resolve().name == TOP
    assert (tmp_path / "opt" / TOP / "bin" / "x").stat().st_mode & 0o7777 == 0o755, "no set-user-id comes along"


def test_one_is_laid_beside_what_runs(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `release.yml` asks for it: whatever runs, and whatever `current` leads to."""
    p = parameters(tmp_path, tarball(tmp_path / "a.tgz"), current=False)
    (tmp_path / "opt" / "apache-zookeeper-3.8.6-bin").mkdir()
    (tmp_path / "opt" / "current").symlink_to("apache-zookeeper-3.8.6-bin")
    monkeypatch.setattr(module, "at_rest", lambda *_: False)
    assert [install(module, p)["changed"] for _ in range(2)] == [True, False]
    assert (tmp_path / "opt" / TOP / "lib" / "zookeeper.jar").read_text() == "jar"
    assert (tmp_path / "opt" / "current").resolve().name == "apache-zookeeper-3.8.6-bin"
    with pytest.raises(module.Problem, match="no release is named"):
        install(module, {**p, "release": ""})


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", "x"),
        ("/evil", "x"),
        (f"{TOP}/../../evil", "x"),
        (f"{TOP}/lib/../x", "x"),
        (f"{TOP}x/evil", "x"),
        ("elsewhere/evil", "x"),
        (f"{TOP}/link", "-> /etc"),
        (f"{TOP}/link", "-> ../../etc"),
        (f"{TOP}/link", "-> lib"),
        (f"{TOP}/link", "=> /etc/passwd"),
        (f"{TOP}/link", f"=> {TOP}/lib/zookeeper.jar"),
        (f"{TOP}/pipe", "!"),
    ],
    ids=lambda member: f"{member[0]} {member[1]}",
)
def test_nothing_of_an_archive_that_climbs_out_is_written(
    module: ModuleType, tmp_path: Path, member: tuple[str, str]
) -> None:
    p = parameters(tmp_path, tarball(tmp_path / "a.tgz", member))
    with pytest.raises(module.Problem, match="which does not belong into"):
        install(module, p)
    assert list((tmp_path / "opt").iterdir()) == []
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.tgz", "opt"]


def test_archives_that_are_none(module: ModuleType, tmp_path: Path) -> None:
    cut, odd, empty = (tmp_path / name for name in ("cut", "odd", "empty"))
    cut.write_bytes(tarball(tmp_path / "a.tgz", (f"{TOP}/x", "x" * 9000)).read_bytes()[:-60])
    odd.write_bytes(b"no archive at all")
    tarball(empty, lib=f"{TOP}/README")
    for path, what in ((cut, "cannot be read"), (odd, "cannot be read"), (empty, "has no .*/lib with jars")):
        with pytest.raises(module.Problem, match=what):
            install(module, parameters(tmp_path, path))
        assert list((tmp_path / "opt").iterdir()) == []


def test_what_is_not_vouched_for(module: ModuleType, tmp_path: Path) -> None:
    path = tarball(tmp_path / "a.tgz")
    with pytest.raises(module.Problem, match="is not what its sha512 in the inventory says"):
        install(module, parameters(tmp_path, path, sha512="0" * 128))
    with pytest.raises(module.Problem, match="nothing says what is right"):
        install(module, parameters(tmp_path, path, sha512=""))
    with pytest.raises(module.Problem, match=r"ZooKeeper 3\.9\.5 is not in"):
        install(module, parameters(tmp_path, None))
    assert list((tmp_path / "opt").iterdir()) == []


def test_what_there_is_no_room_for(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tarball(tmp_path / "a.tgz")
    with pytest.raises(module.Problem, match=r"not enough space at .*/opt: "):
        install(module, parameters(tmp_path, path, size=10**15))
    monkeypatch.setattr(module, "MOST", 2)
    with pytest.raises(module.Problem, match="too large when unpacked"):
        install(module, parameters(tmp_path, path))
    assert list((tmp_path / "opt").iterdir()) == []


def test_the_release_under_a_running_server_is_not_changed(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = parameters(tmp_path, tarball(tmp_path / "a.tgz"))
    other = tmp_path / "opt" / "apache-zookeeper-3.8.6-bin"
    other.mkdir()
    (tmp_path / "opt" / "current").symlink_to(other.name)
    monkeypatch.setattr(module, "at_rest", lambda *_: False)
    with pytest.raises(module.Problem, match="a server runs here from"):
        install(module, p)
    assert (tmp_path / "opt" / "current").resolve() == other
    monkeypatch.setattr(module, "at_rest", lambda *_: True)
    assert install(module, p)["changed"] is True
    assert (tmp_path / "opt" / "current").resolve().name == TOP


def test_what_is_fetched_from_nowhere(module: ModuleType, tmp_path: Path) -> None:
    p = {**parameters(tmp_path, tarball(tmp_path / "a.tgz")), "archive": f"file://{tmp_path}/none.tgz", "sent": {}}
    with pytest.raises(module.Problem, match=r"cannot fetch file://.*none\.tgz: .*No such file"):
        install(module, p)
    by_url = {**p, "archive": f"file://{tmp_path}/a.tgz"}
    assert install(module, by_url)["changed"] is True


def test_a_diff_of_a_hosts_files_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the module that lays them."""
    here = shipped("playbooks")
    files = _loaded(
        "zkprov_files",
        here / "library" / "zkprov_files.py",
        monkeypatch,
        *(
            (f"ansible.module_utils.{n}", here / "module_utils" / f"{n}.py")
            for n in ("zkprov_stands", "zkprov_releases", "zkprov_act")
        ),
    )
    assert files.shown("/etc/zk/jaas.conf", b'Server {\n  user_kafka="c4nary";\n};\n') == "(hidden)\n"
    assert files.shown("/etc/zk/zoo.cfg", b"a=b\nx.superDigest=c4nary\n") == "a=b\nx.superDigest=(hidden)\n"
    assert files.PRIVATE == {"jaas.conf": 0o600}
