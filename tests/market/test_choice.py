"""Choices of symbols: what people write, what it becomes, and what it chooses."""

import pytest

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.choice import is_pattern, matches, near_patterns, split_choice, top_count, understood_choice


class TestUnderstanding:
    @pytest.mark.parametrize(
        ("text", "choice"),
        [
            ("btc/usd", "BTC-USD"),
            ("kraken:XBTUSD", "kraken:BTC-USD"),
            ("*-USD", "*-USD"),
            ("*/usd", "*-USD"),
            ("btc*", "BTC*"),
            ("Kraken:?TH-*", "kraken:?TH-*"),
            ("*", "*"),
            ("top:50", "top:50"),
            ("TOP:50", "top:50"),
            ("binance:top:9999", "binance:top:9999"),
        ],
    )
    def test_gives_one_form(self, text, choice):
        assert understood_choice(text) == choice
        assert understood_choice(choice) == choice

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("top:", "not a number of symbols: 'top:'"),
            ("top:0", "not a number of symbols"),
            ("top:-5", "not a number of symbols"),
            ("top:10000", "not a number of symbols"),
            ("top:5x", "not a number of symbols"),
            ("*-USD-*", "not a pattern of symbols"),
            ("*;rm", "not a pattern of symbols"),
            ("*\x1b[2J", "not a pattern of symbols"),
            ("*" * 70, "not a pattern of symbols"),
            ("no exchange:*-USD", "not an exchange: 'no exchange'"),
            ("BTCFDUSD", "not a symbol"),
            ("BTC-[AB]", "not a symbol"),
        ],
    )
    def test_refuses_what_is_none(self, text, message):
        with pytest.raises(UsageError) as refused:
            understood_choice(text)
        assert str(refused.value).startswith(message)
        assert refused.value.hint

    @pytest.mark.parametrize(
        ("choice", "parts"),
        [
            ("BTC-USD", ("", "BTC-USD")),
            ("kraken:BTC-USD", ("kraken", "BTC-USD")),
            ("*-USD", ("", "*-USD")),
            ("kraken:*-USD", ("kraken", "*-USD")),
            ("top:5", ("", "top:5")),
            ("binance:top:5", ("binance", "top:5")),
        ],
    )
    def test_names_the_exchange_apart(self, choice, parts):
        assert split_choice(choice) == parts

    def test_tells_the_kinds_apart(self):
        assert [is_pattern(one) for one in ("BTC-USD", "*-USD", "?TH-USD", "top:5")] == [False, True, True, False]
        assert [top_count(one) for one in ("BTC-USD", "*-USD", "top:5")] == [0, 0, 5]


class TestMatching:
    def test_is_of_the_whole_symbol_in_any_case(self):
        known = ["BTC-USD", "BTC-USDT", "AAPLx-USD", "USD-BTC"]
        assert [one for one in known if matches("*-USD", one)] == ["BTC-USD", "AAPLx-USD"]
        assert [one for one in known if matches("BTC-*", one)] == ["BTC-USD", "BTC-USDT"]

    def test_near_patterns_match_something(self):
        known = ["BTC-USD", "ETH-USD", "ETH-BTC"]
        assert list(near_patterns("*-UDS", known)) == ["*-USD"]
        assert list(near_patterns("BTT-*", known)) == ["BTC-*"]
        assert list(near_patterns("*-ZZZZ", known)) == []
