"""The `alphapulse` command itself: a group that imports a command only when it is invoked.

    arguments ─► Root.resolve_command ─► import cli/<name>.py ─► its `app` as a command, with -v and -q added ─► run

Listing, help and completion of names read the table of `cli/commands.py`. Help is plain text: it needs no rich, reads the same in a
pipe, and the reference pages are generated from it.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from alphapulse_cli import __version__
from alphapulse_cli.cli import commands, configured, options, plain_values
from alphapulse_cli.cli.loading import Quiet, Verbose, load
from alphapulse_cli.edges.process import PROGRAM

options.LOOKS_AT_SETTINGS.append(configured.check)


class Root(options.Group):
    """Group of all commands; until one is invoked it has a name and a line of help for each."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands whose modules exist, without aliases."""
        return [name for name, entry in commands.available().items() if not entry.alias_of]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Stand-in of a command for lists: its name and help, without an import."""
        entry = commands.available().get(cmd_name)
        return TyperCommand(cmd_name, help=entry.help, rich_markup_mode=None) if entry is not None else None

    def command_names(self) -> list[str]:
        """Names that may be typed, aliases included."""
        return list(commands.available())

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import and return the command that was typed. UsageError, with the near matches, for an unknown name."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        if name is None or stand_in is None:
            return name, None, rest
        command = load(name)
        if (
            not ctx.resilient_parsing
            and name != "config"
            and not {"--supervised", *options.CONTEXT["help_option_names"]} & set(rest)
        ):
            ctx.default_map = configured.defaults(name, command, ctx)
        return name, command, rest


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, expose_value=False, callback=_print_version, show_default=False, help="Print the version."
        ),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Exact crypto order books and trades in lock-free shared memory.

    One process collects an exchange; any number of other processes read its books in about a microsecond. To see it without a
    network: alphapulse demo.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def command(completion: bool = True) -> Any:
    """Make the root command; without `completion` it lacks typer's completion options."""
    app = typer.Typer(
        name=PROGRAM,
        cls=Root,
        callback=_root,
        add_completion=completion,
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog="Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 nothing to attach to, 4 integrity failure, 5 target missed, "
        "6 exchange or network, 7 already running, 130 interrupted.",
        context_settings=options.CONTEXT,
    )
    made = typer.main.get_command(app)
    plain_values.read_plainly(made)
    return made
