"""Kraken's channels `ticker` and `ohlc`, and what it refuses: frames of a market of a few trades, figure by figure."""

import json
from itertools import pairwise

import pytest
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.kraken import Encoder
from alphapulse_cli.exchanges.kraken.encoder import PRIVATE_ANSWER
from alphapulse_cli.market.events import Side
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8, min_size_lots=5000)
SECOND = 10**9
NOW = 1_800_000_030 * SECOND  # 2027-01-15T08:00:30Z


@pytest.fixture
def truth():
    """Best 100.0 and 100.1; trades at 99.0 (0.5), 101.0 (1.5) in one minute, 100.5 (1.0) in the next, which is the present one."""
    market = PlainTruth([BTC])
    market.change("BTC-USD", [(1000, 7, False), (1001, 10**8, True)])
    market.trade("BTC-USD", 990, 50_000_000, exchange_ns=NOW - 60 * SECOND)
    market.trade("BTC-USD", 1010, 150_000_000, Side.SELL, exchange_ns=NOW - 50 * SECOND)
    market.trade("BTC-USD", 1005, 100_000_000, exchange_ns=NOW - SECOND)
    return market


def ask(encoder, method="subscribe", **params):
    """Frames of the answer to one request."""
    return encoder.receive(json.dumps({"method": method, "req_id": 9, "params": {"symbol": ["BTC/USD"], **params}}).encode(), NOW)


def refusals(encoder, **params):
    return [json.loads(frame).get("error") for frame in ask(encoder, **params)]


class TestTicker:
    def test_the_snapshot_has_the_best_levels_and_the_figures_of_24_hours(self, truth):
        ack, frame = ask(Encoder(truth), channel="ticker")
        result = {"channel": "ticker", "event_trigger": "trades", "snapshot": True, "symbol": "BTC/USD"}
        assert json.loads(ack)["result"] == result
        assert frame == (
            b'{"channel":"ticker","type":"snapshot","data":[{"symbol":"BTC/USD","bid":100.0,"bid_qty":0.00000007,'
            b'"ask":100.1,"ask_qty":1.00000000,"last":100.5,"volume":3.00000000,"vwap":100.5,"low":99.0,"high":101.0,'
            b'"change":1.5,"change_pct":1.52,"trades":3,"timestamp":"2027-01-15T08:00:30.000000Z"}]}'
        )

    def test_before_the_first_trade_its_figures_are_zero(self):
        _, frame = ask(Encoder(PlainTruth([BTC])), channel="ticker")
        [entry] = json.loads(frame)["data"]
        assert {key: value for key, value in entry.items() if value} == {
            "symbol": "BTC/USD",
            "timestamp": "2027-01-15T08:00:30.000000Z",
        }

    def test_trades_update_it(self, truth):
        encoder = Encoder(truth)
        ask(encoder, channel="ticker")
        trade = truth.trade("BTC-USD", 900, 10**8, exchange_ns=NOW)
        [frame] = encoder.trades("BTC-USD", [trade], NOW)
        [entry] = json.loads(frame)["data"]
        assert (json.loads(frame)["type"], entry["last"], entry["low"], entry["change"]) == ("update", 90.0, 90.0, -9.0)
        assert entry["change_pct"] == -9.09

    def test_a_change_of_the_best_levels_does_only_if_asked(self, truth):
        by_trades, by_best = Encoder(truth), Encoder(truth)
        ask(by_trades, channel="ticker")
        ask(by_best, channel="ticker", event_trigger="bbo")
        for change, frames in (((1001, 5, True), 1), ((1002, 5, True), 0), ((1001, 0, True), 1)):
            truth.change("BTC-USD", [change])
            assert len(by_best.update("BTC-USD", [change], NOW)) == frames
            assert by_trades.update("BTC-USD", [change], NOW) == []
        trade = truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW)
        assert [len(encoder.trades("BTC-USD", [trade], NOW)) for encoder in (by_best, by_trades)] == [0, 1]

    def test_a_client_may_have_both(self, truth):
        encoder = Encoder(truth)
        for trigger in ("trades", "bbo"):
            assert len(ask(encoder, channel="ticker", event_trigger=trigger)) == 2
        truth.change("BTC-USD", [(1001, 5, True)])
        assert len(encoder.update("BTC-USD", [(1001, 5, True)], NOW)) == 1
        assert len(encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW)], NOW)) == 1

    def test_it_comes_before_the_book_frame_of_the_same_change(self, truth):
        """So that a fault which takes an update away takes the book's."""
        encoder = Encoder(truth)
        ask(encoder, channel="ticker", event_trigger="bbo")
        ask(encoder, channel="book")
        truth.change("BTC-USD", [(1001, 5, True)])
        channels = [json.loads(frame)["channel"] for frame in encoder.update("BTC-USD", [(1001, 5, True)], NOW)]
        assert channels == ["ticker", "book"]


