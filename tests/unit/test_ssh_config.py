"""How a host is reached: the inventory's word first, `~/.ssh/config` for the rest, as `ssh` itself would have it."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from zkprov.model.inventory import Access
from zkprov.observe import ssh_config
from zkprov.observe.known_hosts import fingerprint, known_host, short
from zkprov.observe.ssh_config import ConfigRefused, Hop, expanded, hop_of, hop_to

ME = pwd.getpwuid(os.getuid())
Write = Callable[[str], str]


@pytest.fixture
def config(tmp_path: Path) -> Write:
    def write(text: str) -> str:
        (tmp_path / "config").write_text(text)
        return str(tmp_path / "config")

    return write


def test_without_a_word_the_defaults_of_ssh_hold(config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    hop = hop_to(Access("zk1"), config(""))
    assert (hop.name, hop.host, hop.port, hop.user) == ("zk1", "zk1", 22, ME.pw_name)
    assert f"{ME.pw_dir}/.ssh/id_ed25519" in hop.identity_files
    assert hop.known_hosts[0] == f"{ME.pw_dir}/.ssh/known_hosts"
    assert "/etc/ssh/ssh_known_hosts" in hop.known_hosts
    assert (hop.agent, hop.identities_only, hop.connect_timeout_s) == ("/run/agent", False, None)
    assert (hop.via, hop.proxy_command, hop.alias) == (None, "", "")


def test_the_configuration_fills_what_the_inventory_leaves_open(config: Write) -> None:
    path = config(
        "Host zk1\n HostName %h.example.org\n Port 2222\n User admin\n IdentityFile ~/keys/%h_%r\n IdentitiesOnly yes\n"
        " HostKeyAlias one\n ConnectTimeout 7\n AddressFamily inet6\n IdentityAgent ~/agent\n"
        " UserKnownHostsFile /a /b/%k\n GlobalKnownHostsFile none\n"
        "Host *\n IdentityFile /every\n"
    )
    hop = hop_to(Access("zk1"), path)
    assert (hop.host, hop.port, hop.user, hop.alias) == ("zk1.example.org", 2222, "admin", "one")
    assert hop.identity_files == (f"{ME.pw_dir}/keys/zk1.example.org_admin", "/every")
    assert (hop.identities_only, hop.connect_timeout_s, hop.family) == (True, 7.0, socket.AF_INET6)
    assert hop.agent == f"{ME.pw_dir}/agent"
    assert hop.known_hosts == ("/a", "/b/one")
    inventory = Access("zk1", 22, "ops", "/key", options=(("HostKeyAlias", "two"), ("ConnectTimeout", "3")))
    hop = hop_to(inventory, path)
    assert (hop.port, hop.user, hop.alias, hop.connect_timeout_s) == (22, "ops", "two", 3.0)
    assert hop.identity_files[0] == "/key"


def test_what_only_ssh_itself_follows(config: Write, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Host zk*\n Port 2022\n")
    path = config(f'Include {tmp_path}/mo*\nMatch host zk1 exec "test %n = zk1"\n User matched\n')
    hop = hop_to(Access("zk1"), path)
    assert (hop.port, hop.user) == (2022, "matched")
    assert hop_to(Access("zk2"), path).user == ME.pw_name


def test_words_with_blanks_stay_whole(config: Write) -> None:
    access = Access("zk1", key_file="/my keys/one", options=(("UserKnownHostsFile", '"/my hosts/known"'),))
    hop = hop_to(access, config(""))
    assert hop.identity_files[0] == "/my keys/one"
    assert hop.known_hosts[0] == "/my hosts/known"
    assert (
        hop_to(Access("zk1", options=(("IdentityFile", "/my keys/two"),)), config("")).identity_files[0]
        == "/my keys/two"
    )


@pytest.mark.parametrize(
    ("text", "agent"),
    [("none", ""), ("SSH_AUTH_SOCK", "/run/agent"), ("$OTHER", "/run/other"), ("/run/%u", f"/run/{ME.pw_name}")],
)
def test_the_agent(config: Write, monkeypatch: pytest.MonkeyPatch, text: str, agent: str) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("OTHER", "/run/other")
    assert hop_to(Access("zk1", options=(("IdentityAgent", text),)), config("")).agent == agent


def test_jump_hosts_are_reached_by_their_own_configuration(config: Write) -> None:
    path = config(
        "Host one\n HostName 10.0.0.1\n Port 2001\n User a\nHost two\n HostName 10.0.0.2\n ProxyJump one\n"
        "Host zk1\n ProxyJump b@two:2002\nHost zk2\n ProxyJump one,[::1]:2003\nHost zk3\n ProxyJump %h-jump\n"
    )
    zk1 = hop_to(Access("zk1", port=99, user="ops", key_file="/key", options=(("HostKeyAlias", "x"),)), path)
    assert zk1.via is not None
    assert zk1.via.via is not None
    assert (zk1.via.host, zk1.via.port, zk1.via.user, zk1.via.alias) == ("10.0.0.2", 2002, "b", "")
    assert "/key" not in zk1.via.identity_files
    assert (zk1.via.via.host, zk1.via.via.port, zk1.via.via.user) == ("10.0.0.1", 2001, "a")
    assert zk1.via.via.via is None
    zk2 = hop_to(Access("zk2"), path)
    assert zk2.via is not None
    assert zk2.via.via is not None
    assert (zk2.via.host, zk2.via.port, zk2.via.via.host) == ("::1", 2003, "10.0.0.1")
    zk3 = hop_to(Access("zk3"), path)
    assert zk3.via is not None
    assert zk3.via.host == "zk3-jump"
    assert hop_to(Access("zk1", options=(("ProxyJump", "none"),)), path).via is None


def test_a_proxy_command(config: Write) -> None:
    command = "nc -x 'a b' %h %p %r %n 100%%"
    hop = hop_to(Access("zk1", port=99, user="ops"), config(f"Host zk1\n HostName 10.0.0.1\n ProxyCommand {command}\n"))
    assert hop.proxy_command == "nc -x 'a b' 10.0.0.1 99 ops zk1 100%"
    assert hop_to(Access("zk1", options=(("ProxyCommand", "none"),)), config("")).proxy_command == ""


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("Bogus yes\n", (), "Bad configuration option: bogus"),
        ("", (("Port", "x"),), "Bad port"),
        ("", (("Bogus", "x"),), "Bad configuration option: bogus"),
        ("", (("ProxyJump", "a,,b"),), "ProxyJump"),
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", (("ProxyJump", "a"),), "a circle"),
    ],
)
def test_what_ssh_refuses(config: Write, text: str, options: tuple[tuple[str, str], ...], words: str) -> None:
    with pytest.raises(ConfigRefused, match=words):
        hop_to(Access("zk1", options=options), config(text))


def test_no_ssh_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigRefused, match="there is no `ssh` on this machine"):
        hop_to(Access("zk1"))


def test_an_ssh_that_does_not_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ssh_config, "_TIMEOUT_S", 0.1)
    with pytest.raises(ConfigRefused, match="takes more than"):
        hop_to(Access("zk1"))


def test_an_answer_of_an_old_ssh_is_enough() -> None:
    hop = hop_of("zk1", {})
    assert (hop.host, hop.port, hop.user, hop.via) == ("zk1", 22, ME.pw_name, None)
    with_all = {"hostname": ["h"], "port": ["7"], "user": ["u"], "proxycommand": ["x %h"], "identityfile": ["none"]}
    via = Hop("j", "j", 22, "u")
    assert hop_of("zk1", with_all, via) == Hop("zk1", "h", 7, "u", agent=hop.agent, via=via)


def test_tokens() -> None:
    assert expanded("%h:%p %% %x %", {"h": "host", "p": "22", "%": "%"}) == "host:22 % %x %"


def test_which_names_a_known_key_may_have(tmp_path: Path) -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3bXGVYbkVpaAoBSkAaHNzKd4EVWbbTtz3K2RRdfYwe"
    file = tmp_path / "known_hosts"
    file.write_text(f"ZK1,10.0.0.1 ssh-ed25519 {key}\n")
    assert known_host("zk1", 22, [str(file)]).keys[0].place == f"{file}:1"
    assert known_host("zk1", 2222, [str(file), "/nonexistent"]).keys
    assert not known_host("zk2", 22, [str(file)]).keys
    assert not known_host("zk1.example.org", 22, [str(file)]).keys
    assert known_host("10.0.0.1", 22, [str(tmp_path), str(file)]).names == ("10.0.0.1",)
    assert known_host("zk1", 2222, [str(file)], alias=True).names == ("zk1",)


def test_how_keys_are_called() -> None:
    assert fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    kinds = ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384", "rsa-sha2-512"]
    assert [short(kind) for kind in kinds] == ["ed25519", "rsa", "ecdsa", "rsa"]
