"""Runs on a host, for zkprov to look at it: reads, and changes nothing. For Python 3.6 and later, with its standard library alone.

It is handed `ARGUMENTS` (see `zkprov.observe.remote`) and prints one JSON document. What the files mean is not decided here.
"""

# Without json, subprocess, pathlib and typing, whose import takes longer than all that is done here: every look of every run starts this.
# ruff: noqa: F821, S102, PTH112, PTH115, PTH116, PTH118, PTH120, PTH121, PTH123, PTH208, S606, UP031

import binascii
import errno
import os
import select
import signal
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    ARGUMENTS: "dict[str, Any]"

# Of all files together: base64 and JSON around it stay below what is taken of an answer.
BUDGET = 2_900_000
COMMAND_S = 8.0


def main(wanted: "dict[str, Any]") -> "dict[str, Any]":
    # What takes time by itself is started first.
    unit = start_unit(wanted["unit"])
    command = start(split(wanted["is_active_command"])) if wanted["is_active_command"] else None
    java = start([wanted["java"], "-version"]) if wanted["java"] else None
    found = {"paths": {}, "stores": {}}  # type: dict[str, Any]
    data = look_at(wanted, found["paths"], found["stores"])
    found["servers"], found["hidden"] = servers(wanted)
    # like the program for stores; a log that is written to is not walked
    room = {}  # type: dict[str, Any]
    for name in ("history", "peers", "room"):
        exec(compile(wanted[name + "_program"], name, "exec"), room)
    runs = found["hidden"] or any(server["here"] for server in found["servers"])
    found["history"] = room["history_at"](data[0] + "/version-2", data[1] + "/version-2", not runs)
    found["free"] = {path: free(path) for path in wanted["space"]}
    found["room"] = {path: room["room_at"](path) for path in data}
    found["unwritten"] = room["unwritten"](wanted["log"], time.time())
    found["listening"] = room["listening"]()
    found["connected"] = room["connected"](wanted["ports"], room["established"](wanted["ports"]))
    found["unit"] = unit_state(unit)
    found["command"] = ended(command)
    found["java"] = java_says(java)
    found["clock"] = time.time()
    found["uid"] = os.geteuid()
    return found


def encoded(path: "str") -> "bytes":
    """As this machine's Python gives it to the system, whatever locale sshd gives us."""
    return path.encode("utf-8", "surrogateescape")


def joined(folder: "str", path: "str") -> "str":
    """`path`, seen from `folder`, without empty and `.` parts: as pathlib writes it."""
    whole = path if path.startswith("/") else folder + "/" + path
    return "/" + "/".join(part for part in whole.split("/") if part not in ("", "."))


def look_at(
    wanted: "dict[str, Any]", paths: "dict[str, dict[str, Any]]", stores: "dict[str, Any]"
) -> "tuple[str, str]":
    """Path → what is there: of the files that are named, and of those that zoo.cfg names; key and trust stores apart.

    Returns dataDir and dataLogDir, as zoo.cfg has them.
    """
    config, left = wanted["config"], [BUDGET]
    settings = {}  # type: dict[str, str]

    def add(path: "str") -> "dict[str, Any]":
        if path not in paths:
            paths[path] = record(path, wanted["hidden"], wanted["max_bytes"], left)
        return paths[path]

    add(config)
    for name in wanted["config_files"]:
        add(joined(config, name))
    data = list(wanted["data"])
    cfg = add(joined(config, wanted["config_files"][0]))
    if "data" in cfg:
        settings = properties(binascii.a2b_base64(cfg["data"]).decode("latin-1"))
        data += [joined(config, settings[key]) for key in ("dataDir", "dataLogDir") if settings.get(key)]
        if settings.get("dynamicConfigFile"):
            add(joined(config, settings["dynamicConfigFile"]))
    for folder in data:
        add(joined(folder, ""))
        for name in wanted["data_files"]:
            add(joined(folder, name))
    for path in wanted["more"]:
        add(path)
    named = []  # type: list[tuple[str, bool]]
    for keys, some in (True, wanted["key_stores"]), (False, wanted["trust_stores"]):
        named += [(path, keys) for path in some["paths"]]
        named += [(joined(config, settings[key]), keys) for key in some["settings"] if settings.get(key)]
    if named:
        # handed over as text, for a plain server has no use for it, and compiling it takes time
        room = {}  # type: dict[str, Any]
        exec(compile(wanted["store_program"], "stores", "exec"), room)
        for path, keys in named:
            if path not in stores:
                stores[path] = room["store_at"](path, keys, wanted["max_bytes"], left)
    if not settings.get("dataDir"):
        return wanted["data"][0], wanted["data"][-1]
    folder = joined(config, settings["dataDir"])
    return folder, joined(config, settings["dataLogDir"]) if settings.get("dataLogDir") else folder


