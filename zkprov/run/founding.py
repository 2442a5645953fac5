"""Carries a bootstrap out: one founder that may vote though it is empty, then every other host, one at a time, by the rules of adding.

Founders count as seasoned as long as nobody has data in the ensemble (R2); one quorum is proved before each step all the same (R1).
What stands is read from the hosts and the servers, so the same command goes on wherever it was cut off.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from zkprov.act.hosts import STOP_S
from zkprov.act.session import close
from zkprov.judge.certificates import founders_certificates
from zkprov.judge.gates import serving_voters
from zkprov.judge.health import judge
from zkprov.judge.newcomers import disks_of
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Mode
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy
from zkprov.model.server import Role
from zkprov.observe.credentials import SETTING, credential_of
from zkprov.plan.founding import Founding, Stage, founder_of, plan_founding, starting
from zkprov.plan.steps import Options, Refusal
from zkprov.run.acts import GLANCE_S, log_of
from zkprov.run.clock import Clock
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.planning import ledger_writer, make_plan, missing
from zkprov.run.result import Result
from zkprov.run.runner import Conductor
from zkprov.run.world import World

if TYPE_CHECKING:
    from zkprov.act.hosts import Host

AGAIN = "zkprov bootstrap: it goes on from here"
LOOK_S = 0.5
"""Between two looks at servers that run and do not serve yet."""
FOUNDER_S = 60.0
"""For the first server to lead itself: a cold Java on a slow disk takes some ten seconds."""


def look(world: World, *, patient: bool = True) -> Founding | Refusal | None:
    """What is to be done, of a fresh survey (`plan_founding`). Raises `BadInput`, also where nobody could change what is founded.

    Servers of the group that run, and do not serve yet, are waited for: a machine that has just come back is no bare host. Not where it is
    known that they wait for something that zkprov is to do (`patient` false).
    """
    host = founder_of(world.inventory)
    deadline = time.monotonic() + FOUNDER_S
    while True:
        holder = world.host(host.name).fenced_by()
        survey = world.survey()
        health = judge(survey, Purpose.LOOK)
        found = plan_founding(health, world.inventory, holder)
        if not isinstance(found, Refusal) or time.monotonic() > deadline:
            break
        if world.host(host.name).fenced_by() != holder:
            continue  # another founding began, or ended, while it was looked
        if found.exit_code == Busy.exit_code or not patient or not starting(health, world.inventory):
            break
        time.sleep(LOOK_S)
    if isinstance(found, Founding) and found.stage in (Stage.BARE, Stage.BEGUN):
        found = _certified(world, found, survey.began)
    files = world.inventory.client_files
    known = credential_of(world.inventory) is not None and SETTING in world.to_render(host.name).settings
    known = known or bool(host.super_dn and files and files.cert) or (host.client_sasl and host.sasl_super)
    if isinstance(found, Founding) and not known:
        raise BadInput(
            "no super user: nobody could change this ensemble once it is founded",
            place=world.inventory.path,
            remedy="set zkprov_super_password (vaulted), or $ZKPROV_SUPER_PASSWORD; with TLS zkprov_super_dn will do, "
            "with SASL for clients zkprov_sasl_super",
        )
    return found


def _certified(world: World, made: Founding, now_s: float) -> Founding | Refusal:
    """The certificates of the whole group, before its first server: one that does not fit would be found when others have data."""
    gate = founders_certificates([(h, world.stores(h.name)) for h in world.inventory.hosts], now_s)
    if not gate.stops:
        return made
    evidence = tuple(str(e) for e in gate.evidence)
    again = ("zkprov bootstrap", "again, when this is mended")
    headline = "the certificates of these hosts are not what an ensemble can be made with."
    return Refusal("R8", headline, evidence, (("", gate.remedy), again), exit_code=4)


def await_founder(world: World, name: str, clock: Clock, stop: threading.Event, checkpoint: Callable[[], None]) -> None:
    """Until the host's server leads itself. Raises `NotHealthy` with its log when it does not, and what `checkpoint` raises."""
    deadline = clock.monotonic() + FOUNDER_S
    while True:
        srvr = world.glance(name).srvr
        if srvr.value is not None and srvr.value.mode is Mode.LEADER:
            return
        checkpoint()
        if clock.monotonic() > deadline:
            log = log_of(world.inventory_host(name))
            raise NotHealthy(f"the founder does not lead: {srvr}", place=name, remedy=log)
        clock.wait(stop, GLANCE_S)


