"""A split for people: the sides, what speaks for which, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from zkprov.model.quorum import braces

if TYPE_CHECKING:
    from zkprov.model.split import Split, Weighed
    from zkprov.run.planning_heal import Looked


def sides(looked: Looked) -> None:
    """Before a person says which one is kept."""
    from zkprov.report.console import lines

    head = f"{len(looked.sides)} sides, told by their {looked.told_by}"
    each = [
        f"  {s.name}  {braces(s.ids)}, {f'led by {s.leader}' if s.leader else 'without a leader'}, up to {s.zxid:#x}, "
        f"{len(s.clients)} client sessions"
        for s in looked.sides
    ]
    speaks = (
        f"the evidence speaks for {looked.proposal.side}, by {looked.proposal.by}" if looked.proposal.side else "a tie"
    )
    lines([head, *each, *_evidence(looked.proposal.evidence), speaks])


def told(split: Split) -> Sequence[str]:
    """What stands above the steps of a plan."""
    found = []
    for side in split.sides:
        kept = "kept" if side.name == split.keep else "fenced"
        led = f"led by {side.leader}, epoch {side.epoch}" if side.leader else "without a leader"
        found.append(
            f"side {side.name} ({kept}): {', '.join(str(s) for s in side.servers)}; {led}; {side.history}; up to {side.zxid:#x}; "
            f"{side.clients} client sessions"
        )
    found += _evidence(split.evidence)
    if split.proposed == split.keep:
        return found
    why = f"the evidence speaks for {split.proposed}" if split.proposed else "the evidence is a tie"
    return [*found, f"{why}; {split.keep} is kept because it was asked for"]


def _evidence(rows: Iterable[Weighed]) -> list[str]:
    return [
        f"  {row.what:<9} "
        + "; ".join(f"{name}: {text}" for name, text in row.each.items())
        + (f" -> {row.favours}" if row.favours else "")
        for row in rows
    ]
