"""The rules Y1 to Y12 of Bybit's decoder, one class each.

Frames are of Bybit's documentation ("Orderbook", "Trade", "Connect" of API v5), of the spot market on 2023-12-24, or shaped like them.
"""

import json
from dataclasses import replace

import orjson
import pytest

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.bybit import FACTS, Decoder
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    Heartbeat,
    OffGrid,
    Side,
    Snapshot,
    Trade,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Reconnect, Send

BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", 2, 6)
PEPE = Instrument("bybit", "PEPE-USDT", "PEPEUSDT", 9, 0)
SECOND = 1_000_000_000
# of 2023-12-24, shortened
SNAPSHOT_2023 = (
    b'{"topic":"orderbook.200.BTCUSDT","ts":1703430557696,"type":"snapshot","data":{"s":"BTCUSDT","b":[["43732.01","0.049391"],'
    b'["43731.97","0.000609"],["43730","0.1101"]],"a":[["43732.02","7.191274"],["43732.03","1.538305"]],"u":5179079,"seq":19967460822},'
    b'"cts":1703430557664}'
)
DELTA_2023 = (
    b'{"topic":"orderbook.200.BTCUSDT","ts":1703430557896,"type":"delta","data":{"s":"BTCUSDT","b":[["43728.19","0.5"],["43725.35","0"]],'
    b'"a":[["43736.01","0.525"],["43829.92","0"]],"u":5179080,"seq":19967461033},"cts":1703430557847}'
)
TRADE_2023 = (
    b'{"topic":"publicTrade.BTCUSDT","ts":1703430744103,"type":"snapshot","data":[{"i":"2290000000090712222","T":1703430744102,"p":"43774",'
    b'"v":"0.0026","S":"Sell","s":"BTCUSDT","BT":false}]}'
)


@pytest.fixture
def bybit():
    """A decoder that has just connected; its first subscriptions are out."""
    return connected()


def connected(depth=0, instruments=(BTC, PEPE)):
    decoder = Decoder(instruments, {"book", "trades"}, depth)
    decoder.connected(0)
    decoder.pending_requests()
    return decoder


def rows(text):
    return [pair.split() for pair in text.split(",") if pair.strip()]


def book(kind, u, bids="", asks="", *, seq=None, native="BTCUSDT", depth=50, **other):
    """A book frame; sides are "price size, price size". `seq` grows with `u` unless it is given."""
    data = {"s": native, "b": rows(bids), "a": rows(asks), "u": u, "seq": 10 * u if seq is None else seq}
    frame = {"topic": f"orderbook.{depth}.{native}", "ts": 1680652808065, "type": kind, "data": data, "cts": 1680652808063}
    return orjson.dumps(frame | other)


def delta(u, bids="28161.04 0.5", **other):
    return book("delta", u, bids, **other)


def live(decoder, u=7, native="BTCUSDT"):
    """Its book begins at that `u`."""
    [event] = decoder.receive(book("snapshot", u, "1 1", "2 1", native=native), 0)
    assert type(event) is Snapshot
    return decoder


def trade(trade_id="2290000000050703789", side="Sell", price="28165.38", size="0.041732", **other):
    row = {
        "i": trade_id,
        "T": 1680652847524,
        "p": price,
        "v": size,
        "S": side,
        "s": "BTCUSDT",
        "BT": False,
        "RPI": False,
        "seq": 4281,
    }
    return row | other


def trades(*entries, native="BTCUSDT"):
    return orjson.dumps({"topic": f"publicTrade.{native}", "ts": 1680652847526, "type": "snapshot", "data": entries})


def asked(decoder):
    """What the decoder sends now: (op, topics)."""
    messages = [json.loads(request.frame) for request in decoder.pending_requests() if isinstance(request, Send)]
    return [(each["op"], each.get("args")) for each in messages]


ANEW = [("unsubscribe", ["orderbook.50.BTCUSDT"]), ("subscribe", ["orderbook.50.BTCUSDT"])]


