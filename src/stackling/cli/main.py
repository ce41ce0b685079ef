"""The command ``stackling``. Commands are imported when they are called, so that help comes at once."""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Any

import click

from stackling import __version__
from stackling.cli.problem import FAILED, INTERRUPTED, Problem

COMMANDS = {
    "up": ("stackling.cli.up", "Start the cloud on this machine."),
    "down": ("stackling.cli.down", "Stop it; its data stays."),
    "status": ("stackling.cli.status", "Show its processes and what it holds."),
    "quickstart": ("stackling.cli.quickstart", "Start the cloud and a first server."),
    "launch": ("stackling.cli.launch", "Make a server, and all that it needs."),
    "ssh": ("stackling.cli.ssh", "Log in to a server."),
    "ip": ("stackling.cli.ip", "Attach, detach and list floating IPs."),
    "explain": ("stackling.cli.explain", "Say what happened to a resource, and why."),
    "cluster": ("stackling.cli.cluster", "Make several machines one cloud."),
    "install": ("stackling.cli.install", "Have systemd start this machine's cloud at boot."),
    "storage": ("stackling.cli.storage", "Put images, disks and volumes on a Ceph cluster, and check it."),
    "audit": ("stackling.cli.audit", "Compare what is there with what the cloud knows."),
    "ha": ("stackling.cli.ha", "Plan, apply and show what Pacemaker does."),
    "policy": ("stackling.cli.policy", "Show who may do what, and check your own rules."),
    "doctor": ("stackling.cli.doctor", "Check what this machine can do."),
    "lab": ("stackling.cli.lab", "Several machines on this one: switch them off, cut them off, and watch."),
    "purge": ("stackling.cli.purge", "Stop the cloud and delete its data."),
}
EPILOG = """\b
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no such resource
            4 the cloud isn't up or doesn't answer · 5 not in time"""


class Lazy(click.Group):
    """A group whose commands are modules with a function ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name)
        return importlib.import_module(found[0]).command if found else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            from difflib import get_close_matches

            meant = get_close_matches(args[0], COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}{'; did you mean ' + ' or '.join(meant) + '?' if meant else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="stackling")
def stackling() -> None:
    """An OpenStack cloud in one package.

    "stackling up" starts a cloud on this machine; "stackling COMMAND --help" says more of a command.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command; ends the process with its exit code and never with a traceback."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        result: Any = stackling.main(arguments, prog_name="stackling", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"stackling: {_wrong_usage(error)}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; the same command goes on where this one stopped", err=True)
        return INTERRUPTED
    except Problem as problem:
        click.echo(f"stackling: {problem}", err=True)
        return problem.code
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _unexpected(error)
        place = f" ({error.filename})" if error.filename else ""
        click.echo(f"stackling: the disk is full{place}: free some space and run the same command again", err=True)
        return FAILED
    except Exception as error:
        return _unexpected(error)


def _wrong_usage(error: click.ClickException) -> str:
    """What was wrong with the words on the command line, and where to read how they should be."""
    said = " ".join(error.format_message().split()).removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said} (see `{context.command_path} --help`)" if context else said


def _unexpected(error: Exception) -> int:
    """Say it in one line, with the place of the rest."""
    try:
        details = f" (details: {_report()})"
    except OSError:
        details = ""
    click.echo(f"stackling: unexpected {type(error).__name__}: {error}{details}; please report it", err=True)
    return FAILED


def _report() -> str:
    """Keep the traceback in a file; its path."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="stackling-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name


if __name__ == "__main__":
    main()
