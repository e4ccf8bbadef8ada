"""The rules K1 to K11 of Kraken's decoder, one class each. Frames are of Kraken's documentation, or shaped like them."""

import json
from dataclasses import replace

import orjson
import pytest
from support.kraken_client import Top

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.kraken import Decoder
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    Heartbeat,
    InstrumentsSeen,
    OffGrid,
    Side,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    SystemStatus,
    Trade,
    TradesMissed,
    TradesRecovered,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Send, SlowDown

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
PEPE = Instrument("kraken", "PEPE-USD", "PEPE/USD", 9, 5)
SECOND = 1_000_000_000
NOON_NS = 1_786_562_867_532_655_000
NOON = "2026-08-12T19:27:47.532655Z"


@pytest.fixture
def kraken():
    """A decoder that has just connected; its first subscriptions are out."""
    decoder = Decoder([BTC, PEPE], {"book", "trades"})
    decoder.connected(0)
    decoder.pending_requests()
    return decoder


def book(kind, bids="", asks="", *, symbol="BTC/USD", checksum=1, timestamp=f',"timestamp":"{NOON}"'):
    """A book frame; sides are "price size, price size", their tokens written as they are given."""
    sides = []
    for text in (bids, asks):
        pairs = (pair.split() for pair in text.split(",") if pair.strip())
        sides.append(",".join(f'{{"price":{price},"qty":{size}}}' for price, size in pairs))
    data = f'{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],"checksum":{checksum}{timestamp}}}'
    return f'{{"channel":"book","type":"{kind}","data":[{data}]}}'.encode()


def trade(trade_id, side="buy", price="63299.5", qty="0.00100000", symbol="BTC/USD"):
    return f'{{"symbol":"{symbol}","side":"{side}","price":{price},"qty":{qty},"ord_type":"limit","trade_id":{trade_id},"timestamp":"{NOON}"}}'


def trades(*entries, kind="update"):
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(entries)}]}}'.encode()


def asked(decoder):
    """What the decoder sends now: (method, channel, symbols)."""
    messages = [json.loads(request.frame) for request in decoder.pending_requests() if isinstance(request, Send)]
    return [(each["method"], each.get("params", {}).get("channel"), each.get("params", {}).get("symbol")) for each in messages]


class TestK1ASnapshotReplacesTheBook:
    def test_it_holds_all_levels_of_both_sides(self, kraken):
        [event] = kraken.receive(book("snapshot", "63299.4 0.00209987", "63299.5 0.43882010"), 0)
        assert type(event) is Snapshot
        assert event.instrument is BTC
        assert list(event.levels) == [(632994, 209987, False), (632995, 43882010, True)]
        assert event.exchange_ns == NOON_NS

    def test_an_unrequested_snapshot_replaces_the_book(self, kraken):
        for _ in range(2):
            [event] = kraken.receive(book("snapshot", "1.0 1"), 0)
            assert type(event) is Snapshot

    def test_an_empty_book_is_a_book(self, kraken):
        [event] = kraken.receive(book("snapshot"), 0)
        assert len(event.levels) == 0

    def test_the_timestamp_is_optional(self, kraken):
        [event] = kraken.receive(book("snapshot", "1.0 1", timestamp=""), 0)
        assert event.exchange_ns is None


class TestK2SizesAreAbsolute:
    def test_size_zero_leaves_as_zero_lots(self, kraken):
        kraken.receive(book("snapshot", "63296.7 1"), 0)
        [event] = kraken.receive(book("update", "63296.7 0.00000000, 63294.6 0.31581476"), 0)
        assert type(event) is Update
        assert list(event.levels) == [(632967, 0, False), (632946, 31581476, False)]

    def test_levels_leave_in_the_order_of_the_list(self, kraken):
        kraken.receive(book("snapshot"), 0)
        [event] = kraken.receive(book("update", "1.0 1, 1.0 0, 1.0 2"), 0)
        assert [lots for _, lots, _ in event.levels] == [100000000, 0, 200000000]


