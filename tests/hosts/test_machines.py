"""Test machines are what they claim: each one's own, reached as hosts are, and struck by just what strikes it."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts import base as made_of
from tests.hosts.archive import archive
from tests.hosts.base import Missing
from tests.hosts.conftest import MakeMachines
from tests.hosts.machines import Machine, MachineFailed, Machines
from tests.hosts.place import RUN, control_groups, mirrors

ROOT = Path(__file__).resolve().parents[2]


def ssh(machines: Machines, machine: Machine, command: str, user: str = "ops", known_hosts: Path | None = None) -> str:
    """What `command` prints; raises CalledProcessError."""
    options = ["-F", "none", "-i", str(machines.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    options += ["-o", f"UserKnownHostsFile={known_hosts or machines.known_hosts}", "-o", "IdentitiesOnly=yes"]
    return subprocess.run(
        ["ssh", *options, f"{user}@{machine.address}", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout


def reaches(machine: Machine | None, address: str, port: int = 22) -> bool:
    """Whether a connection is made, from that machine or (None) from here; a network that drops has 0.5 s."""
    program = f"import socket; socket.create_connection(({address!r}, {port}), 0.5)"
    try:
        if machine:
            machine.shell(f'python3 -c "{program}"')
        else:
            socket.create_connection((address, port), 0.5).close()
    except (MachineFailed, OSError):
        return False
    return True


def until(true: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def boot_id(machine: Machine) -> str:
    """Of its systemd; the kernel's is one for all."""
    return machine.shell("systemctl show -P UserspaceTimestampMonotonic")


# What they are ------------------------------------------------------------------------------------------------------


def test_each_is_a_machine_of_its_own(shared_machines: Machines) -> None:
    for machine in shared_machines:
        assert machine.shell("hostname").strip() == machine.name
        assert machine.shell("systemctl is-system-running --wait").strip() == "running"
        assert f"inet {machine.address}/24" in machine.shell("ip -4 addr show dev eth0")
        for other in (*shared_machines, "control"):
            name = other.name if isinstance(other, Machine) else other
            address = other.address if isinstance(other, Machine) else shared_machines.gateway
            assert machine.shell(f"getent hosts {name}").split()[0] == address
        (machine.root / "etc/mine").write_text(machine.name)
    assert {m.shell("cat /etc/mine") for m in shared_machines} == {"zk1", "zk2", "zk3"}
    assert len({m.shell("cat /etc/machine-id") for m in shared_machines}) == 3
    assert all(reaches(a, b.address) for a in shared_machines for b in shared_machines)


def test_a_unit_is_stopped_though_its_like_runs_on_another(shared_machines: Machines) -> None:
    """Control groups that were shared would have systemd wait for the other machine's process."""
    for machine in shared_machines:
        machine.shell("systemd-run --unit=mine sleep 1000")
    for machine in shared_machines:
        machine.shell("systemctl stop mine", timeout_s=10)


def test_users_log_in_and_may_what_they_may(shared_machines: Machines) -> None:
    machine = shared_machines["zk2"]
    assert ssh(shared_machines, machine, "id -un; sudo -n id -un").split() == ["ops", "root"]
    assert ssh(shared_machines, machine, "id -un", "root").strip() == "root"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ssh(shared_machines, machine, "sudo -n id", "nosudo")
    assert "a password is required" in refused.value.stderr
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ssh(shared_machines, machine, "id", "daemon")
    assert "Permission denied" in refused.value.stderr


def test_host_keys_are_the_ones_in_known_hosts(shared_machines: Machines, tmp_path: Path) -> None:
    exchanged = tmp_path / "known_hosts"
    keys = [line.partition(" ") for line in shared_machines.known_hosts.read_text().splitlines()]
    exchanged.write_text("".join(f"{hosts} {key}\n" for (hosts, _, _), (_, _, key) in itertools.pairwise(keys)))
    assert ssh(shared_machines, shared_machines[0], "true") == ""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        ssh(shared_machines, shared_machines[0], "true", known_hosts=exchanged)
    assert "Host key verification failed" in refused.value.stderr


