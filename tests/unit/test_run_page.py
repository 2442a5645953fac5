"""`zkprov report`: the page stands alone, can be heard and read without scripts, and nothing that events say is more than text in it."""

from __future__ import annotations

import itertools
import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from click.testing import CliRunner, Result

from tests.unit.plans_made import plan
from tests.unit.runs_made import Told, whole
from zkprov.cli import zkprov
from zkprov.model.problems import BadInput
from zkprov.plan.steps import Options, Step, StepKind
from zkprov.report.run_html import MOST_ROWS, page
from zkprov.report.run_reading import run_report
from zkprov.run.journal import Journal, Run, State

EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)>\'" style="&amp;]]>--><!-- $x^2$ {{ 7*7 }} \u202e\x1b[31m\x00\nhttp://evil.example/'
LIMIT_BYTES = 2_000_000
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Elements in order with their attributes; fails on one that is closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def made(told: Told, state: State = State.DONE, **changed: object) -> str:
    return page(run_report(told.record(state, **changed), told.events, "journal.db"))


def hostile() -> Told:
    options = Options(overrides={"R4": EVIL}, reason=EVIL)
    told = (
        Told(of=plan(ensemble=EVIL, made_by=EVIL, notes=(EVIL,), options=options, zkprov=EVIL))
        .begin(EVIL)
        .step_begun(1)
    )
    told.say("gate", gate=EVIL, verdict="fail", summary=EVIL, evidence=[EVIL], leader=None, epoch=None, config=EVIL)
    told.say("gates", passed=[EVIL], said={EVIL: EVIL}, leader=1, epoch=1, config=EVIL)
    told.say("act", what=EVIL).say("answer", answer=EVIL, why=EVIL).say("undo", what=f"its disk is at {EVIL}")
    told.say("backup", name=EVIL).say("hook", hook=EVIL, host=EVIL).pause(0.2).step_done(EVIL)
    return told.ended(State.STOPPED, 7, EVIL, evidence=[EVIL], undone=EVIL, stands=EVIL, next=[EVIL])


