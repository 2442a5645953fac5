"""How long after its first answer a second leader stands in `zkprov status --watch --interval 1`, with a notification and figures.

`python -m bench.watch [ROUNDS]`: a server that names only itself is started at a host of the inventory beside three (goal: in the watch
within 2.0 s, each time); and how long a look takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SEEN_S = 2.0


def mode(port: int) -> str:
    from bench.add_node import word

    try:
        said = word(port, b"srvr").decode(errors="replace")
    except OSError:
        return ""
    return said.partition("Mode: ")[2].split("\n")[0]


class Watched:
    """The looks of a watch, each with when its line was read."""

    def __init__(self, inventory: Path, told: Path) -> None:
        command = [sys.executable, "-m", "zkprov", "-i", str(inventory), "status", "--watch", "--interval", "1"]
        command += ["--output", "json", "--notify", f"tee -a {told}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.looks: list[tuple[float, dict]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.looks.append((time.monotonic(), json.loads(line)))

    def first(self, verdict: str, after: int) -> float:
        """When the first look with that verdict came, of those after the first `after`."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for at, look in self.looks[after:]:
                if look["ensemble"]["verdict"] == verdict:
                    return at
            time.sleep(0.01)
        raise SystemExit(f"no look that is {verdict} within 30 s")


def measured(rounds: int, folder: Path) -> tuple[list[float], list[float], int]:
    from zkprov.act.local import LocalHost
    from zkprov.lab import founding
    from zkprov.lab.lab import Lab

    lab = Lab.create("watch", 3)
    seen, told = [], folder / "told"
    try:
        lab.up()
        watch = Watched(lab.inventory_path, told)
        watch.first("safe", 0)
        host = lab.host(4)
        local = LocalHost(host)
        for number in range(rounds):
            local.fence("bench")
            local.configure(founding.founders_files(host, [host]), "bench")
            local.unfence("bench")
            before = len(watch.looks)
            local.start()
            while mode(host.client_port) != "leader":
                time.sleep(0.005)
            served = time.monotonic()
            seen.append(max(0.0, watch.first("unsafe", before) - served))
            local.stop(0)
            local.set_aside(f"round-{number}")
            watch.first("safe", len(watch.looks))
        watch.process.terminate()
        watch.process.wait(10)
        took = [look["ensemble"]["took_s"] for _, look in watch.looks]
        return seen, took, told.read_text().count('"verdict":"unsafe"') if told.exists() else 0
    finally:
        lab.down()


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        seen, took, told = measured(rounds, Path(folder))
    good = max(seen) <= SEEN_S
    print(f"second leader in the watch after {', '.join(f'{s:.2f}' for s in seen)} s  {'' if good else 'TOO LATE'}")
    print(f"a look takes {min(took):.2f} to {max(took):.2f} s; lines of notifications that tell it: {told}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
