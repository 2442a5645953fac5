"""What servers' own logs (text, of slf4j) tell: how far a learner's log reached when its leader had it cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from zkprov.model.problems import BadInput

FOUND = re.compile(
    r"Synchronizing with (?:Learner|Follower|Observer) sid: ?(\d+) maxCommittedLog=0x([0-9a-f]+) .*peerLastZxid=0x([0-9a-f]+)"
)
"""A leader's, at INFO, from 3.5 on."""
CUT = re.compile(r"Sending TRUNC (?:to follower )?zxid(?:ToSend)?=0x([0-9a-f]+)\s+for peer sid: ?(\d+)")
MOST_LINE = 4096
NOTHING = 0xFFFFFFFFFFFFFFFF
"""The zxid, -1, of a learner that comes empty: it is sent everything, and nothing is cut off."""


class CutByLeader(msgspec.Struct, frozen=True):
    """The server `sid` came with the zxid `last`, and was told to cut its log off after `after`."""

    sid: int
    last: int
    after: int


def cut_by_leaders(path: Path) -> Iterator[CutByLeader]:
    """Of one log. Raises `BadInput` where it cannot be read."""
    came: dict[int, int] = {}
    try:
        with path.open(errors="replace") as lines:
            for line in lines:
                if match := FOUND.search(line[:MOST_LINE]):
                    sid, committed, last = int(match[1]), int(match[2], 16), int(match[3], 16)
                    came[sid] = last = 0 if last == NOTHING else last
                    if last > committed:
                        # to the last that the leader has itself; which it says at DEBUG alone
                        yield CutByLeader(sid, last, committed)
                elif (match := CUT.search(line[:MOST_LINE])) and (last := came.get(int(match[2]), 0)) > int(
                    match[1], 16
                ):
                    yield CutByLeader(int(match[2]), last, int(match[1], 16))
    except OSError as wrong:
        remedy = "name a server's log as text: zookeeper.log, and those before it"
        raise BadInput(f"cannot be read: {wrong.strerror}", place=str(path), remedy=remedy) from None
