"""What a bootstrap has before it: bare hosts, what an earlier attempt left, or a founder that stands. A decision; nothing is touched.

The invariant: only hosts that are bare are founded on, and a founder whose disk holds data is never laid anew: it is started, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.newcomers import ledger_in
from zkprov.model.facts import Outcome
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.server import Role, Server
from zkprov.plan.entry import comes_in_empty
from zkprov.plan.steps import Refusal

FENCE = "bootstrap-"
"""What the fences of a founding begin with; the founder's host follows."""


class Stage(StrEnum):
    """How far an earlier attempt came."""

    BARE = "bare"  # nothing lies on any host
    BEGUN = "begun"  # the founder's host is ours, and holds no data yet: what lies there may be set aside
    LAID = "laid"  # its server has run: it is started, never laid anew
    LEADS = "leads"  # it leads itself, and the ledger is not written
    FOUNDED = "founded"  # the ledger says that the founding goes on


class Founding(msgspec.Struct, frozen=True):
    """Who founds, and who comes after, in order: voters first, for an observer adds nothing that a failure would be survived by."""

    ensemble: str
    founder: Server
    host: str
    others: tuple[str, ...]
    stage: Stage = Stage.BARE

    @property
    def run(self) -> str:
        """What every host is fenced by: two people who would have different founders are in each other's way, not side by side."""
        return f"{FENCE}{self.host}"


def founder_of(inventory: Inventory) -> InventoryHost:
    """The first host that is to vote. Raises `BadInput` where there is none, where it is not said what to install, or for groups."""
    seated = next((h for h in inventory.hosts if h.quorum_group is not None or h.quorum_weight not in (None, 1)), None)
    if seated is not None:
        remedy = (
            "take zkprov_quorum_group and zkprov_quorum_weight out; a list with groups is founded by hand, and adopted"
        )
        place = f"{inventory.path}: {seated.name}"
        raise BadInput("bootstrap founds a majority list, without groups", place=place, remedy=remedy)
    founder = next((h for h in inventory.hosts if h.role is Role.PARTICIPANT), None)
    if founder is None:
        remedy = "give at least one host zkprov_role: participant"
        raise BadInput("no host of the group is to vote", place=inventory.path, remedy=remedy)
    if not founder.release:
        place = f"{inventory.path}: {founder.name}"
        raise BadInput("no zkprov_release", place=place, remedy="write the release to install, such as 3.9.5")
    return founder


def plan_founding(health: Health, inventory: Inventory, holder: str | None) -> Founding | Refusal | None:
    """What is to be done; None where every host is a member of an ensemble that is founded. `holder`: who has the founder's host.

    Refused where anything at all answers or lies on a host of the group, unless an earlier attempt left it there. Raises `BadInput`.
    """
    found = _planned(health, inventory, holder)
    ours = f"{FENCE}{founder_of(inventory).name}"
    if not isinstance(found, Refusal) or holder is None or holder == ours or not holder.startswith(FENCE):
        return found
    other, here = holder.removeprefix(FENCE), founder_of(inventory).name
    told = (f"it has {here}, and {other} is its founder", f"what is seen of it: {found.headline}", *found.evidence)
    following = (
        ("zkprov status", "shows how far it is"),
        (
            "zkprov bootstrap",
            f"again, when that has ended; where it was cut off, {other} as the first voter goes on with it",
        ),
    )
    return Refusal("R8", "another founding goes on here.", told, following, exit_code=5)


