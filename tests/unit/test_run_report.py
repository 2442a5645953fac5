"""From events to a report: what is told of a run is what its journal holds, however it ended, whoever wrote it, and whatever it says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plans_made import plan
from tests.unit.runs_made import Told, whole
from zkprov.plan.steps import Plan
from zkprov.report.documents import as_json
from zkprov.report.run_axis import Axis
from zkprov.report.run_document import Ending, RunReport, Tone
from zkprov.report.run_reader import at
from zkprov.report.run_reading import run_report
from zkprov.report.run_text import markdown
from zkprov.report.schemas import schema
from zkprov.run.events import Event
from zkprov.run.journal import State


def report(told: Told, state: State = State.DONE, **changed: Any) -> RunReport:
    return run_report(told.record(state, **changed), told.events, "journal.db")


class TestWhole:
    def test_each_step_has_what_its_event_said(self) -> None:
        made = report(whole())
        assert [s.ending for s in made.steps] == [Ending.DONE] * 4
        assert [t.took_s for s in made.steps for t in s.tries] == [1.25] * 4
        assert [t.pause_s for s in made.steps for t in s.tries] == [0.02, 0.02, 0.483, 0.02]
        assert [s.title for s in made.steps] == [s.title for s in plan().steps]
        assert (made.done, made.tone, made.pause_s) == (4, Tone.GOOD, 0.483)
        assert "all 4 steps" in made.verdict and "483 ms" in made.verdict

    def test_the_leader_the_epoch_and_the_config_over_time(self) -> None:
        told = whole()
        made = report(told)
        looks = [e.time for e in told.events if e.kind == "gates"]
        assert [(m.leader, m.epoch, m.config) for m in made.moments] == [(3, 7, "100000000"), (1, 8, "200000003")]
        assert made.moments_told
        assert (made.moments[0].until, made.moments[1].time, made.moments[1].until) == (looks[1], looks[2], looks[3])

    def test_gates_with_what_they_said_last(self) -> None:
        made = report(whole())
        gate = next(g for g in made.gates if g.gate == "one leader")
        assert (gate.passed, gate.held_up, gate.said) == (4, 0, "one leader: 3 (epoch 7, followed by 1, 2)")

    def test_a_gate_that_held_it_up(self) -> None:
        told = Told().begin().step_begun(1)
        told.say("gate", gate="synced", verdict="fail", summary="4 is behind", evidence=["4: 656"]).gates().step_done()
        made = report(told)
        (stop,) = made.stops
        assert (stop.step, stop.gate, stop.verdict, stop.summary, stop.evidence) == (
            1, "synced", "fail", "4 is behind", ["4: 656"],
        )  # fmt: skip
        assert next(g for g in made.gates if g.gate == "synced").held_up == 1

    def test_who_and_why(self) -> None:
        told = whole(Told(of=plan(options=msgspec.structs.replace(plan().options, reason="why", overrides={"R4": ""}))))
        made = report(told)
        assert (made.planned_by, made.carried_out_by) == ("you@here", ["you@here"])
        assert (made.reason, made.overrides) == ("why", {"R4": ""})

    def test_what_it_left(self) -> None:
        told = Told().begin().step_begun(1).say("backup", name="2026-11-24-4f1c00", hosts={"zk1": "config"}, size=1)
        told.say("undo", what="zk4: stopped; its disk is at /srv/set-aside")
        left = {(a.what, a.where) for a in report(told).artifacts}
        assert ("a backup", "2026-11-24-4f1c00") in left and any("/srv/set-aside" in where for _, where in left)
        assert any(where == "journal.db" for _, where in left)

    def test_tasks_of_plays_are_counted_and_those_that_failed_told(self) -> None:
        told = Told().begin().step_begun(1)
        for outcome in ("ok", "ok", "failed"):
            told.say("play", host="zk4", play="start", task="start it", outcome=outcome, changed=True)
        made = report(told)
        assert made.steps[0].tasks == 2
        assert [h.what for h in made.happenings] == ["zk4: start, start it: failed"]


class TestAttempts:
    def test_one_that_was_killed_and_taken_up(self) -> None:
        told = Told().begin().step_begun(1).step_done().step_begun(2)
        cut_off_at = told.events[-1].time
        told.resume(2).step_begun(2).step_done().ended()
        made = report(told)
        assert [(a.kind, a.who, a.ending, a.from_step) for a in made.attempts] == [
            ("begun", "you@here", "cut off", 0),
            ("resumed", "other@there", "done", 2),
        ]
        first, second = made.steps[1].tries
        assert (first.ending, first.ended, first.attempt) == (Ending.CUT_OFF, cut_off_at, 1)
        assert (second.ending, second.attempt, made.steps[1].ending) == (Ending.DONE, 2, Ending.DONE)
        assert made.took_s == pytest.approx(sum(a.took_s for a in made.attempts))
        assert made.took_s < 60, "the time between attempts is none of its own"

    def test_a_resume_does_not_put_the_config_back(self) -> None:
        told = Told().begin().step_begun(1).gates(config="200000003").resume(1).step_begun(1).gates(config="200000003")
        assert [m.config for m in report(told).moments] == ["100000000", "200000003"]

    def test_undone(self) -> None:
        told = Told().begin().step_begun(1).say("step.failed", 2.0, step="start 4", why="zk4: no room", gate="")
        told.ended(State.UNDONE, 4, "Stopped at step 1.", undone="4 stopped", next=["zkprov status"])
        made = report(told, State.UNDONE, head=1)
        assert (made.steps[0].ending, made.steps[0].said, made.tone) == (Ending.FAILED, "zk4: no room", Tone.WARNING)
        assert made.last is not None and (made.last.exit_code, made.last.undone) == (4, "4 stopped")
        assert made.verdict.startswith("Not done")

    def test_given_up(self) -> None:
        told = Told().begin().step_begun(1)
        told.step = 0
        told.say("run.aborting", 9.0, head=1, by="third")
        # a release that had no event for the end of it
        made = report(told, State.ABORTED, head=1)
        assert [(a.kind, a.who) for a in made.attempts] == [("begun", "you@here"), ("abort", "third")]
        assert "Given up at step 1" in made.verdict and made.carried_out_by == ["you@here", "third"]

    def test_a_plan_that_was_undone_and_is_applied_again(self) -> None:
        told = Told().begin().step_begun(1).say("step.failed", step="", why="x", gate="").ended(State.UNDONE, 4, "x")
        whole(told)
        made = report(told)
        assert [a.ending for a in made.attempts] == ["undone", "done"] and made.done == 4

    def test_one_that_goes_on_or_was_killed(self) -> None:
        told = Told().begin().step_begun(1)
        made = report(told, State.RUNNING, head=1, ended=None)
        assert (made.steps[0].ending, made.attempts[0].ending, made.tone) == (Ending.IN_HAND, "running", Tone.OPEN)
        assert report(told, State.STOPPED, head=1).steps[0].ending is Ending.CUT_OFF

    def test_one_of_which_nothing_was_recorded(self) -> None:
        made = run_report(Told().record(State.RUNNING, head=1), (), "journal.db")
        assert made.attempts == [] and {s.ending for s in made.steps} == {Ending.NOT_REACHED}


class TestPauses:
    def test_one_that_lasts_beyond_its_step_is_one(self) -> None:
        told = Told().begin().step_begun(1).pause(0.4, ago_s=0.4)
        told.step_done(took_s=1.0).pause(1.8, ago_s=1.401)
        (pause,) = report(told).pauses
        assert pause.lasted_s == 1.8

    def test_without_a_canary_none_was_measured(self) -> None:
        made = report(Told().begin().step_begun(1).step_done(pause_s=0.0))
        assert made.pause_s is None and made.steps[0].tries[0].pause_s is None


class TestOlder:
    """A journal of a release whose events did not tell of looks and moments."""

    def test_it_is_told_as_far_as_it_goes(self) -> None:
        made = report(whole(old=True))
        assert made.done == 4 and made.pause_s == 0.483 and made.pauses == []
        assert not made.moments_told and made.moments[0].leader == 3
        assert {g.gate: g.said for g in made.gates} == {"one leader": "", "synced": ""}

    def test_the_config_is_the_one_of_its_acts(self) -> None:
        told = Told().begin().step_begun(1).say("act", what="reconfig", from_config="200000003")
        assert [m.config for m in report(told).moments] == ["100000000", "200000003"]


class TestAxis:
    def test_what_lies_between_attempts_is_shortened(self) -> None:
        axis = Axis([(0.0, 10.0), (86_410.0, 86_420.0)])
        (gap,) = axis.gaps
        assert axis.length == 21.0 and (gap.begin, gap.end, gap.lasted) == (10.0, 11.0, "24 h 0 min")
        assert [axis.place(t) for t in (-5.0, 0.0, 10.0, 500.0, 86_410.0, 86_415.0, 1e9)] == [0, 0, 10, 10, 11, 16, 21]

    def test_a_short_break_is_shown_as_long_as_it_was(self) -> None:
        axis = Axis([(0.0, 10.0), (10.5, 20.0)])
        assert axis.length == 20.0 and not axis.gaps

    @given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e6)), min_size=1, max_size=8))
    def test_places_keep_their_order_and_ticks_are_few(self, given_spans: list[tuple[float, float]]) -> None:
        spans = [(begin, begin + long) for begin, long in given_spans]
        axis = Axis(spans)
        places = [axis.place(t) for t in sorted(t for span in spans for t in span)]
        assert places == sorted(places) and places[0] >= 0 and places[-1] <= axis.length * (1 + 1e-9)
        ticks = axis.ticks()
        assert 1 <= len(ticks) <= 25 and all(-1e-6 <= t.place <= axis.length * (1 + 1e-9) for t in ticks)

    def test_ticks_are_times_of_day(self) -> None:
        assert [t.label for t in Axis([(at("2026-11-28T22:00:00.400Z"), at("2026-11-28T22:00:04.000Z"))]).ticks()] == [
            *("22:00:00.5", "22:00:01.0", "22:00:01.5", "22:00:02.0", "22:00:02.5", "22:00:03.0", "22:00:03.5"),
            "22:00:04.0",
        ]


KINDS = (
    *("run.begun", "run.resumed", "run.aborting", "run.stopped", "run.ended", "step.begun", "step.done", "step.failed"),
    *("gate", "gates", "sample", "pause", "act", "answer", "undo", "mend", "hook", "backup", "play", "turned", "new"),
)
KEYS = (
    *("who", "by", "head", "base", "why", "state", "exit_code", "headline", "evidence", "next", "said", "took_s"),
    *("longest_pause_s", "gate", "passed", "leader", "epoch", "config", "began", "lasted_s", "what", "from_config"),
    *("outcome", "summary", "verdict", "name"),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=8), st.lists(st.text(max_size=4), max_size=3),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2), st.just("2026-11-28T22:00:00.000Z"),
)  # fmt: skip
EVENTS = st.builds(
    Event,
    time=st.sampled_from(["2026-11-28T22:00:00.000Z", "2026-11-28T22:00:01.000Z", "2026-11-29T00:00:00.000Z", "soon"]),
    run=st.just("4f1c00"),
    step=st.integers(0, 6),
    kind=st.sampled_from(KINDS),
    evidence=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
)


@given(st.lists(EVENTS, max_size=12), st.sampled_from(State))
def test_whatever_the_events_are_there_is_a_report(events: list[Event], state: State) -> None:
    """Those of a newer release, or of a damaged file: nothing of them ends in a traceback."""
    made = run_report(Told().record(state), events, "journal.db")
    decoded = msgspec.json.decode(as_json(made), type=RunReport)
    assert len(decoded.steps) == 4 and decoded.events == len(events) and markdown(made)


def test_what_is_printed_is_what_the_schema_describes() -> None:
    printed = json.loads(as_json(report(whole())))
    described = json.loads(schema("report"))["$defs"]["RunReport"]
    assert printed["format"] == 1 and printed.keys() == described["properties"].keys()
    assert set(described["required"]) <= printed.keys()


def test_a_plan_without_steps() -> None:
    empty: Plan = plan(steps=())
    told = Told(of=empty).begin().ended(headline="nothing to do")
    assert report(told).steps == [] and markdown(report(told))
