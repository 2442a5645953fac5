"""The JSON Schema of runbooks, made from the verbs: editors complete and check by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zkprov.runbook.document import FORMAT, OUTCOMES
from zkprov.runbook.verbs import Option, Verb

_DURATION = {"type": ["string", "integer"], "description": "A duration: 30s, 15m, 1h, 7d.", "examples": ["10m"]}
_DATE = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_NOTIFY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "command": {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1},
        "webhook": {"type": "string", "pattern": "^https?://"},
    },
    "description": "Told once, at the end: a command that gets JSON on its standard input, or a webhook.",
}


def schema(verbs: Mapping[str, Verb]) -> dict[str, Any]:
    """A JSON Schema of draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zkprov runbook",
        "type": "object",
        "additionalProperties": False,
        "required": ["runbook", "steps"],
        "properties": {
            "format": {"const": FORMAT},
            "runbook": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,60}$", "description": "Its name."},
            "ensemble": {"type": "string", "description": "The group that it is for; it runs on no other."},
            "parameters": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,40}$"},
                "additionalProperties": {"type": ["string", "number", "boolean"]},
                "description": "Name to value; used as {{ name }}, set by --set name=value.",
            },
            "window": _WINDOW,
            "freeze": {"type": "array", "items": _FREEZE, "description": "Dates on which nothing is touched."},
            "notify": _NOTIFY,
            "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
        },
        "$defs": {"step": _step(verbs)},
    }


_WINDOW: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["time_zone", "start", "length"],
    "properties": {
        "time_zone": {"type": "string", "examples": ["Europe/Berlin", "UTC"]},
        "start": {
            "type": "string",
            "description": "The first one's local time, without a zone.",
            "examples": ["2026-12-05T01:00"],
        },
        "recurrence": {"type": "string", "description": "An RRULE of RFC 5545.", "examples": ["FREQ=WEEKLY;BYDAY=SA"]},
        "length": _DURATION,
    },
}
_FREEZE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["from"],
    "properties": {"from": _DATE, "to": _DATE, "reason": {"type": "string"}},
}


def _step(verbs: Mapping[str, Verb]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "maxLength": 60, "description": "Of its own; the verb's by default."},
            "when": {
                "type": "object",
                "additionalProperties": False,
                "required": ["step"],
                "anyOf": [{"required": ["outcome"]}, {"required": ["exit"]}],
                "properties": {
                    "step": {"type": "string"},
                    "outcome": _one_or_many({"enum": list(OUTCOMES)}),
                    "exit": _one_or_many({"type": "integer", "minimum": 0, "maximum": 255}),
                },
                "description": "Only if an earlier step came to one of these.",
            },
            "on_failure": {"enum": ["stop", "continue"], "default": "stop"},
            "takes": {**_DURATION, "description": "How long it takes, as long as nobody has measured it."},
            **{name: _verb(verb) for name, verb in verbs.items()},
        },
        "oneOf": [{"required": [name]} for name in verbs],
    }


def _verb(verb: Verb) -> dict[str, Any]:
    if verb.kinds:
        every = {o.name: _option(o) for of in verb.kinds.values() for o in of.options}
        properties = {"kind": {"enum": list(verb.kinds)}, **every}
        return _object(verb.help, properties, ["kind"])
    return _object(verb.help, {o.name: _option(o) for o in verb.options}, [o.name for o in verb.options if o.required])


def _object(text: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": text,
        "type": ["object", "null"] if not required else "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return found | ({"required": required} if required else {})


def _option(option: Option) -> dict[str, Any]:
    one: dict[str, Any] = {"type": ["string", "number"]}
    if option.flag:
        one = {"type": ["boolean", "string"]}
    elif option.choices:
        # a parameter may stand for it
        one = {"anyOf": [{"enum": list(option.choices)}, {"pattern": "\\{\\{"}]}
    found = _one_or_many(one) if option.many else one
    return {**found, "description": option.help} if option.help else found


def _one_or_many(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
