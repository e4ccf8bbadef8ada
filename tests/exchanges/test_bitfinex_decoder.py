"""Bitfinex's decoder, rule by rule (F1 to F13 of its docstring).

Frames are those of docs.bitfinex.com (ws-general, ws-public-books, ws-public-trades, 2026) and of the recording of 2021-04-17,
unless a test says otherwise.
"""

from dataclasses import replace

import orjson
import pytest
from support.bitfinex_frames import BOOK_ROWS, BTC, ETH, NOW, SECOND, ack, event, frame, fresh, live, sent
from support.kraken_client import Top
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.bitfinex import FACTS, Decoder, parse_instruments, parse_volumes
from alphapulse_cli.exchanges.bitfinex.checksum import unsigned
from alphapulse_cli.exchanges.bitfinex.trades import IDS_KEPT
from alphapulse_cli.exchanges.protocol import joined
from alphapulse_cli.market.events import (
    ClosingSoon,
    GapFound,
    GapReason,
    Heartbeat,
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
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Reconnect, SlowDown
from alphapulse_cli.market.trading_status import TradingStatus

MS = 1_000_000


def told(decoder, data):
    return list(decoder.receive(data, NOW))


def one(decoder, data):
    (event,) = decoder.receive(data, NOW)
    return event


class TestF1Flags:
    def test_they_are_set_before_anything_is_subscribed_to(self):
        decoder = Decoder([BTC, ETH], {"book", "trades"})
        decoder.connected(NOW)
        first, *others = sent(decoder)
        assert first == {"event": "conf", "flags": 32768 + 65536 + 131072}
        assert others[0] == {"event": "subscribe", "channel": "book", "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "100"}
        assert [(each["channel"], each["symbol"]) for each in others] == [
            ("book", "tBTCUSD"), ("trades", "tBTCUSD"), ("book", "tETHUSD"), ("trades", "tETHUSD"),
        ]  # fmt: skip

    def test_they_are_set_again_while_they_are_not_confirmed(self):
        decoder = fresh()
        assert one(decoder, event("conf", status="FAILED")) == SubscriptionRefused(
            "conf", "", "status FAILED, flags None", for_now=True
        )
        decoder.tick(NOW + SECOND)
        assert {"event": "conf", "flags": 229376} in sent(decoder)
        assert one(decoder, b'{"event":"conf","status":"OK","flags":196608}') == Subscribed("conf")
        decoder.tick(NOW + 60 * SECOND)
        assert not [each for each in sent(decoder) if each["event"] == "conf"]

    @pytest.mark.parametrize("depth", FACTS.modes[0].depths)
    def test_each_depth_is_a_length(self, depth):
        decoder = Decoder([BTC], {"book"}, depth)
        decoder.connected(NOW)
        assert sent(decoder)[1]["len"] == str(depth)

    def test_another_depth_is_an_error_that_names_them(self):
        with pytest.raises(UsageError, match="no book of depth 50") as error:
            Decoder([BTC], {"book"}, 50)
        assert "1, 25, 100, 250" in error.value.hint


class TestF2Channels:
    def test_a_number_means_what_its_ack_said(self):
        decoder = fresh(BTC, ETH)
        for native, number in (("tBTCUSD", 5), ("tETHUSD", 4)):
            assert one(decoder, ack("book", native, number)) == Subscribed("book", (native,))
        assert one(decoder, frame(4, [[2500.5, 1, 1]], 1)).instrument == ETH
        assert one(decoder, frame(5, [[57000, 1, 1]], 2)).instrument == BTC

    def test_the_numbers_of_a_connection_end_with_it(self):
        decoder = live()
        decoder.connected(NOW)
        assert one(decoder, frame(10092, [57001, 1, -0.4], 7)) == Unrecognised("data of channel 10092")

    def test_of_two_acks_of_one_number_the_newer_counts(self):
        """The exchange gives a number again."""
        decoder = live(BTC, ETH)
        decoder.receive(ack("book", "tETHUSD", 10092), NOW)
        assert one(decoder, frame(10092, [[2500.5, 1, 1]], 100)).instrument == ETH

    def test_data_of_a_channel_that_was_ended_are_ignored_but_counted(self):
        decoder = live()
        decoder.resync(BTC)
        assert sent(decoder)[0] == {"event": "unsubscribe", "chanId": 10092}
        assert told(decoder, event("unsubscribed", status="OK", chanId=10092)) == []
        assert told(decoder, frame(10092, [57001, 1, -0.4], 100)) == []
        assert one(decoder, frame(17470, "hb", 101)) == Heartbeat()

    def test_what_we_did_not_ask_for_is_unrecognised_and_counted(self):
        decoder = live()
        assert one(decoder, b'{"event":"subscribed","channel":"ticker","chanId":232949,"symbol":"tBFTUSD","pair":"BFTUSD"}') == (
            Unrecognised("ack of ticker tBFTUSD")
        )
        ticker = (
            b"[232949,[0.068965,60157.36709703,0.0774,48578.50804052,0.001969,0.0262,0.076989,101459.39453471,0.0828,0.068961],100]"
        )
        assert one(decoder, ticker) == Unrecognised("data of channel 232949")
        assert one(decoder, frame(10092, "hb", 101)) == Heartbeat()


class TestF3Books:
    def test_a_snapshot(self):
        decoder = fresh()
        decoder.receive(ack("book"), NOW)
        snapshot = one(decoder, b"[10092,[[57000,3,0.5],[56999,1,1.2],[57001,2,-0.7]],1]")
        assert type(snapshot) is Snapshot
        assert list(snapshot.levels) == [(57000, 50_000_000, False), (56999, 120_000_000, False), (57001, 70_000_000, True)]
        assert (snapshot.depth, snapshot.checksum, snapshot.exchange_ns) == (None, None, None)

    def test_an_update_and_a_removal(self):
        """The removal's amount is only the side."""
        decoder = live()
        for data, level in (
            (b"[10092,[57001,1,-0.4],100]", (57001, 40_000_000, True)),
            (b"[10092,[57001,0,-1],101]", (57001, 0, True)),
            (b"[10092,[57000,0,1],102]", (57000, 0, False)),
        ):
            update = one(decoder, data)
            assert type(update) is Update
            assert list(update.levels) == [level]

    def test_an_empty_snapshot_is_an_empty_book(self):
        snapshot = one(live(), frame(10092, [], 100))
        assert (type(snapshot), list(snapshot.levels)) == (Snapshot, [])

    def test_a_snapshot_that_nobody_asked_for_replaces_the_book(self):
        assert type(one(live(), frame(10092, BOOK_ROWS, 100))) is Snapshot

    def test_a_time_is_taken_where_the_frame_has_one(self):
        decoder = live()
        assert one(decoder, b"[10092,[57001,1,-0.4],100,1618677545571]").exchange_ns == 1618677545571 * MS
        assert one(decoder, b"[10092,[57001,1,-0.4],101,null]").exchange_ns is None
        assert one(decoder, b'[10092,[57001,1,-0.4],102,1618677545571,null,"more"]').exchange_ns == 1618677545571 * MS

    @pytest.mark.parametrize(
        "row",
        [b"[57001,1]", b"[57001,1,-0.4,7]", b"[57001,1,0]", b"[57001,1,0.0]", b"[57001,1,-0.0]", b'["57001",1,-0.4]', b'[57001,1,"-0.4"]',
         b"[57001,-1,-0.4]", b"[57001,1.0,-0.4]", b"[57001,true,-0.4]", b"[true,1,-0.4]", b"[57001,1,true]", b"[0,1,-0.4]", b"[-57001,1,-0.4]",
         b"[57001,1,null]", b"{}", b"null", b'"x"', b"7", b"[57001,1,-0.4],[57002,1,-0.4]"],
    )  # fmt: skip
    def test_what_is_not_the_row_of_a_level_is_refused(self, row):
        with pytest.raises(DecodeError) as error:
            live().receive(b"[10092,%s,100]" % row, NOW)
        assert error.value.may_hold_books


class TestF4BeforeTheSnapshotAndWhileHealing:
    def test_an_update_before_any_snapshot_is_one_gap(self):
        decoder = fresh()
        decoder.receive(ack("book"), NOW)
        gap = one(decoder, frame(10092, [57001, 1, -0.4], 1))
        assert (list(gap.instruments), gap.reason) == ([BTC], GapReason.UPDATE_BEFORE_SNAPSHOT)
        assert [each["event"] for each in sent(decoder)] == ["unsubscribe", "subscribe"]
        assert told(decoder, frame(10092, [57002, 1, -0.4], 2)) == []

    def test_a_healing_book_ignores_updates_and_checksums_until_its_snapshot(self):
        decoder = live(channels=("book",))
        decoder.resync(BTC)
        assert [each["event"] for each in sent(decoder)] == ["unsubscribe", "subscribe"]
        assert told(decoder, frame(10092, [57002, 1, -0.4], 100)) == []
        assert told(decoder, frame(10092, "cs", 7, 101)) == []
        decoder.receive(event("unsubscribed", status="OK", chanId=10092), NOW)
        decoder.receive(ack("book", number=10092), NOW)  # the same number, given again
        assert type(one(decoder, frame(10092, BOOK_ROWS, 102))) is Snapshot
        assert type(one(decoder, frame(10092, [57002, 1, -0.4], 103))) is Update

    def test_one_healing_is_in_flight_at_a_time(self):
        decoder = live()
        decoder.resync(BTC)
        decoder.resync(BTC)
        assert len(sent(decoder)) == 4, "the book and its trades (F13)"
        decoder.resync(BTC)
        assert sent(decoder) == []


class TestF5Sequence:
    def test_data_heartbeats_checksums_and_trades_of_all_channels_are_counted(self):
        decoder = live(BTC, ETH)
        frames = [
            frame(10092, [57001, 1, -0.4], 100), frame(10093, "hb", 101), frame(17471, "hb", 102), frame(10092, "cs", -1175357890, 103),
            frame(17470, "te", [401597395, 1574694478808, 0.005, 7245.3], 104), frame(17470, "tu", [401597395, 1574694478808, 0.005, 7245.3], 105),
            frame(9, "hb", 106), frame(10093, [2500.5, 1, 1], 107),
        ]  # fmt: skip
        assert not [said for data in frames for said in told(decoder, data) if isinstance(said, GapFound)]
        assert not [each for each in sent(decoder) if isinstance(each, Reconnect)]

    @pytest.mark.parametrize(
        "after", [frame(10092, [57001, 1, -0.4], 102), frame(10093, "hb", 102), frame(10092, "cs", 7, 102), frame(9, "hb", 102)]
    )
    def test_a_hole_is_one_gap_of_all_books_and_a_new_connection(self, after):
        """Whatever frame shows it."""
        decoder = live(BTC, ETH)
        decoder.receive(frame(10092, "hb", 100), NOW)
        gap = told(decoder, after)[0]
        assert (list(gap.instruments), gap.reason, gap.detail) == ([BTC, ETH], GapReason.SEQUENCE, "expected 101, got 102")
        assert sent(decoder) == [Reconnect("sequence break: expected 101, got 102")]

    def test_until_then_no_book_is_believed_and_nothing_is_asked_for(self):
        decoder = live()
        decoder.receive(frame(10092, "hb", 101), NOW)
        sent(decoder)
        for data in (frame(10092, [57001, 1, -0.4], 102), frame(10092, BOOK_ROWS, 103), frame(10092, "cs", 7, 110)):
            assert told(decoder, data) == []
        decoder.resync(BTC)
        decoder.confirm(BTC)
        decoder.tick(NOW + 100 * SECOND)
        assert sent(decoder) == []

    def test_a_trade_after_a_hole_is_published_with_the_gap(self):
        decoder = live()
        events = told(decoder, frame(17470, "te", [7, 1574694478808, 0.005, 7245.3], 105))
        assert [type(each) for each in events] == [GapFound, Trade]

    @pytest.mark.parametrize("number", [1, 98, 99])
    def test_a_step_back_is_a_restart_of_the_numbers(self, number):
        gap = told(live(), frame(10092, "hb", number))[0]
        assert gap.reason is GapReason.SEQUENCE_RESET

    def test_the_first_number_of_a_connection_is_taken_as_it_comes(self):
        decoder = live()
        decoder.connected(NOW)
        decoder.receive(ack("book"), NOW)
        assert type(one(decoder, frame(10092, BOOK_ROWS, 5000))) is Snapshot
        assert told(decoder, frame(10092, "hb", 5002))[0].detail == "expected 5001, got 5002"

    def test_frames_without_numbers_are_believed_until_one_has_one(self):
        decoder = fresh()
        decoder.receive(ack("book"), NOW)
        assert type(one(decoder, frame(10092, BOOK_ROWS))) is Snapshot
        assert one(decoder, frame(10092, "hb")) == Heartbeat()
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 1))) is Update
        with pytest.raises(DecodeError, match="without a sequence number"):
            decoder.receive(frame(10092, [57001, 1, -0.4]), NOW)

    @pytest.mark.parametrize("number", [b"-1", b"1.5", b"true", b'"7"', b"[]", b"4611686018427387904"])
    def test_what_is_no_number_is_refused(self, number):
        with pytest.raises(DecodeError):
            live().receive(b"[10092,[57001,1,-0.4],%s]" % number, NOW)

    def test_the_recording_has_no_hole(self):
        """313 frames of 2021-04-17 in a row, of 22 channels."""
        decoder = Decoder([Instrument("bitfinex", "MNA-BTC", "tMNABTC", 8, 8)], {"book"})
        decoder.connected(NOW)
        events = [said for _, data in recorded_frames("bitfinex-book.txt") for said in decoder.receive(data, NOW)]
        assert not [said for said in events if isinstance(said, GapFound | OffGrid)]
        assert sum(isinstance(said, Update) for said in events) == 66
        assert decoder._expected == 343