def record(path: "str", hidden: "str", max_bytes: "int", left: "list[int]") -> "dict[str, Any]":
    """What is there. `errno`: nothing can be seen of it; `closed` (errno): it is there, and may not be opened."""
    try:
        mode = os.stat(encoded(path)).st_mode
    except OSError as error:
        return {"errno": error.errno}
    except ValueError:
        return {"errno": errno.ENOENT}
    try:
        if stat.S_ISDIR(mode):
            with os.scandir(encoded(path)) as entries:
                return {"kind": "folder", "filled": any(entry.name != hidden.encode() for entry in entries)}
        if not stat.S_ISREG(mode):
            return {"kind": "other"}
        return content(path, max_bytes, left)
    except OSError as error:
        return {"kind": "folder" if stat.S_ISDIR(mode) else "file", "closed": error.errno}


def content(path: "str", max_bytes: "int", left: "list[int]") -> "dict[str, Any]":
    descriptor = os.open(encoded(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return {"kind": "other"}
        if found.st_size > max_bytes:
            return {"kind": "file", "size": found.st_size}
        data = file.read(max_bytes)
    if len(data) > left[0]:
        return {"kind": "file", "size": len(data)}
    left[0] -= len(data)
    told = {"kind": "file", "size": len(data), "mtime": found.st_mtime}
    return {**told, "data": binascii.b2a_base64(data, newline=False).decode("ascii")}


def properties(text: "str") -> "dict[str, str]":
    """Java's properties, well enough to find the files that are named; zkprov reads them in earnest, and asks again if it sees others."""
    found = {}  # type: dict[str, str]
    line = ""
    for written in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        piece = written.lstrip(" \t\f")
        if not line and piece[:1] in ("", "#", "!"):
            continue
        line += piece
        if (len(line) - len(line.rstrip("\\"))) % 2:
            line = line[:-1]
            continue
        end = 0
        while end < len(line) and line[end] not in "=: \t\f":
            end += 2 if line[end] == "\\" else 1
        value = line[end:].lstrip(" \t\f")
        if value[:1] in ("=", ":"):
            value = value[1:].lstrip(" \t\f")
        found[plain(line[:end])] = plain(value).strip()
        line = ""
    return found


def plain(text: "str") -> "str":
    if "\\" not in text:
        return text
    out, i = "", 0
    while i < len(text):
        char = text[i]
        if char == "\\" and i + 1 < len(text):
            i += 1
            char = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(text[i], text[i])
            if text[i] == "u":
                try:
                    char = chr(int(text[i + 1 : i + 5], 16))
                    i += 4
                except ValueError:
                    pass
        out += char
        i += 1
    return out


def servers(wanted: "dict[str, Any]") -> "tuple[list[dict[str, Any]], bool]":
    """The ZooKeeper servers among the processes, told by their main class; and whether processes of others are hidden from us."""
    main_class, zoo_cfg = wanted["main_class"].encode(), encoded(joined(wanted["config"], wanted["config_files"][0]))
    found = []  # type: list[dict[str, Any]]
    first = False
    try:
        entries = os.listdir(b"/proc")
        with open("/proc/uptime") as file:
            uptime = float(file.read().split()[0])
    except OSError:
        return [], True
    for entry in entries:
        if not entry.isdigit():
            continue
        folder = b"/proc/" + entry
        try:
            with open(folder + b"/cmdline", "rb") as file:
                arguments = file.read(1_000_000).split(b"\0")
            # everybody may read every command line, unless /proc hides them (hidepid)
            first = first or entry == b"1"
            if main_class not in arguments[:-1]:
                continue
            with open(folder + b"/stat", "rb") as file:
                # after the command's name, which may hold anything: the state (field 3) and, as field 22, the start
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] in (b"Z", b"X"):
            continue
        argument = arguments[arguments.index(main_class) + 1]
        server = {"pid": int(entry), "started": int(fields[19]), "zoo_cfg": argument.decode("utf-8", "replace")}
        server["since"] = time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        server["here"] = argument == zoo_cfg or same(folder, argument, zoo_cfg)
        server["known"] = any(
            argument == encoded(other) or same(folder, argument, encoded(other)) for other in wanted["others"]
        )
        server["unit"] = unit_of(folder)
        server["flags"] = flags(arguments[1 : arguments.index(main_class)])
        found.append(server)
    return found, not first


def flags(words: "list[bytes]") -> "list[str]":
    """Those that ZooKeeper hears of, but for secrets; and the names of files (`@…`) in which Java found more."""
    heard = [word for word in words if word.startswith((b"-Dzookeeper.", b"@"))]
    public = [word for word in heard if not any(part in word.lower() for part in (b"digest", b"passw", b"secret"))]
    return [word.decode("utf-8", "replace") for word in public]


def unit_of(folder: "bytes") -> "str":
    """The systemd service that a process is of, by its control group; empty for one that somebody started in a session."""
    try:
        with open(folder + b"/cgroup", "rb") as file:
            groups = file.read(100_000).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    names = [name for group in groups for name in group.split("/") if name.endswith(".service")]
    # below a user's manager too: user@0.service/app.slice/zk.service
    return names[-1] if names else ""


def same(folder: "bytes", argument: "bytes", zoo_cfg: "bytes") -> "bool":
    """Whether a server's zoo.cfg is ours under another path: relative, or by a link."""
    try:
        return os.path.samefile(os.path.join(os.readlink(folder + b"/cwd"), argument), zoo_cfg)
    except OSError:
        return False


def free(path: "str") -> "int | None":
    """Bytes that are free where `path` is, or would be; None where that cannot be seen."""
    while True:
        try:
            found = os.statvfs(encoded(path))
            return found.f_bavail * found.f_frsize
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) or path in ("/", ""):
                return None
            path = os.path.dirname(path)


