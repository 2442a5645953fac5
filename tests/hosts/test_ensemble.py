"""The main job on real machines: an ensemble of bare hosts, grown by two under load, over SSH and Ansible; what it leaves, and what not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.operator import DIGEST, PASSWORD, QUICK, Operator
from tests.real.driver import Arguments, Load, Zkprov, epoch, live_config, mode, wait_for
from zkprov.act.plays import Plays

pytestmark = pytest.mark.real


def backed_up(made: Operator, zkprov: Zkprov, final: int) -> None:
    """Before the leader left: what was saved is root's alone on its hosts, and the hosts' own release loads it as ZooKeeper's user."""
    listed = zkprov("backup", "list", "--output", "json").expect(0).json["backups"]
    assert {(b["host"], b["state"]) for b in listed} == {(f"zk{n}", "whole") for n in range(1, final + 1)}
    (data,) = (b for b in listed if b["zxid"])
    machine = made.machines[data["host"]]
    place = f"/var/lib/zookeeper.backups/{data['name']}"
    others = "find /var/lib/zookeeper.backups ! -user root -o -type f ! -perm 600 -o -type d ! -perm 700"
    assert not machine.shell(others).strip()
    assert "acceptedEpoch" in machine.shell(f"ls {place}/data/version-2")
    checks = zkprov("backup", "verify", "--output", "json", timeout_s=300).expect(0).json["backups"]
    found = next(b["checks"] for b in checks if b["zxid"])
    assert {c["what"]: c["ok"] for c in found if c["what"] in ("checksums", "loads", "zxid")} == dict.fromkeys(
        ("checksums", "loads", "zxid"), True
    )
    assert not machine.shell(
        "ls -d /var/lib/zookeeper.backups.verify-* 2>/dev/null || true; pgrep -f [Z]ooKeeperServerMain || true"
    ).strip()
    fetched = made.folder / "fetched"
    zkprov("backup", "fetch", str(fetched), "--host", data["host"]).expect(0, data["name"])
    assert (fetched / data["name"] / data["host"] / "manifest.json").stat().st_mode & 0o777 == 0o600
    # by hand, twice under one name, and looked at only: the playbook alone
    played = Plays(str(made.inventory), artifacts=made.folder / "by-hand")
    name = {"zkprov_backup_name": "20300101T000000Z-by-hand"}
    changed = [played.play("backup", data["host"], name, check=check).changed for check in (True, False, False)]
    assert changed == [1, 1, 0]
    machine.shell(f"printf X | dd of={place}/data/myid conv=notrunc status=none")
    zkprov("backup", "verify", data["name"], timeout_s=300).expect(4, "data/myid is not what was saved", "NOT SOUND")


def served(status: dict[str, Any]) -> tuple[str, list[int], int]:
    ensemble = status["ensemble"]
    return ensemble["verdict"], ensemble["leaders"], len(ensemble["members"])