class TestF6RefusedFrames:
    def test_a_frame_that_is_not_understood_counts(self):
        decoder = live()
        with pytest.raises(DecodeError):
            decoder.receive(b"[10092,[{},1,-0.4],100]", NOW)
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 101))) is Update

    def test_one_out_of_turn_does_not_so_the_next_shows_the_hole(self):
        decoder = live()
        with pytest.raises(DecodeError):
            decoder.receive(b"[10092,[{},1,-0.4],101]", NOW)
        assert told(decoder, frame(10092, [57001, 1, -0.4], 102))[0].reason is GapReason.SEQUENCE

    @pytest.mark.parametrize("data", [b'[17470,"te",[7],100]', b'[17470,"te",{},100]', b"[17470,[7],100]"])
    def test_one_of_trades_costs_no_book(self, data):
        with pytest.raises(DecodeError) as error:
            live().receive(data, NOW)
        assert not error.value.may_hold_books

    def test_one_answered_with_off_grid_is_handed_in_again(self):
        decoder = live()
        off = one(decoder, frame(10092, [57001.5, 1, -0.4], 100))
        assert off == OffGrid(BTC, 1, 8)
        decoder.use_instrument(replace(BTC, price_decimals=1))
        assert list(one(decoder, frame(10092, [57001.5, 1, -0.4], 100)).levels) == [(570015, 40_000_000, True)]
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 101))) is Update

    def test_an_off_grid_frame_that_was_dropped_counts_as_received(self):
        decoder = live()
        decoder.receive(frame(10092, [57001.5, 1, -0.4], 100), NOW)
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 101))) is Update
        assert told(decoder, frame(10092, [57001, 1, -0.4], 100))[0].reason is GapReason.SEQUENCE_RESET

    def test_twice_in_the_stream_it_is_a_break(self):
        decoder = live()
        decoder.receive(frame(10092, [57001, 1, -0.4], 100), NOW)
        assert told(decoder, frame(10092, [57001, 1, -0.4], 100))[0].reason is GapReason.SEQUENCE_RESET


