"""One server's files, read only: the list that it acts under, its id, and whether it has data. What is wrong with them is a fact too.

What ZooKeeper makes of them (release 3.9.5, `QuorumPeerConfig.parse`, `FileTxnSnapLog`):
- zoo.cfg either holds the list itself or names a `dynamicConfigFile`; with both the server does not start: no acting list here.
- No `server.N` line in either: a standalone server. Its acting list is known, and empty.
- `<zoo.cfg>.dynamic.next` is read only where zoo.cfg names a `dynamicConfigFile` (and heeded only with `reconfigEnabled=true`).
- `initialize` is looked for in dataLogDir, beside its `version-2`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from zkprov.model import marks
from zkprov.model.certificates import Stores
from zkprov.model.config import ZooCfg, parse_zoo_cfg, read_list, scan_zoo_cfg, version_from_file_name
from zkprov.model.facts import Disk, Fact, History, ListOnDisk, Outcome
from zkprov.model.flags import Flags
from zkprov.model.inventory import InventoryHost
from zkprov.model.members import Members
from zkprov.model.problems import BadInput
from zkprov.model.properties import notes_of_twice, scan
from zkprov.observe.files import MAX_BYTES, Files, LocalFiles, NotRead
from zkprov.observe.remembered import remembered
from zkprov.observe.stores import stores_of

__all__ = ["MAX_BYTES", "NEXT", "ZOO_CFG", "read_folder", "read_host"]

ZOO_CFG = "zoo.cfg"
NEXT = f"{ZOO_CFG}.dynamic.next"


def read_folder(folder: Path, name: str, data_dir: Path | None = None) -> Fact[Disk]:
    """The files of one server as they lie flat in `folder` (`zkprov prove DIR`); sources are `<name>/zoo.cfg:9`.

    `dynamicConfigFile` is looked up by its base name in `folder`. `data_dir`: where `version-2`, `initialize` and `myid` may lie besides.
    Such a folder mostly holds config files only: without a `version-2` the server counts as one *with* data, which may vote.
    Outcomes: OK (with `problems`), ABSENT (nothing there), DENIED.
    """
    data = [folder] if data_dir is None else [folder, data_dir]
    return _Reading(folder, name, flat=True).disk(data)


def read_host(host: InventoryHost, files: Files | None = None, flags: Flags | None = None) -> Fact[Disk]:
    """The files of a host, where its inventory (and its zoo.cfg, for the data) says they are; sources are full paths.

    `files`: as a look at another host fetched them; without, this machine's. `flags`: those of the server that runs on them, where seen.
    A zoo.cfg that names other data folders than the inventory is a problem, and all of them are looked into.
    Outcomes: OK (with `problems`), ABSENT (neither config nor id nor data), DENIED.
    """
    return _Reading(Path(host.config_dir), host.config_dir, files=files, flags=flags).disk(
        [Path(host.data_dir), Path(host.data_log_dir or host.data_dir)]
    )


class _Reading:
    """The reading of one server's files, and what was wrong with them."""

    def __init__(
        self, config: Path, label: str, *, flat: bool = False, files: Files | None = None, flags: Flags | None = None
    ) -> None:
        self.config = config
        self.files = files or LocalFiles()
        self.label = label
        self.flat = flat
        self.flags = flags
        self.problems: list[str] = []
        self.data_elsewhere = ""

    def disk(self, data: list[Path]) -> Fact[Disk]:
        """`data`: the folders that are known beforehand; for a host, dataDir and dataLogDir by the inventory."""
        try:
            if not any(self._filled(d) for d in dict.fromkeys([self.config, *data])):
                return Fact(self.label, Outcome.ABSENT, detail=f"nothing in {self.config}")
            return self._disk(data)
        except OSError as error:
            outcome = Outcome.DENIED if isinstance(error, PermissionError) else Outcome.JUNK
            return Fact(self.label, outcome, detail=f"{error.filename or self.label}: {error.strerror or error}")

    def _disk(self, data: list[Path]) -> Fact[Disk]:
        cfg = self._zoo_cfg()
        folders = data if self.flat else self._data_folders(cfg, data)
        my_id = self._my_id(folders if self.flat else folders[:1])
        acting, following = self._lists(cfg)
        has_data = any(self._filled(d / "version-2") for d in (*folders, *data))
        if self.flat:
            has_data = has_data or not any(self.files.is_dir(d / "version-2") for d in data)
            initialize = any(self.files.exists(d / "initialize") for d in data)
        else:
            initialize = self.files.exists(folders[1] / "initialize")
            if not has_data and not initialize and self.files.exists(folders[0] / "initialize"):
                lost = (
                    f"{folders[0] / 'initialize'}: of no use here; ZooKeeper looks for it in dataLogDir, {folders[1]}"
                )
                self.problems.append(lost)
        bare = cfg is None or (cfg.dynamic_config_file is None and cfg.list_line is None)
        if bare and not self.flat and self.files.exists(self.config / NEXT):
            # with a zoo.cfg of ours beside it, it would be half of what the server acts under
            self.problems.append(f"{self._place(NEXT)}: left from an earlier server")
        if cfg is None and not any(p.startswith(f"{self._place(ZOO_CFG)}:") for p in self.problems):
            if my_id is None and (self.flat or not has_data) and not initialize and not self.problems:
                return Fact(self.label, Outcome.ABSENT, detail=f"no {ZOO_CFG}, no myid and no data")
            self.problems.append(f"{self._place(ZOO_CFG)}: missing")
        disk_id, data_marked, wiped = self._disk_id(folders, has_data)
        value = Disk(
            my_id=my_id,
            settings=cfg.public_settings if cfg else {},
            acting=acting,
            next=following,
            has_data=has_data,
            initialize=initialize,
            disk_id=disk_id,
            data_marked=data_marked,
            problems=tuple(self.problems),
            data_elsewhere=self.data_elsewhere,
            stores=self._stores(cfg) if cfg and not self.flat else Stores(),
            flags=self.flags,
            history=History() if self.flat or not has_data else self._history(folders),
            wiped=wiped,
        )
        return Fact(self.label, Outcome.OK, value)

    def _stores(self, cfg: ZooCfg) -> Stores:
        given = self.flags.settings if self.flags else {}
        return stores_of({**given, **cfg.settings}, self.config, self.files)

    def _place(self, file_name: str) -> str:
        return f"{self.label}/{file_name}"

    def _text(self, path: Path, place: str) -> str | None:
        """The file as Java reads it (Latin-1), or None: it is not there, or it is a problem now."""
        try:
            return self.files.read(path).decode("latin-1")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.problems.append(f"{place}: cannot be read ({error.strerror})")
        except NotRead as error:
            self.problems.append(f"{place}: {error}")
        return None

    def _zoo_cfg(self) -> ZooCfg | None:
        place = self._place(ZOO_CFG)
        text = self._text(self.config / ZOO_CFG, place)
        if text is None:
            return None
        try:
            return _zoo_cfg_of(text, place)
        except BadInput as bad:
            self.problems.append(str(bad))
        try:
            return scan_zoo_cfg(text, place)
        except BadInput:
            return None

    def _lists(self, cfg: ZooCfg | None) -> tuple[ListOnDisk | None, ListOnDisk | None]:
        """The acting list, and the one of `.next`."""
        if cfg is None:
            return None, None
        self.problems += [p for p in cfg.refusals() if not self.flat or "is not set" not in p]
        if cfg.dynamic_config_file is None:
            if cfg.list_line is None:
                return ListOnDisk(Members(()), cfg.place), None
            self.problems += cfg.twice
            static = ListOnDisk(cfg.static, f"{cfg.place}:{cfg.list_line}") if cfg.static else None
            return static, None
        following = self._list(self.config / NEXT, self._place(NEXT), None)
        if cfg.list_line is not None:
            return None, following
        path, place = self._dynamic_file(cfg.dynamic_config_file)
        try:
            version = version_from_file_name(path.name)
        except BadInput as bad:
            self.problems.append(str(bad))
            version = 0
        before = len(self.problems)
        acting = self._list(path, place, version)
        if acting is None and len(self.problems) == before:
            self.problems.append(f"{cfg.place}:{cfg.line_of('dynamicConfigFile')}: names {place}, which is not there")
        if acting is not None and not acting.members.servers:
            self.problems.append(f"{place}: no server line; ZooKeeper would run alone, or not start")
        return acting, following

    def _dynamic_file(self, written: str) -> tuple[Path, str]:
        if self.flat:
            name = PurePosixPath(written).name
            return self.config / name, self._place(name)
        # A relative path counts from wherever the server is started; beside zoo.cfg is the best guess, and a server that zkprov sets up
        # has a full path.
        path = self.config / written
        return path, str(path)

    def _list(self, path: Path, place: str, version: int | None) -> ListOnDisk | None:
        text = self._text(path, place)
        if text is None:
            return None
        try:
            notes, members = _list_of(text, place, version)
        except BadInput as bad:
            self.problems.append(str(bad))
            return None
        self.problems += notes
        return ListOnDisk(members, place)

    def _my_id(self, folders: list[Path]) -> int | None:
        for folder in dict.fromkeys(folders):
            place = self._place("myid") if self.flat else str(folder / "myid")
            text = self._text(folder / "myid", place)
            if text is None:
                continue
            first = re.split(r"\r\n|\r|\n", text, maxsplit=1)[0]
            if re.fullmatch(r"[0-9]{1,18}", first):
                return int(first)
            self.problems.append(f"{place}:1: not a server id: {first[:40]!r}; ZooKeeper does not start with it")
            return None
        return None

    def _data_folders(self, cfg: ZooCfg | None, wished: list[Path]) -> list[Path]:
        """dataDir and dataLogDir that the server uses: zoo.cfg's, where it names any."""
        settings = cfg.settings if cfg else {}
        if not settings.get("dataDir"):
            return wished
        data = self.config / settings["dataDir"]
        folders = [data, self.config / settings["dataLogDir"] if settings.get("dataLogDir") else data]
        if cfg and [os.path.normpath(f) for f in folders] != [os.path.normpath(f) for f in wished]:
            used, named = (" and ".join(dict.fromkeys(str(f) for f in both)) for both in (folders, wished))
            place = f"{cfg.place}:{cfg.line_of('dataDir')}"
            self.data_elsewhere = f"{place}: the data is in {used}, by the inventory in {named}"
            self.problems.append(self.data_elsewhere)
        return folders

    def _history(self, folders: list[Path]) -> History:
        data, logs = (folders[n] / "version-2" for n in (0, -1))
        found = self.files.history(data, logs)
        return History(
            found.accepted, found.current, found.snapshots, found.logs, found.last, found.oldest, found.newest
        )

    def _disk_id(self, folders: list[Path], has_data: bool) -> tuple[str, bool, bool]:
        """The mark, whether the data has it too, and whether data was noted here that is gone. No mark where the data had it, and has it no
        longer: it was wiped.
        """
        folders = list(dict.fromkeys(folders))
        for folder in folders:
            noted = self._mark(folder / marks.NOTE)
            kept = bool(noted) and has_data and all(self._mark(f / "version-2" / marks.COPY) == noted for f in folders)
            gone = bool(noted) and not kept
            if mark := self._mark(folder / marks.DISK):
                if noted != mark:
                    return mark, False, gone
                return mark if kept else "", kept, gone
            if gone:
                return "", False, True
        return "", False, False

    def _filled(self, folder: Path) -> bool:
        """Whether the folder has anything in it but the mark of our own. Raises PermissionError where that cannot be seen."""
        return self.files.filled(folder, marks.COPY)

    def _mark(self, path: Path) -> str:
        text = (self._text(path, str(path)) or "").strip()
        return text if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) else ""


_zoo_cfg_of = remembered(parse_zoo_cfg)


@remembered
def _list_of(text: str, place: str, version: int | None) -> tuple[tuple[str, ...], Members]:
    lines = scan(text, place)
    return notes_of_twice(lines, place), read_list(lines, place, version)
