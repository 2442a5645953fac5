"""The four letter words' texts, as ZooKeeper 3.9.5 and 3.6.4 print them, and every way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.model.facts import ClientSession, Mode, Outcome
from zkprov.model.server import HostPort
from zkprov.observe import fourletter
from zkprov.observe.dial import Unanswered
from zkprov.observe.fourletter import Incomplete, ReadOnly, classify, parse_conf, parse_cons, parse_mntr, parse_srvr

# copied from running servers
SRVR = (
    "Zookeeper version: 3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC\n"
    "Latency min/avg/max: 1/2.3311/17\nReceived: 304\nSent: 303\nConnections: 2\nOutstanding: 0\nZxid: 0x10000012e\n"
    "Mode: leader\nNode count: 6\nProposal sizes last/min/max: 61/48/89\n"
)
SRVR_36 = SRVR.replace(
    "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2", "3.6.4--d65253dcf68e9097c6e95a126463fd5fdeb4521c"
)
MNTR = (
    "zk_version\t3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC\nzk_server_state\tleader\n"
    "zk_peer_state\tleading - broadcast\nzk_avg_latency\t2.3311\nzk_synced_followers\t2\nzk_synced_non_voting_followers\t0\n"
)
CONF = (
    "clientPort=41623\nsecureClientPort=-1\ndataDir=/tmp/zk3/data/version-2\ndataDirSize=67109546\n"
    "dataLogDir=/tmp/zk3/data/version-2\ndataLogSize=67109546\ntickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\n"
    "maxSessionTimeout=40000\nclientPortListenBacklog=-1\nserverId=3\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\n"
    "electionPort=54225\nquorumPort=38479\npeerType=0\nmembership: \n"
    "server.1=127.0.0.1:51231:41051:participant;127.0.0.1:43877\nserver.2=127.0.0.1:56895:38959:participant;127.0.0.1:40939\n"
    "server.3=127.0.0.1:38479:54225:participant;127.0.0.1:41623\nversion=100000000"
)
CONF_ALONE = CONF.partition("initLimit")[0].replace("serverId=3", "serverId=0")
CONS = (
    " /127.0.0.1:37572[1](queued=0,recved=302,sent=302,sid=0x300001570b90000,lop=SETD,est=1795558831572,to=10000,lcxid=0x12d,"
    "lzxid=0x10000012e,lresp=1406497,llat=1,minlat=0,avglat=2,maxlat=17)\n /127.0.0.1:37592[0](queued=0,recved=1,sent=0)\n\n"
)
PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "srvr": (parse_srvr, SRVR),
    "mntr": (parse_mntr, MNTR),
    "conf": (parse_conf, CONF),
    "cons": (parse_cons, CONS),
}
WORDS = sorted(PARSERS)


def outcome(word: str, text: str) -> Outcome:
    try:
        classify(word, text, PARSERS[word][0])
    except Unanswered as reason:
        assert reason.detail and "\n" not in reason.detail
        return reason.outcome
    return Outcome.OK


def test_srvr() -> None:
    srvr = parse_srvr(SRVR)
    assert (srvr.mode, srvr.zxid, srvr.epoch, srvr.release) == (Mode.LEADER, 0x10000012E, 1, "3.9.5")
    assert (srvr.connections, srvr.znodes) == (2, 6)
    assert parse_srvr(SRVR_36).release == "3.6.4"


def test_srvr_with_windows_line_ends() -> None:
    assert parse_srvr(SRVR.replace("\n", "\r\n")) == parse_srvr(SRVR)


def test_mntr_keeps_values_as_printed() -> None:
    values = parse_mntr(MNTR)
    assert values["zk_peer_state"] == "leading - broadcast"
    assert values["zk_synced_followers"] == "2"


def test_conf_with_members() -> None:
    conf = parse_conf(CONF)
    assert conf.server_id == 3
    assert conf.settings["tickTime"] == "2000"
    assert conf.members is not None
    assert conf.members.voters == {1, 2, 3}
    assert conf.members.version == 0x100000000


def test_conf_of_a_standalone_server_has_no_members() -> None:
    assert parse_conf(CONF_ALONE).members is None


def test_conf_with_a_list_that_zookeeper_would_refuse_is_junk_naming_the_place() -> None:
    text = CONF.replace("server.2=127.0.0.1:56895:38959:participant;127.0.0.1:40939", "server.2=nonsense")
    with pytest.raises(ValueError, match="conf of zk3"):
        parse_conf(text, "conf of zk3")


def test_cons() -> None:
    client, own = parse_cons(CONS)
    assert client == ClientSession(HostPort("127.0.0.1", 37572), "0x300001570b90000", 10000)
    assert own == ClientSession(HostPort("127.0.0.1", 37592))


@pytest.mark.parametrize("host", ["[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1", "[fe80:0:0:0:1:2:3:4%eth0]"])
def test_cons_of_ipv6_clients(host: str) -> None:
    (client,) = parse_cons(f" /{host}:37592[0](queued=0,recved=1,sent=0)\n\n")
    assert client.address.port == 37592
    assert client.address.host.count(":") == 7


def test_cons_of_named_and_vanished_clients() -> None:
    (client,) = parse_cons(
        " app1.example/10.0.0.7:5[1](queued=0,recved=1,sent=0)\n null[0](queued=0,recved=1,sent=0)\n\n"
    )
    assert client.address.host == "10.0.0.7"


def test_cons_of_a_server_without_connections() -> None:
    assert parse_cons("\n") == ()


@pytest.mark.parametrize("word", WORDS)
def test_each_shorter_answer_is_truncated_never_junk_and_never_taken_for_whole(word: str) -> None:
    text = PARSERS[word][1]
    whole = PARSERS[word][0](text)
    for length in range(1, len(text)):
        found = outcome(word, text[:length])
        if found is not Outcome.OK:
            assert found is Outcome.TRUNCATED, f"{word} cut after {length}"
            continue
        # a cut that cannot be told from a whole answer: between two lines of mntr, before srvr's last line of a leader,
        # within conf's last hex digits
        assert word in ("mntr", "srvr", "conf"), f"{word} cut after {length}"
        if word == "srvr":
            assert PARSERS[word][0](text[:length]) == whole
        if word == "conf":
            assert length > text.index("version=1")


@pytest.mark.parametrize("word", WORDS)
def test_answers_that_are_not_values(word: str) -> None:
    assert outcome(word, "") is Outcome.TRUNCATED
    assert outcome(word, fourletter.NOT_SERVING + "\n") is Outcome.NOT_SERVING
    assert outcome(word, f"{word} is not executed because it is not in the whitelist.\n") is Outcome.CLOSED
    for junk in (
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\x15\x03\x03\x00\x02\x02\x46",
        "SSH-2.0-OpenSSH_9\r\n",
        "\x00\x00\x00",
        "imok",
        "  \n",
    ):
        assert outcome(word, junk) is Outcome.JUNK, junk


def test_what_answered_is_named() -> None:
    for text, name in (("HTTP/1.1 400", "HTTP"), ("\x15\x03\x03", "TLS"), ("SSH-2.0", "SSH")):
        with pytest.raises(ValueError, match=name):
            parse_srvr(text)


def test_a_read_only_server_does_not_serve() -> None:
    text = SRVR.replace("Mode: leader", "Mode: read-only")
    with pytest.raises(ReadOnly):
        parse_srvr(text)
    assert outcome("srvr", text) is Outcome.NOT_SERVING


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Mode: leader", "Mode: emperor"),
        ("Zxid: 0x10000012e", "Zxid: 10000012e"),
        ("Zxid: 0x10000012e", "Zxid: 0x1ffffffffffffffffff"),
        ("Connections: 2", "Connections: " + "9" * 5000),
        ("Node count: 6", "Node count: ٣"),
    ],
)
def test_impossible_values_are_junk(old: str, new: str) -> None:
    assert outcome("srvr", SRVR.replace(old, new)) is Outcome.JUNK


def test_half_a_line_is_not_a_value() -> None:
    with pytest.raises(Incomplete):
        parse_srvr(SRVR.partition("Node count: 6")[0] + "Node count: 6")


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A real answer with a few bytes exchanged, cut out or put in."""
    word = draw(st.sampled_from(WORDS))
    data = bytearray(PARSERS[word][1].encode())
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return word, bytes(data).decode("utf-8", "replace")


@given(mutated())
def test_mutated_answers_have_an_outcome(case: tuple[str, str]) -> None:
    word, text = case
    assert outcome(word, text) in {Outcome.OK, Outcome.JUNK, Outcome.TRUNCATED, Outcome.NOT_SERVING}


@given(st.sampled_from(WORDS), st.binary(max_size=400))
def test_any_bytes_have_an_outcome(word: str, data: bytes) -> None:
    assert outcome(word, data.decode("utf-8", "replace")) in {
        Outcome.JUNK,
        Outcome.TRUNCATED,
        *([Outcome.OK] if data and set(data) <= set(b"\r\n") else []),  # no connections
    }
