"""Whether all servers of an ensemble are secured alike: one that is not hears nobody, or lets in whom the others keep out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from zkprov.judge.secured import Finding, Secured, labels
from zkprov.model.certificates import GUARDS
from zkprov.model.posture import SUPER_DN


def postures(servers: Sequence[Secured]) -> Iterator[Finding]:
    """TLS on one side only. The server that is to come is the odd one; else the fewer are."""
    kinds = (
        ("connections between servers are", "sslQuorum", [s.quorum for s in servers]),
        ("clients' connections are", "secureClientPort", [s.clients for s in servers]),
    )
    for what, setting, has in kinds:
        on = [s for s, tls in zip(servers, has, strict=True) if tls]
        off = [s for s, tls in zip(servers, has, strict=True) if not tls]
        if not on or not off:
            continue
        odd, others = (on, off) if _are_odd(on, off) else (off, on)
        remedy = f"let every member have the same {setting} in its zoo.cfg; restart one by one, the leader last"
        if odd[0].new:
            remedy = f"set zkprov_posture of {odd[0].label} to what the others have"
        own, theirs = ("TLS", "plain") if odd is on else ("plain", "TLS")
        for server in odd:
            yield Finding(server.label, f"{what} {own}, and {theirs} on {labels(others)} ({setting})", remedy)


def _are_odd(on: Sequence[Secured], off: Sequence[Secured]) -> bool:
    news = all(s.new for s in on), all(s.new for s in off)
    return news[0] if news[0] != news[1] else len(on) < len(off)


def guards(servers: Sequence[Secured]) -> Iterator[Finding]:
    """Who gets in, and as whom: a server that is to come says so as a member does. Members that differ are told: they are in, and may be
    in the middle of a roll.
    """
    members = [s for s in servers if not s.new] or servers
    for setting in GUARDS:
        usual = Counter(_said(s, setting) for s in members).most_common(1)[0][0]
        others = [s for s in members if _said(s, setting) == usual]
        for server in servers:
            own = _said(server, setting)
            if own == usual or (server.new and any(own == _said(m, setting) for m in members if m is not server)):
                continue
            what = f"{setting} is {own or 'unset'}, and {usual or 'unset'} on {labels(others)}"
            yield Finding(server.label, what, _remedy(server, setting), fails=server.new)


def _said(server: Secured, setting: str) -> str:
    found = server.settings.get(setting, "").strip()
    return found if setting == SUPER_DN else (found.lower() or GUARDS[setting])


def _remedy(server: Secured, setting: str) -> str:
    variable = {
        SUPER_DN: "zkprov_super_dn",
        "enforce.auth.enabled": "zkprov_enforce_auth",
        "enforce.auth.schemes": "zkprov_enforce_auth",
    }.get(setting, f"{setting} in zkprov_settings")
    if server.new:
        return f"set {variable} once, for the whole group, to what the members have"
    return f"let every member have the same {setting} in its zoo.cfg; restart one by one, the leader last"
