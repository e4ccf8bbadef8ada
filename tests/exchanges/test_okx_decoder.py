"""OKX's decoder, rule by rule.

The frames have the shape of OKX's documentation (docs-v5, read 2026-08-26) and of frames recorded on 2026-08-12; those of O6 are of the
recording of 2022-05-13. What was really sent is replayed in test_okx_recorded.py.
"""

import pytest
from support.okx import (
    BTC,
    ETH,
    SECOND,
    DictBook,
    ack,
    asked,
    book,
    fetched,
    fetches,
    kinds,
    live,
    picture,
    sent,
    snapshot,
    splicing,
    started,
    trade,
    update,
)

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.okx import Decoder
from alphapulse_cli.exchanges.okx import book as okx_book
from alphapulse_cli.exchanges.okx import facts as okx
from alphapulse_cli.market.events import (
    ClosingSoon,
    GapFound,
    GapReason,
    Heartbeat,
    OffGrid,
    Proof,
    Side,
    Snapshot,
    SnapshotRefused,
    Subscribed,
    SubscriptionRefused,
    Trade,
    TradesMissed,
    TradesRecovered,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.requests import FetchProof, FetchTrades, Reconnect

HEAL = [("unsubscribe", [("books", "BTC-USDT")]), ("subscribe", [("books", "BTC-USDT")])]


def reconnects(decoder):
    return [request.reason for request in decoder.pending_requests() if isinstance(request, Reconnect)]


def goes_by(decoder, seconds, *, start=0.0, step=0.1):
    """Time goes by; all events of it."""
    ticks = range(1, round(seconds / step) + 1)
    return [event for tick in ticks for event in decoder.tick(int((start + tick * step) * SECOND))]


class TestSubscribing:
    def test_all_channels_of_all_symbols_in_one_message(self):
        decoder = Decoder([BTC, ETH], {"book", "trades"})
        decoder.connected(0)
        args = [(channel, native) for channel in ("books", "trades") for native in ("BTC-USDT", "ETH-USDT")]
        assert asked(decoder) == [("subscribe", args)]
        assert sent(decoder) == []

    @pytest.mark.parametrize(
        ("mode", "channel"), [("", "books"), ("books5", "books5"), ("books-eea", "books"), ("books-us", "books")]
    )
    def test_the_channel_is_the_modes(self, mode, channel):
        decoder = Decoder([BTC], {"book"}, 0, mode)
        decoder.connected(0)
        assert asked(decoder) == [("subscribe", [(channel, "BTC-USDT")])]

    def test_an_id_is_of_at_most_32_letters_and_digits_and_never_the_same_twice(self):
        decoder = started()
        first = [each["id"] for each in sent(decoder)]
        decoder.connected(0)
        ids = first + [each["id"] for each in sent(decoder)]
        assert len(set(ids)) == len(ids)
        assert all(each.isalnum() and len(each) <= 32 for each in ids)

    @pytest.mark.parametrize(("mode", "depth"), [("", 5), ("", 401), ("books5", 400)])
    def test_other_depths_do_not_exist(self, mode, depth):
        with pytest.raises(UsageError, match="no book of depth"):
            Decoder([BTC], {"book"}, depth, mode)

    def test_the_regions_have_hosts_of_their_own(self):
        hosts = {mode.name: (mode.websocket_url, mode.rest_url) for mode in okx.FACTS.modes}
        assert hosts["books-eea"] == ("wss://wseea.okx.com:8443/ws/v5/public", "https://eea.okx.com")
        assert hosts["books-us"] == ("wss://wsus.okx.com:8443/ws/v5/public", "https://us.okx.com")
        assert hosts["books"] == hosts["books5"] == ("wss://ws.okx.com:8443/ws/v5/public", "https://www.okx.com")


class TestO1ASnapshotReplacesTheBook:
    def test_a_snapshot_is_read_in_full_and_exactly(self):
        decoder = started()
        [event] = decoder.receive(snapshot(123456, ["64040.2 0.5"], ["64040.3 0.38699412"]), 0)
        assert type(event) is Snapshot
        assert list(event.levels) == [(640403, 38699412, True), (640402, 50000000, False)]
        assert (event.exchange_ns, event.checksum, event.depth) == (1_786_538_760_218_000_000, None, None)

    def test_an_unrequested_snapshot_replaces_the_book(self):
        decoder = live(10)
        assert kinds(decoder.receive(snapshot(90, ["1 1"]), 0)) == [Snapshot]
        assert kinds(decoder.receive(update(90, 91), 0)) == [Update]
        assert sent(decoder) == []

    @pytest.mark.parametrize("row", [["64040.2", "1"], ["64040.2", "1", "0", "3", "9", "later"]])
    def test_rows_may_have_fewer_and_more_columns(self, row):
        frame = snapshot(1, ["64040.2 1"]).replace(b'["64040.2","1","0","1"]', str(row).replace("'", '"').encode())
        [event] = started().receive(frame, 0)
        assert list(event.levels) == [(640402, 10**8, False)]


class TestO2AnUpdateFollowsByItsPrevSeqId:
    @pytest.mark.parametrize("step", [1, 5, 7, 12, 10**9])
    def test_an_update_follows_with_any_step_of_its_seq_id(self, step):
        decoder = live(10)
        [event] = decoder.receive(update(10, 10 + step, ["64040.2 0", "64039 2"]), 0)
        assert type(event) is Update
        assert list(event.levels) == [(640402, 0, False), (640390, 2 * 10**8, False)]
        assert kinds(decoder.receive(update(10 + step, 11 + step), 0)) == [Update]

    def test_each_symbol_has_its_own_chain(self):
        decoder = live(10, BTC, ETH)
        decoder.receive(snapshot(7, ["1 1"], native="ETH-USDT"), 0)
        assert kinds(decoder.receive(update(7, 8, ["1 2"], native="ETH-USDT"), 0)) == [Update]
        assert kinds(decoder.receive(update(10, 11), 0)) == [Update]

    def test_either_order_of_the_two_numbers_is_read(self):
        decoder = live(10)
        for seq in (11, 12, 13):
            frame = update(seq - 1, seq).replace(
                b'"seqId":%d,"prevSeqId":%d' % (seq, seq - 1), b'"prevSeqId":%d,"seqId":%d' % (seq - 1, seq)
            )
            assert b'"prevSeqId":%d,"seqId":' % (seq - 1) in frame
            assert kinds(decoder.receive(frame, 0)) == [Update]
        assert kinds(decoder.receive(update(13, 14), 0)) == [Update]


class TestO3AKeepAlive:
    def test_is_an_update_without_levels_and_moves_nothing(self):
        decoder = live(15)
        [event] = decoder.receive(update(15, 15, []), 0)
        assert (type(event), event.levels.count) == (Update, 0)
        assert kinds(decoder.receive(update(15, 16), 0)) == [Update]

    def test_of_another_number_is_a_gap(self):
        assert kinds(live(15).receive(update(16, 16, []), 0)) == [GapFound]


class TestO4AReset:
    def test_the_worked_example_of_the_documentation(self):
        """-1/10, then 10/15, 15/15, 15/3, 3/5: all valid."""
        decoder = started()
        decoder.receive(snapshot(10, ["1 1"]), 0)
        for prev, seq in ((10, 15), (15, 15), (15, 3), (3, 5)):
            assert kinds(decoder.receive(update(prev, seq, ["1 2"] if seq != prev else []), 0)) == [Update]
        assert sent(decoder) == []

    def test_that_begins_from_another_number_is_a_gap(self):
        [event] = live(15).receive(update(9, 3), 0)
        assert (type(event), event.reason) == (GapFound, GapReason.SEQUENCE_RESET)


class TestO5AnyOtherUpdateIsAGap:
    @pytest.mark.parametrize(("prev", "seq"), [(11, 12), (9, 12), (9, 10), (10**12, 10**12 + 1), (11, 11)])
    def test_a_gap_resubscribes_that_symbol_alone(self, prev, seq):
        decoder = live(10, BTC, ETH)
        [event] = decoder.receive(update(prev, seq), 0)
        assert (event.instruments, event.reason) == ((BTC,), GapReason.SEQUENCE)
        assert asked(decoder) == HEAL

    def test_what_comes_meanwhile_is_of_the_old_subscription(self):
        decoder = live(10)
        decoder.receive(update(11, 12), 0)
        assert asked(decoder) == HEAL
        for prev in (12, 13, 20):
            assert list(decoder.receive(update(prev, prev + 1), 0)) == []
        decoder.receive(ack(event="unsubscribe"), 0)
        assert list(decoder.receive(update(21, 22), 0)) == []
        decoder.receive(ack(), 0)
        assert kinds(decoder.receive(snapshot(30, ["1 1"]), 0)) == [Snapshot]
        assert kinds(decoder.receive(update(30, 31), 0)) == [Update]
        assert asked(decoder) == []

    def test_one_healing_is_in_flight_at_a_time(self):
        decoder = live(10)
        decoder.receive(update(11, 12), 0)
        decoder.resync(BTC)
        decoder.resync(BTC)
        assert asked(decoder) == HEAL

    def test_after_a_hundred_resubscriptions_in_an_hour_gaps_heal_by_rest(self):
        """480 requests an hour are allowed on a connection, and a healing takes two."""
        decoder = live(10)
        for _ in range(okx.MOST_RESUBSCRIPTIONS):
            decoder.resync(BTC)
            assert asked(decoder) == HEAL
            decoder.receive(ack(), 0)
            decoder.receive(snapshot(10, ["64040.2 1"]), 0)
        assert kinds(decoder.receive(update(20, 25), 0)) == [GapFound]
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, fetched(22), 0)) == [Snapshot, Update]
        decoder.connected(0)
        decoder.receive(snapshot(30, ["64040.2 1"]), 0)
        decoder.pending_requests()
        decoder.resync(BTC)
        assert len(fetches(decoder)) == 1, "our own bound of messages does not begin anew with a connection"
        decoder.tick(okx.HOUR_NS)
        decoder.receive(snapshot(30, ["64040.2 1"]), 0)
        decoder.pending_requests()
        decoder.resync(BTC)
        assert asked(decoder) == HEAL


