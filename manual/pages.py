"""A hook of mkdocs: pages that are made from the code each time the documentation is built, so that none of them is ever stale."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # mkdocs runs a hook as a file of its own

from manual import variables  # noqa: E402
from zkprov.cli import manual  # noqa: E402

COMMANDS = "commands/index.md"


def made() -> dict[str, str]:
    """Path below docs/ → Markdown."""
    everything = list(manual.commands())
    pages = {COMMANDS: _overview(everything), "variables.md": variables.page()}
    for command in everything[1:]:
        name = f"commands/{command.path[0]}.md"
        pages[name] = pages.get(name, "") + "\n".join(_section(command)) + "\n"
    return pages


def on_config(config: Any) -> Any:
    """The commands' pages stand in the navigation, whose entry `commands/` they take."""
    names = dict.fromkeys(command.path[0] for command in manual.commands() if command.path)
    own = [{"All commands": COMMANDS}, *({f"zkprov {name}": f"commands/{name}.md"} for name in names)]
    config.nav = _put(config.nav, own)
    return config


def _put(nav: Any, own: list[Any]) -> Any:
    if isinstance(nav, list):
        return [_put(entry, own) for entry in nav]
    if isinstance(nav, dict):
        return {title: _put(below, own) for title, below in nav.items()}
    return own if nav == "commands/" else nav


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for name, text in made().items():
        files.append(File.generated(config, name, content=text))
    return files


def _overview(everything: list[manual.Command]) -> str:
    root = everything[0]
    out = [
        "# Commands",
        "",
        f"```\n{root.usage}\n```",
        "",
        *_prose(root.text),
        "| command | what it does |",
        "|---|---|",
    ]
    out += [f"| [`zkprov {name}`]({name}.md) | {_plain(text)} |" for name, text in root.commands]
    out += ["", "The same is in the manual page, `man zkprov`, and with each command's `--help`.", ""]
    out += [
        "## Options of all of them",
        "",
        *_options(root),
        "## Environment",
        "",
        "| variable | meaning |",
        "|---|---|",
    ]
    out += [f"| `{name}` | {_plain(text)} |" for name, text in manual.ENVIRONMENT.items()]
    return "\n".join(out) + "\n"


def _section(command: manual.Command) -> Iterator[str]:
    yield from (f"{'#' * min(len(command.path), 3)} {command.name}", "", f"```\n{command.usage}\n```", "")
    yield from _prose(command.text)
    yield from _options(command)


def _prose(text: tuple[str, ...]) -> Iterator[str]:
    for paragraph in text:
        if paragraph.startswith("\b"):
            yield "```\n" + "\n".join(line.strip() for line in paragraph.lstrip("\b\n").splitlines()) + "\n```\n"
        else:
            yield _plain(" ".join(paragraph.split())) + "\n"


def _options(command: manual.Command) -> Iterator[str]:
    for option, text in command.options:
        yield f"`{option}`\n:   {_plain(text) or '&nbsp;'}\n"


def _plain(text: str) -> str:
    """Text in which nothing is taken for Markdown, and each rule leads to where it stands."""
    parts = re.split(r"(`[^`]+`)", text)
    escaped = [part if part.startswith("`") else _escaped(part) for part in parts]
    return re.sub(
        r"\bR(1[0-2]|[1-9])\b", lambda rule: f"[{rule[0]}](../rules.md#{_anchors()[rule[0]]})", "".join(escaped)
    )


@cache
def _anchors() -> dict[str, str]:
    """`R2` → where docs/rules.md has it."""
    headings = re.findall(r"^## ((R\d+): .*)$", (ROOT / "docs/rules.md").read_text(), re.MULTILINE)
    return {rule: re.sub(r"\W+", "-", heading.lower()) for heading, rule in headings}


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_\[\]|])", r"\\\1", text.replace("<", "&lt;").replace(">", "&gt;"))
