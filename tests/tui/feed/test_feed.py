"""The feed, step by step in this thread: what it shows of sets that come, move, die, restart, lap it and are cut short."""

import os
import random
import shutil
import threading
from fractions import Fraction

import pytest
from support.reader_sets import PRICE_DECIMALS, SIZE_DECIMALS, Writer, ladder, random_rows

from alphapulse_cli import build
from alphapulse_cli.errors import SegmentGone
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.feed import arbitrage_feed, book_feed, feed, set_feed
from alphapulse_cli.tui.feed.book_feed import moves
from alphapulse_cli.tui.feed.feed import ScreenFeed
from alphapulse_cli.tui.feed.picture import LADDER_LEVELS, Picture, Watched
from alphapulse_cli.wire.delta import BookReason, BookState

UNIT = 10**PRICE_DECIMALS


def fail(told):
    """What a feed must not tell: its error, or a picture. pytest.fail itself takes nothing but text."""
    pytest.fail(repr(told))


class Stepped:
    """A feed that is stepped by hand; looks, seconds and pictures are due whenever the test says so."""

    def __init__(self, place, wanted=None):
        self.pictures: list[Picture] = []
        self.feed = ScreenFeed(str(place), wanted or Wanted(), self.pictures.append, fail)

    def step(self, everything=True):
        """The picture that the step made, if any; with `everything`, looks and seconds are due."""
        before = len(self.pictures)
        if everything:
            self.feed._next_look = self.feed._next_second = 0
        self.feed._next_picture = 0
        self.feed.step(clock.monotonic_ns())
        return self.pictures[-1] if len(self.pictures) > before else None

    def close(self):
        self.feed._leave()


@pytest.fixture
def directory(shm_dir):
    return open_directory(shm_dir)


@pytest.fixture
def stepped(shm_dir):
    made = []

    def make(wanted=None, place=None):
        made.append(Stepped(place or shm_dir, wanted))
        return made[-1]

    yield make
    for one in made:
        one.close()


def book_of(picture, symbol="BTC-USD", set_name="kraken"):
    return next(book for book in picture.books if book.key == (set_name, symbol))


class TestNothingThere:
    def test_no_directory_is_a_sentence_and_what_to_do(self, stepped, shm_dir):
        feed = stepped(place=shm_dir / "none")
        picture = feed.step()
        assert (picture.sets, picture.books) == ((), ())
        assert "alphapulse collect" in picture.advice

    def test_an_empty_directory_too(self, stepped):
        assert "alphapulse demo" in stepped().step().advice

    def test_what_was_asked_for_is_named_with_what_there_is(self, stepped, directory):
        with Writer(directory):
            picture = stepped(Wanted.of(["coinbase"], None)).step()
        assert "coinbase" in picture.advice
        assert "there are: kraken" in picture.advice

    def test_a_directory_that_comes_later_is_found_and_one_that_is_replaced_too(self, stepped, shm_dir):
        place = shm_dir / "later"
        feed = stepped(place=place)
        assert feed.step().books == ()
        for _ in range(2):
            with Writer(open_directory(place, create=True)) as writer:
                writer.snapshot(ladder(10))
                feed.step()
                assert book_of(feed.step()).status.state is BookState.LIVE
            shutil.rmtree(place)
            assert feed.step().books == ()


