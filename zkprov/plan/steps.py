"""A plan and its steps as values: what will be done, the lists before and after, the proofs, and what a failure undoes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from zkprov.judge.newcomers import SEASON_S
from zkprov.model.members import Members, Seat
from zkprov.model.server import Role, Server
from zkprov.model.split import Split

FORMAT = 3
"""Of plan documents. A newer zkprov reads all older formats; an older one refuses a newer format by name.

A plan has the format of the oldest zkprov that carries it out whole: 3 where a split is healed, 2 where hosts are rebooted, else 1.
"""


class StepKind(StrEnum):
    START = "start"  # install, configure, start: it follows the leader and votes for nothing
    ADMIT = "admit"  # reconfig as observer
    PROMOTE = "promote"  # reconfig as participant
    SETTLE = "settle"  # good samples for a while
    SEASON = "season"  # wait until a newcomer is seasoned (R2)
    HAND_OVER = "hand-over"  # reconfig of a leader that leaves as observer: another leads, without an election
    DEMOTE = "demote"  # the same of one that stays as an observer, leader or not
    REMOVE = "remove"  # reconfig without it
    RETIRE = "retire"  # clients waited for, stopped, disabled, set aside, remembered (R7)
    RESTART = "restart"  # stopped (a leader hands over first), configured where that is wished, started, in sync again
    RETURN = "return"  # a member whose disk is new: laid with the live list, started, a newcomer once it is in sync
    MOVE = "move"  # reconfig of a member at another place: ports, or a name
    LAY_OUT = "lay-out"  # a release is laid out on hosts, beside what runs there
    BACKUP = "backup"  # configs and epochs of all members, data of one, kept on their hosts
    FLAG = "flag"  # settings written into zoo.cfg of all members; nothing is restarted yet
    FREEZE = "freeze"  # of a split: the disks of every side are copied
    FENCE = "fence"  # one of a side that is not kept: stopped, disabled, set aside
    ALONE = "alone"  # proved that nobody left can elect another leader (R1)
    SEED = "seed"  # an empty member gets leave to vote, where the kept side is no quorum of its list
    ELECT = "elect"  # the kept side has one leader; its servers are restarted where they must be
    CONFIRM = "confirm"  # one history, equal digests, a write through every server
    ADOPT = "adopt"  # looked at whole: one list of a version on every member, which can be changed; the ledger


LEAVING = frozenset({StepKind.HAND_OVER, StepKind.DEMOTE, StepKind.REMOVE, StepKind.RETIRE})
"""The steps of a server on its way out, or that gives its vote up."""
RECONFIGURING = frozenset(
    {
        StepKind.ADMIT,
        StepKind.PROMOTE,
        StepKind.HAND_OVER,
        StepKind.DEMOTE,
        StepKind.REMOVE,
        StepKind.MOVE,
    }
)
"""The steps that change the list for good."""
ROLLING = "restart"
"""The kind of a plan by which members are stopped and started, one at a time; the list stays."""
UPGRADE = "upgrade"
DOWNGRADE = "downgrade"
SWITCHING = frozenset({UPGRADE, DOWNGRADE})
"""The kinds of the same with another release, newer or older, at each start."""
RENEWAL = "renew"
"""The kind of a plan by which a member comes back on a new disk."""
ADOPTION = "adopt"
"""The kind of a plan by which an ensemble that zkprov did not make becomes one that it can change; the list stays."""
SET_ROLE = "set-role"
"""The kind of a plan by which nobody comes in or leaves: a member gets a vote (and is among `joiners`), or gives it up (`leavers`)."""
SET_ADDRESS = "set-address"
"""The kind of a plan by which a member is known at another place."""
HEAL = "heal"
"""The kind of a plan by which one side of a split is kept, the others fenced, and the list brought to its full number again."""
GRANT = "grant"
"""The kind of a record, not of a plan: a right was given, and it has no steps."""
SPLIT_STEPS = frozenset({StepKind.FREEZE, StepKind.FENCE, StepKind.ALONE, StepKind.SEED, StepKind.ELECT})
"""The steps that are taken without a quorum to ask: by the journal and the hosts' fences alone."""


_OF_ALL = frozenset({StepKind.FREEZE, StepKind.ALONE, StepKind.ELECT, StepKind.CONFIRM})


