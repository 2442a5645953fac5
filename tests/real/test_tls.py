"""Ensembles whose servers, and whose clients, speak TLS: grown as any other, by certificate alone, and closed to everybody else."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
import yaml

from tests.real.driver import QUICK, Zkprov, edited_inventory, mode, nobody_gets_in, wait_for, word
from zkprov.act.local import LocalHost
from zkprov.lab import certificates
from zkprov.lab.lab import Lab
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import ClientFiles, Posture
from zkprov.model.server import HostPort

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("tls")]


@pytest.fixture(params=[Posture.QUORUM, Posture.TLS, Posture.TLS_ONLY])
def zkprov(request: pytest.FixtureRequest, make_lab, tmp_path: Path) -> Zkprov:
    return Zkprov(make_lab(3, posture=request.param), tmp_path / "runs")


def listens_on(port: int) -> set[str]:
    """The local addresses on which something listens at `port`, as the kernel tells."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            host, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]
                address = ipaddress.ip_address(b"".join(words))
                found.add(str(getattr(address, "ipv4_mapped", None) or address))
    return found


def speaks_tls(port: int, files: ClientFiles, question: bytes = b"") -> bool:
    """Whether a server that the lab's authority vouches for is there, and answers. Asked without any of zkprov's code."""
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(question)
            return not question or b"Mode:" in secure.recv(65536)
    except OSError:
        return False


def list_on_disk(host: InventoryHost) -> list[str]:
    named = [x for x in Path(host.config_dir, "zoo.cfg").read_text().splitlines() if x.startswith("dynamicConfigFile=")]
    return Path(named[0].split("=", 1)[1].replace("\\", "")).read_text().splitlines()


def by_endpoint(lab: Lab, count: int, files: ClientFiles) -> tuple[str, ...]:
    endpoints = ",".join(f"127.0.0.1:{h.secure_client_port}" for h in lab.hosts[:count])
    return "--connect", endpoints, "--ca-file", files.ca, "--cert-file", files.cert, "--key-file", files.key


@pytest.mark.matrix(keep=1, of="secured and grown")
def test_it_is_grown_as_any_other(zkprov: Zkprov) -> None:
    lab, posture = zkprov.lab, zkprov.lab.host(1).posture
    zkprov("add-node", "zk4", *QUICK).expect(0, "done: {1,2,3,4}")
    status = zkprov("status", "--output", "json").expect(0).json
    assert status["ensemble"]["verdict"] == "safe" and len(status["ensemble"]["leaders"]) == 1
    assert [s["id"] for s in status["servers"] if s["voting"]] == [1, 2, 3, 4]
    files = certificates.client_files(lab.folder / "tls")
    for server_id in (1, 2, 3, 4):
        host = lab.host(server_id)
        quorum = host.quorum_port if server_id == status["ensemble"]["leaders"][0] else host.election_port
        assert speaks_tls(quorum, files), "servers speak TLS to each other"
        assert speaks_tls(host.secure_client_port, files, b"srvr") == posture.clients
        clear = listens_on(host.client_port)
        assert clear == (set() if posture is Posture.TLS_ONLY else {"127.0.0.1"}), (
            "in the clear from the host itself at most"
        )
        line = next(x for x in list_on_disk(host) if x.startswith("server.4="))
        part = "" if posture is Posture.TLS_ONLY else f";127.0.0.1:{lab.host(4).client_port}"
        assert line.split(":participant")[1] == part

    # without an inventory, as long as the endpoints are named
    if posture.clients:
        done = zkprov("status", *by_endpoint(lab, 4, files), "--output", "json", inventory=False).expect(0)
        assert done.json["ensemble"]["verdict"] == "safe"
        assert [s["id"] for s in done.json["servers"]] == [1, 2, 3, 4], "each once"
        zkprov("check", *by_endpoint(lab, 4, files), inventory=False).expect(0, "one leader")
        zkprov("prove", *by_endpoint(lab, 4, files), inventory=False).expect(0, "SAFE")


@pytest.mark.matrix(keep=1, of="secured and grown")
def test_a_certificate_is_right_enough(make_lab, tmp_path: Path) -> None:
    """From bare hosts on: no password anywhere, the super user is who has the certificate; without one nobody gets in (3.7 and later)."""
    lab: Lab = make_lab(3, start=False, spares=0, posture=Posture.TLS)
    inventory = edited_inventory(
        lab, tmp_path / "x509.yml", everywhere={"zkprov_auth_file": None, "zkprov_enforce_auth": True}
    )
    zkprov = Zkprov(lab, tmp_path / "runs", inventory)
    quick = tuple(x for x in QUICK if x not in ("--settle", "0"))
    zkprov("bootstrap", *quick).expect(0, "done: {1,2,3}")
    zkprov("status").expect(0, "SAFE")
    assert "Mode:" in word(lab.host(1)), (
        "four letter words are answered in the clear from the host itself, as FACTS has it"
    )
    nobody_gets_in(HostPort("127.0.0.1", lab.host(1).client_port))


