"""The documentation as it is built: strictly, whole, and of no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from manual import variables
from tests.unit.facts_made import healthy
from zkprov.cli import manual
from zkprov.observe.host_variables import VARIABLES
from zkprov.report.documents import status_document
from zkprov.report.watching import metrics

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """`loaded`: what a browser fetches for it; `text`: what a person reads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and not {"next", "prev", "canonical"} & {*given.get("rel", "").split()}:
            self.loaded.append(given.get("href", ""))
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if name in given and tag != "a"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def site(tmp_path: Path) -> Path:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tmp_path / "site"


def test_the_documentation_is_whole(site: Path) -> None:
    """One test, since building takes seconds."""
    no_page_needs_another_host(site)
    every_command_and_option_has_its_place(site)
    every_variable_has_its_place(site)


def page(site: Path, name: str) -> Page:
    return Page((site / name / "index.html").read_text())


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def no_page_needs_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for path in pages:
        abroad = [address for address in Page(path.read_text()).loaded if re.match(r"(\w+:)?//", address)]
        assert not abroad, (path, abroad)
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text()), path
    assert (site / "search/search_index.json").is_file()


def every_command_and_option_has_its_place(site: Path) -> None:
    for command in manual.commands():
        told = page(site, "/".join(("commands", *command.path[:1])))
        assert squeezed(command.usage) in squeezed(told.text), command.name
        for option, text in command.options:
            assert squeezed(option) in squeezed(told.text), (command.name, option)
            assert squeezed(text.replace("`", "")) in squeezed(told.text), (command.name, option)


def every_variable_has_its_place(site: Path) -> None:
    told = page(site, "variables").text
    assert not [name for name in VARIABLES if name not in told]
    rows = {v.name: v for _, of in variables.variables() for v in of}
    assert rows["zkprov_client_port"].default == "`2181`" and rows["zkprov_tunnel"].default == "`false`"
    assert rows["zkprov_key_store"].default == "none" and rows["zkprov_role"].default == "`participant`"
    assert all(row.kind and row.meaning for row in rows.values())


def test_no_variable_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables.host_variables, "VARIABLES", VARIABLES | {"zkprov_new"})
    with pytest.raises(KeyError, match="zkprov_new"):
        list(variables.variables())


def test_no_page_names_a_variable_that_there_is_not() -> None:
    more = {"zkprov_start", "zkprov_phase", "zkprov_backup_name", "zkprov_host"}  # of plays, and of names cut short
    playbooks = (ROOT / "zkprov/shipped/playbooks/roles/zkprov/defaults/main.yml").read_text()
    figures = metrics(status_document(healthy(3).health()), 0.0).decode()
    more |= set(re.findall(r"^# TYPE (\w+)", figures, re.MULTILINE))
    known = VARIABLES | more | set(re.findall(r"^(zkprov_\w+):", playbooks, re.MULTILINE))
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        named = set(re.findall(r"\bzkprov_[a-z0-9_]*[a-z0-9]\b", path.read_text()))
        assert named <= known, (path.name, named - known)


@pytest.mark.parametrize("number", range(1, 13))
def test_every_rule_has_its_reason_and_source(number: int) -> None:
    section = re.search(
        rf"^## R{number}: [^\n]+\n(.*?)(?=^## |\Z)", (ROOT / "docs/rules.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert section
    text = squeezed(section[1])
    assert re.search(r"\*Why\.\* .{60}", text), "the reason"
    assert re.search(r"\*Source\.\* .*(measured|read|documentation|ZOOKEEPER-\d+|brute force)", text), "the source"
    assert f"R{number} " in (ROOT / "docs/design.md").read_text()


def test_commands_that_pages_show_exist() -> None:
    """Of each `zkprov …` in a block or in backticks the words are commands, and the options theirs."""
    known = {
        command.path: {o for option, _ in command.options for o in OPTION.findall(option)}
        for command in manual.commands()
    }
    seen = 0
    for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for line in re.findall(r"(?:^|[`$(| ])zkprov ((?:[a-z-]+|-i|-E)\b[^`#\n]*)", code(path.read_text())):
            words = re.split(r"\s{2,}|[;|&)]", line)[0].split()
            while words[:1] in (["-i"], ["-E"]):
                words = words[2:]
            words = [word.rstrip(":,.") for word in words]
            name = max((tuple(words[:n]) for n in range(3) if tuple(words[:n]) in known), key=len)
            if words and not words[0].startswith("-"):
                assert name, f"{path.name}: zkprov {line}"
            # `plan $CHANGE`: of all that may stand there
            own = known[()].union(*(options for of, options in known.items() if of[: len(name)] == name))
            used = {word for word in words if OPTION.fullmatch(word)}
            assert used <= own, f"{path.name}: zkprov {line}: {used - own}"
            seen += 1
    assert seen > 150


OPTION = re.compile(r"--[a-z][\w-]*")


def test_exit_codes_are_told_alike() -> None:
    for path in (ROOT / "README.md", ROOT / "docs/exit-codes.md"):
        told = dict(re.findall(r"^\| (\d+) \| ([^|]*) \|", path.read_text(), re.MULTILINE))
        for number, text in manual.EXIT_CODES.items():
            if number < 10:
                assert text[:20].lower() == told[str(number)][:20].lower(), (path.name, number)


def test_every_variable_of_the_environment_is_told() -> None:
    files = [path for path in (ROOT / "zkprov").rglob("*.py") if "shipped" not in path.parts]
    read = {name for path in files for name in re.findall(r"\b(?:ZKPROV|XDG)_[A-Z_]+", path.read_text())}
    ours = {"ZKPROV_VALUES", "ZKPROV_PLAY", "ZKPROV_HOST", "ZKPROV_PHASE", "ZKPROV_RUN"}
    assert read - ours == set(manual.ENVIRONMENT)


def code(text: str) -> str:
    """Blocks and what stands in backticks, a line each, without comments."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\s#\s.*", "", "\n".join([*blocks, *re.findall(r"`[^`\n]+`", rest)]))
