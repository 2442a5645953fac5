"""Commands as processes of their own: zkprov's verbs, whose exit codes are the contract, and the operator's. No shell is in between."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from zkprov.run.children import this_zkprov
from zkprov.run.commands import STOPPED_WITHIN_S, Ended, run

__all__ = ["STOPPED_WITHIN_S", "Ended", "document", "run", "zkprov"]


def zkprov(words: Sequence[str], journal: Path) -> list[str]:
    """The words that call this very zkprov."""
    return this_zkprov(["--journal", str(journal), *words])


def document(text: str) -> dict[str, object]:
    """The JSON document that a command printed; empty where it printed none."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}
