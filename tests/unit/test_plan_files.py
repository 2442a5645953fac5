"""Plans in files: cut off, edited or of another release they are refused with exit 2, and never half believed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plans_made import plan
from zkprov.model.problems import BadInput
from zkprov.plan.steps import FORMAT, Options
from zkprov.run import files
from zkprov.run.files import MAX_BYTES, load_plan, save_plan


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_plan(plan(), tmp_path / "plan.json")
    return tmp_path / "plan.json"


def refused(path: Path, *words: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_plan(path)
    told = f"{caught.value} {caught.value.remedy}"
    assert caught.value.exit_code == 2 and str(path) in told and caught.value.remedy
    assert all(word in told for word in words), told


def test_what_is_saved_is_read(path: Path) -> None:
    assert load_plan(path) == plan()


def test_saving_leaves_nothing_else(path: Path) -> None:
    save_plan(plan("other"), path)
    assert load_plan(path) == plan("other") and os.listdir(path.parent) == [path.name]


@given(cut=st.integers(1, 10_000))
def test_cut_off_anywhere(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plan(plan(), path)
    data = path.read_bytes().rstrip()
    path.write_bytes(data[: -min(cut, len(data))])
    refused(path, "zkprov plan … --out")


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_byte_changed_anywhere(tmp_path_factory: pytest.TempPathFactory, at: int, byte: int) -> None:
    """The same plan, or none: no edit makes another plan of it."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plan(plan(), path)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        assert load_plan(path) == plan()
    except BadInput as problem:
        assert problem.remedy and str(path) in str(problem)


@pytest.mark.parametrize("key, value", [("id", "other"), ("leader", 2), ("steps", []), ("inventory_digest", "x")])
def test_edited(path: Path, key: str, value: object) -> None:
    document = json.loads(path.read_text())
    document["plan"][key] = value
    path.write_text(json.dumps(document))
    refused(path, "edited")


def test_laid_out_otherwise_is_the_same_plan(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    assert load_plan(path) == plan()


def test_a_newer_format_names_the_zkprov_that_is_needed(path: Path) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "format": FORMAT + 1, "plan": {**document["plan"], "zkprov": "9.9.9"}}))
    refused(path, f"format {FORMAT + 1}", "zkprov 9.9.9")


def test_what_an_older_zkprov_would_carry_out_half_it_refuses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reboots came with format 2; plans without are what they were."""
    assert json.loads(path.read_text())["format"] == 1
    rebooting = plan(format=2, options=Options(reboot=True))
    save_plan(rebooting, path)
    assert load_plan(path) == rebooting
    monkeypatch.setattr(files, "FORMAT", 1)
    refused(path, "format 2; this zkprov reads up to 1", "zkprov 9.9.9")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"plan": 1}', "[" * 100_000, "\x00\xff", '{"format": "x"}'])
def test_no_plan_at_all(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    refused(path, "not a plan")


def test_too_large(path: Path) -> None:
    path.write_bytes(b" " * (MAX_BYTES + 1))
    refused(path, "too large")
    refused(Path("/dev/zero"), "too large")


def test_a_folder_and_nothing(path: Path) -> None:
    refused(path.parent, "cannot be read")
    refused(path.with_name("other.json"), "cannot be read")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written: No such file"):
        save_plan(plan(), tmp_path / "none" / "plan.json")


def test_one_that_an_older_release_wrote_is_read(path: Path) -> None:
    """It has no fields for those that leave; its digest is of what it has."""
    document = json.loads(path.read_text())
    del document["plan"]["leavers"], document["plan"]["options"]["drain_s"]
    text = json.dumps(document["plan"], separators=(",", ":"), ensure_ascii=False)
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False))
    assert load_plan(path) == plan()
