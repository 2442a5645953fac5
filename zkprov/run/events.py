"""Everything that happens in a run, as one stream of events; console, JSON lines, journal and reports are its readers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from zkprov.model.problems import Problem

Value = str | int | float | bool | None | list[str] | dict[str, str]


class Event(msgspec.Struct, frozen=True):
    """`time` is RFC 3339 in UTC. `step` 0 is the run as a whole. `kind` e.g. `run.begun`, `step.begun`, `gate`, `act`, `step.done`."""

    time: str
    run: str
    step: int
    kind: str
    evidence: dict[str, Value] = {}


class Events:
    """Sends each event to every reader, in order. The journal is a reader that raises `NotRecorded`: what is not recorded is not done.

    Any other one that fails (a full disk, a closed pipe) is left out from then on, and that is an event: it never fails a run.
    """

    def __init__(self, run: str, now: Callable[[], float], readers: list[Callable[[Event], None]]) -> None:
        self.run, self._now, self._readers = run, now, list(readers)
        self.step = 0

    def emit(self, kind: str, **evidence: Value) -> None:
        """Raises the `Problem` of a reader that has one."""
        event = Event(rfc3339(self._now()), self.run, self.step, kind, evidence)
        lost: list[str] = []
        for reader in list(self._readers):
            try:
                reader(event)
            except Problem:
                raise
            except Exception as wrong:
                self._readers.remove(reader)
                lost.append(str(getattr(wrong, "strerror", None) or wrong or type(wrong).__name__))
        for why in lost:
            self.emit("reader.lost", why=why)


def rfc3339(seconds: float) -> str:
    """`2026-11-24T22:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
