"""Carries a recovery out: all is saved and set aside, the best survivor is founded anew on a copy of its data, the others come in empty.

Nobody serves, so there is no ledger: what is to be done stands in the journal of this machine, and each host is fenced. Every act may be
repeated, and the order is what makes it safe: every survivor's backup is sealed before any disk is moved; every other disk is set aside
before the founder is laid, so that nobody's higher list can take it over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from zkprov import __version__
from zkprov.act import backups
from zkprov.act.hosts import STOP_S, place_aside
from zkprov.act.session import close
from zkprov.judge.health import judge
from zkprov.judge.newcomers import SEASON_S
from zkprov.judge.picture import client_of
from zkprov.judge.verdict import Purpose
from zkprov.model.backup import About, Reached, name_of
from zkprov.model.facts import LedgerMember, Retired
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, Busy, Interrupted, NotHealthy, Problem, Stale
from zkprov.model.recovery import FENCE, Recovery, Survivor
from zkprov.plan.recovery import Attested, plan_recovery
from zkprov.plan.steps import Options, Plan, Refusal, StepKind
from zkprov.run.founding import await_founder
from zkprov.run.journal import OPEN_STATES, State
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.planning import make_plan, missing
from zkprov.run.result import Result

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.run.journal import Journal
    from zkprov.run.runner import Conductor
    from zkprov.run.world import World

KIND = "recovery"
"""Of the journal's document, by ensemble."""
AGAIN = "zkprov recover: it goes on from here"
APART_S = 0.4


class Standing(msgspec.Struct, frozen=True):
    """A recovery that was begun. `backup`: the name of every survivor's. `restored`: the founder's data is laid, whole."""

    recovery: Recovery
    backup: str
    by: str
    season_s: float = SEASON_S
    restored: bool = False
    format: int = 1

    @property
    def label(self) -> str:
        """How the folders' names end that are set aside."""
        return f"recovered-{self.backup.partition('-')[0].lower()}"


def standing(journal: Journal, ensemble: str) -> Standing | None:
    """The recovery of this ensemble that was begun on this machine and has not ended. Raises `BadInput` for one of a newer zkprov."""
    found = journal.kept(KIND, ensemble)
    if not found:
        return None
    try:
        return msgspec.json.decode(found[0], type=Standing)
    except msgspec.MsgspecError as wrong:
        raise BadInput(
            f"a recovery that cannot be read: {wrong}", place="journal", remedy="use the zkprov that began it"
        ) from None


def look(world: World, attested: Attested) -> Recovery | Refusal | None:
    """What is to be done, of a fresh survey (`plan_recovery`). Raises `BadInput`, `Busy` where a run has one of the hosts."""
    survey, before = world.survey(), None
    if any(f.serving for f in survey.servers):
        # what may be an election in one look is told by the next
        world.stop.wait(APART_S)
        before, survey = survey, world.survey()
    health = judge(survey, Purpose.LOOK, earlier=before)
    reached: dict[str, Reached | str] = {}
    for host in world.inventory.hosts:
        facts = survey.by_name(host.name)
        if facts is None or facts.serving or facts.disk.value is None or not facts.disk.value.has_data:
            continue
        try:
            holder = world.host(host.name).fenced_by()
            if holder is not None:
                _refuse_fenced(holder, host.name, world.host(host.name).fence_file)
            reached[host.name] = backups.reached(world.host(host.name))
        except Busy:
            raise
        except Problem as problem:
            reached[host.name] = str(problem)
    return plan_recovery(health, reached, world.inventory, attested)


def _refuse_fenced(holder: str, name: str, file: str) -> None:
    if holder.startswith(FENCE):
        remedy = f"go on with it where it was begun: zkprov recover; over for sure? rm {file}, on {name}"
        raise Busy("another recovery has this host", place=name, remedy=remedy)
    # a run that stood when the quorum was lost is over: its plan is of a list that will not be any more; but a person says so
    remedy = f"that run cannot go on without a quorum; it ends with this: rm {file}, on {name}, then zkprov recover"
    raise Busy(f"run {holder} has this host", place=name, remedy=remedy)


