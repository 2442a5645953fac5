"""Ensembles whose servers, and whose clients, say by SASL who they are: grown as any other, and closed to everybody else."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.real.driver import QUICK, Touched, Zkprov, edited_inventory, mode, nobody_gets_in, secrets_of
from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.lab import Lab
from zkprov.lab.sasl import CLIENT_FILE, QUORUM_FILE, Secured
from zkprov.model.inventory import InventoryHost
from zkprov.model.posture import Posture

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("sasl")]
PASSWORDS = (QUORUM_FILE, CLIENT_FILE)


def operator(lab: Lab, folder: Path, inventory: Path | None = None) -> Zkprov:
    """Whatever is printed is searched for SASL's passwords too."""
    passwords = [(lab.folder / name).read_text().strip() for name in PASSWORDS if (lab.folder / name).exists()]
    return Zkprov(lab, folder, inventory, (*secrets_of(lab), *passwords))


@pytest.fixture(scope="module")
def calm(software: None, tmp_path_factory: pytest.TempPathFactory):
    """Three servers with SASL for all, without any digest of the super user, that no test here changes."""
    home = tmp_path_factory.mktemp("sasl")
    lab = Lab.create("calm_sasl", 3, home=home, secured=Secured.BOTH)
    try:
        lab.up()
        yield operator(lab, home / "runs")
    finally:
        lab.down()


def list_on_disk(host: InventoryHost) -> str:
    named = re.search(r"(?m)^dynamicConfigFile=(.+)$", Path(host.config_dir, "zoo.cfg").read_text())
    assert named
    return Path(named[1]).read_text()


