"""A grant in the journal: what is to be set stands there before it is, and a grant that was cut off is in no other run's way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.unit.facts_made import healthy
from zkprov.model.inventory import Inventory
from zkprov.model.problems import NotHealthy
from zkprov.report.run_reading import run_report
from zkprov.run.finding import Wanted, found
from zkprov.run.granted import Record
from zkprov.run.journal import Journal, State

INVENTORY = Inventory("kafka_zk", "inventory.yml", (), "")
NOTES = ("ACL of /zookeeper/config: world:anyone r becomes world:anyone r, sasl:zkprov rw", "ACL of /zkprov: …")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal.db")) as made:
        yield made


def record(journal: Journal) -> Record:
    health = healthy(3).health()
    live = health.picture.live
    assert live is not None
    return Record(journal, health, live, INVENTORY, who="ann", notes=NOTES)


def test_each_is_written_before_it_is_done(journal: Journal) -> None:
    with record(journal) as grant:
        (run,) = found(journal, Wanted(kind="grant"))
        assert (run.state, run.who, run.plan.notes) == (State.RUNNING, "ann", NOTES)
        for note in NOTES:
            grant.intends(note)
            assert journal.events(run.id)[-1].evidence == {"what": note}
    (run,) = found(journal, Wanted(kind="grant"))
    assert run.state is State.DONE and journal.exit_code(run.id) == 0
    assert [e.kind for e in journal.events(run.id)] == ["run.begun", "act", "act", "run.ended"]
    report = run_report(run, journal.events(run.id), "journal.db")
    assert report.verdict == "Done: grant on kafka_zk." and [h.what for h in report.happenings] == list(NOTES)
    assert "/zkprov/run" not in {a.where for a in report.artifacts}


def test_one_that_fails_says_what_stands(journal: Journal) -> None:
    with pytest.raises(NotHealthy), record(journal) as grant:
        grant.intends(NOTES[0])
        raise NotHealthy("somebody else changed its ACL just now", place="/zookeeper/config")
    (run,) = journal.runs()
    report = run_report(run, journal.events(run.id), "journal.db")
    assert run.state is State.ABORTED and journal.exit_code(run.id) == 4
    assert "somebody else changed" in report.verdict
    assert report.last is not None and report.last.stands == "up to 1 of 2 ACLs are set; none is taken back"


def test_one_that_was_cut_off_is_nothing_to_resume_and_over_with_the_next(journal: Journal) -> None:
    record(journal).__enter__()
    assert journal.unfinished("kafka_zk") == ()
    (cut_off,) = journal.runs()
    assert "made again" in run_report(cut_off, journal.events(cut_off.id), "").verdict
    with suppress(KeyboardInterrupt), record(journal):
        assert journal.named(cut_off.id).state is State.ABORTED
        raise KeyboardInterrupt
    assert {r.state for r in journal.runs()} == {State.ABORTED}
    assert journal.exit_code(next(r.id for r in journal.runs() if r.id != cut_off.id)) == 7
