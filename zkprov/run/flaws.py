"""What could not be read of the disks that are read."""

from __future__ import annotations

from zkprov.tree.flaw import Flaw

MOST_FLAWS = 100


class Flaws:
    """What could not be read: each once, however often its file is read, and not more than can be looked at."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}
        self.more = 0

    def __call__(self, flaw: Flaw) -> None:
        text = str(flaw)
        if text not in self.found:
            if len(self.found) < MOST_FLAWS:
                self.found[text] = None
            else:
                self.more += 1

    def told(self) -> tuple[str, ...]:
        return (*self.found, *([f"and {self.more} more"] if self.more else []))
