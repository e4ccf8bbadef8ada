"""The river from end to end: `alphapulse demo` as one real process tree, and every reader of it as another process.

No network: simulated exchanges that speak the real protocols over loopback, a collector each, shared memory in a directory of its own.
"""

import csv
import json
import os
import shlex
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from support.e2e import exact, verified, wait_for, wait_until_live, writer_pid
from support.shm_processes import child

from alphapulse_cli.readers.api import Book

EXCHANGES = ("kraken", "coinbase", "binance-us")
SYMBOLS = ("BTC-USD", "ETH-USD")


class Demos:
    """The demo of this module: started when a test wants it, and again after one that ended it; so the tests may run in any order."""

    def __init__(self, alphapulse):
        self._alphapulse, self._process = alphapulse, None

    def running(self):
        """Its process, once the books of all three exchanges are LIVE."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._alphapulse.start("demo", "--symbols", ",".join(SYMBOLS), "--json")
            for name in EXCHANGES:
                wait_until_live(self._alphapulse.shm_dir, name, SYMBOLS)
        return self._process

    def ended(self):
        """Its process, ended as a service manager ends it."""
        process = self.running() if self._process is None else self._process
        process.terminate()
        process.communicate(timeout=30)
        return process


@pytest.fixture(scope="module")
def demos(module_alphapulse):
    return Demos(module_alphapulse)


@pytest.fixture
def demo(demos):
    return demos.running()


@pytest.fixture
def ended_demo(demos):
    return demos.ended()


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
        """Coinbase's BTC-USD has more than 40,000 levels; the three mids are within a hundredth of one another.

        Not at every moment: takers may have had a side's best levels, and no maker stepped in yet.
        """
        coinbase = read(module_alphapulse, "coinbase", "BTC-USD")
        assert len(coinbase.bids) + len(coinbase.asks) > 40_000

        def are_one():
            tops = [read(module_alphapulse, name, "BTC-USD", 1) for name in EXCHANGES]
            mids = [int(book.bids[0, 0] + book.asks[0, 0]) / 10**book.price_decimals for book in tops]
            return max(mids) / min(mids) < 1.01

        wait_for(are_one, "three mids within a hundredth")


def rows_of(done):
    """The JSON objects of a command's stdout; it must have ended well."""
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def levels_of(row):
    """{(side, price): size} of a row of `reconstruct`."""
    return exact([("bid", *level) for level in row["bids"]] + [("ask", *level) for level in row["asks"]])


class TestTail:
    def test_deltas_are_whole_groups_in_unbroken_chains(self, demo, module_alphapulse):
        """One JSON object a group, of all three exchanges; each book's versions follow on one another."""
        rows = rows_of(module_alphapulse("tail", "deltas", "--json", "--duration", "2s"))
        assert {row["exchange"] for row in rows} == set(EXCHANGES)
        versions: dict[tuple[str, str], int] = {}
        for row in rows:
            book = row["exchange"], row["symbol"]
            assert versions.get(book, row["prev_version"]) == row["prev_version"]
            assert row["version"] - row["prev_version"] == (row["kind"] == "DELTA")
            assert bool(row.get("changes")) == (row["kind"] == "DELTA")
            versions[book] = row["version"]
        assert len(versions) == len(EXCHANGES) * len(SYMBOLS)

    def test_its_lines_alone_lead_from_one_book_to_the_next(self, demo, module_alphapulse):
        """What `reconstruct` printed, and the changes that `tail` printed since, in a dict of decimals: what it prints later."""
        asked = ("reconstruct", "--symbol", "kraken:BTC-USD", "--format", "json")
        [before] = rows_of(module_alphapulse(*asked))
        wait_until_live(module_alphapulse.shm_dir, "kraken", ["BTC-USD"], after_version=before["version"] + 20)
        [after] = rows_of(module_alphapulse(*asked))
        assert after["version"] > before["version"] + 20
        book = levels_of(before)
        for row in rows_of(module_alphapulse("tail", "deltas", "-s", "kraken:BTC-USD", "--from", "oldest", "--duration", "1s")):
            if row["kind"] == "DELTA" and before["version"] < row["version"] <= after["version"]:
                book.update({(side, Decimal(price)): Decimal(size) for side, price, size in row["changes"]})
        assert {place: size for place, size in book.items() if size} == levels_of(after)

    def test_trades_into_head_end_quietly(self, demo, module_alphapulse):
        """Both ends of the pipe with 0, nothing on stderr, as many lines as head took."""
        command = shlex.join([*module_alphapulse.command, "tail", "trades", "--json"])
        done = subprocess.run(
            ["bash", "-c", f'{command} | head -n 3; echo "${{PIPESTATUS[*]}}"'],
            capture_output=True,
            text=True,
            env=module_alphapulse.environment(),
            cwd=module_alphapulse.directory,
            timeout=60,
        )
        *lines, codes = done.stdout.splitlines()
        assert (codes, done.stderr) == ("0 0", "")
        trades = [json.loads(line) for line in lines]
        assert len(trades) == 3
        assert {trade["side"] for trade in trades} <= {"buy", "sell"}
        assert all(Decimal(trade["price"]) > 0 and Decimal(trade["size"]) > 0 for trade in trades)