def split(command: "str") -> "list[str]":
    import shlex

    return shlex.split(command)


def start(arguments: "list[str]") -> "Any":
    """(pid, where it writes to, until when it is waited for), or the error for which it could not be started."""
    said, write_said = os.pipe()
    failed, write_failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(write_said, 1)
            os.dup2(write_said, 2)
            os.execvp(arguments[0], arguments)
        except OSError as error:
            os.write(write_failed, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(write_said)
    os.close(write_failed)
    with os.fdopen(failed, "rb") as file:
        number = file.read()
    if number:
        os.close(said)
        os.waitpid(pid, 0)
        return OSError(int(number), os.strerror(int(number)))
    return pid, said, time.monotonic() + COMMAND_S


def ended(process: "Any") -> "dict[str, Any] | None":
    """{`status`, `said`} of a process that was started, {`problem`} where it could not be or takes too long, None where there is none."""
    if process is None:
        return None
    if isinstance(process, Exception):
        return {"problem": getattr(process, "strerror", None) or str(process)}
    pid, descriptor, until = process
    said, status = b"", None
    waiter = select.poll()
    waiter.register(descriptor, select.POLLIN)
    # what it started may hold its stdout for ever: waited for is the process itself
    while True:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.WEXITSTATUS(code) if os.WIFEXITED(code) else -os.WTERMSIG(code)
        if done or time.monotonic() > until:
            break
        if waiter.poll(5):
            piece = os.read(descriptor, 65536)
            said = (said + piece)[:4000]
            if not piece:
                waiter.unregister(descriptor)
    while waiter.poll(0):
        piece = os.read(descriptor, 65536)
        said = (said + piece)[:4000]
        if not piece:
            break
    os.close(descriptor)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return {"problem": "no end within %d s" % COMMAND_S}
    return {"status": status, "said": said.decode("utf-8", "replace")}


def start_unit(unit: "str") -> "Any":
    if not unit or not os.path.isdir("/run/systemd/system"):
        return None
    name = unit if unit.rpartition(".")[2] in ("service", "target", "socket") else unit + ".service"
    wanted = ["LoadState", "ActiveState", "SubState", "UnitFileState"]
    return start(["systemctl", "show", "--no-pager"] + ["--property=" + name for name in wanted] + ["--", name])


def unit_state(process: "Any") -> "dict[str, Any] | None":
    result = ended(process)
    if result is None or "problem" in result:
        return result
    if result["status"] != 0:
        return {"problem": (result["said"].strip().splitlines() or ["systemctl failed"])[-1]}
    shown = dict(line.split("=", 1) for line in result["said"].splitlines() if "=" in line)
    return {
        "load": shown.get("LoadState", ""),
        "active": shown.get("ActiveState", ""),
        "sub": shown.get("SubState", ""),
        "file": shown.get("UnitFileState", ""),
    }


def java_says(process: "Any") -> "dict[str, Any] | None":
    """The line with Java's version, or why there is none."""
    result = ended(process)
    if result is None or "problem" in result:
        return result
    lines = [line for line in result["said"].splitlines() if not line.startswith("Picked up ")]
    if result["status"] != 0 or not lines:
        return {"problem": lines[-1] if lines else "it says nothing"}
    return {"line": lines[0]}


def dumped(value: "Any") -> "str":
    """JSON."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(quoted(key) + ": " + dumped(one) for key, one in value.items()) + "}"
    return "[" + ", ".join(dumped(one) for one in value) + "]"


def quoted(text: "str") -> "str":
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii
    return encode_basestring_ascii(text)


sys.stdout.write(dumped(main(ARGUMENTS)))
