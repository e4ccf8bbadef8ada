"""Segment: one file, one header page, mapped by one writer and any number of readers. The meaning of its data is not known here.

    writer   Segment.create(directory, spec)   a temporary name, all room allocated, mapped, header written, no magic yet
             … fill it …
             ready()                           magic, predecessor sealed and marked, rename, state READY
             beat(monotonic_ns)                at least every 250 ms, for as long as it publishes
             set_recording(recording_ns)       a replay: at each tick
             retire()                          sealed where it ends, state RETIRED; the file stays readable
    reader   Segment.attach(directory, name)   mapped read-only, every header field checked against the file
             liveness(monotonic_ns)            LIVE while READY, of this boot and with a heartbeat younger than 2 s; from 150 ms on
                                               also: the writer's process is alive, and a book's set has no later writer

A restart, like a book that outgrows its file, makes a new file of the same name: a mapped file is never resized, since that would
kill its readers. They see REPLACED on the old one and attach again. Where another program cuts a mapped file short (`truncate`, a
full disk behind a sparse file), the mapping turns into zeros: `is_gone` tells, readers get SegmentGone and the writer a
StorageError. That takes the compiled core; interpreted, the first touch of a missing page kills the process.

The mapping lives as long as anything holds `memory`: `close` only drops our reference, so no reader is left with a dangling view.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, unique
from itertools import count as counting
from typing import Any, Self

from alphapulse_cli.errors import NoSegment, NotASegment, SegmentError, SegmentGone, StorageError, WrongLayout
from alphapulse_cli.shm import block, clock, layout, memory  # block: compiled, or interpreted, as all of the core is
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name, storage_error
from alphapulse_cli.shm.identity import Identity, boot_id, my_identity, process_is_alive
from alphapulse_cli.shm.layout import SegmentKind, State
from alphapulse_cli.shm.mapping import Mapping, Words

_CREATED = counting()
ASK_EVERY_NS = 50_000_000  # shortest time between two checks of a late writer's process


@unique
class Liveness(Enum):
    """Actual state of a segment, which may differ from the one its writer stored last."""

    LIVE = "live"
    BUILDING = "building"
    SILENT = "silent"  # READY, but without a fresh heartbeat: the writer was killed, is stopped or hangs
    RETIRED = "retired"
    REPLACED = "replaced"
    GONE = "gone"  # its file was cut short


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """Description of a segment to create. `capacity` is a power of two (`layout.round_capacity`); only a book has a `symbol`."""

    kind: SegmentKind
    set_name: str
    exchange: str
    epoch: int
    record_bytes: int
    capacity: int
    symbol: str = ""
    request_slot: int = layout.NO_SLOT
    replay: bool = False  # written by a replay: its times are those of a recording

    @property
    def name(self) -> str:
        """File name of the segment."""
        return segment_name(self.kind, self.set_name, self.symbol)

    @property
    def file_bytes(self) -> int:
        """Size of the whole file in bytes."""
        return layout.file_bytes(self.kind, self.record_bytes, self.capacity)


class Segment:
    """Mapped segment. `memory` is the whole file, header page first; `spec` describes it, `writer` identifies its process."""

    def __init__(self, directory: Directory, spec: SegmentSpec, writer: Identity, mapped: Mapping, *, writable: bool) -> None:
        self.name = spec.name
        self.path = directory.path / self.name
        self.spec = spec
        self.writer = writer
        self.writable = writable
        self.memory = mapped
        self._words = Words(mapped)
        self._directory: Directory | None = directory
        self._temporary = ""
        self._is_left, self._asked_ns = False, 0

    @classmethod
    def create(cls, directory: Directory, spec: SegmentSpec) -> "Segment":
        """Create a file under a temporary name with all its room allocated. StorageError, and then no file is left."""
        require_ordered_core()
        _check_shape(spec)
        who = my_identity()
        temporary = f".new-{who.pid}-{who.start_time}-{next(_CREATED)}"
        try:
            fd = directory.open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                allocate(fd, spec.file_bytes)
                mapped = Mapping(fd, spec.file_bytes, writable=True)
            except BaseException:
                directory.unlink(temporary)
                raise
            finally:
                os.close(fd)
        except OSError as error:
            raise storage_error(error, f"create {directory.path / spec.name} ({spec.file_bytes} bytes)") from None
        made = cls(directory, spec, who, mapped, writable=True)
        made._temporary = temporary
        made._write_header()
        return made

    @classmethod
    def attach(cls, directory: Directory, name: str, *, writable: bool = False) -> "Segment":
        """Map an existing segment.

        NoSegment, NotASegment, WrongLayout; StorageError where the system gives no descriptor or memory.
        """
        require_ordered_core()
        if parse_segment_name(name) is None:
            raise NotASegment(f"not a segment's name: {name[:80]!r}", "see what is there: alphapulse segments")
        path = directory.path / name
        try:
            fd = directory.open_file(name, os.O_RDWR if writable else os.O_RDONLY)
        except FileNotFoundError:
            raise NoSegment(f"no segment {path}", "see what is there: alphapulse segments") from None
        except OSError as error:
            raise storage_error(error, f"open {path}") from None
        try:
            size = os.fstat(fd).st_size
            if size < layout.HEADER_BYTES or size % 8:
                raise NotASegment(f"{path} is not a segment, or is truncated: {size} bytes")
            mapped = Mapping(fd, size, writable=writable)
        except OSError as error:
            raise storage_error(error, f"map {path}") from None
        except (ValueError, OverflowError):
            raise NotASegment(f"{path} is not a segment: {size} bytes cannot be mapped") from None
        finally:
            os.close(fd)
        spec, writer = parse_header(mapped, name, str(path))
        return cls(directory, spec, writer, mapped, writable=writable)

    def _write_header(self) -> None:
        """Write all header fields but the magic."""
        spec, who = self.spec, self.writer
        numbers = {
            "byte_order": layout.BYTE_ORDER,
            "layout_major": layout.REPLAY_MAJOR if spec.replay else layout.LAYOUT_MAJOR,
            "layout_minor": layout.LAYOUT_MINOR,
            "header_bytes": layout.HEADER_BYTES,
            "record_bytes": spec.record_bytes,
            "capacity": spec.capacity,
            "file_bytes": spec.file_bytes,
            "kind": spec.kind,
            "epoch": spec.epoch,
            "writer_pid": who.pid,
            "writer_start": who.start_time,
            "pid_namespace": who.pid_namespace,
            "created_ns": clock.realtime_ns(),
            "request_slot": spec.request_slot,
            "state": State.BUILDING,
            "sealed": layout.ALIVE,
            "heartbeat_ns": clock.monotonic_ns(),
        }
        for name, value in numbers.items():
            self._words.store_relaxed(layout.WORD[name], value)
        texts = {"boot_id": who.boot_id}
        texts |= {name: getattr(spec, name).encode("ascii") for name in ("exchange", "symbol", "set_name")}
        for name, octets in texts.items():
            start = layout.HEADER[name].offset
            self.memory[start : start + len(octets)] = octets

    def ready(self) -> None:
        """Rename the file to its final name, in place of a predecessor. StorageError where that fails.

        The predecessor of a ring or counters file is marked REPLACED before the rename, that of a book after it.
        """
        assert self.writable
        assert self._temporary
        directory = self._open_directory()
        old = _predecessor(directory, self.name)
        if old is not None and self.spec.kind is not SegmentKind.BOOK:
            old.mark_replaced()
        self._words.store_release(layout.WORD["magic"], layout.MAGIC)
        try:
            directory.rename(self._temporary, self.name)
        except OSError as error:
            raise storage_error(error, f"name {self.path}") from None
        self._temporary = ""
        self.beat(clock.monotonic_ns())
        self._words.store_release(layout.STATE, State.READY)
        if old is not None:
            old.mark_replaced()

    def set_recording(self, recording_ns: int) -> None:
        """Store the time that a replay has reached in the recording, ns since 1970; 0 in a live segment.

        Records received until then are published before: readers that merge several sets count on it.
        """
        assert self.spec.replay or not recording_ns, f"{self.name} is live"
        self._words.store_release(layout.RECORDING, recording_ns)

    def beat(self, monotonic_ns: int) -> None:
        """Store the heartbeat of a living writer. StorageError where the file was cut short."""
        self._words.store_relaxed(layout.HEARTBEAT, monotonic_ns)
        if self.is_gone:
            raise self.lost()

    def seal(self, sequence: int) -> None:
        """Mark everything at or past `sequence` as invalid for good; only the first call has an effect."""
        if self.sealed == layout.ALIVE:
            self._words.store_release(layout.SEALED, sequence)

    def retire(self) -> None:
        """End the segment in good order: sealed at what is published, state RETIRED. The file stays readable."""
        self.seal(self.published)
        if self.state is State.READY:
            self._words.store_release(layout.STATE, State.RETIRED)

    def mark_replaced(self) -> None:
        """Seal the segment and mark it REPLACED: another file has its name, or is about to take it."""
        self.seal(self.published)
        self._words.store_release(layout.STATE, State.REPLACED)

    @property
    def claimed(self) -> int:
        """Number of records that are written or being written."""
        return self._words.load_acquire(layout.CLAIMED)

    @property
    def published(self) -> int:
        """Number of records that may be read."""
        return self._words.load_acquire(layout.PUBLISHED)

    @property
    def sealed(self) -> int:
        """Sequence at which the ring ends; layout.ALIVE while it has no end."""
        return self._words.load_acquire(layout.SEALED)

    @property
    def heartbeat_ns(self) -> int:
        """Time of the writer's last heartbeat, CLOCK_MONOTONIC."""
        return self._words.load_acquire(layout.HEARTBEAT)

    @property
    def is_replay(self) -> bool:
        """Whether a replay wrote it: what it holds is of the past, and ages run on the recording's clock."""
        return self.spec.replay

    def now_ns(self) -> int:
        """Time now on the clock of the segment's records, ns since 1970: that of the recording in a replay, else CLOCK_REALTIME.

        0 in a replay that has not published it yet. Every age of what the segment holds is measured against this. A replay stores
        it about every 100 ms, so a record may be a little ahead of it.
        """
        return self._words.load_acquire(layout.RECORDING) if self.spec.replay else clock.realtime_ns()

    @property
    def state(self) -> State:
        """State stored last by the writer; an unknown number counts as BUILDING."""
        word = self._words.load_acquire(layout.STATE)
        return State(word) if word <= State.REPLACED else State.BUILDING

    @property
    def layout_minor(self) -> int:
        """Minor layout version of the writer, which tells the fields it stores."""
        return self._words.load_acquire(layout.WORD["layout_minor"])

    @property
    def epoch(self) -> int:
        """Epoch of the writer."""
        return self.spec.epoch

    @property
    def is_gone(self) -> bool:
        """Whether the file was cut short while mapped. Zeros show it too: no writer seals at 0 in state BUILDING (also 0)."""
        zeroed = self.sealed == 0 and self._words.load_acquire(layout.STATE) == 0
        return zeroed or self.memory.is_cut()

    def gone(self) -> SegmentGone:
        """SegmentGone for a reader that finds the file cut short, or its header impossible."""
        return SegmentGone(
            f"{self.path} was cut short, or damaged, while it was read",
            "start its collector again, then this; nothing else may write there",
        )

    def lost(self) -> StorageError:
        """StorageError for the writer that finds its file cut short."""
        return StorageError(
            f"{self.path} was cut short while it was written", "start the collector again; nothing else may write there"
        )

    def require_whole(self) -> None:
        """Raise SegmentGone where the file was cut short; for readers that otherwise only wait."""
        if self.is_gone:
            raise self.gone()

    def liveness(self, monotonic_ns: int) -> Liveness:
        """Actual state at `monotonic_ns`. All code that shows a book or trades on it must check this."""
        state = self.state
        if state is not State.READY:
            return Liveness.GONE if self.is_gone else Liveness[state.name]
        # The clock is read a moment apart and on different processors: a heartbeat may lie a little ahead of `monotonic_ns`.
        age_ns = monotonic_ns - self.heartbeat_ns
        if abs(age_ns) >= layout.HEARTBEAT_LIMIT_NS or self.writer.boot_id != boot_id():
            return Liveness.SILENT
        is_late = age_ns >= layout.HEARTBEAT_DOUBT_NS
        return Liveness.SILENT if is_late and self._is_left_by_its_writer(monotonic_ns) else Liveness.LIVE

    def _is_left_by_its_writer(self, monotonic_ns: int) -> bool:
        """Whether the writer is known to be gone for good.

        It is where its process is dead, or where a later writer has the set: the only sign in another pid namespace.
        """
        if not self._is_left and monotonic_ns - self._asked_ns >= ASK_EVERY_NS:
            self._asked_ns = monotonic_ns
            self._is_left = not process_is_alive(self.writer) or self._has_another_writer()
        return self._is_left

    def _has_another_writer(self) -> bool:
        """Whether the ring of this book's set belongs to a later writer, which has made no image of the book yet."""
        if self.spec.kind is not SegmentKind.BOOK or self._directory is None:
            return False
        with suppress(SegmentError, StorageError):
            return Segment.attach(self._directory, segment_name(SegmentKind.DELTAS, self.spec.set_name)).epoch > self.epoch
        return False

    def is_live(self, monotonic_ns: int) -> bool:
        """Whether the segment is LIVE at `monotonic_ns`."""
        return self.liveness(monotonic_ns) is Liveness.LIVE

    def resized(self, capacity: int) -> "Segment":
        """Create a segment like this one with another capacity, not yet `ready`. StorageError; this one is untouched."""
        made = Segment.create(self._open_directory(), replace(self.spec, capacity=layout.round_capacity(capacity)))
        made.set_recording(self._words.load_relaxed(layout.RECORDING))
        return made

    def _open_directory(self) -> Directory:
        assert self._directory is not None, f"{self.name} is closed"
        return self._directory

    def close(self) -> None:
        """Drop the mapping; the memory is freed when no ring or image holds it.

        A segment that never was `ready` leaves no file behind.
        """
        if self._temporary and self._directory is not None:
            self._directory.unlink(self._temporary)
            self._temporary = ""
        self._directory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_ordered_core() -> None:
    """Raise StorageError where this build cannot keep the memory order between processes on which shared memory relies."""
    if not block.SOURCE_HASH and not memory.fences_are_sound():
        raise StorageError(
            "interpreted, alphapulse shares memory on x86-64 only: this processor needs the compiled core",
            "install a C compiler, then: ALPHAPULSE_BUILD=require pip install --force-reinstall alphapulse",
        )


