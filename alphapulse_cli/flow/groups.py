"""Whole groups out of a ring, whatever the reads cut, and on through the writers that follow one another.

    ring ─► poll: any number of records ─► held until LAST ─► whole groups, in order, or how many records were missed

After a miss everything up to the next FIRST is skipped; a ring's oldest record, too, may stand in the middle of a group. When a ring
has ended, or its writer is silent, and another ring has its name, that one is read from its first record, and what it has overwritten
already counts as missed: who only polls never stays on a dead ring.
"""

from contextlib import suppress
from typing import Literal, NamedTuple

from alphapulse_cli.errors import SegmentError, SegmentGone, StorageError, WrongLayout
from alphapulse_cli.shm.cursor import Cursor
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.layout import Kind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta, trade

POLL_RECORDS = 2048
LOOK_EVERY_NS = 100_000_000  # for the successor of a silent ring; that of one that was sealed is looked for at each poll
FIRST, LAST = delta.FIRST, delta.LAST
assert (trade.FIRST, trade.LAST) == (FIRST, LAST)

Start = Literal["now", "oldest"] | int  # the next record, all that is still there, or a sequence


class Polled(NamedTuple):
    """What one poll brought: `record_count` whole-group records; `missed` were overwritten before they could be read."""

    records: memoryview  # valid until the next poll
    record_count: int
    first: int  # sequence of the first record
    missed: int
    restarted: bool  # a new writer's ring: sequences begin again


NOTHING = memoryview(b"")


class GroupReader:
    """Whole groups of one ring, across its writers' restarts. NoSegment if there is none yet.

    With a `label` it leaves a cursor, so that `segments` shows it and its lag; where there is no room for one it goes without.
    """

    def __init__(self, directory: Directory, set_name: str, kind: Kind, start: Start = "now", label: str = "") -> None:
        self.kind = kind
        self.name = segment_name(kind, set_name)
        self.missed = 0
        self._directory = directory
        self._label = label
        self._flags_at = delta.offsets()["flags"] if kind is Kind.DELTAS else trade.offsets()["flags"]
        self._look_after_ns = 0  # CLOCK_MONOTONIC: no sooner for a silent ring's successor
        self._attach(self._checked(Segment.attach(directory, self.name)), start)

    def _attach(self, segment: Segment, start: Start) -> None:
        self.segment = segment
        self.reader = RingReader(segment, start)
        self._skipping = start != "now"  # a ring's oldest record may stand in the middle of a group
        self._held = bytearray()  # a group whose LAST was not read yet
        self._cursor: Cursor | None = None
        if self._label:
            with suppress(SegmentError, StorageError):
                self._cursor = Cursor(self._directory, self.name, segment.epoch, self._label)
                self._cursor.update(self.reader.position, self.missed)

    def _checked(self, segment: Segment) -> Segment:
        """The segment, if its records are as long as those we read. WrongLayout."""
        expected = delta.DELTA_BYTES if self.kind is Kind.DELTAS else trade.TRADE_BYTES
        if segment.spec.record_bytes != expected:
            raise WrongLayout(f"{segment.path} has records of {segment.spec.record_bytes} bytes, not {expected}")
        return segment

    @property
    def ring(self) -> RingReader:
        """The ring that is read now: another one after a restart."""
        return self.reader

    @property
    def position(self) -> int:
        """Sequence of the next record that is not yet in hand."""
        return self.reader.position

    def is_live(self, monotonic_ns: int) -> bool:
        """Whether the ring's writer is there: not sealed, and its heartbeat is young."""
        return self.segment.is_live(monotonic_ns)

    def poll(self, monotonic_ns: int, limit: int = POLL_RECORDS) -> Polled:
        """Whole groups only; at a cut the rest is fetched at the next poll. SegmentGone, unless another ring has the name by now."""
        gone: SegmentGone | None = None
        try:
            records, first, missed = self.reader.poll(limit)
        except SegmentGone as error:
            gone, records, first, missed = error, NOTHING, self.reader.position, 0
        restarted = False
        if not records and not missed and (gone or self._may_be_replaced(monotonic_ns)) and self._successor():
            restarted = True
            begun = self.reader.position  # what the new ring has overwritten already
            records, first, missed = self.reader.poll(limit)
            missed += begun
        elif gone:
            raise gone
        polled = self._whole(records, first, missed, restarted)
        self.missed += polled.missed
        if self._cursor is not None and (polled.missed or records):
            self._cursor.update(self.reader.position, self.missed)
        return polled

    def _whole(self, records: memoryview, first: int, missed: int, restarted: bool) -> Polled:
        """The whole groups among what is held and what was read."""
        if missed:
            self._held, self._skipping = bytearray(), True
        if not records:
            return Polled(NOTHING, 0, first, missed, restarted)
        size = self.reader.record_bytes
        flags = bytes(records[self._flags_at :: size])
        begin = self._first_group(flags) if self._skipping else 0
        end = len(flags)
        while end > begin and not flags[end - 1] & LAST:
            end -= 1
        whole, rest = records[begin * size : end * size], records[end * size :]
        if end <= begin:  # no group ends here
            self._held += rest
            return Polled(NOTHING, 0, first, missed + self._give_up(size), restarted)
        first += begin
        if self._held:
            first -= len(self._held) // size
            self._held += whole
            whole = memoryview(self._held)
        self._held = bytearray(rest)
        return Polled(whole, len(whole) // size, first, missed, restarted)

    def _first_group(self, flags: bytes) -> int:
        """Index of the first record that begins a group; all of them are skipped where none does."""
        for index, flag in enumerate(flags):
            if flag & FIRST:
                self._skipping = False
                return index
        return len(flags)

    def _give_up(self, size: int) -> int:
        """A group larger than its ring is none: drop what is held of it and count it as missed."""
        held = len(self._held) // size
        if held <= self.reader.capacity:
            return 0
        self._held, self._skipping = bytearray(), True
        return held

    def _may_be_replaced(self, monotonic_ns: int) -> bool:
        """Whether to look for a successor now: nobody can tell a ring whose files were removed that it has one."""
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
            if found.epoch > self.segment.epoch:
                self._attach(found, "oldest")
                return True
        return False

    def close(self) -> None:
        """Remove the cursor."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
