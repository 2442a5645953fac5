"""Rendering and its judge: what our templates give is right, and a hostile template cannot talk zkprov into a bad list."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from zkprov.act.render import render_host, templates_digest
from zkprov.judge.rendering import Violation, joiner_list, judge_rendered, shown
from zkprov.model.config import parse_members, parse_zoo_cfg
from zkprov.model.facts import Disk, ListOnDisk
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.release import Release
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress

NOW = Release(3, 9, 5)
HOST = InventoryHost("zk4", "zk4.example", id=4, settings={"tickTime": "500", "ssl.keyStore.password": "hunter2"})


def server(server_id: int) -> Server:
    return Server(server_id, (ServerAddress(f"zk{server_id}.example", 2888, 3888),), client=ClientAddress(2181))


LIVE = Members.of(*(server(i) for i in (1, 2, 3)), version=0x100000007)
WISH = joiner_list(LIVE, server(4))


def judged(
    files: dict[str, str], host: InventoryHost = HOST, wish: Members = WISH, **more: object
) -> tuple[Violation, ...]:
    arguments = {"wish": wish, "server_id": 4, "host": host, "release": NOW} | more
    return judge_rendered(files, **arguments)  # type: ignore[arg-type]


def lay(folder: Path, **templates: str) -> Path:
    for name, text in templates.items():
        (folder / (name.replace("__", ".") + ".j2")).write_text(text)
    return folder


def test_a_joiner() -> None:
    files = render_host(HOST, WISH, release=NOW)
    assert set(files) == {"zoo.cfg", "zoo.cfg.dynamic", "myid", "jvm_flags", "logback.xml"}
    assert judged(files) == ()
    settings = parse_zoo_cfg(files["zoo.cfg"], "zoo.cfg").settings
    assert settings["standaloneEnabled"] == "false"
    assert settings["db.autocreate"] == "false"
    assert settings["reconfigEnabled"] == "true"
    assert settings["tickTime"] == "500"
    assert settings["dynamicConfigFile"] == "/etc/zookeeper/zoo.cfg.dynamic"
    assert "clientPort" not in settings  # the server's line has it
    own = parse_members(files["zoo.cfg.dynamic"], "f", 0).get(4)
    assert own
    assert own.role is Role.OBSERVER
    assert parse_members(files["zoo.cfg.dynamic"], "f", 0).version < LIVE.version
    assert files["myid"] == "4\n"


def test_the_joiners_list_is_the_live_one_and_itself() -> None:
    assert WISH.voters == LIVE.voters
    assert WISH.observers == {4}
    assert WISH.version == 0


def test_an_inventory_may_say_what_the_rules_say() -> None:
    rules = {"standaloneEnabled": "false", "reconfigEnabled": "TRUE", "db.autocreate": "false"}
    host = msgspec.structs.replace(HOST, settings=rules)
    assert judged(render_host(host, WISH, release=NOW)) == ()
    old = Release(3, 5, 10)
    assert "autocreate" not in render_host(host, WISH, release=old)["zoo.cfg"]


def test_3_5_has_no_autocreate() -> None:
    old = Release(3, 5, 10)
    files = render_host(HOST, WISH, release=old)
    assert "autocreate" not in files["zoo.cfg"]
    assert judged(files, release=old) == ()
    assert [v.rule for v in judged(files)] == ["R5"]


def test_a_founder_is_a_participant() -> None:
    wish = Members.of(server(4))
    files = render_host(HOST, wish, release=NOW)
    assert judged(files, wish=wish, joiner=False) == ()
    assert [v.rule for v in judged(files, wish=wish)] == ["R5"]


def test_awkward_values_survive() -> None:
    host = msgspec.structs.replace(
        HOST, settings={"metricsProvider.x": " a\\b # ü€ = :"}, admin_port=None, data_dir="/d a", data_log_dir="/d a"
    )
    files = render_host(host, WISH, release=NOW)
    assert judged(files, host=host) == ()
    assert parse_zoo_cfg(files["zoo.cfg"], "z").settings["metricsProvider.x"] == "a\\b # ü€ = :"
    assert parse_zoo_cfg(files["zoo.cfg"], "z").settings["admin.enableServer"] == "false"


def test_a_line_without_client_part_has_its_port_in_zoo_cfg() -> None:
    bare = msgspec.structs.replace(server(4), client=None)
    host = msgspec.structs.replace(HOST, client_host="10.0.0.4")
    files = render_host(host, joiner_list(LIVE, bare), release=NOW)
    settings = parse_zoo_cfg(files["zoo.cfg"], "z").settings
    assert (settings["clientPort"], settings["clientPortAddress"]) == ("2181", "10.0.0.4")
    assert judged(files, host=host, wish=joiner_list(LIVE, bare)) == ()


MEMBER = Disk(
    4,
    {
        "dynamicConfigFile": "/etc/zookeeper/zoo.cfg.dynamic.100000007",
        "reconfigEnabled": "true",
        "dataDir": "/var/lib/zookeeper",
    },
    ListOnDisk(LIVE.with_server(server(4)), "zk4/zoo.cfg.dynamic.100000007"),
)


def test_a_member_keeps_its_list() -> None:
    stale = LIVE.with_server(server(4)).with_server(server(5))
    files = render_host(HOST, stale, release=NOW, live=MEMBER)
    assert "zoo.cfg.dynamic" not in files
    cfg = parse_zoo_cfg(files["zoo.cfg"], "z")
    assert cfg.dynamic_config_file == "/etc/zookeeper/zoo.cfg.dynamic.100000007"
    assert judged(files, live=MEMBER) == ()


def test_a_member_is_never_pointed_at_another_list() -> None:
    files = render_host(HOST, WISH, release=NOW, live=MEMBER)
    old = files | {"zoo.cfg": files["zoo.cfg"].replace(".dynamic.100000007", ".dynamic")}
    assert [v.rule for v in judged(old, live=MEMBER)] == ["R10"]
    more = files | {"zoo.cfg.dynamic": "server.4=zk4:1:2\n"}
    assert [v.rule for v in judged(more, live=MEMBER)] == ["R10"]


STATIC = Disk(
    4,
    {"dataDir": "/var/lib/zookeeper", "clientPort": "2182"},
    ListOnDisk(LIVE.with_server(server(4)).at_version(0), "z:1"),
)


def test_a_static_server_stays_static() -> None:
    files = render_host(HOST, WISH, release=NOW, live=STATIC)
    cfg = parse_zoo_cfg(files["zoo.cfg"], "z")
    assert cfg.static
    assert cfg.static.voters == {1, 2, 3, 4}
    assert "reconfigEnabled" not in cfg.settings
    assert "zoo.cfg.dynamic" not in files
    assert judged(files, live=STATIC) == ()
    flagged = files | {"zoo.cfg": files["zoo.cfg"] + "reconfigEnabled=true\n"}
    assert [v.rule for v in judged(flagged, live=STATIC)] == ["R12"]
    lost = files | {"zoo.cfg": "".join(x for x in files["zoo.cfg"].splitlines(True) if "server.1=" not in x)}
    assert [v.rule for v in judged(lost, live=STATIC)] == ["R10"]


OURS = '{% extends "zkprov/zoo.cfg.j2" %}'


def test_operators_lay_their_own_over_ours(tmp_path: Path) -> None:
    lay(tmp_path, zoo__cfg=OURS + "{% block settings %}{{ super() }}maxClientCnxns=99\n{% endblock %}")
    files = render_host(HOST, WISH, release=NOW, templates=tmp_path)
    assert parse_zoo_cfg(files["zoo.cfg"], "z").settings["maxClientCnxns"] == "99"
    assert files["myid"] == "4\n"
    assert judged(files) == ()


def test_the_digest_changes_with_the_templates(tmp_path: Path) -> None:
    plain = templates_digest(None)
    assert templates_digest(tmp_path) == plain
    first = templates_digest(lay(tmp_path, myid="4"))
    assert first != plain
    assert templates_digest(lay(tmp_path, myid="5")) != first


def block(name: str, text: str) -> str:
    return OURS + "{% block " + name + " %}{{ super() }}" + text + "{% endblock %}"


@pytest.mark.parametrize(
    ("template", "text", "rule", "place"),
    [
        ("zoo__cfg", block("settings", "server.4=zk4:2888:3888\n"), "R10", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "serv\\\n  er.4=zk4:2888:3888\n"), "R10", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "\\u0073erver.4=zk4:2888:3888\n"), "R10", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "group.1=1:2:3:4\n"), "R10", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "version=7fffffffffffffff\n"), "R10", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "oraclePath=/tmp/o\n"), "R1", "zoo.cfg:"),
        ("zoo__cfg", OURS + "{% block list %}dynamicConfigFile=/tmp/mine\n{% endblock %}", "R10", "zoo.cfg:"),
        ("zoo__cfg", OURS + "{% block list %}{% endblock %}", "R10", "zoo.cfg:"),
        ("zoo__cfg", OURS + "{% block list %}server.4=zk4:2888:3888\n{% endblock %}", "R10", "zoo.cfg:"),
        (
            "zoo__cfg",
            OURS + "{% block rules %}reconfigEnabled=true\ndb.autocreate=false\n{% endblock %}",
            "R1",
            "zoo.cfg:",
        ),
        ("zoo__cfg", block("list", "standaloneEnabled=TRUE\n"), "R1", "zoo.cfg:"),
        ("zoo__cfg", block("list", "db.autocreate=true\n"), "R5", "zoo.cfg:"),
        (
            "zoo__cfg",
            OURS + "{% block rules %}standaloneEnabled=false\nreconfigEnabled=true\n{% endblock %}",
            "R5",
            "zoo.cfg:",
        ),
        ("zoo__cfg", block("list", "reconfigEnabled=false\n"), "R12", "zoo.cfg:"),
        ("zoo__cfg", block("list", "dataDir=/somewhere\n"), "R5", "zoo.cfg:"),
        (
            "zoo__cfg",
            OURS + "{% block folders %}dataDir=/var/lib/zookeeper\ndataLogDir=/x\n{% endblock %}",
            "R5",
            "zoo.cfg:",
        ),
        ("zoo__cfg", block("clients", "clientPort=9999\n"), "files", "zoo.cfg:"),
        ("zoo__cfg", block("settings", "syncEnabled=maybe\n"), "files", "zoo.cfg:"),
        ("zoo__cfg", "", "R5", "zoo.cfg:1"),
        ("zoo__cfg", "\ufeff{% include 'zkprov/zoo.cfg.j2' %}", "R10", "zoo.cfg:1"),
        (
            "zoo__cfg__dynamic",
            "{% for line in list %}{{ line | replace('observer', 'participant') }}\n{% endfor %}",
            "R10",
            "zoo",
        ),
        ("zoo__cfg__dynamic", "{{ server.with_role('participant').line }}\n", "R10", "zoo.cfg.dynamic"),
        ("zoo__cfg__dynamic", "{% include 'zkprov/zoo.cfg.dynamic.j2' %}server.5=zk5:1:2\n", "R10", "zoo.cfg.dynamic"),
        ("zoo__cfg__dynamic", "{{ list[0] }}\n{{ list[1] }}\n{{ list[3] }}\n", "R10", "zoo.cfg.dynamic"),
        (
            "zoo__cfg__dynamic",
            "{% for line in list %}{{ line | replace('zk1.', 'zk9.') }}\n{% endfor %}",
            "R10",
            "zoo.cfg",
        ),
        (
            "zoo__cfg__dynamic",
            "{% include 'zkprov/zoo.cfg.dynamic.j2' %}version=ffffffffff\n",
            "R10",
            "zoo.cfg.dynamic:5",
        ),
        (
            "zoo__cfg__dynamic",
            "{% include 'zkprov/zoo.cfg.dynamic.j2' %}group.1=1:2:3\nweight.1=9\n",
            "R10",
            "zoo.cfg.dynamic",
        ),
        ("zoo__cfg__dynamic", "", "R10", "zoo.cfg.dynamic"),
        ("myid", "1\n", "files", "myid"),
        ("myid", "4\n5\n", "files", "myid"),
        ("jvm_flags", "-Xmx1g\n-Dzookeeper.DigestAuthenticationProvider.superDigest=super:x\n", "files", "jvm_flags:2"),
        ("jvm_flags", "rm -rf /\n", "files", "jvm_flags:1"),
    ],
)
def test_a_template_cannot_talk_zkprov_into_a_bad_file(
    tmp_path: Path, template: str, text: str, rule: str, place: str
) -> None:
    files = render_host(HOST, WISH, release=NOW, templates=lay(tmp_path, **{template: text}))
    found = judged(files)
    assert any(v.rule == rule and v.place.startswith(place) for v in found), found


@pytest.mark.parametrize("name", ["initialize", "../../etc/passwd", "zoo.cfg.dynamic.next", "zoo.cfg.dynamic.ffff"])
def test_no_other_file_goes_out(name: str) -> None:
    assert [v.place for v in judged(render_host(HOST, WISH, release=NOW) | {name: "x"})] == [name]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("\n\n{{ ''.__class__.__mro__ }}", 3, "not allowed in a template"),
        ("\n{{ host.__class__ }}", 2, "not allowed in a template"),
        ("{{ setting.__globals__ }}", 1, "not allowed in a template"),
        ("\n{{ cycler.__init__.__globals__.os }}", 2, "not allowed in a template"),
        ("\n{{ settings.update(a=1) }}", 2, "not allowed|not safely callable"),
        ("a\n{{ nothing }}", 2, "'nothing' is undefined"),
        ("{{ host.nothing }}", 1, "nothing"),
        ("\n{% if %}", 2, "Expected an expression"),
        ("\n{% for x in list %}", 2, "Unexpected end of template"),
        ("\n\n{{ 1 / 0 }}", 3, "division by zero"),
        ("{{ range(10000000) | list }}", 1, "Range too big"),
        ("\n{% include 'none.j2' %}", 2, "no such template: none.j2"),
        ("\n{% include '../../secret' %}", 2, "no such template"),
        ("\n{{ setting('a', 'b\nserver.4=x:1:2') }}", 2, "line break"),
    ],
)
def test_a_template_that_fails_gets_one_error_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    lay(tmp_path, zoo__cfg=text)
    with pytest.raises(BadInput, match=reason) as refused:
        render_host(HOST, WISH, release=NOW, templates=tmp_path)
    assert refused.value.place == f"{tmp_path}/zoo.cfg.j2:{line}"
    assert refused.value.exit_code == 2


def test_a_template_that_extends_itself(tmp_path: Path) -> None:
    lay(tmp_path, zoo__cfg='{% extends "zoo.cfg.j2" %}')
    with pytest.raises(BadInput, match="without end"):
        render_host(HOST, WISH, release=NOW, templates=tmp_path)


def test_templates_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        render_host(HOST, WISH, release=NOW, templates=tmp_path / "none")
    (tmp_path / "myid.j2").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="myid"):
        render_host(HOST, WISH, release=NOW, templates=tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"settings": {"a": "b\nserver.4=zk4:1:2"}}, "line break"),
        ({"settings": {"a\nserver.4": "zk4:1:2"}}, "not a property name"),
        ({"settings": {"server.4": "zk4:1:2"}}, "cannot be set"),
        ({"settings": {"weight.1": "9"}}, "cannot be set"),
        ({"settings": {"standaloneEnabled": "true"}}, "cannot be set"),
        ({"settings": {"db.autocreate": "true"}}, "cannot be set"),
        ({"settings": {"dynamicConfigFile": "/tmp/x"}}, "cannot be set"),
        ({"settings": {"version": "ff"}}, "cannot be set"),
        ({"settings": {"oraclePath": "/tmp/x"}}, "cannot be set"),
        ({"settings": {"dataDir": "/tmp/x"}}, "cannot be set"),
        ({"data_dir": "/tmp/x\nserver.4=zk4:1:2"}, "zkprov_data_dir holds a line break"),
        ({"jvm_flags": ("-Xmx1g\n-Dx=y",)}, "zkprov_jvm_flags.0. holds a line break"),
    ],
)
def test_the_inventory_cannot_smuggle_lines_in(change: dict[str, object], reason: str) -> None:
    host = msgspec.structs.replace(HOST, **change)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=reason) as refused:
        render_host(host, WISH, release=NOW)
    assert refused.value.place == "zk4"


def test_a_server_must_be_in_its_own_list() -> None:
    with pytest.raises(BadInput, match="server 4 is not in the list"):
        render_host(HOST, LIVE, release=NOW)
    nameless = msgspec.structs.replace(HOST, id=None)
    assert render_host(nameless, WISH, release=NOW)["myid"] == "4\n"


def test_what_is_shown_hides_secrets() -> None:
    files = render_host(HOST, WISH, release=NOW)
    assert "hunter2" in files["zoo.cfg"]
    assert "hunter2" not in "".join(shown(n, t) for n, t in files.items())
    assert "hunter2" not in shown("jvm_flags", "-Xmx1g\n-Dzookeeper.ssl.keyStore.password=hunter2\n")
    assert "hunter2" not in shown("zoo.cfg", "\ufeffssl.keyStore.password=hunter2")
    assert "hunter2" not in "".join(str(v) for v in judged(files | {"myid": "x"}))
