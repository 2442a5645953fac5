"""What a page shows of a real run is what its journal says: opened in a real browser that runs no script, in light, dark and on paper."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, browser
from tests.debian import Missing
from tests.real.driver import Zkprov, epoch, events_in, live_config, version_of, wait_for
from tests.real.test_remove_node import leader_of
from zkprov.lab.lab import Lab

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("report")]
QUICK = ("--yes", "--samples", "2", "--sample-interval", "0.1", "--step-timeout", "20", "--settle", "0")
WHO = "ci <script>document.title='it ran'</script> & co"
PAPER = {"light": (255, 255, 255), "dark": (17, 22, 28)}


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Without a browser, and no right to install one, a developer's run is skipped; in CI it fails."""
    try:
        with browser(tmp_path_factory.mktemp("browser")) as found:
            yield found
    except Missing as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(problem))


class Story:
    """An upgrade of three that was stopped after its first member and taken up; its journal, read without any of zkprov's code."""

    def __init__(self, zkprov: Zkprov, folder: Path) -> None:
        hosts = list(zkprov.lab.founders)
        self.leaders, self.epochs, self.configs = (
            [leader_of(hosts).id],
            [epoch(hosts[0])],
            [version_of(live_config(*hosts))],
        )
        upgrade = ("upgrade", "--to", "3.9.5", "--no-backup", "--soak", "1s")
        running = zkprov.start(*upgrade, *QUICK, "--as", WHO, "--events", str(folder / "e.jsonl"))
        wait_for(lambda: any(restarted(e) for e in events_in(folder / "e.jsonl")), what="the first member")
        running.signal()
        running.wait().expect(7)
        zkprov("resume").expect(0)
        for former, now in ((self.leaders, leader_of(hosts).id), (self.epochs, epoch(hosts[0]))):
            former.append(now)
        self.configs.append(version_of(live_config(*hosts)))
        with sqlite3.connect(zkprov.journal) as database:
            rows = database.execute("SELECT event FROM event ORDER BY seq").fetchall()
            ((self.run, self.state),) = database.execute("SELECT id, state FROM run").fetchall()
        self.events: list[dict[str, Any]] = [json.loads(row[0]) for row in rows]
        self.steps = range(1, max(e["step"] for e in self.events) + 1)
        self.page = folder / "page.html"
        self.zkprov = zkprov
        zkprov("report", "last", "--html", str(self.page)).expect(0, str(self.page), self.run)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["kind"] == kind]

    def last(self, kind: str, step: int) -> dict[str, Any]:
        return [e for e in self.of(kind) if e["step"] == step][-1]


def restarted(event: dict[str, Any]) -> bool:
    return bool(event["kind"] == "step.done" and event["evidence"]["step"].startswith("restart"))


