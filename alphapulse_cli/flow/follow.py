"""From the other side of shared memory: whole groups out of a ring, and exact books out of groups and images.

    ring ─► GroupReader ─► whole groups ─► a Reconstructor per book ─► the writer's book, in this process
    image ─────────────────────────────────────┘ (to join, and after a lap)

The loop to imitate:

    follower = SetFollower(directory, "kraken")
    while True:
        polled = follower.poll()                     # nothing new: polled.record_count == 0, wait in the way you like
        for symbol, book in follower.books.items():  # each a Reconstructor: .book, .version, .is_cold
            …

*Joining*: the reader's place in the ring is never ahead of an image copied later, so groups up to the image's version are skipped
and the next one continues it. A copy that keeps being overtaken asks the writer for a checkpoint and tries again at the next poll.
*Restart*: when the ring has ended and a successor has its name, the follower reads that one from its first record.
"""

from collections.abc import Collection
from contextlib import suppress
from typing import Literal, NamedTuple

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ALIVE, ImageCopy, Kind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState

POLL_RECORDS = 2048
KEY = slice(delta.offsets()["symbol"], delta.offsets()["version"])  # symbol and exchange: whose record it is
VERSION_AT = delta.offsets()["version"]
COPY_TRIES = 3
FIRST, LAST = delta.FIRST, delta.LAST
assert (trade.FIRST, trade.LAST) == (FIRST, LAST)

Start = Literal["now", "oldest"] | int


class Polled(NamedTuple):
    """What one poll brought: `record_count` whole-group records; `missed` were overwritten before they could be read."""

    records: memoryview  # valid until the next poll
    record_count: int
    first: int  # sequence of the first record
    missed: int
    restarted: bool  # a new writer's ring: sequences begin again


NOTHING = memoryview(b"")


