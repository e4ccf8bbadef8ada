"""Batch: the memory in which one group of delta records is built, reused from group to group.

The book appends its changes, each written straight to its place: change i lies in record i // 12, at offset 64 + 16 * (i % 12).
`finish` writes the headers, then the ring copies `records` out:

    batch.clear()
    book.apply(levels, batch)                       # append, append, …
    count = batch.finish(RecordKind.DELTA, timestamp_ns, version, prev_version, feed_delay_us, resynced)
    ring.publish(batch.records, count)

A group may have any number of changes: the memory doubles when it is full and never shrinks (it is bounded by the levels that the
book can hold and one message can carry). Symbol and exchange are written into a record once, when its memory is made. Unused bytes
of a record are zero: nothing of an earlier group leaks. Growing replaces the object `records`, so read the attribute at each
publish.
"""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.market.instrument import NAME_BYTES
from alphapulse_cli.wire import delta

SOURCE_HASH = native.source_hash()

RECORD_WORDS, HEADER_WORDS, RECORD_CHANGES = 32, 8, 12
FIRST_FLAG, LAST_FLAG, RESYNCED_FLAG = delta.FIRST, delta.LAST, delta.RESYNCED
CHECK_KIND, STATUS_KIND = int(delta.RecordKind.CHECK), int(delta.RecordKind.STATUS)
NO_DELAY = delta.NO_FEED_DELAY
FIRST_CAPACITY = 4  # records
_LOW_HALF = 0xFFFF_FFFF


def name_bytes(name: str) -> bytes:
    """Encode a name as a record's field, 16 bytes of NUL-padded ASCII. ValueError for one that does not fit: never cut."""
    if len(name) > NAME_BYTES or not name.isascii() or "\0" in name:
        raise ValueError(f"a record cannot name {name[:40]!r}")
    return name.encode("ascii").ljust(NAME_BYTES, b"\0")


class Batch:
    """Group under construction for one book; `change_count` changes so far, `records` the memory that the ring copies from."""

    def __init__(self, symbol: str, exchange: str, price_decimals: int, size_decimals: int) -> None:
        self.symbol = symbol
        self.exchange = exchange
        self._names = name_bytes(symbol) + name_bytes(exchange)
        self._capacity = 0
        self.change_count = 0
        self._next = HEADER_WORDS  # offset of the next change, in words
        self._record_end = RECORD_WORDS
        self.set_decimals(price_decimals, size_decimals)
        self._grow(FIRST_CAPACITY)

    def set_decimals(self, price_decimals: int, size_decimals: int) -> None:
        """Set the grid that the headers of the next groups name, each 0..18; ValueError outside."""
        if not 0 <= price_decimals <= 18 or not 0 <= size_decimals <= 18:
            raise ValueError(f"decimals must be 0..18: {price_decimals}, {size_decimals}")
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals

    def clear(self) -> None:
        """Start the next group."""
        self.change_count = 0
        self._next = HEADER_WORDS
        self._record_end = RECORD_WORDS

    def take_back(self, change_count: int) -> None:
        """Discard all changes but the first `change_count`."""
        assert change_count <= self.change_count
        record = change_count // RECORD_CHANGES
        self.change_count = change_count
        self._next = record * RECORD_WORDS + HEADER_WORDS + 2 * (change_count - record * RECORD_CHANGES)
        self._record_end = (record + 1) * RECORD_WORDS

    def reserve(self, count: int) -> None:
        """Make room for `count` more changes, so that appending them cannot fail."""
        needed = (self.change_count + count) // RECORD_CHANGES + 1
        if needed > self._capacity:
            self._grow(max(needed, 2 * self._capacity))

    def append(self, ticks: int, size_side: int) -> int:
        """Append one change: price in ticks, and lots | LEVEL_IS_NEW | IS_ASK. The new number of changes."""
        if self._record_end > self._capacity_words:
            self._grow(2 * self._capacity)
        at = self._next
        self._signed[at] = ticks
        self._words[at + 1] = size_side
        self._next = at + 2
        if self._next == self._record_end:
            self._next += HEADER_WORDS
            self._record_end += RECORD_WORDS
        self.change_count += 1
        return self.change_count

    def finish(
        self, kind: int, timestamp_ns: int, version: int, prev_version: int, feed_delay_us: int = NO_DELAY, resynced: bool = False
    ) -> int:
        """Write the headers; the number of records in the group. A group without changes (a RESET) is one record.

        `kind` is a `delta.RecordKind`, `timestamp_ns` our receive time (CLOCK_REALTIME), `prev_version` and `version` the book's before
        and after.
        """
        left = self.change_count
        last = max(0, left - 1) // RECORD_CHANGES
        words = self._words
        used = HEADER_WORDS + 2 * (left - last * RECORD_CHANGES)
        for word in range(last * RECORD_WORDS + used, (last + 1) * RECORD_WORDS):
            words[word] = 0
        flags = kind | FIRST_FLAG | (RESYNCED_FLAG if resynced else 0)
        for record in range(last + 1):
            if record == last:
                flags |= LAST_FLAG
            self._write_header(record, min(left, RECORD_CHANGES), flags, timestamp_ns, version, prev_version, feed_delay_us)
            flags &= ~FIRST_FLAG
            left -= RECORD_CHANGES
        return last + 1

    def check(
        self, timestamp_ns: int, version: int, book_hash: int, bid_levels: int, ask_levels: int, checksum: int, state: int
    ) -> int:
        """Replace any changes by a CHECK group of the book at `version`; the number of its records, 1."""
        self.clear()
        self.finish(CHECK_KIND, timestamp_ns, version, version)
        self._words[HEADER_WORDS] = book_hash
        self._words[HEADER_WORDS + 1] = bid_levels | ask_levels << 32
        self._words[HEADER_WORDS + 2] = checksum | state << 8
        return 1

    def status(self, timestamp_ns: int, version: int, state: int, reason: int, trading_status: int) -> int:
        """Replace any changes by a STATUS group of the book at `version`; the number of its records, 1."""
        self.clear()
        self.finish(STATUS_KIND, timestamp_ns, version, version)
        self._words[HEADER_WORDS] = state | reason << 8 | trading_status << 16
        return 1

    def _write_header(
        self, record: int, changes: int, flags: int, timestamp_ns: int, version: int, prev_version: int, feed_delay_us: int
    ) -> None:
        words = self._words
        at = record * RECORD_WORDS
        delay = feed_delay_us & _LOW_HALF  # two's complement in the word's upper half
        words[at] = timestamp_ns
        words[at + 5] = version
        words[at + 6] = prev_version
        words[at + 7] = changes | flags << 8 | self.price_decimals << 16 | self.size_decimals << 24 | delay << 32

    def _grow(self, capacity: int) -> None:
        """Move into new memory of `capacity` records with their names written; views of the old memory keep their contents."""
        records = bytearray(bytes(8) + self._names + bytes(216)) * capacity
        words = native.words(records)
        if self._capacity:
            native.move_words(words, 0, self._words, 0, self._capacity * RECORD_WORDS)
        self._signed: Any = native.signed(records)
        self._words: Any = words
        self.records = records
        self._capacity = capacity
        self._capacity_words = capacity * RECORD_WORDS
