"""The playbooks on real machines: from bare to serving, twice, retired, and everything that an archive, a disk or a host may refuse."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.conftest import MakeMachines
from tests.hosts.machines import Machine, MachineFailed, Machines
from zkprov.act.plays import PlayFailed, Plays
from zkprov.model.problems import NotHealthy
from zkprov.shipped import shipped

TOP = "apache-zookeeper-3.9.5-bin"
FOLDERS = "/opt/zookeeper /etc/zookeeper /var/lib/zookeeper /var/log/zookeeper"


def playing(machines: Machines, tmp_path: Path, **variables: Any) -> Plays:
    inventory = machines.inventory(tmp_path / "inventory.yml", **variables)
    return Plays(str(inventory), artifacts=tmp_path / "artifacts")


def a_lone_server(machine: Machine) -> dict[str, str | bytes]:
    return {
        "zoo.cfg": "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nstandaloneEnabled=false\n"
        "reconfigEnabled=true\n4lw.commands.whitelist=*\nadmin.enableServer=false\n"
        "dynamicConfigFile=/etc/zookeeper/zoo.cfg.dynamic\n",
        "zoo.cfg.dynamic": f"server.1={machine.address}:2888:3888:participant;2181\n",
        "myid": "1\n",
        "initialize": b"",
        "jvm_flags": "-Xmx128m\n",
        "logback.xml": (shipped("logging") / "logback.xml").read_text(),
    }


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def serves(machine: Machine) -> bool:
    try:
        ask = "exec 3<>/dev/tcp/127.0.0.1/2181; echo srvr >&3; cat <&3"
        return "Mode: leader" in machine.shell(f"timeout 5 bash -c '{ask}'")
    except MachineFailed:
        return False


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_from_bare_to_serving_and_gone(
    make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], tmp_path: Path
) -> None:
    archive, sha512 = zookeeper_archive
    machines = make_machines(1)
    machine = machines[0]
    plays = playing(machines, tmp_path, zkprov_archive=str(archive), zkprov_archive_sha512=sha512)
    seen = plays.play("install", "zk1", check=True, diff=True)
    assert seen.changed >= 3 and any("ExecStart=" in line for line in seen.diff)
    assert machine.shell(f"ls -d {FOLDERS} 2>/dev/null || true") == ""

    assert plays.play("install", "zk1").changed >= 3
    by_hand = ["ansible-playbook", "-i", plays.inventory, "-l", "zk1", shipped("playbooks") / "install.yml"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = subprocess.run(by_hand, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert "ok=1 " in said.stdout and "changed=0 " in said.stdout, said.stdout + said.stderr
    owners = machine.shell(f"stat -c '%n %U:%G %a' {FOLDERS} /opt/zookeeper/{TOP}; readlink /opt/zookeeper/current")
    assert owners.splitlines() == [
        "/opt/zookeeper root:zookeeper 750",
        *(f"{f} zookeeper:zookeeper 750" for f in FOLDERS.split()[1:]),
        f"/opt/zookeeper/{TOP} root:root 755",
        TOP,
    ]
    assert "nologin" in machine.shell("getent passwd zookeeper")
    machine.shell("systemd-analyze security --threshold=40 zookeeper.service")

    files = a_lone_server(machine)
    machine.shell("echo by hand >/etc/zookeeper/zoo.cfg")
    seen = plays.play("configure", "zk1", {}, files, check=True, diff=True)
    assert seen.changed == 1 and "+dataDir=/var/lib/zookeeper" in seen.diff
    assert plays.play("configure", "zk1", {}, files).changed == 1
    assert plays.play("configure", "zk1", {}, files).changed == 0
    assert machine.shell("cat /etc/zookeeper/zoo.cfg.by-hand.orig") == "by hand\n"
    assert machine.shell("stat -c '%U %a' /etc/zookeeper/zoo.cfg") == "zookeeper 640\n"

    assert plays.play("start", "zk1", check=True).changed == 1
    assert plays.play("start", "zk1").changed == 1
    assert plays.play("start", "zk1").changed == 0
    until(lambda: serves(machine), "it serves")
    assert "-Xmx128m" in machine.shell("tr '\\0' '\\n' </etc/zookeeper/jvm_flags"), "goes before the unit's own"
    with pytest.raises(PlayFailed, match="a server is running here"):
        plays.play("configure", "zk1", {}, {**files, "myid": "2\n"})

    machine.reboot()
    until(lambda: serves(machine), "it serves again after a reboot")
    assert plays.play("stop", "zk1").changed == 1
    assert plays.play("stop", "zk1").changed == 0
    # its data on a disk of its own from now on: the folder is a mount point, and cannot be moved
    machine.shell("""
        mkdir /run/disk && mount -t tmpfs disk /run/disk && cp -a /var/lib/zookeeper/. /run/disk/
        chown --reference=/var/lib/zookeeper /run/disk && chmod 750 /run/disk && mount --bind /run/disk /var/lib/zookeeper
        systemctl start zookeeper
    """)

    gone = {"zkprov_label": "gone"}
    assert plays.play("retire", "zk1", gone, check=True).changed == 1
    assert serves(machine) or machine.shell("systemctl is-active zookeeper")
    assert plays.play("retire", "zk1", gone).changed == 1
    assert plays.play("retire", "zk1", gone).changed == 0
    assert machine.shell("ls -d /etc/zookeeper* /var/lib/zookeeper*").split() == [
        "/etc/zookeeper.gone",
        "/var/lib/zookeeper",
    ]
    assert machine.shell("ls -A /var/lib/zookeeper").split() == ["zkprov-aside.gone"]
    assert "snapshot.0" in machine.shell("ls /var/lib/zookeeper/zkprov-aside.gone/version-2")
    with pytest.raises(PlayFailed, match="this server was disabled when it left"):
        plays.play("start", "zk1")
    # even with all its files back, and asked for by name, it stays down
    machine.shell(
        "cp -a /etc/zookeeper.gone /etc/zookeeper; umount /var/lib/zookeeper; test -e /var/lib/zookeeper/myid"
    )
    machine.shell("systemctl enable --quiet zookeeper; systemctl start zookeeper")
    machine.reboot()
    until(lambda: "running" in machine.shell("systemctl is-system-running || true"), "it is up")
    assert machine.shell("systemctl is-active zookeeper || true") == "inactive\n"
    assert machine.shell("pgrep java || true") == ""


def test_by_reboot_yml(make_machines: MakeMachines, tmp_path: Path) -> None:
    machines = make_machines(1)
    before = machines[0].shell("cat /proc/1/stat | cut -d' ' -f22")
    assert playing(machines, tmp_path).play("reboot", "zk1").changed == 1
    assert machines[0].shell("cat /proc/1/stat | cut -d' ' -f22") != before


def tarball(path: Path, *members: tuple[str, str]) -> dict[str, str]:
    """The smallest archive that is taken for a release, and `members` (name, content)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in ((f"{TOP}/lib/zookeeper.jar", "jar"), *members):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))
    return {"zkprov_archive": str(path), "zkprov_archive_sha512": hashlib.sha512(path.read_bytes()).hexdigest()}


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_archives_that_are_not_what_they_should_be(
    make_machines: MakeMachines, zookeeper_archive: tuple[Path, str], tmp_path: Path
) -> None:
    archive, sha512 = zookeeper_archive
    machines = make_machines(1)
    machine = machines[0]
    plays = playing(machines, tmp_path)
    path = tmp_path / f"{TOP}.tar.gz"
    good = tarball(path)

    def refused(expected: str, **variables: str) -> str:
        with pytest.raises(PlayFailed, match=expected) as failed:
            plays.play("install", "zk1", variables)
        assert failed.value.place == "zk1"
        assert machine.shell("ls -A /opt/zookeeper 2>/dev/null || true") == "", expected
        return failed.value.remedy

    assert "zkprov_release" in refused("no release is named")
    assert "zkprov_archive" in refused(r"ZooKeeper 3\.9\.5 is not in /opt/zookeeper", zkprov_release="3.9.5")
    assert "zkprov_java" in refused(r"no executable /no/java", **good, zkprov_java="/no/java")
    machine.shell(
        "printf '#!/bin/sh\\necho openjdk version \\\\\"1.8.0_392\\\\\" >&2\\n' >/usr/bin/java8; chmod +x /usr/bin/java8"
    )
    assert "Java 11" in refused(r"/usr/bin/java8 is Java 8", **good, zkprov_java="/usr/bin/java8")
    missing = {**good, "zkprov_archive": str(tmp_path / TOP) + ".tgz"}
    assert "zkprov_archive" in refused("is not on this machine", **missing)
    assert "correct the sum" in refused(
        "is not what its sha512 in the inventory says", **{**good, "zkprov_archive_sha512": "0" * 128}
    )
    assert "sha512" in refused("nothing says what is right", zkprov_archive=good["zkprov_archive"])
    assert "nothing was unpacked" in refused("which does not belong into", **tarball(path, ("../evil", "x")))

    real = {"zkprov_archive": str(archive), "zkprov_archive_sha512": sha512}
    machine.shell("mkdir -p /opt/zookeeper; chmod 750 /opt/zookeeper")
    with machine.full_disk("/opt/zookeeper", free=8_000_000):
        with pytest.raises(NotHealthy, match=r"(not enough space at|less than 100 MB are free at) /opt/zookeeper"):
            plays.play("install", "zk1", real)
        assert machine.shell("ls /opt/zookeeper") == ""
    # what an install that was cut off has left is swept, and a folder without jars is not taken for a release
    machine.shell(f"mkdir -p /opt/zookeeper/.unpacking-old/{TOP} /opt/zookeeper/{TOP}/lib")
    plays.play("install", "zk1", real)
    assert machine.shell("ls -A /opt/zookeeper").split() == [TOP, "current"]
    with machine.full_disk("/etc/zookeeper"):
        with pytest.raises(PlayFailed, match=r"cannot write .*: No space left on device"):
            plays.play("configure", "zk1", {}, {**a_lone_server(machine), "logback.xml": "x" * 9000})
        assert machine.shell("ls -A /etc/zookeeper") == ".filled\n", "all or none"
    machine.shell("rmdir /var/lib/zookeeper; ln -s /etc /var/lib/zookeeper; chown -h zookeeper /var/lib/zookeeper")
    with pytest.raises(PlayFailed, match="a link that somebody else than root has made"):
        plays.play("install", "zk1", real)
    assert machine.shell("stat -c %U /etc") == "root\n"


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_a_release_is_laid_beside_another(make_machines: MakeMachines, tmp_path: Path) -> None:
    """By release.yml, as an operator plays it before the day; `current` stays, and a run of zkprov keeps its hosts to itself."""
    machines = make_machines(1)
    machine = machines[0]
    laid = tarball(tmp_path / f"{TOP}.tar.gz")
    known = {"3.9.5": {"archive": laid["zkprov_archive"], "sha512": laid["zkprov_archive_sha512"]}}
    other = "apache-zookeeper-3.8.6-bin"
    machine.shell(f"mkdir -p /opt/zookeeper/{other}/lib; ln -s {other} /opt/zookeeper/current")
    plays = playing(machines, tmp_path, zkprov_release="3.8.6", zkprov_archive="/no/such", zkprov_releases=known)
    wanted = {"zkprov_release": "3.9.5"}
    seen = plays.play("release", "zk1", wanted, check=True, diff=True)
    assert seen.changed == 1 and f"+/opt/zookeeper/{TOP}" in seen.diff
    assert machine.shell("ls -A /opt/zookeeper").split() == [other, "current"]
    machine.shell("mkdir -p /var/lib/zkprov/zk1; echo 'r1 0' >/var/lib/zkprov/zk1/run")
    with pytest.raises(PlayFailed, match="run r1 has this host") as busy:
        plays.play("release", "zk1", wanted)
    assert busy.value.kind == "busy" and machine.shell("ls -A /opt/zookeeper").split() == [other, "current"]
    assert plays.play("release", "zk1", {**wanted, "zkprov_run": "r1"}).changed == 1
    assert plays.play("release", "zk1", {**wanted, "zkprov_run": "r1"}).changed == 0
    assert machine.shell("ls -A /opt/zookeeper").split() == [other, TOP, "current"]
    assert machine.shell("readlink /opt/zookeeper/current").strip() == other
    with pytest.raises(PlayFailed, match="/no/such is not on this machine"):
        plays.play(
            "release", "zk1", {"zkprov_release": "3.7.2", "zkprov_archive_sha512": "0" * 128, "zkprov_run": "r1"}
        )


