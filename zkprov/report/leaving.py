"""What `ok-to-stop` and `ok-to-remove` answer: a document for programs, a few lines for people."""

from __future__ import annotations

import msgspec

from zkprov.judge.leaving import Leave, Leaver, Reason


class LeaveDocument(msgspec.Struct, frozen=True):
    """`act`: stop or remove. `ok` goes with exit 0, else 3. The rest as in `Leave`."""

    ensemble: str
    act: str
    ok: bool
    servers: list[Leaver]
    staying: list[int]
    list_after: str
    spare_before: int
    spare_after: int
    reasons: list[Reason]
    notes: list[str]
    format: int = 1


def leave_document(ensemble: str, act: str, found: Leave) -> LeaveDocument:
    return LeaveDocument(
        ensemble, act, found.ok, list(found.leavers), list(found.staying), found.list_after,
        found.spare_before, found.spare_after, list(found.reasons), list(found.notes),
    )  # fmt: skip


def leave_lines(ensemble: str, act: str, found: Leave) -> list[str]:
    """For people; the first line is the answer."""
    names = ", ".join(x.name for x in found.leavers)
    if found.ok:
        staying = "{" + ",".join(map(str, found.staying)) + "}"
        stays = f"{staying} stay in sync, of the list {found.list_after}; {found.spare_after} more may fail"
        return [f"{ensemble}  OK to {act} {names}: {stays}", *(f"note  {note}" for note in found.notes)]
    first, *rest = found.reasons
    lines = [f"{ensemble}  NOT OK to {act} {names}: {first}", *(f"  {line}" for line in first.evidence)]
    for reason in rest:
        lines += [f"and {reason}", *(f"  {line}" for line in reason.evidence)]
    return [*lines, *(f"note  {note}" for note in found.notes), f"next  {_next(first)}"]


def _next(reason: Reason) -> str:
    if reason.rule == "R2":
        return "zkprov status: shows for how long newcomers are newcomers"
    return "zkprov prove: shows who could elect whom" if reason.rule == "R1" else "zkprov status: shows every server"
