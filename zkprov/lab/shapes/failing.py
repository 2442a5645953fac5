"""A leader that stands and does not work: its disk is full, or it does not know its own name."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.lab import names
from zkprov.lab.ready import mode
from zkprov.lab.shapes.scene import LEADS, Scene
from zkprov.model.inventory import InventoryHost

NOT_DESIGNATED = "not the designated leader"
FILLER = "/lab/filler"
_PIECE = b"x" * 100_000
_ANSWER_S = 2.0
_ENDS = (3, 5, 7)
"""From this release on a server whose disk is full ends (ZOOKEEPER-3701); before, it goes on as a follower that it cannot be."""


def full_disk_leader(scene: Scene) -> None:
    """The leader's files cannot grow any more, and clients go on writing through the others."""
    from kazoo.exceptions import KazooException, NodeExistsError

    from zkprov.act.session import close, connect

    leader = scene.leader()
    rest = [host for host in scene.old if host != leader]
    fill(leader)
    scene.note(f"the disk of {leader.name}, the leader, is full (no file of it may grow: RLIMIT_FSIZE); clients go on writing")
    client = connect([host.client for host in rest], None)

    def another_leads() -> bool:
        with contextlib.suppress(KazooException, client.handler.timeout_exception):
            with contextlib.suppress(NodeExistsError):
                client.create_async(FILLER).get(timeout=_ANSWER_S)
            client.set_async(FILLER, _PIECE).get(timeout=_ANSWER_S)
        return any(mode(host.client_port) in LEADS for host in rest)

    try:
        scene.until(another_leads, f"another one than {leader.name} leads", rest)
    finally:
        close(client)
    scene.until(lambda: mode(leader.client_port) not in LEADS, f"{leader.name} does not lead")
    scene.await_leader(*rest)
    if ends := tuple(map(int, scene.lab.release.split("."))) >= _ENDS:
        scene.until(lambda: not LocalHost(leader).is_active(), f"{leader.name} ends")
    left = "it has ended" if ends else "it still runs, and joins and leaves the others again and again"
    scene.note(f"{leader.name} led no more: {left}")
    scene.side("old", rest, "elected another leader, and go on")
    scene.side("full", [leader], left)


def fill(host: InventoryHost) -> None:
    """From now on no file of the server grows above what its largest one is: its writes fail, as on a full disk. Without root."""
    (process,) = LocalHost(host).processes()
    files = [p for folder in (host.data_log_dir, host.log_dir) for p in Path(folder).rglob("*") if p.is_file()]
    # the log of transactions is laid out ahead of time, so it goes on for a while, and the server's own log is shorter
    limit = max(p.stat().st_size for p in files)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))


def unresolvable_name(scene: Scene) -> None:
    """reconfig is switched on by a roll of a static ensemble; the name of the one that is to lead next comes into the DNS after its start."""
    last = scene.leader()
    first = [host for host in scene.old if host != last]
    late = first[-1]
    for host in first:
        scene.kill(host)
        if host == late:
            names.know(scene.lab.folder, late, [h.address for h in scene.old if h != late])
        zoo_cfg = Path(host.config_dir) / "zoo.cfg"
        zoo_cfg.write_text(zoo_cfg.read_text() + "reconfigEnabled=true\n")
        scene.start(host)
        scene.await_leader(*scene.old)
    scene.note(f"{', '.join(h.name for h in first)} were restarted with reconfigEnabled=true; {late.name} did not resolve its own name then")
    names.know(scene.lab.folder, late, [h.address for h in scene.old])
    scene.note(f"it resolves now; and {last.name}, the leader, is restarted")
    scene.kill(last)
    zoo_cfg = Path(last.config_dir) / "zoo.cfg"
    zoo_cfg.write_text(zoo_cfg.read_text() + "reconfigEnabled=true\n")
    scene.until(lambda: mode(late.client_port) in LEADS, f"{late.name} leads", [late])
    scene.start(last)
    scene.await_leader(*first)
    scene.await_log(late, NOT_DESIGNATED)
    scene.side("old", scene.old, "one leader, and nothing is committed: no write, no new session", writes=False)
