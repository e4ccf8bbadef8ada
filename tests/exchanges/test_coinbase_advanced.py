"""Coinbase's Advanced Trade feed, rule by rule (C1 to C12, and S1 to S7 where they show here)."""

from dataclasses import replace

import orjson
import pytest
from support.coinbase_frames import (
    BTC,
    BTC_USDC,
    ETH,
    LATER,
    LATER_NS,
    SENT_NS,
    TIME_NS,
    book,
    confirmation,
    frame,
    heartbeat,
    levels,
    picture,
    row,
    sent,
    snapshot,
    started,
    trade,
    trades,
    update,
    x_heartbeat,
    x_match,
)

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase import FACTS, Decoder
from alphapulse_cli.exchanges.coinbase.advanced import MOST_BREAKS
from alphapulse_cli.market.events import (
    Event,
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
    TradesRecovered,
    Unanswered,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Reconnect, Send, SlowDown

SECOND = 1_000_000_000

NONE_OF_IT = [
    b"",
    b"{",
    b"null",
    b"7",
    b"[]",
    b'"sequence_num"',
    b"{}",
    b'{"sequence_num":3}',
    b"\xff\xfe",
    b'{"channel":7,"sequence_num":3}',
]


def live(*instruments):
    """A decoder whose books are live; the next sequence number is that of the next frame."""
    decoder = started(*instruments)
    for number, product in enumerate(decoder._products):
        decoder.receive(snapshot(number, product), 0)
    return decoder, len(decoder._products)


class TestS1Subscribing:
    """Heartbeats first, one channel per message, products in batches."""

    def test_heartbeats_then_each_channel(self):
        decoder = Decoder([BTC, ETH], {"trades", "book"})
        decoder.connected(0)
        products = ["BTC-USD", "ETH-USD"]
        assert sent(decoder) == [
            {"type": "subscribe", "channel": "heartbeats"},
            {"type": "subscribe", "product_ids": products, "channel": "level2"},
            {"type": "subscribe", "product_ids": products, "channel": "market_trades"},
        ]
        assert sent(decoder) == []

    def test_many_products_are_batched(self):
        size = FACTS.subscribe_batch
        decoder = Decoder([Instrument("coinbase", f"A{i}-USD", f"A{i}-USD", 2, 8) for i in range(size + 1)], {"book"})
        decoder.connected(0)
        assert [len(message.get("product_ids", [])) for message in sent(decoder)] == [0, size, 1]

    def test_only_the_requested_channels_are_subscribed(self):
        decoder = Decoder([BTC], {"trades"})
        decoder.connected(0)
        assert [message["channel"] for message in sent(decoder)] == ["heartbeats", "market_trades"]


class TestS2Aliases:
    """A USDC product is subscribed to, and comes, under the name of the product whose book it shares."""

    def test_an_alias_alone(self):
        decoder = Decoder([BTC_USDC], {"book"})
        decoder.connected(0)
        assert sent(decoder)[1]["product_ids"] == ["BTC-USD"]
        (event,) = decoder.receive(snapshot(0), 0)
        assert event.instrument is BTC_USDC

    def test_both_get_their_own_events(self):
        decoder, number = live(BTC, BTC_USDC)
        first, second = decoder.receive(update(number), 0)
        assert (first.instrument, second.instrument) == (BTC, BTC_USDC)
        assert first.levels is not second.levels
        assert levels(first) == levels(second)


class TestS3UpdateBeforeSnapshot:
    """It leaves as a gap, once, and asks for the book again."""

    def test_an_update_before_the_snapshot_is_one_gap(self):
        decoder = started()
        (gap,) = decoder.receive(update(0), 0)
        assert gap == GapFound((BTC,), GapReason.UPDATE_BEFORE_SNAPSHOT, "BTC-USD")
        assert [(each["type"], each["product_ids"]) for each in sent(decoder)] == [
            ("unsubscribe", ["BTC-USD"]),
            ("subscribe", ["BTC-USD"]),
        ]
        assert decoder.receive(update(1), 0) == []
        assert sent(decoder) == []
        assert picture(decoder.receive(snapshot(2), 0))[0][0] == "Snapshot"
        assert len(decoder.receive(update(3), 0)) == 1

    def test_an_update_of_no_levels_is_no_gap(self):
        assert started().receive(frame(0, "l2_data", book("update", "BTC-USD")), 0) == []


class TestS4Resync:
    """An unsubscribe and a subscribe; one in flight at a time."""

    def test_one_resync_is_in_flight_at_a_time(self):
        decoder, number = live()
        decoder.resync(BTC)
        decoder.resync(BTC)
        decoder.resync(ETH)
        both = ["BTC-USD", "ETH-USD"]
        assert sent(decoder) == [
            {"type": "unsubscribe", "product_ids": both, "channel": "level2"},
            {"type": "subscribe", "product_ids": both, "channel": "level2"},
        ]
        decoder.resync(BTC)
        assert sent(decoder) == []
        assert decoder.receive(update(number), 0) == []  # of the old subscription
        decoder.receive(snapshot(number + 1), 0)
        assert len(decoder.receive(update(number + 2), 0)) == 1
        decoder.resync(BTC)
        assert len(sent(decoder)) == 2

    def test_a_subscription_in_flight_is_enough(self):
        decoder = started()
        decoder.resync(BTC)
        assert sent(decoder) == []


class TestS5WhatIsOwed:
    """What neither comes nor is confirmed is asked for again, for ever, and told once."""

    def test_unanswered_requests_are_repeated_after_growing_pauses(self):
        decoder = started(BTC, channels=("book",))
        found, told, replaced = [], [], []
        for seconds in range(200):
            told += decoder.tick(seconds * SECOND)
            requests = decoder.pending_requests()
            replaced += [seconds for each in requests if isinstance(each, Reconnect)]
            again = [orjson.loads(each.frame) for each in requests if isinstance(each, Send)]
            if again:
                assert [(each["type"], each["channel"]) for each in again] == [("unsubscribe", "level2"), ("subscribe", "level2")]
                found.append(seconds)
        assert found == [10, 30, 70, 130, 190]
        assert replaced == [71], "after three in vain, and no sooner than ten minutes later again"
        assert told == [Unanswered("book", ("BTC-USD",))]

    def test_a_refusal_for_the_moment_is_asked_again_soon_and_ends_nothing(self):
        decoder = started(BTC, channels=("book",))
        found = []
        for seconds in range(16):
            decoder.tick(seconds * SECOND)
            again = sent(decoder) if seconds else True
            if again:
                assert seconds == 0 or [each["type"] for each in again] == ["subscribe"]
                found.append(seconds)
                assert decoder.receive(b'{"type":"error","message":"internal error"}', 0) == [
                    SubscriptionRefused("", "", "internal error", for_now=True)
                ]
        assert found == [0, 1, 2, 3, 5, 9]
        assert isinstance(decoder.receive(snapshot(0), 0)[0], Snapshot)
        decoder.tick(100 * SECOND)
        assert sent(decoder) == []

    def test_a_refusal_of_our_rate_slows_us_down(self):
        decoder = started(BTC)
        for _ in range(2):
            assert not any(isinstance(request, SlowDown) for request in decoder.pending_requests())
            decoder.receive(b'{"type":"error","message":"rate limit exceeded"}', 0)
        assert SlowDown("rate limit exceeded") in decoder.pending_requests()

    def test_no_message_is_longer_than_the_bound(self):
        many = [
            Instrument("coinbase", f"LONG{number:03d}-USD", f"A-VERY-LONG-PRODUCT-NAME-{number:03d}-USD", 2, 8)
            for number in range(300)
        ]
        decoder = Decoder(many, ("book", "trades"))
        decoder.connected(0)
        frames = [request.frame for request in decoder.pending_requests()]
        assert max(map(len, frames)) <= 4000
        assert sum(len(orjson.loads(each).get("product_ids", [])) for each in frames) == 600

    def test_what_came_or_was_confirmed_is_not_asked_for(self):
        decoder = started(BTC)
        decoder.receive(snapshot(0), 0)
        decoder.receive(confirmation(1, level2=["BTC-USD"], market_trades=["BTC-USD"]), 0)
        decoder.tick(20 * SECOND)
        assert sent(decoder) == []

    @pytest.mark.parametrize("mode", ["advanced", "exchange"])
    def test_heartbeats_are_asked_for_until_they_come(self, mode):
        """Without them a quiet market is taken for a dead connection, again and again."""
        decoder = Decoder((BTC,), ("book",), mode=mode)
        decoder.connected(0)
        assert "heartbeat" in str(sent(decoder)[0])
        found: list[float] = []
        told: list[Event] = []
        for tenth in range(400):
            told += decoder.tick(tenth * SECOND // 10)
            requests = [each for each in decoder.pending_requests() if isinstance(each, Send)]
            asked = [each for each in requests if b"heartbeat" in each.frame]
            found += [tenth / 10 for _ in asked]
            if asked and len(found) < 3:
                decoder.receive(b'{"type":"error","message":"internal error"}', 0)
            if asked and len(found) == 4:
                decoder.receive(heartbeat(0) if mode == "advanced" else x_heartbeat(7), 0)
        assert found == [10.0, 10.3, 10.8, 30.8], "no answer, refused twice, no answer, and then they come"
        assert told == [Unanswered("heartbeats"), Unanswered("book", ("BTC-USD",))]

    @pytest.mark.parametrize("mode", ["advanced", "exchange"])
    def test_a_confirmation_of_heartbeats_is_enough(self, mode):
        decoder = Decoder((BTC,), ("trades",), mode=mode)
        decoder.connected(0)
        sent(decoder)
        rows = [{"name": "heartbeat", "product_ids": ["BTC-USD"]}, {"name": "matches", "product_ids": ["BTC-USD"]}]
        exchange = orjson.dumps({"type": "subscriptions", "channels": rows})
        advanced = confirmation(0, heartbeats=["heartbeats"], market_trades=["BTC-USD"])
        decoder.receive(advanced if mode == "advanced" else exchange, 0)
        decoder.tick(100 * SECOND)
        assert sent(decoder) == []

    def test_a_confirmation_alone_is_no_book(self):
        decoder = started(BTC, channels=("book",))
        decoder.receive(confirmation(0, level2=["BTC-USD"]), 0)
        decoder.tick(10 * SECOND)
        assert len(sent(decoder)) == 2


class TestS6TradeIds:
    """Ids grow by one; a step is TradesMissed."""

    def test_a_skipped_trade_id_is_missed(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(5)), 0)
        missed, found = decoder.receive(trades(1, trade(9)), 0)
        assert missed == TradesMissed(BTC, 3)
        assert found.trade_id == "9"

    def test_a_reconnection_fills_in_what_the_past_still_holds(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(5)), 0)
        decoder.connected(0)
        events = decoder.receive(trades(0, trade(8), trade(7), trade(6), trade(5), trade(4), kind="snapshot"), 0)
        assert [(each.trade_id, each.history) for each in events] == [("4", True), ("6", True), ("7", True), ("8", True)]
        assert [each.trade_id for each in decoder.receive(trades(1, trade(9)), 0)] == ["9"]

    def test_what_a_reconnection_cannot_fill_in_is_missed(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(5)), 0)
        decoder.connected(0)
        missed, found = decoder.receive(trades(0, trade(8), kind="snapshot"), 0)
        assert (missed, found.trade_id) == (TradesMissed(BTC, 2), "8")

    def test_t4_ids_that_begin_anew_are_known_by_their_time(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(500)), 0)
        decoder.connected(0)
        anew = [{**trade(number), "time": "2026-08-13T00:00:00Z"} for number in (2, 1)]
        events = decoder.receive(trades(0, *anew, kind="snapshot"), 0)
        events += decoder.receive(trades(1, trade(3)), 0)
        assert [each.trade_id for each in events] == ["1", "2", "3"]

    def test_t3_no_trade_leaves_twice(self):
        decoder = started(BTC)
        frames = [((3, 2, 1), "snapshot"), ((6, 5, 4, 3), "update"), ((6,), "update")]
        found = [
            each.trade_id
            for number, (ids, kind) in enumerate(frames)
            for each in decoder.receive(trades(number, *map(trade, ids), kind=kind), 0)
        ]
        assert found == ["1", "2", "3", "4", "5", "6"]

    def test_t2_the_past_fills_holes_below_the_newest(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(5)), 0)
        decoder.connected(0)
        decoder.receive(trades(0, trade(9)), 0)
        events = decoder.receive(trades(1, *map(trade, (9, 8, 7, 6, 5)), kind="snapshot"), 0)
        assert [each.trade_id for each in events[:3]] == ["6", "7", "8"]
        assert events[3:] == [TradesRecovered(BTC, 3)]

    def test_a_late_trade_is_still_a_trade(self):
        decoder = started(BTC)
        decoder.receive(trades(0, trade(5)), 0)
        decoder.receive(trades(1, trade(7)), 0)
        late, recovered = decoder.receive(trades(2, trade(6)), 0)
        assert (late.trade_id, late.history, recovered) == ("6", True, TradesRecovered(BTC, 1))
        assert [each.trade_id for each in decoder.receive(trades(3, trade(8)), 0)] == ["8"]


