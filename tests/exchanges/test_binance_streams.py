"""The streams of Binance beside books and trades: what each carries, when it comes, and that it is what the market did."""

import orjson
import pytest
from support.binance import BTC, ETH
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.binance import Encoder
from alphapulse_cli.market.events import Side

MINUTE = 60_000_000_000
BEGIN = 1_633_998_240_000_000_000 // MINUTE * MINUTE
BOOK = [(10000, 20, False), (10001, 30, True)]


@pytest.fixture
def truth():
    made = PlainTruth([BTC, ETH])
    made.change("BTC-USDT", BOOK)
    return made


def subscribed(truth, *streams, exchange="binance-us"):
    encoder = Encoder(truth, exchange=exchange)
    encoder.opened("/ws", {})
    request = {"method": "SUBSCRIBE", "params": list(streams), "id": 1}
    assert orjson.loads(encoder.receive(orjson.dumps(request), BEGIN)[0]) == {"result": None, "id": 1}
    return encoder


def loaded(frames):
    return [orjson.loads(frame) for frame in frames]


def changed(truth, encoder, *changes, now_ns=BEGIN):
    truth.change("BTC-USDT", changes)
    return loaded(encoder.update("BTC-USDT", changes, now_ns))


class TestTheBestBidAndAsk:
    def test_the_best_bid_and_ask_are_sent_when_they_change(self, truth):
        encoder = subscribed(truth, "btcusdt@bookTicker")
        [first] = changed(truth, encoder, (9000, 1, False))
        assert first == {
            "u": truth.sequence("BTC-USDT"),
            "s": "BTCUSDT",
            "b": "100.00000000",
            "B": "0.00200000",
            "a": "100.01000000",
            "A": "0.00300000",
        }
        assert changed(truth, encoder, (9000, 2, False)) == [], "a deeper level"
        assert changed(truth, encoder, (10000, 21, False))[0]["B"] == "0.00210000"
        assert changed(truth, encoder, (10001, 0, True))[0]["A"] == "0.00000000", "an empty side"

    def test_the_diff_is_the_last_frame_of_an_update(self, truth):
        """A lost frame is a lost update, whatever else is subscribed to."""
        encoder = subscribed(truth, "btcusdt@depth", "btcusdt@bookTicker", "btcusdt@depth5")
        assert [frame.get("e") for frame in changed(truth, encoder, (10000, 9, False))] == [None, None, "depthUpdate"]


class TestTrades:
    def test_an_aggregate_is_one_trade(self, truth):
        encoder = subscribed(truth, "btcusdt@trade", "btcusdt@aggTrade")
        made = truth.trade("BTC-USDT", 10001, 3, Side.SELL, exchange_ns=BEGIN, trade_id="77")
        one, aggregate = loaded(encoder.trades("BTC-USDT", [made], BEGIN + 5_000_000))
        now = BEGIN // 1_000_000
        same = {"s": "BTCUSDT", "p": "100.01000000", "q": "0.00030000", "T": now, "E": now + 5, "m": True, "M": True}
        assert one == {"e": "trade", "t": 77, **same}
        assert aggregate == {"e": "aggTrade", "a": 77, "f": 77, "l": 77, **same}


class TestFiguresOfADay:
    def test_figures_are_sent_each_second_and_match_the_trades(self, truth):
        encoder = subscribed(truth, "btcusdt@ticker", "btcusdt@miniTicker")
        for ticks, lots in ((10000, 10), (12000, 10), (9000, 20), (11000, 10)):
            truth.trade("BTC-USDT", ticks, lots, exchange_ns=BEGIN)
        full, mini = loaded(encoder.heartbeat(BEGIN))
        now = BEGIN // 1_000_000
        assert mini == {
            "e": "24hrMiniTicker",
            "E": now,
            "s": "BTCUSDT",
            "c": "110.00000000",
            "o": "100.00000000",
            "h": "120.00000000",
            "l": "90.00000000",
            "v": "0.00500000",
            "q": "0.51000000",
        }
        assert {name: full[name] for name in mini if name != "e"} == {name: mini[name] for name in mini if name != "e"}
        more = {"p": "10.00000000", "P": "10.000", "w": "102.00000000", "Q": "0.00100000", "F": 1, "L": 4, "n": 4}
        assert {name: full[name] for name in more} == more
        assert (full["b"], full["B"], full["a"], full["A"]) == ("100.00000000", "0.00200000", "100.01000000", "0.00300000")
        assert (full["O"], full["C"]) == (now - 86_400_000, now)

    def test_a_falling_price_has_a_negative_change(self, truth):
        encoder = subscribed(truth, "btcusdt@ticker")
        for ticks in (30000, 10000):
            truth.trade("BTC-USDT", ticks, 1, exchange_ns=BEGIN)
        [full] = loaded(encoder.heartbeat(BEGIN))
        assert (full["p"], full["P"]) == ("-200.00000000", "-66.667")

    def test_without_a_trade_nothing_is_invented(self, truth):
        [full] = loaded(subscribed(truth, "btcusdt@ticker").heartbeat(BEGIN))
        zero = "0.00000000"
        assert [full[name] for name in "cohlvqpwQ"] == [zero] * 9
        assert (full["F"], full["L"], full["n"], full["P"]) == (-1, -1, 0, "0.000")

    @pytest.mark.parametrize(("stream", "event"), [("!ticker@arr", "24hrTicker"), ("!miniTicker@arr", "24hrMiniTicker")])
    def test_the_all_market_stream_sends_changed_symbols_only(self, truth, stream, event):
        encoder = subscribed(truth, stream)
        assert encoder.heartbeat(BEGIN) == []
        truth.trade("BTC-USDT", 10000, 1, exchange_ns=BEGIN)
        [[told]] = loaded(encoder.heartbeat(BEGIN))
        assert (told["e"], told["s"]) == (event, "BTCUSDT")
        assert encoder.heartbeat(BEGIN) == []
        truth.trade("ETH-USDT", 10000, 1, exchange_ns=BEGIN)
        [[told]] = loaded(encoder.heartbeat(BEGIN))
        assert told["s"] == "ETHUSDT"


