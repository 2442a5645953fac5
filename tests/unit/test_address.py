"""A member's move: what is proved of it, what is refused for how zkprov gets through, and whether anything listens at a place."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import msgspec
import pytest

from tests.unit.facts_made import Made, healthy, host, inventory, outage
from zkprov.judge.one_quorum import prove_move
from zkprov.judge.verdict import Purpose
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture
from zkprov.model.server import ClientAddress, HostPort, Server, ServerAddress
from zkprov.plan.address import AddressWish, plan_address
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.run.reaching import answering


def to(server_id: int, *, port: int = 2888, client: int = 2200) -> Server:
    return Server(
        server_id, (ServerAddress(f"10.0.0.{server_id}", port, 3888),), client=ClientAddress(client, "0.0.0.0")
    )


def planned(made: Made, want: Server, at: InventoryHost) -> Plan | Refusal:
    wish = AddressWish("4f1c", at.name, want, Options(settle_s=0.0), 0.0, "op@host", "0.1.0")
    return plan_address(made.health(Purpose.CHANGE), inventory(9, **{at.name: at}), wish)


def verdicts(made: Made, want: Server) -> set[str]:
    live = made.health().picture.live
    assert live is not None
    return {str(p.verdict) for _, p in prove_move(made.health().picture, live, want)}


def test_a_move_is_proved_and_the_proof_can_fail() -> None:
    assert verdicts(healthy(3), to(1, port=2900)) == {"safe"}
    # whatever place 1 has, the other four elect under their own list
    assert verdicts(outage(), to(1, port=2900)) == {"unsafe"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"posture": Posture.TLS}, "TLS is spoken where the inventory names the server"),
        ({"client_sasl": True}, "by SASL where the inventory names the server"),
        ({"connection": "ssh", "tunnel": True}, "a tunnel leads where the inventory names the server"),
    ],
)
def test_who_is_got_through_to_by_his_place_keeps_it(more: dict[str, object], why: str) -> None:
    at = msgspec.structs.replace(host(1), **more)
    moved = msgspec.structs.replace(to(1), addresses=(ServerAddress("zk1.example.com", 2888, 3888),))
    made = planned(healthy(3), moved, at)
    assert isinstance(made, Refusal) and made.exit_code == 4 and why in " ".join(made.evidence) and len(made.next) == 2
    ports = planned(healthy(3), to(1, port=2900, client=2181), at)
    assert isinstance(ports, Plan) and ports.steps, "what is between servers is no matter of it"


def test_whether_anything_listens_is_tried() -> None:
    world = SimpleNamespace(inventory_host=lambda _: host(1))
    with socket.create_server(("127.0.0.1", 0)) as open_, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        here, not_here = (HostPort("127.0.0.1", s.getsockname()[1]) for s in (open_, closed))
        assert answering(world, "zk1", {here, not_here}) == {here}  # type: ignore[arg-type]
