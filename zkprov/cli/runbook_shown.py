"""How runbooks look on a screen: a run's steps, the list of runs, the timeline window by window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from zkprov.model.durations import told
from zkprov.report.console import console, table

if TYPE_CHECKING:
    from zkprov.runbook.document import Runbook
    from zkprov.runbook.record import RunbookRecord
    from zkprov.runbook.timeline import Timeline


def record(found: RunbookRecord, book: Runbook) -> None:
    """The steps, how they ended, and what to do next."""
    click.echo(
        f"Runbook {found.runbook} on {found.ensemble} (run {found.id}, {found.windows or 1} windows, by {found.who})"
    )
    rows = [
        [str(n), s.name, s.verb, str(s.outcome), told(s.worked_s) if s.began else "", s.said]
        for n, s in enumerate(found.steps, 1)
    ]
    table(console(), ["#", "step", "verb", "outcome", "took", "what came of it"], rows, right=())
    over = sum(s.outcome == "failed" for s in found.steps)
    headline = {
        "done": "done" + (f", with {over} failed steps that it goes on after" if over else ""),
        "resting": f"rests: {found.why}",
        "stopped": f"stopped: {found.why}",
        "failed": f"failed: {found.why}",
    }.get(str(found.state), str(found.state))
    click.echo(headline)
    if found.outside:
        click.echo(f"outside its window: {found.outside}")
    following = {
        "resting": f"zkprov runbook run {book.place}, in the next window",
        "stopped": f"zkprov runbook run {book.place}",
        "failed": f"zkprov runbook run {book.place} --retry, when the reason is gone",
    }.get(str(found.state))
    if following:
        click.echo(f"next   {following}")


def listing(found: Sequence[RunbookRecord]) -> None:
    rows = [
        [
            r.id,
            r.runbook,
            r.ensemble,
            str(r.state),
            f"{min(r.position + 1, len(r.steps))} of {len(r.steps)}",
            _local(datetime.fromtimestamp(r.began, UTC), "UTC"),
            r.who,
        ]
        for r in found
    ]
    table(console(), ["run", "runbook", "ensemble", "state", "at step", "began", "who"], rows, right=())
    for r in found:
        # a sentence has no room in a table
        for said in (r.why, r.outside and f"outside its window: {r.outside}"):
            if said:
                click.echo(f"{r.id}  {said}")


def timeline(found: Timeline, book: Runbook) -> None:
    """Window by window; local times of the runbook's zone."""
    click.echo(
        f"{book.name}: {len(book.steps)} steps, times of {book.zone}; durations as measured, as stated, or guessed"
    )
    shown = found.windows or (None,)
    for number, window in enumerate(shown):
        if window is not None:
            click.echo(
                f"\nwindow {number + 1}: {_local(window.opens, book.zone)} to {_local(window.closes, book.zone)}"
                f" ({told(window.length_s)})"
            )
        for one in found.planned:
            if one.window == number:
                rests = "  … goes on in the next window" if one.rests else ""
                takes = told((one.ends - one.begins).total_seconds())
                begins, ends = (
                    at.astimezone(ZoneInfo(book.zone)).strftime("%H:%M:%S") for at in (one.begins, one.ends)
                )
                click.echo(f"  {begins} – {ends}  {one.name}  ({takes}){rests}")
    if found.unplaced:
        click.echo(f"\nno window is left for, or long enough for: {', '.join(found.unplaced)}")


def _local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %Z")
