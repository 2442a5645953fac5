"""ACLs in the ensemble: read, and set by who may."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from zkprov.model.rights import Acl, Identity, Right

if TYPE_CHECKING:
    from kazoo.client import KazooClient

CONFIG, LEDGER = "/zookeeper/config", "/zkprov"
ANSWER_S = 8.0
NEVER_A_VERSION = 0x7FFFFFFF


def read(client: KazooClient, path: str) -> tuple[Acl, int]:
    """The ACL and its version. Raises kazoo's exceptions."""
    acls, stat = client.get_acls_async(path).get(timeout=ANSWER_S)
    return acl_of(acls), int(stat.aversion)


def write(client: KazooClient, path: str, acl: Acl, version: int) -> None:
    """Raises kazoo's exceptions: `BadVersionError` where another changed it meanwhile, `NoAuthError` for who may not."""
    client.set_acls_async(path, kazoo_acls(acl), version).get(timeout=ANSWER_S)


def may_write(client: KazooClient, path: str) -> bool:
    """Whether this client may change the ACL; told without changing it, for rights are looked at before versions."""
    from kazoo.exceptions import BadVersionError, NoAuthError

    try:
        acl, _ = read(client, path)
        write(client, path, acl, NEVER_A_VERSION)
    except BadVersionError:
        return True
    except NoAuthError:
        return False
    return True


def below(client: KazooClient, path: str) -> Iterator[str]:
    """`path` and all lasting znodes below it, if it is there."""
    from kazoo.exceptions import NoNodeError

    try:
        children, stat = client.get_children_async(path, include_data=True).get(timeout=ANSWER_S)
    except NoNodeError:
        return
    if stat.ephemeralOwner:
        return
    yield path
    for child in sorted(children):
        yield from below(client, f"{path}/{child}")


def acl_of(acls: Iterable[Any]) -> Acl:
    """Of kazoo's."""
    return tuple(Right(Identity(a.id.scheme, a.id.id), a.perms) for a in acls)


def kazoo_acls(acl: Acl) -> list[Any]:
    from kazoo.security import ACL, Id

    return [ACL(r.perms, Id(r.who.scheme, r.who.id)) for r in acl]