class TestK3TheDepthLeavesWithTheEvent:
    @pytest.mark.parametrize(("wanted", "expected"), [(10, 10), (25, 25), (1000, 1000), (0, 10)])
    def test_an_event_carries_the_subscribed_depth(self, wanted, expected):
        decoder = Decoder([BTC], {"book"}, wanted)
        decoder.connected(0)
        frames = [json.loads(request.frame)["params"] for request in decoder.pending_requests()]
        assert frames[1] == {"channel": "book", "symbol": ["BTC/USD"], "depth": expected, "snapshot": True}
        [event] = decoder.receive(book("snapshot", "1.0 1"), 0)
        assert event.depth == expected

    def test_a_depth_that_kraken_does_not_have_is_refused_by_name(self):
        with pytest.raises(UsageError, match="depth 11") as refusal:
            Decoder([BTC], {"book"}, 11)
        assert "10, 25, 100, 500, 1000" in refusal.value.hint


class TestK4TheChecksumLeavesWithTheEvent:
    def test_it_is_the_frames_own(self, kraken):
        [event] = kraken.receive(book("snapshot", checksum=3310070434), 0)
        assert event.checksum == 3310070434

    @pytest.mark.parametrize("checksum", ["-1", "4294967296", "1.5", '"1"', "null", "true"])
    def test_what_is_not_32_bits_is_no_checksum(self, kraken, checksum):
        with pytest.raises(DecodeError):
            kraken.receive(book("snapshot", checksum=checksum), 0)

    def test_a_finer_grid_than_the_precision_is_rendered_with_the_precision(self, kraken):
        finer = BTC.on_grid(3, 8)
        kraken.use_instrument(finer)
        assert kraken.book_checksum(finer, Top([(1200, 7)], [(1300, 7)])) == Decoder([BTC], ()).book_checksum(
            BTC, Top([(12, 7)], [(13, 7)])
        )


class TestK5AnUpdateBeforeTheSnapshotIsAGap:
    def test_an_early_update_is_reported_once_and_healed(self, kraken):
        [gap] = kraken.receive(book("update", "1.0 1"), 0)
        assert gap == GapFound([BTC], GapReason.UPDATE_BEFORE_SNAPSHOT)
        assert kraken.receive(book("update", "1.0 1"), 0) == [UpdateIgnored(BTC)]
        assert asked(kraken) == [("unsubscribe", "book", ["BTC/USD"]), ("subscribe", "book", ["BTC/USD"])]

    def test_only_its_own_symbol_heals(self, kraken):
        kraken.receive(book("snapshot", symbol="PEPE/USD"), 0)
        kraken.receive(book("update", "1.0 1"), 0)
        [event] = kraken.receive(book("update", "0.000000001 1", symbol="PEPE/USD"), 0)
        assert type(event) is Update


