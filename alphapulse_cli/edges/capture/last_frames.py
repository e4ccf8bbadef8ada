"""Last frames of a set: its rows of the last seconds, kept in the collector's memory, and written as a capture where somebody asks.

    Recorder ─► LastFrames: [span][span][span]     each: a head, checkpoints of all books, and the rows behind them
                     └─ written ─► one file like any capture's

A span ends, and the next one begins with checkpoints, at a third of the seconds or a quarter of the bytes; the first one is dropped
when the others are of enough seconds, or where there is no room for a row. While a book is healing there are no checkpoints, and no
span ends, so that the last good books are kept with what happened to them, unless half of the bytes are used. Rows are not copied:
what a frame costs is its place in a list (`last_rows.py`). Checkpoints are the books' memory as it lies; sets whose books are
larger than three eighths of the bytes have none.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.keeping import LastBounds, Rotation
from alphapulse_cli.edges.capture.last_rows import ROW_BYTES, KeptRow, LastRows
from alphapulse_cli.edges.capture.packing import RowPacker
from alphapulse_cli.edges.capture.rewriting import opened_again
from alphapulse_cli.edges.capture.rolling import Preamble, RollingFiles, RowBlock
from alphapulse_cli.edges.capture.rows import Kind, row_bytes
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.flow.checkpoint import Taken
from alphapulse_cli.shm import clock

TRY_AGAIN_NS = 1_000_000_000  # after checkpoints that could not be taken
SPANS = 3  # in the seconds that are kept
MOST_HELD_EIGHTHS = 3  # of the bytes, for the checkpoints of a moment; there are those of two moments at times
SMALL_PART = 32  # of larger ones there are no more than two
REASON = "the last frames of a collector"

Held = Sequence[tuple[int, Taken]]  # (connection, checkpoint)
Take = Callable[[int], Held | None]  # at most that many bytes -> checkpoints; None while there are none, () if there never are any


@dataclass(slots=True)
class Span:
    """Rows since a moment. `held` are the checkpoints of that moment, `preamble` the rows of connections that were open then."""

    head: Head
    preamble: Preamble
    begun_ns: int  # CLOCK_MONOTONIC
    begun_at_ns: int = 0  # CLOCK_REALTIME
    held: Held = ()
    is_from_start: bool = False  # of the set: there were no books before
    rows: list[KeptRow] = field(default_factory=list)
    size: int = 0  # bytes of the rows, once it has ended

    @property
    def held_size(self) -> int:
        """Bytes of its checkpoints."""
        return sum(taken.size for _, taken in self.held)


@dataclass(frozen=True, slots=True)
class Part:
    """Part of a file to be written: a span, and how many rows it had."""

    span: Span
    row_count: int


class LastFrames:
    """Last rows of one set, from one thread. `head` and `preamble` are those of the span that begins next; set them when they change."""

    def __init__(self, bounds: LastBounds, head: Head, monotonic_ns: int) -> None:
        self.bounds = bounds
        self.head = head
        self.preamble: Preamble = ()
        self._take: Take | None = None
        self._kept_ns = int(bounds.seconds * 1e9)
        self._rows = LastRows(bounds.most_bytes, self._make_room)
        self.put = self._rows.put  # keeps a row: (kind, time_ns, connection, payload)
        self._spans = [Span(head, (), monotonic_ns, is_from_start=True, rows=self._rows.rows)]
        self._now_ns = monotonic_ns
        self._try_after_ns = 0
        self._are_small = True  # the checkpoints
        self._has_never = False  # taken a checkpoint, at the last try, and never will
        self._readers = 0  # parts that are being written

    def begin(self, head: Head, take: Take) -> None:
        """Begin: the instruments in the head are known. `take` takes the checkpoints."""
        self.head = self._spans[0].head = head
        self._take = take

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept now."""
        return self.bounds.most_bytes - self._rows.room

    def beat(self, monotonic_ns: int) -> None:
        """Let time pass, about every 100 ms: the next span begins where it is due, and old ones are dropped."""
        self._now_ns = monotonic_ns
        span, rows, take = self._spans[-1], self._rows, self._take
        if take is None or not rows.rows or monotonic_ns < self._try_after_ns:
            return
        part = self._part(span)
        span_ns = self._kept_ns // (SPANS if self._are_small else 1)
        is_cold = not (span.held or span.is_from_start)
        if monotonic_ns - span.begun_ns < span_ns and rows.size < part and not is_cold:
            return
        self._try_after_ns = monotonic_ns + TRY_AGAIN_NS
        held = take(self.bounds.most_bytes * MOST_HELD_EIGHTHS // 8)
        self._has_never = held is not None and not held
        if held is None and rows.size < self.bounds.most_bytes // 2:
            return
        if not held and is_cold and rows.size < part and monotonic_ns - span.begun_ns < span_ns:
            return  # another one without books would be of no use
        self._begin(monotonic_ns, held or ())
        self._drop_old(monotonic_ns)

    def parts(self) -> list[Part]:
        """Take what is kept now, to be written by another thread, as `write` does; `written` must follow."""
        self._readers += 1
        return [Part(span, len(span.rows)) for span in self._spans]

    def written(self) -> None:
        """Note that parts are no longer needed."""
        self._readers -= 1

    def remarks(self, parts: Sequence[Part]) -> list[str]:
        """Texts to be said of parts: why the books before them are not known."""
        first = parts[0].span
        if first.held or first.is_from_start:
            return []
        why = "the bytes of --last-frames hold no checkpoint of all its books" if self._has_never else "a book was healing"
        return [f"books are not known before their next snapshot: {why}"]

    def _part(self, span: Span) -> int:
        """Bytes of rows at which a span with such checkpoints ends: so many find room behind the next ones, and so many beside them."""
        return min(self.bounds.most_bytes // 4, self.bounds.most_bytes // 2 - span.held_size)

    def _begin(self, monotonic_ns: int, held: Held) -> None:
        """Begin another span."""
        self._spans[-1].size = self._rows.size
        span = Span(self.head, self.preamble, monotonic_ns, clock.realtime_ns(), held)
        self._rows.begin(span.rows, 0)
        self._rows.room -= span.held_size
        self._are_small = span.held_size <= self.bounds.most_bytes // SMALL_PART
        self._spans.append(span)

    def _drop_old(self, monotonic_ns: int) -> None:
        """Drop spans that are older than what is to be kept, and those before the last one for which the next rows have no room."""
        part = self._part(self._spans[-1])
        while len(self._spans) > 1 and (
            monotonic_ns - self._spans[1].begun_ns >= self._kept_ns or self._rows.room < (part if len(self._spans) > 2 else 0)
        ):
            old = self._spans.pop(0)
            self._rows.room += old.held_size
            if self._readers:  # it goes when it is written; until then there may be twice as many bytes
                self._rows.room += old.size
            else:
                self._rows.free(old.rows, old.size)
                if self._rows.room < part:
                    self._rows.free_at_once()

    def _make_room(self) -> None:
        """Drop old spans at once, and half of the present one where it is alone: the bytes are used up.

        Of a row that is too large by itself there is a `lost` one.
        """
        rows, most = self._rows, self.bounds.most_bytes
        rows.free_at_once()
        while rows.room < 0 and len(self._spans) > 1:
            old = self._spans.pop(0)
            rows.room += old.held_size + old.size
        if rows.room >= 0:
            return
        span, kept = self._spans[0], rows.rows
        if ROW_BYTES + len(kept[-1][3]) > most:
            _, time_ns, _, payload = kept[-1]
            kept[-1] = (bytes(Kind.LOST), time_ns, 0, _lost(time_ns, len(payload), most))
        begin, size = _newest(kept, most // 2)
        preamble = _open_behind(span.preamble, kept[:begin])
        self._spans = [Span(self.head, preamble, self._now_ns, kept[begin][1], rows=kept[begin:])]
        rows.begin(self._spans[0].rows, size)
        rows.room = most - size


def write(parts: Sequence[Part], folder: Path) -> Path:
    """Write parts as a capture of one file into a folder. UsageError where there is no row yet; StorageError."""
    if not any(part.row_count for part in parts):
        raise UsageError("nothing was received yet", "try again in a moment")
    files = RollingFiles(folder, lambda *_: None, Rotation(0.0, 0), LeastFree(0.0, 0))
    path: Path | None = None

    def append(block: RowBlock) -> None:
        nonlocal path
        files.write(block, is_last=True)
        path = files.path or path
        if files.totals.stopped:
            raise StorageError(f"cannot write the last frames in {folder}: {files.totals.stopped}")
        time.sleep(0)  # the collector's turn

    try:
        for part in parts:
            _write_part(part, append)
        last_ns = next(part.span.rows[part.row_count - 1][1] for part in reversed(parts) if part.row_count)
        done = row_bytes(Kind.DONE, last_ns, 0, orjson.dumps({"reason": REASON}))
        append(RowBlock(done, 1, last_ns, last_ns, parts[-1].span.head))
    finally:
        files.close()
    assert path is not None
    return path


def _write_part(part: Part, append: Callable[[RowBlock], None]) -> None:
    span, packer = part.span, RowPacker(2 * BLOCK_BYTES)
    if span.held:
        packer.put(Kind.HEAD, span.begun_at_ns, 0, span.head.to_payload())
        for connection, taken in span.held:
            packer.put(Kind.HELD, span.begun_at_ns, connection, taken.payload())
        append(_block(packer, span, (), HOLDS_CHECKPOINTS))
    for number in range(part.row_count):
        if packer.put(*span.rows[number]) >= BLOCK_BYTES:
            append(_block(packer, span, span.preamble))
    if packer.row_count:
        append(_block(packer, span, span.preamble))


def _block(packer: RowPacker, span: Span, preamble: Preamble, flags: int = 0) -> RowBlock:
    count, first_ns, last_ns = packer.row_count, packer.first_ns, packer.last_ns
    return RowBlock(packer.take(), count, first_ns, last_ns, span.head, preamble, flags)


def _newest(rows: Sequence[KeptRow], most_bytes: int) -> tuple[int, int]:
    """Number of the first of the newest rows of at most that many bytes, the last one in any case, and their bytes."""
    begin, size = len(rows), 0
    while begin:
        more = ROW_BYTES + len(rows[begin - 1][3])
        if size and size + more > most_bytes:
            break
        begin, size = begin - 1, size + more
    return begin, size


def _open_behind(preamble: Preamble, rows: Sequence[KeptRow]) -> Preamble:
    """Preamble for what follows the rows: the connections that are open then."""
    found = {connection: (kind, connection, payload) for kind, connection, payload in preamble}
    for kind, _, connection, payload in rows:
        if kind == Kind.OPEN:
            found[connection] = (kind, connection, opened_again(payload) or payload)
        elif kind == Kind.SHUT:
            found.pop(connection, None)
    return tuple(found.values())


def _lost(time_ns: int, length: int, most: int) -> bytes:
    """Payload of the row `lost` in the place of a row that is too large to be kept."""
    members = {"rows": 1, "bytes": length, "from_ns": time_ns, "to_ns": time_ns}
    return orjson.dumps({**members, "reason": f"larger than the {most} bytes of --last-frames"})