class TestPage:
    def test_it_says_what_the_report_says(self) -> None:
        shown = Page(made(whole())).text
        for word in ("all 4 steps", "start 4 as observer", "483 ms", "200000003", "you@here", "journal.db"):
            assert word in shown, word

    def test_it_stands_alone(self) -> None:
        text = made(whole())
        found = Page(text)
        assert not {tag for tag, _ in found.elements} & {
            "script",
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "form",
            "base",
        }
        for tag, attributes in found.elements:
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name in ("href", "xlink:href", "src"):
                    assert value and value.startswith("#"), (tag, name, value)
        assert all(place.startswith("#") for place in re.findall(r"url\(([^)]*)", text))
        assert "@import" not in text
        policy = next(a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
        assert policy and policy.startswith("default-src 'none'")

    def test_nothing_that_is_said_is_more_than_text(self) -> None:
        text = made(hostile(), State.STOPPED, ensemble=EVIL, kind="add", inventory=EVIL)
        found = Page(text)
        assert not {tag for tag, _ in found.elements} & {"script", "img"}
        assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
        assert (
            found.text.count("<script>alert(1)</script>") > 15 and "{{ 7*7 }}" in found.text and "49" not in found.text
        )
        assert not set(text) & {"\u202e", "\x1b", "\x00"}

    def test_it_can_be_heard(self) -> None:
        found = Page(made(hostile(), State.STOPPED))
        headings = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
        assert headings[0] == 1 and headings.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
        (svg,) = found.all("svg")
        assert (
            svg["role"] == "img"
            and svg["aria-labelledby"] == "timeline-title"
            and svg["aria-describedby"] == "timeline-desc"
        )
        assert {"timeline-title", "timeline-desc"} <= {
            a.get("id") for tag, a in found.elements if tag in ("title", "desc")
        }
        assert all(a.get("scope") in ("col", "row") for a in found.all("th"))
        assert len(found.all("caption")) == len(found.all("table")) > 4
        assert found.all("html")[0]["lang"] == "en" and len(found.all("main")) == 1
        ids = [a["id"] for _, a in found.elements if "id" in a]
        assert len(ids) == len(set(ids))

    def test_light_and_dark_are_the_page_s_own(self) -> None:
        text = made(whole())
        svg = text[text.index("<svg") : text.index("</svg>")]
        used = set(re.findall(r"var\(--([\w-]+)\)", svg))
        assert {"ink", "good", "lane", "pause"} <= used
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"url\(#\w+\)|href=\"#\w+\"", "", svg))
        style = text.partition("<style>")[2].partition("</style>")[0]
        light, dark, printed = (style.partition(begin)[2] for begin in (":root {", "scheme: dark)", "@media print"))
        for scheme in (light, dark, printed):
            assert used <= set(re.findall(r"--([\w-]+):", scheme.partition("}")[0]))

    def test_the_drawing_is_well_formed_and_the_same_each_time(self) -> None:
        text = made(hostile(), State.STOPPED)
        ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
        assert made(hostile(), State.STOPPED) == text

    def test_a_run_of_which_nothing_is_known(self) -> None:
        told = Told()
        shown = Page(page(run_report(told.record(State.RUNNING, head=1), (), "j"))).text
        assert "None was measured" in shown and "not reached" in shown

    def test_of_very_much_it_shows_both_ends(self) -> None:
        steps = tuple(
            Step(n, StepKind.RESTART, n, f"zk{n}", plan().base, plan().base, 1, ()) for n in range(1, MOST_ROWS + 201)
        )
        told = Told(of=plan(steps=steps)).begin()
        for number in range(1, len(steps) + 1):
            told.step_begun(number).gates(leader=number % 5, epoch=number)
            for _ in range(14):
                told.say("act", 0.01, what=f"act of {number}: " + 60 * "x").pause(0.1 + number / 1e4, ago_s=0.0)
            told.step_done("serves again, in sync; 5 servers agree, memory and disk")
        told.ended()
        assert len(told.events) > 10_000
        text = made(told, head=len(steps))
        assert len(text.encode()) < LIMIT_BYTES
        shown = Page(text).text
        assert "200 more steps" in shown and "8000 more of them" in shown
        assert "restart 1 " in shown and f"restart {len(steps)} " in shown


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """Three runs: `4f1c00`, done; `4f2d11`, undone; `9a0b22`, of another ensemble, stopped by a rule."""
    path = tmp_path / "journal.db"
    written = Journal(path)
    for number, (ident, ensemble, state) in enumerate(
        [("4f1c00", "kafka", State.DONE), ("4f2d11", "kafka", State.UNDONE), ("9a0b22", "solr", State.STOPPED)]
    ):
        kind = "add" if number != 1 else "restart"
        told = whole(Told(ident, plan(ident, ensemble, kind=kind)))
        if state is State.STOPPED:
            told.events.pop()
            told.ended(state, 3, "Stopped: two leaders.")
        written.begin(told.plan, "hosts.yml", "you@here", 86_400.0 * (number + 1))
        for event in told.events:
            written.record(event)
        written.finish(ident, state, 86_400.0 * (number + 1) + 9)
    written.close()
    yield path


def ran(journal: Path, *arguments: str) -> Result:
    return CliRunner().invoke(zkprov, ["--journal", str(journal), *arguments])


def refused(done: Result, *words: str) -> None:
    wrong = done.exception
    assert isinstance(wrong, BadInput) and wrong.exit_code == 2, done
    told = f"{wrong} {wrong.remedy}"
    assert all(word in told for word in words), told


class TestWhich:
    def test_by_its_id_its_beginning_or_the_last(self, journal: Path) -> None:
        for name, ident in (("4f1c00", "4f1c00"), ("9", "9a0b22"), ("4f2", "4f2d11"), ("last", "9a0b22")):
            done = ran(journal, "report", name, "--output", "json")
            assert json.loads(done.output)["run"] == ident, name
        assert json.loads(ran(journal, "report", "last", "-E", "kafka", "--output", "json").output)["run"] == "4f2d11"

    def test_more_than_one_none_and_nothing_at_all(self, journal: Path, tmp_path: Path) -> None:
        refused(ran(journal, "report", "4f"), "4f2d11, 4f1c00", "more of its id")
        refused(ran(journal, "report", "4f1c00%"), "no run", "zkprov history")
        refused(ran(journal, "report", ""), "no run", "zkprov history")
        refused(ran(journal, "report", "9a", "-E", "kafka"), "no run")
        refused(ran(tmp_path / "none.db", "report", "last"), "no run is recorded", "zkprov history")
        assert not (tmp_path / "none.db").exists()

    def test_the_whole_id_is_one_run_though_it_begins_another(self, journal: Path) -> None:
        written = Journal(journal)
        written.begin(plan("4f1c001"), "hosts.yml", "you", 9e9)
        assert written.named("4f1c00").id == "4f1c00"

    def test_history_of_one_goes_by_the_same(self, journal: Path) -> None:
        whole_id, beginning = ran(journal, "history", "4f1c00").output, ran(journal, "history", "4f1").output
        assert whole_id == beginning and "step.done" in whole_id
        refused(ran(journal, "history", "4f1", "--limit", "3"), "of the list of runs")