class TestO6AChecksumLeavesWithTheEventUnlessItIsZero:
    def test_a_checksum_of_zero_is_none(self):
        assert live(10).receive(update(10, 11, checksum=0), 0)[0].checksum is None

    @pytest.mark.parametrize("crc", [-1881014294, 831078360, -(1 << 31), (1 << 31) - 1])
    def test_others_leave_as_they_are(self, crc):
        assert live(10).receive(update(10, 11, checksum=crc), 0)[0].checksum == crc

    @pytest.mark.parametrize("crc", ["1", None, 1 << 31, -(1 << 31) - 1, 1.5, True])
    def test_no_checksum_is_unreadable(self, crc):
        with pytest.raises(DecodeError):
            live(10).receive(update(10, 11, checksum=crc), 0)

    @pytest.mark.parametrize(
        ("bids", "asks", "crc"),
        [
            ([(33661, 7), (33660, 6)], [(33668, 9), (33680, 8)], -1881014294),
            ([(33661, 7)], [(33668, 9), (33680, 8), (33720, 8)], 831078360),
        ],
        ids=["both sides", "one side goes on alone"],
    )
    @pytest.mark.parametrize("finer", [0, 5])
    def test_the_worked_examples_on_any_grid(self, bids, asks, crc, finer):
        made, given = BTC.on_grid(1 + finer, 8 + finer), DictBook()
        given.sides = (
            {ticks * 10**finer: lots * 10 ** (8 + finer) for ticks, lots in bids},
            {ticks * 10**finer: lots * 10 ** (8 + finer) for ticks, lots in asks},
        )
        assert started().book_checksum(made, given) == crc

    @staticmethod
    def old(action, bids, crc=-914047754):
        frame = book(action, 1, 2, bids, checksum=crc)
        return frame.replace(b',"seqId":2,"prevSeqId":1', b"")

    def test_a_message_of_2022_has_no_numbers_and_needs_one(self):
        decoder = started()
        assert kinds(decoder.receive(self.old("snapshot", ["30238.8 2"]), 0)) == [Snapshot]
        assert kinds(decoder.receive(self.old("update", ["30238.8 3"]), 0)) == [Update]
        with pytest.raises(DecodeError, match="neither a sequence number nor a checksum"):
            decoder.receive(self.old("update", ["30238.8 3"], crc=0), 0)

    def test_in_a_numbered_stream_one_without_numbers_is_a_gap(self):
        assert kinds(live(10).receive(self.old("update", ["30238.8 3"]), 0)) == [GapFound]

    def test_after_a_snapshot_without_numbers_a_numbered_one_is_a_gap(self):
        decoder = started()
        decoder.receive(self.old("snapshot", ["30238.8 2"]), 0)
        assert kinds(decoder.receive(update(0, 5), 0)) == [GapFound]


