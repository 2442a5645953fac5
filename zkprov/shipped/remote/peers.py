"""Runs on a host within look.py, and here for this machine: the TCP sockets that listen, and who is connected to the ports of a server
by which servers talk to each other. For Python 3.6 and later.
"""

import sys

# What servers use for each other where nobody says otherwise.
USUAL = (2888, 3888)
MOST = 256
LISTENS, ESTABLISHED = "0A", "01"


def readable(address: "str") -> "str":
    import socket

    words = [bytes.fromhex(address[i : i + 8]) for i in range(0, len(address), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if raw[:12] == b"\0" * 10 + b"\xff\xff":
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def sockets(state: "str", ports: "frozenset[int]", folder: "str") -> "set[tuple[str, int, str, int]]":
    """(address, port, remote address, remote port) of each in that state; with `ports`, of those that have one of them."""
    found = set()  # type: set[tuple[str, int, str, int]]
    for name in ("tcp", "tcp6"):
        try:
            with open(folder + "/" + name) as file:  # noqa: PTH123
                next(file, None)
                for line in file:
                    if " " + state + " " not in line[:120]:
                        continue
                    fields = line.split()
                    if fields[3] != state:
                        continue
                    (here, _, port), (there, _, remote) = (field.partition(":") for field in fields[1:3])
                    if not ports or int(port, 16) in ports or int(remote, 16) in ports:
                        found.add((readable(here), int(port, 16), readable(there), int(remote, 16)))
        except OSError:
            continue
    return found


def listening(folder: "str" = "/proc/net") -> "list[tuple[str, int]]":
    """(address, port) of every TCP socket that listens."""
    return sorted({(address, port) for address, port, _, _ in sockets(LISTENS, frozenset(), folder)})


def established(own: "list[int]", folder: "str" = "/proc/net") -> "set[tuple[str, int, str, int]]":
    """The connections at the ports of these servers, whichever of them each belongs to."""
    return sockets(ESTABLISHED, frozenset(own) | frozenset(USUAL), folder)


def connected(own: "list[int]", among: "set[tuple[str, int, str, int]]") -> "list[tuple[str, int]]":
    """(address, port) of who is connected to the server with these ports, `among` what was found established; 0 where the port is one
    of a moment.

    Who lies on this very host by its usual address (127.0.0.1) and has no port to be told by is left out.
    """
    ports = frozenset(own) | frozenset(USUAL)
    found = set()
    for _, port, there, remote in among:
        told = remote if remote in ports else 0
        if (port in own or told) and (told or there not in ("127.0.0.1", "::1")):
            found.add((there, told))
    return sorted(found)[:MOST]
