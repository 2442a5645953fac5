"""The leader of four leaves by `zkprov remove-node` while a client of the others writes 100 times/s; and `ok-to-stop` with nine servers.

`python -m bench.leaving [ROUNDS]`: the longest write gap (goal 0.35 s), epochs (one more each), the run's time; `ok-to-stop`'s look
and answer within one process, as a tool that asks again would have it (goal 0.3 s), and the whole command.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench.add_node import Load, epoch, spread

GAP_S, ASK_S = 0.35, 0.3
AT_ONCE = {"max_tries": -1, "delay": 0.01, "backoff": 1, "max_jitter": 0}
"""kazoo waits 0.1 s, then twice as long each time, before it tries the next server: its own affair, and most of a gap like this."""


def lab_of(name: str, servers: int):
    from zkprov.lab.lab import Lab

    return Lab.create(name, servers)


def removed(number: int) -> tuple[float, float, int]:
    """(longest write gap, the whole command, epochs) in seconds."""
    from bench.add_node import word

    made = lab_of(f"leave{number}", 4)
    try:
        made.up()
        leader = next(h for h in made.founders if b"Mode: leader" in word(h.client_port, b"srvr"))
        rest = ",".join(str(h.client) for h in made.founders if h != leader)
        before = epoch(made)
        command = [sys.executable, "-m", "zkprov", "-i", str(made.inventory_path), "remove-node", leader.name]
        with Load(rest, AT_ONCE) as load:
            began = time.monotonic()
            subprocess.run([*command, "--yes", "--settle", "0", "--drain", "0"], check=True, capture_output=True)
            took = time.monotonic() - began
        return load.longest, took, epoch(made) - before
    finally:
        made.down()


def asked() -> tuple[list[float], float]:
    """`ok-to-stop` of one of nine: (looks with their answers, the whole command), seconds."""
    from zkprov.judge.health import judge
    from zkprov.judge.leaving import ok_to_stop
    from zkprov.observe.inventory import read_inventory
    from zkprov.run.world import World

    made = lab_of("asknine", 9)
    try:
        made.up()
        took = []
        with World(read_inventory(str(made.inventory_path))) as world:
            for _ in range(11):
                began = time.monotonic()
                assert ok_to_stop(judge(world.survey(clients=False)), ["zk1"]).ok
                took.append(time.monotonic() - began)
        began = time.monotonic()
        command = [sys.executable, "-m", "zkprov", "-i", str(made.inventory_path), "ok-to-stop", "zk1"]
        subprocess.run(command, check=True, capture_output=True)
        return took, time.monotonic() - began
    finally:
        made.down()


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        found = [removed(n) for n in range(rounds)]
        looks, whole = asked()
    gap, again = statistics.median(f[0] for f in found), statistics.median(looks[1:])
    print(f"leader removed: longest write gap, s:  {spread([f[0] for f in found])}   (goal {GAP_S:g})")
    print(f"leader removed: whole command, s:      {spread([f[1] for f in found])}   (sampling 2 s)")
    print(f"leader removed: epochs more:           {', '.join(str(f[2]) for f in found)}   (one each: a hand-over)")
    print(f"ok-to-stop, nine servers, s:           {looks[0]:.2f} first, {again:.2f} then   (goal {ASK_S:g})")
    print(f"ok-to-stop, the whole command, s:      {whole:.2f}")
    return int(gap > GAP_S or again > ASK_S or any(f[2] != 1 for f in found))


if __name__ == "__main__":
    sys.exit(main())
