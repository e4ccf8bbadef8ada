"""A command of the table, imported, with the options that every command has."""

import importlib
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import commands, options, stderr


def load(name: str) -> Any:
    """The command of that name, imported, with -v and -q."""
    command = typer.main.get_command(importlib.import_module(commands.available()[name].module).app)
    _add_talk_options(command)
    return command


def _add_talk_options(command: Any) -> None:
    """-v and -q mean the same before and after a command's name, at every level."""
    command.params.extend(_talk_options())
    for child in getattr(command, "commands", {}).values():
        _add_talk_options(child)


def _talk_options() -> list[Any]:
    """Fresh -v and -q parameters; made of the same declaration as the root's own."""
    carrier = options.command_app()
    carrier.command()(_talk)
    return list(typer.main.get_command(carrier).params)


# Flags, not a count: a flag alone is parsed without pydantic, which would double the start of every command.
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", show_default=False, expose_value=False, callback=stderr.louder, help="Say more on stderr."),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", show_default=False, expose_value=False, callback=stderr.quieter, help="Say nothing on stderr but errors."
    ),
]


def _talk(verbose: Verbose = False, quiet: Quiet = False) -> None:
    """Carries the two options."""
