"""The config model: what is printed parses to the same, and what ZooKeeper refuses is refused with line and reason."""

from __future__ import annotations

import ipaddress
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkprov.model.config import (
    HIDDEN,
    is_secret,
    parse_members,
    parse_server_line,
    parse_zoo_cfg,
    print_members,
    redacted,
    version_from_file_name,
)
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress

ports = st.integers(1, 65535)
names = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12).map(lambda s: f"h{s}.example")
hosts = st.one_of(
    names,
    st.integers(0, 2**32 - 1).map(lambda i: str(ipaddress.IPv4Address(i))),
    st.integers(0, 2**128 - 1).map(lambda i: str(ipaddress.IPv6Address(i))),
)
addresses = st.builds(ServerAddress, hosts, st.integers(1, 30000), st.integers(30001, 65535))
clients = st.none() | st.builds(ClientAddress, ports, st.none() | hosts)


@st.composite
def servers(draw: st.DrawFn, server_id: int, role: Role) -> Server:
    several = draw(st.lists(addresses, min_size=1, max_size=3, unique_by=lambda a: a.host))
    return Server(server_id, tuple(several), role, draw(clients))


@st.composite
def member_lists(draw: st.DrawFn) -> Members:
    ids = sorted(draw(st.sets(st.integers(0, 255), min_size=1, max_size=7)))
    roles = [Role.PARTICIPANT, *(draw(st.sampled_from(Role)) for _ in ids[1:])]
    found = tuple(draw(servers(i, r)) for i, r in zip(ids, roles, strict=True))
    version = draw(st.integers(0, 2**63 - 1))
    voters = [s.id for s in found if s.votes]
    if draw(st.booleans()):
        return Members(found, version)
    group_of = {i: draw(st.integers(1, 3)) for i in voters}
    groups = tuple((g, tuple(i for i in voters if group_of[i] == g)) for g in sorted(set(group_of.values())))
    weights = tuple(sorted(draw(st.dictionaries(st.sampled_from(voters), st.integers(0, 9))).items()))
    return Members(found, version, groups, weights)


@given(member_lists())
@settings(max_examples=200, deadline=None)
def test_what_is_printed_parses_to_the_same(members: Members) -> None:
    assert parse_members(print_members(members, True), "znode") == members.canonical
    assert parse_members(print_members(members, False), "file", members.version) == members.canonical
    assert members.canonical.canonical == members.canonical
    assert members.same_list(members.canonical)
    assert members.quorums.voters == members.canonical.quorums.voters


@given(member_lists(), st.sets(st.integers(0, 255)))
@settings(max_examples=100, deadline=None)
def test_printing_keeps_the_quorums(members: Members, ids: set[int]) -> None:
    again = parse_members(print_members(members, True), "znode")
    assert again.quorums.contains_quorum(ids) == members.quorums.contains_quorum(ids)


