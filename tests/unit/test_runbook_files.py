"""Runbook files: those that come along are valid; what is wrong in one is told with line, key and remedy, all at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from zkprov.cli.runbook import runbook as command
from zkprov.cli.runbook_schemas import schemas
from zkprov.cli.runbook_verbs import verbs
from zkprov.model.problems import BadInput, BadInputs
from zkprov.runbook.document import Runbook, runbook
from zkprov.runbook.yaml_text import parse

EXAMPLES = sorted((Path(__file__).parents[2] / "runbooks").glob("*.yml"))
NOW = datetime(2026, 11, 29, tzinfo=UTC)


def made(text: str, **given: str) -> Runbook:
    return runbook(parse(text, "r.yml"), verbs(), NOW, given)


def wrong(text: str, **given: str) -> str:
    with pytest.raises(BadInput) as caught:
        made(text, **given)
    assert caught.value.exit_code == 2 and caught.value.remedy
    return str(caught.value)


def of_steps(*lines: str) -> str:
    return "runbook: r\nsteps:\n" + "\n".join(f"  {line}" for line in lines)


def in_window(*lines: str, step: str = "- check: {}") -> str:
    window = "\n".join(f"  {line}" for line in lines)
    return f"runbook: r\nwindow:\n{window}\nsteps:\n  {step}\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_those_that_come_along_are_valid_and_named_as_their_files(path: Path) -> None:
    book = made(path.read_text())
    assert book.name == path.stem and book.window is not None
    assert path.read_text().startswith("# yaml-language-server: $schema=../docs/schema/runbook.json\n")


def test_there_are_five_of_them() -> None:
    assert len(EXAMPLES) == 5


def test_each_verb_and_its_options_are_in_the_schema() -> None:
    step = json.loads(schemas()["runbook"])["$defs"]["step"]
    assert {
        "check",
        "restart",
        "upgrade",
        "add",
        "remove",
        "replace",
        "plan",
        "apply",
        "backup",
        "wait",
        "approve",
        "probe",
        "notify",
    } <= set(step["properties"])
    assert {"settle", "no-handover", "only", "samples"} <= set(step["properties"]["restart"]["properties"])
    assert not {"yes", "output", "inventory", "out"} & set(step["properties"]["restart"]["properties"])


def test_values_become_words_of_the_command_line_whatever_is_in_them() -> None:
    book = made(
        "runbook: r\nparameters: {hosts: 2s, on: true}\n"
        + of_steps(
            "- restart: {only: [zk1, '--yes'], settle: '{{ hosts }}', no-handover: '{{ on }}', reason: 'a b; $(c)'}",
            "- name: two\n    add: {hosts: [zk4, -x], role: observer}",
        ).removeprefix("runbook: r\n")
    )
    restart, add = book.steps
    assert verbs()["restart"].words(restart.values) == [
        "--only=zk1",
        "--only=--yes",
        "--no-handover",
        "--settle=2s",
        "--reason=a b; $(c)",
    ]
    assert verbs()["add"].words(add.values)[-3:] == ["--", "zk4", "-x"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "r.yml: empty"),
        ("- a", "r.yml:1: not a mapping"),
        ("runbook: r\nsteps: [\n", "r.yml:3: not YAML"),
        ("runbook: r\nrunbook: s\n", "r.yml:2: `runbook` twice"),
        ("runbook: r\n---\nrunbook: s\n", "more than one document"),
        ("runbook: &a [*a]\n", "r.yml:1: an anchor"),
        ("runbook: !!python/object/apply:os.system [true]\n", "a tag, tag:yaml.org,2002:python"),
        ("runbook: " + "[" * 100 + "]" * 100, "levels deep"),
        ("runbook: r\n", "r.yml:1: steps: a runbook has a list of steps"),
        ("runbook: R r\nsteps: [{check: {}}]", "r.yml:1: runbook: no name"),
        ("runbook: r\nformat: 9\nsteps: [{check: {}}]", "r.yml:2: format: of format 9; this zkprov reads up to 1"),
        ("runbook: r\nwindows: {}\nsteps: [{check: {}}]", "r.yml:2: windows: unknown key `windows`"),
        ("runbook: r\nfreeze: [{from: 2026-12-01}]\nsteps: [{check: {}}]", "without a window"),
        (of_steps("- checks: {}"), "r.yml:3: steps[1].checks: unknown key"),
        (of_steps("- {check: {}, restart: {}}"), "a step has one verb; it has check, restart"),
        (of_steps("- restart: [zk1]"), "r.yml:3: steps[1].restart: not a mapping"),
        (of_steps("- restart: {setle: 3}"), "unknown option `setle`"),
        (of_steps("- restart: {samples: many}"), "'many' is not a valid"),
        (of_steps("- restart: {no-handover: 3}"), "true or false"),
        (of_steps("- restart: {reason: [a, b]}"), "one value, not a list"),
        (of_steps("- restart: {only: []}"), "an empty list"),
        (of_steps('- restart: {reason: "a\\nb"}'), "more than one line"),
        (of_steps("- restart: {yes: true}"), "unknown option `yes`"),
        (of_steps("- upgrade: {}"), "upgrade lacks `to`"),
        (of_steps("- add: {role: king, hosts: zk4}"), "not one of"),
        (of_steps("- restart: {settle: '{{ nothing }}'}"), "there is no parameter 'nothing'"),
        (of_steps("- restart: {settle: '{% if x %}'}"), "nothing else is a template here"),
        (of_steps("- apply: {plan: x}"), "'x' is no earlier step that plans"),
        (of_steps("- plan: {kind: mend}"), "not a kind of plan"),
        (of_steps("- plan: {kind: upgrade}"), "upgrade lacks `to`"),
        (of_steps("- probe: {command: rm -rf /}"), "a list of words: no shell is in between"),
        (of_steps("- notify: {}"), "either a command or a webhook"),
        (of_steps("- notify: {webhook: 'file:///etc/passwd'}"), "not a URL"),
        (of_steps("- wait: {for: forever}"), "not a duration: 'forever'"),
        (of_steps("- {check: {}, on_failure: ignore}"), "stop (the default) or continue"),
        (of_steps("- {check: {}, takes: long}"), "r.yml:3: steps[1].takes: not understood: 'long'"),
        (of_steps("- {check: {}, when: {step: later, outcome: done}}"), "'later' is no earlier step"),
        (of_steps("- check: {}", "- {restart: {}, when: {step: check, outcome: fine}}"), "not an outcome"),
        (of_steps("- check: {}", "- {restart: {}, when: {step: check}}"), "asks for an outcome or an exit"),
        (of_steps("- check: {}", "- check: {}"), "r.yml:4: steps[2].name: a second step named 'check'"),
        (in_window("time_zone: Mars/Olympus", "start: 2026-12-01T01:00", "length: 1h"), "r.yml:3: window.time_zone"),
        (in_window("time_zone: ../../etc/passwd", "start: 2026-12-01T01:00", "length: 1h"), "window.time_zone"),
        (in_window("time_zone: UTC", "start: 2026-12-01T01:00Z", "length: 1h"), "window.start"),
        (in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 0"), "a window of no length"),
        (in_window("time_zone: UTC", "length: 1h"), "lacks start"),
        (in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 1h", "recurrence: every day"), "not a recurrence"),
        (in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 2h", "recurrence: FREQ=HOURLY"), "windows overlap"),
        (in_window("time_zone: UTC", "start: 2026-11-01T01:00", "length: 1h"), "the window never opens: it does not open"),
        (
            in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 1m", step="- {check: {}, takes: 2m}"),
            "steps[1].takes: takes 2 min, and a window is 60 s long",
        ),
        (
            in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 1m", step="- {wait: {for: 2m}}"),
            "steps[1].wait: takes 2 min, and a window is 60 s long",
        ),
        (
            in_window("time_zone: UTC", "start: 2026-12-01T01:00", "length: 1h") + "freeze: [{from: 2026-11-30, to: 2026-12-02}]\n",
            "it is frozen whenever it opens",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    assert told in wrong(text)


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("start: 0001-01-02T01:00", "not between the years 1970 and 9998: 1"),
        ("start: 9999-12-31T23:00", "not between the years 1970 and 9998: 9999"),
        (
            "start: 2026-01-01T01:00\nfreeze: [{from: 2027-01-01, to: 9999-12-31}]",
            "freeze[1].to: not between the years",
        ),
        (
            "start: 2026-01-01T01:00\nfreeze: [{from: 0001-01-01, to: 2027-01-01}]",
            "freeze[1].from: not between the years",
        ),
    ],
)
def test_dates_that_not_every_zone_can_tell(window: str, told: str) -> None:
    first, _, rest = window.partition("\n")
    text = f"runbook: r\nwindow: {{time_zone: Europe/Berlin, length: 1h, recurrence: FREQ=DAILY, {first}}}\n{rest}\nsteps: [check: {{}}]"
    with pytest.raises(BadInput) as caught:
        runbook(parse(text, "r.yml"), verbs(), NOW)
    assert told in str(caught.value)


def test_parameters_in_who_is_told() -> None:
    text = "runbook: r\nparameters: {to: ops}\nnotify: {command: [mail-it, '{{ to }}']}\nsteps: [check: {}]"
    assert made(text).notify.command == ("mail-it", "ops")  # type: ignore[union-attr]
    assert "there is no parameter 'two'" in wrong(text.replace("{{ to }}", "{{ two }}"))


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadInputs) as caught:
        made("runbook: R!\nformat: x\nsteps:\n  - checks: {}\n  - wait: {}\n")
    assert len(caught.value.each) == 4


def test_what_yaml_1_1_takes_for_something_else_is_text() -> None:
    value = parse("a: no\nb: 1:30\nc: 2026-12-01\nd: 012\ne: '3'\nf: 3\ng: 1.5\nh: true\ni:\n", "x").value
    assert value == {
        "a": "no",
        "b": "1:30",
        "c": "2026-12-01",
        "d": "012",
        "e": "3",
        "f": 3,
        "g": 1.5,
        "h": True,
        "i": None,
    }


def test_parameters_that_are_given_and_those_that_are_not_there() -> None:
    text = "runbook: r\nparameters: {settle: 30s}\nsteps: [{restart: {settle: '{{ settle }}'}}]\n"
    assert made(text, settle="2s").steps[0].values == {"settle": "2s"}
    assert "there is no parameter 'other' to set" in wrong(text, other="1")
    assert "not a duration" in wrong(text, settle="soon")


def test_the_command_line_tells_every_file(tmp_path: Path) -> None:
    bad, binary, huge = tmp_path / "bad.yml", tmp_path / "binary.yml", tmp_path / "huge.yml"
    bad.write_text("runbook: r\nsteps: {}\n")
    binary.write_bytes(b"\xff\xfe\x00" * 100)
    huge.write_text("a: " + "x" * 300_000)
    done = CliRunner().invoke(
        command, ["validate", str(EXAMPLES[0]), str(bad), str(binary), str(huge), str(tmp_path / "none")]
    )
    assert done.exit_code == 2 and f"{EXAMPLES[0]}: {EXAMPLES[0].stem}: " in done.stdout
    said = done.stderr.replace("\n", " ")
    assert all(
        word in said for word in ("a runbook has a list of steps", "not UTF-8", "more than 256 kB", "No such file")
    )


def test_what_is_scheduled_is_read_by_systemd_and_cron_as_it_was_meant(tmp_path: Path) -> None:
    from zkprov.runbook.schedule import cron, systemd

    units = systemd("r-kafka", ["/opt/z k/zkprov", "runbook", "run", "/etc/100%.yml"], "/srv/$x", "ops")
    service = units["zkprov-r-kafka.service"]
    assert 'ExecStart="/opt/z k/zkprov" runbook run /etc/100%%.yml' in service and "WorkingDirectory=/srv/$x" in service
    # whatever is no 0 needs somebody, and is a failed unit
    assert "SuccessExitStatus" not in service and "OnCalendar=*:0/5" in units["zkprov-r-kafka.timer"]
    assert (
        cron(["zkprov", "run", "a 100%.yml"], "/srv", "ops") == "*/5 * * * * ops cd /srv && zkprov run 'a 100\\%.yml'\n"
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_what_the_schema_allows(path: Path) -> None:
    """By a validator that shares nothing with ours; what editors use is one as well."""
    document = json.loads(schemas()["runbook"])
    value = parse(path.read_text(), path.name).value
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.validate(value, document)
    for broken in (
        {**value, "windows": {}},
        {**value, "steps": [{"check": {}, "wait": {"for": "1s"}}]},
        {**value, "steps": [{"restart": {"setle": 1}}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, document)
