"""One machine: a systemd-nspawn container with a disk, a network namespace and a control group of its own, and what can befall it."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.hosts.place import LIMIT_S, MachineFailed, Place, is_populated, kill, run, until

# Starts a machine's keeper in a thread that outlives the test, since a machine ends with the thread that started it.
Start = Callable[[Callable[[], subprocess.Popen[bytes]]], subprocess.Popen[bytes]]

USERS = ("root", "ops", "nosudo")
# What systemd as number 1 takes for an order to shut down.
_POWER_OFF, _REBOOT = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
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


class Machine:
    """One machine of a set. `root`: its disk as seen from here, also while it is off (less what is mounted within)."""

    def __init__(self, place: Place, name: str, address: str, console: Path, start: Start) -> None:
        self.name = name
        self.address = address
        self.namespace = place.namespace(name)
        self.root = place.disks / name / "root"
        self.console = console
        self._start = start
        self._group = place.group / name
        self._keeper: subprocess.Popen[bytes] | None = None
        # whose packets are dropped when they arrive here, and when they leave for there; None: all
        self._deaf: set[str] | None = set()
        self._mute: set[str] | None = set()
        self._base = Path()

    def __repr__(self) -> str:
        return f"{self.name} ({self.address})"

    # Power ----------------------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        return self._init() is not None

    def power_on(self, *, wait: bool = True) -> None:
        """Boots it; `wait`: until sshd answers. One that is on stays as it is."""
        if self._keeper is None or self._keeper.poll() is not None:
            self._keeper = self._start(self._keep)
        if wait:
            self.wait_until_up()

    def power_cut(self) -> None:
        """All its processes are killed at once. What they wrote stays, synced or not: there is no disk cache to be lost."""
        kill(self._group)
        if self._keeper:
            self._keeper.kill()
            self._keeper.wait()
        # The keeper may just have been starting it again.
        kill(self._group)
        until(lambda: not is_populated(self._group), f"{self.name} is not gone")

    def power_off(self) -> None:
        """Orderly, and stays off."""
        keeper = self._keeper
        if keeper and keeper.poll() is None:
            self._signal(_POWER_OFF)
            until(lambda: keeper.poll() is not None, f"{self.name} does not shut down")

    def reboot(self) -> None:
        """Orderly; returns when sshd answers again."""
        before = self._init()
        self._signal(_REBOOT)
        until(lambda: self._init() not in (before, None), f"{self.name} does not reboot")
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Until sshd listens and users may log in; also of a machine that is cut off from here."""
        until(self._is_up, f"{self.name} does not come up", self._last_words)

    def keep_disk(self, name: str) -> None:
        """Keeps its disk as it is now, under a name for `bring_back`. It must be off."""
        self._copy("upper", f"kept-{name}")

    def bring_back(self, name: str, *, wait: bool = True) -> None:
        """Its disk is what it was when it was kept under this name, and nothing is cut; then it boots."""
        self.power_cut()
        run("umount", str(self.root))
        self._copy(f"kept-{name}", "upper")
        self._mount()
        self.heal()
        self.power_on(wait=wait)

    # Net, disk, clock, names ----------------------------------------------------------------------------------------

    def partition(self, *others: Machine | str, way: str = "both") -> None:
        """Drops all between it and `others` (machines or addresses), besides what is cut already; without any, everything.

        `way`: "both", or only what is "arriving" here, or only what is "leaving". It holds over reboots and power cuts, until `heal`.
        """
        found = {other if isinstance(other, str) else other.address for other in others}
        if way in ("both", "arriving"):
            self._deaf = self._deaf | found if others and self._deaf is not None else None
        if way in ("both", "leaving"):
            self._mute = self._mute | found if others and self._mute is not None else None
        self._filter()

    def heal(self) -> None:
        self._deaf, self._mute = set(), set()
        self._filter()

    @contextmanager
    def full_disk(self, path: str, *, free: int = 0) -> Iterator[None]:
        """At `path` a file system of its own with what is there now and no room but `free` bytes (in pages of 4 KiB).

        What is written to it is lost at the end; a reboot ends it too. A process that has files there open keeps the old ones.
        """
        filled, at = f"/run/full-disk-{secrets.token_hex(4)}", shlex.quote(path)
        # A mount cannot be moved in a machine, where all mounts are shared; but it can be bound, and its first place left.
        self.shell(f"""
            mkdir -p {at} {filled}
            size=$(( $(du -sk {at} | cut -f1) + 64 + {free} / 1024 ))
            mount -t tmpfs -o size=${{size}}k,mode=$(stat -c %a {at}) full {filled}
            chown --reference={at} {filled}
            cp -a {at}/. {filled}/
            head -c $(( $(stat -f -c '%a * %S' {filled}) - {free} )) /dev/zero >{filled}/.filled
            mount --bind {filled} {at}
            umount {filled}
        """)
        try:
            yield
        finally:
            if self.is_on:
                self.shell(f"! mountpoint -q {at} || umount -l {at}")

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

    @contextmanager
    def clock(self, offset_s: float, *units: str) -> Iterator[None]:
        """Sessions over ssh (under sudo too) and `units`, from their next start on, see a clock that is `offset_s` ahead.

        By libfaketime. The monotonic clock, time stamps of files, the journal and `shell` keep the true time.
        """
        (library,) = self.root.glob("usr/lib/*/faketime/libfaketimeMT.so.1")
        faked = {
            "LD_PRELOAD": f"/{library.relative_to(self.root)}",
            "FAKETIME": f"{offset_s:+f}",
            "DONT_FAKE_MONOTONIC": "1",
        }
        lines = [f"{name}={value}" for name, value in faked.items()]
        etc = self.root / "etc"
        dropins = [etc / f"systemd/system/{unit.removesuffix('.service')}.service.d/clock.conf" for unit in units]
        # Not for all processes by ld.so.preload: sshd's sandbox would kill its own child for it.
        (etc / "environment").write_text("".join(f"{line}\n" for line in lines))
        (etc / "sudoers.d/clock").write_text("Defaults env_file=/etc/environment\n")
        for dropin in dropins:
            dropin.parent.mkdir(parents=True, exist_ok=True)
            dropin.write_text("".join(["[Service]\n", *(f"Environment={line}\n" for line in lines)]))
        if units:
            self.shell("systemctl daemon-reload")
        try:
            yield
        finally:
            (etc / "environment").write_text("")
            for file in (etc / "sudoers.d/clock", *dropins):
                file.unlink(missing_ok=True)
            if units and self.is_on:
                self.shell("systemctl daemon-reload")

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

    def add_disk(self, base_root: Path, *, hosts: str, host_key: str, public_key: str) -> None:
        """Its overlay, and in it what makes it this machine; run once, before it is first on."""
        for layer in ("upper", "work", "root"):
            (self.root.parent / layer).mkdir(parents=True)
        self._base = base_root
        self._mount()
        # With an id of its own systemd does not take this for the first boot ever, with all that it does then. Without a name
        # server a name that /etc/hosts lacks is unknown at once; with one that is out of reach it is after ten seconds.
        files = {"hostname": self.name, "hosts": hosts, "machine-id": secrets.token_hex(16), "resolv.conf": "# none"}
        for file, text in files.items():
            (self.root / "etc" / file).write_text(f"{text.rstrip()}\n")
        key = self.root / "etc/ssh/ssh_host_ed25519_key"
        key.touch(mode=0o600)
        key.write_text(host_key)
        for user in USERS:
            home = self.root / (user if user == "root" else f"home/{user}")
            owner = home.stat()
            (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
            (home / ".ssh/authorized_keys").write_text(public_key)
            for path in (home / ".ssh", home / ".ssh/authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)

    def _mount(self) -> None:
        """Its own layer over the base that all share."""
        disk = self.root.parent
        shutil.rmtree(disk / "work")
        (disk / "work").mkdir()
        layers = f"lowerdir={self._base},upperdir={disk}/upper,workdir={disk}/work"
        run("mount", "-t", "overlay", "-o", layers, self.namespace, str(self.root))

    def _copy(self, layer: str, to: str) -> None:
        shutil.rmtree(self.root.parent / to, ignore_errors=True)
        # with the marks of what is deleted, which are extended attributes
        run("cp", "-a", str(self.root.parent / layer), str(self.root.parent / to))

    def _signal(self, number: int) -> None:
        if (init := self._init()) is None:
            raise MachineFailed(f"{self.name} is off")
        os.kill(init, number)

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
        arriving, leaving = _drop("saddr", self._deaf), _drop("daddr", self._mute)
        if arriving or leaving:
            rules += f"""table inet zkprov_partition {{
                chain arriving {{ type filter hook input priority raw; iifname "lo" accept; {arriving} }}
                chain leaving {{ type filter hook output priority raw; oifname "lo" accept; {leaving} }}
            }}\n"""
        run("nsenter", f"--net=/run/netns/{self.namespace}", "nft", "-f", "-", text=rules)


def _drop(end: str, whose: set[str] | None) -> str:
    if whose is None:
        return "drop;"
    return f"ip {end} {{ {', '.join(sorted(whose))} }} drop;" if whose else ""
