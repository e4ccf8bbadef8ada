"""What a person asked for, checked before anything is opened."""

import pytest
from support.exchange_truth import instrument

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.plan import addresses, check_channels, choose, mode_of, plans, symbols_by_exchange
from alphapulse_cli.errors import Refused, UsageError

KRAKEN, COINBASE, BINANCE = (exchanges.get(name).facts for name in ("kraken", "coinbase", "binance-us"))


class TestSymbols:
    def test_a_bare_one_is_for_every_exchange_and_a_named_one_for_its_own(self):
        chosen = symbols_by_exchange(["BTC-USD", "kraken:ETH-USD", "BTC-USD"], ["kraken", "coinbase"])
        assert chosen == {"kraken": ["BTC-USD", "ETH-USD"], "coinbase": ["BTC-USD"]}

    def test_one_of_an_exchange_that_is_not_collected_is_refused(self):
        with pytest.raises(UsageError, match="coinbase is not among") as refused:
            symbols_by_exchange(["coinbase:BTC-USD"], ["kraken"])
        assert refused.value.hint == "add --exchange coinbase"

    def test_an_unknown_one_is_refused_with_near_ones(self):
        listed = [instrument(symbol=symbol, native=symbol) for symbol in ("BTC-USD", "ETH-USD", "BTC-EUR")]
        with pytest.raises(Refused, match="kraken does not list XBT-USD, NO-NO") as refused:
            choose("kraken", ["ETH-USD", "XBT-USD", "NO-NO"], listed)
        assert refused.value.hint == (
            "XBT-USD: did you mean BTC-USD?; --skip-unlisted collects the others; alphapulse symbols --exchange kraken"
        )

    def test_unknown_ones_may_be_skipped_while_one_is_left(self):
        listed = [instrument(symbol=symbol, native=symbol) for symbol in ("BTC-USD", "ETH-USD")]
        assert choose("kraken", ["NO-NO", "ETH-USD", "NO-NO"], listed, skip_unlisted=True) == ([listed[1]], ["NO-NO"])
        with pytest.raises(Refused, match="kraken does not list NO-NO") as refused:
            choose("kraken", ["NO-NO"], listed, skip_unlisted=True)
        assert refused.value.hint == "alphapulse symbols --exchange kraken"

    def test_one_that_shares_anothers_book_is_collected_as_that_one_and_once(self):
        dollars = instrument("coinbase", "BTC-USD", "BTC-USD")
        coins = instrument("coinbase", "BTC-USDC", "BTC-USDC")
        alias = type(coins)("coinbase", "BTC-USDC", "BTC-USDC", 2, 8, alias_of="BTC-USD")
        assert choose("coinbase", ["BTC-USDC", "BTC-USD"], [dollars, alias]) == ([dollars], [])
        assert choose("coinbase", ["BTC-USDC"], [alias]) == ([alias], []), "its owner is not listed"


class TestModes:
    def test_the_first_is_the_default(self):
        assert mode_of(COINBASE, "", 0)[0].name == "advanced"
        assert mode_of(COINBASE, "exchange", 0)[0].name == "exchange"
        assert mode_of(KRAKEN, "", 0) == (KRAKEN.modes[0], 10)
        assert mode_of(BINANCE, "depth20", 0)[1] == 20

    @pytest.mark.parametrize(
        ("facts", "mode", "depth", "message"),
        [
            (COINBASE, "level3", 0, "coinbase has no mode 'level3'"),
            (KRAKEN, "", 11, "has no depth 11"),
            (COINBASE, "", 10, "has no choice of depth"),
        ],
    )
    def test_what_there_is_not_is_refused(self, facts, mode, depth, message):
        with pytest.raises(UsageError, match=message) as refused:
            mode_of(facts, mode, depth)
        assert refused.value.hint


class TestAddresses:
    @pytest.mark.parametrize(
        ("url", "rest_url", "expected"),
        [
            ("", "", (KRAKEN.modes[0].websocket_url, KRAKEN.modes[0].rest_url)),
            ("ws://127.0.0.1:9/v2", "", ("ws://127.0.0.1:9/v2", "http://127.0.0.1:9")),
            ("wss://localhost:9/v2", "", ("wss://localhost:9/v2", "https://localhost:9")),
            ("ws://[::1]:9", "", ("ws://[::1]:9", "http://[::1]:9")),
            ("ws://127.0.0.1:9/v2", "http://x", ("ws://127.0.0.1:9/v2", "http://x")),
            ("wss://proxy.example/v2", "", ("wss://proxy.example/v2", KRAKEN.modes[0].rest_url)),
            ("", "http://x", (KRAKEN.modes[0].websocket_url, "http://x")),
        ],
    )
    def test_a_simulator_serves_both(self, url, rest_url, expected):
        assert addresses(KRAKEN.modes[0], url, rest_url) == expected


class TestPlans:
    def test_one_an_exchange_in_the_order_asked_for(self):
        made = plans(["kraken", "coinbase", "kraken"], ["BTC-USD"], [], {"coinbase": "exchange"}, {}, urls={}, rest_urls={})
        assert [(plan.name, plan.mode, plan.channels) for plan in made] == [
            ("kraken", "", ("book", "trades")),
            ("coinbase", "exchange", ("book", "trades")),
        ]

    def test_what_cannot_be_is_refused_before_anything_is_asked(self):
        for names, symbols, message in (
            ([], [], "no exchange"),
            (["ftx"], ["BTC-USD"], "FTX closed"),
            (["krakn"], ["BTC-USD"], "unknown exchange"),
            (["kraken", "coinbase"], ["kraken:BTC-USD"], "no symbol for coinbase"),
        ):
            with pytest.raises(UsageError, match=message):
                plans(names, symbols, [], {}, {}, urls={}, rest_urls={})

    def test_channels_each_once(self):
        assert check_channels(["trades", "trades"]) == ("trades",)
        with pytest.raises(UsageError, match="unknown channel"):
            check_channels(["books"])

    def warned(self, checksum, symbols=("BTC-USD", "ETH-USD"), names=("kraken", "coinbase")):
        made = plans(names, symbols, [], {}, {}, urls={}, rest_urls={}, checksum=checksum)
        return {plan.name: plan.checksum_warns for plan in made}

    @pytest.mark.parametrize(
        ("checksum", "kraken", "coinbase"),
        [
            ("strict", (), ()),
            ("warn", ("BTC-USD", "ETH-USD"), ("BTC-USD", "ETH-USD")),
            ("BTC-USD=warn", ("BTC-USD",), ("BTC-USD",)),
            ("kraken:BTC-USD=warn", ("BTC-USD",), ()),
            ("warn,ETH-USD=strict", ("BTC-USD",), ("BTC-USD",)),
            ("BTC-USD=warn, coinbase:BTC-USD=strict", ("BTC-USD",), ()),
        ],
    )
    def test_the_nearest_rule_says_whose_refuted_books_stay_live(self, checksum, kraken, coinbase):
        assert self.warned(checksum) == {"kraken": kraken, "coinbase": coinbase}

    @pytest.mark.parametrize("checksum", ["loud", "BTC-USD=", "=warn", "BTC-USD=loud", "warn;strict"])
    def test_a_rule_that_is_none_is_refused(self, checksum):
        with pytest.raises(UsageError, match="--checksum: expected strict or warn") as refused:
            self.warned(checksum)
        assert refused.value.hint == "write --checksum warn, or --checksum kraken:BTC-USD=warn"
