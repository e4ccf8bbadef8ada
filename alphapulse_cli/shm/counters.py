"""Table of a collector's counters, from which columns, metrics and the reference page derive, and the file that holds them.

A counters file is a segment of kind COUNTERS: `capacity` blocks, then the histograms. Block 0 is the exchange's, each other one a
symbol's:

      0  name, 16 octets, NUL-padded: "" for the exchange, "BTC-USD"; written before `used`
     16  used, u64: 1 once the block is in use
     64  the counters, i64 each, in the order of `Counter`

One process adds, any process reads. Each word is read whole, but two words may be of different moments. The blocks are separate: an
event of a symbol is not added to the exchange's block; `CountersReader.total` adds them up.
"""

from collections.abc import Sequence
from enum import IntEnum, unique
from typing import Any

from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm import layout
from alphapulse_cli.shm.block import BLOCK_BYTES, BLOCK_HEAD_WORDS, USED_WORD, CounterBlock
from alphapulse_cli.shm.figure import Figure
from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Distribution, Histogram
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.mapping import Words
from alphapulse_cli.shm.segment import Segment, SegmentSpec


@unique
class Counter(Figure):
    """Counters by their place in a block. All only grow, except the last values of `LAST_VALUES`."""

    FRAMES = "frames", "received from the exchange"
    BYTES = "bytes", "of those frames"
    BOOK_UPDATES = "updates", "snapshots and updates of books, as the exchange sent them"
    GROUPS = "groups", "published for books: one version each"
    DELTAS = "records", "published into the delta ring"
    CHANGES = "changes", "of levels, in those records"
    TRADES = "trades", "published into the trade ring"
    GAPS = "gaps", "in the exchange's sequence: messages missed upstream"
    RESYNCS = "resyncs", "of a book with the exchange, begun"
    CHECKSUMS_OK = "checks", "of our book against the exchange's checksum that passed"
    CHECKSUMS_BAD = "checks", "of our book against the exchange's checksum that failed"
    DECODE_ERRORS = "frames", "that could not be understood and were dropped"
    UNRECOGNISED = "frames", "of a type that we do not know"
    LEVELS_KEPT_OUT = "levels", "outside i64 ticks or 62-bit lots: not in the book"
    TRADES_REFUSED = "trades", "that do not fit a record, such as an over-long id, or at a price of 0"
    TRADES_MISSED = "trades", "missed upstream, by the exchange's own count"
    OFF_GRID = "numbers", "finer than the instrument's decimals"
    CROSSED = "updates", "after which the best bid was at or above the best ask"
    RECONNECTS = "connections", "made in place of one that ended"
    IMAGES_GROWN = "images", "moved to a larger file"
    RESETS = "groups", "published as RESET: first snapshots, new decimals, groups too big for the ring"
    CHECKPOINTS = "checkpoints", "of images made for readers"
    UPDATES_IGNORED = "updates", "left out: their book awaits its snapshot, or already contains them"
    REFUSALS = "refusals", "of subscriptions, by the exchange"
    FETCHES_FAILED = "requests", "for snapshots or metadata that failed"
    LAST_FRAME_NS = "ns", "CLOCK_REALTIME of the last frame"
    FEED_DELAY_US = "us", "receive time minus the exchange's, of the last message that carried one; may be negative"
    SNAPSHOTS_REFUSED = "snapshots", "fetched that did not fit the stream: fetched again, nothing was lost"
    TRADES_RECOVERED = "trades", "among those missed that arrived later, as history"
    UNVERIFIED = "books", "shown as unverified: the checksums of their snapshots were repeatedly wrong"
    IMAGES_SHRUNK = "images", "moved to a smaller file, after an unusually large snapshot"
    WAIT_UNTIL_NS = "ns", "CLOCK_REALTIME of the end of the pause that the exchange asked for (Retry-After); 0 = none"
    CONNECTIONS = "connections", "among which the set's symbols are divided"
    CONNECTIONS_OPEN = "connections", "open now, of those"
    CAPTURE_STATE = "code", "of the capture: 0 none, 1 written, 2 stopped for want of room, 3 stopped by a failing disk"
    CAPTURE_ROWS = "rows", "written to the capture"
    CAPTURE_BYTES = "bytes", "of the capture's files, compressed, written by this collector"
    CAPTURE_ROWS_LOST = "rows", "of the capture that were not written: the disk was full, too slow or failing"


LAST_VALUES = frozenset(
    {
        Counter.LAST_FRAME_NS,
        Counter.FEED_DELAY_US,
        Counter.WAIT_UNTIL_NS,
        Counter.CONNECTIONS,
        Counter.CONNECTIONS_OPEN,
        Counter.CAPTURE_STATE,
    }
)  # every other counter is a sum

_SIGN = 1 << 63
LABELS = tuple(c.label for c in Counter)


@unique
class CaptureState(IntEnum):
    """State of a collector's capture, as CAPTURE_STATE tells it. Readers take a code that they do not know for FAILING."""

    NONE = 0  # also where the writer is older than captures
    WRITING = 1
    NO_ROOM = 2  # stopped until the disk has room again
    FAILING = 3  # stopped: the disk or the folder refuses


HISTOGRAMS = (
    ("publish_latency_ns", "from the receipt of a frame to the publication of its records"),
    ("feed_delay_ns", "our receive time minus the exchange's time"),
)


