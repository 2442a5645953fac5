"""Whether servers know each other's SASL passwords: of the files that lie on the hosts and the one that is to come, all sealed.

A server with another password is heard by nobody, and says so in its log alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from zkprov.judge.verdict import Evidence, GateResult, weighed
from zkprov.model.facts import Fact
from zkprov.model.installed import Installed
from zkprov.model.jaas import NAME, QUORUM_LEARNER, QUORUM_SERVER, SERVER, USER, sections_of
from zkprov.model.problems import BadInput

GATE = "sasl passwords"
Options = Mapping[str, Mapping[str, str]]
"""Section → its options, sealed."""


def sasl_passwords(joiner: str, to_come: str, there: Mapping[str, Fact[Installed]]) -> GateResult:
    """`to_come`: the joiner's file; `there`: what lies on each member's host; both sealed with one seal.

    A member whose file is another's (or cannot be read) is told, and stops nothing: it may have its own way to SASL.
    """
    ours = _options(to_come) or {}
    odd: dict[str, list[str]] = defaultdict(list)
    warned, alike = [], 0
    for host, fact in there.items():
        text = fact.value.files.get(NAME) if fact.value else None
        theirs = _options(text) if text is not None else None
        if theirs is None or QUORUM_SERVER not in theirs:
            warned.append(Evidence(host, f"whether it knows the same passwords was not told: {_why(fact)}"))
        elif found := [*_strangers(ours, theirs)]:
            for what in found:
                odd[what].append(host)
        else:
            alike += 1
            warned += _clients(host, ours, theirs)
    result = weighed(
        GATE,
        [Evidence(joiner, f"{what} {', '.join(hosts)}") for what, hosts in odd.items()],
        [],
        f"{joiner} and {alike} members know each other's passwords",
        (f"{NAME} on each host",),
        remedy="set zkprov_quorum_sasl_user and its password (zkprov_quorum_sasl_password, its file or variable) to what the members have",
    )
    return msgspec.structs.replace(result, warnings=tuple(warned))


def _options(text: str) -> Options | None:
    try:
        sections = sections_of(text)
    except BadInput:
        return None
    return {name: {k: v for e in entries for k, v in e.options.items()} for name, entries in sections.items()}


def _why(fact: Fact[Installed]) -> str:
    if fact.value is None:
        return str(fact)
    return fact.value.unread.get(NAME) or f"no {NAME} of zkprov's kind beside its zoo.cfg"


def _strangers(ours: Options, theirs: Options) -> Iterator[str]:
    """Each shows its name and password to the other, whoever calls. What is said ends where the others are named."""
    user, password = _shown(ours)
    known = theirs[QUORUM_SERVER].get(USER + user)
    if known is None:
        yield f"comes as {user or 'nobody'} among servers, a user unknown to"
    elif known != password:
        yield f"its password among servers (user {user}) is not the one that is known to"
    other, password = _shown(theirs)
    known = ours.get(QUORUM_SERVER, {}).get(USER + other)
    if known is None:
        yield f"knows no user {other or 'without a name'} among servers, the name of"
    elif known != password and other != user:
        yield f"knows another password of {other} among servers than"


def _shown(options: Options) -> tuple[str, str]:
    learner = options.get(QUORUM_LEARNER, {})
    return learner.get("username", ""), learner.get("password", "")


def _clients(host: str, ours: Options, theirs: Options) -> Iterator[Evidence]:
    mine, its = ours.get(SERVER, {}), theirs.get(SERVER, {})
    differ = sorted(k.removeprefix(USER) for k in mine.keys() | its.keys() if mine.get(k) != its.get(k))
    if differ:
        told = ", ".join(differ[:5]) + (f" and {len(differ) - 5} more" if len(differ) > 5 else "")
        yield Evidence(host, f"it knows other SASL users, or other passwords of them: {told} (zkprov plan configure)")
