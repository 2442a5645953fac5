"""One server of a survey looked at once more: it takes the place of what was seen of it, and nothing else changes."""

import msgspec
import pytest

from zkprov.model.facts import Fact, Outcome, ServerFacts, Survey, ZabState
from zkprov.model.server import HostPort
from zkprov.observe.again import with_one_anew


def server(number: int, **facts: object) -> ServerFacts:
    return ServerFacts(
        f"zk{number}", HostPort("10.0.0.1", 2180 + number), ("inventory",), admin=HostPort("10.0.0.1", 8080), **facts
    )


def survey(*servers: ServerFacts) -> Survey:
    return Survey("kafka", 100.0, 0.1, servers)


FIRST = survey(server(1), server(2, expected_id=2))


def test_it_takes_the_place_of_what_was_seen() -> None:
    anew = server(2, expected_id=2, srvr=Fact("srvr", Outcome.NOT_SERVING))
    assert with_one_anew(FIRST, survey(anew), 0.42) == Survey("kafka", 100.0, 0.42, (FIRST.servers[0], anew))


def test_who_it_should_be_is_known_by_the_lists_of_the_others() -> None:
    both = with_one_anew(FIRST, survey(server(2)), 0.2)
    assert both is not None and both.servers[1].expected_id == 2


@pytest.mark.parametrize(
    "look",
    [survey(), survey(server(3)), survey(msgspec.structs.replace(server(2), client=None)), FIRST],
    ids=["of none", "of another", "elsewhere", "of two"],
)
def test_another_than_was_seen_takes_no_place(look: Survey) -> None:
    assert with_one_anew(FIRST, look, 0.2) is None


def test_the_answers_of_anothers_admin_server_are_not_its_own() -> None:
    zabstate = Fact("zabstate", Outcome.OK, ZabState(1, voting=True, epoch=1, zxid=0x100000001, phase="BROADCAST"))
    both = with_one_anew(survey(server(1, expected_id=1), server(2)), survey(server(2, zabstate=zabstate)), 0.2)
    assert both is not None and both.servers[1].zabstate.outcome is Outcome.ANOTHERS
