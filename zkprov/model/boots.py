"""Which boot a machine is in: what proves that it was rebooted, and what tells one machine from another."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Boot(msgspec.Struct, frozen=True):
    """As the host itself tells it. Equal `boot`s are one boot of one machine: the kernel's boot id, which is drawn anew with each boot; and
    when process 1 began, and in which space of processes, by which containers are told apart that share their kernel's.

    `state`: systemd's word for the whole (`running`, `starting`, …), empty without systemd. `others`: zoo.cfg of each server that runs
    there and is not ours. `ordered`: the reboot that a run has asked for last, as (run, id of its server, boot that it was in then).
    """

    boot: str
    state: str = ""
    others: tuple[str, ...] = ()
    ordered: tuple[str, int, str] | None = None

    @property
    def under_way(self) -> bool:
        """Whether it comes up still, or goes down: what runs by itself may not run yet."""
        return self.state in ("initializing", "starting", "stopping")

    def was_rebooted(self, run: str, server: int) -> bool:
        """Whether the host is in another boot than the one in which this run asked for the next."""
        return self.ordered is not None and self.ordered[:2] == (run, server) and self.ordered[2] != self.boot


def one_machine(boots: Mapping[str, Boot], host: str) -> tuple[str, ...]:
    """The other hosts that are the same machine as `host`, in their order."""
    return tuple(name for name, other in boots.items() if name != host and other.boot == boots[host].boot)
