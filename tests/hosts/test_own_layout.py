"""An operator who never heard of zkprov: servers set up by hand, in a layout of her own. Variables alone say where they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts.by_hand import DIGEST, PASSWORD, Layout, files_of
from tests.hosts.machine import Machine
from tests.hosts.operator import QUICK, Operator
from tests.real.driver import Arguments, Load, Zkprov, client, epoch, live_config, mode, wait_for
from zkprov.observe.inventory import read_inventory

pytestmark = pytest.mark.real
DOCS = Path(__file__).parents[2] / "docs" / "hosts.md"
# zkprov's own names for things, none of which may turn up here
OURS = (
    "/opt/zookeeper",
    "/etc/zookeeper",
    "/var/lib/zookeeper",
    "/var/log/zookeeper",
    "/etc/systemd/system/zookeeper.service",
)
ZOOKEEPER_S = re.compile(r"/srv/zk/conf/zoo\.cfg(\.dynamic\.[0-9a-f]+)?")
MARKS = re.compile(
    r"/data/zk/(snap|log)/(version-2/.*|\.zkprov-(disk|data)|version-2)|/data/zk/snap/zookeeper_server.pid"
)


@pytest.fixture
def dana(operator: Callable[[int], Operator], monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Dana]:
    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", PASSWORD)
    return lambda count: Dana(operator(count))


class Dana:
    """With the inventory of the docs: put in are only the machines' addresses, how they are reached, and the archive."""

    def __init__(self, made: Operator) -> None:
        self.made, self.machines, self.folder = made, list(made.machines), made.folder
        block = next(b for b in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL) if "zkuser" in b)
        self.document = yaml.safe_load(block)
        self.zkprov = self.inventory()

    def inventory(self, count: int = 4, **changes: Any) -> Zkprov:
        """`changes`: of the group's variables; None takes one out."""
        reached = yaml.safe_load(self.made.machines.inventory(self.folder / "reached.yml").read_text())
        reached = reached["all"]["children"]["kafka"]["vars"]
        group = yaml.safe_load(yaml.safe_dump(self.document))["all"]["children"]["kafka_zk"]
        assert set(group["hosts"]) == {m.name for m in self.machines}, "the docs are of as many"
        group["hosts"] = {m.name: {"ansible_host": m.address} for m in self.machines[:count]}
        archive = {k: self.made.variables[k] for k in ("zkprov_archive", "zkprov_archive_sha512")}
        given = {**group["vars"], **reached, **archive, **changes}
        group["vars"] = {k: v for k, v in given.items() if v is not None}
        path = self.folder / "own.yml"
        path.write_text(yaml.safe_dump({"all": {"children": {"kafka_zk": group}}}))
        self.hosts = read_inventory(str(path)).hosts if not changes else self.hosts
        return Zkprov(self.made.zkprov.lab, self.folder / "runs", path, (PASSWORD, DIGEST))

    def variables(self) -> list[str]:
        return [v for v in self.document["all"]["children"]["kafka_zk"]["vars"] if v.startswith("zkprov_")]

    def found(self, layout: Layout, archive: Path) -> None:
        """Three servers, with data in them."""
        layout.found(self.machines[:3], archive)
        members = self.hosts[:3]
        wait_for(lambda: sorted(mode(h) for h in members) == ["follower", "follower", "leader"], 60, "three serve")
        with client(*members) as session:
            for number in range(50):
                session.create(f"/brokers/{number}", b"x" * 1000, makepath=True)


def untouched(before: Mapping[str, tuple[object, ...]], machine: Machine) -> None:
    """All as it was, besides what ZooKeeper itself rewrites as it runs, and the marks of disks."""
    now = files_of(machine, "/srv", "/data", "/etc")
    differ = {p for p in {*before, *now} if before.get(p) != now.get(p)}
    assert not {p for p in differ if not ZOOKEEPER_S.fullmatch(p) and not MARKS.fullmatch(p)}, (machine, differ)


def settings(machine: Machine) -> set[str]:
    lines = (machine.root / "srv/zk/conf/zoo.cfg").read_text().splitlines()
    return {line for line in lines if line[:1] != "#" and not line.startswith("dynamicConfigFile=")}


