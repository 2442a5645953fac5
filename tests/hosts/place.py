"""What a set of machines takes up on this one, all of it named by one number: so it is found and cleared away whoever left it.

A folder under `/run`, network namespaces, an interface, a subnet and a control group. While a set is in use its test run holds a
lock, which is gone with the run, also with one that was killed; then the next set clears it away.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.hosts.base import Missing, locked

RUN = Path("/run/zkprov-test-hosts")
LIMIT_S = 60.0
_NUMBERS = 1 << 14


class MachineFailed(Exception):
    """A machine, or what it stands on, did not do as it was told; the text has what was said."""


class Place:
    """`disks`: a folder in memory; `group`: its control group; `gateway`: this machine's address there, beyond which no packet goes."""

    def __init__(self, number: int) -> None:
        # An interface's name has at most 15 characters; all ids are of one length, so none is the beginning of another.
        self.id = f"zkt{number:04x}"
        self.subnet = ipaddress.IPv4Network((f"10.{64 + (number >> 8)}.{number & 255}.0", 24))
        self.gateway = str(self.subnet[1])
        self.disks = RUN / self.id
        self.lock = RUN / f"{self.id}.lock"
        self.group = control_groups() / f"zkprov-test-hosts-{self.id}"

    def address(self, index: int) -> str:
        return str(self.subnet[11 + index])

    def namespace(self, name: str) -> str:
        return f"{self.id}-{name}"

    def make(self, names: Sequence[str]) -> None:
        """Cables between machines of these names and this one, and room for their disks."""
        # The bridge has a namespace of its own: what this machine filters (as with Docker on it) does not reach in there.
        here = [f"netns add {name}" for name in (self.id, *map(self.namespace, names))]
        here += [f"link add {self.id} type veth peer name control netns {self.id}"]
        here += [f"addr add {self.gateway}/24 dev {self.id}", f"link set {self.id} up"]
        bridge = ["link add bridge type bridge", "link set bridge up"]
        bridge += ["link set control master bridge", "link set control up"]
        for i, name in enumerate(names):
            bridge += [f"link add port{i} type veth peer name eth0 netns {self.namespace(name)}"]
            bridge += [f"link set port{i} master bridge", f"link set port{i} up"]
        run("ip", "-batch", "-", text="\n".join(here))
        run("ip", "-n", self.id, "-batch", "-", text="\n".join(bridge))
        for i, name in enumerate(names):
            own = ["link set lo up", f"addr add {self.address(i)}/24 dev eth0", "link set eth0 up"]
            own += [f"route add default via {self.gateway}"]
            run("ip", "-n", self.namespace(name), "-batch", "-", text="\n".join(own))
        self.disks.mkdir()
        # An overlay cannot have its upper folder on another overlay, as a container's own disk is.
        run("mount", "-t", "tmpfs", "-o", "mode=755", self.id, str(self.disks))

    def clear(self) -> None:
        """Ends every process of it at once, and takes everything away; what is not there is no error."""
        if self.group.is_dir():
            kill(self.group)
            until(lambda: not is_populated(self.group), f"machines of {self.id} are not gone")
        for group in (self.group, *mirrors(self.group.name)):
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([m for m in mounts if m == str(self.disks) or m.startswith(f"{self.disks}/")]):
            run("umount", "-l", mount)
        if Path("/sys/class/net", self.id).exists():
            run("ip", "link", "del", self.id)
        for namespace in Path("/run/netns").glob(f"{self.id}*"):
            run("ip", "netns", "del", namespace.name)
        with suppress(FileNotFoundError):
            self.disks.rmdir()
        self.lock.unlink(missing_ok=True)


@contextmanager
def claimed(names: Sequence[str]) -> Iterator[Place]:
    """A place of one's own until the end of `with`."""
    RUN.mkdir(exist_ok=True)
    with ExitStack() as ending:
        with locked(RUN / "lock"):
            clear_leftovers()
            place = _free_place()
            fcntl.flock(ending.enter_context(place.lock.open("w")), fcntl.LOCK_EX)
            ending.callback(place.clear)
            place.make(names)
        yield place


def clear_leftovers() -> None:
    """Of sets whose test run is gone. The lock of `RUN` must be held."""
    for path in RUN.glob("zkt*.lock"):
        with path.open("a") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Place(int(path.stem.removeprefix("zkt"), 16)).clear()


def _free_place() -> Place:
    routes = json.loads(run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    used = [ipaddress.IPv4Network(r["dst"]) for r in routes if r.get("dst", "default")[0].isdigit()]
    # A route as wide as a whole company's net lends a corner of it for a while.
    used = [network for network in used if network.prefixlen > 12]
    for number in random.SystemRandom().sample(range(_NUMBERS), _NUMBERS):
        place = Place(number)
        if not place.lock.exists() and not any(network.overlaps(place.subnet) for network in used):
            return place
    raise Missing("test machines need a free subnet 10.64.0.0/10, and there are routes to all of them here")


def control_groups() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise Missing("test machines need control groups of version 2, and none are mounted here")


def mirrors(name: str) -> list[Path]:
    """Where nspawn makes the same group once more: in systemd's own hierarchy of version 1, on a machine that has one."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(where, name) for _, where, kind, options, *_ in mounts if kind == "cgroup" and "name=" in options]


def kill(group: Path) -> None:
    """Every process in this control group and below it, all at once."""
    with suppress(FileNotFoundError):
        (group / "cgroup.kill").write_text("1")


def is_populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise MachineFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def until(true: Callable[[], bool], otherwise: str, more: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            raise MachineFailed(f"{otherwise} within {LIMIT_S:g} s{more()}")
        time.sleep(0.01)
