"""Loader of commands: import one of the table and add the options that every command has."""

import importlib
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import commands, options, plain_values, stderr


def load(name: str) -> Any:
    """Import the command of that name, add -v and -q, and let plain values be read without pydantic."""
    command = typer.main.get_command(importlib.import_module(commands.available()[name].module).app)
    _add_verbosity_options(command)
    plain_values.read_plainly(command)
    return command


def _add_verbosity_options(command: Any) -> None:
    """Add -v and -q to a command and its subcommands: they mean the same before and after its name."""
    command.params.extend(_verbosity_options())
    for child in getattr(command, "commands", {}).values():
        _add_verbosity_options(child)


def _verbosity_options() -> list[Any]:
    """Make new -v and -q parameters from the declaration of the root's own."""
    carrier = options.command_app()
    carrier.command()(_verbosity)
    return list(typer.main.get_command(carrier).params)


# Flags, not a count: flags are read without pydantic, whose import is a third of a command's start.
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", show_default=False, expose_value=False, callback=stderr.louder, help="Write more messages to stderr."
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", show_default=False, expose_value=False, callback=stderr.quieter, help="Write only errors to stderr."
    ),
]


def _verbosity(verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Declare the two options."""
