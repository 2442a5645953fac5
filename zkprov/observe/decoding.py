"""One door to msgspec for values that threads decode at once."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_first = threading.Lock()
_known: set[type[Any]] = set()


def decoded(document: Any, kind: type[T]) -> T:
    """`document` as a `kind`. Raises `msgspec.ValidationError`.

    What msgspec knows of a type it works out at its first use, and two threads that do so at once crash the process (seen on Python 3.11:
    a segmentation fault when hosts were looked at for the first time). So the first use of each type is one thread's alone.
    """
    if kind not in _known:
        with _first:
            msgspec.json.Decoder(kind)
            _known.add(kind)
    return msgspec.convert(document, kind)
