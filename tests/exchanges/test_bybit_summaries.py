"""Bybit's topics `tickers`, `kline` and `orderbook.1`, and its REST market data: figure by figure, of a market of a few trades."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.bybit import Encoder, RestEncoder
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", 1, 6, min_size_lots=11)
SECOND = 10**9
NOW = 1_800_000_030 * SECOND  # 30 seconds into a minute
NOW_MS, MINUTE_MS = NOW // 10**6, 1_800_000_000_000
FIGURES = {
    "symbol": "BTCUSDT",
    "lastPrice": "100.5",
    "highPrice24h": "101",
    "lowPrice24h": "99",
    "prevPrice24h": "99",
    "volume24h": "3",
    "turnover24h": "301.5",
    "price24hPcnt": "0.0152",
    "usdIndexPrice": "",
}
MARKET = {"category": "spot", "symbol": "BTCUSDT"}


@pytest.fixture
def truth():
    """Best 100.0 and 100.1; trades at 99.0 (0.5) and 101.0 (1.5) two minutes ago, at 100.5 (1.0) in the present minute."""
    market = PlainTruth([BTC])
    market.change("BTC-USDT", [(1000, 7, False), (999, 8, False), (1001, 10**6, True)])
    market.trade("BTC-USDT", 990, 500_000, exchange_ns=NOW - 150 * SECOND)
    market.trade("BTC-USDT", 1010, 1_500_000, Side.SELL, exchange_ns=NOW - 140 * SECOND)
    market.trade("BTC-USDT", 1005, 1_000_000, exchange_ns=NOW - SECOND)
    return market


def ask(encoder, *topics, op="subscribe"):
    return [json.loads(frame) for frame in encoder.receive(json.dumps({"op": op, "args": topics}).encode(), NOW)]


def parsed(frames):
    return [json.loads(frame) for frame in frames]


class TestTheTicker:
    def test_it_is_a_snapshot_at_first_and_after_every_trade(self, truth):
        encoder = Encoder(truth)
        ack, first = ask(encoder, "tickers.BTCUSDT")
        assert (ack["success"], first["topic"], first["type"], first["data"]) == (True, "tickers.BTCUSDT", "snapshot", FIGURES)
        trade = truth.trade("BTC-USDT", 900, 10**6, exchange_ns=NOW)
        [later] = parsed(encoder.trades("BTC-USDT", [trade], NOW))
        changed = {"lastPrice": "90", "lowPrice24h": "90", "volume24h": "4", "turnover24h": "391.5", "price24hPcnt": "-0.0909"}
        assert (later["type"], later["data"]) == ("snapshot", FIGURES | changed)

    def test_without_a_trade_there_are_no_prices(self):
        _, first = ask(Encoder(PlainTruth([BTC])), "tickers.BTCUSDT")
        assert (first["data"]["lastPrice"], first["data"]["highPrice24h"], first["data"]["volume24h"]) == ("", "", "0")


class TestCandles:
    def test_a_trade_sends_the_present_one_of_each_interval(self, truth):
        encoder = Encoder(truth)
        assert len(ask(encoder, "kline.1.BTCUSDT", "kline.D.BTCUSDT")) == 1
        trade = truth.trade("BTC-USDT", 1020, 10**6, exchange_ns=NOW)
        minute, day = parsed(encoder.trades("BTC-USDT", [trade], NOW))
        assert minute == {
            "type": "snapshot",
            "topic": "kline.1.BTCUSDT",
            "data": [
                {
                    "start": MINUTE_MS,
                    "open": "100.5",
                    "high": "102",
                    "low": "100.5",
                    "close": "102",
                    "volume": "2",
                    "turnover": "202.5",
                    "end": MINUTE_MS + 59_999,
                    "interval": "1",
                    "confirm": False,
                    "timestamp": NOW_MS,
                }
            ],
            "ts": NOW_MS,
        }
        assert (day["topic"], day["data"][0]["open"], day["data"][0]["volume"]) == ("kline.D.BTCUSDT", "99", "4")

    def test_one_that_is_over_is_confirmed_once(self, truth):
        encoder = Encoder(truth)
        ask(encoder, "kline.1.BTCUSDT")
        encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1020, 10**6, exchange_ns=NOW)], NOW)
        assert encoder.heartbeat(NOW + 29 * SECOND) == []
        [over] = parsed(encoder.heartbeat(NOW + 30 * SECOND))
        assert (over["data"][0]["confirm"], over["data"][0]["start"], over["data"][0]["close"]) == (True, MINUTE_MS, "102")
        assert encoder.heartbeat(NOW + 31 * SECOND) == []

    def test_the_next_trade_confirms_it_too(self, truth):
        encoder = Encoder(truth)
        ask(encoder, "kline.1.BTCUSDT")
        encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1020, 10**6, exchange_ns=NOW)], NOW)
        later = NOW + 45 * SECOND
        over, new = parsed(encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1, exchange_ns=later)], later))
        assert [(each["data"][0]["confirm"], each["data"][0]["start"]) for each in (over, new)] == [
            (True, MINUTE_MS),
            (False, MINUTE_MS + 60_000),
        ]


class TestTheBestLevels:
    def test_every_change_is_a_snapshot(self, truth):
        encoder = Encoder(truth)
        _, first = ask(encoder, "orderbook.1.BTCUSDT")
        assert (first["data"]["b"], first["data"]["a"]) == ([["100", "0.000007"]], [["100.1", "1"]])
        truth.change("BTC-USDT", [(1000, 0, False)])
        [later] = parsed(encoder.update("BTC-USDT", [(1000, 0, False)], NOW))
        assert (later["type"], later["data"]["b"], later["data"]["u"]) == (
            "snapshot",
            [["99.9", "0.000008"]],
            first["data"]["u"] + 1,
        )
        assert encoder.update("BTC-USDT", [(900, 5, False)], NOW) == []

    def test_after_three_seconds_it_is_repeated_with_the_same_number(self, truth):
        encoder = Encoder(truth)
        _, first = ask(encoder, "orderbook.1.BTCUSDT")
        assert encoder.heartbeat(NOW + 2 * SECOND) == []
        [again] = parsed(encoder.heartbeat(NOW + 3 * SECOND))
        assert again["data"] == first["data"]
        assert encoder.heartbeat(NOW + 4 * SECOND) == []

    def test_it_comes_before_the_deeper_books(self, truth):
        """So that a fault which takes the last frame away takes a book's."""
        encoder = Encoder(truth)
        ask(encoder, "orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT")
        truth.change("BTC-USDT", [(1001, 5, True)])
        frames = parsed(encoder.update("BTC-USDT", [(1001, 5, True)], NOW))
        assert [frame["topic"] for frame in frames] == ["orderbook.1.BTCUSDT", "orderbook.50.BTCUSDT"]


