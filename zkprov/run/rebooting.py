"""A host is rebooted while its server is stopped: the operator's hook that patches it, the order, and the boot that proves it.

The order is noted on the host itself, with the boot in which it was given: whoever takes the run up, on whatever machine, reads there
whether it was carried out. So no host is rebooted twice for one step, and a connection that is lost meanwhile is a fact like any other.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from zkprov.act.boots import boot_here, this_machine
from zkprov.judge.picture import picture_of
from zkprov.judge.verdict import GateResult, Verdict
from zkprov.model.boots import Boot
from zkprov.model.problems import NotHealthy
from zkprov.plan.reboot import may_reboot
from zkprov.plan.steps import Step, seconds
from zkprov.run.gating import GateFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkprov.act.hosts import Host
    from zkprov.judge.picture import Picture
    from zkprov.run.engine import Engine
    from zkprov.run.world import World

LOOK_S = 0.3
"""Between two looks at a host that is away."""
TOLD_S = 5.0
"""Between two words on how long that still may take."""
GRACE_S = 20.0
"""How long a host of whose order nobody knows what came of it is watched, before it is taken for one that does not reboot."""
STAND_S = 5.0
"""How long the others have to be seen well, after a hook: the server that is down may be one that they need."""
PENDING_S = 4.0
"""How long after an order a host may look as if it had none."""


def hosts_of(world: World, picture: Picture) -> tuple[str, ...]:
    """The hosts of the inventory that are members."""
    return tuple(f.name for f in picture.members if world.inventory.host(f.name) is not None)


def read_boots(world: World, names: Sequence[str]) -> dict[str, Boot | str]:
    """Host → its boot, or why it was not read; all at once."""

    def one(name: str) -> Boot | str:
        try:
            return world.host(name).boot()
        except NotHealthy as problem:
            return problem.problem

    if not names:
        return {}
    with ThreadPoolExecutor(min(32, len(names))) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def not_here(world: World, boots: dict[str, Boot | str], names: Sequence[str]) -> None:
    """Raises `BadInput` where one of `names` is the machine on which zkprov runs, by whatever connection."""
    here = None
    with contextlib.suppress(NotHealthy):  # no Linux, say
        here = boot_here().boot
    for name in names:
        host, boot = world.inventory.host(name), boots.get(name)
        if host is not None and (host.connection == "local" or (isinstance(boot, Boot) and boot.boot == here)):
            raise this_machine(host)


def ready(run: Engine, step: Step) -> Boot:
    """The host's boot, where it may be rebooted as things are now. Raises `GateFailed`, and `BadInput` on that very machine."""
    names = dict.fromkeys((*hosts_of(run.world, picture_of(run.world.last or run.world.survey())), step.host))
    boots = read_boots(run.world, tuple(names))
    not_here(run.world, boots, [step.host])
    refusal = may_reboot([step.host], boots, "zkprov status", overridden="R4" in run.plan.options.overrides)
    boot = boots[step.host]
    if refusal is not None or not isinstance(boot, Boot):
        what = "; ".join((refusal.headline, *refusal.evidence)) if refusal else str(boot)
        gate = GateResult(f"{refusal.rule if refusal else 'R8'} reboot", Verdict.FAIL, what, remedy="zkprov status")
        raise GateFailed(gate, step.server)
    return boot


def await_host(run: Engine, step: Step) -> None:
    """Before a step that is taken up: until its host answers, and does not go down. An earlier attempt's order may be carried out yet."""
    host, ordered_until = run.world.host(step.host), run.clock.monotonic() + PENDING_S

    def there(seen: Boot) -> str:
        pending = seen.ordered == (run.plan.id, step.server, seen.boot) and run.clock.monotonic() < ordered_until
        return "it goes down" if seen.state == "stopping" or pending else ""

    _until(run, host, step, there)