def test_printed_as_zookeeper_prints() -> None:
    members = Members.of(
        *(Server(i, (ServerAddress("zk1", 2888, 3888),), client=ClientAddress(2181)) for i in (1, 2, 10)),
        Server(4, (ServerAddress("::1", 1, 2), ServerAddress("10.0.0.1", 1, 2)), Role.OBSERVER),
        version=0x500000007,
    )
    assert print_members(members, True).splitlines() == [
        "server.1=zk1:2888:3888:participant;0.0.0.0:2181",
        "server.2=zk1:2888:3888:participant;0.0.0.0:2181",
        "server.4=[0:0:0:0:0:0:0:1]:1:2|10.0.0.1:1:2:observer",
        "server.10=zk1:2888:3888:participant;0.0.0.0:2181",
        "version=500000007",
    ]
    # Java sorts the file's lines as text: `server.10=` before `server.1=`, since `0` is before `=`.
    assert [line.partition("=")[0] for line in print_members(members, False).splitlines()] == [
        "server.10",
        "server.1",
        "server.2",
        "server.4",
    ]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("zk1:2888:3888", Server(1, (ServerAddress("zk1", 2888, 3888),))),
        ("zk1:2888:3888:observer", Server(1, (ServerAddress("zk1", 2888, 3888),), Role.OBSERVER)),
        (
            "zk1:2888:3888: OBSERVER ;2181",
            Server(1, (ServerAddress("zk1", 2888, 3888),), Role.OBSERVER, ClientAddress(2181)),
        ),
        ("zk1:2888:3888;", Server(1, (ServerAddress("zk1", 2888, 3888),))),
        ("zk1:2888:3888:", Server(1, (ServerAddress("zk1", 2888, 3888),))),
        ("zk1:2888:3888;[::1]:2181", Server(1, (ServerAddress("zk1", 2888, 3888),), client=ClientAddress(2181, "::1"))),
        ("[fe80::1%eth0]:2888:3888", Server(1, (ServerAddress("fe80::1%eth0", 2888, 3888),))),
        (
            "a:1:2:observer|b:1:2;10.0.0.1:2181",
            Server(
                1, (ServerAddress("a", 1, 2), ServerAddress("b", 1, 2)), Role.OBSERVER, ClientAddress(2181, "10.0.0.1")
            ),
        ),
        ("a:1:2|", Server(1, (ServerAddress("a", 1, 2),))),
    ],
)
def test_server_lines(value: str, wanted: Server) -> None:
    assert parse_server_line("1", value, "zoo.cfg:3") == wanted


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("server.1=", "no server address"),
        ("server.1=;", "no server address"),
        ("server.1=;2181", "no server address"),
        ("server.1=|", "is not host"),
        ("server.1=|a:1:2", "is not host"),
        ("server.1=a", "is not host:quorumPort"),
        ("server.1=a:1", "is not host:quorumPort"),
        ("server.1=a:1:2:observer:x", "is not host:quorumPort"),
        ("server.1=::1:2888:3888", "brackets"),
        ("server.1=[::1:2888:3888", "does not close"),
        ("server.1=[::1]", "no port after"),
        ("server.1=[::1]:", "no port after"),
        ("server.1=a:x:2", "not a port: 'x'"),
        ("server.1=a:1:65536", "not a port: 65536"),
        ("server.1=a:1:-2", "not a port: '-2'"),
        ("server.1=a:0:2", "not a port: 0"),
        ("server.1=a:1:2 ", "not a port: '2 '"),
        ("server.1=a:2888:2888", "must differ"),
        ("server.1=:1:2", "not a host name"),
        ("server.1=a b:1:2", "not a host name"),
        ("server.1=a:1:2:leader", "no such role"),
        ("server.1=a:1:2:observer|b:1:2:participant", "one role"),
        ("server.1=a:1:2;x", "not a port: 'x'"),
        ("server.1=a:1:2;h:1:2", "client part"),
        ("server.1=a:1:2;2181;2281", "more than one `;`"),
        ("server.1=a:1:2;2181 ", "not a port: '2181 '"),
        ("server.one=a:1:2", "not an id: 'one'"),
        ("server.=a:1:2", "not an id: ''"),
        ("server.-1=a:1:2", "not an id: '-1'"),
        ("server.1=a:1:2\\u00zz", "not a Java properties line"),
        ("clientPort=2181", "no place in a member list"),
        ("version=100", "must not hold its version"),
        ("weight.9=1", "is in no group"),
        ("group.1=9\nweight.9=x", "not a weight: 'x'"),
        ("group.1=9\nweight.9=-1", "not a weight: '-1'"),
        ("group.1=", "not an id: ''"),
        ("group.1=9:x", "not an id: 'x'"),
        ("group.1=9:9", "server 9 is in two groups"),
        ("group.1=9:8", "holds 8, which is no participant"),
        ("group=9", "write group.N"),
        ("group.x=9", "not an id: 'x'"),
        ("weights=9", "write weight.N"),
    ],
)
def test_what_zookeeper_refuses_is_refused_with_its_line(line: str, reason: str) -> None:
    text = "# by hand\r\nserver.9=zk9:2888:3888\n" + line
    with pytest.raises(BadInput) as refused:
        parse_members(text, "zk1/zoo.cfg.dynamic.0", 0)
    assert reason in str(refused.value)
    place, _, number = refused.value.place.rpartition(":")
    assert place == "zk1/zoo.cfg.dynamic.0"
    assert int(number) in range(2, 5)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", "f", "no server line"),
        ("# nothing\n", "f", "no server line"),
        ("server.1=a:1:2:observer", "f:1", "observers without participants"),
        ("server.1=a:1:2\n\nserver.1=b:1:2", "f:3", "server.1 stands twice, first in line 1"),
        ("server.1=a:1:2\nserver.01=b:1:2", "f:2", "same"),
        ("server.1=a:1:2\nserver.2=a:1:3\ngroup.1=1", "f:2", "server 2 is in no group"),
        ("\ufeffserver.1=a:1:2", "f:1", "byte order mark"),
        ("\u00ef\u00bb\u00bfserver.1=a:1:2", "f:1", "byte order mark"),
        ("server.1=a:1:2\n\\ server.2=b:1:2", "f:2", "blanks at its ends"),
        ("server.1=a:1:2\n\0\0\0", "f:2", "NUL"),
        ("server.1=a:1:2\nversion=0x1", "f:2", "not a config version"),
        ("server.1=a:1:2\nversion=8000000000000000", "f:2", "not a config version"),
    ],
)
def test_lists_that_are_refused(text: str, place: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as refused:
        parse_members(text, "f")
    assert refused.value.place == place


def test_properties_are_read_as_java_reads_them() -> None:
    text = "! comment\r\n  server.1 : zk1:2888\\\n   :3888\rserver.2 zk\\u0032:2888:3888\r\n\r\nversion=1a\n"
    members = parse_members(text, "f")
    assert [str(s.address) for s in members.servers] == ["zk1:2888:3888", "zk2:2888:3888"]
    assert members.version == 0x1A


def test_a_zero_weight_observer_may_stand_in_a_group() -> None:
    members = parse_members("server.1=a:1:2\nserver.2=b:1:2:observer\ngroup.1=1\ngroup.2=2\nweight.2=0", "f")
    assert members.quorums.contains_quorum({1})


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("zoo.cfg.dynamic.100000000", 0x100000000),
        ("/etc/zk/zoo.cfg.dynamic.A", 10),
        ("zoo.cfg.dynamic", 0),
        ("members", 0),
        ("members.txt", 0),
        ("members.bad", 0xBAD),
        ("/etc/zk.1/members", 0),
    ],
)
def test_version_from_file_name(name: str, version: int) -> None:
    assert version_from_file_name(name) == version


