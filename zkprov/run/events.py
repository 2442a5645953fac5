"""Everything that happens in a run, as one stream of events; console, JSON lines, journal and reports are its readers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from zkprov.model.problems import Interrupted

Value = str | int | float | bool | None | list[str] | dict[str, str]


class Event(msgspec.Struct, frozen=True):
    """`time` is RFC 3339 in UTC. `step` 0 is the run as a whole. `kind` e.g. `run.begun`, `step.begun`, `gate`, `act`, `step.done`."""

    time: str
    run: str
    step: int
    kind: str
    evidence: dict[str, Value] = {}


class Events:
    """Sends each event to every reader, in order. A reader that fails stops the run: what is not recorded is not done.

    `emit` raises `Interrupted` for a reader that cannot write (a full disk, a closed pipe).
    """

    def __init__(self, run: str, now: Callable[[], float], readers: list[Callable[[Event], None]]) -> None:
        self.run, self._now, self._readers = run, now, readers
        self.step = 0

    def emit(self, kind: str, **evidence: Value) -> None:
        event = Event(rfc3339(self._now()), self.run, self.step, kind, evidence)
        for reader in self._readers:
            try:
                reader(event)
            except (OSError, ValueError) as wrong:
                why = getattr(wrong, "strerror", None) or wrong
                raise Interrupted(
                    f"what happens cannot be written any more: {why}",
                    place="--events, or the screen",
                    remedy="zkprov resume",
                ) from None


def rfc3339(seconds: float) -> str:
    """`2026-11-24T22:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