@pytest.fixture(scope="module")
def story(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("report")
    lab = Lab.create("paper", 3, "3.8.6", also=["3.9.5"], home=home)
    try:
        lab.up()
        yield Story(Zkprov(lab, home / "runs"), home)
    finally:
        lab.down()


def time_of_day(time: str) -> str:
    return time[11:-1]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 2 else f"{seconds:.1f} s"


def test_the_page_shows_what_the_journal_says(story: Story, window: Browser) -> None:
    window.open(story.page)
    assert window.title.startswith(f"upgrade on paper, run {story.run}: {story.state}"), "no script has run"
    verdict = window.one(".verdict").text
    longest = max(e["evidence"]["longest_pause_s"] for e in story.of("step.done"))
    assert (
        story.state == "done"
        and verdict.startswith(f"Done: upgrade on paper, all {len(story.steps)} steps, ")
        and "in 2 attempts" in verdict
    )

    steps = window.rows("Steps")
    assert len(steps) == len(story.steps) >= 4
    for row, number in zip(steps, story.steps, strict=True):
        begun, done = story.last("step.begun", number), story.last("step.done", number)
        assert row[0] == str(number) and row[1].startswith(begun["evidence"]["title"]) and row[2].startswith("done")
        assert done["evidence"]["said"] in row[1]
        assert row[3] == time_of_day(begun["time"]) and row[4] == f"{done['evidence']['took_s']:.2f} s"
        assert row[5] == milliseconds(done["evidence"]["longest_pause_s"])

    pauses = window.rows("Write pauses")
    told = {(time_of_day(e["evidence"]["began"]), milliseconds(e["evidence"]["lasted_s"])) for e in story.of("pause")}
    assert {(row[0], row[1]) for row in pauses} <= told and milliseconds(longest) in {row[1] for row in pauses}

    over_time = window.rows("Leader, epoch and config version")
    for column, seen in ((2, story.leaders), (3, story.epochs), (4, story.configs)):
        assert [over_time[0][column], over_time[-1][column]] == [str(value) for value in seen]
    assert story.epochs[1] == story.epochs[0] + 1 and over_time[0][2] != over_time[-1][2], "it was handed over"

    attempts = window.rows("Attempts")
    assert [row[1] for row in attempts] == [
        "begun",
        f"resumed at step {story.of('run.resumed')[0]['evidence']['head']}",
    ]
    assert (
        attempts[0][2] == WHO
        and [row[5] for row in attempts] == ["stopped", "done"]
        and [row[6] for row in attempts] == ["7", "0"]
    )
    passed = [gate for e in story.of("gates") for gate in e["evidence"]["passed"]]
    gates = window.rows("Gates")
    assert {row[0]: int(row[1]) for row in gates} == {gate: passed.count(gate) for gate in passed} and len(gates) > 10
    assert all(row[3] for row in gates), "each with its evidence"
    assert f"one leader: {story.leaders[1]} (epoch {story.epochs[1]}" in {row[0]: row[3] for row in gates}["one leader"]
    acts = [e["evidence"]["what"] for e in story.of("act")]
    assert [row[3] for row in window.rows("What was done") if row[2] == "act"] == acts


def test_the_drawing_is_of_the_same_times(story: Story, window: Browser) -> None:
    """Each bar where its step was, on one axis whose scale the longest one tells."""
    window.open(story.page)
    attempt = {e["step"]: 1 if e["time"] < story.of("run.resumed")[0]["time"] else 2 for e in story.of("step.done")}
    resumed = [n for n, number in attempt.items() if number == 2]
    assert len(resumed) >= 2
    bars = {n: window.one(f"#bar-2-{n}").rect for n in resumed}
    began = {n: _seconds(story.last("step.begun", n)["time"]) for n in resumed}
    ended = {n: _seconds(story.last("step.done", n)["time"]) for n in resumed}
    one = max(resumed, key=lambda n: ended[n] - began[n])
    scale = bars[one]["width"] / (ended[one] - began[one])
    for n in resumed:
        assert bars[n]["width"] == pytest.approx(scale * (ended[n] - began[n]), abs=2)
        assert bars[n]["x"] - bars[one]["x"] == pytest.approx(scale * (began[n] - began[one]), abs=2)
    shown = [text.text for text in window.all("svg text")]
    assert f"server {story.leaders[0]}" in shown and any(
        t.startswith(f"{min(resumed)} ") or f"{min(resumed)}  " in t for t in shown
    )


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).astimezone(UTC).timestamp()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_light_and_in_dark(story: Story, window: Browser, tmp_path: Path, scheme: str) -> None:
    window.open(story.page, dark=scheme == "dark")
    picture = window.picture(tmp_path / f"{scheme}.png")
    assert picture.width == 1280 and picture.height > 1500 and picture.getpixel((2, 2)) == PAPER[scheme]
    assert window.asked_for == {story.page.as_uri()}, "nothing but the page itself"
    ink = sum(picture.getpixel((2, 2)))
    for selector in ("h1", "td", "svg text"):
        colour = window.one_of(selector).value_of_css_property("fill" if selector.startswith("svg") else "color")
        red, green, blue = (int(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])
        assert abs(red + green + blue - ink) > 300, f"{selector} cannot be read: {colour}"
    # what is drawn has colours of the scheme: the green of a step that is done
    box = window.one("#bar-1-1").rect
    middle = (round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2))
    drawn, meant = picture.getpixel(middle), {"light": (42, 127, 79), "dark": (76, 195, 138)}[scheme]
    # Chromium may round a blended colour by one
    assert all(abs(a - b) <= 2 for a, b in zip(drawn, meant, strict=True)), f"{drawn} instead of {meant}"


def test_on_paper_and_by_ear(story: Story, window: Browser, tmp_path: Path) -> None:
    window.open(story.page, dark=True, media="print")
    assert window.one("body").value_of_css_property("background-color").startswith("rgba(255, 255, 255")
    assert window.printed().startswith(b"%PDF-")
    window.open(story.page)
    heard = window.heard
    (drawing,) = [(name, said) for role, name, said in heard if role == "image"]
    assert drawing[0] == f"Timeline of run {story.run}" and f"Leader: {story.leaders[0]}, then" in drawing[1]
    assert f"{len(story.steps)} of {len(story.steps)} steps are done" in drawing[1]
    tables = [name for role, name, _ in heard if role == "table"]
    assert len(tables) >= 7 and all(tables)
    headings = [name for role, name, _ in heard if role == "heading"]
    assert {"Upgrade: {1,2,3}", "Steps", "Attempts", "Write pauses", "Gates"} <= set(headings)


def test_as_data_it_is_the_same(story: Story) -> None:
    made = story.zkprov("report", story.run[:4], "--output", "json").expect(0).json
    assert made["run"] == story.run and made["state"] == "done" and made["events"] == len(story.events)
    assert [s["tries"][-1]["took_s"] for s in made["steps"]] == [
        story.last("step.done", n)["evidence"]["took_s"] for n in story.steps
    ]
    assert made["planned_by"] == WHO and len(made["attempts"]) == 2
    told = {e["evidence"]["leader"] for kind in ("gates", "sample") for e in story.of(kind)}
    assert {m["leader"] for m in made["moments"]} == told
    text = story.zkprov("report", "last").expect(0, "Done: upgrade on paper", "in 2 attempts").out
    assert f"leader    {story.leaders[0]} → " in text
    assert story.zkprov("history", "--kind", "upgrade", "--since", "1h", "--outcome", "done").expect(0, story.run)