def test_what_is_given_as_flags_is_seen(make_lab, tmp_path: Path) -> None:
    """Stores that no zoo.cfg names are looked into; of sslQuorum, which counts in zoo.cfg alone, it is told that it does nothing."""
    lab: Lab = make_lab(1, posture=Posture.TLS, spares=0)
    zkprov, one = Zkprov(lab, tmp_path / "runs"), lab.host(1)
    local, zoo_cfg, flags = LocalHost(one), Path(one.config_dir, "zoo.cfg"), Path(one.config_dir, "jvm_flags")
    files = certificates.client_files(lab.folder / "tls")
    lines = zoo_cfg.read_text().splitlines()

    def restarted_with(*moved: str) -> None:
        local.stop(0)
        given = [line for line in lines if line.startswith(moved)]
        zoo_cfg.write_text("".join(f"{line}\n" for line in lines if line not in given))
        flags.write_text("".join(f"-Dzookeeper.{line}\n" for line in given))
        local.start()
        wait_for(lambda: mode(one) and speaks_tls(one.secure_client_port, files, b"srvr"), what="a server that serves")

    restarted_with("ssl.")
    told = zkprov("check").expect(0, "quorum and client TLS on 1 servers")
    assert "not looked into" not in told.said
    restarted_with("ssl.", "sslQuorum")
    zkprov("check").expect(0, "client TLS on 1 servers", "-Dzookeeper.sslQuorum=true does nothing")
    assert speaks_tls(one.secure_client_port, files) and not speaks_tls(one.election_port, files)


@pytest.fixture(scope="module")
def calm(software: None, tmp_path_factory: pytest.TempPathFactory):
    """Three servers with TLS that no test here changes."""
    home = tmp_path_factory.mktemp("tls")
    lab = Lab.create("calm_tls", 3, home=home, posture=Posture.TLS)
    certificates.make(home)  # of an authority that nobody trusts
    try:
        lab.up()
        yield Zkprov(lab, home / "runs")
    finally:
        lab.down()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"zkprov_ca_file": "ca.pem"}, "its certificate is not trusted"),
        ({"zkprov_cert_file": "client.pem", "zkprov_key_file": "client.key"}, "it refused our certificate"),
        ({"zkprov_cert_file": None, "zkprov_key_file": None}, "it refused our certificate"),
    ],
    ids=["we do not trust them", "they do not trust us", "we have none"],
)
def test_strangers_are_told_why(calm: Zkprov, tmp_path: Path, changed: dict[str, str | None], words: str) -> None:
    foreign = {k: v and str(calm.folder.parent / v) for k, v in changed.items()}
    stranger = calm.with_inventory(edited_inventory(calm.lab, tmp_path / "i.yml", everywhere=foreign))
    told = stranger("status").expect(4, words, "UNKNOWN")
    assert "quorum lost" not in told.said and "no quorum seen" in told.said, "who refuses us may serve others"
    stranger("add-node", "zk4", *QUICK).expect(3, words)
    assert not LocalHost(calm.lab.host(4)).exists()


def test_without_an_inventory_too_what_is_wrong_with_files_is_told(calm: Zkprov, tmp_path: Path) -> None:
    files = certificates.client_files(calm.lab.folder / "tls")
    foreign = certificates.client_files(calm.folder.parent)
    given = by_endpoint(calm.lab, 3, files)
    calm("status", *given[:-2], inventory=False).expect(2, "--cert-file and --key-file go together")
    calm("status", *given[:2], inventory=False).expect(4)
    calm("status", *given[2:]).expect(2, "--ca-file belongs to --connect")
    calm("status", *by_endpoint(calm.lab, 3, foreign), inventory=False).expect(4, "its certificate is not trusted")
    calm("prove", *given[:3], str(tmp_path / "none"), inventory=False).expect(2, "--ca-file: cannot be read")
    calm("check", *given[:7], foreign.key, inventory=False).expect(
        2, "--cert-file, --key-file", "do not belong together"
    )


def test_one_side_without_tls_is_told(calm: Zkprov, tmp_path: Path) -> None:
    """The inventory has the ports the wrong way round."""
    document = yaml.safe_load(calm.inventory.read_text())
    for host in document["all"]["children"][calm.lab.name]["hosts"].values():
        plain, secure = host["zkprov_client_port"], host["zkprov_secure_client_port"]
        host |= {"zkprov_client_port": secure, "zkprov_secure_client_port": plain}
    (tmp_path / "swapped.yml").write_text(yaml.safe_dump(document))
    calm.with_inventory(tmp_path / "swapped.yml")("status").expect(4, "it does not speak TLS there")
