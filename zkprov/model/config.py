"""zoo.cfg as a value that gives its own text back, and the member lists that it holds or points at.

Source: `QuorumPeerConfig` of release 3.9.5. A static zoo.cfg (one without `dynamicConfigFile`) holds its list itself, of version 0; or of
the version that a `version=` line in it says, which ZooKeeper reads there as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from zkprov.model.dynamic import (
    first_list_line,
    is_list_key,
    parse_members,
    parse_server_line,
    parse_version,
    print_members,
    read_list,
    version_from_file_name,
)
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.properties import PropertyLine, entry, last_wins, notes_of_twice, scan

__all__ = [
    "HIDDEN",
    "POINTER",
    "RULES",
    "SUPER_DIGEST",
    "ZooCfg",
    "is_secret",
    "parse_members",
    "parse_server_line",
    "parse_version",
    "parse_zoo_cfg",
    "print_members",
    "read_list",
    "redacted",
    "ruled",
    "scan_zoo_cfg",
    "version_from_file_name",
]

HIDDEN = "(hidden)"
POINTER = "dynamicConfigFile"
SUPER_DIGEST = "DigestAuthenticationProvider.superDigest"
"""`user:base64(sha1(user:password))` of who may do everything."""
# What QuorumPeerConfig parses as true/false and as an int; anything else there stops the server at its start.
# fmt: off
BOOLEANS = {
    "standaloneEnabled", "reconfigEnabled", "syncEnabled", "sslQuorum", "portUnification",
    "sslQuorumReloadCertFiles", "quorumListenOnAllIPs", "localSessionsEnabled", "localSessionsUpgradingEnabled",
    "multiAddress.enabled", "multiAddress.reachabilityCheckEnabled", "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl", "quorum.auth.learnerRequireSasl", "jvm.pause.monitor",
}
INTEGERS = {
    "clientPort", "secureClientPort", "observerMasterPort", "clientPortListenBacklog", "tickTime", "maxClientCnxns",
    "minSessionTimeout", "maxSessionTimeout", "initLimit", "syncLimit", "connectToLearnerMasterLimit",
    "electionAlg", "autopurge.snapRetainCount",
}
# fmt: on
RULES = {"standaloneEnabled": "false", "reconfigEnabled": "true", "db.autocreate": "false"}
"""What a server must have that zkprov sets up (R1, R5, R12); the last from release 3.6."""
_RULED = {
    "standaloneEnabled": "R1: a server that may run alone can be a second leader",
    "oraclePath": "R1: an oracle lets half of two servers elect",
    "db.autocreate": "R5: an empty server must not vote",
    "reconfigEnabled": "R12: a static list is not grown",
    "dataDir": "the inventory's zkprov_data_dir says it",
    "dataLogDir": "the inventory's zkprov_data_log_dir says it",
    "clientPort": "the inventory's zkprov_client_port says it",
    "clientPortAddress": "the inventory's zkprov_client_host says it",
    "admin.serverPort": "the inventory's zkprov_admin_port says it",
    "admin.serverAddress": "the inventory's zkprov_admin_address says it",
    "admin.enableServer": "the inventory's zkprov_admin_port says it (0: none)",
}


class ZooCfg(msgspec.Struct, frozen=True):
    """A zoo.cfg. `text` is what was read, byte for byte. `static`: the list in the file itself; None where it holds none.

    `place` names the file for messages. Made by `parse_zoo_cfg`; `with_setting` and `without` give new values.
    """

    lines: tuple[PropertyLine, ...]
    place: str = "zoo.cfg"
    static: Members | None = None

    @property
    def text(self) -> str:
        return "".join(line.source for line in self.lines)

    @property
    def settings(self) -> dict[str, str]:
        """Key → value as ZooKeeper takes them (blanks at the ends gone, the last of equal keys), without the member list's lines."""
        return {k: line.value.strip() for k, line in last_wins(self.lines).items() if not is_list_key(k)}

    @property
    def public_settings(self) -> dict[str, str]:
        """`settings` with the values of secret keys hidden: fit for output, logs and journals."""
        return {k: HIDDEN if is_secret(k) else v for k, v in self.settings.items()}

    @property
    def dynamic_config_file(self) -> str | None:
        """The path of the dynamic file, as written; None in a static zoo.cfg."""
        return self.settings.get("dynamicConfigFile")

    @property
    def list_line(self) -> int | None:
        """The number of the first line of the list in the file itself."""
        return first_list_line(self.lines)

    @property
    def twice(self) -> tuple[str, ...]:
        """`zk1/zoo.cfg:9: server.2 stands twice …`, for the list's keys: legal, ZooKeeper takes the last, and mostly not meant."""
        return notes_of_twice([line for line in self.lines if line.key and is_list_key(line.key)], self.place)

    def line_of(self, key: str) -> int | None:
        """The number of the line that counts for `key`."""
        line = last_wins(self.lines).get(key)
        return line.number if line else None

    def with_setting(self, key: str, value: str) -> ZooCfg:
        """The file with `key=value` in the line that counts for it (earlier equal keys go), else at the end. ValueError for a value
        with a line break or a key that needs escapes; BadInput if the list becomes one that ZooKeeper refuses.
        """
        counts = last_wins(self.lines).get(key)
        text = ""
        for line in self.lines:
            if line is counts:
                text += entry(key, value) + (_line_end(line.source) or "")
            elif line.key != key:
                text += line.source
        if counts is None:
            end = next((e for line in self.lines if (e := _line_end(line.source))), "\n")
            text += "" if not text or _line_end(text) else end
            # A file may end in a line that goes on; an empty line ends it.
            if re.search(r"(?<!\\)(\\\\)*\\[\r\n]+\Z", text):
                text += end * 2 if text.endswith("\r") and end == "\n" else end  # \r and \n would be one line end
            text += entry(key, value) + end
        return parse_zoo_cfg(text, self.place)

    def without(self, key: str) -> ZooCfg:
        """The file without any line of `key`."""
        return parse_zoo_cfg("".join(line.source for line in self.lines if line.key != key), self.place)

    def refusals(self) -> tuple[str, ...]:
        """Why ZooKeeper would not start with these settings, each as `file:line: reason`. What only the machine knows is not asked."""
        found = [f"{self.place}:{self.line_of(k) or 1}: {reason}" for k, reason in _refused_settings(self.settings)]
        static = self.static
        alone = self.settings.get("standaloneEnabled", "true").lower() != "false"
        if static and alone and len(static.voters) == 1 and static.observers:
            found.append(
                f"{self.place}:{self.list_line}: one participant and observers, with standaloneEnabled not false"
            )
        return tuple(found)


