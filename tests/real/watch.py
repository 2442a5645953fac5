"""A watch that goes on while something befalls an ensemble: its looks, and what must never be in them where there is one ensemble."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.real.driver import Running, Zkprov, mode, wait_for
from zkprov.model.inventory import InventoryHost

WAITED = re.compile(r"not know it yet: for (\d+\.\d) s, limit (\d+(?:\.\d+)?) s$")
"""What is said while a deposed leader still says leader."""


class Watch:
    """`zkprov status --watch`, its looks as they come, and what was told of them."""

    def __init__(self, zkprov: Zkprov, folder: Path, *, interval_s: float = 0.5, timeout_s: float = 1) -> None:
        self.told, self.metrics = folder / "told.jsonl", folder / "zk.prom"
        notify = f"tee -a {self.told}"
        options = ("--interval", str(interval_s), "--timeout", str(timeout_s), "--metrics-file", str(self.metrics))
        self._running: Running = zkprov.start("status", "--watch", "--output", "json", "--notify", notify, *options)
        self._out = self._running._out

    def looks(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_bytes().split(b"\n")[:-1] if line]

    def after(self, count: int, verdict: str) -> dict[str, Any]:
        """The first look with that verdict after the first `count` ones."""
        found: dict[str, Any] = wait_for(
            lambda: next((x for x in self.looks()[count:] if x["ensemble"]["verdict"] == verdict), None),
            60,
            f"a look that is {verdict}",
        )
        return found

    def now(self) -> tuple[int, int]:
        """How many looks there were, and how often somebody was told."""
        return len(self.looks()), len(self._told())

    def _told(self) -> list[str]:
        return self.told.read_text().splitlines() if self.told.exists() else []

    def called_nothing(self, since: tuple[int, int]) -> list[tuple[float, float]]:
        """(for how long, the limit) of each look in which a deposed leader was waited for, since then.

        Fails where any look, or anybody who was told, heard of an incident.
        """
        looks, told = since
        seen = self.looks()[looks:]
        assert len(seen) > 1
        waited = []
        for look in seen:
            head = look["ensemble"]
            assert look["incidents"] == [] and head["verdict"] != "unsafe", look
            if len(head["leaders"]) > 1:
                said = WAITED.search(head["headline"])
                assert said and head["verdict"] == "unknown", look
                waited.append((float(said[1]), float(said[2])))
        assert all(json.loads(line)["verdict"] != "unsafe" for line in self._told()[told:])
        return waited

    def end(self) -> None:
        self._running.signal()
        done = self._running.wait(15)
        assert "Traceback" not in done.err, done


def leader_of(hosts: Iterable[InventoryHost]) -> InventoryHost:
    hosts = tuple(hosts)
    found: InventoryHost = wait_for(lambda: next((h for h in hosts if mode(h) == "leader"), None), what="a leader")
    return found


def up_again(hosts: Iterable[InventoryHost]) -> None:
    hosts = tuple(hosts)
    wait_for(lambda: sorted(mode(h) for h in hosts) == ["follower", "follower", "leader"], 60, "three that serve")
