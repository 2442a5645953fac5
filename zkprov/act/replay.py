"""Single changes of znodes, made again on a living ensemble: each with the version that it rests on, never without."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

from zkprov.act.rights import ANSWER_S, kazoo_acls
from zkprov.model.rights import Acl
from zkprov.tree.transactions import CONTAINER, is_ttl, ttl_ms

if TYPE_CHECKING:
    from kazoo.client import KazooClient

CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL = 1, 15, 19, 21
CONTAINER_FLAG, TTL_FLAG = 4, 5


def create(client: KazooClient, path: str, data: bytes | None, acl: Acl, owner: int = 0) -> None:
    """A znode that lasts; by `owner` a container, or one with a time to live. Raises kazoo's exceptions."""
    if owner == CONTAINER:
        asked = _request(CREATE_CONTAINER, path, data, acl, CONTAINER_FLAG)
    elif is_ttl(owner):
        asked = _request(CREATE_TTL, path, data, acl, TTL_FLAG, ttl_ms(owner))
    else:
        asked = _request(CREATE, path, data, acl, 0)
    result = client.handler.async_result()
    client._call(asked, result)
    result.get(timeout=ANSWER_S)


def set_data(client: KazooClient, path: str, data: bytes | None, version: int) -> Any:
    """The stat after it. Raises kazoo's exceptions: `BadVersionError` where another changed it meanwhile."""
    return client.set_async(path, data, version).get(timeout=ANSWER_S)


def delete(client: KazooClient, path: str, version: int) -> None:
    """Raises kazoo's exceptions: `NotEmptyError` where it has children."""
    client.delete_async(path, version).get(timeout=ANSWER_S)


def get(client: KazooClient, path: str) -> tuple[bytes, Any] | None:
    """Data and stat as the leader has them by now; None where there is no such znode. Raises kazoo's exceptions."""
    from kazoo.exceptions import NoNodeError

    try:
        data, stat = client.get_async(path).get(timeout=ANSWER_S)
    except NoNodeError:
        return None
    return data or b"", stat


def stat(client: KazooClient, path: str) -> Any:
    """Its stat, which everybody may see; None where there is no such znode. Raises kazoo's exceptions."""
    return client.exists_async(path).get(timeout=ANSWER_S)


def catch_up(client: KazooClient) -> None:
    """What the client's server shows from now on is no older than this moment. Raises kazoo's exceptions."""
    client.sync_async("/").get(timeout=ANSWER_S)


_Base = namedtuple("_Base", "type path data acl flags ttl")


class _Request(_Base):
    """`CreateRequest`, and `CreateTTLRequest` where `ttl` is not None: those that kazoo does not make."""

    def serialize(self) -> bytearray:
        from kazoo.protocol import serialization as wire

        out = bytearray(wire.write_string(self.path) + wire.write_buffer(self.data))
        out += wire.int_struct.pack(len(self.acl))
        for one in self.acl:
            out += wire.int_struct.pack(one.perms) + wire.write_string(one.id.scheme) + wire.write_string(one.id.id)
        out += wire.int_struct.pack(self.flags)
        if self.ttl is not None:
            out += wire.long_struct.pack(self.ttl)
        return out

    @classmethod
    def deserialize(cls, found: bytes, offset: int) -> str:
        from kazoo.protocol import serialization as wire

        return str(wire.read_string(found, offset)[0])


def _request(kind: int, path: str, data: bytes | None, acl: Acl, flags: int, ttl: int | None = None) -> _Request:
    return _Request(kind, path, data, kazoo_acls(acl), flags, ttl)
