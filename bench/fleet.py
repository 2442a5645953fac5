"""How long a look at very many ensembles takes, and how much memory: stubs in another process answer as members do, at once.

`python -m bench.fleet [ENSEMBLES [SERVERS]]`: `status --all` of 200 ensembles of 5, ≤ 5 s and ≤ 300 MB in a fresh process, the inventory's
reading by Ansible left out (it is kept). Stubs hold sessions, their ensemble's list, and answer `srvr`, `mntr` and `conf`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_S, LIMIT_MB = 5.0, 300.0
FIRST = 20_000
"""Port of the first stub; the ports that no stub listens on (quorum, election) are beyond them."""


class Stub:
    """Member `number` of an ensemble, of which 1 leads. Ports: client ports of all members."""

    def __init__(self, number: int, ports: list[int]) -> None:
        mode = "leader" if number == 1 else "follower"
        lines = [
            f"server.{i}=127.0.0.1:{quorum(p)}:{quorum(p) + 1}:participant;127.0.0.1:{p}"
            for i, p in enumerate(ports, 1)
        ]
        members = "\n".join([*lines, "version=100000000"])
        self.config, self.number = members.encode(), number
        srvr = (
            f"Zookeeper version: 3.9.5-1, built on x\nConnections: 1\nZxid: 0x100000002\nMode: {mode}\nNode count: 7\n"
        )
        mntr = f"zk_version\t3.9.5\nzk_server_state\t{mode}\nzk_peer_state\t{'leading' if number == 1 else 'following'} - broadcast\n"
        if number == 1:
            mntr += f"zk_synced_followers\t{len(ports) - 1}\nzk_synced_non_voting_followers\t0\n"
        conf = f"clientPort={ports[number - 1]}\nserverId={number}\ntickTime=2000\ninitLimit=10\nsyncLimit=5\nmembership: \n{members}\n"
        self.words = {b"srvr": srvr.encode(), b"mntr": mntr.encode(), b"conf": conf.encode()}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readexactly(4)
            if head in self.words:
                writer.write(self.words[head])
            else:
                await reader.readexactly(struct.unpack("!i", head)[0])
                self.reply(writer, struct.pack("!iiqi16sb", 0, 10_000, self.number << 56 | 7, 16, bytes(16), 0))
                while True:
                    request = await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0])
                    xid, operation = struct.unpack_from("!ii", request)
                    if operation == -11:
                        break
                    self.answer(writer, request, xid, operation)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, writer: asyncio.StreamWriter, request: bytes, xid: int, operation: int) -> None:
        """The list at `/zookeeper/config`, one permanent znode at the root, nothing else."""
        (size,) = struct.unpack_from("!i", request, 8) if len(request) >= 12 else (0,)
        path = request[12 : 12 + size]
        stat = struct.pack(
            "!qqqqiiiqiiq", 0x100000001, 0x100000001, 1_700_000_000_000, 1_700_000_000_000, 0, 0, 0, 0, 0, 0, 0
        )
        if operation == 4 and path == b"/zookeeper/config":
            body = struct.pack("!i", len(self.config)) + self.config + stat
        elif operation == 8 and path == b"/":
            body = struct.pack("!ii3s", 1, 3, b"app")
        elif operation == 3 and path == b"/app":
            body = stat
        else:
            self.reply(writer, struct.pack("!iqi", xid, 1, -101))
            return
        self.reply(writer, struct.pack("!iqi", xid, 1, 0) + body)

    @staticmethod
    def reply(writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(struct.pack("!i", len(data)) + data)


def quorum(port: int) -> int:
    return port + 20_000


def port_of(ensemble: int, server: int, servers: int) -> int:
    """The client's port; 0-based."""
    return FIRST + 2 * (ensemble * servers + server)


async def stubs(ensembles: int, servers: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for ensemble in range(ensembles):
        ports = [port_of(ensemble, s, servers) for s in range(servers)]
        for number, port in enumerate(ports, 1):
            await asyncio.start_server(Stub(number, ports).serve, "127.0.0.1", port, backlog=64)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def text(ensembles: int, servers: int, folder: str) -> str:
    lines = []
    for ensemble in range(ensembles):
        lines.append(f"[zk{ensemble:03}]")
        for server in range(servers):
            port = port_of(ensemble, server, servers)
            own = f"{folder}/{ensemble}-{server}"
            lines.append(
                f"zk{ensemble:03}-{server + 1} zkprov_id={server + 1} zkprov_client_port={port} zkprov_quorum_port={quorum(port)} "
                f"zkprov_election_port={quorum(port) + 1} zkprov_config_dir={own}/conf zkprov_data_dir={own}/data"
            )
    common = ["ansible_connection=local", "zkprov_address=127.0.0.1", "zkprov_admin_port=0", 'zkprov_release="3.9.5"']
    return "\n".join([*lines, "[all:vars]", *common, ""])


def main() -> int:
    if sys.argv[1:2] == ["--stubs"]:
        asyncio.run(stubs(int(sys.argv[2]), int(sys.argv[3])))
        return 0
    ensembles, servers = (*(int(a) for a in sys.argv[1:]), *(200, 5)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fleet.ini"
        path.write_text(text(ensembles, servers, folder))
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        command = [sys.executable, "-m", "zkprov", "-i", str(path), "status", "--all", "--output", "json"]
        with subprocess.Popen(
            [sys.executable, "-m", "bench.fleet", "--stubs", str(ensembles), str(servers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as server:  # fmt: skip
            assert server.stdin and server.stdout
            server.stdout.readline()
            try:
                subprocess.run(
                    [*command, "--timeout", "0.05"], env=environment, capture_output=True, check=False
                )  # Ansible's answer is kept
                before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                took = time.perf_counter() - began
                usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            finally:
                server.stdin.close()
                server.wait(10)
    found = json.loads(done.stdout)["ensembles"]
    safe = sum(row["verdict"] == "safe" for row in found)
    mb = usage.ru_maxrss / 1024
    own = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    good = safe == ensembles and (ensembles > 200 or (took <= LIMIT_S and mb <= LIMIT_MB))
    figures = f"{took:.2f} s (its own {own:.2f} s), {mb:.0f} MB, {safe} safe"
    print(f"{ensembles} ensembles of {servers}: {figures}  {'' if good else 'TOO SLOW, TOO MUCH OR NOT SAFE'}")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
