"""What runs on hosts, shipped inside the wheel: templates, playbooks, and programs of the standard library alone."""

from importlib.resources import files
from pathlib import Path


def shipped(kind: str) -> Path:
    """The folder of shipped files of one kind (`templates`). zkprov is always installed as plain files."""
    return Path(str(files(__package__))) / kind
