"""Where the sessions that act may go."""

from __future__ import annotations

from collections.abc import Set

from zkprov.judge.picture import client_of, picture_of
from zkprov.model.facts import Survey
from zkprov.model.server import HostPort


def endpoints_of(survey: Survey, without: Set[int] = frozenset()) -> tuple[HostPort, ...]:
    """Where the members, `without` these ids, serve clients now, then the other members; empty where none serves."""
    picture = picture_of(survey)
    members = [f for f in picture.members if f.client is not None and picture.member_id(f) not in without]
    serving = [f.client for f in members if f.client is not None and f.serving]
    if picture.live is None:
        return ()
    if any(f.address is not None for f in picture.members):
        # the lines name no endpoint that serves us (TLS, tunnels)
        rest = [f.client for f in members if f.client is not None and f.client not in serving]
    else:
        servers = (s for s in picture.live.servers if s.id not in without)
        rest = [c for s in servers if (c := client_of(s)) is not None and c not in serving]
    return (*serving, *rest) if serving else ()