class TestF7Checksums:
    def test_it_is_an_update_without_levels(self):
        update = one(live(), b'[10092,"cs",-1175357890,100,1618677545571]')
        assert (type(update), list(update.levels)) == (Update, [])
        assert update.checksum == unsigned(-1175357890) == 3119609406
        assert update.exchange_ns == 1618677545571 * MS

    @pytest.mark.parametrize("checksum", [b"4294967296", b"1.5", b'"7"', b"null", b"true"])
    def test_what_is_no_32_bit_integer_is_refused(self, checksum):
        with pytest.raises(DecodeError):
            live().receive(b'[10092,"cs",%s,100]' % checksum, NOW)

    def test_the_decoder_tells_what_a_book_must_have(self):
        plain = Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 0)
        assert live().book_checksum(plain, Top([(6000, 1), (5999, 2)], [(6001, 1), (6002, 2)])) == 1332972658


TE = [401597395, 1574694478808, 0.005, 7245.3]  # of the documentation


class TestF8Trades:
    def test_te_is_the_trade_and_tu_is_known(self):
        decoder = live()
        trade = one(decoder, frame(17470, "te", TE, 100))
        assert (trade.trade_id, trade.price_ticks, trade.size_lots) == ("401597395", 72453, 500_000)
        assert (trade.side, trade.exchange_ns, trade.history, trade.instrument.price_decimals) == (
            Side.BUY,
            1574694478808 * MS,
            False,
            1,
        )
        assert told(decoder, frame(17470, "tu", TE, 101)) == []
        assert told(decoder, frame(17470, "te", TE, 102)) == []

    def test_a_negative_amount_is_a_sale(self):
        trade = one(live(), b'[17470,"te",[401597395,1574694478808,-0.005,7245],100]')
        assert (trade.side, trade.size_lots) == (Side.SELL, 500_000)

    def test_a_tu_whose_te_came_before_the_subscription_leaves(self):
        trade = one(live(), frame(17470, "tu", TE, 100))
        assert (type(trade), trade.history) == (Trade, False)

    def test_ids_have_gaps_and_none_is_a_loss(self):
        decoder = live()
        for number, trade_id in enumerate((7, 700, 70_000), 100):
            assert type(one(decoder, frame(17470, "te", [trade_id, *TE[1:]], number))) is Trade

    def test_a_lost_te_is_a_hole_and_the_next_subscription_brings_it(self):
        decoder = live()
        decoder.receive(frame(17470, "te", [7, *TE[1:]], 100), NOW)
        gap = told(decoder, frame(17470, "tu", [7, *TE[1:]], 102))[0]  # the te of 9 had number 101
        assert gap.reason is GapReason.SEQUENCE
        decoder.connected(NOW)
        decoder.receive(ack("trades"), NOW)
        past = [[9, *TE[1:]], [7, *TE[1:]], [3, *TE[1:]]]  # newest first
        assert [(each.trade_id, each.history) for each in told(decoder, frame(17470, past, 1))] == [("3", True), ("9", True)]

    def test_the_past_of_a_first_subscription_is_history_oldest_first(self):
        decoder = fresh()
        decoder.receive(ack("trades"), NOW)
        past = frame(17470, [[401597393, 1574694475039, 0.005, 7244.9], [401597392, 1574694474000, -0.2, 7244.8]], 1)
        assert [(each.trade_id, each.side, each.history) for each in told(decoder, past)] == [
            ("401597392", Side.SELL, True), ("401597393", Side.BUY, True),
        ]  # fmt: skip

    def test_where_the_past_does_not_reach_back_the_missing_part_is_fetched(self):
        """At least one trade is missed, and taken back when the part has come."""
        decoder = live()
        decoder.receive(frame(17470, "te", [7, *TE[1:]], 100), NOW)
        decoder.connected(NOW)
        decoder.receive(ack("trades"), NOW)
        assert [type(each) for each in told(decoder, frame(17470, [[30, *TE[1:]]], 1))] == [TradesMissed, Trade]
        sent(decoder)
        decoder.tick(NOW + SECOND)
        (fetch,) = sent(decoder)
        assert fetch == FetchTrades(BTC, "/v2/trades/tBTCUSD/hist?limit=10000&sort=1&start=1574694478808")
        body = orjson.dumps([[number, *TE[1:]] for number in (7, 8, 20, 30)])
        events = decoder.receive_trades(BTC, body, NOW)
        assert [getattr(each, "trade_id", type(each)) for each in events] == ["8", "20", TradesRecovered]
        assert all(each.history for each in events[:2])
        assert decoder.receive_trades(BTC, body, NOW) == []
        decoder.tick(NOW + 100 * SECOND)
        assert not [each for each in sent(decoder) if isinstance(each, FetchTrades)]

    def test_an_answer_that_ends_within_the_part_is_continued(self):
        decoder = live()
        decoder.receive(frame(17470, "te", [7, *TE[1:]], 100), NOW)
        decoder.connected(NOW)
        decoder.receive(ack("trades"), NOW)
        decoder.receive(frame(17470, [[30, *TE[1:]]], 1), NOW)
        events = decoder.receive_trades(BTC, orjson.dumps([[7, *TE[1:]], [8, 1574694479000, 1, 7245]]), NOW)
        assert [each.trade_id for each in events] == ["8"]
        sent(decoder)
        decoder.tick(NOW + SECOND)
        assert sent(decoder)[0].path.endswith("start=1574694479000")

    @pytest.mark.parametrize("body", [b"x", b"{}", b'["error",11010,"ratelimit: error"]', b"[[1,2,3]]"])
    def test_another_answer_is_refused(self, body):
        with pytest.raises(DecodeError):
            live().receive_trades(BTC, body, NOW)

    def test_only_so_many_ids_are_kept(self):
        decoder = live()
        for number in range(IDS_KEPT + 10):
            assert len(told(decoder, frame(17470, "te", [1000 + number, *TE[1:]], 100 + number))) == 1
        assert told(decoder, frame(17470, "tu", [1000, *TE[1:]], 100 + IDS_KEPT + 10)) == []

    @pytest.mark.parametrize(
        "row", [b"[7,1574694478808,0.005]", b'["7",1574694478808,0.005,7245]', b"[7,1574694478808,0,7245]", b'[7,1574694478808,0.005,"7245"]',
                b"[7,1574694478808.0,0.005,7245]", b"[-7,1574694478808,0.005,7245]", b"[9223372036854775808,1574694478808,0.005,7245]"],
    )  # fmt: skip
    def test_what_is_no_row_of_a_trade_is_refused(self, row):
        with pytest.raises(DecodeError):
            live().receive(b'[17470,"te",%s,100]' % row, NOW)

    def test_a_trade_frame_of_an_unknown_kind_is_unrecognised(self):
        assert one(live(), frame(17470, "fte", TE, 100)) == Unrecognised("trades fte")


