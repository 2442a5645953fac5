"""`zkprov salvage apply`: letters replayed on the living ensemble, each recorded in its file before and after.

What keeps two apart is the file's lock, the ensemble's courtesy lock, and above all the versions: nothing is written but on the version
that it rests on. There is no plan and no journal: the file is both.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from zkprov.act import replay, rights
from zkprov.judge.health import Condition, Health
from zkprov.judge.replays import Decision, Live, decide
from zkprov.model.letters import SETTLED, Fate, Kind, Letter, Outcome
from zkprov.model.problems import Interrupted, NotHealthy, Unsafe
from zkprov.run.clock import Clock
from zkprov.run.dead_letters import DeadLetters
from zkprov.tree.acls import acl_of, vector_of
from zkprov.tree.znodes import sum_of

if TYPE_CHECKING:
    from kazoo.client import KazooClient

PATIENCE_S = 15.0
LOOK_AGAIN_S = 10.0
"""After so long the ensemble is looked at again, whether it still has one leader."""


class Done(msgspec.Struct, frozen=True):
    """A letter that was come to, and what became of it just now, or would."""

    letter: Letter
    outcome: Outcome


def safe_to_write(health: Health) -> None:
    """Raises `Unsafe` or `NotHealthy` unless `check` finds it safe."""
    if health.condition is Condition.SAFE:
        return
    kind = Unsafe if health.condition is Condition.UNSAFE else NotHealthy
    raise kind(
        f"{health.condition.value}: {health.headline or 'a gate failed'}; nothing is replayed on an ensemble that is not safe",
        place=health.picture.survey.ensemble,
        remedy="zkprov check",
    )


class Replayer:
    """Replays letters of one file through one session. `look`: whether the ensemble is still safe; it raises where it is not."""

    def __init__(
        self,
        file: DeadLetters,
        client: KazooClient,
        clock: Clock,
        stop: threading.Event,
        look: Callable[[], None],
        *,
        dry_run: bool = False,
    ) -> None:
        self._file, self._client, self._clock, self._stop, self._look = file, client, clock, stop, look
        self._dry_run = dry_run
        self._imagined: dict[str, Live | None] = {}
        self._looked = clock.monotonic()
        self.counts: Counter[Fate] = Counter()
        self.earlier = 0

    def carry_out(self, only: list[str], hear: Callable[[Done], None]) -> None:
        """All letters of these paths, in order. Raises `Interrupted` where it stops in between: the file holds the rest."""
        chosen = self._file.numbers(only)
        with_acl = self._file.paths_with(Kind.ACL)
        previous: dict[str, Outcome] = {}
        blocked: set[str] = set()
        self._caught_up()
        for number in chosen:
            letter, outcome = self._file.letter(number)
            if outcome.fate in SETTLED:
                previous[letter.path] = outcome
                self.earlier += 1
                continue
            if self._stop.is_set():
                raise Interrupted("stopped by a signal", remedy="the same command again: the file holds the rest")
            if self._clock.monotonic() - self._looked > LOOK_AGAIN_S:
                self._look()
                self._looked = self._clock.monotonic()
            became = self._one(
                letter, outcome, previous.get(letter.path), letter.path in with_acl, letter.path in blocked
            )
            if became.fate in SETTLED:
                previous[letter.path] = became
            elif became.fate is Fate.CONFLICT:
                blocked.add(letter.path)
            self.counts[became.fate] += 1
            hear(Done(letter, became))

    def _one(
        self, letter: Letter, outcome: Outcome, previous: Outcome | None, acl_follows: bool, blocked: bool
    ) -> Outcome:
        began = self._clock.monotonic()
        while True:
            try:
                live, parent = self._seen(letter)
                found = decide(letter, outcome, live, parent, previous, acl_follows=acl_follows, blocked=blocked)
                if found.do and not self._dry_run:
                    if outcome.fate is not Fate.BEGUN:
                        outcome = self._noted(letter, Fate.BEGUN, "", live)
                    said = self._act(letter, live)
                    if said is None:
                        return self._settled(letter, Fate.REPLAYED, "")
                    # an earlier try of ours may have come through after all: what is there now tells
                    again = decide(letter, outcome, self._seen(letter)[0], parent, previous)
                    found = (
                        again if not again.do and again.fate is Fate.REPLAYED else Decision(False, Fate.CONFLICT, said)
                    )
                return self._settled(letter, found.fate, found.said) if not found.do else self._imagine(letter, live)
            except _lost() as wrong:
                if self._stop.is_set() or self._clock.monotonic() - began > PATIENCE_S:
                    raise Interrupted(
                        f"the ensemble does not answer ({type(wrong).__name__}); letter {letter.number} may have been replayed",
                        place=letter.path,
                        remedy="the same command again, when zkprov check finds it safe: it looks first",
                    ) from None
                self._clock.wait(self._stop, 0.1)

    def _caught_up(self) -> None:
        try:
            replay.catch_up(self._client)
        except _lost() as wrong:
            raise NotHealthy(f"the ensemble does not answer ({type(wrong).__name__})", remedy="zkprov status") from None

    def _seen(self, letter: Letter) -> tuple[Live | None, Live | None]:
        """The znode, and its parent where that matters."""
        needs_parent = letter.kind in (Kind.CREATE, Kind.STOOD) and not letter.why.conflict and not letter.ephemeral
        if letter.ephemeral:
            return None, None
        live = self._live(letter.path, acl=letter.kind in (Kind.ACL, Kind.CREATE, Kind.STOOD))
        parent = self._live(letter.path.rpartition("/")[0] or "/") if needs_parent else None
        return live, parent

    def _live(self, path: str, *, acl: bool = False) -> Live | None:
        from kazoo.exceptions import NoAuthError, NoNodeError

        if path in self._imagined:
            return self._imagined[path]
        try:
            found = replay.get(self._client, path)
        except NoAuthError:
            stat = replay.stat(self._client, path)
            # nobody lets us read it: it is there, and its data equals nothing
            return None if stat is None else _live_of(None, stat, None)
        if found is None:
            return None
        data, stat = found
        vector = None
        if acl:
            try:
                read = rights.read(self._client, path)[0]
                vector = None if any(r.who.masked for r in read) else vector_of(read)
            except NoAuthError:
                pass
            except NoNodeError:
                return None
        return _live_of(data, stat, vector)

    def _act(self, letter: Letter, live: Live | None) -> str | None:
        """None where it was carried out, else why the ensemble refused it. Raises what `_lost` names: nobody knows."""
        from kazoo import exceptions as wrong

        client, path = self._client, letter.path
        try:
            if letter.kind is Kind.CREATE or (letter.kind is Kind.STOOD and live is None):
                replay.create(client, path, letter.data, acl_of(letter.acl), letter.owner)
            elif letter.kind in (Kind.SET, Kind.STOOD):
                replay.set_data(client, path, letter.data, live.version if live else -2)
            elif letter.kind is Kind.DELETE:
                replay.delete(client, path, live.version if live else -2)
            else:
                rights.write(client, path, acl_of(letter.acl), live.aversion if live else -2)
        except _lost():
            raise
        except wrong.NotEmptyError:
            return "it has children on the kept side"
        except (wrong.BadVersionError, wrong.NodeExistsError, wrong.NoNodeError):
            return "it was changed just now"
        except (wrong.KazooException, ValueError, RuntimeError) as refused:
            return f"the ensemble refused it: {type(refused).__name__} {refused}".rstrip()
        return None

    def _settled(self, letter: Letter, fate: Fate, said: str) -> Outcome:
        live = self._live(letter.path) if fate in SETTLED else None
        if self._dry_run:
            return _outcome(fate, said, live, 0.0)
        return self._noted(letter, fate, said, live)

    def _noted(self, letter: Letter, fate: Fate, said: str, live: Live | None) -> Outcome:
        outcome = _outcome(fate, said, live, self._clock.now())
        self._file.record(letter.number, outcome)
        return outcome

    def _imagine(self, letter: Letter, live: Live | None) -> Outcome:
        """Of `--dry-run`: as it would be after it, for those that follow."""
        before = live or Live(-1, -1, 0, b"")
        after: Live | None = {
            Kind.DELETE: None,
            Kind.ACL: msgspec.structs.replace(before, aversion=before.aversion + 1, acl=letter.acl),
            Kind.SET: msgspec.structs.replace(
                before, mzxid=-2 - letter.number, version=before.version + 1, sum=sum_of(letter.data)
            ),
        }.get(letter.kind, Live(-2 - letter.number, 0, 0, sum_of(letter.data), letter.acl))
        self._imagined[letter.path] = after
        if letter.kind in (Kind.CREATE, Kind.STOOD):
            up = letter.path.rpartition("/")[0] or "/"
            parent = self._live(up)
            if parent is not None:
                self._imagined[up] = msgspec.structs.replace(parent, made=parent.made + 1)
        return _outcome(Fate.REPLAYED, "", after, 0.0)


def _live_of(data: bytes | None, stat: Any, acl: bytes | None) -> Live:
    # as clients see it, cversion counts removals too
    made = (stat.cversion + stat.numChildren) // 2
    return Live(stat.mzxid, stat.version, stat.aversion, b"" if data is None else sum_of(data), acl, made)


def _outcome(fate: Fate, said: str, live: Live | None, at: float) -> Outcome:
    if live is None:
        return Outcome(fate, said, at)
    return Outcome(fate, said, at, live.mzxid, live.version, live.aversion)


def _lost() -> tuple[type[BaseException], ...]:
    """The outcome is unknown."""
    from kazoo import exceptions
    from kazoo.handlers.threading import KazooTimeoutError

    return (
        exceptions.ConnectionLoss,
        exceptions.ConnectionClosedError,
        exceptions.SessionExpiredError,
        exceptions.OperationTimeoutError,
        KazooTimeoutError,
    )
