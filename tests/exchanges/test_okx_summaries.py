"""OKX's channels `tickers`, `bbo-tbt` and `candle…`, and the same by REST: figure by figure, of a market of a few trades."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.okx import Encoder, RestEncoder
from alphapulse_cli.exchanges.okx.summaries import SPANS
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("okx", "BTC-USDT", "BTC-USDT", 1, 8, min_size_lots=1000)
SECOND = 10**9
NOW = 1_800_000_030 * SECOND  # 2027-01-15T08:00:30Z, 16:00:30 in Hong Kong
NOW_MS, MINUTE_MS, HOUR_MS = NOW // 10**6, 1_800_000_000_000, 3_600_000
TICKER = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "last": "100.5",
    "lastSz": "1",
    "askPx": "100.1",
    "askSz": "1",
    "bidPx": "100",
    "bidSz": "0.00000007",
    "open24h": "99",
    "high24h": "101",
    "low24h": "99",
    "volCcy24h": "301.5",
    "vol24h": "3",
    "ts": str(NOW_MS),
    "sodUtc0": "99",
    "sodUtc8": "99",
}


@pytest.fixture
def truth():
    """Best 100.0 and 100.1; trades at 99.0 (0.5) and 101.0 (1.5) two minutes ago, at 100.5 (1.0) in the present minute."""
    market = PlainTruth([BTC])
    market.change("BTC-USDT", [(1000, 7, False), (999, 8, False), (1001, 10**8, True)])
    market.trade("BTC-USDT", 990, 50_000_000, exchange_ns=NOW - 150 * SECOND)
    market.trade("BTC-USDT", 1010, 150_000_000, Side.SELL, exchange_ns=NOW - 140 * SECOND)
    market.trade("BTC-USDT", 1005, 100_000_000, exchange_ns=NOW - SECOND)
    return market


def ask(encoder, *channels, op="subscribe"):
    args = [{"channel": channel, "instId": "BTC-USDT"} for channel in channels]
    return [json.loads(frame) for frame in encoder.receive(json.dumps({"op": op, "args": args}).encode(), NOW)]


def parsed(frames):
    return [json.loads(frame) for frame in frames]


class TestTickers:
    def test_they_have_the_best_levels_and_the_figures_of_24_hours(self, truth):
        answer, first = ask(Encoder(truth), "tickers")
        assert answer["event"] == "subscribe"
        assert first == {"arg": {"channel": "tickers", "instId": "BTC-USDT"}, "data": [TICKER]}

    def test_trades_and_best_levels_update_them(self, truth):
        encoder = Encoder(truth)
        ask(encoder, "tickers")
        trade = truth.trade("BTC-USDT", 900, 10**8, exchange_ns=NOW)
        [by_trade] = parsed(encoder.trades("BTC-USDT", [trade], NOW))
        assert (by_trade["data"][0]["last"], by_trade["data"][0]["low24h"]) == ("90", "90")
        truth.change("BTC-USDT", [(1001, 5, True)])
        [by_book] = parsed(encoder.update("BTC-USDT", [(1001, 5, True)], NOW))
        assert by_book["data"][0]["askSz"] == "0.00000005"
        truth.change("BTC-USDT", [(900, 5, False)])
        assert encoder.update("BTC-USDT", [(900, 5, False)], NOW) == []

    def test_without_a_trade_there_are_no_prices(self):
        _, first = ask(Encoder(PlainTruth([BTC])), "tickers")
        assert {key for key, value in first["data"][0].items() if value} == {"instType", "instId", "volCcy24h", "vol24h", "ts"}

    def test_a_day_that_has_no_trade_begins_at_the_last_price(self):
        market = PlainTruth([BTC])
        market.trade("BTC-USDT", 900, 10**8, exchange_ns=NOW - 9 * 3600 * SECOND)  # today in Hong Kong, yesterday in UTC
        market.trade("BTC-USDT", 910, 10**8, exchange_ns=NOW - 9 * 3600 * SECOND + 1)
        _, first = ask(Encoder(market), "tickers")
        assert (first["data"][0]["sodUtc0"], first["data"][0]["sodUtc8"]) == ("91", "90")


class TestBestLevels:
    def test_every_change_of_them_is_sent(self, truth):
        encoder = Encoder(truth)
        _, first = ask(encoder, "bbo-tbt")
        assert first["data"] == [
            {"asks": [["100.1", "1", "0", "1"]], "bids": [["100", "0.00000007", "0", "1"]], "ts": str(NOW_MS), "seqId": 3}
        ]
        truth.change("BTC-USDT", [(1000, 0, False)])
        [later] = parsed(encoder.update("BTC-USDT", [(1000, 0, False)], NOW))
        assert (later["data"][0]["bids"], later["data"][0]["seqId"]) == ([["99.9", "0.00000008", "0", "1"]], 4)
        assert not encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1, exchange_ns=NOW)], NOW)

    def test_they_come_before_the_book(self, truth):
        """So that a fault which takes the last frame away takes the book's."""
        encoder = Encoder(truth)
        ask(encoder, "books", "bbo-tbt", "tickers")
        truth.change("BTC-USDT", [(1001, 5, True)])
        frames = parsed(encoder.update("BTC-USDT", [(1001, 5, True)], NOW))
        assert [frame["arg"]["channel"] for frame in frames] == ["tickers", "bbo-tbt", "books"]


