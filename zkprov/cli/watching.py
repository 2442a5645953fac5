"""The options of what only looks, by which others hear of it: `--notify`, `--metrics-file`, and the output of a monitoring plugin."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from zkprov.cli.reporting import replace_file

if TYPE_CHECKING:
    from zkprov.judge.health import Health
    from zkprov.report.documents import StatusDocument
    from zkprov.run.notices import Notifier

F = TypeVar("F", bound=Callable[..., Any])

metrics_option = click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures of each look for Prometheus (node_exporter's textfile collector): a name that ends in .prom.",
)
notify_option = click.option(
    "--notify",
    metavar="COMMAND|URL",
    envvar="ZKPROV_NOTIFY",
    help="With --watch: tell each change of the verdict to a command (JSON on its stdin) or a webhook.  [env: ZKPROV_NOTIFY]",
)


class Outlets:
    """Where the looks of one command go besides its output. What fails is told on stderr, and stops no look."""

    def __init__(self, metrics: Path | None, notifier: Notifier | None) -> None:
        from zkprov.report.watching import Changes

        self._metrics, self._notifier, self._changes = metrics, notifier, Changes()
        self._wrong = ""

    def looked(self, health: Health, document: StatusDocument) -> None:
        if self._metrics is not None:
            from zkprov.report.watching import metrics

            try:
                replace_file(self._metrics, metrics(document, health.picture.survey.began))
                self._wrong = ""
            except OSError as wrong:
                if self._wrong != str(wrong):
                    complain(f"{self._metrics} could not be written: {wrong.strerror}")
                self._wrong = str(wrong)
        if self._notifier is not None and (told := self._changes.seen(document, time.monotonic())) is not None:
            import msgspec

            self._notifier.tell(msgspec.json.encode(told) + b"\n")


@contextlib.contextmanager
def outlets(metrics: Path | None, notify: str | None) -> Iterator[Outlets]:
    """Raises `BadInput` for a file that cannot be written, and for what cannot be notified, before anything is looked at."""
    if metrics is not None:
        writable(metrics)
    if not notify:
        yield Outlets(metrics, None)
        return
    from zkprov.run.notices import Notifier, receiver_of

    with Notifier(receiver_of(notify, "--notify"), complain) as notifier:
        yield Outlets(metrics, notifier)


def writable(path: Path) -> None:
    """Raises `BadInput` for a file that cannot be written."""
    from zkprov.model.problems import BadInput

    probe = path.with_name(f".{path.name}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as wrong:
        raise BadInput(
            f"cannot be written: {wrong.strerror}",
            place=str(path),
            remedy="give --metrics-file a file that can be written",
        ) from None


def complain(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"warning: {text}", err=True)


def plugin(command: F) -> F:
    """Of `check`: with `--output nagios` whatever goes wrong is said in a plugin's way, with its exit codes."""

    @wraps(command)
    def as_plugin(*args: Any, **given: Any) -> Any:
        if given.get("output") != "nagios":
            return command(*args, **given)
        from zkprov.model.problems import Problem
        from zkprov.report.watching import nagios_failed

        try:
            return command(*args, **given)
        except (Problem, click.UsageError) as wrong:
            said, code = nagios_failed(str(wrong) if isinstance(wrong, Problem) else wrong.format_message())
            click.echo(said)
            click.get_current_context().exit(code)

    return cast(F, as_plugin)
