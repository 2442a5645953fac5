"""The lines of sudoers in docs/sudo.md, laid on a machine: reader and Ansible get through by them, and what they do not name does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.machines import Machine, MachineFailed, Machines
from tests.hosts.test_ssh import host, refusal
from zkprov.model.facts import Outcome
from zkprov.observe.remote import read_remote
from zkprov.observe.ssh import Connections

PAGE = Path(__file__).resolve().parents[2] / "docs/sudo.md"
CHANGES, LOOKS = re.findall(r"^```sudoers\n\w+ (.*)\n```$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture
def connections() -> Iterator[Connections]:
    with Connections() as connections:
        yield connections


def allow(machine: Machine, rule: str) -> None:
    file = "/etc/sudoers.d/zkprov"
    machine.shell(f"umask 337; echo 'nosudo {rule}' >{file}.new; visudo -cqf {file}.new && mv {file}.new {file}")


def by_ansible(machines: Machines, machine: Machine, folder: Path) -> subprocess.CompletedProcess[str]:
    inventory = machines.inventory(folder / "hosts.yml", user="nosudo")
    command = [str(Path(sys.executable).parent / "ansible"), "-i", str(inventory), machine.name, "-b", "-m", "command"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run([*command, "-a", "id -un"], env=environment, capture_output=True, text=True, check=False)


def test_the_lines_that_the_page_gives(shared_machines: Machines, connections: Connections, tmp_path: Path) -> None:
    machine = shared_machines["zk3"]
    whom = host(shared_machines, machine, user="nosudo", python="python3")
    try:
        assert "NOPASSWD" in refusal(connections, whom).remedy, "without a line nothing"

        allow(machine, LOOKS)
        assert read_remote(connections, whom).outcome is Outcome.ABSENT, "it was looked, and nothing lies there"
        assert by_ansible(shared_machines, machine, tmp_path).returncode, "who looks changes nothing by Ansible"

        allow(machine, CHANGES)
        assert read_remote(connections, whom).outcome is Outcome.ABSENT
        done = by_ansible(shared_machines, machine, tmp_path)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "root", done.stdout + done.stderr
        for other in ("id", "python3 -c 1", "-u ops sh -c id"):
            with pytest.raises(MachineFailed, match=r"password is required|not allowed"):
                machine.shell(f"su nosudo -c 'sudo -n {other}'")
    finally:
        machine.shell("rm -f /etc/sudoers.d/zkprov*")
