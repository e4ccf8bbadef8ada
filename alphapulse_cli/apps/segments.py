"""What is in shared memory: every segment and whether its writer lives, every reader and how far it is behind.

Read from headers, counters' neighbours and cursor files alone: looking costs the writer nothing. Rates are of two looks a moment
apart. A file that is damaged is a row that says why, never an error.
"""

from dataclasses import dataclass
from typing import Any

from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import CursorInfo, list_cursors
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ALIVE, Kind
from alphapulse_cli.shm.listing import Found, list_segments, sweep
from alphapulse_cli.shm.segment import Segment

BETWEEN_NS = 200_000_000
RINGS = (Kind.DELTAS, Kind.TRADES)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One file. What a damaged one would say is None; `problem` says what is wrong with it."""

    name: str
    kind: str = ""
    set_name: str = ""
    exchange: str = ""
    symbol: str = ""
    bytes: int | None = None
    capacity: int | None = None
    epoch: int | None = None
    pid: int | None = None
    writer: str = ""  # live, building, silent, retired, replaced
    heartbeat_ms: float | None = None  # since the writer's last sign of life
    published: int | None = None  # records, or the version of a book
    per_s: float | None = None
    state: str = ""  # of a book
    levels: int | None = None
    readers: int = 0
    problem: str = ""

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        names = [name for name in self.__slots__ if name not in ("name", "set_name")]
        return {"type": "segment", "segment": self.name, "set": self.set_name} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """One reader. `lag` is in records; None where the ring it reads is not there any more."""

    pid: int
    label: str
    segment: str
    lag: int | None
    missed: int
    alive: bool
    since_s: float

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"type": "reader"} | {name: getattr(self, name) for name in self.__slots__}


def describe(directory: Directory, between_ns: int = BETWEEN_NS) -> tuple[list[SegmentRow], list[ReaderRow]]:
    """Everything in the directory; takes as long as the two looks are apart, if there is anything to look at."""
    found = list(list_segments(directory))
    first = {one.name: _progress(one.segment) for one in found if one.segment is not None}
    begun = clock.monotonic_ns()
    if first:
        clock.pause(between_ns)
    seconds = (clock.monotonic_ns() - begun) / 1e9
    cursors = list_cursors(directory)
    segments = [_segment_row(one, first.get(one.name, 0), seconds, cursors) for one in found]
    return segments, [_reader_row(one, found) for one in cursors]


def sweep_dead(directory: Directory) -> list[str]:
    """Remove retired and silent sets, unfinished files and dead readers' cursors; their names."""
    return sweep(directory)


def _progress(segment: Segment) -> int:
    if segment.spec.kind in RINGS:
        return min(segment.published, segment.sealed)
    return ImageReader(segment).version() if segment.spec.kind is Kind.BOOK else 0


def _segment_row(found: Found, before: int, seconds: float, cursors: list[CursorInfo]) -> SegmentRow:
    segment = found.segment
    if segment is None:
        return SegmentRow(found.name, problem=str(found.problem))
    spec, now = segment.spec, clock.monotonic_ns()
    after, moves = _progress(segment), spec.kind is not Kind.COUNTERS
    state, levels = _book(segment, now) if spec.kind is Kind.BOOK else ("", None)
    return SegmentRow(
        found.name,
        spec.kind.name.lower(),
        spec.set_name,
        spec.exchange,
        spec.symbol,
        spec.file_bytes,
        spec.capacity,
        segment.epoch,
        segment.writer.pid,
        segment.liveness(now).value,
        round((now - segment.heartbeat_ns) / 1e6, 1),
        after if moves else None,
        round(max(after - before, 0) / seconds, 1) if moves and seconds else None,
        state,
        levels,
        sum(one.alive and one.segment == found.name for one in cursors),
    )


def _book(segment: Segment, now: int) -> tuple[str, int | None]:
    image = ImageReader(segment).peek()
    if image is None:
        return "STALE", None
    state = states_of(image.state, image.reason)[0].name
    return ("STALE" if state == "LIVE" and not segment.is_live(now) else state), image.bid_count + image.ask_count


def _reader_row(cursor: CursorInfo, found: list[Found]) -> ReaderRow:
    ring = next((one.segment for one in found if one.name == cursor.segment), None)
    lag = None
    if ring is not None and ring.epoch == cursor.epoch and ring.spec.kind in RINGS:
        end = ring.published if ring.sealed == ALIVE else min(ring.published, ring.sealed)
        lag = max(end - cursor.position, 0)
    since_s = (clock.realtime_ns() - cursor.opened_ns) / 1e9
    return ReaderRow(cursor.who.pid, cursor.label, cursor.segment, lag, cursor.missed, cursor.alive, round(since_s, 1))
