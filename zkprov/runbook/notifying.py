"""Tells a command or a webhook how a runbook stands; its failure is told, and never fails anything."""

from __future__ import annotations

import threading
import time

import msgspec

from zkprov.runbook.children import run
from zkprov.runbook.document import Notify
from zkprov.runbook.record import RunbookRecord

TIMEOUT_S = 20.0


class Told(msgspec.Struct, frozen=True):
    """The document that is sent. `why`: `notify` for a step of that name, `ended` at the end, once."""

    why: str
    runbook: RunbookRecord
    format: int = 1


def tell(to: Notify, record: RunbookRecord, why: str, stop: threading.Event) -> str:
    """Empty when it was told, else what went wrong. Raises nothing."""
    body = msgspec.json.encode(Told(why, record))
    if to.command:
        ended = run(to.command, stop=stop, timeout_s=TIMEOUT_S, given=body.decode(), whole=True)
        return (
            f"the notification failed: exit code {ended.exit_code} {ended.said[-200:]}".strip()
            if ended.exit_code
            else ""
        )
    # of a server that answers byte by byte, or never, nobody waits for the end
    came: list[str] = []
    thread = threading.Thread(target=lambda: came.append(_posted(to.webhook, body)), daemon=True)
    thread.start()
    until = time.monotonic() + TIMEOUT_S
    while thread.is_alive() and time.monotonic() < until and not stop.is_set():
        thread.join(0.1)
    return came[0] if came else "the notification failed: no answer"


def _posted(webhook: str, body: bytes) -> str:
    import http.client
    import urllib.request

    request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 — http or https, checked
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return ""
    except (OSError, ValueError, http.client.HTTPException) as wrong:
        return f"the notification failed: {wrong}"[:300]