class TestK6Healing:
    def test_updates_are_ignored_until_the_snapshot(self, kraken):
        kraken.receive(book("snapshot"), 0)
        kraken.resync(BTC)
        assert kraken.receive(book("update", "1.0 1"), 0) == [UpdateIgnored(BTC)]
        kraken.receive(book("snapshot"), 0)
        assert len(kraken.receive(book("update", "1.0 1"), 0)) == 1

    def test_one_is_in_flight_at_a_time(self, kraken):
        kraken.receive(book("snapshot"), 0)
        kraken.resync(BTC)
        kraken.resync(BTC)
        assert len(asked(kraken)) == 2
        kraken.resync(BTC)
        assert asked(kraken) == []

    def test_books_that_break_together_are_asked_for_together(self, kraken):
        for instrument in (BTC, PEPE):
            kraken.receive(book("snapshot", symbol=instrument.native), 0)
            kraken.resync(instrument)
        assert [symbols for _, _, symbols in asked(kraken)] == [["BTC/USD", "PEPE/USD"]] * 2

    def test_a_snapshot_that_comes_first_saves_the_asking(self, kraken):
        kraken.receive(book("snapshot"), 0)
        kraken.resync(BTC)
        kraken.receive(book("snapshot"), 0)
        assert asked(kraken) == []

    def test_no_snapshot_for_ten_seconds_and_it_is_asked_again(self, kraken):
        for native in ("BTC/USD", "PEPE/USD"):
            kraken.receive(book("snapshot", symbol=native), 0)
            kraken.receive(trades(trade(1, symbol=native)), 0)
        kraken.tick(20 * SECOND)
        kraken.resync(BTC)
        kraken.pending_requests()
        assert kraken.tick(30 * SECOND - 1) == []
        assert [each for each in asked(kraken) if each[0] != "ping"] == []
        assert kraken.tick(30 * SECOND) == [Unanswered("book", ["BTC/USD"])]
        again = [("unsubscribe", "book", ["BTC/USD"]), ("subscribe", "book", ["BTC/USD"])]
        assert [each for each in asked(kraken) if each[0] != "ping"] == again

    def test_k12_a_missing_snapshot_is_requested_without_limit_and_reported_once(self, kraken):
        found, told = [], []
        for second in range(200):
            told += kraken.tick(second * SECOND)
            if any(each[:2] == ("subscribe", "book") for each in asked(kraken)):
                found.append(second)
        assert found == [11, 31, 71, 131, 191]  # each message leaves a second after the one before it
        assert [event.channel for event in told] == ["instrument", "book", "trades"]

    def test_a_resync_of_a_book_that_is_not_collected_asks_nothing(self):
        decoder = Decoder([BTC], {"trades"})
        decoder.resync(BTC)
        assert asked(decoder) == []


class TestK7NumbersAreExact:
    def test_a_double_that_proves_nothing_is_read_from_its_token(self, kraken):
        [event] = kraken.receive(book("snapshot", "12345678901234.5 99999999.12345678"), 0)
        assert list(event.levels) == [(123456789012345, 9999999912345678, False)]

    def test_trailing_zeros_and_exponents_are_the_same_number(self, kraken):
        [event] = kraken.receive(book("snapshot", "78850 0.00005100, 78851.0 5.1e-5"), 0)
        assert list(event.levels) == [(788500, 5100, False), (788510, 5100, False)]

    def test_nine_decimals_fit_pepe(self, kraken):
        [event] = kraken.receive(book("snapshot", "0.000012345 123456789.12345", symbol="PEPE/USD"), 0)
        assert list(event.levels) == [(12345, 12345678912345, False)]

    def test_a_number_finer_than_the_grid_asks_for_the_grid_it_needs(self, kraken):
        frame = book("snapshot", "1.25 1, 1.125 1", "2.0 0.0000000001")
        assert kraken.receive(frame, 0) == [OffGrid(BTC, 3, 10)]
        kraken.use_instrument(BTC.on_grid(3, 10))
        [event] = kraken.receive(frame, 0)
        assert list(event.levels) == [(1250, 10**10, False), (1125, 10**10, False), (2000, 1, True)]

    def test_off_the_grid_changes_nothing(self, kraken):
        kraken.receive(book("snapshot", "1.25 1"), 0)
        [event] = kraken.receive(book("update", "1.0 1"), 0)
        assert type(event) is GapFound, "the snapshot that left as OffGrid must not count as one"

    def test_a_trade_brings_its_own_grid(self, kraken):
        first, missed, second = kraken.receive(trades(trade(7, price="1.25"), trade(9)), 0)
        assert (first.instrument, first.price_ticks) == (BTC.on_grid(2, 8), 125)
        assert (missed.count, second.instrument, second.price_ticks) == (1, BTC, 632995)

    @pytest.mark.parametrize("price", ["1e-25", "0.0000000000000000001", "1e29", "9223372036854775808"])
    def test_a_trade_that_no_record_holds_leaves_as_refused_and_its_id_counts(self, kraken, price):
        refused, second = kraken.receive(trades(trade(7, price=price), trade(8)), 0)
        assert (refused.trade_id, refused.price_ticks, refused.instrument, second.refused) == ("7", 0, BTC, "")
        assert price.partition("e")[0] in refused.refused

    def test_on_a_final_grid_the_level_is_kept_out(self, kraken):
        kraken.use_instrument(replace(BTC, grid_is_final=True))
        [event] = kraken.receive(book("snapshot", "1e-30 1, 1.0 1"), 0)
        assert (len(event.levels), event.levels.kept_out, event.levels.kept_out_text) == (1, 1, "price 1e-30 size 1")

    def test_a_level_beyond_a_records_words_is_kept_out_and_counted(self, kraken):
        [event] = kraken.receive(book("snapshot", "99999999999999999999 1, 1.0 1"), 0)
        assert (len(event.levels), event.levels.kept_out) == (1, 1)

    @pytest.mark.parametrize("token", ["-1", "1e999", "null", "true", '"NaN"', "[]", '"1_0"', '" 1"', "1e-401"])
    def test_what_is_no_plain_number_is_refused(self, kraken, token):
        with pytest.raises(DecodeError):
            kraken.receive(book("snapshot", f"{token} 1" if " " not in token else "1 x"), 0)


