"""Many ensembles that were looked at: what was seen of each, as a document and as one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from zkprov.judge.verdict import Verdict
from zkprov.model.problems import Problem
from zkprov.plan.fleet import worst
from zkprov.report.console import COLOURS, _plain, console, table
from zkprov.report.documents import GateRow, StatusDocument

ERROR = "error"
MOST_NEXT = 8


class SeenRow(msgspec.Struct, frozen=True):
    """One ensemble. `verdict`: safe, degraded, unsafe or unknown; `error` where it could not be looked at, and `headline` says why.

    `spare`: voters that may fail, −1 without quorum. `config_version` in hex. `gates`: those that do not pass.
    """

    ensemble: str
    verdict: str
    exit_code: int
    headline: str
    leaders: list[int] = []
    voters: int = 0
    observers: int = 0
    asked: int = 0
    answered: int = 0
    spare: int = -1
    releases: list[str] = []
    config_version: str | None = None
    newcomers: int = 0
    gates: list[GateRow] = []
    next: list[str] = []


class FleetDocument(msgspec.Struct, frozen=True):
    """`zkprov status` and `check` of many ensembles. `left_out`: hosts with variables of zkprov's that are of none of the inventory's."""

    inventory: str
    exit_code: int
    took_s: float
    ensembles: list[SeenRow]
    left_out: list[str] = []
    format: int = 1


def seen_row(status: StatusDocument, code: int) -> SeenRow:
    """What the table has of one ensemble. `code`: with which a command of that one alone would end."""
    head = status.ensemble
    return SeenRow(
        ensemble=head.name,
        verdict=str(head.verdict),
        exit_code=code,
        headline=head.headline,
        leaders=head.leaders,
        voters=len(head.voters),
        observers=len(head.observers),
        asked=head.asked,
        answered=head.answered,
        spare=head.spare,
        releases=sorted({s.release for s in status.servers if s.release and s.id in head.members}),
        config_version=head.config_version,
        newcomers=len(head.newcomers),
        gates=[g for g in status.gates if g.verdict is not Verdict.PASS and (g.required or g.verdict is Verdict.FAIL)],
        next=status.next,
    )


def wrong_row(name: str, wrong: Problem) -> SeenRow:
    """An ensemble that could not be looked at."""
    told = [wrong.remedy] if wrong.remedy else []
    return SeenRow(name, ERROR, wrong.exit_code, str(wrong), next=told)


def fleet_document(inventory: str, rows: Sequence[SeenRow], left_out: Sequence[str], took_s: float) -> FleetDocument:
    code = worst([row.exit_code for row in rows])
    return FleetDocument(inventory, code, round(took_s, 3), list(rows), list(left_out))


def show_seen(document: FleetDocument) -> None:
    """One line an ensemble, and below what to do about those that are not well."""
    from rich.text import Text

    out = console()
    counts = Counter(row.verdict for row in document.ensembles)
    line = Text(f"{_plain(document.inventory)}  ", style="bold")
    for number, (verdict, count) in enumerate(sorted(counts.items())):
        line.append(f"{', ' if number else ''}{count} {verdict}", style=COLOURS.get(verdict, "red"))
    line.append(f"; {len(document.ensembles)} ensembles, {document.took_s:.2f} s", style="none")
    out.print(line)
    out.print()
    table(
        out,
        ["ensemble", "verdict", "leader", "servers", "may fail", "release", "config", "what is the matter"],
        [_cells(row) for row in document.ensembles],
        right=(),
    )
    if document.left_out:
        out.print()
        names = ", ".join(document.left_out[:MOST_NEXT]) + (" …" if len(document.left_out) > MOST_NEXT else "")
        out.print(_plain(f"note  of no ensemble, and not looked at: {names}"))
    ill = [row for row in document.ensembles if row.verdict != "safe"]
    for number, row in enumerate(ill[:MOST_NEXT]):
        if number == 0:
            out.print()
        command = f"zkprov check -i {document.inventory} -E {row.ensemble}" if row.verdict != ERROR else row.ensemble
        what = f"{command}  {row.next[0]}" if row.next else command
        out.print(_plain(f"{'next  ' if number == 0 else '      '}{what}"), soft_wrap=True)
    if len(ill) > MOST_NEXT:
        out.print(f"      and {len(ill) - MOST_NEXT} more")


def _cells(row: SeenRow) -> list[str]:
    if row.verdict == ERROR:
        return [row.ensemble, ERROR, "-", "-", "-", "-", "-", row.headline]
    leaders = ", ".join(str(i) for i in row.leaders) or "-"
    spare = str(row.spare) if row.spare >= 0 else "no quorum"
    matter = "" if row.verdict == "safe" else row.headline
    if row.verdict == "safe" and row.newcomers:
        matter = f"{row.newcomers} newcomers"
    releases, config = ", ".join(row.releases) or "-", row.config_version or "-"
    return [row.ensemble, row.verdict, leaders, f"{row.answered} of {row.asked}", spare, releases, config, matter]
