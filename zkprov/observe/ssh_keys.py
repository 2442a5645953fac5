"""Logging in with keys, in the order in which `ssh` tries them: those of the agent that the configuration names, its others, then files."""

from __future__ import annotations

import base64
import binascii
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zkprov.model.facts import Outcome
from zkprov.model.problems import Unreached
from zkprov.observe.ssh_config import Hop
from zkprov.observe.ssh_failure import unreached

if TYPE_CHECKING:
    import paramiko

_MAGIC = b"openssh-key-v1\x00"
# What ssh looks for where nothing is said: no news if it is not there.
_DEFAULTS = {
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_xmss",
    "id_dsa",
    "id_mldsa44_ed25519",
}


class _Keys(NamedTuple):
    """What there is to try, by what it is called, and why some of it is not tried."""

    offered: list[tuple[str, paramiko.PKey]]
    notes: list[str]
    encrypted: list[str]


def log_in(transport: paramiko.Transport, hop: Hop, deadline: float) -> None:
    """Raises `Unreached`: DENIED, TIMEOUT, TRUNCATED."""
    agent = _Agent.of(hop, deadline)
    try:
        _log_in(transport, hop, deadline, agent)
    finally:
        if agent is not None:
            agent.close()


def _log_in(transport: paramiko.Transport, hop: Hop, deadline: float, agent: _Agent | None) -> None:
    import paramiko

    tried: list[str] = []
    keys = _keys(hop, agent)
    for label, key in keys.offered:
        transport.auth_timeout = max(0.01, deadline - time.monotonic())
        try:
            more = transport.auth_publickey(hop.user, key)
        except paramiko.BadAuthenticationType as bad:
            kinds = ", ".join(bad.allowed_types)
            raise _denied(hop, f"its sshd takes no keys, only {kinds}", "allow PubkeyAuthentication there") from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            if time.monotonic() >= deadline:
                raise unreached(hop, Outcome.TIMEOUT, "no answer to the login in time") from None
            if not transport.is_active():
                if not tried:
                    raise unreached(hop, Outcome.TRUNCATED, "the connection was lost at the login") from None
                raise _denied(
                    hop,
                    f"its sshd closed the connection after {len(tried) + 1} keys ({', '.join([*tried, label])})",
                    "name the right one (ansible_ssh_private_key_file) and set IdentitiesOnly yes",
                ) from None
            tried.append(label if isinstance(error, paramiko.AuthenticationException) else f"{label} ({error})")
            continue
        if more:
            raise _denied(hop, f"{label} was accepted, but its sshd wants {' and '.join(more)} as well")
        return
    no = f"none of these keys was accepted: {', '.join(tried)}" if tried else "there is no key to log in with"
    notes = "; ".join([no, *keys.notes])
    if keys.encrypted:
        raise _denied(hop, notes, f"ssh-add {keys.encrypted[0]}")
    remedy = (
        f"put the public key into ~{hop.user}/.ssh/authorized_keys there, or name another key or user in the inventory"
    )
    raise _denied(hop, notes, remedy)


def _keys(hop: Hop, agent: _Agent | None) -> _Keys:
    found = _Keys([], [], [])
    held = {key.blob: key for key in agent.get_keys()} if agent is not None else {}
    if agent is None and hop.agent:
        found.notes.append(f"no agent answers at {hop.agent}")
    files: list[tuple[str, paramiko.PKey]] = []
    for file in hop.identity_files:
        public = _public_half(file)
        key = held.pop(public, None) if public is not None else None
        if key is not None:
            found.offered.append((f"{file} (agent)", key))
        elif Path(file).exists():
            loaded = _load(file, found)
            if loaded is not None:
                files.append((file, loaded))
        elif Path(file).name not in _DEFAULTS:
            found.notes.append(f"{file} is not there")
    if not hop.identities_only:
        found.offered.extend((key.comment or key.get_name(), key) for key in held.values())
    found.offered.extend(files)
    return found


def _load(file: str, found: _Keys) -> paramiko.PKey | None:
    import paramiko
    from paramiko.pkey import UnknownKeyType

    try:
        status = Path(file).stat()
        if status.st_mode & 0o077 and status.st_uid == os.getuid():
            found.notes.append(f"{file} may be read by others, so it is not used (chmod 600)")
            return None
        key: paramiko.PKey = paramiko.PKey.from_path(file)
        return key
    except (paramiko.PasswordRequiredException, TypeError):
        encrypted = True
    except OSError as error:
        found.notes.append(f"{file}: {error.strerror}")
        return None
    except (ValueError, paramiko.SSHException, UnknownKeyType) as error:
        encrypted = "password" in str(error) or "encrypted" in str(error)
        if not encrypted:
            found.notes.append(f"{file} is no private key that can be used")
            return None
    found.encrypted.append(file)
    found.notes.append(f"{file} has a passphrase, and no agent has it")
    return None


def _public_half(file: str) -> bytes | None:
    """The public key that goes with a private one, without its passphrase: of the `.pub` beside it, else of the file itself."""
    try:
        words = Path(f"{file}.pub").read_bytes().split()
        return base64.b64decode(words[1], validate=True)
    except (OSError, IndexError, binascii.Error, ValueError):
        pass
    try:
        text = Path(file).read_bytes()[:100_000]
        raw = base64.b64decode(b"".join(line for line in text.splitlines() if not line.startswith(b"-----")))
    except (OSError, binascii.Error, ValueError):
        return None
    if not raw.startswith(_MAGIC):
        return None
    rest = raw[len(_MAGIC) :]
    for _ in range(3):  # cipher, derivation and its options
        length = int.from_bytes(rest[:4], "big")
        rest = rest[4 + length :]
    length = int.from_bytes(rest[4:8], "big")
    return rest[8 : 8 + length] or None


class _Agent:
    """An agent that answers; its keys sign over this connection to it."""

    def __init__(self, sock: socket.socket) -> None:
        from paramiko.agent import AgentSSH

        self._ssh = AgentSSH()
        self._sock = sock
        self._ssh._connect(sock)  # type: ignore[attr-defined]  # the stubs leave it out

    @classmethod
    def of(cls, hop: Hop, deadline: float) -> _Agent | None:
        import paramiko

        if not hop.agent:
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            sock.connect(hop.agent)
            return cls(sock)
        except (OSError, EOFError, ValueError, IndexError, paramiko.SSHException):
            sock.close()
            return None

    def get_keys(self) -> tuple[paramiko.AgentKey, ...]:
        return self._ssh.get_keys()

    def close(self) -> None:
        self._sock.close()


def _denied(hop: Hop, problem: str, remedy: str = "") -> Unreached:
    return unreached(hop, Outcome.DENIED, problem, remedy)
