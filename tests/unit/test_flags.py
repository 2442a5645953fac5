"""What a server was given on its command line counts where zoo.cfg does not say it, and some of it never."""

from __future__ import annotations

from tests.unit.facts_made import disk_of, healthy
from zkprov.model.config import HIDDEN
from zkprov.model.flags import FROM_FILE, Flags, flags_of

WORDS = (
    "java", "-Xmx1g", "-Dzookeeper.ssl.quorum.keyStore.location=/etc/zk/keys.pem", "-Dzookeeper.sslQuorum=true",
    "-Dzookeeper.quorum.auth.enableSasl=true", "-Dzookeeper.ssl.keyStore.password=c4nary", "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.client.portUnification=false", "-Dzookeeper.client.portUnification= true", "-Dzookeeper.novalue",
)  # fmt: skip


def test_the_last_counts_and_secrets_are_hidden() -> None:
    found = flags_of(WORDS)
    assert found.settings == {
        "ssl.quorum.keyStore.location": "/etc/zk/keys.pem",
        "ssl.keyStore.password": HIDDEN,
        "client.portUnification": "true",
    }
    assert found.idle == {"sslQuorum": "true", "quorum.auth.enableSasl": "true"}
    assert found.unseen == "" and "c4nary" not in repr(found)
    assert flags_of(["java", "@args"]).unseen == "more stand in @args"


def test_what_zookeeper_parses_itself_is_never_a_flag_s() -> None:
    for key in ("sslQuorum", "secureClientPort", "reconfigEnabled", "tickTime"):
        assert key in FROM_FILE
    # read as system properties first
    assert "multiAddress.enabled" not in FROM_FILE and "db.autocreate" not in FROM_FILE


def test_zoo_cfg_goes_before_flags() -> None:
    flags = Flags({"enforce.auth.enabled": "true", "fips-mode": "false"})
    disk = disk_of(1, healthy(3).live, settings={"fips-mode": "true", "tickTime": "2000"}, flags=flags)
    assert disk.effective == {"enforce.auth.enabled": "true", "fips-mode": "true", "tickTime": "2000"}
    assert disk_of(1, healthy(3).live, settings={"a": "b"}, flags=None).effective == {"a": "b"}
