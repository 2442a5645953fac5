"""A second ensemble on real machines, with clients that write on every side: seen, healed over SSH, and nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.operator import Operator
from tests.hosts.wrong_runbook import Incident
from tests.real.driver import wait_for
from zkprov.lab.writers import stop_writers

pytestmark = pytest.mark.real
QUICK = (
    "--settle", "0", "--samples", "1", "--sample-interval", "0.1", "--season", "6s", "--reason", "a test", "--step-timeout", "60s",
)  # fmt: skip
STORIES = {"outage": ("second-leader", 7), "static_3_5": ("second-leader", 5), "merged": ("merged", 5)}


@pytest.mark.timeout(600)
@pytest.mark.matrix(keep=1, of="incidents on hosts", among="stories on hosts")
@pytest.mark.parametrize("shape", STORIES)
def test_seen_healed_over_ssh_and_nothing_lost(operator: Callable[[int], Operator], tmp_path: Path, shape: str) -> None:
    named, count = STORIES[shape]
    import time
    t0=time.monotonic()
    incident = Incident(operator(count), tmp_path)
    try:
        getattr(incident, shape)()
        print("made", time.monotonic()-t0)
        zkprov = incident.zkprov
        d = zkprov("status")
        print(repr(d))
        d = zkprov("check")
        print(repr(d))
        d = zkprov("heal", "--plan", *QUICK)
        print(repr(d))
        d = zkprov("heal", "--yes", "--keep", "zk1", *QUICK, timeout_s=300)
        print(repr(d))
        d = zkprov("check")
        print(repr(d))
    finally:
        stop_writers(tmp_path)
    assert 0