class Proof(msgspec.Struct, frozen=True):
    """One proved state: `before`, `crash within`, `after`; and how many servers' lists it rests on."""

    state: str
    verdict: str


class Step(msgspec.Struct, frozen=True):
    """One step. `server` is the id it is about. `before` and `after` carry no version: that is ZooKeeper's to give.

    `spare_after`: voters that may fail once it is done. `wait_s`: seconds, for settle and season. `files`: what a restart lays.
    `hands_over`: of one that leads, by two reconfigs that end where they began. `release`: which one the server runs once it is restarted
    (empty: as before), or which one is laid out on `hosts`. `settings`: which lines are written into zoo.cfg of `hosts`. `begun`: a server
    may have been stopped for it. `reboots`: the host is, while its server is stopped.
    """

    number: int
    kind: StepKind
    server: int
    host: str
    before: Members
    after: Members
    spare_after: int
    proofs: tuple[Proof, ...] = ()
    asks: tuple[str, ...] = ()
    undo: str = ""
    wait_s: float = 0.0
    files: tuple[str, ...] = ()
    hands_over: bool = False
    release: str = ""
    hosts: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    begun: bool = False
    reboots: bool = False

    @property
    def title(self) -> str:
        match self.kind:
            case StepKind.START:
                return f"start {self.server} as observer of {self.before}"
            case StepKind.ADMIT:
                return f"admit {self.server} as observer"
            case StepKind.PROMOTE:
                return f"promote {self.server}"
            case StepKind.SETTLE:
                return f"wait: settle {seconds(self.wait_s)}"
            case StepKind.SEASON:
                return f"wait: until {self.server} is seasoned ({seconds(self.wait_s)})"
            case StepKind.HAND_OVER:
                return f"hand over: {self.server}, which leads, becomes an observer"
            case StepKind.DEMOTE:
                return f"{self.server} becomes an observer"
            case StepKind.REMOVE:
                return f"remove {self.server}"
            case StepKind.MOVE:
                to = self.after.get(self.server)
                return f"move {self.server} to {to.place if to else '?'}"
            case StepKind.RETURN:
                return f"bring {self.server} back on its new disk"
            case StepKind.BACKUP:
                return "back up: configs and epochs of all" + (f", data of {self.server}" if self.host else "")
            case StepKind.FLAG:
                lines = "1 line" if len(self.settings) == 1 else f"{len(self.settings)} lines"
                on = self.hosts[0] if len(self.hosts) == 1 else f"{len(self.hosts)} members"
                return f"write {lines} into zoo.cfg of {on}; no restart yet"
            case StepKind.FREEZE:
                return f"back up every side: configs, epochs, data of {len(self.hosts)} hosts"
            case StepKind.FENCE:
                return f"fence {self.host}: stop, disable, set its disk aside"
            case StepKind.ALONE:
                return "nobody left can elect another leader"
            case StepKind.SEED:
                return f"bring {self.server} back empty, with leave to vote"
            case StepKind.ELECT:
                again = ", with that list laid again" if self.files else ""
                return f"one leader of {self.before}, who is of the kept side{again}"
            case StepKind.CONFIRM:
                return "confirm: one history, equal digests, a write through every server"
            case StepKind.ADOPT:
                return "one list of a version on every member; the ledger"
            case StepKind.RETIRE:
                return f"retire {self.server}: " + ("stop, disable, set aside" if self.host else "remember its disk")
            case StepKind.LAY_OUT:
                return f"lay out {self.release} on {', '.join(self.hosts)}"
            case StepKind.RESTART:
                first, with_what = "hand over and " * self.hands_over, ", ".join(self.files)
                other = self.release or (f"another {with_what}" if with_what else "")
                return f"{first}{self.act} {self.server}" + (f" with {other}" if other else "")

    @property
    def act(self) -> str:
        """What is done, in one word: of a restart whether the host is rebooted for it."""
        return "reboot" if self.reboots else str(self.kind)

    @property
    def name(self) -> str:
        """Short, for events and the journal: `promote 4`."""
        about = {StepKind.LAY_OUT: self.release, StepKind.FENCE: self.host}.get(self.kind, str(self.server))
        return self.act if self.kind in _OF_ALL else f"{self.act} {about}"

    @property
    def proof(self) -> str:
        if not self.proofs:
            return ""
        return "one quorum" if all(p.verdict == "safe" for p in self.proofs) else "NOT PROVED"


