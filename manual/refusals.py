"""Every refusal, gate and rule-bound error that the code can make, read out of the code itself: what docs/refusals.md has to have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

CODE = Path(__file__).resolve().parent.parent / "zkprov"
ANY = "…"
"""What stands in a headline for whatever is filled in."""

_KINDS = {"Refusal": (0, 1), "Reason": (0, 1), "Violation": (0, 2)}
"""Class → the places of its rule and its words."""
_PROBLEMS = dict.fromkeys(
    ("BadInput", "NotHealthy", "Unsafe", "Stale", "Busy", "Interrupted", "NotSwitchable", "ValueError"), 0
)
_PROBLEMS["GateResult"] = 2
"""Class → the place of its words; those are told in which a rule is named. (What is wrong with a variable is a ValueError first.)"""
_GATES = ("GateResult", "weighed")
_RULE = re.compile(r"\bR(1[0-2]|[1-9])\b")


class Told(NamedTuple):
    """`rule`: `R4`, or empty where none is named; `words`: with `…` for what is filled in; `place`: where the code has it."""

    rule: str
    words: str
    place: str


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def refusals() -> list[Told]:
    """Of plans, of `ok-to-…`, of rendered files, and errors that name a rule."""
    found: list[Told] = []
    for file in sorted(CODE.rglob("*.py")):
        if "shipped" not in file.parts and re.search(r"\b(Refusal|Reason|Violation)\(|\bR\d", file.read_text()):
            found += _of(file)
    return found


@cache
def gates() -> set[str]:
    """The names of all gates."""
    found = set[str]()
    for file in sorted((CODE / "judge").glob("*.py")):
        for call, scope in _calls(_tree(file)):
            if _name(call) in _GATES and (given := _argument(call, 0, "gate")):
                found.update(words for words in _texts(given, scope, file) if ANY not in words)
    return found


def _of(file: Path) -> Iterator[Told]:
    for call, scope in _calls(_tree(file)):
        name, place = _name(call), f"{file.relative_to(CODE.parent)}:{call.lineno}"
        if name in _KINDS:
            rule_at, words_at = _KINDS[name]
            rule = _argument(call, rule_at, "rule")
            words = _argument(call, words_at, "headline")
            if rule is None or words is None:
                continue
            for text in _texts(words, scope, file):
                for number in _texts(rule, scope, file):
                    yield Told(number if _RULE.fullmatch(number) else "", _trimmed(text), place)
        elif name in _PROBLEMS and (given := _argument(call, _PROBLEMS[name], "summary")):
            for text in _texts(given, scope, file):
                if named := _RULE.search(text):
                    yield Told(named[0], _trimmed(text), place)


def _trimmed(text: str) -> str:
    return re.sub(rf"{ANY}(\s*{ANY})+", ANY, text).strip().removesuffix(".")


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Each call with the function that it is in, or the module."""

    def walk(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.Call, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, scope
            yield from walk(child, child if isinstance(child, ast.FunctionDef) else scope)

    yield from walk(tree, tree)


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _argument(call: ast.Call, number: int, keyword: str) -> ast.expr | None:
    given = next((k.value for k in call.keywords if k.arg == keyword), None)
    return given or (call.args[number] if number < len(call.args) else None)


def _texts(node: ast.expr, scope: ast.AST, file: Path) -> list[str]:
    """All that an expression may come to: constants, f-strings, either side of an `if`, and what a name was set to."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            found = [""]
            for value in values:
                chosen = _chosen(value) or [str(value.value) if isinstance(value, ast.Constant) else ANY]
                found = [text + one for text in found for one in chosen]
            return found
        case ast.IfExp(body=body, orelse=orelse):
            return _texts(body, scope, file) + _texts(orelse, scope, file)
        case ast.Name(id=name):
            return _set_to(name, node.lineno, scope, file) or [ANY]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one + other for one in _texts(left, scope, file) for other in _texts(right, scope, file)]
    return [ANY]


def _chosen(value: ast.expr) -> list[str]:
    """The two words that an f-string has one of."""
    if isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.IfExp):
        either = (value.value.body, value.value.orelse)
        return [one.value for one in either if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return []


def _set_to(name: str, line: int, scope: ast.AST, file: Path) -> list[str]:
    """What a name was set to last before that line, in the function or else in the module."""
    for tree in (scope, _tree(file)):
        set_there = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
        ]
        before = [node for node in set_there if node.lineno < line and not _mentions(node.value, name)]
        if before:
            return _texts(max(before, key=lambda node: node.lineno).value, scope, file)
    return []


def _mentions(node: ast.expr, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))
