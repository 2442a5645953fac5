"""ZooKeeper's `reconfig`, one vote at a time, fenced by `from_config`; its outcome may be unknown, and is then said to be."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from zkprov.model.members import Members, Seat
from zkprov.model.server import Server

if TYPE_CHECKING:
    from kazoo.client import KazooClient

NEVER_A_VERSION = 1
"""Config versions are zxids of a reconfig, so at least 2^32 — or 0. Asking from this one changes nothing and tells what is allowed."""


class Answer(StrEnum):
    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # the connection was lost, or no answer came: the truth is read from every server (R9)


class Outcome(msgspec.Struct, frozen=True):
    """What ZooKeeper answered; `why` names its error."""

    answer: Answer
    why: str = ""


REFUSALS = {
    "BadVersionError": "the config is not the one that the gates read",
    "NewConfigNoQuorumError": "no quorum of the new list is connected and in sync",
    "ReconfigInProcessError": "another reconfig is in progress",
    "NoAuthError": "no right to reconfig: no super user, and no ACL on /zookeeper/config that allows it",
    "BadArgumentsError": "ZooKeeper takes the arguments for wrong (twice the same address, all removed, or groups)",
    "UnimplementedError": "the server serves alone, or does not know reconfig",
    "AuthFailedError": "authentication failed",
    "ReconfigDisabledError": "reconfigEnabled is false",
}


def change(
    client: KazooClient,
    *,
    from_config: int,
    joining: Server | None = None,
    leaving: int | None = None,
    patience_s: float = 30.0,
    stop: threading.Event | None = None,
) -> Outcome:
    """One incremental reconfig of one server, from the version `from_config` and no other (R3).

    Waits for the answer for `patience_s`, or until `stop` is set: then the outcome is unknown. Never sent twice.
    """
    if from_config <= 0 or (joining is None) == (leaving is None):
        raise ValueError("a reconfig joins or leaves one server, from a known version")
    if joining is not None and joining.client is None:
        raise ValueError("ZooKeeper takes no server without a client part alone; see `replace`")
    return _ask(
        client,
        (joining.line if joining else None, None if leaving is None else str(leaving), None),
        from_config,
        patience_s,
        stop,
    )


def join(
    client: KazooClient,
    want: Server,
    live: Members,
    *,
    seat: Seat | None = None,
    patience_s: float = 30.0,
    stop: threading.Event | None = None,
) -> Outcome:
    """`want` comes in, or changes its role, its place or its `seat`, from `live` at its version: in the way that list and line allow."""
    if live.hierarchical or want.client is None:
        after = live.with_server(want, seat)
        return replace(client, before=live, after=after, about=want.id, patience_s=patience_s, stop=stop)
    return change(client, joining=want, from_config=live.version, patience_s=patience_s, stop=stop)


def leave(
    client: KazooClient,
    server_id: int,
    live: Members,
    *,
    patience_s: float = 30.0,
    stop: threading.Event | None = None,
) -> Outcome:
    """`server_id` goes out of the list, from `live` at its version, in the way that the list allows."""
    if live.hierarchical:
        after = live.without(server_id)
        return replace(client, before=live, after=after, about=server_id, patience_s=patience_s, stop=stop)
    return change(client, leaving=server_id, from_config=live.version, patience_s=patience_s, stop=stop)


def replace(
    client: KazooClient,
    *,
    before: Members,
    after: Members,
    about: int,
    patience_s: float = 30.0,
    stop: threading.Event | None = None,
) -> Outcome:
    """The whole list anew, from `before` at its version and no other, in which the server `about`, its group and its weight alone differ.

    For lists with groups, of which ZooKeeper refuses each change of one server, and for servers without a client part, which it refuses to
    add one at a time ("3 ports", FACTS). That nothing else differs is made so here, not asked of the caller (R3).
    """
    if before.version <= 0:
        raise ValueError("from a known version")
    changed = sorted(i for i in before.ids | after.ids if before.get(i) != after.get(i))
    if before.without(about) != after.without(about).at_version(before.version):
        raise ValueError(f"more or less than one server would change: {changed}")
    if before.same_list(after):
        raise ValueError(f"nothing would change for {about}")
    return _ask(client, (None, None, "\n".join(after.lines)), before.version, patience_s, stop)


def rights(client: KazooClient, server: Server, patience_s: float = 5.0) -> str:
    """Why a reconfig would be refused for good, told without changing anything; empty when it would not.

    Two questions that fail in the end: a reconfig from a version that cannot be tells whether reconfig is enabled; a write to
    /zookeeper/config at a version that cannot be tells whether this client may write there (ACLs are checked before versions).
    """
    ways = (None, None, server.line) if server.client is None else (server.line, None, None)
    said = _ask(client, ways, NEVER_A_VERSION, patience_s, None)
    if said.answer is Answer.REFUSED and REFUSALS["BadVersionError"] not in said.why:
        return said.why
    return no_right(client, patience_s)


def no_right(client: KazooClient, patience_s: float = 5.0) -> str:
    """Why this client may not write the list of members, whether ZooKeeper takes changes of it or not; empty where it may."""
    from kazoo.exceptions import BadVersionError, KazooException, NoAuthError

    try:
        client.set_async("/zookeeper/config", b"", version=0x7FFFFFFF).get(timeout=patience_s)
    except BadVersionError:
        return ""
    except NoAuthError:
        return REFUSALS["NoAuthError"]
    except (KazooException, TimeoutError) as wrong:
        return f"the right to reconfig could not be checked: {type(wrong).__name__}"
    return "the right to reconfig could not be checked"


def _ask(
    client: KazooClient,
    ways: tuple[str | None, str | None, str | None],
    from_config: int,
    patience_s: float,
    stop: threading.Event | None,
) -> Outcome:
    """`ways`: joining, leaving, the whole list; one of them."""
    from kazoo import exceptions

    lost = (
        exceptions.ConnectionLoss,
        exceptions.ConnectionClosedError,
        exceptions.SessionExpiredError,
        exceptions.OperationTimeoutError,
    )
    try:
        reply = client.reconfig_async(*ways, from_config)
        deadline = time.monotonic() + patience_s
        while not reply.ready():
            if time.monotonic() > deadline or (stop is not None and stop.is_set()):
                return Outcome(Answer.UNKNOWN, "no answer yet")
            reply.wait(0.02)
        reply.get(block=False)
    except lost as wrong:
        return Outcome(Answer.UNKNOWN, type(wrong).__name__)
    except exceptions.KazooException as wrong:
        name = type(wrong).__name__
        return Outcome(Answer.REFUSED, f"{REFUSALS.get(name, 'ZooKeeper refused')} ({name})")
    except RuntimeError as wrong:
        # kazoo has no class for code -123, and says only its number
        disabled = "-123" in str(wrong)
        return Outcome(Answer.REFUSED, "reconfigEnabled is false" if disabled else f"ZooKeeper refused: {wrong}")
    return Outcome(Answer.APPLIED)
