"""Java properties text as the lines it was written in: what ZooKeeper reads from it, without losing a byte of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from zkprov.model.problems import BadInput

BYTE_ORDER_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")  # as UTF-8 text, and as the Latin-1 that Java reads


class PropertyLine(msgspec.Struct, frozen=True):
    """One entry, comment or blank of a properties text. `number` counts from 1; `source` is the text itself, line ends included.

    `key` is None for a comment or a blank. An entry may go on over several lines; `number` is its first.
    """

    number: int
    source: str
    key: str | None = None
    value: str = ""


def scan(text: str, place: str) -> tuple[PropertyLine, ...]:
    """`text` taken apart as `java.util.Properties.load` does; joined sources give `text` back.

    Raises BadInput for what Java refuses (a bad `\\uXXXX`), for a byte order mark (Java makes it part of the first key) and for NUL
    bytes (not a text file).
    """
    import javaproperties

    if text.startswith(BYTE_ORDER_MARKS):
        raise BadInput(
            "starts with a byte order mark, which ZooKeeper takes for a part of the first key",
            place=f"{place}:1",
            remedy="Save the file without a byte order mark.",
        )
    if "\0" in text:
        line = line_count(text[: text.index("\0")]) + 1
        raise BadInput("not a text file (NUL bytes)", place=f"{place}:{line}", remedy="Look at what wrote this file.")
    lines: list[PropertyLine] = []
    number = 1
    try:
        for element in javaproperties.parse(text):
            if isinstance(element, javaproperties.KeyValue):
                if element.key != element.key.strip():
                    raise BadInput(
                        f"a name with blanks at its ends: {element.key!r}",
                        place=f"{place}:{number}",
                        remedy="Remove them; ZooKeeper reads such a line as two different settings.",
                    )
                lines.append(PropertyLine(number, element.source, element.key, element.value))
            else:
                lines.append(PropertyLine(number, element.source))
            number += line_count(element.source)
    except javaproperties.InvalidUEscapeError as bad:
        raise BadInput(
            f"not a Java properties line: {bad}", place=f"{place}:{number}", remedy="Write a backslash as `\\\\`."
        ) from None
    return tuple(lines)


def line_count(text: str) -> int:
    """How many line ends `text` has: LF, CR or CRLF, as Java counts them."""
    return len(re.findall(r"\r\n|\n|\r", text))


def entry(key: str, value: str) -> str:
    """`key=value` so that Java reads it back as it is: in ASCII, for files are written in UTF-8 and Java reads Latin-1.

    ValueError for a control character or a key that would need escapes.
    """
    if not re.fullmatch(r"[^\s:=#!\\\x00-\x1f]+", key):
        raise ValueError(f"not a property name: {key!r}")
    if any(ord(c) < 32 or ord(c) == 127 or c in "\u0085\u2028\u2029" for c in value):
        raise ValueError(f"the value of {key} holds a line break or a control character")
    escaped = value.replace("\\", "\\\\")
    if escaped.startswith(" "):
        escaped = "\\" + escaped
    return f"{key}=" + "".join(c if ord(c) < 127 else _java_escape(c) for c in escaped)


def _java_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def last_wins(lines: Iterable[PropertyLine]) -> dict[str, PropertyLine]:
    """Key → the line that counts. A key given twice has the last value in Java."""
    return {line.key: line for line in lines if line.key is not None}


def given_twice(lines: Iterable[PropertyLine]) -> tuple[tuple[PropertyLine, PropertyLine], ...]:
    """Pairs (earlier, later) of lines with the same key."""
    seen: dict[str, PropertyLine] = {}
    pairs = []
    for line in lines:
        if line.key is None:
            continue
        if line.key in seen:
            pairs.append((seen[line.key], line))
        seen[line.key] = line
    return tuple(pairs)


def notes_of_twice(lines: Iterable[PropertyLine], place: str) -> tuple[str, ...]:
    """`place:line: key stands twice …` for each key that does."""
    return tuple(
        f"{place}:{later.number}: {later.key} stands twice (first in line {earlier.number}); ZooKeeper takes the last"
        for earlier, later in given_twice(lines)
    )
