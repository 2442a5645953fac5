"""jgo's resolver with a download that is whole or not there: checked against the published SHA-1, then moved into place."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from jgo.maven import PythonResolver

if TYPE_CHECKING:
    from jgo.maven import Artifact


class NoSuchFile(Exception):
    """No repository has a file of that name."""


class Damaged(Exception):
    """What arrived does not have the published checksum."""


class CheckedResolver(PythonResolver):
    """jgo itself writes straight to the final name and only logs a wrong checksum. `advance(file, bytes)` is told of progress."""

    def __init__(self, advance: Callable[[str, int], None]) -> None:
        super().__init__()
        self._advance = advance
        self._per_thread = threading.local()

    def download(self, artifact: Artifact) -> Path:
        """Fetch one file. Raises `NoSuchFile`, `Damaged`, and requests' exceptions when the network fails."""
        for repository in artifact.context.remote_repos.values():
            url = f"{repository}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
            for _ in range(2):
                found = self._fetch(url, artifact)
                if found is None:
                    break
                path, whole = found
                if whole:
                    return path
            else:
                raise Damaged(f"{artifact.filename} arrived damaged twice: its SHA-1 is not the published one")
        raise NoSuchFile(f"{artifact.filename} is not there")

    def _fetch(self, url: str, artifact: Artifact) -> tuple[Path, bool] | None:
        timeout = artifact.context.timeout
        session = self._session()
        published = session.get(f"{url}.sha1", timeout=timeout)
        if published.status_code == 404:
            return None
        published.raise_for_status()
        target = artifact.cached_path
        assert target is not None  # noqa: S101 — the context has a repo_cache
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
        digest = hashlib.sha1(usedforsecurity=False)
        try:
            with session.get(url, stream=True, timeout=timeout) as response, unfinished.open("wb") as file:
                if response.status_code == 404:
                    return None
                response.raise_for_status()
                for chunk in response.iter_content(chunk_size=1 << 16):
                    file.write(chunk)
                    digest.update(chunk)
                    self._advance(artifact.filename, len(chunk))
            whole = digest.hexdigest() == published.text.split()[0].strip().lower()
            if whole:
                unfinished.replace(target)
            return target, whole
        finally:
            unfinished.unlink(missing_ok=True)

    def _session(self) -> requests.Session:
        """One connection kept open a thread: a new one for each of 200 small files costs 10 s of TLS handshakes."""
        session: requests.Session | None = getattr(self._per_thread, "session", None)
        if session is None:
            session = self._per_thread.session = requests.Session()
        return session
