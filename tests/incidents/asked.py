"""What the servers of a broken lab say, asked each by itself: by four letter words, the AdminServer and sessions."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable
from typing import Any

import msgspec
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

from tests.real import driver
from tests.real.driver import client, tree
from zkprov.model.inventory import InventoryHost

LEADING = {"leader", "standalone"}


def mode(host: InventoryHost) -> str:
    """As `srvr` says it; empty where it does not serve. The host's address may be a name that only its own ensemble resolves."""
    return driver.mode(msgspec.structs.replace(host, address=host.client.host))


def leaders(hosts: Iterable[InventoryHost]) -> list[int]:
    return [host.id or 0 for host in hosts if mode(host) in LEADING]


def leader_of(host: InventoryHost) -> int | None:
    """By its AdminServer; None where it serves nobody."""
    assert host.admin is not None
    with urllib.request.urlopen(f"http://{host.admin}/commands/leader", timeout=3) as answer:
        found: Any = json.load(answer)
    return found.get("leader_id")


def children(host: InventoryHost, path: str) -> set[str]:
    """As that server has them."""
    with client(host) as session:
        session.sync(path)
        return set(session.get_children(path))


def held(host: InventoryHost) -> dict[str, tuple[bytes, int]]:
    """What that server holds below /lab and does not change any more: data and czxid of what only one writer has created."""
    with client(host) as session:
        return {path: (data, stat.czxid) for path, (data, stat) in tree(session, "/lab/writes").items()}


def opens_no_session(host: InventoryHost) -> bool:
    asked = KazooClient(str(host.client), timeout=4)
    try:
        asked.start(4)
    except (KazooException, asked.handler.timeout_exception):
        return True
    finally:
        asked.stop()
        asked.close()
    return False
