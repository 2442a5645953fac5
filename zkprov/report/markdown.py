"""Markdown as GitHub and GitLab read it, of what servers and people say: a name is no link there, and no image that is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MOST_LINES = 60
MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&$@]|:(?=//)|(?<=[wW]{3})\.)")
"""What has a meaning in GitHub's Markdown within a line: a server's name is no link, and no image that is fetched."""


def plain(text: str) -> str:
    """One line in which no character is more than what it looks like."""
    return "".join(c if c.isprintable() else " " if c in "\n\r\t" else "?" for c in text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join((*lines, *("| " + " | ".join(inline(cell) for cell in row) + " |" for row in rows)))


def inline(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", plain(text)[:2000])


def fenced(lines: Sequence[str]) -> str:
    """As they are: within a fence longer than any in them nothing has a meaning."""
    told = [plain(line) for line in lines[:MOST_LINES]]
    longest = max((len(run) for line in told for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}text", *told, fence))
