"""What can be known of the Containerfile where no container can be built: hadolint reads it (.ci/lint), and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from tests.unit.test_project import committed, locked
from zkprov.cli import zkprov

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
LINES = [re.split(r"\s+", line, maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]
INSTALLING = (ROOT / "docs/install.md").read_text()


def of(instruction: str) -> list[str]:
    return [rest for word, rest in LINES if word == instruction]


def test_stages_are_pinned_by_version() -> None:
    assert len(of("FROM")) == 2
    bases = {line.split()[0] for line in of("FROM")}
    assert len(bases) == 1, "what was built by one Python runs on the same"
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+", bases.pop())


def test_what_is_copied_is_there() -> None:
    known = {str(path.relative_to(ROOT)) for path in committed()} | {"."}
    for line in of("COPY"):
        *sources, _ = [word for word in shlex.split(line) if not word.startswith("--")]
        if "--from=" not in line:
            assert set(sources) <= known, line
    assert "COPY --from=build /opt/zkprov /opt/zkprov" in TEXT and "uv venv /opt/zkprov" in TEXT


def test_what_its_commands_name_is_there() -> None:
    named = set(re.findall(r"[\w-]+\.lock", TEXT))
    assert named == {"requirements.lock", "requirements-uv.lock"}
    assert all((ROOT / name).is_file() for name in named)
    assert "uv" in locked("requirements-uv.lock"), "installed by pip, before it is used"
    assert {"hatchling", "hatch-vcs", "click"} <= set(locked("requirements.lock")), (
        "what builds the wheel is pinned too"
    )


def test_nobody_is_root_in_it() -> None:
    assert of("USER")[-1] == "10001:10001" and "--uid 10001" in TEXT
    assert [word for word, _ in LINES].index("USER") < [word for word, _ in LINES].index("ENTRYPOINT")


def test_it_runs_zkprov_as_the_page_says() -> None:
    assert of("ENTRYPOINT") == ['["zkprov"]'] and of("CMD") == ['["--help"]']
    build, run = re.findall(r"^podman (?:build|run) .*$", INSTALLING, re.MULTILINE)
    assert "-f Containerfile" in build and "-t zkprov" in build
    command = run.partition(" zkprov ")[2].split()
    assert command[0] in zkprov.list_commands(None)  # type: ignore[arg-type]
    assert CliRunner().invoke(zkprov, [command[0], "--help"]).exit_code == 0
    for mounted in re.findall(r"-v \S+?:(/\w+)", run):
        assert mounted in of("VOLUME") or mounted == of("WORKDIR")[-1] or mounted.startswith(f"{of('WORKDIR')[-1]}/")
    assert f"XDG_STATE_HOME={of('VOLUME')[0]}" in TEXT


def test_nothing_of_this_machine_gets_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".venv", "dist", "site"} <= set(ignored) and ".git" not in ignored