class TestO7WithoutASnapshotInBandTheBookBeginsByRest:
    PATH = "/api/v5/market/books?instId=BTC-USDT&sz=400&source=0"

    def test_an_update_first_begins_a_splice(self):
        """The announced change of February 2026. No book was believed, so it is no gap."""
        decoder = started()
        assert list(decoder.receive(update(100, 105), 0)) == []
        [request] = fetches(decoder)
        assert (request.path, request.instrument) == (self.PATH, BTC)

    def test_no_snapshot_5_seconds_after_the_answer_begins_a_splice(self):
        decoder = started()
        goes_by(decoder, 2)
        decoder.receive(ack(), 0)
        goes_by(decoder, 4.9, start=2)
        assert fetches(decoder) == []
        goes_by(decoder, 0.2, start=6.9)
        assert [request.path for request in fetches(decoder)] == [self.PATH]

    def test_no_splice_begins_before_the_answer(self):
        decoder = started()
        goes_by(decoder, 9)
        assert fetches(decoder) == []

    def test_a_snapshot_in_band_that_comes_after_all_is_the_book(self):
        decoder = splicing()
        assert kinds(decoder.receive(snapshot(200, ["1 1"]), 0)) == [Snapshot]
        assert decoder.receive_snapshot(BTC, fetched(105), 0) == ()
        assert kinds(decoder.receive(update(200, 201), 0)) == [Update]


