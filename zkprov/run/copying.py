"""The disks of many hosts copied into backups on them, some at a time: a play over SSH takes a second or two, whatever it copies."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from zkprov.act import backups
from zkprov.model.problems import Interrupted, Problem

if TYPE_CHECKING:
    from zkprov.act.hosts import Host
    from zkprov.run.world import World

PLAYS_AT_ONCE = 4
"""Each is a process of Ansible's here, which takes a core for half of its time."""


def at_once(world: World, hosts: Mapping[str, Host]) -> int:
    """How many are copied at a time. Hooks of the operator's, who may have written them for one host after another, run one at a time."""
    if all(host.host.connection == "local" for host in hosts.values()):
        return len(hosts)
    if any(world.has_hook(f"{when}-backup") for when in ("before", "after")):
        return 1
    return min(PLAYS_AT_ONCE, len(hosts))


def copy_disks(hosts: Mapping[str, Host], name: str, run: str, most: int, stop: threading.Event) -> None:
    """Config, epochs and data of each into its backup `name`, begun in this order, up to `most` at a time; when it returns, whole on all.

    Once one has failed, or `stop` is set, no other is begun; those under way are waited for, so that nothing is written any more when this
    raises. Raises the `Problem` of the first host, in this order, that has one; `Interrupted` where it was stopped.
    """
    failed = threading.Event()

    def one(host: Host) -> bool:
        if failed.is_set() or stop.is_set():
            return False
        try:
            backups.copy(host, name, run, data=True)
        except BaseException:
            failed.set()
            raise
        return True

    with ThreadPoolExecutor(max(1, most)) as pool:
        copies: list[Future[bool]] = [pool.submit(one, host) for host in hosts.values()]
        wait(copies)
    problems = [why for copy in copies if (why := copy.exception()) is not None]
    for why in problems:
        if not isinstance(why, Problem):
            raise why
    if stop.is_set():
        raise Interrupted("stopped by a signal", remedy="zkprov resume")
    if problems:
        raise problems[0]
