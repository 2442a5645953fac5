"""The project itself: one version, a fast --help, locked dependencies, arrows that hold, and a test run that hides nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import suites
from zkprov import __version__
from zkprov.cli import COMMANDS, zkprov

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """This Python at the project's root, outside CI unless `environment` says so."""
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "ZKPROV_WHOLE", "ZKPROV_SEED") and "PYTEST" not in k}
    env |= environment
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# The command line ---------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['zkprov', '--help']; from zkprov.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = python("-c", code)
    assert "Usage: zkprov" in done.stdout, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "click" in loaded
    assert not loaded & {"kazoo", "ansible", "rich", "msgspec", "jinja2", "yaml", "asyncio", "sqlite3", "jgo"}


def commands(of: click.Command, name: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield name
    if isinstance(of, click.Group):
        context = click.Context(of)
        for sub in of.list_commands(context):
            command = of.get_command(context, sub)
            assert command, sub
            yield from commands(command, (*name, sub))


@pytest.mark.parametrize("name", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_every_command_explains_itself(name: tuple[str, ...]) -> None:
    root = zkprov.get_command(click.Context(zkprov), name[0]) if name else None
    for path in commands(root, name) if root else [name]:
        done = CliRunner().invoke(zkprov, [*path, "--help"], prog_name="zkprov")
        assert done.exit_code == 0, (path, done.exception)
        assert " ".join(("Usage: zkprov", *path[:1])) in done.output
        assert len(done.output.splitlines()) > 4, f"{path} has no text"
        assert max(map(len, done.output.splitlines())) <= 80


def test_no_committed_file_tells_a_version() -> None:
    assert CliRunner().invoke(zkprov, ["--version"]).output.split()[-1] == __version__
    assert PROJECT["project"]["dynamic"] == ["version"] and "version" not in PROJECT["project"]
    naming = re.compile(r"""^(__version__|version)\s*=\s*["']\d""", re.MULTILINE)
    assert not [
        path for path in committed() if path.suffix in (".py", ".toml", ".cfg") and naming.search(path.read_text())
    ]
    assert (ROOT / "zkprov/_version.py") not in committed(), "made by each build"


def test_the_wheel_holds_what_is_shipped(tmp_path: Path) -> None:
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {str(p.relative_to(ROOT)) for p in committed() if p.is_relative_to(ROOT / "zkprov")}
    assert shipped <= names
    assert any(name.endswith(".j2") for name in names)
    assert any(name.endswith("share/man/man1/zkprov.1") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"zkprov"}, "nothing else is installed"


# What is committed, and what is locked ------------------------------------------------------------------------------


def test_no_committed_file_names_a_path_of_this_machine() -> None:
    ours = {str(ROOT), str(Path.home())} - {"/", "/root"}  # the last is the same on every Linux
    # A folder at the top that no Linux has is of this machine too.
    usual = "bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var".split()  # noqa: SIM905
    ours |= {f"/{part}" for part in ROOT.parts[1:2] if part not in usual}
    found = {
        f"{path.relative_to(ROOT)}: {place}"
        for path in committed()
        for place in ours
        if re.search(rf"(?<![\w./<}}-]){re.escape(place)}(?![\w-])", path.read_text(errors="replace"))
    }
    assert not found


def locked(name: str) -> dict[str, list[tuple[str, str]]]:
    """name → [(version, the entry's text)]: one for each Python that it differs for."""
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in (ROOT / name).read_text().replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            package, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]
            found.setdefault(canonicalize_name(package), []).append((version, entry))
    return found


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-uv.lock"])
def test_all_that_is_locked_has_hashes_and_no_address(name: str) -> None:
    assert locked(name)
    for package, entries in locked(name).items():
        for version, entry in entries:
            assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), f"{package} {version} has no hash"
    assert "://" not in (ROOT / name).read_text()


def test_the_lock_has_what_the_project_asks_for() -> None:
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    asked += PROJECT["project"]["optional-dependencies"]["lab"]
    versions = locked("requirements.lock")
    for requirement in map(Requirement, asked):
        of = versions.get(canonicalize_name(requirement.name))
        assert of, f"{requirement.name} is not locked: make lock"
        for version, _ in of:
            assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked: make lock"


def test_the_arrows_hold_for_every_room() -> None:
    contracts = (ROOT / ".importlinter").read_text()
    rooms = {path.parent.name for path in (ROOT / "zkprov").glob("*/__init__.py")} - {"shipped"}
    layers = contracts.partition("layers =")[2].partition("exhaustive")[0]
    assert rooms <= set(re.findall(r"\w+", layers))
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} >= {"index", "design"}


# The test run itself ------------------------------------------------------------------------------------------------

# Hypothesis takes a second to import, and none of these tests has a property.
PLAIN = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
CASES = """
import pytest
@pytest.mark.matrix(keep=4)
@pytest.mark.parametrize("b", range(5))
@pytest.mark.parametrize("a", range(5))
def test_matrix(a, b): pass
@pytest.mark.parametrize("a", range(3))
def test_all(a): pass
"""