class TestO8TheSplice:
    def test_the_book_is_the_snapshot_then_what_it_does_not_contain(self):
        decoder = splicing()
        decoder.receive(update(105, 107, ["64040.2 7"]), 0)
        decoder.receive(update(107, 110, ["64040.2 10"]), 0)
        events = decoder.receive_snapshot(BTC, fetched(107), 0)
        assert kinds(events) == [Snapshot, Update]
        assert list(events[1].levels) == [(640402, 10 * 10**8, False)]
        assert kinds(decoder.receive(update(110, 111), 0)) == [Update]

    @pytest.mark.parametrize("seq", [100, 102, 104])
    def test_the_first_kept_may_straddle_the_snapshot(self, seq):
        """PrevSeqId <= its seqId < seqId."""
        assert kinds(splicing().receive_snapshot(BTC, fetched(seq), 0)) == [Snapshot, Update]

    def test_one_older_than_the_stream_is_refused_and_another_fetched_at_once_then_after_pauses(self):
        decoder = splicing()
        assert kinds(decoder.receive_snapshot(BTC, fetched(99), 0)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, fetched(99), 0)) == [SnapshotRefused]
        assert fetches(decoder) == []
        goes_by(decoder, 1.1)
        assert len(fetches(decoder)) == 1

    def test_one_ahead_is_held_until_the_stream_reaches_it(self):
        decoder = splicing()
        assert decoder.receive_snapshot(BTC, fetched(110, ["64040.2 110"]), 0) == ()
        assert list(decoder.receive(update(105, 108), 0)) == []
        assert kinds(decoder.receive(update(108, 112, ["64040.2 112"]), 0)) == [Snapshot, Update]
        assert kinds(decoder.receive(update(112, 113), 0)) == [Update]

    def test_one_that_is_not_reached_within_5_seconds_is_dropped(self):
        decoder = splicing()
        decoder.receive_snapshot(BTC, fetched(10**9), 0)
        assert kinds(goes_by(decoder, 5.1)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1

    def test_a_stream_that_stands_still_below_two_of_them_is_dead(self):
        decoder = splicing()
        decoder.receive(ack("trades"), 0)
        decoder.receive_snapshot(BTC, fetched(200), 0)
        goes_by(decoder, 5.1)
        decoder.receive_snapshot(BTC, fetched(210), 0)
        decoder.pending_requests()
        goes_by(decoder, 5.1, start=5.1)
        assert asked(decoder) == HEAL

    def test_a_message_that_does_not_follow_begins_another_chain(self):
        decoder = splicing()
        decoder.receive(update(120, 125, ["64040.2 125"]), 0)
        assert kinds(decoder.receive_snapshot(BTC, fetched(110), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, fetched(121), 0)) == [Snapshot, Update]

    def test_a_reset_begins_another_chain_and_refuses_older_snapshots(self):
        decoder = splicing()
        decoder.receive_snapshot(BTC, fetched(110), 0)
        decoder.receive(update(105, 3), 0)
        assert list(decoder.receive(update(3, 6), 0)) == []
        goes_by(decoder, 5.1)
        assert kinds(decoder.receive_snapshot(BTC, fetched(4), 0)) == [Snapshot, Update]

    def test_a_keep_alive_says_where_the_stream_stands(self):
        decoder = started()
        assert list(decoder.receive(update(100, 100, []), 0)) == []
        assert kinds(decoder.receive_snapshot(BTC, fetched(99), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, fetched(100), 0)) == [Snapshot]
        assert kinds(decoder.receive(update(100, 101), 0)) == [Update]

    def test_a_gap_heals_by_another_snapshot_without_a_subscription(self):
        decoder = splicing()
        decoder.receive_snapshot(BTC, fetched(105), 0)
        assert kinds(decoder.receive(update(110, 111), 0)) == [GapFound]
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, fetched(105), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, fetched(111), 0)) == [Snapshot]

    def test_a_resync_of_a_spliced_book_fetches_another_snapshot(self):
        decoder = splicing()
        decoder.receive_snapshot(BTC, fetched(105), 0)
        decoder.resync(BTC)
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, fetched(104), 0)) == [SnapshotRefused]

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'{"code":"0","data":[]}', b'{"code":"51001","msg":"none","data":[]}', fetched("7"), fetched(-1)]
    )
    def test_an_unreadable_answer_is_fetched_again(self, body):
        decoder = splicing()
        with pytest.raises(DecodeError):
            decoder.receive_snapshot(BTC, body, 0)
        assert len(fetches(decoder)) == 1

    def test_a_failed_fetch_is_repeated(self):
        decoder = splicing()
        decoder.fetch_failed(BTC, 0)
        assert len(fetches(decoder)) == 1
        decoder.fetch_failed(BTC, 0)
        assert fetches(decoder) == []
        goes_by(decoder, 1.1)
        assert len(fetches(decoder)) == 1

    def test_an_answer_that_nobody_waits_for_is_ignored(self):
        assert live(10).receive_snapshot(BTC, fetched(99), 0) == ()

    def test_what_is_kept_is_bounded(self):
        decoder = splicing()
        for seq in range(105, 105 + 2 * okx_book.MAX_EVENTS):
            decoder.receive(update(seq, seq + 1), 0)
        assert kinds(decoder.receive_snapshot(BTC, fetched(106), 0)) == [SnapshotRefused], "the oldest of them are dropped"
        newest = 105 + 2 * okx_book.MAX_EVENTS
        assert kinds(decoder.receive_snapshot(BTC, fetched(newest - 1), 0)) == [Snapshot, Update]

    def test_kept_messages_are_decoded_on_the_grid_of_their_time(self):
        decoder = splicing()
        decoder.receive_snapshot(BTC, fetched(107), 0)
        finer = update(105, 108, ["64040.25 1"])
        [event] = decoder.receive(finer, 0)
        assert type(event) is OffGrid
        decoder.use_instrument(BTC.on_grid(event.price_decimals, event.size_decimals))
        made, applied = decoder.receive(finer, 0)
        assert [type(made), type(applied)] == [Snapshot, Update]
        assert list(applied.levels) == [(6404025, 10**8, False)]
        assert (6404020, 10**8, False) in list(made.levels)


