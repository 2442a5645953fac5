"""A leader that cannot commit: it leads with a quorum, answers at once, and opens no session, which is a write like any other."""

from __future__ import annotations

from zkprov.judge.leaders import Leader
from zkprov.judge.picture import Picture, epoch_of, leads
from zkprov.judge.verdict import Evidence
from zkprov.model.facts import Outcome, ServerFacts, Survey

SHUT_S = 5.0


def stuck(
    picture: Picture, leader: Leader, earlier: Survey | None, commits: bool | None, shut_s: float
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """(proved, suspected). `commits`: as `incidents_of`. `shut_s`: for how long now this was suspected at each look, in seconds.

    Proved by looks in a row over `SHUT_S` at which the same leader answered all else, at the same zxid, and no server of its opened one
    in time. A leader is slow in the first moments of its epoch, and so is a machine under load.
    """
    facts = picture.survey.by_name(leader.name)
    if commits or facts is None or facts.srvr.value is None:
        return (), ()
    if commits is None and not _shut(picture.survey, leader):
        return (), ()
    what = f"leads at {facts.srvr.value.zxid:#x}, answers srvr, and opens no session: {facts.config.detail or 'no answer in time'}"
    found = [Evidence(picture.label(facts), what)]
    found += [
        Evidence(picture.label(other), f"follows it; {other.config}")
        for other in picture.survey.servers
        if other.name in leader.names and other is not facts and other.config.value is None
    ]
    before = earlier.by_name(leader.name) if earlier else None
    # where nothing else comes in time either, the machine is slow: this one or that
    prompt = Outcome.TIMEOUT not in (facts.mntr.outcome, facts.conf.outcome, facts.zabstate.outcome)
    same = (
        prompt
        and shut_s >= SHUT_S
        and earlier is not None
        and before is not None
        and before.srvr.value is not None
        and leads(before)
        and epoch_of(before) == epoch_of(facts)
        and before.srvr.value.zxid == facts.srvr.value.zxid
        and (commits is False or _shut(earlier, leader))
    )
    return (tuple(found), ()) if same else ((), tuple(found[:1]))


def _shut(survey: Survey, leader: Leader) -> bool:
    """Whether no server of the leader's that answers `srvr` opened a session, each for want of an answer."""
    asked = [f for f in survey.servers if f.name in leader.names and f.srvr.value is not None]
    return any(f.name == leader.name for f in asked) and all(_unopened(f) for f in asked)


def _unopened(facts: ServerFacts) -> bool:
    return facts.config.outcome is Outcome.TIMEOUT and facts.identity.outcome is Outcome.TIMEOUT