class Recoverer:
    """Recovers. `say` gets one line for each thing that is done."""

    def __init__(self, conductor: Conductor, begun: Standing, say: Callable[[str], None]) -> None:
        self.world, self.clock, self.stop = conductor.world, conductor.clock, conductor.stop
        self.journal, self.begun, self.say = conductor.journal, begun, say
        self.attempt = int(self.clock.now())

    @property
    def made(self) -> Recovery:
        return self.begun.recovery

    def recover(self) -> None:
        """Until the founder leads alone and the ledger says who is gone. Raises `NotHealthy`, `Busy`, `Stale`, `Interrupted`."""
        hosts = {name: self.world.host(name) for name in self.made.hosts}
        for host in hosts.values():
            host.fence(self.made.run, self.attempt)
        self._keep()
        if not self.begun.restored:
            self._save(hosts)
            self._set_aside(hosts)
            self._lay(hosts[self.made.host])
        self._start(hosts[self.made.host])
        await_founder(self.world, self.made.host, self.clock, self.stop, self._checkpoint)
        self._write_ledger(hosts)
        for host in reversed(hosts.values()):
            host.unfence(self.made.run, self.attempt)
        self.journal.drop(KIND, self.made.ensemble)

    def _keep(self) -> None:
        self.journal.keep(KIND, self.made.ensemble, msgspec.json.encode(self.begun))

    def _save(self, hosts: dict[str, Host]) -> None:
        """Every survivor's data into a backup on its host; none is touched before the last of them is sealed."""
        for survivor in self.made.survivors:
            self._checkpoint()
            host = hosts[survivor.host]
            if any(b.name == self.begun.backup and b.state == "whole" and b.data for b in backups.listed(host)):
                continue
            if not host.has_data():
                what = f"its backup {self.begun.backup} is not there any more, and its disk was set aside"
                where = place_aside(host.host, self.begun.label)
                raise NotHealthy(what, place=survivor.host, remedy=f"put {where} back where it was")
            self._stopped(host, survivor.host)
            now = backups.reached(host)
            if now != survivor.reached:
                what = f"its disk reaches {now.zxid:#x} now, and {survivor.reached.zxid:#x} when it was planned"
                self._give_up(hosts)
                raise Stale(what, place=survivor.host, remedy="zkprov recover: it looks again")
            saved = backups.copy(host, self.begun.backup, self.made.run, data=True)
            backups.seal(host, self.begun.backup, self._about(survivor))
            self.say(f"{survivor.host}: saved as {self.begun.backup}, up to {saved.zxid:#x}")

    def _give_up(self, hosts: dict[str, Host]) -> None:
        """Nothing was moved yet: the hosts are given back, and what was begun is forgotten."""
        for host in reversed(hosts.values()):
            host.unfence(self.made.run, self.attempt)
        self.journal.drop(KIND, self.made.ensemble)

    def _about(self, survivor: Survivor) -> About:
        return About(
            self.made.ensemble,
            survivor.host,
            survivor.id,
            self.world.inventory_host(survivor.host).release or "",
            self.clock.now(),
            self.begun.by,
            self.made.run,
            __version__,
        )

    def _stopped(self, host: Host, name: str) -> None:
        if host.is_active():
            self.say(f"{name}: stop")
            host.stop(STOP_S)

    def _set_aside(self, hosts: dict[str, Host]) -> None:
        """The others' first: none of them may be there when the founder starts."""
        survey = self.world.survey()
        for name in (*(n for n in self.made.hosts if n != self.made.host), self.made.host):
            self._checkpoint()
            host, facts = hosts[name], survey.by_name(name)
            host.fence(self.made.run, self.attempt)
            host.disable()
            self._stopped(host, name)
            if not host.exists():
                continue
            disk = facts.disk.value if facts else None
            founding = disk is not None and disk.acting is not None and disk.acting.members.same_list(self._alone)
            # what an earlier attempt laid and did not finish is no survivor's disk
            label = f"unfinished-{self.attempt}" if name == self.made.host and founding else self.begun.label
            where = host.set_aside(label)
            self.say(f"{name}: set aside at {where}")

    @property
    def _alone(self) -> Members:
        return Members.of(self.made.founder)

    def _lay(self, host: Host) -> None:
        name = self.made.host
        release = self.world.inventory_host(name).release or ""
        files = self.world.render_founder(name, self.made.founder, release)
        # it comes with data: no leave to vote while empty
        files.pop("initialize", None)
        self._checkpoint()
        self.say(f"{name}: install, configure ({', '.join(sorted(files))}), and its data from {self.begun.backup}")
        host.install()
        host.configure(dict(files), self.made.run, self.attempt)
        host.fence(self.made.run, self.attempt)
        backups.restore(host, self.begun.backup)
        self.begun = msgspec.structs.replace(self.begun, restored=True)
        self._keep()

    def _start(self, host: Host) -> None:
        self._checkpoint()
        host.fence(self.made.run, self.attempt)
        host.enable()
        if not host.is_active():
            self.say(f"{self.made.host}: start {self.made.founder.id} as the founder")
            host.start()

    def _write_ledger(self, hosts: dict[str, Host]) -> None:
        """Who is gone, on whose word; and what stood in hand when the quorum was lost is over."""
        made = self.made
        health = judge(self.world.survey(), Purpose.LOOK)
        live = health.picture.live
        if live is None or not live.same_list(self._alone):
            raise NotHealthy(f"the list is {live}, expected {self._alone}", place=made.host, remedy="zkprov status")
        client = self.world.connect((self.world.inventory_host(made.host).client,), self.stop)
        try:
            mark = hosts[made.host].mark_disk()
            ledger = EnsembleLedger(client, self.world.is_known, self.stop)
            run = ledger.read_run()
            if run is not None and run.state in OPEN_STATES:
                ledger.claim(msgspec.structs.replace(run, state=State.ABORTED))
                self.say(f"run {run.run}, which stood when the quorum was lost, is over")
            founder = LedgerMember(0, mark, live.version, seasoned=True, season_s=self.begun.season_s)
            ledger.ensure(live, live.voters, {made.founder.id: mark}, self.begun.season_s, confirmed=live.voters)
            ledger.member_is(made.founder.id, founder)
            for retired in self._retired():
                ledger.retire(retired)
                ledger.member_left(retired.id)
        finally:
            close(client)
        self.say(f"{made.ensemble} is founded anew: {live}, version {live.version_hex}")

    def _retired(self) -> list[Retired]:
        made, base = self.made, self.made.base
        found = [
            Retired(
                g.server.id, g.host, client_of(g.server), 0, "", g.fate, base, f"recover: {g.why} ({self.begun.by})"
            )
            for g in made.gone
        ]
        for survivor in made.survivors:
            line = base.get(survivor.id)
            if survivor.id == made.founder.id or line is None:
                continue
            where = place_aside(self.world.inventory_host(survivor.host), self.begun.label)
            why = f"recover: its disk was set aside, and must not be put back: {where} ({self.begun.by})"
            found.append(Retired(survivor.id, survivor.host, client_of(line), 0, where, "wiped", base, why))
        return found

    def _checkpoint(self) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy=AGAIN)


