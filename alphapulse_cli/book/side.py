"""One side of a book: a sorted array of levels, *best price last*, in memory of its own or in memory handed in.

    memory   | ticks i64 | lots i64 | ticks i64 | lots i64 | … | ticks i64 | lots i64 |  free …
               worst                                            best, index count - 1

Bids lie ascending, asks descending, so that changes near the top move few bytes and the best N levels are one slice. One trick
serves both: a price's *rank* is `ticks ^ flip`, flip 0 for bids and -1 (all bits) for asks, and ranks ascend on either side.
A search gallops back from the best level: a change 200 levels deep costs some eight looks, whatever the book holds.

`level_hash` is this side's part of the book hash, kept up at each change. Memory handed in (a book image) never grows by itself:
`reserve` raises NoRoom before anything is touched. No Python object is made per level, but for those who ask for lists.
"""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.book import digits
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

SOURCE_HASH = native.source_hash()

LEVEL_BYTES = 16
FIRST_CAPACITY = 64  # levels
ASK_BIT, NEW_BIT, LOTS_BITS = delta.IS_ASK, delta.LEVEL_IS_NEW, delta.SIZE_MASK
MOST_LOTS, MOST_TICKS = delta.SIZE_MASK, (1 << 63) - 1
BITS64 = (1 << 64) - 1
SIGN_BIT = 1 << 63
RECORD_WORDS, HEADER_WORDS, MOST_CHANGES = delta.DELTA_BYTES // 8, delta.HEADER_BYTES // 8, delta.MAX_CHANGES
GAMMA, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class NoRoom(AlphapulseError):
    """The memory handed in cannot hold what is asked: nothing was changed; rebind to memory for `needed_count` levels a side."""

    def __init__(self, needed_count: int, capacity: int) -> None:
        super().__init__(f"a side has room for {capacity} levels and may need {needed_count}")
        self.needed_count = needed_count


def splitmix64(value: int) -> int:
    """The splitmix64 generator's output for the state `value`, both u64: an even mixing of all bits."""
    value = (value + GAMMA) & BITS64
    value = ((value ^ (value >> 30)) * MIX_1) & BITS64
    value = ((value ^ (value >> 27)) * MIX_2) & BITS64
    return value ^ (value >> 31)


