"""Answers and files of a usual size are taken apart once: a run sees the same ones with every look."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

USUAL = 20_000
"""Characters; what is longer is rare, and would take the memory of many others."""


def remembered(read: Callable[P, T]) -> Callable[P, T]:
    """`read(text, …)`, whose results are kept, but no errors. It must be a function of its arguments alone, and its result a value."""
    kept = lru_cache(maxsize=1024)(read)

    @wraps(read)
    def call(*given: P.args, **named: P.kwargs) -> T:
        usual = len(given[0]) <= USUAL  # type: ignore[arg-type]
        return kept(*given, **named) if usual else read(*given, **named)  # type: ignore[arg-type]

    return call
