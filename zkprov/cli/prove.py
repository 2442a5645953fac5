"""`prove`: whether two quorums can exist (R1), from folders of files, from an inventory, or from servers that answer."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zkprov.cli.target import Connect, connect_options, world_to_look_at

if TYPE_CHECKING:
    from zkprov.model.acting import ProofServer
    from zkprov.model.facts import Disk, Fact, Survey
    from zkprov.report.proof import ProofDocument

LOOK_S, SEARCH_S = 3.0, 10.0
UNBOUNDED = 2**62


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-i", "--inventory", metavar="FILE", help="Ansible inventory. [env: ZKPROV_INVENTORY; else the lab that is up]"
)
@click.option("-E", "--ensemble", metavar="GROUP", help="The group in it. [env: ZKPROV_ENSEMBLE]")
@connect_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, 3600),
    default=None,
    help=f"Seconds for the look at all servers ({LOOK_S:g} by default), and as many for the search ({SEARCH_S:g}).",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def prove(
    ctx: click.Context,
    folder: Path | None,
    inventory: str | None,
    ensemble: str | None,
    connect: Connect | None,
    timeout_s: float | None,
    output: str,
) -> None:
    """Prove that no two quorums can exist, or show who could elect whom, by which file.

    DIR holds one folder per server, with its files as they lie on the server: zoo.cfg, myid, zoo.cfg.dynamic.<hex> and
    zoo.cfg.dynamic.next (and version-2, where an empty server is to be told from one with data). Without DIR the servers
    of the inventory, or those of --connect, are asked. Exit 0 safe, 3 unsafe, 4 unknown.
    """
    search_s = SEARCH_S if timeout_s is None else timeout_s
    if folder is not None:
        if connect or inventory or ensemble:
            raise click.UsageError("give either DIR, or --connect, or -i and -E: they are different servers")
        document = prove_folders(folder, search_s)
    else:
        look_s = LOOK_S if timeout_s is None else max(timeout_s, 0.05)
        with world_to_look_at(ctx, inventory, ensemble, connect, look_s) as world:
            survey = world.survey()
        document = prove_survey(survey, search_s)
    from zkprov.report.documents import as_json
    from zkprov.report.proof import text

    click.echo(as_json(document) if output == "json" else text(document))
    ctx.exit({"safe": 0, "unsafe": 3, "unknown": 4}[str(document.verdict)])


def prove_folders(folder: Path, search_s: float = SEARCH_S) -> ProofDocument:
    """The proof for the servers whose folders lie in `folder`. Raises `BadInput` where there are none."""
    from zkprov.judge.may_act import servers_on_disks

    disks = _disks(folder)
    notes = tuple(problem for _, fact in disks if fact.value for problem in fact.value.problems)
    return _prove(str(folder), servers_on_disks(disks), notes, search_s)


def prove_survey(survey: Survey, search_s: float = SEARCH_S) -> ProofDocument:
    """The proof for all that a survey saw, and what it could not see."""
    from zkprov.judge.may_act import servers_of
    from zkprov.judge.picture import picture_of

    return _prove(survey.ensemble, servers_of(picture_of(survey)), (), search_s)


def _prove(target: str, servers: Sequence[ProofServer], notes: tuple[str, ...], search_s: float) -> ProofDocument:
    from zkprov.model import proof
    from zkprov.report.proof import proof_document

    began = time.monotonic()
    result = proof.Proof(proof.Verdict.UNKNOWN, reason="no list of any server could be read")
    if servers:
        result = proof.prove(servers, steps=UNBOUNDED, clock=time.monotonic, budget_s=search_s)
    # What is to be fetched says it already.
    told = "\n".join(result.fetch)
    notes = tuple(note for note in notes if note not in told)
    unseen = ", ".join(s.name for s in servers if not s.seen and not s.gone)
    if unseen and result.safe:
        notes += (f"nobody has seen the files of {unseen}: taken to act under any list that was seen",)
    return proof_document(target, result, notes=notes, took_s=time.monotonic() - began)


def _disks(folder: Path) -> list[tuple[str, Fact[Disk]]]:
    """(name, files) of each server's folder, in the order of the numbers in their names."""
    from zkprov.model.facts import Outcome
    from zkprov.model.problems import BadInput
    from zkprov.observe.disk import read_folder

    remedy = "DIR holds one folder per server, each with its zoo.cfg, myid and dynamic files"
    try:
        entries = sorted((p for p in folder.iterdir() if not p.name.startswith(".") and p.is_dir()), key=_in_order)
    except OSError as error:
        raise BadInput(error.strerror or str(error), place=str(folder), remedy=remedy) from None
    found = [(p.name, read_folder(p, p.name)) for p in entries]
    servers = [(name, fact) for name, fact in found if fact.outcome is not Outcome.ABSENT]
    if not servers:
        if (folder / "zoo.cfg").exists():
            remedy = f"{folder} is one server's folder; give the folder that holds those of all servers"
        raise BadInput("no folder of a server in it", place=str(folder), remedy=remedy)
    return servers


def _in_order(path: Path) -> list[tuple[int, str]]:
    """zk2 before zk10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
