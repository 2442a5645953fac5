"""Machines on this one: each a systemd of its own with its own address, sshd and disk, in a network namespace on one bridge.

They are systemd-nspawn containers, each an overlay over one base. All that a set has is named by its number: its folder under
`/run`, its namespaces, its control group, its subnet. So whatever a killed test run leaves is found and cleared away.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import random
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import yaml

from tests.hosts.base import Missing, base, locked

RUN = Path("/run/zkprov-test-hosts")
USERS = ("root", "ops", "nosudo")
LIMIT_S = 60.0
# nspawn ends with 133 when the machine asked for a reboot, for a service manager to start it again: here this does.
# A fresh control group each time, since one that had machines in it takes no process any more. What started a machine
# is gone when the test run is, however it ended; then the machine goes too.
_KEEPER = """
while :; do
  find "$GROUP" -depth -type d -exec rmdir {} + 2>/dev/null
  mkdir -p "$GROUP"
  sh -c 'echo $$ >"$GROUP/cgroup.procs" && exec setpriv --pdeathsig KILL "$@"' - "$@"
  [ $? = 133 ] || exit
done
"""


class MachineFailed(Exception):
    """A machine did not come up, or a command on it failed; the text has what it said."""


class Machine:
    """One machine of a set. `root`: its disk as seen from here, also while it is off (less what is mounted within)."""

    def __init__(self, of: Machines, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.namespace = f"{of.id}-{name}"
        self.root = of.disks / name / "root"
        self.console = of.folder / f"{name}.console"
        self._of = of
        self._group = of.group / name
        self._keeper: subprocess.Popen[bytes] | None = None
        self._cut: set[str] | None = set()

    def __repr__(self) -> str:
        return f"{self.name} ({self.address})"

    # Power ----------------------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        return self._init() is not None

    def power_on(self, *, wait: bool = True) -> None:
        """Boots it; `wait`: until sshd answers. One that is on stays as it is."""
        if self._keeper is None or self._keeper.poll() is not None:
            self._keeper = self._of.start(self._keep)
        if wait:
            self.wait_until_up()

    def power_cut(self) -> None:
        """All its processes are killed at once. What they wrote stays, synced or not: there is no disk cache to be lost."""
        self._kill()
        if self._keeper:
            self._keeper.kill()
            self._keeper.wait()
        # The keeper may just have been starting it again.
        self._kill()
        _until(lambda: not self._is_populated(), f"{self.name} is not gone")

    def power_off(self) -> None:
        """Orderly, and stays off."""
        keeper = self._keeper
        if keeper and keeper.poll() is None:
            self.shell("systemctl --no-block poweroff")
            _until(lambda: keeper.poll() is not None, f"{self.name} does not shut down")

    def reboot(self) -> None:
        """Orderly; returns when sshd answers again."""
        before = self._init()
        self.shell("systemctl --no-block reboot")
        _until(lambda: self._init() not in (before, None), f"{self.name} does not reboot")
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Until sshd listens and users may log in; also of a machine that is cut off from here."""
        _until(self._is_up, f"{self.name} does not come up", self._last_words)

    # Net, disk, clock, names ----------------------------------------------------------------------------------------

    def partition(self, *others: Machine | str) -> None:
        """Drops both ways all between it and `others` (machines or addresses), besides what is cut already; without any, everything.

        It holds over reboots and power cuts, until `heal`.
        """
        if not others:
            self._cut = None
        elif self._cut is not None:
            self._cut |= {other if isinstance(other, str) else other.address for other in others}
        self._filter()

    def heal(self) -> None:
        self._cut = set()
        self._filter()

    @contextmanager
    def full_disk(self, path: str, *, free: int = 0) -> Iterator[None]:
        """At `path` a file system of its own with what is there now and no room but `free` bytes (in pages of 4 KiB).

        What is written to it is lost at the end; a reboot ends it too. A process that has files there open keeps the old ones.
        """
        name = f"/run/full-disk-{secrets.token_hex(4)}"
        self.shell(f"""
            mkdir -p {path} {name}
            mount -t tmpfs -o size=$(( $(du -sk {path} | cut -f1) + 64 + {free} / 1024 ))k,mode=$(stat -c %a {path}) full {name}
            chown --reference={path} {name}
            cp -a {path}/. {name}/
            left=$(( $(stat -f -c '%a * %S' {name}) - {free} ))
            head -c $left /dev/zero >{name}/.filled
            mount --bind {name} {path}
            umount {name}
        """)
        try:
            yield
        finally:
            if self.is_on:
                self.shell(f"mountpoint -q {path} && umount -l {path} || true")

    @contextmanager
    def broken_dns(self, name: str, address: str | None = "192.0.2.1") -> Iterator[None]:
        """Here `name` has another address (by default one where nothing is), or with None none. By /etc/hosts, there is no DNS."""
        hosts = self.root / "etc/hosts"
        before = hosts.read_text()
        lines = [[word for word in line.split() if word != name] for line in before.splitlines()]
        if address:
            lines.insert(0, [address, name])
        hosts.write_text("".join(" ".join(line) + "\n" for line in lines if len(line) > 1))
        try:
            yield
        finally:
            hosts.write_text(before)

    # Set-up ---------------------------------------------------------------------------------------------------------

    def shell(self, command: str, *, timeout_s: float = LIMIT_S) -> str:
        """What `sh -e` prints, run as root inside without ssh. Raises `MachineFailed` with all it said when it fails."""
        init = self._init()
        if init is None:
            raise MachineFailed(f"{self.name} is off")
        inside = ["nsenter", "-t", str(init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            [*inside, "/bin/sh", "-ec", command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise MachineFailed(f"{self.name}: exit code {done.returncode} of {command.strip()}: {said}")
        return done.stdout

    def add_disk(self, base_root: Path, host_key: str) -> None:
        """Its overlay, and in it what makes it this machine; run once, before it is first on."""
        for layer in ("upper", "work", "root"):
            (self.root.parent / layer).mkdir(parents=True)
        layers = f"lowerdir={base_root},upperdir={self.root.parent}/upper,workdir={self.root.parent}/work"
        _run("mount", "-t", "overlay", "-o", layers, self._of.id, str(self.root))
        # With an id of its own systemd does not take this for the first boot ever, with all that it does then.
        for file, text in {
            "hostname": self.name,
            "hosts": self._of.hosts(),
            "machine-id": secrets.token_hex(16),
        }.items():
            (self.root / "etc" / file).write_text(f"{text.rstrip()}\n")
        key = self.root / "etc/ssh/ssh_host_ed25519_key"
        key.touch(mode=0o600)
        key.write_text(host_key)
        for user in USERS:
            home = self.root / (user if user == "root" else f"home/{user}")
            owner = home.stat()
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            (home / ".ssh/authorized_keys").write_text(self._of.public_key)
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _keep(self) -> subprocess.Popen[bytes]:
        nspawn = [
            *("systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--settings=no"),
            *("--register=no", "--keep-unit", f"--machine={self.namespace}", f"--hostname={self.name}"),
            *(f"--network-namespace-path=/run/netns/{self.namespace}", "--resolv-conf=off", "--timezone=off"),
            *("--link-journal=no", "--console=read-only"),
        ]
        environment = {
            **os.environ,
            "GROUP": str(self._group),
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # Debian's /tmp is a part of the disk.
            "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
        }
        with self.console.open("ab") as console:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _KEEPER, "zkprov-test-host", *nspawn],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _kill(self) -> None:
        with suppress(OSError):
            (self._group / "cgroup.kill").write_text("1")

    def _is_populated(self) -> bool:
        try:
            return "populated 1" in (self._group / "cgroup.events").read_text()
        except OSError:
            return False

    def _init(self) -> int | None:
        """The process here that is number 1 there."""
        try:
            for pid in (self._group / "payload/init.scope/cgroup.procs").read_text().split():
                if any(
                    line.startswith("NSpid:") and line.split()[-1] == "1"
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                ):
                    return int(pid)
        except OSError:
            pass
        return None

    def _is_up(self) -> bool:
        if self._keeper and self._keeper.poll() is not None:
            raise MachineFailed(f"{self.name} ended while it came up{self._last_words()}")
        if (init := self._init()) is None:
            return False
        try:
            sockets = [line.split() for line in Path(f"/proc/{init}/net/tcp").read_text().splitlines()[1:]]
            booting = Path(f"/proc/{init}/root/run/nologin").exists()
        except OSError:
            return False
        # Port 22 in hexadecimal; state 0A is listening.
        return not booting and any(words[1].endswith(":0016") and words[3] == "0A" for words in sockets)

    def _last_words(self) -> str:
        with suppress(OSError):
            return f"; its console:\n{self.console.read_text(errors='replace')[-2000:]}"
        return ""

    def _filter(self) -> None:
        # One transaction: a table of that name is there for the second line to delete.
        rules = "table inet zkprov_partition\ndelete table inet zkprov_partition\n"
        if self._cut is None or self._cut:
            chosen = "" if self._cut is None else f" {{ {', '.join(sorted(self._cut))} }}"
            arriving, leaving = (f"ip saddr{chosen} drop", f"ip daddr{chosen} drop") if chosen else ("drop", "drop")
            rules += f"""table inet zkprov_partition {{
                chain arriving {{ type filter hook input priority raw; iifname "lo" accept; {arriving}; }}
                chain leaving {{ type filter hook output priority raw; oifname "lo" accept; {leaving}; }}
            }}\n"""
        _run("nsenter", f"--net=/run/netns/{self.namespace}", "nft", "-f", "-", text=rules)


class Machines:
    """A set of machines, up within `with` and gone after it. `folder` gets the key, known hosts and what consoles said.

    `key`: logs in as root, as `ops` (who may sudo without a password) and as `nosudo` (who may not). `known_hosts`: their true host keys.
    `gateway`: this machine's address on their bridge; no packet goes further. Raises `Missing` where machines cannot be had.
    """

    def __init__(self, folder: Path, count: int, *, prefix: str = "zk") -> None:
        self.folder = folder
        self.key = folder / "key"
        self.known_hosts = folder / "known_hosts"
        self.public_key = ""
        self._names = [f"{prefix}{i}" for i in range(1, count + 1)]
        self._machines: dict[str, Machine] = {}
        self._ending = ExitStack()
        self._number = -1

    @property
    def id(self) -> str:
        return _id(self._number)

    @property
    def gateway(self) -> str:
        return str(_subnet(self._number)[1])

    @property
    def disks(self) -> Path:
        return RUN / self.id

    @property
    def group(self) -> Path:
        return _control_groups() / f"zkprov-test-hosts-{self.id}"

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def __len__(self) -> int:
        return len(self._machines)

    def __getitem__(self, which: str | int) -> Machine:
        """By name, or by number from 0."""
        return self._machines[which] if isinstance(which, str) else list(self)[which]

    def __enter__(self) -> Self:
        root = base()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._ending:
            self._claim()
            self._write_keys_and_disks(root)
            starter = ThreadPoolExecutor(1)
            self._ending.callback(starter.shutdown)
            # Machines end with the *thread* that started them, so it is one that lives as long as the set.
            self.start = lambda start: starter.submit(start).result()
            # Ended in the opposite order: first machines, then what they stand on.
            self._ending.callback(self._end_machines)
            for machine in self:
                machine.power_on(wait=False)
            for machine in self:
                machine.wait_until_up()
            self._ending = self._ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def hosts(self) -> str:
        """Their /etc/hosts: all names, and this machine as `control`."""
        lines = [("127.0.0.1", "localhost"), (self.gateway, "control"), *((m.address, m.name) for m in self)]
        return "".join(f"{address} {name}\n" for address, name in lines)

    def inventory(
        self,
        path: Path,
        *,
        hosts: Iterable[Machine] | None = None,
        host_vars: Mapping[str, Mapping[str, Any]] | None = None,
        user: str = "ops",
        **group_vars: Any,
    ) -> Path:
        """Writes an Ansible inventory with these machines (by default all) as group `kafka`, and returns its path."""
        variables = {
            "ansible_user": user,
            "ansible_become": user != "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
            # Asked for at each contact otherwise.
            "ansible_python_interpreter": "/usr/bin/python3",
            **group_vars,
        }
        listed = {m.name: {"ansible_host": m.address, **(host_vars or {}).get(m.name, {})} for m in hosts or self}
        path.write_text(
            yaml.safe_dump({"all": {"children": {"kafka": {"hosts": listed, "vars": variables}}}}, sort_keys=False)
        )
        return path

    def start(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        raise MachineFailed("the set is not up")

    def _claim(self) -> None:
        """A number that is free, with its lock held until the end, and all that it names made."""
        RUN.mkdir(exist_ok=True)
        with locked(RUN / "lock"):
            clear_leftovers()
            used = _networks()
            numbers = (
                n for n in random.SystemRandom().sample(range(1 << 14), 1000) if not (RUN / f"{_id(n)}.lock").exists()
            )
            self._number = next(n for n in numbers if not any(net.overlaps(_subnet(n)) for net in used))
            lock = self._ending.enter_context((RUN / f"{self.id}.lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._ending.callback(_clear, self.id)
            subnet = _subnet(self._number)
            for i, name in enumerate(self._names):
                self._machines[name] = Machine(self, name, str(subnet[11 + i]))
            self._lay_cables()
        self.disks.mkdir()
        # An overlay cannot have its upper folder on another overlay, as a container's own disk is.
        _run("mount", "-t", "tmpfs", "-o", "mode=755", self.id, str(self.disks))

    def _lay_cables(self) -> None:
        # The bridge has a namespace of its own: what this machine filters (as with Docker on it) does not reach in there.
        here = [f"netns add {name}" for name in (self.id, *(m.namespace for m in self))]
        here += [f"link add {self.id} type veth peer name control netns {self.id}"]
        here += [f"addr add {self.gateway}/24 dev {self.id}", f"link set {self.id} up"]
        bridge = [
            "link add bridge type bridge",
            "link set bridge up",
            "link set control master bridge",
            "link set control up",
        ]
        for machine in self:
            bridge += [f"link add {machine.name} type veth peer name eth0 netns {machine.namespace}"]
            bridge += [f"link set {machine.name} master bridge", f"link set {machine.name} up"]
        _run("ip", "-batch", "-", text="\n".join(here))
        _run("ip", "-n", self.id, "-batch", "-", text="\n".join(bridge))
        for machine in self:
            own = ["link set lo up", f"addr add {machine.address}/24 dev eth0", "link set eth0 up"]
            own += [f"route add default via {self.gateway}"]
            _run("ip", "-n", machine.namespace, "-batch", "-", text="\n".join(own))

    def _write_keys_and_disks(self, root: Path) -> None:
        private, self.public_key = _new_key()
        self.key.unlink(missing_ok=True)
        self.key.touch(mode=0o600)
        self.key.write_text(private)
        known = []
        for machine in self:
            host_key, public = _new_key()
            machine.add_disk(root, host_key)
            known.append(f"{machine.address},{machine.name} {public}")
        self.known_hosts.write_text("".join(known))

    def _end_machines(self) -> None:
        with suppress(OSError):
            (self.group / "cgroup.kill").write_text("1")
        for machine in self:
            machine.power_cut()


def clear_leftovers() -> None:
    """Whatever is left of sets whose test run is gone, killed or not; the lock of `RUN` must be held."""
    for path in RUN.glob("zkt*.lock"):
        with path.open("a") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(path.stem)


def _clear(set_id: str) -> None:
    """Everything that bears this name: its processes, mounts, namespaces, control groups, folder and lock file."""
    group = _control_groups() / f"zkprov-test-hosts-{set_id}"
    if group.is_dir():
        with suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        _until(lambda: "populated 0" in (group / "cgroup.events").read_text(), f"machines of {set_id} are not gone")
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in reversed([m for m in mounts if m == f"{RUN}/{set_id}" or m.startswith(f"{RUN}/{set_id}/")]):
        _run("umount", "-l", mount)
    if Path(f"/sys/class/net/{set_id}").exists():
        _run("ip", "link", "del", set_id)
    for namespace in Path("/run/netns").glob(f"{set_id}*"):
        _run("ip", "netns", "del", namespace.name)
    with suppress(FileNotFoundError):
        (RUN / set_id).rmdir()
    (RUN / f"{set_id}.lock").unlink(missing_ok=True)


def _id(number: int) -> str:
    # An interface's name has at most 15 characters; all ids are of one length, so none is the beginning of another.
    return f"zkt{number:04x}"


def _subnet(number: int) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((f"10.{64 + (number >> 8)}.{number & 255}.0", 24))


def _networks() -> list[ipaddress.IPv4Network]:
    """What this machine has routes to, less those as wide as a company's, of which a set may borrow a corner."""
    routes = json.loads(_run("ip", "-json", "-4", "route", "show", "table", "all") or "[]")
    found = [ipaddress.IPv4Network(r["dst"]) for r in routes if r.get("dst", "default")[0].isdigit()]
    return [network for network in found if network.prefixlen > 12]


def _control_groups() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise Missing("test machines need control groups of version 2, and none are mounted here")


def _new_key() -> tuple[str, str]:
    """(private, public) in OpenSSH's formats, the public one with its line end."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()}\n"


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text or "", capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise MachineFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _until(true: Callable[[], bool], otherwise: str, more: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            raise MachineFailed(f"{otherwise} within {LIMIT_S:g} s{more()}")
        time.sleep(0.01)
