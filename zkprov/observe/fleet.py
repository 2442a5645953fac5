"""All ensembles of an inventory, read once: what is wrong in one of them is that one's, and the others are there all the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zkprov.model.fleet import apart, ensembles_in, left_out, one_of_each, only_whole
from zkprov.model.inventory import Inventory
from zkprov.model.problems import BadInput, BadInputs
from zkprov.observe.ansible_inventory import Listing, listing
from zkprov.observe.ansible_values import holds_template, with_values
from zkprov.observe.host_variables import PREFIX
from zkprov.observe.inventory import inventory_of
from zkprov.observe.variable_values import READERS

ENSEMBLE, CANARY = "zkprov_ensemble", "zkprov_canary"


class Found(msgspec.Struct, frozen=True):
    """One ensemble: its hosts, or what is wrong with them. `canary`: whether the inventory says that it goes first."""

    name: str
    inventory: Inventory | None = None
    wrong: BadInput | None = None
    canary: bool = False


class Fleet(msgspec.Struct, frozen=True):
    """The ensembles that were asked for, in the inventory's order; `left_out`: hosts with variables of zkprov's that are of none at all."""

    path: str
    ensembles: tuple[Found, ...]
    left_out: tuple[str, ...] = ()


def read_fleet(path: str, limit: str | None = None) -> Fleet:
    """Every ensemble of the inventory at `path`, or those that Ansible's pattern `limit` takes.

    Raises `BadInput` where there is none, where two share a host, a port or a folder, or where the pattern takes none, or a part of one.
    """
    return fleet_of(listing(path), path, limit)


def fleet_of(found: Listing, path: str, limit: str | None = None) -> Fleet:
    """As `read_fleet`, of what Ansible said."""
    ours = frozenset(h for h, values in found.variables.items() if any(v.startswith(PREFIX) for v in values))
    known = ensembles_in(found.groups, found.children, _said(found, path), ours, path)
    chosen = known
    if limit is not None:
        from zkprov.observe.patterns import hosts_matched

        chosen = only_whole(known, found.groups, hosts_matched(found, limit), limit)
    one_of_each({group: found.groups[group] for group in chosen}, path)
    rendered, wrong = _rendered(found, chosen, path)
    ensembles = tuple(_found(rendered, group, path, wrong.get(group)) for group in chosen)
    apart([e.inventory for e in ensembles if e.inventory is not None], path)
    return Fleet(path, ensembles, left_out(known, found.groups, ours))


def _said(found: Listing, path: str) -> dict[str, str]:
    """Host → of which ensemble it says that it is. Raises `BadInput` for what is no plain name."""
    said = {h: values[ENSEMBLE] for h, values in found.variables.items() if values.get(ENSEMBLE) is not None}
    for host, group in said.items():
        if not isinstance(group, str) or holds_template(group):
            what = f"{ENSEMBLE} is not the name of a group"
            raise BadInput(what, place=f"{path}: {host}", remedy="write the group's name itself, no template")
    return said


def _found(found: Listing, group: str, path: str, wrong: BadInput | None) -> Found:
    if wrong is not None:
        return Found(group, wrong=wrong)
    try:
        canary = any(_truth(found.variables.get(h, {}), f"{path}: {h}") for h in found.groups[group])
        return Found(group, inventory_of(found, path, group), canary=canary)
    except BadInput as bad:
        return Found(group, wrong=bad)


def _truth(variables: Mapping[str, Any], place: str) -> bool:
    value = variables.get(CANARY)
    try:
        return value is not None and bool(READERS["tunnel"](value))
    except ValueError as error:
        raise BadInput(f"{CANARY}: {error}", place=place, remedy="write true or false") from None


def _rendered(found: Listing, groups: Sequence[str], path: str) -> tuple[Listing, dict[str, BadInput]]:
    """What the templates of all of them come to, by one play; and what is wrong with an ensemble whose templates come to nothing."""
    try:
        return with_values(found, [h for g in groups for h in found.groups[g]], path), {}
    except BadInput as bad:
        places = {one.place for one in (bad.each if isinstance(bad, BadInputs) else (bad,))}
        of = {g: [h for h in found.groups[g] if f"{path}: {h}" in places] for g in groups}
        if not any(of.values()):
            raise
    wrong: dict[str, BadInput] = {}
    for group in (g for g, hosts in of.items() if hosts):
        try:
            with_values(found, found.groups[group], path)
        except BadInput as bad:
            wrong[group] = bad
    return with_values(found, [h for g in groups if g not in wrong for h in found.groups[g]], path), wrong
