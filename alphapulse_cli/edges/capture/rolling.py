"""Files of a capture as they are written, one after another: blocks in, data and index out, the next file each hour or size.

Old files are deleted only where `Keep` asks for it, at each new file and each minute.

It is used by one thread: the writer's (`writer.py`), or a tool's that writes a capture from another. What cannot be written is
counted, and a `lost` row stands in the file where it would have been.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES, Compressor
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS, LATEST_NS, MAGIC, Entry, entry_bytes
from alphapulse_cli.edges.capture.keeping import Keep, Rotation
from alphapulse_cli.edges.capture.rows import Kind, row_bytes
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CaptureState

TRY_AGAIN_S = 5.0  # pause after a failed write
LOOK_AT_ROOM_S = 1.0
SWEEP_S = 60.0
ROOM_TO_GO_ON = 4 * BLOCK_BYTES
FULL = (errno.ENOSPC, errno.EDQUOT)

Preamble = Sequence[tuple[bytes, int, bytes]]  # (kind, connection, payload) of the rows behind the head of each file
Report = Callable[[str, str], None]  # (level, one line of text)


class RowBlock(NamedTuple):
    """Rows to be written as one block, and what begins the file if they are its first."""

    rows: bytes
    row_count: int
    first_ns: int
    last_ns: int
    head: Head
    preamble: Preamble = ()
    flags: int = 0  # of its entry in the index


class Loss(NamedTuple):
    """Rows that were not written."""

    rows: int
    row_bytes: int
    from_ns: int
    to_ns: int
    reason: str

    def row(self, time_ns: int) -> bytes:
        """Row that stands in their place."""
        members = {"rows": self.rows, "bytes": self.row_bytes, "from_ns": self.from_ns, "to_ns": self.to_ns}
        return row_bytes(Kind.LOST, time_ns, 0, orjson.dumps({**members, "reason": self.reason}))

    def and_another(self, other: "Loss | None") -> "Loss":
        """Both as one, with this one's reason."""
        if other is None:
            return self
        first, last = min(self.from_ns, other.from_ns), max(self.to_ns, other.to_ns)
        return Loss(self.rows + other.rows, self.row_bytes + other.row_bytes, first, last, self.reason)


@dataclass(slots=True)
class Totals:
    """Figures of a capture since its start. Each is written by one thread only."""

    rows: int = 0  # that reached the file
    rows_lost_queue: int = 0
    rows_lost_disk: int = 0
    bytes_written: int = 0  # compressed
    checkpoint_bytes: int = 0  # of checkpoints, among them
    files: int = 0
    stopped: str = ""  # reason why nothing is written now; "" while all is well
    state: CaptureState = CaptureState.WRITING

    @property
    def rows_lost(self) -> int:
        """Rows that were left out."""
        return self.rows_lost_queue + self.rows_lost_disk


