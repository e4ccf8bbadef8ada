"""Side of a book: a sorted array of levels, *best price last*, in memory of its own or in memory handed in.

    memory   | ticks i64 | lots i64 | ticks i64 | lots i64 | … | ticks i64 | lots i64 |  free …
               worst                                            best, index count - 1

Bids lie ascending, asks descending, so that changes near the top move few bytes and the best N levels are one slice. One trick
serves both: a price's *rank* is `ticks ^ flip`, flip 0 for bids and -1 (all bits) for asks, and ranks ascend on either side.
A search gallops back from the best level: a change 200 levels deep takes some sixteen comparisons, whatever the size of the book.

This file holds single changes and look-ups; `walk` loads whole books and `merge` large groups, both on these arrays directly.

`level_hash` is this side's part of the book hash, updated at each change. Memory handed in (a book image) never grows by itself:
`reserve` raises NoRoom before anything is changed. No Python object is made per level, except in the lists of `best_first`.
"""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.book import digits, hashes
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

SOURCE_HASH = native.source_hash()

LEVEL_BYTES = 16
FIRST_CAPACITY = 64  # levels
ASK_BIT = delta.IS_ASK
MOST_LOTS, MOST_TICKS = delta.SIZE_MASK, MAX_TICKS
BITS64 = (1 << 64) - 1


class NoRoom(AlphapulseError):
    """Memory handed in is too small: nothing was changed; rebind to memory for `needed_count` levels a side."""

    def __init__(self, needed_count: int, capacity: int) -> None:
        super().__init__(f"a side has room for {capacity} levels and may need {needed_count}")
        self.needed_count = needed_count


