"""Member lists as ZooKeeper writes them: read as strictly as it reads them, printed as it prints them.

Sources (release 3.9.5): `QuorumPeer.QuorumServer.initializeWithAddressString` and `toString`, `ConfigUtils.getHostAndPort`,
`QuorumMaj`, `QuorumHierarchical`, `QuorumPeerConfig.parseDynamicConfig`, `getVersionFromFilename` and `writeDynamicConfig`.

Where we are stricter: ids and weights below 0, port 0, a host that is empty or has blanks, a line with no address, `+5` for a number,
`groupX.1` for `group.1`, `server.01` beside `server.1` (all of which ZooKeeper takes, and none of which it ever writes); and a group
that holds a server which is no participant but has a weight: ZooKeeper counts that weight towards the group although nobody can cast
it. Apart from these the real server and this parser agreed on each line of the tests' tables (3.9.5, started on each of them).
`multiAddress.enabled` is a JVM flag, unseen here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.properties import PropertyLine, given_twice, last_wins, scan
from zkprov.model.server import ClientAddress, Role, Server, ServerAddress

MAX_VERSION = 2**63 - 1
_Lines = dict[int, PropertyLine]
FORM = "host:quorumPort:electionPort[:participant|:observer][|…][;[address:]clientPort]"


class _Wrong(ValueError):
    """Why a value is refused; the caller knows the line."""


def is_list_key(key: str) -> bool:
    """Whether ZooKeeper takes `key` for a part of the member list, in zoo.cfg too. `version` counts only in a list."""
    return key.startswith(("server.", "group", "weight"))


def parse_server_line(id_text: str, value: str, place: str) -> Server:
    """`server.<id_text>=<value>` as a Server. `place` is file:line. Raises BadInput for what ZooKeeper refuses.

    `value` is what Java properties give: no leading blanks, trailing ones kept (ZooKeeper refuses `…:3888 `).
    """
    try:
        server_id = _id(id_text)
        parts = _java_split(value, ";")
        if len(parts) > 2:
            raise _Wrong(f"more than one `;` in {value!r}; the form is {FORM}")
        if not parts or not parts[0]:
            raise _Wrong(f"no server address; the form is {FORM}")
        client = _client(parts[1]) if len(parts) == 2 else None
        addresses, roles = zip(*(_address(p) for p in _java_split(parts[0], "|") or [""]), strict=True)
        given = {r for r in roles if r is not None}
        if len(given) > 1:
            raise _Wrong("the addresses of one server must have one role")
        return Server(server_id, tuple(dict.fromkeys(addresses)), given.pop() if given else Role.PARTICIPANT, client)
    except ValueError as wrong:
        raise BadInput(
            f"server.{id_text}: {wrong}",
            place=place,
            remedy=f"ZooKeeper does not start with such a line. Write {FORM}.",
        ) from None


def parse_members(text: str, place: str, version: int | None = None) -> Members:
    """A member list from text: a dynamic file, a `.next`, or `/zookeeper/config`. `place` names the file or znode.

    `version` None: the text says it in a `version=<hex>` line (0 without one). Given: it is a dynamic file whose name says the
    version, and a `version=` line in it is refused, as by ZooKeeper.
    Raises BadInput (with place:line) for what ZooKeeper refuses, for a list without servers, and for a key that stands twice. Java takes
    the last of two equal keys, so a hand-edited file of a running server may have them: `read_list` reads those.
    """
    lines = scan(text, place)
    for earlier, later in given_twice(lines):
        raise BadInput(
            f"{later.key} stands twice, first in line {earlier.number}",
            place=f"{place}:{later.number}",
            remedy="Keep the line that is meant; ZooKeeper takes the last.",
        )
    members = read_list(lines, place, version)
    if not members.servers:
        raise BadInput("no server line", place=place, remedy="A member list has at least one `server.N=` line.")
    return members


def read_list(
    lines: Sequence[PropertyLine], place: str, version: int | None = None, *, others: bool = False
) -> Members:
    """As `parse_members`, from lines already scanned: the last of equal keys counts, and no servers at all is an empty list.

    `others`: whether other keys may stand between (they may in a static zoo.cfg).
    """
    servers: _Lines = {}
    groups: _Lines = {}
    weights: _Lines = {}
    found: list[Server] = []
    for key, line in last_wins(lines).items():
        at = f"{place}:{line.number}"
        if key.startswith("server."):
            server = parse_server_line(key.removeprefix("server."), line.value, at)
            _once(servers, server.id, line, at)
            found.append(server)
        elif key.startswith(("group", "weight")):
            kind = "group" if key.startswith("group") else "weight"
            try:
                if not key.startswith(f"{kind}."):
                    raise _Wrong(f"write {kind}.N")
                _once(groups if kind == "group" else weights, _id(key.removeprefix(f"{kind}.")), line, at)
            except _Wrong as wrong:
                raise BadInput(f"{key}: {wrong}", place=at, remedy=f"Write {kind}.N=…, N being a number.") from None
        elif key == "version":
            if version is not None:
                raise BadInput(
                    "a dynamic file must not hold its version: the file's name says it",
                    place=at,
                    remedy="Remove the line.",
                )
        elif not others:
            raise BadInput(
                f"{key} has no place in a member list",
                place=at,
                remedy="Only server.N, group.N, weight.N (and version, in `.next`) may stand here; settings go to zoo.cfg.",
            )
    stated = last_wins(lines).get("version")
    if version is None and stated is not None:
        version = parse_version(stated.value, f"{place}:{stated.number}")
    in_order = tuple(sorted(found, key=lambda s: s.id))
    if in_order and not any(s.votes for s in in_order):
        first = min(line.number for line in servers.values())
        raise BadInput(
            "observers without participants", place=f"{place}:{first}", remedy="A list needs at least one participant."
        )
    plain = Members(in_order, version or 0)
    if not groups and not weights:
        return plain
    return _hierarchical(plain, servers, groups, weights, place)


def _once(lines: _Lines, number: int, line: PropertyLine, at: str) -> None:
    if number in lines:
        raise BadInput(
            f"{line.key} and {lines[number].key} (line {lines[number].number}) are the same; which one counts is chance",
            place=at,
            remedy="Remove one of them.",
        )
    lines[number] = line


def _hierarchical(plain: Members, servers: _Lines, groups: _Lines, weights: _Lines, place: str) -> Members:
    weight: dict[int, int] = {}
    for server_id, line in weights.items():
        try:
            weight[server_id] = _id(line.value, "a weight")
        except _Wrong as wrong:
            raise BadInput(f"{line.key}: {wrong}", place=f"{place}:{line.number}", remedy="Write a number.") from None
    group_of: dict[int, int] = {}
    for gid, line in groups.items():
        at = f"{place}:{line.number}"
        try:
            ids = [_id(part) for part in _java_split(line.value, ":") or [""]]
        except _Wrong as wrong:
            raise BadInput(f"{line.key}: {wrong}", place=at, remedy=f"Write {line.key}=1:2:3.") from None
        for server_id in ids:
            if server_id in group_of:
                raise BadInput(f"server {server_id} is in two groups", place=at, remedy="Keep it in one group.")
            group_of[server_id] = gid
            if server_id not in plain.voters and weight.get(server_id) != 0:
                raise BadInput(
                    f"{line.key} holds {server_id}, which is no participant of this list",
                    place=at,
                    remedy=f"Take {server_id} out of the group, or write weight.{server_id}=0.",
                )
    for server_id in sorted(plain.voters - group_of.keys()):
        raise BadInput(
            f"server {server_id} is in no group",
            place=f"{place}:{servers[server_id].number}",
            remedy="Where there are groups or weights, each participant needs a group.",
        )
    return Members(
        plain.servers,
        plain.version,
        tuple((g, tuple(sorted(i for i, of in group_of.items() if of == g))) for g in sorted(groups)),
        tuple(sorted(weight.items())),
    )


def print_members(members: Members, with_version: bool) -> str:
    """The list as ZooKeeper prints it (canonical form), without a last line end, as it has none there either.

    With the version: `/zookeeper/config` (servers, groups, weights, version). Without: a dynamic file, whose lines ZooKeeper sorts as
    text. In `/zookeeper/config` ZooKeeper's servers stand in the order of a Java hash map, which for ids below 16 is that of the ids.
    """
    members = members.canonical
    lines = [s.line for s in members.servers]
    lines += [f"group.{g}={':'.join(str(i) for i in ids)}" for g, ids in members.groups]
    lines += [f"weight.{i}={w}" for i, w in members.weights]
    return "\n".join([*lines, f"version={members.version:x}"] if with_version else sorted(lines))


def parse_version(text: str, place: str) -> int:
    """A config version in hex, as it stands in `version=`. BadInput for anything else."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,16}", text) or int(text, 16) > MAX_VERSION:
        raise BadInput(f"not a config version in hex: {text!r}", place=place, remedy="Write e.g. version=100000000.")
    return int(text, 16)