class TestF9Grids:
    def test_a_snapshot_brings_the_grid_that_it_needs(self):
        """Without an OffGrid: no tick was ever announced."""
        decoder = live()
        snapshot = one(decoder, frame(10092, [[9999.9, 1, 0.5], [9999.12, 1, 0.5], [10001, 1, -1]], 100))
        assert snapshot.instrument == BTC.on_grid(2, 8)
        assert list(snapshot.levels) == [(999990, 50_000_000, False), (999912, 50_000_000, False), (1000100, 100_000_000, True)]
        assert next(iter(one(decoder, frame(10092, [9999.9, 1, 0.5], 101)).levels))[0] == 999990

    def test_one_beyond_18_decimals_is_off_every_grid(self):
        decoder = live()
        off = one(decoder, b"[10092,[[1e-30,1,0.5]],100]")
        assert (type(off), off.price_decimals) == (OffGrid, 30)
        decoder.use_instrument(Instrument("bitfinex", "BTC-USD", "tBTCUSD", 0, 8, grid_is_final=True))
        assert one(decoder, b"[10092,[[1e-30,1,0.5]],100]").levels.kept_out == 1

    def test_an_update_finer_than_the_grid_leaves_as_off_grid(self):
        assert one(live(), b"[10092,[57001.5,1,-0.123456789],100]") == OffGrid(BTC, 1, 9)

    def test_a_removal_needs_no_finer_size(self):
        assert list(one(live(), b"[10092,[57001,0,-0.123456789],100]").levels) == [(57001, 0, True)]

    def test_a_trade_brings_its_own(self):
        trade = one(live(), b'[17470,"te",[7,1574694478808,0.005,7245.325],100]')
        assert (trade.price_ticks, trade.instrument.price_decimals) == (7245325, 3)