class TestO9AnOverlapAfterASnapshotThatTheStreamHadNotReached:
    @pytest.fixture
    def unmet(self):
        """A quiet symbol: nothing came, and the snapshot is the book."""
        decoder = started()
        decoder.receive(ack(), 0)
        goes_by(decoder, 5.1)
        assert kinds(decoder.receive_snapshot(BTC, fetched(100), 0)) == [Snapshot]
        return decoder

    def test_what_ends_before_it_is_ignored_what_straddles_it_is_applied(self, unmet):
        assert kinds(unmet.receive(update(90, 95), 0)) == [UpdateIgnored]
        assert kinds(unmet.receive(update(95, 100), 0)) == [UpdateIgnored]
        assert kinds(unmet.receive(update(99, 103), 0)) == [Update]
        assert kinds(unmet.receive(update(99, 104), 0)) == [GapFound], "once met, nothing may overlap"

    def test_what_follows_it_is_applied(self, unmet):
        assert kinds(unmet.receive(update(100, 101), 0)) == [Update]

    def test_what_begins_after_it_is_a_gap(self, unmet):
        assert kinds(unmet.receive(update(101, 102), 0)) == [GapFound]

    def test_more_than_20_ignored_in_a_row_are_a_gap(self, unmet):
        found = [unmet.receive(update(seq, seq + 1), 0) for seq in range(21)]
        assert [kinds(each) for each in found] == [[UpdateIgnored]] * 20 + [[GapFound]]
        assert found[-1][0].reason is GapReason.IGNORED


class TestO10Pictures:
    def test_each_is_the_whole_top_5(self):
        decoder = started(mode="books5")
        [event] = decoder.receive(picture(7), 0)
        assert (type(event), event.depth) == (Snapshot, 5)
        assert list(event.levels) == [(640403, 2 * 10**8, True), (640402, 10**8, False)]

    def test_one_of_the_same_number_is_the_same_picture(self):
        decoder = started(mode="books5")
        decoder.receive(picture(7), 0)
        assert list(decoder.receive(picture(7), 0)) == []

    def test_one_that_goes_back_is_a_gap_until_the_next_that_does_not(self):
        decoder = started(mode="books5")
        decoder.receive(picture(7), 0)
        [gap] = decoder.receive(picture(5), 0)
        assert (type(gap), gap.reason) == (GapFound, GapReason.SEQUENCE_RESET)
        assert kinds(decoder.receive(picture(4), 0)) == [GapFound]
        assert kinds(decoder.receive(picture(4), 0)) == [Snapshot]
        assert kinds(decoder.receive(picture(9), 0)) == [Snapshot]

    def test_a_resync_takes_the_next_whatever_its_number(self):
        decoder = started(mode="books5")
        decoder.receive(picture(7), 0)
        decoder.resync(BTC)
        assert kinds(decoder.receive(picture(3), 0)) == [Snapshot]
        assert sent(decoder) == []

    def test_a_connection_begins_anew(self):
        decoder = started(mode="books5")
        decoder.receive(picture(7), 0)
        decoder.connected(0)
        assert kinds(decoder.receive(picture(3), 0)) == [Snapshot]

    def test_one_of_an_older_recording_has_no_number(self):
        """As of DOGE-USDT, 2021-11-12."""
        decoder, old = started(mode="books5"), picture(7).replace(b',"seqId":7', b"")
        assert [kinds(decoder.receive(old, 0)) for _ in range(2)] == [[Snapshot], [Snapshot]]


