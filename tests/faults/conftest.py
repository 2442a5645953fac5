"""Fault tests stand on the same real ensembles as the tests of the main path."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scene import LISTS, Scene
from tests.real.conftest import MakeLab, lab_home, make_lab, nothing_is_left, software

__all__ = ["lab_home", "make_lab", "nothing_is_left", "software"]


@pytest.fixture
def scene(make_lab: MakeLab, tmp_path: Path, rng: random.Random) -> Iterator[Scene]:
    """Three servers, watched from outside while zk4 is on its way in."""
    with Scene(make_lab(3, seats=rng.choice(LISTS)), tmp_path, rng) as found:
        yield found
