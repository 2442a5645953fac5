"""What a command leaves for CI: every end has its case, and nothing that a server says breaks a file or becomes a command."""

from __future__ import annotations

import re
import string
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.facts_made import healthy, outage
from tests.unit.plans_made import plan
from zkprov.cli.reporting import Reports, report_options
from zkprov.model.problems import BadInput, BadInputs, Stale
from zkprov.plan.steps import Refusal
from zkprov.report.account import Account, Outcome
from zkprov.report.console import console, table
from zkprov.report.documents import status_document
from zkprov.report.github import annotated, summary
from zkprov.report.junit import junit
from zkprov.run.events import Event
from zkprov.run.journal import State
from zkprov.run.result import Result

TITLES = [s.title for s in plan().steps]


def event(number: int, kind: str, second: int = 0, /, **evidence: Any) -> Event:
    return Event(f"2026-11-24T22:00:{second:02}.500Z", "4f1c00", number, kind, evidence)


def done(step: int, said: str = "done") -> Event:
    return event(step, "step.done", step, step="x", said=said, took_s=1.25, longest_pause_s=0.05)


def begun(step: int, second: int = 0) -> Event:
    return event(step, "step.begun", second, step="x", title=TITLES[step - 1], host="zk4")


def account(*events: Event, code: int = 0, known: bool = True, result: Result | None = None) -> Account:
    made = Account("zkprov apply")
    if known:
        made.planned(plan())
    for one in events:
        made(one)
    if result is not None:
        made.ended(result)
    made.code, made.took_s = code, 3.5
    return made


BEGUN = event(
    0, "run.begun", plan="4f1c00", kind_of="add", who="you", ensemble="kafka", base="0", steps=4, titles=TITLES
)
DONE = Result("4f1c00", State.DONE, 0, "done: {1,2,3,4}", stands="the list is {1,2,3,4}", longest_pause_s=0.05)
FAILED = Result(
    "4f1c00",
    State.UNDONE,
    4,
    "Stopped at step 2.",
    ("5 is behind",),
    "5 taken out",
    "the list is {1,2,3}",
    ("zkprov add-node zk5",),
)
CUT = Result("4f1c00", State.STOPPED, 7, "Stopped before or in step 2.", next=("zkprov resume",))


def outcomes(made: Account) -> list[str]:
    return [str(c.outcome) for s in made.suites for c in s.cases]


def parsed(made: Account) -> ET.Element:
    return ET.fromstring(junit(made, at="2026-11-24T22:00:00.000Z"))


def test_each_step_is_a_case_with_its_time() -> None:
    made = account(BEGUN, *(e for n in (1, 2, 3, 4) for e in (begun(n), done(n))), result=DONE)
    root = parsed(made)
    cases = list(root.iter("testcase"))
    assert [c.get("name") for c in cases] == [f"{n} {t}" for n, t in enumerate(TITLES, 1)]
    assert {c.get("time") for c in cases} == {"1.250"} and {c.get("classname") for c in cases} == {"zkprov.kafka"}
    assert (root.get("tests"), root.get("failures"), root.get("skipped"), root.get("time")) == ("4", "0", "0", "3.500")
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["run"] == "4f1c00" and properties["stands"] == "the list is {1,2,3,4}"


def test_a_step_that_failed_has_the_gate_the_evidence_and_the_next_command() -> None:
    failed = event(2, "step.failed", 9, step="x", why="5 is behind", gate="synced")
    made = account(BEGUN, begun(1), done(1), begun(2, 4), failed, code=4, result=FAILED)
    assert outcomes(made) == ["passed", "failed", "skipped", "skipped"]
    case = list(parsed(made).iter("testcase"))[1]
    failure = case.find("failure")
    assert failure is not None and case.get("time") == "5.000"
    assert failure.get("type") == "gate synced" and failure.get("message") == "Stopped at step 2."
    told = (failure.text or "").splitlines()
    assert told[1:] == [
        "5 is behind",
        "undone  5 taken out",
        "stands  the list is {1,2,3}",
        "next  zkprov add-node zk5",
    ]


