"""What `segments` tells of each file: never more than is true, and never a crash."""

import os

import pytest
from support.reader_sets import Writer, ladder

from alphapulse_cli.apps.segments import describe, sweep
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind


@pytest.fixture
def directory(tmp_path):
    with open_directory(tmp_path / "segments", create=True) as opened:
        yield opened


def rows(directory, between=lambda _: None):
    return {row.name: row for row in describe(directory, between)}


def test_a_living_set(directory):
    with Writer(directory) as writer:
        writer.snapshot(ladder(40))
        found = rows(directory)
        book, deltas = found["kraken_book_BTC-USD"], found["kraken_orderbook_deltas"]
        assert (book.state, book.book_state, book.levels, book.pid) == ("live", "LIVE", 40, os.getpid())
        assert (deltas.state, deltas.published) == ("live", writer.outlet.deltas.published)


def test_rates_are_of_what_came_between_two_looks(directory):
    with Writer(directory) as writer:
        writer.snapshot(ladder(40))

        def ten_more(_):
            for number in range(10):
                writer.update([(999_999, 5 + number, False)])

        assert rows(directory, ten_more)["kraken_orderbook_deltas"].records_per_s > 0
        assert rows(directory)["kraken_orderbook_deltas"].records_per_s == 0


def test_readers_with_their_lag(directory):
    with Writer(directory) as writer:
        reader = GroupReader(directory, "kraken", SegmentKind.DELTAS, label="a desk")
        writer.snapshot(ladder(40))
        (row,) = rows(directory)["kraken_orderbook_deltas"].readers
        assert (row.pid, row.label, row.alive) == (os.getpid(), "a desk", True)
        assert row.lag == writer.outlet.deltas.published > 0
        reader.poll(clock.monotonic_ns())
        (row,) = rows(directory)["kraken_orderbook_deltas"].readers
        assert row.lag == 0
        reader.close()
        assert rows(directory)["kraken_orderbook_deltas"].readers == []


def test_a_dead_writers_book_is_not_live(directory, monkeypatch):
    with Writer(directory) as writer:
        writer.snapshot(ladder(40))
        now = clock.monotonic_ns()
        monkeypatch.setattr(clock, "monotonic_ns", lambda: now + 3_000_000_000)
        book = rows(directory)["kraken_book_BTC-USD"]
        assert (book.state, book.book_state) == ("silent", "STALE")


def test_a_half_edited_book_is_called_that(directory):
    with Writer(directory) as writer:
        writer.snapshot(ladder(40))
        writer.keepers["BTC-USD"].image.begin()
        assert rows(directory)["kraken_book_BTC-USD"].book_state == "half edited"
        writer.keepers["BTC-USD"]._commit(writer.now_ns)


def test_damaged_and_foreign_files_are_rows_with_their_problem(directory):
    for name, octets in (("kraken_trades", b"x"), ("kraken_counters", bytes(8192))):
        (directory.path / name).write_bytes(octets)
        (directory.path / name).chmod(0o600)
    (directory.path / "kraken_orderbook_deltas").symlink_to("/etc/hostname")
    (directory.path / "nobody's").write_text("left alone")
    found = rows(directory)
    assert sorted(found) == ["kraken_counters", "kraken_orderbook_deltas", "kraken_trades"]
    assert all(row.problem for row in found.values())


def test_sweep_takes_what_ended_and_leaves_what_lives(directory):
    with Writer(directory, set_name="gone"):
        pass
    with Writer(directory):
        removed = sweep(directory)
        assert all(name.startswith("gone_") for name in removed)
        assert {"gone_orderbook_deltas", "gone_trades", "gone_counters", "gone_book_BTC-USD"} == set(removed)
        assert "kraken_trades" in rows(directory)
