"""The trading status in every output: what programs and people read of a market that takes no orders, and of a writer that tells nothing."""

import json

import pytest
from support.reader_sets import Writer, kept_alive

import alphapulse_cli as ap
from alphapulse_cli.apps.reconstruct import Books
from alphapulse_cli.apps.segments import describe
from alphapulse_cli.cli import board
from alphapulse_cli.cli.reconstruct import _state_words
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import BookStatus, state_words
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookReason, BookState

ROWS = [(9_900, 10**8, False), (10_000, 10**8, True)]
CANCEL_ONLY = TradingStatus.CANCEL_ONLY


def say(writer, status, symbol="BTC-USD"):
    keeper = writer.keepers[symbol]
    keeper.use_status(keeper.instrument.with_status(status, "a word"), TradingStatus.TRADING, clock.realtime_ns())


def make_old(directory):
    """As a writer of layout 1.1 would have left them: nothing but the number tells."""
    for name in ("kraken_book_BTC-USD", "kraken_orderbook_deltas"):
        Segment.attach(directory, name, writable=True)._words.store_relaxed(layout.WORD["layout_minor"], 1)


@pytest.fixture
def there(shm_dir):
    with open_directory(shm_dir, create=True) as directory, Writer(directory) as writer:
        writer.snapshot(ROWS)
        say(writer, CANCEL_ONLY)
        with kept_alive(writer):
            yield directory, writer


class TestPrograms:
    def test_follow_and_book(self, there, shm_dir):
        _, writer = there
        with ap.follow("kraken", shm_dir=str(shm_dir)) as following, ap.Book("kraken", "BTC-USD", shm_dir=str(shm_dir)) as book:
            writer.beat()
            (update,) = following.poll()
            assert (update.state, update.trading_status, update.is_tradable) == (
                BookState.LIVE,
                ap.TradingStatus.CANCEL_ONLY,
                False,
            )
            assert (book.read().trading_status, book.read().is_tradable) == (CANCEL_ONLY, False)
            assert update.copy().trading_status is CANCEL_ONLY
            say(writer, TradingStatus.LIMIT_ONLY)
            (update,) = following.poll()  # the version is the same: the status alone is news
            assert (update.trading_status, update.is_tradable) == (TradingStatus.LIMIT_ONLY, True)
            assert following.poll() == []

    def test_reconstruct_segments_and_board(self, there):
        directory, _ = there
        books = Books(directory, Wanted(), "sleep")
        (view,) = books.views(1)
        books.close()
        assert (view.row()["state"], view.row()["trading_status"]) == ("LIVE", "CANCEL_ONLY")
        assert _state_words(view) == "LIVE, cancel only"
        (row,) = [one for one in describe(directory, lambda _: None) if one.kind == "book"]
        assert (row.book_state, row.trading_status) == ("LIVE", "CANCEL_ONLY")

    def test_an_older_writer_tells_nothing(self, there, shm_dir):
        """Null, never TRADING and never UNKNOWN; and its books may be traded on as before."""
        directory, _ = there
        make_old(directory)
        books = Books(directory, Wanted(), "sleep")
        (view,) = books.views(1)
        books.close()
        assert view.row()["trading_status"] is None
        assert _state_words(view) == "LIVE"
        with ap.Book("kraken", "BTC-USD", shm_dir=str(shm_dir)) as book:
            assert (book.read().trading_status, book.read().is_tradable) == (None, True)


class TestCommands:
    def test_tail_and_reconstruct_and_segments(self, alphapulse, there):
        """As processes of their own."""
        told = alphapulse("tail", "deltas", "--from", "oldest", "--count", "3", "--json").stdout.splitlines()
        assert [json.loads(line).get("trading_status") for line in told] == [None, "TRADING", "CANCEL_ONLY"]
        shown = alphapulse("segments", "--json").stdout.splitlines()
        assert [json.loads(line)["trading_status"] for line in shown if '"kind":"book"' in line] == ["CANCEL_ONLY"]


class TestWords:
    def test_of_boards_and_of_the_live_screen(self):
        status = BookStatus("kraken", "BTC-USD", BookState.LIVE, BookReason.NONE, trading_status=CANCEL_ONLY)
        assert state_words(status) == "LIVE, cancel only"
        status.state, status.reason = BookState.STALE, BookReason.SILENT
        assert state_words(status) == "STALE silent, cancel only"
        for said in (None, TradingStatus.TRADING):
            status.trading_status = said
            assert state_words(status) == "STALE silent"

    def test_a_halted_book_is_nobodys_best(self):
        def book(exchange, bid, status):
            return BookStatus(exchange, "BTC-USD", BookState.LIVE, BookReason.NONE, bid=bid, ask="200", trading_status=status)

        halted, one, other = (
            book("kraken", "150", CANCEL_ONLY),
            book("coinbase", "100", TradingStatus.TRADING),
            book("binance", "99", None),
        )
        assert board._best([halted, one, other])[0] is one