def test_what_was_cut_off() -> None:
    in_it = account(BEGUN, begun(1), done(1), begun(2), code=7, result=CUT)
    assert outcomes(in_it) == ["passed", "failed", "skipped", "skipped"]
    between = account(BEGUN, begun(1), done(1), code=7, result=CUT)
    assert outcomes(between) == ["failed", "passed", "skipped", "skipped", "skipped"]
    assert next(parsed(between).iter("failure")).get("type") == "interrupted"


def test_of_a_run_that_is_taken_up_the_rest_is_told() -> None:
    resumed = event(0, "run.resumed", head=3, attempt=1, first_by="you")
    made = account(resumed, BEGUN, begun(3), done(3), begun(4), done(4), known=False, result=DONE)
    assert [(c.outcome, c.said) for s in made.suites for c in s.cases][:3] == [
        (Outcome.SKIPPED, "done before"),
        (Outcome.SKIPPED, "done before"),
        (Outcome.PASSED, "done"),
    ]
    assert "done before" in summary(made)


def test_a_command_that_ran_nothing() -> None:
    assert outcomes(account()) == ["skipped"] * 4  # planned only
    assert outcomes(account(known=False)) == ["passed"]
    nothing = Result("4f1c00", State.DONE, 0, "nothing to do: plan 4f1c00 is carried out")
    assert outcomes(account(result=nothing)) == ["passed"]
    assert account(known=False).headline == "nothing to do"
    lines = account(known=False)
    lines.say("zk1: start 1 as the founder")
    assert "zk1: start 1 as the founder" in junit(lines, at="").decode()


def test_a_refusal_and_whatever_was_raised_are_one_case() -> None:
    refused = account(known=False, code=3)
    refused.refused(
        Refusal("R2", "newcomers would be a quorum.", ("4 and 5",), (("zkprov add-node zk7 --wait", "goes on"),))
    )
    failure = next(parsed(refused).iter("failure"))
    assert failure.get("type") == "R2" and failure.get("message") == "Refused by R2: newcomers would be a quorum."
    assert (failure.text or "").splitlines()[1:] == ["4 and 5", "next  zkprov add-node zk7 --wait  goes on"]
    assert "Refused by R2" in summary(refused) and "4 and 5" in annotated(refused)[0]

    stale = account(code=6)
    stale.stopped(6, Stale("the list is another", place="plan 4f1c", remedy="plan again"))
    assert outcomes(stale) == ["failed"] + ["skipped"] * 4
    several = account(known=False, code=2)
    several.stopped(
        2, BadInputs("2 errors", [BadInput("no port", place="zk1", remedy="set one"), BadInput("no id", place="zk2")])
    )
    assert several.failed is not None and several.failed.evidence == ("zk1: no port; set one", "zk2: no id")
    odd = account(known=False, code=1)
    odd.stopped(1, RuntimeError())
    assert odd.failed is not None and odd.failed.headline == "RuntimeError"
    for made in (refused, stale, several, odd):
        assert parsed(made).get("failures") == "1"
        assert sum(line.startswith("::error") for line in annotated(made)) == 1


def test_changes_that_are_pending_are_no_failure() -> None:
    made = account(code=10)
    assert made.failed is None and annotated(made)[-1].startswith("::notice title=zkprov apply kafka::4 steps planned")


def judged(made: Any, code: int) -> Account:
    found = Account("zkprov check")
    found.judged(status_document(made.health()))
    found.code = code
    return found


def test_check_has_a_case_for_each_gate() -> None:
    safe = judged(healthy(3), 0)
    assert set(outcomes(safe)) <= {"passed", "skipped"} and safe.headline.startswith("safe: ")
    unsafe = judged(outage(), 3)
    failures = {c.name: c.failure for s in unsafe.suites for c in s.cases if c.failure}
    assert failures["gate one leader"].kind == "unsafe" and "two leaders" in failures["gate one leader"].headline
    assert any(
        line.startswith("::error title=zkprov check kafka-zk%3A gate one leader::") for line in annotated(unsafe)
    )
    assert "| one leader | fail |" in summary(unsafe)
    weak = judged(healthy(3).down(2), 4)
    assert "failed" in outcomes(weak)
    # a verdict that no gate alone stands for
    odd = judged(healthy(3), 4)
    assert outcomes(odd).count("failed") == 1 and annotated(odd)[-1].startswith("::error")


