"""What a server was given on its command line: `-Dzookeeper.X=Y` is the setting X, where zoo.cfg does not say X.

Source: `QuorumPeerConfig.parseProperties` (3.9.5), and measured there. What ZooKeeper parses itself counts in zoo.cfg alone, whatever
its documentation says of a system property: with `-Dzookeeper.sslQuorum=true` the quorum is in the clear. All other lines of zoo.cfg
become system properties, in the place of those that were given.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zkprov.model.config import BOOLEANS, HIDDEN, INTEGERS, is_secret

_PREFIX = "-Dzookeeper."
_BOTH = frozenset({"multiAddress.enabled", "multiAddress.reachabilityCheckEnabled"})
FROM_FILE = (BOOLEANS | INTEGERS | {"clientPortAddress", "secureClientPortAddress", "dataDir", "dataLogDir"}) - _BOTH
"""The keys that do nothing as a flag."""


class Flags(msgspec.Struct, frozen=True):
    """`settings`: key → value, secrets hidden; `idle`: those that do nothing. `unseen`: why there may be more; empty: there are none."""

    settings: dict[str, str] = {}
    idle: dict[str, str] = {}
    unseen: str = ""


def flags_of(words: Sequence[str]) -> Flags:
    """Of the words before the main class, or of `jvm_flags`; of equal ones the last counts, as for Java."""
    given = {}
    for word in words:
        key, equals, value = word.removeprefix(_PREFIX).partition("=")
        if word.startswith(_PREFIX) and equals:
            given[key] = HIDDEN if is_secret(key) else value.strip()
    files = [word for word in words if word.startswith("@")]
    return Flags(
        {k: v for k, v in given.items() if k not in FROM_FILE and not k.startswith("quorum.auth.")},
        {k: v for k, v in given.items() if k in FROM_FILE or k.startswith("quorum.auth.")},
        f"more stand in {', '.join(files[:3])}" if files else "",
    )