class TestF10Numbers:
    @pytest.mark.parametrize(
        ("price", "ticks"), [(b"7e-7", 70), (b"6.6e-7", 66), (b"1E-8", 1), (b"1.0000000e-6", 100), (b"0.00000066", 66)]
    )
    def test_numbers_in_exponent_form_are_exact(self, price, ticks):
        decoder = fresh(Instrument("bitfinex", "BTC-USD", "tBTCUSD", 8, 8))
        decoder.receive(ack("book"), NOW)
        snapshot = one(decoder, b"[10092,[[%s,1,640000],[1.1e-6,1,-3]],1]" % price)
        assert list(snapshot.levels) == [(ticks, 640000 * 10**8, False), (110, 3 * 10**8, True)]

    def test_a_double_that_proves_nothing_is_read_from_its_token(self):
        update = one(live(), b"[10092,[57001,1,-90071992.54740993],100]")
        assert list(update.levels) == [(57001, 9007199254740993, True)]


class TestF11AnnouncementsOfTheServer:
    def test_an_announced_restart_gives_closing_soon(self):
        assert one(live(), b'{"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}') == ClosingSoon(
            "Stopping. Please try to reconnect"
        )

    def test_a_maintenance_suspends_the_exchange_and_its_end_begins_all_anew(self):
        decoder = live()
        assert one(decoder, event("info", code=20060, msg="maintenance")) == SystemStatus(
            "maintenance", TradingStatus.SUSPENDED, ("maintenance",)
        )
        assert sent(decoder) == []
        status, gap = told(decoder, event("info", code=20061, msg="over"))
        assert status == SystemStatus("operative")
        assert (list(gap.instruments), gap.reason) == ([BTC], GapReason.DISCONNECTED)
        assert [(each["event"], each.get("chanId") or each["channel"]) for each in sent(decoder)] == [
            ("unsubscribe", 10092), ("subscribe", "book"), ("unsubscribe", 17470), ("subscribe", "trades"),
        ]  # fmt: skip
        assert told(decoder, frame(10092, [57001, 1, -0.4], 100)) == []

    @pytest.mark.parametrize(("status", "expected"), [(1, TradingStatus.TRADING), (0, TradingStatus.SUSPENDED)])
    def test_the_greeting_tells_whether_the_exchange_operates(self, status, expected):
        greeting = event("info", version=2, serverId="083bd8d4-aca7-4690-a573-eabfc8103de8", platform={"status": status})
        assert one(fresh(), greeting).trading_status is expected

    def test_another_version_is_not_understood(self):
        decoder = fresh()
        assert one(decoder, event("info", version=3)) == Unrecognised("version 3")
        assert sent(decoder) == [Reconnect("the exchange speaks version 3, this decoder 2")]

    def test_another_code_is_unrecognised(self):
        assert one(live(), event("info", code=20999, msg="?")) == Unrecognised("info 20999")


