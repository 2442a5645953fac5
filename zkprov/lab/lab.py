"""A real ensemble on this machine: made, found again, and ended, whatever was killed in between."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zkprov.act.local import LocalHost
from zkprov.act.processes import ServerProcess, end, running_servers
from zkprov.lab import certificates, founding, ports, sasl
from zkprov.lab import names as name_servers
from zkprov.lab.home import state_home
from zkprov.lab.provision import DEFAULT_RELEASE, provision
from zkprov.lab.record import LabStatus, State, write_private
from zkprov.lab.sasl import Secured
from zkprov.lab.writers import stop_writers
from zkprov.model.inventory import InventoryHost, ReleaseSource
from zkprov.model.members import Seat
from zkprov.model.posture import Posture
from zkprov.model.problems import BadInput, Busy, NotHealthy

DEFAULT_NAME = "lab"
DEFAULT_SERVERS = 3
DEFAULT_TICK_MS = 2000
DEFAULT_WHITELIST = "srvr,mntr,conf,cons,isro"
FIRST_ZNODE = "/lab"
_RUN = "lab"  # the name under which a lab's own acts hold a host's fence, for a moment


class Lab:
    """One lab, kept in `$XDG_STATE_HOME/zkprov/labs/<name>`. Its servers are `zk1` … `zk9` on 127.0.0.1; those without files are spares."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock_timeout_s = 10.0
        self.name = folder.name

    @classmethod
    def create(
        cls,
        name: str = DEFAULT_NAME,
        servers: int = DEFAULT_SERVERS,
        release: str = DEFAULT_RELEASE,
        *,
        also: Sequence[str] = (),
        spares: int | None = None,
        tick_ms: int = DEFAULT_TICK_MS,
        whitelist: str = DEFAULT_WHITELIST,
        admin: bool = True,
        static: bool = False,
        settings: Mapping[str, str | None] | None = None,
        jvm_flags: Sequence[str] | None = None,
        posture: Posture = Posture.PLAIN,
        secured: Secured = Secured.NOTHING,
        seats: Sequence[Seat] = (),
        names: bool = False,
        home: Path | None = None,
    ) -> Lab:
        """Reserve ports, fetch the software, write the inventory; nothing runs yet. `spares`: as many as there are names left.

        `also`: other releases, to which its servers may be brought.
        `static`: the founders' list stands in their zoo.cfg, with no reconfig, as in ensembles made before 3.5.
        `settings` are laid over the lab's own for zoo.cfg; None takes one out. `home`: the folder of labs, if not the user's.
        `seats`: of the first servers, in a list with groups; whose host has none is in no group.
        `names`: server lines have names instead of 127.0.0.1 (see `lab.names`).
        `posture`: with TLS, by certificates made for this lab. (The plain client port is on 127.0.0.1 anyway.) `secured`: who uses SASL.
        Raises `BadInput` for a name or number that cannot be, and where there is such a lab already; what `provision` raises.
        """
        spares = ports.SERVERS - servers if spares is None else spares
        if servers < 1 or spares < 0 or servers + spares > ports.SERVERS:
            raise BadInput(f"a lab has 1 to {ports.SERVERS} servers, not {servers}", place="--servers")
        if not 50 <= tick_ms <= 60_000:
            raise BadInput(f"a tick is 50 to 60000 ms long, not {tick_ms}", place="--tick")
        software = provision(release)
        others = [provision(other) for other in dict.fromkeys(also) if other != release]
        known = {s.release: ReleaseSource(s.classpath, s.java) for s in (software, *others)} if others else {}
        lab = cls(folder_of(name, home))
        lab._makefolder_of()
        with lab._locked():
            if lab.read() is not None:
                raise BadInput(
                    f"there is a lab {name!r} already", place=str(lab.folder), remedy=f"zkprov lab down --name {name}"
                )
            lab._end_all()
            lab._empty()
            if jvm_flags is None:
                jvm_flags = founding.JVM_FLAGS
                if release == DEFAULT_RELEASE:
                    from zkprov.lab.faststart import fast_start

                    # Worth its 8 s for what is started again and again, not for a look at another release.
                    # Within the lab's folder: whatever is killed meanwhile, `down` ends and removes it.
                    jvm_flags = (*jvm_flags, *fast_start(software, jvm_flags, lab.folder / "preparing"))
            password = secrets.token_urlsafe(24)
            write_private(lab.auth_file, f"digest:super:{password}\n")
            sasl.make(lab.folder, secured)
            base = ports.claim(lab.folder)
            common = founding.default_settings(release, tick_ms, founding.super_digest("super", password), whitelist)
            merged = {**common, **(settings or {})}
            tls = lab.folder / "tls"
            subject = certificates.make(tls) if posture.quorum else ""
            files = certificates.client_files(tls) if posture.clients else None
            hosts = tuple(
                lab._host(
                    number,
                    base + (number - 1) * ports.PORTS_EACH,
                    admin=admin,
                    release=release,
                    java=software.java,
                    classpath=software.classpath,
                    jvm_flags=tuple(jvm_flags),
                    settings={key: value for key, value in merged.items() if value is not None},
                    posture=posture,
                    super_dn=subject if posture.clients else "",
                    secured=secured,
                    releases=known,
                    named=names,
                )
                for number in range(1, servers + spares + 1)
            )
            hosts = tuple(
                msgspec.structs.replace(host, quorum_group=seat.group, quorum_weight=seat.weight) if seat else host
                for host, seat in itertools.zip_longest(hosts, seats)
            )
            if names:
                name_servers.lay(lab.folder, hosts)
            write_private(lab.inventory_path, founding.inventory_document(name, hosts, str(lab.auth_file), files))
            lab._write(State(name, release, servers, hosts, static))
        return lab

    def _host(
        self,
        number: int,
        port: int,
        *,
        admin: bool,
        release: str,
        java: str,
        classpath: str,
        jvm_flags: tuple[str, ...],
        settings: dict[str, str],
        posture: Posture,
        super_dn: str,
        secured: Secured,
        releases: dict[str, ReleaseSource],
        named: bool,
    ) -> InventoryHost:
        folder = self.folder / f"zk{number}"
        return InventoryHost(
            name=f"zk{number}",
            address=name_servers.name_of(self.name, number) if named else "127.0.0.1",
            id=number,
            connection="local",
            client_port=port,
            client_host="127.0.0.1",
            quorum_port=port + 1,
            election_port=port + 2,
            admin_port=port + 3 if admin else None,
            admin_address="127.0.0.1" if admin else None,
            config_dir=str(folder / "conf"),
            data_dir=str(folder / "data"),
            data_log_dir=str(folder / "datalog"),
            log_dir=str(folder / "log"),
            release=release,
            java=java,
            classpath=classpath,
            jvm_flags=(*jvm_flags, *(name_servers.flags(self.folder, number) if named else ())),
            settings=settings,
            posture=posture,
            secure_client_port=port + 4,
            key_store=str(self.folder / "tls" / certificates.SERVER) if posture.quorum else "",
            trust_store=str(self.folder / "tls" / certificates.CA) if posture.quorum else "",
            super_dn=super_dn,
            quorum_sasl=secured.quorum,
            client_sasl=secured.clients,
            releases=releases,
        )

    @classmethod
    def open(cls, name: str = DEFAULT_NAME, *, home: Path | None = None) -> Lab:
        """The lab of that name. Raises `BadInput` when there is none."""
        lab = cls(folder_of(name, home))
        if lab.read() is None:
            raise BadInput(f"no lab {name!r}", place="--name", remedy="zkprov lab up makes one")
        return lab

    @classmethod
    def list(cls, *, home: Path | None = None) -> list[Lab]:
        """All labs, also those whose `up` was interrupted, by name."""
        with contextlib.suppress(FileNotFoundError):
            folders = sorted(f for f in (home or state_home() / "labs").iterdir() if f.is_dir())
            return [cls(folder) for folder in folders]
        return []

    @property
    def inventory_path(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def auth_file(self) -> Path:
        return self.folder / "auth"

    @property
    def release(self) -> str:
        return self._state().release

    @property
    def static(self) -> bool:
        """Whether the founders have a static list."""
        return self._state().static

    @property
    def founders(self) -> tuple[InventoryHost, ...]:
        state = self._state()
        return state.hosts[: state.founders]

    @property
    def hosts(self) -> tuple[InventoryHost, ...]:
        return self._state().hosts

    def host(self, server_id: int) -> InventoryHost:
        """Raises `BadInput` when the lab has no server of that id."""
        for host in self.hosts:
            if host.id == server_id:
                return host
        raise BadInput(
            f"the lab has no server {server_id}", place=self.name, remedy=f"its ids are 1 to {len(self.hosts)}"
        )

    def set_jvm_flags(self, server_id: int, flags: Sequence[str]) -> None:
        """Other JVM flags for one server, from its next start on (`-Dzkprov.log.level=DEBUG`, say)."""
        changed = msgspec.structs.replace(self.host(server_id), jvm_flags=tuple(flags))
        state = self._state()
        hosts = tuple(changed if host.id == server_id else host for host in state.hosts)
        self._write(msgspec.structs.replace(state, hosts=hosts))

    @property
    def connect(self) -> str:
        """`127.0.0.1:PORT,…` of the servers that have files; of the founders where none has yet."""
        hosts = [host for host in self.hosts if LocalHost(host).exists()] or list(self.founders)
        return ",".join(str(host.client) for host in hosts)

    def up(self, timeout_s: float = 60.0) -> bool:
        """Start what is not running, and wait until one server leads and all others follow. False: it was all up already.

        A founding that was interrupted is begun again. Raises `NotHealthy` when time runs out or a server ends.
        """
        from zkprov.lab.ready import await_one_leader

        with self._locked():
            state = self._state()
            if not state.founded:
                self._found(state)
            hosts = [host for host in state.hosts if LocalHost(host).exists()]
            down = [host for host in hosts if not LocalHost(host).is_active()]
            for host in down:
                LocalHost(host).start()
            if state.founded and not down:
                return False
            await_one_leader(hosts, timeout_s)
            if not state.founded:
                self._first_client(hosts)
            self._write(msgspec.structs.replace(state, founded=True))
        return True

    def _first_client(self, hosts: Sequence[InventoryHost]) -> None:
        """An ensemble in use holds something: one permanent znode, by which its history can be told from another's."""
        from kazoo.exceptions import NodeExistsError

        from zkprov.act.session import close, connect

        first = hosts[0]
        endpoints = [host.client for host in hosts]
        client = connect(endpoints, None, tls=certificates.context_for(first), sasl=sasl.client_of(first))
        try:
            with contextlib.suppress(NodeExistsError):
                client.create(FIRST_ZNODE, self.name.encode())
        finally:
            close(client)

    def _found(self, state: State) -> None:
        """Lay the founders' files, each of them anew: no client has been told of what an interrupted founding left."""
        self._end_all()
        founders = state.hosts[: state.founders]
        for host in state.hosts:
            shutil.rmtree(Path(host.config_dir).parent, ignore_errors=True)
        for host in founders:
            local = LocalHost(host)
            local.install()
            files = founding.static_files if state.static else founding.founders_files
            local.fence(_RUN)
            local.configure(files(host, founders), _RUN)
            local.unfence(_RUN)

    def down(self) -> None:
        """End every server of the lab by force and remove all that it has, also what an interrupted `up` left."""
        if not self.folder.is_dir():
            return
        with self._locked():
            self._end_all()
            shutil.rmtree(self.folder, ignore_errors=True)
            # A server that was just being started was no server yet at the first look.
            self._end_all()
            if self.folder.exists():
                shutil.rmtree(self.folder)
        ports.release(self.folder)

    def processes(self) -> tuple[ServerProcess, ...]:
        """The lab's servers that run, found by their zoo.cfg, whatever became of the lab's files."""
        return tuple(p for p in running_servers() if p.zoo_cfg.startswith(f"{self.folder}/"))

    def status(self) -> LabStatus:
        from zkprov.lab.status import status_of

        return status_of(self)

    def _end_all(self) -> None:
        stop_writers(self.folder)
        left = end(self.processes(), 0)
        if left:
            raise NotHealthy(f"process {left[0].pid} does not end, even by SIGKILL", place=self.name)

    def _empty(self) -> None:
        for entry in self.folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def read(self) -> State | None:
        """None where there is no lab, or one whose making was interrupted before it had anything."""
        try:
            return msgspec.json.decode((self.folder / "lab.json").read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return None

    def _state(self) -> State:
        state = self.read()
        if state is None:
            raise BadInput(
                f"the lab {self.name!r} is not whole",
                place=str(self.folder),
                remedy=f"zkprov lab down --name {self.name}",
            )
        return state

    def _write(self, state: State) -> None:
        write_private(self.folder / "lab.json", msgspec.json.format(msgspec.json.encode(state)).decode())

    def _makefolder_of(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotHealthy(
                f"cannot be made: {error.strerror}",
                place=str(self.folder),
                remedy="name another folder with XDG_STATE_HOME",
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time for one lab: a lock on its folder, which ends with whoever holds it."""
        deadline = time.monotonic() + self.lock_timeout_s
        while True:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if self._try_lock(descriptor):
                    yield
                    return
            finally:
                os.close(descriptor)
            if time.monotonic() > deadline:
                raise Busy(f"another command works on the lab {self.name!r}", remedy="wait for it, or end it")
            time.sleep(0.05)

    def _try_lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # `down` may have removed the folder, and another `up` made a new one, while we waited.
        self._makefolder_of()
        return os.path.samestat(os.fstat(descriptor), self.folder.stat())


def folder_of(name: str, home: Path | None) -> Path:
    """The folder of the lab of that name; there may be none. Raises `BadInput` for what is no name."""
    # An Ansible group is named after it, and a folder.
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in ("all", "ungrouped"):
        raise BadInput(f"not a name for a lab: {name!r}", place="--name", remedy="use lower-case letters, digits and _")
    return (Path(os.path.realpath(home)) if home else state_home() / "labs") / name