class TestO11Subscriptions:
    def test_subscriptions_are_answered_one_by_one(self):
        decoder = started()
        [event] = decoder.receive(ack(), 0)
        assert event == Subscribed("book", ("BTC-USDT",))
        [event] = decoder.receive(ack("trades"), 0)
        assert event == Subscribed("trades", ("BTC-USDT",))

    def test_one_without_an_answer_is_requested_again_and_reported_once(self):
        decoder = started()
        decoder.receive(ack("trades"), 0)
        assert goes_by(decoder, 10.1) == [Unanswered("book", ["BTC-USDT"])]
        assert asked(decoder) == HEAL, "the answer may have been lost, and only a new subscription brings a snapshot"
        assert goes_by(decoder, 20, start=10.1) == []
        assert asked(decoder) == HEAL

    def test_data_are_an_answer(self):
        decoder = started()
        decoder.receive(snapshot(10, ["1 1"]), 0)
        decoder.receive(trade(7, 1), 0)
        assert goes_by(decoder, 11) == []

    def test_a_picture_channel_is_answered_by_its_picture(self):
        decoder = started(mode="books5", channels=("book",))
        decoder.receive(ack("books5"), 0)
        assert goes_by(decoder, 10.1) == [Unanswered("book", ["BTC-USDT"])]

    def test_a_book_requested_three_times_in_vain_has_its_connection_replaced(self):
        decoder = started()
        decoder.receive(ack("trades"), 0)
        goes_by(decoder, 69.8)
        assert [why for why in reconnects(decoder) if "ping" not in why] == []
        goes_by(decoder, 0.5, start=69.8)
        assert any("the book of BTC-USDT, 3 times" in why for why in reconnects(decoder))


class TestO12Refusals:
    def refusal(self, code, msg, number=None):
        said = {"event": "error", "code": code, "msg": msg, "connId": "32f4414f"} | ({"id": number} if number else {})
        return str(said).replace("'", '"').encode()

    def test_names_its_subscription_in_its_text(self):
        decoder = started(BTC, ETH)
        text = "Wrong URL or channel:books,instId:ETH-USDT doesn`t exist. Please use the correct URL, channel and parameters."
        [event] = decoder.receive(self.refusal("60018", text), 0)
        assert (event.channel, event.native, event.for_now) == ("book", "ETH-USDT", False)
        decoder.receive(ack(), 0)
        decoder.receive(snapshot(1, ["1 1"]), 0)
        assert sent(decoder) == []

    def test_one_without_a_name_concerns_all_of_its_request(self):
        decoder = Decoder([BTC, ETH], {"book"})
        decoder.connected(0)
        [request] = sent(decoder)
        events = decoder.receive(self.refusal("60012", "Invalid request", request["id"]), 0)
        assert [(event.native, event.for_now) for event in events] == [("BTC-USDT", True), ("ETH-USDT", True)]
        goes_by(decoder, 0.3)
        assert asked(decoder) == [("subscribe", [("books", "BTC-USDT"), ("books", "ETH-USDT")])]

    @pytest.mark.parametrize(
        ("code", "final"), [("60011", True), ("60018", True), ("64003", True), ("60012", False), ("50013", False)]
    )
    def test_each_error_code_is_final_or_temporary(self, code, final):
        decoder = started(channels=("book",))
        [event] = decoder.receive(self.refusal(code, "said so"), 0)
        assert event == SubscriptionRefused("book", "BTC-USDT", f"{code} said so", for_now=not final)
        goes_by(decoder, 599, step=1)
        assert any(isinstance(each, dict) for each in sent(decoder)) is not final
        goes_by(decoder, 2, start=599)
        assert ("subscribe", [("books", "BTC-USDT")]) in [
            (each["op"], [tuple(arg.values()) for arg in each["args"]]) for each in sent(decoder) if each != b"ping"
        ] or not final

    def test_too_many_requests_are_made_again_and_the_fifth_in_a_minute_replaces_the_connection(self):
        """The exchange counts by connection. A single one, as after a burst, is over with the next request."""
        decoder, seen = started(channels=("book",)), []
        for again in range(12):
            decoder.receive(self.refusal("60014", "Requests too frequent"), 0)
            seen.append(len(reconnects(decoder)))
            goes_by(decoder, 9, start=9.0 * again)
            decoder.receive(b"pong", 0)
        assert seen == [0, 0, 0, 0, 1, *[0] * 7], "once in ten minutes"

    def test_rate_limit_refusals_far_apart_do_not_replace_the_connection(self):
        decoder = live(10)
        for again in range(12):
            decoder.receive(self.refusal("60014", "Requests too frequent"), 0)
            goes_by(decoder, 20, start=20.0 * again)
            decoder.receive(update(10 + again, 11 + again), 0)
        assert not any("too many" in why for why in reconnects(decoder))

    def test_of_an_unsubscribe_says_nothing(self):
        decoder = live(10)
        decoder.resync(BTC)
        [unsubscribe, _] = sent(decoder)
        [event] = decoder.receive(self.refusal("60012", "Invalid request", unsubscribe["id"]), 0)
        assert event.native == ""


