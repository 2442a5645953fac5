"""Whether a member that is down has a new disk: nothing lies there that could vote, and nothing that is somebody else's."""

from __future__ import annotations

import msgspec

from zkprov.judge.leaving import not_its_disk
from zkprov.model.facts import Outcome, ServerFacts
from zkprov.model.server import Server


def not_new(facts: ServerFacts | None, server: Server) -> str:
    """Why the disk of the member `server` is no new one, in words; empty where it is. One that was not read is none.

    What it had of its configuration may lie there still: it is set aside. Data may not, be it in one of its two folders.
    """
    if why := unread(facts):
        return why
    disk = facts.disk.value if facts is not None else None
    if disk is None:
        return ""
    if disk.active or disk.server_elsewhere:
        return disk.server_elsewhere or "a server runs on its files"
    if disk.has_data:
        return "data lies there: it is no new disk"
    if disk.initialize:
        return "an `initialize` file would let it vote while it is empty"
    if disk.data_elsewhere:
        return disk.data_elsewhere
    if disk.my_id not in (None, server.id):
        return f"its myid is {disk.my_id}"
    # its myid lay with its data
    return not_its_disk(msgspec.structs.replace(disk, my_id=server.id), server) if disk.acting is not None else ""


def unread(facts: ServerFacts | None) -> str:
    """Why it cannot be told, in words; empty where it can."""
    if facts is None:
        return "it was not looked at"
    disk = facts.disk.value
    if disk is None:
        return "" if facts.disk.outcome is Outcome.ABSENT else str(facts.disk)
    if disk.active is None:
        return "whether a server runs on its files cannot be told"
    return next((p for p in disk.problems if not p.endswith("zoo.cfg: missing")), "")
