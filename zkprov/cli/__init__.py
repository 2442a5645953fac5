"""The command line: parses, calls, prints; decides nothing. Commands are imported when they are called, not before."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable

import click

from zkprov import __version__

COMMANDS = {
    "lab": ("zkprov.cli.lab:lab", "Real ensembles on this machine, to try things on."),
    "status": ("zkprov.cli.look:status", "Every server, who leads whom, and one verdict."),
    "check": ("zkprov.cli.look:check", "All gates once: exit 0, 3 (unsafe) or 4 (not healthy)."),
    "prove": ("zkprov.cli.prove:prove", "Prove that no two quorums can exist, or show who could elect whom."),
    "ok-to-stop": ("zkprov.cli.ok_to:ok_to_stop", "Whether servers may be stopped, all at once: exit 0 or 3."),
    "ok-to-remove": (
        "zkprov.cli.ok_to:ok_to_remove",
        "Whether servers may leave the list, one after the other: exit 0 or 3.",
    ),
    "plan": ("zkprov.cli.change:plan", "Work a change out, prove each step, print it or refuse."),
    "apply": ("zkprov.cli.change:apply", "Carry out a plan that was saved."),
    "bootstrap": ("zkprov.cli.bootstrap:bootstrap", "Make an ensemble of bare hosts: one founder, then one at a time."),
    "recover": ("zkprov.cli.recover:recover", "Found an ensemble anew whose quorum is lost for good."),
    "add-node": ("zkprov.cli.change:add_node", "Add servers, one at a time: plan, question, apply."),
    "remove-node": (
        "zkprov.cli.leave:remove_node",
        "Remove servers, one at a time, completely: plan, question, apply.",
    ),
    "replace-node": (
        "zkprov.cli.replace:replace_node",
        "Put a new server in the place of another: plan, question, apply.",
    ),
    "set-role": ("zkprov.cli.role:set_role", "Give a member a vote, or take it: plan, question, apply."),
    "set-address": (
        "zkprov.cli.address:set_address",
        "Give a member other ports, or another name: plan, question, apply.",
    ),
    "restart": (
        "zkprov.cli.restart:restart",
        "Restart members, one at a time, the leader last: plan, question, apply.",
    ),
    "upgrade": (
        "zkprov.cli.upgrade:upgrade",
        "Bring all members to another release, one at a time: plan, question, apply.",
    ),
    "downgrade": (
        "zkprov.cli.upgrade:downgrade",
        "Bring all members back to an older release, where it reads what was written.",
    ),
    "heal": ("zkprov.cli.heal:heal", "Lead out of a second ensemble: one side is kept, the others are fenced."),
    "adopt": ("zkprov.cli.adopt:adopt", "Take over an ensemble that zkprov did not make: plan, question, apply."),
    "grant": ("zkprov.cli.grant:grant", "Let somebody who is not the super user change the ensemble."),
    "resume": ("zkprov.cli.runs:resume", "Take up a run that was stopped, from here or from elsewhere."),
    "abort": ("zkprov.cli.runs:abort", "End a run that was stopped; undo what is surely undoable."),
    "pause": ("zkprov.cli.runs:pause", "The kill switch: no run goes on while it is set."),
    "unpause": ("zkprov.cli.runs:unpause", "Lift the kill switch."),
    "history": ("zkprov.cli.runs:history", "The runs that this machine's journal knows."),
    "runbook": ("zkprov.cli.runbook:runbook", "Files of steps with maintenance windows: run, validate, schedule."),
    "report": ("zkprov.cli.report:report", "What a run did: a page with its timeline, text for a ticket, or data."),
    "backup": ("zkprov.cli.backup:backup", "Configs, epochs and data, kept on the hosts: create, list, verify, fetch."),
    "salvage": (
        "zkprov.cli.salvage:salvage",
        "What was acknowledged on the losing side of a split: written down, shown, replayed when asked for.",
    ),
    "retired": ("zkprov.cli.retired:retired", "Servers that left: list, clear, attest."),
    "render": ("zkprov.cli.render:render", "Show a host's files as they would be written."),
    "completion": ("zkprov.cli.completion:completion", "Print what makes a shell complete commands and host names."),
}


class LazyGroup(click.Group):
    """Knows its commands by name, and imports one when it is asked for: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 — the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="zkprov")
@click.option("-i", "--inventory", metavar="FILE", help="An Ansible inventory. [env: ZKPROV_INVENTORY]")
@click.option("-E", "--ensemble", metavar="GROUP", help="The group in it. [env: ZKPROV_ENSEMBLE]")
@click.option("--journal", metavar="FILE", help="Where runs are recorded. [env: ZKPROV_JOURNAL]")
@click.pass_context
def zkprov(ctx: click.Context, inventory: str | None, ensemble: str | None, journal: str | None) -> None:
    """Change the membership of Apache ZooKeeper ensembles without ever electing a second leader.

    Exit codes: 0 done or safe, 1 failed, 2 wrong usage, 3 refused or unsafe, 4 not healthy, 5 busy or paused,
    6 stale, 7 interrupted (zkprov resume).
    """
    ctx.obj = {"inventory": inventory, "ensemble": ensemble, "journal": journal}


def main() -> None:
    """The entry point: every foreseen problem becomes one clear error with its exit code; no traceback reaches a user."""
    _on_signal(_interrupted)
    try:
        code = zkprov.main(standalone_mode=False, prog_name="zkprov")
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.ClickException as wrong:
        wrong.show()
        code = wrong.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing was changed", err=True)
        code = 7
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except Exception as wrong:
        code = _told(wrong)
    # what this command did is done; Python, while it ends, would else give its signals back to the system, which kills
    _on_signal(signal.SIG_IGN)
    sys.exit(code if isinstance(code, int) else 0)


def _on_signal(handler: Callable[[int, object], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupted(_number: int, _frame: object) -> None:
    """The first signal ends what looks or plans; a second one changes nothing. What acts has its own way (`zkprov.cli.conduct`)."""
    _on_signal(signal.SIG_IGN)
    raise KeyboardInterrupt


def _told(wrong: Exception) -> int:
    from zkprov.model.problems import Problem

    if isinstance(wrong, Problem):
        from zkprov.report.console import problem

        problem(wrong)
        return wrong.exit_code
    import os
    import traceback

    if os.environ.get("ZKPROV_TRACEBACK"):
        traceback.print_exc()
    click.echo(f"error: zkprov itself failed: {type(wrong).__name__}: {wrong}", err=True)
    click.echo(
        "next   run it again with ZKPROV_TRACEBACK=1 and report what it prints; zkprov history shows what was begun",
        err=True,
    )
    return 1
