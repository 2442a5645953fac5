"""A leader that stands and does not work: its disk is full, or it does not know its own name."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.lab import names
from zkprov.lab.incident import Side
from zkprov.lab.shapes.scene import Scene, logged
from zkprov.lab.shapes.scene import names as called
from zkprov.model.inventory import InventoryHost

DISK_FULL = "File too large"
NOT_DESIGNATED = "not the designated leader"
FILLER = "/lab/filler"
_PIECE = b"x" * 100_000
_ANSWER_S = 2.0


def full_disk_leader(scene: Scene) -> None:
    """The leader's files cannot grow any more, and clients go on writing. What becomes of it differs from run to run."""
    from kazoo.exceptions import KazooException, NodeExistsError

    from zkprov.act.session import close, connect

    leader = scene.leader()
    fill(leader)
    scene.note(
        f"the disk of {leader.name}, the leader, is full: no file of it may grow (RLIMIT_FSIZE); clients go on writing"
    )
    client = connect([host.client for host in scene.old if host != leader], None)

    def failed() -> bool:
        with contextlib.suppress(KazooException, client.handler.timeout_exception):
            with contextlib.suppress(NodeExistsError):
                client.create_async(FILLER).get(timeout=_ANSWER_S)
            client.set_async(FILLER, _PIECE).get(timeout=_ANSWER_S)
        return logged(leader, DISK_FULL) > 1

    try:
        scene.until(failed, f"{leader.name} cannot write")
    finally:
        close(client)
    scene.note(f"{leader.name} could not write, and led no more; it stands for election again with the highest zxid")
    scene.sides.append(
        Side("old", tuple(host.id or 0 for host in scene.old), None, "who leads, and whether anybody does, changes")
    )


def fill(host: InventoryHost) -> None:
    """From now on no file of the server grows above what its largest one is: its writes fail, as on a full disk. Without root."""
    (process,) = LocalHost(host).processes()
    files = [p for folder in (host.data_log_dir, host.log_dir) for p in Path(folder).rglob("*") if p.is_file()]
    # the log of transactions is laid out ahead of time, so it goes on for a while, and the server's own log is shorter
    limit = max(p.stat().st_size for p in files)
    # the soft one only, which is what counts: it can be raised again, and there is room
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, most))


def unresolvable_name(scene: Scene) -> None:
    """reconfig is switched on by a roll of a static ensemble; the next leader's own name comes into the DNS only after its start."""
    last = scene.leader()
    first = [host for host in scene.old if host != last]
    everyone = [host.address for host in scene.old]
    for host in first:
        scene.kill(host)
        names.know(scene.lab.folder, host, [name for name in everyone if name != host.address])
        _switch_on(host)
        scene.start(host)
        scene.await_leader(*scene.old)
    scene.note(f"{called(first)} were restarted with reconfigEnabled=true, and did not resolve their own names then")
    for host in first:
        names.know(scene.lab.folder, host, everyone)
    scene.note(f"they do now; and {last.name}, the leader, is restarted")
    scene.kill(last)
    _switch_on(last)
    leader = scene.await_leader(*first)
    scene.start(last)
    scene.await_log(leader, NOT_DESIGNATED)
    scene.side("old", scene.old, "one leader, and nothing is committed: no write, no new session", writes=False)


def _switch_on(host: InventoryHost) -> None:
    zoo_cfg = Path(host.config_dir) / "zoo.cfg"
    zoo_cfg.write_text(zoo_cfg.read_text() + "reconfigEnabled=true\n")
