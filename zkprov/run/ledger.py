"""The ledger: what zkprov remembers in the ensemble itself, under `/zkprov`, and the fence that a run holds there.

Readable by all, written by who may reconfig. The lock is a courtesy; the fence is `/zkprov/run`, written with the version last
seen before every act: a run that was taken over fails there.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import msgspec

from zkprov import __version__
from zkprov.act.rights import acl_of, kazoo_acls
from zkprov.model.facts import LedgerMember, Retired
from zkprov.model.members import Members
from zkprov.model.problems import Busy, Interrupted, NotHealthy, Problem
from zkprov.model.rights import writers
from zkprov.observe.fourletter import membership_of
from zkprov.observe.znodes import CONFIG, EnsembleDocument, MemberDocument, RetiredDocument, decode
from zkprov.plan.steps import FORMAT, Plan
from zkprov.run import lock
from zkprov.run.journal import State

if TYPE_CHECKING:
    from kazoo.client import KazooClient
    from kazoo.recipe.lock import Lock

ROOT = "/zkprov"
MAX_RUN_BYTES = 512_000
RUN = f"{ROOT}/run"
LOCK = f"{ROOT}/lock"
PATIENCE_S = 15.0
"""For an answer, lost connections and an election included: more than it takes a follower to notice that its leader is dead."""
STOPPING_S = 1.5
"""For all that is still to be recorded once a signal came."""


class RunDocument(msgspec.Struct, frozen=True):
    """`/zkprov/run`: the whole plan and where it stands, so that another machine can take it over. No secrets.

    `holder` names the process that wrote it: after a lost connection it tells one's own write from another's. `format`: the plan's, when
    it is written.
    """

    run: str
    state: State
    head: int
    attempt: int
    who: str
    plan: Plan
    format: int = 1
    zkprov: str = msgspec.field(default_factory=lambda: __version__)  # no default in the schema, which is of no commit
    holder: str = ""


class EnsembleLedger:
    """Writes the ledger through one kazoo client. Raises `NotHealthy` when the ensemble does not answer in time.

    A lost connection is waited out, and the request made again: each of them may be made twice.
    """

    def __init__(self, client: KazooClient, is_known: bool, stop: threading.Event | None = None) -> None:
        from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

        self._client = client
        self._acl = [*READ_ACL_UNSAFE, *CREATOR_ALL_ACL] if is_known else OPEN_ACL_UNSAFE
        self._granted = not is_known
        self._run_version = -1
        self._holder = secrets.token_hex(8)
        self._lock: Lock | None = None
        self._stop = stop or threading.Event()
        self._stopping_since: float | None = None

    @property
    def acl(self) -> list[Any]:
        """What is written is readable by all, and written by who may reconfig: by whom an ACL allows it too (`zkprov grant`)."""
        if not self._granted:
            with contextlib.suppress(Problem), self._told(CONFIG):
                acls, _ = self._answer(lambda: self._client.get_acls_async(CONFIG))
                self._acl = [*self._acl, *kazoo_acls(writers(acl_of(acls)))]
            self._granted = True
        return self._acl

    def ensure(
        self,
        live: Members,
        voting: Set[int],
        disks: Mapping[int, str],
        season_s: float,
        *,
        confirmed: Set[int],
        founding: bool = False,
    ) -> str:
        """The ensemble's UUID, written now if none was. Those `voting` at that moment count as seasoned (R2); one transaction.

        `confirmed`: whose disks show the live list.
        """
        path = f"{ROOT}/ensemble"
        if self._get(path) is None:
            entries = [(ROOT, b""), (f"{ROOT}/members", b""), (f"{ROOT}/retired", b"")]
            entries = [(p, data) for p, data in entries if self._get(p) is None]
            entries.append(
                (path, EnsembleDocument(uuid=str(uuid.uuid4()), zkprov=__version__, founding=founding).encode())
            )
            for server_id in sorted(live.voters & voting):
                entry = MemberDocument(
                    disk=disks.get(server_id, ""),
                    confirmed=live.version if server_id in confirmed else 0,
                    seasoned=True,
                    season_s=season_s,
                    zkprov=__version__,
                )
                entries.append((f"{ROOT}/members/{server_id}", entry.encode()))
            self._commit("the ledger's first entry", create=entries)
        found = self._get(path)
        if found is None:
            raise NotHealthy("the ledger's first entry is not there", place=path, remedy="zkprov status")
        with self._told("the ledger"):
            return decode(found[0], EnsembleDocument, path).uuid

    def founded(self) -> None:
        """The founding is over: who comes in from now on is a newcomer (R2)."""
        path = f"{ROOT}/ensemble"
        found = self._get(path)
        if found is None:
            return
        with self._told("the ledger"):
            document = decode(found[0], EnsembleDocument, path)
        if document.founding:
            self._put(path, msgspec.structs.replace(document, founding=False, zkprov=__version__).encode())

    def live(self) -> Members:
        """The list as this session's server holds it: no older than the last write made here. Raises `NotHealthy` for none."""
        found = self._get(CONFIG)
        try:
            live = membership_of((found[0] if found else b"").decode(errors="replace").strip() + "\n", CONFIG)
        except ValueError as wrong:
            raise NotHealthy(str(wrong), place=CONFIG, remedy="zkprov status") from None
        if not live.servers:
            raise NotHealthy("no list of members", place=CONFIG, remedy="zkprov status")
        return live

    def now_ms(self) -> int:
        """The ensemble's own clock: the mtime of a fresh write."""
        written = self._put(f"{ROOT}/clock", b"")
        if written is None:
            found = self._get(f"{ROOT}/clock")
            written = found[1] if found else None
        return int(written.mtime) if written else 0

    def member_came(self, server_id: int, member: LedgerMember) -> None:
        """A new voter, or one on a new disk: its time begins now, by the znode's creation."""
        path = f"{ROOT}/members/{server_id}"
        data = msgspec.structs.replace(MemberDocument.of(member), zkprov=__version__).encode()
        self._commit(path, create=[(path, data)], delete=path if self._get(path) is not None else "")

    def member_is(self, server_id: int, member: LedgerMember) -> None:
        """What is known of a voter now; since when it votes stays."""
        self._put(
            f"{ROOT}/members/{server_id}",
            msgspec.structs.replace(MemberDocument.of(member), zkprov=__version__).encode(),
        )

    def members_are(self, members: Mapping[int, LedgerMember]) -> None:
        """The same of several that are known, in one transaction; nothing is done when one of them has gone since."""
        entries = [(f"{ROOT}/members/{i}", MemberDocument.of(m)) for i, m in sorted(members.items())]
        if entries:
            data = [(path, msgspec.structs.replace(d, zkprov=__version__).encode()) for path, d in entries]
            self._commit("what is known of the voters", change=data)

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
        found = self._get(RUN)
        if found is None or not found[0]:
            return None
        self._run_version = int(found[1].version)
        try:
            head = msgspec.json.decode(found[0], type=dict)
            if int(head.get("format", 0)) > FORMAT:
                raise Problem(
                    f"written by zkprov {head.get('zkprov')}, format {head.get('format')}; this one reads up to {FORMAT}",
                    place=RUN,
                    remedy=f"resume it with zkprov {head.get('zkprov')}",
                )
            return msgspec.json.decode(found[0], type=RunDocument)
        except (msgspec.MsgspecError, ValueError) as wrong:
            remedy = "look at it with a ZooKeeper client; nothing is changed while it stands"
            raise Problem(f"cannot be read: {wrong}", place=RUN, remedy=remedy) from None

    def claim(self, document: RunDocument) -> None:
        """Takes `/zkprov/run` for this run. Raises `Busy` when another took it since it was read or last written here."""
        from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

        data = self._encoded(document)
        began = time.monotonic()
        with self._told("the run's entry"):
            while True:
                try:
                    if self._run_version < 0:
                        self._answer(lambda: self._client.create_async(RUN, data, self.acl), once=True)
                        self._run_version = 0
                    else:
                        written = self._answer(lambda: self._client.set_async(RUN, data, self._run_version), once=True)
                        self._run_version = int(written.version)
                    return
                except _lost():
                    if self._late(began):
                        raise
                except (BadVersionError, NodeExistsError, NoNodeError):
                    pass
                if self._ours(data):
                    return

    def _ours(self, data: bytes) -> bool:
        """After an answer that was lost or denied: whether `data` stands. Raises `Busy` where another wrote meanwhile."""
        found = self._get(RUN)
        version = -1 if found is None else int(found[1].version)
        if found is not None and _holder_of(found[0]) == self._holder:
            self._run_version = version
            return found[0] == data
        if version != self._run_version:
            raise Busy("another run took the ensemble just now", place=RUN, remedy="zkprov history")
        return False

    def advance(self, document: RunDocument) -> None:
        """The fence, before every act. Raises `Interrupted` when this run was taken over by another machine."""
        try:
            self.claim(document)
        except Busy:
            raise Interrupted(
                "this run was taken over by another zkprov; nothing further is done here",
                place=RUN,
                remedy="zkprov history",
            ) from None

    def _encoded(self, document: RunDocument) -> bytes:
        data = msgspec.json.encode(msgspec.structs.replace(document, holder=self._holder, format=document.plan.format))
        if len(data) > MAX_RUN_BYTES:
            raise Problem(
                f"the plan takes {len(data)} bytes of the {MAX_RUN_BYTES} that the ledger holds",
                remedy="plan fewer hosts at once",
            )
        return data

    def lock(self, who: str, wait_s: float, stop: threading.Event, meanwhile: Callable[[str, float], None]) -> None:
        """The courtesy lock, waited for `wait_s` seconds at most. Raises `Busy` naming its holder, `Interrupted` on a signal.

        `meanwhile` is called about once a second with the holder and the seconds that are left; what it raises ends the waiting.
        """
        with self._told("the lock"):
            self._lock = lock.take(self._client, LOCK, who, wait_s, stop, meanwhile)

    def unlock(self) -> None:
        if self._lock is not None:
            lock.give_back(self._client, self._lock)
            self._lock = None

    def _get(self, path: str) -> tuple[bytes, Any] | None:
        from kazoo.exceptions import NoNodeError

        with self._told(path):
            try:
                data, stat = self._answer(lambda: self._client.get_async(path))
            except NoNodeError:
                return None
            return data or b"", stat

    def _put(self, path: str, data: bytes) -> Any:
        """Writes; the znode's stat where it was there before, else None."""
        from kazoo.exceptions import NodeExistsError, NoNodeError

        with self._told(path):
            try:
                return self._answer(lambda: self._client.set_async(path, data))
            except NoNodeError:
                with contextlib.suppress(NodeExistsError):
                    self._answer(lambda: self._client.create_async(path, data, self.acl, makepath=True))
                return None

    def _delete(self, path: str) -> None:
        from kazoo.exceptions import NoNodeError

        with self._told(path), contextlib.suppress(NoNodeError):
            self._answer(lambda: self._client.delete_async(path))

    def _commit(
        self,
        what: str,
        *,
        create: Sequence[tuple[str, bytes]] = (),
        change: Sequence[tuple[str, bytes]] = (),
        delete: str = "",
    ) -> None:
        """All or nothing. Nothing is done where one of `create` is there already: it was done before, or by another.

        Nor where one of `change` is not.
        """
        from kazoo.exceptions import NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency

        def commit() -> Any:
            transaction = self._client.transaction()
            if delete:
                transaction.delete(delete)
            for path, data in create:
                transaction.create(path, data, self.acl)
            for path, data in change:
                transaction.set_data(path, data)
            return transaction.commit_async()

        with self._told(what):
            failed = [r for r in self._answer(commit) if isinstance(r, Exception)]
            told = [r for r in failed if not isinstance(r, RolledBackError | RuntimeInconsistency)]
            if any(isinstance(r, NodeExistsError | NoNodeError) for r in told):
                return
            if failed:
                raise (told or failed)[0]

    def _answer(self, ask: Callable[[], Any], *, once: bool = False) -> Any:
        """What ZooKeeper answers. Unless `once`, a lost connection is waited out and the question put again, for `PATIENCE_S` at most."""
        from kazoo.exceptions import OperationTimeoutError

        began = time.monotonic()
        while True:
            try:
                reply = ask()
                while not reply.ready():
                    if self._late(began):
                        raise OperationTimeoutError("no answer in time")
                    reply.wait(0.02)
                return reply.get(block=False)
            except _lost():
                if once or self._late(began):
                    raise
                time.sleep(0.05)

    def _late(self, began: float) -> bool:
        now = time.monotonic()
        if self._stop.is_set():
            self._stopping_since = self._stopping_since or now
            return now - self._stopping_since > STOPPING_S
        return now - began > PATIENCE_S

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
                else "name the super user's credential with zkprov_auth_file in the inventory; or let him give you the right: zkprov grant"
            )
            raise NotHealthy(
                f"the ensemble did not take a write: {name} {wrong}".rstrip(), place=what, remedy=remedy
            ) from None


def _lost() -> tuple[type[Exception], ...]:
    """The outcome is unknown: the request may have been carried out."""
    from kazoo import exceptions

    return (
        exceptions.ConnectionLoss,
        exceptions.ConnectionClosedError,
        exceptions.SessionExpiredError,
        exceptions.OperationTimeoutError,
    )


def _holder_of(data: bytes) -> str:
    """The process that wrote a run's entry; empty where that cannot be read."""
    try:
        holder = msgspec.json.decode(data, type=dict).get("holder", "")
    except (msgspec.MsgspecError, ValueError):
        return ""
    return holder if isinstance(holder, str) else ""
