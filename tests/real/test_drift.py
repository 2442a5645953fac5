"""`plan configure` on real servers: what they rewrite themselves is no drift, one variable is one difference, and no secret is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.real.driver import Zkprov, edited_inventory, mode
from zkprov.lab.lab import Lab
from zkprov.lab.outage import kill
from zkprov.report.drift import DriftDocument

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("drift")]
CANARY = "c4nary-of-a-key-store"


@pytest.fixture(scope="module")
def grown(software: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zkprov]:
    """Three founders, which a lab writes, and a fourth made from the templates; every zoo.cfg was rewritten by its server."""
    home = tmp_path_factory.mktemp("drift")
    lab = Lab.create("kafka", 3, home=home, tick_ms=1000)
    try:
        lab.up()
        zkprov = Zkprov(lab, home / "runs")
        zkprov.add("zk4", "--role", "observer").expect(0)
        yield zkprov
    finally:
        lab.down()


def differences(drift: Any) -> dict[str, list[tuple[str, str]]]:
    return {
        h["host"]: [(f["file"], s["key"]) for f in h["files"] for s in f["settings"]]
        for h in drift["hosts"]
        if h["files"]
    }


def zoo_cfg(zkprov: Zkprov, server_id: int) -> Path:
    return Path(zkprov.lab.host(server_id).config_dir) / "zoo.cfg"


def test_a_fresh_ensemble_has_none(grown: Zkprov) -> None:
    done = grown("plan", "configure", "--detailed-exitcode").expect(0, "no drift", "bare, and no members: zk5")
    assert "next" not in done.out and "unhealthy" not in done.out
    document = grown("plan", "configure", "--output", "json").expect(0)
    assert msgspec.json.decode(document.out, type=DriftDocument, strict=True).drift.ensemble == "kafka"
    assert differences(document.json["drift"]) == {}
    grown("plan", "configure", "--limit", "zk1,zk4", "--limit", "zk1").expect(0, "zk4")


def test_one_variable_is_one_difference_and_the_leader_comes_last(grown: Zkprov, tmp_path: Path) -> None:
    lab = grown.lab
    settings = dict(lab.host(1).settings) | {"maxClientCnxns": "77"}
    other = grown.with_inventory(
        edited_inventory(lab, tmp_path / "i.yml", "zk2", everywhere={"zkprov_settings": settings}, zkprov_id=200)
    )
    drift = other("plan", "configure", "--output", "json", "--detailed-exitcode").expect(10).json["drift"]
    assert differences(drift) == {f"zk{i}": [("zoo.cfg", "maxClientCnxns")] for i in (1, 2, 3, 4)}
    leader = next(h.name for h in lab.founders if mode(h) == "leader")
    members = [h["host"] for h in drift["hosts"] if h["order"]]
    assert (members[0], members[-1], len(members)) == ("zk4", leader, 4)
    assert [h["order"] for h in drift["hosts"]][:4] == [1, 2, 3, 4]
    assert any("the list counts" in n for h in drift["hosts"] for n in h["notes"])
    # a plan is shown, and is no failure
    shown = other("plan", "configure", "--diff").expect(
        0, "maxClientCnxns 0 → 77", "the leader last", "+maxClientCnxns=77"
    )
    assert "server." not in shown.out and "dynamicConfigFile" not in shown.out


def test_flags_and_release(grown: Zkprov, tmp_path: Path) -> None:
    """A founder of a lab has no jvm_flags: what its process was started with is compared."""
    flags = [f.replace("-Xmx80m", "-Xmx96m") for f in grown.lab.host(1).jvm_flags]
    path = edited_inventory(grown.lab, tmp_path / "i.yml", "zk1", zkprov_jvm_flags=flags, zkprov_release="3.9.4")
    drift = grown.with_inventory(path)("plan", "configure", "--output", "json").expect(0).json["drift"]
    assert differences(drift) == {"zk1": [("jvm_flags", "-Xmx"), ("release", "running")]}


def test_what_was_made_by_hand_is_shown_and_no_secret_is(grown: Zkprov, tmp_path: Path) -> None:
    path = zoo_cfg(grown, 1)
    before = path.read_text()
    digest = next(line for line in before.splitlines() if line.startswith("DigestAuth"))
    changed = before.replace(digest, f"DigestAuthenticationProvider.superDigest=super:{CANARY}")
    changed += f"globalOutstandingLimit=99\nssl.keyStore.password={CANARY}\n# ssl.trustStore.password={CANARY}\n"
    path.write_text(changed)
    try:
        text = grown("plan", "configure", "--diff").expect(
            0, "globalOutstandingLimit=99 made by hand", "(hidden, another)"
        )
        document = grown("plan", "configure", "--output", "json").expect(0)
        rendered = grown("render", "zk1", "--diff").expect(0, "(hidden)")
    finally:
        path.write_text(before)
    for done in (text, document, rendered):
        assert CANARY not in done.out + done.err and digest.partition("=")[2] not in done.out + done.err
    left = [p for p in grown.folder.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()]
    assert not left
    keys = [key for _, key in differences(document.json["drift"])["zk1"]]
    assert sorted(keys) == [
        "DigestAuthenticationProvider.superDigest",
        "globalOutstandingLimit",
        "ssl.keyStore.password",
    ]
    # what was printed is no plan
    file = tmp_path / "drift.json"
    file.write_text(document.out)
    grown("apply", str(file), "--yes").expect(2, "and no plan", "zkprov restart --config")


def test_what_templates_may_not_make(grown: Zkprov, tmp_path: Path) -> None:
    (tmp_path / "zoo.cfg.j2").write_text(
        '{% extends "zkprov/zoo.cfg.j2" %}{% block rules %}standaloneEnabled=true\n{% endblock %}'
    )
    grown("plan", "configure", "--templates", str(tmp_path)).expect(3, "REFUSED R1", "no drift seen")
    grown("plan", "configure", "--limit", "zk77").expect(2, "no host 'zk77'")


def test_a_file_that_cannot_be_read(grown: Zkprov) -> None:
    path = Path(grown.lab.host(4).config_dir) / "logback.xml"
    kept = path.rename(path.with_suffix(".kept"))
    path.mkdir()
    try:
        grown("plan", "configure").expect(4, "not read: logback.xml: not a file", "no drift seen")
        grown("render", "zk4", "--diff").expect(4, "logback.xml", "not a file")
    finally:
        path.rmdir()
        kept.rename(path)


def test_an_ensemble_that_is_not_healthy_is_shown(grown: Zkprov) -> None:
    victim = next(h for h in grown.lab.founders if mode(h) == "follower")
    assert victim.id is not None
    kill(grown.lab, victim.id)
    try:
        done = grown("plan", "configure").expect(0, "the ensemble is not healthy: DEGRADED", "does not answer")
        assert json.loads(grown("plan", "configure", "--output", "json").out)["drift"]["condition"] == "degraded"
        assert victim.name in done.out
    finally:
        grown.lab.up()
