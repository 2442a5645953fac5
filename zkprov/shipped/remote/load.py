# ruff: noqa: PTH103, PTH115, PTH118, PTH119, PTH120, PTH121, PTH123, PTH208, UP006, UP035, UP045
# It runs on whatever Python a host has, 3.6 or later.
"""Loads a backup on the host that it is of: the host's own release, on a copy, alone, on loopback; says what it then holds.

Run as a program with `ARGUMENTS` it prints one JSON document. `backup`: the text of `backup_files.py`, `backup_folder.py` and `backup.py`.
Nothing of the server's own is touched: another main class, another folder, free ports of 127.0.0.1.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from typing import Any, Callable, Dict, List, Optional, Tuple

SERVER_CLASS = b"org.apache.zookeeper.server.quorum.QuorumPeerMain"
ALONE_CLASS = "org.apache.zookeeper.server.ZooKeeperServerMain"
HOST = "127.0.0.1"
# Of the running server's flags: what it takes to read its data, and to start fast.
KEPT = re.compile(r"-D(zookeeper\.)?jute\..*|-Xm[sx].*|-XX:(AOTCache|SharedArchiveFile)=.*|-Xlog:(aot|cds)=off")
LOGBACK = """<configuration><appender name="C" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%-5level %msg%n%ex{1}</pattern>
</encoder></appender><root level="WARN"><appender-ref ref="C"/></root></configuration>
"""
PORT_TRIES = 3


class Ended(Exception):
    """The server did not come to serve. What it said last."""


def load(p: Dict[str, Any]) -> Dict[str, Any]:
    """`zxid`, `nodes`, `release`, `mismatches`, `digests` of the loaded backup; or `damaged`, or `said`, where it cannot be loaded.

    Where mismatches were counted and `twice` transactions stand in its log more than once, `once`: the same, loaded without those.
    """
    room = {"__name__": "__main__"}  # type: Dict[str, Any]
    exec(compile(p["backup"], "backup", "exec"), room)  # noqa: S102
    wrong = room["damaged"](p)
    if wrong:
        return {"damaged": wrong}
    entries = room["whole"](p)["files"]
    data = [e for e in entries if e["path"].startswith("data/version-2/")]
    size = sum(e["size"] for e in data)
    with scratch(p["dir"], p["user"]) as folder:
        room["room"]({**p, "dir": os.path.dirname(folder)}, size + 1_000_000)
        with room["alone"](p["dir"]):
            lay(p, folder, data, shutil.copyfile)
        own(folder, p["user"])
        found = tried(p, folder)
        if found.get("mismatches"):
            twice = Twice(room["once"])
            shutil.rmtree(os.path.join(folder, "data"))
            with room["alone"](p["dir"]):
                lay(p, folder, data, twice.left_out)
            own(folder, p["user"])
            if twice.count:
                found = {**found, "twice": twice.count, "once": tried(p, folder)}
        return found


class Twice:
    """Copies logs, in their order, without the transactions that stand in them twice."""

    def __init__(self, once: "Callable[[str, str, int], Tuple[int, int]]") -> None:
        self.count, self._reached, self._once = 0, 0, once

    def left_out(self, source: str, target: str) -> None:
        if not os.path.basename(source).startswith("log."):
            shutil.copyfile(source, target)
            return
        self._reached, count = self._once(source, target, self._reached)
        self.count += count


def lay(p: Dict[str, Any], folder: str, data: List[Dict[str, Any]], copied: "Callable[[str, str], Any]") -> None:
    place = os.path.join(folder, "data", "version-2")
    os.makedirs(place)
    for entry in data:
        name = os.path.basename(entry["path"])
        copied(os.path.join(p["dir"], p["name"], "data", "version-2", name), os.path.join(place, name))


def tried(p: Dict[str, Any], folder: str) -> Dict[str, Any]:
    """What the release makes of the data in the scratch folder; or `said`."""
    for number in range(PORT_TRIES):
        try:
            return served(p, folder)
        except Ended as ended:
            # somebody else has taken the port meanwhile
            if "Address already in use" in str(ended) and number < PORT_TRIES - 1:
                continue
            return {"said": str(ended)}
    raise AssertionError


@contextlib.contextmanager
def scratch(backups: str, user: str) -> Any:
    """A folder beside that of the backups, for the server's user to enter; gone afterwards, and those that others have left."""
    parent, prefix = os.path.dirname(backups), os.path.basename(backups) + ".verify-"
    for name in os.listdir(parent):
        if name.startswith(prefix):
            with contextlib.suppress(OSError), open(os.path.join(parent, name, "lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
    try:
        with open(os.path.join(folder, "lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def own(folder: str, user: str) -> None:
    found = account(user)
    if found is None:
        return
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(at, name), found[0], found[1])
    os.chown(folder, found[0], found[1])


def account(user: str) -> Optional[Tuple[int, int]]:
    """uid and gid to run as; None to stay who we are."""
    if os.geteuid() != 0 or not user:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        return None
    return found.pw_uid, found.pw_gid


# --- the server


def served(p: Dict[str, Any], folder: str) -> Dict[str, Any]:
    client, admin = free_port(), free_port()
    settings = {
        "tickTime": "2000",
        "dataDir": os.path.join(folder, "data"),
        "clientPort": str(client),
        "clientPortAddress": HOST,
        "admin.serverAddress": HOST,
        "admin.serverPort": str(admin),
        "4lw.commands.whitelist": "srvr, mntr",
        "autopurge.purgeInterval": "0",
    }
    with open(os.path.join(folder, "zoo.cfg"), "w") as file:
        file.writelines(f"{k}={v}\n" for k, v in settings.items())
    with open(os.path.join(folder, "logback.xml"), "w") as file:
        file.write(LOGBACK)
    java, flags, cwd = command(p)
    words = [java, *flags, f"-Dlogback.configurationFile={folder}/logback.xml", "-Dzookeeper.jmx.log4j.disable=true"]
    words += [ALONE_CLASS, os.path.join(folder, "zoo.cfg")]
    began = time.monotonic()
    with open(os.path.join(folder, "out.log"), "wb") as out:
        try:
            server = subprocess.Popen(
                words,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=becomes(account(p["user"])),  # noqa: PLW1509
            )
        except OSError as error:
            raise Ended(f"{java} cannot be run: {error.strerror}") from None
    try:
        while True:
            said = word(client, "srvr")
            if "Mode: standalone" in said:
                break
            late = time.monotonic() - began > p["timeout_s"]
            if server.poll() is not None or late:
                raise Ended(
                    last_words(folder) or ("not within {:.0f} s".format(p["timeout_s"]) if late else "it ended")
                )
            time.sleep(0.02)
        return {**figures(said, word(client, "mntr"), digests(admin)), "took_s": round(time.monotonic() - began, 2)}
    finally:
        server.kill()
        server.wait()


def becomes(who: Optional[Tuple[int, int]]) -> "Callable[[], None]":
    """In the child: it ends with us, whoever ends us; and is nobody else than the server's user."""
    libc = ctypes.CDLL(None)

    def become() -> None:
        if who is not None:
            os.setgroups([])
            os.setgid(who[1])
            os.setuid(who[0])
        # after a change of user, which clears it; 1: PR_SET_PDEATHSIG
        libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)

    return become


def command(p: Dict[str, Any]) -> Tuple[str, List[str], Optional[str]]:
    """Java, the flags to read the data with, and where to start: those of the server that runs here, else the inventory's."""
    with contextlib.suppress(OSError), open(os.path.join(p["config_dir"], "jvm_flags"), errors="replace") as more:
        p = {**p, "flags": [*p["flags"], *(line.strip() for line in more)]}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            folder = "/proc/" + entry
            with open(folder + "/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            at = words.index(SERVER_CLASS)
            cwd = os.readlink(folder + "/cwd")
            if not os.path.samefile(
                os.path.join(cwd, os.fsdecode(words[at + 1])), os.path.join(p["config_dir"], "zoo.cfg")
            ):
                continue
            own_words = [os.fsdecode(w) for w in words[1:at]]
            place = next(i for i, w in enumerate(own_words) if w in ("-cp", "-classpath", "--class-path"))
            kept = [w for w in dict.fromkeys([*own_words, *p["flags"]]) if KEPT.fullmatch(w)]
            return os.readlink(folder + "/exe"), [*kept, "-cp", own_words[place + 1]], cwd
    java = shutil.which(p["java"], path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/bin") or p["java"]
    kept = [w for w in dict.fromkeys(p["flags"]) if KEPT.fullmatch(w)]
    return java, [*kept, "-cp", p["classpath"] or p["install_dir"] + "/current/lib/*"], None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def word(port: int, question: str) -> str:
    found = b""
    with contextlib.suppress(OSError):
        at = socket.create_connection((HOST, port), 5.0)
        with contextlib.closing(at):
            at.sendall(question.encode())
            for piece in iter(lambda: at.recv(65536), b""):
                found += piece
    return found.decode(errors="replace")


def digests(port: int) -> Dict[str, int]:
    """zxid in decimal → digest of the data, the last ones, but for where two are told that differ (`zkprov.model.facts.Digests`).

    Nothing from a release that tells none.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with urllib.request.urlopen(f"http://{HOST}:{port}/commands/hash", timeout=5.0) as answer:
            found = json.loads(answer.read(5_000_000).decode())
        told = [(d["zxid"], d["digest"]) for d in found["digests"]]
        last = dict(told)
        twice = {zxid for zxid, digest in told if digest != last[zxid]}
        return {str(zxid): digest for zxid, digest in told if zxid not in twice}
    return {}


def figures(srvr: str, mntr: str, by_zxid: Dict[str, int]) -> Dict[str, Any]:
    zxid = re.search(r"^Zxid: 0x([0-9a-f]+)", srvr, re.MULTILINE)
    nodes = re.search(r"^Node count: (\d+)", srvr, re.MULTILINE)
    release = re.search(r"^Zookeeper version: ([0-9.]+)", srvr, re.MULTILINE)
    mismatches = re.search(r"^zk_digest_mismatches_count\t(\d+)", mntr, re.MULTILINE)
    if not zxid or not nodes:
        raise Ended("an answer that is none of ZooKeeper's")
    return {
        "zxid": int(zxid.group(1), 16),
        "nodes": int(nodes.group(1)),
        "release": release.group(1) if release else "",
        "mismatches": int(mismatches.group(1)) if mismatches else None,
        "digests": by_zxid,
    }


def last_words(folder: str) -> str:
    """The line that says what went wrong: an exception with its message, else whatever came last."""
    with open(os.path.join(folder, "out.log"), errors="replace") as file:
        lines = [line.strip() for line in file.read()[-100_000:].splitlines() if line.strip()]
    wrong = [x for x in lines if re.search(r"\w(Exception|Error): \S", x)]
    wrong = wrong or [x for x in lines if re.search(r"Exception|Error", x)] or lines
    return wrong[-1].replace(folder + "/data", "the backup")[:300] if wrong else ""


def answer(p: Dict[str, Any]) -> Dict[str, Any]:
    """As in `backup.py`."""
    try:
        return {"ok": load(p)}
    except OSError as error:
        return {
            "problem": "unhealthy",
            "text": f"{error.filename or p['dir']}: {error.strerror or error}",
            "remedy": "",
        }
    except Exception as problem:
        # one of the other text's own, which has no name here
        if not hasattr(problem, "kind"):
            raise
        return {"problem": problem.kind, "text": problem.text, "remedy": problem.remedy}  # type: ignore[attr-defined]


if "ARGUMENTS" in globals():
    print(json.dumps(answer(globals()["ARGUMENTS"])))
