"""JSON Schemas of every document that zkprov prints, sends or stores; `python -m zkprov.report.schemas DIR` writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from zkprov.report.backups import BackupDocument
from zkprov.report.documents import ChangeDocument, StatusDocument
from zkprov.report.drift import DriftDocument
from zkprov.report.fleet import FleetDocument
from zkprov.report.fleet_change import FleetChangeDocument
from zkprov.report.leaving import LeaveDocument
from zkprov.report.proof import ProofDocument
from zkprov.report.run_document import RunReport
from zkprov.report.salvage import DifferencesDocument, SalvageDocument
from zkprov.report.watching import Notification
from zkprov.run.events import Event
from zkprov.run.files import PlanFile
from zkprov.run.journal import Run
from zkprov.run.ledger import RunDocument

DOCUMENTS: dict[str, type[Any]] = {
    "status": StatusDocument,
    "change": ChangeDocument,
    "drift": DriftDocument,
    "fleet": FleetDocument,
    "fleet-change": FleetChangeDocument,
    "salvage": SalvageDocument,
    "differences": DifferencesDocument,
    "leave": LeaveDocument,
    "backup": BackupDocument,
    "proof": ProofDocument,
    "event": Event,
    "plan-file": PlanFile,
    "ledger-run": RunDocument,
    "history": Run,
    "report": RunReport,
    "watch-notification": Notification,
}


def schema(name: str) -> str:
    """The schema of one document, as indented JSON."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"zkprov {name}",
        **msgspec.json.schema(DOCUMENTS[name]),
    }
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2).decode() + "\n"


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        (folder / f"{name}.json").write_text(schema(name))


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schema"))
