"""Rules B1 to B11 of `binance/splice.py`, as the decoder keeps them. Numbers: the sheet's COMPUSDT, Binance.US, 2021-10-12."""

import pytest
from support.binance import BTC, SECOND, DictBook, diff, fetches, kinds, live, snapshot, started

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.binance import splice
from alphapulse_cli.exchanges.binance.spliced_book import HELD_NS, QUIET_NS
from alphapulse_cli.exchanges.sequence import BACK, GAP, NEXT, OLD
from alphapulse_cli.market.events import (
    GapFound,
    GapReason,
    Snapshot,
    SnapshotRefused,
    Subscribed,
    Unanswered,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.requests import FetchSnapshot, Send

L = 113129219


class TestB1EventsAreBufferedUntilASnapshot:
    def test_no_event_is_published_before_the_snapshot(self):
        decoder = started()
        assert decoder.receive(diff(L, L, asks=[["297.32000000", "19.0871"]]), 0) == ()
        assert decoder.receive(diff(L + 1, L + 1), 0) == ()

    def test_the_first_event_asks_for_the_snapshot(self):
        decoder = started()
        assert fetches(decoder) == []
        decoder.receive(diff(L, L), 0)
        [fetch] = fetches(decoder)
        assert (fetch.instrument, fetch.path) == (BTC, "/api/v3/depth?symbol=BTCUSDT&limit=5000")

    def test_a_quiet_symbol_requests_a_snapshot_a_while_after_its_confirmation(self):
        decoder = started()
        decoder.tick(4 * SECOND)
        assert fetches(decoder) == []  # not confirmed: a snapshot would claim a book that nothing keeps
        assert kinds(decoder.receive(b'{"result":null,"id":1}', 0)) == [Subscribed, Subscribed]
        decoder.tick(4 * SECOND + QUIET_NS - 1)
        assert fetches(decoder) == []
        decoder.tick(4 * SECOND + QUIET_NS)
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(L), 7 * SECOND)) == [Snapshot]

    def test_a_break_in_the_buffer_restarts_the_run(self):
        decoder = started()
        for first, final in ((5, 6), (9, 9)):
            decoder.receive(diff(first, final), 0)
        assert kinds(decoder.receive_snapshot(BTC, snapshot(6), 0)) == [SnapshotRefused]  # 7 and 8 are lost to us
        assert kinds(decoder.receive_snapshot(BTC, snapshot(8), 0)) == [Snapshot, Update]

    def test_an_event_that_goes_back_restarts_the_buffered_run(self):
        decoder = started()
        for first, final in ((900, 901), (5, 6), (7, 7)):
            decoder.receive(diff(first, final), 0)
        assert kinds(decoder.receive_snapshot(BTC, snapshot(5), 0)) == [Snapshot, Update, Update]

    def test_at_the_bound_the_oldest_event_is_dropped_and_b3_refuses_older_snapshots(self, monkeypatch):
        monkeypatch.setattr(splice, "MAX_EVENTS", 3)
        decoder = started()
        for number in range(1, 8):
            decoder.receive(diff(number, number), 0)
        assert kinds(decoder.receive_snapshot(BTC, snapshot(3), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, snapshot(4), 0)) == [Snapshot, *[Update] * 3]

    def test_the_bound_counts_bytes_too(self, monkeypatch):
        monkeypatch.setattr(splice, "MAX_BYTES", 10)
        one = splice.Splice()
        for number in range(1, 5):
            one.take(number, number, b"123456")
        assert len(one._buffer) == 1
        assert one.meeting(2) is splice.Meeting.STALE
        assert one.meeting(3) is splice.Meeting.MET


