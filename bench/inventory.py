"""How long it takes to read and check an inventory of 50 hosts, and to look at them: stubs that answer at once.

`python -m bench.inventory [COUNT]`: ≤ 2 s for 50, in a fresh process, `ansible-inventory` included.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LIMIT_S = 2.0
SRVR = b"Zookeeper version: 3.9.5-1, built on x\nConnections: 1\nZxid: 0x100000002\nMode: follower\nNode count: 7\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.read(4) == b"srvr":
        writer.write(SRVR)
    writer.close()


def stubs(count: int) -> list[int]:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def listen() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    return [asyncio.run_coroutine_threadsafe(listen(), loop).result() for _ in range(count)]


def text(ports: list[int], folder: Path) -> str:
    """INI, as many operators have it; on this machine, so that there is no SSH in the figure."""
    lines = ["[zk]"]
    for number, port in enumerate(ports, 1):
        own = f"{folder}/{number}"
        lines.append(
            f"zk{number} zkprov_address=127.0.0.1 zkprov_client_port={port} zkprov_quorum_port={2 * number + 20000} "
            f"zkprov_election_port={2 * number + 20001} zkprov_admin_port=0 zkprov_config_dir={own}/conf zkprov_data_dir={own}/data"
        )
    return "\n".join([*lines, "[zk:vars]", "ansible_connection=local", 'zkprov_release="3.9.5"', ""])


def look(path: str) -> None:
    began = time.perf_counter()
    from zkprov.observe.inventory import read_inventory
    from zkprov.run.world import World

    inventory = read_inventory(path, "zk")
    read = time.perf_counter() - began
    with World(inventory) as world:
        survey = world.survey()
    whole = time.perf_counter() - began
    print(json.dumps([len(inventory.hosts), read, sum(s.srvr.value is not None for s in survey.servers), whole]))


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts.ini"
        path.write_text(text(stubs(count), Path(folder)))
        command = [sys.executable, "-m", "bench.inventory", "--look", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    hosts, read, answered, whole = json.loads(done.stdout)
    print(f"{hosts} hosts read and checked: {read:.2f} s   (goal {LIMIT_S:g} for 50)")
    print(f"read, and each looked at:  {whole:.2f} s   ({answered} answered)")
    return int(hosts != count or answered != count or (count <= 50 and read > LIMIT_S))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        look(sys.argv[2])
    else:
        sys.exit(main())
