"""The report of a run as one page that stands alone: no script, nothing from another host, and all that events say is text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from zkprov.plan.steps import SWITCHING, seconds
from zkprov.report.markdown import plain
from zkprov.report.run_document import RunReport, milliseconds
from zkprov.report.run_drawing import timeline
from zkprov.shipped import shipped

T = TypeVar("T")
MOST_ROWS = 400
"""Of one table: half of them its first, half its last. All are in the journal, and in `--output json`."""
MOST_TEXT = 1000
"""Characters of one text: a server may say anything."""


def page(report: RunReport) -> str:
    """The whole document. Raises `BadInput` where what draws it is missing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(shipped("report")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_text,
    )
    environment.filters |= {
        "ms": milliseconds,
        "took": took,
        "long": lambda value: seconds(round(value, 1)),
        "time_of_day": lambda time: time[11:].removesuffix("Z"),
        "date_and_time": date_and_time,
        "date_only": lambda time: time[:10],
    }
    longest = sorted(report.pauses, key=lambda p: -p.lasted_s)[: MOST_ROWS // 8]
    return environment.get_template("run.html.j2").render(
        r=report,
        # Matplotlib escapes what it writes, and _inline what it adds
        svg=Markup(timeline(report)),  # noqa: S704
        steps=_ends(report.steps),
        attempts=_ends(report.attempts),
        moments=_ends(report.moments),
        pauses=sorted(longest, key=lambda p: p.began),
        stops=_ends(report.stops),
        happenings=_ends(report.happenings),
        options=options(report),
    )


def _text(value: Any) -> Any:
    """What is put in, as one line of harmless characters; it is escaped after this. Markup is the drawing alone."""
    return plain(value[:MOST_TEXT]) if type(value) is str else value


def _ends(rows: Sequence[T]) -> Sequence[T]:
    half = MOST_ROWS // 2
    return rows if len(rows) <= MOST_ROWS else [*rows[:half], *rows[-half:]]


def took(value: float) -> str:
    """`2.61 s`, `12 min`."""
    return f"{value:.2f} s" if value < 100 else seconds(value)


def date_and_time(time: str) -> str:
    """`2026-11-24 22:00:00`; what is no time stays as it is."""
    try:
        return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return time


def options(report: RunReport) -> list[tuple[str, str]]:
    """How the run was to go about its steps, in words; what has no meaning for its kind is left out."""
    given, kind = report.options, report.kind
    comes, goes = kind in ("add", "replace", "renew", "set-role"), kind in ("remove", "replace", "set-role")
    told = [
        ("good samples before a change", f"{given.samples}, {seconds(given.interval_s)} apart", True),
        ("settle", seconds(given.settle_s), True),
        ("for a gate to pass", seconds(given.step_timeout_s), True),
        ("a newcomer is seasoned after", seconds(given.season_s), comes),
        ("for clients of who leaves", seconds(given.drain_s), goes),
        ("one server alone, of each release", seconds(given.soak_s), kind in SWITCHING),
        ("a leader hands over", "yes" if given.handover else "no", True),
        ("a backup comes first", "yes" if given.backup else "no", True),
        ("other files are laid", "yes", given.configure),
    ]
    return [(name, value) for name, value, meant in told if meant]
