"""One writer a set, and epochs that grow."""

import os
import shutil
import signal

import pytest
from support.shm_processes import child, payload

from alphapulse_cli.errors import StorageError, WriterAlive
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.identity import my_identity
from alphapulse_cli.shm.image import ImageReader, book_spec
from alphapulse_cli.shm.layout import SegmentKind, State
from alphapulse_cli.shm.lease import MAX_EPOCH, Lease, holder_of
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Liveness, Segment, SegmentSpec


class TestOneWriterASet:
    def test_a_second_writer_is_told_the_pid_and_another_name(self, directory):
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            holder.line()
            with pytest.raises(WriterAlive, match=f"kraken is already being collected by pid {holder.pid}") as caught:
                Lease.acquire(directory, "kraken")
            assert "--as NAME" in caught.value.hint
            Lease.acquire(directory, "kraken-2").release()

    def test_one_that_shows_no_sign_of_life_can_be_ended_and_a_stopped_one_go_on(self, directory):
        """Another name beside it would be no help: its books are STALE."""
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            spec = SegmentSpec(SegmentKind.COUNTERS, "kraken", "kraken", holder.line(), 1024, 4)
            segment = Segment.create(directory, spec)
            segment.ready()
            segment.beat(1)
            with pytest.raises(WriterAlive, match="shows no sign of life") as caught:
                Lease.acquire(directory, "kraken")
            assert f"kill -9 {holder.pid}" in caught.value.hint
            os.kill(holder.pid, signal.SIGSTOP)
            os.waitpid(holder.pid, os.WUNTRACED)
            with pytest.raises(WriterAlive, match="which is stopped") as caught:
                Lease.acquire(directory, "kraken")
            assert caught.value.hint == f"let it go on: kill -CONT {holder.pid}"

    def test_the_lock_of_a_killed_holder_is_free_at_once(self, directory):
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            epoch = holder.line()
            holder.kill()
            with Lease.acquire(directory, "kraken") as lease:
                assert lease.epoch > epoch

    def test_the_lock_file_is_never_removed_and_names_its_holder(self, directory):
        with Lease.acquire(directory, "kraken") as lease:
            assert holder_of(directory, "kraken") == (my_identity(), lease.epoch)
        assert directory.names() == ["kraken.lock"]

    def test_a_holder_that_has_not_said_its_name_yet_is_another_process(self, directory):
        with child("support.shm_processes:hold_a_lease", directory.path, "kraken") as holder:
            holder.line()
            (directory.path / "kraken.lock").write_bytes(b"")
            with pytest.raises(WriterAlive, match="by another process"):
                Lease.acquire(directory, "kraken")

    def test_a_lock_that_is_a_link_is_refused(self, directory):
        (directory.path / "kraken.lock").symlink_to("elsewhere")
        with pytest.raises(StorageError, match="cannot be used"):
            Lease.acquire(directory, "kraken")

    def test_nobody_is_named_where_there_is_no_lock(self, directory):
        assert holder_of(directory, "kraken") is None


class TestEpochsGrow:
    def test_by_each_writer(self, directory):
        epochs = []
        for _ in range(3):
            with Lease.acquire(directory, "kraken") as lease:
                epochs.append(lease.epoch)
        assert epochs == sorted(set(epochs))

    def test_past_every_segment_of_the_set_even_if_the_lock_file_was_lost(self, directory):
        epoch = clock.realtime_ns()  # far beyond the seconds since 1970
        Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", epoch)).ready()
        with Lease.acquire(directory, "kraken") as lease:
            assert lease.epoch == epoch + 1
        with Lease.acquire(directory, "other") as lease:
            assert lease.epoch < epoch

    def test_even_if_the_whole_directory_was_lost(self, directory, monkeypatch):
        with Lease.acquire(directory, "kraken") as lease:
            first = lease.epoch
        shutil.rmtree(directory.path)
        directory.path.mkdir(0o700)
        later = clock.realtime_ns() + 1_000_000_000
        monkeypatch.setattr(clock, "realtime_ns", lambda: later)
        with open_directory(directory.path) as again, Lease.acquire(again, "kraken") as lease:
            assert lease.epoch > first

    @pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"1 2 zz 3 4", b"1 2 00 3 " + str(MAX_EPOCH).encode(), b"1 " * 500])
    def test_nonsense_in_the_lock_file_is_nobody(self, directory, text):
        fd = directory.open_file("kraken.lock", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        os.write(fd, text)
        os.close(fd)
        assert holder_of(directory, "kraken") is None
        with Lease.acquire(directory, "kraken") as lease:
            assert holder_of(directory, "kraken").epoch == lease.epoch


class TestDeathOfAWriter:
    """kill -9 in the middle of an edit; then the next writer."""

    def test_what_is_left_and_what_comes_after(self, directory):
        with child("support.shm_processes:collect_until_killed", directory.path, 5) as collector:
            epoch = collector.line()
            ring = Segment.attach(directory, "kraken_orderbook_deltas")
            book = ImageReader(Segment.attach(directory, "kraken_book_BTC-USD"))
            assert ring.is_live(ring.heartbeat_ns + 1)
            assert not book.writer_died_editing(book.segment.heartbeat_ns + 1), "it may only be editing"
            collector.kill()
        later = book.segment.heartbeat_ns + layout.HEARTBEAT_LIMIT_NS
        assert ring.liveness(later) is Liveness.SILENT
        assert book.writer_died_editing(later)
        assert (book.copy(), book.peek(), book.top(1)) == (None, None, None)

        reader = RingReader(ring, "oldest")
        with Lease.acquire(directory, "kraken") as lease:
            assert lease.epoch > epoch
            successor = SegmentSpec(ring.spec.kind, "kraken", "kraken", lease.epoch, 64, 16)
            Segment.create(directory, successor).ready()
        assert ring.state is State.REPLACED
        assert not reader.ended, "what was published is still to be read"
        records, first, missed = reader.poll(100)
        assert (bytes(records), first, missed) == (b"".join(payload(s) for s in range(5)), 0, 0)
        assert (reader.ended, Segment.attach(directory, "kraken_orderbook_deltas").epoch) == (True, lease.epoch)