@pytest.mark.parametrize("topic", ["tickers.BTCUSDT", "kline.1.BTCUSDT", "orderbook.1.BTCUSDT"])
def test_a_subscription_ends(truth, topic):
    encoder = Encoder(truth)
    ask(encoder, topic)
    assert ask(encoder, topic)[0]["ret_msg"] == f"error:already subscribed,topic:{topic}"
    assert ask(encoder, topic, op="unsubscribe")[0]["success"] is True
    truth.change("BTC-USDT", [(1001, 5, True)])
    assert not encoder.update("BTC-USDT", [(1001, 5, True)], NOW)
    assert not encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1, exchange_ns=NOW)], NOW)
    assert not encoder.heartbeat(NOW + 90 * SECOND)


def get(truth, path, **query):
    """Result of a GET, the error's text where there is one."""
    status, body = RestEncoder(truth).respond(path, query, NOW)
    answer = json.loads(body)
    assert status == 200
    return answer["result"] if answer["retCode"] == 0 else answer["retMsg"]


class TestRest:
    def test_time_and_status(self, truth):
        assert get(truth, "/v5/market/time") == {"timeSecond": "1800000030", "timeNano": str(NOW)}
        assert get(truth, "/v5/system/status") == {"list": []}

    def test_tickers_have_the_best_levels_too(self, truth):
        best = {"bid1Price": "100", "bid1Size": "0.000007", "ask1Price": "100.1", "ask1Size": "1"}
        assert get(truth, "/v5/market/tickers", **MARKET)["list"] == [FIGURES | best]
        assert get(PlainTruth([BTC]), "/v5/market/tickers", category="spot")["list"][0]["bid1Price"] == ""

    def test_the_rest_book_is_the_markets(self, truth):
        book = get(truth, "/v5/market/orderbook", **MARKET, limit="5")
        assert (book["s"], book["b"], book["a"]) == ("BTCUSDT", [["100", "0.000007"], ["99.9", "0.000008"]], [["100.1", "1"]])
        assert (book["ts"], book["u"], book["seq"]) == (NOW_MS, 3, 3)
        assert len(get(truth, "/v5/market/orderbook", **MARKET)["b"]) == 1

    def test_trades_are_newest_first(self, truth):
        newest, *_ = rows = get(truth, "/v5/market/recent-trade", **MARKET)["list"]
        assert [row["execId"] for row in rows] == ["3", "2", "1"]
        assert newest == {
            "execId": "3",
            "symbol": "BTCUSDT",
            "price": "100.5",
            "size": "1",
            "side": "Buy",
            "time": str(NOW_MS - 1000),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": "3",
        }
        assert [row["side"] for row in get(truth, "/v5/market/recent-trade", **MARKET, limit="2")["list"]] == ["Buy", "Sell"]

    def test_candles_are_newest_first_and_without_a_hole(self, truth):
        path, minute = "/v5/market/kline", {**MARKET, "interval": "1"}
        rows = get(truth, path, **minute)["list"]
        assert rows == [
            [str(MINUTE_MS), "100.5", "100.5", "100.5", "100.5", "1", "100.5"],
            [str(MINUTE_MS - 60_000), "101", "101", "101", "101", "0", "0"],
            [str(MINUTE_MS - 120_000), "99", "101", "99", "101", "2", "201"],
        ]
        assert get(truth, path, **minute, limit="1")["list"] == rows[:1]
        assert get(truth, path, **minute, end=str(MINUTE_MS - 1))["list"] == rows[1:]
        assert get(truth, path, **minute, start=str(MINUTE_MS - 60_000), limit="1")["list"] == rows[1:2]
        assert len(get(truth, path, **MARKET, interval="M")["list"]) == 1

    @pytest.mark.parametrize("path", ["orderbook", "recent-trade", "kline"])
    def test_bad_parameters_are_named(self, truth, path):
        good = {**MARKET, "interval": "1"}
        unknown = "Not supported symbols" if path == "kline" else "params error: symbol invalid"
        for wrong, reason in (
            ({"category": "linear"}, unknown),
            ({"category": "margin"}, "params error: Category is invalid"),
            ({"symbol": "FOO"}, unknown),
            ({"limit": "0"}, "params error: limit invalid"),
            ({"limit": "²"}, "params error: limit invalid"),
        ):
            assert get(truth, f"/v5/market/{path}", **{**good, **wrong}) == reason
        assert get(truth, "/v5/market/kline", **MARKET, interval="7") == "params error: interval invalid"

    def test_an_unknown_symbol_has_no_ticker_and_no_instrument(self, truth):
        """In the exchange's words, which differ from path to path."""
        assert get(truth, "/v5/market/tickers", category="spot", symbol="FOO") == "Not supported symbols"
        assert get(truth, "/v5/market/instruments-info", category="spot", symbol="FOO")["list"] == []

    @pytest.mark.parametrize("category", ["linear", "inverse", "option"])
    def test_nothing_is_listed_in_another_category(self, truth, category):
        """So that a client which asks for all of them goes on."""
        for path, refusal in (("instruments-info", "params error: symbol invalid"), ("tickers", "Not supported symbols")):
            answer = get(truth, f"/v5/market/{path}", category=category, limit="1000")
            assert (answer["category"], answer["list"]) == (category, [])
            assert get(truth, f"/v5/market/{path}", category=category, symbol="BTCUSDT") == refusal

    @given(
        st.sampled_from(["instruments-info", "tickers", "orderbook", "recent-trade", "kline"]),
        st.dictionaries(st.sampled_from(["symbol", "limit", "interval", "start", "end"]), st.text(max_size=22)),
    )
    def test_any_query_has_an_answer(self, path, query):
        status, body = RestEncoder(PlainTruth([BTC])).respond(f"/v5/market/{path}", {"category": "spot", **query}, NOW)
        assert status == 200
        assert json.loads(body)["retCode"] in (0, 10001)