@dataclass(slots=True)
class RollingFiles:
    """Files of one capture in a folder, which must exist. `on_new_file` is called with the path of each."""

    folder: Path
    report: Report
    rotation: Rotation = field(default_factory=Rotation)
    least_free: LeastFree = field(default_factory=LeastFree)
    keep: Keep = field(default_factory=Keep)
    on_new_file: Callable[[Path], None] | None = None
    totals: Totals = field(default_factory=Totals)
    path: Path | None = None  # of the file that is open
    _compressor: Compressor = field(default_factory=Compressor)
    _data: int = -1  # file descriptors
    _index: int = -1
    _entries: bytes = b""  # of the index, not written yet
    _number: int = -1
    _offset: int = 0
    _row: int = 0
    _begun_ns: int = 0
    _loss: Loss | None = None
    _room_looked_s: float = float("-inf")
    _failed_s: float = float("-inf")
    _swept_s: float = float("-inf")

    def write(self, block: RowBlock, *, is_last: bool = False) -> None:
        """Write a block, in the next file if this one is full; after a failure its rows are lost, and the next try is TRY_AGAIN_S later.

        `is_last` makes it try at once.
        """
        now_s = clock.monotonic_ns() / 1e9
        if self.totals.stopped and now_s - self._failed_s < TRY_AGAIN_S and not is_last:
            self._lose(block, self.totals.stopped, self.totals.state, now_s)
            return
        self.sweep(block.head.set_name, now_s)
        try:
            self._leave_a_lost_file()
            missing = self._no_room(now_s) or (self._is_full_still() and not is_last and self.totals.stopped)
            if missing:
                self._lose(block, missing, CaptureState.NO_ROOM, now_s)
                return
            self._write(block)
        except OSError as error:
            self._undo()
            state = CaptureState.NO_ROOM if error.errno in FULL else CaptureState.FAILING
            self._lose(block, (error.strerror or str(error)).lower(), state, now_s)
            return
        if self.totals.stopped:
            self.totals.stopped, self.totals.state = "", CaptureState.WRITING
            self.report("warning", "the capture is written again")

    def sweep(self, set_name: str, now_s: float) -> None:
        """Delete what `keep` does not keep, if a minute has passed since the last time."""
        if now_s - self._swept_s < SWEEP_S:
            return
        self._swept_s = now_s
        with contextlib.suppress(OSError):
            gone = self.keep.sweep(self.folder, set_name, clock.realtime_ns())
            if gone:
                more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
                self.report("info", f"captures deleted, as asked by --keep: {gone[0].name}{more}")

    def close(self) -> None:
        """End the file that is open."""
        for descriptor in (self._data, self._index):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.fsync(descriptor)
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._data = self._index = -1
        self.path = None

    def _no_room(self, now_s: float) -> str:
        if now_s - self._room_looked_s < LOOK_AT_ROOM_S and not self.totals.stopped:
            return ""
        self._room_looked_s = now_s
        missing = self.least_free.missing(self.folder)
        return f"too little room on the disk: {missing}" if missing else ""

    def _is_full_still(self) -> bool:
        """Whether a disk that was full has no room for several blocks: small blocks would find some, and the next would not."""
        return self.totals.state is CaptureState.NO_ROOM and files.free_bytes(self.folder) < ROOM_TO_GO_ON

    def _leave_a_lost_file(self) -> None:
        """End the file if it was deleted, or its folder was: rows written to it would be gone unseen."""
        if self._data >= 0 and os.fstat(self._data).st_nlink == 0:
            self.close()

    def _lose(self, block: RowBlock, reason: str, state: CaptureState, now_s: float) -> None:
        if not self.totals.stopped:
            self.report("warning", f"the capture is not written: {reason}; what comes meanwhile is counted as lost")
        if self.totals.stopped != reason or now_s - self._failed_s >= TRY_AGAIN_S:
            self._failed_s = now_s
        self.totals.stopped, self.totals.state = reason, state
        self.totals.rows_lost_disk += block.row_count
        self._loss = Loss(block.row_count, len(block.rows), block.first_ns, block.last_ns, reason).and_another(self._loss)

    def _write(self, block: RowBlock) -> None:
        if self._data >= 0 and self._is_full(block.first_ns):
            self._append(row_bytes(Kind.DONE, block.first_ns, 0, b'{"reason":"rotated"}'), 1, block.first_ns, block.first_ns)
            self.close()
        if self._data < 0:
            self._begin_file(block)
        if self._loss is not None:
            self._append(self._loss.row(block.first_ns), 1, block.first_ns, block.first_ns)
            self._loss = None
        self._append(block.rows, block.row_count, block.first_ns, block.last_ns, block.flags)

    def _is_full(self, time_ns: int) -> bool:
        span_ns = int(self.rotation.seconds * 1e9)
        is_past = bool(span_ns) and time_ns // span_ns > self._begun_ns // span_ns
        return is_past or bool(self.rotation.most_bytes and self._offset >= self.rotation.most_bytes)

    def _begin_file(self, block: RowBlock) -> None:
        """Open the next file, with its head and the rows behind it. OSError, and then there is no file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        named_ns = self._begun_ns = block.first_ns
        while True:
            path = self.folder / files.file_name(block.head.set_name, named_ns)
            try:
                self._data = os.open(path, flags, files.PRIVATE_FILE)
                break
            except FileExistsError:  # two files within a millisecond
                named_ns += 1_000_000
        files.mark_as_written(self._data)
        self.path, self._offset, self._row, self._entries = path, 0, 0, MAGIC
        try:
            with contextlib.suppress(OSError):
                self._index = os.open(files.index_path(path), flags, files.PRIVATE_FILE)
            head = block.head.numbered(self._number + 1)
            rows = [(bytes(Kind.HEAD), 0, head.to_payload()), *block.preamble]
            begin = b"".join(row_bytes(kind, block.first_ns, connection, payload) for kind, connection, payload in rows)
            self._append(begin, len(rows), block.first_ns, block.first_ns)
        except OSError:
            self.close()
            for each in (path, files.index_path(path)):
                with contextlib.suppress(OSError):
                    each.unlink()
            raise
        self._number += 1
        self.totals.files += 1
        self._swept_s = float("-inf")  # the next block sweeps
        if self.on_new_file is not None:
            self.on_new_file(path)

    def _append(self, rows: bytes, count: int, first_ns: int, last_ns: int, flags: int = 0) -> None:
        """Write one block and its entry. OSError of the block; an entry that cannot be written is written with the next one."""
        block = self._compressor.compress(rows)
        _write_all(self._data, block)
        entry = Entry(
            self._offset, len(block), len(rows), self._row, count, flags, min(first_ns, LATEST_NS), min(last_ns, LATEST_NS)
        )
        self._offset, self._row = entry.end, self._row + count
        self.totals.bytes_written += len(block)
        self.totals.checkpoint_bytes += len(block) if flags & HOLDS_CHECKPOINTS else 0
        self.totals.rows += count
        self._entries += entry_bytes(entry)
        if self._index >= 0:
            with contextlib.suppress(OSError):
                self._entries = self._entries[os.write(self._index, self._entries) :]

    def _undo(self) -> None:
        """Cut what a failed write left behind the last whole block; a file that cannot be cut is ended."""
        if self._data < 0:
            return
        try:
            os.ftruncate(self._data, self._offset)
            os.lseek(self._data, self._offset, os.SEEK_SET)
        except OSError:
            self.close()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
