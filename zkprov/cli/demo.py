"""`zkprov lab demo`: the tour, on real servers, by the commands that a person would type; everything is ended at the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence

import click


class Surprise(Exception):
    """A command of the tour ended otherwise than it must."""


def tour(settle: str) -> None:
    """Runs the tour; exits with 1 when a command of it ends otherwise than it must."""
    one, other = f"demo{os.getpid()}", f"outage{os.getpid()}"
    began = time.monotonic()
    try:
        _tour(one, other, settle)
    except Surprise as wrong:
        click.echo(f"\nthe tour failed: {wrong}", err=True)
        raise click.exceptions.Exit(1) from None
    finally:
        for name in (one, other):
            with contextlib.suppress(OSError):
                subprocess.run(_argv(["lab", "down", "--name", name]), check=False, capture_output=True)
    click.echo(
        f"\nThat was the tour, in {time.monotonic() - began:.0f} s. All servers are ended. Try it yourself: zkprov lab up"
    )


def _tour(one: str, other: str, settle: str) -> None:
    _say("An ensemble of three real servers on this machine")
    inventory = _up(one)
    _run(["status"], inventory)
    _say("Two servers are added, one at a time; each step is gated and proved")
    _run(["add-node", "zk4", "zk5", "--yes", "--settle", settle], inventory)
    _run(["status"], inventory)
    _say("A third newcomer is still harmless: three of six elect nobody")
    _run(["add-node", "zk6", "--yes", "--settle", "0s"], inventory)
    _say("The fourth would make newcomers a quorum of seven. That is how the outage began; it is refused (exit 3)")
    _run(["add-node", "zk7", "--yes"], inventory, expect=3)
    _run(["prove"], inventory)
    _run(["lab", "down", "--name", one], None)
    _say("The outage, made on purpose: four servers with a list of their own elect a second leader beside three")
    inventory = _up(other)
    _run(["lab", "break", "outage", "--name", other], None)
    _say("zkprov asks every server, and sees it (exit 3)")
    _run(["status"], inventory, expect=3)
    _say("and changes nothing while it stands (exit 3)")
    _run(["add-node", "zk8", "--yes"], inventory, expect=3)
    _run(["lab", "down", "--name", other], None)


def _say(text: str) -> None:
    click.echo(f"\n# {text}")


def _up(name: str) -> str:
    from zkprov.lab.lab import Lab

    _run(["lab", "up", "--name", name], None)
    return str(Lab.open(name).inventory_path)


def _argv(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "zkprov", *command]


def _run(command: list[str], inventory: str | None, expect: int = 0) -> None:
    """Types a command and shows what it prints. Raises `Surprise` when its exit code is not the expected one."""
    click.echo(f"\n$ zkprov {' '.join(command)}")
    environment = {**os.environ, **({"ZKPROV_INVENTORY": inventory} if inventory else {})}
    sys.stdout.flush()
    done = subprocess.run(_argv(command), env=environment, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != expect:
        raise Surprise(f"`zkprov {' '.join(command)}` ended with exit code {done.returncode}, and not {expect}")
    if expect:
        click.echo(f"(exit {done.returncode})")
