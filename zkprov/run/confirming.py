"""The end of a heal: one leader, one history, equal digests in good samples, and a write that each server takes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkprov.act.session import close
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.problems import Interrupted, Problem
from zkprov.plan.steps import Step
from zkprov.run.acts import confirm as confirmed
from zkprov.run.acts import live_of
from zkprov.run.gating import GateFailed
from zkprov.run.ledger import EnsembleLedger

if TYPE_CHECKING:
    from zkprov.run.engine import Engine

DIGEST_EVERY = 128
"""Every server notes the digest of its tree at each zxid that this divides (`DataTree.logZxidDigest`): without one nothing is compared."""
NOTED_S = 2.0


def confirm(run: Engine, step: Step) -> str:
    """May be repeated: what is written is a clock."""
    health = run.gates.passed(samples=run.plan.options.samples, expect=step.after)
    if health.gate("digests").verdict is not Verdict.PASS and any(f.hash.value for f in health.picture.members):
        _reach_a_digest(run)
        health = run.gates.passed(expect=step.after)
    live = live_of(health)
    served = [f for f in health.picture.members if f.serving and f.client is not None]
    for facts in served:
        run.checkpoint()
        assert facts.client is not None  # noqa: S101 — asked above
        try:
            client = run.world.connect((facts.client,), run.stop)
            try:
                EnsembleLedger(client, run.world.is_known, run.stop).now_ms()
            finally:
                close(client)
        except Interrupted:
            raise
        except Problem as problem:
            what = f"{facts.name} takes no write of its own session: {problem}"
            raise GateFailed(GateResult("write", Verdict.FAIL, what, remedy="zkprov status"), step.server) from None
    run.intend(step)
    confirmed(run, health, live)
    digests = health.gate("digests")
    equal = "digests equal" if digests.verdict is Verdict.PASS else f"digests not told ({digests.summary})"
    return f"one leader, one history, {equal}; a write through each of {len(served)} servers"


def _reach_a_digest(run: Engine) -> None:
    """Writes until every server has passed a zxid at which it notes one, so that what is equal is seen to be equal."""
    for number in range(DIGEST_EVERY + 1):
        run.ledger.now_ms()
        if number % 32 == 0:
            run.checkpoint()
    deadline = run.clock.monotonic() + NOTED_S
    while run.gates.health().gate("digests").verdict is Verdict.UNKNOWN and run.clock.monotonic() < deadline:
        run.gates.pause(0.05)
