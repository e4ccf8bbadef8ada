"""Values of options that are not on the command line: from each option's environment variable or its key in the configuration.

    alphapulse tail deltas --count 5   >   ALPHAPULSE_TAIL_DELTAS_COUNT=5   >   [command.tail.deltas] count = 5   >   the general key

The names of variable and key follow from the command's path and the option's long name; there is no table of them. Typer asks a
mapping for the values that the command line leaves out. `Defaults` is that mapping; it reads the files only when it is asked, so
that help and completion read none. A value is checked as on the command line, and an error names the variable or the file. The
command `config` reads no section, so that it runs with a faulty file; a child process (`--supervised`) reads none, since its parent
did.
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
    """Key of an option, from its long name: `wait_for` for --wait-for; "" for a parameter that only the command line can set."""
    if parameter.param_type_name != "option" or not parameter.expose_value or parameter.hidden:
        return ""
    return str(max(parameter.opts, key=len)).lstrip("-").replace("-", "_")


def variable(path: tuple[str, ...], key: str) -> str:
    """Name of the option's environment variable, as ALPHAPULSE_TAIL_DELTAS_WAIT_FOR."""
    return PREFIX + "_".join((*path, key)).replace("-", "_").upper()


class Defaults(dict[str, Any]):
    """Values of the parameters of one command that the command line leaves out; the Defaults of its subcommands by their names."""

    def __init__(self, command: Any, path: tuple[str, ...], context: Any, above: "Defaults | None" = None) -> None:
        super().__init__()
        self._context = context
        self._path = path
        self._above = above
        children = getattr(command, "commands", {}).items()
        self._children = {name: Defaults(child, (*path, name), context, self) for name, child in children}
        self._parameters = {one.name: one for one in command.params if key_of(one)}

    def get(self, name: str, default: Any = None) -> Any:
        """Defaults of the subcommand `name`, or the value of the parameter `name`.

        UsageError, with its origin, for a wrong value.
        """
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
        """Iterate over (key, value, origin) of this command and its subcommands. UsageError for an unknown key or a wrong value."""
        self.refuse_unknown()
        for parameter in self._parameters.values():
            found = self._found(parameter)
            if found is not None:
                self._checked(parameter, *found)
                yield ".".join(("command", *self._path, key_of(parameter))), *found
        for child in self._children.values():
            yield from child.set_values()

    def variables(self) -> Iterator[str]:
        """Names of the variables of all options of this command and its subcommands."""
        for parameter in self._parameters.values():
            yield variable(self._path, key_of(parameter))
        for child in self._children.values():
            yield from child.variables()

    def _found(self, parameter: Any) -> tuple[Any, str] | None:
        name = variable(self._path, key_of(parameter))
        text = os.environ.get(name)
        if text or (text is not None and parameter.multiple):  # empty: not set, but no list, which would silently be the default
            return ([text] if parameter.multiple else text), name
        self.refuse_unknown()
        for file, table in self._sections():
            if key_of(parameter) in table:
                return table[key_of(parameter)], f"{file}: {'.'.join(('command', *self._path, key_of(parameter)))}"
        return None

    def _sections(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Iterate over (file, section) of this command, the file with precedence first.

        UsageError for a value that is no section.
        """
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
        """Check the keys of this command's sections and those above. UsageError for an unknown key."""
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
        """The value as the command line would give it. UsageError, with its origin, for a wrong value."""
        import typer

        from alphapulse_cli.edges.config import value_types

        if parameter.multiple and value == []:
            raise UsageError(f"{origin}: the list is empty", _about(parameter))
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
    """Make the `default_map` of a root context for the command that was typed as `name`."""
    entry = commands.available()[name]
    return {name: Defaults(command, (entry.alias_of or entry.name,), context)}


def everything(context: Any) -> Iterator[Defaults]:
    """Iterate over the Defaults of every command; imports all commands."""
    for name, entry in commands.available().items():
        if not entry.alias_of:
            yield Defaults(load(name), (name,), context)


def refuse_unknown_commands(sections: Any) -> None:
    """Check the names of `[command.NAME]` sections. UsageError for an unknown command."""
    from alphapulse_cli.edges.config import layers

    known = [name for name, entry in commands.available().items() if not entry.alias_of]
    for file, table in sections:
        for name in table:
            if name not in known:
                raise UsageError(f"{file}: unknown command {name!r} in [command.{name}]", layers.nearest(name, known))


def variables_like(name: str) -> list[str]:
    """Variables of the command whose name begins this variable's name; [] if there is no such command."""
    for command, entry in commands.available().items():
        if not entry.alias_of and name.startswith(variable((command,), "")):
            return list(Defaults(load(command), (command,), None).variables())
    return []


def check(loaded: "Settings") -> None:
    """Warn of ALPHAPULSE_ variables that set no key or option. UsageError for a section of an unknown command."""
    from alphapulse_cli.edges.config import layers

    refuse_unknown_commands(loaded.commands)
    is_for_a_person = "--supervised" not in sys.argv and "_ALPHAPULSE_COMPLETE" not in os.environ  # the parent has warned already
    for name, near in layers.misspelt(variables_like) if is_for_a_person else ():
        stderr.warning(f"{safe(name)} sets nothing" + (f"; did you mean {near}?" if near else ": there is no such key"))
