"""Recorder of one set: rows in, streams at most a second later, and a file of each table and day at each roll.

    rows ─► buffer ─► flush, once a second ─► .open/<set>-<epoch>-<part>.<table>.arrows ─► roll ─► Parquet, by a thread

It knows no rings. A row that cannot be written is counted as lost, said at once, and stands in the data where it would have been once there is
room again; each next part begins with whatever its caller adds first (books, so that it can be rebuilt alone).
"""

import contextlib
import errno
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from alphapulse_cli.edges.background import DaemonThreads
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.keeping import Keep, Rotation
from alphapulse_cli.edges.columns import streams
from alphapulse_cli.edges.columns.keeping import sweep
from alphapulse_cli.edges.columns.rows import arrow_rows, stream_schema
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.edges.columns.streams import Finished, Place, Stream
from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm import clock

if TYPE_CHECKING:
    import pyarrow as pa

FLUSH_NS = 500_000_000
MOST_BUFFERED = 65_536  # rows of a table, after which it is flushed at once
# A killed recorder may have written some of the tables: the levels of a book before the row that tells of it, and what tells of a hole or a
# snapshot before the changes behind it.
FLUSH_ORDER = ("snapshots", "status", "bbo", "trades", "deltas")
TRY_AGAIN_NS = 5_000_000_000
SWEEP_NS = 60_000_000_000
LOOK_AT_ROOM_NS = 1_000_000_000
FULL = (errno.ENOSPC, errno.EDQUOT)
WRITING, NO_ROOM, FAILING = "writing", "no room", "failing"
Report = Callable[[str, str], None]  # (level, one line of text)


