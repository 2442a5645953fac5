"""Who is fenced when one side of a split is kept, who comes back, and whether that may be."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.keeping import in_words, told
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.one_quorum import during, one_quorum, servers_of
from zkprov.judge.picture import Picture, member_at, picture_of
from zkprov.judge.releases import running
from zkprov.judge.sides import Side
from zkprov.judge.verdict import GateResult, Purpose, Verdict
from zkprov.model.facts import Disk, Fact, Outcome, ServerFacts
from zkprov.model.inventory import Inventory
from zkprov.model.members import Members
from zkprov.model.proof import Proof as Proof_
from zkprov.model.proof import prove
from zkprov.model.quorum import braces
from zkprov.model.server import Server
from zkprov.model.split import SideSeen, SideServer
from zkprov.plan.steps import Options, Refusal, Restarted

AGAIN = "again, when this is mended"
ABSENT: Fact[Disk] = Fact("disk", Outcome.ABSENT, detail="fenced")


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


class Fencing:
    """Of one split and the side of it that is kept. `refusal`: why it may not be; None where it may."""

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
        self.on_sides = frozenset(name for s in sides for name in s.servers)
        self.unled: set[str] = set()  # who is under the list of a side, and on none by what it says
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
        taken = self.on_sides
        for server in members.servers:
            host = next((h for h in self.inventory.hosts if h.is_server(server)), None)
            facts = self.survey.by_name(host.name) if host else self._facts_of(server)
            theirs = facts is not None and _on_disk(facts, members) and not members.same_servers(self.members)
            if _same_place(self.members.get(server.id), server) and not theirs:
                continue  # the kept list has it too, and its files do not say that it is on this side: a member that is down
            if facts is not None and facts.name in taken:
                continue
            if facts is None:
                name = f"{server.address.host}:{server.address.quorum_port}"
                if name not in taken | self.unled:
                    self.unled.add(name)
                    found.append(SideServer(name, "", server.id, False, gone=self.wish.attested.get(name, "")))
            elif not _bare(facts) and facts.name not in self.unled:
                self.unled.add(facts.name)
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
        # and those that an earlier heal has fenced: nothing lies there
        taken = {x.host for x in found} | {x.name for x in self.losers} | set(self.kept.servers)
        for server in self.members.servers:
            host = next((h for h in self.inventory.hosts if h.is_server(server) and h.name not in taken), None)
            facts = self.survey.by_name(host.name) if host is not None else None
            if host is not None and facts is not None and _bare(facts):
                found.append(Restarted(host.name, server, up=False))
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
            self._not_fenced()
            or self._not_copied()
            or self._no_quorum()
            or self._two_quorums()
            or self._not_relisted()
            or self._too_old()
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

    def _too_old(self) -> Refusal | None:
        """Who comes back empty must not vote before it has data: `db.autocreate=false` came with 3.6 (R5)."""
        old = {i: r for i, r in running(picture_of(self.survey, self.members)).items() if not r.has_autocreate}
        if not old or not self.back:
            return None
        told_ = (
            *(f"{i}: runs {r}" for i, r in sorted(old.items())),
            "db.autocreate=false, which keeps an empty server from voting, came with 3.6",
        )
        ways = (("", "bring them back by hand, one at a time, each when the others are a quorum in sync"),)
        return Refusal("R5", "who comes back could vote while it is empty.", told_, ways)

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


def _same_place(one: Server | None, other: Server) -> bool:
    return one is not None and bool(set(one.addresses) & set(other.addresses))


def _on_disk(facts: ServerFacts, members: Members) -> bool:
    """Whether its files hold that list."""
    disk = facts.disk.value
    return disk is not None and disk.acting is not None and disk.acting.members.same_servers(members)


def _bare(facts: ServerFacts) -> bool:
    """Whether nothing runs there, and neither a list nor data lies there."""
    disk = facts.disk.value
    nothing = facts.disk.outcome is Outcome.ABSENT or (disk is not None and not disk.has_data and disk.acting is None)
    return nothing and not facts.up


def relisted(picture: Picture, before: Members, after: Members, gone: Set[int | None]) -> Proof_:
    """R1 while the kept side's servers get the list `after` for `before`, one file after another. `gone`: ids of those that are fenced."""
    servers = tuple(s for s in servers_of(picture) if s.seen or s.id not in gone)
    return prove(during(servers, before, after))
