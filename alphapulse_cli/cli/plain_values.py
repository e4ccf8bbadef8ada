"""Values of options read without pydantic, which typer imports for each value it looks at: a third of a command's start.

    not given               None, or no values at all
    texts                   themselves
    numbers                 those of plain digits, and defaults, between the option's bounds
    options with a parser   what the parser makes of the value

All others, and every value that is wrong, are typer's: its checks, its words.
"""

import math
from typing import Any

MOST_DIGITS = 9


class _NotPlain(Exception):
    """The value is not one of the plain ones: no error, typer reads it."""


class _Reader:
    """Reader of one parameter's values, in place of the one that typer makes with pydantic."""

    def __init__(self, parameter: Any, typers: Any) -> None:
        self.parameter, self.typers = parameter, typers

    def coerce(self, value: Any, *rest: Any, **named: Any) -> Any:
        """Parse a value with the result, or the error, of typer's own reader."""
        try:
            return _plain(value, self.parameter)
        except (_NotPlain, ValueError, AssertionError):
            return self.typers().coerce(value, *rest, **named)


def read_plainly(command: Any) -> None:
    """Make a command and its subcommands use typer's own reader, which imports pydantic, only for values that are not plain."""
    for parameter in command.params:
        _read_parameter_plainly(parameter)
    typers = command.get_help_option

    def help_option(context: Any) -> Any:  # made when it is first asked for
        option = typers(context)
        if option is not None:
            _read_parameter_plainly(option)
        return option

    command.get_help_option = help_option
    for child in getattr(command, "commands", {}).values():
        read_plainly(child)


def _read_parameter_plainly(parameter: Any) -> None:
    typers = getattr(parameter, "get_runtime_param", None)
    if typers is not None:  # another version of typer may read in another way
        reader = _Reader(parameter, typers)
        parameter.get_runtime_param = lambda: reader


def _plain(value: Any, parameter: Any) -> Any:
    has_several = parameter.multiple or parameter.nargs == -1
    if value is None:
        return () if has_several else None
    information, annotation = parameter.type_descriptor.parameter_info, parameter.type_descriptor.annotation
    if has_several:
        if annotation == list[str] and information.parser is None and isinstance(value, list | tuple) and all(map(_is_text, value)):
            return list(value)
    elif information.parser is not None:
        return information.parser(value)
    elif annotation is str and _is_text(value):
        return value
    elif annotation in (int, float):
        number = _number(value, annotation)
        if (information.min is None or number >= information.min) and (information.max is None or number <= information.max):
            return number
    raise _NotPlain


def _number(value: Any, kind: type) -> Any:
    """Number of plain digits, for a float with a point between them; or one already, as a default is."""
    is_number = type(value) is kind  # neither True nor a whole number for a float
    if is_number and (kind is int or math.isfinite(value)):
        return value
    if _is_text(value) and value.isascii() and len(value) <= MOST_DIGITS:
        whole, point, fraction = value.partition(".")
        if whole.isdigit() and (fraction.isdigit() if point and kind is float else not point):
            return kind(value)
    raise _NotPlain


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
