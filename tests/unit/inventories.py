"""Inventories written for a test, a cache of its own for each, and why one is refused."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from zkprov.model.problems import BadInput, BadInputs
from zkprov.observe import ansible_inventory
from zkprov.observe.ansible_inventory import Listing
from zkprov.observe.inventory import inventory_of, read_inventory

THREE = """
[kafka_zk]
zk1 zkprov_id=1
zk2 zkprov_id=2
zk3 zkprov_id=3

[kafka_zk:vars]
zkprov_data_dir=/srv/zk
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "zkprov" / "inventories"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, name: str = "inventory.ini") -> str:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return str(file)

    return write


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What Ansible itself was asked to read."""
    asked: list[Path] = []
    ask = ansible_inventory._ask

    def counted(source: Path, path: str) -> bytes:
        asked.append(source)
        return ask(source, path)

    monkeypatch.setattr(ansible_inventory, "_ask", counted)
    return asked


def refused(what: str | Listing, ensemble: str | None = None) -> BadInput:
    """Why an inventory, or what Ansible said of one, is refused."""
    with pytest.raises(BadInput) as caught:
        if isinstance(what, Listing):
            inventory_of(what, "i.ini", ensemble)
        else:
            read_inventory(what, ensemble)
    told = caught.value.each if isinstance(caught.value, BadInputs) else (caught.value,)
    assert all("\n" not in str(one) and len(str(one)) < 700 for one in told)
    assert all(str(one) in str(caught.value) for one in told)
    return told[0]
