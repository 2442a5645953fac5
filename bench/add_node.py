"""One server added to three: `zkprov add-node` beside a bare script that starts the server and calls reconfig twice, in one run.

`python -m bench.add_node [ROUNDS]`. A client writes 100 times/s meanwhile. Each round makes a lab of three and adds one server by
each way, in turn first. Figures: seconds beyond the configured sampling, the whole command, elections, the longest write gap.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
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

from kazoo.client import KazooClient

SAMPLES, INTERVAL_S = 3, 0.5
SAMPLING_S = (SAMPLES - 1) * INTERVAL_S


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


def script(made) -> tuple[float, float]:
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
    return took, took


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


def zkprov(made) -> tuple[float, float]:
    """(the run from its first to its last event, the whole command) in seconds."""
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
        subprocess.run(command, check=True, capture_output=True)
        whole = time.monotonic() - began
        times = [
            datetime.fromisoformat(json.loads(line)["time"]) for line in Path(events.name).read_text().splitlines()
        ]
    return (times[-1] - times[0]).total_seconds(), whole


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    figures: dict[str, list[tuple[float, float, float, int]]] = {"script": [], "zkprov": []}
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        for number in range(rounds):
            ways = [("script", script), ("zkprov", zkprov)]
            for name, way in ways if number % 2 == 0 else reversed(ways):
                with lab(f"bench{number}{name}") as made:
                    before = epoch(made)
                    with Load(made.connect) as load:
                        run, whole = way(made)
                    figures[name].append((run, whole, load.longest, epoch(made) - before))
    bare = [f[0] for f in figures["script"]]
    beyond = [f[0] - SAMPLING_S for f in figures["zkprov"]]
    print(f"bare script, s:                   {spread(bare)}")
    print(f"zkprov's run less sampling, s:    {spread(beyond)}   (sampling {SAMPLING_S:g} s)")
    print(f"zkprov's whole command, s:        {spread([f[1] for f in figures['zkprov']])}")
    print(f"ratio of medians, run / script:   {statistics.median(beyond) / statistics.median(bare):.2f}   (goal 1.2)")
    command = statistics.median(f[1] - SAMPLING_S for f in figures["zkprov"])
    print(f"ratio of medians, command / script: {command / statistics.median(bare):.2f}")
    for name, found in figures.items():
        print(
            f"{name}: longest write gap, ms: {spread([f[2] * 1000 for f in found], 0)}; elections {sum(f[3] for f in found)}"
        )
    gaps = {name: statistics.median(f[2] for f in found) for name, found in figures.items()}
    print(f"ratio of write gaps:              {gaps['zkprov'] / gaps['script']:.2f}   (goal 2)")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"memory of a run, MB:              {memory:.0f}   (goal 120; the largest child)")


def spread(values: list[float], digits: int = 2) -> str:
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{low:.{digits}f} / {mid:.{digits}f} / {high:.{digits}f}"


if __name__ == "__main__":
    main()