def version_from_file_name(name: str) -> int:
    """`zoo.cfg.dynamic.100000000` → 0x100000000, and 0 for a name that says none (`zoo.cfg.dynamic`, `members`).

    ZooKeeper takes whatever follows the last dot if it is hex, else version 0: so for a junk suffix after `.dynamic.`, too, where
    somebody meant a version. That raises BadInput here; who wants to know what the server does takes 0.
    """
    base, dot, suffix = name.rpartition(".")
    if dot and re.fullmatch(r"[0-9a-fA-F]+", suffix) and int(suffix, 16) <= MAX_VERSION:
        return int(suffix, 16)
    if base.endswith(".dynamic") or re.fullmatch(r"[+-][0-9a-fA-F]+", suffix):
        raise BadInput(
            f"{suffix!r} at the end of the file's name is not a config version in hex; ZooKeeper reads version 0",
            place=name,
            remedy="Name the file zoo.cfg.dynamic.<version in hex>.",
        )
    return 0


def _id(text: str, what: str = "an id") -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _Wrong(f"not {what}: {text!r}")
    return int(text)


def _java_split(text: str, separator: str) -> list[str]:
    """`String.split` of Java: empty strings at the end are dropped; an empty text is one empty string."""
    if not text:
        return [""]
    parts = text.split(separator)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _host_and_ports(text: str) -> list[str]:
    if not text.startswith("["):
        return _java_split(text, ":")
    host, closed, rest = text[1:].partition("]")
    if not closed:
        raise _Wrong(f"{text!r} opens a `[` and does not close it")
    if not rest.startswith(":") or rest == ":":
        raise _Wrong(f"{text!r} has no port after `]`")
    return [host, *_java_split(rest[1:], ":")]


