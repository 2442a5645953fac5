"""Plans as files: written whole or not at all, read with every doubt told (cut off, edited, of another release)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from zkprov.model.problems import BadInput
from zkprov.plan.steps import FORMAT, Plan

MAX_BYTES = 4_000_000


class PlanFile(msgspec.Struct, frozen=True):
    """What `plan --out` writes. `sha256` of the plan's own encoding: a plan is not edited by hand, it is made again."""

    plan: Plan
    sha256: str
    format: int = 1


def save_plan(plan: Plan, path: Path) -> None:
    """Raises `BadInput` where the file cannot be written."""
    data = msgspec.json.format(msgspec.json.encode(PlanFile(plan, _digest(plan), plan.format)), indent=1)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data + b"\n")
        part.replace(path)
    except OSError as wrong:
        part.unlink(missing_ok=True)
        raise BadInput(
            f"cannot be written: {wrong.strerror}", place=str(path), remedy="give --out another file"
        ) from None


def load_plan(path: Path) -> Plan:
    """Raises `BadInput` for a file that is no plan, cut off, edited or of a newer format."""
    again = "make it again: zkprov plan add … --out FILE"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput("too large to be a plan", place=str(path), remedy=again)
        data = path.read_bytes()
    except OSError as wrong:
        raise BadInput(f"cannot be read: {wrong.strerror}", place=str(path), remedy=again) from None
    try:
        head = msgspec.json.decode(data)
        if isinstance(head, dict) and isinstance(head.get("format"), int) and head["format"] > FORMAT:
            writer = (
                head.get("plan", {}).get("zkprov", "a newer one")
                if isinstance(head.get("plan"), dict)
                else "a newer one"
            )
            raise BadInput(
                f"a plan of format {head['format']}; this zkprov reads up to {FORMAT}",
                place=str(path),
                remedy=f"use zkprov {writer}",
            )
        if isinstance(head, dict) and "drift" in head:
            what = "what `plan configure` shows, which this release does not carry out"
            raise BadInput(what, place=str(path), remedy="its `next` says how to do it by hand, host by host")
        document = msgspec.json.decode(data, type=PlanFile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as wrong:
        raise BadInput(f"not a plan, or cut off: {wrong}", place=str(path), remedy=again) from None
    if document.sha256 != hashlib.sha256(_as_written(data)).hexdigest():
        raise BadInput("the plan was edited after it was made", place=str(path), remedy=again)
    return document.plan


class _Written(msgspec.Struct):
    """The plan's own bytes: what an older zkprov wrote has fewer fields than the plan that is read from it."""

    plan: msgspec.Raw


def _as_written(data: bytes) -> bytes:
    return msgspec.json.format(bytes(msgspec.json.decode(data, type=_Written).plan), indent=-1)


def _digest(plan: Plan) -> str:
    return hashlib.sha256(msgspec.json.encode(plan)).hexdigest()
