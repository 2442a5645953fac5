"""YAML as values, with the line of each: no anchors, no tags, no key twice, and only what YAML 1.2 takes for no text is no text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from zkprov.model.problems import BadInput

LARGEST = 256 * 1024
DEEPEST = 20
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_PLAIN = {"": None, "~": None, "null": None, "true": True, "false": False}

Path_ = tuple[str | int, ...]


class Text:
    """A file's value, and where each part of it stands. A path is the keys and numbers that lead to a part."""

    def __init__(self, name: str, value: Any, lines: dict[Path_, int], digest: str = "") -> None:
        self.name, self.value, self._lines, self.digest = name, value, lines, digest

    def place(self, *path: str | int) -> str:
        """`file:line: steps[2].restart` of the part at `path`, or of the nearest one around it."""
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        shown = "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
        return f"{self.name}:{self._lines.get(known, 1)}" + (f": {shown}" if shown else "")


def read(path: Path) -> Text:
    """Raises `BadInput` with file, line and remedy for whatever is no such YAML."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as wrong:
        raise BadInput(
            f"cannot be read: {wrong.strerror}", place=str(path), remedy="name a file that can be read"
        ) from None
    if len(data) > LARGEST:
        raise BadInput(
            f"more than {LARGEST // 1024} kB: not a runbook", place=str(path), remedy="split it into several"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        raise BadInput(f"not UTF-8 (byte {wrong.start})", place=str(path), remedy="save it as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Text:
    """As `read`, of text that is there already."""
    lines: dict[Path_, int] = {}
    try:
        documents = list(_documents(text, name))
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None) or getattr(wrong, "context_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        what = str(getattr(wrong, "problem", None) or wrong).splitlines()[0]
        raise BadInput(f"not YAML: {what}", place=f"{name}{line}", remedy="correct that line") from None
    except RecursionError:
        raise BadInput(
            f"more than {DEEPEST} levels deep", place=name, remedy="a runbook has five at the most"
        ) from None
    if len(documents) != 1 or documents[0] is None:
        raise BadInput(
            "empty" if not documents or documents[0] is None else "more than one document",
            place=name,
            remedy="a runbook is one document: see runbooks/ for examples",
        )
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Text(name, _value(documents[0], name, (), lines), lines, digest)


def _documents(text: str, name: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            place = f"{name}:{event.start_mark.line + 1 if event.start_mark else 1}"
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadInput("an anchor, or an alias of one", place=place, remedy="write it out, or use parameters")
            if tag := getattr(event, "tag", None):
                raise BadInput(f"a tag, {tag}", place=place, remedy="write the value without it")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise BadInput(f"more than {DEEPEST} levels deep", place=place, remedy="a runbook has five at the most")
        while loader.check_node():
            yield loader.get_node()
    finally:
        loader.dispose()


def _value(node: Any, name: str, path: Path_, lines: dict[Path_, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, name, (*path, i), lines) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in node.value:
            place = f"{name}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise BadInput("a key that is no text", place=place, remedy="write `key: value`")
            if key.value in found:
                raise BadInput(f"`{key.value}` twice", place=place, remedy="keep one of them")
            lines[(*path, key.value)] = key.start_mark.line + 1
            found[key.value] = _value(item, name, (*path, key.value), lines)
        return found
    return _scalar(node.value) if node.style is None else node.value


def _scalar(text: str) -> Any:
    """Of a plain scalar. `no`, `1:30` and dates are text: YAML 1.1 would have made them something else."""
    if text in _PLAIN:
        return _PLAIN[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
