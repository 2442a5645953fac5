"""JSON Schemas of runbooks and of their runs; `python -m zkprov.cli.runbook_schemas DIR` writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from zkprov.cli.runbook_verbs import verbs
from zkprov.runbook.notifying import Told
from zkprov.runbook.record import RunbookRecord
from zkprov.runbook.schema import schema


def schemas() -> dict[str, str]:
    """Name → the schema of such documents, as indented JSON."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found = {
        "runbook": schema(verbs()),
        "runbook-run": {**draft, "title": "zkprov runbook-run", **msgspec.json.schema(RunbookRecord)},
        "runbook-notification": {**draft, "title": "zkprov runbook-notification", **msgspec.json.schema(Told)},
    }
    return {name: _text(document) for name, document in found.items()}


def _text(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2).decode() + "\n"


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schema") / f"{name}.json").write_text(text)
