"""Book image: the collector's own full-depth book, edited in place by one process and copied out by any.

Per side a sorted array of levels, (ticks i64, lots i64), with the *best price last*: bids ascend, asks descend. So changes near
the top move few bytes and the best N levels are one slice. The words beside it (`layout.IMAGE_FIELDS`) and the arrays are under
one seqlock:

    writer   begin(): seq odd, release fence · edit bids and asks · commit(…): the words, then seq even
    reader   seq even? · copy words and levels · acquire fence · the same seq? then the copy is one moment of the book

Order: the image is edited, *then* the ring is published. A reader joins by noting P = `published`, copying the image (version V),
reading the ring from P and skipping versions up to V; the next prev_version must be V. Copies of a large, busy book may be
overtaken every time: then the reader asks through the wake page for a checkpoint, a second copy of the book that the writer makes
and leaves alone.

A writer killed in the middle of an edit leaves seq odd for good: `writer_died_editing` tells that from an edit under way by the
heartbeat. A book that outgrows its file moves to a larger one, and back to a smaller one after an unusually large snapshot
(`ImageWriter.resized`). Readers bound all counts by the capacity, whatever the words say.
"""

from alphapulse_cli import native
from alphapulse_cli.market.trading_status import NOT_REPORTED
from alphapulse_cli.shm import layout, memory
from alphapulse_cli.shm.layout import ImageCopy, Rules, SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment, SegmentSpec

SOURCE_HASH = native.source_hash()

VERSION, RING_POSITION, TIMESTAMP = (layout.IMAGE_INDEX[name] for name in ("version", "ring_position", "timestamp_ns"))
BID_COUNT, ASK_COUNT, BOOK_HASH = (layout.IMAGE_INDEX[name] for name in ("bid_count", "ask_count", "book_hash"))
STATE, REASON, CHECKSUM_STATE = (layout.IMAGE_INDEX[name] for name in ("state", "reason", "checksum_state"))
PRICE_DECIMALS, SIZE_DECIMALS = (layout.IMAGE_INDEX[name] for name in ("price_decimals", "size_decimals"))
FIRST_CAPACITY = 1024  # levels a side of a book of unknown depth: 64 KiB with its checkpoint


def book_spec(
    set_name: str,
    exchange: str,
    symbol: str,
    epoch: int,
    levels: int = FIRST_CAPACITY,
    slot: int = layout.NO_SLOT,
    *,
    replay: bool = False,
) -> SegmentSpec:
    """Spec of a book's segment with room for at least `levels` a side; `slot` is the book's in the wake page."""
    capacity = layout.round_capacity(levels)
    return SegmentSpec(SegmentKind.BOOK, set_name, exchange, epoch, layout.LEVEL_BYTES, capacity, symbol, slot, replay)