class Side:
    """One side's levels, worst first in memory, best last; `count` of them."""

    def __init__(self, is_ask: bool, memory: Any = None) -> None:
        self.is_ask = is_ask
        self._flip = -1 if is_ask else 0
        self.count = 0
        self.capacity = 0
        self.level_hash = 0
        self._is_own = True
        self.rebind(memory)

    def rebind(self, memory: Any) -> None:
        """Move the levels into `memory` (writable, 16 bytes a level), or into memory of our own for None. NoRoom if it is too small."""
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
        """Make room for `count` levels in all; NoRoom if the memory is not ours to grow."""
        if count <= self.capacity:
            return
        if not self._is_own:
            raise NoRoom(count, self.capacity)
        grown = bytearray(LEVEL_BYTES * max(count, 2 * self.capacity))
        self.rebind(grown)
        self._is_own = True

    def set(self, ticks: int, lots: int) -> int:
        """The level at `ticks` now has this size, none for 0; its old size, 0 for none. NoRoom if room was not reserved."""
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
            self.level_hash = (self.level_hash + self._hash_change(ticks, old, lots)) & BITS64
        return old

    def find(self, ticks: int) -> int:
        """Index of the level at `ticks`, or where it would be put in."""
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
        while high - low > 1:  # the rank at `low` is too small, that at `high` is not
            middle = (low + high) >> 1
            if (pairs[2 * middle] ^ flip) < rank:
                low = middle
            else:
                high = middle
        return high

    def merge(self, words: Any, at: int, changes: int) -> bool:
        """Take a large group's changes, its records from word `at` on, in one walk: O(levels + changes), where `set` moves levels for each.

        False, and nothing changed, unless this side's changes come in order of price, as those of a difference do.
        """
        flip = self._flip
        rises = falls = False
        last = mine = 0
        for i in range(changes):
            place = at + RECORD_WORDS * (i // MOST_CHANGES) + HEADER_WORDS + 2 * (i % MOST_CHANGES)
            if (words[place + 1] >= ASK_BIT) != self.is_ask:
                continue
            rank = ((words[place] ^ SIGN_BIT) - SIGN_BIT) ^ flip
            if mine:
                if rank == last:
                    return False
                rises = rises or rank > last
                falls = falls or rank < last
            last = rank
            mine += 1
        if rises and falls:
            return False
        if mine:
            self._merge_sorted(words, at, changes, mine, falls)
        return True

    def _merge_sorted(self, words: Any, at: int, changes: int, mine: int, falls: bool) -> None:
        """The walk: our levels step back by `mine` places, so that what is written never overtakes what is still to be read."""
        self.reserve(self.count + mine)
        pairs, flip = self._pairs, self._flip
        native.move_words(pairs, 2 * mine, pairs, 0, 2 * self.count)
        read, end, write = 2 * mine, 2 * (mine + self.count), 0
        for step in range(changes):
            i = changes - 1 - step if falls else step
            place = at + RECORD_WORDS * (i // MOST_CHANGES) + HEADER_WORDS + 2 * (i % MOST_CHANGES)
            if (words[place + 1] >= ASK_BIT) != self.is_ask:
                continue
            ticks = (words[place] ^ SIGN_BIT) - SIGN_BIT
            lots = words[place + 1] & LOTS_BITS
            while read < end and (pairs[read] ^ flip) < (ticks ^ flip):
                pairs[write], pairs[write + 1] = pairs[read], pairs[read + 1]
                write += 2
                read += 2
            old = 0
            if read < end and pairs[read] == ticks:
                old = pairs[read + 1]
                read += 2
            if lots:
                pairs[write], pairs[write + 1] = ticks, lots
                write += 2
            if old != lots:
                self.level_hash = (self.level_hash + self._hash_change(ticks, old, lots)) & BITS64
        native.move_words(pairs, write, pairs, read, end - read)
        self.count = (write + end - read) // 2

    def cut(self, depth: int, batch: Batch | None) -> int:
        """Drop the worst levels beyond `depth`, told to the batch as removals, worst first; how many."""
        dropped = max(0, self.count - depth)
        pairs = self._pairs
        if batch is not None:
            batch.reserve(dropped)
        for at in range(dropped):
            self.level_hash = (self.level_hash + self._hash_change(pairs[2 * at], pairs[2 * at + 1], 0)) & BITS64
            if batch is not None:
                batch.append(pairs[2 * at], ASK_BIT if self.is_ask else 0)
        if dropped:
            self.count -= dropped
            native.move_words(pairs, 0, pairs, 2 * dropped, 2 * self.count)
        return dropped

    def survey(self, levels: Levels) -> bool:
        """Look at this side's levels among `levels` before `take`: False unless sorted, either way, none repeated or without size."""
        signed, words = levels._signed, levels._words
        self._aim(levels)
        flip = -1 if self._falls else 0
        incoming = 0
        last = 0
        for i in range(self._first, levels.count):
            word = words[2 * i + 1]
            if (word >= ASK_BIT) != self.is_ask:
                continue
            rank = signed[2 * i] ^ flip
            if word & LOTS_BITS == 0 or (incoming and rank <= last):
                return False
            last = rank
            incoming += 1
        self.incoming = incoming
        return True

    def difference(self, levels: Levels, batch: Batch) -> int:
        """Tell the batch what would turn this side into `levels`, by one walk over both: how many changes, or -1 as `survey` says False.

        Nothing but the batch changes; `take` may follow.
        """
        signed, words, pairs = levels._signed, levels._words, self._pairs
        self._aim(levels)
        is_ask = self.is_ask
        side_bit = ASK_BIT if is_ask else 0
        flip = -1 if self._falls else 0
        step = 2 if self._falls == is_ask else -2
        at = 0 if step > 0 else 2 * self.count - 2
        left = self.count
        told_before = batch.change_count
        self._incoming_hash = self.level_hash
        last = incoming = 0
        i, end = 2 * self._first, 2 * levels.count
        while i < end:
            if left and pairs[at] == signed[i] and (pairs[at + 1] | side_bit) == words[i + 1]:  # most of a book stays as it was
                last = pairs[at] ^ flip
                incoming += 1
                at += step
                left -= 1
                i += 2
                continue
            if (words[i + 1] >= ASK_BIT) != is_ask:
                i += 2
                continue
            ticks, lots = signed[i], words[i + 1] & LOTS_BITS
            i += 2
            rank = ticks ^ flip
            if lots == 0 or (incoming and rank <= last):
                return -1
            last = rank
            incoming += 1
            while left and (pairs[at] ^ flip) < rank:
                self._tell(batch, pairs[at], pairs[at + 1], 0)
                at += step
                left -= 1
            old = 0
            if left and pairs[at] == ticks:
                old = pairs[at + 1]
                at += step
                left -= 1
            if old != lots:
                self._tell(batch, ticks, old, lots)
        for _ in range(left):
            self._tell(batch, pairs[at], pairs[at + 1], 0)
            at += step
        self.incoming = incoming
        return batch.change_count - told_before

    def take(self, levels: Levels, is_walked: bool) -> None:
        """Become the surveyed `levels`; `is_walked` says that `difference` has already found the hash. Room must be reserved."""
        signed, words, pairs = levels._signed, levels._words, self._pairs
        step = 2 if self._falls == self.is_ask else -2
        at = 0 if step > 0 else 2 * self.incoming - 2
        left = self.incoming
        i = 2 * self._first
        while left:
            word = words[i + 1]
            if (word >= ASK_BIT) == self.is_ask:
                pairs[at] = signed[i]
                pairs[at + 1] = word & LOTS_BITS
                at += step
                left -= 1
            i += 2
        self.count = self.incoming
        if is_walked:
            self.level_hash = self._incoming_hash
        else:
            self._rehash()

    def _aim(self, levels: Levels) -> None:
        """Find this side's first level among `levels`, and from the second whether prices fall."""
        signed, words = levels._signed, levels._words
        self._first = levels.count
        self._falls = False
        for i in range(levels.count):
            if (words[2 * i + 1] >= ASK_BIT) != self.is_ask:
                continue
            if self._first == levels.count:
                self._first = i
            else:
                self._falls = signed[2 * i] < signed[2 * self._first]
                return

    def check_bytes(self, data: Any) -> None:
        """ValueError unless `data` are levels in this side's order, each with a size of 1 to 2^62 - 1."""
        if len(data) % LEVEL_BYTES:
            raise ValueError(f"{len(data)} bytes are no whole number of levels")
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
        self._rehash()

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
        """Multiply every level; `fits` must have said that it can be."""
        pairs = self._pairs
        for at in range(self.count):
            pairs[2 * at] = pairs[2 * at] * price_factor
            pairs[2 * at + 1] = pairs[2 * at + 1] * size_factor
        self._rehash()

    def best_ticks(self) -> int:
        """The best price; the side must not be empty."""
        ticks: int = self._pairs[2 * self.count - 2]
        return ticks

    def size_at(self, ticks: int) -> int:
        """Lots at the price, 0 for none."""
        at = self.find(ticks)
        if at == self.count or self._pairs[2 * at] != ticks:
            return 0
        lots: int = self._pairs[2 * at + 1]
        return lots

    def best_first(self, count: int) -> list[tuple[int, int]]:
        """The best `count` levels, or as many as there are, as (ticks, lots)."""
        pairs = self._pairs
        found = []
        for at in range(self.count - 1, max(-1, self.count - 1 - count), -1):
            ticks = pairs[2 * at]
            lots = pairs[2 * at + 1]
            found.append((ticks, lots))
        return found

    def best_digits(self, count: int) -> bytes:
        """The best `count` levels, or as many as there are, as decimal digits of ticks and lots with nothing between."""
        return digits.of_best(self._pairs, self.count, count)

    def _tell(self, batch: Batch, ticks: int, old: int, lots: int) -> None:
        """One change of a difference: to the batch, and to the hash of what comes."""
        batch.append(ticks, lots | (0 if old else NEW_BIT) | (ASK_BIT if self.is_ask else 0))
        self._incoming_hash = (self._incoming_hash + self._hash_change(ticks, old, lots)) & BITS64

    def _hash_change(self, ticks: int, old: int, lots: int) -> int:
        """What a level's change of size adds to the hash."""
        level = splitmix64(((ticks & BITS64) * 2 + self.is_ask) & BITS64)
        change = 0
        if lots:
            change = splitmix64((level + lots) & BITS64)
        if old:
            change -= splitmix64((level + old) & BITS64)
        return change & BITS64

    def _rehash(self) -> None:
        pairs = self._pairs
        level_hash = 0
        for at in range(self.count):
            level_hash += self._hash_change(pairs[2 * at], 0, pairs[2 * at + 1])
        self.level_hash = level_hash & BITS64


def all_below(pairs: Any, count: int, limit: int) -> bool:
    """Whether no size of `count` levels is over `limit` lots."""
    for at in range(count):  # noqa: SIM110 (a generator makes an object per level)
        if pairs[2 * at + 1] > limit:
            return False
    return True