@pytest.mark.parametrize("suffix", ["next", "10000000z", "", "-1", "bak", "8000000000000000"])
def test_junk_versions_are_refused(suffix: str) -> None:
    with pytest.raises(BadInput, match="reads version 0"):
        version_from_file_name(f"zoo.cfg.dynamic.{suffix}")


ZOO_CFG = """\
# the ensemble of \\u0041
tickTime=2000\r
dataDir = /var/lib/zookeeper
clientPort:2181
reconfigEnabled true
ssl.keyStore.password=hunter2
DigestAuthenticationProvider.superDigest=super:abc=
server.1=zk1:2888:3888
server.2=zk2:2888\\
  :3888
"""


def test_a_zoo_cfg() -> None:
    cfg = parse_zoo_cfg(ZOO_CFG, "zk1/zoo.cfg")
    assert cfg.text == ZOO_CFG
    assert cfg.settings["dataDir"] == "/var/lib/zookeeper"
    assert cfg.settings["reconfigEnabled"] == "true"
    assert cfg.static == Members.of(*(Server(i, (ServerAddress(f"zk{i}", 2888, 3888),)) for i in (1, 2)))
    assert (cfg.list_line, cfg.line_of("clientPort"), cfg.line_of("nothing")) == (8, 4, None)
    assert cfg.dynamic_config_file is None
    assert not cfg.refusals()
    shown = str(cfg.public_settings) + redacted(ZOO_CFG)
    assert "hunter2" not in shown
    assert "super:abc" not in shown
    assert cfg.public_settings["ssl.keyStore.password"] == HIDDEN
    assert redacted(ZOO_CFG).count("\n") == ZOO_CFG.count("\n")


