"""Older releases grow as well: gated by what each of them can tell, with the protections that it lacks named in the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.driver import Load, Sampler, Zkprov, client, epoch, lists_on_disk, live_config, version_of, wait_for

pytestmark = pytest.mark.real


@pytest.mark.matrix(keep=1)
@pytest.mark.parametrize("release", ["3.8.6", "3.6.4"])
def test_three_become_four(make_lab, tmp_path: Path, release: str) -> None:
    lab = make_lab(3, release=release, tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    with Load(lab.founders) as load, Sampler(lab) as sampler:
        wait_for(lambda: len(load.acknowledged) > 20)
        before = epoch(lab.host(1))
        sampler.epochs.clear()
        done = zkprov.add("zk4").expect(0, "done: {1,2,3,4}")
    assert "note R5" not in done.said and "note R8" not in done.said, "this release has all protections"
    assert set(map(len, sampler.leaders)) == {1} and sampler.epochs == {before}
    members = lab.hosts[:4]
    assert load.failed == 0 and [load.missing(h) for h in members] == [set()] * 4
    assert {lists_on_disk(h)[-1] for h in members} == {version_of(live_config(h)) for h in members}
    zkprov("check").expect(0, "SAFE", release)


def test_a_release_without_digests_and_autocreate(make_lab, tmp_path: Path) -> None:
    lab = make_lab(3, release="3.5.10", tick_ms=1000)
    zkprov = Zkprov(lab, tmp_path / "runs")
    with client(*lab.founders) as session:
        session.create("/app", b"")
    plan = zkprov("plan", "add", "zk4", "--output", "json").expect(0).json["plan"]
    assert [n[:2] for n in plan["notes"]] == ["R5", "R8"], "the missing protections are named"
    zkprov.add("zk4").expect(0, "done: {1,2,3,4}", "no db.autocreate", "no digests")
    assert "db.autocreate" not in (Path(lab.host(4).config_dir) / "zoo.cfg").read_text()
    zkprov("status").expect(0, "SAFE", "3.5.10")
