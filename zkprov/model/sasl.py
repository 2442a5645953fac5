"""SASL among servers and for clients, as zoo.cfg says it; and who is known by it. Passwords are in none of these settings."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from zkprov.model.release import Release
from zkprov.model.server import HostPort

PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
SUPER_USER = "superUser"
FIPS = "fips-mode"
ENABLED, LEARNER, SERVER = (f"quorum.auth.{w}" for w in ("enableSasl", "learnerRequireSasl", "serverRequireSasl"))
QUORUM = {
    ENABLED: "true",
    LEARNER: "true",
    SERVER: "true",
    "quorum.auth.learner.saslLoginContext": "QuorumLearner",
    "quorum.auth.server.saslLoginContext": "QuorumServer",
}
"""What makes a server say who it is to the others, and hear no other server that does not."""
CLIENTS = {"authProvider.sasl": PROVIDER}
GUARDS = {
    SUPER_USER: "",
    "enforce.auth.enabled": "false",
    "enforce.auth.schemes": "",
    "sessionRequireClientSASLAuth": "false",
    "allowSaslFailedClients": "false",
}
"""Settings that say who gets in and as whom; each with ZooKeeper's default."""
_FIPS_SINCE = (3, 9)
"""The line from which `fips-mode` is true by default."""


class Sasl(msgspec.Struct, frozen=True):
    """Who zkprov is to the servers that serve clients at `at`, by SASL; nobody else is told."""

    user: str
    password: str
    at: frozenset[HostPort] = frozenset()

    def __repr__(self) -> str:
        # a traceback shows values
        return f"Sasl({self.user})"

    @property
    def pair(self) -> tuple[str, str]:
        return self.user, self.password

    def pair_at(self, endpoint: HostPort) -> tuple[str, str] | None:
        return self.pair if endpoint in self.at else None


def is_true(settings: Mapping[str, str], key: str) -> bool:
    return settings.get(key, "").strip().lower() == "true"


def quorum_sasl(settings: Mapping[str, str]) -> bool:
    return is_true(settings, ENABLED)


def client_sasl(settings: Mapping[str, str]) -> bool:
    """Whether a zoo.cfg knows clients by SASL: it names the provider, under any name."""
    return any(k.startswith("authProvider.") and v.strip() == PROVIDER for k, v in settings.items())


def in_fips_mode(settings: Mapping[str, str], release: Release | None) -> bool:
    """Whether ZooKeeper does without DIGEST-MD5. Of an unknown release the newest is assumed."""
    default = "true" if release is None or release.line >= _FIPS_SINCE else "false"
    return settings.get(FIPS, default).strip().lower() != "false"
