"""Listing of the segments' directory: each file with its writer, its readers and their lag, sizes and rates.

    list_segments ─► a row a file        list_cursors ─► a row a reader        two looks a moment apart ─► records a second

A damaged or foreign file has a row with its problem. Only `sweep` changes anything, after it has asked the leases.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from alphapulse_cli.errors import SegmentGone
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.market.trading_status import trading_status
from alphapulse_cli.readers.status import capture_state
from alphapulse_cli.shm import clock, cursor, layout, listing
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookState, state_words

RINGS = (SegmentKind.DELTAS, SegmentKind.TRADES)
RATE_OVER_S = 0.25


@dataclass(slots=True)
class ReaderRow:
    """One reader of a ring, from its cursor."""

    pid: int
    label: str
    segment: str
    lag: int | None  # records published and not yet read; None if the ring was replaced since
    missed: int
    alive: bool


@dataclass(slots=True)
class SegmentRow:
    """One segment file. `problem` is the reason why it could not be attached to; then only its name and kind are known."""

    name: str
    set_name: str
    kind: str
    symbol: str = ""
    problem: str = ""
    exchange: str = ""
    state: str = ""  # live, building, silent, retired, replaced, gone
    pid: int = 0
    epoch: int = 0
    bytes: int = 0
    capacity: int = 0
    published: int = 0
    records_per_s: float | None = None
    heartbeat_age_s: float | None = None
    book_state: str = ""
    trading_status: str | None = None  # trading status of a book's market; None if the writer does not publish it
    levels: int | None = None
    capture: str | None = None  # of counters: state of the set's capture; None without one
    capture_rows: int | None = None
    capture_bytes: int | None = None
    capture_rows_lost: int | None = None
    readers: list[ReaderRow] = field(default_factory=list)
    replay: bool = False  # a replay wrote it
    recording_ns: int | None = None  # time that the replay has reached in the recording, since 1970; None: live, or not known


def describe(directory: Directory, pause: Callable[[float], None]) -> list[SegmentRow]:
    """Rows of all segments, by name; `pause` waits the given seconds between the two looks that give the rates."""
    found = list(listing.list_segments(directory))
    before = {one.name: one.segment.published for one in found if one.segment is not None}
    started = clock.monotonic_ns()
    if any(one.segment is not None and one.segment.spec.kind in RINGS for one in found):
        pause(RATE_OVER_S)
    now = clock.monotonic_ns()
    seconds = (now - started) / 1e9
    readers = cursor.list_cursors(directory)
    rows = []
    for one in found:
        row = _row(one, now)
        if one.segment is not None and one.segment.spec.kind in RINGS:
            row.records_per_s = (one.segment.published - before[one.name]) / seconds if seconds else None
            row.readers = [_reader(each, one.segment) for each in readers if each.segment == one.name]
        rows.append(row)
    return rows


def _row(found: listing.Found, now: int) -> SegmentRow:
    parsed = parse_segment_name(found.name)
    assert parsed is not None
    kind, set_name, symbol = parsed
    row = SegmentRow(found.name, set_name, kind.name.lower(), symbol)
    segment = found.segment
    if segment is None:
        row.problem = str(found.problem)
        return row
    row.exchange = segment.spec.exchange
    row.state = segment.liveness(now).value
    row.pid, row.epoch = segment.writer.pid, segment.epoch
    row.bytes, row.capacity, row.published = segment.spec.file_bytes, segment.spec.capacity, segment.published
    row.replay = segment.is_replay
    row.recording_ns = (segment.now_ns() or None) if segment.is_replay else None
    row.heartbeat_age_s = max(now - segment.heartbeat_ns, 0) / 1e9
    if kind is SegmentKind.BOOK:
        _add_book(row, segment, now)
    if kind is SegmentKind.COUNTERS:
        _add_capture(row, segment)
    return row


def _add_capture(row: SegmentRow, segment: Segment) -> None:
    """Add the state and the figures of a set's capture to the row of its counters."""
    with suppress(SegmentGone):
        totals = CountersReader(segment).total()
        state = capture_state(totals)
        if state:
            row.capture, row.capture_rows = state.name, totals["capture_rows"]
            row.capture_bytes, row.capture_rows_lost = totals["capture_bytes"], totals["capture_rows_lost"]


def _add_book(row: SegmentRow, segment: Segment, now: int) -> None:
    """Add a book's state and levels to its row; LIVE becomes STALE without a live writer."""
    image = ImageReader(segment).peek()
    if image is None:
        row.book_state = "half edited"
        return
    state, reason = states_of(image.state, image.reason)
    is_alive = state is not BookState.LIVE or segment.is_live(now)
    row.book_state = state_words(state, reason) if is_alive else BookState.STALE.name
    trading = trading_status(image.trading_status)
    row.trading_status = None if trading is None else trading.name
    row.levels = image.bid_count + image.ask_count


def _reader(info: cursor.CursorInfo, segment: Segment) -> ReaderRow:
    lag = None
    if info.epoch == segment.epoch:
        end = min(segment.published, segment.sealed) if segment.sealed != layout.ALIVE else segment.published
        lag = max(end - info.position, 0)
    return ReaderRow(info.who.pid, info.label, info.segment, lag, info.missed, info.alive)


def sweep(directory: Directory) -> list[str]:
    """Remove the files that no living writer or reader needs; returns their names."""
    return listing.sweep(directory)
