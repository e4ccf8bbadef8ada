"""Reconstructor: a reader's replica of one book, made of an image and the delta groups after it, proved by CHECKs.

    COLD ── load(image) ──► warm ── groups whose prev_version is ours, applied whole ──► warm
      ▲                       │
      └── chain broken · RESET · failed CHECK · group without FIRST · lapped ◄┘        `why` holds the reason

Records are those of a ring: of many books, a group perhaps cut anywhere between two calls of `apply`. Records of other books are
skipped by comparing 32 bytes. A group of our own is held (copied) until its LAST record is there, so `book` never shows half of
one. Groups up to our version are skipped, which makes joining simple: note the ring's position, copy the image, load it, apply
from the noted position on. A held part survives `load`: the image may have been copied in the middle of a read.

A cold replica keeps the last book that it had, for display only; it must not be traded on. `load` warms it.
"""

from enum import IntEnum, unique
from typing import Any

from alphapulse_cli import native
from alphapulse_cli.book.book import Book
from alphapulse_cli.market.trading_status import NOT_REPORTED
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import name_bytes

SOURCE_HASH = native.source_hash()

RECORD_BYTES, MOST_CHANGES = delta.DELTA_BYTES, delta.MAX_CHANGES
RECORD_WORDS, HEADER_WORDS = delta.DELTA_BYTES // 8, delta.HEADER_BYTES // 8
FIRST_FLAG, LAST_FLAG, KIND_BITS = delta.FIRST, delta.LAST, delta.KIND_MASK
DELTA_KIND, RESET_KIND, CHECK_KIND = int(delta.RecordKind.DELTA), int(delta.RecordKind.RESET), int(delta.RecordKind.CHECK)
STATUS_KIND = int(delta.RecordKind.STATUS)
SIGN_BIT = delta.SIGN_BIT
LARGE_GROUP = 32  # records from which a group is merged in one walk
MOST_STATE = 0xFF  # largest number of a record's octet; its meaning is not checked here
MOST_HELD = 65_536  # records of one group: four times the largest that a default ring carries
NO_DELAY = delta.NO_FEED_DELAY
_NOT_REPORTED = NOT_REPORTED


@unique
class ColdReason(IntEnum):
    """Reason for which a replica is cold."""

    NOTHING = 0  # the replica is warm
    COLD = 1  # no image was loaded yet
    CHAIN_BROKEN = 2  # a group does not continue our version, or names another grid
    RESET = 3  # the writer replaced its image
    CHECK_FAILED = 4  # the replica differs from the writer's book
    GROUP_WITHOUT_FIRST = 5  # the rest of a group whose beginning was never seen, or a group of more than MOST_HELD records
    LAPPED = 6  # records of this book were overwritten before they were read


NOTHING, COLD, CHAIN_BROKEN, RESET = (
    int(ColdReason.NOTHING),
    int(ColdReason.COLD),
    int(ColdReason.CHAIN_BROKEN),
    int(ColdReason.RESET),
)
CHECK_FAILED, GROUP_WITHOUT_FIRST, LAPPED = (
    int(ColdReason.CHECK_FAILED),
    int(ColdReason.GROUP_WITHOUT_FIRST),
    int(ColdReason.LAPPED),
)


