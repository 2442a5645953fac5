"""What a shell gets when a person presses the key: commands, options, and hosts of an inventory that is never run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from zkprov.cli import zkprov

YAML = """
all:
  children:
    kafka_zk:
      hosts:
        zk1: {ansible_host: 10.0.0.11, zkprov_id: 11}
        zk2:
    other:
      children:
        below:
          hosts: {zoo: null}
"""
INI = """
[kafka_zk]
zk1 ansible_host=10.0.0.11 zkprov_id=11
zk2  # the second
[kafka_zk:vars]
zkprov_client_port=2181
[other]
zoo
"""


def completed(words: str, **environment: str) -> list[str]:
    """What bash would offer for the last of these words."""
    typed = words.split(" ")
    env = {"_ZKPROV_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(typed) - 1), **environment}
    done = CliRunner(env={"ZKPROV_INVENTORY": None, "ZKPROV_ENSEMBLE": None, **env}).invoke(zkprov, prog_name="zkprov")
    return [line.partition(",")[2] for line in done.output.splitlines() if line]


@pytest.fixture(params=["hosts.yml", "hosts.ini", "folder"])
def inventory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    folder.mkdir()
    file = folder / ("hosts.yml" if request.param == "folder" else request.param)
    file.write_text(INI if file.suffix == ".ini" else YAML)
    return folder if request.param == "folder" else file


def test_commands_and_options() -> None:
    assert {"remove-node", "resume", "render"} <= set(completed("zkprov re"))
    assert "--settle" in completed("zkprov add-node --s")
    assert completed("zkprov set-role zk1 p") == ["participant"]


def test_hosts_and_ids_of_the_inventory(inventory: Path) -> None:
    assert completed(f"zkprov -i {inventory} remove-node z") == ["zk1", "zk2", "zoo"]
    assert completed(f"zkprov remove-node -i {inventory} 1") == ["11"]
    assert completed("zkprov restart --only zk", ZKPROV_INVENTORY=str(inventory)) == ["zk1", "zk2"]


def test_those_of_the_group_alone(inventory: Path) -> None:
    assert completed(f"zkprov -i {inventory} -E kafka_zk ok-to-stop z") == ["zk1", "zk2"]


def test_not_what_was_typed_already(inventory: Path) -> None:
    assert completed(f"zkprov -i {inventory} replace-node zk1 zk") == ["zk2"]


@pytest.mark.parametrize("text", ["{", "[a\nb", "- 1", "all: 3", "all: {hosts: [a]}", "\0"])
def test_whatever_is_wrong_there_nothing_is_offered(tmp_path: Path, text: str) -> None:
    (tmp_path / "hosts.yml").write_text(text)
    assert completed(f"zkprov -i {tmp_path}/hosts.yml remove-node z") == []
    assert completed(f"zkprov -i {tmp_path}/none.yml remove-node z") == []


def test_no_program_is_run_for_it(tmp_path: Path) -> None:
    script, proof = tmp_path / "hosts", tmp_path / "ran"
    script.write_text(f"#!/bin/sh\ntouch {proof}\necho '{{}}'\n")
    script.chmod(0o755)
    assert completed(f"zkprov -i {script} remove-node z") == []
    assert not proof.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str) -> None:
    done = CliRunner().invoke(zkprov, ["completion", shell])
    assert done.exit_code == 0 and f"{shell}_complete" in done.output
    assert CliRunner().invoke(zkprov, ["completion", "tcsh"]).exit_code == 2


def test_bash_takes_it() -> None:
    script = CliRunner().invoke(zkprov, ["completion", "bash"]).output
    run = f"""
zkprov() {{ {sys.executable} -m zkprov "$@"; }}; export -f zkprov
{script.replace("$1)", f"{sys.executable} -m zkprov)")}
COMP_WORDS=(zkprov back); COMP_CWORD=1; _zkprov_completion zkprov; echo "${{COMPREPLY[@]}}"; complete -p zkprov
"""
    done = subprocess.run(["bash", "-c", run], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "backup", done.stderr
    assert "_zkprov_completion" in done.stdout.splitlines()[1]
