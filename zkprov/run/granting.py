"""`zkprov grant`: somebody who is not the super user may change the ensemble from then on; set once, by the super user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from zkprov.act import reconfig, rights
from zkprov.act.session import close
from zkprov.judge.health import Health, judge
from zkprov.judge.verdict import Purpose
from zkprov.model.facts import Survey
from zkprov.model.members import Members
from zkprov.model.problems import BadInput, NotHealthy
from zkprov.model.rights import ALL, ANYONE, READ, WRITE, Acl, Identity, Right, lost, widened
from zkprov.observe.identities import identities_of
from zkprov.run.endpoints import endpoints_of
from zkprov.run.granted import Record
from zkprov.run.journal import Journal
from zkprov.run.world import World

if TYPE_CHECKING:
    from kazoo.client import KazooClient

    from zkprov.model.server import Server

AGAIN = "zkprov grant: it looks again"


class Change(msgspec.Struct, frozen=True):
    """The ACL of one znode, now and as it will be. `version`: of the ACL that was read."""

    path: str
    before: Acl
    after: Acl
    version: int

    @property
    def lost(self) -> Acl:
        return lost(self.before, self.after)

    def __str__(self) -> str:
        before, after = (", ".join(map(str, acl)) for acl in (self.before, self.after))
        return f"ACL of {self.path}: {before} becomes {after}"


class Granting(msgspec.Struct, frozen=True):
    """What is to be done for `who`; `ours`: whether zkprov is known as that by the inventory."""

    ensemble: str
    who: Identity
    ours: bool
    changes: tuple[Change, ...]


class Granter:
    """Use it with `with`; the session ends with it. Raises `NotHealthy` where no member serves."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._survey: Survey = world.survey()
        self._client: KazooClient | None = None

    def __enter__(self) -> Granter:
        endpoints = endpoints_of(self._survey)
        if not endpoints:
            place = self.world.inventory.path
            raise NotHealthy("no member of the ensemble could be read", place=place, remedy="zkprov status")
        self._client = self.world.connect(endpoints)
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            close(self._client)

    @property
    def client(self) -> KazooClient:
        assert self._client is not None  # noqa: S101 — within `with`
        return self._client

    def look(self, to: Identity | None, *, replace: bool = False) -> Granting:
        """What `grant` would change. Raises `BadInput` where nobody is named, `NotHealthy` where we are not the super user."""
        ours = identities_of(self.world.inventory)
        who = to or next(iter(ours), None)
        if who is None:
            raise BadInput(
                "by this inventory zkprov is nobody but the super user: there is nobody to grant to",
                place=self.world.inventory.path,
                remedy="name who is to have the right: --to sasl:USER, x509:SUBJECT or digest:USER:HASH",
            )
        with self._told(rights.CONFIG):
            if not rights.may_write(self.client, rights.CONFIG):
                raise NotHealthy(
                    "only the super user may say who may change the ensemble, and zkprov is not known as that",
                    place=self.world.inventory.ensemble,
                    remedy="for this one command, give the super user's password: ZKPROV_SUPER_PASSWORD=… zkprov grant",
                )
            config, version = rights.read(self.client, rights.CONFIG)
            changes = [Change(rights.CONFIG, config, widened(config, who, READ | WRITE, replace=replace), version)]
            for path in rights.below(self.client, rights.LEDGER):
                acl, version = rights.read(self.client, path)
                if Right(ANYONE, ALL) in acl:
                    continue
                changes.append(Change(path, acl, widened(acl, who, ALL), version))
        found = tuple(c for c in changes if set(c.before) != set(c.after))
        return Granting(self.world.inventory.ensemble, who, who in ours, found)

    def carry_out(self, granting: Granting, journal: Journal, who: str) -> None:
        """The list of members first: without that right the others are of no use. Each may be done again after a crash in between.

        `who` does it, for the record. Raises `BadInput` where the journal cannot be written; nothing is done then.
        """
        health, live = self._live()
        notes = [str(change) for change in granting.changes]
        with Record(journal, health, live, self.world.inventory, who=who, notes=notes) as record:
            for change in granting.changes:
                record.intends(str(change))
                with self._told(change.path):
                    rights.write(self.client, change.path, change.after, change.version)
            with self._told(rights.CONFIG):
                now = {r.who: r.perms for r in rights.read(self.client, rights.CONFIG)[0]}
            if now.get(granting.who, 0) & WRITE != WRITE:
                raise NotHealthy(f"{granting.who} has no right there after all", place=rights.CONFIG, remedy=AGAIN)

    def proved(self, granting: Granting) -> str:
        """Why zkprov, as `granting.who` and nobody else, still may not change the ensemble; empty where it may."""
        client = self.world.connect_as(granting.who, endpoints_of(self._survey))
        try:
            return reconfig.rights(client, self._member())
        finally:
            close(client)

    def _member(self) -> Server:
        return self._live()[1].servers[0]

    def _live(self) -> tuple[Health, Members]:
        health = judge(self._survey, Purpose.LOOK)
        live = health.picture.live
        assert live is not None  # noqa: S101 — there are endpoints by it
        return health, live

    @contextlib.contextmanager
    def _told(self, path: str) -> Iterator[None]:
        from kazoo.exceptions import BadVersionError, KazooException
        from kazoo.handlers.threading import KazooTimeoutError

        try:
            yield
        except BadVersionError:
            raise NotHealthy("somebody else changed its ACL just now", place=path, remedy=AGAIN) from None
        except (KazooException, KazooTimeoutError) as wrong:
            what = f"the ensemble did not answer as it should: {type(wrong).__name__} {wrong}".rstrip()
            raise NotHealthy(what, place=path, remedy=f"zkprov status, then {AGAIN}") from None