class ImageWriter:
    """Single writer of an image. `bids` and `asks` are its arrays, `capacity` levels of 16 bytes each, to be edited in place."""

    def __init__(self, segment: Segment) -> None:
        assert segment.writable
        side = segment.spec.capacity * layout.LEVEL_BYTES
        view = memoryview(segment.memory)
        self.segment = segment
        self.capacity = segment.spec.capacity
        self.bids = view[layout.HEADER_BYTES : layout.HEADER_BYTES + side]
        self.asks = view[layout.HEADER_BYTES + side : layout.HEADER_BYTES + 2 * side]
        self._memory = segment.memory
        self._words = native.words(segment.memory)
        self._live, self._checkpoint = layout.IMAGE_WORD, layout.CHECKPOINT_WORD
        self._data_word, self._side_words = layout.HEADER_BYTES // 8, side // 8
        self._word_count = layout.IMAGE_WORD_COUNT
        self._status_behind = layout.STATUS_BEHIND
        self._sealed_at, self._state_at = layout.SEALED, layout.STATE

    def begin(self) -> None:
        """Start an edit: until `commit` the arrays may be edited, and readers' copies fail."""
        memory.store_relaxed(self._words, self._live, self._words[self._live] | 1)
        memory.release_fence()

    def commit(
        self,
        version: int,
        timestamp_ns: int,
        ring_position: int,
        bid_count: int,
        ask_count: int,
        book_hash: int,
        state: int,
        reason: int,
        checksum_state: int,
        price_decimals: int,
        size_decimals: int,
    ) -> None:
        """End an edit and store the book's words. `ring_position` is the sequence after the records that will carry this change.

        `timestamp_ns` is the receive time of the frame (CLOCK_REALTIME). StorageError where the file was cut short: this edit is
        lost.
        """
        words, at = self._words, self._live
        memory.store_relaxed(words, at + VERSION, version)
        memory.store_relaxed(words, at + RING_POSITION, ring_position)
        memory.store_relaxed(words, at + TIMESTAMP, timestamp_ns)
        memory.store_relaxed(words, at + BID_COUNT, bid_count)
        memory.store_relaxed(words, at + ASK_COUNT, ask_count)
        memory.store_relaxed(words, at + BOOK_HASH, book_hash)
        memory.store_relaxed(words, at + STATE, state)
        memory.store_relaxed(words, at + REASON, reason)
        memory.store_relaxed(words, at + CHECKSUM_STATE, checksum_state)
        memory.store_relaxed(words, at + PRICE_DECIMALS, price_decimals)
        memory.store_relaxed(words, at + SIZE_DECIMALS, size_decimals)
        memory.store_release(words, at, (words[at] | 1) + 1)
        self._check()

    def set_rules(self, tick_size_ticks: int, lot_size_lots: int, min_size_lots: int) -> None:
        """Store the order rules (ticks and lots of the grid of the next commit). Call it between `begin` and `commit`."""
        rules = (tick_size_ticks, lot_size_lots, min_size_lots)
        for i in range(layout.RULES_WORD_COUNT):
            memory.store_relaxed(self._words, layout.RULES_WORD + i, min(rules[i], native.MASK64))

    def set_trading_status(self, status: int) -> None:
        """Store the trading status as of the next commit. Call it between `begin` and `commit`."""
        memory.store_relaxed(self._words, self._live + self._status_behind, status)

    def set_status(self, state: int, reason: int) -> None:
        """Change the book's state and reason alone. StorageError as of `commit`."""
        self.begin()
        memory.store_relaxed(self._words, self._live + STATE, state)
        memory.store_relaxed(self._words, self._live + REASON, reason)
        memory.store_release(self._words, self._live, self._words[self._live] + 1)
        self._check()

    def checkpoint(self) -> None:
        """Copy the book as last committed into the checkpoint; costs one copy of its levels. StorageError as of `commit`."""
        words, live, kept = self._words, self._live, self._checkpoint
        memory.store_relaxed(words, kept, words[kept] | 1)
        memory.release_fence()
        bids, asks = self._data_word, self._data_word + self._side_words
        behind = 2 * self._side_words
        native.move_words(words, bids + behind, words, bids, 2 * words[live + BID_COUNT])
        native.move_words(words, asks + behind, words, asks, 2 * words[live + ASK_COUNT])
        native.move_words(words, kept + 1, words, live + 1, self._word_count - 1)
        memory.store_relaxed(words, kept + self._status_behind, words[live + self._status_behind])
        memory.store_release(words, kept, words[kept] + 1)
        self._check()

    def _check(self) -> None:
        if memory.load_relaxed(self._words, self._sealed_at) == 0 and memory.load_relaxed(self._words, self._state_at) == 0:
            raise self.segment.lost()  # the mapping was replaced by zeros (see `Segment.is_gone`)

    def resized(self, levels: int) -> "ImageWriter":
        """Move the book to another file with room for `levels` a side; the old file is REPLACED. StorageError: nothing changed.

        Not between `begin` and `commit`. Continue with the new writer and its `bids` and `asks`.
        """
        segment = self.segment.resized(levels)
        made = ImageWriter(segment)
        made._take_over(self)
        try:
            segment.ready()
        except BaseException:
            segment.close()
            raise
        return made

    def _take_over(self, old: "ImageWriter") -> None:
        """Copy the book, its words, rules and status from the writer of the old file."""
        live = self._live
        bid_bytes, ask_bytes = 16 * old._words[live + BID_COUNT], 16 * old._words[live + ASK_COUNT]  # noqa: SLF001 one of us
        self.bids[:bid_bytes] = old.bids[:bid_bytes]
        self.asks[:ask_bytes] = old.asks[:ask_bytes]
        for i in range(1, self._word_count):
            self._words[live + i] = old._words[live + i]  # noqa: SLF001 one of us
        for i in range(layout.RULES_WORD, layout.RULES_WORD + layout.RULES_WORD_COUNT):
            self._words[i] = old._words[i]  # noqa: SLF001 one of us
        self._words[live + self._status_behind] = old._words[live + self._status_behind]  # noqa: SLF001 one of us
        self._words[live] = 2