class TestS8TradesByRest:
    """What the stream did not bring is looked for among the last thousand."""

    @pytest.mark.parametrize(
        ("mode", "path", "body", "side"),
        [
            (
                "advanced",
                "/api/v3/brokerage/market/products/BTC-USD/ticker?limit=1000",
                lambda rows: {"trades": rows},
                Side.UNKNOWN,
            ),
            ("exchange", "/products/BTC-USD/trades?limit=1000", lambda rows: rows, Side.BUY),
        ],
    )
    def test_missing_trades_are_fetched_in_either_mode(self, mode, path, body, side):
        decoder = started(BTC, mode=mode, channels=("trades",))
        for at, number in enumerate((5, 8)):
            decoder.receive(trades(at, trade(number)) if mode == "advanced" else x_match(number), 0)
        decoder.tick(SECOND)
        [fetch] = [request for request in decoder.pending_requests() if isinstance(request, FetchTrades)]
        assert (fetch.instrument, fetch.path) == (BTC, path)
        rows = [{**trade(number), "side": "sell"} for number in range(3, 12)]
        six, seven, recovered = decoder.receive_trades(BTC, orjson.dumps(body(rows)), 0)
        assert [(each.trade_id, each.side, each.history) for each in (six, seven)] == [("6", side, True), ("7", side, True)]
        assert recovered == TradesRecovered(BTC, 2)
        assert decoder.receive_trades(BTC, orjson.dumps(body(rows)), 0) == []
        for nonsense in (b"", b"{}", b"7", b'{"trades":{}}'):
            with pytest.raises(DecodeError):
                decoder.receive_trades(BTC, nonsense, 0)


