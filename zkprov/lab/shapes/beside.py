"""A second ensemble beside the first: new servers that cannot hear the old ones, or were never told of them."""

from __future__ import annotations

from zkprov.lab import founding
from zkprov.lab.outage import make_outage
from zkprov.lab.shapes.scene import Scene, names


def outage(scene: Scene) -> None:
    new = make_outage(scene.lab, scene.timeout_s)
    scene.note(
        f"{names(new)} were started together, with a static list of themselves and of old ones, and without `initialize`"
    )
    scene.await_leader(*new)
    scene.await_leader(*scene.old)
    scene.side("old", scene.old, "the ensemble as it was")
    scene.side("new", new, "a list of their own, in which they are a quorum")


def blind_joiners(scene: Scene) -> None:
    """Four dynamic joiners whose list names all seven; the three are silent, as behind a firewall, until the four have elected."""
    new = scene.spares(len(scene.old) + 1)
    for host in new:
        scene.lay(host, founding.founders_files(host, (*scene.old, *new)))
    with scene.silent(*scene.old):
        scene.start(*new)
        scene.await_leader(*new)
    scene.note(
        f"{names(new)} were started with a dynamic list of all, as voters, while {names(scene.old)} could not be reached"
    )
    scene.note("the network was mended")
    scene.await_leader(*scene.old)
    scene.side("old", scene.old, "the ensemble as it was")
    scene.side("new", new, "a dynamic list of all, of which they are a quorum")


def paused_seed(scene: Scene) -> None:
    """Two joiners that were given one member as their seed, and that one is paused."""
    leader = scene.leader()
    seed = next(host for host in scene.old if host != leader)
    new = scene.spares(2)
    for host in new:
        scene.lay(host, founding.founders_files(host, (seed, *new)))
    with scene.silent(seed):
        scene.start(*new)
        scene.await_leader(*new)
    scene.note(f"{names(new)} were started with {seed.name} as their only member, while {seed.name} was paused")
    scene.note(f"{seed.name} went on")
    scene.await_leader(*scene.old)
    scene.side("old", scene.old, "the ensemble as it was")
    scene.side("new", new, f"a list of themselves and {seed.name}")


def pair(scene: Scene) -> None:
    new = scene.spares(2)
    for host in new:
        scene.lay(host, founding.founders_files(host, new))
    scene.start(*new)
    scene.await_leader(*new)
    scene.note(f"{names(new)} were started with a list that names only each other")
    scene.side("old", scene.old, "the ensemble as it was")
    scene.side("new", new, "a list of the two")


def lonely(scene: Scene) -> None:
    """Two servers, each alone: one whose list names itself, one without any list, which runs standalone."""
    one, other = scene.spares(2)
    scene.lay(one, founding.founders_files(one, [one]))
    files = founding.static_files(other, [])
    # ZooKeeper's own default, under which a server without a list runs alone
    scene.lay(other, {**files, "zoo.cfg": files["zoo.cfg"].replace("standaloneEnabled=false\n", "")})
    scene.start(one, other)
    scene.await_leader(one)
    scene.await_leader(other)
    scene.note(f"{one.name} was started with a list of itself, and {other.name} with none")
    scene.side("old", scene.old, "the ensemble as it was")
    scene.side("alone", [one], "a list of itself")
    scene.side("standalone", [other], "no list")


def promoted_rogue(scene: Scene) -> None:
    """A server that leads an ensemble of its own is added to the first, which asks it nothing."""
    from zkprov.act.session import close, connect
    from zkprov.lab.sessions import super_user

    (rogue,) = scene.spares(1)
    scene.lay(rogue, founding.founders_files(rogue, [rogue]))
    scene.start(rogue)
    scene.await_leader(rogue)
    scene.note(f"{rogue.name} was started with a list of itself, and leads")
    client = connect([host.client for host in scene.old], super_user(scene.lab))
    try:
        client.reconfig(joining=founding.server_of(rogue).line, leaving=None, new_members=None)
        scene.until(
            lambda: f"server.{rogue.id}=" in client.get("/zookeeper/config")[0].decode(), "the new list is there"
        )
    finally:
        close(client)
    scene.note(f"reconfig made {rogue.name} a voter of the old ensemble, and was accepted")
    scene.await_leader(*scene.old)
    scene.await_leader(rogue)
    scene.side("old", scene.old, f"its list names {rogue.name} as a voter")
    scene.side("rogue", [rogue], "leads an ensemble of its own")
