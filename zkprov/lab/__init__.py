"""Real ensembles on this machine, for trying, demos and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zkprov.lab.lab import Lab


def default_lab() -> Lab | None:
    """The one lab that is up, which is what commands mean when no inventory is named. Raises `BadInput` if several are up."""
    from zkprov.lab.home import state_home

    if not (state_home() / "labs").is_dir():
        return None
    from zkprov.lab.lab import Lab
    from zkprov.model.problems import BadInput

    up = [lab for lab in Lab.list() if lab.inventory_path.is_file() and lab.processes()]
    if len(up) > 1:
        raise BadInput(
            f"several labs are up: {', '.join(lab.name for lab in up)}",
            place="-i",
            remedy=f"say which one: -i {up[0].inventory_path}",
        )
    return up[0] if up else None
