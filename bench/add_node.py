"""One server added to three: `zkprov add-node` beside a bare script that starts the server and calls reconfig twice, in one run.

`python -m bench.add_node [ROUNDS]`. A client writes 100 times/s meanwhile. Each round makes a lab of three and adds one server by
each way, in turn first. Figures: seconds beyond the configured sampling, the whole command, elections, the longest write gap.

What is configured is three samples, half a second apart. Beyond sampling is taken in two ways: less the two pauses, which the limit is
held to, and less all of it, from the begin of the first look to the end of the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from kazoo.client import KazooClient

SAMPLES, INTERVAL_S = 3, 0.5
SAMPLING_S = (SAMPLES - 1) * INTERVAL_S
RATIO, GAPS, MEMORY_MB = 1.2, 2, 120


class Load:
    """Writes 100 times/s through the members; `longest` is the longest time between two acknowledged writes, in seconds."""

    def __init__(self, connect: str, connection_retry: dict[str, float] | None = None) -> None:
        self._client = KazooClient(hosts=connect, timeout=10, connection_retry=connection_retry)
        self._client.start()
        self._client.ensure_path("/bench")
        self._stop = threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        last = time.monotonic()
        while not self._stop.is_set():
            with contextlib.suppress(Exception):
                self._client.set("/bench", b"x")
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
            self._stop.wait(0.01)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.stop()
        self._client.close()


@contextlib.contextmanager
def lab(name: str) -> Iterator[object]:
    from zkprov.lab.lab import Lab

    made = Lab.create(name, 3)
    try:
        made.up()
        yield made
    finally:
        made.down()


def epoch(made) -> int:
    from zkprov.observe.inventory import read_inventory
    from zkprov.run.world import World

    with World(read_inventory(str(made.inventory_path))) as world:
        return max(f.srvr.value.epoch for f in world.survey().servers if f.srvr.value)


def script(made) -> tuple[float, float, float, float]:
    """What a bare script does: files, start, wait until it follows, two reconfigs, wait until it votes. Seconds.

    It votes when the leader counts it: `srvr` on the joiner still says follower for a moment after the answer, then nothing, then follower.
    """
    from zkprov.act.local import LocalHost
    from zkprov.act.render import render_host
    from zkprov.judge.rendering import joiner_list
    from zkprov.lab.founding import server_of
    from zkprov.model.config import parse_members
    from zkprov.model.release import Release
    from zkprov.observe.inventory import read_auth

    inventory_host = made.host(4)
    local = LocalHost(inventory_host)
    client = KazooClient(hosts=made.connect, auth_data=[read_auth(str(made.auth_file))])
    client.start()
    began = time.monotonic()
    live = parse_members(client.get("/zookeeper/config")[0].decode(), "bench")
    server = server_of(inventory_host)
    wish = joiner_list(live, server)
    local.fence("bench")
    local.configure(render_host(inventory_host, wish, release=Release.parse(made.release), server_id=4), "bench")
    local.start()
    await_mode(inventory_host.client_port, b"Mode: follower")
    client.reconfig(wish.get(4).line, None, None)
    client.reconfig(server.line, None, None)
    await_voters(made, 4)
    took = time.monotonic() - began
    client.stop()
    client.close()
    return took, took, 0.0, 0.0


def await_mode(port: int, mode: bytes) -> None:
    while mode not in word(port, b"srvr"):
        time.sleep(0.01)


def await_voters(made, count: int) -> None:
    """Until the leader counts all voters but itself among its followers in sync."""
    ports = [made.host(n).client_port for n in (1, 2, 3)]
    leader = next(port for port in ports if b"Mode: leader" in word(port, b"srvr"))
    while b"zk_synced_followers\t%d\n" % (count - 1) not in word(leader, b"mntr").replace(b".0\n", b"\n"):
        time.sleep(0.01)


def word(port: int, question: bytes) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as peer:
        peer.sendall(question)
        return peer.makefile("rb").read()
    return b""


def zkprov(made) -> tuple[float, float, float, float]:
    """The run from its first to its last event, the whole command, its last sample's look, each in seconds; its memory in MB."""
    with tempfile.NamedTemporaryFile() as events:
        command = [
            sys.executable,
            "-m",
            "zkprov",
            "add-node",
            "zk4",
            "--yes",
            "--settle",
            "0",
            "-i",
            str(made.inventory_path),
        ]
        command += ["--samples", str(SAMPLES), "--sample-interval", str(INTERVAL_S), "--events", events.name]
        began = time.monotonic()
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(running.pid, 0)
        whole = time.monotonic() - began
        if status:
            raise SystemExit(f"zkprov add-node ended with {os.waitstatus_to_exitcode(status)}")
        told = [json.loads(line) for line in Path(events.name).read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]) for line in told]
    looks = [line["evidence"]["took_s"] for line in told if line["kind"] == "sample"]
    return (times[-1] - times[0]).total_seconds(), whole, looks[-1], used.ru_maxrss / 1024


class Figures(NamedTuple):
    """Of one round by one way. Seconds, but for `elections` and `memory` (MB)."""

    run: float
    whole: float
    last_look: float
    memory: float
    gap: float
    elections: int


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    figures: dict[str, list[Figures]] = {"script": [], "zkprov": []}
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        for number in range(rounds):
            ways = [("script", script), ("zkprov", zkprov)]
            for name, way in ways if number % 2 == 0 else reversed(ways):
                with lab(f"bench{number}{name}") as made:
                    before = epoch(made)
                    with Load(made.connect) as load:
                        found = way(made)
                    figures[name].append(Figures(*found, load.longest, epoch(made) - before))
    script_s, ours = [f.run for f in figures["script"]], figures["zkprov"]
    beyond = [f.run - SAMPLING_S for f in ours]
    without = [f.run - SAMPLING_S - f.last_look for f in ours]
    ratio, gaps = over(beyond, script_s), over([f.gap for f in ours], [f.gap for f in figures["script"]])
    memory, elections = max(f.memory for f in ours), sum(f.elections for f in ours)
    print(f"bare script, s:                    {spread(script_s)}")
    print(f"zkprov's run less the pauses, s:   {spread(beyond)}   ratio of medians {ratio:.2f}   (goal {RATIO})")
    print(f"zkprov's run less the samples, s:  {spread(without)}   ratio of medians {over(without, script_s):.2f}")
    print(f"zkprov's whole command, s:         {spread([f.whole for f in ours])}")
    for name, each in figures.items():
        told = spread([f.gap * 1000 for f in each], 0)
        print(f"{name}: longest write gap, ms: {told}; elections {sum(f.elections for f in each)}")
    print(f"ratio of write gaps:               {gaps:.2f}   (goal {GAPS})")
    print(f"memory of a run, MB:               {memory:.0f}   (goal {MEMORY_MB})")
    return int(ratio > RATIO or gaps > GAPS or memory > MEMORY_MB or elections > 0)


def over(ones: list[float], others: list[float]) -> float:
    return statistics.median(ones) / statistics.median(others)


def spread(values: list[float], digits: int = 2) -> str:
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {mid:.{digits}f} / {high:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
