"""A set's segments: made by one writer, replaced by the next, retired at the end; nothing half made stays."""

import os
import subprocess
import sys

import pytest
from support.flow_parts import Desk, Replica, listed

from alphapulse_cli.errors import StorageError, UsageError, WriterAlive
from alphapulse_cli.flow.outlet import CHECKPOINT_PAUSE_NS, Outlet
from alphapulse_cli.shm import clock, layout, segment
from alphapulse_cli.shm.counters import Counter, CountersReader
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.shm.wake import WakePage

BTC, ETH = listed("kraken"), listed("kraken", "ETH-USD")
NAMES = ["kraken_counters", "kraken_orderbook_deltas", "kraken_trades"]
RECORD = bytes(256)


def opened(directory, *instruments):
    outlet = Outlet(directory, "kraken", "kraken", [each.symbol for each in instruments], 64, clock.monotonic_ns())
    for each in instruments:
        outlet.open_image(each)
    return outlet


def segments(directory):
    return [name for name in directory.names() if not name.endswith((".lock", ".wake"))]


class TestTheRings:
    @pytest.mark.parametrize(
        ("symbols", "records"), [(1, 16_384), (64, 16_384), (65, 32_768), (600, 262_144), (4096, 1 << 20), (5000, 1 << 20)]
    )
    def test_grow_with_the_symbols_between_a_floor_and_a_cap(self, symbols, records):
        assert layout.ring_records(symbols) == records

    def test_have_that_capacity_unless_one_is_chosen(self, directory):
        symbols = [f"S{place}-USD" for place in range(65)]
        with Outlet(directory, "a", "kraken", symbols, 0, 0) as grown, Outlet(directory, "b", "kraken", symbols, 64, 0) as chosen:
            assert (grown.deltas.capacity, grown.trades.capacity) == (32_768, 32_768)
            assert (chosen.deltas.capacity, chosen.trades.capacity) == (64, 64)


class TestAReplay:
    def test_marks_all_its_segments_and_stores_the_recordings_clock_in_them(self, directory):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD", "ETH-USD"], 64, clock.monotonic_ns(), replay=True) as outlet:
            outlet.open_image(BTC)
            outlet.beat(clock.monotonic_ns(), 1_740_000_000_000_000_000)
            outlet.open_image(ETH)  # after the beat
            outlet.beat(clock.monotonic_ns())
            for name in segments(directory):
                found = Segment.attach(directory, name)
                assert (name, found.is_replay, found.now_ns()) == (name, True, 1_740_000_000_000_000_000)

    def test_does_not_take_a_collectors_place(self, directory):
        """Not even a dead one's: whoever follows that set must not be given the past."""
        opened(directory, BTC).close()
        with pytest.raises(UsageError, match="holds kraken as a collector wrote it: a replay does not take its place"):
            Outlet(directory, "kraken", "kraken", ["BTC-USD"], 64, 0, replay=True)
        assert not Segment.attach(directory, NAMES[1]).is_replay
        with Outlet(directory, "past", "kraken", ["BTC-USD"], 64, 0, replay=True):  # the lock of the other is free again
            pass
        with Outlet(directory, "past", "kraken", ["BTC-USD"], 64, 0, replay=True), opened(directory, BTC):
            pass


class TestAnOpenOutlet:
    def test_takes_in_further_symbols_while_its_counters_have_room(self, directory):
        with opened(directory, BTC) as outlet:
            outlet.add(["ETH-USD", "BTC-USD"])
            outlet.open_image(ETH)
            assert list(outlet.symbols) == ["BTC-USD", "ETH-USD"]
            assert ImageReader(Segment.attach(directory, "kraken_book_ETH-USD")).segment.spec.request_slot == 1
            with pytest.raises(StorageError, match="kraken has room for 125 more symbols"):
                outlet.add([f"S{place}-USD" for place in range(1000)])
            outlet.add([f"S{place}-USD" for place in range(125)])
            for symbol in outlet.symbols:
                outlet.counters.block(symbol)

    def test_removes_a_symbol_and_retires_its_image(self, directory):
        with opened(directory, BTC, ETH) as outlet:
            before = Segment.attach(directory, "kraken_book_ETH-USD")
            outlet.remove(["ETH-USD", "NO-NO"])
            assert before.liveness(clock.monotonic_ns()) is Liveness.RETIRED
            outlet.beat(clock.monotonic_ns())
            outlet.open_image(ETH)  # it may come back
            assert Segment.attach(directory, "kraken_book_ETH-USD").liveness(clock.monotonic_ns()) is Liveness.LIVE


