"""Templates in an inventory's values, rendered by Ansible itself: what comes out is checked as any value is; hostile ones get nowhere."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.inventories import calls, own_cache, write
from zkprov.model.inventory import SUPER_PASSWORD
from zkprov.model.problems import BadInput
from zkprov.observe import ansible_values
from zkprov.observe.ansible_values import holds_template
from zkprov.observe.credentials import credential_of
from zkprov.observe.inventory import read_inventory
from zkprov.observe.sasl import jaas_of

__all__ = ["calls", "own_cache", "write"]
CANARY = "c4nary-in-a-template"
Write = Callable[..., str]

THREE = """
zk:
  hosts:
    zk1:
    zk2: {zkprov_client_port: "{{ base_port + 2 }}"}
    zk3: {zkprov_settings: {tickTime: "{{ ticks }}", list: "{{ [1, 2] | join(',') }}"}}
  vars:
    base_port: 12000
    ticks: 1000
    domain: "{{ site }}.example.com"
    site: fra
    ansible_host: "{{ inventory_hostname }}.{{ domain }}"
    ansible_user: "{{ lookup('env', 'ZK_USER') }}"
    zkprov_data_dir: "/data/{{ inventory_hostname }}"
    zkprov_super_password: "{{ vault_password }}"
    vault_password: c4nary-in-a-template
"""


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[str]]]:
    """What Ansible was asked to render, each time."""
    asked: list[dict[str, list[str]]] = []
    answer = ansible_values._answer

    def counted(names: dict[str, list[str]], path: str) -> object:
        asked.append(names)
        return answer(names, path)

    monkeypatch.setattr(ansible_values, "_answer", counted)
    return asked


def refused(path: str) -> str:
    with pytest.raises(BadInput) as caught:
        read_inventory(path)
    text = f"{caught.value} {caught.value.remedy}"
    assert len(text) < 2000 and CANARY not in text
    return text


def of(variables: str) -> str:
    return f"zk:\n  hosts:\n    zk1:\n  vars:\n    secret: {CANARY}\n    {variables}\n"


def test_values_are_what_ansible_makes_of_them(
    write: Write, rendered: list[dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZK_USER", "dana")
    path = write(THREE, "i.yml")
    read_inventory(path)
    inventory = read_inventory(path)
    one, two, three = inventory.hosts
    assert (one.address, one.data_dir, one.data_log_dir) == ("zk1.fra.example.com", "/data/zk1", "/data/zk1")
    assert two.client_port == 12002 and three.settings == {"tickTime": "1000", "list": "1,2"}
    assert three.access is not None and (three.access.host, three.access.user) == ("zk3.fra.example.com", "dana")
    # all of the group at once, each time: what comes out may be another tomorrow
    assert [set(asked) for asked in rendered] == [{"zk1", "zk2", "zk3"}] * 2
    assert credential_of(inventory) == ("digest", f"super:{CANARY}")
    # nothing of it is left: not what was rendered, not where it went through
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "i.yml"]
    assert any("inventories" in str(p) for p in left)
    assert not [p for p in left if CANARY.encode() in p.read_bytes() or b"fra.example.com" in p.read_bytes()]


SASL = """
zk:
  hosts: {zk1: , zk2: }
  vars:
    zkprov_quorum_sasl: true
    zkprov_quorum_sasl_password: "{{ vault.quorum }}"
    zkprov_client_sasl: true
    zkprov_sasl_password: "{{ vault.zkprov }}"
    zkprov_sasl_users: {kafka: "{{ vault.kafka }}", plain: as-it-is}
    vault: {quorum: c4nary-in-a-template-1, zkprov: c4nary-in-a-template-2, kafka: c4nary-in-a-template-3}
