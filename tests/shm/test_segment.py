"""Segments: how they begin, how they end, and what is refused in one line."""

import os
import subprocess
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.shm_processes import child, payload, ring_spec

from alphapulse_cli.errors import NoSegment, NotASegment, SegmentError, SegmentGone, StorageError, WrongLayout
from alphapulse_cli.shm import clock, layout, memory, ring, segment
from alphapulse_cli.shm.counters import CountersReader, CountersWriter, counters_spec
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.identity import my_identity
from alphapulse_cli.shm.image import ImageReader, book_spec
from alphapulse_cli.shm.layout import SegmentKind, State
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Liveness, Segment

NAME = "kraken_orderbook_deltas"


def made(directory, **changes):
    opened = Segment.create(directory, ring_spec(**changes))
    opened.ready()
    return opened


def noted_at_rename(monkeypatch, directory, old):
    """A list that gets the state of `old` whenever a file gets its name."""
    seen = []
    rename = type(directory).rename

    def noting(*arguments):
        seen.append(old.state)
        rename(*arguments)

    monkeypatch.setattr(type(directory), "rename", noting)
    return seen


class TestTheClockOfItsRecords:
    """`now_ns`: what every age of a segment's contents is measured against."""

    def test_is_ours_in_a_live_one(self, directory):
        opened = made(directory)
        before = clock.realtime_ns()
        assert before <= Segment.attach(directory, NAME).now_ns() <= clock.realtime_ns()
        with pytest.raises(AssertionError, match="kraken_orderbook_deltas is live"):
            opened.set_recording(1)

    def test_is_the_recordings_in_a_replay_as_far_as_it_has_come(self, directory):
        opened = made(directory, replay=True)
        reader = Segment.attach(directory, NAME)
        assert reader.now_ns() == 0
        for now_ns in (1_740_000_000_000_000_000, 1_740_000_000_000_000_001, 1_730_000_000_000_000_000):  # the last: a seek back
            opened.set_recording(now_ns)
            assert reader.now_ns() == now_ns
            assert reader.liveness(clock.monotonic_ns()) is Liveness.LIVE  # that clock is our own

    def test_goes_with_a_book_into_its_larger_file(self, directory):
        book = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, levels=8, replay=True))
        book.set_recording(77)
        larger = book.resized(64)
        assert (larger.is_replay, larger.now_ns()) == (True, 77)


class TestBirth:
    def test_nobody_sees_it_before_it_is_ready(self, directory):
        """It has a temporary name and no magic until then."""
        opened = Segment.create(directory, ring_spec())
        with pytest.raises(NoSegment, match=r"no segment .*kraken_orderbook_deltas"):
            Segment.attach(directory, NAME)
        assert int.from_bytes(opened.memory[:8], "little") == 0
        opened.ready()
        assert Segment.attach(directory, NAME).liveness(clock.monotonic_ns()) is Liveness.LIVE
        assert directory.names() == [NAME]

    def test_one_that_never_was_ready_leaves_no_file(self, directory):
        Segment.create(directory, ring_spec()).close()
        assert directory.names() == []

    def test_what_was_said_at_creation_is_what_a_reader_finds(self, directory):
        spec = book_spec("my-set", "binance-us", "AAPLx-USD", 7, levels=3000, slot=11)
        Segment.create(directory, spec).ready()
        found = Segment.attach(directory, "my-set_book_AAPLx-USD")
        assert found.spec == spec
        assert found.spec.capacity == 4096
        assert found.writer == my_identity()
        assert (found.path.stat().st_mode & 0o777, found.path.stat().st_size) == (0o600, spec.file_bytes)

    @pytest.mark.parametrize("is_replay", [False, True])
    def test_whether_a_replay_made_it_stands_in_its_major_layout(self, directory, is_replay):
        """By it a reader that does not know replays refuses them."""
        spec = replace(ring_spec(), replay=is_replay)
        opened = Segment.create(directory, spec)
        opened.ready()
        assert memoryview(opened.memory).cast("Q")[layout.WORD["layout_major"]] == (1001 if is_replay else 1)
        found = Segment.attach(directory, NAME)
        assert (found.is_replay, found.spec) == (is_replay, spec)

    def test_readers_cannot_write(self, directory):
        made(directory)
        with pytest.raises(TypeError):
            Segment.attach(directory, NAME).memory[0] = 1

    def test_all_room_is_allocated_at_once(self, directory):
        """A promised but absent page would kill its writer later (SIGBUS)."""
        stat = made(directory, capacity=1024, record_bytes=256).path.stat()
        assert stat.st_blocks * 512 >= stat.st_size

    def test_where_the_system_cannot_allocate_zeros_are_written(self, tmp_path):
        """What macOS does; the room is real there too."""
        with (tmp_path / "zeros").open("wb") as file:
            segment.write_zeros(file.fileno(), (1 << 20) + 4096)
        assert (tmp_path / "zeros").read_bytes() == bytes((1 << 20) + 4096)

    def test_memory_outlives_close_as_long_as_somebody_reads(self, directory):
        opened = made(directory)
        RingWriter(opened).publish(payload(0), 1)
        reader = RingReader(opened, "oldest")
        opened.close()
        del opened
        assert bytes(reader.poll(1)[0]) == payload(0)


