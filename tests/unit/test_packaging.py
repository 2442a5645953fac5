"""What is built: the version is the tag's, an sdist and a checkout without tags build too, and the manual page is of the commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.unit.test_project import committed
from zkprov.cli.manual import commands, man_page

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SETUPTOOLS_SCM", "GIT_"))}
    # whoever the tests run as may have no name for git, and a folder above may be a checkout
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(cwd.parent),
    }
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(folder: Path) -> Path:
    """What is committed, or will be, without its history."""
    for file in committed():
        place = folder / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    return folder


def checkout(folder: Path, tag: str = "") -> Path:
    """The same as one commit, of that tag."""
    copied(folder)
    run("git", "init", "-q", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all", cwd=folder)
    if tag:
        run("git", "tag", tag, cwd=folder)
    return folder


def built(folder: Path, target: str = "wheel") -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist", cwd=folder)
    (made,) = (folder / "dist").glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


def version_of(wheel: Path) -> str:
    """By its metadata, by what the package says of itself, and by the manual page: one."""
    with zipfile.ZipFile(wheel) as files:
        texts = {
            name.rpartition("/")[2]: files.read(name).decode() for name in files.namelist() if not name.endswith("/")
        }
    said = {
        re.search(r"^Version: (.*)$", texts["METADATA"], re.MULTILINE)[1],  # type: ignore[index]
        re.search(r"__version__ = '(.*)'", texts["_version.py"])[1],  # type: ignore[index]
        re.search(r'"zkprov ([^"]*)"', texts["zkprov.1"])[1].replace(r"\-", "-"),  # type: ignore[index]
    }
    assert len(said) == 1, said
    return said.pop()


def test_the_version_is_the_tags(tmp_path: Path) -> None:
    assert version_of(built(checkout(tmp_path / "tagged", "v9.8.7"))) == "9.8.7"


def test_a_checkout_without_tags_builds(tmp_path: Path) -> None:
    assert re.fullmatch(r"0\.1\.0\.dev1\+g[0-9a-f]+", version_of(built(checkout(tmp_path / "untagged"))))


def test_an_sdist_builds_and_knows_its_version(tmp_path: Path) -> None:
    archive = built(checkout(tmp_path / "tagged", "v9.8.7"), "sdist")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert version_of(built(folder)) == "9.8.7"


def test_without_git_it_builds(tmp_path: Path) -> None:
    assert version_of(built(copied(tmp_path / "copied"))) == "0.1.0.dev0"


def test_the_manual_page_has_every_command_and_option() -> None:
    page = man_page("1.2").replace(r"\-", "-")
    everything = list(commands())
    assert len(everything) > 40
    for command in everything[1:]:
        section = re.search(
            rf"^\.SS {re.escape(' '.join(command.path))}\n(.*?)(?=^\.S[SH] )", page, re.DOTALL | re.MULTILINE
        )
        assert section, command.name
        for option, _ in command.options:
            assert option.replace("…", "...") in section[1], (command.name, option)
    assert page.count("\n.SH ") == 8


def test_the_manual_page_is_troff(tmp_path: Path) -> None:
    page = man_page("1.2")
    macros = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert macros <= {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I", ".nf", ".fi"}
    assert not re.search(r"\\(?![-e&])", page), "no escape but those that are meant"
    assert not [line for line in page.splitlines() if not line.strip()], "an empty line is a paragraph nobody meant"
    if shutil.which("groff"):
        (tmp_path / "zkprov.1").write_text(page)
        command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(tmp_path / "zkprov.1")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
