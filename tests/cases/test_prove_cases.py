"""What `zkprov prove DIR` prints, in full, for folders that are written out file by file; and how it exits.

A line of a case is a server's folder: `zk1 1 {1,2,3}` (its id, and the list in its zoo.cfg). A list may have observers
(`+4o`), groups (`{1,2|3,4}`), weights (`*5:2`) and a version (`@500000003`): then it lies in a dynamic file. More words: `next LIST`,
`empty` (a `version-2` with nothing in it), `initialize`, any `key=value` of zoo.cfg, `-myid` and the like (without that file),
`FILE:TEXT` (a file with that text instead). The last line is the command.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cases.cases import check
from zkprov.cli.prove import prove
from zkprov.model.problems import Problem

FILES = sorted((Path(__file__).parent / "prove").glob("*.txt"))
LIST = re.compile(r"\{(?P<voters>[\d,|]*)\}(?P<observers>(\+\d+o)*)(?P<weights>(\*\d+:\d+)*)(@(?P<version>[0-9a-f]+))?")


def lines_of(text: str) -> tuple[list[str], str | None]:
    """(lines of the list, version or None)."""
    found = LIST.fullmatch(text)
    assert found, text
    groups = [[int(i) for i in g.split(",") if i] for g in found["voters"].split("|")]
    voters = sorted(i for g in groups for i in g)
    observers = [int(i) for i in re.findall(r"\+(\d+)o", found["observers"])]
    lines = [f"server.{i}=zk{i}:2888:3888:participant;2181" for i in voters]
    lines += [f"server.{i}=zk{i}:2888:3888:observer;2181" for i in observers]
    if len(groups) > 1:
        lines += [f"group.{n}={':'.join(map(str, g))}" for n, g in enumerate(groups, 1)]
    lines += [f"weight.{i}={w}" for i, w in re.findall(r"\*(\d+):(\d+)", found["weights"])]
    return lines, found["version"]


def write_server(root: Path, line: str) -> None:
    name, *words = shlex.split(line)
    folder = root / name
    folder.mkdir()
    settings = {"tickTime": "2000", "initLimit": "10", "syncLimit": "5", "dataDir": "/var/lib/zookeeper"}
    lists, files, gone = list[str](), dict[str, str](), list[str]()
    listed: list[str] = []
    while words:
        word = words.pop(0)
        if word.isdecimal():
            files["myid"] = word + "\n"
        elif word == "next":
            following, version = lines_of(words.pop(0))
            files["zoo.cfg.dynamic.next"] = "\n".join([*following, f"version={version}"]) + "\n"
        elif word == "empty":
            (folder / "version-2").mkdir()
        elif word == "initialize":
            files["initialize"] = ""
        elif word.startswith("{"):
            listed, version = lines_of(word)
            if version is not None:
                settings["reconfigEnabled"] = "true"
                settings["dynamicConfigFile"] = f"/etc/zookeeper/zoo.cfg.dynamic.{version}"
                files[f"zoo.cfg.dynamic.{version}"] = "\n".join(listed) + "\n"
            else:
                lists = listed
        elif word.startswith("-"):
            gone.append(word[1:])
        elif ":" in word:
            file, _, text = word.partition(":")
            files[file] = text.replace("\\n", "\n")
        else:
            key, _, value = word.partition("=")
            settings[key] = value
    files.setdefault("zoo.cfg", "\n".join([*(f"{k}={v}" for k, v in settings.items()), *lists]) + "\n")
    for file, text in files.items():
        if file not in gone:
            (folder / file).write_text(text)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_printed(file: Path, tmp_path: Path) -> None:
    number = 0

    def run(lines: tuple[str, ...]) -> str:
        nonlocal number
        number += 1
        root = tmp_path / str(number)
        root.mkdir()
        *servers, command = lines
        for line in servers:
            write_server(root, line)
        word, *options = shlex.split(command)
        assert word == "prove"
        result = CliRunner().invoke(prove, [str(root), *options])
        if isinstance(result.exception, Problem):
            return f"exit {result.exception.exit_code}\n{result.exception}".replace(str(root), "DIR")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        printed = re.sub('"took_s": [0-9.e-]+', '"took_s": 0', result.output.replace(str(root), "DIR"))
        return f"exit {result.exit_code}\n{printed}"

    check(file, run)


def test_there_are_cases() -> None:
    assert len(FILES) >= 5
