"""What a heal decides and lays without a quorum to ask, and how it ends where something comes in between."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import msgspec
import pytest

from tests.unit.facts_made import disk_of, found, inventory, members, outage
from zkprov.act.backups import Known
from zkprov.judge.health import judge
from zkprov.judge.keeping import propose
from zkprov.judge.picture import picture_of
from zkprov.judge.sides import sides_of
from zkprov.model.facts import Identity, Outcome
from zkprov.model.server import Server, ServerAddress
from zkprov.plan.fencing import HealWish
from zkprov.plan.heal import other_sides, plan_heal
from zkprov.plan.steps import Options, Plan, Refusal, StepKind
from zkprov.run.disks_aside import Aside, told_of
from zkprov.run.healing import with_list
from zkprov.run.journal import State
from zkprov.run.planning_heal import with_disks
from zkprov.run.result import Result
from zkprov.run.world import as_static
from zkprov.shipped.remote.backup import answer
from zkprov.shipped.remote.backup_files import LOG_HEADER


def planned(made=None, **more: object) -> Plan | Refusal:  # type: ignore[no-untyped-def]
    survey = (made or outage()).survey
    health = judge(survey)
    sides = sides_of(health.picture)
    wish = HealWish("4f1c", str(more.pop("keep", "")), {}, Options(settle_s=0), 0.0, "op@host", "0.1.0")
    return plan_heal(health, sides, propose(sides), inventory(9), wish)


def test_who_has_clients_is_fenced_first_and_nobody_before_the_copies() -> None:
    from zkprov.model.facts import ClientSession
    from zkprov.model.server import HostPort

    made = outage().having(6, cons=(ClientSession(HostPort("10.1.0.1", 4000), "0x6"),))
    plan = planned(made)
    assert isinstance(plan, Plan) and plan.steps[0].kind is StepKind.FREEZE
    assert [s.host for s in plan.steps if s.kind is StepKind.FENCE] == ["zk6", "zk4", "zk5", "zk7"]
    assert any("restart the client at 10.1.0.1:4000" in n for n in plan.notes)
    kinds = [s.kind for s in plan.steps]
    assert kinds.index(StepKind.ALONE) > max(n for n, k in enumerate(kinds) if k is StepKind.FENCE)
    assert plan.format == 3 and plan.hosts == tuple(f"zk{i}" for i in range(1, 8))


def test_the_sides_of_a_plan_are_known_again_and_others_are_named() -> None:
    plan = planned()
    assert isinstance(plan, Plan) and plan.split is not None

    def why(made) -> str:  # type: ignore[no-untyped-def]
        picture = picture_of(made.survey)
        return other_sides(plan.split, [s for s in sides_of(picture) if s.leader], picture)

    assert why(outage()) == ""
    assert why(outage().down(6, disk=True)) == "", "who has gone since is no other side"
    later = Identity("/zkprov/ensemble", 0x900000002, 1_790_000_000_001)
    assert "another history" in why(outage().having(2, identity=later))


def test_who_looks_for_a_leader_and_holds_another_history_is_a_side_by_its_disk() -> None:
    """The loop of epochs: the files of 1 to 3 say seven by now, and what they hold is older than what 4 to 7 have."""
    seven, old = members(range(1, 8), version=0), Identity("/app", 0x100000002, 1_772_323_200_000)
    young = Identity("/app", 0x100000002, 1_790_000_000_000)
    made = outage(identity=young)
    for i in (1, 2, 3):
        made = made.looking(i).having(i, disk=disk_of(i, seven), config=Outcome.NOT_SERVING, conf=Outcome.NOT_SERVING)
    picture = picture_of(made.survey)
    disks = {f"zk{i}": Known(old.path, old.czxid, old.ctime_ms, 0x2000000AA) for i in (1, 2, 3)}
    sides = with_disks(sides_of(picture), picture, {"zk1", "zk2", "zk3"}, disks)
    kept = next(s for s in sides if not s.leader)
    assert kept.ids == {1, 2, 3} and kept.identity == old and kept.members is not None
    assert kept.members.voters == {1, 2, 3}, "the list without those that hold the other history"
    assert propose(sides).side == kept.name
    # the same history: no other side
    same = {name: Known(young.path, young.czxid, young.ctime_ms, 1) for name in disks}
    assert len(with_disks(sides_of(picture), picture, set(disks), same)) == 1


def test_a_list_is_laid_into_zoo_cfg_and_nothing_else_changes() -> None:
    text = "tickTime=500\nserver.1=a:1:2;3\nserver.2=b:1:2\n server.4=x:1:2\nweight.4=2\ndataDir=/d\n"
    three = msgspec.structs.replace(members((1, 2), version=0))
    assert with_list(text, three) == "tickTime=500\ndataDir=/d\nserver.1=a:1:2;3\nserver.2=b:1:2\n"
    lone = Server(3, (ServerAddress("c", 1, 2),))
    assert with_list("tickTime=500\n", members(()).with_server(lone)).splitlines()[1].startswith("server.3=c:1:2")


def test_who_comes_back_to_a_static_list_has_it_in_zoo_cfg_and_no_flag() -> None:
    host = inventory(1).hosts[0]
    files = {
        "zoo.cfg": "reconfigEnabled=true\ndb.autocreate=false\ndynamicConfigFile=/c/zoo.cfg.dynamic.0\n",
        "zoo.cfg.dynamic.0": "x",
        "myid": "1",
    }
    made = as_static(files, members((1, 2, 3), version=0), host)
    assert set(made) == {"zoo.cfg", "myid"}
    lines = made["zoo.cfg"].splitlines()
    assert "db.autocreate=false" in lines and "clientPort=2181" in lines
    assert not any(x.startswith(("reconfigEnabled", "dynamicConfigFile")) for x in lines)
    assert sum(x.startswith("server.") for x in lines) == 3


# -- whose history a disk holds


def text(value: str) -> bytes:
    return struct.pack(">i", len(value)) + value.encode()


def snapshot(*znodes: tuple[str, int, int, int]) -> bytes:
    """(path, czxid, ctime, ephemeral owner) of each."""
    out = io.BytesIO()
    out.write(b"ZKSN" + struct.pack(">iq", 2, -1) + struct.pack(">i", 0) + struct.pack(">i", 0))
    for path, czxid, ctime, owner in znodes:
        out.write(text(path) + struct.pack(">i", -1) + struct.pack(">q", -1))
        out.write(struct.pack(">qqqqiiiqq", czxid, czxid, ctime, ctime, 0, 0, 0, owner, czxid))
    return out.getvalue() + b"\0\0\0\1/"


def created(zxid: int, when: int, path: str, *, ephemeral: bool = False) -> bytes:
    import zlib

    body = struct.pack(">qiqqi", 1, 1, zxid, when, 1) + text(path) + struct.pack(">i", 0) + struct.pack(">i", 0)
    body += struct.pack(">?i", ephemeral, 1)
    return struct.pack(">qi", zlib.adler32(body) & 0xFFFFFFFF, len(body)) + body + b"B"


def history(folder: Path, snap: bytes, log: bytes = b"") -> dict[str, object]:
    there = folder / "version-2"
    there.mkdir(exist_ok=True)
    (there / "snapshot.100000000").write_bytes(snap)
    (there / "log.100000001").write_bytes(LOG_HEADER.pack(b"ZKLG", 2, 0) + log)
    given = {"act": "history", "dir": str(folder / "b"), "keep": 5, "config_dir": str(folder)}
    return answer({**given, "data_dir": str(folder), "data_log_dir": str(folder)})


def test_the_history_is_told_by_the_snapshot_and_the_log_after_it(tmp_path: Path) -> None:
    snap = snapshot(("", 0, 0, 0), ("/zookeeper", 0, 0, 0), ("/eph", 5, 6, 77), ("/b", 0x100000002, 1000, 0))
    found_ = history(tmp_path, snap)["ok"]
    assert found_ == {"path": "/b", "czxid": 0x100000002, "ctime_ms": 1000, "zxid": 0x100000000}
    log = created(0x100000003, 2000, "/a", ephemeral=True) + created(0x100000004, 3000, "/a")
    assert history(tmp_path, snap, log)["ok"] == {
        "path": "/a",
        "czxid": 0x100000004,
        "ctime_ms": 3000,
        "zxid": 0x100000004,
    }
    log += created(0x100000005, 4000, "/zkprov/ensemble")
    told = history(tmp_path, snap, log)["ok"]
    assert isinstance(told, dict) and told["path"] == "/zkprov/ensemble" and told["czxid"] == 0x100000005
    # cut off in the middle of the last transaction: what is whole counts
    assert history(tmp_path, snap, log[:-9])["ok"] == {
        "path": "/a",
        "czxid": 0x100000004,
        "ctime_ms": 3000,
        "zxid": 0x100000004,
    }


def test_no_permanent_znode_and_what_cannot_be_read(tmp_path: Path) -> None:
    empty = history(tmp_path, snapshot(("", 0, 0, 0)))["ok"]
    assert isinstance(empty, dict) and empty["path"] == ""
    broken = history(tmp_path, snapshot(("/a", 1, 1, 0))[:30] + b"\0\0\0\1/")
    assert broken["problem"] == "unhealthy" and "ends in the middle" in str(broken["text"])
    damaged = created(0x100000003, 1, "/a").replace(b"/a", b"/x") + created(0x100000004, 1, "/c")
    assert "damaged" in str(history(tmp_path, snapshot(("", 0, 0, 0)), damaged)["text"])


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.DENIED])
def test_a_disk_of_another_side_that_cannot_be_reached_is_refused(outcome: Outcome) -> None:
    refused = planned(outage().having(5, disk=found("disk", outcome)), keep="A")
    assert isinstance(refused, Refusal) and refused.rule == "R1" and refused.exit_code == 4
    assert any("--fenced zk5" in command for command, _ in refused.next)


def test_a_disk_of_the_side_to_keep_that_cannot_be_copied_is_refused() -> None:
    refused = planned(outage().having(2, disk=found("disk", Outcome.TIMEOUT)), keep="A")
    assert isinstance(refused, Refusal) and (refused.rule, refused.exit_code) == ("R8", 4)


def test_the_end_names_the_disks_of_each_side_as_salvage_takes_them() -> None:
    plan = planned()
    assert isinstance(plan, Plan)
    here = Aside("B", "zk4", "/srv/data.heal-4f1c", "/srv/log.heal-4f1c", True)
    there = Aside("B", "zk5", "/srv/data.heal-4f1c", "", False)
    done = Result("4f1c", State.DONE, 0, "done")
    assert told_of(plan, done, [here]).next == (
        "zkprov salvage /srv/data.heal-4f1c:/srv/log.heal-4f1c -o dead-letters-B",
    )
    both = told_of(plan, done, [here, there])
    assert both.next[0].endswith(
        "zkprov salvage /srv/data.heal-4f1c:/srv/log.heal-4f1c zk5:/srv/data.heal-4f1c -o dead-letters-B"
    )
    apart = Aside("B", "zk6", "/srv/data.heal-4f1c", "/srv/log.heal-4f1c", False)
    assert "zk6:/srv/data.heal-4f1c:/srv/log.heal-4f1c -o" in told_of(plan, done, [apart]).next[0]
    assert any("zk5:/srv/data.heal-4f1c" in e for e in both.evidence)
    kept = Aside("A", "zk1", "/srv/data.backups/20261129T000000Z-4f1c", "", True)
    assert told_of(plan, done, [here], [kept]).next == (
        f"zkprov salvage /srv/data.heal-4f1c:/srv/log.heal-4f1c --kept-disk {kept.data} -o dead-letters-B",
    )
    far = Aside("A", "zk2", "/srv/data.backups/20261129T000000Z-4f1c", "", False)
    (salvage,) = told_of(plan, done, [here], [kept, far]).next
    assert f"--kept-disk {kept.data} --kept-disk zk2:{far.data} -o" in salvage
    stopped = msgspec.structs.replace(done, state=State.STOPPED)
    assert told_of(plan, stopped, [here], [kept]) == stopped
