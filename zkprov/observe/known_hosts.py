"""Which host keys are known, by the files that `ssh` goes by. Nothing is ever added to them: that is for a person, who compares first."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_HASHED = "|1|"
_MAX_BYTES = 64_000_000


class KnownKey(msgspec.Struct, frozen=True):
    """One key that a file has for a host. `kind` is the key's type as it stands there (`ssh-rsa`), `place` is `file:line`."""

    kind: str
    key: bytes
    place: str


class KnownHost(msgspec.Struct, frozen=True):
    """What the files say of one host. `authorities`: `@cert-authority` lines that would apply, which zkprov does not follow."""

    names: tuple[str, ...]
    files: tuple[str, ...]
    keys: tuple[KnownKey, ...] = ()
    revoked: tuple[KnownKey, ...] = ()
    authorities: tuple[KnownKey, ...] = ()

    def refusal(self, kind: str, key: bytes, at: str) -> tuple[str, str] | None:
        """Why a host that shows this key is not talked to, and what to do; None where the key is known. `at`: what is dialled."""
        shown = f"{kind} {fingerprint(key)}"
        revoked = next((k for k in self.revoked if k.key == key), None)
        if revoked is not None:
            return f"its host key ({shown}) is revoked: {revoked.place}", "give the host a new key; do not log in"
        if any(k.key == key for k in self.keys):
            return None
        file = next((f for f in self.files if f != "/dev/null"), "~/.ssh/known_hosts")
        compare = f"compare it with `ssh-keygen -lf /etc/ssh/ssh_host_{short(kind)}_key.pub`, typed on the host"
        add = f"then add what `ssh-keyscan {_scan(self.names[0])}` prints to {file}"
        other = next((k for k in self.keys if k.kind == kind), None)
        if other is not None:
            what = f"its host key has changed: it is {shown}, and {other.place} has {fingerprint(other.key)}"
            remove = f"ssh-keygen -f {other.place.rpartition(':')[0]} -R '{self.names[0]}'"
            return what, f"another machine may answer at {at}; {compare}; if it is the same, `{remove}`, {add}"
        if self.keys:
            kinds = ", ".join(dict.fromkeys(k.kind for k in self.keys))
            what = f"its host key ({shown}) is not known: {self.keys[0].place} has keys of another type ({kinds})"
        elif self.authorities:
            what = f"its host key ({shown}) is not known by itself, and @cert-authority is not followed ({self.authorities[0].place})"
        else:
            what = f"its host key ({shown}) is not known as {self.names[0]} in {' or '.join(self.files) or 'any file'}"
        return what, f"{compare}; {add}"


def known_host(name: str, port: int, files: Sequence[str], *, alias: bool = False) -> KnownHost:
    """What `files` say of a host; those that are not there, or cannot be read, say nothing. `alias`: `name` is a HostKeyAlias."""
    plain = name.lower()
    names = (plain,) if alias or port == 22 else (f"[{plain}]:{port}", plain)
    keys: list[KnownKey] = []
    revoked: list[KnownKey] = []
    authorities: list[KnownKey] = []
    without_port: list[KnownKey] = []
    for file in files:
        for marker, patterns, key in _lines(file):
            first = _matches(patterns, names[0])
            if not first and not (len(names) == 2 and _matches(patterns, names[1])):
                continue
            if marker == "@revoked":
                revoked.append(key)
            elif marker == "@cert-authority":
                authorities.append(key)
            else:
                (keys if first else without_port).append(key)
    # ssh goes by a key without the port only where none is known with it
    return KnownHost(
        names, tuple(files), tuple(keys or without_port), tuple(revoked), () if keys else tuple(authorities)
    )


def fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def short(kind: str) -> str:
    """`ed25519` of `ssh-ed25519`: as sshd's key files are named."""
    return "ecdsa" if kind.startswith("ecdsa") else "rsa" if "rsa" in kind else kind.removeprefix("ssh-")


def _scan(name: str) -> str:
    match = re.fullmatch(r"\[(.+)\]:(\d+)", name)
    return f"-p {match[2]} {match[1]}" if match else name


def _lines(file: str) -> Iterator[tuple[str, str, KnownKey]]:
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(_MAX_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#"):
            continue
        try:
            blob = base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield marker, words[0], KnownKey(words[1], blob, f"{file}:{number}")


def _matches(patterns: str, name: str) -> bool:
    found = False
    for pattern in patterns.split(","):
        if pattern.startswith(_HASHED):
            found = found or _is_hash_of(pattern, name)
        elif pattern.startswith("!"):
            if _wild(pattern[1:], name):
                return False
        else:
            found = found or _wild(pattern, name)
    return found


def _wild(pattern: str, name: str) -> bool:
    pattern = pattern.lower()
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    # no fnmatch: to it, the brackets of [host]:port are a set of letters
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in re.sub(r"\*+", "*", pattern))
    return re.fullmatch(expression, name) is not None


def _is_hash_of(hashed: str, name: str) -> bool:
    salt, _, digest = hashed.removeprefix(_HASHED).partition("|")
    try:
        given = base64.b64decode(digest)
        return hmac.compare_digest(hmac.digest(base64.b64decode(salt), name.encode(), "sha1"), given)
    except (binascii.Error, ValueError):
        return False