class Side:
    """Levels of one side, worst first in memory, best last; `count` of them."""

    def __init__(self, is_ask: bool, memory: Any = None) -> None:
        self.is_ask = is_ask
        self._flip = -1 if is_ask else 0
        self.count = 0
        self.capacity = 0
        self.level_hash = 0
        self._is_own = True
        self.rebind(memory)

    def rebind(self, memory: Any) -> None:
        """Move the levels into `memory` (writable, 16 bytes a level), None for memory of our own. NoRoom if it is too small."""
        is_own = memory is None
        if memory is None:
            memory = bytearray(LEVEL_BYTES * max(FIRST_CAPACITY, self.count))
        capacity = len(memory) // LEVEL_BYTES
        if capacity < self.count:
            raise NoRoom(self.count, capacity)
        pairs = native.signed(memory)
        if self.count:
            native.move_words(pairs, 0, self._pairs, 0, 2 * self.count)
        self._pairs: Any = pairs
        self._memory, self.capacity, self._is_own = memory, capacity, is_own

    def reserve(self, count: int) -> None:
        """Make room for `count` levels in all; NoRoom where the memory was handed in and is too small."""
        if count <= self.capacity:
            return
        if not self._is_own:
            raise NoRoom(count, self.capacity)
        grown = bytearray(LEVEL_BYTES * max(count, 2 * self.capacity))
        self.rebind(grown)
        self._is_own = True

    def set(self, ticks: int, lots: int) -> int:
        """Set the size of the level at `ticks`, 0 to remove it; its old size, 0 for none. NoRoom if room was not reserved."""
        pairs = self._pairs
        at = self.find(ticks)
        old = 0
        if at < self.count and pairs[2 * at] == ticks:
            old = pairs[2 * at + 1]
            if lots:
                pairs[2 * at + 1] = lots
            else:
                self.count -= 1
                native.move_words(pairs, 2 * at, pairs, 2 * at + 2, 2 * (self.count - at))
        elif lots:
            if self.count == self.capacity:
                raise NoRoom(self.count + 1, self.capacity)
            native.move_words(pairs, 2 * at + 2, pairs, 2 * at, 2 * (self.count - at))
            pairs[2 * at] = ticks
            pairs[2 * at + 1] = lots
            self.count += 1
        if old != lots:
            self.level_hash = (self.level_hash + hashes.of_change(ticks, self.is_ask, old, lots)) & BITS64
        return old

    def find(self, ticks: int) -> int:
        """Index of the level at `ticks`, or the index at which it would be inserted."""
        pairs, flip = self._pairs, self._flip
        rank = ticks ^ flip
        high = self.count
        low = high - 1
        step = 1
        while low >= 0 and (pairs[2 * low] ^ flip) >= rank:
            high = low
            low -= step
            step += step
        low = max(low, -1)
        while high - low > 1:  # invariant: the rank at `low` is below the wanted one, that at `high` is not
            middle = (low + high) >> 1
            if (pairs[2 * middle] ^ flip) < rank:
                low = middle
            else:
                high = middle
        return high

    def cut(self, depth: int, batch: Batch | None) -> int:
        """Drop the worst levels beyond `depth`, with removals in the batch, worst first; the number dropped."""
        dropped = max(0, self.count - depth)
        pairs = self._pairs
        if batch is not None:
            batch.reserve(dropped)
        for at in range(dropped):
            self.level_hash = (self.level_hash + hashes.of_change(pairs[2 * at], self.is_ask, pairs[2 * at + 1], 0)) & BITS64
            if batch is not None:
                batch.append(pairs[2 * at], ASK_BIT if self.is_ask else 0)
        if dropped:
            self.count -= dropped
            native.move_words(pairs, 0, pairs, 2 * dropped, 2 * self.count)
        return dropped

    def check_bytes(self, data: Any) -> None:
        """Raise ValueError unless `data` are levels in this side's order, each with a size of 1 to 2^62 - 1."""
        if len(data) % LEVEL_BYTES:
            raise ValueError(f"{len(data)} bytes are not a whole number of levels of {LEVEL_BYTES}")
        count = len(data) // LEVEL_BYTES
        if count == 0:
            return
        pairs, flip = native.signed(data), self._flip
        for at in range(count):
            if not 0 < pairs[2 * at + 1] <= MOST_LOTS:
                raise ValueError(f"level {at} has a size of {pairs[2 * at + 1]} lots")
            if at and (pairs[2 * at] ^ flip) <= (pairs[2 * at - 2] ^ flip):
                raise ValueError(f"level {at} is out of order")

    def take_bytes(self, data: Any) -> None:
        """Become the checked levels of `data`. Room must be reserved."""
        self.count = len(data) // LEVEL_BYTES
        if self.count:
            native.move_words(self._pairs, 0, native.signed(data), 0, 2 * self.count)
        self.level_hash = hashes.of_levels(self._pairs, self.count, self.is_ask)

    def fits(self, price_factor: int, size_factor: int) -> bool:
        """Whether every level times these factors stays within i64 ticks and 62-bit lots."""
        if self.count == 0:
            return True
        pairs = self._pairs
        limit = MOST_TICKS // price_factor
        worst, best = pairs[0], pairs[2 * self.count - 2]
        if not (-limit <= worst <= limit and -limit <= best <= limit):
            return False
        limit = MOST_LOTS // size_factor
        return all_below(pairs, self.count, limit)

    def scale(self, price_factor: int, size_factor: int) -> None:
        """Multiply every level. The caller has checked `fits`."""
        pairs = self._pairs
        for at in range(self.count):
            pairs[2 * at] = pairs[2 * at] * price_factor
            pairs[2 * at + 1] = pairs[2 * at + 1] * size_factor
        self.level_hash = hashes.of_levels(self._pairs, self.count, self.is_ask)

    def best_ticks(self) -> int:
        """Best price in ticks; the side must not be empty."""
        ticks: int = self._pairs[2 * self.count - 2]
        return ticks

    def size_at(self, ticks: int) -> int:
        """Size in lots of the level at the price, 0 for none."""
        at = self.find(ticks)
        if at == self.count or self._pairs[2 * at] != ticks:
            return 0
        lots: int = self._pairs[2 * at + 1]
        return lots

    def best_first(self, count: int) -> list[tuple[int, int]]:
        """Best `count` levels, or as many as there are, best first, as (ticks, lots)."""
        pairs = self._pairs
        found = []
        for at in range(self.count - 1, max(-1, self.count - 1 - count), -1):
            ticks = pairs[2 * at]
            lots = pairs[2 * at + 1]
            found.append((ticks, lots))
        return found

    def best_digits(self, count: int) -> bytes:
        """Best `count` levels, or as many as there are, as decimal digits of ticks and lots without separators."""
        return digits.of_best(self._pairs, self.count, count)


def all_below(pairs: Any, count: int, limit: int) -> bool:
    """Whether no size of `count` levels exceeds `limit` lots."""
    for at in range(count):  # noqa: SIM110 (a generator makes an object per level)
        if pairs[2 * at + 1] > limit:
            return False
    return True
