"""What of a file could not be read, as a value: damage is a fact, and whatever is whole around it is used."""

from __future__ import annotations

import msgspec


class Flaw(msgspec.Struct, frozen=True):
    """`place`: the file; `offset` in bytes, where it begins. `what`: what is wrong there, and what of it is missing."""

    place: str
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.place}, byte {self.offset}: {self.what}"


class Torn(ValueError):
    """Bytes that are not what they should be, or fewer. `offset` within what was parsed."""

    def __init__(self, what: str, offset: int = 0) -> None:
        super().__init__(what)
        self.what, self.offset = what, offset