class TestReconstruct:
    ASKED = ("reconstruct", "--symbol", "BTC-USD", "--depth", "10")

    def test_json_is_one_object_a_book(self, demo, module_alphapulse):
        rows = rows_of(module_alphapulse(*self.ASKED, "--format", "json"))
        assert [row["set"] for row in rows] == sorted(EXCHANGES)
        for row in rows:
            assert (row["state"], len(row["bids"]), len(row["asks"])) == ("LIVE", 10, 10)
            bids, asks = ([Decimal(price) for price, _ in row[side]] for side in ("bids", "asks"))
            assert (bids, asks) == (sorted(bids, reverse=True), sorted(asks))
            assert bids[0] < asks[0]

    def test_csv_is_one_line_a_level(self, demo, module_alphapulse):
        done = module_alphapulse(*self.ASKED, "--format", "csv")
        rows = list(csv.DictReader(done.stdout.splitlines()))
        assert done.code == 0
        assert len(rows) == len(EXCHANGES) * 20
        assert {(row["symbol"], row["state"]) for row in rows} == {("BTC-USD", "LIVE")}

    def test_a_table_shows_every_book(self, demo, module_alphapulse):
        done = module_alphapulse(*self.ASKED, "--format", "table")
        assert (done.code, done.stderr) == (0, "")
        for name in EXCHANGES:
            assert f"{name}:BTC-USD  LIVE" in done.stdout

    def test_every_book_is_proved(self, demo, module_alphapulse):
        rows = rows_of(verified(module_alphapulse))
        assert {(row["exchange"], row["symbol"]) for row in rows} == {(name, symbol) for name in EXCHANGES for symbol in SYMBOLS}
        assert {(row["verdict"], row["image"], row["checks_bad"]) for row in rows} == {("proved", "equal", 0)}
        assert all(row["checks_ok"] for row in rows)
        assert all(row["checksums_ok"] and not row["checksums_bad"] for row in rows if row["exchange"] == "kraken")


class TestLookingAround:
    def test_segments_names_writers_and_readers(self, demo, module_alphapulse):
        """Of each set its rings, images and counters, live, with their writer's pid; and a reader that is attached, with its lag."""
        tail = module_alphapulse.start("tail", "deltas", "--exchange", "kraken", "--json")
        assert tail.stdout.readline()
        rows = rows_of(module_alphapulse("segments"))
        tail.kill()
        tail.wait(10)
        assert len(rows) == len(EXCHANGES) * (3 + len(SYMBOLS))
        assert {(row["state"], row["problem"]) for row in rows} == {("live", "")}
        for name in EXCHANGES:
            assert {row["pid"] for row in rows if row["set_name"] == name} == {writer_pid(module_alphapulse.shm_dir, name)}
        [deltas] = [row for row in rows if row["segment"] == "kraken_orderbook_deltas"]
        assert [reader["pid"] for reader in deltas["readers"]] == [tail.pid]

    def test_doctor_finds_nothing_that_does_not_work(self, demo, module_alphapulse):
        rows = rows_of(module_alphapulse("doctor"))
        assert {row["verdict"] for row in rows} <= {"ok", "warn"}
        assert {row["check"] for row in rows if row["found"] == "live"} == {f"set {name}" for name in EXCHANGES}


class TestALateReader:
    def test_of_the_largest_book_is_proved_by_the_writers_checks(self, demo, module_alphapulse):
        """Coinbase, joined in the middle: every CHECK agrees, and no group was missed."""
        with child("support.e2e:follow_set", module_alphapulse.shm_dir, "coinbase", 2 * len(SYMBOLS)) as reader:
            assert (reader.line(), reader.line()) == ("attached", "proved")
            reader.say()
            told = reader.line()
        assert (told["missed"], told["breaks"], told["checks_bad"]) == (0, 0, 0)
        assert len(told["books"]["BTC-USD"]) > 40_000


class TestTheEnd:
    def test_a_killed_collector_is_started_again_and_a_reader_follows(self, demo, module_alphapulse):
        shm_dir = module_alphapulse.shm_dir
        first = writer_pid(shm_dir, "kraken")
        with child("support.e2e:follow_set", shm_dir, "kraken") as reader:
            assert reader.line() == "attached"
            os.kill(first, signal.SIGKILL)
            second = wait_for(lambda: writer_pid(shm_dir, "kraken") not in (first, 0) and writer_pid(shm_dir, "kraken"), "another")
            wait_until_live(shm_dir, "kraken", SYMBOLS, written_by=second)
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

    def test_nothing_is_left_but_retired_segments(self, ended_demo, module_alphapulse):
        for name in EXCHANGES:
            assert is_gone(writer_pid(module_alphapulse.shm_dir, name))
            book = read(module_alphapulse, name, "BTC-USD", 1)
            assert (book.state.name, len(book.bids)) == ("STALE", 1), (name, book)

    def test_what_is_not_live_is_not_called_proved(self, ended_demo, module_alphapulse):
        """The last books can still be printed, and say what they are; --verify finds nobody to prove anything: 3."""
        done = module_alphapulse("reconstruct", "--symbol", "kraken:BTC-USD", "--depth", "1")
        assert (done.code, json.loads(done.stdout)["state"]) == (0, "STALE")
        assert "kraken:BTC-USD is not live: STALE" in done.stderr
        assert module_alphapulse("reconstruct", "--verify", "--duration", "100ms").code == 3