class TestB2OneSnapshotIsInFlight:
    def test_further_events_request_no_second_snapshot(self):
        decoder = started()
        for number in range(1, 50):
            decoder.receive(diff(number, number), 0)
            decoder.resync(BTC)
            decoder.tick(number * SECOND)
        assert len(fetches(decoder)) == 1

    @pytest.mark.parametrize(
        ("exchange", "depth", "limit", "weight"),
        [("binance-us", 0, 5000, 50), ("binance-us", 1000, 1000, 10), ("binance", 0, 5000, 250), ("binance", 20, 100, 5)],
    )
    def test_a_snapshot_request_has_the_depth_and_weight(self, exchange, depth, limit, weight):
        decoder = started(depth=depth, exchange=exchange)
        decoder.receive(diff(1, 1), 0)
        [fetch] = fetches(decoder)
        assert fetch.path.endswith(f"&limit={limit}")
        assert fetch.weight == weight

    def test_a_failed_fetch_is_repeated_at_once_then_after_growing_pauses(self):
        decoder = started()
        decoder.receive(diff(1, 1), 0)
        fetches(decoder)
        decoder.fetch_failed(BTC, 0)
        assert len(fetches(decoder)) == 1
        now, pauses = 0, []
        for _ in range(8):
            decoder.fetch_failed(BTC, now)
            decoder.receive(diff(1, 1), now)
            asked = now
            while not fetches(decoder):
                now += SECOND
                decoder.tick(now)
            pauses.append((now - asked) // SECOND)
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_an_unreadable_answer_is_refused_and_requested_again(self):
        decoder = started()
        decoder.receive(diff(1, 1), 0)
        fetches(decoder)
        for second, body in enumerate((b'{"code":-1121,"msg":"Invalid symbol."}', b"<html>")):
            with pytest.raises(DecodeError):
                decoder.receive_snapshot(BTC, body, 0)
            decoder.tick(second * SECOND)
            assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(0), 0)) == [Snapshot, Update]

    def test_an_answer_that_nobody_waits_for_is_ignored(self):
        decoder = live(10)
        assert decoder.receive_snapshot(BTC, snapshot(500), 0) == ()
        assert kinds(decoder.receive(diff(11, 11), 0)) == [Update]


class TestB3ASnapshotOlderThanTheStreamIsFetchedAgain:
    @pytest.mark.parametrize(("last", "fits"), [(L - 2, False), (L - 1, True), (L, True)])
    def test_a_snapshot_must_reach_the_first_event(self, last, fits):
        decoder = started()
        decoder.receive(diff(L, L), 0)
        fetches(decoder)
        events = decoder.receive_snapshot(BTC, snapshot(last), 0)
        if fits:
            assert kinds(events)[0] is Snapshot
        else:
            assert kinds(events) == [SnapshotRefused]  # no book was believed: it is no gap
        assert len(fetches(decoder)) == (0 if fits else 1)

    def test_after_a_resync_it_must_reach_what_was_applied_already(self):
        decoder = live(10)
        decoder.resync(BTC)
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(9), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, snapshot(10), 0)) == [Snapshot]


class TestB4EventsInTheSnapshotAreDropped:
    def test_events_in_the_snapshot_are_dropped_by_the_documented_numbers(self):
        decoder = started()
        decoder.receive(diff(L, L, asks=[["297.32", "19.0871"]]), 0)
        decoder.receive(diff(L + 1, L + 1, asks=[["297.23", "1.4"]], ms=1_633_998_275_094), 0)
        events = decoder.receive_snapshot(BTC, snapshot(L, [["296.58000000", "1.40000000"]], [["297.32", "5"]]), 0)
        assert kinds(events) == [Snapshot, Update]
        assert list(events[0].levels) == [(29658, 14000, False), (29732, 50000, True)]
        assert list(events[1].levels) == [(29723, 14000, True)]
        assert (events[0].exchange_ns, events[1].exchange_ns) == (None, 1_633_998_275_094_000_000)


