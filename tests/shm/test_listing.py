"""What is in a directory, and what may be swept out of it."""

from support.shm_processes import child, ring_spec

from alphapulse_cli.errors import NotASegment
from alphapulse_cli.shm.image import book_spec
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.listing import list_segments, sweep
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage


def made(directory, spec):
    opened = Segment.create(directory, spec)
    opened.ready()
    return opened


class TestListing:
    def test_segments_and_what_only_looks_like_one(self, directory):
        made(directory, ring_spec())
        made(directory, book_spec("other", "kraken", "BTC-USD", 1))
        (directory.path / "kraken_trades").touch(0o600)
        (directory.path / "notes.txt").touch()
        found = list(list_segments(directory))
        assert [one.name for one in found] == ["kraken_orderbook_deltas", "kraken_trades", "other_book_BTC-USD"]
        assert isinstance(found[1].problem, NotASegment)
        assert [one.segment is None for one in found] == [False, True, False]
        assert [one.name for one in list_segments(directory, "other")] == ["other_book_BTC-USD"]


class TestSweeping:
    def test_the_retired_and_the_silent_go_the_living_stay(self, directory):
        made(directory, ring_spec()).retire()
        silent = made(directory, ring_spec(set_name="silent"))
        silent.beat(1)
        made(directory, ring_spec(set_name="living"))
        WakePage.open(directory, "kraken", create=True)
        removed = sweep(directory)
        assert removed == ["kraken_orderbook_deltas", "silent_orderbook_deltas"]
        left = directory.names()
        assert "living_orderbook_deltas" in left
        assert {"kraken.wake", "silent.lock"} <= set(left)
        assert silent.state is State.REPLACED, "its readers look for a successor"

    def test_a_set_whose_lock_is_held_is_left_alone_even_if_it_is_silent(self, directory):
        """Its writer may only hang, or be about to begin."""
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            holder.line()
            made(directory, ring_spec()).beat(1)
            assert sweep(directory) == []
        with Lease.acquire(directory, "kraken"):
            assert sweep(directory) == []
            assert sweep(directory, held="kraken") == ["kraken_orderbook_deltas"]

    def test_what_a_dead_writer_never_finished_goes_and_a_living_ones_stays(self, directory):
        Segment.create(directory, ring_spec())
        (directory.path / ".new-999999999-1-0").touch(0o600)
        assert sweep(directory) == [".new-999999999-1-0"]
        assert len(directory.names()) == 1

    def test_what_cannot_be_understood_is_left_alone(self, directory):
        (directory.path / "kraken_trades").write_bytes(b"somebody's notes")
        assert sweep(directory) == []