@pytest.mark.timeout(400)
@pytest.mark.matrix(keep=1, of="layouts of one's own", among="stories on hosts")
@pytest.mark.parametrize("joins", ["a bare host", "one that she laid out too"])
@pytest.mark.parametrize("kind", ["simple", "forking"])
def test_an_ensemble_of_somebody_else_s_making_grows_where_it_lies(
    dana: Callable[[int], Dana], zookeeper_archive: tuple[Path, str], kind: str, joins: str
) -> None:
    she = dana(4)
    by_hand = joins != "a bare host"
    layout, joiner = Layout(kind), she.machines[3]
    she.found(layout, zookeeper_archive[0])
    if by_hand:
        # another kind of unit than the members have: whatever she writes there
        Layout("forking" if kind == "simple" else "simple").software(joiner, zookeeper_archive[0])
    members, zkprov = she.hosts[:3], she.inventory()
    before = {m.name: files_of(m, "/srv", "/data", "/etc") for m in she.machines}
    had = settings(she.machines[0])

    zkprov("status").expect(0, "SAFE", "3 voters")
    zkprov("check").expect(0, "same config pass", "in memory and on disk")
    zkprov("prove").expect(0, "SAFE")
    plan = zkprov("plan", "add", "zk4").expect(0, "promote 4")
    assert "note" not in plan.out, "what the inventory says is what there is"
    drift = zkprov("plan", "configure", "--output", "json", "--limit", "zk1,zk2,zk3").expect(0).json["drift"]
    for host in drift["hosts"]:
        (zoo_cfg,) = host["files"]
        told = {(s["key"], s["there"]) for s in zoo_cfg["settings"]}
        assert told == {
            (k, None) for k in ("db.autocreate", "autopurge.snapRetainCount", "autopurge.purgeInterval")
        } | {("DigestAuthenticationProvider.superDigest", None)}
        assert any("zk-prod.service is not zkprov's" in note for note in host["notes"])
    for machine in she.machines:
        untouched(before[machine.name], machine)

    term = epoch(members[0])
    with Load(members, per_s=50) as load, Arguments(PASSWORD) as seen:
        zkprov("add-node", "zk4", *QUICK, timeout_s=200).expect(0, "done: {1,2,3,4}")
    assert load.acknowledged and not load.failed
    assert seen.looks and not {where for where in seen.seen if " cmdline:" in where}
    assert epoch(members[0]) == term, "no election"
    assert not any(load.missing(host) for host in she.hosts)
    assert sorted(mode(host) for host in she.hosts) == ["follower", "follower", "follower", "leader"]
    zkprov("check").expect(0, "4 of 4 members serve")
    assert live_config(members[0]).count(":participant;0.0.0.0:12181") == 4
    for machine in she.machines[:3]:
        untouched(before[machine.name], machine)
        assert {s.partition("=")[0] for s in settings(machine)} == {re.split(r"\s*[=:]", s)[0] for s in had}

    # what was laid, lies where she said, and nowhere else
    joiner.shell(" && ".join(f"test ! -e {path}" for path in OURS))
    assert joiner.shell("ps -o user:20= -C java").strip() == "zkuser"
    assert joiner.shell("ss -Hltn | grep -cE ':(12181|12888|13888) '").strip() in ("2", "3")
    assert joiner.shell("systemctl is-active zk-prod; systemctl is-enabled zk-prod").split() == ["active", "enabled"]
    her_s = {p: was for p, was in before["zk4"].items() if by_hand and p not in ("/srv/zk/conf",)}
    now = files_of(joiner, "/srv", "/data", "/etc")
    assert not {p for p, was in her_s.items() if now.get(p) != was}
    found = zkprov("plan", "configure", "--limit", "zk4", "--output", "json").expect(0).json["drift"]["hosts"][0]
    assert found["files"] == [] and found["unread"] == []

    # and the password lies nowhere, her digest only where root and her user read it
    for machine in she.machines:
        machine.shell(f"! grep -rlF -e '{PASSWORD}' /etc /var /srv /data /tmp /root /home /run 2>/dev/null")
    if not by_hand:
        joiner.shell(f"! runuser -u nosudo -- grep -rlF -e '{DIGEST}' /etc /var /srv /data /tmp /run 2>/dev/null")
    ours = [p for p in she.folder.rglob("*") if p.is_file() and "machines" not in p.relative_to(she.folder).parts[0]]
    assert ours and not [p for p in ours if any(s.encode() in p.read_bytes() for s in (PASSWORD, DIGEST))]