class TestC1C2Sequence:
    """One counter per connection; a break spoils every book on it."""

    def test_every_channel_counts(self):
        decoder, number = live()
        assert decoder.receive(heartbeat(number), 0) == [Heartbeat(SENT_NS)]
        decoder.receive(confirmation(number + 1, heartbeats=["heartbeats"]), 0)
        decoder.receive(trades(number + 2, trade(1)), 0)
        decoder.receive(frame(number + 3, "ticker", {}), 0)
        assert picture(decoder.receive(update(number + 4), 0))[0][0] == "Update"

    def test_the_first_number_is_taken_as_it_comes(self):
        decoder = started()
        assert isinstance(decoder.receive(snapshot(17), 0)[0], Snapshot)
        assert isinstance(decoder.receive(update(18), 0)[0], Update)

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (-1, GapReason.SEQUENCE_RESET),
            (-2, GapReason.SEQUENCE_RESET),
            (1, GapReason.SEQUENCE),
            (100, GapReason.SEQUENCE),
        ],
    )
    def test_a_break_is_one_gap_for_all_and_all_books_are_asked_for_anew(self, step, reason):
        decoder, number = live()
        decoder.receive(confirmation(number, market_trades=["BTC-USD", "ETH-USD"]), 0)
        number += 1
        (gap,) = decoder.receive(update(number + step), 0)
        assert (set(gap.instruments), gap.reason) == ({BTC, ETH}, reason)
        assert [(each["type"], each["channel"], each["product_ids"]) for each in sent(decoder)] == [
            (verb, channel, ["BTC-USD", "ETH-USD"])
            for channel in ("level2", "market_trades")
            for verb in ("unsubscribe", "subscribe")
        ]
        number += step + 1
        assert decoder.receive(update(number), 0) == []  # of the old subscription
        for product in ("BTC-USD", "ETH-USD"):
            number += 1
            assert isinstance(decoder.receive(snapshot(number, product), 0)[0], Snapshot)
            assert isinstance(decoder.receive(update(number + 1, product), 0)[0], Update)
            number += 1
        assert sent(decoder) == []

    def test_what_was_asked_for_already_may_have_been_lost(self):
        decoder, number = live()
        decoder.receive(update(number + 1), 0)
        sent(decoder)
        decoder.receive(update(number + 3), 0)
        assert sent(decoder) == []
        decoder.tick(2 * SECOND)
        assert [each["type"] for each in sent(decoder)] == ["unsubscribe", "subscribe"] * 2

    def test_a_connection_that_breaks_again_and_again_is_given_up(self):
        decoder, number = live()
        for each in range(MOST_BREAKS):
            number += 2
            decoder.receive(update(number), 0)
            assert not any(isinstance(request, Reconnect) for request in decoder.pending_requests()), each
        decoder.receive(update(number + 2), 0)
        (request,) = decoder.pending_requests()
        assert isinstance(request, Reconnect)
        for later, made in enumerate((snapshot, update), number + 3):
            assert decoder.receive(made(later), 0) == []
        decoder.resync(BTC)
        decoder.tick(100 * SECOND)
        assert not decoder.pending_requests()

    def test_breaks_that_healed_do_not_replace_the_connection(self):
        decoder, number = live()
        for _ in range(3 * MOST_BREAKS):
            decoder.receive(update(number + 1), 0)
            decoder.receive(snapshot(number + 2, "BTC-USD"), 0)
            decoder.receive(snapshot(number + 3, "ETH-USD"), 0)
            number += 4
        assert not any(isinstance(request, Reconnect) for request in decoder.pending_requests())

    def test_trades_are_believed_after_a_break(self):
        decoder, number = live()
        gap, found = decoder.receive(trades(number + 1, trade(1)), 0)
        assert isinstance(gap, GapFound)
        assert isinstance(found, Trade)

    def test_a_new_connection_is_a_new_count(self):
        decoder, number = live()
        decoder.receive(update(number + 1), 0)
        decoder.connected(0)
        assert isinstance(decoder.receive(snapshot(0), 0)[0], Snapshot)
        assert isinstance(decoder.receive(update(1), 0)[0], Update)
        assert not any(isinstance(request, Reconnect) for request in decoder.pending_requests())


