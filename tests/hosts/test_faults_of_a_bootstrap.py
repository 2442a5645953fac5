"""Whatever is cut while bare machines become an ensemble: the run ends in time and says what to do, and that leads to the ensemble."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.scene import Instant
from tests.hosts.cuts import LIMIT_S, QUICK, Phase, Scene

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.matrix(keep=1, of="faults on hosts", among="stories on hosts"),
]
GIVEN = ("--yes", *QUICK[3:])
AGAIN = ("bootstrap", *GIVEN)
# who is laid then, and where it is met
PHASES: tuple[tuple[str, Phase], ...] = (
    ("zk1", "in install"),
    ("zk1", "in configure"),
    ("zk1", "in start"),
    ("zk2", "before install"),
    ("zk2", "in start"),
    ("zk2", Instant(2, "act")),  # from one voter to two
    ("zk3", "in configure"),
    ("zk3", Instant(4, "answer")),
)


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene("bare", count=3, members=0)


WHAT = ("cut off", "power cut of the founder", "power cut of who comes in", "killed", "killed alone")
CELLS = [(host, phase, what) for host, phase in PHASES for what in WHAT if host != "zk1" or what != WHAT[2]]


@pytest.mark.parametrize(("host", "phase", "what"), CELLS, ids=str)
def test_a_bootstrap(scene: Scene, host: str, phase: Phase, what: str) -> None:
    running = scene.start(phase, *AGAIN, host=host)
    scene.reach(running, phase)
    if what.startswith("killed"):
        scene.kill(running, everything=what == "killed")
        scene.release()
        done = None
    else:
        if what == "cut off":
            scene.cut_off()
        else:
            scene.power_cut("zk1" if what == "power cut of the founder" else host)
        scene.go(running)
        if scene.rng.random() < 0.5:
            scene.a_while(running, 8)
            scene.mend()
        done = running.wait(LIMIT_S)
    scene.mend()
    scene.founded(done, AGAIN)
