"""The Binance decoder beyond the splice: subscriptions, trades, pictures, grids, and everything else that a frame may be."""

from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from support.binance import BTC, ETH, SECOND, diff, fetches, kinds, live, sent, snapshot, started, trade
from support.exchange_truth import instrument

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges import get
from alphapulse_cli.exchanges.binance import Decoder
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import (
    ClosingSoon,
    GapFound,
    GapReason,
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
from alphapulse_cli.market.requests import FetchProof, FetchSnapshot, FetchTrades, Reconnect, Send


class TestSubscribing:
    def test_one_message_carries_many_streams(self):
        decoder = Decoder([BTC, ETH], {BOOK, TRADES})
        decoder.connected(0)
        assert sent(decoder) == [
            {
                "method": "SUBSCRIBE",
                "params": ["btcusdt@depth@100ms", "btcusdt@trade", "ethusdt@depth@100ms", "ethusdt@trade"],
                "id": 1,
            }
        ]
        assert decoder.pending_requests() == ()

    def test_it_is_cut_into_batches_of_the_facts(self):
        many = [instrument("binance-us", f"A{number}-USDT", f"A{number}USDT") for number in range(250)]
        decoder = Decoder(many, {TRADES}, mode="depth20")
        decoder.connected(0)
        assert [(len(message["params"]), message["id"]) for message in sent(decoder)] == [(100, 1), (100, 2), (50, 3)]

    def test_more_streams_than_a_connection_carries_are_refused(self):
        many = [instrument("binance-us", f"A{number}-USDT", f"A{number}USDT") for number in range(513)]
        with pytest.raises(UsageError, match="1026 streams; a connection carries 1024"):
            Decoder(many, {BOOK, TRADES})

    def test_a_confirmation_names_channels_and_symbols(self):
        decoder = started(BTC, ETH)
        assert decoder.receive(b'{"result":null,"id":1}', 0) == [
            Subscribed("book", ["BTCUSDT", "ETHUSDT"]),
            Subscribed("trades", ["BTCUSDT", "ETHUSDT"]),
        ]

    @pytest.mark.parametrize(
        "frame",
        [b'{"code":2,"msg":"Invalid request: no","id":1}', b'{"error":{"code":2,"msg":"Invalid request: no"},"id":1}'],
        ids=["flat", "nested"],
    )
    def test_a_refusal_is_understood_flat_and_nested(self, frame):
        decoder = started()
        assert decoder.receive(frame, 0) == [
            SubscriptionRefused("book", "BTCUSDT", "Invalid request: no", for_now=True),
            SubscriptionRefused("trades", "BTCUSDT", "Invalid request: no", for_now=True),
        ]
        decoder.tick(SECOND)
        assert [message["id"] for message in sent(decoder)] == [2]  # U2

    def test_a_refusal_with_an_unknown_id_is_reported_without_symbols(self):
        assert started().receive(b'{"code":3,"msg":"Invalid JSON"}', 0) == [
            SubscriptionRefused("", "", "Invalid JSON", for_now=True)
        ]

    def test_u2_an_unconfirmed_subscription_is_requested_again_and_reported_once(self):
        decoder = started()
        assert decoder.tick(10 * SECOND - 1) == []
        assert decoder.pending_requests() == ()
        assert decoder.tick(10 * SECOND) == [Unanswered("book", ["BTCUSDT"]), Unanswered("trades", ["BTCUSDT"])]
        assert [message["params"] for message in sent(decoder)] == [["btcusdt@depth@100ms", "btcusdt@trade"]]
        assert decoder.tick(30 * SECOND) == []
        assert len(sent(decoder)) == 1

    def test_u2_an_answer_to_any_of_them_settles_it(self):
        decoder = started()
        decoder.tick(10 * SECOND)
        assert kinds(decoder.receive(b'{"result":null,"id":1}', 0)) == [Subscribed, Subscribed]
        decoder.pending_requests()
        decoder.tick(100 * SECOND)
        assert sent(decoder) == []

    def test_u3_a_silent_connection_is_replaced_after_three_unanswered_requests(self):
        decoder = started()
        for second in (10, 30, 70):
            decoder.tick(second * SECOND)
        assert kinds(decoder.pending_requests()) == [Send, Send, Reconnect]

    def test_u1_no_subscribe_exceeds_the_longest_message_that_is_answered(self):
        many = [instrument("binance-us", f"LONGNAME{number:03d}-USDT", f"LONGNAME{number:03d}USDT") for number in range(250)]
        decoder = Decoder(many, {BOOK, TRADES})
        decoder.connected(0)
        frames = [request.frame for request in decoder.pending_requests()]
        assert max(map(len, frames)) <= 4000
        assert sum(len(orjson.loads(frame)["params"]) for frame in frames) == 500

    def test_u2_data_confirm_a_subscription(self):
        decoder = started()
        decoder.receive(trade(1), 0)
        decoder.tick(60 * SECOND)
        assert decoder.pending_requests() == ()

    def test_u2_data_of_one_stream_confirm_all_streams_of_its_request(self):
        """The answer was lost, and nothing happens to ETH: it would be COLD for ever."""
        decoder = started(BTC, ETH, channels=[BOOK])
        decoder.receive(diff(1, 1), 0)
        assert [each.instrument for each in fetches(decoder)] == [BTC]
        decoder.tick(SECOND)
        decoder.tick(3 * SECOND)
        assert [each.instrument for each in fetches(decoder)] == [ETH]
        assert kinds(decoder.receive_snapshot(ETH, snapshot(12), 0)) == [Snapshot]

    def test_trades_alone_fetch_no_books(self):
        decoder = started(channels=[TRADES])
        decoder.receive(b'{"result":null,"id":1}', 0)
        decoder.resync(BTC)
        decoder.tick(60 * SECOND)
        assert decoder.pending_requests() == ()
        assert decoder.receive(diff(1, 1), 0) == (Unrecognised("depthUpdate"),)

    def test_an_invalid_depth_is_refused(self):
        for depth, mode in ((5001, ""), (21, "depth20"), (10, "depth20")):
            with pytest.raises(UsageError, match="no book of depth"):
                started(depth=depth, mode=mode)


class TestTrades:
    @pytest.mark.parametrize(("maker", "side"), [(True, Side.SELL), (False, Side.BUY)])
    def test_a_trade_with_m_true_is_a_sale_by_the_taker(self, maker, side):
        assert started().receive(trade(12345, "57000.01000000", "0.00100000", maker=maker), 0) == [
            Trade(BTC, "12345", 5700001, 10, side, 1_633_998_275_019_000_000),
        ]

    def test_skipped_trade_ids_are_counted_as_missed(self):
        decoder = started()
        decoder.receive(trade(10), 0)
        assert decoder.receive(trade(11), 0)[0].trade_id == "11"
        missed, trade_event = decoder.receive(trade(15), 0)
        assert missed == TradesMissed(BTC, 3)
        assert trade_event.trade_id == "15"

    def test_a_repeated_trade_is_published_once(self):
        decoder = started()
        decoder.receive(trade(10), 0)
        assert decoder.receive(trade(10), 0) == []

    def test_t1_trades_lost_during_a_reconnection_are_reported(self):
        decoder = started()
        decoder.receive(trade(5), 0)
        decoder.connected(0)
        assert decoder.receive(trade(106), 0)[0] == TradesMissed(BTC, 100)

    def test_p4_missing_trades_are_fetched_and_leave_as_history(self):
        decoder = started()
        decoder.receive(trade(5), 0)
        decoder.receive(trade(8), 0)
        decoder.receive(b'{"result":null,"id":1}', 0)
        decoder.tick(SECOND)
        [fetch] = [request for request in decoder.pending_requests() if isinstance(request, FetchTrades)]
        assert (fetch.instrument, fetch.path, fetch.weight) == (BTC, "/api/v3/trades?symbol=BTCUSDT&limit=1000", 25)
        rows = [
            {"id": number, "price": "2.50", "qty": "1", "time": 1_633_998_275_019, "isBuyerMaker": False} for number in range(1, 12)
        ]
        events = decoder.receive_trades(BTC, orjson.dumps(rows), 0)
        assert [(event.trade_id, event.price_ticks, event.side, event.history) for event in events[:2]] == [
            ("6", 250, Side.BUY, True),
            ("7", 250, Side.BUY, True),
        ]
        assert events[2:] == [TradesRecovered(BTC, 2)]
        assert decoder.receive_trades(BTC, orjson.dumps(rows), 0) == []

    @pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"code":-1121}', b'[{"id":6}]'])
    def test_p4_an_answer_that_is_not_understood_changes_nothing(self, body):
        decoder = started()
        decoder.receive(trade(5), 0)
        decoder.receive(trade(8), 0)
        with pytest.raises(DecodeError):
            decoder.receive_trades(BTC, body, 0)
        assert decoder.receive(trade(7), 0)[-1] == TradesRecovered(BTC, 1)

    def test_times_may_be_microseconds(self):
        frame = trade(1).replace(b"1633998275019", b"1633998275019123")
        assert started().receive(frame, 0)[0].exchange_ns == 1_633_998_275_019_123_000

    def test_the_order_ids_of_binance_us_change_nothing(self):
        frame = trade(1).replace(b'"m":', b'"b":88,"a":50,"m":')
        assert kinds(started().receive(frame, 0)) == [Trade]


