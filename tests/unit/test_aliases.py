"""One server under several names is one; two servers with one id are two."""

from __future__ import annotations

import msgspec
import pytest

from zkprov.model.facts import Disk, Fact, ListOnDisk, Mode, Outcome, ServerFacts, Srvr
from zkprov.model.members import Members
from zkprov.model.server import HostPort, Server, ServerAddress
from zkprov.observe.aliases import NEAR, one_each, server_id_of

THREE = 3 << 56 | 0x0AB26C5 << 16
SRVR = Fact("srvr", Outcome.OK, Srvr(Mode.LEADER, 1 << 32, "3.9.5", 1, 5))


def server(name: str, *known_as: str, srvr: Fact[Srvr] | None = None) -> ServerFacts:
    return ServerFacts(name, HostPort(name, 2181), known_as, srvr=srvr or Fact("srvr", Outcome.CLOSED))


def test_the_first_byte_is_the_server() -> None:
    assert server_id_of(THREE) == 3
    assert server_id_of(255 << 56 | 1) == 255
    assert server_id_of(1 << 40) is None, "a server that runs alone does not say"


def test_the_first_name_stays_and_has_what_the_others_told() -> None:
    (one,) = one_each(
        [server("door", "connect"), server("zk3", "named by 1", srvr=SRVR)], {"door": THREE, "zk3": THREE + 1}
    )
    assert one.name == "door" and one.srvr is SRVR and one.known_as == ("connect", "named by 1")


@pytest.mark.parametrize("other", [THREE + NEAR, THREE - NEAR, THREE + (1 << 56), None])
def test_another_process_is_another_server(other: int | None) -> None:
    """A copy of a disk runs under the same id, and began to count at another moment: that danger is not to be hidden."""
    sessions = {"a": THREE} | ({"b": other} if other is not None else {})
    assert len(one_each([server("a", "connect"), server("b", "connect")], sessions)) == 2


def test_servers_that_do_not_say_who_they_are_all_stay() -> None:
    assert len(one_each([server("a", "connect"), server("b", "connect")], {"a": 1 << 40, "b": 1 << 40})) == 2


def test_hosts_of_an_inventory_all_stay() -> None:
    both = [server("zk3", "inventory"), server("vip", "inventory")]
    assert len(one_each(both, {"zk3": THREE, "vip": THREE})) == 2
    assert len(one_each([*both, server("x", "retired")], {"zk3": THREE, "vip": THREE, "x": THREE})) == 2


@pytest.mark.parametrize(("my_id", "port", "alike"), [(1, 2888, True), (2, 2888, False), (1, 2889, False)])
def test_a_line_without_a_client_part_is_the_host_whose_disk_says_so(my_id: int, port: int, alike: bool) -> None:
    """Of a static ensemble, one that is down: nobody but its disk says that it is the server of that line."""
    line = Server(1, (ServerAddress("10.0.0.1", 2888, 3888),))
    own = Members.of(Server(my_id, (ServerAddress("10.0.0.1", port, 3888),)))
    down = msgspec.structs.replace(
        server("zk1", "inventory"), disk=Fact("disk", Outcome.OK, Disk(my_id, {}, ListOnDisk(own, "zoo.cfg:1")))
    )
    named = ServerFacts(f"10.0.0.1:{line.address.quorum_port}", None, ("named by 2",), 1)
    assert len(one_each([down, named], {})) == (1 if alike else 2)
