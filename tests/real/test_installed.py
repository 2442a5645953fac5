"""What people install: a built wheel, by pip, uv or pipx, in an empty environment with an empty home, up to the end of the tour."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
PYTHON = getattr(sys, "_base_executable", sys.executable)


class Home:
    """An empty home with its environment; what was downloaded before is shared, so that a registry is asked for nothing twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV") and not k.startswith("XDG_")
        }
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.environment = {
            **kept,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(cache),
            "PATH": os.pathsep.join(
                (str(folder / ".local/bin"), "/usr/bin", "/bin", *os.environ["PATH"].split(os.pathsep))
            ),
            "PIPX_HOME": str(folder / "pipx"),
            "PIPX_BIN_DIR": str(folder / ".local/bin"),
            "PIPX_MAN_DIR": str(folder / ".local/share/man"),
        }
        paths = ssl.get_default_verify_paths()
        if paths.cafile or paths.capath:
            self.environment["UV_SYSTEM_CERTS"] = "1"  # as .ci/setup does: they may include a company's

    def run(self, *command: str | Path, limit_s: float = 240) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,  # not the checkout: what answers is what was installed
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout


def by_pip(home: Home, wheel: str) -> Path:
    home.run(PYTHON, "-m", "venv", "env")
    home.run(home.folder / "env/bin/python", "-m", "pip", "install", "-q", wheel)
    assert (home.folder / "env/share/man/man1/zkprov.1").is_file()
    return home.folder / "env/bin/zkprov"


def by_uv(home: Home, wheel: str) -> Path:
    home.run(TOOLS / "uv", "tool", "install", "-q", "--python", PYTHON, wheel)
    return home.folder / ".local/bin/zkprov"


def by_pipx(home: Home, wheel: str) -> Path:
    home.run(TOOLS / "pipx", "install", "--python", PYTHON, wheel)
    assert (home.folder / ".local/share/man/man1/zkprov.1").exists(), "`man zkprov` finds it"
    return home.folder / ".local/bin/zkprov"


@pytest.mark.matrix(keep=1, of="ways to install", among="long changes")
@pytest.mark.parametrize("install", [by_pip, by_uv, by_pipx])
def test_an_installed_wheel_makes_the_tour(tmp_path: Path, install: Callable[[Home, str], Path]) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    home = Home(tmp_path / "home")
    home.folder.mkdir()
    zkprov = install(home, f"{wheel}[lab]")
    assert home.run(zkprov, "--version").split()[-1] == wheel.name.split("-")[1]
    told = home.run(zkprov, "lab", "demo", "--settle", "0s")
    assert "Refused by R2" in told and "UNSAFE" in told
    assert "That was the tour" in told
    assert "complete" in home.run(zkprov, "completion", "bash")
    assert not list(home.folder.glob(".local/state/zkprov/labs/*")), "the tour leaves nothing"
