"""Which groups of an inventory are ensembles, and whether two of them are in each other's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from zkprov.model.inventory import Inventory, InventoryHost
from zkprov.model.problems import BadInput

BUILT_IN = frozenset({"all", "ungrouped"})
MOST_NAMED = 5


def in_order(groups: Mapping[str, Sequence[str]], children: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The groups that have hosts, as the inventory has them: each before those in it; Ansible's own two left out."""
    found: dict[str, None] = {}

    def walk(group: str) -> None:
        for child in children.get(group, ()):
            if child not in found:
                found[child] = None
                walk(child)

    walk("all")
    return tuple(g for g in dict.fromkeys([*found, *groups]) if groups.get(g) and g not in BUILT_IN)


def ensembles_in(
    groups: Mapping[str, Sequence[str]],
    children: Mapping[str, Sequence[str]],
    said: Mapping[str, str],
    ours: Set[str],
    path: str,
) -> tuple[str, ...]:
    """The groups that are ensembles, in the inventory's order.

    As soon as one host says of which ensemble it is, those that are said: `said`, host → its `zkprov_ensemble`. Else every group that has
    hosts, no group in it, and a host of `ours`, one that has a variable of zkprov's. Raises `BadInput` where there is none, or where a
    host says one that it is not in.
    """
    known = in_order(groups, children)
    for host, group in said.items():
        if host not in groups.get(group, ()):
            what = f"zkprov_ensemble is {group!r}, and the host is in no group of that name"
            raise BadInput(what, place=f"{path}: {host}", remedy="name the group that is its ensemble")
    if said:
        return tuple(g for g in known if g in said.values())
    found = tuple(
        g for g in known if not any(groups.get(c) for c in children.get(g, ())) and not ours.isdisjoint(groups[g])
    )
    if not found:
        what = "no group of the inventory is an ensemble: none has hosts with variables of zkprov's, and no group in it"
        raise BadInput(what, place=path, remedy="set zkprov_ensemble for the hosts of each; or name one group with -E")
    return found


def left_out(ensembles: Sequence[str], groups: Mapping[str, Sequence[str]], ours: Set[str]) -> tuple[str, ...]:
    """Hosts with a variable of zkprov's that are of no ensemble: nothing is done there, which may be a mistake."""
    known = {host for group in ensembles for host in groups[group]}
    return tuple(sorted(ours - known))


def only_whole(
    ensembles: Sequence[str], groups: Mapping[str, Sequence[str]], hosts: Set[str], pattern: str
) -> tuple[str, ...]:
    """The ensembles all of whose hosts are among `hosts`, those that `pattern` matches.

    Raises `BadInput` where only a part of one is, or none at all.
    """
    for group in ensembles:
        inside = [h for h in groups[group] if h in hosts]
        if 0 < len(inside) < len(groups[group]):
            what = f"{pattern!r} takes a part of {group}: {_some(inside)}, of {_some(groups[group])}"
            raise BadInput(what, place="--limit", remedy=f"an ensemble is taken whole: name the group, {group}")
    found = tuple(g for g in ensembles if groups[g][0] in hosts)
    if not found:
        what = f"{pattern!r} matches no ensemble; there are {_some(ensembles)}"
        raise BadInput(what, place="--limit", remedy="name groups as Ansible does: kafka_*:!kafka_test")
    return found


def one_of_each(ensembles: Mapping[str, Sequence[str]], path: str) -> None:
    """Raises `BadInput` where a host is of two ensembles, naming both."""
    seen: dict[str, str] = {}
    for group, hosts in ensembles.items():
        for host in hosts:
            other = seen.setdefault(host, group)
            if other != group:
                remedy = "say which it is: set zkprov_ensemble for the hosts of each ensemble, to the name of its group"
                raise BadInput(
                    f"the host is in two ensembles: {other} and {group}", place=f"{path}: {host}", remedy=remedy
                )


def apart(inventories: Sequence[Inventory], path: str) -> None:
    """Raises `BadInput` where two ensembles have one port or one folder of the same machine: what is done to one is done to the other."""
    seen: dict[tuple[str, int | str], tuple[str, str]] = {}
    for inventory in inventories:
        for host in inventory.hosts:
            for place, what in _places(host):
                ensemble, other = seen.setdefault(place, (inventory.ensemble, host.name))
                if ensemble != inventory.ensemble:
                    raise BadInput(
                        f"{what} is that of {other} too, which is of {ensemble}",
                        place=f"{path}: {host.name} of {inventory.ensemble}",
                        remedy="give each its own address, port and folders; or leave one out with --limit",
                    )


def _places(host: InventoryHost) -> Iterator[tuple[tuple[str, int | str], str]]:
    """What nobody else may have. Addresses that mean something at their own place only are told apart by the way that leads there."""
    machine = host.address.lower()
    if host.tunnel and host.access is not None:
        machine = f"{machine} by {host.access.host} {host.access.options}"
    for port in dict.fromkeys((host.client.port, host.quorum_port, host.election_port)):
        yield (machine, port), f"port {port} at {host.address}"
    here = "this machine" if host.connection == "local" else machine
    for folder in dict.fromkeys((host.config_dir, host.data_dir, host.data_log_dir)):
        yield (here, folder), f"{folder} on {here if host.connection == 'local' else host.address}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