class TestCandles:
    def test_the_present_one_at_first_and_after_every_trade(self, truth):
        encoder = Encoder(truth)
        _, first = ask(encoder, "candle1m")
        assert first["arg"] == {"channel": "candle1m", "instId": "BTC-USDT"}
        assert first["data"] == [[str(MINUTE_MS), "100.5", "100.5", "100.5", "100.5", "1", "100.5", "100.5", "0"]]
        [later] = parsed(encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1020, 10**8, exchange_ns=NOW)], NOW))
        assert later["data"] == [[str(MINUTE_MS), "100.5", "102", "100.5", "102", "2", "202.5", "202.5", "0"]]

    def test_one_that_is_over_is_confirmed_once(self, truth):
        encoder = Encoder(truth)
        ask(encoder, "candle1m")
        assert encoder.heartbeat(NOW + 29 * SECOND) == []
        [over] = parsed(encoder.heartbeat(NOW + 30 * SECOND))
        assert (over["data"][0][0], over["data"][0][-1]) == (str(MINUTE_MS), "1")
        assert encoder.heartbeat(NOW + 31 * SECOND) == []

    def test_the_next_trade_confirms_it_too(self, truth):
        encoder = Encoder(truth)
        ask(encoder, "candle1m")
        later = NOW + 45 * SECOND
        frames = parsed(encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1, exchange_ns=later)], later))
        assert [(frame["data"][0][0], frame["data"][0][-1]) for frame in frames] == [
            (str(MINUTE_MS), "1"),
            (str(MINUTE_MS + 60_000), "0"),
        ]

    @pytest.mark.parametrize(
        ("bar", "begin_hour"), [("4H", 8), ("6H", 4), ("6Hutc", 6), ("12H", 4), ("12Hutc", 0), ("1D", -8), ("1Dutc", 0)]
    )
    def test_long_ones_begin_by_hong_kongs_clock_unless_by_utc(self, bar, begin_hour):
        midnight_ms = MINUTE_MS - 8 * HOUR_MS
        assert SPANS[bar].begin_ns(NOW) == (midnight_ms + begin_hour * HOUR_MS) * 10**6


@pytest.mark.parametrize("channel", ["tickers", "bbo-tbt", "candle1m"])
def test_a_subscription_ends(truth, channel):
    encoder = Encoder(truth)
    ask(encoder, channel)
    assert ask(encoder, channel, op="unsubscribe")[0]["event"] == "unsubscribe"
    truth.change("BTC-USDT", [(1001, 5, True)])
    assert not encoder.update("BTC-USDT", [(1001, 5, True)], NOW)
    assert not encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 1, exchange_ns=NOW)], NOW)
    assert not encoder.heartbeat(NOW + 90 * SECOND)


