"""Publisher: the part of keeping a book that every message pays for, in two calls, `change` and `publish`; therefore compiled.

    change(event) ─► image seqlock odd ─► Book.apply, cut ─► the batch holds the changes
    publish(…)    ─► headers ─► image seqlock even ─► ring ─► counters

Between the two the keeper sets the state and reason of the book (`set_state`). The keeper also decides whether a message may be applied,
the state of a book, and what is reported of it.
"""

from alphapulse_cli import native
from alphapulse_cli.book.book import Book
from alphapulse_cli.market.events import NO_TIME, BookEvent
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.histogram import Histogram
from alphapulse_cli.shm.image import FIRST_CAPACITY, ImageWriter
from alphapulse_cli.shm.ring import RingWriter
from alphapulse_cli.wire import batch
from alphapulse_cli.wire.delta import NO_FEED_DELAY, RecordKind

SOURCE_HASH = native.source_hash()

RESET = int(RecordKind.RESET)
BOOK_UPDATES, LEVELS_KEPT_OUT, CROSSED = int(Counter.BOOK_UPDATES), int(Counter.LEVELS_KEPT_OUT), int(Counter.CROSSED)
GROUPS, DELTAS, CHANGES, RESETS = int(Counter.GROUPS), int(Counter.DELTAS), int(Counter.CHANGES), int(Counter.RESETS)
FEED_DELAY_US = int(Counter.FEED_DELAY_US)
LONGEST_DELAY_NS = 1 << 60  # bound for absurd times from an exchange
LONGEST_DELAY_US = (1 << 31) - 1  # largest that a record can hold
_NO_TIME = NO_TIME


class DelayMeter:
    """Feed delay (receive time minus the exchange's): the last of a symbol, the last of all symbols, and histograms of both."""

    def __init__(self, own: CounterBlock, histogram: Histogram) -> None:
        self._own = own
        self._histogram = histogram

    def count(self, counters: CounterBlock, receive_ns: int, exchange_ns: int) -> None:
        """Count the feed delay of one message of the symbol of `counters`."""
        delay_ns = max(-LONGEST_DELAY_NS, min(LONGEST_DELAY_NS, receive_ns - exchange_ns))
        delay_us = delay_ns // 1000
        counters.set(FEED_DELAY_US, delay_us)
        self._own.set(FEED_DELAY_US, delay_us)
        self._histogram.record(delay_ns)
        own = counters.feed_delay
        if own is not None:
            own.record(delay_ns)


class Publisher:
    """Publisher of one book. A group of more than `largest_group` records is published as a RESET."""

    def __init__(
        self, book: Book, group: batch.Batch, image: ImageWriter, ring: RingWriter, counters: CounterBlock, delays: DelayMeter
    ) -> None:
        self.largest_group = ring.capacity // 4
        self._book = book
        self._bids, self._asks = self._book._bids, self._book._asks  # noqa: SLF001 the same object for the book's life
        self._group, self._image, self._ring = group, image, ring
        self._counters, self._delays = counters, delays
        self._delay_us = NO_FEED_DELAY
        self.is_crossed = False  # whether the best bid is at or above the best ask
        self._state = self._reason = self._checksum = 0

    def use_image(self, image: ImageWriter) -> None:
        """Publish to another image of the same book from now on."""
        self._image = image

    def set_state(self, state: int, reason: int, checksum: int) -> None:
        """Set the state, reason and checksum state that the image shows from the next commit on."""
        self._state, self._reason, self._checksum = state, reason, checksum

    def room_needed(self, levels: Levels, is_snapshot: bool) -> int:
        """Levels a side that the image must hold before the message is applied; 0 where it already does."""
        needed = levels.count
        if not is_snapshot:
            needed += max(self._bids.count, self._asks.count)
        return 0 if needed <= self._image.capacity else needed

    def is_roomy(self, levels: int) -> bool:
        """Whether `levels` a side would fit a quarter of the image, and the image is larger than a first one."""
        return 4 * levels <= self._image.capacity > FIRST_CAPACITY

    def change(self, event: BookEvent, receive_ns: int, is_snapshot: bool, is_first: bool) -> int:
        """Apply a message to the book and leave the image open; the number of changes in the batch.

        A first snapshot gives no changes.
        """
        levels, depth = event.levels, event.depth
        book, group = self._book, self._group
        self._count(event, receive_ns, is_snapshot)
        self._image.begin()
        group.clear()
        if not is_snapshot:
            book.apply(levels, group)
        elif is_first:
            book.load(levels)
        else:
            book.replace(levels, group)
        if depth is not None:
            book.cut(depth, None if is_first else group)
        bids, asks = self._bids, self._asks
        if bids.count and asks.count and bids.best_ticks() >= asks.best_ticks():  # crossed or locked
            self._counters.add(CROSSED)
            self.is_crossed = True
        else:
            self.is_crossed = False
        return group.change_count

    def _count(self, event: BookEvent, receive_ns: int, is_snapshot: bool) -> None:
        counters, levels, exchange_ns = self._counters, event.levels, event.time_ns
        counters.add(BOOK_UPDATES)
        if levels.kept_out:
            counters.add(LEVELS_KEPT_OUT, levels.kept_out)
        if exchange_ns == _NO_TIME:
            self._delay_us = NO_FEED_DELAY
            return
        self._delay_us = max(-LONGEST_DELAY_US, min(LONGEST_DELAY_US, (receive_ns - exchange_ns) // 1000))
        if not is_snapshot:  # a snapshot may carry the time of its last change, long ago
            self._delays.count(counters, receive_ns, exchange_ns)

    def publish(self, kind: int, receive_ns: int, version: int, resynced: bool) -> None:
        """Publish the batch as the group that leads to `version`, image first, ring after. A group too large becomes a RESET."""
        group, counters = self._group, self._counters
        changes = group.change_count
        records = group.finish(kind, receive_ns, version, version - 1, self._delay_us, resynced)
        if records > self.largest_group:
            kind = RESET
            group.clear()
            records = group.finish(kind, receive_ns, version, version - 1, self._delay_us, resynced)
        self.commit(version, receive_ns, records)
        self._ring.publish(group.records, records)
        counters.add(GROUPS)
        counters.add(DELTAS, records)
        counters.add(CHANGES, changes)
        if kind == RESET:
            counters.add(RESETS)
            self._ring.after_reset = self._ring._published  # noqa: SLF001

    def commit(self, version: int, receive_ns: int, records: int) -> None:
        """End the edit of the image, whose change the next `records` records of the ring will carry."""
        book, bids, asks = self._book, self._bids, self._asks
        self._image.commit(
            version,
            receive_ns,
            self._ring._published + records,  # noqa: SLF001 the property costs a call
            bids.count,
            asks.count,
            (bids.level_hash + asks.level_hash) & native.MASK64,
            self._state,
            self._reason,
            self._checksum,
            book.price_decimals,
            book.size_decimals,
        )
