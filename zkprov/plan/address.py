"""Plans that a member is known at another place: other ports or another name of the same process on the same disk. Its vote stays.

ZooKeeper does it by one reconfig, without a restart: the member listens at the new ports and the others connect to it there (3.9.5,
measured). A leader whose quorum or election port changes is lost to an election by it: it hands over first.
"""

from __future__ import annotations

import msgspec

from zkprov.judge.health import Health
from zkprov.judge.leaving import Reason, in_sync, untold
from zkprov.judge.one_quorum import prove_move
from zkprov.judge.picture import client_of
from zkprov.judge.transfer import leader_in
from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.members import Members
from zkprov.model.quorum import braces, spare
from zkprov.model.server import Server
from zkprov.plan.beginning import begun
from zkprov.plan.removal import refused, state_allows
from zkprov.plan.steps import SET_ADDRESS, Moved, Options, Plan, Proof, Refusal, Step, StepKind


class AddressWish(msgspec.Struct, frozen=True):
    """What is asked: the member on `host` at the place of `to`, whose id and role are its own. The rest as in every wish."""

    plan_id: str
    host: str
    to: Server
    options: Options
    made_at: float
    made_by: str
    zkprov: str
    templates_digest: str = ""

    @property
    def command(self) -> str:
        return f"zkprov set-address {self.host}"


def plan_address(health: Health, inventory: Inventory, wish: AddressWish) -> Plan | Refusal:
    """One line of the list anew. A plan without steps where the list has it so. Total: a refusal is a value."""
    live, to = health.picture.live, wish.to
    server = live.get(to.id) if live is not None else None
    if live is None or server is None:
        return refused(untold(health), wish.command)
    if server.canonical == to.canonical:
        return begun(health, live, inventory, wish, kind=SET_ADDRESS, steps=())
    stop = state_allows(health, wish.command) or _cannot(health, live, server, inventory, wish)
    if stop:
        return stop
    steps = _steps(health, live, server, wish)
    bad = tuple(f"{p.state}: {p.verdict}" for p in steps[0].proofs if p.verdict != "safe")
    if bad:
        headline = f"step 1 ({steps[0].title}) is not proved to leave one quorum."
        return Refusal("R1", headline, bad, (("zkprov prove", "shows who could elect whom"),))
    plan = begun(health, live, inventory, wish, kind=SET_ADDRESS, steps=steps)
    notes = [f"override {rule}: {reason}" for rule, reason in sorted(wish.options.overrides.items())]
    if (there := client_of(to)) != client_of(server) and there is not None:
        notes.insert(0, f"clients know {server.id} by their own connect string: it must name {there} too")
    return msgspec.structs.replace(plan, moved=(Moved(wish.host, server, to),), notes=tuple(notes))


def why_not_now(health: Health, live: Members, server: Server, to: Server) -> Reason | None:
    """What keeps a member from being moved in this moment: it leads, or the others could not do without it."""
    if leader_in(health) == server.id and _between_servers(server) != _between_servers(to):
        what = f"{server.id} leads, and loses its followers with its quorum or election port"
        return Reason("R8", what, ("the others would elect (measured: 0.3 to 0.6 s without a leader)",))
    rest = in_sync(health) - {server.id}
    if server.votes and not live.quorums.contains_quorum(rest):
        told = f"in sync without {server.id}: {braces(rest)}; {live.quorums.describe()}"
        return Reason("R4", f"should {server.id} not be found at its new place, no quorum is left", (told,))
    return None


def _between_servers(server: Server) -> frozenset[object]:
    return frozenset(server.canonical.addresses)


def _cannot(health: Health, live: Members, server: Server, inventory: Inventory, wish: AddressWish) -> Refusal | None:
    to, host = wish.to, inventory.host(wish.host)
    if len(server.addresses) > 1:
        told = (server.line, f"the inventory gives one: {to.line}")
        other = ((f"zkprov replace-node {wish.host} …", "puts a new server in its place"),)
        return Refusal("R8", f"{wish.host} has several addresses, which an inventory does not name.", told, other, 4)
    if (server.client is None) is not (to.client is None):
        told = (f"the list: {server.line}", f"the inventory: {to.line}")
        leave = (
            ("", "leave zkprov_posture as it is: where clients are served in the clear is no matter of the address"),
        )
        return Refusal("R8", f"{wish.host} would begin or end to serve clients in the clear.", told, leave, 4)
    if host is not None and (why := _known_by_place(host.at(server), host.at(to))):
        told = (f"it is asked at {host.at(server).client} now, and would be at {host.at(to).client}", why)
        ways = (
            ("", f"leave {wish.host}'s name, and its place for clients, as they are"),
            (f"zkprov replace-node {wish.host} …", "puts a new server in its place"),
        )
        return Refusal("R8", f"{wish.host} could not be asked on its way.", told, ways, 4)
    if taken := _taken(live, to):
        way = ("", "give it ports or a name of its own in the inventory")
        return Refusal("R8", f"{to.line} is another member's place.", taken, (way,), 4)
    reason = why_not_now(health, live, server, to)
    if reason is None or (reason.rule == "R4" and "R4" in wish.options.overrides):
        return None
    if reason.rule == "R8":
        ways = ((f"zkprov restart --only {wish.host}", "hands over first"), (wish.command, "again, then"))
        return Refusal("R8", f"{reason.what}.", reason.evidence, ways, 4)
    ways = (
        ("zkprov status", "shows who is missing"),
        (f"{wish.command} --override R4 --reason …", "nobody can write should it not be found there"),
    )
    return Refusal("R4", f"{reason.what}.", reason.evidence, ways)


def _known_by_place(here: InventoryHost, there: InventoryHost) -> str:
    """Why zkprov gets through to a server at one of the two places only; empty where it does at both."""
    where = "where the inventory names the server, and nowhere else"
    if here.posture.clients and here.client != there.client:
        return f"TLS is spoken {where}"
    if here.client_sasl and here.client != there.client:
        return f"who we are is said by SASL {where}"
    return f"a tunnel leads {where}" if set(here.tunnels) != set(there.tunnels) else ""


def _taken(live: Members, to: Server) -> tuple[str, ...]:
    """ZooKeeper itself takes the same place twice on loopback (3.9.5, measured)."""
    ours = to.canonical.listens_at
    return tuple(s.line for s in live.servers if s.id != to.id and s.canonical.listens_at & ours)


def _steps(health: Health, live: Members, server: Server, wish: AddressWish) -> tuple[Step, ...]:
    after = live.with_server(wish.to)
    proofs = tuple(Proof(label, str(p.verdict)) for label, p in prove_move(health.picture, live, wish.to))
    asks, left = tuple(g.gate for g in health.gates), spare(after.quorums, in_sync(health) & after.voters)
    undo = f"{server.id} is at its former place again"
    before, then = live.at_version(0), after.at_version(0)
    first = Step(1, StepKind.MOVE, server.id, wish.host, before, then, left, proofs, asks, undo)
    if wish.options.settle_s <= 0:
        return (first,)
    settle = Step(2, StepKind.SETTLE, server.id, wish.host, then, then, left, (), asks, wait_s=wish.options.settle_s)
    return first, settle
