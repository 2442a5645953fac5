"""The JSON Schemas in docs/ are those of the types; what is printed is described by them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.unit.facts_made import healthy, outage
from zkprov.cli.runbook_schemas import schemas
from zkprov.report.documents import StatusDocument, as_json, status_document
from zkprov.report.schemas import DOCUMENTS, schema

FOLDER = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_docs_hold_the_schema_of_today(name: str) -> None:
    """Made anew by `python -m zkprov.report.schemas docs/schema`."""
    assert (FOLDER / f"{name}.json").read_text() == schema(name)


def test_no_other_schema_lies_about() -> None:
    assert {p.stem for p in FOLDER.glob("*.json")} == {*DOCUMENTS, *schemas()}


@pytest.mark.parametrize("name", sorted(schemas()))
def test_docs_hold_the_schemas_of_runbooks_as_well(name: str) -> None:
    """Made anew by `python -m zkprov.cli.runbook_schemas docs/schema`."""
    assert (FOLDER / f"{name}.json").read_text() == schemas()[name]


def test_what_is_printed_is_what_the_schema_describes() -> None:
    for made in (healthy(3), outage(), healthy(5).down(2)):
        printed = as_json(status_document(made.health()))
        decoded = msgspec.json.decode(printed, type=StatusDocument)
        assert json.loads(as_json(decoded)) == json.loads(printed)
        top = json.loads(schema("status"))
        required = set(top["$defs"]["StatusDocument"]["required"]) if "$defs" in top else set()
        assert required <= json.loads(printed).keys()
