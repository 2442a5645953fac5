"""Plans out of a split: one side is kept, every server of the others is fenced, and the list comes to its full number again.

The invariants: nobody is stopped whose disk was not copied first; nobody comes back before one quorum is proved (R1); who comes back comes
in empty, one at a time, and never so many at once that they are a quorum (R2). Nothing is merged, and nothing deleted.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.judge.keeping import Proposal, in_words, told
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import during, one_quorum, servers_of
from zkprov.judge.picture import Picture, member_at, own_list, picture_of
from zkprov.judge.sides import Side
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Disk, Fact, Outcome, ServerFacts
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.proof import Proof as Proof_
from zkprov.model.proof import prove
from zkprov.model.quorum import braces, spare
from zkprov.model.server import Server
from zkprov.model.split import SideSeen, SideServer, Split, Weighed
from zkprov.plan.beginning import begun
from zkprov.plan.steps import HEAL, Options, Plan, Proof, Refusal, Restarted, Step, StepKind, seconds

AGAIN = "again, when this is mended"


class HealWish(msgspec.Struct, frozen=True):
    """What is asked. `keep`: a side's letter or the name of a server on it, empty: the side that the evidence speaks for.

    `attested`: server → why it stays off, by a person's word. `made_at` in seconds since 1970.
    """

    plan_id: str
    keep: str
    attested: dict[str, str]
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""
    told_by: str = "leaders"

    @property
    def command(self) -> str:
        return f"zkprov heal --keep {self.keep or 'SIDE'}"


def plan_heal(
    health: Health, sides: Sequence[Side], proposal: Proposal, inventory: Inventory, wish: HealWish
) -> Plan | Refusal:
    """`health` judged to look, of the survey that `sides` are of. Total: a refusal is a value."""
    kept = _meant(sides, proposal, wish)
    if isinstance(kept, Refusal):
        return kept
    members = kept.members
    if members is None or not members.servers:
        what = (f"side {kept.name} tells no list of members, in memory or on disk",)
        return Refusal(
            "R8", "the list of the side to keep is not known.", what, (("zkprov status", "shows who is"),), 4
        )
    walk = _WayOut(health, sides, kept, members, inventory, wish)
    return walk.refusal or walk.plan(proposal)


def _meant(sides: Sequence[Side], proposal: Proposal, wish: HealWish) -> Side | Refusal:
    named = ", ".join(f"{s.name} {braces(s.ids)}" for s in sides)
    if wish.keep:
        found = [s for s in sides if wish.keep.upper() == s.name or wish.keep in s.servers]
        if found:
            return found[0]
        ways = tuple((f"zkprov heal --keep {s.name}", f"keeps {braces(s.ids)}") for s in sides)
        return Refusal("", f"--keep {wish.keep} names no side.", (f"the sides are {named}",), ways, exit_code=2)
    found = [s for s in sides if s.name == proposal.side]
    if found:
        return found[0]
    return not_said(sides, proposal)


def not_said(sides: Sequence[Side], proposal: Proposal) -> Refusal:
    """Nobody said which side is kept, and that is never decided silently."""
    ordered = sorted(sides, key=lambda s: s.name != proposal.side)
    ways = tuple(
        (
            f"zkprov heal --keep {s.name}",
            f"keeps {braces(s.ids)}" + f", as the {proposal.by} says" * (s.name == proposal.side),
        )
        for s in ordered
    )
    headline = (
        "which side is kept is a person's to say."
        if proposal.side
        else "the evidence is a tie; which side is kept is a person's to say."
    )
    return Refusal("", headline, evidence_lines(proposal), ways, exit_code=2)


def evidence_lines(proposal: Proposal) -> tuple[str, ...]:
    """Each kind of evidence in a line."""
    return tuple(
        f"{row.what}: {'; '.join(f'{name}: {text}' for name, text in row.each.items())}"
        + (f" -> {row.favours}" if row.favours else "")
        for row in proposal.evidence
    )


class _WayOut:
    """Who is fenced, who comes back, and whether that may be; never leaves this module."""

    def __init__(
        self,
        health: Health,
        sides: Sequence[Side],
        kept: Side,
        members: Members,
        inventory: Inventory,
        wish: HealWish,
    ) -> None:
        self.health, self.kept, self.members, self.inventory, self.wish = health, kept, members, inventory, wish
        self.survey = health.picture.survey
        self.refusal: Refusal | None = None
        self.sides = tuple(self._seen(side) for side in sides)
        self.losers = tuple(x for s in self.sides if s.name != kept.name for x in s.servers)
        self.back = self._coming_back()
        self.seeds = self._seeds()
        self.alone = self._alone()
        self.refusal = self._refused()

    # -- who is who

    def _seen(self, side: Side) -> SideSeen:
        names = list(side.servers)
        servers = [self._server(side, f) for f in self.survey.servers if f.name in names]
        if side.name != self.kept.name and side.members is not None:
            servers += self._others_of(side, side.members)
        return SideSeen(
            side.name,
            tuple(servers),
            side.leader,
            side.epoch,
            side.zxid,
            side.members,
            in_words(side.identity, unread=side.identity is None and not side.leader),
            told(side.identity),
        )

    def _server(self, side: Side, facts: ServerFacts) -> SideServer:
        host = facts.name if self.inventory.host(facts.name) is not None else ""
        zxid = facts.srvr.value.zxid if facts.srvr.value else facts.zabstate.value.zxid if facts.zabstate.value else 0
        clients = tuple(
            f"{address} {session}" for name, address, session in side.clients if name == facts.name and session
        )
        gone = self.wish.attested.get(facts.name, "")
        return SideServer(facts.name, host, facts.id, facts.up, zxid, clients, gone)

    def _others_of(self, side: Side, members: Members) -> list[SideServer]:
        """Who acts under that side's list and does not serve now, or may, as nobody has looked at it."""
        found = []
        taken = {name for s in (side, self.kept) for name in s.servers}
        for server in members.servers:
            if self.members.get(server.id) is not None and _same_place(self.members.get(server.id), server):
                continue  # the kept list has it too: it is a member that is down, or on a side already
            host = next((h for h in self.inventory.hosts if h.is_server(server)), None)
            facts = self.survey.by_name(host.name) if host else self._facts_of(server)
            if facts is not None and facts.name in taken:
                continue
            if facts is None:
                name = str(server.place)
                if not any(name in s.servers for s in (side, self.kept)):
                    found.append(SideServer(name, "", server.id, False, gone=self.wish.attested.get(name, "")))
                continue
            disk = facts.disk.value
            bare = facts.disk.outcome is Outcome.ABSENT and not facts.up
            if not bare and not (disk is not None and not disk.has_data and disk.acting is None):
                found.append(self._server(side, facts))
        return found

    def _facts_of(self, server: Server) -> ServerFacts | None:
        return next((f for f in self.survey.servers if member_at(Members.of(server), f)), None)

    def _coming_back(self) -> tuple[Restarted, ...]:
        """The members of the kept list that are fenced: observers last, each by its inventory host."""
        found = []
        for loser in self.losers:
            facts = self.survey.by_name(loser.name)
            host = self.inventory.host(loser.host) if loser.host else None
            server = next((s for s in self.members.servers if host is not None and host.is_server(s)), None)
            server = server or (member_at(self.members, facts) if facts is not None else None)
            if server is not None and loser.host and not loser.gone:
                found.append(Restarted(loser.host, server, up=False))
        return tuple(sorted(found, key=lambda x: (not x.server.votes, x.server.id)))

    @property
    def here(self) -> frozenset[int]:
        """The voters of the kept list that the kept side has, by their disks."""
        kept = [f for f in self.survey.servers if f.name in self.kept.servers]
        ids = {f.id for f in kept if f.id is not None}
        return frozenset(ids) & self.members.voters

    def _seeds(self) -> tuple[Restarted, ...]:
        """Who gets leave to vote though it is empty: as few as make the kept side a quorum of its list; none where it is one."""
        seeds: list[Restarted] = []
        for one in self.back:
            if self.members.quorums.contains_quorum(self.here | {x.server.id for x in seeds}):
                break
            if one.server.votes:
                seeds.append(one)
        return tuple(seeds)

    # -- whether it may be

    def _refused(self) -> Refusal | None:
        return (
            self._not_fenced() or self._not_copied() or self._no_quorum() or self._two_quorums() or self._not_relisted()
        )

    def _not_fenced(self) -> Refusal | None:
        """A server of a side that goes is stopped by zkprov, or attested to be off by a person, by name."""
        names = {x.name for x in self.losers}
        stranger = next((n for n in self.wish.attested if n not in names), None)
        if stranger is not None:
            told_ = (f"on the sides that are not kept: {', '.join(sorted(names))}",)
            return Refusal("", f"--fenced {stranger} names no server that is to be fenced.", told_, (), exit_code=2)
        up = next((x for x in self.losers if x.gone and x.up), None)
        if up is not None:
            told_ = (f"{up.name} answers, so it is not off",)
            return Refusal(
                "R1", f"{up.name} is not fenced, whatever is attested.", told_, (("", f"stop {up.name} first"),)
            )
        lacking = [(x, why) for x in self.losers if not x.gone and (why := self._why_not_fenced(x))]
        if not lacking:
            return None
        evidence = tuple(f"{x}: {why}" for x, why in lacking)
        flags = " ".join(f"--fenced {x.name}" for x, _ in lacking)
        ways = (
            ("", "name them in the inventory and see that they can be reached; or, where each is off for sure:"),
            (f"{self._command} {flags} --reason …", "by your word, which stands in the plan"),
        )
        return Refusal("R1", "a server of a side that is not kept cannot be fenced.", evidence, ways, exit_code=4)

    def _why_not_fenced(self, server: SideServer) -> str:
        if not server.host:
            return f"no host of {self.inventory.ensemble} in {self.inventory.path}"
        facts = self.survey.by_name(server.name)
        return "" if facts is None or facts.disk.value is not None else f"its disk cannot be reached ({facts.disk})"

    def _not_copied(self) -> Refusal | None:
        kept = [f for f in self.survey.servers if f.name in self.kept.servers]
        unread = [f for f in kept if self.inventory.host(f.name) is not None and f.disk.value is None]
        if not unread:
            return None
        evidence = tuple(f"{f.name}: {f.disk}" for f in unread)
        ways = (
            ("", "see that zkprov can read them: nobody is stopped before each disk is copied"),
            (self._command, AGAIN),
        )
        return Refusal("R8", "not every disk of the side to keep can be copied.", evidence, ways, exit_code=4)

    def _no_quorum(self) -> Refusal | None:
        seeds = {x.server.id for x in self.seeds}
        if not self.members.quorums.contains_quorum(self.here | seeds):
            gone = braces(self.members.voters - self.here - seeds)
            evidence = (
                f"{self.members}: side {self.kept.name} has {braces(self.here)}; {self.members.quorums.describe()}",
                f"{gone} cannot be brought back from here, and a list is not changed without its quorum",
            )
            ways = (
                ("", "bring one of them back with the disk that it had; or keep another side"),
                (self._command, AGAIN),
            )
            return Refusal("R4", f"side {self.kept.name} has no quorum of its list.", evidence, ways)
        if seeds and (violated := newcomers_rule(self.members, seeds)):
            ways = (("", "bring one of them back with the disk that it had"), (self._command, AGAIN))
            return Refusal("R2", "empty servers would be a quorum.", (str(violated),), ways)
        return None

    def _two_quorums(self) -> Refusal | None:
        if self.alone.verdict is Verdict.PASS:
            return None
        evidence = (self.alone.summary, *(str(e) for e in self.alone.evidence))
        ways = (("", self.alone.remedy), ("zkprov prove", "shows who could elect whom"))
        headline = "with all of the others fenced one quorum is still not proved."
        return Refusal("R1", headline, evidence, ways, 3 if self.alone.verdict is Verdict.FAIL else 4)

    @property
    def other_list(self) -> dict[str, Members]:
        """Host → the list on its disk, of those of a kept side without a leader that go by a list which others are in (`epoch-loop`)."""
        found = {}
        for facts in self.survey.servers if not self.kept.leader else ():
            acting = facts.disk.value.acting if facts.name in self.kept.servers and facts.disk.value else None
            if acting is not None and not acting.members.same_servers(self.members):
                found[facts.name] = acting.members
        return found

    def _not_relisted(self) -> Refusal | None:
        """A list in zoo.cfg is put right by the run; one of a version is ZooKeeper's own to change (R10)."""
        committed = {name: m for name, m in self.other_list.items() if m.version}
        if committed:
            told_ = tuple(f"{name}: {m}, version {m.version_hex}" for name, m in committed.items())
            ways = (("", "see who gave it that list: zkprov prove"), (self._command, AGAIN))
            return Refusal("R10", "a server of the side to keep has another list, of a version.", told_, ways)
        before = next(iter(self.other_list.values()), None)
        gone = {x.id for x in self.losers}
        proved = relisted(self.without_losers(), before, self.members, gone) if before is not None else None
        if proved is None or proved.safe:
            return None
        told_ = tuple(proved.witness.lines()) if proved.witness else (proved.reason,)
        headline = f"the list {self.members} is not proved to be safe on the side to keep."
        return Refusal("R1", headline, told_, (("zkprov prove", "shows who could elect whom"),))

    def _alone(self) -> GateResult:
        return one_quorum(self.without_losers(), Purpose.CHANGE)

    def without_losers(self) -> Picture:
        """As the fences leave it: where a loser was, nothing lies and nothing runs."""
        names = {x.name for x in self.losers}
        empty = [
            ServerFacts(f.name, f.client, f.known_as, f.expected_id, f.admin, f.address, disk=ABSENT)
            for f in self.survey.servers
            if f.name in names
        ]
        rest = [f for f in self.survey.servers if f.name not in names]
        return picture_of(msgspec.structs.replace(self.survey, servers=(*rest, *empty)), self.members)

    @property
    def _command(self) -> str:
        return f"zkprov heal --keep {self.kept.name}"

    # -- the plan

    def plan(self, proposal: Proposal) -> Plan:
        picture = picture_of(self.survey, self.members)
        health = msgspec.structs.replace(self.health, picture=picture)
        label = f"heal-{self.wish.plan_id}"
        split = Split(
            self.sides, self.kept.name, proposal.side, (*proposal.evidence, *self._data()), label, self.wish.told_by
        )
        down = tuple(
            Restarted(f.name, s, up=False)
            for f in picture.members
            if not f.serving
            and f.name not in self.kept.servers
            and (s := member_at(self.members, f)) is not None
            and all(x.host != f.name for x in self.back)
        )
        made = begun(health, self.members, self.inventory, self.wish, kind=HEAL, steps=self._steps(split))
        leader = next((f.id for f in self.survey.servers if f.name == self.kept.leader), None)
        return msgspec.structs.replace(
            made,
            format=3,
            split=split,
            leader=-1 if leader is None else leader,
            restarted=(*self.back, *down),
            notes=tuple(self._notes(split, down)),
        )

    def _steps(self, split: Split) -> tuple[Step, ...]:
        same = self.members.at_version(0)
        serving = serving_voters(picture_of(self.survey, self.members)) & self.here
        left = spare(self.members.quorums, serving)
        head = min(self.here, default=0)
        found: list[Step] = []

        def step(
            kind: StepKind,
            server: int = head,
            host: str = "",
            *,
            after: int = left,
            proofs: tuple[Proof, ...] = (),
            hosts: tuple[str, ...] = (),
            wait_s: float = 0.0,
            files: tuple[str, ...] = (),
        ) -> None:
            number = len(found) + 1
            found.append(
                Step(number, kind, server, host, same, same, after, proofs, hosts=hosts, wait_s=wait_s, files=files)
            )

        step(StepKind.FREEZE, hosts=split.hosts)
        for loser in split.losers:
            if not loser.gone:
                step(StepKind.FENCE, -1 if loser.id is None else loser.id, loser.host)
        step(StepKind.ALONE, proofs=(Proof("after", "safe"),))
        here, young = set(self.here), set[int]()
        for seed in self.seeds:
            step(StepKind.SEED, seed.server.id, seed.host, after=spare(self.members.quorums, here | {seed.server.id}))
            here.add(seed.server.id)
            young.add(seed.server.id)
        step(
            StepKind.ELECT,
            files=("zoo.cfg",) * bool(self.other_list),
            hosts=tuple(n for n in self.kept.servers if self.inventory.host(n)),
            after=spare(self.members.quorums, here),
        )
        for one in (x for x in self.back if x not in self.seeds):
            if one.server.votes and newcomers_rule(self.members, young | {one.server.id}):
                last = max(young)
                step(StepKind.SEASON, last, wait_s=self.wish.options.season_s, after=spare(self.members.quorums, here))
                young.clear()
            here |= {one.server.id} & self.members.voters
            young |= {one.server.id} & self.members.voters
            step(StepKind.RETURN, one.server.id, one.host, after=spare(self.members.quorums, here))
        end = spare(self.members.quorums, here)
        if self.wish.options.settle_s > 0:
            step(StepKind.SETTLE, wait_s=self.wish.options.settle_s, after=end)
        step(StepKind.CONFIRM, after=end)
        return tuple(found)

    def _notes(self, split: Split, down: Sequence[Restarted]) -> list[str]:
        notes = [f"{x.name} stays off, by a person's word: {x.gone}" for x in split.losers if x.gone]
        ahead = max((s.zxid for s in split.lost), default=0) > split.kept.zxid
        for loser in split.losers:
            for client in loser.clients:
                why = "it has seen a zxid that the kept side has not, and refuses that side for ever" * ahead
                notes.append(
                    f"restart the client at {client.split()[0]} (session {client.split()[1]} on {loser}){': ' * bool(why)}{why}"
                )
        if self.seeds:
            who = braces({x.server.id for x in self.seeds})
            notes.append(
                f"side {split.keep} is {braces(self.here)} of {self.members}: {who} votes empty until it has the data of the kept side; "
                f"what only {braces(self.members.voters - self.here)} had acknowledged is in their disks that are set aside"
            )
        if self.other_list:
            lists = "; ".join(f"{name} goes by {m}" for name, m in self.other_list.items())
            notes.append(f"{lists}: the list {self.members} is laid there again, and they are started together")
        free = [x.host for x in split.losers if x.host and not x.gone and all(x.host != b.host for b in self.back)]
        if free:
            notes.append(f"{', '.join(free)}: no members of {self.members}; free for add-node afterwards")
        notes += [f"{x.server.id} ({x.host}) is down, on no side, and stays as it is" for x in down]
        notes += [
            f"{x} is no host of the inventory: no backup of it" for s in self.sides for x in s.servers if not x.host
        ]
        if split.told_by == "leaders" and self.back and not self.members.version:
            notes.append("R12: the list has no version; who comes back has it in zoo.cfg, as the others do")
        if self.wish.options.reason and any(x.gone for x in split.losers):
            notes.append(f"by {self.wish.made_by}: {self.wish.options.reason}")
        season = any(s.kind is StepKind.SEASON for s in self._steps(split))
        notes += [f"seasoning: {seconds(self.wish.options.season_s)} (R2)"] if season else []
        return notes

    def _data(self) -> tuple[Weighed, ...]:
        """How much each side holds; znode by znode is what `salvage` compares."""
        each = {}
        for side in self.sides:
            told_ = [
                (f.srvr.value.znodes, f) for s in side.servers if (f := self.survey.by_name(s.name)) and f.srvr.value
            ]
            if told_:
                znodes = " or ".join(str(n) for n in sorted({n for n, _ in told_}))
                each[side.name] = f"{znodes} znodes, up to {side.zxid:#x}"
        return (Weighed("data", each),) if each else ()