def who_may_read(folder: Path, secrets: tuple[str, ...]) -> dict[Path, int]:
    """File → its mode and that of the folders above, of all that hold one of the secrets."""
    found = {}
    for path in (p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if any(s.encode() in content for s in secrets):
            found[path] = stat.S_IMODE(path.stat().st_mode)
    return found


@pytest.mark.matrix(keep=1, of="secured and grown")
@pytest.mark.parametrize(
    ("secured", "posture"),
    [
        (Secured.BOTH, Posture.PLAIN),
        (Secured.BOTH, Posture.TLS),
        (Secured.BOTH, Posture.TLS_ONLY),
        (Secured.QUORUM, Posture.QUORUM),
        (Secured.CLIENTS, Posture.PLAIN),
    ],
)
def test_from_bare_hosts_on(make_lab, tmp_path: Path, secured: Secured, posture: Posture) -> None:
    """Bootstrapped and grown; the right to do so comes by SASL where clients have it, and passwords lie nowhere that others read."""
    lab: Lab = make_lab(2, start=False, spares=1, secured=secured, posture=posture)
    changed = {"zkprov_auth_file": None, "zkprov_enforce_auth": True} if secured.clients else {}
    if secured.clients and posture.clients:
        changed |= {"zkprov_super_dn": None}
    inventory = edited_inventory(lab, tmp_path / "sasl.yml", everywhere=changed)
    zkprov = operator(lab, tmp_path / "runs", inventory)
    zkprov("bootstrap", *(x for x in QUICK if x not in ("--settle", "0"))).expect(0, "done: {1,2,3}")
    zkprov("check").expect(0, "SAFE", "SASL on 3 servers")
    zkprov("plan", "configure", "--detailed-exitcode").expect(0, "no drift")
    one = lab.host(1)
    jaas = Path(one.config_dir, "jaas.conf")
    assert stat.S_IMODE(jaas.stat().st_mode) == 0o600
    assert ("QuorumServer {" in jaas.read_text(), "\nServer {" in f"\n{jaas.read_text()}") == (
        secured.quorum,
        secured.clients,
    )
    passwords = zkprov.secrets[2:]
    holders = who_may_read(tmp_path, passwords)
    assert {p.name for p in holders} <= {"jaas.conf", *PASSWORDS}, holders
    assert not any(m & 0o077 for m in holders.values())
    if secured.clients and posture is Posture.PLAIN:
        nobody_gets_in(one.client)
        connect = ("--connect", ",".join(str(h.client) for h in lab.hosts))
        known = ("--sasl-user", "zkprov", "--sasl-password-file", str(lab.folder / CLIENT_FILE))
        nobody = "no session without authentication"
        zkprov("status", *connect, inventory=False).expect(0, nobody)
        for command in ("status", "check", "prove"):
            assert nobody not in zkprov(command, *connect, *known, inventory=False).expect(0, "SAFE").said


def test_the_quorums_password_is_compared_before_anything_is_laid(
    calm: Zkprov, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched = Touched(calm.lab, "zk4")
    monkeypatch.setenv("ZKPROV_QUORUM_SASL_PASSWORD", "c4nary-of-another")
    told = calm("add-node", "zk4", *QUICK)
    told.expect(4, "zk4: its password among servers (user zookeeper) is not the one that is known to zk1, zk2, zk3")
    assert "c4nary" not in told.said
    touched.nothing()


def test_where_it_cannot_be_compared_the_joiner_stays_out_and_is_undone(
    calm: Zkprov, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members' passwords lie elsewhere than zkprov would lay them."""
    hidden = [Path(h.config_dir, "jaas.conf") for h in calm.lab.founders]
    for path in hidden:
        path.rename(path.with_suffix(".elsewhere"))
    try:
        monkeypatch.setenv("ZKPROV_QUORUM_SASL_PASSWORD", "c4nary-of-another")
        quick = [*QUICK[:-1], "3"]
        told = calm("add-node", "zk4", *quick).expect(4, "not currently serving requests", "(SASL)", "undone")
    finally:
        for path in hidden:
            path.with_suffix(".elsewhere").rename(path)
    assert "server.4=" not in list_on_disk(calm.lab.host(1)) and not LocalHost(calm.lab.host(4)).exists()
    assert told.said.count("its disk is at") >= 1
    calm("status").expect(0, "SAFE")


@pytest.mark.parametrize(
    ("everywhere", "words"),
    [
        ({"zkprov_quorum_sasl": None, "zkprov_quorum_sasl_password_file": None}, "zk4: quorum SASL is off, and on on 1 (zk1)"),
        ({"zkprov_enforce_auth": True}, "zk4: enforce.auth.enabled is true, and false on 1 (zk1)"),
        ({"zkprov_sasl_super": False}, "zk4: superUser is unset, and zkprov on 1 (zk1)"),
    ],
    ids=["no SASL", "enforced", "another super user"],
)  # fmt: skip
@pytest.mark.matrix(keep=1)
def test_a_joiner_of_another_kind_is_refused(calm: Zkprov, tmp_path: Path, everywhere: dict, words: str) -> None:
    touched = Touched(calm.lab, "zk4")
    other = calm.with_inventory(edited_inventory(calm.lab, tmp_path / "i.yml", everywhere=everywhere))
    other("add-node", "zk4", *QUICK).expect(4, words, "once, for the whole group")
    touched.nothing()


def test_fips_mode_is_seen_first(calm: Zkprov) -> None:
    zoo_cfg = Path(calm.lab.host(2).config_dir, "zoo.cfg")
    before = zoo_cfg.read_text()
    assert "fips-mode=false" in before
    try:
        zoo_cfg.write_text(before.replace("fips-mode=false", "fips-mode=true"))
        calm("add-node", "zk4", *QUICK).expect(
            4, "2 (zk2): fips-mode is true", "set fips-mode=false in zoo.cfg of 2 (zk2)"
        )
    finally:
        zoo_cfg.write_text(before)
    assert not LocalHost(calm.lab.host(4)).exists()


def test_a_wrong_password_of_a_client_is_one_clear_error(calm: Zkprov, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKPROV_SASL_PASSWORD", "c4nary-of-nobody")
    refused = "it refused our SASL credentials (user zkprov)"
    for told in (calm("status").expect(0, refused), calm("add-node", "zk4", *QUICK).expect(4, refused)):
        assert "c4nary" not in told.said
    calm("pause", "--reason", "x").expect(
        4, "the servers refuse the SASL user zkprov", "zkprov_sasl_user and its password"
    )


def test_without_an_inventory(calm: Zkprov, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who we are is said by a user's name alone; the password by the environment, or a file that nobody else reads; never by an option."""
    connect = ("--connect", ",".join(str(h.client) for h in calm.lab.founders))
    file = calm.lab.folder / CLIENT_FILE
    known = ("--sasl-user", "zkprov", "--sasl-password-file")
    calm("status", *connect, *known, str(file), inventory=False).expect(0, "SAFE")
    open_to_all = tmp_path / "open"
    open_to_all.write_text(file.read_text())
    open_to_all.chmod(0o644)
    calm("status", *connect, *known, str(open_to_all), inventory=False).expect(2, "others can read", "chmod 600")
    calm("status", *connect, *known[:2], inventory=False).expect(2, "nothing says the password", "ZKPROV_SASL_PASSWORD")
    calm("status", *connect, *known[2:], str(file), inventory=False).expect(2, "needs --sasl-user")
    calm("status", *known[:2]).expect(2, "--sasl-user belongs to --connect")
    with monkeypatch.context() as given:
        given.setenv("ZKPROV_SASL_PASSWORD", "c4nary-of-nobody")
        calm("status", *connect, inventory=False).expect(0, "SAFE")
        given.setenv("ZKPROV_SASL_USER", "zkprov")
        told = calm("status", *connect, *known[2:], str(file), inventory=False)
        assert "it refused our SASL credentials (user zkprov)" in told.said and "c4nary" not in told.said, told
        given.setenv("ZKPROV_SASL_PASSWORD", file.read_text().strip())
        calm("status", *connect, inventory=False).expect(0, "SAFE")
        calm("status").expect(0, "SAFE")


def test_its_super_user_needs_no_other_password(calm: Zkprov, tmp_path: Path) -> None:
    """The digest is not even sent: a wrong one does no harm."""
    wrong = tmp_path / "wrong"
    wrong.write_text("digest:super:wrong\n")
    wrong.chmod(0o600)
    other = calm.with_inventory(
        edited_inventory(calm.lab, tmp_path / "i.yml", everywhere={"zkprov_auth_file": str(wrong)})
    )
    other("pause", "--reason", "by SASL").expect(0)
    other("unpause").expect(0)
    assert all(mode(h) for h in calm.lab.founders)


def ordinary(lab: Lab, folder: Path, kind: str) -> tuple[Path, dict[str, str]]:
    """An inventory by which zkprov is somebody who is not the super user, and the environment that makes it the super user once."""
    password = secrets_of(lab)[0]
    auth = folder / "ordinary"
    auth.write_text("digest:ops:c4nary-of-ops\n")
    auth.chmod(0o600)
    changed = {
        "sasl": {"zkprov_auth_file": None},
        "x509": {"zkprov_auth_file": None, "zkprov_super_dn": None},
        "digest": {"zkprov_auth_file": str(auth)},
    }[kind]
    if kind == "sasl":
        changed |= {"zkprov_sasl_super": False}
    path = edited_inventory(lab, folder / "ordinary.yml", everywhere=changed)
    return path, {"ZKPROV_SUPER_PASSWORD": password}


def known_by_none_but_the_digest(patch: pytest.MonkeyPatch) -> None:
    """A lab whose servers take nobody for the super user by a certificate or by SASL."""
    usual = founding._properties
    patch.setattr(founding, "_properties", lambda s: usual({k: v for k, v in s.items() if not k.endswith("superUser")}))


@pytest.mark.matrix(keep=1, of="secured and grown")
@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("digest", {}),
        ("x509", {"posture": Posture.TLS}),
        ("sasl", {"secured": Secured.CLIENTS}),
    ],
    ids=["digest", "x509", "sasl"],
)
def test_grant_once_and_then_without_the_super_user(
    make_lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, made: dict
) -> None:
    """Told before it is done, done once, taken from nobody; afterwards an ordinary identity brings a server in, ledger and all."""
    lab: Lab = make_lab(2, spares=2, start=False, **made)
    known_by_none_but_the_digest(monkeypatch)
    lab.up()
    inventory, super_user = ordinary(lab, tmp_path, kind)
    zkprov = operator(lab, tmp_path / "runs", inventory)
    with monkeypatch.context() as once:
        # the ledger is the super user's
        once.setenv(*next(iter(super_user.items())))
        zkprov("add-node", "zk3", *QUICK).expect(0, "done: {1,2,3}")
    refused = zkprov("add-node", "zk4", *QUICK).expect(4)
    assert "no right to reconfig" in refused.said or "NoAuthError" in refused.said, refused
    zkprov("grant", "--yes").expect(4, "only the super user", "ZKPROV_SUPER_PASSWORD=")
    with monkeypatch.context() as once:
        once.setenv(*next(iter(super_user.items())))
        zkprov("grant", "--dry-run").expect(
            0,
            "is world:anyone r will be world:anyone r",
            f"{kind}:",
            *(["znodes of the ledger"] if kind == "digest" else []),
        )
        zkprov("grant").expect(2, "--yes")
        zkprov("grant", "--yes", "--as", "ann").expect(0, "may change the ensemble", "proved")
        (run,) = zkprov("history", "--kind", "grant", "--output", "json", inventory=False).expect(0).json
        assert (run["who"], run["state"], run["plan"]["steps"]) == ("ann", "done", [])
        assert run["plan"]["notes"][0].startswith("ACL of /zookeeper/config: world:anyone r becomes world:anyone r, ")
        told = zkprov("history", run["id"], inventory=False).expect(
            0, "ACL of /zookeeper/config: world:anyone r becomes"
        )
        assert told.out.index("run.begun") < told.out.index(" act ") < told.out.index("run.ended")
        zkprov("report", "last", inventory=False).expect(0, "Done: grant on", "planned by ann")
        zkprov("grant", "--yes").expect(0, "has the right already; nothing to do", "proved")
        assert len(zkprov("history", "--kind", "grant", "--output", "json", inventory=False).json) == 1
        zkprov("grant", "--to", "sasl:other", "--replace", "--dry-run").expect(0, f"loses {kind}:")
        zkprov("grant", "--to", "digest:a:plain").expect(2, "never the password")
    zkprov("add-node", "zk4", *QUICK).expect(0, "done: {1,2,3,4}")
    zkprov("status").expect(0, "SAFE")