class TestEnd:
    def test_retired_is_sealed_where_it_ends_and_stays_readable(self, directory):
        opened = made(directory)
        RingWriter(opened).publish(payload(0), 1)
        opened.retire()
        found = Segment.attach(directory, NAME)
        assert (found.state, found.sealed) == (State.RETIRED, 1)
        assert found.liveness(clock.monotonic_ns()) is Liveness.RETIRED

    def test_the_first_seal_stands(self, directory):
        opened = made(directory)
        opened.seal(5)
        opened.seal(9)
        assert opened.sealed == 5

    def test_a_successor_is_a_new_file_and_the_old_one_says_replaced(self, directory):
        old = made(directory, epoch=1)
        RingWriter(old).publish(payload(0), 1)
        reader = Segment.attach(directory, NAME)
        new = made(directory, epoch=2)
        assert (reader.state, reader.sealed, reader.epoch) == (State.REPLACED, 1, 1)
        assert Segment.attach(directory, NAME).epoch == 2
        assert new.published == 0

    def test_a_ring_ends_before_its_successor_appears(self, directory, monkeypatch):
        """Else a reader could read on in the old one after it saw the new."""
        old = made(directory)
        seen = noted_at_rename(monkeypatch, directory, old)
        made(directory, epoch=2)
        assert seen == [State.REPLACED]

    def test_a_book_is_replaced_after_its_successor_appeared(self, directory, monkeypatch):
        """So that whoever sees REPLACED finds the new file at once."""
        old = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1))
        old.ready()
        seen = noted_at_rename(monkeypatch, directory, old)
        Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 2)).ready()
        assert seen == [State.READY]
        assert old.state is State.REPLACED

    def test_rubbish_under_its_name_is_simply_replaced(self, directory):
        (directory.path / NAME).write_bytes(b"rubbish")
        made(directory)
        assert Segment.attach(directory, NAME).epoch == 1


