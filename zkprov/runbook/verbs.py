"""The verbs of runbooks: zkprov's own commands, whose options are told by the command line itself, and a few that only runbooks have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from zkprov.model.durations import duration_s

Value = str | int | float | bool | list[Any]
Problem = tuple[str, str, str]
"""(key, what is wrong, remedy)"""
UNMEASURED_S, CHANGE_S = 10.0, 600.0
DEFAULT_APPROVAL_S = 86400.0
DEFAULT_PROBE_S = 60.0


class Kind(StrEnum):
    CHANGE = "change"  # planned, then applied; rests at a safe point, and is resumed
    LOOK = "look"  # a command that is over in a moment
    OWN = "own"  # of runbooks alone


class Option(msgspec.Struct, frozen=True):
    """`flag`: true or false. `many`: a list. `argument`: it stands on the command line without a name."""

    name: str
    help: str = ""
    flag: bool = False
    many: bool = False
    argument: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()


class Verb(msgspec.Struct, frozen=True):
    """`command`: the words that call it; of a change, those that plan it. `parse`: what the command line says of its words, if anything."""

    name: str
    kind: Kind
    help: str
    options: tuple[Option, ...]
    command: tuple[str, ...] = ()
    parse: Callable[[Sequence[str]], str] | None = None
    kinds: dict[str, Verb] = {}
    """Of the verb that plans: those that it plans, by `kind`."""

    def option(self, name: str) -> Option | None:
        return next((o for o in self.options if o.name == name), None)

    def words(self, values: Mapping[str, Value]) -> list[str]:
        """The words of the command line behind `command`; values are words of their own, whatever is in them."""
        named: list[str] = []
        placed: list[str] = []
        for option in self.options:
            if option.name not in values:
                continue
            value = values[option.name]
            if option.flag:
                named += [f"--{option.name}"] if value in (True, "true") else []
            elif option.argument:
                placed += _texts(value)
            else:
                for one in _texts(value):
                    named += [f"--{option.name}={one}"]
        return [*named, *(["--", *placed] if placed else [])]

    def takes_s(self, values: Mapping[str, Value]) -> float:
        """Seconds that it is thought to take as long as nobody has measured it."""
        if self.name == "wait":
            return _seconds(values.get("for"), 0.0)
        if self.name == "probe":
            return _seconds(values.get("timeout"), DEFAULT_PROBE_S)
        if self.name == "approve":
            return 0.0
        return CHANGE_S if self.kind is Kind.CHANGE or self.name == "apply" else UNMEASURED_S

    def problems(self, values: Mapping[str, Value], before: Mapping[str, str]) -> Iterator[Problem]:
        """What is wrong with `values`. `before`: the names of the steps before it, with their verbs."""
        if self.kinds:
            verb = self.kinds.get(str(values.get("kind")))
            if verb is None:
                yield "kind" if "kind" in values else "", "not a kind of plan", f"kind: one of {', '.join(self.kinds)}"
            else:
                yield from verb.problems({k: v for k, v in values.items() if k != "kind"}, before)
            return
        wrong = False
        for key, value in values.items():
            option = self.option(key)
            problem = f"unknown option `{key}`" if option is None else _misfit(option, value)
            if problem:
                wrong = True
                known = ", ".join(o.name for o in self.options) or "it has none"
                yield (
                    key,
                    problem,
                    f"options of {self.name}: {known}" if option is None else option.help or "see zkprov -h",
                )
        for option in self.options:
            if option.required and option.name not in values:
                wrong = True
                yield "", f"{self.name} lacks `{option.name}`", option.help or f"write {option.name} below it"
        if wrong:
            return
        if self.parse is not None:
            if said := self.parse(self.words(values)):
                yield "", said, f"zkprov {' '.join(self.command)} --help"
        elif self.kind is Kind.OWN:
            yield from _own_problems(self.name, values, before)


def _own_problems(name: str, values: Mapping[str, Value], before: Mapping[str, str]) -> Iterator[Problem]:
    for key in ("for", "within", "timeout"):
        if key in values:
            try:
                duration_s(str(values[key]))
            except ValueError:
                yield key, f"not a duration: {values[key]!r}", "write e.g. 30s, 15m or 1h"
    if name == "apply":
        step = str(values.get("plan"))
        if before.get(step) != "plan":
            plans = ", ".join(n for n, verb in before.items() if verb == "plan") or "there is none"
            yield "plan", f"{step!r} is no earlier step that plans", f"one of: {plans}"
    if name == "notify":
        webhook, command = str(values.get("webhook", "")), values.get("command")
        if (command is None) == (not webhook):
            yield "", "either a command or a webhook", "command: [mail-it, --to, ops], or webhook: https://…"
        elif webhook and not re.fullmatch(r"https?://[^\s]{1,2000}", webhook):
            yield "webhook", "not a URL", "https://host/path"
    if "command" in values:
        command = values["command"]
        if not isinstance(command, list) or not command or not str(command[0]) or any("\0" in str(w) for w in command):
            yield "command", "not a command", "a list of words: no shell is in between"


def _misfit(option: Option, value: Value) -> str:
    if option.flag:
        return "" if isinstance(value, bool) or value in ("true", "false") else "true or false"
    if isinstance(value, list) and not option.many:
        return "one value, not a list"
    texts = value if isinstance(value, list) else [value]
    if not texts:
        return "an empty list"
    for one in texts:
        if one is None or isinstance(one, dict | list) or (isinstance(one, bool) and not option.many):
            return "a text or a number"
        if any(c in str(one) for c in "\0\n\r"):
            return "more than one line"
        if option.choices and str(one) not in option.choices:
            return f"not one of {', '.join(option.choices)}"
    return ""


def _texts(value: Value) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _seconds(value: Value | None, default: float) -> float:
    return default if value is None else duration_s(str(value))


_COMMAND = Option("command", "A list of words: no shell is in between.", many=True)
OWN = {
    verb.name: verb
    for verb in (
        Verb("wait", Kind.OWN, "Waits.", (Option("for", "How long: 10m.", required=True),)),
        Verb(
            "approve",
            Kind.OWN,
            "Waits until somebody says yes: zkprov runbook approve.",
            (Option("message", "What is asked."), Option("within", "How long it is waited for: 8h. [default: 24h]")),
        ),
        Verb(
            "probe",
            Kind.OWN,
            "A command of yours; it fails the step by an exit code that is not 0.",
            (
                Option(_COMMAND.name, _COMMAND.help, many=True, required=True),
                Option("timeout", "How long it may take. [default: 60s]"),
            ),
        ),
        Verb(
            "notify",
            Kind.OWN,
            "Tells somebody how it stands.",
            (_COMMAND, Option("webhook", "A URL, for a POST of JSON.")),
        ),
        Verb(
            "apply",
            Kind.OWN,
            "Carries out what an earlier step planned.",
            (Option("plan", "The name of a step before it that plans.", required=True),),
        ),
    )
}