class TestK8Trades:
    def test_the_side_is_the_takers(self, kraken):
        buy, sell = kraken.receive(trades(trade(4665846), trade(4665847, "sell")), 0)
        assert buy == Trade(BTC, "4665846", 632995, 100000, Side.BUY, NOON_NS)
        assert sell.side is Side.SELL

    def test_they_leave_oldest_first(self, kraken):
        assert [each.trade_id for each in kraken.receive(trades(trade(3), trade(1), trade(2)), 0)] == ["1", "2", "3"]

    def test_a_skipped_id_is_told_before_the_trade(self, kraken):
        kraken.receive(trades(trade(5)), 0)
        missed, after = kraken.receive(trades(trade(9)), 0)
        assert missed == TradesMissed(BTC, 3)
        assert after.trade_id == "9"

    def test_symbols_count_apart(self, kraken):
        kraken.receive(trades(trade(5)), 0)
        assert [type(each) for each in kraken.receive(trades(trade(900, symbol="PEPE/USD", price="1", qty="1"), trade(6)), 0)] == [
            Trade
        ] * 2

    def test_trades_lost_while_disconnected_are_told(self, kraken):
        kraken.receive(trades(trade(5)), 0)
        kraken.connected(1)
        assert kraken.receive(trades(trade(8)), 0)[0] == TradesMissed(BTC, 2)

    def test_t4_ids_that_go_back_begin_anew_if_they_are_of_later(self, kraken):
        kraken.receive(trades(trade(500)), 0)
        later = trades(trade(1), trade(2)).replace(NOON.encode(), b"2026-08-13T00:00:00Z")
        assert [type(each) for each in kraken.receive(later, 0)] == [Trade] * 2
        assert [type(each) for each in kraken.receive(trades(trade(2)), 0)] == []

    def test_t3_one_that_was_seen_is_not_told_again(self, kraken):
        kraken.receive(trades(trade(1), trade(2)), 0)
        kraken.connected(0)
        assert [each.trade_id for each in kraken.receive(trades(trade(2), trade(3), kind="snapshot"), 0)] == ["3"]

    def test_history_is_asked_for_only_to_fill_a_hole(self, kraken):
        def snapshots():
            messages = [json.loads(request.frame) for request in kraken.pending_requests()]
            return [each["params"]["snapshot"] for each in messages if each["params"]["channel"] == "trade"]

        kraken.connected(0)
        assert snapshots() == [False]
        kraken.receive(trades(trade(5)), 0)
        kraken.connected(0)
        assert snapshots() == [True]

    def test_k13_missing_trades_are_fetched(self, kraken):
        kraken.receive(trades(trade(5)), 0)
        kraken.receive(trades(trade(8)), 0)
        kraken.tick(SECOND)
        [fetch] = [request for request in kraken.pending_requests() if isinstance(request, FetchTrades)]
        assert (fetch.instrument, fetch.path) == (BTC, f"/0/public/Trades?pair=XBTUSD&count=1000&since={NOON_NS - 1}")
        rows = [["63299.50000", "0.00100000", 1786562867.5, "s", "m", "", number] for number in range(3, 12)]
        body = orjson.dumps({"error": [], "result": {"XXBTZUSD": rows, "last": "1786562867532655400"}})
        six, seven, recovered = kraken.receive_trades(BTC, body, 0)
        assert (six.trade_id, six.side, six.price_ticks, six.history) == ("6", Side.SELL, 632995, True)
        assert six.exchange_ns == 1_786_562_867_500_000_000
        assert (seven.trade_id, recovered) == ("7", TradesRecovered(BTC, 2))
        assert kraken.receive_trades(BTC, body, 0) == []

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b'{"error":["EGeneral:Too many requests"]}', b'{"error":[],"result":{"X":[[1]]}}']
    )
    def test_k13_an_answer_that_is_not_understood(self, kraken, body):
        with pytest.raises(DecodeError):
            kraken.receive_trades(BTC, body, 0)

    def test_a_snapshot_is_history(self, kraken):
        assert [each.history for each in kraken.receive(trades(trade(1), trade(2), kind="snapshot"), 0)] == [True, True]
        assert [each.history for each in kraken.receive(trades(trade(3)), 0)] == [False]

    @pytest.mark.parametrize("entry", [trade(1, "both"), trade('"1"'), trade(-1), trade(1.5), trade("true"), "{}", "7"])
    def test_a_trade_that_is_not_understood_takes_its_frame_with_it(self, kraken, entry):
        with pytest.raises(DecodeError):
            kraken.receive(trades(trade(1), entry), 0)
        assert [type(each) for each in kraken.receive(trades(trade(3)), 0)] == [Trade], "trade 1 must not have counted"


