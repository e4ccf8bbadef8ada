"""The book image: the collector's own full-depth book, edited in place by one process and copied out by any.

Per side a sorted array of levels, (ticks i64, lots i64), with the *best price last*: bids ascend, asks descend. So changes near
the top move few bytes and the best N levels are one slice. The words beside it (`layout.IMAGE_FIELDS`) and the arrays are under
one seqlock:

    writer   begin(): seq odd, release fence · edit bids and asks · commit(…): the words, then seq even
    reader   seq even? · copy words and levels · acquire fence · the same seq? then the copy is one moment of the book

Order: the image is edited, *then* the ring is published. A reader joins by noting P = `published`, copying the image (version V), reading
the ring from P and skipping versions up to V; the next prev_version must be V. A copy of a big, busy book is overtaken again and
again: then the reader asks through the wake page for a checkpoint, a second copy of the book that the writer makes and leaves alone.

A writer killed in the middle of an edit leaves seq odd for ever: `writer_died_editing` tells it from a moment's edit by the heartbeat.
A book that outgrows its file moves to a larger one, and to a smaller one after a monstrous snapshot (`ImageWriter.resized`). Counts are bounded by the capacity whatever the words say.
"""

from alphapulse_cli import native
from alphapulse_cli.market.trading_status import NOT_TOLD
from alphapulse_cli.shm import layout, memory
from alphapulse_cli.shm.layout import ImageCopy, Kind, Rules
from alphapulse_cli.shm.segment import Liveness, Segment, SegmentSpec

SOURCE_HASH = native.source_hash()

FIRST_CAPACITY = 1024  # levels a side of a book of unknown depth: 64 KiB


def book_spec(
    set_name: str, exchange: str, symbol: str, epoch: int, levels: int = FIRST_CAPACITY, slot: int = layout.NO_SLOT
) -> SegmentSpec:
    """The segment of a book with room for at least `levels` a side."""
    capacity = layout.round_capacity(levels)
    return SegmentSpec(Kind.BOOK, set_name, exchange, epoch, layout.LEVEL_BYTES, capacity, symbol, slot)


class ImageWriter:
    """The one writer of an image. `bids` and `asks` are its arrays, `capacity` levels of 16 bytes each, to be edited in place."""

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
        """From here to `commit` the arrays may be edited, and readers' copies fail."""
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
        """The edit is done and this is the book now; `ring_position` is the sequence after the records that will tell it.

        StorageError where the file was cut short: then this edit is nowhere.
        """
        words, at = self._words, self._live
        memory.store_relaxed(words, at + 1, version)
        memory.store_relaxed(words, at + 2, ring_position)
        memory.store_relaxed(words, at + 3, timestamp_ns)
        memory.store_relaxed(words, at + 4, bid_count)
        memory.store_relaxed(words, at + 5, ask_count)
        memory.store_relaxed(words, at + 6, book_hash)
        memory.store_relaxed(words, at + 7, state)
        memory.store_relaxed(words, at + 8, reason)
        memory.store_relaxed(words, at + 9, checksum_state)
        memory.store_relaxed(words, at + 10, price_decimals)
        memory.store_relaxed(words, at + 11, size_decimals)
        memory.store_release(words, at, (words[at] | 1) + 1)
        self._check()

    def set_rules(self, tick_size_ticks: int, lot_size_lots: int, min_size_lots: int) -> None:
        """What the exchange wants of an order, on the grid of the next commit; between `begin` and that."""
        rules = (tick_size_ticks, lot_size_lots, min_size_lots)
        for i in range(layout.RULES_WORD_COUNT):
            memory.store_relaxed(self._words, layout.RULES_WORD + i, min(rules[i], native.MASK64))

    def set_trading_status(self, status: int) -> None:
        """Which orders the market takes, as of the next commit; between `begin` and that."""
        memory.store_relaxed(self._words, self._live + self._status_behind, status)

    def set_status(self, state: int, reason: int) -> None:
        """Only the state of the book changes. StorageError as of `commit`."""
        self.begin()
        memory.store_relaxed(self._words, self._live + 7, state)
        memory.store_relaxed(self._words, self._live + 8, reason)
        memory.store_release(self._words, self._live, self._words[self._live] + 1)
        self._check()

    def checkpoint(self) -> None:
        """Copy the book, as last committed, beside itself; costs one copy of its levels. StorageError as of `commit`."""
        words, live, kept = self._words, self._live, self._checkpoint
        memory.store_relaxed(words, kept, words[kept] | 1)
        memory.release_fence()
        bids, asks = self._data_word, self._data_word + self._side_words
        behind = 2 * self._side_words
        native.move_words(words, bids + behind, words, bids, 2 * words[live + 4])
        native.move_words(words, asks + behind, words, asks, 2 * words[live + 5])
        native.move_words(words, kept + 1, words, live + 1, self._word_count - 1)
        memory.store_relaxed(words, kept + self._status_behind, words[live + self._status_behind])
        memory.store_release(words, kept, words[kept] + 1)
        self._check()

    def _check(self) -> None:
        if memory.load_relaxed(self._words, self._sealed_at) == 0 and memory.load_relaxed(self._words, self._state_at) == 0:
            raise self.segment.lost()  # zeros have taken the file's place (see `Segment.is_gone`)

    def resized(self, levels: int) -> "ImageWriter":
        """The same book in another file, with room for `levels` a side; the old file is REPLACED. StorageError: nothing changed.

        Not between `begin` and `commit`. Go on with the new writer and its `bids` and `asks`.
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
        """The other's book becomes ours."""
        live = self._live
        bid_bytes, ask_bytes = 16 * old._words[live + 4], 16 * old._words[live + 5]  # noqa: SLF001 one of us
        self.bids[:bid_bytes] = old.bids[:bid_bytes]
        self.asks[:ask_bytes] = old.asks[:ask_bytes]
        for i in range(1, self._word_count):
            self._words[live + i] = old._words[live + i]  # noqa: SLF001 one of us
        for i in range(layout.RULES_WORD, layout.RULES_WORD + layout.RULES_WORD_COUNT):
            self._words[i] = old._words[i]  # noqa: SLF001 one of us
        self._words[live + self._status_behind] = old._words[live + self._status_behind]  # noqa: SLF001 one of us
        self._words[live] = 2


