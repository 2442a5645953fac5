"""Whatever can refuse is in docs/refusals.md, and nothing there is of the past: both are read, the code by its syntax."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from manual.refusals import ANY, gates, refusals
from zkprov.plan.options import OVERRIDABLE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/refusals.md").read_text()


def rows(page: str) -> list[tuple[str, str, str]]:
    """(rule of the section, what stands in the first column, and in the last) of each row."""
    found, rule = [], ""
    for line in page.splitlines():
        if heading := re.match(r"##\s+(?:(R\d+):)?", line):
            rule = heading[1] or ""
        elif line.startswith("| ") and not line.startswith(("| said |", "| gate |")):
            cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append((rule, cells[0], cells[-1]))
    return found


def said() -> set[tuple[str, str]]:
    """What the code can say in words of its own; where all of it comes from elsewhere, it is said there."""
    return {(told.rule, told.words) for told in refusals() if re.search(r"\w", told.words.replace(ANY, ""))}


def test_the_code_is_read() -> None:
    found = said()
    assert len(found) > 100
    assert ("R2", "newcomers would be a quorum") in found
    assert {("R8", "gate `…` failed"), ("R8", "gate `…` is unknown")} <= found, "both sides of an `if` in a text"
    either = f"{ANY}, which is down, is not to be started as it is"
    assert {("R8", either), ("R5", either)} <= found, "both rules"
    assert {"one leader", "one quorum", "same config", "joiner"} <= gates()


def test_every_refusal_is_in_the_page_and_no_other() -> None:
    in_page = {(rule, words) for rule, words, _ in rows(PAGE)} - {("R8", gate) for gate in gates()}
    missing = sorted(said() - in_page)
    assert not missing, f"docs/refusals.md lacks a row, in the section of its rule, for: {missing}"
    assert not sorted(in_page - said()), "docs/refusals.md tells of refusals that the code no longer makes"


def test_every_gate_is_in_the_page_and_no_other() -> None:
    of_gates = PAGE.partition("| gate | what it asks")[2].partition("\n\n")[0]
    told = {line.split("|")[1].strip() for line in of_gates.splitlines()[2:]}
    assert told == gates()


def test_each_says_what_to_do() -> None:
    assert not [row for row in rows(PAGE) if len(row[2]) < 5]


@pytest.mark.parametrize("rule", ["R1", "R2", "R4", "R6"])
def test_what_cannot_be_overridden_is_said(rule: str) -> None:
    section = re.search(rf"\n## {rule}:.*?(?=\n## |\Z)", PAGE, re.DOTALL)
    assert section, rule
    if rule in OVERRIDABLE:
        assert f"--override {rule}" in section[0]
    else:
        assert "cannot be overridden" in " ".join(section[0].split())
