"""Machines of their own, each with sshd and systemd: a survey over SSH, and one server added, beside the same on a lab.

`python -m bench.hosts`: a survey of five hosts ≤ 1.3 s on first contact, ≤ 0.4 s over open connections; `add-node` beyond the install play
≤ the same on the lab + 2.5 s a play. Needs root and Debian's packages, as the tests on hosts do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.hosts.archive import archive
from tests.hosts.machines import Machines
from tests.hosts.operator import Operator

FIRST_S, OPEN_S, PLAY_S = 1.3, 0.4, 2.5
QUICK = ("--yes", "--settle", "0", "--samples", "2", "--sample-interval", "0.2")


def look(path: str) -> None:
    """[first contact, then ten over open connections], seconds; how many disks were read."""
    from zkprov.observe.inventory import read_inventory
    from zkprov.run.world import World

    took = []
    with World(read_inventory(path)) as world:
        for _ in range(11):
            began = time.perf_counter()
            survey = world.survey()
            took.append(time.perf_counter() - began)
    print(json.dumps([took, sum(s.disk.value is not None and s.zabstate.value is not None for s in survey.servers)]))


def events_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def seconds(events: list[dict]) -> float:
    first, last = (datetime.fromisoformat(events[n]["time"]) for n in (0, -1))
    return (last - first).total_seconds()


def add(command: list[str], name: str, folder: Path) -> list[dict]:
    events = folder / f"{name}.jsonl"
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    subprocess.run([*command, "--events", str(events)], check=True, capture_output=True, env=environment)
    return events_of(events)


def on_a_lab(folder: Path) -> float:
    from zkprov.lab.lab import Lab

    lab = Lab.create("benchhosts", 5, home=folder)
    try:
        lab.up()
        command = [sys.executable, "-m", "zkprov", "-i", str(lab.inventory_path), "add-node", "zk6", *QUICK]
        return seconds(add(command, "lab", folder))
    finally:
        lab.down()


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Machines(folder / "machines", 6) as machines:
            made = Operator(machines, archive(), folder)
            made.of(5)("bootstrap", *QUICK, timeout_s=600).expect(0)
            command = [sys.executable, "-m", "bench.hosts", "--look", str(made.inventory)]
            took, seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            first, kept = took[0], statistics.median(took[1:])
            print(
                f"survey of five hosts, first contact, s:     {first:.2f}   (goal {FIRST_S:g}; disk and AdminServer of {seen})"
            )
            print(
                f"survey of five hosts, open connections, s:  {kept:.2f}   (goal {OPEN_S:g}; the longest {max(took[1:]):.2f})"
            )
            made.of(6)
            base = [sys.executable, "-m", "zkprov", "-i", str(made.inventory), "add-node", "zk6", *QUICK]
            events = add(base, "hosts", folder)
        whole = seconds(events)
        ends = [(e["evidence"]["play"], datetime.fromisoformat(e["time"])) for e in events if e["kind"] == "play"]
        begun = next(
            datetime.fromisoformat(e["time"]) for e in events if "install" in str(e["evidence"].get("what", ""))
        )
        install = (max(t for play, t in ends if play == "install") - begun).total_seconds()
        lab = on_a_lab(folder / "lab")
    # the install play is counted by itself
    beyond, count = whole - install, len({play for play, _ in ends}) - 1
    print(
        f"one added to five, s: hosts {whole:.2f}, of which install {install:.2f}; on a lab {lab:.2f} (whose Java starts from an archive)"
    )
    limit = lab + PLAY_S * count
    allowed = f"{limit:.2f}: the lab's, and {PLAY_S:g} s for each of {count} plays"
    print(f"beyond install, s:                          {beyond:.2f}   (goal {allowed})")
    return int(first > FIRST_S or kept > OPEN_S or beyond > limit or seen != 5)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2])
    else:
        sys.exit(main())
