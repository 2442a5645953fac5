"""A promotion that was proposed and that nobody can commit."""

from __future__ import annotations

from pathlib import Path

from zkprov.lab import founding
from zkprov.lab.ready import mode
from zkprov.lab.sessions import super_user
from zkprov.lab.shapes.scene import Scene, logged
from zkprov.model.server import Role

GIVEN_UP = "GOODBYE"
NEXT = "zoo.cfg.dynamic.next"


def pending_promotion(scene: Scene) -> None:
    """The observer acknowledges nothing before it votes, so all three voters are needed; one does not answer, and wakes too late."""
    from zkprov.act.session import close, connect

    (new,) = scene.spares(1)
    leader = scene.leader()
    still = next(host for host in scene.old if host != leader)
    line = founding.server_of(new)
    scene.lay(new, founding.joiner_files(new, scene.old))
    scene.start(new)
    scene.until(lambda: mode(new.client_port) == "follower", f"{new.name} follows", [new])
    client = connect([leader.client], super_user(scene.lab))
    try:
        client.reconfig(joining=line.with_role(Role.OBSERVER).line, leaving=None, new_members=None)
        scene.until(lambda: mode(new.client_port) == "observer", f"{new.name} observes", [new])
        scene.note(f"{new.name} was added as an observer")
        before = logged(leader, GIVEN_UP)
        with scene.silent(still):
            client.reconfig_async(line.line, None, None, -1)
            scene.until((Path(leader.config_dir) / NEXT).exists, "the promotion is proposed", [leader])
            scene.note(f"{still.name} stood still, and {new.name} was promoted")
            scene.await_log(leader, GIVEN_UP, before + 1)
    finally:
        close(client)
    scene.note(f"{leader.name}, the leader, gave {still.name} up; then it went on")
    scene.until((Path(still.config_dir) / NEXT).exists, f"{still.name} has seen what was proposed", [still])
    everyone = (*scene.old, new)
    scene.side("old", everyone, "one leader, and nothing is committed: no write, no new session", writes=False)