"""


def test_passwords_of_sasl_may_be_templates(write: Write, tmp_path: Path) -> None:
    inventory = read_inventory(write(SASL, "i.yml"))
    one, two = inventory.hosts
    assert one.sasl_users == ("kafka", "plain") and CANARY not in repr(inventory)
    text = jaas_of(inventory, one)
    assert [f'"{CANARY}-{n}"' in text for n in (1, 2, 3)] == [True] * 3 and '"as-it-is"' in text
    assert text == jaas_of(inventory, two)
    assert not [
        p for p in tmp_path.rglob("*") if p.is_file() and p.name != "i.yml" and CANARY.encode() in p.read_bytes()
    ]
    wrong = read_inventory(write(SASL.replace("vault.zkprov", f"vault['{CANARY}']"), "w.yml"))
    with pytest.raises(BadInput, match="zkprov_sasl_password is not a password: it is a template") as caught:
        jaas_of(wrong, one)
    assert CANARY not in f"{caught.value} {caught.value.remedy}"


def test_without_a_template_nothing_is_rendered(write: Write, rendered: list[dict[str, list[str]]]) -> None:
    path = write("[zk]\nzk1 ansible_host=10.0.0.1 other='{{ of_no_concern }}'\n[b]\nzk2 zkprov_data_dir='{{ x }}'\n")
    assert read_inventory(path, "zk").hosts[0].address == "10.0.0.1"
    assert not rendered


@pytest.mark.parametrize(
    ("value", "told"),
    [
        # not there; said of each host and variable
        ('zkprov_data_dir: "/d/{{ nope }}"', "zkprov_data_dir: 'nope' is undefined"),
        ('zkprov_settings: {a: ["{{ nope }}"], b: "{{ secret.x }}"}', "zkprov_settings: "),
        # what comes out is a value like any other
        ("ansible_host: \"{{ '10.0.0.1\\n' ~ 'server.9=x' }}\"", "ansible_host: not a host name or address"),
        ("zkprov_data_dir: \"{{ '/d/../etc' }}\"", "not a path"),
        ('zkprov_client_port: "{{ [1] }}"', "not a whole number"),
        ("ansible_user: \"{{ '-oProxyCommand=x' }}\"", "not the name of a user"),
        # it makes another template: not rendered again
        ("zkprov_data_dir: \"/{{ '{{' }} secret }}\"", "not rendered again"),
        ("zkprov_unit: \"{{ '{{' }} lookup('pipe', 'touch hit') }}\"", "not rendered again"),
        # broken, or with secrets in what it fails with
        ('zkprov_data_dir: "{{ secret"', "cannot be rendered (Ansible"),
        ('zkprov_data_dir: "{{ secret | from_json }}"', "cannot be rendered (Ansible"),
        ("zkprov_data_dir: \"{{ lookup('vars', secret) }}\"", "cannot be rendered (Ansible"),
        ('zkprov_data_dir: "{{ secret.nope }}"', "has no attribute"),
        ("zkprov_data_dir: \"{{ lookup('env', 'ZKPROV_SUPER_PASSWORD') }}\"", "not an absolute path: ''"),
        # facts are not there
        ('zkprov_address: "{{ ansible_facts.fqdn }}"', "has no attribute 'fqdn'"),
        ('zkprov_address: "{{ ansible_fqdn }}"', "'ansible_fqdn' is undefined"),
        # too much
        ("zkprov_unit: \"{{ 'x' * 10000000 }}\"", "renders to more than 100000 characters"),
        ("zkprov_unit: \"{{ 'x' * 10000000000 }}\"", "cannot be rendered ("),
        ('zkprov_unit: "{{ zkprov_unit }}"', ""),
    ],
)
@pytest.mark.matrix(keep=3, of="templates")
def test_what_comes_out_wrong(
    write: Write, value: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SUPER_PASSWORD, CANARY)
    text = refused(write(of(value), "i.yml"))
    assert told in text and "zk1" in text, text
    assert not (tmp_path / "hit").exists()


def test_all_that_is_undefined_is_told_at_once(write: Write) -> None:
    path = write(
        'zk:\n  hosts:\n    zk1: {zkprov_unit: "{{ a }}"}\n    zk2: {zkprov_user: "{{ b }}"}\n    zk3: {zkprov_heap: "{{ c }}"}\n',
        "i.yml",
    )
    text = refused(path)
    for host, variable, missing in (
        ("zk1", "zkprov_unit", "a"),
        ("zk2", "zkprov_user", "b"),
        ("zk3", "zkprov_heap", "c"),
    ):
        assert f"{path}: {host}: {variable}: '{missing}' is undefined" in text
        assert f"ansible -i {path} {host} -m debug -a var={variable}" in text


@pytest.mark.matrix(keep=1, of="templates that do not end")
@pytest.mark.parametrize("endless", ["{% for i in range(10**14) %}{% endfor %}", "{{ lookup('pipe', 'sleep 1000') }}"])
def test_what_does_not_end_is_ended(write: Write, endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible_values, "LIMIT_S", 4.0)
    began = time.monotonic()
    text = refused(write(of(f'zkprov_unit: "{endless}"'), "i.yml"))
    assert "cannot be rendered: not within 4 s" in text and time.monotonic() - began < 30
    mine = [p for p in Path("/proc").glob("[0-9]*") if _is_of_a_play(p)]
    assert not mine, "nothing of it goes on"


def _is_of_a_play(process: Path) -> bool:
    try:
        environment = (process / "environ").read_bytes()
        # another worker may have a play of its own
        return b"ZKPROV_VALUES=" in environment and os.environ["PYTEST_CURRENT_TEST"].encode() in environment
    except OSError:
        return False


@pytest.mark.parametrize("where", ["host", "group"])
def test_a_name_from_elsewhere_that_is_a_template_stops_all_rendering(write: Write, where: str, tmp_path: Path) -> None:
    """As a cloud's inventory plugin could be made to give one: Ansible might render it wherever it is used."""
    evil = f"{{{{ lookup('pipe', 'touch {tmp_path}/hit') }}}}"
    listing = {
        "zk": {"hosts": ["zk1"], "vars": {"zkprov_data_dir": "/d/{{ groups | string | length }}/{{ group_names[0] }}"}},
        "others": {"hosts": [evil if where == "host" else "x"]},
        (evil if where == "group" else "more"): {"hosts": ["zk1"]},
        "_meta": {"hostvars": {}},
    }
    path = write(f"#!{sys.executable}\nprint({json.dumps(listing)!r})\n", "dynamic.py")
    os.chmod(path, 0o755)
    with pytest.raises(BadInput, match="the name of a host or group holds a template"):
        read_inventory(path, "zk")
    assert not (tmp_path / "hit").exists()


