"""Who a lab's own sessions are."""

from __future__ import annotations

from zkprov.lab.lab import Lab


def super_user(lab: Lab) -> tuple[str, str]:
    """(scheme, credential) of the lab's super user, who may reconfig."""
    scheme, _, credential = lab.auth_file.read_text().strip().partition(":")
    return scheme, credential
