"""Text for people: tables and verdicts at 80 columns, readable without colour and in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zkprov.judge.verdict import Verdict
from zkprov.plan.steps import Plan, Refusal, StepKind
from zkprov.report.documents import StatusDocument

if TYPE_CHECKING:
    from rich.console import Console

    from zkprov.model.problems import Problem
    from zkprov.model.tree import Compared
    from zkprov.run.result import Result

COLOURS = {
    "safe": "green",
    "degraded": "yellow",
    "unknown": "yellow",
    "unsafe": "bold red",
    "pass": "green",
    "fail": "red",
}


def console(*, err: bool = False) -> Console:
    """Colour only on a terminal; 80 columns where there is none; no markup is ever read from what servers say."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Rich would end the whole program, in the middle of a run as well."""
            raise BrokenPipeError("nobody reads any more")

    stream = sys.stderr if err else sys.stdout
    return Screen(
        file=stream, markup=False, highlight=False, emoji=False, soft_wrap=False, width=None if stream.isatty() else 100
    )


def table(out: Console, head: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = (0,)) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for number, name in enumerate(head):
        last = number == len(head) - 1
        shown.add_column(
            Text(name),
            justify="right" if number in right else "left",
            no_wrap=not last,
            overflow="fold" if last else "ellipsis",
        )
    for row in rows:
        shown.add_row(*(Text("" if cell is None else _plain(str(cell))) for cell in row))
    if out.is_terminal:
        out.print(shown)
        return
    # what goes to a file or a log has no blanks at the ends of its lines
    with out.capture() as captured:
        out.print(shown)
    out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _plain(text: str) -> str:
    """Control characters that a hostile server put into its answer never reach the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def status(document: StatusDocument, *, gates: bool = False) -> None:
    from rich.text import Text

    out, head = console(), document.ensemble
    line = Text()
    line.append(f"{head.name}  ", style="bold")
    line.append(f"{str(head.verdict).upper()}  ", style=COLOURS.get(str(head.verdict), ""))
    line.append(_plain(head.headline))
    out.print(line)
    facts = []
    if head.epoch is not None:
        facts.append(f"epoch {head.epoch}")
    if head.config_version is not None:
        facts.append(f"config {head.config_version}")
    facts.append(f"{len(head.voters)} voters" + (f", {len(head.observers)} observers" if head.observers else ""))
    lost = any(g.gate == "spare" and g.verdict is Verdict.FAIL for g in document.gates)
    facts.append(f"{head.spare} may fail" if head.spare >= 0 else "quorum lost" if lost else "no quorum seen")
    out.print(f"  {', '.join(facts)}; {head.answered} of {head.asked} known servers answer ({head.took_s:.2f} s)")
    if head.groups:
        out.print("  a quorum wins more than half of " + ", ".join(f"group {g} {x}" for g, x in head.groups.items()))
    for found in document.incidents:
        for what in found.evidence:
            out.print(_plain(f"  {what}"))
    if len(head.histories) > 1:
        out.print(f"  {len(head.histories)} histories")
        for told, holders in head.histories.items():
            out.print(_plain(f"    {told} — on {', '.join(holders)}"))
    if head.clients_beside:
        out.print(f"  {head.clients_beside} client sessions are on servers beside the ensemble")
    if document.trees is not None:
        out.print(_plain(f"  {_trees(document.trees)}"))
    if head.paused is not None:
        out.print(f"  paused: {_plain(head.paused)}")
    out.print()
    narrow = out.width < 110
    rows = []
    for s in document.servers:
        note = s.note or (f"{s.clients} clients" if s.clients else "")
        voting = None if s.voting is None else ("yes" if s.voting else "no")
        rows.append(
            [
                s.id,
                s.name,
                s.role,
                s.mode or "-",
                s.leader,
                s.epoch,
                s.zxid,
                s.config_version,
                voting,
                s.release,
                s.history,
                f"{s.age_s:.1f}",
                note,
            ]
        )
    columns = [
        "id",
        "server",
        "role",
        "mode",
        "led by",
        "epoch",
        "zxid",
        "version",
        "voting",
        "release",
        "history",
        "age s",
        "note",
    ]
    keep = [0, 1, 2, 3, 6, 8, 9, 10, 12] if narrow else list(range(13))
    table(out, [columns[i] for i in keep], [[row[i] for i in keep] for row in rows])
    for retired in document.retired:
        out.print(
            f"retired: {retired.id} ({_plain(retired.host)}), {retired.fate}{', ' + _plain(retired.where) if retired.where else ''}"
        )
    untold = [g for g in document.gates if g.verdict is Verdict.UNKNOWN and not g.required]
    # its incidents stand above, with their evidence
    listed = [g for g in document.gates if not (document.incidents and g.gate == "no incident")]
    shown = [g for g in listed if gates or (g.verdict is not Verdict.PASS and g not in untold)]
    if shown:
        out.print()
        table(out, ["gate", "verdict", "evidence"], [[g.gate, str(g.verdict), g.summary] for g in shown], right=())
    unseen = sorted({u for s in document.servers if s.mode or s.config_version for u in s.unseen})
    missing = [] if gates else [f"{g.gate}: {g.summary}" for g in untold]
    if unseen or missing:
        out.print()
        out.print("not told  " + _plain("; ".join((*missing, *unseen[:8]))))
    for number, step in enumerate(document.next):
        out.print(f"{'next  ' if number == 0 else '      '}{_plain(step)}")


def _trees(compared: Compared) -> str:
    differ = f"{len(compared.differences)} znodes differ" if compared.differences else "nothing differs"
    problems = "".join(f"; {p}" for p in compared.problems)
    return f"trees: {compared.znodes} znodes on each of {len(compared.servers)} servers, {differ}{problems}"


def plan(made: Plan) -> None:
    out = console()
    out.print(f"Plan {made.id} on {made.ensemble} (config {made.base.version_hex}, leader {made.leader})")
    if made.split is not None:
        from zkprov.report.heal import told

        for line in told(made.split):
            out.print(_plain(line), soft_wrap=True)
    table(
        out,
        ["#", "step", "list after", "proof", "may fail after"],
        [[s.number, s.title, str(s.after), s.proof, s.spare_after] for s in made.steps],
    )
    joiners = {j.server.id for j in made.joiners if j.server.votes}
    if joiners:
        new = sorted(joiners | set(made.unseasoned))
        waits = any(s.kind is StepKind.SEASON for s in made.steps)
        said = (
            "at no time a quorum: the plan waits for seasoning"
            if waits
            else f"can elect nobody: {made.final.quorums.describe()}"
        )
        out.print(f"newcomers {{{','.join(str(i) for i in new)}}} {said}")
    if made.split is not None:
        out.print("a copy of each disk before anybody is stopped; one quorum is proved before anybody comes back")
    elif made.states_proved:
        out.print(f"a crash in any of these steps leaves one quorum (proved: {made.states_proved} states)")
    else:
        out.print("the list stays as it is, and so does the proof of one quorum")
    for lacking in made.missing:
        out.print(f"missing  {_plain(lacking)}")
    for note in made.notes:
        out.print(f"note  {_plain(note)}")


def refusal(refused: Refusal) -> None:
    out = console(err=True)
    out.print(_plain(str(refused)), style="bold")
    for line in refused.evidence:
        out.print(f"  {_plain(line)}")
    width = max((len(command) for command, _ in refused.next), default=0)
    for number, (command, what) in enumerate(refused.next):
        text = f"{command:<{width}}  {what}" if command and what else command or what
        out.print(f"{'next  ' if number == 0 else '      '}{_plain(text)}")


def problem(wrong: Problem) -> None:
    from zkprov.model.problems import BadInputs

    out = console(err=True)
    if isinstance(wrong, BadInputs):
        # one a line: each is a line by itself, and its own line breaks are none
        first, *rest = str(wrong).split("\n")
        out.print(_plain(f"error: {first}"), soft_wrap=True)
        for line in rest:
            out.print(_plain(line), soft_wrap=True)
    else:
        out.print(_plain(f"error: {wrong}"), soft_wrap=True)
    if wrong.remedy:
        out.print(_plain(f"next   {wrong.remedy}"), soft_wrap=True)


def lines(text: Iterable[str]) -> None:
    """Each as it is, the first in bold."""
    out = console()
    for number, line in enumerate(text):
        out.print(_plain(line), style="bold" if number == 0 else "", soft_wrap=True)


def result(ended: Result) -> None:
    out = console(err=ended.exit_code != 0)
    out.print(_plain(ended.headline), style="bold" if ended.exit_code else "green")
    for line in ended.evidence:
        out.print(f"  {_plain(line)}")
    if ended.undone:
        out.print(f"undone  {_plain(ended.undone)}")
    if ended.stands:
        out.print(f"stands  {_plain(ended.stands)}")
    if ended.exit_code == 0 and ended.longest_pause_s:
        out.print(f"longest pause that a client saw: {ended.longest_pause_s * 1000:.0f} ms")
    for number, step in enumerate(ended.next):
        # a command is copied whole, whatever the width of the terminal
        out.print(f"{'next    ' if number == 0 else '        '}{_plain(step)}", soft_wrap=True)
