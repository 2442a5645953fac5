"""What this host makes of names, and whether a connection gets through: read only; a refused one got through.

Runs on Python 3.6 and later with the standard library alone. `ARGUMENTS`: names, connect ([host, port] pairs), timeout_s.
"""


# ruff: noqa: F821, UP031

import errno
import json
import os
import select
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    ARGUMENTS: "dict[str, Any]"


def resolved(name: str) -> "dict[str, Any]":
    try:
        found = socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return {"error": str(getattr(error, "strerror", None) or error)[:200]}
    return {"addresses": sorted({str(a[4][0]) for a in found})[:16]}


def connected(pairs: "list[tuple[str, int]]", timeout_s: float) -> "dict[str, str]":
    """All at once, without a thread each: many hosts take no longer than one."""
    found: dict[str, str] = {}
    waiting: dict[int, tuple[str, socket.socket]] = {}
    for host, port in pairs:
        key = "%s %d" % (host, port)
        try:
            family, kind, proto, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
            attempt = socket.socket(family, kind, proto)
            attempt.setblocking(False)
            code = attempt.connect_ex(address)
        except (OSError, UnicodeError) as error:
            found[key] = str(getattr(error, "strerror", None) or error)[:200]
            continue
        if code in (0, errno.EINPROGRESS):
            waiting[attempt.fileno()] = (key, attempt)
        else:
            found[key] = said(code)
            attempt.close()
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    deadline = time.time() + timeout_s
    while waiting:
        left = deadline - time.time()
        if left <= 0:
            break
        for number, _ in poll.poll(left * 1000):
            key, attempt = waiting.pop(number)
            poll.unregister(number)
            found[key] = said(attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            attempt.close()
    for key, attempt in waiting.values():
        found[key] = "no answer"
        attempt.close()
    return found


def said(code: int) -> str:
    if code == 0:
        return "open"
    return "refused" if code == errno.ECONNREFUSED else os.strerror(code).lower()


print(
    json.dumps(
        {
            "names": {name: resolved(name) for name in ARGUMENTS["names"]},
            "ports": connected(ARGUMENTS["connect"], ARGUMENTS["timeout_s"]),
            "now": time.time(),
        }
    )
)
