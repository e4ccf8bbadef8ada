"""The book image: edited in one process, copied whole or not at all. With several processes: tests/stress/test_image_stress.py."""

import struct

import pytest

from alphapulse_cli import native
from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm import clock, layout, segment
from alphapulse_cli.shm.image import ImageReader, ImageWriter, book_spec
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.segment import Segment


def level(ticks, lots):
    return struct.pack("<qq", ticks, lots)


def write(writer, version, bids, asks):
    writer.begin()
    writer.bids[: 16 * len(bids)] = b"".join(level(*one) for one in bids)
    writer.asks[: 16 * len(asks)] = b"".join(level(*one) for one in asks)
    writer.commit(version, 1000 + version, 2000 + version, len(bids), len(asks), 3000 + version, 2, 1, 1, 2, 8)


BIDS, ASKS = [(90, 1), (95, 2), (99, 3)], [(110, 4), (101, 5)]


@pytest.fixture
def writer(directory):
    made = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, levels=8, slot=3))
    made.ready()
    return ImageWriter(made)


@pytest.fixture
def reader(directory, writer):
    return ImageReader(Segment.attach(directory, "kraken_book_BTC-USD"))


class TestCopies:
    def test_a_copy_is_what_was_committed(self, writer, reader):
        write(writer, 7, BIDS, ASKS)
        copy = reader.copy()
        assert copy.bids == b"".join(level(*one) for one in BIDS)
        assert copy.asks == b"".join(level(*one) for one in ASKS)
        assert copy[1 : 13 - 1] == (7, 2007, 1007, 3, 2, 3007, 2, 1, 1, 2, 8)
        assert copy.seq % 2 == 0
        assert reader.version() == 7

    def test_a_new_image_is_an_empty_book(self, reader):
        assert reader.copy()[:6] == (0, 0, 0, 0, 0, 0)

    def test_the_best_levels_are_the_last(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        top = reader.top(2)
        assert top.bids == level(95, 2) + level(99, 3)
        assert top.asks == level(110, 4) + level(101, 5)
        assert (top.bid_count, top.ask_count) == (3, 2)

    def test_a_peek_has_words_and_no_levels(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        assert (reader.peek().version, reader.peek().bids, reader.peek().asks) == (1, b"", b"")

    def test_nothing_is_copied_in_the_middle_of_an_edit(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        writer.begin()
        assert (reader.copy(), reader.top(1), reader.peek()) == (None, None, None)
        write(writer, 2, BIDS, ASKS)
        assert reader.copy().version == 2

    def test_an_edit_that_was_begun_twice_is_still_one(self, writer, reader):
        """As after an error between `begin` and `commit`."""
        writer.begin()
        write(writer, 1, BIDS, ASKS)
        assert reader.copy().version == 1

    def test_a_status_changes_the_state_alone(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        before = reader.copy()
        writer.set_status(3, 5)
        after = reader.copy()
        assert after == before._replace(seq=before.seq + 2, state=3, reason=5)

    def test_counts_beyond_the_capacity_are_no_copy(self, writer, reader):
        """A hostile count must not become a giant read."""
        write(writer, 1, BIDS, ASKS)
        native.words(writer.segment.memory)[layout.IMAGE_WORD + 4] = 9
        assert reader.copy() is None

    def test_all_bits_of_a_word_survive(self, writer, reader):
        writer.begin()
        writer.commit(layout.ALIVE, layout.ALIVE, layout.ALIVE, 0, 0, layout.ALIVE, 2, 0, 0, 18, 18)
        assert reader.copy().book_hash == layout.ALIVE


class TestCheckpoints:
    def test_there_is_none_until_one_is_made(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        assert reader.copy_checkpoint() is None

    def test_it_stays_as_it_was_while_the_book_goes_on(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        writer.checkpoint()
        live = reader.copy()
        writer.begin()
        writer.bids[:16] = level(1, 1)
        kept = reader.copy_checkpoint()
        assert kept[1:] == live[1:]

    def test_a_new_one_replaces_it(self, writer, reader):
        write(writer, 1, BIDS, ASKS)
        writer.checkpoint()
        write(writer, 2, ASKS, BIDS)
        writer.checkpoint()
        assert reader.copy_checkpoint()[1:] == reader.copy()[1:]


class TestGrowth:
    def test_the_same_book_in_a_larger_file_and_the_old_one_says_replaced(self, directory, writer, reader):
        write(writer, 5, BIDS, ASKS)
        before = reader.copy()
        larger = writer.resized(9)
        assert larger.capacity == 16
        assert reader.segment.state is State.REPLACED
        again = ImageReader(Segment.attach(directory, "kraken_book_BTC-USD"))
        copy = again.copy()
        assert copy is not None
        assert copy[1:] == before[1:]
        assert again.segment.spec.request_slot == 3
        assert again.segment.is_live(clock.monotonic_ns())
        write(larger, 6, BIDS * 4, ASKS)
        assert again.copy().bid_count == 12
        assert directory.names() == ["kraken_book_BTC-USD"]

    def test_without_room_nothing_changed(self, directory, writer, reader, monkeypatch):
        write(writer, 5, BIDS, ASKS)

        def full(fd, size):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(segment, "allocate", full)
        with pytest.raises(StorageError, match="No space left"):
            writer.resized(1000)
        assert reader.segment.state is State.READY
        assert reader.copy().version == 5
        assert directory.names() == ["kraken_book_BTC-USD"]
