"""Group reader: complete groups of records from a ring, across read boundaries and restarts of its writer.

    ring ─► poll: any number of records ─► held until LAST ─► whole groups, in order, or how many records were missed

After a miss everything up to the next FIRST is skipped; a ring's oldest record, too, may be in the middle of a group. When a ring
has ended, or its writer is silent, and another ring has its name, that one is read from its first record, and the records that it
has already overwritten count as missed: a reader that only polls never stays on a dead ring. A replay never takes a collector's
place here, nor a collector a replay's: what began as the present, or as the past, stays that for its reader.
"""

from contextlib import suppress
from typing import Literal, NamedTuple

from alphapulse_cli.errors import SegmentError, SegmentGone, StorageError, WrongLayout
from alphapulse_cli.shm.cursor import Cursor
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta, trade

POLL_RECORDS = 2048
LOOK_EVERY_NS = 100_000_000  # between looks for a silent ring's successor; for a sealed ring's every poll looks
FIRST, LAST = delta.FIRST, delta.LAST
assert (trade.FIRST, trade.LAST) == (FIRST, LAST)

Start = Literal["now", "oldest"] | int  # the next record, the oldest still kept, or a sequence


class Polled(NamedTuple):
    """Result of one poll: `record_count` records in whole groups; `missed` ones were overwritten before they could be read, or of a group cut by that."""

    records: memoryview  # valid until the next poll
    record_count: int
    first: int  # sequence of the first record
    missed: int
    restarted: bool  # the records are of a new writer's ring, whose sequences begin at 0


NOTHING = memoryview(b"")


