"""`python -m bench [NAME…]`: the benches, each in a process of its own, one after the other, and a table of how they ended."""

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
import time

import bench


def names() -> list[str]:
    return [found.name for found in pkgutil.iter_modules(bench.__path__) if not found.name.startswith("_")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; by default all")
    asked = parser.parse_args().names or names()
    if unknown := set(asked) - set(names()):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    ended = []
    for name in asked:
        print(f"{name}\n{'-' * len(name)}", flush=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
        ended.append((name, time.monotonic() - began, code))
        print(flush=True)
    width = max(len(name) for name in asked)
    for name, seconds, code in ended:
        verdict = {0: "within its limits", 1: "BEYOND A LIMIT"}.get(code, f"FAILED, exit code {code}")
        print(f"{name:{width}}  {seconds:5.0f} s  {verdict}")
    return int(any(code for _, _, code in ended))


if __name__ == "__main__":
    sys.exit(main())