class TestCandles:
    def beat(self, encoder, now_ns):
        """Frames of two seconds: candles come each other one."""
        return [frame["k"] for frame in loaded([*encoder.heartbeat(now_ns), *encoder.heartbeat(now_ns)])]

    def test_the_current_candle_is_sent_every_other_second(self, truth):
        encoder = subscribed(truth, "btcusdt@kline_1m")
        for ticks, side in ((10000, Side.BUY), (12000, Side.SELL)):
            truth.trade("BTC-USDT", ticks, 10, side, exchange_ns=BEGIN)
        assert encoder.heartbeat(BEGIN) == []
        [frame] = loaded(encoder.heartbeat(BEGIN))
        begin = BEGIN // 1_000_000
        assert (frame["e"], frame["E"], frame["s"]) == ("kline", begin, "BTCUSDT")
        assert frame["k"] == {
            "t": begin,
            "T": begin + 59_999,
            "s": "BTCUSDT",
            "i": "1m",
            "f": 1,
            "L": 2,
            "o": "100.00000000",
            "c": "120.00000000",
            "h": "120.00000000",
            "l": "100.00000000",
            "v": "0.00200000",
            "n": 2,
            "x": False,
            "q": "0.22000000",
            "V": "0.00100000",
            "Q": "0.10000000",
            "B": "0",
        }

    def test_a_closed_candle_is_sent_once_as_closed(self, truth):
        """Minutes without a trade too, at the last price."""
        encoder = subscribed(truth, "btcusdt@kline_1m")
        truth.trade("BTC-USDT", 10000, 10, exchange_ns=BEGIN)
        self.beat(encoder, BEGIN)
        told = self.beat(encoder, BEGIN + 2 * MINUTE)
        assert [(each["t"] - BEGIN // 1_000_000, each["n"], each["x"], each["c"]) for each in told] == [
            (0, 1, True, "100.00000000"),
            (60_000, 0, True, "100.00000000"),
            (120_000, 0, False, "100.00000000"),
        ]
        assert [each["x"] for each in self.beat(encoder, BEGIN + 2 * MINUTE)] == [False]

    def test_without_a_trade_no_candle_is_sent(self, truth):
        assert self.beat(subscribed(truth, "btcusdt@kline_1M"), BEGIN) == []

    def test_candle_times_may_be_microseconds(self, truth):
        encoder = Encoder(truth, exchange="binance")
        encoder.opened("/ws/btcusdt@kline_1s", {"timeUnit": "MICROSECOND"})
        truth.trade("BTC-USDT", 10000, 10, exchange_ns=BEGIN)
        [frame] = loaded(encoder.heartbeat(BEGIN))
        assert (frame["k"]["t"], frame["k"]["T"]) == (BEGIN // 1000, BEGIN // 1000 + 999_999)

    @pytest.mark.parametrize(("exchange", "count"), [("binance", 1), ("binance-us", 0)])
    def test_only_binance_streams_candles_of_a_second(self, truth, exchange, count):
        encoder = subscribed(truth, "btcusdt@kline_1s", "btcusdt@kline_7m", exchange=exchange)
        truth.trade("BTC-USDT", 10000, 10, exchange_ns=BEGIN)
        assert len(encoder.heartbeat(BEGIN)) == count