ABSENT: Fact[Disk] = Fact("disk", Outcome.ABSENT, detail="fenced")


def _same_place(one: Server | None, other: Server) -> bool:
    return one is not None and bool(set(one.addresses) & set(other.addresses))


def relisted(picture: Picture, before: Members, after: Members, gone: Set[int | None]) -> Proof_:
    """R1 while the kept side's servers get the list `after` for `before`, one file after another. `gone`: ids of those that are fenced."""
    servers = tuple(s for s in servers_of(picture) if s.seen or s.id not in gone)
    return prove(during(servers, before, after))


def other_sides(split: Split, sides: Sequence[Side], picture: Picture) -> str:
    """Why the sides are not those of the plan; empty where they are. Who has gone since is no other side."""
    known = {x.name: side.name for side in split.sides for x in side.servers}
    for side in sides:
        of = {known.get(name, "") for name in side.servers}
        unknown = [name for name in side.servers if name not in known]
        if unknown:
            return f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} on a side now, and on none when this was planned"
        if len(of) > 1 and split.told_by == "leaders" and side.leader:
            return f"{braces(side.ids)} are led by {side.leader} now, and were on the sides {', '.join(sorted(of))}"
    kept = [x.name for x in split.kept.servers]
    for name in kept:
        facts = picture.survey.by_name(name)
        # one that serves nobody may go by a list that the plan puts right
        own = own_list(facts) if facts is not None and facts.serving else None
        if own is not None and split.kept.members is not None and not own.same_servers(split.kept.members):
            return f"{name} acts under {own} now, not under {split.kept.members}"
        identity = told(facts.identity.value) if facts is not None else ""
        same_path = identity.partition("@")[0] == split.kept.identity.partition("@")[0]
        if identity and split.kept.identity and same_path and identity != split.kept.identity:
            return f"{name} holds another history now: {identity}"
    return ""
