"""Tells a command or a webhook how a runbook stands; its failure is told, and never fails anything."""

from __future__ import annotations

import threading

import msgspec

from zkprov.run.notices import Receiver, deliver
from zkprov.runbook.document import Notify
from zkprov.runbook.record import RunbookRecord


class Told(msgspec.Struct, frozen=True):
    """The document that is sent. `why`: `notify` for a step of that name, `ended` at the end, once."""

    why: str
    runbook: RunbookRecord
    format: int = 1


def tell(to: Notify, record: RunbookRecord, why: str, stop: threading.Event) -> str:
    """Empty when it was told, else what went wrong. Raises nothing."""
    return deliver(Receiver(tuple(to.command or ()), to.webhook or ""), msgspec.json.encode(Told(why, record)), stop)
