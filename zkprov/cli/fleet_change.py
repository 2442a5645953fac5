"""A change with `--all` or `--limit`: all plans are made and shown, one question is asked, and one ensemble after another is changed."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from zkprov.cli.fleet import fleet_asked, which_options
from zkprov.cli.reporting import account

if TYPE_CHECKING:
    from zkprov.observe.fleet import Fleet as Ensembles
    from zkprov.plan.fleet import FleetWish
    from zkprov.report.fleet_change import FleetChangeDocument
    from zkprov.run.fleet import End, Planned

F = TypeVar("F", bound=Callable[..., Any])
ARGUMENTS = "zkprov.arguments"
OWN = frozenset(
    {"fleet_all", "fleet_limit", "parallel", "max_fail", "canaries", "inventory", "ensemble", "yes", "dry_run", "output", "events", "junit"}
)  # fmt: skip
"""Options that are the whole's, and go on to none of its parts as they are."""
OF_ONE = {"only": "--only", "data_of": "--data-of"}
"""Options that name servers, which are of one ensemble."""


class Kept(click.Command):
    """Remembers what was typed: what goes on to others goes on as it was written."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


def fleet_change(plan: click.Command | None = None) -> Callable[[F], F]:
    """Of a command that changes: with `--all` or `--limit` it is done to all of those, and the command itself is not called.

    `plan`: the command that plans it, whose plan `zkprov apply` carries out; without it the command itself is called for each.
    """

    def add(command: F) -> F:
        @wraps(command)
        def either(
            *args: Any, fleet_all: bool, fleet_limit: str | None, parallel: int, max_fail: int, canaries: tuple[str, ...], **given: Any
        ) -> Any:  # fmt: skip
            if not fleet_all and fleet_limit is None:
                if parallel != 1 or max_fail or canaries:
                    raise click.UsageError("--parallel, --max-fail and --canary go with --all or --limit")
                return command(*args, **given)
            from zkprov.plan.fleet import FleetWish

            ctx = click.get_current_context()
            for name, option in OF_ONE.items():
                if given.get(name):
                    raise click.UsageError(
                        f"{option} names servers of one ensemble: name it with -E, not --all or --limit"
                    )
            wish = FleetWish(parallel, max_fail, canaries)
            return _Change(ctx, given, fleet_asked(ctx, given, fleet_limit), wish, plan).carry_out()

        found = cast(F, either)
        for option in (
            click.option(
                "--canary", "canaries", multiple=True, metavar="GROUP",
                help="Of many: who goes first, alone. [default: zkprov_canary; else the first of the inventory]",
            ),
            click.option(
                "--max-fail", type=click.IntRange(0, 10_000), default=0, show_default=True,
                help="Of many: with more failures than that nobody else is begun.",
            ),
            click.option(
                "--parallel", type=click.IntRange(1, 100), default=1, show_default=True,
                help="Of many: how many ensembles at once, after the canary.",
            ),
        ):  # fmt: skip
            found = option(found)
        return which_options(found)

    return add


class _Change:
    def __init__(
        self,
        ctx: click.Context,
        given: dict[str, Any],
        ensembles: Ensembles,
        wish: FleetWish,
        plan: click.Command | None,
    ) -> None:
        from zkprov.cli.planned import UNTIL
        from zkprov.plan.fleet import ordered

        self.ctx, self.given, self.ensembles, self.wish, self.plan = ctx, given, ensembles, wish, plan
        self.output, self.dry = str(given["output"]), bool(given.get("dry_run"))
        self.stop = threading.Event()
        self.until: float | None = ctx.meta.get(UNTIL)
        self.began = time.monotonic()
        self._all_well()
        names = [e.name for e in ensembles.ensembles]
        self.canaries, self.others = ordered(names, {e.name for e in ensembles.ensembles if e.canary}, wish)
        self.names = (*self.canaries, *self.others)

    def _all_well(self) -> None:
        """Raises `BadInput` where the inventory is wrong for one of them: nothing is touched anywhere."""
        from zkprov.model.problems import BadInput

        for one in self.ensembles.ensembles:
            if one.wrong is not None:
                remedy = f"{one.wrong.remedy or 'correct it'}; or leave it out: --limit '!{one.name}'"
                raise BadInput(one.wrong.problem, place=one.wrong.place or one.name, remedy=remedy)

    def carry_out(self) -> None:
        """Ends the command."""
        from zkprov.cli.conduct import event_lines
        from zkprov.cli.planned import ask, one_stdout
        from zkprov.plan.fleet import exit_code, outlook
        from zkprov.run.fleet import Fleet

        events = self.given.get("events")
        one_stdout(self.output, events)
        shown = self.output == "text" and events != "-"
        with (
            tempfile.TemporaryDirectory(prefix="zkprov-fleet-") as folder,
            Fleet(Path(folder), self.stop) as fleet,
            event_lines(events) as lines,
        ):
            planned: dict[str, Planned] = {}
            if self.plan is not None:
                planned = fleet.plans(self.names, self._to_plan)
                refused = {name: p.code for name, p in planned.items() if p.code}
                left = outlook(self.canaries, self.others, refused, self.wish)
                if shown:
                    self._show(planned, left)
                pending = [n for n, p in planned.items() if p.plan is not None and n not in left]
                if self.dry:
                    self._end([], planned, next((p.code for p in planned.values() if p.code), 0), shown=False)
                if pending:
                    ask(bool(self.given["yes"]))
            ends = self._run(fleet, planned, lines)
        code = exit_code([(e.ensemble, e.code) for e in ends], whole=len(ends) == len(self.names))
        self._end(ends, planned, code, shown=shown)

    def _show(self, planned: dict[str, Planned], left: tuple[str, ...]) -> None:
        from zkprov.report.fleet_change import show_planned

        show_planned(list(planned.values()), set(self.canaries), set(self.ensembles.left_out), left)

    def _run(self, fleet: Any, planned: dict[str, Planned], lines: Any) -> list[End]:
        from zkprov.report.fleet_change import FleetProgress

        progress = FleetProgress()

        readers: list[Callable[[str, Any], None]] = [progress]
        if lines is not None:
            readers.append(lambda _, event: lines(event))

        def heard(ensemble: str, event: Any) -> None:
            for reader in list(readers):
                try:
                    reader(ensemble, event)
                except (OSError, ValueError) as wrong:
                    # a screen or a file that is gone changes nothing of what goes on; the journal has it all
                    readers.remove(reader)
                    with contextlib.suppress(OSError):
                        click.echo(f"warning: what happens cannot be written any more: {wrong}", err=True)

        fleet.on_event, fleet.until = heard, self.until
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._caught)
        try:
            found: list[End] = fleet.carry_out(
                self.canaries,
                self.others,
                self.wish,
                self._to_apply(planned),
                planned if self.plan is not None else None,
            )
        finally:
            progress.close()
        return found

    def _caught(self, _number: int, _frame: object) -> None:
        if not self.stop.is_set():
            self.stop.set()
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping; nobody else is begun, and those that go on are told to stop\n")

    def _end(self, ends: list[End], planned: dict[str, Planned], code: int, *, shown: bool) -> None:
        """The document, or its table; ends the command."""
        from zkprov.report.documents import as_json
        from zkprov.report.fleet_change import NOT_BEGUN_WORD, FleetChangeDocument, rows_of, show_ends

        rows = rows_of(self.names, ends, planned, self.ensembles.path, dry=self.dry)
        left = [row.ensemble for row in rows if row.outcome == NOT_BEGUN_WORD]
        again = [f"{len(left)} not begun; then, for those: --limit '{':'.join(left)}'"] if left else []
        took = round(time.monotonic() - self.began, 1)
        document = FleetChangeDocument(
            " ".join(self.ctx.command_path.split()[1:]),
            self.ensembles.path,
            code,
            took,
            rows,
            again,
            list(self.ensembles.left_out),
        )
        self._account(document)
        if self.output == "json":
            click.echo(as_json(document))
        elif shown:
            show_ends(document)
        self.ctx.exit(code)

    def _account(self, document: FleetChangeDocument) -> None:
        if (known := account()) is not None:
            known.fleet(
                document.inventory,
                [
                    (
                        r.ensemble,
                        -1 if r.exit_code is None else r.exit_code,
                        f"{r.outcome}: {r.headline}",
                        tuple(r.next),
                    )
                    for r in document.ensembles
                ],
            )

    def _to_plan(self, name: str, file: Path) -> list[str]:
        assert self.plan is not None  # noqa: S101 — asked for where there is one
        return [*self._root, "plan", str(self.plan.name), *self._one(name, self.plan), f"--out={file}", "--output=json"]

    def _to_apply(self, planned: dict[str, Planned]) -> Callable[[str, Path], list[str]]:
        def arguments(name: str, events: Path) -> list[str]:
            if self.plan is None:
                path = self.ctx.command_path.split()[1:]
                return [*self._root, *path, *self._one(name, self.ctx.command), "--output=json"]
            from zkprov.cli.change import apply

            own = self._one(name, apply)
            return [*self._root, "apply", planned[name].file, *own, "--yes", "--output=json", f"--events={events}"]

        return arguments

    @property
    def _root(self) -> list[str]:
        from zkprov.cli.conduct import journal_path

        return [f"--journal={journal_path(self.ctx)}"]

    def _one(self, name: str, command: click.Command) -> list[str]:
        """What was typed, as far as `command` knows it, for one ensemble."""
        known = {opt for p in command.params if isinstance(p, click.Option) for opt in p.opts}
        raw, _, _ = self.ctx.command.make_parser(self.ctx).parse_args(list(self.ctx.meta[ARGUMENTS]))
        found = [f"--inventory={self.ensembles.path}", f"--ensemble={name}"]
        for param in self.ctx.command.params:
            if not isinstance(param, click.Option) or param.name in OWN or param.name not in raw:
                continue
            option = next((o for o in param.opts if o in known and o.startswith("--")), None)
            values = raw[param.name] if param.multiple else [raw[param.name]]
            if param.name == "until" and self.until is not None:
                # a duration counts from now on, not from each one's turn
                values = [datetime.fromtimestamp(self.until, UTC).isoformat()]
            if option is not None:
                found += [option if param.is_flag else f"{option}={value}" for value in values]
        return found
