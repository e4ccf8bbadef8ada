"""Binance's REST side as bots use it: metadata with all filters, market data that is what the market did, errors, used weights."""

from decimal import Decimal

import orjson
import pytest
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.binance import RestEncoder
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

MINUTE = 60_000_000_000
NOW = 1_633_998_240_000_000_000 // MINUTE * MINUTE
NOW_MS = NOW // 1_000_000
BTC = Instrument("binance", "BTC-USDT", "BTCUSDT", 2, 5, min_size_lots=7)
ETH = Instrument("binance", "ETH-BTC", "ETHBTC", 5, 4)
SYMBOL = {"symbol": "BTCUSDT"}


@pytest.fixture
def truth():
    """Four trades in two minutes, and a book."""
    made = PlainTruth([BTC, ETH])
    made.change("BTC-USDT", [(10000, 20, False), (10001, 30, True)])
    for place, ticks in enumerate((10000, 10100, 9900, 10050)):
        side = Side.SELL if place % 2 else Side.BUY
        made.trade("BTC-USDT", ticks, 10, side, exchange_ns=NOW - MINUTE + place * MINUTE // 3)
    return made


def get(truth, path, exchange="binance", now_ns=NOW, **query):
    status, body = RestEncoder(truth, exchange=exchange).respond(f"/api/v3/{path}", query, now_ns)
    assert status == 200, body
    return orjson.loads(body)


class TestFirstCalls:
    def test_ping_and_time(self, truth):
        assert get(truth, "ping") == {}
        assert get(truth, "time") == {"serverTime": NOW_MS}


class TestExchangeInfo:
    @pytest.mark.parametrize(("exchange", "weight", "worth"), [("binance", 6000, "NOTIONAL"), ("binance-us", 1200, "MIN_NOTIONAL")])
    def test_has_what_trading_engines_read(self, truth, exchange, weight, worth):
        info = get(truth, "exchangeInfo", exchange)
        assert (info["timezone"], info["serverTime"], info["exchangeFilters"]) == ("UTC", NOW_MS, [])
        limits = {(each["rateLimitType"], each["interval"]): each["limit"] for each in info["rateLimits"]}
        assert limits["REQUEST_WEIGHT", "MINUTE"] == weight
        assert set(limits) == {("REQUEST_WEIGHT", "MINUTE"), ("ORDERS", "SECOND"), ("ORDERS", "DAY"), ("RAW_REQUESTS", "MINUTE")}
        row = info["symbols"][0]
        assert (row["symbol"], row["baseAsset"], row["quoteAsset"], row["status"]) == ("BTCUSDT", "BTC", "USDT", "TRADING")
        assert {row[name] for name in row if name.endswith("Precision")} == {8}
        assert {"LIMIT", "MARKET", "LIMIT_MAKER"} <= set(row["orderTypes"])
        assert row["isSpotTradingAllowed"] is True
        assert "SPOT" in row["permissions"] + [one for several in row.get("permissionSets", []) for one in several]
        filters = {each["filterType"]: each for each in row["filters"]}
        assert filters["PRICE_FILTER"] == {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        }
        assert filters["LOT_SIZE"] == {
            "filterType": "LOT_SIZE",
            "minQty": "0.00007000",
            "maxQty": "9000000.00000000",
            "stepSize": "0.00001000",
        }
        assert Decimal(filters[worth]["minNotional"]) > 0
        assert {"MARKET_LOT_SIZE", "ICEBERG_PARTS", "MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS"} <= set(filters)

    def test_bounds_are_on_the_grid(self):
        coarse = Instrument("binance", "A-B", "AB", 0, 0, 7, 13, 13)
        filters = {each["filterType"]: each for each in get(PlainTruth([coarse]), "exchangeInfo")["symbols"][0]["filters"]}
        assert Decimal(filters["PRICE_FILTER"]["maxPrice"]) % 7 == 0
        assert Decimal(filters["LOT_SIZE"]["maxQty"]) % 13 == 0

    def test_symbols_can_be_chosen(self, truth):
        assert [row["symbol"] for row in get(truth, "exchangeInfo")["symbols"]] == ["BTCUSDT", "ETHBTC"]
        assert [row["symbol"] for row in get(truth, "exchangeInfo", symbol="ETHBTC")["symbols"]] == ["ETHBTC"]
        assert [row["symbol"] for row in get(truth, "exchangeInfo", symbols='["ETHBTC"]')["symbols"]] == ["ETHBTC"]


class TestTrades:
    def test_rows_and_their_worth(self, truth):
        rows = get(truth, "trades", **SYMBOL, limit="2")
        assert [row["id"] for row in rows] == [3, 4]
        assert rows[-1] == {
            "id": 4,
            "price": "100.50000000",
            "qty": "0.00010000",
            "quoteQty": "0.01005000",
            "time": NOW_MS,
            "isBuyerMaker": True,
            "isBestMatch": True,
        }

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ({}, [1, 2, 3, 4]),
            ({"limit": "2"}, [3, 4]),
            ({"fromId": "2"}, [2, 3, 4]),
            ({"fromId": "2", "limit": "1"}, [2]),
            ({"startTime": str(NOW_MS - 40_000)}, [2, 3, 4]),
            ({"startTime": str(NOW_MS - 40_000), "limit": "1"}, [2]),
            ({"endTime": str(NOW_MS - 40_000)}, [1, 2]),
            ({"startTime": str(NOW_MS - 40_000), "endTime": str(NOW_MS - 20_000)}, [2, 3]),
        ],
    )
    def test_aggregates_by_id_and_by_time(self, truth, query, ids):
        rows = get(truth, "aggTrades", **SYMBOL, **query)
        assert [(row["a"], row["f"], row["l"]) for row in rows] == [(each,) * 3 for each in ids]

    def test_what_is_finer_than_eight_decimals_is_cut_off_sums_of_money_only(self, truth):
        truth.trade("ETH-BTC", 3, 7, exchange_ns=NOW)
        [row] = get(truth, "trades", symbol="ETHBTC")
        assert (row["price"], row["qty"], row["quoteQty"]) == ("0.00003000", "0.00070000", "0.00000002")


