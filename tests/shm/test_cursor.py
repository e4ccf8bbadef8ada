"""Cursors: who reads what, and how far behind."""

import time

import pytest
from support.shm_processes import child, ring_spec

from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm import cursor
from alphapulse_cli.shm.cursor import (
    CURSOR_BYTES,
    CURSOR_FIELDS,
    UNCERTAIN_NS,
    AttachedReaders,
    Cursor,
    list_cursors,
    sweep_cursors,
)
from alphapulse_cli.shm.identity import my_identity
from alphapulse_cli.shm.ring import RingWriter
from alphapulse_cli.shm.segment import Segment

RING = "kraken_orderbook_deltas"


class TestTheReadersOfARing:
    """What a replay at full speed waits for."""

    def test_the_slowest_is_the_living_one_that_is_furthest_behind(self, directory):
        """Two processes without a label; one is killed, the other reads on."""
        ring = ring_of(directory)
        RingWriter(ring).publish(bytes(256 * 8), 8)
        readers = AttachedReaders(directory, ring)
        assert readers.slowest(0) is None
        with child("support.shm_processes:read_a_replay", directory.path) as slow:
            assert slow.line() == 0
            with child("support.shm_processes:read_a_replay", directory.path) as fast:
                assert fast.line() == 0
                slow.say("3")
                fast.say("5")
                assert (slow.line(), fast.line()) == (3, 5)
                found = readers.slowest(0)
                assert (found.position, found.who.pid, found.label) == (3, slow.pid, "reader")
                slow.kill()
                found = readers.slowest(0)
                assert (found.position, found.who.pid) == (5, fast.pid)
                fast.kill()
                assert readers.slowest(0) is None

    def test_one_that_still_reads_the_former_ring_is_at_the_beginning_of_the_new_one(self, directory):
        ring = ring_of(directory, epoch=2)
        with Cursor(directory, RING, 1, "drains the former") as late, Cursor(directory, RING, 2, "here") as here:
            late.update(700, 0)
            here.update(4, 0)
            found = AttachedReaders(directory, ring).slowest(0)
            assert (found.label, found.position) == ("drains the former", 0)

    def test_those_of_other_rings_do_not_count(self, directory):
        with Cursor(directory, "kraken_trades", 1, "trades"), Cursor(directory, RING, 3, "of a later writer"):
            assert AttachedReaders(directory, ring_of(directory)).slowest(0) is None

    def test_one_of_another_container_counts_while_it_moves(self, directory, monkeypatch):
        """Nobody here can tell whether its process lives: a dead one must not hold a replay for ever."""
        me = my_identity()
        monkeypatch.setattr(cursor, "my_identity", lambda: me._replace(pid_namespace=4026531001))
        readers = AttachedReaders(directory, ring_of(directory))
        with Cursor(directory, RING, 1, "elsewhere") as elsewhere:
            assert readers.slowest(1).label == "elsewhere"
            assert readers.slowest(UNCERTAIN_NS).label == "elsewhere"
            elsewhere.update(1, 0)
            assert readers.slowest(UNCERTAIN_NS + 1).label == "elsewhere"
            assert readers.slowest(2 * UNCERTAIN_NS + 1) is None
            elsewhere.update(2, 0)
            assert readers.slowest(3 * UNCERTAIN_NS).position == 2


def ring_of(directory, epoch=1):
    made = Segment.create(directory, ring_spec(16, 256, epoch=epoch, replay=True))
    made.ready()
    return made