class TestOutputs:
    def test_one_at_a_time_on_stdout(self, journal: Path, tmp_path: Path) -> None:
        refused(ran(journal, "report", "last", "--md", "--output", "json"), "one of the two")
        assert ran(journal, "report", "4f1", "--md").output.startswith("### add on kafka, run 4f1c00")
        both = ran(journal, "report", "4f1", "--output", "json", "--html", str(tmp_path / "r.html"))
        assert json.loads(both.stdout)["run"] == "4f1c00" and "r.html" in both.stderr
        assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")

    def test_by_default_a_few_lines(self, journal: Path) -> None:
        done = ran(journal, "report", "4f1")
        assert done.exit_code == 0 and len(done.output.splitlines()) < 24
        assert max(map(len, done.output.splitlines())) <= 100

    @pytest.mark.parametrize("place", ["missing/r.html", "journal.db/r.html", "."])
    def test_a_place_that_cannot_be_written(self, journal: Path, tmp_path: Path, place: str) -> None:
        before = sorted(tmp_path.rglob("*"))
        refused(ran(journal, "report", "last", "--html", str(tmp_path / place)), "cannot be written", "--html")
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_full_disk_leaves_the_page_that_was_there(self, journal: Path, tmp_path: Path) -> None:
        """The limit on the size of files stands for it: the write is refused in the same way. SQLite itself needs 32 kB of it."""
        written = Journal(journal)
        for event in Told().say("act", what="x" * 200).events * 300:
            written.record(event)
        written.close()
        there = tmp_path / "r.html"
        there.write_text("before")
        command = [sys.executable, "-m", "zkprov", "--journal", str(journal), "report", "4f1c00", "--html", str(there)]

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

        done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limited)
        assert done.returncode == 2 and "page cannot be written" in done.stderr and "Traceback" not in done.stderr, done
        assert there.read_text() == "before"
        assert [p.name for p in tmp_path.iterdir() if "r.html" in p.name] == ["r.html"]

    def test_without_what_draws_it(self, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        refused(ran(journal, "report", "last", "--html", str(tmp_path / "r.html")), "pip install 'zkprov[report]'")
        assert not (tmp_path / "r.html").exists()
        assert ran(journal, "report", "last", "--md").exit_code == 0


class TestHistory:
    def ids(self, journal: Path, *arguments: str) -> list[str]:
        done = ran(journal, "history", "--output", "json", *arguments)
        assert done.exit_code == 0, done
        return [r.id for r in msgspec.json.decode(done.output, type=list[Run])]

    def test_it_finds(self, journal: Path) -> None:
        assert self.ids(journal) == ["9a0b22", "4f2d11", "4f1c00"]
        assert self.ids(journal, "--kind", "restart") == ["4f2d11"]
        assert self.ids(journal, "--verb", "add-node") == ["9a0b22", "4f1c00"]
        assert self.ids(journal, "--outcome", "undone") == ["4f2d11"]
        assert self.ids(journal, "--outcome", "running") == []
        assert self.ids(journal, "--outcome", "refused") == ["9a0b22"]
        assert self.ids(journal, "--limit", "2") == ["9a0b22", "4f2d11"]
        assert self.ids(journal, "-E", "kafka", "--kind", "add", "--limit", "1") == ["4f1c00"]

    def test_by_time(self, journal: Path) -> None:
        assert self.ids(journal, "--since", "1970-01-03") == ["9a0b22", "4f2d11"]
        assert self.ids(journal, "--until", "1970-01-03") == ["4f2d11", "4f1c00"], "the whole day"
        assert self.ids(journal, "--until", "1970-01-03T00:00") == ["4f1c00"]
        assert self.ids(journal, "--since", "1970-01-03T01:00+01:00", "--until", "1970-01-03T00:00:01Z") == ["4f2d11"]
        assert self.ids(journal, "--since", "7d") == [] and len(self.ids(journal, "--until", "7d")) == 3

    @pytest.mark.parametrize(
        "wrong",
        [
            ("--since", "yesterday"), ("--since", "7x"), ("--until", ""), ("--kind", "dance"), ("--outcome", "well"),
            ("--limit", "0"), ("--until", "9999-12-31"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_meant(self, journal: Path, wrong: tuple[str, str]) -> None:
        done = ran(journal, "history", *wrong)
        assert done.exit_code == 2 and wrong[0] in done.output, done.output