class ImageReader:
    """Reader of an image: each copy is one whole moment of the book, or None.

    `copy`, `copy_checkpoint`, `peek`, `top` and `rules` raise SegmentGone where the file was cut short.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.capacity = segment.spec.capacity
        self._memory = segment.memory
        self._octets = memoryview(segment.memory)
        self._words = native.words(segment.memory)
        self._side_bytes = segment.spec.capacity * layout.LEVEL_BYTES
        self._status_behind = layout.STATUS_BEHIND if segment.layout_minor >= layout.STATUS_SINCE_MINOR else 0

    def copy(self, tries: int = 16) -> ImageCopy | None:
        """Copy the whole book; None if an edit overtook each of the `tries`: then ask for a checkpoint."""
        return self._copy(layout.IMAGE_WORD, 0, self.capacity, tries)

    def copy_checkpoint(self, tries: int = 16) -> ImageCopy | None:
        """Copy the last checkpoint; None if there is none yet, or if each of the `tries` met its renewal."""
        if memory.load_acquire(self._words, layout.CHECKPOINT_WORD) == 0:
            self._check()
            return None
        return self._copy(layout.CHECKPOINT_WORD, 2 * self._side_bytes, self.capacity, tries)

    def peek(self, tries: int = 64) -> ImageCopy | None:
        """Copy the words alone, without levels; None if each of the `tries` met an edit."""
        return self._copy(layout.IMAGE_WORD, 0, 0, tries)

    def top(self, levels: int, tries: int = 64) -> ImageCopy | None:
        """Copy at most the best `levels` of each side, the best last; None as of `peek`.

        Its counts are still those of the whole book.
        """
        return self._copy(layout.IMAGE_WORD, 0, levels, tries)

    def rules(self, tries: int = 64) -> Rules | None:
        """Order rules and their grid, of one moment; None if the writer gives none, or each of the `tries` met an edit."""
        at, first = layout.IMAGE_WORD, layout.RULES_WORD
        for _ in range(tries):
            before = memory.load_acquire(self._words, at)
            grid = (memory.load_relaxed(self._words, at + PRICE_DECIMALS), memory.load_relaxed(self._words, at + SIZE_DECIMALS))
            values = [memory.load_relaxed(self._words, first + i) for i in range(layout.RULES_WORD_COUNT)]
            memory.acquire_fence()
            if before & 1 == 0 and memory.load_relaxed(self._words, at) == before:
                if before == 0:
                    self._check()
                return Rules(*grid, *values) if before and values[0] and values[1] else None
        return None

    def version(self) -> int:
        """Version last committed, or being committed now: a cheap test for changes."""
        return memory.load_acquire(self._words, layout.IMAGE_WORD + VERSION)

    def writer_died_editing(self, monotonic_ns: int) -> bool:
        """Whether the image is half edited and its writer not LIVE at `monotonic_ns`: it will never be whole again."""
        odd = memory.load_acquire(self._words, layout.IMAGE_WORD) & 1
        return bool(odd) and self.segment.liveness(monotonic_ns) is not Liveness.LIVE

    def _copy(self, at: int, behind: int, levels: int, tries: int) -> ImageCopy | None:
        for _ in range(tries):
            found = self._try(at, behind, levels)
            if found is not None:
                return found
        return None

    def _try(self, at: int, behind: int, levels: int) -> ImageCopy | None:
        words = self._words
        before = memory.load_acquire(words, at)
        if before & 1:
            return None
        values = [before, *[memory.load_relaxed(words, at + i) for i in range(1, layout.IMAGE_WORD_COUNT)]]
        if values[BID_COUNT] > self.capacity or values[ASK_COUNT] > self.capacity:
            return None
        bids = self._best(layout.HEADER_BYTES + behind, values[BID_COUNT], levels)
        asks = self._best(layout.HEADER_BYTES + behind + self._side_bytes, values[ASK_COUNT], levels)
        status = NOT_REPORTED
        if self._status_behind:
            status = min(memory.load_relaxed(words, at + self._status_behind), 0xFF)
        memory.acquire_fence()
        if memory.load_relaxed(words, at) != before:
            return None
        if before == 0:  # nothing was committed yet, or the mapping was replaced by zeros
            self._check()
        return ImageCopy._make([*values, bids, asks, status])

    def _check(self) -> None:
        if memory.load_acquire(self._words, layout.SEALED) == 0 and memory.load_acquire(self._words, layout.STATE) == 0:
            raise self.segment.gone()  # see `Segment.is_gone`

    def _best(self, start: int, count: int, levels: int) -> bytes:
        first = count - levels if count > levels else 0
        return bytes(self._octets[start + first * 16 : start + count * 16])