class TestCursors:
    def test_a_reader_is_seen_while_it_reads_and_not_after(self, directory):
        assert list_cursors(directory) == []
        with Cursor(directory, RING, 7, "tail deltas") as mine:
            mine.update(1234, 5)
            (found,) = list_cursors(directory)
        assert (found.who, found.segment, found.epoch, found.label) == (my_identity(), RING, 7, "tail deltas")
        assert (found.position, found.missed, found.alive) == (1234, 5, True)
        assert abs(found.opened_ns - time.time_ns()) < 60_000_000_000
        assert list_cursors(directory) == []

    def test_one_process_may_have_several(self, directory):
        with Cursor(directory, RING, 1, "a"), Cursor(directory, RING, 1, "b"):
            assert {found.label for found in list_cursors(directory)} == {"a", "b"}

    def test_it_goes_with_its_reader_even_if_nobody_closed_it(self, directory):
        made = Cursor(directory, RING, 1, "tail")
        del made
        assert list((directory.path / "readers").iterdir()) == []

    def test_a_killed_readers_cursor_is_dead_and_swept(self, directory):
        with child("support.shm_processes:hold_a_cursor", directory.path) as reader, Cursor(directory, RING, 1, "mine"):
            reader.line()
            assert [found.alive for found in list_cursors(directory)] == [True, True]
            assert sweep_cursors(directory) == []
            reader.kill()
            assert {found.label: found.alive for found in list_cursors(directory)} == {"mine": True, "theirs": False}
            assert len(sweep_cursors(directory)) == 1
            assert [found.label for found in list_cursors(directory)] == ["mine"]

    def test_two_readers_that_are_both_pid_1_have_a_file_each(self, directory, monkeypatch):
        """As in two containers that share the volume; the end of one leaves the other's alone."""
        me = my_identity()
        monkeypatch.setattr(cursor, "_OPENED", iter([0, 0]))
        monkeypatch.setattr(cursor, "my_identity", lambda: me._replace(pid_namespace=4026531001))
        first = Cursor(directory, RING, 1, "first")
        monkeypatch.setattr(cursor, "my_identity", lambda: me._replace(pid_namespace=4026531002))
        with Cursor(directory, RING, 1, "second"):
            assert {found.label for found in list_cursors(directory)} == {"first", "second"}
            first.close()
            assert [found.label for found in list_cursors(directory)] == ["second"]

    def test_the_file_names_namespace_pid_and_start(self, directory):
        me = my_identity()
        with Cursor(directory, RING, 1, "tail"):
            (found,) = list_cursors(directory)
        assert found.name.rsplit("-", 1)[0] == f"{me.pid_namespace}-{me.pid}-{me.start_time}"

    def test_one_of_an_older_reader_is_seen_and_swept(self, directory):
        with Cursor(directory, RING, 1, "older"):
            readers = directory.path / "readers"
            (file,) = readers.iterdir()
            older = bytearray(file.read_bytes())
        older[8:16] = (2**30).to_bytes(8, "little")  # nobody's pid
        (readers / "1073741824-0").write_bytes(older)
        (readers / "1073741824-0").chmod(0o600)
        assert [(found.label, found.alive) for found in list_cursors(directory)] == [("older", False)]
        assert sweep_cursors(directory) == ["1073741824-0"]

    def test_long_and_foreign_labels_are_cut_and_replaced(self, directory):
        with Cursor(directory, RING, 1, "ü" + "x" * 100):
            assert list_cursors(directory)[0].label == "?" + "x" * 31

    @pytest.mark.parametrize("rubbish", [b"", b"x" * CURSOR_BYTES, b"x" * 9])
    def test_what_is_no_cursor_is_left_alone(self, directory, rubbish):
        with Cursor(directory, RING, 1, "tail"):
            pass
        (directory.path / "readers" / "1-1").write_bytes(rubbish)
        (directory.path / "readers" / "1-1").chmod(0o600)
        (directory.path / "readers" / "notes.txt").touch(0o600)
        assert list_cursors(directory) == []
        assert sweep_cursors(directory) == []
        assert len(list((directory.path / "readers").iterdir())) == 2

    def test_without_room_there_is_an_error_and_no_file(self, directory, monkeypatch):
        def full(fd, size):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cursor, "allocate", full)
        with pytest.raises(StorageError, match="No space left"):
            Cursor(directory, RING, 1, "tail")
        assert list((directory.path / "readers").iterdir()) == []

    def test_fields_do_not_overlap(self):
        end = 0
        for offset, size in CURSOR_FIELDS.values():
            assert offset >= end
            end = offset + size
        assert end <= CURSOR_BYTES