class TestK9AcksAndErrors:
    def test_acks_come_one_a_symbol(self, kraken):
        ack = {"method": "subscribe", "req_id": 6, "result": {"channel": "book", "depth": 10, "symbol": "BTC/USD"}, "success": True}
        assert kraken.receive(orjson.dumps(ack), 0) == [Subscribed("book", ("BTC/USD",))]

    def test_warnings_are_shown(self, kraken):
        ack = {
            "method": "subscribe",
            "result": {"channel": "trade", "symbol": "BTC/USD", "warnings": ["soon gone"]},
            "success": True,
        }
        assert kraken.receive(orjson.dumps(ack), 0) == [Subscribed("trades", ("BTC/USD",)), Unrecognised("warning soon gone")]

    def test_an_error_names_its_channel_through_our_request_number(self, kraken):
        kraken.connected(0)
        for request, channel in zip(kraken.pending_requests(), ("instrument", "book", "trades"), strict=True):
            req_id = json.loads(request.frame)["req_id"]
            error = {"error": "EGeneral", "method": "subscribe", "req_id": req_id, "success": False, "symbol": "BTC/USD"}
            assert kraken.receive(orjson.dumps(error), 0) == [SubscriptionRefused(channel, "BTC/USD", "EGeneral", for_now=True)]

    def test_an_error_worded_as_a_frame_of_a_channel_is_an_error(self, kraken):
        error = {
            "channel": "trade",
            "error": "ESession:Invalid session",
            "method": "subscribe",
            "status": "error",
            "success": False,
        }
        assert kraken.receive(orjson.dumps(error), 0) == [
            SubscriptionRefused("trades", "", "ESession:Invalid session", for_now=True)
        ]

    def test_k12_what_is_refused_for_now_is_asked_again_soon(self, kraken):
        kraken.connected(0)
        kraken.pending_requests()
        error = {"error": "EService:Busy", "method": "subscribe", "req_id": 2, "success": False, "symbol": "BTC/USD"}
        found = []
        for second in range(32):
            kraken.tick(second * SECOND)
            if any(each == ("subscribe", "book", ["BTC/USD"]) for each in asked(kraken)) or second == 0:
                found.append(second)
                kraken.receive(orjson.dumps(error), 0)
        assert found == [0, 1, 2, 3, 5, 9, 17]

    def test_k12_a_refusal_while_live_asks_once_more_and_ends_nothing(self, kraken):
        kraken.receive(book("snapshot"), 0)
        error = {"error": "Exceeded msg rate", "method": "subscribe", "req_id": 2, "success": False, "symbol": "BTC/USD"}
        [refusal] = kraken.receive(orjson.dumps(error), 0)
        assert refusal.for_now
        assert type(kraken.receive(book("update", "63299.4 1"), 0)[0]) is Update
        assert kraken.pending_requests() == []
        kraken.receive(orjson.dumps(error), 0)
        assert kraken.pending_requests() == [SlowDown("Exceeded msg rate")]
        kraken.tick(SECOND)
        assert ("subscribe", "book", ["BTC/USD"]) in (sent := asked(kraken))
        assert ("unsubscribe", "book", ["BTC/USD"]) not in sent
        kraken.receive(orjson.dumps(error | {"error": "Already subscribed"}), 0)
        kraken.tick(9 * SECOND)
        assert asked(kraken) == []

    def test_k9_already_subscribed_without_a_snapshot_is_ended_first(self, kraken):
        kraken.connected(0)
        kraken.pending_requests()
        error = {"error": "Already subscribed", "method": "subscribe", "req_id": 2, "success": False, "symbol": "BTC/USD"}
        kraken.receive(orjson.dumps(error), 0)
        assert asked(kraken) == [("unsubscribe", "book", ["BTC/USD"]), ("subscribe", "book", ["BTC/USD"])]

    def test_k12_a_pair_that_is_not_supported_is_asked_for_each_ten_minutes(self, kraken):
        for kind in (2, 3):
            error = {"error": "Currency pair not supported BTC/USD", "method": "subscribe", "req_id": kind, "symbol": "BTC/USD"}
            kraken.receive(orjson.dumps(error), 0)
        for second in range(60, 600, 10):
            kraken.tick(second * SECOND)
            assert {tuple(symbols) for _, _, symbols in asked(kraken) if symbols} <= {("PEPE/USD",)}
        kraken.tick(600 * SECOND)
        assert ("subscribe", "book", ["BTC/USD"]) in asked(kraken)

    def test_already_subscribed_is_an_ack(self, kraken):
        error = {"error": "Already subscribed", "method": "subscribe", "req_id": 2, "symbol": "BTC/USD"}
        assert kraken.receive(orjson.dumps(error), 0) == [Subscribed("book", ("BTC/USD",))]

    def test_too_many_messages_is_a_refusal_of_we_do_not_know_what(self, kraken):
        assert kraken.receive(b'{"Error":"Exceeded msg rate"}', 0) == [
            SubscriptionRefused("", "", "Exceeded msg rate", for_now=True)
        ]
        kraken.tick(SECOND)
        assert ("subscribe", "book", ["BTC/USD", "PEPE/USD"]) in asked(kraken), "what was lost is asked for again"

    def test_hostile_text_stays_text_and_bounded(self, kraken):
        hostile = "\x1b]0;owned\x07" + "A" * 5000
        [event] = kraken.receive(orjson.dumps({"error": hostile, "method": "subscribe", "symbol": hostile}), 0)
        assert event.message.startswith("\x1b]0;")
        assert len(event.message) == len(event.native) == 200