class TestF12Requests:
    def test_silence_is_reported_once_and_asked_again(self):
        decoder = fresh(channels=("book",))
        decoder.receive(event("conf", status="OK", flags=229376), NOW)
        assert decoder.tick(NOW + 11 * SECOND) == [Unanswered("book", ["tBTCUSD"])]
        assert [each["event"] for each in sent(decoder)] == ["subscribe"]
        assert decoder.tick(NOW + 60 * SECOND) == []

    def test_an_invalid_symbol_is_refused_for_good(self):
        decoder = fresh()
        refused = b'{"event":"error","msg":"symbol: invalid","code":10300,"channel":"book","symbol":"tBTCUSD"}'
        assert one(decoder, refused) == SubscriptionRefused("book", "tBTCUSD", "symbol: invalid", for_now=False)
        decoder.tick(NOW + 60 * SECOND)
        assert not [each for each in sent(decoder) if each.get("channel") == "book"]
        decoder.tick(NOW + 601 * SECOND)
        assert [each for each in sent(decoder) if each.get("channel") == "book"]

    @pytest.mark.parametrize(("code", "for_now"), [(10300, True), (10305, False), (10302, False), (10012, False), (10001, False)])
    def test_each_error_code_has_its_event(self, code, for_now):
        refused = event("error", msg="no", code=code, channel="book", symbol="tBTCUSD")
        assert one(fresh(), refused) == SubscriptionRefused("book", "tBTCUSD", "no", for_now=for_now)

    def test_a_temporary_refusal_leaves_a_live_book_unchanged(self):
        decoder = live()
        decoder.receive(event("error", msg="no", code=10300, channel="book", symbol="tBTCUSD"), NOW)
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 100))) is Update

    def test_a_second_rate_limit_refusal_slows_us_down(self):
        decoder = fresh()
        for _ in range(2):
            assert one(decoder, event("error", msg="ratelimit: error", code=11010)).for_now
        assert SlowDown("ratelimit: error") in sent(decoder)

    def test_already_subscribed_of_a_number_that_we_know_subscribes_anew(self):
        decoder = live()
        decoder.resync(BTC)
        sent(decoder)
        decoder.receive(event("unsubscribed", status="OK", chanId=10092), NOW)
        decoder.receive(ack("book", number=5), NOW)
        decoder.receive(event("error", msg="subscribe: dup", code=10301, channel="book", symbol="tBTCUSD"), NOW)
        assert [each["event"] for each in sent(decoder)] == ["unsubscribe", "subscribe"]

    def test_already_subscribed_with_an_unknown_channel_number_replaces_the_connection(self):
        decoder = fresh()
        decoder.receive(event("error", msg="subscribe: dup", code=10301, channel="book", symbol="tBTCUSD"), NOW)
        assert sent(decoder) == [Reconnect("the number of the book channel of tBTCUSD is unknown")]

    def test_already_subscribed_for_a_live_book_is_an_ack(self):
        decoder = live()
        assert one(decoder, event("error", msg="dup", code=10301, channel="book", symbol="tBTCUSD")) == Subscribed(
            "book", ("tBTCUSD",)
        )
        assert sent(decoder) == []

    def test_an_end_that_we_did_not_ask_for_is_a_gap(self):
        decoder = live()
        gap = one(decoder, event("unsubscribed", status="OK", chanId=10092))
        assert (list(gap.instruments), gap.reason) == ([BTC], GapReason.QUIET)
        assert [each["event"] for each in sent(decoder)] == ["subscribe"]

    def test_a_book_requested_three_times_in_vain_replaces_the_connection(self):
        decoder = fresh(channels=("book",))
        for seconds in range(0, 200, 5):
            decoder.tick(NOW + seconds * SECOND)
        assert [each for each in sent(decoder) if isinstance(each, Reconnect)] == [
            Reconnect("no answer to the subscription to the book of tBTCUSD, 3 times")
        ]


