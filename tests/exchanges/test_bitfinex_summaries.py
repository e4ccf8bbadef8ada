"""Bitfinex's channels `ticker` and `candles`, and its REST side: figure by figure, of a market of a few trades."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.bitfinex import Encoder, RestEncoder
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("bitfinex", "BTC-USD", "tBTCUSD", 1, 8, min_size_lots=6000)
DOGE = Instrument("bitfinex", "DOGE-USDT", "tDOGE:UST", 5, 8)
SECOND = 10**9
NOW = 1_800_000_030 * SECOND  # 30 seconds into a minute
MINUTE_MS = 1_800_000_000_000
FIGURES = [100, 7e-8, 100.1, 1, 1.5, 0.01515151, 100.5, 3, 101, 99]
OLD, NEW = [MINUTE_MS - 120_000, 99, 101, 101, 99, 2], [MINUTE_MS, 100.5, 100.5, 100.5, 100.5, 1]


@pytest.fixture
def truth():
    """Best 100.0 and 100.1; trades at 99.0 (0.5) and 101.0 (1.5) two minutes ago, at 100.5 (1.0) in the present minute."""
    market = PlainTruth([BTC, DOGE])
    market.change("BTC-USD", [(1000, 7, False), (999, 8, False), (1001, 10**8, True)])
    market.trade("BTC-USD", 990, 50_000_000, exchange_ns=NOW - 150 * SECOND)
    market.trade("BTC-USD", 1010, 150_000_000, Side.SELL, exchange_ns=NOW - 140 * SECOND)
    market.trade("BTC-USD", 1005, 100_000_000, exchange_ns=NOW - SECOND)
    return market


def ask(encoder, event="subscribe", **message):
    return [json.loads(frame) for frame in encoder.receive(json.dumps({"event": event, **message}).encode(), NOW)]


def parsed(frames):
    return [json.loads(frame) for frame in frames]


class TestTheTicker:
    def test_it_has_the_best_levels_and_the_figures_of_24_hours(self, truth):
        ack, (number, figures) = ask(Encoder(truth), channel="ticker", symbol="tBTCUSD")
        assert (ack["event"], ack["channel"], ack["pair"], ack["chanId"]) == ("subscribed", "ticker", "BTCUSD", number)
        assert figures == FIGURES

    def test_trades_and_best_levels_update_it(self, truth):
        encoder = Encoder(truth)
        ask(encoder, channel="ticker", symbol="tBTCUSD")
        trade = truth.trade("BTC-USD", 900, 10**8, exchange_ns=NOW)
        [[_, by_trade]] = parsed(encoder.trades("BTC-USD", [trade], NOW))
        assert by_trade[4:] == [-9, -0.09090909, 90, 4, 101, 90]
        truth.change("BTC-USD", [(1001, 5, True)])
        [[_, by_book]] = parsed(encoder.update("BTC-USD", [(1001, 5, True)], NOW))
        assert by_book[2:4] == [100.1, 5e-8]
        truth.change("BTC-USD", [(900, 5, False)])
        assert encoder.update("BTC-USD", [(900, 5, False)], NOW) == []

    def test_without_a_level_or_a_trade(self, truth):
        _, (_, figures) = ask(Encoder(truth), channel="ticker", symbol="tDOGE:UST")
        assert figures == [None, 0, None, 0, 0, 0, None, 0, None, None]

    def test_it_comes_before_the_book_and_has_a_number_of_the_connection(self, truth):
        """So that a fault which takes the last frame away takes the book's."""
        encoder = Encoder(truth)
        ask(encoder, "conf", flags=65536)
        ask(encoder, channel="ticker", symbol="tBTCUSD")
        ask(encoder, channel="book", symbol="tBTCUSD")
        truth.change("BTC-USD", [(1001, 5, True)])
        ticker, level = parsed(encoder.update("BTC-USD", [(1001, 5, True)], NOW))
        assert (len(ticker[1]), len(level[1])) == (10, 3)
        assert level[-1] == ticker[-1] + 1


