"""Counters: one table, one writer, any reader."""

import pytest

from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm.counters import HISTOGRAMS, Counter, CountersReader, CountersWriter, counters_spec
from alphapulse_cli.shm.segment import Segment


@pytest.fixture
def writer(directory):
    made = Segment.create(directory, counters_spec("kraken", "kraken", 1, 3))
    made.ready()
    return CountersWriter(made)


@pytest.fixture
def reader(directory, writer):
    return CountersReader(Segment.attach(directory, "kraken_counters"))


class TestTheTable:
    def test_each_counter_has_a_unit_a_meaning_and_its_own_place(self):
        assert [int(counter) for counter in Counter] == list(range(len(Counter)))
        assert all(counter.unit and counter.meaning for counter in Counter)
        assert Counter.BOOK_UPDATES.label == "book_updates"


class TestCounting:
    def test_what_is_added_is_read_elsewhere(self, writer, reader):
        writer.block("").add(Counter.FRAMES)
        writer.block("BTC-USD").add(Counter.CHANGES, 12)
        writer.block("BTC-USD").add(Counter.CHANGES, 3)
        blocks = reader.blocks()
        assert list(blocks) == ["", "BTC-USD"]
        assert (blocks[""]["frames"], blocks["BTC-USD"]["changes"], blocks["BTC-USD"]["frames"]) == (1, 15, 0)

    def test_a_block_is_the_same_each_time(self, writer):
        assert writer.block("BTC-USD") is writer.block("BTC-USD")

    def test_last_values_may_be_negative_and_are_not_summed(self, writer, reader):
        writer.block("").set(Counter.FEED_DELAY_US, -250)
        writer.block("BTC-USD").set(Counter.FEED_DELAY_US, 9)
        writer.block("BTC-USD").add(Counter.GAPS, 2)
        writer.block("").add(Counter.GAPS)
        assert writer.block("").get(Counter.FEED_DELAY_US) == -250
        assert (reader.total()["feed_delay_us"], reader.total()["gaps"]) == (-250, 3)

    def test_a_block_beyond_the_capacity_is_refused(self, writer):
        for symbol in ("A-B", "C-D", "E-F"):
            writer.block(symbol)
        with pytest.raises(StorageError, match="room for 4 counter blocks"):
            writer.block("G-H")

    @pytest.mark.parametrize("counter", [-1, 56, 1000])
    def test_what_is_no_counter_is_refused(self, writer, counter):
        block = writer.block("")
        for call in (lambda: block.add(counter), lambda: block.set(counter, 1), lambda: block.get(counter)):
            with pytest.raises(IndexError):
                call()

    def test_blocks_do_not_touch_their_neighbours(self, writer, reader):
        for symbol in ("A-B", "C-D"):
            for counter in Counter:
                writer.block(symbol).set(counter, 1)
        assert set(reader.blocks()[""].values()) == {0}
        assert [set(reader.blocks()[symbol].values()) for symbol in ("A-B", "C-D")] == [{1}, {1}]


class TestHistograms:
    def test_they_lie_behind_the_blocks(self, writer, reader):
        writer.publish_latency.record(1500)
        writer.feed_delay.record(-5)
        found = reader.histograms()
        assert list(found) == [name for name, _ in HISTOGRAMS]
        assert (found["publish_latency_ns"].count, found["feed_delay_ns"].below_zero) == (1, 1)
        assert set(reader.blocks()[""].values()) == {0}