class TestY1ASnapshotReplacesTheBook:
    def test_it_holds_all_levels_of_both_sides(self):
        [event] = connected(200).receive(SNAPSHOT_2023, 0)
        assert type(event) is Snapshot
        assert event.instrument is BTC
        bids = [(4373201, 49391, False), (4373197, 609, False), (4373000, 110100, False)]
        assert list(event.levels) == [*bids, (4373202, 7191274, True), (4373203, 1538305, True)]

    def test_an_unrequested_snapshot_replaces_the_book(self, bybit):
        """Bybit sends one after a fault of its own; its number may be anything."""
        live(bybit, 7)
        live(bybit, 900)
        live(bybit, 3)
        assert [type(event) for event in bybit.receive(delta(4), 0)] == [Update]
        assert asked(bybit) == []

    @pytest.mark.parametrize("kind", ["snapshot", "delta"])
    def test_number_1_is_a_restart_whatever_it_is_called(self, bybit, kind):
        live(bybit, 7)
        [event] = bybit.receive(book(kind, 1, "5 1", "6 1"), 0)
        assert type(event) is Snapshot
        assert [type(event) for event in bybit.receive(delta(2), 0)] == [Update]

    def test_an_empty_book_is_a_book(self, bybit):
        [event] = bybit.receive(book("snapshot", 7), 0)
        assert (type(event), len(event.levels)) == (Snapshot, 0)


class TestY2SizesAreAbsolute:
    def test_size_zero_leaves_as_zero_lots(self):
        decoder = connected(200)
        decoder.receive(SNAPSHOT_2023, 0)
        [event] = decoder.receive(DELTA_2023, 0)
        assert type(event) is Update
        bids = [(4372819, 500000, False), (4372535, 0, False)]
        assert list(event.levels) == [*bids, (4373601, 525000, True), (4382992, 0, True)]

    @pytest.mark.parametrize(("wanted", "expected"), [(50, 50), (200, 200), (1000, 1000), (0, 50)])
    def test_each_message_leaves_with_the_subscribed_depth(self, wanted, expected):
        decoder = Decoder([BTC], {"book"}, wanted)
        decoder.connected(0)
        assert asked(decoder) == [("subscribe", [f"orderbook.{expected}.BTCUSDT"])]
        [event] = decoder.receive(book("snapshot", 7, "1 1", depth=expected), 0)
        assert event.depth == expected

    @pytest.mark.parametrize("depth", [1, 10, 500, 1001])
    def test_a_depth_that_bybit_does_not_have_is_refused_by_name(self, depth):
        with pytest.raises(UsageError, match=f"depth {depth}") as refusal:
            Decoder([BTC], {"book"}, depth)
        assert "50, 200, 1000" in refusal.value.hint


class TestY3NumbersHaveNoHole:
    def test_a_delta_with_the_next_u_follows(self, bybit):
        live(bybit)
        assert [type(event) for u in (8, 9, 10) for event in bybit.receive(delta(u), 0)] == [Update] * 3

    def test_a_larger_u_is_a_gap_reported_once_and_healed(self, bybit):
        live(bybit)
        assert bybit.receive(delta(9), 0) == [GapFound([BTC], GapReason.SEQUENCE, "u 9 after 7")]
        assert bybit.receive(delta(10), 0) == [UpdateIgnored(BTC)]
        assert asked(bybit) == ANEW
        live(bybit, 12)
        assert [type(event) for event in bybit.receive(delta(13), 0)] == [Update]

    def test_symbols_count_apart(self, bybit):
        live(bybit, 7)
        live(bybit, 70, "PEPEUSDT")
        [event] = bybit.receive(delta(71, "1 1", native="PEPEUSDT"), 0)
        assert type(event) is Update
        assert [type(event) for event in bybit.receive(delta(71), 0)] == [GapFound]
        assert [type(event) for event in bybit.receive(delta(72, "1 1", native="PEPEUSDT"), 0)] == [Update]

    def test_a_message_without_levels_counts(self, bybit):
        live(bybit)
        [event] = bybit.receive(delta(8, ""), 0)
        assert (type(event), len(event.levels)) == (Update, 0)
        assert [type(event) for event in bybit.receive(delta(9), 0)] == [Update]

    def test_seq_has_holes_that_mean_nothing(self, bybit):
        live(bybit)
        assert [type(event) for u, seq in ((8, 1000), (9, 4711)) for event in bybit.receive(delta(u, seq=seq), 0)] == [Update] * 2