class TestC3RefusedFramesCount:
    """The expected number of a refused frame counts; an unexpected one does not."""

    def test_a_refused_frame_with_the_expected_number_counts(self):
        decoder, number = live()
        with pytest.raises(DecodeError):
            decoder.receive(update(number, "BTC-USD", row("ask", "1", "1")), 0)
        assert isinstance(decoder.receive(update(number + 1), 0)[0], Update)

    def test_a_refused_frame_with_an_unexpected_number_does_not_count(self):
        decoder, number = live()
        with pytest.raises(DecodeError):
            decoder.receive(update(number + 1, "BTC-USD", row("ask", "1", "1")), 0)
        assert isinstance(decoder.receive(update(number + 2), 0)[0], GapFound)

    def test_a_refused_frame_with_an_unreadable_number_does_not_count(self):
        decoder, number = live()
        with pytest.raises(DecodeError):
            decoder.receive(update(number)[:-1], 0)
        assert isinstance(decoder.receive(update(number + 1), 0)[0], GapFound)

    def test_true_is_no_number(self):
        decoder = started()
        decoder.receive(snapshot(0), 0)
        with pytest.raises(DecodeError):
            decoder.receive(update(True), 0)
        assert isinstance(decoder.receive(update(1), 0)[0], Update)


class TestC4OffGrid:
    """Nothing changes, the number included, until the frame is handed in again."""

    def test_an_off_grid_frame_counts_when_it_is_passed_in_again(self):
        decoder, number = live()
        fine = update(number, "BTC-USD", row("bid", "10.12345", "1.5"), row("offer", "10.2", "0.0000000001"))
        assert decoder.receive(fine, 0) == [OffGrid(BTC, 5, 10)]
        finer = BTC.on_grid(5, 10)
        decoder.use_instrument(finer)
        (event,) = decoder.receive(fine, 0)
        assert event.instrument is finer
        assert levels(event) == [(1012345, 15 * 10**9, False), (1020000, 1, True)]
        assert isinstance(decoder.receive(update(number + 1), 0)[0], Update)

    def test_a_trade_brings_its_own_grid_or_is_refused(self):
        decoder, number = live()
        read = decoder.receive(trades(number, trade(1, price="10.123"), trade(2, price="1e-25"), trade(3, size=str(10**12))), 0)
        assert [(each.instrument, each.price_ticks, bool(each.refused)) for each in read] == [
            (BTC.on_grid(3, 8), 10123, False),
            (BTC, 0, True),
            (BTC, 0, True),
        ]
        assert isinstance(decoder.receive(update(number + 1), 0)[0], Update)

    def test_on_a_final_grid_a_level_is_kept_out_and_the_number_counts(self):
        decoder, number = live()
        decoder.use_instrument(replace(BTC, grid_is_final=True))
        (event,) = decoder.receive(update(number, "BTC-USD", row("bid", "1e-25", "1"), row("bid", "1", "1")), 0)
        assert (event.levels.kept_out, len(event.levels)) == (1, 1)
        assert isinstance(decoder.receive(update(number + 1), 0)[0], Update)

    def test_off_grid_names_the_grid_of_each_product(self):
        decoder, number = live()
        fine = frame(number, "l2_data", *(book("update", each.native, row("bid", "1.001", "1")) for each in (BTC, ETH)))
        assert decoder.receive(fine, 0) == [OffGrid(BTC, 3, 8), OffGrid(ETH, 3, 8)]

    def test_given_up_it_counts_and_the_others_in_it_are_distrusted(self):
        decoder, number = live()
        entries = book("update", "BTC-USD", row("bid", "1." + "1" * 20, "1")), book("update", "ETH-USD", row("bid", "1", "1"))
        assert decoder.receive(frame(number, "l2_data", *entries), 0) == [OffGrid(BTC, 20, 8)]
        gap, event = decoder.receive(update(number + 1), 0)
        assert (gap.instruments, gap.reason) == ((ETH,), GapReason.UNREADABLE)
        assert event.instrument is BTC
        assert [each["product_ids"] for each in sent(decoder)] == [["ETH-USD"], ["ETH-USD"]]

    def test_given_up_it_hides_no_break_behind_it(self):
        decoder, number = live()
        decoder.receive(update(number, "BTC-USD", row("bid", "1.001", "1")), 0)
        (gap,) = decoder.receive(update(number + 2), 0)
        assert gap.reason is GapReason.SEQUENCE

    def test_off_grid_and_malformed_is_malformed(self):
        decoder, number = live()
        with pytest.raises(DecodeError):
            decoder.receive(update(number, "BTC-USD", row("bid", "1.001", "1"), row("bid", "-1", "1")), 0)
        assert isinstance(decoder.receive(update(number + 1), 0)[0], Update)

    def test_off_grid_after_a_break_still_finds_the_break(self):
        decoder, number = live()
        fine = update(number + 1, "BTC-USD", row("bid", "10.123", "1"))
        decoder.receive(fine, 0)
        decoder.use_instrument(BTC.on_grid(3, 8))
        assert [type(each) for each in decoder.receive(fine, 0)] == [GapFound]


