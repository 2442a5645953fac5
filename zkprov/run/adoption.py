"""Plans an adoption from a fresh survey: what is missing, and whether we shall have the right to change the list."""

from __future__ import annotations

import secrets
import time

from zkprov import __version__
from zkprov.act.reconfig import no_right
from zkprov.judge.adoption import behind, missing
from zkprov.judge.health import judge
from zkprov.judge.picture import release_of
from zkprov.judge.verdict import Purpose
from zkprov.model.problems import NotHealthy
from zkprov.model.release import Release
from zkprov.observe.credentials import super_settings
from zkprov.plan.adopt import AdoptWish, plan_adopt
from zkprov.plan.steps import Options, Plan, Refusal
from zkprov.run.planning import acting, steady_health, who_am_i
from zkprov.run.world import World


def make_adoption(world: World, options: Options, made_by: str | None = None) -> Plan | Refusal | None:
    """None where nothing is missing. Raises `NotHealthy` where no server tells a list, or serves."""
    survey = world.survey()
    health = judge(survey, Purpose.LOOK)
    picture = health.picture
    if picture.live is None:
        raise NotHealthy("no server tells the list of members", place=survey.ensemble, remedy="zkprov status")
    refused = ""
    # without reconfig there is no right to it; such a release is refused, with the way to another
    if (release := Release.read(release_of(picture))) is None or release.has_reconfig:
        with acting(world) as client:
            refused = no_right(client)
    health = steady_health(world, behind(picture))
    lacks = missing(health, world.inventory, no_right=refused, with_password=bool(super_settings(world.inventory)))
    wish = AdoptWish(
        plan_id=secrets.token_hex(3),
        names=tuple(m.host for m in lacks.restarts),
        files={},
        no_right=refused,
        options=options,
        made_at=time.time(),
        made_by=who_am_i(made_by),
        zkprov=__version__,
        templates_digest=world.templates_digest(),
        missing=lacks,
    )
    return plan_adopt(health, world.inventory, wish)
