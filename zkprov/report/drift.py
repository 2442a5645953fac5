"""What `plan configure` prints: a line for each host and what differs there, or a document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from zkprov.judge.drift import RELEASE
from zkprov.judge.health import Condition
from zkprov.plan.configure import Drift, HostDrift, Place
from zkprov.report.console import _plain, console, table

if TYPE_CHECKING:
    from rich.console import Console


class DriftDocument(msgspec.Struct, frozen=True):
    """`zkprov plan configure`. `next`: what to do, in the order of the hosts."""

    drift: Drift
    next: tuple[str, ...]
    format: int = 1


def drift_document(drift: Drift) -> DriftDocument:
    return DriftDocument(drift, tuple(_next(drift)))


def show(document: DriftDocument, *, diff: bool = False) -> None:
    drift, out = document.drift, console()
    head = f"{drift.ensemble}  " + ("what lies there is not what templates and variables say" if drift.differs else "")
    if not drift.differs:
        head += "no drift seen" if drift.unread or drift.refused else "no drift"
    out.print(_plain(head), soft_wrap=True)
    if drift.condition is not Condition.SAFE:
        out.print(_plain(f"  the ensemble is not healthy: {str(drift.condition).upper()}, {drift.headline}"))
    out.print()
    rows = [[h.order, h.host, h.id, h.place, _restart(h), "; ".join(_told(h))] for h in drift.hosts if not h.bare]
    table(out, ["#", "host", "id", "is", "restart", "differs"], rows, right=(0, 2))
    if bare := [h.host for h in drift.hosts if h.bare]:
        out.print(_plain(f"bare, and no members: {', '.join(bare)}"))
    if drift.beside:
        ids = ", ".join(str(i) for i in drift.beside)
        out.print(f"members that no host of the inventory stands for, not looked at: {ids}")
    if diff:
        _diffs(out, drift)
    for number, step in enumerate(document.next):
        out.print(_plain(f"{'next  ' if number == 0 else '      '}{step}"))


def _restart(host: HostDrift) -> str:
    return "yes" if host.restart else "no" if host.files else "-"


def _told(host: HostDrift) -> Iterator[str]:
    for file in host.files:
        settings = f" ({', '.join(str(s) for s in file.settings)})" if file.settings else ""
        note = f" [{file.note}]" if file.note else ""
        yield f"{file.file} {file.kind}{settings}{note}"
    yield from (f"REFUSED {why}" for why in host.refused)
    yield from (f"not read: {why}" for why in host.unread)
    yield from host.notes
    if not (host.files or host.refused or host.unread or host.notes):
        yield "nothing"


def _diffs(out: Console, drift: Drift) -> None:
    for host in drift.hosts:
        for file in (f for f in host.files if f.diff):
            out.print()
            out.print(_plain(f"{host.host}: {file.file}"), style="bold")
            for line in file.diff:
                out.print(_plain(line), soft_wrap=True)


def _next(drift: Drift) -> Iterator[str]:
    if drift.refused:
        yield "correct the templates or variables that a rule forbids, then look again"
    if drift.unread:
        yield "what was not read may differ too: make it readable, then look again"
    quiet = [h.host for h in drift.hosts if h.files and not h.restart and h.place is not Place.NO_MEMBER]
    if quiet:
        yield f"without a restart: {', '.join(quiet)} (write what differs; for a unit: systemctl daemon-reload)"
    if not drift.restarts:
        return
    if drift.condition is not Condition.SAFE:
        yield "restart nothing before `zkprov check` exits 0"
    elif drift.spare < 1 and any(h.place is not Place.OBSERVER for h in drift.restarts):
        yield "no voter may fail: while one restarts, clients are not served"
    laid = [h for h in drift.restarts if h.laid]
    if laid:
        last = ", the leader last" if laid[-1].place is Place.LEADER else ""
        yield f"zkprov restart --config: one after the other{last}: {', '.join(h.host for h in laid)}"
    releases = [h.host for h in drift.restarts if any(f.file == RELEASE for f in h.files)]
    if releases:
        yield f"not by a restart: another release on {', '.join(releases)}"