def _address(text: str) -> tuple[ServerAddress, Role | None]:
    parts = _host_and_ports(text)
    if not 3 <= len(parts) <= 4:
        hint = " (an IPv6 address needs brackets)" if text.count(":") > 3 and not text.startswith("[") else ""
        raise _Wrong(f"{text!r} is not host:quorumPort:electionPort[:role]{hint}")
    address = ServerAddress(parts[0], _port(parts[1]), _port(parts[2]))
    if address.quorum_port == address.election_port:
        raise _Wrong(f"quorum port and election port must differ ({address.quorum_port})")
    if len(parts) == 3:
        return address, None
    role = parts[3].strip().lower()
    if role not in tuple(Role):
        raise _Wrong(f"no such role: {parts[3]!r}; there are participant and observer")
    return address, Role(role)


def _client(text: str) -> ClientAddress:
    parts = _host_and_ports(text)
    if not 1 <= len(parts) <= 2:
        raise _Wrong(f"the client part {text!r} is not [address:]port")
    return ClientAddress(_port(parts[-1]), parts[0] if len(parts) == 2 else None)


def _port(text: str) -> int:
    if not re.fullmatch(r"0*[0-9]{1,5}", text):
        raise _Wrong(f"not a port: {text!r}")
    return int(text)


def first_list_line(lines: Iterable[PropertyLine]) -> int | None:
    """The number of the first line of the member list in a zoo.cfg."""
    return next((line.number for line in lines if line.key is not None and is_list_key(line.key)), None)
