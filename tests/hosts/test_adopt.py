"""An ensemble that somebody set up by hand, static and tight-lipped, is adopted over SSH: by her own unit, in her own folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.by_hand import DIGEST, PASSWORD, Layout, files_of
from tests.hosts.operator import QUICK
from tests.hosts.test_own_layout import MARKS, Dana, dana, settings
from tests.real.driver import Arguments, Load, Sampler, live_config, mode, version_of, wait_for

__all__ = ["dana"]
pytestmark = pytest.mark.real
# what is edited, and what ZooKeeper writes once the list has a version
CONFIG = re.compile(r"/srv/zk/conf/zoo\.cfg(\.bak|\.dynamic\.[0-9a-f]+)?")
WRITTEN = {"reconfigEnabled", "db.autocreate", "4lw.commands.whitelist"}


@pytest.mark.timeout(300)
@pytest.mark.matrix(keep=1, of="adopted by her own unit", among="stories on hosts")
@pytest.mark.parametrize("kind", ["simple", "forking"])
def test_a_static_ensemble_of_somebody_else_s_making(
    dana: Callable[[int], Dana],
    zookeeper_archive: tuple[Path, str],
    kind: str,
) -> None:
    she = dana(4)
    layout, members = Layout(kind), she.machines[:3]
    zkprov = she.inventory()
    layout.found(members, zookeeper_archive[0], dynamic=False)
    wait_for(lambda: sorted(map(mode, she.hosts[:3])) == ["follower", "follower", "leader"], 60, "three serve")
    before = {m.name: files_of(m, "/srv", "/data", "/etc") for m in members}
    had = {m.name: settings(m) for m in members}
    zkprov("adopt", *QUICK).expect(
        3, "Refused by R10", "zkprov_foreign_config_manager: stopped", "reconfigEnabled=true"
    )
    assert {m.name: files_of(m, "/srv", "/etc") for m in members} == {
        name: {p: f for p, f in files.items() if not p.startswith("/data")} for name, files in before.items()
    }
    zkprov = she.inventory(zkprov_foreign_config_manager="stopped")
    with Load(she.hosts[:3], per_s=50) as load, Sampler(_Of(she)) as sampler, Arguments(PASSWORD) as seen:
        zkprov("adopt", "--no-backup", *QUICK, timeout_s=200).expect(0, "it can be changed from here")
        wait_for(lambda: all(map(mode, she.hosts[:3])))
    assert load.acknowledged and not any(load.missing(h) for h in she.hosts[:3])
    assert all(len(names) <= 1 for names in sampler.leaders)
    assert seen.looks and not {where for where in seen.seen if " cmdline:" in where}
    assert int(version_of(live_config(*she.hosts[:3])), 16) > 0
    zkprov("check").expect(0, "in memory and on disk")
    zkprov("adopt", *QUICK).expect(0, "nothing to do")
    for machine in members:
        now = files_of(machine, "/srv", "/data", "/etc")
        differ = {p for p in {*before[machine.name], *now} if before[machine.name].get(p) != now.get(p)}
        assert not {p for p in differ if not CONFIG.fullmatch(p) and not MARKS.fullmatch(p)}
        # her own lines say what they said, whoever wrote the file last; it is her user's as it was
        own = {re.sub(r"\s*[=:]\s*", "=", line, count=1) for line in had[machine.name]}
        kept = {line for line in own if line.partition("=")[0] not in WRITTEN}
        assert kept <= settings(machine)
        assert {line.partition("=")[0] for line in settings(machine)} == {x.partition("=")[0] for x in own} | WRITTEN
        assert now["/srv/zk/conf/zoo.cfg"][:3] == before[machine.name]["/srv/zk/conf/zoo.cfg"][:3]
        machine.shell(f"! grep -rlF -e '{PASSWORD}' /etc /var /srv /data /tmp /root /home /run 2>/dev/null")
        assert DIGEST not in (machine.root / "srv/zk/conf/zoo.cfg").read_text(), "she gives it on the command line"


class _Of:
    """The members alone."""

    def __init__(self, she: Dana) -> None:
        self.hosts = she.hosts[:3]
