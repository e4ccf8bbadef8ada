"""Kraken's REST side: the names by which it takes pairs and assets, its answers field by field, and its errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.kraken import RestEncoder
from alphapulse_cli.exchanges.kraken.rest_names import asset_code, pair_key
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8, min_size_lots=5000)
PAIRS = [
    BTC,
    *(Instrument("kraken", name.replace("/", "-"), name, 5, 8) for name in ("SOL/USD", "DOGE/USD", "ETH/BTC", "AAPLx/USD")),
]
SECOND = 10**9
NOW = 1_800_000_030 * SECOND  # 2027-01-15T08:00:30Z
PUBLIC = ("Time", "SystemStatus", "Assets", "AssetPairs", "Ticker", "OHLC", "Depth", "Trades")


@pytest.fixture
def truth():
    market = PlainTruth(PAIRS)
    market.change("BTC-USD", [(1000, 7, False), (999, 10**8, False), (1001, 250_000_000, True)])
    market.trade("BTC-USD", 990, 50_000_000, exchange_ns=NOW - 150 * SECOND)
    market.trade("BTC-USD", 1010, 150_000_000, Side.SELL, exchange_ns=NOW - 140 * SECOND)
    market.trade("BTC-USD", 1005, 100_000_000, exchange_ns=NOW - SECOND)
    return market


def get(truth, name, **query):
    """Result of a GET; a list of errors where there is one."""
    status, body = RestEncoder(truth).respond(f"/0/public/{name}", query, NOW)
    assert status == 200
    answer = json.loads(body)
    assert answer["error"] or "result" in answer
    return answer["error"] or answer["result"]


class TestNames:
    @pytest.mark.parametrize(
        ("native", "key"),
        [
            ("BTC/USD", "XXBTZUSD"),
            ("ETH/BTC", "XETHXXBT"),
            ("XRP/EUR", "XXRPZEUR"),
            ("SOL/USD", "SOLUSD"),
            ("DOGE/USD", "XDGUSD"),
            ("DOGE/BTC", "XXDGXXBT"),
            ("SOL/BTC", "SOLXBT"),
        ],
    )
    def test_the_key_of_a_pair(self, native, key):
        assert pair_key(native) == key

    def test_the_code_of_an_asset(self):
        assert [asset_code(name) for name in ("BTC", "XBT", "DOGE", "USD", "SOL")] == ["XXBT", "XXBT", "XXDG", "ZUSD", "SOL"]

    @pytest.mark.parametrize("name", ["BTC/USD", "XBT/USD", "XXBTZUSD", "XBTUSD"])
    @pytest.mark.parametrize("path", ["AssetPairs", "Ticker", "Depth", "OHLC", "Trades"])
    def test_a_pair_by_any_of_its_names(self, truth, path, name):
        """The answer to a name with a slash has that name as its key."""
        result = get(truth, path, pair=name)
        assert next(iter(result)) == (name if "/" in name else "XXBTZUSD")

    def test_several_pairs(self, truth):
        assert list(get(truth, "AssetPairs", pair="XBT/USD,XETHXXBT,SOLUSD")) == ["XBT/USD", "XETHXXBT", "SOLUSD"]
        assert list(get(truth, "Ticker", pair="ETHXBT,XDGUSD")) == ["XETHXXBT", "XDGUSD"]

    @pytest.mark.parametrize("name", ["FOOBAR", "", "XBTUSD,", "XBTUSD,FOO/BAR", "BTC-USD"])
    @pytest.mark.parametrize("path", ["AssetPairs", "Ticker", "Depth", "OHLC", "Trades"])
    def test_one_unknown_pair_refuses_the_request(self, truth, path, name):
        assert get(truth, path, pair=name) == ["EQuery:Unknown asset pair"]


class TestAssetPairs:
    def test_every_field(self, truth):
        pair = get(truth, "AssetPairs", pair="XBTUSD")["XXBTZUSD"]
        fees, makers = pair.pop("fees"), pair.pop("fees_maker")
        assert (fees[0], makers[0]) == ([0, 0.4], [0, 0.25])
        assert all(len(row) == 2 for row in fees + makers)
        assert pair == {
            "altname": "XBTUSD",
            "wsname": "XBT/USD",
            "aclass_base": "currency",
            "base": "XXBT",
            "aclass_quote": "currency",
            "quote": "ZUSD",
            "lot": "unit",
            "cost_decimals": 5,
            "pair_decimals": 1,
            "lot_decimals": 8,
            "lot_multiplier": 1,
            "leverage_buy": [2, 3, 4, 5],
            "leverage_sell": [2, 3, 4, 5],
            "fee_volume_currency": "ZUSD",
            "margin_call": 80,
            "margin_stop": 40,
            "ordermin": "0.00005000",
            "costmin": "0.5",
            "tick_size": "0.1",
            "status": "online",
            "execution_venue": "international",
            "long_position_limit": 250,
            "short_position_limit": 200,
        }

    def test_asset_pairs_of_an_asset_class(self, truth):
        assert "AAPLxUSD" not in get(truth, "AssetPairs")
        assert list(get(truth, "AssetPairs", aclass_base="tokenized_asset")) == ["AAPLxUSD"]
        assert get(truth, "AssetPairs", pair="AAPLx/USD") == ["EQuery:Unknown asset pair"]
        assert get(truth, "AssetPairs", aclass_base="shares") == ["EGeneral:Invalid arguments"]

    def test_some_of_its_fields(self, truth):
        assert get(truth, "AssetPairs", pair="SOLUSD", info="margin") == {"SOLUSD": {"margin_call": 80, "margin_stop": 40}}
        assert get(truth, "AssetPairs", pair="SOLUSD", info="leverage") == {"SOLUSD": {"leverage_buy": [], "leverage_sell": []}}
        assert set(get(truth, "AssetPairs", info="fees")["SOLUSD"]) == {"fees", "fees_maker", "fee_volume_currency"}
        assert get(truth, "AssetPairs", info="info") == get(truth, "AssetPairs")
        assert get(truth, "AssetPairs", info="everything") == ["EGeneral:Invalid arguments"]


class TestAssets:
    def test_those_of_the_listed_pairs(self, truth):
        assert get(truth, "Assets")["XXBT"] == {
            "aclass": "currency",
            "altname": "XBT",
            "decimals": 10,
            "display_decimals": 5,
            "status": "enabled",
            "collateral_value": 1.0,
        }
        assert list(get(truth, "Assets")) == ["XXBT", "ZUSD", "SOL", "XXDG", "XETH"]

    def test_assets_are_found_by_any_name(self, truth):
        assert list(get(truth, "Assets", asset="BTC,ZUSD,XDG")) == ["XXBT", "ZUSD", "XXDG"]
        assert list(get(truth, "Assets", aclass="tokenized_asset")) == ["AAPLx"]
        assert get(truth, "Assets", asset="FOO") == ["EQuery:Unknown asset"]
        assert get(truth, "Assets", aclass="shares") == ["EGeneral:Invalid arguments"]


class TestTheMarket:
    def test_ticker(self, truth):
        assert get(truth, "Ticker", pair="XBTUSD")["XXBTZUSD"] == {
            "a": ["100.10000", "2", "2.50000000"],
            "b": ["100.00000", "0", "0.00000007"],
            "c": ["100.50000", "1.00000000"],
            "v": ["3.00000000", "3.00000000"],
            "p": ["100.50000", "100.50000"],
            "t": [3, 3],
            "l": ["99.00000", "99.00000"],
            "h": ["101.00000", "101.00000"],
            "o": "99.00000",
        }
        assert len(get(truth, "Ticker")) == len(PAIRS)

    def test_the_figures_of_today_begin_at_midnight(self, truth):
        yesterday = PlainTruth([BTC])
        yesterday.trade("BTC-USD", 900, 10**8, exchange_ns=NOW - 9 * 3600 * SECOND)
        row = get(yesterday, "Ticker", pair="XBTUSD")["XXBTZUSD"]
        assert (row["v"], row["t"], row["o"]) == (["0.00000000", "1.00000000"], [0, 1], "0.00000")
        assert row["c"] == ["90.00000", "1.00000000"]

    def test_depth(self, truth):
        book = get(truth, "Depth", pair="XBTUSD", count="1")["XXBTZUSD"]
        assert book == {"asks": [["100.10000", "2.50000000", NOW // SECOND]], "bids": [["100.00000", "0.00000007", NOW // SECOND]]}
        assert [row[0] for row in get(truth, "Depth", pair="XBTUSD")["XXBTZUSD"]["bids"]] == ["100.00000", "99.90000"]
        for count in ("0", "501", "-1", "x", "²", "1.0", "9" * 30):
            assert get(truth, "Depth", pair="XBTUSD", count=count) == ["EGeneral:Invalid arguments"]

    def test_candles_without_a_hole(self, truth):
        result = get(truth, "OHLC", pair="XBTUSD")
        begin = NOW // SECOND - 30
        assert result == {
            "XXBTZUSD": [
                [begin - 120, "99.0", "101.0", "99.0", "101.0", "100.5", "2.00000000", 2],
                [begin - 60, "101.0", "101.0", "101.0", "101.0", "0.0", "0.00000000", 0],
                [begin, "100.5", "100.5", "100.5", "100.5", "100.5", "1.00000000", 1],
            ],
            "last": begin - 60,
        }
        later = get(truth, "OHLC", pair="XBTUSD", since=str(result["last"]))
        assert [row[0] for row in later["XXBTZUSD"]] == [begin]
        assert len(get(truth, "OHLC", pair="XBTUSD", interval="1440")["XXBTZUSD"]) == 1

    @pytest.mark.parametrize("query", [{"interval": "2"}, {"interval": "360"}, {"interval": "-1"}, {"since": "yesterday"}])
    def test_candles_that_there_are_not(self, truth, query):
        assert get(truth, "OHLC", pair="XBTUSD", **query) == ["EGeneral:Invalid arguments"]

    def test_trades(self, truth):
        result = get(truth, "Trades", pair="XBTUSD")
        rows = [[row[0], row[1], row[3], row[4], row[5], row[6]] for row in result["XXBTZUSD"]]
        assert rows == [
            ["99.00000", "0.50000000", "b", "m", "", 1],
            ["101.00000", "1.50000000", "s", "m", "", 2],
            ["100.50000", "1.00000000", "b", "m", "", 3],
        ]
        assert result["last"] == str(NOW - SECOND)
        for since in (NOW - 140 * SECOND, NOW // SECOND - 140):  # in ns, in seconds
            assert [row[6] for row in get(truth, "Trades", pair="XBTUSD", since=str(since))["XXBTZUSD"]] == [3]
        assert [row[6] for row in get(truth, "Trades", pair="XBTUSD", count="1")["XXBTZUSD"]] == [3]

    def test_a_market_without_a_trade(self, truth):
        assert get(truth, "Trades", pair="SOLUSD") == {"SOLUSD": [], "last": "0"}
        assert get(truth, "OHLC", pair="SOLUSD")["SOLUSD"] == []
        assert get(truth, "Ticker", pair="SOLUSD")["SOLUSD"]["a"] == ["0.00000", "0", "0.00000000"]


class TestTheServer:
    def test_time_and_status(self, truth):
        assert get(truth, "Time") == {"unixtime": NOW // SECOND, "rfc1123": "Fri, 15 Jan 27 08:00:30 +0000"}
        assert get(truth, "SystemStatus") == {"status": "online", "timestamp": "2027-01-15T08:00:30Z"}

    def test_an_unknown_path(self, truth):
        status, body = RestEncoder(truth).respond("/0/private/Balance", {}, NOW)
        assert (status, json.loads(body)) == (404, {"error": ["EGeneral:Unknown method"]})

    @pytest.mark.parametrize("path", ["Depth", "OHLC", "Trades"])
    def test_a_pair_must_be_given(self, truth, path):
        assert get(truth, path) == ["EGeneral:Invalid arguments"]
        assert get(truth, path, pair="XBTUSD,SOLUSD") == ["EQuery:Unknown asset pair"]

    @given(
        st.sampled_from(PUBLIC),
        st.dictionaries(st.sampled_from(["pair", "asset", "since", "count", "interval", "info", "aclass"]), st.text(max_size=20)),
    )
    def test_any_query_has_an_answer(self, name, query):
        status, body = RestEncoder(PlainTruth(PAIRS)).respond(f"/0/public/{name}", query, NOW)
        assert status == 200
        assert set(json.loads(body)) in ({"error"}, {"error", "result"})