class TestB5ASnapshotIsBelievedOnceTheStreamHasMetIt:
    def test_the_first_event_kept_may_span_it(self):
        decoder = started()
        decoder.receive(diff(5, 9), 0)
        assert kinds(decoder.receive_snapshot(BTC, snapshot(7), 0)) == [Snapshot, Update]
        assert kinds(decoder.receive(diff(10, 10), 0)) == [Update]

    def test_one_that_is_ahead_is_held_until_the_stream_reaches_it(self):
        decoder, book = started(), DictBook()
        decoder.receive(diff(5, 9), 0)
        assert decoder.receive_snapshot(BTC, snapshot(12, [["10", "1"]]), 0) == ()
        assert decoder.receive(diff(10, 11, bids=[["9", "1"]]), 0) == ()
        book.apply(decoder.receive(diff(12, 14, bids=[["8", "1"]]), 0))
        assert book.live
        assert book.sides[0] == {1000: 10000, 800: 10000}  # 10..11 is in the snapshot, or was undone in it
        assert kinds(decoder.receive(diff(15, 15), 0)) == [Update]

    def test_an_event_that_ends_where_it_was_taken_meets_it(self):
        decoder = started()
        decoder.receive(diff(5, 9), 0)
        decoder.receive_snapshot(BTC, snapshot(12), 0)
        assert kinds(decoder.receive(diff(10, 12), 0)) == [Snapshot]

    def test_one_of_another_numbering_is_held_for_twenty_events_at_most(self):
        decoder = started()
        decoder.receive(diff(1, 1), 0)
        fetches(decoder)
        assert decoder.receive_snapshot(BTC, snapshot(10**12), 0) == ()
        for number in range(2, 22):
            assert decoder.receive(diff(number, number), 0) == ()
        assert kinds(decoder.receive(diff(22, 22), 0)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(22), 0)) == [Snapshot]

    def test_one_of_another_numbering_is_held_for_five_seconds_at_most(self):
        decoder = started()
        decoder.receive(diff(1, 1), 0)
        fetches(decoder)
        decoder.receive_snapshot(BTC, snapshot(10**12), 0)
        decoder.receive(diff(2, 2), 0)
        assert list(decoder.tick(HELD_NS - 1)) == []
        assert kinds(decoder.tick(HELD_NS)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1

    @pytest.mark.parametrize("late_s", [3, 10, 30])
    def test_a_stream_that_lags_by_seconds_is_waited_for(self, late_s):
        """Each further snapshot would be as far ahead: the book would never be LIVE again."""
        decoder = started()
        for tenth in range(late_s * 10 + 3):
            now_ns = tenth * SECOND // 10
            told = [*decoder.tick(now_ns), *decoder.receive(diff(tenth + 1, tenth + 1), 0)]
            if fetches(decoder):
                assert tenth == 0, "one is enough"
                told += decoder.receive_snapshot(BTC, snapshot(1 + late_s * 10), 0)
            assert kinds(told) == [Snapshot] * (tenth == late_s * 10) + [Update] * (tenth > late_s * 10)

    def test_a_lagging_stream_that_stops_is_not_waited_for(self):
        decoder = started()
        for tenth in range(30):
            decoder.tick(tenth * SECOND // 10)
            decoder.receive(diff(tenth + 1, tenth + 1), 0)
            if fetches(decoder):
                decoder.receive_snapshot(BTC, snapshot(40), 0)
        assert decoder.tick(7 * SECOND) == []
        assert kinds(decoder.tick(8 * SECOND)) == [SnapshotRefused]

    def test_a_stream_that_goes_back_meanwhile_makes_it_worthless(self):
        decoder = started()
        decoder.receive(diff(100, 100), 0)
        fetches(decoder)
        decoder.receive_snapshot(BTC, snapshot(102), 0)
        assert kinds(decoder.receive(diff(6, 6), 0)) == [SnapshotRefused]
        assert kinds(decoder.receive_snapshot(BTC, snapshot(6), 0)) == [Snapshot]

    def test_a_break_meanwhile_that_passes_it_by_asks_for_another(self):
        decoder = started()
        decoder.receive(diff(5, 9), 0)
        fetches(decoder)
        decoder.receive_snapshot(BTC, snapshot(12), 0)
        assert kinds(decoder.receive(diff(14, 14), 0)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1

    def test_held_on_a_grid_that_became_finer_it_is_read_again(self):
        decoder, book = started(), DictBook()
        decoder.receive(diff(5, 9), 0)
        decoder.receive_snapshot(BTC, snapshot(10, [["10", "1"]]), 0)
        finer = BTC.on_grid(3, 4)
        decoder.use_instrument(finer)
        events = decoder.receive(diff(10, 11, bids=[["9.999", "1"]]), 0)
        book.apply(events)
        assert [event.instrument for event in events] == [finer, finer]
        assert book.sides[0] == {10000: 10000, 9999: 10000}


class TestB6TheBookIsTheSnapshotThenTheEvents:
    def test_in_order_and_absolute(self):
        decoder, book = started(), DictBook()
        for number, size in ((1, "1"), (2, "2"), (3, "3")):
            decoder.receive(diff(number, number, bids=[["10", size]]), 0)
        book.apply(decoder.receive_snapshot(BTC, snapshot(1, [["10", "9"], ["9", "1"]]), 0))
        assert book.sides[0] == {1000: 30000, 900: 10000}

    def test_removing_what_is_not_there_leaves_as_it_came(self):
        [update] = live(10).receive(diff(11, 11, asks=[["5", "0.00000000"]]), 0)
        assert list(update.levels) == [(500, 0, True)]


class TestB7EveryEventFollowsTheLast:
    def test_a_gap_is_reported_and_healed_on_the_open_stream(self):
        decoder = live(10)
        [gap] = decoder.receive(diff(12, 12, bids=[["1", "1"]]), 0)
        assert (gap.instruments, gap.reason, gap.detail) == ((BTC,), GapReason.SEQUENCE, "10 is followed by 12..12")
        assert len(fetches(decoder)) == 1
        assert decoder.receive(diff(13, 13), 0) == ()
        assert kinds(decoder.receive_snapshot(BTC, snapshot(11), 0)) == [Snapshot, Update, Update]

    def test_each_verdict_on_an_event_of_a_live_book(self):
        one = splice.Splice()
        one.take(1, 1, b"")
        one.adopt(1)
        assert [one.take(*ids, b"") for ids in ((2, 3), (2, 3), (5, 6))] == [NEXT, OLD, GAP]
        assert not one.live

    def test_a_new_connection_forgets_everything(self):
        decoder = live(10)
        decoder.connected(0)
        decoder.pending_requests()
        assert decoder.receive(diff(3, 3), 0) == ()
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(3), 0)) == [Snapshot]


class TestB8AStreamThatGoesBackBeganAnew:
    def test_a_repetition_is_ignored(self):
        decoder = live(10)
        assert decoder.receive(diff(10, 10), 0) == (UpdateIgnored(BTC),)
        assert decoder.receive(diff(8, 10), 0) == (UpdateIgnored(BTC),)
        assert kinds(decoder.receive(diff(11, 12), 0)) == [Update]

    @pytest.mark.parametrize("ids", [(3, 4), (9, 9), (1, 1)])
    def test_an_event_that_ends_before_the_last_is_a_break(self, ids):
        decoder = live(10)
        [gap] = decoder.receive(diff(*ids), 0)
        assert (gap.instruments, gap.reason) == ((BTC,), GapReason.SEQUENCE_RESET)
        assert len(fetches(decoder)) == 1

    def test_the_book_is_right_again_on_the_new_numbers(self):
        decoder, book = live(100030, [["100", "1"]]), DictBook()
        decoder.receive(diff(6, 6, bids=[["50", "1"]]), 0)
        book.apply(decoder.receive_snapshot(BTC, snapshot(6, [["50", "1"]]), 0))
        book.apply(decoder.receive(diff(7, 8, bids=[["49", "2"]]), 0))
        assert book.live
        assert book.sides[0] == {5000: 10000, 4900: 20000}

    def test_a_reordered_event_costs_a_resync_and_no_more(self):
        decoder = live(10)
        assert kinds(decoder.receive(diff(12, 12), 0)) == [GapFound]
        assert decoder.receive(diff(11, 11), 0) == ()
        assert decoder.receive(diff(13, 13), 0) == ()
        assert kinds(decoder.receive_snapshot(BTC, snapshot(12), 0)) == [Snapshot, Update]

    def test_each_verdict(self):
        one = splice.Splice()
        one.take(10, 10, b"")
        one.adopt(10)
        assert one.take(9, 9, b"") is BACK


class TestB9AQuietSymbolIsBelievedWithoutAStream:
    @staticmethod
    def confirmed():
        decoder = started()
        decoder.receive(b'{"result":null,"id":1}', 0)
        decoder.tick(QUIET_NS)
        assert len(fetches(decoder)) == 1
        return decoder

    def test_a_confirmed_stream_without_events_adopts_the_snapshot(self):
        assert kinds(self.confirmed().receive_snapshot(BTC, snapshot(12), 0)) == [Snapshot]

    def test_the_first_event_of_a_quiet_symbol_may_overlap_the_snapshot(self):
        decoder = self.confirmed()
        decoder.receive_snapshot(BTC, snapshot(12), 0)
        assert decoder.receive(diff(10, 11), 0) == (UpdateIgnored(BTC),)  # gathered before, sent after
        assert kinds(decoder.receive(diff(12, 14), 0)) == [Update]
        assert kinds(decoder.receive(diff(14, 15), 0)) == [GapFound]  # from now on each must follow exactly

    def test_one_that_ends_where_it_was_taken_is_the_stream(self):
        decoder = self.confirmed()
        decoder.receive_snapshot(BTC, snapshot(12), 0)
        assert decoder.receive(diff(10, 12), 0) == (UpdateIgnored(BTC),)
        assert [event.reason for event in decoder.receive(diff(11, 11), 0)] == [GapReason.SEQUENCE_RESET]

    def test_one_that_begins_too_late_is_a_gap(self):
        decoder = self.confirmed()
        decoder.receive_snapshot(BTC, snapshot(12), 0)
        assert kinds(decoder.receive(diff(14, 14), 0)) == [GapFound]

    def test_a_stream_that_stopped_short_is_believed_when_the_exchange_says_the_same_twice(self):
        decoder = started()
        decoder.receive(diff(5, 9), 0)
        fetches(decoder)
        assert decoder.receive_snapshot(BTC, snapshot(12), 0) == ()
        assert kinds(decoder.tick(HELD_NS)) == [SnapshotRefused]
        assert len(fetches(decoder)) == 1
        assert kinds(decoder.receive_snapshot(BTC, snapshot(12), HELD_NS)) == [Snapshot]
        assert kinds(decoder.receive(diff(13, 13), 0)) == [Update]

    def test_a_stopped_stream_is_not_believed_while_snapshots_advance(self):
        decoder = started()
        decoder.receive(diff(5, 9), 0)
        fetches(decoder)
        now = 0
        for number in (12, 13, 14, 15):  # the stream of this symbol is dead
            assert decoder.receive_snapshot(BTC, snapshot(number), 0) == ()
            found: list[FetchSnapshot] = []
            while not found:
                now += SECOND
                decoder.tick(now)
                found = fetches(decoder)


class TestB11AStreamThatNeverReachesItsSnapshotsIsDead:
    """A book that waits for its snapshot is not LIVE, and nobody checks whether its stream still stands."""

    def waited(self, *numbers, event=None):
        """(kinds of the events, subscriptions) after snapshots of these ids were held for five seconds each."""
        decoder, now_ns, seen = started(), 0, []
        decoder.receive(diff(5, 9), 0)
        for number in numbers:
            decoder.receive_snapshot(BTC, snapshot(number), 0)
            if event:
                decoder.receive(event, 0)
            now_ns += HELD_NS
            seen += kinds(decoder.tick(now_ns))
            now_ns += 2 * HELD_NS  # whatever pause it takes
            decoder.tick(now_ns)
        return seen, [send.frame for send in decoder.pending_requests() if isinstance(send, Send) and b"depth" in send.frame]

    def test_two_different_snapshots_without_an_event_between_prove_it_dead(self):
        seen, sent = self.waited(20, 30)
        assert seen == [SnapshotRefused, SnapshotRefused, Unanswered], "no gap: no book was believed"
        assert [b"UNSUBSCRIBE" in frame for frame in sent[-2:]] == [True, False]

    def test_one_snapshot_proves_nothing_and_two_of_one_id_are_adopted(self):
        assert self.waited(20)[0] == [SnapshotRefused]
        assert self.waited(20, 20)[0] == [SnapshotRefused]

    def test_two_snapshots_with_an_event_between_prove_nothing(self):
        assert Unanswered not in self.waited(10**6, 10**7, event=diff(10, 10))[0]


class TestB10WhatIsIgnoredIsBounded:
    def test_more_than_twenty_ignored_events_in_a_row_are_a_gap(self):
        decoder = live(10)
        for _ in range(20):
            assert decoder.receive(diff(10, 10), 0) == (UpdateIgnored(BTC),)
        ignored, gap = decoder.receive(diff(10, 10), 0)
        assert ignored == UpdateIgnored(BTC)
        assert gap.reason is GapReason.IGNORED
        assert len(fetches(decoder)) == 1

    def test_five_seconds_of_ignored_events_are_a_gap(self):
        decoder = live(10)
        decoder.receive(diff(10, 10), 0)
        decoder.tick(5 * SECOND + 1)
        assert kinds(decoder.receive(diff(10, 10), 0)) == [UpdateIgnored, GapFound]

    def test_an_event_that_follows_resets_the_count_of_ignored_ones(self):
        decoder = live(10)
        for number in range(11, 60):
            assert kinds(decoder.receive(diff(number, number), 0)) == [Update]
            assert kinds(decoder.receive(diff(number, number), 0)) == [UpdateIgnored]

    def test_a_quiet_book_with_a_lagging_stream_is_resynced(self):
        decoder = TestB9AQuietSymbolIsBelievedWithoutAStream.confirmed()
        decoder.receive_snapshot(BTC, snapshot(10**12), 0)
        for number in range(1, 21):
            decoder.receive(diff(number, number), 0)
        assert [event.reason for event in decoder.receive(diff(21, 21), 0)[1:]] == [GapReason.IGNORED]
        assert kinds(decoder.receive_snapshot(BTC, snapshot(21), 0)) == [Snapshot]
