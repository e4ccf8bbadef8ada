"""Coinbase's older Exchange feed, rule by rule (X1 to X7, and S1 to S7 where they show here)."""

from dataclasses import replace

import orjson
import pytest
from support.coinbase_frames import (
    BTC,
    ETH,
    TIME,
    TIME_NS,
    levels,
    picture,
    sent,
    started,
    x_heartbeat,
    x_match,
    x_snapshot,
    x_update,
)

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase import Decoder
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    Heartbeat,
    OffGrid,
    Side,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    Trade,
    TradesMissed,
    Unrecognised,
    Update,
)


@pytest.fixture
def decoder():
    """One whose BTC-USD book is live."""
    made = started(mode="exchange")
    made.receive(x_snapshot(), 0)
    return made


def test_s1_heartbeats_first_and_one_channel_per_message():
    decoder = Decoder([BTC], {"book", "trades"}, mode="exchange")
    decoder.connected(0)
    assert sent(decoder) == [
        {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": [channel]}
        for channel in ("heartbeat", "level2_batch", "matches")
    ]


def test_s3_an_update_before_the_snapshot_is_a_gap_once():
    decoder = started(mode="exchange")
    assert list(decoder.receive(x_update(), 0)) == [GapFound((BTC,), GapReason.UPDATE_BEFORE_SNAPSHOT, "BTC-USD")]
    assert list(decoder.receive(x_update(), 0)) == []
    assert [(each["type"], each["channels"]) for each in sent(decoder)] == [
        ("unsubscribe", ["level2_batch"]),
        ("subscribe", ["level2_batch"]),
    ]


def test_s4_a_resync_heals_with_a_snapshot(decoder):
    decoder.resync(BTC)
    assert len(sent(decoder)) == 2
    assert list(decoder.receive(x_update(), 0)) == []
    assert isinstance(decoder.receive(x_snapshot(), 0)[0], Snapshot)
    assert isinstance(decoder.receive(x_update(), 0)[0], Update)


class TestX1Snapshots:
    def test_both_sides_and_no_time(self):
        events = started(mode="exchange").receive(
            x_snapshot(bids=[["10.00", "1.5"], ["9", "2"]], asks=[["10.01", "0.00000001"]]), 0
        )
        assert picture(events) == [
            ("Snapshot", "BTC-USD", None, [(1000, 150_000_000, False), (900, 200_000_000, False), (1001, 1, True)])
        ]

    def test_a_snapshot_with_a_time_has_it(self):
        assert started(mode="exchange").receive(x_snapshot(time="2026-08-12T19:27:48.551Z"), 0)[0].exchange_ns == TIME_NS

    @pytest.mark.parametrize("side", ["12", ["12"], {"12": "34"}, None, [["1"]], [[1, None]]])
    def test_rows_that_are_none_are_refused(self, side):
        decoder = started(mode="exchange")
        with pytest.raises(DecodeError):
            decoder.receive(x_snapshot(bids=side), 0)
        assert isinstance(decoder.receive(x_update(), 0)[0], GapFound)


class TestX2Updates:
    def test_an_update_has_sides_and_zero_removes(self, decoder):
        changes = [["buy", "2499.50", "0.00100000"], ["sell", "2510.00", "0.00000000"], ["buy", "2499.5", "0"]]
        (event,) = decoder.receive(x_update(changes=changes), 0)
        assert levels(event) == [(249950, 100_000, False), (251000, 0, True), (249950, 0, False)]
        assert event.exchange_ns == TIME_NS

    def test_no_changes_are_no_event(self, decoder):
        assert list(decoder.receive(x_update(changes=[]), 0)) == []

    @pytest.mark.parametrize("changes", ["buy", {"buy": 1}, [["bid", "1", "1"]], [["buy", "-1", "1"]], [["buy", "1"]], [7], None])
    def test_changes_that_are_none_are_refused(self, decoder, changes):
        with pytest.raises(DecodeError):
            decoder.receive(x_update(changes=changes), 0)


class TestX3Times:
    @pytest.mark.parametrize(
        ("text", "expected"), [(TIME, TIME_NS), ("1970-01-01T00:00:00Z", None), ("0001-01-01T00:00:00Z", None), (None, None)]
    )
    def test_delay_counts_from_time_and_an_unset_one_is_none(self, decoder, text, expected):
        [event] = decoder.receive(x_update(time=text), 0)
        assert event.exchange_ns == expected


class TestX4X5Matches:
    def test_the_makers_side_is_turned_round(self, decoder):
        assert decoder.receive(x_match(7), 0) == [Trade(BTC, "7", 1050, 10**7, Side.BUY, TIME_NS)]
        assert decoder.receive(x_match(8, side="buy"), 0)[0].side is Side.SELL

    def test_the_last_match_is_history(self, decoder):
        assert decoder.receive(x_match(7, "last_match"), 0)[0].history
        assert not decoder.receive(x_match(8), 0)[0].history

    def test_a_step_is_missed(self, decoder):
        decoder.receive(x_match(7, "last_match"), 0)
        assert decoder.receive(x_match(10), 0)[0] == TradesMissed(BTC, 2)

    def test_a_heartbeat_shows_what_was_missed_once(self, decoder):
        decoder.receive(x_match(7, "last_match"), 0)
        assert decoder.receive(x_heartbeat(9), 0) == [TradesMissed(BTC, 2), Heartbeat(TIME_NS)]
        assert decoder.receive(x_heartbeat(9), 0) == [Heartbeat(TIME_NS)]
        assert [type(each) for each in decoder.receive(x_match(10), 0)] == [Trade]

    def test_a_heartbeat_behind_the_trades_turns_nothing_back(self, decoder):
        decoder.receive(x_match(7), 0)
        assert decoder.receive(x_heartbeat(5), 0) == [Heartbeat(TIME_NS)]
        assert [type(each) for each in decoder.receive(x_match(8), 0)] == [Trade]

    def test_who_takes_no_trades_misses_none(self):
        decoder = started(mode="exchange", channels=("book",))
        decoder.receive(x_heartbeat(7), 0)
        assert decoder.receive(x_heartbeat(9), 0) == [Heartbeat(TIME_NS)]


class TestX6Answers:
    def test_level2_batch_is_confirmed_as_level2_50(self, decoder):
        rows = [{"name": name, "product_ids": ["BTC-USD"], "account_ids": None} for name in ("level2_50", "matches", "heartbeat")]
        answer = orjson.dumps({"type": "subscriptions", "channels": rows})
        assert decoder.receive(answer, 0) == [Subscribed(channel, ("BTC-USD",)) for channel in ("book", "trades", "heartbeat")]

    def test_an_error_is_handed_on(self, decoder):
        reason = "level2, level3, and full channels now require authentication."
        answer = orjson.dumps({"type": "error", "message": "Failed to subscribe", "reason": reason})
        assert decoder.receive(answer, 0) == [SubscriptionRefused("", "", f"Failed to subscribe: {reason}", for_now=True)]


class TestX7Unasked:
    def test_unrequested_types_and_products_are_unrecognised(self, decoder):
        assert decoder.receive(b'{"type":"ticker","sequence":1,"product_id":"BTC-USD"}', 0) == [Unrecognised("ticker")]
        assert decoder.receive(x_update("DOGE-USD"), 0) == [Unrecognised("l2update of DOGE-USD")]


class TestS7OffGrid:
    @pytest.mark.parametrize("fine", [x_update(changes=[["buy", "1.001", "1"]]), x_snapshot(asks=[["1.001", "1"]])])
    def test_it_is_handed_in_again(self, fine):
        decoder = started(mode="exchange")
        decoder.receive(x_snapshot(), 0)
        assert decoder.receive(fine, 0) == [OffGrid(BTC, 3, 8)]
        decoder.use_instrument(BTC.on_grid(3, 8))
        (event,) = decoder.receive(fine, 0)
        assert event.instrument.price_decimals == 3

    @pytest.mark.parametrize("absurd", [x_update(changes=[["buy", "1e-25", "1"]]), x_snapshot(asks=[["1", "1e-25"]])])
    def test_on_a_final_grid_the_level_is_kept_out(self, absurd):
        decoder = started(mode="exchange")
        decoder.receive(x_snapshot(), 0)
        decoder.use_instrument(replace(BTC, grid_is_final=True))
        (event,) = decoder.receive(absurd, 0)
        assert event.levels.kept_out == 1

    def test_a_trade_brings_its_own_grid_or_is_refused(self):
        decoder = started(mode="exchange")
        (fine,) = decoder.receive(x_match(1, price="1.001"), 0)
        assert (fine.instrument, fine.price_ticks) == (BTC.on_grid(3, 8), 1001)
        (refused,) = decoder.receive(x_match(2, price="1e-25"), 0)
        assert (refused.instrument, refused.trade_id, bool(refused.refused)) == (BTC, "2", True)

    def test_books_do_not_touch_each_other(self, decoder):
        decoder.receive(x_snapshot("ETH-USD"), 0)
        assert decoder.receive(x_update("ETH-USD"), 0)[0].instrument is ETH


@pytest.mark.parametrize(
    "nonsense", [b"", b"[", b"null", b"[]", b"7", b"{}", b'{"type":7}', b'{"type":[]}', b'{"type":"match"}', b'{"type":"error"}']
)
def test_s7_nonsense_is_refused(nonsense):
    with pytest.raises(DecodeError):
        started(mode="exchange").receive(nonsense, 0)