class TestCandles:
    def test_rows(self, truth):
        first, second = get(truth, "klines", **SYMBOL, interval="1m")
        assert first == [
            NOW_MS - 60_000,
            "100.00000000",
            "101.00000000",
            "99.00000000",
            "99.00000000",
            "0.00030000",
            NOW_MS - 1,
            "0.03000000",
            3,
            "0.00020000",
            "0.01990000",
            "0",
        ]
        assert (second[0], second[8]) == (NOW_MS, 1)
        assert get(truth, "uiKlines", **SYMBOL, interval="1h")[0][8] == 4

    @pytest.mark.parametrize(
        ("query", "begins"),
        [
            ({}, [-60, 0, 60, 120]),
            ({"limit": "2"}, [60, 120]),
            ({"startTime": "0"}, [0, 60, 120]),
            ({"startTime": "0", "limit": "1"}, [0]),
            ({"endTime": "60"}, [-60, 0, 60]),
            ({"endTime": "60", "limit": "1"}, [60]),
        ],
    )
    def test_candles_by_time_include_those_without_a_trade(self, truth, query, begins):
        moments = {name: str(NOW_MS + int(value) * 1000) for name, value in query.items() if name.endswith("Time")}
        rows = get(truth, "klines", now_ns=NOW + 2 * MINUTE, **SYMBOL, interval="1m", **{**query, **moments})
        assert [(row[0] - NOW_MS) // 1000 for row in rows] == begins


class TestTickers:
    def test_tickers_of_one_some_and_all_symbols(self, truth):
        for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
            one = get(truth, path, **SYMBOL)
            assert one["symbol"] == "BTCUSDT"
            assert get(truth, path, symbols='["BTCUSDT"]') == [one]
            assert [row["symbol"] for row in get(truth, path)] == ["BTCUSDT", "ETHBTC"]

    def test_the_24_hour_figures_are_those_of_the_trades(self, truth):
        full = get(truth, "ticker/24hr", **SYMBOL)
        figures = ("openPrice", "highPrice", "lowPrice", "lastPrice", "priceChange", "weightedAvgPrice")
        assert [full[name] for name in figures] == [
            "100.00000000",
            "101.00000000",
            "99.00000000",
            "100.50000000",
            "0.50000000",
            "100.12500000",
        ]
        assert (full["volume"], full["quoteVolume"], full["count"]) == ("0.00040000", "0.04005000", 4)
        assert (full["priceChangePercent"], full["lastQty"], full["firstId"], full["lastId"]) == ("0.500", "0.00010000", 1, 4)
        mini = get(truth, "ticker/24hr", **SYMBOL, type="MINI")
        assert mini == {name: full[name] for name in mini}
        assert "bidPrice" not in mini
        assert get(truth, "ticker/price", **SYMBOL)["price"] == "100.50000000"
        best = get(truth, "ticker/bookTicker", **SYMBOL)
        assert best == {
            "symbol": "BTCUSDT",
            "bidPrice": "100.00000000",
            "bidQty": "0.00020000",
            "askPrice": "100.01000000",
            "askQty": "0.00030000",
        }

    def test_the_average_of_five_minutes(self, truth):
        assert get(truth, "avgPrice", **SYMBOL) == {"mins": 5, "price": "100.12500000", "closeTime": NOW_MS}
        assert get(truth, "avgPrice", now_ns=NOW + 10 * MINUTE, **SYMBOL)["price"] == "100.50000000", "the last one"
        assert get(truth, "avgPrice", symbol="ETHBTC") == {"mins": 5, "price": "0.00000000", "closeTime": 0}


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "query", "code"),
        [
            ("trades", {}, -1102),
            ("trades", {"symbol": ""}, -1102),
            ("trades", {"symbol": "NOSUCH"}, -1121),
            ("trades", {"symbol": "btcusdt"}, -1100),
            ("trades", {"symbol": "BTC/USDT"}, -1100),
            ("trades", SYMBOL | {"limit": "0"}, -1100),
            ("trades", SYMBOL | {"limit": "-5"}, -1100),
            ("trades", SYMBOL | {"limit": "\u0661"}, -1100),
            ("aggTrades", SYMBOL | {"fromId": "x"}, -1100),
            ("aggTrades", SYMBOL | {"startTime": "yesterday"}, -1100),
            ("klines", SYMBOL, -1102),
            ("klines", SYMBOL | {"interval": "7m"}, -1120),
            ("ticker/24hr", SYMBOL | {"type": "HUGE"}, -1130),
            ("ticker/24hr", SYMBOL | {"symbols": '["BTCUSDT"]'}, -1128),
            ("ticker/price", {"symbols": "BTCUSDT"}, -1100),
            ("ticker/price", {"symbols": "[1]"}, -1100),
            ("ticker/bookTicker", {"symbols": '["NOSUCH"]'}, -1121),
            ("avgPrice", {}, -1102),
        ],
    )
    def test_refusals_have_the_exchanges_error_codes(self, truth, path, query, code):
        status, body = RestEncoder(truth, exchange="binance").respond(f"/api/v3/{path}", query, NOW)
        refusal = orjson.loads(body)
        assert (status, refusal["code"], bool(refusal["msg"])) == (400, code, True)

    @pytest.mark.parametrize("path", ["/api/v3/order", "/api/v3/ticker", "/api/v3/historicalTrades", "/api/v1/ping", "/", ""])
    def test_an_unknown_path_is_404(self, truth, path):
        status, body = RestEncoder(truth).respond(path, {}, NOW)
        assert (status, orjson.loads(body)["code"]) == (404, -1000)

    def test_only_binance_has_candles_of_a_second(self, truth):
        assert get(truth, "klines", **SYMBOL, interval="1s")
        status, _ = RestEncoder(truth, exchange="binance-us").respond("/api/v3/klines", SYMBOL | {"interval": "1s"}, NOW)
        assert status == 400