def test_the_inventory_is_one_for_ansible(shared_machines: Machines, tmp_path: Path) -> None:
    path = shared_machines.inventory(
        tmp_path / "hosts.yml", hosts=[shared_machines["zk3"]], host_vars={"zk3": {"zkprov_id": 3}}, zkprov_heap="64m"
    )
    ansible = [
        str(Path(sys.executable).with_name("ansible")),
        "-i",
        str(path),
        "kafka",
        "-m",
        "ansible.builtin.command",
    ]
    done = subprocess.run(
        [*ansible, "-a", "echo {{ inventory_hostname }} {{ zkprov_id }} {{ zkprov_heap }} {{ ansible_become }}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["zk3 | CHANGED | rc=0 >>", "zk3 3 64m True"]


# What befalls them --------------------------------------------------------------------------------------------------


def test_reboot_and_power(make_machines: MakeMachines) -> None:
    machines = make_machines(2)
    struck, other = machines
    for machine in machines:
        # Says how it ended, if it is let.
        (machine.root / "etc/systemd/system/told.service").write_text(
            "[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/touch /var/told\n[Install]\nWantedBy=multi-user.target\n"
        )
        machine.shell("systemctl enable --now told; echo kept >/var/kept; echo lost >/run/lost")
    before, told = boot_id(struck), struck.root / "var/told"

    struck.reboot()
    assert struck.shell("ls /run/lost || true") == "" and (struck.root / "var/kept").read_text() == "kept\n"
    assert boot_id(struck) != before
    until(lambda: struck.shell("systemctl is-active told || true") == "active\n")
    assert ssh(machines, struck, "hostname").strip() == "zk1"
    assert told.exists(), "an orderly end"
    told.unlink()

    before = boot_id(struck)
    with pytest.raises(subprocess.CalledProcessError):
        # What an operator or a play does: it comes back by itself, too.
        ssh(machines, struck, "sudo -n systemctl reboot; sleep 60")
    until(told.exists)
    struck.wait_until_up()
    until(lambda: struck.is_on and boot_id(struck) != before)
    struck.wait_until_up()
    told.unlink()

    pid = int(struck.shell("systemctl show -P MainPID told"))
    assert pid > 0
    struck.power_cut()
    assert not struck.is_on and not told.exists(), "no orderly end"
    assert not reaches(None, struck.address) and reaches(None, other.address)
    with pytest.raises(MachineFailed, match="zk1 is off"):
        struck.shell("true")
    assert (struck.root / "var/kept").read_text() == "kept\n"
    struck.power_on()
    assert ssh(machines, struck, "hostname").strip() == "zk1"
    assert other.shell("cat /run/lost") == "lost\n", "the other noticed nothing"

    struck.power_off()
    assert not struck.is_on


def test_partition_and_heal(make_machines: MakeMachines) -> None:
    machines = make_machines(3)
    one, two, three = machines
    two.shell("systemd-run --unit=listens python3 -m http.server 8000")
    until(lambda: reaches(one, two.address, 8000))
    with socket.create_connection((two.address, 8000), 5) as before:
        one.partition(two)
        assert not reaches(one, two.address) and not reaches(two, one.address)
        assert reaches(one, three.address) and reaches(two, three.address) and reaches(None, one.address)
        assert reaches(one, "127.0.0.1") and reaches(one, one.address)
        one.partition(machines.gateway)
        assert not reaches(None, one.address) and not reaches(one, two.address) and reaches(one, three.address)
        two.partition()
        assert not reaches(three, two.address) and reaches(two, "127.0.0.1")
        # One that was there before is cut, too.
        before.sendall(b"GET / HTTP/1.0\r\n\r\n")
        before.settimeout(0.5)
        with pytest.raises(TimeoutError):
            before.recv(1)
    two.heal()
    assert reaches(None, two.address) and not reaches(one, two.address)
    one.reboot()
    assert not reaches(None, one.address), "it holds over a reboot"
    one.heal()
    assert reaches(None, one.address) and reaches(one, two.address)


HEARS = """
import socket
at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
at.bind(("", 9000))
while True:
    word = at.recv(9)
    with open("/run/heard", "ab") as file:
        file.write(word)
"""
SAYS = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), (sys.argv[2], 9000))"


def test_a_partition_one_way(make_machines: MakeMachines) -> None:
    one, two = make_machines(2)
    (two.root / "hears.py").write_text(HEARS)
    two.shell("systemd-run --unit=hears python3 /hears.py")

    def says(word: str) -> None:
        one.shell(f"python3 -c '{SAYS}' {word} {two.address}")

    def heard_after(word: str) -> str:
        def heard() -> str:
            says(word)
            return two.shell("cat /run/heard 2>/dev/null || true")

        until(lambda: word in heard())
        return heard()

    one.partition(two, way="arriving")
    assert "a" in heard_after("a") and not reaches(one, two.address), "it is heard, and hears nothing"
    one.heal()
    two.partition(one, way="arriving")
    says("b")
    two.heal()
    assert "b" not in heard_after("c")
    one.partition(two, way="leaving")
    with contextlib.suppress(MachineFailed):
        says("d")
    one.heal()
    assert "d" not in heard_after("e") and reaches(one, two.address)


def test_a_full_disk(shared_machines: Machines) -> None:
    machine = shared_machines[0]
    machine.shell("install -d -o ops -m 750 /srv/data; echo old >/srv/data/old")
    for free in (0, 64 * 1024):
        with machine.full_disk("/srv/data", free=free):
            assert machine.shell("cat /srv/data/old; stat -c '%U %a' /srv/data") == "old\nops 750\n"
            with pytest.raises(MachineFailed, match="No space left on device"):
                machine.shell(f"head -c {free + 1} /dev/zero >/srv/data/new")
            machine.shell(f"head -c {free} /dev/zero >/srv/data/new; echo elsewhere >/srv/elsewhere")
    machine.shell("test ! -e /srv/data/new; echo new >/srv/data/new")


