"""What `plan configure` shows, in full: as an operator would read it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cases.cases import check
from tests.cases.surveys import WORDS, survey_of
from tests.unit.facts_made import host
from zkprov.judge.drift import Wanted
from zkprov.model.facts import Fact, Outcome
from zkprov.model.hiding import Seal
from zkprov.model.installed import Installed, InstalledUnit
from zkprov.plan.configure import Seen, configure_plan
from zkprov.report.drift import drift_document, show

FILES = sorted((Path(__file__).parent / "drift").glob("*.txt"))
SEAL = Seal(b"one command's")
TEXTS = {
    "zoo.cfg": "tickTime=2000\nsyncLimit=5\nDigestAuthenticationProvider.superDigest=super:c4nary\n",
    "jvm_flags": "-Xmx1g\n-Dzookeeper.extendedTypesEnabled=true\n",
    "logback.xml": '<configuration>\n  <root level="WARN"/>\n</configuration>\n',
    "unit": "[Unit]\nDescription=ZooKeeper\n[Service]\nExecStart=/usr/bin/java -Xmx1g Main\nRestartSec=10\n",
}


class Side:
    """Files of one host, changed word by word: `name=value` sets a line, `-name` takes one out, `+text` adds one, `gone` the file."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = dict(texts)

    def change(self, file: str, words: list[str]) -> None:
        lines = self.texts.get(file, "").splitlines()
        for word in words:
            if word == "gone":
                self.texts.pop(file, None)
                return
            if word == "reversed":
                lines.reverse()
            elif word.startswith("+"):
                lines.append(word[1:].replace("_", " "))
            elif word.startswith("--") or (word.startswith("-") and "=" not in word):
                lines = [x for x in lines if not x.startswith(word[1:])]
            else:
                key = word.partition("=")[0]
                lines = [word if x.partition("=")[0] == key else x for x in lines]
        self.texts[file] = "".join(f"{x}\n" for x in lines)


class Scene:
    """`zk2 there zoo.cfg tickTime=3000`, `zk2 wanted …`, `zk2 release 3.9.6`, `zk2 unreached no answer in time`, `zk2 bare`, …"""

    def __init__(self, names: list[str]) -> None:
        base = {n: {**TEXTS, "myid": n.removeprefix("zk") + "\n"} for n in names}
        self.there = {n: Side(base[n]) for n in names}
        self.wanted = {n: Side(base[n]) for n in names}
        self.more: dict[str, dict[str, Any]] = {n: {} for n in names}

    def say(self, name: str, word: str, rest: list[str]) -> None:
        if word in ("there", "wanted"):
            getattr(self, word)[name].change(rest[0], rest[1:])
        else:
            self.more[name][word] = " ".join(rest)

    def seen(self, name: str, made: Any) -> Seen:
        more = self.more[name]
        entry = host(int(name.removeprefix("zk")), **({"id": int(more["id"])} if "id" in more else {}))
        member = next((s for s in made.live.servers if entry.is_server(s)), None)
        facts = next((s for s in made.servers if s.name == name), None)
        there, wanted = (
            {file: SEAL.text(file, text) for file, text in side[name].texts.items()}
            for side in (self.there, self.wanted)
        )
        text = there.pop("unit", None)
        unit = InstalledUnit("" if text is None else "/etc/systemd/system/zookeeper.service", text)
        unit = msgspec.structs.replace(unit, drop_ins=tuple(more.get("drop-in", "").split()), stale="stale" in more)
        installed = Installed(
            there, unit=unit, current=more.get("current", "3.9.5"), releases=("3.9.5", more.get("laid", "3.9.5"))
        )
        if "unread" in more:
            file, _, why = more["unread"].partition(" ")
            there.pop(file)
            installed = msgspec.structs.replace(installed, unread={file: why})
        if "bare" in more:
            installed = Installed({})
        fact = Fact("installed", Outcome.OK, installed)
        if "unreached" in more:
            fact = Fact("installed", Outcome.TIMEOUT, detail=more["unreached"])
        refused = (more["refused"],) if "refused" in more else ()
        release = more.get("release", "3.9.5")
        meant = None if refused else Wanted(wanted, wanted.pop("unit", None), release)
        return Seen(entry, member, facts, fact, meant, refused)


def compared(lines: tuple[str, ...]) -> str:
    """Survey, then what differs on hosts, then `configure` with `diff` or `hosts zk1 zk2`."""
    *given, last = lines
    survey = [x for x in given if x.split()[0] in WORDS]
    made = survey_of(tuple(survey))
    words = last.split()
    names = sorted({f"zk{i}" for i in made.live.ids} | {x.split()[0] for x in given if x not in survey})
    scene = Scene(names)
    for line in given:
        if line not in survey:
            name, word, *rest = line.split()
            scene.say(name, word, rest)
    hosts = [host(int(n.removeprefix("zk"))) for n in names if n not in words]
    drift = configure_plan(made.health(), [scene.seen(h.name, made) for h in hosts], hosts=hosts)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        show(drift_document(drift), diff="diff" in words)
    assert "c4nary" not in out.getvalue() and "c4nary" not in repr(drift)
    return "\n".join(x.rstrip() for x in out.getvalue().splitlines() if x.strip())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_shown(file: Path) -> None:
    check(file, compared)


def test_there_are_cases() -> None:
    assert len(FILES) >= 2
