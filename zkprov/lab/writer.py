"""A client of one side that writes without end and keeps what was acknowledged: `python -m zkprov.lab.writer RECORD CONNECT`.

It ends when its record is gone (`lab down` removes the folder), or when it is told to. A line is written after the acknowledgement, never
before; what was sent and never answered is nowhere in the record, and may be in the ensemble.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec

WRITES = "/lab/writes"
SHARED = "/lab/shared"
EPHEMERAL = "/lab/ephemeral"
EVERY_S = 0.05
_ANSWER_S = 4.0
_SHARED_ZNODES = 3
_EPHEMERALS = 2
_SET_EVERY = 4
"""One in so many operations changes a shared znode."""
_BOTH_EVERY = 20
"""One create in so many has a name that other writers use too."""


class Acknowledged(msgspec.Struct, frozen=True):
    """One operation that an ensemble has confirmed to a writer, through `server`.

    `kind`: create, ephemeral or set; `zxid` as the answer had it (czxid of what was created, mzxid of what was set), `version` of the data
    after it; `time` in seconds since 1970.
    """

    writer: str
    kind: str
    path: str
    data: str
    zxid: int
    version: int
    time: float
    server: str


class _Writer:
    def __init__(self, client: Any, name: str, record: IO[bytes]) -> None:
        self._client, self._name, self._record = client, name, record
        self._session = 0
        self._number = 0

    def step(self) -> None:
        """One operation, and one line if it was acknowledged."""
        from kazoo.exceptions import NodeExistsError

        if self._client.client_id[0] != self._session:
            self._begin()
        self._number += 1
        number = self._number
        data = f"{self._name} {number}"
        if number % _SET_EVERY == 0:
            self._set(f"{SHARED}/{number // _SET_EVERY % _SHARED_ZNODES + 1}", data)
            return
        # the same name on each side, soon after its beginning: what only one of them could create in an ensemble that is one
        name = f"both-{number // _BOTH_EVERY:06}" if number % _BOTH_EVERY == 1 else f"{self._name}-{number:06}"
        with contextlib.suppress(NodeExistsError):
            self._create("create", f"{WRITES}/{name}", data)

    def _begin(self) -> None:
        """What a new session needs; after it has expired its ephemerals are made anew."""
        from kazoo.exceptions import NodeExistsError

        for path in ("/lab", WRITES, SHARED, EPHEMERAL, *(f"{SHARED}/{i + 1}" for i in range(_SHARED_ZNODES))):
            with contextlib.suppress(NodeExistsError):
                self._create("create", path, self._name)
        session = self._client.client_id[0]
        for i in range(_EPHEMERALS):
            path = f"{EPHEMERAL}/{self._name}-{session:x}-{i + 1}"
            with contextlib.suppress(NodeExistsError):
                self._create("ephemeral", path, self._name)
        self._session = session

    def _create(self, kind: str, path: str, data: str) -> None:
        server = self._server()
        asked = self._client.create_async(path, data.encode(), ephemeral=kind == "ephemeral", include_data=True)
        _, stat = asked.get(timeout=_ANSWER_S)
        self._keep(Acknowledged(self._name, kind, path, data, stat.czxid, stat.version, time.time(), server))

    def _set(self, path: str, data: str) -> None:
        server = self._server()
        stat = self._client.set_async(path, data.encode()).get(timeout=_ANSWER_S)
        self._keep(Acknowledged(self._name, "set", path, data, stat.mzxid, stat.version, time.time(), server))

    def _server(self) -> str:
        """Through which it will go: the connection may break before the answer comes, and then there is none."""
        connection = self._client._connection._socket
        try:
            host, port = connection.getpeername()[:2]
        except (AttributeError, OSError):
            return ""
        return f"{host}:{port}"

    def _keep(self, line: Acknowledged) -> None:
        self._record.write(msgspec.json.encode(line) + b"\n")
        self._record.flush()


def write(name: str, record: IO[bytes], connect: str, more: Callable[[], bool]) -> None:
    """Write to `connect` while there is `more` to do, through whatever goes wrong on the way."""
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException

    quiet = logging.getLogger("zkprov.kazoo")
    quiet.setLevel(logging.CRITICAL)
    quiet.propagate = False
    client = KazooClient(
        connect,
        timeout=6.0,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1.5, "max_delay": 0.5},
        logger=quiet,
    )
    client.start_async()
    writer = _Writer(client, name, record)
    while more():
        time.sleep(EVERY_S)
        if client.connected:
            with contextlib.suppress(KazooException, client.handler.timeout_exception):
                writer.step()


def main() -> None:
    record = Path(sys.argv[1])
    with record.open("ab") as file:
        write(record.stem, file, sys.argv[2], record.exists)
    # not through the end of a client whose server may be frozen, or gone
    os._exit(0)


if __name__ == "__main__":
    main()