def ran(
    folder: Path, text: str, *options: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A pytest of its own over one file with this project's plugin: (its end, the tests that it passed)."""
    (folder / "test_it.py").write_text(text)
    tally = folder / "tally"
    tally.unlink(missing_ok=True)
    plugin = [
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
    ]
    done = python(*plugin, "--tally", str(tally), *options, str(folder / "test_it.py"), **environment)
    records = map(json.loads, tally.read_text().splitlines())
    return done, {r["test"].partition("::")[2] for r in records if r["outcome"] == "passed"}


def test_of_a_matrix_a_sample_is_kept_that_the_seed_repeats(tmp_path: Path) -> None:
    first, kept = ran(tmp_path, CASES, "--seed=7")
    assert first.returncode == 0, first.stdout
    assert sum(test.startswith("test_matrix") for test in kept) == 4
    assert {f"test_all[{a}]" for a in range(3)} <= kept
    assert "--seed 7 repeats" in first.stdout
    assert ran(tmp_path, CASES, "-n2", ZKPROV_SEED="7")[1] == kept, "all workers draw the same"
    assert ran(tmp_path, CASES, "--seed=8")[1] != kept


SHARED = """
import pytest
@pytest.mark.matrix(keep=2, of="rare")
@pytest.mark.parametrize("a", range(3))
def test_one(a): pass
@pytest.mark.matrix(keep=2, of="rare")
def test_other(): pass
def test_always(): pass
"""


def test_tests_may_share_a_matrix(tmp_path: Path) -> None:
    kept = ran(tmp_path, SHARED, "--seed=7")[1]
    assert "test_always" in kept and len(kept) == 3
    assert len(ran(tmp_path, SHARED, "--whole")[1]) == 5


RIVALS = """
import pytest
stories = [pytest.mark.matrix(keep=1, of=name, among="long") for name in ("a", "b", "c")]
@stories[0]
@pytest.mark.parametrize("n", range(9))
def test_a(n): pass
@stories[1]
def test_b(): pass
@stories[2]
def test_c(): pass
"""


def test_of_matrices_among_each_other_two_are_drawn_however_large_they_are(tmp_path: Path) -> None:
    drawn = [frozenset(t.partition("[")[0] for t in ran(tmp_path, RIVALS, f"--seed={n}")[1]) for n in range(6)]
    assert {len(kept) for kept in drawn} == {2} and len(set(drawn)) > 1
    assert len(ran(tmp_path, RIVALS, "--whole")[1]) == 11


def test_the_whole_is_the_whole(tmp_path: Path) -> None:
    assert len(ran(tmp_path, CASES, "--whole")[1]) == 28
    assert len(ran(tmp_path, CASES, ZKPROV_WHOLE="1")[1]) == 28


SKIPS = """
import pytest
def test_passes(): pass
def test_cannot(): pytest.skip("no network here")
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "in workers"])
def test_a_skip_fails_in_ci_and_is_named(tmp_path: Path, workers: tuple[str, ...]) -> None:
    done, _ = ran(tmp_path, SKIPS, *workers, CI="true")
    assert done.returncode == 1
    assert re.search(r"SKIPPED .*test_it\.py::test_cannot: no network here", done.stdout)
    assert ran(tmp_path, SKIPS, *workers)[0].returncode == 0


def suite_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, minutes: float = 1.0, ci: bool = False
) -> suites.Result:
    """The result of a suite with one test file, run in a tree of its own that has this project's conftest."""
    (folder / "tests" / "made").mkdir(parents=True)
    (folder / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "pytest.ini").write_text(f"[pytest]\naddopts = {' '.join(PLAIN)}\n")
    if text:
        (folder / "tests" / "made" / "test_it.py").write_text(text)
    (folder / "base").mkdir()
    monkeypatch.setattr(suites, "ROOT", folder)
    monkeypatch.setattr(suites, "CI", ci)
    monkeypatch.setattr(suites, "GRACE_S", 5.0)
    monkeypatch.setenv("CI", "true") if ci else monkeypatch.delenv("CI", raising=False)
    suite = suites.Suite("made", minutes, minutes, 1)
    return suites.run(suite, folder / "base", seed=1, whole=False)


COUNTED = """
import pytest
@pytest.fixture
def bad():
    yield
    assert 0
def test_a(): pass
def test_b(bad): pass
def test_c(): assert 0
"""


def test_a_suite_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = suite_of(tmp_path, monkeypatch, COUNTED)
    assert result.passed == 1
    assert [f.partition("::")[2] for f in result.failed] == ["test_b", "test_c"]


def test_a_suite_that_overruns_its_budget_fails_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = suite_of(tmp_path, monkeypatch, "import time\ndef test_slow(): time.sleep(600)\n", minutes=2 / 60)
    assert result.seconds < 300
    assert result.failed[0].startswith("made: longer than its budget")


def test_what_a_suite_was_at_is_told(tmp_path: Path) -> None:
    records = [("a", "started"), ("b", "started"), ("a", "passed"), ("a", "ended"), ("c", "started"), ("c", "failed")]
    tally = tmp_path / "tally"
    tally.write_text("".join(json.dumps({"test": t, "outcome": o, "why": ""}) + "\n" for t, o in records))
    assert suites._read(tally) == (1, ["c"], [], ["b", "c"])


def test_what_a_suite_leaves_running_is_ended_and_fails_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import subprocess, sys\n"
        "def test_leaves(): subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(601)'], start_new_session=True)\n"
    )
    result = suite_of(tmp_path, monkeypatch, text)
    assert result.passed == 1
    assert len(result.failed) == 1
    assert "left running" in result.failed[0] and "sleep(601)" in result.failed[0]
    assert not suites._left(tmp_path / "base")


@pytest.mark.parametrize("text", ["", "x = 1\n"], ids=["no file", "no test"])
def test_a_suite_without_tests_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert suite_of(tmp_path, monkeypatch, text).failed


def test_a_suite_that_does_not_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert suite_of(tmp_path, monkeypatch, "import nothing_of_that_name\n").failed


def test_a_skip_in_a_suite_counts_as_a_failure_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = suite_of(tmp_path, monkeypatch, SKIPS, ci=True)
    assert result.passed == 1
    assert len(result.failed) == 1 and "no network here" in result.failed[0]


def test_the_budgets_leave_time() -> None:
    assert sum(suite.minutes for suite in suites.SUITES) <= suites.TOTAL_MINUTES
