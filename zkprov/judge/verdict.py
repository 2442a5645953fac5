"""What a gate answers: pass, fail or unknown, with the evidence. Unknown never passes where the gate is required."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 — a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    """To look needs less than to change: with the client port alone one can look, to change one needs the disks (R8)."""

    LOOK = "look"
    CHANGE = "change"


class Evidence(msgspec.Struct, frozen=True):
    """One figure of one server. `server` is its name, or empty for the ensemble's."""

    server: str
    what: str

    def __str__(self) -> str:
        return f"{self.server}: {self.what}" if self.server else self.what


class GateResult(msgspec.Struct, frozen=True):
    """One gate's answer. `unsafe`: the failure is not weakness but danger (exit 3, not 4). `required`: unknown stops a change.

    `warnings`: what stops nothing, whatever the verdict, and is told.
    """

    gate: str
    verdict: Verdict
    summary: str
    evidence: tuple[Evidence, ...] = ()
    sources: tuple[str, ...] = ()
    required: bool = True
    unsafe: bool = False
    remedy: str = ""
    warnings: tuple[Evidence, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether a change must not go on: failed, or unknown though required."""
        return self.verdict is Verdict.FAIL or (self.verdict is Verdict.UNKNOWN and self.required)


def weighed(
    gate: str,
    failed: Sequence[Evidence],
    unknown: Sequence[Evidence],
    passed: str,
    sources: tuple[str, ...],
    *,
    required: bool = True,
    unsafe: bool = False,
    remedy: str = "",
    to_know: str = "zkprov status shows what each server tells",
) -> GateResult:
    """A gate's answer from its evidence: a failure before an unknown, an unknown before a pass, which `passed` words.

    `remedy` goes with a failure; `to_know`, what would tell more, with an unknown.
    """
    evidence = tuple(failed or unknown)
    verdict = Verdict.FAIL if failed else Verdict.UNKNOWN if unknown else Verdict.PASS
    summary = "; ".join(str(e) for e in evidence[:3]) + (f"; and {len(evidence) - 3} more" if len(evidence) > 3 else "")
    step = {Verdict.FAIL: remedy, Verdict.UNKNOWN: to_know, Verdict.PASS: ""}[verdict]
    return GateResult(gate, verdict, summary or passed, evidence, sources, required, unsafe and bool(failed), step)


def first_stop(results: Sequence[GateResult]) -> GateResult | None:
    """The gate to name to a person: a danger before a weakness, a failure before an unknown."""
    stopping = [r for r in results if r.stops]
    return min(stopping, key=lambda r: (not r.unsafe, r.verdict is not Verdict.FAIL), default=None)
