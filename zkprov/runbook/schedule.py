"""What runs a runbook unattended: a systemd timer, or a line for cron. They only ask often; when it is time is the runbook's own to say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

EVERY_MIN = 5


def systemd(name: str, words: Sequence[str], folder: str, user: str) -> dict[str, str]:
    """File name → its text, for /etc/systemd/system. `words` call it, with whole paths."""
    unit = f"zkprov-{name}"
    service = f"""\
[Unit]
Description=zkprov runbook {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
WorkingDirectory={folder.replace("%", "%%")}
ExecStart={" ".join(_systemd(w) for w in words)}
TimeoutStartSec=infinity
# zkprov ends within 5 s of SIGTERM, at a place from which it goes on
KillMode=mixed
TimeoutStopSec=15
"""
    timer = f"""\
[Unit]
Description=asks every {EVERY_MIN} minutes whether it is time for zkprov runbook {name}

[Timer]
OnCalendar=*:0/{EVERY_MIN}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""
    return {f"{unit}.service": service, f"{unit}.timer": timer}


def cron(words: Sequence[str], folder: str, user: str) -> str:
    """A line for /etc/cron.d; `%` means something to cron."""
    command = f"cd {shlex.quote(folder)} && {shlex.join(words)}".replace("%", "\\%")
    return f"*/{EVERY_MIN} * * * * {user} {command}\n"


def _systemd(word: str) -> str:
    """A word of a unit file: `%` and `$` mean something to systemd, and so do quotes."""
    said = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{said}"' if any(c in word for c in " \t'\";\\") else said
