"""Book: two sorted sides of exact integers, the effect of each message on them, and the delta group that it makes.

    book.load(levels)            # a first snapshot: reset, O(n); no changes are emitted (readers get a RESET and read the image)
    book.apply(levels, batch)    # an update: absolute sizes, 0 removes; the changes go to the batch
    book.cut(depth, batch)       # Kraken: levels beyond the subscribed depth leave, as removals in the same group
    book.replace(levels, batch)  # a snapshot on a live book: the exact difference old -> new goes to the batch

The changes of a group stand *in the message's order*, each against the book just before it, so a level that is repeated in one
message appears as often as it changed and the last one wins, here as at a reader. A row that changes nothing (the same size again,
the removal of a level that is not there) is left out.

A message is applied wholly or not at all: room for all of it is made before its first level is applied. In memory of its own the
book grows; in memory handed in (the shared book image) it raises NoRoom and is unchanged, and its owner calls `rebind` with larger
memory.

`book_hash` is the sum mod 2^64, over all levels, of splitmix64(splitmix64(2 * ticks + is_ask) + lots): equal books have equal
hashes, whatever order of changes led to them. `HASH_VECTORS` are test vectors for readers in other languages.
"""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.book import digits, merge
from alphapulse_cli.book.side import NoRoom, Side
from alphapulse_cli.book.walk import Walk
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

__all__ = ["HASH_VECTORS", "Book", "NoRoom"]

SOURCE_HASH = native.source_hash()

ASK_BIT, NEW_BIT, LOTS_BITS, BITS64 = delta.IS_ASK, delta.LEVEL_IS_NEW, delta.SIZE_MASK, (1 << 64) - 1
FINEST = 18  # decimals

HASH_VECTORS: list[tuple[list[tuple[int, int, bool]], int]] = [  # levels (ticks, lots, is_ask) -> book hash
    ([], 0),
    ([(0, 1, False)], 0x2A98F501AF37E97F),
    ([(0, 1, True)], 0x86D6FD953217AE03),
    ([(12170601, 150000000, False)], 0x38A7BA320036C499),
    ([(12170601, 150000000, False), (12170602, 25000000, True)], 0x707670E9AC648D2B),
    ([(10**13, 2**62 - 1, True)], 0xD7646E7DF84D73F7),
    ([(2**63 - 1, 1, False), (1, 2**62 - 1, True)], 0xFB5325ED473A9B8A),
]


def arranged(levels: Levels) -> Levels:
    """Normalised copy of a whole book: best first on each side, the last of repeated levels only, none of size 0.

    For the rare message that is not sorted; not on the hot path.
    """
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for ticks, lots, is_ask in levels:
        sides[is_ask][ticks] = lots
    result = Levels(levels.price_decimals, levels.size_decimals)
    for is_ask in (False, True):
        for ticks in sorted(sides[is_ask], reverse=not is_ask):
            if sides[is_ask][ticks]:
                result.add(ticks, sides[is_ask][ticks], is_ask)
    return result