class ImageReader:
    """Copies of an image, each one whole moment of the book or nothing. All raise SegmentGone where the file was cut short under us."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.capacity = segment.spec.capacity
        self._memory = segment.memory
        self._octets = memoryview(segment.memory)
        self._words = native.words(segment.memory)
        self._side_bytes = segment.spec.capacity * layout.LEVEL_BYTES
        self._status_behind = layout.STATUS_BEHIND if segment.layout_minor >= layout.STATUS_SINCE_MINOR else 0

    def copy(self, tries: int = 16) -> ImageCopy | None:
        """The whole book; None where each try was overtaken by an edit: then ask for a checkpoint."""
        return self._copy(layout.IMAGE_WORD, 0, self.capacity, tries)

    def copy_checkpoint(self, tries: int = 16) -> ImageCopy | None:
        """The last checkpoint; None where there is none yet, or each try met its renewal."""
        if memory.load_acquire(self._words, layout.CHECKPOINT_WORD) == 0:
            self._check()
            return None
        return self._copy(layout.CHECKPOINT_WORD, 2 * self._side_bytes, self.capacity, tries)

    def peek(self, tries: int = 64) -> ImageCopy | None:
        """The words alone, without levels; None where each try met an edit."""
        return self._copy(layout.IMAGE_WORD, 0, 0, tries)

    def top(self, levels: int, tries: int = 64) -> ImageCopy | None:
        """At most the best `levels` of each side, the best last; its counts are still those of the whole book."""
        return self._copy(layout.IMAGE_WORD, 0, levels, tries)

    def rules(self, tries: int = 64) -> Rules | None:
        """The instrument's rules and the grid they are on, of one moment; None where the writer does not say, or each try met an edit."""
        at, first = layout.IMAGE_WORD, layout.RULES_WORD
        for _ in range(tries):
            before = memory.load_acquire(self._words, at)
            grid = (memory.load_relaxed(self._words, at + 10), memory.load_relaxed(self._words, at + 11))
            said = [memory.load_relaxed(self._words, first + i) for i in range(layout.RULES_WORD_COUNT)]
            memory.acquire_fence()
            if before & 1 == 0 and memory.load_relaxed(self._words, at) == before:
                if before == 0:
                    self._check()
                return Rules(*grid, *said) if before and said[0] and said[1] else None
        return None

    def version(self) -> int:
        """The version last committed, or being committed now: cheap, to see whether anything changed."""
        return memory.load_acquire(self._words, layout.IMAGE_WORD + 1)

    def writer_died_editing(self, monotonic_ns: int) -> bool:
        """Whether the image is half edited by a writer that is no more: it will never be whole again."""
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
        values = [memory.load_relaxed(words, at + i) for i in range(1, layout.IMAGE_WORD_COUNT)]
        if values[3] > self.capacity or values[4] > self.capacity:
            return None
        bids = self._best(layout.HEADER_BYTES + behind, values[3], levels)
        asks = self._best(layout.HEADER_BYTES + behind + self._side_bytes, values[4], levels)
        status = NOT_TOLD
        if self._status_behind:
            status = min(memory.load_relaxed(words, at + self._status_behind), 0xFF)
        memory.acquire_fence()
        if memory.load_relaxed(words, at) != before:
            return None
        if before == 0:  # nothing was committed yet, or zeros have taken the file's place
            self._check()
        return ImageCopy._make([before, *values, bids, asks, status])

    def _check(self) -> None:
        if memory.load_acquire(self._words, layout.SEALED) == 0 and memory.load_acquire(self._words, layout.STATE) == 0:
            raise self.segment.gone()  # see `Segment.is_gone`

    def _best(self, start: int, count: int, levels: int) -> bytes:
        first = count - levels if count > levels else 0
        return bytes(self._octets[start + first * 16 : start + count * 16])