class GroupReader:
    """Reader of one ring's whole groups, across its writers' restarts. NoSegment if there is none yet.

    With a `label` it leaves a cursor file, so that `segments` shows it and its lag; where that fails it goes on without one. On a
    replay's ring it always leaves one: a replay at full speed waits for the readers that it knows. With `acknowledges` the cursor
    passes what was polled only when the caller says so: a replay then waits for what is made of the records, too.
    """

    def __init__(
        self,
        directory: Directory,
        set_name: str,
        kind: SegmentKind,
        start: Start = "now",
        label: str = "",
        *,
        acknowledges: bool = False,
    ) -> None:
        self.kind = kind
        self._acknowledges = acknowledges
        self.name = segment_name(kind, set_name)
        self.missed = 0
        self._directory = directory
        self._label = label
        self._flags_at = delta.offsets()["flags"] if kind is SegmentKind.DELTAS else trade.offsets()["flags"]
        self._look_after_ns = 0  # CLOCK_MONOTONIC of the next look for a silent ring's successor
        self._attach(self._checked(Segment.attach(directory, self.name)), start)

    def _attach(self, segment: Segment, start: Start) -> None:
        self.segment = segment
        self.reader = RingReader(segment, start)
        self._skipping = start != "now"  # the first record may be in the middle of a group
        self._is_behind_hole = False  # what is left of that group is missed, too
        self._held = bytearray()  # a group whose LAST was not read yet
        self._cursor = self._new_cursor(segment)  # the former one goes after that: a replay that waits for it sees one all the time

    def _new_cursor(self, segment: Segment) -> Cursor | None:
        label = self._label or ("reader" if segment.is_replay else "")
        if label:
            with suppress(SegmentError, StorageError):
                made = Cursor(self._directory, self.name, segment.epoch, label)
                made.update(self.reader.position, self.missed)
                return made
        return None

    def _checked(self, segment: Segment) -> Segment:
        """The segment itself, if its records have the length that we read. WrongLayout."""
        expected = delta.DELTA_BYTES if self.kind is SegmentKind.DELTAS else trade.TRADE_BYTES
        if segment.spec.record_bytes != expected:
            raise WrongLayout(f"{segment.path} has records of {segment.spec.record_bytes} bytes, not {expected}")
        return segment

    @property
    def ring(self) -> RingReader:
        """Ring that is read now: another one after a restart."""
        return self.reader

    @property
    def position(self) -> int:
        """Sequence of the next record to read from the ring."""
        return self.reader.position

    @property
    def is_replay(self) -> bool:
        """Whether a replay writes the ring; that of a reader never changes."""
        return self.segment.is_replay

    def now_ns(self) -> int:
        """Time now on the clock of the ring's records, ns since 1970: see `Segment.now_ns`."""
        return self.segment.now_ns()

    def is_live(self, monotonic_ns: int) -> bool:
        """Whether the ring's writer is alive: the ring is READY and its heartbeat fresh."""
        return self.segment.is_live(monotonic_ns)

    def poll(self, monotonic_ns: int, limit: int = POLL_RECORDS) -> Polled:
        """Read at most `limit` records; complete groups only, an incomplete one is returned by a later poll.

        SegmentGone where the ring's file was cut short, unless another ring has the name by now.
        """
        gone: SegmentGone | None = None
        try:
            records, first, missed = self.reader.poll(limit)
        except SegmentGone as error:
            gone, records, first, missed = error, NOTHING, self.reader.position, 0
        restarted = False
        if not records and not missed and (gone or self._may_be_replaced(monotonic_ns)) and self._successor():
            restarted = True
            begun = self.reader.position  # records that the new ring has already overwritten
            records, first, missed = self.reader.poll(limit)
            missed += begun
        elif gone:
            raise gone
        polled = self._whole(records, first, missed, restarted)
        self.missed += polled.missed
        if not self._acknowledges and (polled.missed or records):
            self.acknowledge()
        return polled

    def acknowledge(self, kept: int = 0) -> None:
        """Let the cursor pass all records that were polled, but for the last `kept` ones."""
        if self._cursor is not None:
            self._cursor.update(self.reader.position - kept, self.missed)

    def _whole(self, records: memoryview, first: int, missed: int, restarted: bool) -> Polled:
        """Whole groups of the held and the new records."""
        size = self.reader.record_bytes
        if missed:
            missed += len(self._held) // size
            self._held, self._skipping, self._is_behind_hole = bytearray(), True, True
        if not records:
            return Polled(NOTHING, 0, first, missed, restarted)
        flags = bytes(records[self._flags_at :: size])
        begin = self._first_group(flags) if self._skipping else 0
        if self._is_behind_hole:
            missed += begin
            self._is_behind_hole = self._skipping
        end = len(flags)
        while end > begin and not flags[end - 1] & LAST:
            end -= 1
        whole, rest = records[begin * size : end * size], records[end * size :]
        first += begin
        if end <= begin:  # no group ends in these records
            self._held += rest
            return Polled(NOTHING, 0, first, missed + self._give_up(size), restarted)
        if self._held:
            first -= len(self._held) // size
            self._held += whole
            whole = memoryview(self._held)
        self._held = bytearray(rest)
        return Polled(whole, len(whole) // size, first, missed, restarted)

    def _first_group(self, flags: bytes) -> int:
        """Index of the first record that begins a group; the number of records where none does."""
        for index, flag in enumerate(flags):
            if flag & FIRST:
                self._skipping = False
                return index
        return len(flags)

    def _give_up(self, size: int) -> int:
        """Drop a held part larger than its ring, which no valid group is, and count it as missed."""
        held = len(self._held) // size
        if held <= self.reader.capacity:
            return 0
        self._held, self._skipping, self._is_behind_hole = bytearray(), True, True
        return held

    def _may_be_replaced(self, monotonic_ns: int) -> bool:
        """Whether to look for a successor now.

        It may exist unannounced: the seal cannot be written to a ring whose file was removed.
        """
        if self.reader.ended:
            return True
        if monotonic_ns < self._look_after_ns:
            return False
        self._look_after_ns = monotonic_ns + LOOK_EVERY_NS
        return not self.segment.is_live(monotonic_ns)

    def _successor(self) -> bool:
        """Attach to the ring that has the name now, if it is another."""
        with suppress(SegmentError, StorageError):
            found = self._checked(Segment.attach(self._directory, self.name))
            if found.epoch > self.segment.epoch and found.is_replay == self.segment.is_replay:
                self._attach(found, "oldest")
                return True
        return False

    def close(self) -> None:
        """Remove the cursor file."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
