"""ZooKeeper releases: what is wrong with each, which may change membership, and which step an upgrade may take.

The tables are FACTS, "Releases"; ids are those of ZooKeeper's issue tracker.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Set

import msgspec

from zkprov.model.problems import BadInput


class Release(msgspec.Struct, frozen=True, order=True):
    """`3.9.5`. What follows the third number (a commit, `-beta`, a vendor's numbers) is dropped: it changes none of the tables."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str, place: str = "") -> Release:
        """`3.9.5`, `3.9.5-9f1c…`, `3.5.5.7.1.7.0-551`. BadInput for anything else."""
        found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", text.strip())
        if not found:
            raise BadInput(f"not a ZooKeeper release: {text[:40]!r}", place=place, remedy="write it like 3.9.5")
        return cls(*(int(number) for number in found.groups()))

    @classmethod
    def read(cls, text: str) -> Release | None:
        """As `parse`, for what a server says of itself: None where it says no release."""
        try:
            return cls.parse(text)
        except BadInput:
            return None

    @property
    def line(self) -> tuple[int, int]:
        """The release line: (3, 9)."""
        return self.major, self.minor

    @property
    def has_reconfig(self) -> bool:
        """Dynamic configs and the `reconfig` command."""
        return self >= Release(3, 5, 0)

    @property
    def has_admin_server(self) -> bool:
        return self >= Release(3, 5, 0)

    @property
    def has_autocreate(self) -> bool:
        """`db.autocreate=false` keeps an empty server from voting; 3.5 ignores it."""
        return self >= Release(3, 6, 0)

    @property
    def has_digests(self) -> bool:
        """Digests of the data: AdminServer `hash`, `zk_digest_mismatches_count`."""
        return self >= Release(3, 6, 0)

    @property
    def has_voting_view(self) -> bool:
        """AdminServer `leader`, `voting_view`, `observers`."""
        return self >= Release(3, 6, 0)

    @property
    def has_multi_address(self) -> bool:
        """Several addresses of one server, separated by `|`."""
        return self >= Release(3, 6, 0)

    @property
    def has_snapshot_command(self) -> bool:
        """AdminServer `snapshot` and `restore`."""
        return self >= Release(3, 9, 0)

    @property
    def allows_membership_changes(self) -> bool:
        """Whether a server of this release may take part in a change of membership. Its `concerns` are named even then."""
        own = self._least()
        return self >= own if own else self > max(LEAST)

    @property
    def least_advice(self) -> str:
        """What to run at least, for a release that is not allowed."""
        own = self._least()
        return f"changes of membership need {own or min(LEAST)} or newer, best {BEST} or newer"

    def _least(self) -> Release | None:
        return next((least for least in LEAST if least.line == self.line), None)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class Concern(msgspec.Struct, frozen=True):
    """Something wrong with releases. `fixed_in`: the first good release of each line that got the fix."""

    what: str
    issues: tuple[str, ...]
    fixed_in: tuple[Release, ...]

    def concerns(self, release: Release) -> bool:
        """Whether `release` has it: a line without a fix of its own is good only when it is newer than every line that has one."""
        return release < max(self.fixed_in) and not any(f.line == release.line and release >= f for f in self.fixed_in)

    def __str__(self) -> str:
        return f"{self.what} ({', '.join(self.issues)}; fixed in {', '.join(str(f) for f in self.fixed_in)})"


def _concern(what: str, issues: str, fixed_in: str) -> Concern:
    names = tuple(f"ZOOKEEPER-{number}" for number in issues.split())
    return Concern(what, names, tuple(Release.parse(text) for text in fixed_in.split()))


CONCERNS = (
    _concern("reconfig crashes, and anybody may reconfig", "2172 2014", "3.5.3"),
    _concern("reconfig can deadlock", "2778", "3.5.5"),
    _concern("a full disk can split the brain", "3701", "3.5.7"),
    _concern("a static rolling change can elect a leader that cannot commit", "3829", "3.5.9 3.6.2 3.7.0"),
    _concern("a joiner can lose data after a partial snapshot", "3642", "3.5.10 3.6.3 3.7.0"),
    _concern("an unresolvable own name can leave a leader that cannot commit", "4708", "3.8.4 3.9.2"),
    _concern("transactions can be lost in a DIFF sync", "4785", "3.8.5 3.9.2"),
    _concern("transactions can be lost round NEWLEADER", "4394 4643 4646", "3.9.3"),
    _concern("an observer with a small id cannot join under quorum SASL", "4886", "3.8.5 3.9.4"),
)
LEAST = (Release(3, 5, 10), Release(3, 6, 4), Release(3, 7, 2), Release(3, 8, 4))
"""The least release of each line for changes of membership; newer lines are allowed from their first."""
BEST = Release(3, 9, 4)
NEWEST_LINE = (3, 9)
"""The newest line that the tables know; beyond it upgrades are not promised."""


def concerns(release: Release) -> tuple[Concern, ...]:
    """What is known to be wrong with `release`, oldest first."""
    return tuple(c for c in CONCERNS if c.concerns(release))


def allowed_for_membership_changes(release: Release) -> bool:
    """See `Release.allows_membership_changes`."""
    return release.allows_membership_changes


class UpgradeStep(msgspec.Struct, frozen=True):
    """Whether one may go from a release to another in one rolling step. `via`: the releases to go through instead, in order.

    `notes`: what must be set meanwhile. `reason` is empty when allowed.
    """

    allowed: bool
    reason: str = ""
    via: tuple[Release, ...] = ()
    notes: tuple[str, ...] = ()


# Each hop: the line to come from, the least release there, the line to go to, the least release there, what to mind.
_HOPS = (
    (
        (3, 4),
        Release(3, 4, 6),
        (3, 5),
        Release(3, 5, 10),
        "where no snapshot exists yet, set snapshot.trust.empty=true for the step: without, the server does not start, and goes back",
    ),
    (
        (3, 5),
        Release(3, 5, 7),
        (3, 6),
        Release(3, 6, 4),
        "leave multiAddress.enabled off until every server is 3.6 or newer",
    ),
    ((3, 6), Release(3, 6, 0), (3, 7), Release(3, 7, 2), ""),
    ((3, 6), Release(3, 6, 0), (3, 8), Release(3, 8, 4), ""),
    ((3, 7), Release(3, 7, 0), (3, 8), Release(3, 8, 4), ""),
    ((3, 7), Release(3, 7, 0), (3, 9), Release(3, 9, 0), ""),
    ((3, 8), Release(3, 8, 0), (3, 9), Release(3, 9, 0), ""),
)
# The newest of each line, as a stop on the way.
_STOPS = {
    (3, 4): Release(3, 4, 14),
    (3, 5): Release(3, 5, 10),
    (3, 6): Release(3, 6, 4),
    (3, 7): Release(3, 7, 2),
    (3, 8): Release(3, 8, 6),
}


def may_upgrade(old: Release, new: Release) -> UpgradeStep:
    """Whether `old` → `new` is a step that the project promises or that was measured; if not, what to go through."""
    if new == old:
        return UpgradeStep(False, f"{new} is what runs already")
    if new < old:
        return UpgradeStep(False, f"{new} is older than {old}: a step back is not an upgrade")
    if new.line > NEWEST_LINE:
        return UpgradeStep(
            False, f"{new} is newer than the releases that this zkprov knows (up to {_dotted(NEWEST_LINE)})"
        )
    if old.line == new.line:
        return UpgradeStep(True)
    for start, least, end, first, note in _HOPS:
        if (start, end) == (old.line, new.line) and old >= least and new >= first:
            return UpgradeStep(True, notes=(note,) if note else ())
    via = _way(old, new)
    if not via:
        return UpgradeStep(False, f"no way from {old} to {new} is known")
    return UpgradeStep(
        False, f"{old} to {new} is no step that ZooKeeper promises: go through {', '.join(map(str, via))}", via
    )


def may_go_back(new: Release, old: Release) -> UpgradeStep:
    """Whether a server that ran `new` may run `old` on the same disk; if not, `via` has the releases to go back through.

    Measured on real servers with writes and snapshots in between, for every line from 3.5 on to the one that an allowed step leads to: one
    server, two and all three of an ensemble went back, and held the same data. Within a line it was not tried (its format does not change);
    from 3.5 to 3.4 neither, and is refused.
    """
    if old >= new:
        return UpgradeStep(False, f"{old} is not older than {new}")
    if new.line > NEWEST_LINE:
        return UpgradeStep(
            False, f"{new} is newer than the releases that this zkprov knows (up to {_dotted(NEWEST_LINE)})"
        )
    if not old.has_reconfig:
        return UpgradeStep(False, f"whether {old} reads what {new} has written is not known")
    if may_step(old, new):
        return UpgradeStep(True)
    nearer = [s for s in sorted(_STOPS.values(), reverse=True) if old < s < new and may_step(s, new)]
    return UpgradeStep(False, f"{new} to {old} is more than one step back", tuple(nearer[:1]))


def way(old: Release, new: Release, known: Set[Release] = frozenset()) -> tuple[Release, ...]:
    """The releases to run one after another from `old` on, `new` the last of them; empty where no way is known.

    One minor release at a time, through those that are `known`, which can be had; a line of which none is known is passed over where the
    table has a step over it. Where that leads nowhere, by the fewest stops of the table.
    """
    newest = {r.line: r for r in sorted(known) if old < r < new}
    between = [r for line, r in newest.items() if old.line < line < new.line]
    for stops in (between, [r for line, r in newest.items() if line < new.line]):
        for count in range(len(stops), -1, -1):
            for some in itertools.combinations(stops, count):
                if all(may_step(a, b) for a, b in itertools.pairwise((old, *some, new))) and new.line <= NEWEST_LINE:
                    return (*some, new)
    step = may_upgrade(old, new)
    return (new,) if step.allowed else (*step.via, new) if step.via else ()


def _way(old: Release, new: Release) -> tuple[Release, ...]:
    """The fewest stops between `old` and `new` with each step allowed; of equally few, the newest first."""
    ways: list[tuple[Release, ...]] = [()]
    for _ in range(len(_STOPS)):
        longer = []
        for way in ways:
            last = way[-1] if way else old
            for stop in sorted((s for s in _STOPS.values() if last < s < new), reverse=True):
                if may_step(last, stop):
                    if may_step(stop, new):
                        return (*way, stop)
                    longer.append((*way, stop))
        ways = longer
    return ()


def may_step(old: Release, new: Release) -> bool:
    """Whether `old` → `new` is one step of the table, or one within a line."""
    if old.line == new.line:
        return old < new
    return any((s, e) == (old.line, new.line) and old >= least and new >= first for s, least, e, first, _ in _HOPS)


def _dotted(line: tuple[int, int]) -> str:
    return f"{line[0]}.{line[1]}"