def recover(
    conductor: Conductor, made: Recovery | Standing, options: Options, say: Callable[[str], None]
) -> Result | None:
    """Founds anew, then adds the others by the rules of adding; None where nobody is to come in.

    Raises `Busy`, `BadInput`, `Stale`, and `Interrupted` for whatever else stops it once the hosts are taken.
    """
    begun = made
    if isinstance(begun, Recovery):
        name = name_of(conductor.clock.now(), "recover")
        begun = Standing(begun, name, conductor.who, options.season_s)
    try:
        Recoverer(conductor, begun, say).recover()
    except NotHealthy as wrong:
        remedy = f"{wrong.remedy}; then {AGAIN}" if wrong.remedy else AGAIN
        raise Interrupted(wrong.problem, place=wrong.place, remedy=remedy) from None
    return add_others(conductor, begun.recovery.others, options, say)


def _waits(plan: Plan | Refusal) -> bool:
    if isinstance(plan, Refusal):
        return plan.rule == "R2"
    return any(s.kind is StepKind.SEASON for s in plan.steps)


def add_others(
    conductor: Conductor, names: Sequence[str], options: Options, say: Callable[[str], None]
) -> Result | None:
    """As many as may come in at once: R2 lets one in at first. The rest with `--wait`, or by a command that is told."""
    world = conductor.world
    here = missing(world)
    wanted = [n for n in names if n in here]
    if not wanted:
        return None
    plan = make_plan(world, wanted, options, conductor.who)
    rest: list[str] = []
    while not options.wait and len(wanted) > 1 and _waits(plan):
        rest.insert(0, wanted.pop())
        plan = make_plan(world, wanted, options, conductor.who)
    if isinstance(plan, Refusal):
        what = f"founded anew, and nobody is added: {plan} ({'; '.join(plan.evidence)})"
        raise Interrupted(
            what, place=world.inventory.ensemble, remedy=next((c for c, _ in plan.next if c), "zkprov status")
        )
    result = conductor.apply(plan)
    if rest and not result.exit_code:
        later = f"zkprov add-node {' '.join(rest)} --wait      goes on when who came in is seasoned (R2)"
        result = msgspec.structs.replace(result, next=(later, *result.next))
    return result