class TestY4OldNumbers:
    def test_a_repetition_is_ignored(self, bybit):
        live(bybit)
        bybit.receive(delta(8), 0)
        assert [bybit.receive(delta(u), 0) for u in (8, 7, 2)] == [[UpdateIgnored(BTC)]] * 3
        assert [type(event) for event in bybit.receive(delta(9), 0)] == [Update]
        assert asked(bybit) == []

    def test_a_small_number_with_a_newer_seq_began_anew(self, bybit):
        """The snapshot of the restart was lost."""
        live(bybit)
        assert bybit.receive(delta(2, seq=71), 0) == [GapFound([BTC], GapReason.SEQUENCE_RESET, "u 2 after 7")]
        assert asked(bybit) == ANEW

    def test_more_than_20_in_a_row_are_of_numbers_that_began_anew(self, bybit):
        live(bybit, 100)
        told = [event for u in range(2, 23) for event in bybit.receive(delta(u, seq=u), 0)]
        assert told == [*[UpdateIgnored(BTC)] * 20, GapFound([BTC], GapReason.IGNORED, "u 22 after 100")]
        assert asked(bybit) == ANEW

    def test_in_a_row_means_without_one_that_follows(self, bybit):
        live(bybit, 100)
        for u in range(101, 160):
            assert bybit.receive(delta(50), 0) == [UpdateIgnored(BTC)]
            assert [type(event) for event in bybit.receive(delta(u), 0)] == [Update]


class TestY5Healing:
    def test_an_update_before_the_snapshot_is_a_gap_told_once(self, bybit):
        assert bybit.receive(delta(8), 0) == [GapFound([BTC], GapReason.UPDATE_BEFORE_SNAPSHOT)]
        assert bybit.receive(delta(9), 0) == [UpdateIgnored(BTC)]
        assert asked(bybit) == ANEW

    def test_updates_are_ignored_until_the_snapshot(self, bybit):
        live(bybit)
        bybit.resync(BTC)
        assert bybit.receive(delta(8), 0) == [UpdateIgnored(BTC)]
        live(bybit, 9)
        assert [type(event) for event in bybit.receive(delta(10), 0)] == [Update]

    def test_one_is_in_flight_at_a_time(self, bybit):
        live(bybit)
        bybit.resync(BTC)
        bybit.resync(BTC)
        assert asked(bybit) == ANEW
        bybit.resync(BTC)
        assert asked(bybit) == []

    def test_a_snapshot_that_comes_first_saves_the_asking(self, bybit):
        live(bybit)
        bybit.resync(BTC)
        live(bybit, 9)
        assert asked(bybit) == []

    def test_books_that_break_together_are_asked_for_together(self, bybit):
        for instrument in (BTC, PEPE):
            live(bybit, native=instrument.native)
            bybit.resync(instrument)
        both = ["orderbook.50.BTCUSDT", "orderbook.50.PEPEUSDT"]
        assert asked(bybit) == [("unsubscribe", both), ("subscribe", both)]

    def test_a_resync_of_a_book_that_is_not_collected_asks_nothing(self):
        decoder = Decoder([BTC], {"trades"})
        decoder.resync(BTC)
        decoder.confirm(BTC)
        assert asked(decoder) == []

    def test_a_new_connection_forgets_the_books(self, bybit):
        live(bybit)
        bybit.connected(SECOND)
        assert [type(event) for event in bybit.receive(delta(8), 0)] == [GapFound]


