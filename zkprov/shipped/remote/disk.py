# ruff: noqa: PTH112, PTH113, PTH114, PTH118, PTH119, PTH120, PTH202, UP006, UP035
# It runs on whatever Python a host has, 3.6 or later.
"""The snapshots and logs of one server on its host, wherever they were moved to: named, and read piece by piece. Nothing is changed.

Over SSH it stands behind `backup_files.py`'s text; as a program with `ARGUMENTS` it prints one JSON document.
"""

import base64
import json
import os
from typing import TYPE_CHECKING, Any, Dict, List

if TYPE_CHECKING or __name__.startswith("zkprov."):
    from zkprov.shipped.remote.backup_files import LOG, SNAPSHOT, Problem, listing, opened, worth

VERSION = "version-2"
REMEDY = "name the folder on the host that holds version-2; where its logs are in another one, HOST:DATADIR:LOGDIR"


def version_of(folder: str) -> str:
    """Where its `version-2` is: a data folder's, or a backup's."""
    for found in (os.path.join(folder, VERSION), os.path.join(folder, "data", VERSION)):
        if os.path.isdir(found) and not os.path.islink(found):
            return found
    raise Problem("unhealthy", f"neither a snapshot nor a log of ZooKeeper's in {folder}", REMEDY)


def files(p: Dict[str, Any]) -> List[Dict[str, Any]]:
    """`path` and `size` (bytes) of each file that tells what the server held, `myid` among them.

    Of a log as far as it is written, and a few zeros behind that, which tell that it was not cut off.
    """
    data = version_of(p["data"])
    logs = version_of(p["log"]) if p["log"] else data
    found = []
    for folder in dict.fromkeys((data, logs)):
        for name in sorted(listing(folder)):
            if SNAPSHOT.fullmatch(name) or LOG.fullmatch(name):
                path = os.path.join(folder, name)
                found.append({"path": path, "size": worth(path) if LOG.fullmatch(name) else os.path.getsize(path)})
    if not found:
        raise Problem("unhealthy", f"neither a snapshot nor a log of ZooKeeper's in {data}", REMEDY)
    myid = os.path.join(os.path.dirname(data), "myid")
    return found + ([{"path": myid, "size": os.path.getsize(myid)}] if os.path.isfile(myid) else [])


def read(p: Dict[str, Any]) -> str:
    """Up to `most` bytes of one of those files, from `offset`, in base64."""
    folder, name = os.path.split(p["path"])
    of_data = os.path.basename(folder) == VERSION and (SNAPSHOT.fullmatch(name) or LOG.fullmatch(name))
    if not of_data and name != "myid":
        raise Problem("unhealthy", "no file of a server's data: {}".format(p["path"]))
    with opened(p["path"]) as file:
        file.seek(p["offset"])
        return base64.b64encode(file.read(p["most"])).decode()


ACTS = {"disk_files": files, "disk_read": read}


def answer(p: Dict[str, Any]) -> Dict[str, Any]:
    """What `act` of `ACTS` gives, or the problem, as one document."""
    try:
        try:
            return {"ok": ACTS[p["act"]](p)}
        except OSError as error:
            text = "{}: {}".format(error.filename or p["data"], error.strerror or error)
            raise Problem("unhealthy", text, "let zkprov be root there: ansible_become: true") from None
    except Problem as problem:
        return {"problem": problem.kind, "text": problem.text, "remedy": problem.remedy}


if "ARGUMENTS" in globals():
    print(json.dumps(answer(globals()["ARGUMENTS"])))