@dataclass(slots=True)
class Totals:
    """Figures of a recording since its start."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))  # in streams or files, by table
    missed: int = 0  # records that were overwritten before they were read
    rows_lost: int = 0  # that were not written
    files: int = 0
    file_bytes: int = 0
    stopped: str = ""  # reason why nothing is written now; "" while all is well
    state: str = WRITING


class Recorder:
    """Recorder of one set into a dataset; it holds the set's lock. WriterAlive, StorageError. Close it.

    Streams that a killed recorder left are turned into files first: `recovered`.
    """

    def __init__(
        self,
        dataset: Path,
        exchange: str,
        set_name: str,
        report: Report,
        rotation: Rotation,
        keep: Keep | None = None,
        least_free: LeastFree | None = None,
    ) -> None:
        self.exchange, self.set_name = exchange, set_name
        self.totals = Totals()
        self.epoch = 0
        self._dataset, self._report, self._rotation = dataset, report, rotation
        self._keep, self._least_free = keep or Keep(), least_free or LeastFree(0.0, 0)
        self._lock: IO[bytes] = streams.lock(dataset, set_name)
        self._streams: dict[str, Stream] = {}
        self._place: Place | None = None
        self._buffers: dict[str, list[pa.RecordBatch]] = {name: [] for name in TABLES}
        self._buffered = dict.fromkeys(TABLES, 0)
        self._flushed_ns = clock.monotonic_ns()
        self._span = -1  # of the rotation's seconds
        self._day = -1
        self._had: dict[int, dict[str, int]] = {}  # last sequences that the dataset had when this began, by epoch and table
        self._threads = DaemonThreads(max_workers=1)
        self._finishing: Future[Finished] | None = None
        self._to_finish: list[Path] = []
        self._unfinished = ""  # reason why a closed stream is not a file yet
        self._unfinished_ns = self._failed_ns = self._swept_ns = self._room_ns = 0
        self._lost_in_pause = 0
        try:
            self.recovered = streams.recover(dataset, set_name)
            self._next_part = self._first_part()
        except OSError as error:
            self._lock.close()
            raise streams.failed(dataset, error) from error
        except StorageError:
            self._lock.close()
            raise

    def _first_part(self) -> dict[int, int]:
        """Number of the next part, by epoch."""
        found: dict[int, int] = {}
        for epoch, part, _ in streams.parts_of(self._dataset, self.set_name):
            found[epoch] = max(found.get(epoch, 0), part + 1)
        return found

    def holds(self, epoch: int) -> bool:
        """Whether the dataset has rows of that epoch of the set."""
        return epoch in self._next_part

    @property
    def has_begun(self) -> bool:
        """Whether a part is open."""
        return self._place is not None

    def is_due(self, time_ns: int) -> bool:
        """Whether the next rows, received at `time_ns`, begin a part: the first, another span or day, or beyond the size."""
        if self._span < 0:
            return True
        day, span = time_ns // streams.DAY_NS, self._span_of(time_ns)
        most = self._rotation.most_bytes
        return day > self._day or span > self._span or bool(most and self.grown_bytes >= most)

    @property
    def grown_bytes(self) -> int:
        """Bytes of the open streams but for the books, with which each part begins: they alone must not end it."""
        return sum(one.stream_bytes for table, one in self._streams.items() if table != "snapshots")

    def _span_of(self, time_ns: int) -> int:
        span_ns = int(self._rotation.seconds * 1e9)
        return time_ns // span_ns if span_ns else 0

    @property
    def stream_bytes(self) -> int:
        """Bytes of the open streams."""
        return sum(one.stream_bytes for one in self._streams.values())

    def begin_part(self, epoch: int, time_ns: int) -> None:
        """End the open part, and begin one whose rows are of that epoch, from `time_ns` on."""
        self._end_part()
        self.epoch = epoch
        if epoch not in self._had:
            self._had[epoch] = streams.last_sequences(self._dataset, self.set_name, epoch) if self.holds(epoch) else {}
        part = self._next_part.get(epoch, 0)
        self._next_part[epoch] = part + 1
        self._place = Place(self._dataset, self.exchange, self.set_name, epoch, part)
        self._day, self._span = time_ns // streams.DAY_NS, self._span_of(time_ns)

    def add(self, table: str, columns: Any) -> None:
        """Add rows of a table, by columns."""
        batch = self._new(table, arrow_rows(table, columns))
        if len(batch):
            self._buffers[table].append(batch)
            self._buffered[table] += len(batch)

    def _new(self, table: str, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """Rows of a batch that the dataset did not have before: a recording from the oldest record on may begin with some that it has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        had = self._had.get(self.epoch, {}).get(table)
        if had is None or not len(batch) or batch.column("sequence")[0].as_py() > had:
            return batch
        wanted = pc.or_(pc.not_equal(batch.column("epoch"), self.epoch), pc.greater(batch.column("sequence"), had))
        if table == "status":  # what is said of this recording, and of its books, is new
            is_told = pc.is_in(batch.column("kind"), pa.array(streams.TOLD_OF_A_RECORDING))
            wanted = pc.or_(wanted, is_told)
        return batch.filter(wanted)

    def add_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, one by one; columns that a row lacks are null."""
        self.add(table, {name: [row.get(name) for row in rows] for name in stream_schema(table).names})

    @property
    def is_full(self) -> bool:
        """Whether so many rows are buffered that they should be flushed now."""
        return max(self._buffered.values()) >= MOST_BUFFERED

    def tend(self, monotonic_ns: int) -> int:
        """Flush, finish streams and sweep where that is due. Returns the rows lost in a pause that has just ended, else 0.

        The caller then adds what was missed and the books.
        """
        lost = 0
        if monotonic_ns - self._flushed_ns >= FLUSH_NS or self.is_full:
            lost = self.flush(monotonic_ns)
        self._finish_more(monotonic_ns)
        if monotonic_ns - self._swept_ns >= SWEEP_NS or not self._swept_ns:
            self._swept_ns = monotonic_ns
            self._sweep()
        return lost

    def flush(self, monotonic_ns: int) -> int:
        """Write what is buffered to the streams. Returns the rows lost in a pause that has just ended, else 0."""
        import pyarrow as pa

        self._flushed_ns = monotonic_ns
        if self.totals.stopped:
            self._lose_all()
            return self._may_go_on(monotonic_ns)
        missing = self._no_room(monotonic_ns)
        if missing:
            self._stop(missing, NO_ROOM, monotonic_ns)
            return 0
        for table in FLUSH_ORDER:
            batches = self._buffers[table]
            if not batches:
                continue
            whole = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
            try:
                assert self._place is not None
                if table not in self._streams:
                    self._streams[table] = Stream(self._place, table)
                self._streams[table].write(whole)
            except OSError as error:
                state = NO_ROOM if error.errno in FULL else FAILING
                self._stop((error.strerror or str(error)).lower(), state, monotonic_ns)
                return 0
            self.totals.rows[table] += len(whole)
            self._clear(table)
        return 0

    def _may_go_on(self, monotonic_ns: int) -> int:
        """Go on after a pause if there is room and the disk takes what is written; the rows lost in it, 0 while it goes on."""
        if monotonic_ns - self._failed_ns < TRY_AGAIN_NS:
            return 0
        self._failed_ns = monotonic_ns
        try:
            if self._least_free.missing(self._dataset):
                return 0
            streams.probe(self._dataset)
        except OSError:
            return 0
        self.totals.stopped, self.totals.state = "", WRITING
        self._report("warning", "the recording is written again")
        lost, self._lost_in_pause = self._lost_in_pause, 0
        return max(lost, 1)

    def _no_room(self, monotonic_ns: int) -> str:
        if monotonic_ns - self._room_ns < LOOK_AT_ROOM_NS:
            return ""
        self._room_ns = monotonic_ns
        with contextlib.suppress(OSError):
            missing = self._least_free.missing(self._dataset)
            return f"too little room on the disk: {missing}" if missing else ""
        return ""

    def _stop(self, reason: str, state: str, monotonic_ns: int) -> None:
        self._report("warning", f"the recording is not written: {reason}; what comes meanwhile is counted as lost")
        self.totals.stopped, self.totals.state = reason, state
        self._failed_ns = monotonic_ns
        self._lose_all()

    def _lose_all(self) -> None:
        for table in TABLES:
            self._lost_in_pause += self._buffered[table]
            self.totals.rows_lost += self._buffered[table]
            self._clear(table)

    def _clear(self, table: str) -> None:
        self._buffers[table].clear()
        self._buffered[table] = 0

    def _end_part(self) -> None:
        """Flush and close the open streams; they are turned into files by a thread."""
        if self._place is None:
            return
        if self.totals.stopped:
            self._lose_all()  # `tend` ends a pause: its caller says in the data what was lost
        else:
            self.flush(clock.monotonic_ns())
        for stream in self._streams.values():
            stream.close()
            self._to_finish.append(stream.path)
        self._streams.clear()
        self._place = None
        self._finish_more(clock.monotonic_ns())

    def _finish_more(self, monotonic_ns: int) -> None:
        """Note what the thread has done, and give it the next stream. After a failure the next try is TRY_AGAIN_NS later."""
        if self._finishing is not None:
            if not self._finishing.done():
                return
            self._note(self._finishing, monotonic_ns)
        if self._to_finish and (not self._unfinished or monotonic_ns - self._unfinished_ns >= TRY_AGAIN_NS):
            self._finishing = self._threads.submit(streams.finish, self._dataset, self._to_finish[0])

    def _note(self, finishing: "Future[Finished]", monotonic_ns: int) -> None:
        self._finishing = None
        try:
            done = finishing.result()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if not self._unfinished:
                self._report("warning", f"a file cannot be written: {reason}; its stream is kept until it can")
            self._unfinished, self._unfinished_ns = reason, monotonic_ns
            return
        if self._unfinished:
            self._report("warning", "files are written again")
        self._unfinished = ""
        stream = self._to_finish.pop(0)
        if done.unread_bytes:
            self._report("warning", f"{done.unread_bytes} bytes of {stream.name} could not be read again; they are kept beside it")
        self.totals.files += done.files
        self.totals.file_bytes += done.file_bytes

    def _sweep(self) -> None:
        with contextlib.suppress(OSError):
            gone = sweep(self._keep, self._dataset, self.set_name, clock.realtime_ns())
            if gone:
                more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
                self._report("info", f"files deleted, as asked by --keep: {gone[0].name}{more}")

    def close(self) -> None:
        """End the part, wait until its files are written, and release the set. StorageError where a stream is left: it can be recovered."""
        try:
            self._end_part()
            self._unfinished_ns = -TRY_AGAIN_NS
            while self._to_finish:
                if self._finishing is None:
                    self._unfinished = ""
                    self._finish_more(clock.monotonic_ns())
                assert self._finishing is not None
                with contextlib.suppress(OSError):
                    self._finishing.result()
                self._note(self._finishing, clock.monotonic_ns())
                if self._unfinished:
                    raise streams.left(self._dataset, self._unfinished)
            self._sweep()
        finally:
            self._lock.close()
