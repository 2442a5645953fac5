"""The steps of a run as they happen, on stderr: a live line on a terminal, one line a step in a log file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zkprov.report.console import _plain, console

if TYPE_CHECKING:
    from zkprov.run.events import Event


class Progress:
    """A reader of events."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._out = console(err=True)
        self._live = sys.stderr.isatty() and not quiet
        self._status = self._out.status("", spinner="line") if self._live else None
        self._title = ""
        self._holder = ""

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        said = event.evidence
        match event.kind:
            case "waiting":
                self._waits(str(said["holder"]), str(said["left_s"]))
            case "step.begun":
                self._title = f"{event.step:>2} {said['title']}"
                self._show(self._title)
            case "sample":
                self._show(f"{self._title}: {said['good']} of {said['of']} good samples in a row")
            case "settling":
                self._show(f"{self._title}: {said['left_s']} s left, {said['good']} good samples")
            case "seasoning":
                self._show(f"{self._title}: {said['left_s']} s left for the next")
            case "rebooting":
                self._show(f"{self._title}: its host is away, {said['left_s']} s left: {said['why']}")
            case "draining":
                self._show(f"{self._title}: {said['clients']} clients, {said['left_s']} s left")
            case "gate":
                self._show(f"{self._title}: waiting, gate `{said['gate']}`: {said['summary']}")
            case "play":
                self._show(f"{self._title}: {said['play']}, {said['task']}")
            case "reader.lost":
                self._print(_plain(f"   the events go on without one of their readers: {said['why']}"))
            case "hook":
                self._show(f"{self._title}: hook {said['hook']} done")
            case "step.done":
                self._clear()
                pause = float(str(said["longest_pause_s"]))
                title = str(said["step"])
                self._print(
                    _plain(
                        f"{event.step:>2} {title:<12} {said['took_s']:>6} s  {said['said']}; longest pause {pause * 1000:.0f} ms"
                    )
                )
            case "step.failed":
                self._clear()
                self._print(_plain(f"{event.step:>2} {said['step']}: failed: {said['why']}"))
            case "undo" | "mend":
                self._clear()
                self._print(_plain(f"   {event.kind}: {said['what']}"))
            case "run.ended" | "run.stopped":
                self._clear()

    def _waits(self, holder: str, left_s: str) -> None:
        """A line that lives on a terminal; in a log file one for each holder."""
        self._show(f"waiting for the lock, held by {holder}: {left_s} s left")
        if not self._live and holder != self._holder:
            self._print(_plain(f"waiting for the lock, held by {holder} ({left_s} s at most)"))
        self._holder = holder

    def _show(self, text: str) -> None:
        if self._status is not None:
            self._status.update(_plain(text))
            self._status.start()

    def _print(self, text: str) -> None:
        self._out.print(text, soft_wrap=True)

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()

    def close(self) -> None:
        self._clear()