@pytest.mark.timeout(400)
@pytest.mark.matrix(keep=1, of="layouts of one's own", among="stories on hosts")
def test_what_she_must_say_is_asked_for(
    dana: Callable[[int], Dana], zookeeper_archive: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wrong variable is told by the one thing to correct; nothing is changed by any of it."""
    she = dana(4)
    she.found(Layout("simple"), zookeeper_archive[0])
    before = {m.name: files_of(m, "/srv", "/data", "/etc") for m in she.machines}
    runs = "a ZooKeeper server runs there on /srv/zk/conf/zoo.cfg (zk-prod.service)"
    add = ("add-node", "zk4", *QUICK)

    # who may change it
    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", "")
    zkprov = she.inventory()
    zkprov(*add).expect(4, "no right to reconfig", "give the super user's password: $ZKPROV_SUPER_PASSWORD")
    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", "not hers")
    zkprov(*add).expect(4, "no right to reconfig", "is not the super user's there")
    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", PASSWORD)

    # where things are
    wrong = she.inventory(zkprov_config_dir=None)
    wrong("status").expect(0, "SAFE", runs)
    wrong("check").expect(0, f"/etc/zookeeper/zoo.cfg: missing, and {runs}")
    wrong(*add).expect(4, "R8", runs, "correct zkprov_config_dir")
    wrong("plan", "configure", "--limit", "zk1").expect(4, runs, "correct zkprov_config_dir")
    wrong = she.inventory(zkprov_data_dir=None, zkprov_data_log_dir=None)
    wrong(*add).expect(
        4, "the data is in /data/zk/snap and /data/zk/log, by the inventory in", "correct zkprov_config_dir, zk"
    )
    wrong("plan", "configure", "--limit", "zk1").expect(3, "a member keeps its data where it lies")
    wrong = she.inventory(zkprov_unit="zk")
    wrong("plan", "add", "zk4").expect(0, "zk1: its server is run by zk-prod.service, zkprov_unit says zk")
    wrong("plan", "configure", "--limit", "zk1").expect(4, "the server is run by zk-prod.service: correct zkprov_unit")
    wrong = she.inventory(zkprov_client_port=2181)
    wrong("status").expect(4, "its line has clients at 12181 (zkprov_client_port)")
    wrong(*add).expect(3, "its line has clients at 12181 (zkprov_client_port)")
    wrong = she.inventory(zkprov_quorum_port=2888, zkprov_settings=None)
    plan = wrong("plan", "add", "zk4").expect(0, "by the inventory zkprov_quorum_port is 2888")
    assert "zk4 will have other settings than the members: " in plan.said and "tickTime 2000 (1000)" in plan.said

    # nothing at all, on hosts where servers plainly run
    wrong = she.inventory(**{v: None for v in she.variables() if v not in ("zkprov_release",)})
    wrong("status").expect(4, runs)
    wrong("bootstrap", "--yes").expect(3, "R5", "zk1 is no bare host", runs, "zkprov_other_servers")
    for machine in she.machines:
        untouched(before[machine.name], machine)
        assert machine.name == "zk4" or settings(machine)
    assert not (she.machines[3].root / "srv").exists() or not list((she.machines[3].root / "srv").iterdir())

    # a second ensemble on the same hosts, a static one that tells as little as one can
    second = Layout("forking", name="zk2", unit="zk-second", shift=2000)
    second.found(she.machines[:3], zookeeper_archive[0], dynamic=False, words="ruok")
    own: dict[str, Any] = {
        "zkprov_config_dir": "/srv/zk2/conf",
        "zkprov_data_dir": "/data/zk2/snap",
        "zkprov_data_log_dir": "/data/zk2/log",
        "zkprov_unit": "zk-second",
        "zkprov_client_port": second.client,
        "zkprov_quorum_port": second.quorum,
        "zkprov_election_port": second.election,
    }
    other = she.inventory(**own)
    wait_for(lambda: "SAFE" in other("status").out, 60, "the second ensemble")
    other("prove").expect(0, "SAFE")
    other(*add).expect(3, "R12", "zkprov grows no static ensemble", "zkprov adopt: sets reconfigEnabled")
    she.inventory()("check").expect(0, "SAFE", "3 of 3 members serve")
