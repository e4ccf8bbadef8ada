"""Empty texts where a name belongs, as an unset variable of a script gives them: refused by name, never taken for the default."""

import pytest

from alphapulse_cli.cli import commands, loading, options
from alphapulse_cli.edges.config import layers
from alphapulse_cli.errors import UsageError

ARGUMENTS = {"name": "kraken", "identifier": "last"}


def parameters(command, path):
    """(path of the command, its parameter) of all that take a value."""
    for one in command.params:
        if not getattr(one, "is_flag", False):
            yield (*path, *required(command, one)), one
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, (*path, name))


def required(command, of):
    """Values of the arguments that must be given before `of`, so that the empty text is its own."""
    others = [one for one in command.params if one.param_type_name == "argument" and one.required and one is not of]
    return [ARGUMENTS.get(one.name, "x") for one in others if one.nargs == 1]


EVERY = [
    pytest.param(path, one, id=" ".join((*path, one.opts[0])))
    for name, entry in commands.available().items()
    if not entry.alias_of
    for path, one in parameters(loading.load(name), (name,))
]
LISTS = [one for one in EVERY if one.values[1].multiple]


def given(one, text):
    return [text] if one.param_type_name == "argument" else [one.opts[0], text]


@pytest.mark.parametrize(("path", "one"), EVERY)
def test_every_parameter_refuses_an_empty_value(quick, path, one):
    done = quick(*path, *given(one, ""))
    assert (done.code, done.stdout) == (2, ""), done.stderr
    error, hint = done.stderr.splitlines()
    assert error == f"error: {one.opts[0] if one.param_type_name == 'option' else one.metavar}: the value is empty"
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("text", ["BTC-USD,", "BTC-USD, ,ETH-USD", ","])
@pytest.mark.parametrize(("path", "one"), LISTS)
def test_every_list_refuses_an_empty_part(quick, path, one, text):
    done = quick(*path, *given(one, text))
    assert done.code == 2
    assert done.stderr.startswith(f"error: {one.opts[0]}: "), done.stderr
    assert "empty" in done.stderr.splitlines()[0]


def test_a_list_with_one_empty_part_is_quoted(quick):
    done = quick("collect", "--exchange", "kraken", "-s", "BTC-USD,")
    assert done.stderr == (
        "error: --symbol: an empty name in 'BTC-USD,'\n"
        "hint: leave --symbol out for its default; a variable of your script may be empty\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tail", "deltas", "--fields", "time,,symbol"], "not a field of deltas: nothing"),
        (["sim", "kraken", "--mischief", "gap,,stall"], "unknown mischief: ''"),
        (["arb", "history", "--after", "5,,50"], "not milliseconds: '5,,50'"),
        (["collect", "--exchange", "kraken", "--checksum", "warn,"], "expected strict or warn, or SYMBOL=warn, got ''"),
    ],
)
def test_lists_inside_one_value_refuse_an_empty_part(quick, words, message):
    done = quick(*words)
    assert (done.code, message in done.stderr.splitlines()[0]) == (2, True), done.stderr


class TestTheConfiguration:
    @pytest.mark.parametrize(
        ("name", "value"), [("SYMBOLS", ""), ("SYMBOLS", "BTC-USD,"), ("CHANNELS", ""), ("EXCHANGES", "kraken,,")]
    )
    def test_refuses_an_empty_variable_or_part(self, name, value):
        with pytest.raises(UsageError, match=f"ALPHAPULSE_{name}: ") as refused:
            layers.load({f"ALPHAPULSE_{name}": value})
        assert refused.value.hint

    @pytest.mark.parametrize("line", ["symbols = []", "symbols = ['']", "channels = []", "exchanges = ['']"])
    def test_refuses_an_empty_list_or_part_of_a_file(self, tmp_path, line):
        (tmp_path / "alphapulse.toml").write_text(line)
        with pytest.raises(UsageError, match=r"alphapulse.toml: "):
            layers.load({}, tmp_path)

    def test_no_exchange_is_the_default_and_may_be_written(self, tmp_path):
        (tmp_path / "alphapulse.toml").write_text("exchanges = ['kraken']")
        assert layers.load({"ALPHAPULSE_EXCHANGES": ""}, tmp_path).get("exchanges") == ()

    def test_refuses_an_empty_variable_and_an_empty_list_of_an_option(self, quick, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_TAIL_DELTAS_SYMBOLS", "")
        done = quick("tail", "deltas")
        assert (done.code, done.stderr.splitlines()[0]) == (
            2,
            "error: ALPHAPULSE_TAIL_DELTAS_SYMBOLS: --symbol: the value is empty",
        )
        monkeypatch.delenv("ALPHAPULSE_TAIL_DELTAS_SYMBOLS")
        (quick.directory / "alphapulse.toml").write_text("[command.tail.deltas]\nsymbols = []\n")
        options.read_settings.cache_clear()
        done = quick("tail", "deltas")
        assert (done.code, done.stderr.splitlines()[0].endswith("command.tail.deltas.symbols: the list is empty")) == (2, True)