def test_a_clock_that_is_off(shared_machines: Machines) -> None:
    machine, true = shared_machines[1], shared_machines[2]

    def off(of: Machine, command: str = "date +%s") -> int:
        return round(float(ssh(shared_machines, of, command)) - time.time())

    with machine.clock(-600, "told-time"):
        assert abs(off(machine) + 600) < 5
        assert abs(off(machine, "sudo -n python3 -c 'import time; print(time.time())'") + 600) < 5
        assert abs(off(true)) < 5
        program = "/usr/bin/python3 -c 'import time; print(time.time())'"
        (machine.root / "etc/systemd/system/told-time.service").write_text(
            f'[Service]\nType=oneshot\nExecStart=/bin/sh -c "{program} >/var/told-time"\n'
        )
        machine.shell("systemctl daemon-reload; systemctl start told-time")
        assert abs(float((machine.root / "var/told-time").read_text()) + 600 - time.time()) < 5
    assert abs(off(machine)) < 5


def test_a_name_with_another_address(shared_machines: Machines) -> None:
    machine = shared_machines[0]
    with machine.broken_dns("zk2"):
        assert machine.shell("getent hosts zk2").split()[0] == "192.0.2.1"
        assert machine.shell("getent hosts zk3").split()[0] == shared_machines["zk3"].address
    with machine.broken_dns("zk2", None):
        assert machine.shell("getent hosts zk2 || echo none") == "none\n"
    assert machine.shell("getent hosts zk2").split()[0] == shared_machines["zk2"].address


# Sets ---------------------------------------------------------------------------------------------------------------


def traces(of: str) -> list[str]:
    """What is there of the set with this id."""
    found = [str(path) for path in (*RUN.glob(f"{of}*"), *Path("/run/netns").glob(f"{of}*"))]
    found += [str(path) for path in (Path("/sys/class/net", of), *control_groups().glob(f"*{of}*")) if path.exists()]
    found += [str(path) for path in mirrors(f"zkprov-test-hosts-{of}") if path.exists()]
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if of in line]
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [str(command)] if of.encode() in command.read_bytes() else []
        except OSError:
            continue
    return found


def test_a_set_leaves_nothing_also_after_an_error(shared_machines: Machines, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Machines(tmp_path, 1) as machines:
        of = machines[0].namespace.partition("-")[0]
        assert machines.gateway != shared_machines.gateway, "sets stand side by side"
        assert machines[0].shell("getent hosts control").split()[0] == machines.gateway
        assert len(traces(of)) > 5
        _ = 1 / 0
    assert not traces(of)


def test_what_a_killed_run_left_is_cleared_away(can_have_machines: None, tmp_path: Path) -> None:
    program = f"""
        import signal
        from pathlib import Path
        from tests.hosts.machines import Machines
        with Machines(Path({str(tmp_path / "killed")!r}), 1) as machines:
            print(machines[0].namespace, flush=True)
            signal.pause()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        of = run.stdout.readline().partition("-")[0]
        assert of and traces(of)
        run.kill()
    # Machines end with their run, by themselves; only what needs no processor stays.
    until(lambda: not any(trace.startswith("/proc/") for trace in traces(of)))
    assert traces(of)
    with Machines(tmp_path / "next", 1):
        assert not traces(of)


# What they are made of ----------------------------------------------------------------------------------------------


def test_sources_are_this_machines_own_and_the_distributions(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/debian bullseye main\n"
        "deb http://docker.example/linux bookworm stable\n"
    )
    kept = "Types: deb\nURIs: http://two.example/debian\nSuites: bookworm\n bookworm-updates\nComponents: main"
    others = [
        kept + "\nEnabled: no",
        kept.replace("deb\n", "deb-src\n"),
        kept.replace("bookworm", "trixie"),
        kept.replace("main", "stable"),
    ]
    (tmp_path / "sources.list.d/debian.sources").write_text("\n\n".join(["# A comment.\n" + kept, *others]) + "\n")
    (tmp_path / "sources.list.d/off.list.disabled").write_text("deb http://mirror.example/debian bookworm main\n")
    assert made_of._sources(tmp_path, "bookworm") == {
        ".list": "deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib\n",
        ".sources": f"# A comment.\n{kept}\n",
    }


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(Missing, match="need root"):
            made_of.base()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(Missing, match="systemd-container"):
            made_of.base()


def test_the_archive_is_as_zookeepers_own(zookeeper_archive: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha512 = zookeeper_archive
    assert path.name == "apache-zookeeper-3.9.5-bin.tar.gz"
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert all((entry.uid, entry.mtime) == (0, 0) for entry in tar)
    assert {name.partition("/")[0] for name in names} == {"apache-zookeeper-3.9.5-bin"}
    assert {"apache-zookeeper-3.9.5-bin/lib/zookeeper-3.9.5.jar", "apache-zookeeper-3.9.5-bin/conf"} <= set(names)
    kept = path.rename(path.with_suffix(".kept"))
    try:
        assert archive() == (path, sha512), "made anew it is the same"
    finally:
        kept.replace(path)