class TestY6NumbersAreExact:
    def test_nine_decimals_fit_pepe(self, bybit):
        [event] = bybit.receive(book("snapshot", 7, "0.000012345 123456789012", native="PEPEUSDT"), 0)
        assert list(event.levels) == [(12345, 123456789012, False)]

    def test_a_number_finer_than_the_grid_asks_for_the_grid_it_needs(self, bybit):
        frame = book("snapshot", 7, "1.25 1, 1.125 1", "2.0 0.0000000001")
        assert bybit.receive(frame, 0) == [OffGrid(BTC, 3, 10)]
        bybit.use_instrument(BTC.on_grid(3, 10))
        [event] = bybit.receive(frame, 0)
        assert list(event.levels) == [(1250, 10**10, False), (1125, 10**10, False), (2000, 1, True)]

    def test_off_the_grid_changes_nothing(self, bybit):
        live(bybit)
        [event] = bybit.receive(delta(8, "1.125 1"), 0)
        assert type(event) is OffGrid
        assert [type(event) for event in bybit.receive(delta(8), 0)] == [Update], "8 must not have counted"

    def test_a_trade_brings_its_own_grid(self, bybit):
        first, second = bybit.receive(trades(trade(price="1.125"), trade()), 0)
        assert (first.instrument, first.price_ticks) == (BTC.on_grid(3, 6), 1125)
        assert (second.instrument, second.price_ticks) == (BTC, 2816538)

    @pytest.mark.parametrize("price", ["1e-25", "0.0000000000000000001", "9223372036854775808"])
    def test_a_trade_that_no_record_holds_leaves_as_refused(self, bybit, price):
        refused, second = bybit.receive(trades(trade(price=price), trade()), 0)
        assert (refused.price_ticks, refused.instrument, second.refused) == (0, BTC, "")
        assert price.partition("e")[0] in refused.refused

    def test_on_a_final_grid_the_level_is_kept_out(self, bybit):
        bybit.use_instrument(replace(BTC, grid_is_final=True))
        [event] = bybit.receive(book("snapshot", 7, "1e-30 1, 1.0 1"), 0)
        assert (len(event.levels), event.levels.kept_out) == (1, 1)

    @pytest.mark.parametrize("price", [1.5, None, True, {}, [], "-1", "NaN", "1_0", " 1", ""])
    def test_what_is_no_plain_number_is_refused(self, bybit, price):
        live(bybit)
        frame = json.loads(delta(8))
        frame["data"]["b"] = [[price, "x"]]
        with pytest.raises(DecodeError):
            bybit.receive(orjson.dumps(frame), 0)
        assert [type(event) for event in bybit.receive(delta(8), 0)] == [Update]


class TestY7Time:
    @pytest.mark.parametrize(
        ("said", "ns"),
        [
            ({}, 1680652808065_000000),
            ({"ts": 1680652808065, "cts": 1680652808070}, 1680652808070_000000),
            ({"ts": 1680652808065123}, 1680652808065_123000),
        ],
    )
    def test_the_time_is_the_newer_of_ts_and_cts(self, bybit, said, ns):
        [event] = bybit.receive(book("snapshot", 7, "1 1", **said), 0)
        assert event.exchange_ns == ns

    def test_the_time_of_the_matching_engine_is_optional(self, bybit):
        """As in the documentation of 2022."""
        frame = json.loads(book("snapshot", 7, "1 1"))
        del frame["cts"]
        [event] = bybit.receive(orjson.dumps(frame), 0)
        assert event.exchange_ns == 1680652808065_000000

    @pytest.mark.parametrize("ts", [-1, 1.5, "1680652808065", None, True, 9_000_000_000_001, 1 << 63])
    def test_an_invalid_time_is_refused(self, bybit, ts):
        with pytest.raises(DecodeError):
            bybit.receive(book("snapshot", 7, "1 1", ts=ts), 0)