class TestF13QuietBooks:
    def test_a_quiet_book_is_subscribed_to_anew_with_its_trades(self):
        decoder = live()
        decoder.confirm(BTC)
        assert [(each["event"], each.get("chanId") or each["channel"]) for each in sent(decoder)] == [
            ("unsubscribe", 10092), ("subscribe", "book"), ("unsubscribe", 17470), ("subscribe", "trades"),
        ]  # fmt: skip
        assert type(one(decoder, frame(10092, [57001, 1, -0.4], 100))) is Update
        decoder.receive(event("unsubscribed", status="OK", chanId=10092), NOW)
        decoder.receive(ack("book", number=6), NOW)
        assert type(one(decoder, frame(6, BOOK_ROWS, 101))) is Snapshot
        decoder.confirm(BTC)
        assert sent(decoder)[0] == {"event": "unsubscribe", "chanId": 6}

    def test_a_book_that_is_asked_for_again_brings_its_trades_along(self):
        """However it came to that: resynced, or without an answer."""
        decoder = live()
        decoder.resync(BTC)
        assert {"event": "unsubscribe", "chanId": 17470} in sent(decoder)
        for number in (10092, 17470):
            decoder.receive(event("unsubscribed", status="OK", chanId=number), NOW)
        decoder.receive(ack("trades", number=7), NOW)
        decoder.receive(frame(7, [], 100), NOW)
        decoder.tick(NOW + 11 * SECOND)
        assert [(each["event"], each.get("channel")) for each in sent(decoder)] == [
            ("subscribe", "book"), ("unsubscribe", None), ("subscribe", "trades"),
        ]  # fmt: skip

    def test_one_check_is_in_flight_at_a_time(self):
        decoder = live()
        decoder.confirm(BTC)
        sent(decoder)
        decoder.confirm(BTC)
        assert sent(decoder) == []


