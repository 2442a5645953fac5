"""What all answers of one server come to together: some say what others of its answers mean."""

from __future__ import annotations

from typing import Any

import msgspec

from zkprov.model.facts import Fact, Outcome, ServerFacts
from zkprov.observe import znodes
from zkprov.observe.target import Target


def server_of(target: Target, facts: dict[str, Any], expected: int | None) -> ServerFacts:
    srvr = facts.get("srvr")
    if srvr and srvr.outcome is Outcome.NOT_SERVING:
        # a server without quorum closes on a session without a word; `srvr` has said why
        for key in ("config", "identity", "ledger"):
            fact = facts.get(key)
            if fact and fact.outcome is Outcome.TRUNCATED:
                facts[key] = Fact(fact.source, Outcome.NOT_SERVING, at=fact.at, detail=srvr.detail)
    config, conf = facts.get("config"), facts.get("conf")
    told = conf.value.members if conf and conf.value else None
    static = config and config.value and not config.value.version and told and not told.version
    if static and config and config.value and told and not config.value.same_servers(told):
        # of a static list the znode is data as any other, of whoever wrote it last; `conf` tells what the server acts under
        facts["config"] = msgspec.structs.replace(config, value=told)
    if not target.client and target.unasked:
        facts = {
            "srvr": Fact("srvr", detail=target.unasked),
            "config": Fact(znodes.CONFIG, detail=target.unasked),
            **facts,
        }
    return ServerFacts(target.name, target.client, target.known_as, expected, target.admin, target.address, **facts)
