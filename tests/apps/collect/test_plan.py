"""What a person asked for, checked before anything is opened."""

from typing import ClassVar

import pytest
from support.exchange_truth import instrument

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.members import some
from alphapulse_cli.apps.collect.plan import addresses, check_channels, choose, mode_of, plans, symbols_by_exchange
from alphapulse_cli.apps.collect.volumes import most_traded
from alphapulse_cli.edges.config.layers import DEFAULT_SYMBOLS
from alphapulse_cli.errors import DecodeError, Refused, UsageError
from alphapulse_cli.exchanges.binance import parse_volumes
from alphapulse_cli.market.trading_status import TradingStatus

CLOSED_AND_OPEN = (TradingStatus.SUSPENDED, TradingStatus.DELISTED, TradingStatus.TRADING, TradingStatus.POST_ONLY)
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

    def test_the_default_ones_are_named_as_such_where_they_are_not_listed(self):
        with pytest.raises(Refused, match="bybit does not list BTC-USD, ETH-USD") as refused:
            choose("bybit", DEFAULT_SYMBOLS, [instrument("bybit", "BTC-USDT", "BTCUSDT")])
        assert refused.value.hint == (
            "BTC-USD, ETH-USD: the default of --symbols; BTC-USD: did you mean BTC-USDT?; alphapulse symbols --exchange bybit"
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


class TestPatterns:
    LISTED = tuple(instrument("kraken", symbol, symbol) for symbol in ("BTC-USD", "ETH-USD", "BTC-EUR", "ETH-EUR"))

    def test_choose_all_that_match_and_each_once_in_the_order_of_the_list(self):
        chosen, missing = choose("kraken", ["ETH-EUR", "*-USD", "ETH-*"], self.LISTED)
        assert [one.symbol for one in chosen] == ["ETH-EUR", "BTC-USD", "ETH-USD"]
        assert missing == []

    def test_leave_out_markets_that_do_not_trade_unless_they_are_named(self):
        halted = [one.with_status(status, "") for one, status in zip(self.LISTED, CLOSED_AND_OPEN, strict=True)]
        assert [one.symbol for one in choose("kraken", ["*"], halted)[0]] == ["BTC-EUR", "ETH-EUR"]
        assert [one.symbol for one in choose("kraken", ["BTC-USD"], halted)[0]] == ["BTC-USD"]

    def test_without_a_match_are_refused_with_near_ones(self):
        with pytest.raises(Refused, match=r"kraken does not list \*-UDS") as refused:
            choose("kraken", ["*-UDS"], self.LISTED)
        assert refused.value.hint.startswith("*-UDS: did you mean *-USD?")

    def test_go_to_the_exchanges_they_name(self):
        chosen = symbols_by_exchange(["*-USD", "kraken:*-EUR", "binance:top:5"], ["kraken", "binance"])
        assert chosen == {"kraken": ["*-USD", "*-EUR"], "binance": ["*-USD", "top:5"]}


class TestTheMostTraded:
    LISTED = tuple(
        instrument("binance", symbol, symbol.replace("-", ""))
        for symbol in ("BTC-USDT", "ETH-USDT", "ETH-BTC", "XRP-EUR", "EUR-USDT", "SOL-TRY", "NEW-USDT")
    )
    VOLUMES: ClassVar = {
        "BTCUSDT": (10.0, 60_000.0),  # 600,000 dollars
        "ETHUSDT": (100.0, 3_000.0),  # 300,000
        "ETHBTC": (200.0, 0.05),  # 10 BTC: as much as BTC-USDT
        "XRPEUR": (500_000.0, 2.0),  # 1,000,000 EUR
        "EURUSDT": (1.0, 1.1),
        "SOLTRY": (1e9, 1e9),  # no price of TRY in dollars
    }

    def test_are_ranked_by_their_value_in_dollars(self):
        ranked = [one.symbol for one in most_traded(self.LISTED, self.VOLUMES, 9)]
        assert ranked == ["XRP-EUR", "BTC-USDT", "ETH-BTC", "ETH-USDT", "EUR-USDT"]
        assert [one.symbol for one in choose("binance", ["top:2"], self.LISTED, volumes=self.VOLUMES)[0]] == ranked[:2]

    def test_are_refused_where_the_exchange_does_not_tell_volumes(self):
        with pytest.raises(UsageError, match="top:5: alphapulse cannot rank the markets of kraken by volume") as refused:
            plans(["kraken"], ["top:5"], [], {}, {}, urls={}, rest_urls={})
        assert "binance" in refused.value.hint

    def test_of_volumes_that_cannot_be_read_are_a_decode_error(self):
        for body in (b"{}", b"[1]", b'[{"symbol":"A","volume":"x","lastPrice":"1"}]', b"<html>"):
            with pytest.raises(DecodeError, match="volumes not understood"):
                parse_volumes(body)


class TestChecksumRules:
    @pytest.mark.parametrize(
        ("rule", "symbols", "warned"),
        [
            ("warn", ["*-USD"], {"BTC-USD", "ETH-USD"}),
            ("warn", ["top:2"], {"BTC-USD", "ETH-USD"}),
            ("BTC-USD=warn", ["*-USD"], {"BTC-USD"}),
            ("kraken:*-USD=warn", ["*-USD", "BTC-EUR"], {"BTC-USD", "ETH-USD"}),
            ("coinbase:BTC-USD=warn", ["*-USD"], set()),
            ("warn,BTC-USD=strict", ["BTC-USD", "ETH-*"], {"ETH-USD"}),
            ("strict", ["*"], set()),
        ],
    )
    def test_hold_for_what_a_pattern_chooses(self, rule, symbols, warned):
        name = "binance" if symbols == ["top:2"] else "kraken"
        (plan,) = plans([name], symbols, [], {}, {}, urls={}, rest_urls={}, checksum=rule)
        assert {symbol for symbol in ("BTC-USD", "ETH-USD") if plan.warns(symbol)} == warned

    def test_that_a_pattern_would_break_are_refused(self):
        with pytest.raises(UsageError, match="a pattern with warn may choose BTC-USD"):
            plans(["kraken"], ["*-USD"], [], {}, {}, urls={}, rest_urls={}, checksum="warn,BTC-USD=strict")


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


@pytest.mark.parametrize(
    ("count", "text"), [(1, "S0"), (8, "S0, S1, S2, S3, S4, S5, S6, S7"), (65, "S0, S1, S2, S3, S4, S5, S6, S7 and 57 more")]
)
def test_a_notice_names_a_few_symbols_and_counts_the_others(count, text):
    assert some([f"S{number}" for number in range(count)]) == text
