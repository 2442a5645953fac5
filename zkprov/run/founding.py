"""Bootstrap: one founder that may vote though it is empty, then every other host of the group, one at a time, by the rules of adding.

Founders count as seasoned as long as nobody has data in the ensemble (R2); one quorum is proved before each step all the same (R1).
What stands is read from the hosts and the servers, so the same command goes on wherever it was cut off.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from zkprov.act.session import close, connect
from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health, judge
from zkprov.judge.newcomers import disks_of, ledger_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Mode, Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, Interrupted, NotHealthy
from zkprov.model.server import ClientAddress, Role, Server
from zkprov.observe.credentials import credential_of
from zkprov.plan.entry import comes_in_empty
from zkprov.plan.steps import Options, Refusal
from zkprov.run.acts import log_of
from zkprov.run.clock import Clock
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.planning import ledger_writer, make_plan
from zkprov.run.result import Result
from zkprov.run.runner import BOOTSTRAP, Conductor
from zkprov.run.world import World

GLANCE_S = 0.05
FOUNDER_S = 60.0
"""For the first server to lead itself: a cold Java on a slow disk takes some ten seconds."""


class Founding(msgspec.Struct, frozen=True):
    """Who founds, who comes after, in order. `begun`: the founder's host is ours from an earlier attempt; `stands`: it leads."""

    ensemble: str
    founder: Server
    host: str
    others: tuple[str, ...]
    begun: bool = False
    stands: bool = False

    @property
    def run(self) -> str:
        """What every host is fenced by: two people who would have different founders are in each other's way, not side by side."""
        return run_of(self.host)


def run_of(host: str) -> str:
    return f"{BOOTSTRAP}{host}"


def plan_founding(world: World, options: Options) -> Founding | Refusal | None:
    """What is to be done; None where the ensemble stands already, all hosts being members. Nothing is touched.

    Refused where anything at all answers or lies on a host of the group, unless an earlier attempt left it there. Raises `BadInput`.
    """
    hosts = world.inventory.hosts
    founder = next((h for h in hosts if h.role is Role.PARTICIPANT), None)
    if founder is None:
        remedy = "give at least one host zkprov_role: participant"
        raise BadInput("no host of the group is to vote", place=world.inventory.path, remedy=remedy)
    if not founder.release:
        place = f"{world.inventory.path}: {founder.name}"
        raise BadInput("no zkprov_release", place=place, remedy="write the release to install, such as 3.9.5")
    server_id = founder.id if founder.id is not None else _free(hosts)
    client = ClientAddress(founder.client_port, founder.client_host)
    server = Server(server_id, (founder.server_address,), client=client)
    # voters first: an observer adds nothing that a failure would be survived by
    rest = sorted((h for h in hosts if h is not founder), key=lambda h: h.role is Role.OBSERVER)
    made = Founding(world.inventory.ensemble, server, founder.name, tuple(h.name for h in rest))
    health = judge(world.survey(), Purpose.LOOK)
    ledger, live = ledger_of(health.picture.survey), health.picture.live
    if live is not None and ledger is not None and ledger.founding:
        rest_of_them = tuple(n for n in made.others if not _member(world, n, live))
        return msgspec.structs.replace(made, others=rest_of_them, begun=True, stands=True)
    mine = world.host(founder.name).fenced_by() == made.run
    if live is not None and live.same_list(Members.of(server)) and ledger is None and mine:
        return msgspec.structs.replace(made, begun=True, stands=True)
    if live is not None and ledger is not None and all(_member(world, h.name, live) for h in hosts):
        return None
    if live is not None and any(_member(world, h.name, live) for h in hosts):
        missing = [h.name for h in hosts if not _member(world, h.name, live)]
        add = (f"zkprov add-node {' '.join(missing)}", "adds them, by the rules of an ensemble that holds data")
        headline = "an ensemble stands here already, and its founding is over."
        return Refusal("R10", headline, (f"its list is {live}, not in it: {', '.join(missing)}",), (add,))
    refusal = next((r for h in hosts if not (mine and h is founder) and (r := _bare(h, health))), None)
    return refusal or msgspec.structs.replace(made, begun=mine)


def _free(hosts: Sequence[InventoryHost]) -> int:
    taken = {h.id for h in hosts}
    return next(i for i in range(1, 256) if i not in taken)


def _member(world: World, name: str, live: Members) -> bool:
    return any(world.inventory_host(name).is_server(s) for s in live.servers)


def _bare(host: InventoryHost, health: Health) -> Refusal | None:
    seen = health.picture.survey.by_name(host.name)
    refusal = comes_in_empty(host, seen, health)
    if refusal is None and seen is not None and seen.disk.outcome not in (Outcome.OK, Outcome.ABSENT):
        headline = f"whether {host.name} is bare cannot be told."
        refusal = Refusal("R5", headline, (str(seen.disk),), (("zkprov status", "shows what was seen"),), exit_code=4)
    return refusal


