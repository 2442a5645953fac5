"""`completion`: what a shell asks zkprov while a person types; and the names of an inventory's hosts, where they are cheap to read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click

_MAX_BYTES = 1_000_000
_INI_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)(\s+[^\s=]+=|\s*(#|$))")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and the names of hosts.

    \b
    bash   eval "$(zkprov completion bash)"        in ~/.bashrc
    zsh    eval "$(zkprov completion zsh)"         in ~/.zshrc, after compinit
    fish   zkprov completion fish | source         in ~/.config/fish/config.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from zkprov.cli import zkprov

    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 — click knows these three
    # not the class's own: bash's asks bash for its version, and prints about it
    click.echo(ShellComplete.source(made(zkprov, {}, "zkprov", "_ZKPROV_COMPLETE")))


def hosts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names and written ids of the inventory's hosts, as its files have them: Ansible would take half a second to say it."""
    given = ctx.find_root().params
    path = ctx.params.get("inventory") or given.get("inventory") or os.environ.get("ZKPROV_INVENTORY")
    group = ctx.params.get("ensemble") or given.get("ensemble") or os.environ.get("ZKPROV_ENSEMBLE") or ""
    try:
        if not path:
            from zkprov.lab import default_lab

            lab = default_lab()
            path = lab.inventory_path if lab else None
        found = _hosts_of(Path(path), group) if path else {}
    except Exception:
        # whatever is wrong with an inventory is for the command to say, not for a key that was pressed
        return []
    typed = {str(w) for given in ctx.params.values() for w in (given if isinstance(given, tuple | list) else [given])}
    words = (word for name, server_id in found.items() for word in (name, server_id) if word)
    return [word for word in words if word.startswith(incomplete) and word not in typed]


def _hosts_of(path: Path, group: str) -> dict[str, str]:
    """Host → its id where one is written, else an empty text. Of `group` only, where it has hosts there."""
    found: dict[str, dict[str, str]] = {}
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if not file.is_file() or os.access(file, os.X_OK) or file.stat().st_size > _MAX_BYTES:
            continue
        entries = _of_yaml(file) if file.suffix in (".yml", ".yaml", ".json") else _of_ini(file)
        for of, host, server_id in entries:
            found.setdefault(of, {})[host] = server_id
    return found.get(group) or {host: server_id for of in found.values() for host, server_id in of.items()}


def _of_yaml(file: Path) -> Iterator[tuple[str, str, str]]:
    import yaml

    def walk(name: str, group: object) -> Iterator[tuple[str, str, str]]:
        if not isinstance(group, dict):
            return
        for host, variables in (group.get("hosts") or {}).items():
            said = variables.get("zkprov_id", "") if isinstance(variables, dict) else ""
            yield name, str(host), str(said)
        for child, of in (group.get("children") or {}).items():
            yield from walk(str(child), of)

    for name, group in (yaml.safe_load(file.read_text()) or {}).items():
        yield from walk(str(name), group)


def _of_ini(file: Path) -> Iterator[tuple[str, str, str]]:
    group, lists_hosts = "ungrouped", True
    for line in file.read_text().splitlines():
        if section := re.fullmatch(r"\s*\[([^\]:]+)(:\w+)?\]\s*", line):
            group, lists_hosts = section[1], section[2] is None
        elif lists_hosts and (host := _INI_HOST.match(line)):
            said = re.search(r"\bzkprov_id=(\d+)", line)
            yield group, host[1], said[1] if said else ""
