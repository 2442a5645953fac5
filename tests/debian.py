"""Programs that tests need and no Python package brings: Debian's, installed by whoever may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

LIMIT_S = 600


class Missing(Exception):
    """What a test needs cannot be had here; the text says what is missing, and how to get it."""


def install(tools: Mapping[str, str], what: str) -> None:
    """`tools`: a program that must be here → the package that brings it. `what` needs them. Raises `Missing`."""
    missing = sorted({package for tool, package in tools.items() if not shutil.which(tool)})
    if not missing:
        return
    if os.geteuid():
        raise Missing(f"{what} need {', '.join(missing)}: apt-get install {' '.join(missing)}")
    if not shutil.which("apt-get"):
        raise Missing(f"{what} need {', '.join(missing)}, and this is no Debian or Ubuntu to install them on")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qy", "-o", "DPkg::Lock::Timeout=300"]
    for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", *missing]):
        try:
            run(command, environment)
        except Missing as problem:
            raise Missing(f"{what} need {', '.join(missing)}, which could not be installed: {problem}") from None


def run(command: list[str], environment: dict[str, str]) -> None:
    """Raises `Missing` with what it said of its failure."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took longer than {LIMIT_S} s") from None
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "Err"))]
        raise Missing(f"{command[0]} failed: {' '.join(said[:5]) or done.stderr[-500:]}")