class Options(msgspec.Struct, frozen=True):
    """What the operator may set. Times in seconds; `overrides`: rule → reason; `drain_s`: for the clients of who leaves.

    Of a restart: `handover`, whether a leader hands over before it is stopped; `configure`, whether differing files are laid.
    `reboot`: whether its host is rebooted, within `reboot_timeout_s`.
    `backup`: whether the plan begins with one. Of an upgrade: `soak_s`, good samples for this long after the first server of each release.
    """

    role: Role = Role.PARTICIPANT
    season_s: float = SEASON_S
    settle_s: float = 30.0
    samples: int = 3
    interval_s: float = 0.5
    step_timeout_s: float = 60.0
    wait: bool = False
    reason: str = ""
    overrides: dict[str, str] = {}
    drain_s: float = 30.0
    handover: bool = True
    configure: bool = False
    backup: bool = False
    soak_s: float = 60.0
    reboot: bool = False
    reboot_timeout_s: float = 600.0


class Joiner(msgspec.Struct, frozen=True):
    """A server on its way in: its inventory host, the line it will have in the end, and its seat in a list with groups."""

    host: str
    server: Server
    seat: Seat | None = None


class Leaver(msgspec.Struct, frozen=True):
    """A server on its way out, by its line in the list. `host`: its inventory host, empty for none; `up`: it served when planned."""

    host: str
    server: Server
    up: bool


class Restarted(msgspec.Struct, frozen=True):
    """A member that is stopped and started, by its host and its line in the list; `up`: it served when planned."""

    host: str
    server: Server
    up: bool


class Moved(msgspec.Struct, frozen=True):
    """A member that is known at another place: its inventory host, its line in the list, and the line that it gets."""

    host: str
    server: Server
    to: Server


