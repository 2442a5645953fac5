"""What an inventory says otherwise of servers that others set up than they show themselves: told, each with its variable."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.facts_made import Made, ensemble, healthy, host
from zkprov.judge.layout import misplaced, unlike_members
from zkprov.judge.verdict import Purpose, Verdict
from zkprov.model.facts import Disk, Fact, Outcome
from zkprov.model.inventory import InventoryHost
from zkprov.model.server import HostPort

RUNS = "/etc/zookeeper/zoo.cfg: missing, and a ZooKeeper server runs there on /srv/zk/zoo.cfg (zk.service)"


def with_disks(made: Made, **changes: object) -> Made:
    for n in (1, 2, 3):
        disk = next(s for s in made.servers if s.name == f"zk{n}").disk.value
        assert disk is not None
        made = made.having(n, disk=msgspec.structs.replace(disk, **changes))
    return made


def hosts(**changes: object) -> list[InventoryHost]:
    return [msgspec.structs.replace(host(n), **changes) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"quorum_port": 12888}, "zkprov_quorum_port is 12888"),
        ({"election_port": 13888, "address": "zk"}, "zkprov_address is zk, zkprov_election_port is 13888"),
    ],
)
def test_a_member_at_another_place(changes: dict[str, object], told: str) -> None:
    found = misplaced(healthy(3).health(Purpose.CHANGE).picture, hosts(**changes))
    assert len(found) == (3 if told else 0) and all(line.endswith(told) for line in found)


def test_a_member_in_another_group() -> None:
    live = msgspec.structs.replace(healthy(3).live, groups=((1, (1, 2)), (2, (3,))), weights=((2, 3),))
    grouped, plain = (made.health(Purpose.CHANGE).picture for made in (ensemble(live, 3), healthy(3)))
    assert misplaced(grouped, hosts()) == misplaced(plain, hosts(quorum_weight=1)) == ()
    assert misplaced(grouped, hosts(quorum_group=1, quorum_weight=3)) == (
        "zk1 votes in group 1: by the inventory zkprov_quorum_weight is 3",
        "zk3 votes in group 2: by the inventory zkprov_quorum_group is 1, zkprov_quorum_weight is 3",
    )
    assert misplaced(plain, hosts(quorum_group=1))[0] == (
        "zk1 votes in a list without groups: by the inventory zkprov_quorum_group is 1"
    )


def test_a_member_that_another_unit_runs() -> None:
    made = with_disks(healthy(3), unit="zk-prod.service")
    picture = made.health(Purpose.CHANGE).picture
    assert misplaced(picture, hosts()) == tuple(
        f"zk{n}: its server is run by zk-prod.service, zkprov_unit says zookeeper" for n in (1, 2, 3)
    )
    assert not misplaced(picture, hosts(unit="zk-prod")) and not misplaced(picture, hosts(start_command="x"))
    assert not misplaced(with_disks(healthy(3), unit="").health().picture, hosts())


def test_a_joiner_with_other_settings_than_the_members() -> None:
    usual = {
        "tickTime": "1000",
        "syncLimit": "10",
        "4lw.commands.whitelist": "srvr,mntr",
        "dataDir": "/d",
        "reconfigEnabled": "true",
    }
    picture = with_disks(healthy(3), settings=usual).health().picture
    assert not unlike_members(
        picture, "zk4", {**usual, "dataDir": "/other", "4lw.commands.whitelist": "srvr , mntr", "more": "x"}
    )
    told = unlike_members(
        picture, "zk4", {"tickTime": "2000", "reconfigEnabled": "TRUE", "4lw.commands.whitelist": "srvr"}
    )
    assert told.startswith("zk4 will have other settings than the members: 4lw.commands.whitelist srvr (srvr,mntr), ")
    assert "syncLimit not set (10), tickTime 2000 (1000); " in told and "dataDir" not in told
    # a secret is compared by nobody: of the members it was read hidden, and the joiner's is not to be shown
    digest = {"DigestAuthenticationProvider.superDigest": "(hidden)"}
    secret = with_disks(healthy(3), settings={**usual, **digest}).health().picture
    assert unlike_members(secret, "zk4", {**usual, **dict.fromkeys(digest, "super:c4nary")}) == ""
    # what the members do not have alike is no rule for it; and of disks that nobody read nothing is known
    mixed = with_disks(healthy(3), settings=usual).having(2, disk=Disk(2, {**usual, "tickTime": "3000"}))
    assert "tickTime" not in unlike_members(mixed.health().picture, "zk4", {})
    unread = healthy(3).having(1, disk=Outcome.DENIED).having(2, disk=Outcome.DENIED).having(3, disk=Outcome.DENIED)
    assert unlike_members(unread.health().picture, "zk4", {}) == ""


def test_members_that_run_on_other_files_are_unknown_and_not_called_static() -> None:
    health = with_disks(healthy(3), settings={}, acting=None, problems=(RUNS,), server_elsewhere=RUNS).health(
        Purpose.CHANGE
    )
    for gate in ("same config", "dynamic"):
        found = health.gate(gate)
        assert found.verdict is Verdict.UNKNOWN and all(RUNS in str(e) for e in found.evidence), found
    assert "zkprov_config_dir" in health.gate("same config").remedy


def test_a_client_port_that_is_not_the_line_s_is_told() -> None:
    made = healthy(3).down(1, 2, 3, disk=True)
    for n in (1, 2, 3):
        servers = tuple(
            msgspec.structs.replace(s, client=HostPort(f"10.0.0.{n}", 12181)) if s.name == f"zk{n}" else s
            for s in made.servers
        )
        made = msgspec.structs.replace(made, servers=servers)
    gate = made.health().gate("members answer")
    assert "its line has clients at 2181 (zkprov_client_port)" in gate.summary
    assert "zkprov_client_port" not in healthy(3).down(1, disk=True).health().gate("members answer").summary


def test_a_fact_of_another_s_server_goes_with_no_value() -> None:
    with pytest.raises(ValueError, match="a value goes with"):
        Fact("disk", Outcome.ANOTHERS, Disk(1, {}))