def _planned(health: Health, inventory: Inventory, holder: str | None) -> Founding | Refusal | None:
    founder = founder_of(inventory)
    server_id = founder.id if founder.id is not None else _free(inventory.hosts)
    client = founder.client_part
    server = Server(server_id, (founder.server_address,), client=client)
    rest = sorted((h for h in inventory.hosts if h is not founder), key=lambda h: h.role is Role.OBSERVER)
    made = Founding(inventory.ensemble, server, founder.name, tuple(h.name for h in rest))
    live, ledger = health.picture.live, ledger_in(health.picture)
    mine = holder == made.run
    # the list of servers that are down stands on their disks: that is for the looks at the hosts below
    if live is not None and any(f.serving for f in health.picture.members):
        missing = [h for h in inventory.hosts if not any(h.is_server(s) for s in live.servers)]
        if ledger is not None and ledger.founding:
            left = tuple(h.name for h in rest if h in missing)
            return msgspec.structs.replace(made, others=left, stage=Stage.FOUNDED)
        if ledger is None and mine and live.same_list(Members.of(server)):
            return msgspec.structs.replace(made, stage=Stage.LEADS)
        if ledger is not None and not missing:
            return None
        if len(missing) < len(inventory.hosts):
            return _stands(live, missing)
    if not mine and (standing := starting(health, inventory)):
        told = (f"by the list {standing}; a server that has just been started, or that elects, serves in a moment",)
        look = (("zkprov status", "shows who runs"), ("zkprov bootstrap", "again, once they serve: it goes on then"))
        return Refusal("R8", "servers of an ensemble run on these hosts, and none serves yet.", told, look, exit_code=4)
    refusal = next((r for h in inventory.hosts if not (mine and h is founder) and (r := _bare(h, health))), None)
    if refusal or not mine:
        return refusal or made
    return _left(founder, made, health)


def starting(health: Health, inventory: Inventory) -> Members | None:
    """The list of servers of the group that run on their own files, and serve nobody yet; None where there are none."""
    for host in inventory.hosts:
        facts = health.picture.survey.by_name(host.name)
        disk = facts.disk.value if facts is not None and not facts.serving else None
        if disk is None or not disk.active or disk.acting is None:
            continue
        members = disk.acting.members
        own = members.get(disk.my_id) if disk.my_id is not None else None
        ours = all(any(h.is_server(s) for h in inventory.hosts) for s in members.servers)
        if own is not None and host.is_server(own) and ours:
            return members
    return None


def _left(host: InventoryHost, made: Founding, health: Health) -> Founding | Refusal:
    """What an earlier attempt left on the founder's host."""
    facts = health.picture.survey.by_name(host.name)
    disk = facts.disk.value if facts else None
    if facts is None or (disk is None and facts.disk.outcome is not Outcome.ABSENT):
        return _untold(host, str(facts.disk) if facts else "no survey holds it")
    if not facts.up and (disk is None or not (disk.has_data or disk.active)):
        return msgspec.structs.replace(made, stage=Stage.BEGUN)
    acting = disk.acting.members if disk is not None and disk.acting is not None else None
    if acting is not None and acting.same_list(Members.of(made.founder)):
        return msgspec.structs.replace(made, stage=Stage.LAID)
    headline = f"{host.name} holds data, and not of a founder that is alone."
    told = f"its list is {acting}" if acting is not None else "no list lies there"
    aside = ("", f"if nobody needs it, stop it and move {host.data_dir} and {host.config_dir} aside on {host.name}")
    return Refusal("R5", headline, (told,), (("zkprov status", "shows what was seen"), aside))


def _stands(live: Members, missing: Sequence[InventoryHost]) -> Refusal:
    names = [h.name for h in missing]
    if not names:
        status = ("zkprov status", "shows it")
        headline = "an ensemble stands here already, and zkprov did not found it."
        return Refusal("R10", headline, (f"its list is {live}, without a ledger of zkprov's",), (status,))
    add = (f"zkprov add-node {' '.join(names)}", "adds them, by the rules of an ensemble that holds data")
    headline = "an ensemble stands here already, and its founding is over."
    return Refusal("R10", headline, (f"its list is {live}, not in it: {', '.join(names)}",), (add,))


def _free(hosts: Sequence[InventoryHost]) -> int:
    taken = {h.id for h in hosts}
    return next(i for i in range(1, 256) if i not in taken)


def _bare(host: InventoryHost, health: Health) -> Refusal | None:
    seen = health.picture.survey.by_name(host.name)
    refusal = comes_in_empty(host, seen, health)
    if refusal is None and seen is not None and seen.disk.outcome not in (Outcome.OK, Outcome.ABSENT):
        return _untold(host, str(seen.disk))
    return refusal


def _untold(host: InventoryHost, why: str) -> Refusal:
    look = ("zkprov status", "shows what was seen")
    return Refusal("R5", f"whether {host.name} is bare cannot be told.", (why,), (look,), exit_code=4)
