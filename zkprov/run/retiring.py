"""What a person says of servers that left, written into the ledger."""

from __future__ import annotations

import msgspec

from zkprov.judge.newcomers import ledger_told
from zkprov.judge.picture import picture_of
from zkprov.model.facts import GONE, Retired
from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.run.ledger import EnsembleLedger
from zkprov.run.planning import ledger_writer, who_am_i
from zkprov.run.world import World


def attest_retired(inventory: Inventory, timeout_s: float, server_id: int, fate: str, reason: str) -> None:
    """Records `fate` (destroyed or wiped) with who says so. Raises `BadInput` where the ledger knows no such server."""
    known = _known(inventory, timeout_s, server_id)
    with ledger_writer(inventory, timeout_s) as ledger:
        # by which run it left stays told: a run that is taken up knows its own entry by it
        told = "; ".join(filter(None, (known.reason, f"{fate}: {reason} ({who_am_i()})")))
        ledger.retire(msgspec.structs.replace(known, fate=fate, reason=told))
        _forget_voter(ledger, server_id)


def clear_retired(inventory: Inventory, timeout_s: float, server_id: int) -> None:
    """Takes the entry away. Raises `BadInput` while nobody has attested what became of the disk: it could still elect."""
    known = _known(inventory, timeout_s, server_id)
    if known.fate not in GONE:
        raise BadInput(
            f"the disk of {server_id} is {known.fate}, and may still hold a list",
            place=f"/zkprov/retired/{server_id}",
            remedy=f"zkprov retired attest {server_id} --wiped|--destroyed --reason …",
        )
    with ledger_writer(inventory, timeout_s) as ledger:
        ledger.clear_retired(server_id)
        _forget_voter(ledger, server_id)


def _forget_voter(ledger: EnsembleLedger, server_id: int) -> None:
    """Should the id come back, it is nobody's that voted before; unless it came back already."""
    if server_id not in ledger.live().ids:
        ledger.member_left(server_id)


def _known(inventory: Inventory, timeout_s: float, server_id: int) -> Retired:
    """Raises `BadInput` where the ledger knows no such server, `NotHealthy` where that cannot be told (R9)."""
    with World(inventory, timeout_s=timeout_s) as world:
        picture = picture_of(world.survey())
        found = next((r for r in world.retired if r.id == server_id), None)
    if found is None and not ledger_told(picture):
        raise NotHealthy(
            f"whether {server_id} is retired cannot be told: no quorum of the members told what the ledger holds",
            place="/zkprov/retired",
            remedy="zkprov status, then try again",
        )
    if found is None:
        raise BadInput(f"no server {server_id} is retired", place="/zkprov/retired", remedy="zkprov retired list")
    return found