class TestO13Pings:
    def test_a_text_ping_is_sent_after_20_seconds_of_silence(self):
        decoder = live(10)
        decoder.receive(ack("trades"), 0)
        goes_by(decoder, 19.9)
        assert sent(decoder) == []
        goes_by(decoder, 0.2, start=19.9)
        assert sent(decoder) == [b"ping"]

    def test_any_message_ends_the_silence(self):
        decoder = live(10)
        decoder.receive(ack("trades"), 0)
        goes_by(decoder, 15)
        decoder.receive(update(10, 11), 0)
        goes_by(decoder, 19.8, start=15)
        assert sent(decoder) == []

    def test_a_pong_is_a_sign_of_life(self):
        decoder = live(10)
        decoder.receive(ack("trades"), 0)
        goes_by(decoder, 20.1)
        assert decoder.receive(b"pong", 0) == (Heartbeat(),)
        goes_by(decoder, 19.8, start=20.1)
        assert reconnects(decoder) == []
        goes_by(decoder, 0.3, start=39.9)
        assert sent(decoder) == [b"ping"]

    def test_without_an_answer_within_10_seconds_the_connection_is_replaced(self):
        decoder = live(10)
        decoder.receive(ack("trades"), 0)
        goes_by(decoder, 29.8)
        assert reconnects(decoder) == []
        goes_by(decoder, 0.4, start=29.8)
        assert reconnects(decoder) == ["no answer to a ping"]

    def test_the_notice_of_a_close(self):
        frame = (
            b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.",'
            b'"connId":"a4d3ae55"}'
        )
        [event] = started().receive(frame, 0)
        assert type(event) is ClosingSoon
        assert "service upgrade" in event.reason

    def test_another_notice_is_unknown(self):
        assert kinds(started().receive(b'{"event":"notice","code":"64999","msg":"x"}', 0)) == [Unrecognised]


class TestO14QuietBooks:
    @pytest.mark.parametrize(("mode", "depth"), [("", 20), ("books5", 5)])
    def test_the_same_number_is_compared(self, mode, depth):
        decoder = started(mode=mode)
        decoder.receive(picture(10) if mode else snapshot(10, ["64040.2 1"], ["64040.3 2"]), 0)
        decoder.confirm(BTC)
        [request] = [each for each in decoder.pending_requests() if isinstance(each, FetchProof)]
        assert request.path == f"/api/v5/market/books?instId=BTC-USDT&sz={depth}"
        [event] = decoder.receive_proof(BTC, fetched(10), 0)
        assert (type(event), event.depth) == (Proof, depth)
        assert list(event.levels) == [(640403, 2 * 10**8, True), (640402, 10**8, False)]

    def dead(self, decoder, start=0.0):
        """Two proofs are ahead of the stream."""
        decoder.confirm(BTC)
        assert decoder.receive_proof(BTC, fetched(99), 0) == ()
        goes_by(decoder, 1.1, start=start)
        return decoder.receive_proof(BTC, fetched(100), 0)

    def test_one_that_stays_ahead_shows_a_dead_stream(self):
        decoder = live(10)
        [event] = self.dead(decoder)
        assert (type(event), event.reason) == (GapFound, GapReason.QUIET)
        requests = [each for each in decoder.pending_requests() if not isinstance(each, FetchProof)]
        assert [b'"op":"unsubscribe"' in each.frame for each in requests] == [True, False]

    def test_no_answer_within_3_seconds_replaces_the_connection(self):
        decoder = live(10)
        self.dead(decoder)
        decoder.pending_requests()
        goes_by(decoder, 2.9, start=1.1)
        assert reconnects(decoder) == []
        goes_by(decoder, 0.3, start=4.0)
        assert reconnects(decoder) == ["no answer to the new subscription to the dead stream of BTC-USDT"]

    def test_a_second_death_soon_after_replaces_it_too_once_in_ten_minutes(self):
        decoder = live(10)
        seen = []
        for again in range(3):
            self.dead(decoder, start=10.0 * again)
            seen.append(reconnects(decoder))
            decoder.receive(ack(), 0)
            decoder.receive(snapshot(10, ["64040.2 1"]), 0)
        assert seen == [[], ["the stream of BTC-USDT died again"], []]

    def test_a_message_meanwhile_proves_the_stream(self):
        decoder = live(10)
        decoder.confirm(BTC)
        decoder.receive(update(10, 12), 0)
        assert decoder.receive_proof(BTC, fetched(13), 0) == ()

    def test_a_book_that_is_not_good_is_not_checked(self):
        decoder = started()
        decoder.confirm(BTC)
        assert decoder.pending_requests() == []