class GroupReader:
    """Whole groups of one ring, across its writers' restarts. NoSegment if there is none yet."""

    def __init__(self, directory: Directory, set_name: str, kind: Kind, start: Start = "now") -> None:
        self.kind = kind
        self.name = segment_name(kind, set_name)
        self.missed = 0
        self._directory = directory
        self._flags_at = delta.offsets()["flags"] if kind is Kind.DELTAS else trade.offsets()["flags"]
        self._held = b""  # a group whose LAST was not read yet
        self._attach(start)

    def _attach(self, start: Start) -> None:
        self.segment = Segment.attach(self._directory, self.name)
        self.reader = RingReader(self.segment, start)
        self._skipping = start != "now"  # a ring's oldest record may stand in the middle of a group
        self._held = b""

    @property
    def position(self) -> int:
        """Sequence of the next record that is not yet in hand."""
        return self.reader.position

    def poll(self, limit: int = POLL_RECORDS) -> Polled:
        """Whole groups only; at a cut the rest is fetched at the next poll."""
        records, first, missed = self.reader.poll(limit)
        restarted = False
        if not records and not missed and self.reader.ended and self._successor():
            restarted = True
            records, first, missed = self.reader.poll(limit)
        self.missed += missed
        if missed:
            self._held, self._skipping = b"", True
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
            self._held += bytes(rest if begin < len(flags) else b"")
            return Polled(NOTHING, 0, first, missed, restarted)
        if self._held:
            first -= len(self._held) // size
            whole = memoryview(self._held + bytes(whole))
        else:
            first += begin
        self._held = bytes(rest)
        return Polled(whole, len(whole) // size, first, missed, restarted)

    def _first_group(self, flags: bytes) -> int:
        """Index of the first record that begins a group; all of them are skipped where none does."""
        for index, flag in enumerate(flags):
            if flag & FIRST:
                self._skipping = False
                return index
        return len(flags)

    def _successor(self) -> bool:
        """Attach to the ring that has the name now, if it is another."""
        epoch = self.segment.epoch
        with suppress(SegmentError, StorageError):
            found = Segment.attach(self._directory, self.name)
            if found.epoch > epoch:
                self.segment = found
                self.reader = RingReader(found, "oldest")
                self._skipping, self._held = True, b""
                return True
        return False


class SetFollower:
    """All books of one set, or those of `symbols`, kept exact in this process. NoSegment if the set is not there."""

    def __init__(self, directory: Directory, set_name: str, symbols: Collection[str] | None = None, start: Start = "now") -> None:
        self.set_name = set_name
        self.books: dict[str, Reconstructor] = {}
        self.groups = GroupReader(directory, set_name, Kind.DELTAS, start)
        self.joins = 0
        self._checks_ok = self._checks_bad = 0
        self._directory = directory
        self._symbols = None if symbols is None else frozenset(symbols)
        self._by_key: dict[bytes, Reconstructor | None] = {}
        self._wake: WakePage | None = None
        self._passed: dict[str, int] = {}  # symbol -> version of the last group seen while its book was cold
        self._discover()
        self._join_cold()

    @property
    def exchange(self) -> str:
        """Of the set."""
        return self.groups.segment.spec.exchange

    def poll(self, limit: int = POLL_RECORDS) -> Polled:
        """Read, apply, join what is cold. A Reconstructor never shows half a group."""
        polled = self.groups.poll(limit)
        if polled.restarted:
            self._start_over()
        if polled.missed:
            for book in self.books.values():
                book.missed()
        if polled.record_count:
            self._apply(polled.records, polled.record_count)
        self._join_cold()
        return polled

    def _start_over(self) -> None:
        """A new writer: its books begin again at version 1, from new images."""
        for book in self.books.values():
            self._checks_ok += book.checks_ok
            self._checks_bad += book.checks_bad
        self.books.clear()
        self._by_key.clear()
        self._passed.clear()
        self._wake = None
        self._discover()

    @property
    def checks_ok(self) -> int:
        """CHECKs that proved a replica, over all books and restarts."""
        return self._checks_ok + sum(book.checks_ok for book in self.books.values())

    @property
    def checks_bad(self) -> int:
        """CHECKs that a replica failed; it was joined again from its image."""
        return self._checks_bad + sum(book.checks_bad for book in self.books.values())

    def _apply(self, records: memoryview, count: int) -> None:
        """Each run of records of one symbol goes to its book."""
        start = 0
        key = bytes(records[KEY])
        for index in range(1, count):
            at = index * delta.DELTA_BYTES
            following = bytes(records[at + KEY.start : at + KEY.stop])
            if following != key:
                self._apply_run(key, records, start, index - start)
                start, key = index, following
        self._apply_run(key, records, start, count - start)

    def _apply_run(self, key: bytes, records: memoryview, start: int, count: int) -> None:
        if key not in self._by_key:
            self._by_key[key] = self._book_of(key)
        book = self._by_key[key]
        if book is None:
            return
        book.apply(records, start, count)
        if book.is_cold:
            at = (start + count - 1) * delta.DELTA_BYTES + VERSION_AT
            self._passed[book.symbol] = int.from_bytes(records[at : at + 8], "little")

    def _book_of(self, key: bytes) -> Reconstructor | None:
        symbol = key[:16].rstrip(b"\0").decode("ascii", "replace")
        if self._symbols is not None and symbol not in self._symbols:
            return None
        if symbol not in self.books:
            self.books[symbol] = Reconstructor(self.exchange, symbol)
        return self.books[symbol]

    def _discover(self) -> None:
        """The books that have an image now."""
        for name in self._directory.names():
            parsed = parse_segment_name(name)
            if parsed is None or parsed[0] is not Kind.BOOK or parsed[1] != self.set_name:
                continue
            symbol = parsed[2]
            if symbol not in self.books and (self._symbols is None or symbol in self._symbols):
                self.books[symbol] = Reconstructor(self.exchange, symbol)

    def _join_cold(self) -> None:
        for symbol, book in self.books.items():
            if book.is_cold and self._join(symbol, book):
                self.joins += 1

    def _join(self, symbol: str, book: Reconstructor) -> bool:
        """Load the image; False while there is none of this epoch, or none that could be copied whole."""
        reader = self._image(symbol)
        if reader is None:
            return False
        image = reader.copy(COPY_TRIES) or self._checkpoint(symbol, reader)
        if image is None:
            return False
        return book.load(
            image.version,
            image.price_decimals,
            image.size_decimals,
            image.state,
            image.bids,
            image.asks,
            book_hash=image.book_hash,
            reason=image.reason,
            timestamp_ns=image.timestamp_ns,
        )

    def _image(self, symbol: str) -> ImageReader | None:
        with suppress(SegmentError, StorageError):
            segment = Segment.attach(self._directory, segment_name(Kind.BOOK, self.set_name, symbol))
            if segment.epoch == self.groups.segment.epoch:
                return ImageReader(segment)
        return None

    def _checkpoint(self, symbol: str, reader: ImageReader) -> ImageCopy | None:
        """The book is edited faster than it can be copied: take the checkpoint that was asked for, or ask for one.

        One older than a group that we already passed by would not be continued by any group to come.
        """
        image = reader.copy_checkpoint()
        if image is not None and image.version >= self._passed.get(symbol, 0):
            return image
        if self._wake is None:
            with suppress(SegmentError, StorageError):
                self._wake = WakePage.open(self._directory, self.set_name)
        if self._wake is not None:
            self._wake.request_checkpoint(reader.segment.spec.request_slot)
        return None

    def state(self, symbol: str, monotonic_ns: int) -> tuple[BookState, BookReason]:
        """What may be said of that book now: LIVE only if its writer is alive and says so, and our replica is whole."""
        book = self.books[symbol]
        if not self.groups.segment.is_live(monotonic_ns):
            return BookState.STALE, BookReason.RETIRED if self.groups.segment.sealed != ALIVE else BookReason.SILENT
        if book.is_cold:
            return BookState.SYNCING, BookReason.STARTING
        return BookState(book.book_state), BookReason(book.reason)
