"""Settings put into a zoo.cfg that is the operator's: only the lines that they need are changed, or added at the end."""

from __future__ import annotations

from collections.abc import Mapping

from zkprov.model.config import scan_zoo_cfg

CHARSET = "latin-1"
"""What Java reads; every byte of the file comes out of it as it went in."""


def edited(content: bytes, settings: Mapping[str, str], place: str) -> bytes:
    """The file with each of `settings` in the line that counts for it. Raises `BadInput` for one that is no properties text."""
    cfg = scan_zoo_cfg(content.decode(CHARSET), place)
    text = cfg.text
    for key, value in settings.items():
        if cfg.settings.get(key) != value:
            text = cfg.with_setting(key, value).text
            cfg = scan_zoo_cfg(text, place)
    return text.encode(CHARSET)
