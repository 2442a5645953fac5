"""A runbook as values: what its file says, checked whole before anything is done. Each error has file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from zkprov.model.durations import told
from zkprov.model.problems import BadInput, BadInputs
from zkprov.runbook.readings import a_date, duration, local_time, zone
from zkprov.runbook.verbs import Kind, Value, Verb
from zkprov.runbook.windows import HORIZON, Freeze, Window, begins, open_from, overlap, rule_of
from zkprov.runbook.yaml_text import Text

FORMAT = 1
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
MOST_STEPS = 200
OUTCOMES = ("done", "nothing", "failed", "skipped")
AROUND = ("name", "when", "on_failure", "takes")
TOP = ("format", "runbook", "ensemble", "parameters", "window", "freeze", "notify", "steps")
T = TypeVar("T")


class Condition(msgspec.Struct, frozen=True):
    """A step is carried out only if an earlier one, `step`, came to one of `outcomes` or ended with one of `exits`."""

    step: str
    outcomes: tuple[str, ...] = ()
    exits: tuple[int, ...] = ()


class Notify(msgspec.Struct, frozen=True):
    """Who is told, by a `command` that gets JSON on its standard input, or by a POST of it to `webhook`."""

    command: tuple[str, ...] = ()
    webhook: str = ""


class Step(msgspec.Struct, frozen=True):
    """`values`: what the verb is given, checked. `takes_s`: seconds, where the file says so. `line`: where it stands in the file."""

    name: str
    verb: str
    values: dict[str, Value]
    when: Condition | None = None
    goes_on: bool = False
    takes_s: float | None = None
    place: str = ""


class Runbook(msgspec.Struct, frozen=True):
    name: str
    place: str
    steps: tuple[Step, ...]
    ensemble: str = ""
    parameters: dict[str, str] = {}
    window: Window | None = None
    freezes: tuple[Freeze, ...] = ()
    notify: Notify | None = None
    digest: str = ""
    """Of the text that it was read from."""

    @property
    def zone(self) -> str:
        return self.window.zone if self.window else "UTC"


def runbook(text: Text, verbs: Mapping[str, Verb], now: datetime, given: Mapping[str, str] = {}) -> Runbook:
    """The runbook in a file, with the parameters that were `given`. Raises `BadInputs` with all that is wrong at once."""
    return _Reader(text, verbs, now, given).read()


class _Reader:
    def __init__(self, text: Text, verbs: Mapping[str, Verb], now: datetime, given: Mapping[str, str]) -> None:
        self._text, self._verbs, self._now, self._given = text, verbs, now, given
        self._wrong: list[BadInput] = []

    def read(self) -> Runbook:
        top = self._mapping(self._text.value, (), TOP)
        if top is None:
            raise self._told("this is no runbook")
        number = top.get("format", FORMAT)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            self._say("not a format number", ("format",), f"write `format: {FORMAT}`")
        elif number > FORMAT:
            self._say(f"of format {number}; this zkprov reads up to {FORMAT}", ("format",), "use a newer zkprov")
        name = top.get("runbook")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self._say(
                "no name of a runbook", ("runbook",), "write `runbook: weekly-restart`: small letters, digits, - and _"
            )
            name = "?"
        ensemble = top.get("ensemble", "")
        if not isinstance(ensemble, str):
            self._say("not the name of a group", ("ensemble",), "name the group of the inventory, or leave it out")
            ensemble = ""
        parameters = self._parameters(top.get("parameters"))
        window, freezes = self._window(top.get("window")), self._freezes(top.get("freeze"))
        notify = self._notify(top["notify"], ("notify",), parameters) if "notify" in top else None
        steps = self._steps(top.get("steps"), parameters)
        if window is not None and not self._wrong:
            self._fits(window, freezes, steps)
        if self._wrong:
            raise self._told("this runbook cannot be run")
        return Runbook(name, self._text.name, steps, ensemble, parameters, window, freezes, notify, self._text.digest)

    # -- parts

    def _parameters(self, said: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        if said is not None and not isinstance(said, dict):
            self._say("not a mapping of names to values", ("parameters",), "write `settle: 30s`")
            said = None
        for name, value in (said or {}).items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", name):
                self._say("not the name of a parameter", ("parameters", name), "letters, digits and _")
            elif isinstance(value, dict | list):
                self._say("not one value", ("parameters", name), "a text, a number, true or false")
            else:
                found[name] = _text(value)
        for name in sorted(set(self._given) - set(found)):
            known = ", ".join(sorted(found)) or "none"
            self._say(f"there is no parameter {name!r} to set", ("parameters",), f"it has: {known}")
        return found | {k: v for k, v in self._given.items() if k in found}

    def _window(self, said: Any) -> Window | None:
        if said is None:
            return None
        path = ("window",)
        given = self._mapping(said, path, ("time_zone", "start", "recurrence", "length"))
        if given is None:
            return None
        missing = [k for k in ("time_zone", "start", "length") if k not in given]
        if missing:
            self._say(f"lacks {', '.join(missing)}", path, "see runbooks/ for examples")
            return None
        before = len(self._wrong)
        named = self._one((*path, "time_zone"), given["time_zone"], zone, "a zone as Europe/Berlin or UTC")
        start = self._one((*path, "start"), given["start"], local_time, "a local time without a zone, 2026-12-05T01:00")
        length = self._one((*path, "length"), given["length"], duration, "a duration as 3h or 90m")
        recurrence = given.get("recurrence") or ""
        if not isinstance(recurrence, str):
            self._say("not a recurrence", (*path, "recurrence"), "an RRULE of RFC 5545: FREQ=WEEKLY;BYDAY=SA")
        if length == 0:
            self._say("a window of no length", (*path, "length"), "a duration as 3h or 90m")
        if named is None or start is None or length is None or len(self._wrong) > before:
            return None
        window = Window(named, start, length, recurrence.strip())
        try:
            rule_of(window)
            if (both := overlap(window)) is not None:
                one, other = (b.astimezone(ZoneInfo(named)).isoformat(timespec="minutes") for b in both)
                self._say(
                    f"windows overlap: the one of {one} is not over when that of {other} opens",
                    (*path, "length"),
                    "a shorter length, or a rarer recurrence",
                )
                return None
        except (ValueError, TypeError, OverflowError, ZeroDivisionError) as wrong:
            self._say(
                f"not a recurrence: {wrong}",
                (*path, "recurrence"),
                "an RRULE of RFC 5545: FREQ=WEEKLY;BYDAY=SA; UNTIL in UTC, with a Z",
            )
            return None
        return window

    def _freezes(self, said: Any) -> tuple[Freeze, ...]:
        found: list[Freeze] = []
        for number, one in enumerate(self._list(said, ("freeze",))):
            path = ("freeze", number)
            given = self._mapping(one, path, ("from", "to", "reason"))
            if given is None:
                continue
            first = self._one((*path, "from"), given.get("from"), a_date, "a date as 2026-12-20")
            last = self._one((*path, "to"), given.get("to", given.get("from")), a_date, "a date as 2027-01-03")
            if first and last and last < first:
                self._say("ends before it begins", (*path, "to"), "a date that is not before `from`")
            elif first and last:
                found.append(Freeze(first, last, _text(given.get("reason") or "")))
        if found and not (isinstance(self._text.value, dict) and self._text.value.get("window")):
            self._say("freeze dates without a window have no zone", ("freeze",), "give it a window with a time_zone")
        return tuple(found)

    def _notify(self, said: Any, path: tuple[str | int, ...], parameters: Mapping[str, str]) -> Notify | None:
        from zkprov.runbook.parameters import filled

        given = self._mapping(said, path, ("command", "webhook"))
        if given is None:
            return None
        try:
            given = {key: filled(value, parameters) for key, value in given.items()}
        except ValueError as wrong:
            self._say(str(wrong), path, f"parameters: {', '.join(sorted(parameters)) or 'there are none'}")
            return None
        command, webhook = given.get("command"), given.get("webhook", "")
        if (command is None) == (not webhook):
            self._say("either a command or a webhook", path, "command: [mail-it, --to, ops], or webhook: https://…")
            return None
        if command is not None:
            words = _words(command)
            if words is None:
                self._say("not a command", (*path, "command"), "a list of words: no shell is in between")
                return None
            return Notify(words)
        if not isinstance(webhook, str) or not re.fullmatch(r"https?://[^\s]{1,2000}", webhook):
            self._say("not a URL", (*path, "webhook"), "https://host/path")
            return None
        return Notify((), webhook)

    def _steps(self, said: Any, parameters: Mapping[str, str]) -> tuple[Step, ...]:
        if not isinstance(said, list) or not said:
            self._say("a runbook has a list of steps", ("steps",), "steps: [{check: {}}, {restart: {}}, …]")
            return ()
        if len(said) > MOST_STEPS:
            self._say(f"more than {MOST_STEPS} steps", ("steps",), "split it into several")
            return ()
        found: list[Step] = []
        for number, one in enumerate(said):
            step = self._step(one, ("steps", number), parameters, found)
            if step is None:
                continue
            if step.name in {s.name for s in found}:
                self._say(f"a second step named {step.name!r}", ("steps", number, "name"), "give it a name of its own")
            found.append(step)
        return tuple(found)

    def _step(
        self, said: Any, path: tuple[str | int, ...], parameters: Mapping[str, str], before: list[Step]
    ) -> Step | None:
        given = self._mapping(said, path, (*AROUND, *self._verbs))
        if given is None:
            return None
        named = [k for k in given if k not in AROUND]
        if not named and set(given) != set(said):
            return None  # the verb is misspelt, which is said already
        if len(named) != 1:
            what = f"it has {', '.join(named)}" if named else "it has none"
            self._say(f"a step has one verb; {what}", path, f"one of: {', '.join(self._verbs)}")
            return None
        verb = self._verbs[named[0]]
        name = given.get("name", verb.name)
        if not isinstance(name, str) or not 0 < len(name) <= 60 or not name.isprintable():
            self._say("not a name", (*path, "name"), "up to 60 letters on one line")
            return None
        values = self._values(verb, given[verb.name], (*path, verb.name), parameters, before)
        takes = self._one((*path, "takes"), given["takes"], duration, "a duration as 10m") if "takes" in given else None
        goes_on = given.get("on_failure", "stop")
        if goes_on not in ("stop", "continue"):
            self._say("not what to do on a failure", (*path, "on_failure"), "stop (the default) or continue")
        when = self._condition(given["when"], (*path, "when"), before) if "when" in given else None
        if values is None:
            return None
        return Step(name, verb.name, values, when, goes_on == "continue", takes, self._text.place(*path))

    def _condition(self, said: Any, path: tuple[str | int, ...], before: list[Step]) -> Condition | None:
        given = self._mapping(said, path, ("step", "outcome", "exit"))
        if given is None:
            return None
        step = given.get("step")
        if step not in [s.name for s in before]:
            names = ", ".join(s.name for s in before) or "there is none"
            self._say(f"{step!r} is no earlier step", (*path, "step"), f"one of: {names}")
            return None
        outcomes = given.get("outcome", [])
        exits = given.get("exit", [])
        outcomes, exits = (x if isinstance(x, list) else [x] for x in (outcomes, exits))
        if any(o not in OUTCOMES for o in outcomes):
            self._say("not an outcome", (*path, "outcome"), f"of: {', '.join(OUTCOMES)}")
        if any(not isinstance(e, int) or isinstance(e, bool) or not 0 <= e <= 255 for e in exits):
            self._say("not an exit code", (*path, "exit"), "numbers from 0 to 255")
        if not outcomes and not exits:
            self._say("a condition asks for an outcome or an exit", path, "when: {step: check, outcome: done}")
        return Condition(step, tuple(str(o) for o in outcomes), tuple(e for e in exits if isinstance(e, int)))

    def _values(
        self, verb: Verb, said: Any, path: tuple[str | int, ...], parameters: Mapping[str, str], before: list[Step]
    ) -> dict[str, Value] | None:
        from zkprov.runbook.parameters import filled

        given = {} if said is None else said
        if not isinstance(given, dict):
            self._say("not a mapping of options", path, f"write `{verb.name}: {{}}`, or options below it")
            return None
        before_count = len(self._wrong)
        values: dict[str, Value] = {}
        for key, value in given.items():
            try:
                values[key] = filled(value, parameters)
            except ValueError as wrong:
                self._say(str(wrong), (*path, key), f"parameters: {', '.join(sorted(parameters)) or 'there are none'}")
        for key, problem, remedy in verb.problems(values, {s.name: s.verb for s in before}):
            self._say(problem, (*path, key) if key else path, remedy)
        return None if len(self._wrong) > before_count else values

    def _fits(self, window: Window, freezes: tuple[Freeze, ...], steps: tuple[Step, ...]) -> None:
        """Windows that open, and are as long as what cannot be divided between two of them."""
        first = next(open_from(window, freezes, self._now), None)
        if first is None:
            years = round(HORIZON / timedelta(days=365.25))
            unfrozen = next(begins(window, self._now - timedelta(seconds=window.length_s)), None)
            why = "it is frozen whenever it opens" if unfrozen else f"it does not open in the next {years} years"
            self._say(f"the window never opens: {why}", ("window",), "another recurrence, start or freeze")
            return
        for number, step in enumerate(steps):
            verb = self._verbs[step.verb]
            if verb.kind is Kind.CHANGE or step.verb == "approve":
                continue
            takes = step.takes_s if step.takes_s is not None else verb.takes_s(step.values)
            if takes > window.length_s:
                self._say(
                    f"takes {told(takes)}, and a window is {told(window.length_s)} long",
                    ("steps", number, "takes") if step.takes_s is not None else ("steps", number, step.verb),
                    "a longer window, or a shorter step",
                )

    # -- tools

    def _told(self, what: str) -> BadInputs:
        each = "".join(f"\n  {wrong} ({wrong.remedy})" for wrong in self._wrong)
        return BadInputs(f"{self._text.name}: {what}{each}", self._wrong)

    def _say(self, problem: str, path: tuple[str | int, ...], remedy: str) -> None:
        self._wrong.append(BadInput(problem, place=self._text.place(*path), remedy=remedy))

    def _mapping(self, said: Any, path: tuple[str | int, ...], keys: tuple[str, ...]) -> dict[str, Any] | None:
        if not isinstance(said, dict):
            self._say("not a mapping", path, f"keys: {', '.join(keys)}")
            return None
        for key in said:
            if key not in keys:
                self._say(f"unknown key `{key}`", (*path, key), f"keys: {', '.join(keys)}")
        return {k: v for k, v in said.items() if k in keys}

    def _list(self, said: Any, path: tuple[str | int, ...]) -> list[Any]:
        if said is None:
            return []
        if not isinstance(said, list):
            self._say("not a list", path, "begin each entry with `- `")
            return []
        return said

    def _one(self, path: tuple[str | int, ...], said: Any, convert: Callable[[Any], T], remedy: str) -> T | None:
        try:
            return convert(said)
        except (ValueError, TypeError, ZoneInfoNotFoundError, OSError) as wrong:
            why = (
                str(wrong) if isinstance(wrong, ValueError) and "between" in str(wrong) else f"not understood: {said!r}"
            )
            self._say(why[:200], path, remedy)
            return None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _words(said: Any) -> tuple[str, ...] | None:
    if (
        not isinstance(said, list)
        or not said
        or not all(isinstance(w, str | int) and not isinstance(w, bool) for w in said)
    ):
        return None
    words = tuple(str(w) for w in said)
    return None if any("\0" in w for w in words) or not words[0] else words