def test_a_static_list_has_the_version_that_the_file_says() -> None:
    assert parse_zoo_cfg("server.1=a:1:2\nversion=ff\n", "zoo.cfg").static == Members.of(
        Server(1, (ServerAddress("a", 1, 2),)), version=255
    )


def test_equal_keys_are_named_and_the_last_counts() -> None:
    cfg = parse_zoo_cfg("server.1=a:1:2\nserver.2=b:1:2\nserver.2=c:1:2\n", "zoo.cfg")
    assert cfg.static
    assert cfg.static.servers[1].address.host == "c"
    assert cfg.twice == ("zoo.cfg:3: server.2 stands twice (first in line 2); ZooKeeper takes the last",)


def test_two_lists_are_refused() -> None:
    with pytest.raises(BadInput, match="does not start with both") as refused:
        parse_zoo_cfg("dynamicConfigFile=/etc/d\nserver.1=a:1:2\n", "zk1/zoo.cfg")
    assert refused.value.place == "zk1/zoo.cfg:2"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("standaloneEnabled=no", "true or false"),
        ("reconfigEnabled=1", "true or false"),
        ("tickTime=2s", "must be a number"),
        ("electionAlg=1", "must be 3"),
        ("peerType=voter", "peerType"),
        ("clientPortAddress=10.0.0.1", "clientPort is not"),
        ("server.1=a:1:2\nserver.2=b:1:2:observer", "one participant and observers"),
    ],
)
def test_settings_that_zookeeper_refuses(line: str, reason: str) -> None:
    (found,) = parse_zoo_cfg(f"dataDir=/d\n{line}\n", "z").refusals()
    assert found.startswith("z:2: ")
    assert reason in found


def test_a_missing_data_dir_is_told() -> None:
    assert parse_zoo_cfg("tickTime=1\n", "z").refusals() == ("z:1: dataDir is not set",)


texts = st.text(st.sampled_from("ab=:#!\\ \t\r\n.1u"), max_size=40)
keys = st.sampled_from(["a", "b", "tickTime"])
values = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp")), max_size=10)


def _parsable(text: str) -> bool:
    try:
        parse_zoo_cfg(text, "z")
    except BadInput:
        return False
    return True


@given(texts.filter(_parsable), keys, values)
@settings(max_examples=400, deadline=None)
def test_a_zoo_cfg_loses_nothing(text: str, key: str, value: str) -> None:
    cfg = parse_zoo_cfg(text, "z")
    assert cfg.text == text
    changed = cfg.with_setting(key, value)
    assert changed.settings.get(key) == value.strip()
    others = {k: v for k, v in cfg.settings.items() if k != key}
    assert {k: v for k, v in changed.settings.items() if k != key} == others
    assert parse_zoo_cfg(changed.text, "z") == changed
    assert key not in changed.without(key).settings
    assert {k: v for k, v in changed.without(key).settings.items() if k != key} == others


@pytest.mark.parametrize("value", ["a\nserver.9=x:1:2", "a\rb", "\x00", "a\u2028b"])
def test_no_line_can_be_smuggled_in_by_a_value(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        parse_zoo_cfg("tickTime=1\n", "z").with_setting("k", value)


@pytest.mark.parametrize("key", ["a b", "a=b", "", "#a", "a\n"])
def test_no_line_can_be_smuggled_in_by_a_key(key: str) -> None:
    with pytest.raises(ValueError, match="not a property name"):
        parse_zoo_cfg("tickTime=1\n", "z").with_setting(key, "v")


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        ("ssl.quorum.keyStore.password", True),
        ("DigestAuthenticationProvider.superDigest", True),
        ("java.security.auth.login.config.jaas", True),
        ("ssl.keyStore.passwordPath", False),
        ("digest.enabled", False),
        ("dataDir", False),
    ],
)
def test_secrets(key: str, secret: bool) -> None:
    assert is_secret(key) is secret
