"""How long a survey of very many servers takes, and how much memory: stubs in another process answer each word after one second.

`python -m bench.survey [COUNT …]`: by default 200 (≤ 2.5 s, ≤ 200 MB) and 1000 (≤ 20 s). Each figure comes from a fresh process.
`session` stubs open sessions and hold an ensemble's list too; `words` stubs answer four letter words and close on the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import struct
import subprocess
import sys
import time

LIMITS = {200: (2.5, 200.0), 1000: (20.0, None)}
DELAY_S = 1.0
SRVR = b"Zookeeper version: 3.9.5-1, built on x\nConnections: 1\nZxid: 0x100000002\nMode: follower\nNode count: 7\n"
CONFIG = b"server.1=127.0.0.1:1:2:participant;127.0.0.1:1\nversion=100000000"
MNTR = b"zk_version\t3.9.5\nzk_server_state\tfollower\n"
CONF = b"clientPort=1\nserverId=0\n"
ANSWERS = {b"srvr": SRVR, b"mntr": MNTR, b"conf": CONF, b"cons": b"\n"}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sessions: bool) -> None:
    """One connection: a four letter word, or a session in which each request is answered after the delay as well."""
    try:
        head = await reader.readexactly(4)
        await asyncio.sleep(DELAY_S)
        if head in ANSWERS:
            writer.write(ANSWERS[head])
        elif sessions:
            await reader.readexactly(struct.unpack("!i", head)[0])
            reply(writer, struct.pack("!iiqi16sb", 0, 10_000, 7, 16, bytes(16), 0))
            while True:
                request = await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0])
                xid, operation = struct.unpack_from("!ii", request)
                if operation == -11:
                    break
                body = struct.pack("!i", len(CONFIG)) + CONFIG + bytes(68) if operation == 4 else bytes(68)
                reply(writer, struct.pack("!iqi", xid, 1, 0) + body)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def reply(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(struct.pack("!i", len(data)) + data)


async def stubs(count: int, sessions: bool) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the survey's limit is what is tried, not the stubs'
    servers = [
        await asyncio.start_server(lambda r, w: serve(r, w, sessions), "127.0.0.1", 0, backlog=64) for _ in range(count)
    ]
    print(json.dumps([s.sockets[0].getsockname()[1] for s in servers]), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent is gone


def survey(ports: list[int], timeout_s: float) -> None:
    from zkprov.model.server import HostPort
    from zkprov.observe.survey import Target, take_survey

    targets = [Target(f"s{p}", HostPort("127.0.0.1", p)) for p in ports]
    began = time.perf_counter()
    seen = take_survey(targets, ensemble="bench", timeout_s=timeout_s, discover=False)
    took = time.perf_counter() - began
    facts = [f for s in seen.servers for f in (s.srvr, s.mntr, s.conf, s.cons, s.config)]
    print(
        json.dumps(
            {
                "took": took,
                "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "srvr": sum(s.srvr.value is not None for s in seen.servers),
                "session": sum(s.config.value is not None for s in seen.servers),
                "late": sum(f.outcome == "timeout" for f in facts),
                "facts": len(facts),
            }
        )
    )


def measure(count: int, kind: str, timeout_s: float) -> bool:
    command = [sys.executable, "-m", "bench.survey"]
    with subprocess.Popen(
        [*command, "--stubs", str(count), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdin and server.stdout
        ports = server.stdout.readline()
        try:
            done = subprocess.run(
                [*command, "--survey", str(timeout_s)], input=ports, capture_output=True, text=True, check=True
            )
        finally:
            server.stdin.close()
            server.wait(10)
    got = json.loads(done.stdout)
    most_s, most_mb = LIMITS.get(count, (None, None))
    within = (most_s is None or got["took"] <= most_s) and (most_mb is None or got["mb"] <= most_mb)
    good = bool(within and got["srvr"] == count)
    print(
        f"{count:5} {kind:8} --timeout {timeout_s:<4g} {got['took']:6.2f} s  {got['mb']:6.1f} MB  srvr {got['srvr']}, "
        f"sessions {got['session']}, {got['late']} of {got['facts']} facts late  {'' if good else 'TOO SLOW OR TOO MUCH'}"
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="*", type=int, default=[200, 1000])
    parser.add_argument("--stubs", nargs=2)
    parser.add_argument("--survey", type=float)
    asked = parser.parse_args()
    if asked.stubs:
        asyncio.run(stubs(int(asked.stubs[0]), asked.stubs[1] == "session"))
        return 0
    if asked.survey:
        survey(json.loads(sys.stdin.readline()), asked.survey)
        return 0
    results = [measure(n, kind, 3.0 if n <= 200 else 15.0) for n in asked.count for kind in ("words", "session")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