def test_facts_that_a_host_once_told_are_not_there(write: Write, tmp_path: Path) -> None:
    facts = {"ansible_fqdn": f"{{{{ lookup('pipe', 'touch {tmp_path}/hit') }}}}"}
    write(json.dumps({**facts, "fqdn": facts["ansible_fqdn"]}), "facts/zk1")
    write(f"[defaults]\nfact_caching = jsonfile\nfact_caching_connection = {tmp_path}/facts\n", "ansible.cfg")
    text = refused(write(of('zkprov_address: "{{ ansible_fqdn }}"'), "i.yml"))
    assert "'ansible_fqdn' is undefined" in text and not (tmp_path / "hit").exists()


def test_no_log_and_no_callback_sees_a_value(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own log, all that Ansible says at its loudest, and a callback that writes down whatever it is given."""
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks" / "nosy.py").write_text(
        "from ansible.plugins.callback import CallbackBase\n"
        "class CallbackModule(CallbackBase):\n"
        "    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, 'aggregate', 'nosy'\n"
        "    def v2_runner_on_ok(self, result, **kw):\n"
        f"        open({str(tmp_path / 'seen')!r}, 'a').write(repr(result.__dict__))\n"
    )
    write(
        f"[defaults]\nlog_path = {tmp_path}/log\nverbosity = 4\ncallback_plugins = {tmp_path}/callbacks\ncallbacks_enabled = nosy\n",
        "ansible.cfg",
    )
    path = write(of('zkprov_super_password: "{{ secret }}"\n    zkprov_settings: {a: "{{ secret }}"}'), "i.yml")
    inventory = read_inventory(path)
    assert inventory.hosts[0].settings == {"a": CANARY}
    assert credential_of(inventory) == ("digest", f"super:{CANARY}")
    assert (tmp_path / "seen").exists(), "it was there"
    assert not [
        p for p in tmp_path.rglob("*") if p.is_file() and p.name != "i.yml" and CANARY.encode() in p.read_bytes()
    ]


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("{{ x }}", True),
        ({"a": ["{% if %}"]}, True),
        ({"{# k": 1}, True),
        ("{ }", False),
        (1, False),
        (None, False),
        ([], False),
    ],
)
def test_what_a_template_is(value: object, is_one: bool) -> None:
    assert holds_template(value) is is_one