def allocate(fd: int, size: int) -> None:
    """Allocate all of the file now. OSError.

    A file with promised room only (ftruncate) kills its process at a touch on a full disk.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        write_zeros(fd, size)


def write_zeros(fd: int, size: int) -> None:
    """Write `size` zero bytes: the substitute for posix_fallocate. OSError."""
    zeros = bytes(min(size, 1 << 20))
    written = 0
    while written < size:
        written += os.pwrite(fd, zeros[: size - written], written)


def _predecessor(directory: Directory, name: str) -> Segment | None:
    """Segment that has the name now, mapped writable; None if there is none, or a file that is no segment and may be replaced.

    StorageError where it exists and cannot be mapped: replaced without a seal, its readers would never learn of the successor.
    """
    with suppress(SegmentError):
        return Segment.attach(directory, name, writable=True)
    return None


def _check_shape(spec: SegmentSpec) -> None:
    assert spec.capacity & (spec.capacity - 1) == 0
    assert 0 < spec.capacity <= layout.MAX_CAPACITY
    assert spec.record_bytes % 8 == 0
    assert 0 < spec.record_bytes <= layout.MAX_RECORD_BYTES
    assert len(spec.exchange.encode("ascii")) <= layout.NAME_BYTES


def parse_header(mapped: Any, name: str, path: str) -> tuple[SegmentSpec, Identity]:
    """Read and check the header page of a mapped file. NotASegment or WrongLayout for any other contents."""
    words = Words(mapped)
    number = {field: words.load_acquire(index) for field, index in layout.WORD.items()}
    if number["magic"] != layout.MAGIC:
        raise NotASegment(f"{path} is not a segment, or is unfinished: its magic number is wrong")
    if number["byte_order"] != layout.BYTE_ORDER:
        raise WrongLayout(f"{path} was written on a machine of another byte order")
    if number["layout_major"] not in (layout.LAYOUT_MAJOR, layout.REPLAY_MAJOR):
        ours, theirs = layout.LAYOUT_MAJOR, number["layout_major"]
        raise WrongLayout(f"{path} has layout {theirs}, this version reads {ours}", "use the same alphapulse as its collector")
    if number["file_bytes"] != len(mapped):
        raise NotASegment(f"{path} is truncated: {len(mapped)} bytes of {number['file_bytes']}")
    parsed = parse_segment_name(name)
    assert parsed is not None
    kind, set_name, symbol = parsed
    if number["kind"] != kind or _text(mapped, "set_name") != set_name or _text(mapped, "symbol") != symbol:
        raise NotASegment(f"{path} holds another segment than its name says")
    record_bytes, capacity = number["record_bytes"], number["capacity"]
    sane = (
        number["header_bytes"] == layout.HEADER_BYTES
        and 0 < record_bytes <= layout.MAX_RECORD_BYTES
        and record_bytes % 8 == 0
        and 0 < capacity <= layout.MAX_CAPACITY
        and capacity & (capacity - 1) == 0
        and layout.file_bytes(kind, record_bytes, capacity) == len(mapped)
        and number["state"] <= State.REPLACED
        and (kind is not SegmentKind.BOOK or record_bytes == layout.LEVEL_BYTES)
    )
    exchange = _text(mapped, "exchange")
    if not sane or not exchange:
        raise NotASegment(f"{path} is damaged: its header is inconsistent")
    start = layout.HEADER["boot_id"].offset
    boot = bytes(mapped[start : start + layout.ID_BYTES])
    writer = Identity(boot, number["writer_pid"], number["writer_start"], number["pid_namespace"])
    is_replay = number["layout_major"] == layout.REPLAY_MAJOR
    made = SegmentSpec(kind, set_name, exchange, number["epoch"], record_bytes, capacity, symbol, number["request_slot"], is_replay)
    return made, writer


def _text(mapped: Any, name: str) -> str | None:
    """NUL-padded text of the header; None unless it is plain printable ASCII."""
    field = layout.HEADER[name]
    octets = bytes(mapped[field.offset : field.offset + layout.TYPE_BYTES[field.type]]).rstrip(b"\0")
    text = octets.decode("latin-1")
    return text if text.isascii() and (text.isprintable() or not text) else None