class TestLiveness:
    def test_it_dies_two_seconds_after_the_last_heartbeat(self, directory):
        opened = made(directory)
        opened.beat(1_000_000_000_000)
        assert opened.is_live(1_000_000_000_000 + layout.HEARTBEAT_LIMIT_NS - 1)
        assert opened.liveness(1_000_000_000_000 + layout.HEARTBEAT_LIMIT_NS) is Liveness.SILENT

    def test_a_heartbeat_a_moment_ahead_is_alive_and_one_from_the_future_is_not(self, directory):
        opened = made(directory)
        opened.beat(10_000_000_000)
        assert opened.is_live(10_000_000_000 - 1000)
        assert not opened.is_live(1_000_000_000)

    def test_nothing_of_another_boot_lives(self, directory):
        opened = made(directory)
        start = layout.HEADER["boot_id"].offset
        opened.memory[start : start + 16] = b"another boot ago"
        assert Segment.attach(directory, NAME).liveness(clock.monotonic_ns()) is Liveness.SILENT

    def test_a_killed_writer_is_known_as_soon_as_its_heartbeat_is_late(self, directory):
        """And not one that is only late, as a stopped one is: that takes the two seconds."""
        with child("support.shm_processes:make_ring", directory.path) as writer:
            writer.line()
            found = Segment.attach(directory, NAME)
            late = found.heartbeat_ns + layout.HEARTBEAT_DOUBT_NS
            assert found.is_live(late)
            writer.kill()
            assert found.is_live(late - 1), "nobody asks before"
            assert found.liveness(late + segment.ASK_EVERY_NS) is Liveness.SILENT
            assert found.liveness(late + segment.ASK_EVERY_NS + 1) is Liveness.SILENT
            assert Segment.attach(directory, NAME).liveness(late) is Liveness.SILENT

    def test_a_writer_of_another_pid_namespace_is_not_taken_for_dead(self, directory):
        opened = made(directory)
        words = memoryview(opened.memory).cast("Q")
        for field, value in (("writer_pid", (1 << 31) - 2), ("pid_namespace", 1)):
            words[layout.HEADER[field].offset // 8] = value
        found = Segment.attach(directory, NAME)
        assert found.writer.pid_namespace == 1
        assert found.is_live(found.heartbeat_ns + layout.HEARTBEAT_LIMIT_NS - 1)
        assert not found.is_live(found.heartbeat_ns + layout.HEARTBEAT_LIMIT_NS)

    def test_a_book_whose_set_has_a_ring_of_a_later_writer_is_not_live(self, directory):
        """Of a writer in another namespace nobody knows that it is dead; that another has its place is seen."""
        book = Segment.create(directory, book_spec("kraken", "kraken", "BTC-USD", 1, levels=64, slot=0))
        book.ready()
        made(directory, epoch=1)
        late = book.heartbeat_ns + layout.HEARTBEAT_DOUBT_NS
        assert book.is_live(late)
        made(directory, epoch=2)
        assert book.liveness(late + segment.ASK_EVERY_NS) is Liveness.SILENT

    def test_while_it_beats_nobody_asks(self, directory, monkeypatch):
        opened = made(directory)
        monkeypatch.setattr(segment, "process_is_alive", lambda _: pytest.fail("asked"))
        assert opened.is_live(opened.heartbeat_ns + layout.HEARTBEAT_DOUBT_NS - 1)

    def test_building_is_not_live(self, directory):
        assert Segment.create(directory, ring_spec()).liveness(clock.monotonic_ns()) is Liveness.BUILDING


class TestRefusals:
    """Each in one line that names the file."""

    def refuse(self, directory, error, match):
        with pytest.raises(error, match=match) as caught:
            Segment.attach(directory, NAME)
        assert "\n" not in str(caught.value)
        assert NAME in str(caught.value)

    def set_word(self, directory, field, value):
        with (directory.path / NAME).open("r+b") as file:
            file.seek(layout.HEADER[field].offset)
            file.write(value.to_bytes(8, "little"))

    @pytest.mark.parametrize(
        ("field", "value", "error", "match"),
        [
            ("magic", 0, NotASegment, "magic"),
            ("magic", 1, NotASegment, "magic"),
            ("byte_order", 0x0807060504030201, WrongLayout, "byte order"),
            ("layout_major", layout.LAYOUT_MAJOR + 1, WrongLayout, "has layout 2, this version reads 1"),
            ("header_bytes", 8192, NotASegment, "damaged"),
            ("record_bytes", 0, NotASegment, "damaged"),
            ("record_bytes", 63, NotASegment, "damaged"),
            ("capacity", 0, NotASegment, "damaged"),
            ("capacity", 17, NotASegment, "damaged"),
            ("capacity", 1 << 63, NotASegment, "damaged"),
            ("capacity", 32, NotASegment, "damaged"),
            ("file_bytes", 4096, NotASegment, "truncated"),
            ("kind", 2, NotASegment, "another segment"),
            ("state", 9, NotASegment, "damaged"),
            ("exchange", 0, NotASegment, "damaged"),
            ("exchange", 0xFF, NotASegment, "damaged"),
            ("set_name", 0x41, NotASegment, "another segment"),
            ("symbol", 0x41, NotASegment, "another segment"),
        ],
    )
    def test_a_header_that_contradicts_itself_or_us(self, directory, field, value, error, match):
        made(directory)
        self.set_word(directory, field, value)
        self.refuse(directory, error, match)

    def test_a_newer_minor_layout_is_read(self, directory):
        made(directory)
        self.set_word(directory, "layout_minor", 99)
        assert Segment.attach(directory, NAME).epoch == 1

    @pytest.mark.parametrize("size", [0, 7, 4095, 4096, 4100, 5000])
    def test_a_truncated_file(self, directory, size):
        made(directory)
        os.truncate(directory.path / NAME, size)
        self.refuse(directory, NotASegment, "truncated")

    def test_a_link_a_fifo_and_a_file_open_to_others(self, directory):
        made(directory)
        path = directory.path / NAME
        path.chmod(0o644)
        self.refuse(directory, NotASegment, "open to others")
        path.rename(directory.path / "elsewhere")
        path.symlink_to("elsewhere")
        self.refuse(directory, NotASegment, "is a link")
        path.unlink()
        os.mkfifo(path, 0o600)
        self.refuse(directory, NotASegment, "not a regular file")

    def test_a_sparse_giant(self, directory):
        """Too large to be mapped, or contradicting its header: refused either way."""
        path = directory.path / NAME
        path.touch(0o600)
        os.truncate(path, 1 << 42)
        with pytest.raises((NotASegment, StorageError)):
            Segment.attach(directory, NAME)

    @pytest.mark.parametrize("name", ["../../etc/passwd", "x", "kraken.lock", ".new-1-2-3"])
    def test_names_of_no_segment(self, directory, name):
        with pytest.raises(NotASegment, match="not a segment's name"):
            Segment.attach(directory, name)

    def test_an_interpreted_core_without_ordered_memory(self, directory, monkeypatch):
        """Plain Python has no fences: it must not pretend."""
        monkeypatch.setattr(memory, "fences_are_sound", lambda: False)
        if ring.SOURCE_HASH:
            made(directory)
            return
        with pytest.raises(StorageError, match="x86-64 only"):
            made(directory)


class TestNoRoom:
    """A clear line, a hint, and no file left."""

    @pytest.mark.parametrize(("limit", "words"), [("RLIMIT_FSIZE", "File too large"), ("RLIMIT_NOFILE", "Too many open files")])
    def test_under_a_resource_limit(self, directory, limit, words):
        with child("support.shm_processes:create_under_limit", directory.path, limit, 65536) as process:
            (kind, message, hint), names = process.line()
        assert kind == "StorageError"
        assert words in message
        assert "kraken_orderbook_deltas" in message
        assert "ulimit" in hint
        assert names == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
    def test_on_a_full_tmpfs(self, tmp_path):
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", os.fspath(tmp_path)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine lets nobody mount")
        try:
            with open_directory(tmp_path) as directory:
                with pytest.raises(StorageError, match="No space left on device") as caught:
                    Segment.create(directory, ring_spec(capacity=1024))
                assert "--shm-dir" in caught.value.hint
                assert directory.names() == []
                made(directory, capacity=64).close()
        finally:
            subprocess.run(["umount", "-l", os.fspath(tmp_path)], check=True)


