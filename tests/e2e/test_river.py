"""The river from end to end: `alphapulse demo` as one real process tree, and every reader of it as another process.

No network: simulated exchanges that speak the real protocols over loopback, a collector each, shared memory in a directory of its own.
"""

import os
import signal
from pathlib import Path

import pytest
from e2e_support import exact, wait_for, wait_until_live, writer_pid
from shm_processes import child

from alphapulse_cli.apps.api import Book

EXCHANGES = ("kraken", "coinbase", "binance-us")
SYMBOLS = ("BTC-USD", "ETH-USD")


@pytest.fixture(scope="module")
def demo(module_alphapulse):
    """The demo, once the books of all three exchanges are LIVE."""
    process = module_alphapulse.start("demo", "--symbols", ",".join(SYMBOLS), "--json")
    for name in EXCHANGES:
        wait_until_live(module_alphapulse.shm_dir, name, SYMBOLS)
    return process


def read(alphapulse, name, symbol, depth=None):
    return Book(name, symbol, shm_dir=str(alphapulse.shm_dir)).read(depth)


def is_gone(pid):
    """Whether no such process is left, zombies aside."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestTheDemo:
    def test_three_exchanges_books_move(self, demo, module_alphapulse):
        for name in EXCHANGES:
            before = max(read(module_alphapulse, name, symbol, 1).version for symbol in SYMBOLS)
            wait_until_live(module_alphapulse.shm_dir, name, SYMBOLS, after_version=before)

    def test_the_books_are_of_a_real_size_and_of_one_market(self, demo, module_alphapulse):
        """Coinbase's BTC-USD has more than 40,000 levels; the three mids are within a hundredth of one another."""
        books = {name: read(module_alphapulse, name, "BTC-USD") for name in EXCHANGES}
        assert len(books["coinbase"].bids) + len(books["coinbase"].asks) > 40_000
        mids = [int(book.bids[0, 0] + book.asks[0, 0]) / 10**book.price_decimals for book in books.values()]
        assert max(mids) / min(mids) < 1.01


class TestALateReader:
    def test_of_the_largest_book_is_proved_by_the_writers_checks(self, demo, module_alphapulse):
        """Coinbase, joined in the middle: every CHECK agrees, and no group was missed."""
        with child("e2e_support:follow_set", module_alphapulse.shm_dir, "coinbase", 2 * len(SYMBOLS)) as reader:
            assert (reader.line(), reader.line()) == ("attached", "proved")
            reader.say()
            told = reader.line()
        assert (told["missed"], told["breaks"], told["checks_bad"]) == (0, 0, 0)
        assert len(told["books"]["BTC-USD"]) > 40_000


class TestTheEnd:
    """Last in this module: it ends the demo."""

    def test_a_killed_collector_is_started_again_and_a_reader_follows(self, demo, module_alphapulse):
        shm_dir = module_alphapulse.shm_dir
        first = writer_pid(shm_dir, "kraken")
        with child("e2e_support:follow_set", shm_dir, "kraken") as reader:
            assert reader.line() == "attached"
            os.kill(first, signal.SIGKILL)
            second = wait_for(lambda: writer_pid(shm_dir, "kraken") not in (first, 0) and writer_pid(shm_dir, "kraken"), "another")
            wait_until_live(shm_dir, "kraken", SYMBOLS)
            os.kill(demo.pid, signal.SIGTERM)
            demo.communicate(timeout=30)
            reader.say()
            told = reader.line()
        assert demo.returncode == 0
        assert {symbol: exact(rows) for symbol, rows in told["books"].items()} == {
            symbol: exact(read(module_alphapulse, "kraken", symbol).rows()) for symbol in SYMBOLS
        }
        assert told["checks_bad"] == 0
        assert is_gone(second)

    def test_nothing_is_left_but_retired_segments(self, demo, module_alphapulse):
        for name in EXCHANGES:
            assert is_gone(writer_pid(module_alphapulse.shm_dir, name))
            book = read(module_alphapulse, name, "BTC-USD", 1)
            assert (book.state.name, len(book.bids)) == ("STALE", 1)
