"""The source of `serve`: every group and trade once, exact books, laps, restarts, states, and the history for copies that resume."""

import asyncio
import random

import pytest
from support.reader_sets import Writer, assert_same_book, kept_alive, ladder, random_rows

from alphapulse_cli.apps.serve import source as source_module
from alphapulse_cli.apps.serve.source import Batch, Source
from alphapulse_cli.errors import NoSegment, SegmentGone
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

KEY = ("kraken", "BTC-USD")


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(40), "ETH-USD")
        yield made


@pytest.fixture
def source(directory, writer):
    made = Source(directory, Wanted())
    yield made
    made.close()


def poll(source):
    return source.poll(clock.monotonic_ns())


def looked(source):
    """A poll that looks at the states, whenever the last one was."""
    source._states_after_ns = 0
    return poll(source)


class Gone:
    """A set's follower whose file was cut short under it."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def poll(self, *_):
        raise SegmentGone("the file was cut short")


def test_books_of_a_set_whose_files_went_away_are_told_as_stale(source, writer):
    """Their clients would take the last state for the present one."""
    assert {one.state for one in looked(source).states} == {BookState.LIVE}
    source._deltas.readers["kraken"] = Gone(source.followers["kraken"])
    batch = poll(source)
    assert batch.gone == ["kraken"]
    assert {(one.symbol, one.state, one.reason) for one in batch.states} == {
        ("BTC-USD", BookState.STALE, BookReason.SILENT),
        ("ETH-USD", BookState.STALE, BookReason.SILENT),
    }
    source._deltas._look_after_ns = 0  # the next look attaches to the set that has the name now
    assert {one.state for one in looked(source).states} == {BookState.LIVE}


class TestWhatIsNew:
    def test_a_group_has_its_records_and_what_they_say(self, source, writer):
        poll(source)
        writer.update(ladder(30, 5))
        (group,) = poll(source).groups
        assert (group.key, group.kind, group.version, group.prev_version) == (KEY, RecordKind.DELTA, 2, 1)
        assert group.change_count == 30
        assert len(group.records) == 3 * delta.DELTA_BYTES
        assert (group.epoch, group.is_backlog, group.replay) == (writer.outlet.epoch, False, False)
        assert_same_book(source.book(KEY), writer.book())
        assert not poll(source)

    def test_trades_have_their_place_in_the_ring(self, source, writer):
        poll(source)
        writer.trades(("a", 5, 6, 0), ("b", 7, 8, 1))
        one, two = poll(source).trades
        assert (one.item.trade_id, one.item.price, one.sequence) == ("a", "0.05", 0)
        assert (two.item.trade_id, two.item.side, two.sequence) == ("b", "sell", 1)
        assert len(one.record) == 128
        assert two.record[57:58] == b"b"

    def test_what_was_there_before_is_marked(self, directory, writer):
        writer.update([(7, 3, False)])
        writer.trades(("a", 5, 6, 0))
        source = Source(directory, Wanted())
        batch = poll(source)
        assert [group.is_backlog for group in batch.groups] == [True] * len(batch.groups)
        assert batch.groups[-1].version == 2
        assert [one.is_backlog for one in batch.trades] == [True]
        writer.update([(7, 4, False)])
        assert [group.is_backlog for group in poll(source).groups] == [False]
        source.close()

    def test_only_what_is_wanted(self, directory, writer):
        source = Source(directory, Wanted.of(None, ["ETH-USD"]))
        writer.update([(7, 3, False)])
        writer.update([(7, 3, False)], "ETH-USD")
        writer.trades(("a", 5, 6, 0))
        batch = poll(source)
        assert {group.symbol for group in batch.groups} == {"ETH-USD"}
        assert batch.trades == []
        assert list(source.books) == [("kraken", "ETH-USD")]
        source.close()

    def test_nothing_there(self, directory):
        with pytest.raises(NoSegment):
            Source(directory, Wanted(), needed=True)
        source = Source(directory, Wanted())
        assert not poll(source)
        source.close()


class TestTrouble:
    def test_a_lap_is_told_and_the_book_healed(self, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(10))
            source = Source(directory, Wanted())
            poll(source)
            before = writer.outlet.deltas.published
            dice = random.Random(3)
            for _ in range(300):
                writer.update(random_rows(dice))
            batch = poll(source)
            (lost,) = batch.missed
            assert (lost.set_name, lost.ring) == ("kraken", "deltas")
            got = sum(len(group.records) // delta.DELTA_BYTES for group in batch.groups)
            assert lost.missed + got == writer.outlet.deltas.published - before
            assert_same_book(source.book(KEY), writer.book())
            source.close()

    def test_a_new_writer_is_told(self, directory):
        with Writer(directory) as first:
            first.snapshot(ladder(10))
            source = Source(directory, Wanted())
            poll(source)
        with Writer(directory) as second:
            second.snapshot(ladder(12))
            batch = poll(source)
            assert {(one.ring, one.epoch) for one in batch.restarted} >= {("deltas", second.outlet.epoch)}
            assert {group.epoch for group in batch.groups} <= {second.outlet.epoch}
            assert_same_book(source.book(KEY), second.book())
            assert source.since(KEY, second.outlet.epoch - 1, 1, 1) is None
        source.close()

    def test_states_that_changed(self, directory):
        with Writer(directory) as writer:
            writer.snapshot(ladder(10))
            source = Source(directory, Wanted())
            (state,) = looked(source).states
            assert (state.state, state.reason) == (BookState.LIVE, BookReason.NONE)
            assert looked(source).states == []
        (state,) = looked(source).states
        assert (state.state, state.reason) == (BookState.STALE, BookReason.RETIRED)
        assert source.states[KEY] == state
        source.close()


class TestHistory:
    def test_leads_from_a_version_to_another(self, source, writer):
        poll(source)
        for lots in range(1, 10):
            writer.update([(7, lots, False)])
            writer.check()
        poll(source)
        epoch = writer.outlet.epoch
        chain = source.since(KEY, epoch, 4, 10)
        assert [group.version for group in chain if group.kind == RecordKind.DELTA] == [5, 6, 7, 8, 9, 10]
        assert sum(group.kind == RecordKind.CHECK for group in chain) == 6
        assert source.since(KEY, epoch, 10, 10) == []
        assert source.since(KEY, epoch, 11, 10) is None
        assert source.since(KEY, epoch + 1, 4, 10) is None
        assert source.since(("kraken", "nonesuch"), epoch, 4, 10) is None

    def test_is_bounded_and_never_gives_a_part(self, source, writer, monkeypatch):
        monkeypatch.setattr(source_module, "KEPT_BYTES", 20 * delta.DELTA_BYTES)
        poll(source)
        for lots in range(1, 50):
            writer.update([(7, lots, False)])
            poll(source)
        assert [group.version for group in source.since(KEY, writer.outlet.epoch, 35, 50) or ()] == list(range(36, 51))
        assert source.since(KEY, writer.outlet.epoch, 20, 50) is None

    def test_it_was_in_the_ring_before_the_source_began(self, directory, writer):
        for lots in range(1, 50):
            writer.update([(7, lots, False)])
        source = Source(directory, Wanted())
        poll(source)
        assert [group.version for group in source.since(KEY, writer.outlet.epoch, 10, 50) or ()] == list(range(11, 51))
        source.close()


class TestRunning:
    def test_a_sleeping_source_is_woken_and_every_listener_is_called_once_a_batch(self, source, writer):
        got: list[Batch] = []
        others: list[Batch] = []
        came = asyncio.Event()

        def broken(batch):
            others.append(batch)
            came.set()
            raise ValueError("a listener's own mistake")

        source.listeners += [broken, got.append]

        async def run():
            running = asyncio.create_task(source.run())
            async with asyncio.timeout(30):
                for lots in range(1, 21):
                    writer.update([(7, lots, False)])
                    while not any(group.version == lots + 1 for batch in got for group in batch.groups):
                        await came.wait()
                        came.clear()
            running.cancel()
            await asyncio.wait([running])

        with kept_alive(writer):
            asyncio.run(run())
        assert got == others
        assert source.failures == len(got)
        groups = [group for batch in got for group in batch.groups if group.key == KEY and group.prev_version]
        assert [group.version for group in groups if group.kind == RecordKind.DELTA] == list(range(2, 22))