SPECS = {
    SegmentKind.DELTAS: ring_spec(),
    SegmentKind.BOOK: book_spec("kraken", "kraken", "BTC-USD", 1, levels=8),
    SegmentKind.COUNTERS: counters_spec("kraken", "kraken", 1, 3),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A directory, and the bytes of a sound segment of each kind."""
    with open_directory(tmp_path_factory.mktemp("hostile") / "segments", create=True) as directory:
        sound = {}
        for kind, spec in SPECS.items():
            with Segment.create(directory, spec) as opened:
                if kind is SegmentKind.COUNTERS:
                    CountersWriter(opened)
                opened.ready()
            sound[kind] = (directory.path / spec.name).read_bytes()
        yield directory, sound


WORDS = st.one_of(st.integers(0, layout.ALIVE), st.sampled_from([0, 1, 16, 17, 1 << 31, 1 << 32, 1 << 63, layout.ALIVE]))
OFFSETS = st.one_of(
    st.sampled_from([f.offset for f in (*layout.HEADER.values(), *layout.IMAGE_FIELDS, *layout.CHECKPOINT_FIELDS)]),
    st.integers(0, 511).map(lambda i: i * 8),
)


@settings(max_examples=size(150, 300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(SPECS)), st.lists(st.tuples(OFFSETS, WORDS), max_size=6), st.one_of(st.none(), st.integers(0, 6000)))
def test_any_header_is_attached_to_or_refused(hostile, kind, changes, size):
    """A Segment or a SegmentError, nothing else; and what reads an accepted one stays inside it, whatever its words say."""
    directory, sound = hostile
    octets = bytearray(sound[kind])
    for offset, word in changes:
        octets[offset : offset + 8] = word.to_bytes(8, "little")
    name = SPECS[kind].name
    (directory.path / name).unlink(missing_ok=True)
    fd = directory.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.write(fd, octets[:size])
    os.close(fd)
    try:
        found = Segment.attach(directory, name)
    except SegmentError as error:
        assert "\n" not in str(error)
        return
    found.liveness(clock.monotonic_ns())
    if kind is SegmentKind.DELTAS:
        read_hostile_ring(found)
    elif kind is SegmentKind.BOOK:
        reader = ImageReader(found)
        for read, *arguments in ((reader.copy, 2), (reader.copy_checkpoint, 2), (reader.top, 3, 2), (reader.peek, 2)):
            copy = found_by(read, *arguments)
            assert copy is None or len(copy.bids) <= 16 * reader.capacity
        reader.writer_died_editing(clock.monotonic_ns())
    else:
        assert all(len(block) > 20 for block in (found_by(CountersReader(found).blocks) or {}).values())
        assert len(CountersReader(found).histograms()) == 2


def found_by(read, *arguments):
    """What it gives; None where it says that these words can be no segment's."""
    try:
        return read(*arguments)
    except SegmentGone:
        return None


def read_hostile_ring(found):
    for start in ("now", "oldest", 0, layout.ALIVE):
        reader = RingReader(found, start)
        for _ in range(3):
            before = reader.position
            polled = found_by(reader.poll, 1000)
            if polled is None:
                break
            records, first, missed = polled
            got = len(records) // reader.record_bytes
            assert got <= found.spec.capacity
            assert before + missed + got == reader.position
            assert first + got == reader.position
        assert reader.lag >= 0
        assert reader.ended in (True, False)


def test_a_predecessor_that_cannot_be_mapped_is_not_replaced_unsealed(directory, monkeypatch):
    """Its readers would never learn of the new ring."""
    old = Segment.create(directory, ring_spec())
    old.ready()
    new = Segment.create(directory, ring_spec(epoch=2))

    def no_descriptor(*_args, **_options):
        raise StorageError("too many open files")

    monkeypatch.setattr(Segment, "attach", no_descriptor)
    with pytest.raises(StorageError):
        new.ready()
    monkeypatch.undo()
    new.close()
    assert Segment.attach(directory, old.name).epoch == old.epoch