def reboot(run: Engine, host: Host, step: Step, *, asks: bool) -> None:
    """Returns when the host is back in another boot, and its server runs. `asks`: whether the others can be asked meanwhile.

    Raises `GateFailed` where it does not come back in time, `NotHealthy` where the hook fails or the order cannot be given.
    """
    limit_s = run.plan.options.reboot_timeout_s
    was = _until(run, host, step, lambda _: "").boot
    _hook(run, "before", step)
    # a hook may take long, and may reboot the host itself
    seen = _until(run, host, step, lambda _: "")
    if seen.boot == was and asks:
        _others_stand(run, step)
        run.intend(step)
    ordered_at = run.clock.monotonic()
    # not where an earlier attempt's order was carried out just now
    if seen.boot == was and host.to_reboot(run.plan.id, run.attempt, step.server):
        run.events.emit("act", what=f"{step.host}: reboot", boot=was)
        run.stands = f"{step.server} was stopped, and its host is to reboot"
        _order(run, host, was, limit_s)
        seen = _until(run, host, step, lambda now: "it is in the boot of before" if now.boot == was else "")
    if seen.boot != was:
        took_s = round(run.clock.monotonic() - ordered_at, 1)
        run.events.emit("rebooted", host=step.host, was=was, boot=seen.boot, took_s=took_s)
    run.stands = f"{step.server} was stopped, and its host was rebooted"
    come_up(run, host, step)


def _others_stand(run: Engine, step: Step) -> None:
    """With another one gone meanwhile it is started at once, and not rebooted: raises `GateFailed`."""
    run.gates.leaving = run.gates.leaving | {step.server}
    deadline = run.clock.monotonic() + STAND_S
    while gate := run.gates.first_stop(run.gates.health().gates):
        if gate.unsafe or run.clock.monotonic() > deadline:
            raise GateFailed(gate, step.server)
        run.gates.pause(LOOK_S)


def cannot_be_taken_back(run: Engine, step: Step) -> bool:
    """Whether this run has rebooted the step's host, as far as is known: then what failed after it leaves nothing that was not."""
    try:
        seen = run.world.host(step.host).boot()
    except NotHealthy:
        return True
    done = seen.was_rebooted(run.plan.id, step.server)
    if done:
        run.stands = f"{step.server} serves, and its host was rebooted"
    return done


def _order(run: Engine, host: Host, was: str, limit_s: float) -> None:
    """What a lost connection leaves open the boot tells. Raises what failed where the host goes on as it was."""
    try:
        host.reboot(was, limit_s)
    except NotHealthy as problem:
        run.events.emit("answer", answer="unknown", why=str(problem))
        deadline = run.clock.monotonic() + GRACE_S
        while _goes_on(host, was):
            if run.clock.monotonic() > deadline:
                raise
            run.gates.pause(LOOK_S)


def _goes_on(host: Host, was: str) -> bool:
    try:
        seen = host.boot()
    except NotHealthy:
        return False
    return seen.boot == was and seen.state != "stopping"


def come_up(run: Engine, host: Host, step: Step) -> None:
    """The server of a host that is back: by itself, with the host; else it is started."""
    _hook(run, "after", step)

    def up(seen: Boot) -> str:
        return f"it is {seen.state}" if seen.under_way and not host.is_active() else ""

    _until(run, host, step, up)
    if not host.is_active():
        run.events.emit("act", what=f"{step.host}: start, since it did not come up with its host")
        host.start()


def _hook(run: Engine, when: str, step: Step) -> None:
    if run.world.hooks(when, "reboot", step.host, run.plan.id, limit_s=run.plan.options.reboot_timeout_s):
        run.events.emit("hook", hook=f"{when}-reboot", host=step.host)


def _until(run: Engine, host: Host, step: Step, lacks: Callable[[Boot], str]) -> Boot:
    """The host's boot, once it answers and `lacks` says nothing of what it tells. Raises `GateFailed` after the limit."""
    limit_s = run.plan.options.reboot_timeout_s
    began = told_at = run.clock.monotonic()
    while True:
        try:
            seen = host.boot()
            why = lacks(seen)
            if not why:
                return seen
        except NotHealthy as problem:
            why = problem.problem
        now = run.clock.monotonic()
        if now - began > limit_s:
            what = f"{step.host} is not back after {seconds(limit_s)}: {why}"
            remedy = f"see to {step.host}, then zkprov resume"
            raise GateFailed(GateResult("reboot", Verdict.FAIL, what, remedy=remedy), step.server)
        if now - told_at >= TOLD_S:
            run.events.emit("rebooting", host=step.host, left_s=round(limit_s - (now - began), 1), why=why)
            told_at = now
        run.gates.pause(LOOK_S)
