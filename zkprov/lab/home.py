"""Where labs and downloads are kept: the XDG folders, and nothing outside them."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """`$XDG_CACHE_HOME/zkprov`, by default `~/.cache/zkprov`: downloads, shared by all labs. Not created here."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_home() -> Path:
    """`$XDG_STATE_HOME/zkprov`, by default `~/.local/state/zkprov`, its links resolved. Not created here.

    Servers are found again by the path of their zoo.cfg on their command line, so one folder must have one name.
    """
    return Path(os.path.realpath(_xdg("XDG_STATE_HOME", ".local/state")))


def _xdg(variable: str, default: str) -> Path:
    # The XDG base directory specification: a relative path in the variable is to be ignored.
    given = os.environ.get(variable, "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / default) / "zkprov"