def parse_zoo_cfg(text: str, place: str) -> ZooCfg:
    """A zoo.cfg from text. `place` names the file. BadInput, with place:line, for text that is no properties text, a member list that
    ZooKeeper refuses, or a list beside a `dynamicConfigFile`. Settings are not judged here: see `refusals`.
    """
    cfg = scan_zoo_cfg(text, place)
    if cfg.list_line is None:
        return cfg
    if cfg.dynamic_config_file is not None:
        raise BadInput(
            "holds a member list beside its dynamicConfigFile (line {}); ZooKeeper does not start with both".format(
                cfg.line_of("dynamicConfigFile")
            ),
            place=f"{place}:{cfg.list_line}",
            remedy="Remove the server, group and weight lines here: the dynamic file is the one that a running server keeps.",
        )
    return msgspec.structs.replace(cfg, static=read_list(cfg.lines, place, others=True))


def scan_zoo_cfg(text: str, place: str) -> ZooCfg:
    """As `parse_zoo_cfg`, with the member list left unread (`static` None): the settings of a file whose list is refused."""
    return ZooCfg(scan(text, place), place)


def ruled(key: str, value: str = "") -> str:
    """Why a setting cannot be chosen freely: the rule that decides it, or the inventory variable that says it. Empty where it can, and
    where `value` is what the rule demands.
    """
    if value and RULES.get(key) == value.strip().lower():
        return ""
    if is_list_key(key) or key in ("version", "dynamicConfigFile"):
        return "R10: the member list is the ensemble's, never a setting"
    return _RULED.get(key, "")


def is_secret(key: str) -> bool:
    """Whether the value of a setting or system property must not be shown. A path to a secret is none."""
    name = key.lower()
    if name.endswith(("passwordpath", "digest.enabled", "digestalgorithm")):
        return False
    return any(word in name for word in ("password", "passwd", "secret", "digest", "jaas", "credential"))


def redacted(text: str, place: str = "zoo.cfg", *, mask: Callable[[str], str] = lambda _: HIDDEN) -> str:
    """A zoo.cfg's text with the values of secret keys hidden, in comments as well: fit for a diff. `mask`: what to write instead of one."""
    return "".join(_redacted(line, mask) for line in scan(text, place))


def _redacted(line: PropertyLine, mask: Callable[[str], str]) -> str:
    if line.key is not None:
        secret = is_secret(line.key)
        return f"{line.key}={mask(line.value.strip())}{_line_end(line.source)}" if secret else line.source
    # what was a setting before somebody commented it out
    once = re.match(r"([\s#!]*([^\s#!=:][^\s=:]*)\s*[=:\s]\s*)\S", line.source)
    return f"{once[1]}{mask('')}{_line_end(line.source)}" if once and is_secret(once[2]) else line.source


def _line_end(text: str) -> str:
    found = re.search(r"(\r\n|\n|\r)\Z", text)
    return found.group() if found else ""


def _refused_settings(settings: dict[str, str]) -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if key in BOOLEANS and value.lower() not in ("true", "false"):
            yield key, f"{key} must be true or false, not {value!r}"
        elif key in INTEGERS and not re.fullmatch(r"[+-]?[0-9]{1,10}", value):
            yield key, f"{key} must be a number, not {value!r}"
        elif key == "electionAlg" and value != "3":
            yield key, "electionAlg must be 3"
        elif key == "peerType" and value.lower() not in ("observer", "participant"):
            yield key, f"peerType must be participant or observer, not {value!r}"
    if "dataDir" not in settings:
        yield "dataDir", "dataDir is not set"
    for address in ("clientPort", "secureClientPort"):
        if f"{address}Address" in settings and address not in settings:
            yield f"{address}Address", f"{address}Address is set and {address} is not"