class Plan(msgspec.Struct, frozen=True):
    """A whole change. It may be applied only while `base`, `history`, `releases` and both digests are still what they were.

    `releases`: of each member that told it, by id. Of an adoption: `missing`, in words, and `lacks`, which lines are to stand in zoo.cfg of
    each member that lacks some, by id; secrets are hidden. `zoo_cfgs`: a digest of what stood in each member's zoo.cfg, by id.
    `split`: what a plan to heal found.
    """

    id: str
    kind: str
    ensemble: str
    made_at: float
    made_by: str
    zkprov: str
    base: Members
    leader: int
    history: str
    joiners: tuple[Joiner, ...]
    steps: tuple[Step, ...]
    options: Options
    unseasoned: tuple[int, ...] = ()
    inventory_digest: str = ""
    templates_digest: str = ""
    releases: dict[int, str] = {}
    notes: tuple[str, ...] = ()
    format: int = 1
    leavers: tuple[Leaver, ...] = ()
    restarted: tuple[Restarted, ...] = ()
    moved: tuple[Moved, ...] = ()
    missing: tuple[str, ...] = ()
    lacks: dict[int, dict[str, str]] = {}
    zoo_cfgs: dict[int, str] = {}
    split: Split | None = None

    @property
    def base_version(self) -> int:
        return self.base.version

    @property
    def final(self) -> Members:
        return self.steps[-1].after if self.steps else self.base

    @property
    def states_proved(self) -> int:
        return sum(len(s.proofs) for s in self.steps)

    def joiner(self, server_id: int) -> Joiner:
        return next(j for j in self.joiners if j.server.id == server_id)

    def leaver(self, server_id: int) -> Leaver:
        return next(x for x in self.leavers if x.server.id == server_id)

    def moved_server(self, server_id: int) -> Moved:
        return next(x for x in self.moved if x.server.id == server_id)

    def server(self, server_id: int) -> Server:
        """The line of one that comes in, as it will be, or of one that leaves or is restarted, as it was."""
        return next(s for s in self.servers if s.id == server_id)

    @property
    def servers(self) -> tuple[Server, ...]:
        """All that the plan is about."""
        return (
            *(x.server for x in self.joiners),
            *(x.server for x in self.leavers),
            *(x.server for x in self.restarted),
            *(x.to for x in self.moved),
        )

    @property
    def leaving(self) -> frozenset[int]:
        """The ids of those that leave: they need not answer (R8)."""
        return frozenset(x.server.id for x in self.leavers)

    @property
    def reconfigures(self) -> bool:
        """Whether it changes the list, if only for a moment."""
        return any(s.kind in RECONFIGURING or s.hands_over for s in self.steps)

    @property
    def rolls(self) -> bool:
        """Whether members are stopped and started by it, one at a time, and the list stays."""
        return self.kind in (ROLLING, ADOPTION) or self.kind in SWITCHING

    def runs(self, number: int) -> dict[int, str]:
        """Id → the release that the member runs before step `number`, by what ran when planned and the steps until then."""
        done = {s.server: s.release for s in self.steps[: number - 1] if s.kind is StepKind.RESTART and s.release}
        return {**self.releases, **done}

    def former(self, step: Step) -> str:
        """The release that the step's server ran before it, where it gets another; else empty."""
        return self.runs(step.number).get(step.server, "") if step.release else ""

    def owner(self, step: Step) -> Step:
        """The restart that a wait for another release belongs to: what fails in it fails that server; else the step itself."""
        before = self.steps[step.number - 2] if step.number > 1 else step
        waits = step.kind is StepKind.SETTLE and self.kind in SWITCHING
        return before if waits and before.kind is StepKind.RESTART and before.server == step.server else step

    def with_begun(self, number: int) -> Plan:
        """The plan, of whose step `number` a server may have been stopped."""
        steps = (msgspec.structs.replace(s, begun=s.begun or s.number == number) for s in self.steps)
        return msgspec.structs.replace(self, steps=tuple(steps))

    def begun_step(self, number: int) -> bool:
        """Whether a server may have been stopped for step `number`."""
        return any(s.begun for s in self.steps if s.number == number)

    @property
    def stopped_nobody(self) -> bool:
        """Of an adoption: no server may have been stopped for it so far."""
        return not any(s.begun for s in self.steps)

    @property
    def unneeded(self) -> frozenset[str]:
        """The gates that this plan does without: what leaves the list as it is may be done to static lists, and to old releases."""
        if self.kind in (ADOPTION, HEAL):
            return frozenset({"dynamic"}) if self.kind == ADOPTION else frozenset({"dynamic", "release"})
        if not self.rolls or self.reconfigures:
            return frozenset()
        # an upgrade has a gate `release` of its own
        return frozenset({"dynamic", "release"}) if self.kind == ROLLING else frozenset({"dynamic"})

    def excused(self, number: int) -> frozenset[int]:
        """Who need not answer in step `number`: who was down from the start; who leaves by it; who is replaced, once the new one is in."""
        if self.kind in (SET_ROLE, SET_ADDRESS):
            return frozenset()
        if self.rolls or self.kind in (RENEWAL, HEAL):
            brings = (StepKind.RESTART, StepKind.RETURN, StepKind.SEED)
            back = {s.server for s in self.steps[: number - 1] if s.kind in brings}
            return frozenset(x.server.id for x in self.restarted if not x.up and x.server.id not in back)
        new = {j.server.id for j in self.joiners}
        came = max((s.number for s in self.steps if s.server in new and s.before != s.after), default=len(self.steps))
        now = next((s.server for s in self.steps[number - 1 :] if s.kind is not StepKind.BACKUP), None)
        return frozenset(x.server.id for x in self.leavers if not x.up or x.server.id == now or number > came)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The inventory hosts that the run acts on."""
        if self.split is not None:
            return self.split.hosts
        leavers = (x.host for x in self.leavers if x.host)
        return (*(x.host for x in self.joiners), *leavers, *(x.host for x in self.restarted))

    def may_be_silent(self, host: str) -> bool:
        """Whether this is the host of a server that was down when the plan was made."""
        return any(x.host == host and not x.up for x in self.leavers)


class Refusal(msgspec.Struct, frozen=True):
    """A change that will not be made. `next` are commands to type, each with what it does."""

    rule: str
    headline: str
    evidence: tuple[str, ...] = ()
    next: tuple[tuple[str, str], ...] = ()
    exit_code: int = 3

    def __str__(self) -> str:
        return f"Refused by {self.rule}: {self.headline}" if self.rule else self.headline


def seconds(value: float) -> str:
    """`30 s`, `12 min`, `1 h 5 min`: how durations are written everywhere."""
    if value < 100:
        return f"{value:.0f} s" if value == int(value) or value >= 10 else f"{value:.1f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
