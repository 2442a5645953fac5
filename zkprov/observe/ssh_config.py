"""How `ssh` would reach a host: what the inventory says, and `~/.ssh/config` for the rest, as `ssh -G` puts them together.

OpenSSH's own answer, so `Include`, `Match`, tokens and defaults mean here what they mean to `ssh` and to Ansible, of whatever release.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence

import msgspec

from zkprov.model.inventory import Access, for_others

MAX_JUMPS = 8
_TIMEOUT_S = 10.0
_INSTALL = "install OpenSSH's client (openssh-client, openssh-clients); Ansible needs it too"


class ConfigRefused(Exception):
    """`ssh` makes nothing of the configuration. The text is its own."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.remedy = remedy or "correct ~/.ssh/config, or ansible_ssh_common_args in the inventory"


class Hop(msgspec.Struct, frozen=True):
    """One sshd to log in to, directly, by `proxy_command`, or `via` another.

    `name`: as it was asked for. `identity_files`: paths, some of them mostly not there. `agent`: the path of its socket, '' for none.
    `known_hosts`: the user's files, then the system's. `alias`: HostKeyAlias. `family`: an address family of `socket`.
    `connect_timeout_s`: None where nothing says it.
    """

    name: str
    host: str
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    identities_only: bool = False
    agent: str = ""
    known_hosts: tuple[str, ...] = ()
    alias: str = ""
    connect_timeout_s: float | None = None
    family: int = socket.AF_UNSPEC
    proxy_command: str = ""
    via: Hop | None = None

    def __str__(self) -> str:
        return self.host if self.port == 22 else f"{self.host}:{self.port}"


def hop_to(access: Access, config: str | None = None) -> Hop:
    """How to reach a host. `config`: as `ssh -F`. Raises `ConfigRefused`."""
    # The order of Ansible's own command line: of two values the first one counts.
    arguments = [] if access.port is None else ["-p", str(access.port)]
    if access.key_file is not None:
        arguments += ["-o", _option("IdentityFile", access.key_file)]
    if access.user is not None:
        arguments += ["-l", access.user]
    for word, value in access.options:
        arguments += ["-o", _option(word, value)]
    return _hop(access.host, arguments, config, MAX_JUMPS)


def hop_of(name: str, said: Mapping[str, Sequence[str]], via: Hop | None = None) -> Hop:
    """`said`: the answer of `ssh -G name`, its keywords in small letters, each with its values."""

    def one(word: str) -> str:
        return said[word][0] if said.get(word) else ""

    host, port, user = one("hostname") or name, int(one("port") or 22), one("user") or _me().pw_name
    alias = _unless_none(one("hostkeyalias"))
    tokens = {
        "%": "%",
        "d": _me().pw_dir,
        "h": host,
        "i": str(os.getuid()),
        "k": alias or name,
        "L": socket.gethostname().partition(".")[0],
        "n": name,
        "p": str(port),
        "r": user,
        "u": _me().pw_name,
    }
    timeout = one("connecttimeout")
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    files = [*_paths(one("userknownhostsfile")), *_paths(one("globalknownhostsfile"))]
    return Hop(
        name,
        host,
        port,
        user,
        identity_files=tuple(dict.fromkeys(_path(f, tokens) for f in said.get("identityfile", ()) if f != "none")),
        identities_only=one("identitiesonly") == "yes",
        agent=_agent(one("identityagent"), tokens),
        known_hosts=tuple(dict.fromkeys(_path(f, tokens) for f in files if f != "none")),
        alias=alias,
        connect_timeout_s=float(timeout) if timeout.isdigit() and int(timeout) > 0 else None,
        family=families.get(one("addressfamily"), socket.AF_UNSPEC),
        proxy_command=expanded(_unless_none(one("proxycommand")), tokens) if via is None else "",
        via=via,
    )


def expanded(text: str, tokens: Mapping[str, str]) -> str:
    """`text` with ssh's tokens (`%h`) replaced; those that are not known stay."""
    return re.sub(r"%(.)", lambda m: tokens.get(m[1], m[0]), text)


def _hop(name: str, arguments: Sequence[str], config: str | None, jumps: int) -> Hop:
    said = _ask(name, arguments, config)
    jump = _unless_none(said["proxyjump"][0]) if "proxyjump" in said else ""
    if not jump:
        return hop_of(name, said)
    if jumps <= 0:
        raise ConfigRefused(f"more than {MAX_JUMPS} jump hosts, or a circle of them: {name} by {jump}")
    direct = hop_of(name, said)
    tokens = {"%": "%", "h": direct.host, "n": name, "p": str(direct.port), "r": direct.user}
    *before, last = expanded(jump, tokens).split(",")
    match = re.fullmatch(r"(?:ssh://)?(?:(.+)@)?(\[[^\]]+\]|[^:@]+)(?::(\d+))?/?", last.strip())
    if not match:
        raise ConfigRefused(f"ProxyJump {jump!r:.100} is not understood")
    user, host, port = match.groups()
    # As ssh itself calls ssh for a jump host: what was said of the target's connection is not said of this one.
    onward = [*(["-l", user] if user else []), *(["-p", port] if port else [])]
    onward += ["-J", ",".join(before)] if before else []
    return hop_of(name, said, _hop(host.strip("[]"), onward, config, jumps - 1))


def _ask(name: str, arguments: Sequence[str], config: str | None) -> dict[str, list[str]]:
    command = ["ssh", *(["-F", config] if config else []), "-G", "-T", *arguments, "--", name]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            text=True,
            env=for_others(os.environ),
        )
    except FileNotFoundError:
        raise ConfigRefused("there is no `ssh` on this machine, which reads ~/.ssh/config", _INSTALL) from None
    except (OSError, ValueError) as error:
        raise ConfigRefused(f"ssh -G: {error}") from None
    except subprocess.TimeoutExpired:
        raise ConfigRefused(f"`ssh -G {name}` takes more than {_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ConfigRefused("; ".join(lines[:2])[:300] or f"`ssh -G {name}` fails")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        word, _, value = line.partition(" ")
        said.setdefault(word.lower(), []).append(value)
    return said


def _option(word: str, value: str) -> str:
    needs_quotes = word.lower() in ("identityfile", "hostname", "user") and " " in value and '"' not in value
    return f'{word}="{value}"' if needs_quotes else f"{word}={value}"


def _me() -> pwd.struct_passwd:
    return pwd.getpwuid(os.getuid())


def _unless_none(text: str) -> str:
    return "" if text.lower() == "none" else text


def _paths(text: str) -> list[str]:
    """The paths of a line that `ssh -G` prints without quotes: where all are absolute, a blank within one is no end of it."""
    return re.split(r" (?=[/~])", text) if text.startswith(("/", "~")) else text.split()


def _path(text: str, tokens: Mapping[str, str]) -> str:
    text = re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], m[0]), expanded(text, tokens))
    # ~ is the account's folder, whatever HOME says
    return f"{_me().pw_dir}{text[1:]}" if text == "~" or text.startswith("~/") else text


def _agent(text: str, tokens: Mapping[str, str]) -> str:
    if text in ("", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK", "")
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:], "")
    return _path(_unless_none(text), tokens)
