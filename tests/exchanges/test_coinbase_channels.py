"""Coinbase's other channels without keys, in both feeds of simulators: first frames, what brings the next one, and refusals."""

import orjson
import pytest
from support.coinbase_frames import BTC, BTC_USDC, ETH
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.coinbase import Encoder
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.market.events import Side

NOON_NS = rfc3339_ns("2026-09-21T12:00:00Z")
SECOND_NS = 10**9


class Line:
    """One connection to a market with a BTC-USD book and one trade; frames come back parsed."""

    def __init__(self, mode=""):
        self.truth = PlainTruth([BTC, ETH, BTC_USDC])
        self.truth.change("BTC-USD", [(10_000, 2 * 10**8, False), (10_200, 10**7, True)])
        self.encoder = Encoder(self.truth, mode)
        self.now_ns = NOON_NS
        self.traded(9_800, Side.SELL)

    def traded(self, ticks, side=Side.BUY):
        """Frames of a trade of 0.5."""
        trade = self.truth.trade("BTC-USD", ticks, 5 * 10**7, side, exchange_ns=self.now_ns)
        return [orjson.loads(frame) for frame in self.encoder.trades("BTC-USD", [trade], self.now_ns)]

    def says(self, **message):
        """Frames in answer to a message."""
        return [orjson.loads(frame) for frame in self.encoder.receive(orjson.dumps(message), self.now_ns)]

    def asks(self, channel, *products):
        return self.says(type="subscribe", channel=channel, product_ids=products)

    def second(self, count=1):
        """Frames of the clock over so many seconds."""
        found = []
        for _ in range(count):
            self.now_ns += SECOND_NS
            found += [orjson.loads(frame) for frame in self.encoder.heartbeat(self.now_ns)]
        return found


TICKER = {
    "type": "ticker",
    "product_id": "BTC-USD",
    "price": "98",
    "volume_24_h": "0.5",
    "low_24_h": "98",
    "high_24_h": "98",
    "low_52_w": "98",
    "high_52_w": "98",
    "price_percent_chg_24_h": "0",
}
BEST = {"best_bid": "100", "best_ask": "102", "best_bid_quantity": "2", "best_ask_quantity": "0.1"}


