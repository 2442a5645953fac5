"""What a posture makes of a host: its line, its settings, its endpoint; and the variables that it needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.facts_made import facts, members
from zkprov.act import reconfig
from zkprov.act.render import render_host
from zkprov.judge.picture import Standing, is_at, member_at, picture_of
from zkprov.judge.rendering import joiner_list, judge_rendered
from zkprov.model.config import parse_zoo_cfg
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.posture import ClientFiles, Posture
from zkprov.model.problems import BadInput
from zkprov.model.release import Release
from zkprov.model.server import ClientAddress, HostPort, Role, Server, ServerAddress
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.host_variables import host_of
from zkprov.observe.inventory import inventory_of

STORES = {"zkprov_key_store": "/etc/zookeeper/tls/key.pem", "zkprov_trust_store": "/etc/zookeeper/tls/ca.pem"}
RELEASE = Release.parse("3.9.5")


def of(posture: str, **variables: Any):
    stores = {} if posture == "plain" else STORES
    return host_of("10.0.0.4", {"zkprov_id": 4, "zkprov_posture": posture, **stores, **variables}, "i.yml")


@pytest.mark.parametrize(
    ("posture", "part", "client"),
    [
        ("plain", ";2181", 2181),
        ("quorum-tls", ";2181", 2181),
        ("tls", ";127.0.0.1:2181", 2281),
        ("tls-only", "", 2281),
    ],
)
def test_the_line_and_where_clients_are_served(posture: str, part: str, client: int) -> None:
    host = of(posture)
    server = Server(4, (host.server_address,), client=host.client_part)
    assert server.value == f"10.0.0.4:2888:3888:participant{part}"
    assert host.client == HostPort("10.0.0.4", client)


@pytest.mark.parametrize("posture", list(Posture))
def test_what_is_rendered_passes_the_judge_and_not_without_its_settings(posture: Posture) -> None:
    host = of(str(posture))
    joiner = Server(4, (host.server_address,), client=host.client_part)
    wish = joiner_list(members((1, 2, 3)), joiner)
    files = render_host(host, wish, release=RELEASE, server_id=4)

    def judged(changed: dict[str, str]) -> list[str]:
        found = judge_rendered(changed, wish=wish, server_id=4, host=host, release=RELEASE)
        return [str(v) for v in found]

    assert judged(files) == []
    settings = parse_zoo_cfg(files["zoo.cfg"], "zoo.cfg").settings
    assert ("sslQuorum" in settings, "secureClientPort" in settings) == (posture.quorum, posture.clients)
    assert "clientPort" not in settings, "the line says it, or nobody is served in the clear"
    for key in host.posture_settings:
        without = "".join(x for x in files["zoo.cfg"].splitlines(True) if not x.startswith(f"{key}="))
        assert any(f"{key} must be" in v for v in judged({**files, "zoo.cfg": without}))
    if posture is Posture.TLS_ONLY:
        clear = judged({**files, "zoo.cfg": files["zoo.cfg"] + "clientPort=2181\n"})
        assert any("clientPort must be unset" in v for v in clear)


def test_settings_that_are_asked_for() -> None:
    host = of("tls", zkprov_super_dn="CN=zkprov,O=Example", zkprov_enforce_auth=True, zkprov_client_host="10.0.0.4")
    assert {
        "X509AuthenticationProvider.superUser": "CN=zkprov,O=Example",
        "enforce.auth.enabled": "true",
        "enforce.auth.schemes": "x509",
        "secureClientPortAddress": "10.0.0.4",
    }.items() <= host.posture_settings.items()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"zkprov_posture": "mtls"}, "not a posture"),
        ({"zkprov_posture": "tls"}, "needs zkprov_key_store and zkprov_trust_store"),
        ({"zkprov_posture": "tls", "zkprov_key_store": "/k"}, "needs zkprov_trust_store"),
        (STORES, "zkprov_posture is plain"),
        ({"zkprov_posture": "quorum-tls", **STORES, "zkprov_super_dn": "CN=x"}, "zkprov_super_dn set, and clients do not"),
        ({"zkprov_posture": "tls", **STORES, "zkprov_super_dn": "zkprov"}, "not a subject"),
        ({"zkprov_posture": "tls", **STORES, "zkprov_super_dn": "CN=a\nsuper=1"}, "line break"),
        ({"zkprov_posture": "tls", **STORES, "zkprov_enforce_auth": "x509"}, "neither true nor false"),
        ({"zkprov_posture": "tls", **STORES, "zkprov_key_store": "../key.pem"}, "not an absolute path"),
        ({"zkprov_posture": "tls", **STORES, "zkprov_secure_client_port": 0}, "not a port"),
    ],
)  # fmt: skip
def test_what_is_refused(variables: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        host_of("zk1", variables, "i.yml")
    assert refused.value.remedy and "zk1" in str(refused.value)


TLS = {"zkprov_posture": "tls", **STORES}
CA = {"zkprov_ca_file": "/etc/zkprov/ca.pem"}


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (TLS, TLS, "whom to trust"),
        ({**TLS, **CA}, TLS | CA | {"zkprov_cert_file": "/c"}, "zkprov_key_file is missing"),
        ({**TLS, **CA}, CA, "zkprov_posture is plain, that of zk1 is tls"),
        (TLS | CA | {"zkprov_super_dn": "CN=a"}, TLS | CA, "zkprov_super_dn is unset, that of zk1 is CN=a"),
        (TLS | CA | {"zkprov_enforce_auth": True}, TLS | CA, "zkprov_enforce_auth is false, that of zk1 is true"),
        ({**TLS, **CA}, {**TLS, "zkprov_ca_file": "/other"}, "zkprov_ca_file differs"),
        ({**TLS, "zkprov_ca_file": "ca.pem"}, {**TLS, "zkprov_ca_file": "ca.pem"}, "a relative path"),
    ],
)
def test_what_is_refused_of_a_group(one: dict[str, Any], two: dict[str, Any], said: str) -> None:
    hosts = {"zk1": one, "zk2": two}
    with pytest.raises(BadInput, match=said):
        inventory_of(Listing({"zk": tuple(hosts)}, hosts), "i.yml", None)


def test_files_of_a_group() -> None:
    hosts = {n: TLS | CA | {"zkprov_cert_file": "/c.pem", "zkprov_key_file": "/k.pem"} for n in ("zk1", "zk2")}
    found = inventory_of(Listing({"zk": tuple(hosts)}, hosts), "i.yml", None)
    assert found.client_files == ClientFiles("/etc/zkprov/ca.pem", "/c.pem", "/k.pem")


# -- who is who, where lines name no endpoint that serves us


def secure_server(server_id: int, part: ClientAddress | None) -> Server:
    return Server(server_id, (ServerAddress(f"10.0.0.{server_id}", 2888, 3888),), client=part)


@pytest.mark.parametrize("part", [None, ClientAddress(2181, "127.0.0.1")], ids=["no client part", "on loopback"])
def test_a_member_is_known_by_its_place_among_servers(part: ClientAddress | None) -> None:
    live = Members.of(*(secure_server(i, part) for i in (1, 2, 3)), version=5)
    two = facts("zk2", HostPort("10.0.0.2", 2281))
    assert member_at(live, two) is None
    two = type(two)(two.name, two.client, address=ServerAddress("10.0.0.2", 2888, 3888))
    assert member_at(live, two) == live.get(2), "also one that does not answer"
    moved = type(two)(two.name, two.client, address=ServerAddress("10.0.0.2", 2889, 3889))
    assert member_at(live, moved) is None


def test_but_not_against_its_own_list() -> None:
    """Another ensemble's server at that host."""
    live = Members.of(*(secure_server(i, None) for i in (1, 2, 3)), version=5)
    elsewhere = Members.of(Server(2, (ServerAddress("10.9.9.9", 2888, 3888),)), version=5)
    two = facts("zk2", HostPort("10.0.0.2", 2281), config=elsewhere)
    two = type(two)(two.name, two.client, address=ServerAddress("10.0.0.2", 2888, 3888), config=two.config)
    assert not is_at(two, live.servers[1])


