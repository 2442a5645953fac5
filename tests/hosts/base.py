"""What test machines are made of: Debian's packages, from this machine's own sources of packages, made once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import Missing, install, run
from zkprov.lab.home import cache_home

# A program that must be here, and the Debian package that brings it.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "gpg": "gnupg",
}
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "default-jre-headless"),
    *("iproute2", "nftables", "sudo", "procps", "libfaketime"),
)
# The JRE registers its manual pages as alternatives, so the folder of those must be there though no page is.
BEFORE = 'mkdir -p "$1/usr/share/man/man1"'
# Host keys, machine ids and addresses are each machine's own. Machines reach no network, so nothing is fetched on a timer.
AFTER = """
chroot "$1" useradd --create-home --shell /bin/bash ops
chroot "$1" useradd --create-home --shell /bin/bash nosudo
echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' >"$1/etc/sudoers.d/ops"
chmod 440 "$1/etc/sudoers.d/ops"
for unit in console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer; do
  ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
rm -rf "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/var/lib/apt/lists
"""
OPTIONS = (
    *("--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
    *(f"--dpkgopt=path-exclude=/usr/share/{unread}/*" for unread in ("doc", "man", "locale")),
    f"--include={','.join(PACKAGES)}",
    f"--essential-hook={BEFORE}",
    f"--customize-hook={AFTER}",
)
# Of apt's configuration here, what decides how packages are reached; the rest is this machine's own affair.
_HOW_REACHED = re.compile(r"Acquire::(https?|ftp|socks|Check-|Retries|Allow|ForceIPv)", re.IGNORECASE)


def base() -> Path:
    """The root file system, read-only by agreement; made now (40 s on two cores) if it is not in the cache. Raises `Missing`."""
    if os.geteuid():
        raise Missing("test machines need root: run the suite `hosts` as root, or by sudo")
    install(TOOLS, "test machines")
    codename = _codename()
    recipe = json.dumps([codename, platform.machine(), OPTIONS])
    name = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    folder = cache_home().with_name("zkprov-tests") / "hosts"
    if not (folder / name).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{name}.lock"):
            # The lock is ours, so whoever left something unfinished is gone.
            for left in folder.glob(f"{name}.unfinished*"):
                shutil.rmtree(left)
            if not (folder / name).is_dir():
                unfinished = folder / f"{name}.unfinished"
                _make(unfinished, codename)
                (unfinished / "root").rename(folder / name)
                shutil.rmtree(unfinished)
    return folder / name


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _codename() -> str:
    """Machines are of this one's own release, since its sources are sure to have that."""
    try:
        return platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, KeyError):
        raise Missing("test machines need Debian or Ubuntu here, whose packages they are made of") from None


def _make(unfinished: Path, codename: str) -> None:
    unfinished.mkdir()
    how_reached = unfinished / "apt.conf"
    # A proxy's address may hold a password.
    how_reached.touch(mode=0o600)
    how_reached.write_text("\n".join(_apt_configuration()) + "\n")
    sources = []
    for suffix, text in _sources(Path("/etc/apt"), codename).items():
        sources.append(unfinished / f"here{suffix}")
        sources[-1].write_text(text)
    if not sources:
        raise Missing(f"apt has no source of packages for {codename} here")
    target = unfinished / "root"
    run(
        ["mmdebstrap", *OPTIONS, f"--aptopt={how_reached}", codename, str(target), *map(str, sources)], dict(os.environ)
    )


def _apt_configuration() -> list[str]:
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in dump.splitlines() if _HOW_REACHED.match(line)]
    return [
        *lines,
        'Acquire::Languages "none";',
        # Under mmdebstrap apt looks into the new root for what it is to log in with.
        'Dir::Etc::netrc "/etc/apt/auth.conf";',
        'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
    ]


def _sources(folder: Path, codename: str) -> dict[str, str]:
    """suffix → text, in both of apt's formats: the entries under `folder` for this release, as they are, and no others."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    kept: dict[str, list[str]] = {".list": [], ".sources": []}
    for file in files:
        if file.suffix == ".list" and file.is_file():
            kept[".list"] += [line for line in file.read_text().splitlines() if _is_ours(*_of_line(line), codename)]
        elif file.suffix == ".sources" and file.is_file():
            stanzas = re.split(r"\n[ \t]*\n", file.read_text())
            kept[".sources"] += [stanza.strip("\n") for stanza in stanzas if _is_ours(*_of_stanza(stanza), codename)]
    texts = {".list": "\n".join(kept[".list"]) + "\n", ".sources": "\n\n".join(kept[".sources"]) + "\n"}
    return {suffix: text for suffix, text in texts.items() if text.strip()}


def _is_ours(suites: list[str], components: list[str], codename: str) -> bool:
    """Of the distribution itself: other makers' repositories often carry its code names too."""
    wanted = {codename, f"{codename}-updates", f"{codename}-security", f"{codename}/updates"}
    return bool(wanted & set(suites)) and bool({"main", "universe"} & set(components))


def _of_line(line: str) -> tuple[list[str], list[str]]:
    """(suites, components) of `deb [options] address suite component…`."""
    words = re.sub(r"\[[^]]*\]", "", line.partition("#")[0]).split()
    return (words[2:3], words[3:]) if words[:1] == ["deb"] else ([], [])


def _of_stanza(stanza: str) -> tuple[list[str], list[str]]:
    """(suites, components) of one deb822 entry; none when it is switched off or has sources only."""
    fields: dict[str, list[str]] = {}
    words: list[str] = []
    for line in stanza.splitlines():
        if line.startswith((" ", "\t")):
            words += line.split()
        elif not line.startswith("#"):
            name, _, value = line.partition(":")
            words = fields.setdefault(name.strip().lower(), [])
            words += value.split()
    if fields.get("enabled") in (["no"], ["false"], ["off"], ["0"]) or "deb" not in fields.get("types", []):
        return [], []
    return fields.get("suites", []), fields.get("components", [])
