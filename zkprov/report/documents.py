"""The documents that zkprov prints with `--output json`: stable keys, described by JSON Schema (docs/schema)."""

from __future__ import annotations

import re

import msgspec

from zkprov.judge.health import Condition, Health
from zkprov.judge.incidents import BESIDE_US, Incident, Shape
from zkprov.judge.newcomers import ledger_of
from zkprov.judge.picture import Standing, client_of, leads
from zkprov.judge.sides import Side
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.facts import LEFT_BEHIND, Ledger, Outcome, ServerFacts
from zkprov.model.server import Server
from zkprov.model.tree import Compared
from zkprov.plan.steps import Plan, Refusal, seconds
from zkprov.run.events import rfc3339
from zkprov.run.result import Result

OPEN_RUN = re.compile(r'\{"run":"([\w-]{1,40})","state":"(?:running|stopped)","head":(\d{1,4}),')
"""How `/zkprov/run` begins, as long as that run is to be taken up or given up."""


class EnsembleRow(msgspec.Struct, frozen=True):
    """The verdict and what it rests on. `spare`: voters that may fail, −1 without quorum. `config_version` in hex.

    `groups`: of a list with groups, who votes in which: `{1*3,2}`, with the weights that are not 1; only those that count.
    `histories`: what the permanent znode is → the servers that hold it. `clients_beside`: client sessions on rogues.
    """

    name: str
    verdict: Condition
    headline: str
    leaders: list[int]
    epoch: int | None
    config_version: str | None
    members: list[int]
    voters: list[int]
    observers: list[int]
    newcomers: dict[str, float]
    rogues: list[str]
    strangers: list[str]
    histories: dict[str, list[str]]
    clients_beside: int
    spare: int
    asked: int
    answered: int
    took_s: float
    uuid: str | None
    paused: str | None
    run: str | None
    groups: dict[int, str] = {}


class SideRow(msgspec.Struct, frozen=True):
    """One side of an incident: who acts as one ensemble. `leader`: its name. `zxid`: the highest shown. `clients`: sessions on it."""

    name: str
    ids: list[int]
    servers: list[str]
    leader: str | None
    leader_id: int | None
    epoch: int | None
    zxid: str
    members: list[int]
    config_version: str | None
    history: str | None
    clients: int


class IncidentRow(msgspec.Struct, frozen=True):
    """A shape of a second, a lost or a stuck ensemble (docs: watching). `foreign`: it has nothing of ours, at hosts of the inventory.

    `weak`: writes go on all the same, so the verdict is degraded, and not unsafe.
    """

    shape: Shape
    sentence: str
    sides: list[SideRow]
    evidence: list[str]
    next: list[str]
    foreign: bool
    weak: bool


class ServerRow(msgspec.Struct, frozen=True):
    """One server. `role`: voter, newcomer, observer, joiner, ROGUE, stranger, spare or down. `age_s`: how old its facts are at the end."""

    id: int | None
    name: str
    client: str | None
    role: str
    mode: str | None
    leader: int | None
    epoch: int | None
    zxid: str | None
    config_version: str | None
    voting: bool | None
    release: str | None
    history: str | None
    clients: int | None
    age_s: float
    note: str
    unseen: list[str]


class GateRow(msgspec.Struct, frozen=True):
    gate: str
    verdict: Verdict
    required: bool
    unsafe: bool
    summary: str
    evidence: list[str]
    sources: list[str]
    remedy: str


class RetiredRow(msgspec.Struct, frozen=True):
    id: int
    host: str
    since_ms: int
    where: str
    fate: str


class StatusDocument(msgspec.Struct, frozen=True):
    """`zkprov status` and `zkprov check`. `time`: when the look was begun, RFC 3339. `trees`: with `--trees`."""

    ensemble: EnsembleRow
    servers: list[ServerRow]
    gates: list[GateRow]
    retired: list[RetiredRow]
    next: list[str]
    incidents: list[IncidentRow] = []
    time: str = ""
    trees: Compared | None = None
    format: int = 1


class ChangeDocument(msgspec.Struct, frozen=True):
    """`plan`, `add-node`, `apply`, `resume` and `abort`: a plan or a refusal, and the result once something ran."""

    plan: Plan | None = None
    refusal: Refusal | None = None
    result: Result | None = None
    format: int = 1


