"""Text cases: a comment, a command of one or more lines, `----`, and the whole of what is printed, up to a blank line.

`ZKPROV_REWRITE=1 pytest tests/cases` writes what is printed now in place of what was; the difference is then read by a person.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

# read before the session's fixture takes all such variables away
REWRITE = bool(os.environ.get("ZKPROV_REWRITE"))


class Case(msgspec.Struct, frozen=True):
    """One block. `line`: where its command begins in the file."""

    comment: str
    command: tuple[str, ...]
    printed: str
    line: int

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.comment, *self.command, "----", self.printed)))


def read(text: str) -> list[Case]:
    """Raises ValueError, naming the line, for a block without `----`."""
    cases, block = [], list[tuple[int, str]]()
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.strip():
            block.append((number, line.rstrip()))
        elif block:
            lines = [x for _, x in block]
            if all(x.startswith("#") for x in lines):  # the file's own heading
                cases.append(Case("\n".join(lines), (), "", block[0][0]))
            elif "----" not in lines:
                raise ValueError(f"line {block[0][0]}: a case without ----")
            else:
                at = lines.index("----")
                comment = [x for x in lines[:at] if x.startswith("#")]
                command = [x for x in lines[:at] if not x.startswith("#")]
                cases.append(Case("\n".join(comment), tuple(command), "\n".join(lines[at + 1 :]), block[0][0]))
            block = []
    return cases


def check(file: Path, run: Callable[[tuple[str, ...]], str]) -> None:
    """Runs every case of `file`. `run` gets the command's lines and gives what is printed."""
    cases = read(file.read_text())
    assert any(c.command for c in cases), f"{file.name}: no case"
    now = [msgspec.structs.replace(c, printed=run(c.command).rstrip("\n")) if c.command else c for c in cases]
    if REWRITE:
        file.write_text("\n\n".join(str(c).removesuffix("\n----") if not c.command else str(c) for c in now) + "\n")
        return
    for was, case in zip(cases, now, strict=True):
        assert case.printed == was.printed, f"{file.name}:{was.line}: prints otherwise\n{case.printed}"
