"""The part of a heal that nobody can be asked about: while there are two leaders, or none, the journal and the hosts' fences alone serve.

Each step may be begun again after a crash at any instant: it fences the host, looks what is there, and goes on from that. Nobody is stopped
before the disks of every side are copied, and nobody is brought back before one quorum is proved.
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING

import msgspec

from zkprov import __version__
from zkprov.act import backups
from zkprov.act.hosts import STOP_S
from zkprov.judge.health import judge
from zkprov.judge.leaders import leaders_of
from zkprov.judge.leaving import not_to_be_started
from zkprov.judge.one_quorum import one_quorum, prove_step
from zkprov.judge.picture import picture_of, release_of
from zkprov.judge.sides import sides_of
from zkprov.judge.verdict import Evidence, GateResult, Purpose, Verdict
from zkprov.model.backup import About, name_of
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.problems import Interrupted, NotHealthy, Problem, Stale
from zkprov.model.split import Split
from zkprov.plan.fencing import relisted
from zkprov.plan.heal import other_sides
from zkprov.plan.steps import SPLIT_STEPS, Plan, Step, StepKind
from zkprov.run.acts import log_of, take
from zkprov.run.clock import Clock
from zkprov.run.copying import at_once, copy_disks
from zkprov.run.events import Events
from zkprov.run.gating import GateFailed
from zkprov.run.journal import Journal
from zkprov.run.world import World

if TYPE_CHECKING:
    from zkprov.act.hosts import Host

LOOK_S = 0.2
ALONE_S = 10.0
"""For the kept side to elect by itself once the others are gone, before those of its servers that serve nobody are restarted."""


class Healing:
    """One attempt at the steps up to the election. `head`: the step in hand."""

    def __init__(
        self,
        plan: Plan,
        world: World,
        *,
        journal: Journal,
        events: Events,
        clock: Clock,
        stop: threading.Event,
        who: str,
        attempt: int = 0,
    ) -> None:
        assert plan.split is not None  # noqa: S101 — of plans to heal only
        self.plan, self.world, self.journal, self.events = plan, world, journal, events
        self.clock, self.stop, self.who, self.attempt = clock, stop, who, attempt
        self.split: Split = plan.split
        self.members: Members = plan.base
        self.in_hand = plan.steps[0]
        self.acted = False

    def carry_out(self, first: int) -> None:
        """The steps from `first` on, as far as they need no quorum. Raises `GateFailed` and any `Problem`; what stands is `stands`."""
        for step in self.plan.steps[first - 1 :]:
            if step.kind not in SPLIT_STEPS:
                return
            self._take(step)

    def _take(self, step: Step) -> None:
        self.in_hand, self.events.step = step, step.number
        self.checkpoint()
        began = self.clock.monotonic()
        self.events.emit("step.begun", step=step.name, title=step.title, host=step.host)
        self.fence(step.number)
        match step.kind:
            case StepKind.FREEZE:
                said = self._freeze(step)
            case StepKind.FENCE:
                said = self._fence(step)
            case StepKind.ALONE:
                said = self._alone(step)
            case StepKind.SEED:
                said = self._seed(step)
            case _:
                said = self._elect(step)
        took = self.clock.monotonic() - began
        self.events.emit("step.done", step=step.name, said=said, took_s=round(took, 2), longest_pause_s=0.0)

    def fence(self, head: int) -> None:
        """The intention, on disk before the act. (Another attempt is told by the hosts' fences: there is no ensemble to ask.)"""
        self.journal.advance(self.plan.id, head, self.plan)

    def checkpoint(self) -> None:
        if self.stop.is_set():
            raise Interrupted("stopped by a signal", remedy="zkprov resume")

    def pause(self, wait_s: float) -> None:
        if self.clock.wait(self.stop, wait_s):
            raise Interrupted("stopped by a signal", remedy="zkprov resume")

    @property
    def stands(self) -> str:
        """Who is fenced by now, in words."""
        done = [s.host for s in self.plan.steps if s.kind is StepKind.FENCE and s.number < self.in_hand.number]
        left = [s.host for s in self.plan.steps if s.kind is StepKind.FENCE and s.number >= self.in_hand.number]
        return "; ".join(
            filter(None, (f"fenced: {', '.join(done)}" * bool(done), f"not yet: {', '.join(left)}" * bool(left)))
        )

    @property
    def touched(self) -> bool:
        """Whether a server may have been stopped: from the moment on that the first one's host is taken."""
        first = next((s.number for s in self.plan.steps if s.kind is not StepKind.FREEZE), 1)
        return self.acted or self.in_hand.number > first or (self.in_hand.number == first and self.attempt > 0)

    # -- the steps

    def _freeze(self, step: Step) -> str:
        """The disks of every side, copied while they serve; sealed when all of them are there. Nothing is left where one fails."""
        survey = self._unchanged()
        name, hosts = name_of(self.plan.made_at, self.plan.id), {n: self.world.host(n) for n in step.hosts}
        self.events.emit("act", what=f"copy configs, epochs and data of {', '.join(hosts)} into backups on their hosts")
        try:
            copy_disks(hosts, name, self.plan.id, at_once(self.world, hosts), self.stop)
        except Interrupted:
            raise
        except Problem as problem:
            for host in hosts.values():
                with contextlib.suppress(Problem):
                    backups.drop(host, name)
            problem.remedy = f"{problem.remedy or 'see why it cannot be copied'}; nobody was stopped"
            raise
        sealed = [backups.seal(host, name, self._about(survey, n)) for n, host in hosts.items()]
        size = sum(b.size for b in sealed)
        self.events.emit(
            "backup",
            name=name,
            hosts={b.host or n: b.what for n, b in zip(hosts, sealed, strict=True)},
            size=size,
            zxid="",
        )
        return f"{name}: config, epochs and data of {', '.join(hosts)} ({size / 1_000_000:.1f} MB)"

    def _about(self, survey: Survey, name: str) -> About:
        facts = survey.by_name(name)
        server_id = facts.id if facts is not None and facts.id is not None else -1
        release = (
            facts.srvr.value.release
            if facts is not None and facts.srvr.value
            else self.world.inventory_host(name).release or ""
        )
        return About(
            self.world.inventory.ensemble,
            name,
            server_id,
            release,
            self.clock.now(),
            self.who,
            self.plan.id,
            __version__,
        )

    def _fence(self, step: Step) -> str:
        """Disabled before it is stopped, so that nothing starts it again; its disk moved, never deleted."""
        self._unchanged()
        host = self.world.host(step.host)
        take(self, host, step)
        self.checkpoint()
        self.acted = True
        self.events.emit("act", what=f"{step.host}: disable, stop, set aside")
        host.disable()
        host.stop(STOP_S)
        if host.is_active():
            stop = GateResult(
                "stopped", Verdict.FAIL, f"{step.host}: a server runs there still", remedy="look what runs there"
            )
            raise GateFailed(stop, step.server)
        where = host.set_aside(self.split.label)
        self.events.emit("act", what=f"{step.host}: its disk is at {where}", host=step.host, where=where)
        return f"stopped for good; its disk is at {where}"

    def _alone(self, step: Step) -> str:
        """R1, with every list that is left: nobody comes back before it passes."""
        fenced = [s for s in self.plan.steps if s.kind is StepKind.FENCE]
        deadline = self.clock.monotonic() + self.plan.options.step_timeout_s
        while True:
            gate = self._alone_now(fenced)
            if gate.verdict is Verdict.PASS:
                return f"{gate.summary}; {len(fenced)} fenced"
            self.events.emit("gate", gate=gate.gate, verdict=str(gate.verdict), summary=gate.summary)
            if self.clock.monotonic() > deadline:
                raise GateFailed(gate, step.server)
            self.pause(LOOK_S)

    def _alone_now(self, fenced: list[Step]) -> GateResult:
        for step in fenced:
            host = self.world.host(step.host)
            if host.is_active() or host.exists():
                what = f"{step.host}: {'a server runs' if host.is_active() else 'something lies'} there again"
                return GateResult("fenced", Verdict.FAIL, what, remedy="see who started it; then zkprov resume")
        picture = picture_of(self.world.survey(clients=False), self.members)
        others = [x for x in leaders_of(picture) if not x.stranger and not self._ours(x.name)]
        if others:
            seen = tuple(Evidence(x.name, "says to lead") for x in others)
            said = f"{', '.join(x.name for x in others)} leads, and is not of side {self.split.keep}"
            return GateResult("one leader", Verdict.FAIL, said, seen, remedy="zkprov status")
        return one_quorum(picture, Purpose.CHANGE)

    def _ours(self, name: str) -> bool:
        return any(name == x.name for x in self.split.kept.servers)

    def _seed(self, step: Step) -> str:
        """Empty, with the kept list and leave to vote. It is in no quorum without the kept side, which knows more: so it cannot lead."""
        host, meant = self.world.host(step.host), self.plan.server(step.server)
        take(self, host, step)
        if not (host.is_active() and host.exists()):
            picture = picture_of(self.world.survey(clients=False), self.members)
            for label, proof in prove_step(picture, self.members, self.members, meant):
                if not proof.safe:
                    raise GateFailed(
                        GateResult("R1 one quorum", Verdict.FAIL, f"{label}: {proof.verdict}", remedy="zkprov prove"),
                        step.server,
                    )
            self._lay(step, host, release_of(picture), leave_to_vote=True)
        return f"runs, empty, with leave to vote under {self.members}"

    def _lay(self, step: Step, host: Host, release: str, *, leave_to_vote: bool) -> None:
        meant = self.plan.server(step.server)
        known = release or self.world.inventory_host(step.host).release or ""
        files = self.world.render_member(step.host, meant, self.members, known)
        files |= {"initialize": ""} if leave_to_vote else {}
        if host.exists():
            host.stop(STOP_S)
            where = host.set_aside(f"set-aside-{self.plan.id}-{self.attempt}")
            self.events.emit("act", what=f"{step.host}: what an earlier attempt left is at {where}")
        self.events.emit("act", what=f"{step.host}: install, configure ({', '.join(sorted(files))}), start")
        host.install()
        host.configure_and_start(dict(files), self.plan.id, self.attempt)

    def _elect(self, step: Step) -> str:
        """One leader of the kept side, followed by a quorum of its list. Who serves nobody by then is started, or restarted, once."""
        if step.files:
            self._relist(step)
        began = self.clock.monotonic()
        deadline, patience = (
            began + self.plan.options.step_timeout_s,
            began + min(ALONE_S, self.plan.options.step_timeout_s / 2),
        )
        told, again = "", False
        while True:
            picture = picture_of(self.world.survey(clients=False), self.members)
            ours = [x for x in leaders_of(picture) if not x.stranger]
            quorum = [x for x in ours if x.has_quorum]
            if len(ours) == 1 and quorum:
                for name in step.hosts if step.files else ():
                    self.world.host(name).drop_former(self.plan.id, self.attempt)
                return f"{quorum[0]} leads; a quorum of {self.members}"
            said = f"{', '.join(str(x) for x in ours) or 'nobody'} leads, without a quorum of {self.members}"
            if said != told:
                told = said
                self.events.emit("gate", gate="one leader", verdict=str(Verdict.FAIL), summary=said)
            if self.clock.monotonic() > deadline:
                raise GateFailed(GateResult("one leader", Verdict.FAIL, said, remedy=self._logs(step)), step.server)
            stopped = [n for n in step.hosts if not self.world.host(n).is_active()]
            if stopped or (self.clock.monotonic() > patience and not again):
                again = again or not stopped
                self._start_again(step, picture.survey, stopped)
            self.pause(LOOK_S)

    def _relist(self, step: Step) -> None:
        """The list in zoo.cfg of each, while all of them are stopped: what an earlier attempt has laid stays."""
        name = name_of(self.plan.made_at, self.plan.id)
        picture = picture_of(self.world.survey(clients=False), self.members)
        acting = {
            f.name: f.disk.value.acting.members for f in picture.survey.servers if f.disk.value and f.disk.value.acting
        }
        wrong = [n for n in step.hosts if n in acting and not acting[n].same_servers(self.members)]
        gone = {x.id for x in self.split.losers}
        for before in (acting[n] for n in wrong[:1]):
            proved = relisted(picture, before, self.members, gone)
            if not proved.safe:
                what = f"while {self.members} is laid: {proved.verdict}"
                raise GateFailed(GateResult("R1 one quorum", Verdict.FAIL, what, remedy="zkprov prove"), step.server)
        hosts = {n: self.world.host(n) for n in step.hosts}
        for host in hosts.values():
            take(self, host, step)
        for host in (hosts[n] for n in step.hosts) if wrong else ():
            self.events.emit("act", what=f"{host.name}: stop, until all have the list {self.members}")
            host.stop(STOP_S)
        for host in (hosts[n] for n in wrong):
            text = backups.file_of(host, name, "config/zoo.cfg").decode()
            self.events.emit("act", what=f"{host.name}: lay the list {self.members} into zoo.cfg")
            host.lay_files({"zoo.cfg": with_list(text, self.members)}, self.plan.id, self.attempt)

    def _logs(self, step: Step) -> str:
        return "; ".join(log_of(self.world.inventory_host(n)) for n in step.hosts[:3])

    def _start_again(self, step: Step, survey: Survey, stopped: list[str]) -> None:
        """Of the kept side: on its own data only (R5). While one of them serves no quorum is lost by it: it is none that serves."""
        for name in stopped or step.hosts:
            facts = survey.by_name(name)
            if facts is None or facts.serving:
                continue
            meant = next((s for s in self.members.servers if s.id == facts.id), None)
            if meant is None or (why := not_to_be_started(facts.disk.value, meant)):
                if facts.disk.value is not None and meant is not None:
                    raise NotHealthy(f"{name} is not started: {why}", place="R5 disk", remedy="zkprov status")
                continue
            host = self.world.host(name)
            take(self, host, step)
            self.events.emit("act", what=f"{name}: serves nobody: {'start' if name in stopped else 'stop, start'}")
            if name not in stopped:
                host.stop(STOP_S)
            host.start()

    def _unchanged(self) -> Survey:
        """Raises `Stale` where the sides are not those of the plan: somebody joined one, changed sides, or has another list."""
        survey = self.world.survey(clients=False)
        health = judge(survey, Purpose.LOOK)
        picture = health.picture
        first = next((s.number for s in self.plan.steps if s.kind is StepKind.FENCE), 0)
        led = [s for s in sides_of(picture) if s.leader]
        if why := other_sides(self.split, led, picture, begun=self.in_hand.number > first > 0):
            raise Stale(why, place=f"plan {self.plan.id}", remedy="zkprov status; then plan again: zkprov heal")
        return survey


LIST = re.compile(r"\s*(server|group|weight)\.")


def with_list(zoo_cfg: str, members: Members) -> str:
    """The same file with this list: of a server that it had the line that it had, else one without a place for clients."""
    lines = zoo_cfg.splitlines()
    had = {x.partition("=")[0].strip(): x for x in lines if LIST.match(x)}
    bare = msgspec.structs.replace(
        members, servers=tuple(msgspec.structs.replace(s, client=None) for s in members.servers)
    )
    wanted = [had.get(x.partition("=")[0].strip(), x) if x.startswith("server.") else x for x in bare.lines]
    return "".join(f"{x}\n" for x in (*(x for x in lines if not LIST.match(x)), *wanted))