class TestC5Errors:
    """They have no number and name no product."""

    def test_an_error_is_handed_on_and_not_counted(self):
        decoder, number = live()
        refusal = decoder.receive(b'{"type":"error","message":"failure to subscribe"}', 0)
        assert refusal == [SubscriptionRefused("", "", "failure to subscribe", for_now=True)]
        assert isinstance(decoder.receive(update(number), 0)[0], Update)

    def test_an_unknown_type_is_unrecognised(self):
        assert started().receive(b'{"type":"' + b"x" * 99 + b'"}', 0) == [Unrecognised("x" * 40)]


class TestC6Levels:
    """Sides, absolute sizes, trimmed numbers."""

    def test_numbers_however_written_are_the_same(self):
        decoder, number = live()
        rows = (
            row("bid", "63310.2", "0.2"),
            row("bid", "63310.20", "0.20000000"),
            row("offer", "63310", "0"),
            row("bid", "1", "0.00000000"),
        )
        (event,) = decoder.receive(update(number, "BTC-USD", *rows), 0)
        assert levels(event) == [
            (6331020, 20_000_000, False),
            (6331020, 20_000_000, False),
            (6331000, 0, True),
            (100, 0, False),
        ]

    def test_a_snapshot_of_nothing_is_an_empty_book(self):
        (event,) = started().receive(frame(0, "l2_data", book("snapshot", "BTC-USD")), 0)
        assert isinstance(event, Snapshot)
        assert levels(event) == []


