"""Plain values are read without pydantic, and what is read is what typer reads, for every parameter of every command."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer

from alphapulse_cli.cli import commands, plain_values
from alphapulse_cli.cli.loading import load
from alphapulse_cli.errors import AlphapulseError

TEXTS = [
    "",
    " ",
    "0",
    "5",
    "007",
    "-1",
    "+5",
    "1.5",
    "1.",
    ".5",
    "1.5.5",
    "0.05",
    "1e3",
    "inf",
    "1_0",
    "70000",
    "9" * 9,
    "9" * 30,
    "10s",
    "soon",
    "BTC-USD",
    "a,b",
    "\x1b[2J",
]
TEXTS += ["é", "\u0665", "\udcff", "true", "NaN"]
OTHERS = [
    None,
    True,
    False,
    5,
    -1,
    1.5,
    -0.5,
    float("nan"),
    float("inf"),
    2**70,
    [],
    (),
    ["a", "b"],
    ("a",),
    ["\udcff"],
    ["a", 5],
    [["a"]],
    {"a": 1},
    b"a",
]


def parameters():
    """(path, command, parameter) of all commands, as typer made them."""
    for name, entry in commands.available().items():
        if not entry.alias_of:
            yield from below(load(name), name)


def below(command, path):
    for parameter in command.params:
        yield f"{path} {parameter.name}", command, parameter
    for name, child in getattr(command, "commands", {}).items():
        yield from below(child, f"{path} {name}")


ALL = list(parameters())


def outcome(reader, value, command, parameter):
    """What a reader makes of a value: its type and itself, or the error's type and words."""
    try:
        found = reader.coerce(value, param=parameter, ctx=typer.Context(command))
    except (typer.TyperException, AlphapulseError, TypeError) as problem:
        return type(problem), str(problem)
    return type(found), repr(found)


def differences():
    """(parameter, value) of which the plain reader makes something else than typer's."""
    found = []
    for name, command, parameter in ALL:
        plain = parameter.get_runtime_param()
        typers = plain.typers()
        values = [*TEXTS, *OTHERS]
        found += [
            (name, one) for one in values if outcome(plain, one, command, parameter) != outcome(typers, one, command, parameter)
        ]
    return found


def test_every_value_is_read_as_typer_reads_it():
    assert differences() == []
    assert len(ALL) > 100


def unchecked(value, parameter):
    """Read as `_plain` does, with any value taken for a text."""
    return value if parameter.type_descriptor.annotation is str else PLAIN(value, parameter)


def unbounded(value, parameter):
    """Read as `_plain` does, with no bounds of whole numbers."""
    if isinstance(value, str) and parameter.type_descriptor.annotation is int and value.isascii() and value.isdigit():
        return int(value)
    return PLAIN(value, parameter)


def any_number(value, parameter):
    """Read as `_plain` does, with any number of Python's for one of the option's kind."""
    return (
        value
        if parameter.type_descriptor.annotation in (int, float) and isinstance(value, int | float)
        else PLAIN(value, parameter)
    )


def one_kind_of_nothing(value, parameter):
    """Read as `_plain` does, but None where several values are taken."""
    return None if value is None else PLAIN(value, parameter)


def unparsed(value, parameter):
    """Read as `_plain` does, but an option's own parser is forgotten."""
    return value if parameter.type_descriptor.parameter_info.parser is not None else PLAIN(value, parameter)


PLAIN = plain_values._plain


@pytest.mark.parametrize("broken", [unchecked, unbounded, any_number, one_kind_of_nothing, unparsed])
def test_a_reader_that_reads_otherwise_is_caught(monkeypatch, broken):
    monkeypatch.setattr(plain_values, "_plain", broken)
    assert differences() != []


PROBE = """
import json, sys
from alphapulse_cli.cli.app import main
code = main(json.loads(sys.argv[1]))
print(json.dumps([int(code), "pydantic" in sys.modules]))
"""


@pytest.mark.parametrize(
    ("line", "code", "is_imported"),
    [
        (["tail", "deltas", "--exchange", "kraken", "--count", "5", "--duration", "1s", "--json"], 3, False),
        (["demo", "--rate", "2.5", "--mischief", "nonesuch"], 2, False),  # its seed is a default
        (["bench", "--fail-over", "7", "nonesuch"], 2, False),
        (["tail", "deltas", "--exchange", "kraken", "--count", "0"], 2, True),
        (["tail", "deltas", "--exchange", "kraken\u00e9", "--count", "\u0665"], 2, True),
    ],
)
def test_pydantic_is_imported_only_for_what_is_not_plain(alphapulse, line, code, is_imported):
    command = [sys.executable, "-P", "-c", PROBE, json.dumps(line)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=alphapulse.directory, env=alphapulse.environment())
    assert json.loads(done.stdout) == [code, is_imported], done.stderr


def test_a_typer_that_reads_in_another_way_goes_on_doing_so():
    """A parameter without a reader of its own is left alone."""
    command = SimpleNamespace(params=[SimpleNamespace()], get_help_option=lambda context: None)
    plain_values.read_plainly(command)
    assert vars(command.params[0]) == {}
    assert command.get_help_option(None) is None