class TestAdvanced:
    def test_a_ticker_at_once_and_after_each_trade(self):
        line = Line()
        first, confirmed = line.asks("ticker", "BTC-USD")
        assert (first["channel"], first["sequence_num"], confirmed["sequence_num"]) == ("ticker", 0, 1)
        assert first["events"] == [{"type": "snapshot", "tickers": [{**TICKER, **BEST}]}]
        assert confirmed["events"] == [{"subscriptions": {"ticker": ["BTC-USD"]}}]
        (after,) = line.traded(9_751)
        (event,) = after["events"]
        assert (event["type"], event["tickers"][0]["price"], event["tickers"][0]["low_24_h"]) == ("update", "97.51", "97.51")
        assert event["tickers"][0]["price_percent_chg_24_h"] == "-0.5"
        assert line.second(20) == []

    def test_before_the_first_trade_a_ticker_is_empty(self):
        assert Line().asks("ticker", "ETH-USD")[0]["events"] == [{"type": "snapshot", "tickers": []}]

    def test_batches_come_each_five_seconds_if_there_was_a_trade_and_without_best_prices(self):
        line = Line()
        first, _ = line.asks("ticker_batch", "BTC-USD")
        assert (first["channel"], first["events"][0]["tickers"]) == ("ticker_batch", [TICKER])
        assert line.second(12) == []
        assert line.traded(9_900) == []
        assert line.traded(9_950) == []
        (batch,) = line.second(12)
        assert [each["price"] for each in batch["events"][0]["tickers"]] == ["99.5"]

    def test_candles_of_five_minutes_each_second_in_which_there_was_a_trade(self):
        line = Line()
        first, _ = line.asks("candles", "BTC-USD")
        row = {"start": str(NOON_NS // SECOND_NS), "low": "98", "high": "98", "open": "98", "close": "98", "volume": "0.5"}
        assert first["events"] == [{"type": "snapshot", "candles": [{**row, "product_id": "BTC-USD"}]}]
        assert line.second(2) == []
        line.traded(9_900)
        (after,) = line.second()
        assert after["events"][0]["candles"] == [{**row, "high": "99", "close": "99", "volume": "1", "product_id": "BTC-USD"}]
        assert line.second(2) == []

    def test_the_status_at_once_and_each_five_seconds(self):
        line = Line()
        first, other, _ = line.asks("status", "BTC-USD", "ETH-USD")
        assert other["events"][0]["products"][0]["id"] == "ETH-USD"
        assert first["events"][0]["products"][0]["id"] == "BTC-USD"
        assert first["events"][0]["products"][0]["status"] == "online"
        frames = line.second(10)
        assert [frame["events"][0]["products"][0]["id"] for frame in frames] == ["BTC-USD", "ETH-USD"] * 2

    def test_only_frames_of_books_have_a_client_id_and_it_is_empty(self):
        line = Line()
        for channel in ("level2", "market_trades", "ticker", "ticker_batch", "candles", "status"):
            for frame in line.asks(channel, "BTC-USD"):
                assert frame.get("client_id") == ("" if frame["channel"] == "l2_data" else None)
        (update,) = line.encoder.update("BTC-USD", [(10_000, 1, False)], line.now_ns)
        assert update.startswith(b'{"channel":"l2_data","client_id":"","timestamp":"')

    def test_every_frame_of_every_channel_is_counted(self):
        line = Line()
        frames = line.says(type="subscribe", channel="heartbeats")
        for channel in ("level2", "market_trades", "ticker", "ticker_batch", "candles", "status"):
            frames += line.asks(channel, "BTC-USD")
        for ticks in range(9_900, 9_910):
            frames += line.traded(ticks) + line.second()
        assert [frame["sequence_num"] for frame in frames] == list(range(len(frames)))

    @pytest.mark.parametrize("channel", ["dance", "user", "futures_balance_summary", "l2_data", ""])
    def test_an_unknown_channel_and_one_that_needs_keys_are_answered_alike(self, channel):
        assert Line().asks(channel, "BTC-USD") == [{"type": "error", "message": "authentication failure"}]

    def test_no_products_end_a_channel_as_a_whole(self):
        line = Line()
        line.asks("ticker", "BTC-USD", "ETH-USD")
        line.asks("candles", "BTC-USD")
        (confirmed,) = line.says(type="unsubscribe", channel="ticker")
        assert confirmed["events"] == [{"subscriptions": {"candles": ["BTC-USD"]}}]
        assert line.traded(9_900) == []

    def test_an_alias_gets_its_owners_ticker(self):
        first, _ = Line().asks("ticker", "BTC-USDC")
        assert first["events"][0]["tickers"][0]["product_id"] == "BTC-USD"


class TestExchange:
    def subscribed(self, *channels, products=("BTC-USD",)):
        line = Line("exchange")
        return line, line.says(type="subscribe", product_ids=products, channels=channels)

    def test_a_ticker_at_once_and_after_each_match_with_the_takers_side(self):
        line, (_, first) = self.subscribed("ticker")
        assert first == {
            "type": "ticker",
            "sequence": 2,
            "product_id": "BTC-USD",
            "price": "98",
            "open_24h": "98",
            "volume_24h": "0.5",
            "low_24h": "98",
            "high_24h": "98",
            "volume_30d": "0.5",
            "best_bid": "100.00",
            "best_bid_size": "2.00000000",
            "best_ask": "102.00",
            "best_ask_size": "0.10000000",
            "side": "sell",
            "time": "2026-09-21T12:00:00.000000Z",
            "trade_id": 1,
            "last_size": "0.5",
        }
        (after,) = line.traded(9_900)
        assert (after["price"], after["side"], after["trade_id"], after["volume_24h"]) == ("99", "buy", 2, "1")

    def test_matches_come_before_their_ticker_and_say_the_makers_side(self):
        line, _ = self.subscribed("ticker", "matches")
        match, ticker = line.traded(9_900)
        assert (match["type"], match["side"], ticker["type"], ticker["side"]) == ("match", "sell", "ticker", "buy")

    def test_batches_come_each_five_seconds_if_there_was_a_match(self):
        line, (confirmed, first) = self.subscribed("ticker_batch")
        assert confirmed["channels"] == [{"name": "ticker_batch", "product_ids": ["BTC-USD"], "account_ids": None}]
        assert first["type"] == "ticker"
        assert line.second(12) == []
        line.traded(9_900)
        assert [frame["price"] for frame in line.second(12)] == ["99"]

    def test_the_status_of_all_products_and_currencies_needs_no_product(self):
        line = Line("exchange")
        _, first = line.says(type="subscribe", channels=[{"name": "status"}])
        assert [product["id"] for product in first["products"]] == ["BTC-USD", "ETH-USD", "BTC-USDC"]
        assert first["products"][0]["type"] == "spot"
        assert [currency["id"] for currency in first["currencies"]] == ["BTC", "ETH", "USD", "USDC"]
        assert [frame["type"] for frame in line.second(10)] == ["status"] * 2

    def test_a_channel_may_have_products_of_its_own_beside_the_messages(self):
        """As the documentation's example: the ticker's products are both."""
        _, frames = self.subscribed("heartbeat", {"name": "ticker", "product_ids": ["ETH-USD"]})
        assert {row["name"]: row["product_ids"] for row in frames[0]["channels"]} == {
            "heartbeat": ["BTC-USD"],
            "ticker": ["BTC-USD", "ETH-USD"],
        }

    def test_channels_alone_end_with_all_of_their_products(self):
        line, _ = self.subscribed("ticker", "matches", products=("BTC-USD", "ETH-USD"))
        (confirmed,) = line.says(type="unsubscribe", channels=["ticker"])
        assert [row["name"] for row in confirmed["channels"]] == ["matches"]
        assert [frame["type"] for frame in line.traded(9_900)] == ["match"]

    @pytest.mark.parametrize(
        ("channels", "reason"),
        [
            (["level2"], "level2, level3, and full channels now require authentication."),
            ([{"name": "full", "product_ids": ["BTC-USD"]}], "level2, level3, and full channels now require authentication."),
            (["rfq_matches"], "rfq_matches is not a valid channel"),
            ([{"channel": "ticker"}], "None is not a valid channel"),
            ([[]], "[] is not a valid channel"),
            (["ticker", {"name": "matches", "product_ids": ["DOGE-USD"]}], "DOGE-USD is not a valid product"),
            ([{"name": "ticker", "product_ids": "BTC-USD"}], "product_ids and channels are required"),
        ],
    )
    def test_all_of_it_is_refused_for_one_that_there_is_not(self, channels, reason):
        line, frames = self.subscribed(*channels)
        assert frames == [{"type": "error", "message": "Failed to subscribe", "reason": reason}]
        assert line.traded(9_900) == []

    def test_a_channel_without_products_is_refused(self):
        _, frames = self.subscribed("ticker", products=())
        assert frames[0]["reason"] == "product_ids and channels are required"
