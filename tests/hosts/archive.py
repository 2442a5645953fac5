"""ZooKeeper in the layout of the project's own binary archive, made from the jars that labs run: no other download is needed."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

from zkprov.lab.home import cache_home
from zkprov.lab.provision import DEFAULT_RELEASE, provision

_README = "ZooKeeper {release} for tests: the jars of a release, without the scripts of one.\n"
# As the release's own: to the console, which under systemd is the journal.
_LOGBACK = """<configuration>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <encoder>
      <pattern>%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n</pattern>
    </encoder>
  </appender>
  <root level="INFO">
    <appender-ref ref="CONSOLE"/>
  </root>
</configuration>
"""
_SAMPLE = "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/tmp/zookeeper\nclientPort=2181\n"


def archive(release: str = DEFAULT_RELEASE) -> tuple[Path, str]:
    """(`apache-zookeeper-<release>-bin.tar.gz`, its SHA-512 in hex), the same bytes each time. Raises what `provision` does."""
    jars = sorted((Path(jar) for jar in provision(release).classpath.split(":")), key=lambda jar: jar.name)
    top = f"apache-zookeeper-{release}-bin"
    files = {
        f"{top}/README.md": _README.format(release=release).encode(),
        f"{top}/bin/README.txt": _README.format(release=release).encode(),
        f"{top}/conf/logback.xml": _LOGBACK.encode(),
        f"{top}/conf/zoo_sample.cfg": _SAMPLE.encode(),
    }
    # Jars were compared with their recorded hashes by `provision`; their names tell which they are.
    content = hashlib.sha256(repr([sorted(files.items()), [jar.name for jar in jars]]).encode()).hexdigest()[:16]
    path = cache_home().with_name("zkprov-tests") / "archives" / content / f"{top}.tar.gz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        _write(unfinished, top, files | {f"{top}/lib/{jar.name}": jar for jar in jars})
        unfinished.replace(path)
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha512").hexdigest()


def _write(path: Path, top: str, files: dict[str, bytes | Path]) -> None:
    # Jars are compressed already; and stored bytes are the same whatever zlib there is.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=0, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for folder in (top, f"{top}/bin", f"{top}/conf", f"{top}/lib"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, content in sorted(files.items()):
            data = content if isinstance(content, bytes) else content.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
