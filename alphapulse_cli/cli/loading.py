"""Loader of commands: import one of the table, add the options that every command has, refuse empty values of all others."""

import importlib
from collections.abc import Callable
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import commands, options, plain_values, stderr
from alphapulse_cli.errors import UsageError


def load(name: str) -> Any:
    """Import the command of that name, add -v and -q, have it refuse empty values, and read plain ones without pydantic."""
    command = typer.main.get_command(importlib.import_module(commands.available()[name].module).app)
    _refuse_empty_values(command)
    _add_verbosity_options(command)
    plain_values.read_plainly(command)
    return command


def _refuse_empty_values(command: Any) -> None:
    """Have all parameters of a command and its subcommands refuse an empty text, which would silently give the default.

    A script's variable that is not set gives one: `--symbols "$SYMBOLS"`.
    """
    for parameter in command.params:
        if not getattr(parameter, "is_flag", False):
            parameter.process_value = _refusing_empty(parameter)
    for child in getattr(command, "commands", {}).values():
        _refuse_empty_values(child)


def _refusing_empty(parameter: Any) -> Callable[[Any, Any], Any]:
    """Make the `process_value` of a parameter: UsageError for a given text that is empty, or a list with an empty part."""
    then = parameter.process_value

    def process(context: Any, value: Any) -> Any:
        source = context.get_parameter_source(parameter.name) if context is not None else None
        if source is None or source.name != "DEFAULT":
            for text in value if isinstance(value, list | tuple) else ():
                if isinstance(text, str) and not all(part.strip() for part in text.split(",")):
                    raise _empty(parameter, text)
            if value == "":
                raise _empty(parameter, value)
        return then(context, value)

    return process


def _empty(parameter: Any, text: str) -> UsageError:
    is_option = parameter.param_type_name == "option"
    name = parameter.opts[0] if is_option else parameter.metavar or parameter.name
    hint = f"leave {name} out for its default; a variable of your script may be empty" if is_option else "name one"
    return UsageError(f"{name}: an empty name in {text[:40]!r}" if text.strip() else f"{name}: the value is empty", hint)


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