def pictured(number):
    """A picture of BTC-USDT."""
    data = {"lastUpdateId": number, "bids": [["1.00", "2"]], "asks": [["3.00", "4"]]}
    return orjson.dumps({"stream": "btcusdt@depth20@100ms", "data": data})


class TestPictures:
    """Mode depth20."""

    PICTURE = b'{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,"bids":[["0.24","10"]],"asks":[["0.26","100"]]}}'

    def test_each_picture_replaces_the_book(self):
        [picture] = started(mode="depth20").receive(self.PICTURE, 0)
        assert isinstance(picture, Snapshot)
        assert (picture.depth, picture.exchange_ns) == (20, None)
        assert list(picture.levels) == [(24, 100000, False), (26, 1000000, True)]

    def test_p1_a_repeated_picture_gives_no_event_until_a_resync(self):
        decoder = started(mode="depth20")
        decoder.receive(self.PICTURE, 0)
        assert decoder.receive(self.PICTURE, 0) == ()
        decoder.resync(BTC)
        assert kinds(decoder.receive(self.PICTURE, 0)) == [Snapshot]
        assert fetches(decoder) == []

    def test_p2_a_picture_with_a_smaller_id_is_a_gap_until_the_next_one(self):
        decoder = started(mode="depth20")
        decoder.receive(self.PICTURE, 0)
        [gap] = decoder.receive(self.PICTURE.replace(b"160", b"6"), 0)
        assert (gap.instruments, gap.reason) == ((BTC,), GapReason.SEQUENCE_RESET)
        assert kinds(decoder.receive(self.PICTURE.replace(b"160", b"6"), 0)) == [Snapshot]
        assert kinds(decoder.receive(self.PICTURE.replace(b"160", b"7"), 0)) == [Snapshot]
        assert decoder.pending_requests() == ()

    def test_p2_an_old_picture_is_never_shown(self):
        decoder = started(mode="depth20")
        for number, wanted in ((160, [Snapshot]), (162, [Snapshot]), (161, [GapFound]), (163, [Snapshot])):
            assert kinds(decoder.receive(self.PICTURE.replace(b"160", b"%d" % number), 0)) == wanted

    def test_a_bare_picture_belongs_to_the_only_symbol(self):
        bare = self.PICTURE.partition(b'"data":')[2][:-1]
        assert kinds(started(mode="depth20").receive(bare, 0)) == [Snapshot]
        assert kinds(started(BTC, ETH, mode="depth20").receive(bare, 0)) == [Unrecognised]

    def test_the_other_modes_messages_are_not_taken(self):
        assert started().receive(self.PICTURE, 0) == (Unrecognised("depth20@100ms"),)
        assert started(mode="depth20").receive(diff(1, 1), 0) == (Unrecognised("depthUpdate"),)