class TestCandles:
    def test_the_snapshot_has_the_candles_so_far(self, truth):
        ack, frame = ask(Encoder(truth), channel="ohlc")
        warnings = ["timestamp is deprecated, use interval_begin"]
        result = {"channel": "ohlc", "interval": 1, "snapshot": True, "symbol": "BTC/USD", "warnings": warnings}
        assert json.loads(ack)["result"] == result
        assert frame == (
            b'{"channel":"ohlc","type":"snapshot","timestamp":"2027-01-15T08:00:30.000000000Z","data":['
            b'{"symbol":"BTC/USD","open":99.0,"high":101.0,"low":99.0,"close":101.0,"trades":2,"volume":2.00000000,"vwap":100.5,'
            b'"interval_begin":"2027-01-15T07:59:00.000000000Z","interval":1,"timestamp":"2027-01-15T08:00:00.000000Z"},'
            b'{"symbol":"BTC/USD","open":100.5,"high":100.5,"low":100.5,"close":100.5,"trades":1,"volume":1.00000000,"vwap":100.5,'
            b'"interval_begin":"2027-01-15T08:00:00.000000000Z","interval":1,"timestamp":"2027-01-15T08:01:00.000000Z"}]}'
        )

    def test_at_most_ten(self, truth):
        for minute in range(1, 30):
            truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW + 60 * minute * SECOND)
        _, frame = ask(Encoder(truth), channel="ohlc")
        begins = [candle["interval_begin"] for candle in json.loads(frame)["data"]]
        assert len(begins) == 10
        assert all(older < newer for older, newer in pairwise(begins))
        assert begins[-1] == "2027-01-15T08:29:00.000000000Z"

    def test_each_interval_is_updated_by_trades(self, truth):
        encoder = Encoder(truth)
        for minutes in (1, 60):
            ask(encoder, channel="ohlc", interval=minutes, snapshot=False)
        trade = truth.trade("BTC-USD", 1020, 10**8, exchange_ns=NOW)
        short, long = (json.loads(frame)["data"] for frame in encoder.trades("BTC-USD", [trade], NOW))
        assert [(each["interval"], each["open"], each["close"], each["trades"]) for each in short + long] == [
            (1, 100.5, 102.0, 2),
            (60, 100.5, 102.0, 2),
        ]

    @pytest.mark.parametrize("interval", [2, 0, -1, "1", 1.0, None, True, [1]])
    def test_an_interval_that_there_is_not(self, truth, interval):
        assert refusals(Encoder(truth), channel="ohlc", interval=interval) == ["Subscription ohlc interval not supported"]


class TestTheLifeOfASubscription:
    @pytest.mark.parametrize("params", [{"channel": "ticker"}, {"channel": "ticker", "event_trigger": "bbo"}, {"channel": "ohlc"}])
    def test_a_subscription_ends(self, truth, params):
        encoder = Encoder(truth)
        ask(encoder, **params)
        assert refusals(encoder, **params) == ["Already subscribed"]
        [done] = ask(encoder, "unsubscribe", **params)
        assert json.loads(done)["success"] is True
        trade = truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW)
        truth.change("BTC-USD", [(1001, 0, True)])
        assert encoder.trades("BTC-USD", [trade], NOW) == encoder.update("BTC-USD", [(1001, 0, True)], NOW) == []
        assert refusals(encoder, method="unsubscribe", **params) == ["Subscription Not Found"]

    def test_it_is_kept_alive_by_heartbeats_while_nothing_else_is_sent(self, truth):
        encoder = Encoder(truth)
        ask(encoder, channel="ticker")
        assert encoder.heartbeat(NOW) == []
        assert encoder.heartbeat(NOW) == [b'{"channel":"heartbeat"}']
        encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 1, exchange_ns=NOW)], NOW)
        assert encoder.heartbeat(NOW) == []

    def test_an_unknown_symbol_trigger_or_channel(self, truth):
        encoder = Encoder(truth)
        assert refusals(encoder, channel="ticker", symbol=["FOO/BAR"]) == ["Currency pair not supported FOO/BAR"]
        assert refusals(encoder, channel="ticker", event_trigger="never") == ["Subscription event_trigger not supported"]
        assert refusals(encoder, channel="tape") == ["Channel not supported"]

    @pytest.mark.parametrize("channel", ["executions", "balances", "level3"])
    def test_private_channels_and_methods_have_another_address(self, truth, channel):
        encoder = Encoder(truth)
        assert refusals(encoder, channel=channel) == [PRIVATE_ANSWER]
        assert refusals(encoder, method="add_order", order_type="limit") == [PRIVATE_ANSWER]
        assert refusals(encoder, method="dance") == ["Unsupported method"]