class Book:
    """Book of one instrument; prices in ticks of 10**-price_decimals, sizes in lots of 10**-size_decimals.

    ValueError unless both decimals are 0..18. `bids_memory` and `asks_memory` (writable, 16 bytes a level) replace memory of its
    own.
    """

    def __init__(self, price_decimals: int, size_decimals: int, bids_memory: Any = None, asks_memory: Any = None) -> None:
        if not 0 <= price_decimals <= FINEST or not 0 <= size_decimals <= FINEST:
            raise ValueError(f"decimals must be 0..{FINEST}: {price_decimals}, {size_decimals}")
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        self._bids = Side(False, bids_memory)
        self._asks = Side(True, asks_memory)
        self._bid_walk, self._ask_walk = Walk(self._bids), Walk(self._asks)

    def apply(self, levels: Levels, batch: Batch | None) -> int:
        """Apply new sizes of some levels, in order; the number of changes. NoRoom, or ValueError for another grid: nothing changed.

        Changes are appended to `batch`, unless it is None.
        """
        self._check_grid(levels)
        count = levels.count
        if count > self.room():
            self._make_room(levels)
        if batch is not None:
            batch.reserve(count)
        signed, words = levels._signed, levels._words
        changes = 0
        for i in range(count):
            word = words[2 * i + 1]
            ticks = signed[2 * i]
            lots = word & LOTS_BITS
            old = self._asks.set(ticks, lots) if word >= ASK_BIT else self._bids.set(ticks, lots)
            if old == lots:
                continue
            changes += 1
            if batch is not None:
                batch.append(ticks, word if old else word | NEW_BIT)
        return changes

    def set(self, ticks: int, size_side: int) -> int:
        """Apply one change in the form of a record; the level's old size in lots. NoRoom if room was not made with `reserve`."""
        lots = size_side & LOTS_BITS
        return self._asks.set(ticks, lots) if size_side >= ASK_BIT else self._bids.set(ticks, lots)

    def merge(self, words: Any, at: int, changes: int) -> bool:
        """Apply a large group's changes in one walk; False where all of them must be `set` one by one instead.

        `words` are the words of its records, which begin at word `at`.
        """
        return merge.merge(self._bids, words, at, changes) and merge.merge(self._asks, words, at, changes)

    def reserve(self, count: int) -> None:
        """Make room for `count` more levels on either side; NoRoom where the memory was handed in and is too small."""
        self._bids.reserve(self._bids.count + count)
        self._asks.reserve(self._asks.count + count)

    def cut(self, depth: int, batch: Batch | None) -> int:
        """Drop each side's worst levels beyond `depth`, with removals in the batch; the number dropped."""
        return self._bids.cut(depth, batch) + self._asks.cut(depth, batch)

    def load(self, levels: Levels) -> None:
        """Become `levels`, on their grid, without emitting changes. NoRoom: nothing changed.

        It takes O(n) where each side comes sorted, in either direction.
        """
        if not self._walk(levels, None):
            levels = arranged(levels)
            self._walk(levels, None)
        self._make_room_for_incoming()
        self.price_decimals = levels.price_decimals
        self.size_decimals = levels.size_decimals
        self._bid_walk.take(levels, False)
        self._ask_walk.take(levels, False)

    def replace(self, levels: Levels, batch: Batch) -> int:
        """Become `levels` and append exactly the difference to the batch; the number of changes.

        NoRoom, or ValueError for another grid: nothing changed.
        """
        self._check_grid(levels)
        changes_before = batch.change_count
        if not self._walk(levels, batch):
            batch.take_back(changes_before)
            levels = arranged(levels)
            self._walk(levels, batch)
        try:
            self._make_room_for_incoming()
        except NoRoom:
            batch.take_back(changes_before)
            raise
        self._bid_walk.take(levels, True)
        self._ask_walk.take(levels, True)
        return batch.change_count - changes_before

    def load_sides(self, bids: Any, asks: Any) -> None:
        """Become the two sides in the form of an image (16 bytes a level, best last).

        ValueError for invalid sides, NoRoom: nothing changed.
        """
        self._bids.check_bytes(bids)
        self._asks.check_bytes(asks)
        self._bids.reserve(len(bids) // 16)
        self._asks.reserve(len(asks) // 16)
        self._bids.take_bytes(bids)
        self._asks.take_bytes(asks)

    def clear(self) -> None:
        """Remove all levels."""
        self.load_sides(b"", b"")

    def room(self) -> int:
        """Number of further levels that fit the fuller side without growing."""
        return min(self._bids.capacity - self._bids.count, self._asks.capacity - self._asks.count)

    def rebind(self, bids_memory: Any, asks_memory: Any) -> None:
        """Move into other memory, None for memory of its own. NoRoom if either is too small: nothing changed."""
        for side, memory in ((self._bids, bids_memory), (self._asks, asks_memory)):
            if memory is not None and len(memory) < 16 * side.count:
                raise NoRoom(side.count, len(memory) // 16)
        self._bids.rebind(bids_memory)
        self._asks.rebind(asks_memory)

    def rescale(self, price_decimals: int, size_decimals: int) -> bool:
        """Move to a finer grid, exactly; False and unchanged where it is coarser or a level would no longer fit."""
        price_step = price_decimals - self.price_decimals
        size_step = size_decimals - self.size_decimals
        if price_step < 0 or size_step < 0 or price_decimals > FINEST or size_decimals > FINEST:
            return False
        price_factor, size_factor = 10**price_step, 10**size_step
        if not (self._bids.fits(price_factor, size_factor) and self._asks.fits(price_factor, size_factor)):
            return False
        self._bids.scale(price_factor, size_factor)
        self._asks.scale(price_factor, size_factor)
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        return True

    @property
    def bid_count(self) -> int:
        """Number of levels on the bid side."""
        return self._bids.count

    @property
    def ask_count(self) -> int:
        """Number of levels on the ask side."""
        return self._asks.count

    @property
    def book_hash(self) -> int:
        """Order-independent hash of all levels, u64."""
        return (self._bids.level_hash + self._asks.level_hash) & BITS64

    def size_at(self, ticks: int, is_ask: bool) -> int:
        """Size in lots of the level at that price, 0 for none."""
        return self._asks.size_at(ticks) if is_ask else self._bids.size_at(ticks)

    def best_bid(self) -> tuple[int, int] | None:
        """Highest bid as (ticks, lots); None for an empty side."""
        found = self._bids.best_first(1)
        return found[0] if found else None

    def best_ask(self) -> tuple[int, int] | None:
        """Lowest ask as (ticks, lots); None for an empty side."""
        found = self._asks.best_first(1)
        return found[0] if found else None

    def bids(self, count: int | None = None) -> list[tuple[int, int]]:
        """Best `count` bids (None: all), best first, as (ticks, lots)."""
        return self._bids.best_first(self._bids.count if count is None else count)

    def asks(self, count: int | None = None) -> list[tuple[int, int]]:
        """Best `count` asks (None: all), best first, as (ticks, lots)."""
        return self._asks.best_first(self._asks.count if count is None else count)

    def top_digits(self, count: int) -> bytes:
        """Best `count` asks, then bids, best first, as decimal digits of ticks and lots without separators."""
        return self._asks.best_digits(count) + self._bids.best_digits(count)

    def top_decimals(self, count: int, price_decimals: int, size_decimals: int, sign: bool) -> bytes:
        """Best `count` bids and asks in turn, best first, as price:size joined by ":": shortest plain decimals.

        Where one side ends the other goes on. With `sign` the sizes of asks are negative.
        """
        bids, asks = self._bids, self._asks
        return digits.decimals_of(
            bids._pairs,
            bids.count,
            asks._pairs,
            asks.count,
            count,
            price_decimals,
            size_decimals,
            sign,
        )

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is above the best ask."""
        return self._has_both() and self._bids.best_ticks() > self._asks.best_ticks()

    @property
    def is_locked(self) -> bool:
        """Whether the best bid equals the best ask."""
        return self._has_both() and self._bids.best_ticks() == self._asks.best_ticks()

    @property
    def is_empty(self) -> bool:
        """Whether neither side has a level."""
        return self._bids.count == 0 and self._asks.count == 0

    def _has_both(self) -> bool:
        return self._bids.count > 0 and self._asks.count > 0

    def _check_grid(self, levels: Levels) -> None:
        if levels.price_decimals != self.price_decimals or levels.size_decimals != self.size_decimals:
            raise ValueError(
                f"levels on the grid {levels.price_decimals}, {levels.size_decimals}"
                f" for a book on {self.price_decimals}, {self.size_decimals}"
            )

    def _make_room(self, levels: Levels) -> None:
        """Make room for all of `levels` that have a size, as if each were new; NoRoom."""
        words = levels._words
        bids = asks = 0
        for i in range(levels.count):
            word = words[2 * i + 1]
            if word & LOTS_BITS == 0:
                continue
            if word >= ASK_BIT:
                asks += 1
            else:
                bids += 1
        self._bids.reserve(self._bids.count + bids)
        self._asks.reserve(self._asks.count + asks)

    def _walk(self, levels: Levels, batch: Batch | None) -> bool:
        """Walk over a whole book, emitting the difference to a batch, if any; False for levels that must be arranged first."""
        words, count = levels._words, levels.count
        self._bid_walk.start()
        self._ask_walk.start()
        i = 0
        while i < count:
            walk = self._ask_walk if words[2 * i + 1] >= ASK_BIT else self._bid_walk
            i = walk.survey(levels, i) if batch is None else walk.run(levels, i, batch)
            if i < 0:
                return False
        if batch is not None:
            self._bid_walk.finish(batch)
            self._ask_walk.finish(batch)
        return True

    def _make_room_for_incoming(self) -> None:
        self._bids.reserve(self._bid_walk.incoming)
        self._asks.reserve(self._ask_walk.incoming)
