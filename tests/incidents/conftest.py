"""Incidents stand on the same real ensembles as the tests of the main path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.real.conftest import lab_home, make_lab, nothing_is_left, software
from zkprov.lab.breaking import break_lab, ready_for
from zkprov.lab.incident import Incident
from zkprov.lab.lab import Lab
from zkprov.lab.shapes.registry import shape_of
from zkprov.lab.writers import running_writers

__all__ = ["lab_home", "make_lab", "nothing_is_left", "software"]


class Broken(Protocol):
    def __call__(self, shape: str, *flags: str) -> tuple[Lab, Incident]: ...


@pytest.fixture
def broken(software: None, lab_home: Path) -> Iterator[Broken]:
    """`broken(shape) -> (lab, incident)`: a lab of its own, made and broken, with its writers at work. All end with the test.

    `flags`: of the JVM, for every server from its next start on.
    """

    def make(shape: str, *flags: str) -> tuple[Lab, Incident]:
        name = shape.replace("-", "_")
        ending.callback(_end, name)
        if flags:
            made = ready_for(name, shape_of(shape))
            for host in made.hosts:
                made.set_jvm_flags(host.id or 0, (*host.jvm_flags, *flags))
        incident = break_lab(name, shape_of(shape))
        return Lab.open(name), incident

    with ExitStack() as ending:
        yield make


def _end(name: str) -> None:
    for lab in [lab for lab in Lab.list() if lab.name == name]:
        lab.down()
        assert not lab.processes() and not list(running_writers(lab.folder)), "something was left running"