class TestOpening:
    def test_makes_a_live_set(self, directory):
        with opened(directory, BTC) as outlet:
            assert segments(directory) == sorted([*NAMES, "kraken_book_BTC-USD"])
            for name in segments(directory):
                found = Segment.attach(directory, name)
                assert (found.epoch, found.liveness(clock.monotonic_ns())) == (outlet.epoch, Liveness.LIVE)

    def test_a_second_writer_is_refused_and_told_what_to_do(self, directory):
        with opened(directory, BTC), pytest.raises(WriterAlive, match=f"pid {os.getpid()}") as refused:
            opened(directory, BTC)
        assert "--as NAME" in refused.value.hint

    def test_another_set_beside_it_is_welcome(self, directory):
        with opened(directory, BTC), Outlet(directory, "mine", "kraken", ["BTC-USD"], 64, 0) as mine:
            assert mine.deltas.segment.spec.set_name == "mine"

    def test_a_new_writer_has_a_larger_epoch_and_the_old_rings_are_sealed_where_they_ended(self, directory):
        first = opened(directory, BTC)
        first.deltas.publish(RECORD * 3, 3)
        old = Segment.attach(directory, "kraken_orderbook_deltas")
        reader = RingReader(old, "oldest")
        book = Segment.attach(directory, "kraken_book_BTC-USD")
        first._lease.release()  # as if it had been killed: nothing is retired
        with opened(directory, BTC) as second:
            assert second.epoch > first.epoch
            assert (old.state, old.sealed, book.state) == (State.REPLACED, 3, State.REPLACED)
            first.deltas.publish(RECORD, 1)
            records, _, missed = reader.poll(10)
            assert (len(records) // 256, missed, reader.ended) == (3, 0, True)
            assert Segment.attach(directory, "kraken_orderbook_deltas").epoch == second.epoch

    def test_books_that_it_does_not_collect_vanish_and_their_readers_are_told(self, directory):
        opened(directory, BTC, ETH).close()
        held = Segment.attach(directory, "kraken_book_ETH-USD")
        with opened(directory, BTC):
            assert "kraken_book_ETH-USD" not in directory.names()
            assert "kraken_book_BTC-USD" in directory.names()
            assert held.state is State.REPLACED

    def test_those_of_other_sets_do_not(self, directory):
        Outlet(directory, "mine", "kraken", ["ETH-USD"], 64, 0).open_image(ETH)
        with opened(directory, BTC):
            assert "mine_book_ETH-USD" in directory.names()


class TestWithoutRoom:
    @pytest.mark.parametrize("succeeding", range(3))
    def test_nothing_is_left_and_nothing_of_a_former_writer_is_lost(self, directory, monkeypatch, succeeding):
        former = opened(directory, BTC)
        former.deltas.publish(RECORD, 1)
        former.close()
        before = segments(directory)
        self._room_for(monkeypatch, succeeding)
        with pytest.raises(StorageError, match="kraken_"):
            opened(directory, BTC)
        assert segments(directory) == before
        assert Segment.attach(directory, "kraken_orderbook_deltas").state is State.RETIRED
        monkeypatch.undo()
        opened(directory, BTC).close()

    def test_for_an_image_the_set_is_discarded_by_whoever_opened_it(self, directory, monkeypatch):
        outlet = Outlet(directory, "kraken", "kraken", ["BTC-USD", "ETH-USD"], 64, 0)
        outlet.open_image(BTC)
        self._room_for(monkeypatch, 0)
        with pytest.raises(StorageError):
            outlet.open_image(ETH)
        outlet.discard()
        assert segments(directory) == []
        monkeypatch.undo()
        opened(directory, BTC).close()

    def test_growing_changes_nothing(self, directory, monkeypatch):
        desk = Desk(directory, [BTC])
        image = desk.keeper().image
        self._room_for(monkeypatch, 0)
        before = segments(directory)
        with pytest.raises(StorageError):
            desk.outlet.grow_image(image, 10**5)
        assert segments(directory) == before
        assert image.segment.state is State.READY

    @staticmethod
    def _room_for(monkeypatch, count):
        real = segment.allocate
        made: list[int] = []

        def allocate(fd, size):
            if len(made) == count:
                raise OSError(28, "No space left on device")
            made.append(size)
            real(fd, size)

        monkeypatch.setattr(segment, "allocate", allocate)


class TestClosing:
    def test_retires_everything_and_leaves_it_readable(self, directory):
        outlet = opened(directory, BTC)
        outlet.deltas.publish(RECORD * 2, 2)
        outlet.counters.block("BTC-USD").add(Counter.GROUPS)
        outlet.close()
        for name in segments(directory):
            assert Segment.attach(directory, name).state is State.RETIRED
        ring = Segment.attach(directory, "kraken_orderbook_deltas")
        assert (ring.sealed, len(RingReader(ring, "oldest").poll(9)[0])) == (2, 512)
        assert CountersReader(Segment.attach(directory, "kraken_counters")).blocks()["BTC-USD"]["groups"] == 1

    def test_twice_is_once_and_the_next_writer_may_come(self, directory):
        outlet = opened(directory, BTC)
        outlet.close()
        outlet.close()
        opened(directory, BTC).close()

    def test_a_grown_image_is_retired_too(self, directory):
        outlet = opened(directory, BTC)
        grown = outlet.grow_image(outlet._images["BTC-USD"], 5000)
        outlet.beat(clock.monotonic_ns())
        outlet.close()
        assert grown.segment.state is State.RETIRED
        assert Segment.attach(directory, "kraken_book_BTC-USD").spec.capacity == 8192


class TestCheckpoints:
    def test_are_made_when_asked_for_and_no_more_often_than_that(self, directory):
        desk = Desk(directory, [BTC, ETH])
        page = WakePage.open(directory, "kraken")
        reader = ImageReader(Replica(desk.outlet, "ETH-USD").outlet_image())
        now = 10**18
        desk.outlet.serve_checkpoints(now)
        assert reader.copy_checkpoint() is None
        for at, expected in ((0, 1), (1, 1), (CHECKPOINT_PAUSE_NS - 1, 1), (CHECKPOINT_PAUSE_NS, 2)):
            page.request_checkpoint(1)
            desk.outlet.serve_checkpoints(now + at)
            assert desk.count(Counter.CHECKPOINTS, "ETH-USD") == expected
        assert reader.copy_checkpoint() is not None
        assert desk.count(Counter.CHECKPOINTS, "BTC-USD") == 0

    def test_nonsense_in_the_page_is_ignored(self, directory):
        desk = Desk(directory, [BTC])
        page = WakePage.open(directory, "kraken")
        for slot in (1, 500, 3000):
            page.request_checkpoint(slot)
        desk.outlet.serve_checkpoints(10**18)
        assert desk.count(Counter.CHECKPOINTS, "BTC-USD") == 0


def test_a_full_disk_is_one_clear_error_and_no_file(tmp_path):
    """A process that may write 300 KiB: the wake page fits, the ring does not."""
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm.directory import open_directory
with open_directory({str(tmp_path / "s")!r}, create=True) as directory:
    try:
        Outlet(directory, "kraken", "kraken", ["BTC-USD"], 16384, 0)
    except StorageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, env=os.environ)
    assert "kraken_orderbook_deltas" in done.stdout
    assert done.stderr == ""
    assert sorted(each.name for each in (tmp_path / "s").iterdir()) == ["kraken.lock", "kraken.wake"]
