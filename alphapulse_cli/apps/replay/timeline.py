"""Timeline of captures: the rows of all files in the order in which they are played, exchanges merged by receive time.

    set kraken:   file ─► file ─► …  blocks ─► Reel ─┐
    set coinbase: file ─► file ─► …  blocks ─► Reel ─┴─► `playback`: by time; of equal times by set, then as written

The order within a set is that in which its collector took the rows in, also where its clock was set back. Bytes that cannot be read
become a `lost` row in their place, so that the books know of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import orjson

from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import KIND_BYTES, PREFIX_BYTES, BrokenRows, Kind, Row, parse_rows, row_bytes
from alphapulse_cli.errors import UsageError

SO_WHAT = "books that may have changed meanwhile wait for their next snapshot"
DAMAGED = "damaged"  # reason of a `lost` row that no file has
OVER = b"over"  # kind of a row that no file has: the collector's run has ended, and nothing is known of the time behind it

# Time at which a row with a later one is played: times are 64-bit in the compiled core, ticks lie behind, and a text of it can be read.
LATEST_NS = 2**63 - 10**15

Damaged = Callable[[Path, str], None]  # (file, what cannot be read)


@dataclass(frozen=True, slots=True)
class Recording:
    """Capture of one set: its files in order of time and their heads."""

    set_name: str
    exchange: str
    files: Sequence[Path]
    heads: Sequence[Head]
    first_ns: int  # earliest and latest time of a row
    last_ns: int

    def blocks(self, from_ns: int | None, to_ns: int | None, damaged: Damaged) -> Iterator[bytes]:
        """Iterate over blocks of the rows before `to_ns`, from a place on from which the books of `from_ns` can be played.

        It is the last block of checkpoints before that time, else the beginning of the collector's run. The first row is a head. Behind
        the last row of each run stands a row OVER; of a run without a row before `to_ns` there is none.
        """
        begin, offset = self._start(from_ns)
        has_begun = False
        for number in range(begin, len(self.files)):
            is_last = number + 1 == len(self.files) or self.heads[number + 1].run_ns != self.heads[number].run_ns
            for block in file_blocks(self.files[number], to_ns, damaged, offset, goes_on=not is_last):
                has_begun = True
                yield block
            offset = 0
            if is_last:
                if has_begun:
                    yield row_bytes(OVER, 0, 0, b"")
                has_begun = False

    def check_there(self) -> None:
        """Check that all files can still be read. UsageError."""
        for path in self.files:
            with CaptureFile(path) as file:
                file.head  # noqa: B018 - for its error

    def _start(self, from_ns: int | None) -> tuple[int, int]:
        """Number of a file, and the offset of its block, from which to play the books of `from_ns`."""
        if from_ns is None:
            return 0, 0
        begin = self._run_of(from_ns)
        for number in range(len(self.files) - 1, begin - 1, -1):
            if self.heads[number].run_ns > from_ns:
                continue
            with CaptureFile(self.files[number]) as file:
                held = [one for one in file.entries() if one.flags & HOLDS_CHECKPOINTS and one.last_ns <= from_ns]
                if held:
                    return number, held[-1].offset
        return begin, 0

    def _run_of(self, from_ns: int) -> int:
        """Number of the first file of the run in which `from_ns` lies."""
        runs = [number for number, head in enumerate(self.heads) if not number or head.run_ns != self.heads[number - 1].run_ns]
        return max((number for number in runs if self.heads[number].run_ns <= from_ns), default=0)


def symbols_in(found: Iterable[Recording], wanted: Collection[str] = ()) -> list[str]:
    """Symbols of recordings, sorted: those of their heads, and where a `wanted` one is not among them, those added meanwhile."""
    listed = list(found)
    known = {one.symbol for recording in listed for head in recording.heads for one in head.instruments}
    if not known.issuperset(wanted):  # it may stand in no head yet: all rows are read for that
        known.update(symbol for recording in listed for path in recording.files for symbol in _added(path))
    return sorted(known)


def _added(path: Path) -> Iterator[str]:
    """Symbols that rows of a file add to the set. A row that cannot be right adds none."""
    with CaptureFile(path) as file:
        for row in file.rows():
            if row.kind == Kind.MEMBERS:
                with suppress(orjson.JSONDecodeError, LookupError, TypeError):
                    yield from (str(one["symbol"]) for one in orjson.loads(row.payload)["added"])


def recordings(paths: Sequence[Path]) -> list[Recording]:
    """Open the files and sort them into sets. UsageError for a file that is no capture, and for two captures of the same time of a set."""
    found: dict[str, list[tuple[Head, Path, int, int]]] = {}
    for path in paths:
        with CaptureFile(path) as file:
            head, entries = file.head, file.entries()
        times = min(entry.first_ns for entry in entries), max(entry.last_ns for entry in entries)
        found.setdefault(head.set_name, []).append((head, path, *times))
    return [_recording(name, files) for name, files in sorted(found.items())]


def _recording(name: str, files: list[tuple[Head, Path, int, int]]) -> Recording:
    files.sort(key=lambda one: (one[0].run_ns, one[0].file_number))
    heads = [head for head, *_ in files]
    for before, after in pairwise(files):
        if (before[0].run_ns, before[0].file_number) == (after[0].run_ns, after[0].file_number):
            raise UsageError(f"{before[1]} and {after[1]} are the same part of one capture", "give each once")
        if before[0].exchange != after[0].exchange:
            raise UsageError(f"the set {name} is of {before[0].exchange} in {before[1]} and of {after[0].exchange} in {after[1]}")
        if before[0].run_ns != after[0].run_ns and before[3] > after[2]:
            raise UsageError(
                f"{before[1]} and {after[1]} are two captures of {name} at the same time",
                "play one of them; alphapulse capture diff shows what each has more",
            )
    first, last = (min(time, LATEST_NS) for time in (min(one[2] for one in files), max(one[3] for one in files)))
    return Recording(name, heads[0].exchange, [path for _, path, *_ in files], heads, first, last)


def file_blocks(path: Path, to_ns: int | None, damaged: Damaged, offset: int = 0, *, goes_on: bool = False) -> Iterator[bytes]:
    """Iterate over the blocks of a file with its rows before `to_ns`, from the block at `offset` on.

    A `lost` row stands in the place of what cannot be read, and of the end of a file that was cut though its run `goes_on` in another.
    """
    with CaptureFile(path) as file:
        end, last_ns, last_kind = offset, 0, b""
        first = next((number for number, entry in enumerate(file.entries()) if entry.offset >= offset), 0)
        for entry, block in file.blocks(first):
            if entry.offset != end:
                damaged(path, f"{entry.offset - end} bytes cannot be read; {SO_WHAT}")
                yield lost_row(entry.offset - end, last_ns or entry.first_ns)
            end, last_ns, last_kind = entry.end, entry.last_ns, block[:KIND_BYTES]
            if to_ns is None or entry.last_ns < to_ns:
                yield block
            elif entry.first_ns < to_ns:
                yield b"".join(row_bytes(*row) for row in parse_rows(block) if row.time_ns < to_ns)
        if goes_on and (end < file.size or last_kind != Kind.DONE):
            damaged(path, f"its end is missing, and its run goes on in the next file; {SO_WHAT}")
            if to_ns is None or last_ns < to_ns:
                yield lost_row(file.size - end, last_ns)
        elif end < file.size:
            damaged(path, f"{file.size - end} bytes at its end are no whole block: its writer was ended, or still writes")


def lost_row(length: int, time_ns: int) -> bytes:
    """Row `lost` in the place of bytes that cannot be read."""
    members = {"rows": 0, "bytes": length, "from_ns": time_ns, "to_ns": time_ns, "reason": DAMAGED}
    return row_bytes(Kind.LOST, time_ns, 0, orjson.dumps(members))


class Reel:
    """Rows of one set in the order in which they are played. `time_ns` is the time at which the next one is, None behind the last.

    It is the row's own time, but never before that of an earlier row.
    """

    def __init__(self, name: str, blocks: Iterator[bytes], damaged: Callable[[str], None]) -> None:
        self._name, self._blocks, self._damaged = name, blocks, damaged
        self.block = b""
        self.at = 0  # offset of the next row in the block
        self.time_ns: int | None = 0
        self._reached_ns = 0
        self.move(0)

    def move(self, at: int) -> None:
        """Go on with the row at that offset of the block; with the next block, at its end."""
        while at >= len(self.block):
            block = next(self._blocks, None)
            if block is None:
                self.time_ns = None
                return
            self.block, at = block, 0
        self.at = at
        digits = self.block[at + 5 : at + 24]
        self._reached_ns = max(self._reached_ns, min(int(digits), LATEST_NS)) if digits.isdigit() else self._reached_ns
        self.time_ns = self._reached_ns

    @property
    def next_kind(self) -> bytes:
        """Kind of the next row."""
        return self.block[self.at : self.at + KIND_BYTES]

    def next_row(self) -> Row:
        """Take the next row. Of a block that is wrong from here on it is `lost`."""
        try:
            row = next(parse_rows(self.block, self.at))
        except BrokenRows as error:
            left = len(self.block) - self.at
            self._damaged(f"{left} bytes of a block of {self._name} are no rows ({error}); {SO_WHAT}")
            self.move(len(self.block))
            return Row(*next(parse_rows(lost_row(left, self._reached_ns))))
        self.move(self.at + PREFIX_BYTES + len(row.payload) + 1)
        return row if row.time_ns <= LATEST_NS else row._replace(time_ns=LATEST_NS)