@pytest.mark.parametrize("channel", ["candle2m", "candle", "candle1M", "trades-all", "books-l2-tbt", "mark-price"])
def test_channels_that_are_not_there_are_refused(truth, channel):
    [refused] = ask(Encoder(truth), channel)
    assert (refused["event"], refused["code"]) == ("error", "60018")


def get(truth, path, **query):
    """Data of a GET, the code and text of an error."""
    status, body = RestEncoder(truth).respond(f"/api/v5/{path}", query, NOW)
    answer = json.loads(body)
    assert status == 200
    return answer["data"] if answer["code"] == "0" else (answer["code"], answer["msg"])


class TestRest:
    def test_tickers_and_the_status(self, truth):
        assert get(truth, "market/ticker", instId="BTC-USDT") == get(truth, "market/tickers", instType="SPOT") == [TICKER]
        assert get(truth, "market/ticker", instId="FOO-BAR")[0] == "51001"
        assert get(truth, "market/tickers", instType="FOO") == ("51000", "Parameter instType error")
        assert get(truth, "market/tickers") == ("50014", "Parameter instType can not be empty")
        assert get(truth, "system/status") == []

    def test_past_trades_come_by_pages(self, truth):
        """Of ids, or of times."""
        truth.trade("BTC-USDT", 1000, 1, exchange_ns=NOW)
        rows = get(truth, "market/history-trades", instId="BTC-USDT")
        ids = [int(row["tradeId"]) for row in rows]
        assert len(ids) > 2
        assert ids == sorted(ids, reverse=True)
        page = get(truth, "market/history-trades", instId="BTC-USDT", after=rows[0]["tradeId"], limit="1")
        assert page == rows[1:2]
        assert get(truth, "market/history-trades", instId="BTC-USDT", before=rows[1]["tradeId"]) == rows[:1]
        older = [row for row in rows if int(row["ts"]) < int(rows[0]["ts"])]
        assert get(truth, "market/history-trades", instId="BTC-USDT", type="2", after=rows[0]["ts"]) == older != []
        for wrong in ({"limit": "101"}, {"after": "x"}):
            assert get(truth, "market/history-trades", instId="BTC-USDT", **wrong)[0] == "51000"

    def test_candles_are_newest_first_and_without_a_hole(self, truth):
        query = {"instId": "BTC-USDT", "bar": "1m"}
        rows = get(truth, "market/candles", **query)
        assert rows == [
            [str(MINUTE_MS), "100.5", "100.5", "100.5", "100.5", "1", "100.5", "100.5", "0"],
            [str(MINUTE_MS - 60_000), "101", "101", "101", "101", "0", "0", "0", "1"],
            [str(MINUTE_MS - 120_000), "99", "101", "99", "101", "2", "201", "201", "1"],
        ]
        assert get(truth, "market/candles", **query, limit="2") == rows[:2]
        assert get(truth, "market/candles", **query, after=str(MINUTE_MS)) == rows[1:]
        assert get(truth, "market/history-candles", **query, before=str(MINUTE_MS - 60_000)) == rows[:1]

    @pytest.mark.parametrize("wrong", [{"bar": "7m"}, {"limit": "0"}, {"limit": "301"}, {"after": "x"}, {"before": "-1"}])
    def test_bad_parameters(self, truth, wrong):
        assert get(truth, "market/candles", **{"instId": "BTC-USDT", **wrong})[0] == "51000"

    @given(
        st.sampled_from(["books", "trades", "history-trades", "ticker", "tickers", "candles"]),
        st.dictionaries(st.sampled_from(["sz", "limit", "bar", "after", "before", "type"]), st.text(max_size=22)),
    )
    def test_any_query_has_an_answer(self, path, query):
        status, body = RestEncoder(PlainTruth([BTC])).respond(
            f"/api/v5/market/{path}", {"instId": "BTC-USDT", "instType": "SPOT", **query}, NOW
        )
        assert status == 200
        assert json.loads(body)["code"] in ("0", "51000")
