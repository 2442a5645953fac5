"""A server with what its settings say of TLS, and one thing that is found about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from zkprov.judge.verdict import Evidence
from zkprov.model.certificates import Stores, client_tls, quorum_tls
from zkprov.model.release import Release


class Secured(msgspec.Struct, frozen=True):
    """A server with its TLS settings and stores. `new`: it is to come; then its settings are the inventory's. `release`: where known."""

    label: str
    addresses: tuple[str, ...]
    settings: Mapping[str, str]
    stores: Stores
    release: Release | None = None
    new: bool = False

    @property
    def quorum(self) -> bool:
        return quorum_tls(self.settings)

    @property
    def clients(self) -> bool:
        return client_tls(self.settings)

    @property
    def wants_names(self) -> bool:
        """Whether other servers' certificates are to name them, by its settings."""
        return self.settings.get("ssl.quorum.hostnameVerification", "true").strip().lower() != "false"

    @property
    def compares_names(self) -> bool:
        """Whether it does compare them: not in FIPS mode, the default from 3.9 on (measured on 3.9.5)."""
        default = "true" if self.release is None or self.release.line >= (3, 9) else "false"
        return self.wants_names and self.settings.get("fips-mode", default).strip().lower() == "false"


class Finding(msgspec.Struct, frozen=True):
    """One thing about one server. `fails`: False for a warning, None for what cannot be told."""

    server: str
    what: str
    remedy: str = ""
    fails: bool | None = True

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.server, self.what)


def labels(servers: Sequence[Secured]) -> str:
    more = f" and {len(servers) - 5} more" if len(servers) > 5 else ""
    return ", ".join(s.label for s in servers[:5]) + more
