"""What hosts make of each other's names and ports, each asked over its own connection, all at the same time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from zkprov.model.facts import Reach
from zkprov.model.inventory import InventoryHost
from zkprov.model.problems import Unreached
from zkprov.observe.decoding import decoded
from zkprov.observe.remote import program
from zkprov.observe.ssh import Connections

CONNECT_S = 2.0
"""For a connection to get through: a lost packet is sent again after one second."""
MARGIN_S = 8.0


class _Name(msgspec.Struct):
    addresses: tuple[str, ...] = ()
    error: str = ""


class _Answer(msgspec.Struct):
    names: dict[str, _Name]
    ports: dict[str, str]
    now: float


def look_reach(
    connections: Connections,
    asked: Sequence[tuple[InventoryHost, Sequence[tuple[str, int]]]],
    names: Sequence[str],
) -> tuple[Reach, ...]:
    """Each host with the (host, port) pairs that it is to reach; `names` are resolved on all of them. Never raises for what a host does."""
    if not asked:
        return ()
    with ThreadPoolExecutor(min(32, len(asked))) as pool:
        return tuple(pool.map(lambda one: _one(connections, one[0], one[1], names), asked))


def _one(
    connections: Connections, host: InventoryHost, ports: Sequence[tuple[str, int]], names: Sequence[str]
) -> Reach:
    arguments = {"names": list(names), "connect": [list(p) for p in ports], "timeout_s": CONNECT_S}
    try:
        began = time.time()
        document = connections.run(host, program("reach"), arguments, timeout_s=CONNECT_S + MARGIN_S)
        answer = decoded(document, _Answer)
    except Unreached as problem:
        return Reach(host.name, problem=str(problem))
    except msgspec.ValidationError as wrong:
        return Reach(host.name, problem=f"an odd answer: {wrong}")
    found = {(h, p): answer.ports.get(f"{h} {p}", "not told") for h, p in ports}
    # half of the way there and back at most
    ahead = answer.now - (began + time.time()) / 2
    good = {n: x.addresses for n, x in answer.names.items() if x.addresses}
    bad = {n: x.error or "no address" for n, x in answer.names.items() if not x.addresses}
    return Reach(host.name, good, bad, found, ahead)
