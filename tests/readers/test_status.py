"""How sets are doing, from their segments alone: states that are true, rates that are per second."""

import re
from dataclasses import replace

import pytest
from support.flow_parts import Desk, River, listed

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers import status as status_module
from alphapulse_cli.readers.status import StatusSource, state_words
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

SECOND = 1_000_000_000


@pytest.fixture
def time(monkeypatch):
    """A clock that a test sets; heartbeats must follow it."""

    class Time:
        now = 10**15

    monkeypatch.setattr(clock, "monotonic_ns", lambda: Time.now)
    return Time


@pytest.fixture
def river(directory, time):
    made = River(directory, "kraken")
    made.truth.change("BTC-USD", [(9_990, 5, False), (10_010, 70_000, True)])
    made.connect()
    made.outlet.beat(time.now)
    return made


def book_of(source):
    (one,) = source.sample()
    (book,) = one.books
    return one, book


class TestABook:
    def test_is_shown_exactly(self, directory, river):
        one, book = book_of(StatusSource(directory))
        assert (one.name, one.exchange, one.liveness, one.epoch) == ("kraken", "kraken", Liveness.LIVE, river.outlet.epoch)
        assert (book.state, book.checksum, book.version) == (BookState.LIVE, ChecksumState.OK, 1)
        assert (book.bid, book.bid_size, book.ask, book.ask_size) == ("99.90", "0.0005", "100.10", "7.0000")
        assert (book.bid_count, book.ask_count) == (1, 1)
        assert book.spread_bps == pytest.approx(20.0)

    def test_has_the_rules_of_its_instrument_as_text_on_whatever_grid(self, directory, time):
        """Those of the exchange's metadata; a finer grid changes the units, not what they say."""
        desk = Desk(directory, [replace(listed("kraken"), tick_size_ticks=5, lot_size_lots=10, min_size_lots=30)])
        desk.outlet.beat(time.now)
        source = StatusSource(directory)
        _, book = book_of(source)
        assert (book.tick_size, book.lot_size, book.min_size) == ("0.05", "0.0010", "0.0030")
        desk.keeper().regrid(3, 5, desk.now)
        _, book = book_of(source)
        assert (book.tick_size, book.lot_size, book.min_size) == ("0.050", "0.00100", "0.00300")

    def test_without_a_side_shows_none(self, directory, river):
        river.change([(9_990, 0, False)])
        _, book = book_of(StatusSource(directory))
        assert (book.bid, book.bid_size, book.spread_bps) == ("", "", None)

    def test_is_not_live_when_its_writer_is_silent(self, directory, river, time):
        source = StatusSource(directory)
        assert book_of(source)[1].state is BookState.LIVE
        time.now += 2 * SECOND
        one, book = book_of(source)
        assert (one.liveness, book.state, book.reason) == (Liveness.SILENT, BookState.STALE, BookReason.SILENT)

    def test_that_moved_to_a_larger_file_is_followed(self, directory, river, time):
        source = StatusSource(directory)
        source.sample()
        river.outlet.grow_image(river.keeper().image, 5000)
        river.outlet.beat(time.now)
        assert book_of(source)[1].bid == "99.90"

    @pytest.mark.parametrize(("left_s", "end"), [(90, r"\d\d:\d\d:\d\dZ"), (200_000, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")])
    def test_that_waits_as_the_exchange_asked_says_until_when(self, directory, river, monkeypatch, left_s, end):
        source, now = StatusSource(directory), clock.realtime_ns()
        monkeypatch.setattr(clock, "realtime_ns", lambda: now)
        river.ingest.counters.set(Counter.WAIT_UNTIL_NS, now + left_s * SECOND)
        assert state_words(book_of(source)[1]) == "LIVE", "a book that is LIVE waits for nothing"
        river.ingest.disconnected(now)
        waiting = book_of(source)[1]
        assert re.fullmatch(f"SYNCING disconnected, told to wait until {end}", state_words(waiting))
        now += left_s * SECOND
        for over in (waiting, book_of(source)[1]):
            assert (over.is_waiting, state_words(over)) == (False, "SYNCING disconnected")

    def test_of_trades_only_is_cold(self, directory, time):
        desk = Desk(directory, [listed("kraken")], channels=("trades",))
        desk.outlet.beat(time.now)
        assert book_of(StatusSource(directory))[1].state is BookState.COLD


class TestASet:
    def test_that_is_not_there_is_a_row_that_says_so(self, directory):
        (one,) = StatusSource(directory, ["nobody"]).sample()
        assert (one.liveness, one.books) == (None, [])

    def test_all_there_are_are_found(self, directory, river):
        Outlet(directory, "mine", "kraken", [], 64, 0)
        assert [one.name for one in StatusSource(directory).sample()] == ["kraken", "mine"]

    def test_rates_are_per_second_between_samples(self, directory, river, time):
        source = StatusSource(directory)
        assert source.sample()[0].frames_per_s == 0.0
        for number in range(30):
            river.change([(9_991, 1 + number, False)])
        time.now += 3 * SECOND
        river.outlet.beat(time.now)
        one, book = book_of(source)
        assert (one.frames_per_s, one.deltas_per_s, book.deltas_per_s) == pytest.approx((10.0, 10.0, 10.0))
        assert one.totals["groups"] == 31

    def test_rates_begin_anew_with_a_new_writer(self, directory, river, time):
        source = StatusSource(directory)
        source.sample()
        river.outlet.close()
        desk = Desk(directory, [listed("kraken")])
        desk.ingest.counters.add(Counter.FRAMES, 10**6)
        time.now += SECOND
        desk.outlet.beat(time.now)
        assert source.sample()[0].frames_per_s == 0.0

    def test_what_happened_is_counted_once(self, directory, river):
        river.change([(9_991, 1, False)], spoil=True)
        river.ask()
        river.trade(exchange_ns=river.now - 7_000_000)
        one, book = book_of(StatusSource(directory))
        assert (book.resyncs, book.gaps, one.totals["resyncs"], one.totals["checksums_bad"]) == (1, 0, 1, 1)
        assert book.feed_delay_us == 7_000


def test_the_rates_are_those_that_the_board_shows():
    assert set(status_module.RATES) <= {counter.label for counter in Counter}
