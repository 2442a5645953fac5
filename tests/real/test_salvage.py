"""Both sides of a real outage take writes, and one loses: its own are on the kept side or in the file, and come back once."""

from __future__ import annotations

import base64
import random
import re
import shutil
import signal
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from tests.real.driver import Done, Zkprov, client, some_instant, tree
from zkprov.act import replay
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill, make_outage
from zkprov.lab.provision import provision
from zkprov.model.rights import ALL, ANYONE, Right
from zkprov.observe.data_files import base, find, transactions
from zkprov.tree.transactions import CONTAINER, TTL_MARK, Change
from zkprov.tree.znodes import Tree, sum_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("salvage"),
    pytest.mark.matrix(keep=3, of="salvage", among="heals"),
]

MANY = 100
OPEN = (Right(ANYONE, ALL),)


class Split:
    """A lab whose losing side is stopped; its servers' folders lie in `aside`. `acknowledged`: what the losing side took, by path."""

    def __init__(self, lab: Lab, zkprov: Zkprov, home: Path) -> None:
        self.lab, self.zkprov, self.home = lab, zkprov, home
        self.acknowledged: dict[str, bytes] = {}
        self.aside: list[Path] = []
        self.unsafe: Done | None = None

    def salvage(self, name: str, *more: str) -> Path:
        file = self.home / name
        file.unlink(missing_ok=True)
        self.zkprov("salvage", *map(str, self.aside), "-o", str(file), *more).expect(0, "dead letters")
        return file

    def letters(self, file: Path) -> list[dict[str, str]]:
        return list(
            self.zkprov("salvage", "show", str(file), "--data", "--limit", "0", "--output", "json")
            .expect(0)
            .json["letters"]
        )


@pytest.fixture(scope="module")
def split(software: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Split]:
    home = tmp_path_factory.mktemp("salvage")
    rng = random.Random(request.config.option.seed)
    how = rng.choice([None, "gz", "snappy"])
    settings = {"extendedTypesEnabled": "true", "snapCount": "60", "snapshot.compression.method": how}
    lab = Lab.create("salvage", 3, home=home, settings={k: v for k, v in settings.items() if v})
    try:
        lab.up()
        made = Split(lab, Zkprov(lab, home / "runs"), home)
        with client(*lab.founders) as session:
            for path in ("/app", "/both", "/kept", "/queue"):
                session.create(path, b"kept")
        new = make_outage(lab)
        left = KazooClient(",".join(str(h.client) for h in new), timeout=10)
        left.start(15)
        with client(*new) as session:
            write_everything(session, made.acknowledged)
            left.create("/eph", b"e", ephemeral=True)  # its session lives until its servers do not
        for host in new:
            kill(lab, host.id or 0)
        left.stop()
        file = home / "early"
        disks = [f"{h.data_dir}:{h.data_log_dir}" for h in new]
        made.zkprov("salvage", *disks, "-o", str(file)).expect(0)
        made.unsafe = made.zkprov("salvage", "apply", str(file), "--only", "/", "--yes")
        for host in new:
            made.aside.append(home / f"aside-{host.name}")
            shutil.move(Path(host.config_dir).parent, made.aside[-1])
        yield made
    finally:
        lab.down()


def write_everything(session: KazooClient, acknowledged: dict[str, bytes]) -> None:
    """Every kind of change that ZooKeeper knows."""

    def create(path: str, data: bytes, **more: object) -> None:
        acknowledged[session.create(path, data, **more)] = data

    for path in ("/app", "/both", "/queue"):
        create(path, b"kept" if path != "/both" else b"lost")
    for n in range(MANY):
        create(f"/app/{n:04}", b"%d" % n)
        if n % 10 == 0:
            session.set(f"/app/{n:04}", b"again")
            acknowledged[f"/app/{n:04}"] = b"again"
    create("/app/é", "ü".encode(), acl=[make_digest_acl("u", "p", all=True)])
    session.set_acls("/app/0001", [make_digest_acl("u", "p", all=True)])
    create("/queue/n-", b"q", sequence=True)
    replay.create(session, "/app/container", b"c", OPEN, CONTAINER)
    replay.create(session, "/app/container/x", None, OPEN)
    replay.create(session, "/app/ttl", b"t", OPEN, TTL_MARK | 3_600_000)
    acknowledged |= {"/app/container": b"c", "/app/container/x": b"", "/app/ttl": b"t"}
    many = session.transaction()
    many.create("/app/multi", b"1")
    many.set_data("/app/multi", b"2")
    many.check("/app/multi", 1)
    many.create("/app/gone", b"")
    many.commit()
    acknowledged["/app/multi"] = b"2"
    session.delete("/app/gone")
    failing = session.transaction()
    failing.create("/app/never", b"")
    failing.set_data("/app/multi", b"3", version=77)
    failing.commit()


