"""How one host's files differ from what they should be: by what is read from them, not by how they are written. Secrets come sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from enum import StrEnum

import msgspec

from zkprov.model import jaas
from zkprov.model.config import BOOLEANS, HIDDEN, is_secret, scan_zoo_cfg
from zkprov.model.hiding import shown, unsealed
from zkprov.model.installed import Installed
from zkprov.model.problems import BadInput
from zkprov.model.release import Release

ZOO_CFG, FLAGS, LOGBACK, MY_ID, JAAS = "zoo.cfg", "jvm_flags", "logback.xml", "myid", jaas.NAME
UNIT, RELEASE = "unit", "release"
# ZooKeeper writes these itself, and what they say is membership (R10).
_ITS_OWN = ("dynamicConfigFile", "version")
# What systemd goes by without a restart of the server, once it has read its units again.
_OF_SYSTEMD = frozenset({"Restart", "RestartSec", "TimeoutStopSec", "SuccessExitStatus", "SyslogIdentifier"})


class Kind(StrEnum):
    MISSING = "missing"
    DIFFERS = "differs"


class SettingDrift(msgspec.Struct, frozen=True):
    """One setting. `there`, `wanted`: None where it is not set; of a secret neither is told. `extra`: made by hand, no template has it."""

    key: str
    there: str | None = None
    wanted: str | None = None
    secret: bool = False

    @property
    def extra(self) -> bool:
        return self.wanted is None

    def __str__(self) -> str:
        if self.secret:
            what = "not set" if self.there is None else "made by hand" if self.extra else "differs"
            return f"{self.key} {what}, a secret"
        if self.there is None:
            return f"{self.key} not set → {self.wanted}"
        if self.extra:
            return f"{self.key}{'=' if self.there else ''}{self.there} made by hand"
        return f"{self.key} {self.there} → {self.wanted}" if self.there else f"{self.key} → {self.wanted}"


class FileDrift(msgspec.Struct, frozen=True):
    """What differs of one file (or of the unit, or the release). `restart`: whether the server must be restarted for it to count.

    `diff`: lines of a unified diff, secrets hidden; of zoo.cfg and jvm_flags by setting, in the order of their names.
    """

    file: str
    kind: Kind
    restart: bool
    settings: tuple[SettingDrift, ...] = ()
    diff: tuple[str, ...] = ()
    note: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """What templates and variables say of one host, sealed with the seal of what lies there.

    `unit`: None where it is not ours to write. `release`: empty where the inventory names none.
    `stands_in`: files whose absence zkprov makes up for when it starts the server.
    """

    files: dict[str, str]
    unit: str | None = None
    release: str = ""
    stands_in: frozenset[str] = frozenset()


def drift_of(wanted: Wanted, there: Installed, *, running: str = "") -> tuple[FileDrift, ...]:
    """Every difference, zoo.cfg first. `running`: the release that the server says, empty where it does not.

    Files that could not be read (`there.unread`) are left out: what is unknown is no difference.
    """
    return tuple(_drifts(wanted, there, running))


def _drifts(wanted: Wanted, there: Installed, running: str) -> Iterator[FileDrift]:
    for name in (ZOO_CFG, FLAGS, JAAS, LOGBACK, MY_ID):
        if name not in wanted.files or name in there.unread:
            continue
        want, found = wanted.files[name], there.files.get(name)
        if found is not None:
            yield from _compared(name, want, found, flags_of_process=there.flags_of_process)
        elif name not in wanted.stands_in and (name != FLAGS or flags_in(want)):
            lines = tuple(shown(name, want).splitlines())
            yield FileDrift(name, Kind.MISSING, True, diff=tuple(_diff(name, (), lines)))
    if wanted.unit is not None and there.unit is not None and not there.unit.problem:
        if not there.unit.path:
            diff = tuple(_diff(UNIT, (), tuple(shown(UNIT, wanted.unit).splitlines())))
            yield FileDrift(UNIT, Kind.MISSING, True, diff=diff)
        elif there.unit.text is not None:
            yield from _unit(wanted.unit, there.unit.text)
    yield from _release(wanted, there, running)


def _compared(name: str, want: str, found: str, *, flags_of_process: bool) -> Iterator[FileDrift]:
    if name == ZOO_CFG:
        yield from _zoo_cfg(want, found)
    elif name == FLAGS:
        differ = tuple(_differences(flags_in(found), flags_in(want)))
        note = "no such file: compared is what the server was started with" if flags_of_process else ""
        if differ:
            sorted_ = ("\n".join(sorted(_lines(text))) for text in (found, want))
            yield FileDrift(name, Kind.DIFFERS, True, differ, _by_text(name, *sorted_), note)
    elif name == LOGBACK:
        if _lines(want) != _lines(found):
            scans = re.search(r"<configuration\b[^>]*\bscan\s*=\s*[\"']true[\"']", found) is not None
            note = "it is read again while the server runs" if scans else ""
            yield FileDrift(name, Kind.DIFFERS, not scans, (), _by_text(name, found, want), note)
    elif name == JAAS:
        if differ := tuple(_differences(_users(found), _users(want))):
            yield FileDrift(name, Kind.DIFFERS, True, differ, _by_setting(name, _users(found), _users(want)))
    elif want.strip() != found.strip():
        yield FileDrift(name, Kind.DIFFERS, True, (SettingDrift(MY_ID, found.strip()[:40], want.strip()),))


def _users(text: str) -> dict[str, str]:
    """`Server.user_kafka` → its sealed password; every one of them a secret, by its name."""
    found = {}
    for section, entries in jaas.sections_of(text).items():
        for entry in entries:
            found[f"{section}.module"] = entry.module
            found |= {f"{section}.{key}{' (password)' * (key != 'username')}": v for key, v in entry.options.items()}
    return found


def _zoo_cfg(want: str, found: str) -> Iterator[FileDrift]:
    try:
        before = settings_in(found)
    except BadInput as bad:
        yield FileDrift(ZOO_CFG, Kind.DIFFERS, True, note=f"{bad.place}: {bad.problem}")
        return
    after = settings_in(want)
    if differ := tuple(_differences(before, after)):
        yield FileDrift(ZOO_CFG, Kind.DIFFERS, True, differ, _by_setting(ZOO_CFG, before, after))


def settings_in(text: str) -> dict[str, str]:
    """What ZooKeeper reads from a zoo.cfg, but for membership. Raises `BadInput`."""
    found = scan_zoo_cfg(text, ZOO_CFG).settings
    return {k: v.lower() if k in BOOLEANS else v for k, v in found.items() if k not in _ITS_OWN}


def flags_in(text: str) -> dict[str, str]:
    """Flag → value, of equal ones the last, as Java takes them from a file of arguments: `-Dname` → value, `-Xmx` → 512m, `-XX:+Name`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        flag = line.strip()
        if not flag or flag.startswith("#"):
            continue
        if switch := re.fullmatch(r"-XX:([+-])(\w+)", flag):
            found[f"-XX:{switch[2]}"] = "on" if switch[1] == "+" else "off"
        elif sized := re.fullmatch(r"(-X(?:mx|ms|mn|ss))(\w+)", flag):
            found[sized[1]] = sized[2]
        else:
            key, equals, value = flag.partition("=")
            found[key] = value if equals else ""
    return found


