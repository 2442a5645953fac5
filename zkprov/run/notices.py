"""Tells a command or a webhook of something. That it fails is told, and fails nothing; a secret in a webhook's address is in no message."""

from __future__ import annotations

import shlex
import shutil
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from zkprov.model.problems import BadInput
from zkprov.run.commands import run

TIMEOUT_S = 20.0
AGAIN_S = 2.0
"""After the first failure; twice as long after each further one."""
AGAIN_MOST_S = 60.0


class Receiver(msgspec.Struct, frozen=True):
    """Who is told: a command, by JSON on its standard input, or a webhook, by POST."""

    command: tuple[str, ...] = ()
    webhook: str = ""

    def __str__(self) -> str:
        """Without what may be secret: the arguments, and all of the address but its host."""
        return (
            self.command[0]
            if self.command
            else f"{urlsplit(self.webhook).scheme}://{urlsplit(self.webhook).hostname}/…"
        )


def receiver_of(text: str, place: str) -> Receiver:
    """`https://…` is a webhook, all else a command with its arguments. Raises `BadInput` for what can be neither, without the address."""
    text = text.strip()
    if text.lower().startswith(("http://", "https://")):
        try:
            host = urlsplit(text).hostname
            _ = urlsplit(text).port
        except ValueError:
            host = None
        if not host or any(c.isspace() for c in text):
            raise BadInput("not the address of a webhook", place=place, remedy="write https://host/path")
        return Receiver(webhook=text)
    try:
        words = tuple(shlex.split(text))
    except ValueError as wrong:
        raise BadInput(f"not a command: {wrong}", place=place, remedy="quote it as a shell would want it") from None
    if not words or shutil.which(words[0]) is None:
        named = words[0] if words else "nothing"
        raise BadInput(
            f"{named} cannot be run", place=place, remedy="name a program that can be run, or a webhook (https://…)"
        )
    return Receiver(words)


def deliver(to: Receiver, body: bytes, stop: threading.Event, timeout_s: float = TIMEOUT_S) -> str:
    """Empty when it was told, else what went wrong. Raises nothing."""
    if to.command:
        ended = run(to.command, stop=stop, timeout_s=timeout_s, given=body.decode(), whole=True)
        if not ended.exit_code:
            return ""
        return f"the notification failed: exit code {ended.exit_code} {ended.said[-200:]}".strip()
    # of a server that answers byte by byte, or never, nobody waits for the end
    came: list[str] = []
    thread = threading.Thread(target=lambda: came.append(_posted(to.webhook, body, timeout_s)), daemon=True)
    thread.start()
    until = time.monotonic() + timeout_s
    while thread.is_alive() and time.monotonic() < until and not stop.is_set():
        thread.join(0.1)
    return came[0] if came else "the notification failed: no answer"


def _posted(webhook: str, body: bytes, timeout_s: float) -> str:
    import http.client
    import urllib.request

    try:
        request = urllib.request.Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310 — http or https, checked
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return ""
    except (OSError, ValueError, http.client.HTTPException) as wrong:
        return _without(f"the notification failed: {wrong}"[:300], webhook)


def _without(text: str, webhook: str) -> str:
    """An error may quote the address, or a part of it."""
    parts = urlsplit(webhook)
    for secret in (webhook, parts.path, parts.query, parts.username, parts.password):
        if secret and len(secret) > 1:
            text = text.replace(secret, "…")
    return text


class Notifier:
    """Tells `to`, beside whatever goes on, and again where it fails: the latest only, for what it supersedes is no longer so.

    Use it with `with`. `said` hears of each failure, and of the success after one.
    """

    def __init__(self, to: Receiver, said: Callable[[str], None], *, timeout_s: float = TIMEOUT_S) -> None:
        self._to, self._said, self._timeout_s = to, said, timeout_s
        self._stop = threading.Event()
        self._change = threading.Condition()
        self._waiting: list[bytes] = []
        self._busy = False
        self._failed = 0
        self._thread = threading.Thread(target=self._work, daemon=True, name="zkprov-notify")

    def __enter__(self) -> Notifier:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, body: bytes) -> None:
        """Returns at once. Those that were not delivered yet are told first, unless telling fails just now: then this one alone."""
        with self._change:
            self._waiting = [body] if self._failed else [*self._waiting, body]
            self._change.notify_all()

    def close(self, within_s: float = 2.0) -> None:
        """Waits a moment for what is under way, and ends."""
        until = time.monotonic() + within_s
        with self._change:
            while (self._waiting or self._busy) and not self._failed and (left := until - time.monotonic()) > 0:
                self._change.wait(left)
        self._stop.set()
        with self._change:
            self._change.notify_all()
        self._thread.join(2)

    def _work(self) -> None:
        while (body := self._next()) is not None:
            wrong = deliver(self._to, body, self._stop, self._timeout_s)
            with self._change:
                self._busy = False
                self._failed = self._failed + 1 if wrong else 0
                if wrong and not self._waiting:
                    self._waiting = [body]
                elif wrong:
                    self._waiting = self._waiting[-1:]
                self._change.notify_all()
            if self._stop.is_set():
                return
            if wrong:
                pause = min(AGAIN_MOST_S, AGAIN_S * 2 ** (min(self._failed, 10) - 1))
                self._said(f"{self._to}: {wrong}; again in {pause:.0f} s")
                self._stop.wait(pause)

    def _next(self) -> bytes | None:
        with self._change:
            while not self._waiting and not self._stop.is_set():
                self._change.wait(0.5)
            if self._stop.is_set():
                return None
            self._busy = True
            return self._waiting.pop(0)