# -- the readers, against ZooKeeper itself


class WithData(Tree):
    """Keeps the data too, for ZooKeeper's own digest of the tree (`DigestCalculator`, version 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[bytes, bytes | None] = {}

    def put(self, path: bytes, stat: bytes, data: bytes | None, acl: int) -> None:
        self.data[path] = data
        super().put(path, stat, data, acl)

    def change(self, change: Change, zxid: int, time: int) -> None:
        if change.kind == "set":
            self.data[change.path.rstrip(b"/")] = change.data
        super().change(change, zxid, time)

    def digest(self) -> int:
        total = 0
        for path in self:
            node = self.get(path)
            assert node
            if not path.startswith(b"/zookeeper/"):
                stat = (
                    node.czxid,
                    node.mzxid,
                    node.pzxid,
                    node.ctime,
                    node.mtime,
                    node.version,
                    node.cversion,
                    node.aversion,
                    node.owner,
                )
                total += zlib.crc32(
                    struct.pack(">qqqqqiiiq", *stat), zlib.crc32(self.data[path] or b"", zlib.crc32(path))
                )
        return total & (1 << 64) - 1


def test_after_every_transaction_the_tree_is_the_one_that_zookeeper_had(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zkprov.observe.data_files.Tree", WithData)
    kinds: set[int] = set()
    for folder in split.aside[:2]:
        files = find(folder)
        found = base(files, pytest.fail, lambda _: True, oldest=True)
        assert found and isinstance(found.tree, WithData) and files.myid
        compared = 0
        for txn in transactions(files, pytest.fail, found.zxid):
            found.tree.apply(txn)
            kinds.add(txn.type)
            if txn.digest is not None:
                compared += 1
                assert found.tree.digest() == txn.digest[1] & (1 << 64) - 1, f"{txn.zxid:#x}"
        assert compared > MANY
    assert kinds >= {1, 2, 5, 7, 14, 19, 21, -10}


def test_a_snapshot_is_read_as_zookeepers_own_formatter_reads_it(split: Split) -> None:
    files = find(split.aside[0])
    zxid, path = files.snapshots[-1]
    found = base(files, pytest.fail, lambda z: z == zxid)
    software = provision()
    command = [
        software.java,
        "-XX:TieredStopAtLevel=1",
        "-cp",
        software.classpath,
        "org.apache.zookeeper.server.SnapshotFormatter",
        "-d",
        path,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = {}
    for part in said[said.index("ZNode Details") :].split("\n----\n"):
        if match := re.search(r"^(/.*)\n  cZxid = ", part, re.MULTILINE):
            fields = dict(re.findall(r"^  (\w+) = (.*)$", part, re.MULTILINE))
            numbers = ("cZxid", "mZxid", "pZxid", "cversion", "dataVersion", "aclVersion", "ephemeralOwner")
            told[match[1].encode()] = (
                *(int(fields[n], 0) for n in numbers),
                sum_of(base64.b64decode(fields.get("data", ""))),
            )
    assert found and len(told) == len(found.tree) > MANY / 3
    for name in found.tree:
        node = found.tree.get(name)
        assert node
        owner = node.owner & (1 << 64) - 1
        ours = (node.czxid, node.mzxid, node.pzxid, node.cversion, node.version, node.aversion, owner, node.sum)
        assert ours == told[name or b"/"], name


# -- salvage


def test_nothing_is_replayed_while_another_quorum_can_form(split: Split) -> None:
    assert split.unsafe
    split.unsafe.expect(3, "unsafe", "nothing is replayed", "zkprov check")


def test_every_acknowledged_write_is_on_the_kept_side_or_in_the_file(split: Split) -> None:
    file = split.salvage("all")
    assert file.stat().st_mode & 0o777 == 0o600
    letters = split.letters(file)
    held = {(r["path"], base64.b64decode(r["data"] or "")) for r in letters if r["kind"] in ("create", "set")}
    with client(*split.lab.founders) as session:
        for path, data in split.acknowledged.items():
            stat = session.exists(path)
            assert (path, data) in held or (stat and session.get(path)[0] == data), path
    assert [r["number"] for r in letters] == list(range(1, len(letters) + 1))
    by_path = {r["path"]: r for r in letters}
    assert by_path["/eph"]["sort"] == "ephemeral" and by_path["/eph"]["fate"] == "never"
    assert by_path["/app/container"]["sort"] == "container" and by_path["/app/ttl"]["sort"] == "lives 3600000 ms"
    assert by_path["/both"]["why"] == "created on both sides" and "/app" not in by_path
    assert {r["disks"] for r in letters} <= {1, 2, 3, 4} and "/app/never" not in by_path
    assert not any(p.startswith(("/zookeeper", "/zkprov")) for p in by_path)
    # the same from one disk, against a member's own disk: nobody need be asked
    host = split.lab.founders[0]
    offline = split.home / "offline"
    kept = f"{host.data_dir}:{host.data_log_dir}"
    done = split.zkprov("salvage", str(split.aside[1]), "--kept", kept, "-o", str(offline), inventory=False).expect(0)
    assert "no common history (both logs begin" in done.said
    assert [(r["path"], r["why"]) for r in split.letters(offline)] == [(r["path"], r["why"]) for r in letters]


def test_killed_in_the_middle_and_again_it_comes_back_once_and_nothing_is_overwritten(
    split: Split, rng: random.Random
) -> None:
    file = split.salvage("replayed")
    again = split.home / "again"
    shutil.copy(file, again)
    with client(*split.lab.founders, lab=split.lab) as session:
        session.create("/app/0003", b"mine")  # since the salvage was made
        apply = ("salvage", "apply", str(file), "--only", "/", "--yes")
        dry = split.zkprov(*apply[:-1], "--dry-run", "--output", "json").expect(3).json["fates"]
        assert session.get_children("/app") == ["0003"]
        running = split.zkprov.start(*apply)
        some_instant(running, rng, within_s=4)
        running.signal(signal.SIGKILL)
        running.wait()
        done = split.zkprov(*apply, "--output", "json").expect(3).json
        fates = {r["fate"] for r in split.letters(file)}
        assert fates == {"replayed", "there already", "conflict", "never"} & fates and "replayed" in fates
        aside = {r["path"]: r["said"] for r in done["letters"] if r["fate"] == "conflict"}
        assert set(aside) == {"/both", "/app/0003"}
        assert aside["/app/0003"] == "there is one by now" and dry["conflict"] == len(aside)
        once = tree(session)
        for path, data in split.acknowledged.items():
            if path not in aside and path not in ("/app", "/queue"):
                assert (once[path][0] or b"") == data, path
        assert once["/app/0003"][0] == b"mine" and once["/both"][0] == b"kept" and "/eph" not in once
        assert once["/app/é"][0] == "ü".encode() and session.get_acls("/app/é")[0][0].id.scheme == "digest"
        assert once["/app/0001"][1].aversion == 1 and once["/app/0010"][1].version == 1
        # clients are not shown that a znode is a container, or how long it lives: the disk of a member tells
        host = split.lab.founders[0]
        written = transactions(find(Path(f"{host.data_dir}:{host.data_log_dir}")), lambda _: None)
        owners = {c.path: c.owner for txn in written for c in txn.changes if c.kind == "create"}
        assert owners[b"/app/container"] == CONTAINER and owners[b"/app/ttl"] == TTL_MARK | 3_600_000
        split.zkprov(*apply).expect(3, "settled earlier")
        # and by a file that knows of nothing
        split.zkprov("salvage", "apply", str(again), "--only", "/", "--yes").expect(3, "there already")
        assert {p: v for p, v in tree(session).items() if own(p)} == {p: v for p, v in once.items() if own(p)}


def own(path: str) -> bool:
    return not path.startswith(("/zookeeper", "/zkprov")) and path != "/"


def test_the_two_sides_are_compared_znode_by_znode(split: Split) -> None:
    found = split.zkprov("salvage", "compare", str(split.aside[0]), "--limit", "0", "--output", "json").expect(4).json
    rows = {r["path"]: r for r in found["differences"]}
    assert (
        rows["/both"]["side"] == "different"
        and "data" in rows["/both"]["what"]
        and rows["/kept"]["side"] == "only there"
    )
    assert rows["/eph"]["side"] == "only here" and found["counts"]["only there"] >= 1
    split.zkprov("salvage", "compare", str(split.aside[0]), str(split.aside[1]), inventory=False).expect(0, "the same")