def test_an_endpoint_that_all_members_have_alike_is_nobodys() -> None:
    """Asked on a member's own host, by the loopback address that every line names."""
    live = Members.of(*(secure_server(i, ClientAddress(2181, "127.0.0.1")) for i in (1, 2, 3)), version=5)
    here = facts("127.0.0.1:2181", HostPort("127.0.0.1", 2181), config=live, session=3)
    assert member_at(live, here) == live.get(3), "by its own word, and its own list"
    picture = picture_of(Survey("kafka", 0.0, 0.1, (here,)))
    assert (picture.of(Standing.ROGUE), picture.member_id(here)) == ((), 3)
    silent = facts("127.0.0.1:2181", HostPort("127.0.0.1", 2181))
    assert member_at(live, silent) is None, "it may be any of them"


def test_a_host_of_another_place_is_not_believed_by_its_id_alone() -> None:
    live = Members.of(*(secure_server(i, None) for i in (1, 2, 3)), version=5)
    nine = facts("zk9", HostPort("10.0.0.9", 2281), session=2)
    nine = type(nine)(nine.name, nine.client, address=ServerAddress("10.0.0.9", 2888, 3888), session=nine.session)
    assert member_at(live, nine) is None


# -- the whole list anew


class Asked:
    """A client that takes down what it is asked; whether ZooKeeper takes it is tested on real servers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def reconfig_async(self, *asked: Any) -> Any:
        self.asked.append(asked)
        return SimpleNamespace(ready=lambda: True, get=lambda block: None)


def test_a_server_without_a_client_part_comes_in_by_the_whole_list() -> None:
    live = Members.of(*(secure_server(i, None) for i in (1, 2, 3)), version=0x500000002)
    joining = secure_server(4, None).with_role(Role.OBSERVER)
    client = Asked()
    assert reconfig.join(client, joining, live).answer is reconfig.Answer.APPLIED
    lines = "\n".join(s.line for s in (*live.servers, joining))
    assert client.asked == [(None, None, lines, 0x500000002)]


@pytest.mark.parametrize(
    ("joining", "version"), [(secure_server(3, None), 5), (secure_server(4, None), 0)], ids=["no change", "no version"]
)
def test_one_server_differs_and_no_other(joining: Server, version: int) -> None:
    live = Members.of(*(secure_server(i, None) for i in (1, 2, 3)), version=version)
    client = Asked()
    with pytest.raises(ValueError):
        reconfig.join(client, joining, live)
    assert client.asked == []


def test_alone_it_is_not_even_asked_for() -> None:
    client = Asked()
    with pytest.raises(ValueError, match="client part"):
        reconfig.change(client, from_config=5, joining=secure_server(4, None))
    assert client.asked == []


def test_the_docs_name_every_variable() -> None:
    table = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()
    for variable in (
        *STORES,
        "zkprov_posture",
        "zkprov_secure_client_port",
        "zkprov_super_dn",
        "zkprov_enforce_auth",
        *CA,
    ):
        assert f"`{variable}`" in table