@dataclass(frozen=True)
class Founder:
    """Does it. `say` gets one line for each thing that is done; `stop` ends it at the next place where that can be."""

    world: World
    made: Founding
    clock: Clock
    say: Callable[[str], None]
    stop: threading.Event
    attempt: int
    """Grows with each attempt: a later one takes the hosts over, and an earlier one that still runs is told so."""

    def found(self, options: Options) -> None:
        """Until the first server leads itself and the ledger is written. Raises `NotHealthy`, `Busy`, `BadInput`, `Interrupted`."""
        hosts = [self.world.host(name) for name in (self.made.host, *self.made.others)]
        for host in hosts:
            host.fence(self.made.run, self.attempt)
        if not self.made.stands:
            self._still_bare()
            self._start()
        self._await_leader()
        self._write_ledger(options)
        for host in reversed(hosts):
            host.unfence(self.made.run, self.attempt)

    def _still_bare(self) -> None:
        """Once more, now that nobody else can begin here."""
        health = judge(self.world.survey(), Purpose.LOOK)
        names = self.made.others if self.made.begun else (self.made.host, *self.made.others)
        for name in names:
            if refusal := _bare(self.world.inventory_host(name), health):
                what = f"{refusal.headline} ({'; '.join(refusal.evidence)})"
                raise NotHealthy(what, place=name, remedy="zkprov bootstrap: it looks again")

    def _start(self) -> None:
        made, host = self.made, self.world.host(self.made.host)
        release = self.world.inventory_host(made.host).release or ""
        files = self.world.render_founder(made.host, made.founder, release)
        self._checkpoint()
        if made.begun and host.exists():
            host.stop(10)
            self.say(f"{made.host}: what an earlier attempt left is at {host.set_aside(_free_label(self.clock))}")
        self.say(
            f"{made.host}: install, configure ({', '.join(sorted(files))}), start {made.founder.id} as the founder"
        )
        host.install()
        self._checkpoint()
        host.configure(dict(files), made.run, self.attempt)
        host.enable()
        host.start()

    def _await_leader(self) -> None:
        deadline = self.clock.monotonic() + FOUNDER_S
        while True:
            srvr = self.world.glance(self.made.host).srvr
            if srvr.value is not None and srvr.value.mode is Mode.LEADER:
                return
            self._checkpoint()
            if self.clock.monotonic() > deadline:
                log = log_of(self.world.inventory_host(self.made.host))
                raise NotHealthy(f"the founder does not lead: {srvr}", place=self.made.host, remedy=log)
            self.clock.wait(self.stop, GLANCE_S)

    def _write_ledger(self, options: Options) -> None:
        made = self.made
        survey = self.world.survey()
        health = judge(survey, Purpose.LOOK)
        live = health.picture.live
        if live is None or not live.same_list(Members.of(made.founder)):
            what = f"the list is {live}, expected {Members.of(made.founder)}"
            if ledger_of(survey) is None:
                raise NotHealthy(what, place=made.host, remedy="zkprov status")
            return
        at = self.world.inventory_host(made.host).client
        client = connect((at,), credential_of(self.world.inventory), 6.0)
        try:
            ledger = EnsembleLedger(client, credential_of(self.world.inventory))
            marks = disks_of(health.picture) | {made.founder.id: self.world.host(made.host).mark_disk()}
            uuid = ledger.ensure(live, serving_voters(health.picture), marks, options.season_s, founding=True)
        finally:
            close(client)
        self.say(f"{made.ensemble} is founded: {live}, {uuid}")

    def _checkpoint(self) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov bootstrap: it goes on from here")


def _free_label(clock: Clock) -> str:
    return f"set-aside-{int(clock.now())}"


def bootstrap(conductor: Conductor, made: Founding, options: Options, say: Callable[[str], None]) -> Result | None:
    """Founds, then adds the others: voters first, then observers. The result of the last run; None where nobody was to come in.

    Raises what founding raises; a refused plan is a `NotHealthy`.
    """
    world = conductor.world
    attempt = int(conductor.clock.now())
    # a run that brings somebody in has that host: it is taken up before the founding takes the hosts
    result = conductor.resume() if made.stands else None
    if result is not None and result.exit_code:
        return result
    live = judge(world.survey(), Purpose.LOOK).picture.live if made.stands else None
    left = tuple(n for n in made.others if live is None or not _member(world, n, live))
    founding = msgspec.structs.replace(made, others=left)
    Founder(world, founding, conductor.clock, say, conductor.stop, attempt).found(options)
    for role in (Role.PARTICIPANT, Role.OBSERVER):
        if result is not None and result.exit_code:
            return result
        live = judge(world.survey(), Purpose.LOOK).picture.live
        names = [n for n in made.others if world.inventory_host(n).role is role]
        names = [n for n in names if live is None or not _member(world, n, live)]
        if not names:
            continue
        plan = make_plan(world, names, msgspec.structs.replace(options, role=role), conductor.who)
        if isinstance(plan, Refusal):
            what = f"{plan} ({'; '.join(plan.evidence)})"
            raise NotHealthy(what, place=made.ensemble, remedy=next((c for c, _ in plan.next if c), "zkprov status"))
        result = conductor.apply(plan)
    return result


def over(world: World) -> None:
    """The founding is over: who comes in from now on is a newcomer."""
    with ledger_writer(world.inventory, world.timeout_s) as ledger:
        ledger.founded()