class TestAStreamThatShowsNothing:
    """B11 and P5: quiet and dead look alike until REST tells them apart."""

    @staticmethod
    def goes_on(decoder, seconds, number_at, *, begin=0):
        """[(second, what was asked or told)], while REST says that the book is at number_at(second)."""
        seen = []
        for tenth in range(begin * 10 + 1, (begin + seconds) * 10 + 1):
            seen += [(tenth / 10, type(event).__name__) for event in decoder.tick(tenth * SECOND // 10)]
            for request in decoder.pending_requests():
                body = snapshot(number_at(tenth / 10), [["1.00", "2"]], [["3.00", "4"]])
                if isinstance(request, FetchProof):
                    seen += [(tenth / 10, type(event).__name__) for event in decoder.receive_proof(BTC, body, 0)]
                elif isinstance(request, FetchSnapshot):
                    seen += [(tenth / 10, type(event).__name__) for event in decoder.receive_snapshot(BTC, body, 0)]
                elif isinstance(request, Send):
                    message = orjson.loads(request.frame)
                    seen.append((tenth / 10, message["method"]))
                    decoder.receive(orjson.dumps({"result": None, "id": message["id"]}), 0)
                else:
                    seen.append((tenth / 10, request.reason))
        return seen

    def pictures(self):
        decoder = started(BTC, mode="depth20", channels=[BOOK])
        decoder.receive(b'{"result":null,"id":1}', 0)
        return decoder

    def test_p5_on_a_quiet_market_the_rest_snapshot_is_the_picture(self):
        decoder = self.pictures()
        assert self.goes_on(decoder, 60, lambda _: 7) == [(20.1, "Snapshot")]
        assert decoder.receive(pictured(7), 0) == (), "it has that one"
        assert kinds(decoder.receive(pictured(8), 0)) == [Snapshot]

    def test_p5_no_snapshot_is_fetched_before_the_subscription_is_answered(self):
        decoder = started(BTC, mode="depth20", channels=[BOOK])
        for second in range(60):
            decoder.tick(second * SECOND)
        assert {type(request) for request in decoder.pending_requests()} == {Send}, "it is asked for again"

    def test_p5_a_stream_silent_after_an_older_picture_is_checked_too(self):
        decoder = self.pictures()
        decoder.receive(pictured(9), 0)
        decoder.receive(pictured(3), 0)
        assert self.goes_on(decoder, 60, lambda _: 3) == [(20.1, "Snapshot")]

    def test_p5_a_stream_silent_after_a_resync_is_checked_too(self):
        decoder = self.pictures()
        decoder.receive(pictured(9), 0)
        assert self.goes_on(decoder, 30, lambda second: 9 + int(second)) == []
        decoder.resync(BTC)
        seen = self.goes_on(decoder, 25, lambda second: 9 + int(second * 10), begin=30)
        assert [what for _, what in seen] == ["Unanswered", "UNSUBSCRIBE", "SUBSCRIBE"]

    def test_p5_on_an_active_market_the_stream_then_the_connection_is_replaced(self):
        decoder = self.pictures()
        stream = "the stream btcusdt@depth20@100ms died again"
        restart = ["Unanswered", "UNSUBSCRIBE", "SUBSCRIBE"]
        seen = self.goes_on(decoder, 50, lambda second: int(second * 10))
        assert [what for _, what in seen] == [*restart, stream]
        assert [second for second, what in seen if what in ("SUBSCRIBE", stream)] == pytest.approx([21.2, 42.3], abs=0.3)

    def test_p5_a_picture_in_time_ends_the_check(self):
        decoder = self.pictures()
        self.goes_on(decoder, 20, lambda second: int(second * 10))
        decoder.receive(pictured(200), 0)
        assert self.goes_on(decoder, 60, lambda second: 200, begin=20) == []

    def test_b11_advancing_snapshots_without_events_prove_the_stream_dead(self):
        decoder = started(BTC, channels=[BOOK])
        decoder.receive(diff(5, 9), 0)
        seen = [what for _, what in self.goes_on(decoder, 12, lambda second: 10 + int(second * 10))]
        assert seen == ["SnapshotRefused", "SnapshotRefused", "Unanswered", "UNSUBSCRIBE", "SUBSCRIBE"]
        seen = [what for _, what in self.goes_on(decoder, 30, lambda second: 10 + int(second * 10), begin=12)]
        assert "the stream btcusdt@depth@100ms died again" in seen
        assert "Unanswered" not in seen, "it was told"

    def test_a_stream_that_stays_dead_replaces_the_connection_once_in_ten_minutes(self):
        """All other symbols of the connection pay for it."""
        decoder = self.pictures()
        replaced, told = [], []
        for minute in range(20):
            for at, what in self.goes_on(decoder, 60, lambda second: int(second * 10), begin=60 * minute):
                told += [what] * (what == "Unanswered")
                if "died again" in what:
                    replaced.append(at)
                    decoder.connected(60 * (minute + 1) * SECOND)
        assert len(replaced) in (2, 3)
        assert all(later - sooner >= 600 for sooner, later in pairwise(replaced))
        assert len(told) <= 1


class TestOtherMessages:
    @pytest.mark.parametrize(
        ("frame", "kind"),
        [
            (b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","s":"BTCUSDT","a":1}}', "aggTrade"),
            (b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","s":"BTCUSDT","k":{}}}', "kline"),
            (b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}', "bookTicker"),
            (b'{"stream":"!miniTicker@arr","data":[]}', "arr"),
            (b'{"result":["btcusdt@trade"],"id":3}', "result"),
            (diff(1, 1, native="LTCUSDT"), "depthUpdate"),
        ],
    )
    def test_unknown_kinds_are_counted_not_fatal(self, frame, kind):
        assert list(started().receive(frame, 0)) == [Unrecognised(kind)]

    @pytest.mark.parametrize(
        "frame",
        [b'{"e":"serverShutdown","E":1770123456789}', b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'],
    )
    def test_an_announced_shutdown_gives_closing_soon(self, frame):
        assert started().receive(frame, 0) == (ClosingSoon("serverShutdown"),)

    def test_a_bare_frame_is_read_as_a_wrapped_one(self):
        decoder = live(10)
        bare = diff(11, 11, asks=[["5", "1"]]).partition(b'"data":')[2][:-1]
        assert kinds(decoder.receive(bare, 0)) == [Update]

    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"nonsense",
            b"[]",
            b"1",
            b'"text"',
            diff(12, 11),
            diff(-1, 11),
            diff(11, 11, bids=[["1"]]),
            diff(11, 11, bids=[["-1", "1"]]),
            diff(11, 11, bids=[["1e401", "1"]]),
            diff(11, 11, bids=[["NaN", "1"]]),
            diff(11, 11, bids=[["0.001", "x"]]),
            diff(11, 11, bids=[7]),
            diff(11, 11, ms=None),
            diff(11, 11, ms=1 << 62),
            diff(11, 11).replace(b'"b":[]', b'"b":{}'),
            diff(11, 11).replace(b'"u":11', b'"u":"11"'),
            trade(1, price="one"),
            trade(1, maker=1),
            trade(-1),
            trade(1).replace(b'"q"', b'"x"'),
        ],
    )
    def test_a_malformed_frame_is_refused_and_changes_nothing(self, frame):
        decoder = live(10)
        decoder.pending_requests()
        with pytest.raises(DecodeError) as refusal:
            decoder.receive(frame, 0)
        assert refusal.value.frame == frame[:200]
        assert decoder.pending_requests() == ()
        assert kinds(decoder.receive(trade(1), 0)) == [Trade]
        assert kinds(decoder.receive(diff(11, 11), 0)) == [Update]


class TestNumbersFinerThanTheGrid:
    def test_an_off_grid_update_names_its_grid_and_is_accepted_the_second_time(self):
        decoder = live(10)
        frame = diff(11, 11, bids=[["1.2345", "1"], ["2", "0.00000500"]], asks=[["3.123", "1"]])
        assert decoder.receive(frame, 0) == (OffGrid(BTC, 4, 6),)
        finer = BTC.on_grid(4, 6)
        decoder.use_instrument(finer)
        [update] = decoder.receive(frame, 0)
        assert (update.instrument, next(iter(update.levels))) == (finer, (12345, 1000000, False))

    def test_an_off_grid_snapshot_is_accepted_the_second_time_with_the_buffer(self):
        decoder = started()
        decoder.receive(diff(1, 1, bids=[["1", "1"]]), 0)
        body = snapshot(0, [["0.001", "1"]])
        assert decoder.receive_snapshot(BTC, body, 0) == (OffGrid(BTC, 3, 4),)
        finer = BTC.on_grid(3, 4)
        decoder.use_instrument(finer)
        whole, update = decoder.receive_snapshot(finer, body, 0)
        assert list(whole.levels) == [(1, 10000, False)]
        assert list(update.levels) == [(1000, 10000, False)]
        assert update.instrument == finer

    def test_an_off_grid_buffered_event_is_accepted_the_second_time(self):
        decoder = started()
        frame = diff(1, 1, bids=[["0.001", "1"]])
        assert decoder.receive(frame, 0) == (OffGrid(BTC, 3, 4),)
        assert fetches(decoder) == []
        decoder.use_instrument(BTC.on_grid(3, 4))
        assert decoder.receive(frame, 0) == ()
        assert len(fetches(decoder)) == 1

    def test_a_trade_uses_its_own_grid(self):
        (fine,) = started().receive(trade(1, "0.0001", "0.00001"), 0)
        assert (fine.instrument, fine.price_ticks, fine.size_lots, fine.refused) == (BTC.on_grid(4, 5), 1, 1, "")

    @pytest.mark.parametrize(("price", "size"), [("1e-25", "1"), ("1", "1e-19"), ("1e30", "1"), ("1", "922337203685477.5808")])
    def test_a_trade_that_no_record_holds_leaves_as_refused_and_its_id_counts(self, price, size):
        decoder = started()
        (refused,) = decoder.receive(trade(1, price, size), 0)
        assert (refused.instrument, refused.price_ticks, refused.size_lots) == (BTC, 0, 0)
        assert refused.refused == f"price {price} size {size}"
        assert kinds(decoder.receive(trade(2), 0)) == [Trade], "nothing was missed"

    def test_where_there_is_no_finer_grid_the_level_is_kept_out(self):
        decoder = started()
        decoder.use_instrument(replace(BTC, grid_is_final=True))
        decoder.receive(diff(1, 1, bids=[["1e-25", "1"], ["1.00", "2"]]), 0)
        whole, update = decoder.receive_snapshot(BTC, snapshot(0, bids=[["1e-25", "0"]]), 0)
        assert (whole.levels.kept_out, len(whole.levels)) == (0, 0), "the removal of what cannot be there is nothing"
        assert (update.levels.kept_out, update.levels.kept_out_text) == (1, "price 1e-25 size 1")
        assert list(update.levels) == [(100, 20000, False)]


def test_the_two_profiles_differ_where_the_operators_do():
    ours, theirs = get("binance-us").facts, get("binance").facts
    assert ours.mode().websocket_url == "wss://stream.binance.us:9443/stream"
    assert theirs.mode("depth20").websocket_url == "wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND"
    assert (ours.instruments_weight, theirs.instruments_weight) == (10, 20)
    assert (ours.connection_life_s, theirs.connection_life_s) == (86400, 86400)
