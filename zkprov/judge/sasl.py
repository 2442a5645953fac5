"""The gate of SASL: all servers speak it to each other or none does, FIPS mode is off where it is DIGEST-MD5, and who gets in is one thing.

ZooKeeper itself says of none of this more than a line in a log: the joiner would stay out, or be let in by half of the members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set

import msgspec

from zkprov.judge.picture import Picture
from zkprov.judge.secured import Finding, Secured, labels, secured_members
from zkprov.judge.verdict import Evidence, GateResult, Purpose, weighed
from zkprov.model.certificates import Stores
from zkprov.model.flags import flags_of
from zkprov.model.inventory import InventoryHost
from zkprov.model.release import CONCERNS, Release
from zkprov.model.sasl import (
    ENABLED,
    FIPS,
    GUARDS,
    LEARNER,
    SERVER,
    SUPER_USER,
    client_sasl,
    in_fips_mode,
    is_true,
    quorum_sasl,
)
from zkprov.model.server import Server

GATE = "sasl"
NO_SASL = "no SASL"
SOURCES = ("zoo.cfg on disk", "the running server's command line")
TO_KNOW = "zoo.cfg of every member must be readable for zkprov"
SMALL_OBSERVER = next(c for c in CONCERNS if "ZOOKEEPER-4886" in c.issues)
_ROLL = "restart one by one, the leader last"


def sasl(picture: Picture, purpose: Purpose, excused: Set[int] = frozenset()) -> GateResult:
    """Of the members, by the disks that could be read. `excused` need not answer just now."""
    servers, unread = secured_members(picture, excused)
    return _weighed(servers, unread, _observers(picture, servers), required=purpose is Purpose.CHANGE)


def joiner_sasl(picture: Picture, host: InventoryHost, server: Server, excused: Set[int] = frozenset()) -> GateResult:
    """Of the members and the joiner together, the joiner by what the inventory says of it."""
    servers, unread = secured_members(picture, excused, without=server.id)
    joiner = Secured(
        host.name,
        (),
        flags_of(host.jvm_flags).settings | host.posture_settings | host.settings,
        Stores(),
        Release.read(host.release or "") or max((s.release for s in servers if s.release), default=None),
        new=True,
        id=server.id,
    )
    found = [*_small_id(joiner, servers), *_observers(picture, [*servers, joiner])]
    return _weighed([*servers, joiner], unread, found)


def _weighed(
    servers: Sequence[Secured], unread: Sequence[Evidence], more: Sequence[Finding] = (), *, required: bool = True
) -> GateResult:
    quorum = any(quorum_sasl(s.settings) for s in servers)
    clients = any(client_sasl(s.settings) for s in servers)
    if not quorum and not clients:
        # of disks that were not read the gate of certificates tells
        return weighed(GATE, [], [], NO_SASL, SOURCES, required=required)
    # first of all: where it is on, nothing else is worth a look
    found = [*_fips(servers)]
    if not any(f.fails for f in found):
        found += [*_pairs(servers), *_provider(servers), *_guards(servers), *(more if quorum else ())]
    failed = [f for f in found if f.fails]
    warned = [f.evidence for f in found if not f.fails]
    which = " and ".join(w for w, on in (("quorum", quorum), ("client", clients)) if on)
    told = "; ".join(map(str, warned[:3])) + (f"; and {len(warned) - 3} more" if len(warned) > 3 else "")
    result = weighed(
        GATE,
        [f.evidence for f in failed],
        unread,
        f"{which} SASL on {len(servers)} servers" + (f"; {told}" if told else ""),
        SOURCES,
        required=required,
        remedy=next((f.remedy for f in failed if f.remedy), ""),
        to_know=TO_KNOW,
    )
    return msgspec.structs.replace(result, warnings=tuple(warned))


def _fips(servers: Sequence[Secured]) -> Iterator[Finding]:
    """DIGEST-MD5 is not FIPS. Members alone may use Kerberos, and only their own restart would tell: so they are told of, no more."""
    comes = any(s.new and quorum_sasl(s.settings) for s in servers)
    differ = {in_fips_mode(s.settings, s.release) for s in servers} == {True, False}
    for server in servers:
        if not in_fips_mode(server.settings, server.release) or not (comes or differ):
            continue
        why = f"is {server.settings[FIPS]}" if FIPS in server.settings else "is not set, and true by default"
        what = f"{FIPS} {why}: there is no SASL by DIGEST-MD5 then"
        remedy = f"set {FIPS}=false in zoo.cfg of {server.label}" + ("" if server.new else f"; {_ROLL}")
        yield Finding(server.label, what, remedy, fails=comes)


def _hears(one: Secured, other: Secured) -> bool:
    """Whether `one`, when it calls `other`, is understood and let in."""
    says, asked = is_true(one.settings, LEARNER) and quorum_sasl(one.settings), quorum_sasl(other.settings)
    return asked if says else not (asked and is_true(other.settings, SERVER))


def _pairs(servers: Sequence[Secured]) -> Iterator[Finding]:
    """Servers that would not hear each other; told of who is to come, else of the fewer."""
    kinds = [tuple(is_true(s.settings, k) for k in (ENABLED, LEARNER, SERVER)) for s in servers]
    members = [k for k, s in zip(kinds, servers, strict=True) if not s.new] or kinds
    usual = Counter(members).most_common(1)[0][0]
    others = [s for s, k in zip(servers, kinds, strict=True) if k == usual and not s.new]
    for server, kind in zip(servers, kinds, strict=True):
        if kind == usual:
            continue
        deaf = [o for o in servers if o is not server and not (_hears(server, o) and _hears(o, server))]
        what = f"quorum SASL is {_said(kind)}, and {_said(usual)} on {labels(others)} ({ENABLED} and its kin)"
        remedy = f"set zkprov_quorum_sasl once, for the whole group, to what the members have ({_said(usual)})"
        yield Finding(
            server.label, what, remedy if server.new else f"the same on every member; {_ROLL}", fails=bool(deaf)
        )


def _said(kind: tuple[bool, ...]) -> str:
    enabled, learner, server = kind
    if not enabled:
        return "off"
    return (
        "on"
        if learner and server
        else f"on (learners {'say' if learner else 'do not say'} who they are, servers do not ask)"
    )


def _provider(servers: Sequence[Secured]) -> Iterator[Finding]:
    on = [s for s in servers if client_sasl(s.settings)]
    off = [s for s in servers if not client_sasl(s.settings)]
    if not on or not off:
        return
    news = any(s.new for s in on)
    odd, others = (on, off) if news or (len(on) < len(off) and not any(s.new for s in off)) else (off, on)
    for server in odd:
        own, theirs = ("known", "not") if odd is on else ("not known", "they are")
        what = f"clients are {own} by SASL, and {theirs} on {labels(others)} (authProvider.*)"
        remedy = "set zkprov_client_sasl once, for the whole group, to what the members have"
        yield Finding(
            server.label, what, remedy if server.new else f"the same on every member; {_ROLL}", fails=server.new
        )


def _guards(servers: Sequence[Secured]) -> Iterator[Finding]:
    """Who gets in, and as whom: a server that is to come says so as a member does. Members that differ are told, and may be in a roll."""
    members = [s for s in servers if not s.new] or servers
    for setting, default in GUARDS.items():

        def said(server: Secured, setting: str = setting, default: str = default) -> str:
            return server.settings.get(setting, "").strip() or default

        usual = Counter(map(said, members)).most_common(1)[0][0]
        others = [s for s in members if said(s) == usual]
        for server in servers:
            if said(server) == usual or (server.new and said(server) in map(said, members)):
                continue
            what = f"{setting} is {said(server) or 'unset'}, and {usual or 'unset'} on {labels(others)}"
            variable = {SUPER_USER: "zkprov_sasl_super and zkprov_sasl_user"}.get(setting, "zkprov_enforce_auth")
            remedy = f"set {variable} once, for the whole group, to what the members have"
            yield Finding(
                server.label, what, remedy if server.new else f"the same on every member; {_ROLL}", fails=server.new
            )


def _small_id(joiner: Secured, members: Sequence[Secured]) -> Iterator[Finding]:
    """A member of a larger id calls back, and says who it is only to whom it has in its list: the joiner hears nothing of it."""
    larger = [m for m in members if joiner.id is not None and m.id is not None and m.id > joiner.id]
    if larger and is_true(joiner.settings, SERVER):
        what = f"its id {joiner.id} is smaller than that of {labels(larger)}: with quorum SASL it would not hear them"
        least = max(m.id or 0 for m in larger) + 1
        yield Finding(joiner.label, what, f"give {joiner.label} a zkprov_id of {least} or more, or none")


def _observers(picture: Picture, servers: Sequence[Secured]) -> list[Finding]:
    """Observers that could not come back after a restart (ZOOKEEPER-4886): a voter of a larger id does not say to them who it is."""
    if picture.live is None:
        return []
    found = []
    for observer in sorted(picture.live.observers):
        own = next((s for s in servers if s.id == observer and not s.new), None)
        larger = [s for s in servers if s.id is not None and s.id > observer and _has_it(s.release)]
        if own is not None and larger and is_true(own.settings, SERVER):
            what = f"an observer whose id is smaller than that of {labels(larger)}: {SMALL_OBSERVER}"
            found.append(Finding(own.label, what, fails=False))
    return found


def _has_it(release: Release | None) -> bool:
    return release is not None and SMALL_OBSERVER.concerns(release)