class TestUsedWeight:
    @pytest.mark.parametrize(
        ("exchange", "path", "query", "weight"),
        [
            ("binance", "ping", {}, 1),
            ("binance", "depth", SYMBOL, 5),
            ("binance", "depth", SYMBOL | {"limit": "1000"}, 50),
            ("binance", "depth", SYMBOL | {"limit": "99999"}, 250),
            ("binance", "depth", SYMBOL | {"limit": "ten"}, 5),
            ("binance", "exchangeInfo", {}, 20),
            ("binance", "ticker/24hr", SYMBOL, 2),
            ("binance", "ticker/24hr", {}, 80),
            ("binance-us", "depth", SYMBOL | {"limit": "5000"}, 50),
            ("binance-us", "exchangeInfo", {}, 10),
            ("binance-us", "nowhere", {}, 1),
        ],
    )
    def test_each_request_reports_its_weight(self, truth, exchange, path, query, weight):
        headers = RestEncoder(truth, exchange=exchange).headers(f"/api/v3/{path}", query, NOW)
        assert headers == [("X-MBX-USED-WEIGHT", str(weight)), ("X-MBX-USED-WEIGHT-1M", str(weight))]

    def test_the_used_weight_is_summed_within_each_minute(self, truth):
        rest = RestEncoder(truth, exchange="binance")
        used = [rest.headers("/api/v3/depth", SYMBOL, NOW + second * 10**9)[0][1] for second in (0, 30, 59, 60)]
        assert used == ["5", "10", "15", "5"]
