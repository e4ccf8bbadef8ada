"""`collect --symbols` and its configuration: patterns and top:N, right and wrong, at a command line, in a variable and in a file."""

from unittest.mock import patch

import pytest
import typer

from alphapulse_cli.cli import collecting, loading, options
from alphapulse_cli.errors import ExitCode

WRONG = [
    ("top:0", "not a number of symbols: 'top:0'"),
    ("*;x", "not a pattern of symbols: '*;x'"),
    ("BTC-[AB]", "not a symbol: 'BTC-[AB]'"),
]


@pytest.fixture
def planned(quick):
    """Symbols by exchange of the plans that the command makes."""

    def plan(*words):
        made = []

        def run(plans, **_):
            made.extend(plans)
            return ExitCode.DONE

        with patch.object(collecting, "run", run):
            done = quick("collect", *words)
        assert (done.code, done.stderr) == (0, "")
        return {one.exchange: one.symbols for one in made}

    return plan


class TestTheOption:
    def test_takes_symbols_patterns_and_the_most_traded(self, planned):
        both = ("--exchange", "kraken,binance", "--symbols", "*-usd,kraken:*-EUR,binance:top:50,btc/usdt")
        assert planned(*both) == {"kraken": ("*-USD", "*-EUR", "BTC-USDT"), "binance": ("*-USD", "top:50", "BTC-USDT")}

    @pytest.mark.parametrize(("text", "message"), WRONG)
    def test_symbols_refuses_other_texts(self, quick, text, message):
        done = quick("collect", "--exchange", "kraken", "--symbols", text)
        assert (done.code, done.stderr.splitlines()[0]) == (2, f"error: {message}")
        assert done.stderr.splitlines()[1].startswith("hint: ")

    def test_refuses_the_most_traded_of_an_exchange_that_tells_no_volumes(self, quick):
        done = quick("collect", "--exchange", "kraken", "--symbols", "top:50")
        assert (done.code, done.stderr.splitlines()[0]) == (
            2,
            "error: top:50: alphapulse cannot rank the markets of kraken by volume",
        )

    def test_of_readers_takes_symbols_only(self, quick):
        done = quick("tail", "deltas", "--symbols", "*-USD")
        assert (done.code, done.stderr.splitlines()[0]) == (2, "error: not a symbol: '*-USD'")


class TestTheConfiguration:
    def test_symbols_of_variable_and_file_are_read(self, planned, quick, monkeypatch):
        (quick.directory / "alphapulse.toml").write_text("symbols = ['*-USD', 'BTC-EUR']\n")
        options.read_settings.cache_clear()
        assert planned("--exchange", "kraken") == {"kraken": ("*-USD", "BTC-EUR")}
        monkeypatch.setenv("ALPHAPULSE_SYMBOLS", "?TH-*")
        options.read_settings.cache_clear()
        assert planned("--exchange", "kraken") == {"kraken": ("?TH-*",)}

    @pytest.mark.parametrize(("text", "message"), WRONG)
    def test_with_a_wrong_value_is_refused_by_its_name(self, quick, monkeypatch, text, message):
        monkeypatch.setenv("ALPHAPULSE_SYMBOLS", text)
        options.read_settings.cache_clear()
        done = quick("collect", "--exchange", "kraken")
        assert (done.code, done.stderr.splitlines()[0].startswith(f"error: ALPHAPULSE_SYMBOLS: {message}")) == (2, True), (
            done.stderr
        )

    def test_of_a_pattern_is_no_completion(self, quick, monkeypatch):
        monkeypatch.setenv("ALPHAPULSE_SYMBOLS", "*-USD,top:5,BTC-USD")
        options.read_settings.cache_clear()
        context = typer.Context(loading.load("doctor"), info_name="doctor")
        assert options.complete_symbol(context, "") == ["BTC-USD"]
        assert options.complete_symbol(context, "t") == []
