"""Looking sessions that say who they are, against servers whose part of it is odd; what real ones say is in tests/real/test_sasl.py."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable

import pytest

from tests.unit.peers import TIMEOUT_S, Stubs, frame, opened, request, stubs
from zkprov.act.session import connect
from zkprov.judge.drift import Kind, Wanted, drift_of
from zkprov.model.facts import Outcome, ServerFacts
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed
from zkprov.model.jaas import NAME, jaas
from zkprov.model.problems import Interrupted, NotHealthy
from zkprov.model.sasl import Sasl
from zkprov.model.server import HostPort
from zkprov.observe.sessions import Sessions
from zkprov.observe.survey import Target, take_survey

__all__ = ["stubs"]  # the fixture
SASL, CANARY = 102, "c4nary"
CHALLENGE = b'realm="zk-sasl-md5",nonce="n",charset=utf-8,algorithm=md5-sess'


def token(xid: int, said: bytes | None) -> bytes:
    return frame(
        struct.pack("!iqi", xid, 1, 0)
        + (struct.pack("!i", -1) if said is None else struct.pack("!i", len(said)) + said)
    )


def error(xid: int, code: int) -> bytes:
    return frame(struct.pack("!iqi", xid, 1, code))


# what a server says to the first word, and to the second
SERVERS: dict[str, tuple[list[Callable[[int], bytes]], Outcome, str]] = {
    "knows nobody by SASL": ([lambda x: token(x, None)], Outcome.ABSENT, ""),
    "refuses": (
        [lambda x: token(x, CHALLENGE), lambda x: error(x, -115)], Outcome.DENIED, "refused our SASL credentials (user zkprov)"
    ),
    "refuses, and enforces": (
        [lambda x: token(x, CHALLENGE), lambda x: error(x, -124)], Outcome.DENIED, "refused our SASL credentials (user zkprov)"
    ),
    "does not know the password": (
        [lambda x: token(x, CHALLENGE), lambda x: token(x, b"rspauth=00")], Outcome.DENIED, "does not prove that it knows"
    ),
    "challenges oddly": ([lambda x: token(x, b"what?")], Outcome.DENIED, "not a challenge of DIGEST-MD5"),
    "answers junk": ([lambda x: frame(struct.pack("!iqi", x, 1, 0) + b"\0")], Outcome.JUNK, "not ZooKeeper's protocol"),
    "says nothing": ([lambda x: b""], Outcome.TIMEOUT, "no answer"),
}  # fmt: skip


def peer(said: list[Callable[[int], bytes]], seen: list[int]) -> Callable[..., object]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await opened(reader, writer):
            left = list(said)
            while True:
                xid, operation, _ = await request(reader)
                seen.append(operation)
                writer.write(left.pop(0)(xid) if operation == SASL and left else error(xid, -101))

    return handler


def look(at: HostPort, sasl: Sasl) -> ServerFacts:
    with Sessions(timeout_s=TIMEOUT_S, sasl=sasl) as sessions:
        survey = take_survey(
            [Target("zk1", at)], ensemble="e", timeout_s=1.0, sessions=sessions, words=(), discover=False
        )
    return survey.servers[0]


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_an_odd_server(stubs: Stubs, kind: str) -> None:
    said, outcome, words = SERVERS[kind]
    seen: list[int] = []
    at = stubs.listen(peer(said, seen))
    told = look(at, Sasl("zkprov", CANARY, frozenset({at}))).config
    assert (told.outcome, words in told.detail) == (outcome, True), told
    assert CANARY not in str(told) and seen[0] == SASL
    assert (4 in seen) == (kind == "knows nobody by SASL"), "nothing is asked before it is clear who asks"


def test_who_is_not_of_the_inventory_is_told_nothing(stubs: Stubs) -> None:
    seen: list[int] = []
    at = stubs.listen(peer([], seen))
    look(at, Sasl("zkprov", CANARY, frozenset()))
    assert seen and SASL not in seen


@pytest.mark.parametrize("kind", ["refuses", "does not know the password", "challenges oddly"])
def test_a_session_that_acts_tells_it_at_once(stubs: Stubs, kind: str) -> None:
    """kazoo itself would call the session open, and fail at the first request."""
    at = stubs.listen(peer(SERVERS[kind][0], []))
    with pytest.raises(NotHealthy) as refused:
        connect([at], None, sasl=("zkprov", CANARY), patience_s=5)
    words = "refuse the SASL user zkprov" if kind == "refuses" else SERVERS[kind][2]
    assert words in str(refused.value) and CANARY not in str(refused.value)
    assert "zkprov_sasl_user" in refused.value.remedy


def test_a_session_that_acts_is_stopped_while_it_waits(stubs: Stubs) -> None:
    at, stop = stubs.listen(peer(SERVERS["says nothing"][0], [])), threading.Event()
    with pytest.raises(NotHealthy, match="no session could be opened"):
        connect([at], None, sasl=("zkprov", CANARY), patience_s=0.3)
    stop.set()
    with pytest.raises(Interrupted):
        connect([at], None, sasl=("zkprov", CANARY), stop=stop)


def test_drift_of_passwords_is_told_by_name() -> None:
    seal = Seal(b"k")

    def drift(there: str | None) -> list[tuple[str, Kind, list[str], bool]]:
        wanted = Wanted({NAME: seal.text(NAME, jaas(("zookeeper", "q"), {"kafka": CANARY}))})
        found = drift_of(wanted, Installed({} if there is None else {NAME: seal.text(NAME, there)}))
        assert all(CANARY not in line for f in found for line in (*f.diff, *map(str, f.settings)))
        return [(f.file, f.kind, [str(s) for s in f.settings], f.restart) for f in found]

    assert drift(jaas(("zookeeper", "q"), {"kafka": CANARY})) == []
    assert drift(None) == [(NAME, Kind.MISSING, [], True)]
    assert drift(jaas(("zookeeper", "q"), {"kafka": "x", "old": "y"})) == [
        (
            NAME,
            Kind.DIFFERS,
            ["Server.user_kafka (password) differs, a secret", "Server.user_old (password) made by hand, a secret"],
            True,
        )
    ]