class TestCandles:
    def test_those_so_far_newest_first_then_the_present_one_after_every_trade(self, truth):
        encoder = Encoder(truth)
        ack, (number, rows) = ask(encoder, channel="candles", key="trade:1m:tBTCUSD")
        assert (ack["event"], ack["key"], ack["chanId"]) == ("subscribed", "trade:1m:tBTCUSD", number)
        assert rows == [NEW, OLD]
        [later] = parsed(encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1020, 10**8, exchange_ns=NOW)], NOW))
        assert later == [number, [MINUTE_MS, 100.5, 102, 102, 100.5, 2]]
        assert encoder.trades("DOGE-USDT", [truth.trade("DOGE-USDT", 7, 1, exchange_ns=NOW)], NOW) == []

    @pytest.mark.parametrize("key", ["trade:2m:tBTCUSD", "trade:1m:tFOOBAR", "trade:1m", "mark:1m:tBTCUSD", "", 7, None])
    def test_a_key_that_there_is_not(self, truth, key):
        [refused] = ask(Encoder(truth), channel="candles", key=key)
        assert (refused["event"], refused["code"]) == ("error", 10300)


@pytest.mark.parametrize("wanted", [{"channel": "ticker", "symbol": "tBTCUSD"}, {"channel": "candles", "key": "trade:1m:tBTCUSD"}])
def test_a_subscription_ends(truth, wanted):
    encoder = Encoder(truth)
    number = ask(encoder, **wanted)[0]["chanId"]
    assert ask(encoder, **wanted)[0]["code"] == 10301
    assert ask(encoder, "unsubscribe", chanId=number)[0]["status"] == "OK"
    truth.change("BTC-USD", [(1001, 5, True)])
    assert not encoder.update("BTC-USD", [(1001, 5, True)], NOW)
    assert not encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW)], NOW)
    assert not encoder.heartbeat(NOW + 90 * SECOND)


def get(truth, path, **query):
    """Status and answer of a GET."""
    status, body = RestEncoder(truth).respond(f"/v2/{path}", query, NOW)
    return status, json.loads(body)


class TestRest:
    def test_what_conf_tells_of_pairs(self, truth):
        labels = "pub:list:currency,pub:map:currency:sym,pub:list:pair:exchange,pub:info:pair,pub:list:pair:margin"
        status, (codes, spellings, pairs, sizes, margin) = get(truth, f"conf/{labels}")
        assert (status, codes, spellings) == (200, ["BTC", "DOGE", "USD", "UST"], [["UST", "USDt"]])
        assert (pairs, margin) == (["BTCUSD", "DOGE:UST"], [])
        assert [(pair, len(fields), fields[3:5]) for pair, fields in sizes] == [
            ("BTCUSD", 12, ["0.00006", "2000.0"]),
            ("DOGE:UST", 12, [None, "50000000.0"]),
        ]
        assert get(truth, "conf/secret")[0] == 404

    def test_status_and_tickers(self, truth):
        assert get(truth, "platform/status") == (200, [1])
        assert get(truth, "ticker/tBTCUSD") == (200, FIGURES)
        assert get(truth, "tickers", symbols="tBTCUSD") == (200, [["tBTCUSD", *FIGURES]])
        assert get(truth, "ticker/tFOOBAR") == (500, ["error", 10020, "symbol: invalid"])

    def test_books(self, truth):
        assert get(truth, "book/tBTCUSD/P0", len="1") == (200, [[100, 3, 7e-8], [100.1, 1, -1]])
        assert get(truth, "book/tBTCUSD/R0")[1] == [[1000, 100, 7e-8], [999, 99.9, 8e-8], [1001, 100.1, -1]]
        assert get(truth, "book/tBTCUSD/P0", len="7")[0] == get(truth, "book/tFOOBAR/P0")[0] == 500

    def test_candles(self, truth):
        path = "candles/trade:1m:tBTCUSD/hist"
        assert get(truth, path) == (200, [NEW, OLD])
        assert get(truth, path, sort="1", limit="1") == (200, [OLD])
        assert get(truth, path, start=str(MINUTE_MS)) == (200, [NEW])
        assert get(truth, path, end=str(MINUTE_MS - 1)) == (200, [OLD])
        assert get(truth, "candles/trade:1m:tBTCUSD/last") == (200, NEW)
        assert get(truth, "candles/trade:1m:tDOGE:UST/last") == (200, [])
        assert get(truth, path, limit="x")[0] == get(truth, "candles/trade:9m:tBTCUSD/hist")[0] == 500

    @given(
        st.sampled_from(["ticker/tBTCUSD", "book/tBTCUSD/P0", "candles/trade:1m:tBTCUSD/hist", "tickers", "trades/tBTCUSD/hist"]),
        st.dictionaries(st.sampled_from(["len", "limit", "start", "end", "sort"]), st.text(max_size=22)),
    )
    def test_any_query_has_an_answer(self, path, query):
        status, body = RestEncoder(PlainTruth([BTC])).respond(f"/v2/{path}", query, NOW)
        assert status in (200, 500)
        assert isinstance(json.loads(body), list)
