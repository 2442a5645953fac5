"""What a judged survey says, in full: the verdict, each gate that does not pass with its evidence, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cases.cases import check
from tests.cases.surveys import survey_of
from tests.unit.facts_made import healthy
from zkprov.judge.health import Health
from zkprov.judge.lost_history import Confirmed
from zkprov.judge.picture import Standing
from zkprov.judge.verdict import Purpose, Verdict

FILES = sorted((Path(__file__).parent / "judge").glob("*.txt"))


def judged(lines: tuple[str, ...]) -> str:
    """The last line says for what it is judged: `look`, `look 12` (two leaders for 12 s now), `look again`, or `change`.

    `look again`: it is as it was at the look before, and for 6 s by now.
    `look after 0x700000500 by 3`: a watch saw our history at that zxid, led by 3.
    """
    *survey, last = lines
    purpose, *more = last.split()
    made = survey_of(tuple(survey))
    given: dict[str, Any] = {}
    if more[:1] == ["again"]:
        given |= {"earlier": made.survey, "shut_s": 6.0}
    elif more[:1] == ["after"]:
        given["confirmed"] = Confirmed(healthy(3, leader=int(more[3])).survey, int(more[1], 0))
    elif more:
        given["doubted_s"] = float(more[0])
    return printed(made.health(Purpose(purpose), **given))


def printed(health: Health) -> str:
    head = f"{health.condition}: {health.headline}" if health.headline else str(health.condition)
    lines = [head]
    for incident in health.incidents:
        lines += [f"incident {incident.shape}", *(f"  {s}" for s in incident.sides)]
        lines += [f"  {e}" for e in incident.evidence]
        lines += [f"  next: {step}" for step in incident.next]
    for standing in (Standing.JOINER, Standing.ROGUE, Standing.STRANGER):
        lines += [f"{standing} {f.name}: {health.picture.why[f.name]}" for f in health.picture.of(standing)]
    if health.newcomers:
        lines.append("newcomers " + ", ".join(f"{n.id} ({n.left_s:.0f} s left)" for n in health.newcomers))
    for gate in health.gates:
        if gate.verdict is not Verdict.PASS and not (health.incidents and gate.gate == "no incident"):
            marks = [m for m, on in (("unsafe", gate.unsafe), ("not required", not gate.required)) if on]
            lines.append(f"{gate.verdict}{' (' + ', '.join(marks) + ')' if marks else ''} {gate.gate}: {gate.summary}")
            lines += [f"  {e}" for e in gate.evidence if str(e) != gate.summary]
            lines += [f"  next: {gate.remedy}"] if gate.remedy else []
        lines += [f"warning {gate.gate}: {w}" for w in gate.warnings]
    return "\n".join(lines)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_judged(file: Path) -> None:
    check(file, judged)


def test_there_are_cases() -> None:
    assert len(FILES) >= 4