class Founder:
    """Founds. `say` gets one line for each thing that is done."""

    def __init__(self, conductor: Conductor, made: Founding, say: Callable[[str], None]) -> None:
        self.world, self.clock, self.stop = conductor.world, conductor.clock, conductor.stop
        self.made, self.say = made, say
        # a later attempt takes the hosts over, and an earlier one that still runs is told so
        self.attempt = int(self.clock.now())

    def found(self, options: Options) -> None:
        """Until the first server leads itself and the ledger is written. Raises `NotHealthy`, `Busy`, `BadInput`, `Interrupted`."""
        hosts = [self.world.host(name) for name in (self.made.host, *self.made.others)]
        self._fence(hosts)
        self.made = self._again()
        if self.made.stage in (Stage.BARE, Stage.BEGUN):
            self._lay()
        elif self.made.stage is Stage.LAID:
            self._start()
        if self.made.stage is not Stage.FOUNDED:
            await_founder(self.world, self.made.host, self.clock, self.stop, self._checkpoint)
            self._write_ledger(options)
        for host in reversed(hosts):
            host.unfence(self.made.run, self.attempt)

    def _fence(self, hosts: Sequence[Host]) -> None:
        """All of them, or none more than an earlier attempt had: two that begin at once would else lock each other out for good."""
        taken: list[Host] = []
        try:
            for host in hosts:
                if not host.fence(self.made.run, self.attempt):
                    taken.append(host)  # noqa: PERF401 — what was taken before one raises is to be known
        except Busy:
            for host in reversed(taken):
                host.unfence(self.made.run, self.attempt)
            raise

    def _again(self) -> Founding:
        """What is to be done, once more: now that the hosts are fenced nobody else can begin here."""
        health = judge(self.world.survey(), Purpose.LOOK)
        found = plan_founding(health, self.world.inventory, self.made.run)
        if isinstance(found, Founding):
            return found
        what = "every host is a member by now" if found is None else f"{found} ({'; '.join(found.evidence)})"
        raise NotHealthy(what, place=self.made.ensemble, remedy="zkprov bootstrap: it looks again")

    def _lay(self) -> None:
        made, host = self.made, self.world.host(self.made.host)
        release = self.world.inventory_host(made.host).release or ""
        files = self.world.render_founder(made.host, made.founder, release)
        self._checkpoint()
        if host.exists():
            if host.has_data():
                raise NotHealthy(
                    "data came since it was looked at", place=made.host, remedy="zkprov bootstrap: it looks again"
                )
            host.stop(STOP_S)
            where = host.set_aside(f"set-aside-{self.attempt}")
            self.say(f"{made.host}: what an earlier attempt left is at {where}")
        self.say(f"{made.host}: install, configure ({', '.join(sorted(files))})")
        host.install()
        self._checkpoint()
        host.configure(dict(files), made.run, self.attempt)
        self._start()

    def _start(self) -> None:
        self.say(f"{self.made.host}: start {self.made.founder.id} as the founder")
        host = self.world.host(self.made.host)
        host.fence(self.made.run, self.attempt)
        host.enable()
        host.start()

    def _write_ledger(self, options: Options) -> None:
        made = self.made
        health = judge(self.world.survey(), Purpose.LOOK)
        live = health.picture.live
        if live is None or not live.same_list(Members.of(made.founder)):
            what = f"the list is {live}, expected {Members.of(made.founder)}"
            raise NotHealthy(what, place=made.host, remedy="zkprov status")
        client = self.world.connect((self.world.inventory_host(made.host).client,), self.stop)
        try:
            marks = disks_of(health.picture) | {made.founder.id: self.world.host(made.host).mark_disk()}
            ledger = EnsembleLedger(client, self.world.is_known, self.stop)
            uuid = ledger.ensure(
                live, serving_voters(health.picture), marks, options.season_s, confirmed=live.voters, founding=True
            )
        finally:
            close(client)
        self.say(f"{made.ensemble} is founded: {live}, {uuid}")

    def _checkpoint(self) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy=AGAIN)


def bootstrap(conductor: Conductor, made: Founding, options: Options, say: Callable[[str], None]) -> Result | None:
    """Founds, then adds the others: voters first, then observers. The result of the last run; None where nobody was to come in.

    Raises `Busy`, `BadInput`, and `Interrupted` for whatever else stops it once the hosts are taken, a refused plan too.
    """
    world = conductor.world
    # a run that brings somebody in has that host: it is taken up before the founding takes the hosts
    result = conductor.resume() if made.stage is Stage.FOUNDED else None
    if result is not None and result.exit_code:
        return _to_go_on(result)
    if made.stage is Stage.FOUNDED:
        here = missing(world)
        made = msgspec.structs.replace(made, others=tuple(n for n in made.others if n in here))
    with _begun():
        Founder(conductor, made, say).found(options)
        result = _add_others(conductor, made, options) or result
        if result is not None and result.exit_code:
            return _to_go_on(result)
        with ledger_writer(world.inventory, world.timeout_s) as ledger:
            ledger.founded()
    return result


def _add_others(conductor: Conductor, made: Founding, options: Options) -> Result | None:
    """The result of the last run, or of the first that did not end well; None where nobody was to come in."""
    world, result = conductor.world, None
    for role in (Role.PARTICIPANT, Role.OBSERVER):
        here = missing(world)
        names = [n for n in made.others if n in here and world.inventory_host(n).role is role]
        if not names:
            continue
        plan = make_plan(world, names, msgspec.structs.replace(options, role=role), conductor.who)
        if isinstance(plan, Refusal):
            what = f"{plan} ({'; '.join(plan.evidence)})"
            raise NotHealthy(what, place=made.ensemble, remedy=next((c for c, _ in plan.next if c), "zkprov status"))
        result = conductor.apply(plan)
        if result.exit_code:
            break
    return result


def _to_go_on(result: Result) -> Result:
    """By the same command: to take up the run that stopped, or to add the hosts that it was about, would leave the founding undone."""
    kept = (step for step in result.next if not step.startswith(("zkprov resume", "zkprov add-node")))
    return msgspec.structs.replace(result, next=(*kept, AGAIN))


@contextlib.contextmanager
def _begun() -> Iterator[None]:
    """From here on something stands whatever stops it (exit 7), and the same command goes on."""
    try:
        yield
    except NotHealthy as wrong:
        told = "zkprov bootstrap" in wrong.remedy
        remedy = wrong.remedy if told else f"{wrong.remedy}; then {AGAIN}" if wrong.remedy else AGAIN
        raise Interrupted(wrong.problem, place=wrong.place, remedy=remedy) from None