HOSTILE = st.text(st.one_of(st.characters(), st.sampled_from(string.punctuation + "\n\r\t\x00\x1b")), max_size=60)


@given(HOSTILE)
def test_whatever_a_server_says_the_xml_is_whole(said: str) -> None:
    made = account(
        BEGUN,
        begun(1),
        done(1, said),
        begun(2),
        code=4,
        result=Result("r", State.UNDONE, 4, said, (said,), said, said, (said,)),
    )
    root = parsed(made)
    assert root.get("tests") == "4" and len(list(root.iter("failure"))) == 1


@given(HOSTILE)
def test_whatever_a_server_says_an_annotation_is_one_line(said: str) -> None:
    made = account(code=4, result=Result("r", State.UNDONE, 4, said, (said, "::error::x"), next=(said,)))
    made.ensemble = said
    for line in annotated(made):
        assert re.fullmatch(r"::(error|warning|notice) title=[^:,\r\n]*::[^\r\n]*", line), line
        assert all(c.isprintable() for c in line)
        assert not re.search(r"%(?!25|0D|0A|3A|2C)", line)


@pytest.mark.parametrize(
    "said",
    [
        "a | b",
        "<img src=x>",
        "[x](http://evil)",
        "![x](y)",
        "`code`",
        "**b**",
        "www.evil.example",
        "https://evil",
        "$x$",
        "a\nb",
        "~~~",
        "# x",
    ],
)
def test_what_a_server_says_has_no_meaning_in_markdown(said: str) -> None:
    made = account(BEGUN, begun(1), done(1, said), result=Result("r", State.DONE, 0, said, (said,)))
    text = summary(made)
    for row in (line for line in text.splitlines() if line.startswith("| 1 ")):
        assert len(re.findall(r"(?<!\\)\|", row)) == 8, row
    shown = text.replace("\\\\", "")
    assert not re.search(r"(?<!\\)[<>\[\]`$~]", shown)
    assert "https://" not in shown and "www." not in shown


def test_evidence_does_not_leave_its_fence() -> None:
    made = account(code=4, result=Result("r", State.UNDONE, 4, "x", ("a", "````", "```\n# b")))
    text = summary(made)
    fences = [line for line in text.splitlines() if line.startswith("`````")]
    assert fences == ["`````text", "`````"]


def test_a_steps_log_shows_no_commands_but_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """What is printed while the command runs is no workflow command: the runner is told to take none until we are done."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    @click.command("odd")
    @report_options
    def odd() -> None:
        click.echo("::set-output name=x::y", err=True)
        raise click.exceptions.Exit(4)

    done = CliRunner().invoke(odd, ["--junit", str(tmp_path / "j.xml")])
    assert done.exit_code == 4
    first, said, last, ours = done.stderr.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert token != first and last == f"::{token}::" and said == "::set-output name=x::y" and ours.startswith("::error")
    assert "(exit 4)" in (tmp_path / "summary.md").read_text() and (tmp_path / "j.xml").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.xml", "summary.md"]


def test_a_command_that_is_ended_where_it_is_leaves_its_report(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    reports = Reports("zkprov apply", tmp_path / "j.xml")
    for one in (BEGUN, begun(1)):
        reports.account(one)
    reports.cut_off()
    failure = next(ET.parse(tmp_path / "j.xml").getroot().iter("failure"))
    assert failure.get("type") == "interrupted" and "zkprov resume" in (failure.text or "")
    reports.finish(0)  # once only
    assert "interrupted" in (tmp_path / "j.xml").read_text()


def test_a_table_in_a_log_has_no_blanks_at_the_ends_of_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table(console(), ["id", "server", "note"], [[1, "zk1", "seasoned in 15 min"], [2, "zk\x1b[31m", None]])
    assert capsys.readouterr().out.splitlines() == [
        "id  server   note",
        " 1  zk1      seasoned in 15 min",
        " 2  zk?[31m",
    ]