@pytest.mark.timeout(600)
def test_bare_hosts_become_an_ensemble_that_grows_under_load(
    operator: Callable[[int], Operator], request: pytest.FixtureRequest
) -> None:
    """By two; in a sample by one."""
    final = 5 if request.config.getoption("--whole") else 4
    made = operator(final)
    with Arguments(PASSWORD, DIGEST) as seen:
        zkprov = made.of(3)
        zkprov("status").expect(4)
        zkprov("bootstrap", *QUICK, timeout_s=300).expect(0, "done: {1,2,3}")
        first = made.host(1)
        before = epoch(first)
        zkprov = made.of(final)
        more = [f"zk{n}" for n in range(4, final + 1)]
        with Load([made.host(n) for n in (1, 2, 3)], per_s=50) as load:
            zkprov("add-node", *more, *QUICK, timeout_s=300).expect(0, "done: {1,2,3,4")
        assert load.acknowledged and not load.failed
        assert epoch(first) == before, "no election"
        assert not any(load.missing(made.host(n)) for n in range(1, final + 1))
    assert seen.looks and not seen.seen, seen.seen

    status = zkprov("status", "--output", "json").expect(0).json
    assert served(status) == ("safe", status["ensemble"]["leaders"], final) and len(status["ensemble"]["leaders"]) == 1
    zkprov("check").expect(0)
    config = live_config(first)
    assert config.count(":participant;") == final

    # what was laid is what templates and variables say, and is read over SSH
    drift = zkprov("plan", "configure", "--output", "json", "--detailed-exitcode").expect(0).json["drift"]
    assert not any(h["files"] or h["unread"] or h["notes"] for h in drift["hosts"]), drift
    assert "now/myid" not in zkprov("render", "zk1", "--diff").expect(0, "now/zoo.cfg").out

    # a second run of everything changes nothing
    zkprov("bootstrap", *QUICK).expect(0, "nothing to do")
    zkprov("add-node", "zk4", *QUICK).expect(2, "zk4 is a member already")
    assert live_config(first) == config

    # the leader leaves, under load
    leaver = next(n for n in range(1, final + 1) if mode(made.host(n)) == "leader")
    rest = [n for n in range(1, final + 1) if n != leaver]
    with Load([made.host(n) for n in rest], per_s=50) as load:
        told = zkprov("remove-node", f"zk{leaver}", *QUICK, "--drain", "0", timeout_s=300)
    told.expect(0, "back up: configs and epochs of all", f"hand over: {leaver}", "stopped for good")
    told.expect(0, "/var/lib/zookeeper.retired-")
    assert load.acknowledged and not any(load.missing(made.host(n)) for n in rest)
    zkprov("check").expect(0)
    config = live_config(*(made.host(n) for n in rest))
    assert config.count(":participant;") == final - 1

    # what is left behind holds no secret that others can read, on neither side
    looked = 0
    for file in (p for p in made.folder.rglob("*") if p.is_file() and p != made.inventory and p.stat().st_size < 10**7):
        if "machines" not in file.relative_to(made.folder).parts[0]:
            looked += 1
            assert not any(s.encode() in file.read_bytes() for s in (PASSWORD, DIGEST)), file
    assert looked > 10, "journal, artifacts of plays, what the commands printed"
    for machine in made.machines:
        machine.shell(f"! grep -rlF -e '{PASSWORD}' /etc /var /opt /tmp /root /home /run 2>/dev/null")
        open_to_all = (
            f"find /etc /var /opt /tmp /home /run -xdev -type f -perm /o=r -exec grep -lF -e '{DIGEST}' {{}} +"
        )
        assert not machine.shell(f"{open_to_all} 2>/dev/null || true").strip()
        machine.shell(f"! journalctl --no-pager | grep -F -e '{DIGEST}' -e '{PASSWORD}'")
        machine.shell(f"! ps -eww -o args | grep -v grep | grep -F -e '{DIGEST}' -e '{PASSWORD}'")

    backed_up(made, zkprov, final)

    # who is rebooted comes back by itself as what it was
    led = next(n for n in rest if mode(made.host(n)) == "leader")
    for number in (next(n for n in rest if n != led), led):
        made.machines[f"zk{number}"].reboot()
        wait_for(lambda: served(zkprov("status", "--output", "json").json)[0] == "safe", 60, "all members back")
    assert live_config(made.host(led)) == config

    # who has left does not, whoever asks for it
    gone = made.machines[f"zk{leaver}"]
    gone.reboot()
    gone.shell("! systemctl is-active -q zookeeper; systemctl start zookeeper || true; ! pgrep -f [Q]uorumPeerMain")
    assert len(gone.shell("ls -d /var/lib/zookeeper.retired-* /etc/zookeeper.retired-*").split()) == 2
    zkprov("status").expect(0, "SAFE", f"retired: {leaver} (zk{leaver})")
