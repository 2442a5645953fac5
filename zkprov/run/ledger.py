"""The ledger: what zkprov remembers in the ensemble itself, under `/zkprov`, and the fence that a run holds there.

Readable by all, written by who may reconfig. The lock is a courtesy; the fence is `/zkprov/run`, written with the version last
seen before every act: a run that was taken over fails there.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from zkprov import __version__
from zkprov.model.facts import LedgerMember, Retired
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem
from zkprov.observe.znodes import EnsembleDocument, MemberDocument, RetiredDocument, decode
from zkprov.plan.steps import Plan
from zkprov.run.journal import State

if TYPE_CHECKING:
    from kazoo.client import KazooClient
    from kazoo.recipe.lock import Lock

FORMAT = 1
ROOT = "/zkprov"
MAX_RUN_BYTES = 512_000
PATIENCE_S = 8.0


class RunDocument(msgspec.Struct, frozen=True):
    """`/zkprov/run`: the whole plan and where it stands, so that another machine can take it over. No secrets."""

    run: str
    state: State
    head: int
    attempt: int
    who: str
    plan: Plan
    format: int = FORMAT
    zkprov: str = __version__


class EnsembleLedger:
    """Writes the ledger through one kazoo client. Raises `NotHealthy` when the ensemble does not take a write in time."""

    def __init__(self, client: KazooClient, auth: tuple[str, str] | None) -> None:
        from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

        self._client = client
        self.acl = [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL] if auth else OPEN_ACL_UNSAFE
        self._run_version = -1
        self._lock: Lock | None = None

    def ensure(self, live: Members, disks: Mapping[int, str], season_s: float) -> str:
        """The ensemble's UUID, written now if none was. The voters of that moment count as seasoned (R2); one transaction."""
        found = self._get(f"{ROOT}/ensemble")
        if found is None:
            made = str(uuid.uuid4())
            transaction = self._client.transaction()
            for path in (ROOT, f"{ROOT}/members", f"{ROOT}/retired"):
                if self._get(path) is None:
                    transaction.create(path, b"", self.acl)
            transaction.create(f"{ROOT}/ensemble", EnsembleDocument(uuid=made, zkprov=__version__).encode(), self.acl)
            for server_id in sorted(live.voters):
                entry = MemberDocument(
                    disk=disks.get(server_id, ""),
                    confirmed=live.version,
                    seasoned=True,
                    season_s=season_s,
                    zkprov=__version__,
                )
                transaction.create(f"{ROOT}/members/{server_id}", entry.encode(), self.acl)
            with self._told("the ledger's first entry"):
                for result in transaction.commit():
                    if isinstance(result, Exception):
                        raise result
            return made
        with self._told("the ledger"):
            return decode(found[0], EnsembleDocument, f"{ROOT}/ensemble").uuid

    def now_ms(self) -> int:
        """The ensemble's own clock: the mtime of a fresh write."""
        self._put(f"{ROOT}/clock", b"")
        found = self._get(f"{ROOT}/clock")
        return int(found[1].mtime) if found else 0

    def member_came(self, server_id: int, member: LedgerMember) -> None:
        """A new voter, or one on a new disk: its time begins now, by the znode's creation."""
        path = f"{ROOT}/members/{server_id}"
        self._delete(path)
        self._put(path, msgspec.structs.replace(MemberDocument.of(member), zkprov=__version__).encode())

    def member_is(self, server_id: int, member: LedgerMember) -> None:
        """What is known of a voter now; since when it votes stays."""
        self._put(
            f"{ROOT}/members/{server_id}",
            msgspec.structs.replace(MemberDocument.of(member), zkprov=__version__).encode(),
        )

    def member_left(self, server_id: int) -> None:
        self._delete(f"{ROOT}/members/{server_id}")

    def retire(self, retired: Retired) -> None:
        path = f"{ROOT}/retired/{retired.id}"
        self._put(path, msgspec.structs.replace(RetiredDocument.of(retired), zkprov=__version__).encode())

    def clear_retired(self, server_id: int) -> None:
        self._delete(f"{ROOT}/retired/{server_id}")

    def pause(self, reason: str) -> None:
        self._put(f"{ROOT}/paused", reason.encode())

    def unpause(self) -> bool:
        """Whether it was paused."""
        was = self.paused() is not None
        self._delete(f"{ROOT}/paused")
        return was

    def paused(self) -> str | None:
        found = self._get(f"{ROOT}/paused")
        return None if found is None else found[0].decode(errors="replace")

    def read_run(self) -> RunDocument | None:
        """The run that the ledger holds, whatever its state. Raises `Problem` for one that this zkprov cannot read."""
        found = self._get(f"{ROOT}/run")
        if found is None or not found[0]:
            return None
        self._run_version = int(found[1].version)
        try:
            head = msgspec.json.decode(found[0], type=dict)
            if int(head.get("format", 0)) > FORMAT:
                raise Problem(
                    f"written by zkprov {head.get('zkprov')}, format {head.get('format')}; this one reads up to {FORMAT}",
                    place=f"{ROOT}/run",
                    remedy=f"resume it with zkprov {head.get('zkprov')}",
                )
            return msgspec.json.decode(found[0], type=RunDocument)
        except (msgspec.MsgspecError, ValueError) as wrong:
            remedy = "look at it with a ZooKeeper client; nothing is changed while it stands"
            raise Problem(f"cannot be read: {wrong}", place=f"{ROOT}/run", remedy=remedy) from None

    def claim(self, document: RunDocument) -> None:
        """Takes `/zkprov/run` for this run. Raises `Busy` when another took it since it was read."""
        from kazoo.exceptions import BadVersionError, NodeExistsError

        data = self._encoded(document)
        with self._told("the run's entry"):
            try:
                if self._run_version < 0:
                    self._client.create_async(f"{ROOT}/run", data, self.acl).get(timeout=PATIENCE_S)
                    self._run_version = 0
                else:
                    self._run_version = int(
                        self._client.set_async(f"{ROOT}/run", data, self._run_version).get(timeout=PATIENCE_S).version
                    )
            except (BadVersionError, NodeExistsError):
                raise Busy(
                    "another run took the ensemble just now", place=f"{ROOT}/run", remedy="zkprov history"
                ) from None

    def advance(self, document: RunDocument) -> None:
        """The fence, before every act. Raises `Interrupted` when this run was taken over by another machine."""
        try:
            self.claim(document)
        except Busy:
            raise Interrupted(
                "this run was taken over by another zkprov; nothing further is done here",
                place=f"{ROOT}/run",
                remedy="zkprov history",
            ) from None

    def _encoded(self, document: RunDocument) -> bytes:
        data = msgspec.json.encode(document)
        if len(data) > MAX_RUN_BYTES:
            raise Problem(
                f"the plan takes {len(data)} bytes of the {MAX_RUN_BYTES} that the ledger holds",
                remedy="plan fewer hosts at once",
            )
        return data

    def lock(self, who: str, wait_s: float, stop: threading.Event) -> None:
        """The courtesy lock, waited for `wait_s` seconds at most. Raises `Busy` naming its holder, `Interrupted` on a signal."""
        from kazoo.exceptions import LockTimeout

        lock = self._client.Lock(f"{ROOT}/lock", who)
        deadline = time.monotonic() + wait_s
        with self._told("the lock"):
            while True:
                with contextlib.suppress(LockTimeout):
                    if lock.acquire(blocking=True, timeout=0.5):
                        self._lock = lock
                        return
                if stop.is_set():
                    raise Interrupted("stopped by a signal before anything was begun")
                if time.monotonic() > deadline:
                    break
            holder = next((h for h in lock.contenders() or [] if h != who), "another run")
        raise Busy(
            f"held by {holder}",
            place=f"{ROOT}/lock",
            remedy="wait until it ends (zkprov history), or stop it: zkprov pause",
        )

    def unlock(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(Exception):
                self._lock.release()
            self._lock = None

    def _get(self, path: str) -> tuple[bytes, Any] | None:
        from kazoo.exceptions import NoNodeError

        with self._told(path):
            try:
                data, stat = self._client.get_async(path).get(timeout=PATIENCE_S)
            except NoNodeError:
                return None
            return data or b"", stat

    def _put(self, path: str, data: bytes) -> None:
        from kazoo.exceptions import NodeExistsError, NoNodeError

        with self._told(path):
            try:
                self._client.set_async(path, data).get(timeout=PATIENCE_S)
            except NoNodeError:
                with contextlib.suppress(NodeExistsError):
                    self._client.create(path, data, self.acl, makepath=True)

    def _delete(self, path: str) -> None:
        from kazoo.exceptions import NoNodeError

        with self._told(path), contextlib.suppress(NoNodeError):
            self._client.delete_async(path).get(timeout=PATIENCE_S)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
        from kazoo.handlers.threading import KazooTimeoutError

        try:
            yield
        except (BadVersionError, NodeExistsError, NoNodeError):
            raise
        except (KazooException, KazooTimeoutError, ValueError) as wrong:
            name = type(wrong).__name__
            remedy = (
                "zkprov status"
                if name != "NoAuthError"
                else "name the credential with zkprov_auth_file in the inventory"
            )
            raise NotHealthy(
                f"the ensemble did not take a write: {name} {wrong}".rstrip(), place=what, remedy=remedy
            ) from None