@pytest.mark.matrix(keep=1, of="the long ones on hosts", among="stories on hosts")
def test_a_signed_archive_by_url(make_machines: MakeMachines, tmp_path: Path) -> None:
    machines = make_machines(1)
    served = tmp_path / "served"
    served.mkdir()
    path = served / f"{TOP}.tar.gz"
    tarball(path)
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "release@example.org", "ed25519", "sign"], check=True)
    subprocess.run([*gpg, "--armor", "--detach-sign", "--output", f"{path}.asc", str(path)], check=True)
    keyring = tmp_path / "keys.gpg"
    subprocess.run([*gpg, "--output", str(keyring), "--export"], check=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    server = [sys.executable, "-u", "-m", "http.server", "--bind", machines.gateway, "--directory", str(served), "0"]
    with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as http:
        try:
            assert http.stdout
            port = http.stdout.readline().split(" port ")[1].split()[0]
            url = f"http://{machines.gateway}:{port}/{path.name}"
            given = {"zkprov_archive": url, "zkprov_archive_keyring": str(keyring)}
            plays = playing(machines, tmp_path)
            with pytest.raises(PlayFailed, match=r"cannot fetch .*: File not found"):
                plays.play("install", "zk1", {**given, "zkprov_archive": url.replace(TOP, f"no-{TOP}")})
            signature = Path(f"{path}.asc").read_text()
            Path(f"{path}.asc").write_text(signature.replace("\n\n", "\n\nAAAA", 1))
            with pytest.raises(PlayFailed, match="the archive's signature is not good"):
                plays.play("install", "zk1", given)
            Path(f"{path}.asc").write_text(signature)
            assert plays.play("install", "zk1", given).changed
            assert plays.play("install", "zk1", given).changed == 0
        finally:
            http.kill()
