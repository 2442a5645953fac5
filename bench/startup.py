"""How long `zkprov --help` takes, beside a bare `import click`: alternating pairs, the median of their ratios (≤ 2)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

PAIRS = 25
LIMIT = 2.0
ZKPROV = [str(Path(sys.executable).with_name("zkprov")), "--help"]
CLICK = [sys.executable, "-c", "import click"]


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> int:
    for command in (ZKPROV, CLICK):
        seconds(command)
    pairs = []
    for number in range(PAIRS):
        # Whichever is second of a pair finds a warmer machine, so each is second as often.
        first, second = (ZKPROV, CLICK) if number % 2 else (CLICK, ZKPROV)
        took = {tuple(first): seconds(first), tuple(second): seconds(second)}
        pairs.append((took[tuple(ZKPROV)], took[tuple(CLICK)]))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    for name, values in (("zkprov --help", [p[0] for p in pairs]), ("import click", [p[1] for p in pairs])):
        print(f"{name:15} median {statistics.median(values) * 1000:5.0f} ms, least {min(values) * 1000:.0f} ms")
    print(f"{'ratio':15} median {ratio:.2f} of {PAIRS} pairs (limit {LIMIT:g}){'  TOO SLOW' if ratio > LIMIT else ''}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