def _differences(there: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[SettingDrift]:
    """In the order of what is wanted; what is extra comes last."""
    for key in (*wanted, *(k for k in there if k not in wanted)):
        before, after = there.get(key), wanted.get(key)
        if before == after:
            continue
        if is_secret(key):
            yield SettingDrift(key, None if before is None else HIDDEN, None if after is None else HIDDEN, True)
        else:
            yield SettingDrift(key, before, after)


def _by_setting(name: str, there: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[str, ...]:
    """A diff of settings, each with its own line; a secret that changes is seen to change."""

    def lines(one: Mapping[str, str], other: Mapping[str, str], hidden: str) -> tuple[str, ...]:
        secret = {k: hidden if other.get(k) != one[k] else HIDDEN for k in one if is_secret(k)}
        return tuple(f"{k}={secret.get(k, one[k])}" for k in sorted(one))

    return tuple(_diff(name, lines(there, wanted, HIDDEN), lines(wanted, there, f"{HIDDEN[:-1]}, another)")))


def _by_text(name: str, there: str, wanted: str) -> tuple[str, ...]:
    before, after = (tuple(shown(name, text).splitlines()) for text in (there, wanted))
    return tuple(_diff(name, before, after))


def _diff(name: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    return unified_diff(before, after, f"now/{name}", f"wanted/{name}", lineterm="")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _unit(want: str, found: str) -> Iterator[FileDrift]:
    before, after = unit_settings(found), unit_settings(want)
    differ = tuple(_differences(before, after))
    if differ:
        restart = any(_needs_restart(d.key) for d in differ)
        told = tuple(msgspec.structs.replace(d, there=_brief(d.there), wanted=_brief(d.wanted)) for d in differ)
        yield FileDrift(UNIT, Kind.DIFFERS, restart, told, _by_text(UNIT, found, want))


def unit_settings(text: str) -> dict[str, str]:
    """`Service.ExecStart` → its value; values of one name are joined. Comments do not count, a line that goes on is one."""
    found: dict[str, str] = {}
    section = ""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        written = line.strip()
        if not written or written[0] in "#;":
            continue
        if written[0] == "[":
            section = written.strip("[]")
            continue
        key, _, value = written.partition("=")
        name = f"{section}.{key.strip()}"
        value = " ".join(value.split())
        found[name] = f"{found[name]}; {value}" if name in found else value
    return found


def _needs_restart(name: str) -> bool:
    section, _, key = name.partition(".")
    return section == "Service" and key not in _OF_SYSTEMD


def _brief(value: str | None) -> str | None:
    """A command line is for the diff."""
    if value is None:
        return None
    told = unsealed(value)
    return told if len(told) <= 60 else told[:59] + "…"


def _release(wanted: Wanted, there: Installed, running: str) -> Iterator[FileDrift]:
    want = wanted.release or there.current
    if not want:
        return
    differ = []
    if there.current and there.current != want:
        differ.append(SettingDrift("current", there.current, want))
    if running and Release.read(running) != Release.read(want):
        differ.append(SettingDrift("running", running, want))
    if differ:
        laid = not there.releases or want in there.releases
        yield FileDrift(
            RELEASE, Kind.DIFFERS, True, tuple(differ), note="" if laid else f"{want} does not lie there yet"
        )
