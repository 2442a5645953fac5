"""`salvage`: what was acknowledged on the losing side of a split, as a file of dead letters; shown, and replayed when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.planned import Duration, ask
from zkprov.cli.target import Connect, inventory_of, target_options, world_to_look_at

if TYPE_CHECKING:
    from zkprov.report.salvage import SalvageDocument
    from zkprov.run.salvaging import KeptSide

output_option = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
limit_option = click.option(
    "--limit", type=click.IntRange(0), default=1000, show_default=True, help="How many are shown; 0: all."
)
folder_type = click.Path(path_type=Path)
DEFAULT = "from"


class Salvages(click.Group):
    """`zkprov salvage FROM…` is `zkprov salvage from FROM…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(cls=Salvages)
def salvage() -> None:
    """What was acknowledged on the losing side of a split: written to a file of dead letters, shown, replayed when asked for.

    zkprov salvage FROM… -o FILE is short for: zkprov salvage from FROM… -o FILE
    """


@salvage.command(DEFAULT)
@click.argument("sources", metavar="FROM…", nargs=-1, required=True, type=folder_type)
@click.option(
    "--kept", type=folder_type, metavar="DIR", help="Data of one server of the kept side. [default: read live]"
)
@click.option(
    "--kept-disk",
    "beside",
    multiple=True,
    type=folder_type,
    metavar="DIR",
    help="Data of a server of the kept side from before the heal, a backup: what it had before it took that side's over is read too.",
)
@click.option(
    "--server-log",
    "server_logs",
    multiple=True,
    type=folder_type,
    metavar="FILE",
    help="A server's own log, as text: a leader's tells how much it had cut off from another's.",
)
@click.option("-o", "--out", type=folder_type, required=True, metavar="FILE", help="The file of dead letters to make.")
@target_options(connect=True)
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@output_option
@click.pass_context
def from_(
    ctx: click.Context, sources: tuple[Path, ...], kept: Path | None, beside: tuple[Path, ...], server_logs: tuple[Path, ...],
    out: Path, inventory: str | None, ensemble: str | None, timeout_s: float, connect: Connect | None, made_by: str | None, output: str,
) -> None:  # fmt: skip
    """Read the disks of the losing side, compare with the kept side, and write what is not there to FILE.

    FROM is a data folder of a server of the losing side: a set-aside disk, a backup's folder, a copy; of several of its servers, if you
    have them: it is told of each letter on how many it is. On a host of the inventory it is HOST:DATADIR, or HOST:DATADIR:LOGDIR: it is
    copied to FILE.disks/ first. Nothing of either side is changed.
    """
    from zkprov.report.salvage import SalvageDocument, show_made
    from zkprov.run.planning import who_am_i
    from zkprov.run.salvage_file import can_be_made, make, ready

    can_be_made(out)
    copies = _copies(ctx, (*sources, *beside), out, inventory, ensemble, connect, timeout_s)
    side, kept_disks = ready(sources, out, beside, copies)
    # an inventory says then where the disks are; the folder, what they are compared with
    of_disks = copies and kept is not None
    kept_side = _kept(
        ctx, kept, None if of_disks else inventory, None if of_disks else ensemble, connect, timeout_s, logs=True
    )
    origin = make(side, kept_side, out, who_am_i(made_by), _say, kept_disks, server_logs)
    _note(ctx, sources, out)
    document = SalvageDocument("from", str(out), origin)
    if output == "json":
        _json(document)
    else:
        show_made(document)


@salvage.command()
@click.argument("here", metavar="DIR", type=folder_type)
@click.argument("there", metavar="[KEPT]", required=False, type=folder_type)
@target_options(connect=True)
@limit_option
@output_option
@click.pass_context
def compare(
    ctx: click.Context, here: Path, there: Path | None, inventory: str | None, ensemble: str | None, timeout_s: float,
    connect: Connect | None, limit: int, output: str,
) -> None:  # fmt: skip
    """Two trees znode by znode: DIR, a server's data, and KEPT, another's, or the living ensemble. Exit 4 where they differ.

    Of each znode that is only here, only there or different: zxids and times. /zookeeper and /zkprov are left out.
    """
    from zkprov.observe.data_files import find, load
    from zkprov.report.salvage import differences_document, show_differences
    from zkprov.run.flaws import Flaws
    from zkprov.tree.compare import differences

    files, flaws = find(here), Flaws()
    kept = _kept(ctx, there, inventory, ensemble, connect, timeout_s)
    _say(f"reading {files.name}")
    tree = load(files, flaws)
    names, trees = (files.name, kept.name), (tree, kept.tree)
    notes = (*flaws.told(), *kept.flaws, *(f"{p} cannot be read by zkprov: taken as different" for p in kept.unread))
    document = differences_document(
        names, (len(tree), len(kept.tree)), (tree.zxid, kept.tree.zxid), differences(*trees), limit, notes
    )
    if output == "json":
        from zkprov.report.documents import as_json

        click.echo(as_json(document))
    else:
        show_differences(document)
    ctx.exit(0 if document.same else 4)


@salvage.command()
@click.argument("file", metavar="FILE", type=folder_type)
@click.option("--only", multiple=True, metavar="PATH", help="These znodes and what is below; * and ? are wildcards.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(["create", "set", "delete", "acl", "stood"]),
    help="Of these kinds.",
)
@click.option("--data", is_flag=True, help="With the data, in base64 (--output json).")
@limit_option
@output_option
def show(file: Path, only: tuple[str, ...], kinds: tuple[str, ...], data: bool, limit: int, output: str) -> None:
    """The letters of FILE in order: who wrote what and when, why it is not on the kept side, and what became of it since."""
    from zkprov.report.salvage import LetterRow, SalvageDocument, row, show_letters
    from zkprov.run.dead_letters import DeadLetters

    rows, more, fates = list[LetterRow](), 0, dict[str, int]()
    with DeadLetters(file) as letters:
        for letter, outcome in letters.letters(only, kinds):
            fates[outcome.fate.value] = fates.get(outcome.fate.value, 0) + 1
            if limit and len(rows) >= limit:
                more += 1
            else:
                rows.append(row(letter, outcome, data=data))
        document = SalvageDocument("show", str(file), letters.origin, rows, more, fates)
    if output == "json":
        _json(document)
    else:
        show_letters(document)


@salvage.command()
@click.argument("file", metavar="FILE", type=folder_type)
@click.option(
    "--only", multiple=True, required=True, metavar="PATH", help="These znodes and what is below; / is everything."
)
@target_options()
@click.option("--dry-run", is_flag=True, help="Look and tell only: which would be replayed, which set aside.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--lock-timeout",
    type=Duration(),
    default="15s",
    show_default=True,
    help="How long another run's lock is waited for.",
)
@click.option("--as", "made_by", metavar="WHO", help="Who does it, for the record. [default: user@host]")
@output_option
@click.pass_context
def apply(
    ctx: click.Context, file: Path, only: tuple[str, ...], inventory: str | None, ensemble: str | None, timeout_s: float,
    dry_run: bool, yes: bool, lock_timeout: float, made_by: str | None, output: str,
) -> None:  # fmt: skip
    """Replay letters of FILE on the kept side, each once, on the very version that it rests on. Exit 3 where any is set aside.

    What the kept side has changed since is never overwritten, and ephemeral znodes are never replayed. What became of each letter is
    written to FILE before and after: stopped anywhere, the same command goes on. Only on an ensemble that `zkprov check` finds safe.
    """
    from zkprov.cli.conduct import Stopping
    from zkprov.model.letters import Fate
    from zkprov.report.salvage import SalvageDocument, row, show_applied
    from zkprov.run.planning import who_am_i
    from zkprov.run.salvage_file import Applying

    read = inventory_of(ctx, inventory, ensemble)
    with Applying(file, read, timeout_s, who_am_i(made_by), lock_timeout) as applying:
        if not dry_run:
            click.echo(
                f"{read.ensemble}: {applying.open(only)} letters of {file} are to be replayed, or set aside", err=True
            )
            ask(yes)
        stopping = Stopping(again="the same command: the file holds what became of each letter")
        done = applying.carry_out(only, stopping.asked, dry_run=dry_run)
        rows = [row(one.letter, one.outcome) for one in done.letters]
        fates = {fate.value: n for fate, n in done.counts.items()} | ({"earlier": done.earlier} if done.earlier else {})
        document = SalvageDocument("apply", str(file), applying.origin, rows, done.more, fates, dry_run, done.stopped)
    if output == "json":
        _json(document)
    else:
        show_applied(document)
    ctx.exit(7 if done.stopped else 3 if done.counts[Fate.CONFLICT] else 0)


def _copies(
    ctx: click.Context, sources: tuple[Path, ...], out: Path, inventory: str | None, ensemble: str | None,
    connect: Connect | None, timeout_s: float,
) -> dict[Path, Path]:  # fmt: skip
    """Of those sources that lie on hosts: where they are copied to."""
    from zkprov.run.remote_disks import copies_beside, fetched, on_host

    named = {source: disk for source in sources if (disk := on_host(source)) is not None}
    if not named:
        return {}
    if connect:
        raise click.UsageError("disks on hosts are reached by an inventory: -i, not --connect")
    with world_to_look_at(ctx, inventory, ensemble, None, timeout_s) as world:
        found = fetched(world, named.values(), copies_beside(out), _say)
    return {source: found[disk] for source, disk in named.items()}


def _note(ctx: click.Context, sources: tuple[Path, ...], out: Path) -> None:
    """For later heals: these disks need not be named again."""
    from zkprov.cli.conduct import journal_path
    from zkprov.model.problems import Problem
    from zkprov.run.disks_aside import note_salvaged

    try:
        note_salvaged(journal_path(ctx), sources, out)
    except Problem as why:
        _say(
            f"a later heal may name these disks again, since it cannot be noted that {out} has what was on them: {why}"
        )


def _kept(
    ctx: click.Context, folder: Path | None, inventory: str | None, ensemble: str | None, connect: Connect | None,
    timeout_s: float, *, logs: bool = False,
) -> KeptSide:  # fmt: skip
    from zkprov.run.salvage_file import kept_folder, kept_live

    if folder is not None:
        if connect or inventory or ensemble:
            raise click.UsageError("give either a folder of the kept side, or --connect, or -i and -E")
        _say(f"reading {folder}")
        return kept_folder(folder, logs=logs)
    with world_to_look_at(ctx, inventory, ensemble, connect, timeout_s) as world:
        _say(f"reading {world.inventory.ensemble}")
        return kept_live(world)


def _json(document: SalvageDocument) -> None:
    from zkprov.report.documents import as_json

    click.echo(as_json(document))


def _say(line: str) -> None:
    click.echo(line, err=True)
