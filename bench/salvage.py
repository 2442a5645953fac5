"""1 GB of log in transactions of 1 kB salvaged, and two trees of 1,000,000 znodes compared, each in a fresh process.

`python -m bench.salvage [MEGABYTES [ZNODES]]`: ≤ 60 s and ≤ 300 MB; ≤ 60 s and ≤ 1 GB. The limit is on processor time, the system's
included: it is one thread, so that is how long it takes where nothing else runs; what the clock said is told beside it. Half of the
transactions create a znode, half write one again, and none is on the kept side. It takes some 2.5 GB of disk meanwhile.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.unit import zookeeper_files as zk

MEGABYTES, ZNODES = 1000, 1_000_000
SALVAGE_S, SALVAGE_MB, COMPARE_S, COMPARE_MB = 60.0, 300, 60.0, 1000
E1 = 1 << 32
ROOT = [zk.node(""), zk.node("/zookeeper"), zk.node("/app")]


def losing(folder: Path, megabytes: int) -> Path:
    """A disk whose log has that many transactions of 1 kB in each of them, in files as ZooKeeper makes them."""
    rng, count = random.Random(1), megabytes * 1000
    disk = zk.disk(folder, [], nodes=ROOT)
    filler = rng.randbytes(1 << 20)
    file = None
    for n in range(1, count + 1):
        if n % 100_000 == 1:
            if file:
                file.close()
            file = (disk / f"version-2/log.{E1 + n:x}").open("wb", buffering=1 << 20)
            file.write(zk.log(padding=0))
        at = rng.randrange(1 << 19)
        data = filler[at : at + 900]
        again = n % 2 == 0
        path = f"/app/{rng.randrange(1, n, 2) if again else n:012}"
        file.write(zk.record(zk.body(E1 + n, zk.put(path, data, n) if again else zk.create(path, data, cversion=n))))
    file.close()
    return disk


def side(folder: Path, znodes: int, seed: int) -> Path:
    """A disk with a snapshot of that many znodes; one in a thousand is another on each."""
    rng = random.Random(seed)

    def node(n: int) -> zk.Node:
        data = b"%d" % n if n % 1000 else rng.randbytes(8)
        return zk.node(f"/app/topics/topic-{n // 100}/partition-{n}", data, czxid=E1 + n, mzxid=E1 + n, version=n % 3)

    inner = [zk.node("/app/topics"), *(zk.node(f"/app/topics/topic-{n}") for n in range(znodes // 100 + 1))]
    disk = zk.disk(folder, [], nodes=None)
    (disk / f"version-2/snapshot.{E1 + znodes:x}").write_bytes(
        zk.snapshot([*ROOT, *inner, *(node(n) for n in range(znodes))])
    )
    return disk


def in_a_process(work: Callable[[], object]) -> object:
    """What makes the files needs memory of its own, which must not be counted."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return None


class Found(NamedTuple):
    """Of one zkprov: seconds by the processor and by the clock, megabytes at the most, the first line that it said."""

    took_s: float
    clock_s: float
    memory: float
    said: str


def measured(*arguments: str, codes: tuple[int, ...] = (0,)) -> Found:
    code = (
        "import resource, sys; from zkprov.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode in codes, done.stderr
    return Found(took, clock, int(done.stderr.split()[-1]) / 1024, done.stdout.splitlines()[0])


def told(what: str, found: Found, limit_s: float, limit_mb: float, said: str) -> bool:
    late = found.took_s > limit_s or found.memory > limit_mb
    figures = f"{found.took_s:6.1f} s of {limit_s:.0f} ({found.clock_s:.1f} by the clock), {found.memory:5.0f} MB of {limit_mb:.0f}"
    print(f"{what:22}{figures}   {said}{'   BEYOND' if late else ''}", flush=True)
    return late


def main() -> int:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES
    znodes = int(sys.argv[2]) if len(sys.argv) > 2 else ZNODES
    late = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zk.disk(folder / "kept", [zk.body(E1 + 1, zk.create("/kept"))], nodes=ROOT)
        in_a_process(lambda: losing(folder / "lost", megabytes))
        out = folder / "letters"
        found = measured("salvage", str(folder / "lost"), "--kept", str(folder / "kept"), "-o", str(out))
        said = f"{found.said.split()[0]} letters, a file of {out.stat().st_size / 1e6:.0f} MB"
        late |= told(f"{megabytes} MB of log", found, SALVAGE_S, SALVAGE_MB, said)
        for path in (out, *(folder / "lost/version-2").iterdir()):
            path.unlink()
        for n in (1, 2):
            in_a_process(lambda n=n: side(folder / f"side{n}", znodes, n))  # type: ignore[misc]
        found = measured("salvage", "compare", str(folder / "side1"), str(folder / "side2"), "--limit", "1", codes=(4,))
        late |= told(f"{znodes} znodes twice", found, COMPARE_S, COMPARE_MB, found.said.rpartition(": ")[2])
    return int(late)


if __name__ == "__main__":
    raise SystemExit(main())