class TestO15Trades:
    def test_exactly_and_by_the_takers_side(self):
        decoder = started()
        [event] = decoder.receive(trade(1040968613, 2, "64040.2", "0.00240857", "sell"), 0)
        assert event == Trade(BTC, "1040968613", 640402, 240857, Side.SELL, 1_786_538_760_218_000_000)

    def test_ids_step_by_the_count(self):
        decoder = started()
        decoder.receive(trade(100, 1), 0)
        assert kinds(decoder.receive(trade(103, 3), 0)) == [Trade]
        events = decoder.receive(trade(110, 4), 0)
        assert kinds(events) == [TradesMissed, Trade]
        assert events[0].count == 3

    def test_what_is_missing_is_fetched_from_the_last_500(self):
        decoder = started()
        decoder.receive(trade(100, 1), 0)
        decoder.receive(trade(104, 2), 0)
        goes_by(decoder, 1.2)
        [request] = [each for each in decoder.pending_requests() if isinstance(each, FetchTrades)]
        assert request.path == "/api/v5/market/trades?instId=BTC-USDT&limit=500"
        rows = [trade(number).partition(b'"data":[')[2].rpartition(b"]}")[0] for number in (104, 102, 101, 99)]
        events = decoder.receive_trades(BTC, b'{"code":"0","msg":"","data":[%s]}' % b",".join(rows), 0)
        assert [each.trade_id for each in events if isinstance(each, Trade) and each.history] == ["101", "102"]
        assert events[-1] == TradesRecovered(BTC, 2)

    def test_without_a_count_nothing_is_known_to_be_missing(self):
        """As in 2022."""
        decoder = started()
        decoder.receive(trade(338476307), 0)
        assert kinds(decoder.receive(trade(338476311), 0)) == [Trade]
        assert decoder.receive(trade(338476311), 0) == []

    @pytest.mark.parametrize("count", ["0", "-1", "", "x", "1.0", "٣"])
    def test_a_count_that_is_none_is_unreadable_and_costs_no_book(self, count):
        with pytest.raises(DecodeError) as refused:
            live(10).receive(trade(7, count), 0)
        assert not refused.value.may_hold_books

    def test_ids_are_kept_over_connections(self):
        decoder = started()
        decoder.receive(trade(100, 1), 0)
        decoder.connected(0)
        assert kinds(decoder.receive(trade(105, 2), 0)) == [TradesMissed, Trade]


class TestO16WhatIsNotUnderstood:
    @pytest.mark.parametrize(
        "frame",
        [
            b"7", b"null", b"[]", b"{}", b'{"op":"x"}', b'{"event":"channel-conn-count","channel":"orders","connCount":"1"}',
            b'{"arg":{"channel":"candle1m","instId":"BTC-USDT"},"data":[]}', b'{"arg":{"channel":"books","instId":"X-Y"},"data":[]}',
            b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"delete","data":[]}',
            b'{"event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"}}',
        ],
    )  # fmt: skip
    def test_unknown_kinds_leave_as_such(self, frame):
        assert kinds(live(10).receive(frame, 0)) == [Unrecognised]

    @pytest.mark.parametrize(
        "frame",
        [
            b"", b"PONG", b"{", b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update"}', b'{"event":7}',
            update("10", 11), update(10, "11"), update(10, -1), update(-2, 11), update(10, 1 << 63), update(10, 11.0), update(True, 11),
            update(10, 11, ["-1 1"]), update(10, 11, ["0 1"]), update(10, 11, ["1 x"]), update(10, 11, ms="soon"), update(10, 11, ms=-1),
            update(10, 11).replace(b'"asks":[]', b'"asks":{}'), update(10, 11).replace(b'"bids"', b'"buys"'),
        ],
    )  # fmt: skip
    def test_all_else_is_refused_and_nothing_has_changed(self, frame):
        decoder = live(10)
        with pytest.raises(DecodeError):
            decoder.receive(frame, 0)
        assert kinds(decoder.receive(update(10, 12), 0)) == [Update]

    def test_a_frame_of_two_rows_is_taken_in_full_or_not_at_all(self):
        good = update(10, 11)
        row = good.partition(b'"data":[')[2].rpartition(b"]}")[0]
        second = row.replace(b'"seqId":11,"prevSeqId":10', b'"seqId":12,"prevSeqId":11')
        decoder = live(10)
        with pytest.raises(DecodeError):
            decoder.receive(good.replace(row, row + b"," + second.replace(b'"1"', b'"x"')), 0)
        assert kinds(decoder.receive(good.replace(row, row + b"," + second), 0)) == [Update, Update]

    def test_a_level_finer_than_the_grid_changes_nothing(self):
        decoder = live(10)
        assert decoder.receive(update(10, 11, ["64040.25 1"], ["64041 0.000000001"]), 0) == (OffGrid(BTC, 2, 9),)
        assert kinds(decoder.receive(update(10, 11), 0)) == [Update]