def as_json(document: object) -> str:
    """One document, indented."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def status_document(health: Health, trees: Compared | None = None) -> StatusDocument:
    """What a person and a program both read; nothing is on the screen that is not in here."""
    picture, survey = health.picture, health.picture.survey
    live, ledger = picture.live, ledger_of(survey)
    ours = [x for x in health.leaders if not x.stranger]
    answered = sum(f.up for f in survey.servers)
    shown = [f for f in survey.servers if not _idle(f, health)]
    beside = [f for f in picture.of(Standing.ROGUE, Standing.STRANGER) if _is_rogue(f, health)]
    head = EnsembleRow(
        name=survey.ensemble,
        verdict=health.condition,
        headline=health.headline or _calm(health),
        leaders=[x.id for x in ours if x.id is not None],
        epoch=ours[0].epoch if len(ours) == 1 else None,
        config_version=live.version_hex if live else None,
        members=sorted(live.ids) if live else [],
        voters=sorted(live.voters) if live else [],
        observers=sorted(live.observers) if live else [],
        newcomers={str(n.id): round(n.left_s, 1) for n in health.newcomers},
        rogues=[picture.label(f) for f in beside],
        strangers=[picture.label(f) for f in picture.of(Standing.STRANGER) if f not in beside],
        histories=_histories(health),
        clients_beside=sum(len(f.cons.value) for f in beside if f.cons.value),
        spare=health.spare,
        asked=sum(f.client is not None for f in survey.servers),
        answered=answered,
        took_s=survey.took,
        uuid=ledger.uuid if ledger else None,
        # A pause may stand before the ledger's first entry does.
        paused=next((x.paused for f in picture.members if (x := f.ledger.value) and x.paused), None),
        run=(ledger.run or None) if ledger else None,
        groups=live.seated if live else {},
    )
    rows = [_server(f, health) for f in shown]
    rows += [_unasked(s) for s in (live.servers if live else ()) if picture.member(s.id) is None]
    return StatusDocument(
        ensemble=head,
        servers=sorted(rows, key=lambda r: (r.id is None, r.id or 0, r.name)),
        gates=[gate_row(g) for g in health.gates],
        retired=[RetiredRow(r.id, r.host, r.since_ms, r.where, r.fate) for r in (ledger.retired if ledger else ())],
        next=_next(health),
        incidents=[_incident(i) for i in health.incidents],
        time=rfc3339(survey.began),
        trees=trees,
    )


def _incident(found: Incident) -> IncidentRow:
    return IncidentRow(
        found.shape,
        found.sentence,
        [_side(s) for s in found.sides],
        [str(e) for e in found.evidence],
        list(found.next),
        found.foreign,
        found.weak,
    )


def _side(side: Side) -> SideRow:
    return SideRow(
        name=side.name,
        ids=sorted(side.ids),
        servers=list(side.servers),
        leader=side.leader or None,
        leader_id=side.leader_id,
        epoch=side.epoch,
        zxid=f"{side.zxid:#x}",
        members=sorted(side.members.ids) if side.members else [],
        config_version=side.members.version_hex if side.members else None,
        history=side.identity.tag if side.identity else None,
        clients=len(side.clients),
    )


def _histories(health: Health) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for facts in health.picture.of(Standing.MEMBER, Standing.JOINER, Standing.ROGUE):
        value = facts.identity.value
        if value is not None:
            told = f"{value.tag}: {value.path} of {rfc3339(value.ctime_ms / 1000)}"
        elif facts.identity.outcome is Outcome.ABSENT and facts.serving:
            told = "none: no permanent znode"
        else:
            continue
        found.setdefault(told, []).append(health.picture.label(facts))
    return found


def _unasked(server: Server) -> ServerRow:
    """A member of which only the line in the list is known."""
    return ServerRow(
        id=server.id,
        name=str(client_of(server) or server.address),
        client=None,
        role="voter" if server.votes else "observer",
        mode=None,
        leader=None,
        epoch=None,
        zxid=None,
        config_version=None,
        voting=None,
        release=None,
        history=None,
        clients=None,
        age_s=0.0,
        note="was not asked",
        unseen=[],
    )


def gate_row(gate: GateResult) -> GateRow:
    return GateRow(
        gate.gate,
        gate.verdict,
        gate.required,
        gate.unsafe,
        gate.summary,
        [str(e) for e in (*gate.evidence, *gate.warnings)],
        list(gate.sources),
        gate.remedy,
    )


def _idle(facts: ServerFacts, health: Health) -> bool:
    """A host of the inventory on which there is nothing: a spare, not worth a line. One that refuses us may have anything."""
    nothing = health.picture.standing[facts.name] is Standing.DOWN and not facts.up
    empty = facts.disk.outcome in (Outcome.ABSENT, Outcome.NOT_ASKED) or (
        facts.disk.value is not None and not facts.disk.value.has_data
    )
    named = {"retired", "connect"}.intersection(facts.known_as)
    return nothing and empty and not named and facts.srvr.outcome is not Outcome.DENIED


def _server(facts: ServerFacts, health: Health) -> ServerRow:
    picture = health.picture
    srvr, zab = facts.srvr.value, facts.zabstate.value
    member_id = picture.member_id(facts)
    mode = str(srvr.mode) if srvr else None
    if mode is None and facts.mntr.value:
        mode = facts.mntr.value.get("zk_server_state", "")[:20] or None
    leader = member_id if leads(facts) else (facts.leader.value.leader_id if facts.leader.value else None)
    zxid = srvr.zxid if srvr else (zab.zxid if zab else None)
    asked = (
        facts.srvr,
        facts.mntr,
        facts.conf,
        facts.cons,
        facts.zabstate,
        facts.leader,
        facts.hash,
        facts.config,
        facts.identity,
        facts.disk,
    )
    latest = max(f.at for f in asked)
    return ServerRow(
        id=member_id if member_id >= 0 else facts.id,
        name=facts.name,
        client=str(facts.client) if facts.client else None,
        role=_role(facts, health, member_id),
        mode=mode,
        leader=leader if leader is not None and leader >= 0 else None,
        epoch=zab.epoch if zab else (srvr.epoch if srvr else None),
        zxid=None if zxid is None else f"{zxid:#x}",
        config_version=facts.config.value.version_hex if facts.config.value else None,
        voting=zab.voting if zab else None,
        release=srvr.release if srvr else None,
        history=facts.identity.value.tag
        if facts.identity.value
        else ("none" if facts.identity.outcome is Outcome.ABSENT else None),
        clients=len(facts.cons.value) if facts.cons.value is not None else None,
        age_s=round(max(0.0, picture.survey.took - latest), 3),
        note=_note(facts, health, member_id),
        unseen=[
            f"{f.source.split('@')[0]}: {f.detail or f.outcome}"
            for f in asked
            if f.outcome not in (Outcome.OK, Outcome.ABSENT)
        ],
    )


def _is_rogue(facts: ServerFacts, health: Health) -> bool:
    """Also a server of others, where it is one side of an incident: a client that looks for ours finds it."""
    standing = health.picture.standing[facts.name]
    sides = (s for i in health.incidents for s in i.sides)
    return standing is Standing.ROGUE or (standing is Standing.STRANGER and any(facts.name in s.servers for s in sides))


def _role(facts: ServerFacts, health: Health, member_id: int) -> str:
    match health.picture.standing[facts.name]:
        case Standing.MEMBER:
            server = health.picture.live.get(member_id) if health.picture.live else None
            if any(n.id == member_id for n in health.newcomers):
                return "newcomer"
            return "observer" if server and not server.votes else "voter"
        case Standing.ROGUE:
            return "ROGUE"
        case Standing.STRANGER if _is_rogue(facts, health):
            return "ROGUE"
        case other:
            return str(other)


def _note(facts: ServerFacts, health: Health, member_id: int) -> str:
    newcomer = next((n for n in health.newcomers if n.id == member_id), None)
    why = health.picture.why[facts.name]
    if health.picture.standing[facts.name] is Standing.MEMBER:
        if not facts.serving:
            return facts.srvr.detail or str(facts.srvr.outcome)
        return f"seasoned in {seconds(newcomer.left_s)}" if newcomer else ""
    if facts.up or facts.disk.value:
        return why
    return facts.srvr.detail or why


def _calm(health: Health) -> str:
    leader = next((x for x in health.leaders if not x.stranger), None)
    return (
        f"one leader ({leader.id if leader.id is not None else leader.name})"
        if leader
        else "one leader, not told which"
    )


def _unfinished(known: Ledger | None) -> list[str]:
    """A run that was begun and has not ended: while its lock is held it goes on."""
    found = OPEN_RUN.match(known.run) if known else None
    if known is None or found is None:
        return []
    what = f"run {found[1]} is unfinished (step {found[2]})"
    goes_on = f"it goes on, by {known.lock_holder}" if known.lock_holder else "zkprov resume, or zkprov abort"
    return [f"{what}: {goes_on}"]


def _next(health: Health) -> list[str]:
    if health.incidents:
        steps = [step for i in health.incidents for step in i.next]
        beside = any(len(i.sides) > 1 for i in health.incidents)
        return list(dict.fromkeys(["nothing here was changed", *([BESIDE_US] if beside else []), *steps]))
    remedies = [g.remedy for g in health.gates if g.verdict is not Verdict.PASS and g.remedy and (g.stops or g.unsafe)]
    told = list(dict.fromkeys(remedies))[:3]
    told += [str(w) for g in health.gates for w in g.warnings][:3]
    if health.condition is Condition.UNSAFE:
        return ["nothing here was changed; stop clients from reaching the other side", *told]
    seen = health.picture.survey.servers
    told += [str(f.disk) for f in seen if f.disk.outcome is Outcome.ANOTHERS and not f.up][:3]
    known = ledger_of(health.picture.survey)
    owed = [r for r in (known.retired if known else ()) if r.fate == LEFT_BEHIND]
    told += [
        f"the disk of {r.id} ({r.host}), which left, may still vote: when it is gone, zkprov retired attest {r.id} --wiped|--destroyed"
        for r in owed[:3]
    ]
    told += _unfinished(known)
    if seen and all(not f.up and f.disk.outcome is Outcome.ABSENT for f in seen):
        return ["nothing lies on these hosts, and nothing answers: zkprov bootstrap makes an ensemble of them"]
    return told