class TestK10Instruments:
    PAIR = {  # noqa: RUF012 - a frame's part, read only
        "symbol": "BTC/USD",
        "status": "online",
        "price_precision": 1,
        "price_increment": 0.5,
        "qty_precision": 8,
        "qty_increment": 1e-8,
        "qty_min": 0.0001,
    }

    def frame(self, **changes):
        other = {"symbol": "FOO/BAR", "status": 7}
        return orjson.dumps(
            {"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": [other, self.PAIR | changes]}}
        )

    def test_only_subscribed_instruments_give_events(self, kraken):
        seen = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8, tick_size_ticks=5, lot_size_lots=1, min_size_lots=10000)
        assert kraken.receive(self.frame(), 0) == [InstrumentsSeen([seen])]

    def test_only_changed_instruments_give_events(self, kraken):
        kraken.receive(self.frame(), 0)
        assert kraken.receive(self.frame(), 0) == []
        [event] = kraken.receive(self.frame(status="cancel_only"), 0)
        assert not event.instruments[0].trading

    def test_a_new_connection_tells_it_again(self, kraken):
        """Meanwhile REST may have said otherwise."""
        kraken.receive(self.frame(), 0)
        kraken.connected(SECOND)
        assert len(kraken.receive(self.frame(), 0)) == 1

    @pytest.mark.parametrize(
        ("in_band", "rest", "counts"),
        [
            ("cancel_only", "online", "cancel_only"),
            ("online", "cancel_only", "cancel_only"),
            ("post_only", "maintenance", "maintenance"),
            ("online", "online", "online"),
            ("delisted", None, "delisted"),
            (None, "post_only", "post_only"),
        ],
    )
    def test_rest_makes_no_market_freer_than_the_connection_told(self, kraken, in_band, rest, counts):
        if in_band:
            kraken.receive(self.frame(status=in_band, price_increment=0.2), 0)
        pair = {"wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8, "tick_size": "0.5", "ordermin": "0.1", "status": rest}
        body = orjson.dumps({"error": [], "result": {"XXBTZUSD": pair} if rest else {}})
        (read,) = kraken.receive_instruments(body)
        assert (read.status_word, read.tick_size_ticks) == (counts, 2 if in_band else 5)

    def test_the_channel_is_asked_for_until_it_is_there(self, kraken):
        """A halt is told there: without it a cancel_only market looks like any other."""
        asked_at = []
        for tenth in range(400):
            kraken.tick(tenth * SECOND // 10)
            sent = [each.frame for each in kraken.pending_requests() if isinstance(each, Send)]
            frames = [orjson.loads(frame) for frame in sent if b'"instrument"' in frame]
            asked_at += [tenth / 10 for _ in frames]
            if frames and len(asked_at) < 3:
                refused = {"method": "subscribe", "success": False, "error": "Exceeded msg rate", "req_id": frames[0]["req_id"]}
                [event] = kraken.receive(orjson.dumps(refused), 0)
                assert (event.channel, event.for_now) == ("instrument", True)
            if len(asked_at) == 4:
                kraken.receive(self.frame(), 0)
        assert asked_at == [10.0, 10.3, 10.8, 30.8], "no answer, refused twice, no answer, and then what it tells"

    @pytest.mark.parametrize(
        "answer",
        [
            {"method": "subscribe", "success": True, "result": {"channel": "instrument", "snapshot": True}, "req_id": 1},
            {"method": "subscribe", "success": False, "error": "Already subscribed to instrument", "req_id": 1},
        ],
    )
    def test_an_answer_is_enough(self, kraken, answer):
        assert [type(event) for event in kraken.receive(orjson.dumps(answer), 0)] == [Subscribed]
        for second in range(100):
            kraken.tick(second * SECOND)
        assert b'"instrument"' not in b"".join(each.frame for each in kraken.pending_requests() if isinstance(each, Send))

    def test_a_new_precision_renders_the_checksum(self, kraken):
        kraken.receive(self.frame(price_precision=2), 0)
        finer = BTC.on_grid(2, 8)
        assert finer is not None
        assert kraken.book_checksum(finer, Top([(1200, 7)], [])) == Decoder([finer], ()).book_checksum(finer, Top([(1200, 7)], []))

    def test_an_increment_finer_than_the_precision_is_no_tick_size(self, kraken):
        [event] = kraken.receive(self.frame(price_increment=0.01), 0)
        assert event.instruments[0].tick_size_ticks == 1


class TestK11EverythingElse:
    def test_status_and_heartbeat(self, kraken):
        status = b'{"channel":"status","type":"update","data":[{"system":"online","connection_id":13834774380200032777,"version":"2.0.10"}]}'
        assert kraken.receive(status, 0) == [SystemStatus("online")]
        assert kraken.receive(b'{"channel":"heartbeat"}', 0) == [Heartbeat()]

    def test_a_pong_tells_the_exchanges_time(self, kraken):
        assert kraken.receive(f'{{"method":"pong","req_id":4,"time_out":"{NOON}"}}'.encode(), 0) == [Heartbeat(NOON_NS)]

    @pytest.mark.parametrize(
        "frame",
        [
            b'{"channel":"ticker","type":"update","data":[]}',
            b'{"channel":"book","type":"checkpoint","data":[]}',
            b'{"channel":"trade","type":"bust","data":[]}',
            b'{"method":"resume"}',
            b'{"error":"Subscription Not Found","method":"unsubscribe"}',
            b"[1,2]",
            b"{}",
            book("snapshot", "1 1", symbol="FOO/BAR"),
            trades(trade(1, symbol="FOO/BAR")),
        ],
    )
    def test_a_kind_that_we_do_not_know_is_shown_not_refused(self, kraken, frame):
        assert [type(event) for event in kraken.receive(frame, 0)] == [Unrecognised]

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"{",
            b"\xff",
            b'{"channel":"book","type":"update"}',
            b'{"channel":"book","type":"update","data":{}}',
            b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"checksum":1}]}',
            b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":{},"asks":[],"checksum":1}]}',
            b'{"channel":"book","type":"update","data":[{"symbol":["BTC/USD"],"bids":[],"asks":[],"checksum":1}]}',
            b'{"channel":["book"]}',
            b'{"channel":"status","data":[{}]}',
            b'{"method":"subscribe","success":true}',
            b'{"method":"pong","time_out":"yesterday"}',
            b'{"method":"pong","time_out":"1969-12-31T23:59:59Z"}',
            b'{"method":"pong","time_out":"2026-08-12T19:27:47"}',
            b'{"method":"pong","time_out":"9999-12-31T23:59:59Z"}',
        ],
    )
    def test_what_is_not_understood_in_full_is_refused_with_its_bytes(self, kraken, frame):
        with pytest.raises(DecodeError) as refusal:
            kraken.receive(frame, 0)
        assert refusal.value.frame == frame[:200]

    def test_there_is_no_rest_snapshot(self, kraken):
        with pytest.raises(DecodeError):
            kraken.receive_snapshot(BTC, b"{}", 0)