class TestY8Trades:
    def test_the_side_is_the_takers(self, bybit):
        [sold] = bybit.receive(TRADE_2023, 0)
        assert sold == Trade(BTC, "2290000000090712222", 4377400, 2600, Side.SELL, 1703430744102_000000)
        [bought] = bybit.receive(trades(trade(side="Buy")), 0)
        assert (bought.side, bought.history) == (Side.BUY, False)

    def test_trades_of_a_frame_keep_its_order(self, bybit):
        found = bybit.receive(trades(*(trade(str(number)) for number in (30, 10, 20))), 0)
        assert [each.trade_id for each in found] == ["30", "10", "20"]

    def test_ids_have_no_order_so_no_hole_is_seen(self, bybit):
        assert [type(event) for number in (5, 900) for event in bybit.receive(trades(trade(str(number))), 0)] == [Trade] * 2

    @pytest.mark.parametrize(
        "said",
        [
            {"side": "Hold"}, {"trade_id": 1}, {"trade_id": ""}, {"trade_id": "x" * 33}, {"trade_id": "\x1b[2J"}, {"price": 1.5},
            {"size": None}, {"s": "PEPEUSDT"}, {"T": -1}, {"T": "1680652847524"}, {"S": ["Buy"]},
        ],
    )  # fmt: skip
    def test_a_trade_that_is_not_understood_takes_its_frame_with_it_and_costs_no_book(self, bybit, said):
        with pytest.raises(DecodeError) as refusal:
            bybit.receive(trades(trade(), trade(**said)), 0)
        assert not refusal.value.may_hold_books

    def test_an_empty_frame_is_no_trade(self, bybit):
        assert bybit.receive(trades(), 0) == []


class TestY9Pongs:
    @pytest.mark.parametrize(
        "frame",
        [
            b'{"success":true,"ret_msg":"pong","conn_id":"d9avsh3fo0jvsls9d82g-5m9jh","req_id":"p1","op":"ping"}',
            b'{"success":true,"ret_msg":"pong","conn_id":"d9avsh3fo0jvsls9d82g-5m9jh","op":"ping"}',
            b'{"args":["1672916271846"],"op":"pong"}',
        ],
    )
    def test_a_pong_is_a_sign_of_life(self, bybit, frame):
        assert bybit.receive(frame, 0) == [Heartbeat()]


