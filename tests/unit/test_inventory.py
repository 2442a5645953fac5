"""Inventories as Ansible reads them: values that are right, and the one clear error for each that is not."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.inventories import THREE, calls, own_cache, refused, write
from zkprov.model.inventory import Access, InventoryHost, ReleaseSource
from zkprov.model.problems import BadInput, BadInputs
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.host_variables import host_of
from zkprov.observe.inventory import inventory_of, read_auth, read_inventory
from zkprov.observe.variable_values import is_host_name

__all__ = ["calls", "own_cache", "write"]


class TestReading:
    def test_ini_with_defaults(self, write) -> None:
        inventory = read_inventory(write(THREE))
        assert inventory.ensemble == "kafka_zk"
        assert [(h.name, h.id, h.address) for h in inventory.hosts] == [
            ("zk1", 1, "zk1"),
            ("zk2", 2, "zk2"),
            ("zk3", 3, "zk3"),
        ]
        assert inventory.hosts[0] == InventoryHost(
            name="zk1", address="zk1", id=1, data_dir="/srv/zk", data_log_dir="/srv/zk", access=Access("zk1")
        )

    def test_yaml_with_everything(self, write) -> None:
        path = write(
            """
            all:
              children:
                zk:
                  hosts:
                    a:
                      ansible_host: 10.0.0.1
                      zkprov_id: 7
                      zkprov_client_port: 2182
                      zkprov_client_host: 10.0.0.1
                      zkprov_quorum_port: "2889"
                      zkprov_election_port: 3889
                      zkprov_admin_port: 0
                      zkprov_data_log_dir: /log/zk/
                      zkprov_release: 3.9.5
                      zkprov_java: /opt/java/bin/java
                      zkprov_classpath: ["/opt/zk/lib/*", /opt/zk/zk.jar]
                      zkprov_jvm_flags: -Xmx1g '-Da.b=c d'
                      zkprov_settings: {tickTime: 1000, syncEnabled: true, 4lw.commands.whitelist: "srvr,mntr"}
                      ansible_connection: local
                    b: {zkprov_address: "2001:db8::1", zkprov_admin_port: 8081, zkprov_jvm_flags: [-Xmx2g]}
            """,
            "i.yml",
        )
        a, b = read_inventory(path).hosts
        assert a == InventoryHost(
            name="a",
            address="10.0.0.1",
            id=7,
            connection="local",
            client_port=2182,
            client_host="10.0.0.1",
            quorum_port=2889,
            election_port=3889,
            admin_port=None,
            data_log_dir="/log/zk",
            release="3.9.5",
            java="/opt/java/bin/java",
            classpath="/opt/zk/lib/*:/opt/zk/zk.jar",
            jvm_flags=("-Xmx1g", "-Da.b=c d"),
            settings={"tickTime": "1000", "syncEnabled": "true", "4lw.commands.whitelist": "srvr,mntr"},
        )
        assert (b.address, b.admin_port, b.jvm_flags, b.id) == ("2001:db8::1", 8081, ("-Xmx2g",), None)

    def test_group_vars_and_ranges_are_ansibles_to_say(self, write) -> None:
        write("zkprov_client_port: 2199", "group_vars/zk.yml")
        write("zkprov_id: 9", "host_vars/zk2.yml")
        inventory = read_inventory(write("[zk]\nzk[1:3].example.com\nzk2\n"))
        assert [h.name for h in inventory.hosts] == ["zk1.example.com", "zk2.example.com", "zk3.example.com", "zk2"]
        assert {h.client_port for h in inventory.hosts} == {2199} and inventory.hosts[3].id == 9

    def test_a_group_of_groups_is_an_ensemble_too(self, write) -> None:
        path = write("[a]\nh1\n[b]\nh2\nh1\n[both:children]\na\nb\n")
        assert [h.name for h in read_inventory(path, "both").hosts] == ["h1", "h2"]
        assert [h.name for h in read_inventory(path, "b").hosts] == ["h2", "h1"]

    def test_hosts_without_a_group(self, write) -> None:
        assert read_inventory(write("h1\nh2\n")).ensemble == "ungrouped"

    def test_the_digest_changes_with_what_was_read(self, write) -> None:
        first = read_inventory(write(THREE)).digest
        assert read_inventory(write(THREE + "# a remark\n")).digest == first
        assert read_inventory(write(THREE.replace("/srv/zk", "/srv/z"))).digest != first

    def test_a_program_is_asked_each_time(self, write, calls, own_cache: Path) -> None:
        listing = {"zk": {"hosts": ["h1"]}, "_meta": {"hostvars": {"h1": {"zkprov_id": 4}}}}
        path = write(f"#!{sys.executable}\nprint({json.dumps(listing)!r})\n", "dynamic.py")
        os.chmod(path, 0o755)
        for _ in range(2):
            assert read_inventory(path).hosts[0].id == 4
        assert len(calls) == 2 and not own_cache.exists()


class TestWhichEnsemble:
    TWO = Listing(
        {"all": ("k1", "s1"), "ungrouped": (), "kafka": ("k1",), "solr": ("s1",), "empty": ()}, {"k1": {}, "s1": {}}
    )

    def test_the_one_that_is_named(self) -> None:
        assert inventory_of(self.TWO, "i.ini", "solr").hosts[0].name == "s1"
        assert len(inventory_of(self.TWO, "i.ini", "all").hosts) == 2

    def test_several_and_none_named(self) -> None:
        problem = refused(self.TWO)
        assert "kafka, solr" in str(problem) and "-E kafka" in problem.remedy

    def test_one_that_is_not_there(self) -> None:
        problem = refused(self.TWO, "kafak")
        assert "no group 'kafak'" in str(problem) and problem.remedy == "did you mean kafka?"

    def test_one_without_hosts(self) -> None:
        assert "'empty' has no hosts" in str(refused(self.TWO, "empty"))

    def test_none_at_all(self) -> None:
        for groups in ({}, {"all": (), "ungrouped": ()}, {"zk": ()}):
            assert "no hosts in the inventory" in str(refused(Listing(groups, {})))


class TestFilesThatAreNone:
    def test_not_there(self) -> None:
        assert str(refused("/nowhere/i.ini")) == "/nowhere/i.ini: no such inventory"

    @pytest.mark.parametrize("path", ["", "zk1,zk2", "-i", "--list"])
    def test_what_is_no_path(self, path: str) -> None:
        assert "no such inventory" in str(refused(path))

    @pytest.mark.parametrize("text", ["", "# nothing\n", "[zk]\n", "---\n"])
    def test_empty(self, write, text: str) -> None:
        problem = refused(write(text))
        assert "no hosts" in str(problem) or "cannot read" in str(problem)
        assert str(problem).startswith(problem.place) and problem.remedy

    @pytest.mark.parametrize("text", ["[zk\nh1", "all: {hosts: [}", "all:\n\t- x", "[zk]\nh1 zkprov_id='1\n"])
    def test_malformed(self, write, text: str) -> None:
        problem = refused(write(text, "i.yml"))
        assert "Ansible cannot read the inventory: " in str(problem)
        assert "ansible-inventory -i" in problem.remedy and "Traceback" not in str(problem)

    def test_unreadable(self, write, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(THREE)
        original = Path.read_bytes

        def denied(self: Path) -> bytes:  # root reads whatever its mode is
            if self.name == "inventory.ini":
                raise PermissionError(13, "Permission denied", str(self))
            return original(self)

        monkeypatch.setattr(Path, "read_bytes", denied)
        assert "Permission denied" in str(refused(path))

    def test_a_name_with_signs_that_a_shell_would_take(self, write, tmp_path: Path) -> None:
        path = write(THREE, "a; touch pwned # $(touch pwned).ini")
        assert len(read_inventory(path).hosts) == 3
        assert not (tmp_path / "pwned").exists()

    def test_a_comma_in_the_path(self, write) -> None:
        assert "comma" in str(refused(write(THREE, "a,b.ini")))

    def test_what_is_no_text(self, write, tmp_path: Path) -> None:
        (tmp_path / "i.ini").write_bytes(b"\x00\x01\xff\xfe" * 100)
        assert "i.ini: " in str(refused(str(tmp_path / "i.ini")))


NO_NAMES = (
    *("a\nb", "a,b", "a;b", "{{ x }}", "{%x%}", "$(id)", "`id`", "a b", "a|b", "a&b", "a'b", 'a"b', "a\\b", "a/b", "é"),
    *("-a", "a-", "", ".", "a..b", "x" * 64, "a." * 127 + "ab", "a:1", "a>b", "a*", "a\x00b", "a\u2028b"),
    *("999.1.1.1", "10.0.1", "1", "::g", "fe80::1%eth0", "[::1]"),
)


def variables(**given: Any) -> dict[str, Any]:
    return {f"zkprov_{name}": value for name, value in given.items()}


class TestOneHost:
    """`host_of` is handed what ansible-inventory printed; nothing that is wrong gets past it."""

    @pytest.mark.parametrize("name", NO_NAMES)
    def test_names_and_addresses_that_are_none(self, name: str) -> None:
        for given_name, given_variables in (
            (name, {}),
            ("zk1", variables(address=name)),
            ("zk1", {"ansible_host": name}),
        ):
            with pytest.raises(BadInput) as caught:
                host_of(given_name, given_variables, "i.ini")
            assert "\n" not in str(caught.value) and str(caught.value).startswith("i.ini: ")
            assert caught.value.remedy

    @pytest.mark.parametrize("name", ["a", "zk-1", "zk_1.Example.com", "10.0.0.1", "::1", "2001:db8::7", "1a", "a.1b"])
    def test_names_and_addresses_that_are_some(self, name: str) -> None:
        assert host_of(name, {}, "i.ini").address == name

    @given(st.text(max_size=12))
    @example("a\u2028b")
    @example("１")
    def test_whatever_is_taken_for_a_name_is_harmless(self, text: str) -> None:
        if is_host_name(text):
            assert all(c.isascii() and (c.isalnum() or c in "-_.:") for c in text) and not text.startswith("-")

    @pytest.mark.parametrize(
        "value", [0, 256, -1, "0", "256", "-1", 1.5, "1.5", "one", True, [1], {"a": 1}, "", " 1", "1\n", "٣"]
    )
    def test_ids_that_are_none(self, value: object) -> None:
        with pytest.raises(BadInput, match=r"^i\.ini: zk1: zkprov_id: ") as caught:
            host_of("zk1", variables(id=value), "i.ini")
        assert "1 to 255" in caught.value.remedy

    @pytest.mark.parametrize("port", ["client_port", "quorum_port", "election_port", "admin_port"])
    @pytest.mark.parametrize("value", [-1, 65536, "x", True, 21.81, [2181], "2181 2182"])
    def test_ports_that_are_none(self, port: str, value: object) -> None:
        with pytest.raises(BadInput, match=rf"zk1: zkprov_{port}: "):
            host_of("zk1", variables(**{port: value}), "i.ini")

    @pytest.mark.parametrize("port", ["client_port", "quorum_port", "election_port"])
    def test_only_the_admin_port_may_be_none(self, port: str) -> None:
        with pytest.raises(BadInput, match=f"zkprov_{port}"):
            host_of("zk1", variables(**{port: 0}), "i.ini")
        for nothing in (0, "0", ""):
            assert host_of("zk1", variables(admin_port=nothing), "i.ini").admin is None

    @pytest.mark.parametrize("folder", ["config_dir", "data_dir", "data_log_dir", "log_dir"])
    @pytest.mark.parametrize(
        "value",
        [
            "data",
            "./data",
            "../data",
            "~/data",
            "",
            "/",
            "/a/../b",
            "/a b",
            "/a;b",
            "/a\nb",
            "/{{ x }}",
            "/a$HOME",
            "/a\\b",
            3,
        ],
    )
    def test_folders_that_are_none(self, folder: str, value: object) -> None:
        with pytest.raises(BadInput, match=f"zkprov_{folder}: "):
            host_of("zk1", variables(**{folder: value}), "i.ini")

    @pytest.mark.parametrize(
        "field, value, word",
        [
            ("release", "3.9", "not a release"),
            ("release", 3.9, "not text"),
            ("java", "bin/java", "absolute"),
            ("java", "java; id", "absolute"),
            ("classpath", "lib/*", "absolute"),
            ("classpath", "/lib/*.jar", "zoo.cfg"),
            ("jvm_flags", "Xmx1g", "not a JVM flag"),
            ("jvm_flags", "-Da='", "quotation"),
            ("jvm_flags", ["-Xmx1g", 3], "not text"),
            ("jvm_flags", "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:abc", "puts a secret"),
            ("settings", "tickTime=1", "not a dictionary"),
            ("settings", {"a b": 1}, "not a setting"),
            ("settings", {"server.9": "x:1:2"}, "R10"),
            ("settings", {"dynamicConfigFile": "/x"}, "R10"),
            ("settings", {"weight.1": 3}, "R10"),
            ("settings", {"tickTime": "1\nserver.9=x"}, "line break"),
            ("settings", {"tickTime": "{{ x }}"}, "template"),
            ("settings", {"tickTime": [1]}, "not text"),
            ("settings", {"ssl.keyStore.password": {"__ansible_vault": "…"}}, "not|vault"),
            ("quorum_group", "east", "not a whole number"),
            ("quorum_group", -1, "0 to 1000000"),
            ("quorum_weight", 1.5, "not a whole number"),
            ("quorum_weight", True, "not a whole number"),
            ("releases", "3.9.5", "not a dictionary"),
            ("releases", {"3.9": {"archive": "/z.tar.gz"}}, "not a release: '3.9'"),
            ("releases", {"../3.9.5": {"archive": "/z.tar.gz"}}, "not a release"),
            ("releases", {"3.9.5": "/z.tar.gz"}, "3.9.5: not a dictionary"),
            ("releases", {"3.9.5": {"path": "/z"}}, "3.9.5: path: none of classpath, java, archive, sha512"),
            ("releases", {"3.9.5": {"archive": "z.tar.gz"}}, "3.9.5: archive: not an absolute path"),
            ("releases", {"3.9.5": {"archive": "/z", "sha512": "ab"}}, "3.9.5: sha512: not a SHA-512"),
            ("releases", {"3.9.5": {}}, "3.9.5 has no archive"),
            ("releases", {"3.9.5": {"archive": "/z", "classpath": "/lib/*"}}, "classpath, which means nothing"),
            ("releases", {"3.9": {}, "3.9.5": {"sha512": "ab", "java": ";"}}, "'3.9'; 3.9.5: sha512: .*; 3.9.5: java:"),
            ("start_command", "'", "quotation"),
            ("start_command", "systemctl start zk", "all three"),
        ],
    )
    def test_values_that_are_none(self, field: str, value: object, word: str) -> None:
        with pytest.raises(BadInput, match=f"(?i){word}"):
            host_of("zk1", variables(**{field: value}), "i.ini")

    def test_where_releases_come_from(self) -> None:
        of_archive = {"3.9.5": {"archive": "/a.tar.gz", "sha512": "A" * 128}}
        host = host_of("zk1", variables(releases=of_archive, release="3.8.6", archive="https://x/8"), "i.ini")
        assert host.source_of("3.9.5") == ReleaseSource(archive="/a.tar.gz", sha512="a" * 128)
        assert host.source_of("3.8.6") == ReleaseSource(java="java", archive="https://x/8")
        assert host.source_of("3.7.2") is None and host.source_of(None) is None
        local = {**variables(releases={"3.9.5": {"classpath": ["/a/*", "/b.jar"]}}), "ansible_connection": "local"}
        assert host_of("zk1", local, "i.ini").source_of("3.9.5") == ReleaseSource("/a/*:/b.jar")
        with pytest.raises(BadInput, match="archive, which means nothing for a host that is this machine"):
            host_of("zk1", {**variables(releases=of_archive), "ansible_connection": "local"}, "i.ini")

    def test_no_error_shows_a_secret(self) -> None:
        for value in ("hidden\nx", ["hidden"], "hidden {{ x }}"):
            with pytest.raises(BadInput) as caught:
                host_of("zk1", variables(settings={"ssl.keyStore.password": value}), "i.ini")
            assert "hidden" not in str(caught.value) + caught.value.remedy
        with pytest.raises(BadInput) as caught:
            host_of("zk1", variables(jvm_flags="-Djavax.net.ssl.keyStorePassword=hidden"), "i.ini")
        assert "hidden" not in str(caught.value)

    @given(st.sampled_from(["java", "classpath", "config_dir", "data_dir", "start_command"]), st.text(max_size=15))
    def test_no_text_brings_a_second_line(self, field: str, text: str) -> None:
        given_variables = variables(**{field: text})
        try:
            host = host_of("zk1", given_variables, "i.ini")
        except BadInput as problem:
            told = problem.each if isinstance(problem, BadInputs) else (problem,)
            assert all("\n" not in str(one) for one in told)
        else:
            assert len(str(getattr(host, field)).splitlines()) <= 1


def listed(**hosts: dict[str, Any]) -> Listing:
    return Listing({"zk": tuple(hosts)}, hosts)


class TestSeveralHosts:
    @pytest.mark.parametrize(
        "second, word",
        [
            ({"zkprov_id": 1}, "zkprov_id 1 is zk1's too"),
            ({"zkprov_id": 2, "ansible_host": "zk1"}, "at zk1 is zk1's zkprov_client_port too"),
            ({"ansible_host": "ZK1", "zkprov_client_port": 2182}, "zkprov_quorum_port 2888"),
            ({"zkprov_client_port": 2888}, "zkprov_quorum_port 2888 at zk2 is zk2's zkprov_client_port too"),
            ({"zkprov_admin_port": 2181}, "zkprov_admin_port 2181"),
        ],
    )
    def test_clashes(self, second: dict[str, Any], word: str) -> None:
        problem = refused(listed(zk1={"zkprov_id": 1}, zk2=second))
        assert word in str(problem) and ": zk2: " in str(problem) and problem.remedy

    def test_two_servers_on_one_machine_need_folders_of_their_own(self) -> None:
        kinds = ("client", "quorum", "election", "admin")
        hosts = {
            f"zk{n}": {"ansible_host": "10.0.0.1"}
            | {f"zkprov_{kind}_port": 2000 + 10 * n + k for k, kind in enumerate(kinds)}
            for n in (1, 2)
        }
        assert "/etc/zookeeper on 10.0.0.1 is zk1's folder too" in str(refused(listed(**hosts)))
        apart = {
            name: {**given, "zkprov_config_dir": f"/etc/{name}", "zkprov_data_dir": f"/data/{name}"}
            for name, given in hosts.items()
        }
        assert len(inventory_of(listed(**apart), "i.ini", None).hosts) == 2

    def test_an_unknown_variable_is_asked_back(self) -> None:
        problem = refused(listed(zk1={"zkprov_clientport": 2181}))
        assert "zk1: unknown variable zkprov_clientport" in str(problem)
        assert problem.remedy == "did you mean zkprov_client_port?"


class TestAuthFile:
    @pytest.fixture
    def auth(self, tmp_path: Path) -> Path:
        file = tmp_path / "auth"
        file.write_text("digest:super:hidden\n")
        file.chmod(0o600)
        return file

    def test_its_path_is_kept_and_never_its_content(self, write, auth: Path) -> None:
        inventory = read_inventory(write(f"[zk]\nzk1\n[zk:vars]\nzkprov_auth_file={auth}\n"))
        assert inventory.auth_file == str(auth) and "hidden" not in repr(inventory)
        assert read_auth(str(auth)) == ("digest", "super:hidden")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
    def test_others_may_not_read_it(self, auth: Path, mode: int) -> None:
        auth.chmod(mode)
        problem = refused(listed(zk1={"zkprov_auth_file": str(auth)}))
        assert f"mode {mode:04o}" in str(problem) and problem.remedy == f"chmod 600 {auth}"

    @pytest.mark.parametrize("text", ["", "digest", "digest:", ":x", "digest:a\nb", "di gest:hidden"])
    def test_one_that_is_none(self, auth: Path, text: str) -> None:
        auth.write_text(text)
        with pytest.raises(BadInput, match="not an auth file") as caught:
            read_auth(str(auth))
        assert "hidden" not in str(caught.value)

    def test_not_there_relative_or_differing(self, auth: Path) -> None:
        assert "No such file" in str(refused(listed(zk1={"zkprov_auth_file": "/nowhere"})))
        assert "relative" in str(refused(listed(zk1={"zkprov_auth_file": "auth"})))
        for nothing in ({"a": 1}, "/a\nb", ["/a"]):
            assert "not a path" in str(refused(listed(zk1={"zkprov_auth_file": nothing})))
        two = listed(zk1={"zkprov_auth_file": str(auth)}, zk2={"zkprov_auth_file": "/x"})
        assert "differs" in str(refused(two))
