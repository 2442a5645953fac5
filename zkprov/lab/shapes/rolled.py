"""Static lists edited by hand, server by server, and what comes of the restarts."""

from __future__ import annotations

from zkprov.lab import founding
from zkprov.lab.outage import make_outage
from zkprov.lab.ready import mode
from zkprov.lab.shapes.scene import Scene, epoch, logged, names
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import NotHealthy

_TRIES = 6
EPOCH_LOOP = r"Leaders epoch, \d+ is less than accepted epoch, \d+"


def static_3_5(scene: Scene) -> None:
    old, new = _half_rolled(scene)
    scene.side("old", old, "still the list of three, of which they are a quorum")
    scene.side("new", new, "the list of five, of which they are a quorum")


def merged(scene: Scene) -> None:
    """The same, and the roll is finished: what each side wrote at the same zxids stays where it is."""
    old, new = _half_rolled(scene)
    scene.write("new", new)
    scene.kill(*old)
    for host in old:
        scene.relist(host, (*scene.old, *(h for h in new if h not in scene.old)))
    scene.start(*old)
    everyone = (*old, *new)
    scene.await_leader(*everyone)
    scene.note(f"{names(old)} were restarted with the list of five as well: one leader, and all follow")
    scene.side("one", everyone, "one leader, one list; what they hold differs", writes=False)


def epoch_loop(scene: Scene) -> None:
    """The lists of the old ones are "corrected" while the second ensemble stands at a lower epoch: it will not have them, nor they it."""
    _bounce(scene, scene.old)
    scene.note("the old ensemble has had an election since it began")
    new = make_outage(scene.lab, scene.timeout_s)
    scene.await_leader(*new)
    scene.note(f"{names(new)} were started together, with a static list of all seven")
    scene.side("new", new, "the list of seven, of which they are a quorum, at the lower epoch")
    scene.kill(*scene.old)
    for host in scene.old:
        scene.relist(host, (*scene.old, *new))
    scene.start(*scene.old)
    scene.note(f"{names(scene.old)} were restarted with the list of all seven")
    # whoever lost a notification asks again after up to a minute, and says nothing until then
    scene.until(lambda: sum(logged(host, EPOCH_LOOP) > 1 for host in scene.old) > 1, "they try to join again and again")
    scene.side("old", scene.old, "have what was acknowledged, and cannot join")


def captured(scene: Scene) -> None:
    """The same, and the second ensemble is at the higher epoch: each restarted member goes over to it and takes its data."""
    new = make_outage(scene.lab, scene.timeout_s)
    scene.await_leader(*new)
    scene.note(f"{names(new)} were started together, with a static list of all seven")
    while max(epoch(h) for h in new) <= max(epoch(h) for h in scene.old):
        _bounce(scene, new)
    scene.note("their leader was restarted, so they are at the higher epoch")
    scene.write("new", new)
    last = scene.leader()
    taken = [host for host in scene.old if host != last]
    for host in taken:
        scene.kill(host)
        scene.relist(host, (*scene.old, *new))
        scene.start(host)
        scene.await_leader(*new, host)
        scene.note(f"{host.name} was restarted with the list of all seven, and follows the other leader")
    scene.until(lambda: not mode(last.client_port), f"{last.name} serves no more", [last])
    scene.side("new", (*new, *taken), "the higher epoch, and most of the old members")
    scene.side("old", [last], "alone with what was acknowledged, no quorum")


def _half_rolled(scene: Scene) -> tuple[list[InventoryHost], list[InventoryHost]]:
    """Three become five by hand; the old leader was restarted first, with the new list, beside the two new ones.

    Returns those with the list of three, and those with the list of five.
    """
    _let_lead(scene, scene.old[-1])
    leader = scene.leader()
    stay = [host for host in scene.old if host != leader]
    new = scene.spares(2)
    listed = (*scene.old, *new)
    scene.kill(leader)
    scene.await_leader(*stay)
    for host in new:
        scene.lay(host, founding.static_files(host, listed))
    scene.relist(leader, listed)
    scene.start(*new, leader)
    scene.await_leader(leader, *new)
    scene.await_leader(*stay)
    scene.note(f"{leader.name}, the leader, was restarted first with the list of five, and {names(new)} were started")
    return stay, [leader, *new]


def _let_lead(scene: Scene, wished: InventoryHost) -> None:
    """Whoever else leads is restarted, until the one of the highest id does.

    Measured on 3.9.5, three times of three: where 2 was the old leader, it and the new ones follow 3, the leader of the others.
    """
    for _ in range(_TRIES):
        leader = scene.leader()
        if leader == wished:
            return
        scene.kill(leader)
        scene.await_leader(*(host for host in scene.old if host != leader))
        scene.start(leader)
        scene.await_leader(*scene.old)
    raise NotHealthy(f"{wished.name} is not elected", place=scene.lab.name, remedy=scene.anew)


def _bounce(scene: Scene, hosts: tuple[InventoryHost, ...]) -> None:
    """Their leader is restarted, so they hold an election and are an epoch further on."""
    leader = scene.await_leader(*hosts)
    before = max(epoch(host) for host in hosts)
    scene.kill(leader)
    scene.start(leader)
    scene.await_leader(*hosts)
    if max(epoch(host) for host in hosts) <= before:
        raise NotHealthy(f"no election was held: still epoch {before}", place=names(hosts), remedy=scene.anew)
