"""What a watch tells others: a notification for each change of the verdict, a line for monitoring, and figures for Prometheus."""

from __future__ import annotations

import msgspec

from zkprov.judge.health import Condition
from zkprov.judge.incidents import Shape
from zkprov.report.documents import StatusDocument

NAGIOS = {Condition.SAFE: 0, Condition.DEGRADED: 1, Condition.UNSAFE: 2, Condition.UNKNOWN: 3}
"""Exit codes of a monitoring plugin; of `check --output nagios` alone."""
WORDS = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}
MOST_LINES = 20
SHAKY_S = 12.0
"""For so long a look at which nothing can be told, or a weaker one, may be an election."""


class Notification(msgspec.Struct, frozen=True):
    """What a command gets on its standard input, and a webhook by POST. `was`, `verdict`: before and now; `was` is empty at the first look.

    `incidents`: the names of those that are seen now.
    """

    why: str
    ensemble: str
    was: str
    verdict: str
    headline: str
    incidents: list[str]
    status: StatusDocument
    format: int = 1


class Changes:
    """Which looks of a watch are told. A danger at once; anything else once it stood for `SHAKY_S`: every leader that goes leaves some
    seconds in which nothing can be told. A watch that begins in safety tells nothing.
    """

    def __init__(self) -> None:
        self._told: tuple[str, tuple[str, ...]] | None = None
        self._since: tuple[tuple[str, tuple[str, ...]], float] | None = None

    def seen(self, document: StatusDocument, now_s: float) -> Notification | None:
        """`now_s`: by a clock that only goes forward."""
        state = str(document.ensemble.verdict), tuple(str(i.shape) for i in document.incidents)
        told = self._told or ("", ())
        if state == (self._told or (str(Condition.SAFE), ())):
            self._told, self._since = state, None
            return None
        if self._since is None or self._since[0] != state:
            self._since = state, now_s
        if state[0] != Condition.UNSAFE and now_s - self._since[1] < SHAKY_S:
            return None
        self._told, self._since = state, None
        head = document.ensemble
        return Notification("verdict", head.name, told[0], state[0], head.headline, list(state[1]), document)


def nagios(document: StatusDocument) -> tuple[str, int]:
    """(the plugin's output, its exit code): one line with figures, then what is to be known besides."""
    head = document.ensemble
    code = NAGIOS[head.verdict]
    figures = {
        "leaders": len(head.leaders),
        "voters": len(head.voters),
        "may_fail": head.spare,
        "answering": f"{head.answered};;;0;{head.asked}",
        "beside": len(head.rogues),
        "incidents": len(document.incidents),
        "took": f"{head.took_s:.3f}s",
    }
    told = f"ZOOKEEPER {WORDS[code]} - {_plain(head.name)}: {head.verdict!s}, {_plain(head.headline)}"
    lines = [f"{told}|{' '.join(f'{name}={value}' for name, value in figures.items())}"]
    lines += [_plain(e) for i in document.incidents for e in i.evidence]
    lines += [_plain(f"next: {step}") for step in document.next]
    return "\n".join(lines[: MOST_LINES + 1]), code


def nagios_failed(text: str) -> tuple[str, int]:
    """As `nagios`, where no look came about."""
    return f"ZOOKEEPER UNKNOWN - {_plain(text)}", 3


def _plain(text: str) -> str:
    """One line without the sign that begins the figures."""
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "/")


def metrics(document: StatusDocument, time_s: float) -> bytes:
    """In Prometheus' text format. `time_s`: when the look was begun, in seconds since 1970; its age is `time()` less that."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    head, registry = document.ensemble, CollectorRegistry()

    def gauge(name: str, what: str, value: float, **labels: str) -> None:
        known = gauges.get(name)
        if known is None:
            names = ["ensemble", *labels]
            known = gauges[name] = Gauge(f"zkprov_{name}", what, names, registry=registry)
        known.labels(ensemble=head.name, **labels).set(value)

    gauges: dict[str, Gauge] = {}
    for condition in Condition:
        gauge("verdict", "1 for the verdict that holds.", head.verdict == condition, verdict=str(condition))
    seen = [str(i.shape) for i in document.incidents]
    for shape in Shape:
        gauge("incident", "How many incidents of this shape are seen.", seen.count(str(shape)), shape=str(shape))
    gauge("leaders", "Servers that say to lead, strangers aside.", len(head.leaders))
    gauge(
        "sides",
        "Ensembles that are seen: 1 where there is one alone.",
        max([int(bool(head.leaders)), *(len(i.sides) for i in document.incidents)]),
    )
    gauge("voters", "Voters of the live list.", len(head.voters))
    gauge("voters_spare", "Voters that may fail before quorum is lost; -1 without quorum.", head.spare)
    gauge("servers_asked", "Servers that are known.", head.asked)
    gauge("servers_answering", "Of those, the ones that answer.", head.answered)
    gauge("servers_beside", "Servers of ours that serve another ensemble.", len(head.rogues))
    for server in document.servers:
        if server.zxid is not None:
            gauge(
                "server_zxid",
                "The last transaction of a server; the epoch is its upper half.",
                int(server.zxid, 16),
                server=server.name,
                id="" if server.id is None else str(server.id),
            )
    gauge("look_timestamp_seconds", "When the look was begun; its age is time() less this.", time_s)
    gauge("look_took_seconds", "How long the look took.", head.took_s)
    found: bytes = generate_latest(registry)
    return found
