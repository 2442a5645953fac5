"""Members of long ago, put back from a backup while others are the members now."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zkprov.act.local import LocalHost
from zkprov.lab import founding
from zkprov.lab.ready import mode
from zkprov.lab.sessions import super_user
from zkprov.lab.shapes.scene import Scene, names
from zkprov.model.inventory import InventoryHost

if TYPE_CHECKING:
    from kazoo.client import KazooClient

_BACKUP = "before"


def restored_founders(scene: Scene) -> None:
    new = scene.spares(3)
    back = scene.old[:2]
    for host in back:
        shutil.copytree(_folder(host), _backup(scene, host), ignore=shutil.ignore_patterns("log"))
    scene.note(f"a backup was made of {names(back)}, config and data")
    _replace_all(scene, new)
    scene.note(f"{names(new)} were added and {names(scene.old)} were removed and stopped, each step right")
    for host in back:
        shutil.rmtree(_folder(host))
        shutil.move(_backup(scene, host), _folder(host))
    scene.start(*back)
    scene.await_leader(*back)
    scene.await_leader(*new)
    scene.note(f"{names(back)} were restored from the backup and started")
    scene.side("members", new, "the members")
    scene.side("restored", back, "members of long ago: a quorum of the list that they were")


def _replace_all(scene: Scene, new: Sequence[InventoryHost]) -> None:
    """By reconfig: the new ones in, then the old ones out, each with a quorum of both lists."""
    from zkprov.act.session import close, connect

    for host in new:
        scene.lay(host, founding.joiner_files(host, scene.old))
    scene.start(*new)
    # a joiner says follower until it is in the list
    scene.until(lambda: all(mode(h.client_port) == "follower" for h in new), f"{names(new)} follow", new)
    client = connect([host.client for host in new], super_user(scene.lab))
    try:
        joining = ",".join(founding.server_of(host).line for host in new)
        scene.until(lambda: _changed(client, (*scene.old, *new), joining=joining), "the new ones are voters")
        scene.await_leader(*scene.old, *new)
        leaving = ",".join(str(host.id) for host in scene.old)
        scene.until(lambda: _changed(client, new, leaving=leaving), "the old ones have left")
    finally:
        close(client)
    scene.await_leader(*new)
    scene.write("members", new)
    scene.kill(*scene.old)
    for host in scene.old:
        LocalHost(host).set_aside("removed")


def _changed(client: KazooClient, wished: Sequence[InventoryHost], **change: str | None) -> bool:
    """Whether the list is as wished; sent again while it is not, since an answer may be lost and a joiner not be in sync yet."""
    from kazoo.exceptions import KazooException

    def there() -> bool:
        text = client.get("/zookeeper/config")[0].decode()
        return {line.partition("=")[0] for line in text.split() if "=" in line} == {
            "version",
            *(f"server.{host.id}" for host in wished),
        }

    with contextlib.suppress(KazooException):
        if there():
            return True
        client.reconfig(**{"joining": None, "leaving": None, "new_members": None, **change})
    with contextlib.suppress(KazooException):
        return there()
    return False


def _folder(host: InventoryHost) -> Path:
    return Path(host.config_dir).parent


def _backup(scene: Scene, host: InventoryHost) -> Path:
    return scene.lab.folder / _BACKUP / host.name