class TestBooks:
    def test_the_top_is_exact_and_so_is_the_ladder_of_a_watched_symbol(self, stepped, directory):
        with Writer(directory, ("BTC-USD", "ETH-USD")) as writer:
            for symbol in ("BTC-USD", "ETH-USD"):
                writer.snapshot(ladder(40), symbol)
            feed = stepped()
            feed.feed.watch(Watched("BTC-USD"))
            feed.step()
            dice = random.Random(4)
            for _ in range(30):
                writer.update(random_rows(dice))
                feed.step(everything=False)
            picture = feed.step()
            shown = book_of(picture)
            held = writer.book()
            assert shown.ladder.bids == held.bids(LADDER_LEVELS)
            assert shown.ladder.asks == held.asks(LADDER_LEVELS)
            assert (shown.bid, shown.ask) == (Fraction(held.best_bid()[0], UNIT), Fraction(held.best_ask()[0], UNIT))
            assert (shown.status.version, shown.status.state) == (writer.keepers["BTC-USD"].version, BookState.LIVE)
            assert book_of(picture, "ETH-USD").ladder is None

    def test_levels_that_moved_are_told_and_fade(self, stepped, directory, monkeypatch):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            feed.feed.watch(Watched("BTC-USD"))
            feed.step()
            writer.update([(1_000_000, 9, False), (1_000_001, 0, True)])
            moved = book_of(feed.step(everything=False)).ladder.moved
            assert {level: way for level, (way, _) in moved.items()} == {(False, 1_000_000): 1, (True, 1_000_001): -1}
            monkeypatch.setattr(book_feed, "FLASH_NS", 0)
            assert book_of(feed.step()).ladder.moved == {}

    def test_the_sparkline_gets_a_point_a_second(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            for _ in range(4):
                picture = feed.step()
            assert set(book_of(picture).mids) == {1_000_000.5 / UNIT}

    def test_only_what_is_wanted(self, stepped, directory):
        with Writer(directory, ("BTC-USD", "ETH-USD")) as writer:
            writer.trades(("1", 100, 1, 0), symbol="BTC-USD")
            writer.trades(("2", 100, 1, 0), symbol="ETH-USD")
            feed = stepped(Wanted.of(None, ["ETH-USD"]))
            feed.step()
            picture = feed.step()
        assert picture.symbols() == ["ETH-USD"]
        assert [trade.trade_id for trade in picture.trades] == ["2"]

    def test_no_picture_where_nothing_changed_and_never_two_within_a_fifteenth_of_a_second(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            assert feed.step() is not None
            assert feed.step(everything=False) is None
            writer.update([(1_000_000, 9, False)])
            assert feed.step(everything=False) is not None
            writer.update([(1_000_000, 8, False)])
            shown, due = len(feed.pictures), feed.feed._next_picture
            feed.feed.step(due - 1)
            assert len(feed.pictures) == shown
            feed.feed.step(due)
            assert book_of(feed.pictures[shown]).status.bid_size == "0.00000008"


class TestMoves:
    def test_new_grown_shrunk_and_gone(self):
        before, after = [(10, 5), (9, 5), (8, 5)], [(11, 1), (10, 6), (9, 4)]
        assert dict(moves(before, after, is_ask=False)) == {11: 1, 10: 1, 9: -1, 8: -1}

    def test_what_lies_beyond_the_end_of_a_cut_ladder_did_not_move(self):
        """A bid on top pushes the last one out of sight: that one is not gone."""
        before = [(1_000 - i, 1) for i in range(LADDER_LEVELS)]
        after = [(1_001, 1), *before[:-1]]
        assert moves(before, after, is_ask=False) == [(1_001, 1)]
        assert moves(after, before, is_ask=False) == [(1_001, -1)]


class TestTrades:
    def test_newest_first_and_the_last_one_with_its_book(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            writer.trades(("1", 100, 1, 0), ("2", 101, 1, 1))
            feed = stepped()
            feed.step()
            writer.trades(("3", 102, 1, 0))
            picture = feed.step()
        assert [trade.trade_id for trade in picture.trades] == ["3", "2", "1"]
        assert book_of(picture).last_trade.trade_id == "3"


class TestSetsThatEnd:
    def test_a_retired_one_is_stale_with_advice_and_its_successor_is_live_again(self, stepped, directory):
        feed = stepped()
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed.step()
            assert feed.step().advice == ""
        picture = feed.step()
        shown = book_of(picture)
        assert (shown.status.state, shown.status.reason, shown.bid) == (BookState.STALE, BookReason.RETIRED, None)
        assert "alphapulse collect --exchange kraken" in picture.advice
        with Writer(directory) as writer:
            writer.snapshot(ladder(20))
            feed.step()
            picture = feed.step()
            assert (book_of(picture).status.state, picture.sets[0].restarts) == (BookState.LIVE, 1)
            assert picture.advice == ""

    def test_a_silent_one_is_stale(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            feed.step()
            for one in (writer.outlet.deltas, writer.outlet.trades):
                one.segment.beat(1)
            assert book_of(feed.step()).status.state is BookState.STALE

    def test_a_lap_is_counted_and_the_book_is_exact_afterwards(self, stepped, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(40))
            feed = stepped()
            feed.feed.watch(Watched("BTC-USD"))
            feed.step()
            dice = random.Random(5)
            for _ in range(400):
                writer.update(random_rows(dice))
            feed.step()
            picture = feed.step()
            assert (picture.sets[0].laps, picture.sets[0].missed > 0) == (1, True)
            assert book_of(picture).ladder.bids == writer.book().bids(LADDER_LEVELS)

    @pytest.mark.skipif(build.core_mode() == "interpreted", reason="plain Python cannot handle a fault in the middle of an access")
    def test_a_ring_cut_short_is_left_and_what_comes_after_it_is_taken(self, stepped, directory, shm_dir):
        feed = stepped()
        writer = Writer(directory)
        writer.snapshot(ladder(10))
        feed.step()
        os.truncate(shm_dir / "kraken_orderbook_deltas", 0)
        feed.step()
        assert feed.step() is not None
        for path in shm_dir.glob("kraken_*"):
            path.unlink()
        with Writer(open_directory(shm_dir), set_name="other") as after:
            after.snapshot(ladder(10))
            feed.step()
            picture = feed.step()
            assert book_of(picture, set_name="other").status.state is BookState.LIVE
            (gone,) = [one for one in picture.sets if one.status.name == "kraken"]
            assert gone.status.liveness is None
            assert "kraken" in picture.advice

    def test_a_set_that_is_gone_is_attached_to_again(self, stepped, directory, monkeypatch):
        def gone(*_):
            raise SegmentGone("cut short")

        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            feed.step()
            with monkeypatch.context() as broken:
                broken.setattr(set_feed.OneSet, "drain", gone)
                feed.step(everything=False)
            assert book_of(feed.step()).status.state is BookState.LIVE


class TestSetsAndSegments:
    def test_new_sets_and_new_symbols_appear(self, stepped, directory):
        feed = stepped()
        with Writer(directory) as first:
            first.snapshot(ladder(10))
            feed.step()
            with Writer(directory, ("ETH-USD",), "coinbase", "coinbase") as second:
                second.snapshot(ladder(10), "ETH-USD")
                feed.step()
                picture = feed.step()
        assert {book.key for book in picture.books} == {("kraken", "BTC-USD"), ("coinbase", "ETH-USD")}
        assert [one.status.liveness for one in picture.sets] == [Liveness.LIVE] * 2

    def test_segments_their_rates_and_readers(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            feed.step()
            writer.update([(1_000_000, 9, False)])
            picture = feed.step()
        (ring,) = [row for row in picture.segments if row.name == "kraken_orderbook_deltas"]
        assert ring.records_per_s > 0
        assert [reader.label for reader in ring.readers] == ["tui deltas"]

    def test_every_stage_has_its_samples(self, stepped, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = stepped()
            feed.step()
            writer.outlet.counters.publish_latency.record(1_000)
            writer.outlet.counters.feed_delay.record(2_000_000)
            writer.update([(1_000_000, 9, False)])
            feed.step()
            picture = feed.step()
        stages = {stage.name: stage for stage in picture.sets[0].stages}
        assert list(stages) == ["exchange to received", "received to published", "received to seen here"]
        assert [stage.is_relative for stage in stages.values()] == [True, False, False]
        assert [stage.distribution.count > 0 for stage in stages.values()] == [True, True, True]


class TestArbitrage:
    def test_a_planted_crossing_is_told_exactly_only_while_looked_at_and_not_of_a_dead_book(self, stepped, directory):
        """2 units at 10,000.00 meet a bid of 3 at 10,100.00, fees 0.1 % each: 2 earn 200 - 20 - 20.20."""
        unit = 10**SIZE_DECIMALS
        feed = stepped()
        feed.feed._fees = {"kraken": "0.001", "coinbase": "0.001"}
        feed.feed._arbitrage_feed = arbitrage_feed.ArbitrageFeed(feed.feed._fees)
        with Writer(directory) as cheap:
            cheap.snapshot([(999_000, unit, False), (1_000_000, 2 * unit, True)])
            with Writer(directory, set_name="coinbase", exchange="coinbase") as dear:
                dear.snapshot([(1_010_000, 3 * unit, False), (1_020_000, unit, True)])
                feed.step()
                assert feed.step().arbitrage is None
                feed.feed.turn_to("arbitrage")
                told = feed.step().arbitrage
                (row,) = [row for row in told.rows if row.found is not None]
                assert (row.buy[0], row.sell[0], row.currency) == ("kraken", "coinbase", "USD")
                assert (row.found.size.text, row.found.net.text) == ("2", "159.8")
            feed.feed._arbitrage_feed._next = 0
            told = feed.step().arbitrage
            assert [row.found for row in told.rows] == [None, None]
            assert told.held_back == {RejectReason.NOT_LIVE: 2}
            (seen,) = told.seen
            assert (seen.buy, seen.sell, seen.best.net.text) == (("kraken", "BTC-USD"), ("coinbase", "BTC-USD"), "159.8")
            assert seen.is_from_start  # it was there when the looking began, so its life is no whole one
            assert seen.until_ns > seen.since_ns


class TestTheThread:
    def test_it_shows_pictures_until_it_is_stopped_and_leaves_no_cursor(self, directory, shm_dir):
        shown = threading.Event()
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            feed = ScreenFeed(str(shm_dir), Wanted(), lambda picture: shown.set() if picture.books else None, fail)
            feed.start()
            assert shown.wait(20)
            assert list_cursors(directory)
            feed.stop()
            assert not list_cursors(directory)

    def test_a_mistake_of_ours_is_told_and_ends_it(self, shm_dir):
        told, done = [], threading.Event()

        def failed(error):
            told.append(error)
            done.set()

        def show(picture):
            raise ZeroDivisionError

        feed = ScreenFeed(str(shm_dir), Wanted(), show, failed)
        feed.start()
        assert done.wait(20)
        feed.stop()
        assert isinstance(told[0], ZeroDivisionError)

    def test_stopped_before_it_began(self, shm_dir):
        ScreenFeed(str(shm_dir), Wanted(), fail, fail).stop()


class TestScorecards:
    """They are read for their screen alone."""

    @pytest.fixture
    def scored(self, shm_dir, directory):
        writer = Writer(directory)
        made = ScoresWriter(directory, "kraken", "kraken", 1, clock.monotonic_ns())
        made.row(RowKind.SYMBOL, "BTC-USD", clock.monotonic_ns()).add(Score.GAPS, 3)
        return writer

    def test_cost_nothing_while_another_screen_is_in_front(self, scored, stepped, monkeypatch):
        monkeypatch.setattr(feed, "cards", fail)
        assert stepped().step().cards is None

    def test_are_those_of_the_chosen_window(self, scored, stepped):
        made = stepped()
        made.feed.turn_to("feeds")
        for window in ("hour", "day", "start"):
            made.feed.judge(window)
            found = {(card.kind, card.symbol): card for card in made.step().cards}
            assert found["symbol", "BTC-USD"].gaps == 3
            assert {card.window for card in found.values()} == {window}
        made.feed.turn_to("tape")
        assert made.step().cards is None


assert SIZE_DECIMALS == 8  # what the sizes above are written with