class TestInstruments:
    TICKERS = (
        b'[["tBTCUSD",63309,21.4,63310,18.2,-120,-0.0019,63311,1892.1,64100,62500],["tDOGE:USD",0.18319,9,0.18321,9,0,0,0.1832,1,1,1],'
        b'["tETHBTC",0.039678,9,0.03968,9,0,0,0.03968,1,1,1],["tBTCUST",104320,9,104330,9,0,0,104330,1,1,1],'
        b'["fUSD",0.0003,0.0002,30,1000,0.0002,2,1000,0,0,0.0003,1,1,1,null,null,1],["tBTCF0:USTF0",1,1,1,1,1,1,1,1,1,1],'
        b'["tTESTBTC:TESTUSD",1,1,1,1,1,1,1,1,1,1],["tNEW:USD",null,0,null,0,0,0,null,0,null,null],["tVERYLONGNAMEHERE:USD",1,1,1,1,1,1,1,1,1,1]]'
    )

    def test_a_ticker_gives_the_grid_of_its_price(self):
        found = {each.symbol: (each.native, each.price_decimals, each.tick_size_ticks) for each in parse_instruments(self.TICKERS)}
        assert found == {
            "BTC-USD": ("tBTCUSD", 0, 1), "DOGE-USD": ("tDOGE:USD", 5, 1), "ETH-BTC": ("tETHBTC", 6, 1), "BTC-USDT": ("tBTCUST", 0, 10),
            "NEW-USD": ("tNEW:USD", 5, 1),
        }  # fmt: skip

    SIZES = b'[[["BTCUSD",[null,null,null,"0.00006","2000.0",null]],["DOGE:USD",[null,null,null,"22.0","1.0"]],["ETHBTC",[null,0,0,null]]]]'

    def test_the_smallest_orders_come_from_a_second_answer(self):
        """The real row of AAVE:USD, and an answer that lacks pairs: of those no smallest order is known."""
        found = {each.native: each.min_size_lots for each in parse_instruments(joined([self.TICKERS, self.SIZES]))}
        assert found == {"tBTCUSD": 6000, "tDOGE:USD": 22 * 10**8, "tETHBTC": 0, "tBTCUST": 0, "tNEW:USD": 0}
        aave = b'[[["AAVE:USD",[null,null,null,"0.02","5000.0",null,null,null,null,null,null,null]]]]'
        [one] = parse_instruments(joined([b'[["tAAVE:USD",90.1,1,90.2,1,0,0,90.1,5,91,89]]', aave]))
        assert (one.symbol, one.min_size_lots, one.price_decimals) == ("AAVE-USD", 2_000_000, 3)

    @pytest.mark.parametrize("bad", [b'"x"', b'"0.000000001"', b"4", b"[]"])
    def test_a_smallest_order_that_is_not_understood_changes_none_that_is_known(self, bad):
        body = joined([self.TICKERS, self.SIZES.replace(b'"0.00006"', bad)])
        assert {each.native: each.min_size_lots for each in parse_instruments(body)}.keys() == {
            "tDOGE:USD",
            "tETHBTC",
            "tBTCUST",
            "tNEW:USD",
        }
        found = {each.native: each for each in parse_instruments(body, ours={"tBTCUSD": replace(BTC, min_size_lots=5)})}
        assert found["tBTCUSD"].min_size_lots == 5

    @pytest.mark.parametrize(
        "sizes", [b'["error",10020,"x"]', b"[7]", b"{}", b'[[["BTCUSD"]]]', b'[[["BTCUSD",[null]]]]', b"[[7]]"]
    )
    def test_a_second_answer_that_is_another_is_refused(self, sizes):
        with pytest.raises(DecodeError):
            parse_instruments(joined([self.TICKERS, sizes]))
        with pytest.raises(DecodeError):
            parse_instruments(joined([b'["error",11010,"ratelimit: error"]', self.SIZES]))

    @pytest.mark.parametrize(
        "body", [b"x", b"{}", b"7", b'["error",11010,"ratelimit: error"]', b'[7,"x"]', b'[["tBTCUSD",true,1,1,1,1,1,1,1,1,1]]']
    )
    def test_another_answer_is_refused(self, body):
        with pytest.raises(DecodeError):
            parse_instruments(body)

    def test_its_volume_and_last_price_for_the_most_traded(self):
        assert parse_volumes(self.TICKERS)["tBTCUSD"] == (1892.1, 63311.0)
        assert not {"fUSD", "tNEW:USD"} & set(parse_volumes(self.TICKERS))
        for body in (b"x", b"{}", b'["error",11010,"ratelimit: error"]', b'[["tBTCUSD"]]', b'[["tBTCUSD",1,1,1,1,1,1,{},1]]'):
            with pytest.raises(DecodeError):
                parse_volumes(body)

    def test_a_row_that_is_not_understood_does_not_take_the_others_along(self):
        body = self.TICKERS.replace(b'"tBTCUSD",63309', b'"tBTCUSD",{"x":1}')
        assert "BTC-USD" not in {each.symbol for each in parse_instruments(body)}
        assert "BTC-USD" in {each.symbol for each in parse_instruments(body, ours={"tBTCUSD": BTC})}

    @pytest.mark.parametrize("name", ["bitfinex-pairs.txt", "BITFINEX.0"])
    def test_a_bare_list_of_pairs_gives_instruments(self, name):
        [(_, body)] = [answer for answer in recorded_answers(name) if "pair:exchange" in answer[0]]
        found = {each.symbol: each.native for each in parse_instruments(body)}
        assert (found["BTC-USDT"], found["AVAX-USD"], found["IOTA-ETH"], found["ALGO-USD"]) == (
            "tBTCUST",
            "tAVAX:USD",
            "tIOTETH",
            "tALGUSD",
        )
        assert not [symbol for symbol in found if "TEST" in symbol]
        assert len(found) == 291

    def test_the_exchanges_own_names_count_where_the_answer_has_them(self):
        body = b'[["BTCUST","DSHUSD"],[["UST","USDt"],["DSH","DASH"]]]'
        assert [each.symbol for each in parse_instruments(body)] == ["BTC-USDT", "DASH-USD"]