class Reconstructor:
    """Replica of one instrument: `book` at `version`, as of `timestamp_ns`; `is_cold` and `why`; CHECKs passed and failed."""

    def __init__(self, exchange: str, symbol: str) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self.book = Book(0, 0)
        self.version = 0
        self.timestamp_ns = 0  # receive time of the last group applied, CLOCK_REALTIME
        self.feed_delay_us = NO_DELAY
        self.book_state = int(delta.BookState.COLD)  # the writer's last, of an image, STATUS or CHECK
        self.reason = int(delta.BookReason.NONE)
        self.trading_status = _NOT_REPORTED  # the writer's last: the number of a TradingStatus
        self.exchange_checksum = int(delta.ChecksumState.NONE)  # of the last CHECK
        self.checks_ok = 0
        self.checks_bad = 0
        self._why = COLD
        self._after_hole = False
        packed = name_bytes(symbol) + name_bytes(exchange)
        names = native.words(packed)
        self._symbol_0, self._symbol_1 = names[0], names[1]
        self._exchange_0, self._exchange_1 = names[2], names[3]
        self._held = bytearray(4 * RECORD_BYTES)
        self._held_words: Any = native.words(self._held)
        self._held_capacity = 4
        self._held_count = 0

    @property
    def why(self) -> ColdReason:
        """Reason for which the replica is cold; NOTHING where it is warm."""
        return ColdReason(self._why)

    @property
    def is_cold(self) -> bool:
        """Whether `book` must not be relied on: read the image and `load` it."""
        return self._why != NOTHING

    def load(
        self,
        version: int,
        price_decimals: int,
        size_decimals: int,
        state: int,
        bids: Any,
        asks: Any,
        book_hash: int | None = None,
        reason: int = 0,
        timestamp_ns: int = 0,
        trading_status: int = NOT_REPORTED,
    ) -> bool:
        """Become a copy of an image; False and cold if `book_hash` is given and differs from that of the sides.

        `bids` and `asks` are 16 bytes a level (i64 ticks, i64 lots), best last. ValueError for sides out of order, sizes out of
        range, or a state, reason or trading status that no image can hold: nothing changed.
        """
        if not (0 <= state <= MOST_STATE and 0 <= reason <= MOST_STATE and NOT_REPORTED <= trading_status <= MOST_STATE):
            raise ValueError(f"not the state of a book: {state}, reason {reason}, trading status {trading_status}")
        book = Book(price_decimals, size_decimals)
        book.load_sides(bids, asks)
        self.book = book
        self.version = version
        self.book_state = state
        self.reason = reason
        self.trading_status = trading_status
        self.timestamp_ns = timestamp_ns
        self._after_hole = False
        self._why = NOTHING if book_hash is None or book_hash == book.book_hash else CHECK_FAILED
        return self._why == NOTHING

    def missed(self) -> None:
        """Note that records were lost between the last `apply` and the next.

        A held part is dropped; whether records of this book were lost shows in the chain of versions.
        """
        if self._held_count and self._held_words[5] > self.version:
            self._chill(LAPPED)
        self._held_count = 0
        self._after_hole = True

    def apply(self, records: Any, start: int, count: int) -> int:
        """Take `count` records from record `start` on; the number of groups of this book taken (skipped ones do not count).

        While the replica is cold only STATUS groups are taken. ValueError for a range outside `records`.
        """
        held = memoryview(records).nbytes // RECORD_BYTES
        if start < 0 or count < 0 or count > held or start > held - count:  # no sums: compiled, they could overflow
            raise ValueError(f"{count} records from record {start} on are not in a buffer of {held}")
        if count == 0:
            return 0
        words = native.words(records)
        taken = 0
        for at in range(RECORD_WORDS * start, RECORD_WORDS * (start + count), RECORD_WORDS):
            if (
                words[at + 1] == self._symbol_0
                and words[at + 2] == self._symbol_1
                and words[at + 3] == self._exchange_0
                and words[at + 4] == self._exchange_1
            ):
                taken += self._take_record(words, at)
        return taken

    def _take_record(self, words: Any, at: int) -> int:
        """Take one record of this book; 1 if it completed a group that was applied."""
        flags = words[at + 7] >> 8 & 0xFF
        if flags & FIRST_FLAG:
            self._held_count = 0  # an unfinished group before it: a lost change will show as a broken chain
            if flags & LAST_FLAG:
                return self._take_group(words, at, 1)
        elif self._held_count in (0, MOST_HELD) or words[at + 5] != self._held_words[5]:
            self._held_count = 0  # a group without its beginning, or of more than MOST_HELD records
            if self._why == NOTHING and words[at + 5] > self.version:
                self._chill(LAPPED if self._after_hole else GROUP_WITHOUT_FIRST)
            return 0
        self._hold(words, at)
        if not flags & LAST_FLAG:
            return 0
        held = self._held_count
        self._held_count = 0
        return self._take_group(self._held_words, 0, held)

    def _take_group(self, words: Any, at: int, count: int) -> int:
        """Take a whole group, `count` records from word `at` on; 1 if it was applied, 0 if skipped."""
        kind = words[at + 7] >> 8 & KIND_BITS
        version = words[at + 5]
        if kind in (STATUS_KIND, CHECK_KIND):
            return self._take_word(words, at, kind, version)
        if self._why != NOTHING or version <= self.version:
            return 0
        if words[at + 6] != self.version or kind > RESET_KIND:
            return self._chill(LAPPED if self._after_hole else CHAIN_BROKEN)
        if kind == RESET_KIND:
            return self._chill(RESET) + 1
        if not self._continues(words, at, count):
            return self._chill(CHAIN_BROKEN)
        self._apply_changes(words, at, count)
        self.version = version
        self._after_hole = False
        self._note(words, at)
        return 1

    def _continues(self, words: Any, at: int, count: int) -> bool:
        """Whether every record of the group is on our grid and holds 12 changes, the last one at most 12."""
        price_decimals, size_decimals = self.book.price_decimals, self.book.size_decimals
        for record in range(at, at + RECORD_WORDS * count, RECORD_WORDS):
            word = words[record + 7]
            changes = word & 0xFF
            is_last = record == at + RECORD_WORDS * (count - 1)
            if changes > MOST_CHANGES or (changes < MOST_CHANGES and not is_last):
                return False
            if word >> 16 & 0xFF != price_decimals or word >> 24 & 0xFF != size_decimals:
                return False
        return True

    def _apply_changes(self, words: Any, at: int, count: int) -> None:
        """Apply the changes of a whole group to the book."""
        last = at + RECORD_WORDS * (count - 1)
        total = MOST_CHANGES * (count - 1) + (words[last + 7] & 0xFF)
        if count < LARGE_GROUP or not self.book.merge(words, at, total):
            self._set_changes(words, at, count)

    def _set_changes(self, words: Any, at: int, count: int) -> None:
        """Apply the changes one by one, in the order of the group."""
        book = self.book
        book.reserve(MOST_CHANGES * count)
        for record in range(at, at + RECORD_WORDS * count, RECORD_WORDS):
            changes = words[record + 7] & 0xFF
            for place in range(record + HEADER_WORDS, record + HEADER_WORDS + 2 * changes, 2):
                book.set((words[place] ^ SIGN_BIT) - SIGN_BIT, words[place + 1])  # the word as a signed one

    def _take_word(self, words: Any, at: int, kind: int, version: int) -> int:
        """Take a CHECK or STATUS: the writer's statement about its book at `version`."""
        is_cold = self._why != NOTHING
        if not is_cold and version > self.version:
            return self._chill(LAPPED if self._after_hole else CHAIN_BROKEN)
        if version < self.version or (is_cold and kind == CHECK_KIND):
            return 0
        payload = words[at + 8]
        if kind == STATUS_KIND:
            self.book_state = payload & 0xFF
            self.reason = payload >> 8 & 0xFF
            trading = payload >> 16 & 0xFF
            if trading or self.trading_status != _NOT_REPORTED:  # 0 from a writer of layout 1.1 or older means "not told"
                self.trading_status = trading
        else:
            self._check(words, at)
        self._note(words, at)
        return 1

    def _check(self, words: Any, at: int) -> None:
        book, counts, states = self.book, words[at + 9], words[at + 10]
        self.exchange_checksum = states & 0xFF
        self.book_state = states >> 8 & 0xFF
        bid_count, ask_count = counts & 0xFFFF_FFFF, counts >> 32
        if words[at + 8] == book.book_hash and bid_count == book.bid_count and ask_count == book.ask_count:
            self.checks_ok += 1
        else:
            self.checks_bad += 1
            self._chill(CHECK_FAILED)

    def _note(self, words: Any, at: int) -> None:
        delay = words[at + 7] >> 32
        self.timestamp_ns = words[at]
        self.feed_delay_us = delay - (1 << 32) if delay >= 1 << 31 else delay

    def _hold(self, words: Any, at: int) -> None:
        """Copy one record to the held part. The caller keeps it below MOST_HELD records."""
        if self._held_count == self._held_capacity:
            held = bytearray(self._held) + bytes(len(self._held))
            self._held, self._held_words = held, native.words(held)
            self._held_capacity *= 2
        native.move_words(self._held_words, self._held_count * RECORD_WORDS, words, at, RECORD_WORDS)
        self._held_count += 1

    def _chill(self, why: int) -> int:
        """Mark the replica as cold, unless it is already."""
        if self._why == NOTHING:
            self._why = why
        return 0
