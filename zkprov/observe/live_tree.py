"""The tree of a living ensemble, read znode by znode through one session. It goes on meanwhile: each is as it was when it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zkprov.model.problems import BadInput, NotHealthy
from zkprov.model.rights import Identity, Right
from zkprov.tree.acls import vector_of
from zkprov.tree.znodes import NO_ACL, STAT, Tree

if TYPE_CHECKING:
    from kazoo.client import KazooClient

MOST = 50_000
"""Znodes that are read like this: some 10,000 a second."""
AT_ONCE = 500
ANSWER_S = 15.0


def read_tree(client: KazooClient, *, acls: bool, most: int = MOST) -> tuple[Tree, list[str]]:
    """The tree as the client's server has it, and the paths that nobody lets it read (they are in it, as different from any).

    `acls`: with those too, which only who may administer a znode sees whole. `cversion` is as clients see it. Raises `BadInput` where
    there are more than `most` znodes, `NotHealthy` where the ensemble does not answer.
    """
    from kazoo.exceptions import KazooException
    from kazoo.handlers.threading import KazooTimeoutError

    tree, unread, todo = Tree(), list[str](), ["/"]
    try:
        client.sync_async("/").get(timeout=ANSWER_S)
        while todo:
            asked = todo[-AT_ONCE:]
            del todo[-AT_ONCE:]
            for path, children in _some(client, tree, asked, acls, unread):
                todo += [f"{path.rstrip('/')}/{name}" for name in children]
            if len(tree) + len(todo) > most:
                raise BadInput(
                    f"the kept side has more than {most} znodes, too many to be read one by one",
                    place="--kept",
                    remedy="give a folder with one of its members' data: --kept DIR (zkprov backup create, then fetch)",
                )
    except (KazooException, KazooTimeoutError) as wrong:
        what = f"the ensemble did not answer: {type(wrong).__name__} {wrong}".rstrip()
        raise NotHealthy(what, place="--kept", remedy="zkprov status") from None
    return tree, unread


def _some(
    client: KazooClient, tree: Tree, paths: list[str], acls: bool, unread: list[str]
) -> list[tuple[str, list[str]]]:
    """Puts these into the tree; the names of each one's children."""
    from kazoo.exceptions import NoAuthError, NoNodeError

    asked = [
        (
            path,
            client.get_async(path),
            client.get_children_async(path),
            client.get_acls_async(path) if acls else None,
            client.exists_async(path),
        )
        for path in paths
    ]
    found = []
    for path, data, children, acl, exists in asked:
        names: list[str] = []
        try:
            stat = exists.get(timeout=ANSWER_S)
            if stat is None:
                continue
            value: bytes | None = None
            try:
                value, stat = data.get(timeout=ANSWER_S)
                names = children.get(timeout=ANSWER_S)
            except NoAuthError:
                unread.append(path)
            number = NO_ACL if acl is None else _acl(tree, acl)
            key = path.rstrip("/").encode()
            tree.put(key, _stat(stat), value, number)
            if path in unread[-1:]:
                tree.unread(key)
            found.append((path, names))
        except NoNodeError:
            continue
    return found


def _acl(tree: Tree, asked: Any) -> int:
    from kazoo.exceptions import NoAuthError

    try:
        acls, _ = asked.get(timeout=ANSWER_S)
    except NoAuthError:
        return NO_ACL
    rights = tuple(Right(Identity(a.id.scheme, a.id.id), a.perms) for a in acls)
    # a hash that is not shown is none to compare
    return NO_ACL if any(r.who.masked for r in rights) else tree.acl_id(vector_of(rights))


def _stat(s: Any) -> bytes:
    found: bytes = STAT.pack(
        s.czxid, s.mzxid, s.ctime, s.mtime, s.version, s.cversion, s.aversion, s.ephemeralOwner, s.pzxid
    )
    return found
