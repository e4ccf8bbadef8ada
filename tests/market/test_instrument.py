"""market/instrument.py: symbols, ids, and what somebody may have meant."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import Instrument, check_symbol, near_symbols, split_id

KNOWN = ["BTC-USD", "BTC-EUR", "BTC-USDT", "ETH-USD", "ETH-BTC", "DOGE-USD", "AAPLx-USD", "BCH-USD", "1INCH-USD"]


class TestSymbols:
    """Canonical BASE-QUOTE, at most the 16 bytes that a record keeps."""

    @pytest.mark.parametrize("symbol", ["BTC-USD", "AAPLx-USD", "1INCH-USD", "ETH2.S-ETH", "ABCDEFGHIJK-USDT"])
    def test_a_symbol_is_itself(self, symbol):
        """Mixed case and digits exist."""
        assert check_symbol(symbol) == symbol

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "-",
            "BTC",
            "BTCUSD",
            "BTC/USD",
            "-USD",
            "BTC-",
            "A-B-C",
            "BTC-USD\n",
            " BTC-USD",
            "ÄTH-USD",
            "ABCDEFGHIJKL-USDT",
            "A" * 100_000,
            "\x1b[31m-USD",
        ],
    )
    def test_anything_else_is_refused(self, text):
        """Never cut, and shown escaped."""
        with pytest.raises(UsageError) as caught:
            check_symbol(text)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("kraken:BTC-USD", ("kraken", "BTC-USD")),
            ("binance-us:ETH-USDT", ("binance-us", "ETH-USDT")),
            ("BTC-USD", ("", "BTC-USD")),
        ],
    )
    def test_an_id_has_two_parts(self, text, parts):
        """As written in --symbol."""
        assert split_id(text) == parts

    @pytest.mark.parametrize("text", [":BTC-USD", "Kraken:BTC-USD", "kraken:", "a:b:BTC-USD", "../x:BTC-USD"])
    def test_a_wrong_id_is_refused(self, text):
        """An exchange's name is lower case, digits and dashes: it becomes a file's name."""
        with pytest.raises(UsageError):
            split_id(text)

    def test_the_id_of_an_instrument_splits_again(self):
        """There and back."""
        instrument = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
        assert split_id(instrument.id) == ("kraken", "BTC-USD")


class TestNearSymbols:
    """What a refusal suggests."""

    @pytest.mark.parametrize(
        "wanted", ["BTCUSD", "btc-usd", "BTC/USD", "btc_usd", "Btc Usd", "XBT-USD", "XBTUSD", "xbt/usd", "USD-BTC", "BTC-USD"]
    )
    def test_another_spelling_has_one_answer(self, wanted):
        """Case, separator, order, and Kraken's old name."""
        assert near_symbols(wanted, KNOWN) == ["BTC-USD"]

    @pytest.mark.parametrize(
        ("wanted", "meant"),
        [
            ("BTC-UDS", "BTC-USD"),
            ("BCT-USD", "BTC-USD"),
            ("DODGE-USD", "DOGE-USD"),
            ("XDG-USD", "DOGE-USD"),
            ("aaplx-usd", "AAPLx-USD"),
            ("ETHUSDC", "ETH-USD"),
        ],
    )
    def test_a_typo_finds_what_was_meant(self, wanted, meant):
        """Likeliest first."""
        assert near_symbols(wanted, KNOWN)[0] == meant

    def test_a_lone_base_finds_its_quotes(self):
        """Under its old name too."""
        assert near_symbols("BTC", KNOWN) == near_symbols("xbt", KNOWN) == ["BTC-EUR", "BTC-USD", "BTC-USDT"]

    @pytest.mark.parametrize("wanted", ["", "-", "\U0001f4a5", "QQQQ-ZZZZ"])
    def test_nothing_is_near(self, wanted):
        """Then nothing is suggested."""
        assert near_symbols(wanted, KNOWN) == []

    @given(st.text(), st.integers(1, 4))
    def test_any_text_has_a_bounded_answer(self, wanted, limit):
        """Known symbols only, each once."""
        found = near_symbols(wanted, KNOWN, limit)
        assert len(found) <= limit
        assert len(set(found)) == len(found)
        assert set(found) <= set(KNOWN)

    def test_a_long_text_costs_nothing(self):
        """Only its first 40 characters are looked at."""
        started = time.process_time()
        near_symbols("BTC-USD" * 1_000_000, KNOWN * 300)
        assert time.process_time() - started < 0.5
