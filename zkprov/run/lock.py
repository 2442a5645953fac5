"""The courtesy lock of the ensemble, taken and given back in bounded time. kazoo's own recipe waits for as long as its connection is
away: a run that was cut off from everyone would never end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from zkprov.model.problems import Busy, Interrupted

if TYPE_CHECKING:
    from kazoo.client import KazooClient
    from kazoo.recipe.lock import Lock

T = TypeVar("T")

PATIENCE_S = 15.0
"""For an answer beyond the time that another's lock is waited for: connections that are lost, and an election."""
GIVE_BACK_S = 1.0
"""For giving it back. Where that does not come through it ends with the session, which ends next."""


ASIDE_S = 1.0
"""Between two moments of a wait in which something else is looked at."""


def take(
    client: KazooClient,
    path: str,
    who: str,
    wait_s: float,
    stop: threading.Event,
    meanwhile: Callable[[str, float], None] = lambda holder, left_s: None,
) -> Lock:
    """The lock at `path`, held by `who`. Waits `wait_s` seconds for another's; `meanwhile` is told of it, and may end it.

    Raises `Busy` naming its holder, `Interrupted` once `stop` is set, kazoo's errors where the ensemble does not answer. Whoever does not
    get it must end the session: a request that is on its way might be carried out yet.
    """
    from kazoo.exceptions import LockTimeout

    lock = client.Lock(path, who)

    def holder() -> str:
        return next(iter(_within(PATIENCE_S, lock.contenders, stop) or []), "another run")

    try:
        if _within(
            wait_s + PATIENCE_S, lambda: lock.acquire(timeout=wait_s), stop, lambda left_s: meanwhile(holder(), left_s)
        ):
            return lock
    except LockTimeout:
        pass
    raise held(holder(), path)


def held(holder: str, path: str) -> Busy:
    return Busy(f"held by {holder}", place=path, remedy="wait until it ends (zkprov history), or stop it: zkprov pause")


def give_back(client: KazooClient, lock: Lock) -> None:
    """Raises nothing."""
    with contextlib.suppress(Exception):
        client.delete_async(f"{lock.path}/{lock.node}").get(timeout=GIVE_BACK_S)


def _within(
    limit_s: float, work: Callable[[], T], stop: threading.Event, meanwhile: Callable[[float], None] = lambda _: None
) -> T:
    """What `work` returns or raises; it goes on in a thread of its own where it is not waited for any longer.

    `meanwhile` gets the seconds that are left for another's lock.
    """
    from kazoo.exceptions import OperationTimeoutError

    returned: list[T] = []
    raised: list[BaseException] = []

    def carried_out() -> None:
        try:
            returned.append(work())
        except BaseException as wrong:  # for whoever waits
            raised.append(wrong)

    thread = threading.Thread(target=carried_out, daemon=True, name="zkprov-lock")
    thread.start()
    deadline = time.monotonic() + limit_s
    aside = time.monotonic() + ASIDE_S
    while thread.is_alive():
        if stop.is_set():
            raise Interrupted("stopped by a signal before anything was begun")
        if time.monotonic() > deadline:
            raise OperationTimeoutError("no answer in time")
        if time.monotonic() > aside:
            aside = time.monotonic() + ASIDE_S
            meanwhile(max(0.0, deadline - PATIENCE_S - time.monotonic()))
        thread.join(0.02)
    if raised:
        raise raised[0]
    return returned[0]
