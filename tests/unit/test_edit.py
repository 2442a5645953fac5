"""Lines of the operator's own zoo.cfg are changed; all others, and what ends them, stay byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkprov.act import former
from zkprov.act.edit import edited
from zkprov.model.config import ZooCfg, scan_zoo_cfg
from zkprov.model.problems import BadInput, NotHealthy

WANTED = {"reconfigEnabled": "true", "standaloneEnabled": "false"}
ADDED = b"reconfigEnabled=true\nstandaloneEnabled=false\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"tickTime=2000\n", b"tickTime=2000\n" + ADDED),
        (b"tickTime=2000", b"tickTime=2000\n" + ADDED),
        (b"", ADDED),
        (b"tickTime=2000\r\n", b"tickTime=2000\r\n" + ADDED.replace(b"\n", b"\r\n")),
        # a line that goes on at the end of the file
        (b"dataDir=/a\\\n", b"dataDir=/a\\\n\n" + ADDED),
        # what a key is set to twice: the last counts in Java, and one stays
        (
            b"reconfigEnabled=true\n# ours\nreconfigEnabled = false\ntickTime=1\n",
            b"# ours\nreconfigEnabled=true\ntickTime=1\nstandaloneEnabled=false\n",
        ),
        (b"! reconfigEnabled=true\nstandaloneEnabled: FALSE\n", None),
        # a byte that is no UTF-8, and words in UTF-8
        ("# für Zoë\n".encode() + b"dataDir=/d\xe9\n", "# für Zoë\n".encode() + b"dataDir=/d\xe9\n" + ADDED),
    ],
)
def test_edited(before: bytes, after: bytes | None) -> None:
    found = edited(before, WANTED, "zoo.cfg")
    if after is not None:
        assert found == after
    assert {k: v for k, v in scan_zoo_cfg(found.decode("latin-1"), "").settings.items() if k in WANTED} == WANTED
    assert edited(found, WANTED, "zoo.cfg") == found


LINES = st.lists(
    st.sampled_from(
        [
            b"tickTime=2000",
            b"reconfigEnabled=false",
            b"# a comment",
            b"",
            b"server.1=a:1:2",
            b"x = y \\",
            b"  z:1",
            b"\xff",
        ]
    ),
    max_size=8,
)


@given(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_the_others_stay(lines: list[bytes], end: bytes, ended: bool) -> None:
    before = end.join(lines) + (end if ended else b"")
    was = scan_zoo_cfg(before.decode("latin-1"), "")
    found = scan_zoo_cfg(edited(before, WANTED, "zoo.cfg").decode("latin-1"), "")
    assert _rest(found) == _rest(was)
    assert {k: found.settings[k] for k in WANTED} == WANTED


def _rest(cfg: ZooCfg) -> tuple[dict[str, str], list[str]]:
    """What is none of ours: settings, and comments."""
    settings = {line.key: line.value for line in cfg.lines if line.key is not None and line.key not in WANTED}
    return settings, [said for line in cfg.lines if line.key is None and (said := line.source.strip())]


@pytest.mark.parametrize("password", ["a=b:c", "pä ss", "#!x", "日本"])
def test_a_digest_of_any_password_is_read_back(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.facts_made import inventory
    from zkprov.observe.credentials import super_settings

    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", password)
    settings = super_settings(inventory(3))
    assert settings.keys() == {"DigestAuthenticationProvider.superDigest"}
    found = edited(b"tickTime=2000\n", settings, "zoo.cfg")
    assert password.encode() not in found
    assert scan_zoo_cfg(found.decode("latin-1"), "").settings.items() >= settings.items()


def test_a_password_with_a_line_break_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.facts_made import inventory
    from zkprov.observe.credentials import super_settings

    monkeypatch.setenv("ZKPROV_SUPER_PASSWORD", "a\nb")
    with pytest.raises(BadInput, match="cannot be printed"):
        super_settings(inventory(3))


def test_what_is_no_properties_text() -> None:
    with pytest.raises(BadInput, match=r"zoo\.cfg:1"):
        edited(b"x=\\u12\n", WANTED, "zoo.cfg")


@pytest.mark.parametrize(
    ("now", "back"),
    [
        (b"a=1\nreconfigEnabled=true\n", b"a=1\n"),
        # its list has a version since: to take that from it would put it back to none (R10)
        (b"a=1\nreconfigEnabled=true\ndynamicConfigFile=/x.dynamic.200000000\n", None),
    ],
)
def test_put_back(tmp_path: Path, now: bytes, back: bytes | None) -> None:
    place, kept = tmp_path / "zoo.cfg", tmp_path / "kept"
    place.write_bytes(b"a=1\n")
    place.chmod(0o640)
    former.replace_files(kept, {place: b"a=1\nreconfigEnabled=true\n"})
    place.write_bytes(now)
    assert former.put_back(kept)
    assert place.read_bytes() == (now if back is None else back) and place.stat().st_mode & 0o777 == 0o640
    assert not former.has_former(kept) and not former.put_back(kept)


def test_not_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "own.cfg").write_bytes(b"a=1\n")
    (tmp_path / "zoo.cfg").symlink_to("own.cfg")
    with pytest.raises(NotHealthy, match="is a link"):
        former.replace_files(tmp_path / "kept", {tmp_path / "zoo.cfg": b""})
    assert (tmp_path / "own.cfg").read_bytes() == b"a=1\n"
