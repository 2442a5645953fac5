"""What a command leaves for CI besides its output: a JUnit file, and where GitHub runs it annotations and a step summary."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from zkprov.report.account import Account

F = TypeVar("F", bound=Callable[..., Any])

JUNIT, CURRENT = "zkprov.junit", "zkprov.reports"
CUT_OFF_S = 0.4
"""For the reports of a command that is ended where it is: less than what a signal leaves after giving up."""


def report_options(command: F) -> F:
    """`--junit`, and the reports around the whole of a command: whatever ends it is in them."""

    @wraps(command)
    def with_reports(*args: Any, **more: Any) -> Any:
        ctx = click.get_current_context()
        reports = _wanted(ctx)
        if reports is None:
            return command(*args, **more)
        ctx.meta[CURRENT] = reports
        code = 1
        try:
            returned = command(*args, **more)
            code = 0
        except click.exceptions.Exit as end:
            code = end.exit_code
            raise
        except (click.Abort, KeyboardInterrupt) as wrong:
            code = 7
            reports.account.stopped(code, type(wrong)("stopped; nothing was changed"))
            raise
        except BaseException as wrong:
            code = int(getattr(wrong, "exit_code", 1))
            reports.account.stopped(code, wrong)
            raise
        finally:
            reports.finish(code)
        return returned

    option = click.option(
        "--junit",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        callback=lambda ctx, _, value: ctx.meta.update({JUNIT: value}),
        help="Write what came of each step as JUnit XML.",
    )
    return cast(F, option(with_reports))


class Reports:
    """Of one command. Written once, when it ends; also from another thread, when it is ended."""

    def __init__(self, command: str, junit: Path | None) -> None:
        from zkprov.report.account import Account

        self.account: Account = Account(command)
        self._junit = junit
        self._github = os.environ.get("GITHUB_ACTIONS") == "true"
        self._began, self._at = time.monotonic(), time.time()
        self._once = threading.Lock()
        self._token = f"zkprov-{secrets.token_hex(16)}"
        if self._github:
            # what a server says is no command to the runner, wherever a line of the output happens to begin
            click.echo(f"::stop-commands::{self._token}", err=True)

    def finish(self, code: int) -> None:
        """Raises nothing: what a run came to does not depend on what is told of it."""
        if not self._once.acquire(blocking=False):
            return
        account = self.account
        account.code, account.took_s = code, time.monotonic() - self._began
        if self._github:
            from zkprov.report.github import annotated

            for line in (f"::{self._token}::", *annotated(account)):
                _err(line)
            self._add_summary()
        if self._junit is not None:
            from zkprov.report.junit import junit
            from zkprov.run.events import rfc3339

            try:
                replace_file(self._junit, junit(account, at=rfc3339(self._at)))
            except OSError as wrong:
                _err(f"warning: {self._junit} could not be written: {wrong.strerror}")

    def cut_off(self) -> None:
        """For a process that ends at once, wherever it is (`conduct.Stopping`)."""
        from zkprov.report.account import Failure

        self.account.failure = Failure("interrupted", "Stopped by a signal, where it was.", (), ("zkprov resume",))
        thread = threading.Thread(target=self.finish, args=(7,), daemon=True)
        thread.start()
        thread.join(CUT_OFF_S)

    def _add_summary(self) -> None:
        from zkprov.report.github import summary

        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        try:
            with Path(path).open("ab") as file:
                file.write(summary(self.account).encode(errors="replace"))
        except OSError as wrong:
            _err(f"::warning title=zkprov::the step summary could not be written%3A {wrong.strerror}")


def current() -> Reports | None:
    """The reports of the command that is being carried out; None where nobody wants any."""
    ctx = click.get_current_context(silent=True)
    found = ctx.meta.get(CURRENT) if ctx is not None else None
    return found if isinstance(found, Reports) else None


def account() -> Account | None:
    reports = current()
    return reports.account if reports is not None else None


def _wanted(ctx: click.Context) -> Reports | None:
    """Raises `BadInput` for a file that cannot be written, before anything else is done."""
    junit = ctx.meta.get(JUNIT)
    if junit is None and os.environ.get("GITHUB_ACTIONS") != "true":
        return None
    if junit is not None:
        try:
            part = _part(junit)
            part.touch()
            part.unlink()
        except OSError as wrong:
            from zkprov.model.problems import BadInput

            raise BadInput(
                f"cannot be written: {wrong.strerror}",
                place=str(junit),
                remedy="give --junit a file that can be written",
            ) from None
    return Reports(ctx.command_path, junit)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def replace_file(path: Path, data: bytes) -> None:
    """The whole file, or the one that was there."""
    part = _part(path)
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _err(line: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(line, err=True)
