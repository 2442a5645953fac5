"""Members and a joiner with TLS, whose stores real CAs made; and what the gate says of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from tests.unit.authorities import Authority, Key, key, key_pem, lay
from tests.unit.facts_made import SETTINGS, Made, disk_of, healthy, host, server
from zkprov.judge.certificates import certificates, joiner_certificates
from zkprov.judge.verdict import GateResult, Purpose
from zkprov.model.certificates import tls_settings
from zkprov.model.posture import Posture
from zkprov.observe.files import LocalFiles
from zkprov.observe.stores import stores_of, wished_stores

CA, OTHER = Authority(), Authority("another CA")
DAY = dt.timedelta(days=1)


class Hosts:
    """Members and a joiner whose stores lie under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(
        self,
        server_id: int,
        *,
        sans: tuple[str, ...] | None = None,
        by: Authority = CA,
        trusts: str = CA.pem,
        private: Key | None = None,
        private_pem: str | None = None,
        behind: str = "",
        posture: Posture = Posture.QUORUM,
        name: str = "keys.pem",
        **dates: Any,
    ) -> dict[str, str]:
        """What zoo.cfg says, after the stores were laid."""
        private = private or key("server")
        place = self.folder / f"zk{server_id}"
        sans = (f"10.0.0.{server_id}",) if sans is None else sans
        keys = lay(
            place,
            name,
            key_pem(private) if private_pem is None else private_pem,
            by.certificate_of(*sans, private=private, **dates),
            behind,
        )
        trust = lay(place, "trust.pem", trusts)
        return tls_settings(host(server_id, posture=posture, key_store=str(keys), trust_store=str(trust)))

    def member(self, made: Made, server_id: int, settings: dict[str, str]) -> Made:
        stores = stores_of(settings, self.folder, LocalFiles())
        disk = disk_of(server_id, made.live, settings={**SETTINGS, **settings})
        return made.having(server_id, disk=msgspec.structs.replace(disk, stores=stores))

    def three(self, **odd: Any) -> Made:
        """Three members with TLS; 2 has what is odd."""
        made = healthy(3)
        for i in (1, 2, 3):
            made = self.member(made, i, self.settings(i, **(odd if i == 2 else {})))
        return made

    def joiner(self, made: Made, *, more: Mapping[str, str] = MappingProxyType({}), **odd: Any) -> GateResult:
        """4 wants in, with `more` settings."""
        settings = {**self.settings(4, **odd), **more}
        one = host(4, settings=settings)
        return joiner_certificates(made.picture, one, server(4), wished_stores(one))


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def gate(made: Made, purpose: Purpose = Purpose.CHANGE) -> GateResult:
    return certificates(made.picture, purpose)
