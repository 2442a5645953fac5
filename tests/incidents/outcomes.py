"""The table of `docs/incidents.md`, written by a whole run of `test_ways_out.py`: `make outcomes`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from zkprov.lab.shapes.registry import SHAPES

BEGIN, END = "<!-- outcomes: ", "<!-- /outcomes -->"
FILE = "ZKPROV_OUTCOMES"
HEAD = (
    "| shape | `zkprov status` says | seen in | healed in | acknowledged | on the kept side | dead letters | on no disk, and named |",
    "|---|---|---|---|---|---|---|---|",
)


def keep(**row: Any) -> None:
    """A row for the table, where one is wanted: a line of JSON in the file that `ZKPROV_OUTCOMES` names."""
    if path := os.environ.get(FILE):
        with Path(path).open("a") as file:
            file.write(json.dumps(row) + "\n")


def table(rows: list[dict[str, Any]]) -> str:
    rows = sorted(rows, key=lambda row: list(SHAPES).index(row["shape"]))
    lines = [
        f"| `{r['shape']}` | {r['named']} | {r['seen_s']:.1f} s | {r['healed_s']:.1f} s | {r['there'] + r['letters'] + r['gone']} "
        f"| {r['there']} | {r['letters']} | {r['gone'] or ''} |"
        for r in rows
    ]
    return "\n".join((*HEAD, *lines))


def write(rows: list[dict[str, Any]], page: Path) -> None:
    text = page.read_text()
    begin, end = text.index("\n", text.index(BEGIN)) + 1, text.index(END)
    page.write_text(f"{text[:begin]}\n{table(rows)}\n\n{text[end:]}")


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text().splitlines()
    write([json.loads(line) for line in lines], Path(sys.argv[2]))
