"""What `zkprov backup` prints: a document for programs, tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from zkprov.judge.backups import Check, passed
from zkprov.model.backup import Backup
from zkprov.report.console import _plain, console, lines, table
from zkprov.run.backing_up import Made, mb
from zkprov.run.backups import Found, Verified
from zkprov.run.events import rfc3339


class BackupRow(msgspec.Struct, frozen=True):
    """One host's part of a backup. `what`: of config, epochs, data; `size` in bytes; `zxid`: the last transaction saved, in hex.

    `state`: whole, partial or damaged. `checks`: of `verify`; `ok` null where a comparison could not be made. `path`: of `fetch`.
    """

    name: str
    host: str
    state: str
    server: int | None
    time: str | None
    release: str | None
    what: list[str]
    size: int
    zxid: str | None
    by: str | None
    run: str | None
    checks: list[Check] = []
    path: str | None = None


class Unread(msgspec.Struct, frozen=True):
    """A host without an answer, or a member without a backup, and why."""

    host: str
    why: str


class BackupDocument(msgspec.Struct, frozen=True):
    """`zkprov backup`. `act`: create, list, verify or fetch. `ok` goes with exit 0, else 4."""

    ensemble: str
    act: str
    ok: bool
    backups: list[BackupRow]
    unread: list[Unread]
    format: int = 1


def created(ensemble: str, made: Made) -> BackupDocument:
    missing = [Unread(host, why) for host, why in made.missing]
    return BackupDocument(ensemble, "create", True, [row(b) for b in made.backups], missing)


def listing(ensemble: str, found: Found) -> BackupDocument:
    unread = [Unread(host, why) for host, why in found.unread]
    return BackupDocument(ensemble, "list", not unread, [row(b) for b in found.backups], unread)


def verified(ensemble: str, found: Sequence[Verified], unread: Sequence[tuple[str, str]]) -> BackupDocument:
    rows = [msgspec.structs.replace(row(v.backup), checks=list(v.checks)) for v in found]
    ok = all(passed(v.checks) for v in found)
    return BackupDocument(ensemble, "verify", ok, rows, [Unread(*u) for u in unread])


def fetched(ensemble: str, found: Sequence[tuple[Backup, Path]]) -> BackupDocument:
    rows = [msgspec.structs.replace(row(b), path=str(place)) for b, place in found]
    return BackupDocument(ensemble, "fetch", True, rows, [])


def row(backup: Backup) -> BackupRow:
    whole = backup.state == "whole"
    return BackupRow(
        name=backup.name,
        host=backup.host,
        state=backup.state,
        server=backup.server if whole else None,
        time=rfc3339(backup.made_at) if whole else None,
        release=backup.release or None,
        what=backup.what.split(", ") if whole else [],
        size=backup.size,
        zxid=f"{backup.zxid:#x}" if backup.data else None,
        by=backup.by or None,
        run=backup.run or None,
    )


def show(document: BackupDocument) -> None:
    """As text; what is wrong on stdout too: it is what was asked for."""
    out = console()
    if not document.backups:
        out.print(_plain(f"{document.ensemble}: no backup"))
    elif document.act == "verify":
        _checks(document)
    elif document.act == "fetch":
        lines(f"{b.host}  {b.name}  {', '.join(b.what)}: {b.path}" for b in document.backups)
    else:
        rows = [
            [b.name, b.host, b.server, b.release, ", ".join(b.what), mb(b.size), b.zxid, b.state]
            for b in document.backups
        ]
        table(out, ["backup", "host", "id", "release", "what", "size", "up to", "state"], rows, right=(2, 5))
    for one in document.unread:
        out.print(_plain(f"{'none of' if document.act == 'create' else 'not read'}  {one.host}: {one.why}"))


def _checks(document: BackupDocument) -> None:
    out = console()
    said = {True: "ok", False: "FAILED", None: "not compared"}
    rows = [[b.name, b.host, c.what, said[c.ok], c.said] for b in document.backups for c in b.checks]
    table(out, ["backup", "host", "check", "", "evidence"], rows, right=())
    bad = sorted({b.host for b in document.backups if not passed(tuple(b.checks))})
    if bad:
        out.print(_plain(f"NOT SOUND on {', '.join(bad)}: keep it only as evidence"), style="bold")
        out.print("next  zkprov backup create, then verify that; older ones: zkprov backup list")
