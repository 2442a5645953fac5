"""Plans out of a split: one side is kept, every server of the others is fenced, and the list comes to its full number again.

The invariants: nobody is stopped whose disk was not copied first; nobody comes back before one quorum is proved (R1); who comes back comes
in empty, one at a time, and never so many at once that they are a quorum (R2). Nothing is merged, and nothing deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.judge.gates import serving_voters
from zkprov.judge.health import Health
from zkprov.judge.keeping import Proposal, told
from zkprov.judge.newcomers import newcomers_rule
from zkprov.judge.picture import Picture, member_at, own_list, picture_of
from zkprov.judge.sides import Side
from zkprov.model.inventory import Inventory
from zkprov.model.quorum import braces, spare
from zkprov.model.split import Split, Weighed
from zkprov.plan.beginning import begun
from zkprov.plan.fencing import Fencing, HealWish
from zkprov.plan.steps import HEAL, Plan, Proof, Refusal, Restarted, Step, StepKind, seconds


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


class _WayOut(Fencing):
    """The plan, step by step; never leaves this module."""

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
        later = [x for x in self.back if x not in self.seeds]
        for number, one in enumerate(later):
            # a voter that is not back yet is a newcomer too: nobody knows its disk
            absent = {x.server.id for x in later[number:] if x.server.votes}
            if one.server.votes and young and newcomers_rule(self.members, young | absent):
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


def other_sides(split: Split, sides: Sequence[Side], picture: Picture, *, begun: bool = False) -> str:
    """Why the sides are not those of the plan; empty where they are. Who has gone since is no other side.

    `begun`: somebody is fenced already. Who follows the kept side since then, for want of its own leader, is fenced all the same.
    """
    known = {x.name: side.name for side in split.sides for x in side.servers}
    for side in sides:
        if begun and known.get(side.leader) == split.keep:
            continue
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
