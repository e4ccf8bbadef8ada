"""Options that are not on the command line: each has a variable and a key of its command's section, without a table of them anywhere.

    alphapulse tail deltas --count 5   >   ALPHAPULSE_TAIL_DELTAS_COUNT=5   >   [command.tail.deltas] count = 5   >   the general key

The names follow from the command's path and the option's long name. Typer asks a mapping for what is not on the command line; `Defaults`
is that mapping, and looks only when it is asked, so that help and completion read no file. A value is checked as the option checks its
own, and an error names the variable or the file. `config` reads no section, so that it can mend a file with a mistake in it; nor does a
process that we start (`--supervised`), whose parent has read them.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alphapulse_cli.cli import commands, options, stderr
from alphapulse_cli.cli.loading import load
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.edges.config.layers import Settings

PREFIX = "ALPHAPULSE_"


def key_of(parameter: Any) -> str:
    """The option's long name as a key: `wait_for` of --wait-for; "" for what cannot be set below the command line."""
    if parameter.param_type_name != "option" or not parameter.expose_value or parameter.hidden:
        return ""
    return str(max(parameter.opts, key=len)).lstrip("-").replace("-", "_")


def variable(path: tuple[str, ...], key: str) -> str:
    """Name of the option's environment variable, as ALPHAPULSE_TAIL_DELTAS_WAIT_FOR."""
    return PREFIX + "_".join((*path, key)).replace("-", "_").upper()


class Defaults(dict[str, Any]):
    """Values of one command's parameters that the command line leaves out; those of the commands below it by their names."""

    def __init__(self, command: Any, path: tuple[str, ...], context: Any, above: "Defaults | None" = None) -> None:
        super().__init__()
        self._context = context
        self._path = path
        self._above = above
        children = getattr(command, "commands", {}).items()
        self._children = {name: Defaults(child, (*path, name), context, self) for name, child in children}
        self._parameters = {one.name: one for one in command.params if key_of(one)}

    def get(self, name: str, default: Any = None) -> Any:
        """A command below this one, or the value of a parameter. UsageError, naming where it was set, for one that is wrong."""
        if name in self._children:
            return self._children[name]
        parameter = self._parameters.get(name)
        if parameter is None:
            return default
        found = self._found(parameter)
        if found is None:
            return default
        value, origin = found
        return self._checked(parameter, value, origin)

    def set_values(self) -> Iterator[tuple[str, Any, str]]:
        """(key, value, where it was set) of all that is set here and below. UsageError for a key that is none, or a wrong value."""
        self.refuse_unknown()
        for parameter in self._parameters.values():
            found = self._found(parameter)
            if found is not None:
                self._checked(parameter, *found)
                yield ".".join(("command", *self._path, key_of(parameter))), *found
        for child in self._children.values():
            yield from child.set_values()

    def variables(self) -> Iterator[str]:
        """The variables of all options here and below."""
        for parameter in self._parameters.values():
            yield variable(self._path, key_of(parameter))
        for child in self._children.values():
            yield from child.variables()

    def _found(self, parameter: Any) -> tuple[Any, str] | None:
        name = variable(self._path, key_of(parameter))
        text = os.environ.get(name)
        if text:  # set but empty: as if it were not
            return ([text] if parameter.multiple else text), name
        self.refuse_unknown()
        for file, table in self._sections():
            if key_of(parameter) in table:
                return table[key_of(parameter)], f"{file}: {'.'.join(('command', *self._path, key_of(parameter)))}"
        return None

    def _sections(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The sections of this command, the stronger file first."""
        for file, top in options.settings().commands:
            table: Any = top
            for step in self._path:
                table = table.get(step, {})
                if not isinstance(table, dict):
                    raise UsageError(
                        f"{file}: command.{'.'.join(self._path)} must be a section", f"write [command.{'.'.join(self._path)}]"
                    )
            yield file, table

    def refuse_unknown(self) -> None:
        """UsageError for a key of this section, or of one that it is in, that is none."""
        from alphapulse_cli.edges.config import layers

        if self._above is not None:
            self._above.refuse_unknown()
        known = [*self._children, *map(key_of, self._parameters.values())]
        for file, table in self._sections():
            for key in table:
                if key not in known:
                    where = ".".join(("command", *self._path, key))
                    raise UsageError(f"{file}: unknown key {where!r}", layers.nearest(key, known))

    def _checked(self, parameter: Any, value: Any, origin: str) -> Any:
        """The value as the command line would have brought it."""
        import typer

        from alphapulse_cli.edges.config import value_types

        if parameter.multiple and isinstance(value, list):
            texts: Any = [str(part) for part in value]
        elif isinstance(value, dict | list):
            raise UsageError(f"{origin}: expected one value, got {value_types.described(value)}", _about(parameter))
        elif parameter.is_flag and not isinstance(value, bool | str):
            raise UsageError(f"{origin}: expected true or false, got {value_types.described(value)}", _about(parameter))
        else:
            texts = value if parameter.is_flag else str(value)
            texts = [texts] if parameter.multiple and isinstance(texts, str) else texts
        try:
            parameter.process_value(self._context, texts)
        except UsageError as wrong:
            raise UsageError(f"{origin}: {wrong}", wrong.hint) from None
        except typer.TyperException as wrong:
            raise UsageError(f"{origin}: {getattr(wrong, 'message', wrong)}".rstrip("."), _about(parameter)) from None
        return texts


def _about(parameter: Any) -> str:
    return f"{max(parameter.opts, key=len)}: {parameter.help}"


def defaults(name: str, command: Any, context: Any) -> dict[str, Any]:
    """The `default_map` of a root context for the command that was typed as `name`."""
    entry = commands.available()[name]
    return {name: Defaults(command, (entry.alias_of or entry.name,), context)}


def everything(context: Any) -> Iterator[Defaults]:
    """The Defaults of every command; imports them all."""
    for name, entry in commands.available().items():
        if not entry.alias_of:
            yield Defaults(load(name), (name,), context)


def refuse_unknown_commands(sections: Any) -> None:
    """UsageError for a `[command.NAME]` of no command."""
    from alphapulse_cli.edges.config import layers

    known = [name for name, entry in commands.available().items() if not entry.alias_of]
    for file, table in sections:
        for name in table:
            if name not in known:
                raise UsageError(f"{file}: unknown command {name!r} in [command.{name}]", layers.nearest(name, known))


def variables_like(name: str) -> list[str]:
    """The variables of the command that a variable's name begins with; [] where it begins with none's."""
    for command, entry in commands.available().items():
        if not entry.alias_of and name.startswith(variable((command,), "")):
            return list(Defaults(load(command), (command,), None).variables())
    return []


def check(loaded: "Settings") -> None:
    """Warn of variables that set nothing. UsageError for a section of no command."""
    from alphapulse_cli.edges.config import layers

    refuse_unknown_commands(loaded.commands)
    is_for_a_person = "--supervised" not in sys.argv and "_ALPHAPULSE_COMPLETE" not in os.environ  # a parent has said it
    for name, near in layers.misspelt(variables_like) if is_for_a_person else ():
        stderr.warning(f"{safe(name)} sets nothing" + (f"; did you mean {near}?" if near else ": there is no such key"))