class TestAskingAtTheStart:
    def test_instruments_books_and_trades_in_batches(self):
        many = [Instrument("kraken", f"T{i}-USD", f"T{i}/USD", 1, 8) for i in range(250)]
        decoder = Decoder(many, {"book", "trades"})
        decoder.connected(0)
        sent = asked(decoder)
        assert sent[0] == ("subscribe", "instrument", None)
        assert [(channel, len(symbols)) for _, channel, symbols in sent[1:]] == [
            (c, n) for c in ("book", "trade") for n in (100, 100, 50)
        ]
        assert asked(decoder) == [], "asking empties the list"

    def test_only_the_channels_that_are_wanted(self):
        decoder = Decoder([BTC], {"trades"})
        decoder.connected(0)
        assert [channel for _, channel, _ in asked(decoder)] == ["instrument", "trade"]

    def test_a_new_connection_forgets_the_books(self, kraken):
        kraken.receive(book("snapshot"), 0)
        kraken.connected(1)
        assert [type(event) for event in kraken.receive(book("update", "1.0 1"), 0)] == [GapFound]

    def test_a_ping_every_thirty_seconds(self):
        decoder = Decoder([], ())
        decoder.connected(0)
        decoder.pending_requests()
        sent = []
        for second in range(1, 91):
            decoder.tick(second * SECOND)
            sent += [(second, method) for method, channel, _ in asked(decoder) if channel != "instrument"]
        assert sent == [(30, "ping"), (60, "ping"), (90, "ping")]