class TestY10EverythingElse:
    @pytest.mark.parametrize(
        "frame",
        [
            b'{"topic":"tickers.BTCUSDT","ts":1,"type":"snapshot","data":{}}',
            book("snapshot", 7, "1 1", native="FOOUSDT"),
            book("snapshot", 7, "1 1", depth=200),
            book("checkpoint", 7, "1 1"),
            b'{"topic":"publicTrade.BTCUSDT","ts":1,"type":"bust","data":[]}',
            b'{"success":true,"ret_msg":"","op":"auth"}',
            b'{"success":true,"ret_msg":"subscribe","req_id":"s999","op":"subscribe"}',
            b'{"success":false,"ret_msg":"error:invalid","op":"unsubscribe"}',
            b'{"type":"mystery"}',
            b"[1,2]",
            b"{}",
        ],
    )
    def test_a_kind_that_we_do_not_know_is_shown_not_refused(self, bybit, frame):
        assert [type(event) for event in bybit.receive(frame, 0)] == [Unrecognised]

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"{",
            b"\xff",
            b'{"topic":["orderbook.50.BTCUSDT"]}',
            b'{"topic":"orderbook.50.BTCUSDT","ts":1,"type":"delta"}',
            book("snapshot", 7, "1 1").replace(b'"s":"BTCUSDT"', b'"s":"PEPEUSDT"'),
            book("snapshot", 7, "1 1").replace(b'"u":7', b'"u":7.0'),
            book("snapshot", 7, "1 1").replace(b'"u":7', b'"u":"7"'),
            book("snapshot", 7, "1 1").replace(b'"u":7', b'"u":9223372036854775808'),
            book("snapshot", 7, "1 1").replace(b',"seq":70', b""),
            book("snapshot", 7, "1 1").replace(b'"b":[["1","1"]]', b'"b":["11"]'),
            book("snapshot", 7, "1 1").replace(b'"b":[["1","1"]]', b'"b":{}'),
            book("snapshot", 7, "1 1").replace(b'"b":[["1","1"]]', b'"b":[["1"]]'),
            book("snapshot", 7, "1 1").replace(b'"a":[]', b'"a":null'),
            b'{"success":false,"ret_msg":7,"op":"subscribe"}',
            b'{"success":true,"op":["ping"]}',
        ],
    )
    def test_what_is_not_understood_in_full_is_refused_with_its_bytes(self, bybit, frame):
        live(bybit)
        with pytest.raises(DecodeError) as refusal:
            bybit.receive(frame, 0)
        assert (refusal.value.frame, refusal.value.may_hold_books) == (frame[:200], True)
        assert [type(event) for event in bybit.receive(delta(8), 0)] == [Update], "nothing has changed"

    def test_keys_may_come_in_any_order(self, bybit):
        """The product types of Bybit differ in it: linear has `type` before `ts`."""
        live(bybit)
        frame = json.loads(delta(8))
        turned = {key: frame[key] for key in ("type", "cts", "data", "ts", "topic")}
        turned["data"] = dict(reversed(turned["data"].items()))
        assert [type(event) for event in bybit.receive(orjson.dumps(turned), 0)] == [Update]

    def test_rest_brings_neither_books_nor_trades_nor_proofs(self, bybit):
        for receive in (bybit.receive_snapshot, bybit.receive_trades, bybit.receive_proof):
            with pytest.raises(DecodeError):
                receive(BTC, b"{}", 0)


class TestY11PingsAndTheLastResort:
    def test_a_ping_every_twenty_seconds(self):
        decoder = Decoder([], ())
        decoder.connected(0)
        sent = []
        for second in range(1, 61):
            decoder.tick(second * SECOND)
            sent += [(second, op) for op, _ in asked(decoder)]
        assert sent == [(20, "ping"), (40, "ping"), (60, "ping")]

    def test_a_book_that_is_never_answered_has_its_connection_replaced(self, bybit):
        bybit.receive(trades(trade()), 0)
        live(bybit, native="PEPEUSDT")
        bybit.receive(trades(native="PEPEUSDT"), 0)
        told, found = [], []
        for second in range(200):
            told += bybit.tick(second * SECOND)
            requests = bybit.pending_requests()
            found += [(second, "reconnect") for request in requests if isinstance(request, Reconnect)]
            found += [(second, "ask") for request in requests if isinstance(request, Send) and b'"subscribe"' in request.frame]
        assert told == [Unanswered("book", ["BTCUSDT"])]
        assert found == [(10, "ask"), (30, "ask"), (70, "ask"), (71, "reconnect"), (130, "ask"), (190, "ask")]


class TestY12Checks:
    def test_a_quiet_book_is_subscribed_to_anew_and_its_updates_count(self, bybit):
        live(bybit)
        bybit.confirm(BTC)
        assert asked(bybit) == ANEW
        assert [type(event) for event in bybit.receive(delta(8), 0)] == [Update]
        live(bybit, 9)
        assert [type(event) for event in bybit.receive(delta(10), 0)] == [Update]

    def test_a_book_that_heals_is_not_checked(self, bybit):
        live(bybit)
        bybit.resync(BTC)
        bybit.pending_requests()
        bybit.confirm(BTC)
        assert asked(bybit) == []

    def test_a_crossed_book_has_one_second(self):
        assert FACTS.mode().crossed_s == 1.0