def counters_spec(set_name: str, exchange: str, epoch: int, symbol_count: int, *, replay: bool = False) -> SegmentSpec:
    """Spec of a set's counters segment, with a block for the exchange and for each of `symbol_count` symbols."""
    capacity = layout.round_capacity(symbol_count + 1)
    return SegmentSpec(SegmentKind.COUNTERS, set_name, exchange, epoch, BLOCK_BYTES, capacity, replay=replay)


class CountersWriter:
    """Single writer of a counters file. `publish_latency` and `feed_delay` are its histograms, in nanoseconds."""

    def __init__(self, segment: Segment) -> None:
        assert segment.writable
        self.segment = segment
        self.publish_latency, self.feed_delay = _histograms(segment)
        self._blocks: dict[str, CounterBlock] = {}
        self.block("")

    def block(self, symbol: str = "") -> "CounterBlock":
        """Counters of a symbol, "" for the exchange's own; the same object at each call.

        StorageError where the file has no block left.
        """
        found = self._blocks.get(symbol)
        if found is not None:
            return found
        spec = self.segment.spec
        if len(self._blocks) == spec.capacity:
            raise StorageError(f"{spec.name} is full: it has room for {spec.capacity} counter blocks")
        start = layout.HEADER_BYTES + len(self._blocks) * spec.record_bytes
        octets = symbol.encode("ascii")
        assert len(octets) <= layout.NAME_BYTES
        self.segment.memory[start : start + len(octets)] = octets
        made = self._blocks[symbol] = CounterBlock(self.segment.memory, start)
        return made


class CountersReader:
    """Reader of a counters file, in any process."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._words = Words(segment.memory)
        self._publish_latency, self._feed_delay = _histograms(segment)
        self._places: dict[str, int] = {}

    def of_symbol(self, symbol: str, wanted: Sequence[Counter]) -> list[int] | None:
        """Values of some counters of a symbol ("" for the exchange); None if it has no block, or one without them. SegmentGone."""
        place = self._places.get(symbol) or self._place(symbol)
        held = self.segment.spec.record_bytes // 8 - BLOCK_HEAD_WORDS
        if place is None or any(one >= held for one in wanted):
            return None
        self._places[symbol] = place  # a block stays where it is
        found = [_signed(self._words.load_relaxed(place + one)) for one in wanted]
        self.segment.require_whole()
        return found

    def _place(self, symbol: str) -> int | None:
        """Word of a symbol's first counter; None if it has no block."""
        spec, octets = self.segment.spec, symbol.encode("ascii", "replace")
        for start in range(layout.HEADER_BYTES, layout.HEADER_BYTES + spec.capacity * spec.record_bytes, spec.record_bytes):
            if self._words.load_acquire(start // 8 + USED_WORD) != 1:
                return None
            if bytes(self.segment.memory[start : start + layout.NAME_BYTES]).rstrip(b"\0") == octets:
                return start // 8 + BLOCK_HEAD_WORDS
        return None

    def values(self) -> dict[str, list[int]]:
        """Values by symbol ("" for the exchange), in the order of Counter. SegmentGone where the file was cut short.

        A counter that the writer is too old to know is 0.
        """
        spec = self.segment.spec
        found: dict[str, list[int]] = {}
        held = min(len(Counter), spec.record_bytes // 8 - BLOCK_HEAD_WORDS)  # a writer of another minor layout may have fewer
        lacking = [0] * (len(Counter) - held)
        for i in range(spec.capacity):
            start = layout.HEADER_BYTES + i * spec.record_bytes
            if self._words.load_acquire(start // 8 + USED_WORD) != 1:
                break
            name = bytes(self.segment.memory[start : start + layout.NAME_BYTES]).rstrip(b"\0").decode("ascii", "backslashreplace")
            first = start // 8 + BLOCK_HEAD_WORDS
            words = map(self._words.load_relaxed, range(first, first + held))
            found[name] = [word if word < _SIGN else word - 2 * _SIGN for word in words] + lacking
        self.segment.require_whole()
        return found

    def blocks(self) -> dict[str, dict[str, int]]:
        """Values by symbol ("" for the exchange), then by counter label. SegmentGone where the file was cut short."""
        held = self.segment.spec.record_bytes // 8 - BLOCK_HEAD_WORDS
        return {name: dict(zip(LABELS[:held], values, strict=False)) for name, values in self.values().items()}

    def total(self) -> dict[str, int]:
        """Values by counter label, added up over the exchange and all symbols; for last values the exchange's own."""
        blocks = self.blocks()
        own = blocks.get("", {})
        return {
            c.label: own.get(c.label, 0) if c in LAST_VALUES else sum(block.get(c.label, 0) for block in blocks.values())
            for c in Counter
        }

    def histograms(self) -> dict[str, Distribution]:
        """Present contents of the histograms, by their names in HISTOGRAMS."""
        read = (self._publish_latency.read(), self._feed_delay.read())
        return {name: held for (name, _), held in zip(HISTOGRAMS, read, strict=True)}


def _histograms(segment: Segment) -> tuple[Histogram, Histogram]:
    spec = segment.spec
    start = layout.HEADER_BYTES + spec.capacity * spec.record_bytes
    view: Any = memoryview(segment.memory)
    middle = start + HISTOGRAM_BYTES
    return Histogram(view[start:middle]), Histogram(view[middle : middle + HISTOGRAM_BYTES])


def _signed(word: int) -> int:
    return word if word < _SIGN else word - 2 * _SIGN