class TestC7OneEventPerProduct:
    """All changes of a product in a frame are one event."""

    def test_products_leave_in_order_of_first_mention(self):
        decoder, number = live()
        entries = [
            book("update", "ETH-USD", row("bid", "1", "1")),
            book("update", "BTC-USD", row("bid", "2", "2")),
            book("update", "ETH-USD", row("offer", "3", "3", LATER)),
            book("update", "BTC-USD"),
        ]
        assert picture(decoder.receive(frame(number, "l2_data", *entries), 0)) == [
            ("Update", "ETH-USD", LATER_NS, [(100, 10**8, False), (300, 3 * 10**8, True)]),
            ("Update", "BTC-USD", TIME_NS, [(200, 2 * 10**8, False)]),
        ]

    def test_a_snapshot_begins_a_new_event(self):
        decoder, number = live()
        entries = [
            book(kind, "BTC-USD", row("bid", price, "1")) for kind, price in (("update", "1"), ("snapshot", "2"), ("update", "3"))
        ]
        events = decoder.receive(frame(number, "l2_data", *entries), 0)
        assert [(type(each), levels(each)[0][0]) for each in events] == [(Update, 100), (Snapshot, 200), (Update, 300)]


class TestC8Times:
    """Updates by the engine's newest time, snapshots by the frame's."""

    def test_the_newest_event_time_not_the_longest_text(self):
        decoder, number = live()
        rows = row("bid", "1", "1", LATER), row("bid", "2", "1"), row("bid", "3", "1", "2026-08-12T19:27:48.5Z")
        assert decoder.receive(update(number, "BTC-USD", *rows), 0)[0].exchange_ns == LATER_NS

    def test_a_time_of_1970_counts_as_missing(self):
        decoder, number = live()
        assert decoder.receive(update(number, "BTC-USD", row("bid", "1", "1", "1970-01-01T00:00:00Z")), 0)[0].exchange_ns == SENT_NS

    @pytest.mark.parametrize("unset", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
    def test_an_unset_time_counts_as_missing(self, unset):
        """A delay of centuries would be shown, and a trade of the year 1 fits no record."""
        decoder, number = live()
        unset_row = row("bid", "1", "1", unset)
        [of_update] = decoder.receive(frame(number, "l2_data", book("update", "BTC-USD", unset_row), timestamp=unset), 0)
        [of_snapshot] = decoder.receive(frame(number + 1, "l2_data", book("snapshot", "BTC-USD", unset_row), timestamp=unset), 0)
        [of_trade] = decoder.receive(trades(number + 2, {**trade(3), "time": unset}), 0)
        [beat] = decoder.receive(frame(number + 3, "heartbeats", timestamp=unset), 0)
        assert [each.exchange_ns for each in (of_update, of_snapshot, of_trade, beat)] == [None] * 4

    def test_a_snapshot_is_as_old_as_its_frame(self):
        assert started().receive(snapshot(0), 0)[0].exchange_ns == SENT_NS


class TestC9Confirmations:
    """They come late and gate nothing."""

    def test_a_confirmation_may_come_after_the_data(self):
        decoder = started()
        decoder.receive(snapshot(0), 0)
        assert isinstance(decoder.receive(update(1), 0)[0], Update)
        assert decoder.receive(confirmation(2, level2=["BTC-USD"], heartbeats=["heartbeats"]), 0) == [
            Subscribed("book", ("BTC-USD",)),
            Subscribed("heartbeats"),
        ]

    def test_nothing_is_subscribed_to(self):
        assert started().receive(confirmation(0), 0) == []


class TestC10Trades:
    """Newest first becomes oldest first; the maker's side becomes the taker's."""

    def test_order_side_and_numbers(self):
        events = started().receive(trades(0, trade(12, side="BUY"), trade(11, "63310.25", "0.00000043")), 0)
        assert events == [
            Trade(BTC, "11", 6331025, 43, Side.BUY, TIME_NS),
            Trade(BTC, "12", 1050, 10**7, Side.SELL, TIME_NS),
        ]

    def test_ids_are_numbers_not_text(self):
        assert [each.trade_id for each in started().receive(trades(0, trade(10), trade(9)), 0)] == ["9", "10"]

    def test_a_snapshot_is_history(self):
        assert [each.history for each in started().receive(trades(0, trade(2), trade(1), kind="snapshot"), 0)] == [True, True]

    def test_each_product_has_its_own_ids(self):
        events = started().receive(trades(0, trade(2), trade(900, product="ETH-USD"), trade(1)), 0)
        assert [(each.instrument, each.trade_id) for each in events] == [(BTC, "1"), (BTC, "2"), (ETH, "900")]

    @pytest.mark.parametrize(
        "bad",
        [{"side": "sell"}, {"trade_id": "x"}, {"trade_id": "1" * 20}, {"size": "-1"}, {"time": "0000-01-01T00:00:00Z"}],
    )
    def test_what_no_trade_can_be_is_refused(self, bad):
        with pytest.raises(DecodeError):
            started().receive(trades(0, {**trade(1), **bad}), 0)


class TestC11Heartbeats:
    @pytest.mark.parametrize("counter", [7, "7"])
    def test_the_counter_is_a_number_or_text(self, counter):
        assert started().receive(heartbeat(0, counter), 0) == [Heartbeat(SENT_NS)]


class TestC12Unasked:
    """No errors, and counted."""

    def test_products_and_channels_that_we_did_not_ask_for(self):
        decoder, number = live()
        assert decoder.receive(update(number, "DOGE-USD"), 0) == [Unrecognised("l2_data of DOGE-USD")]
        assert decoder.receive(trades(number + 1, trade(1, product="DOGE-USD")), 0) == [Unrecognised("market_trades of DOGE-USD")]
        assert decoder.receive(orjson.dumps({"channel": "status", "sequence_num": number + 2}), 0) == [Unrecognised("status")]
        assert isinstance(decoder.receive(update(number + 3), 0)[0], Update)


class TestS7RefusedInFull:
    """No level of a refused frame leaves, and no state changes."""

    @pytest.mark.parametrize("nonsense", NONE_OF_IT)
    def test_a_malformed_frame_is_refused(self, nonsense):
        with pytest.raises(DecodeError):
            started().receive(nonsense, 0)

    def test_a_snapshot_with_one_bad_row_leaves_the_book_waiting(self):
        decoder = started()
        with pytest.raises(DecodeError):
            decoder.receive(snapshot(0, "BTC-USD", row("bid", "1", "1"), row("bid", "NaN", "1")), 0)
        assert isinstance(decoder.receive(update(1), 0)[0], GapFound)

    @pytest.mark.parametrize("key", ["side", "event_time", "price_level", "new_quantity"])
    def test_nothing_is_made_up_for_what_is_missing(self, key):
        decoder, number = live()
        with pytest.raises(DecodeError):
            decoder.receive(
                update(number, "BTC-USD", {name: text for name, text in row("bid", "1", "1").items() if name != key}), 0
            )

    def test_no_book_comes_by_rest(self):
        with pytest.raises(DecodeError):
            started().receive_snapshot(BTC, b"{}", 0)
