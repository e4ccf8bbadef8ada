"""Outlet: the segments of one set, to which ingest publishes; created by one writer and retired by it.

    lease ─► epoch ─► deltas, trades, counters ─► an image per book, larger ones as books grow

Opening an outlet replaces the set's former segments: readers drain the old rings to their seal and switch. `beat` must be called at
least every 250 ms by the loop that publishes, or the set counts as dead. Use it in a `with`: leaving it retires the set.

A replay opens its outlet with `replay=True`, which marks every segment, and beats with the time that it has reached in the
recording: before the first record of a later time is published, or readers see ages below 0 (which they show as 0).
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from alphapulse_cli.errors import SegmentError, StorageError, UsageError
from alphapulse_cli.flow.publish import DelayMeter
from alphapulse_cli.flow.scores import Scorekeeper
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import layout
from alphapulse_cli.shm.counters import Counter, CountersWriter, counters_spec
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import FIRST_CAPACITY, ImageWriter, book_spec
from alphapulse_cli.shm.layout import SegmentKind, State
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.ring import RingWriter
from alphapulse_cli.shm.segment import Segment, SegmentSpec
from alphapulse_cli.shm.wake import WakePage
from alphapulse_cli.wire.delta import DELTA_BYTES
from alphapulse_cli.wire.trade import TRADE_BYTES

SYMBOLS_TO_COME = 64  # symbols that can be added to an open outlet, at least: the counters file has room for them
CHECKPOINT_PAUSE_NS = 50_000_000  # shortest time between two checkpoints of one book


class Outlet:
    """Set open for writing. WriterAlive if another process writes it, StorageError if there is no room."""

    def __init__(
        self,
        directory: Directory,
        set_name: str,
        exchange: str,
        symbols: Sequence[str],
        ring_capacity: int,
        monotonic_ns: int,
        lease: Lease | None = None,
        *,
        is_hidden: bool = False,
        replay: bool = False,
    ) -> None:
        """Open the set.

        `ring_capacity` is in records; 0 = by the number of symbols (`layout.ring_records`). `lease` is one of this set that the
        caller holds and keeps; without it the outlet takes and releases its own. Readers see a hidden set's rings and counters
        after `show`. UsageError for a replay where a collector's set has the name.
        """
        self.set_name, self.exchange = set_name, exchange
        self.scores: Scorekeeper | None = None  # set before the first book is made, where scores are kept
        self.replay = replay
        self._recording_ns = 0  # last time that a replay gave
        self.directory = directory
        self._segments: list[Segment] = []
        self._images: dict[str, ImageWriter] = {}
        self._symbols = list(symbols)
        self._checkpointed_ns: dict[int, int] = {}
        self._lease = lease or Lease.acquire(directory, set_name)
        self._owns_lease = lease is None
        try:
            if replay:
                self._refuse_a_collectors_set()
            self.wake = WakePage.open(directory, set_name, create=True)
            capacity = layout.round_capacity(ring_capacity) if ring_capacity else layout.ring_records(len(symbols))
            # Allocate all of them first: if there is no room, the former writer's segments stay as they are.
            deltas = self._create(self._ring(SegmentKind.DELTAS, DELTA_BYTES, capacity))
            trades = self._create(self._ring(SegmentKind.TRADES, TRADE_BYTES, capacity))
            counters = self._create(counters_spec(set_name, exchange, self.epoch, len(symbols) + SYMBOLS_TO_COME, replay=replay))
            self._to_show = [deltas, trades, counters]
            if not is_hidden:
                self.show()
            self.deltas, self.trades = RingWriter(deltas, self.wake), RingWriter(trades, self.wake)
            self.counters = CountersWriter(counters)
            self.delays = DelayMeter(self.counters.block(), self.counters.feed_delay)
            self.forget_books_but(symbols)
        except BaseException:
            self.discard()
            raise
        self.beat(monotonic_ns)

    def show(self) -> None:
        """Make the rings and counters visible to readers; no effect the second time."""
        for segment in self._to_show:
            segment.ready()
        self._to_show = []

    @property
    def symbols(self) -> Sequence[str]:
        """Symbols of the set, in the order in which they were added."""
        return self._symbols

    @property
    def epoch(self) -> int:
        """Epoch of this writer, larger than any earlier one of the set."""
        return self._lease.epoch

    def _ring(self, kind: SegmentKind, record_bytes: int, capacity: int) -> SegmentSpec:
        return SegmentSpec(kind, self.set_name, self.exchange, self.epoch, record_bytes, capacity, replay=self.replay)

    def _refuse_a_collectors_set(self) -> None:
        """UsageError where a collector's ring has the name: programs that follow it must not meet the past in its place."""
        with suppress(SegmentError, StorageError):
            found = Segment.attach(self.directory, segment_name(SegmentKind.DELTAS, self.set_name))
            if not found.is_replay:
                raise UsageError(
                    f"{self.directory.path} holds {self.set_name} as a collector wrote it: a replay does not take its place",
                    "name a directory for the replay alone: --shm-dir DIR",
                )

    def _create(self, spec: SegmentSpec) -> Segment:
        segment = Segment.create(self.directory, spec)
        segment.set_recording(self._recording_ns)
        self._segments.append(segment)
        return segment

    def forget_books_but(self, symbols: Collection[str]) -> None:
        """Remove former writers' images of books other than `symbols`, marked REPLACED for their readers."""
        self.forget_books({symbol for symbol in self._books_there() if symbol not in symbols})

    def forget_books(self, symbols: Collection[str]) -> None:
        """Remove former writers' images of these books, marked REPLACED for their readers."""
        for symbol, name in self._books_there().items():
            if symbol in symbols:
                with suppress(SegmentError, StorageError):
                    Segment.attach(self.directory, name, writable=True).mark_replaced()
                self.directory.unlink(name)

    def _books_there(self) -> dict[str, str]:
        """Names of the set's image files by symbol."""
        parsed = {name: parse_segment_name(name) for name in self.directory.names()}
        return {found[2]: name for name, found in parsed.items() if found and found[:2] == (SegmentKind.BOOK, self.set_name)}

    def add(self, symbols: Sequence[str]) -> None:
        """Add symbols. StorageError if the counters file has no room for all of them: none is added then."""
        new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in self._symbols]
        room = self.counters.segment.spec.capacity - 1 - len(self._symbols)
        if len(new) > room:
            raise StorageError(f"{self.set_name} has room for {room} more symbols", "start the collector again with all of them")
        self._symbols += new

    def remove(self, symbols: Collection[str]) -> None:
        """Retire the images of these symbols, whose files stay readable; their counters stay."""
        for symbol in symbols:
            image = self._images.pop(symbol, None)
            if image is not None:
                self._segments.remove(image.segment)
                image.segment.retire()

    def open_image(self, instrument: Instrument) -> ImageWriter:
        """Create the empty image of a book. StorageError."""
        slot = self._symbols.index(instrument.symbol)
        name = instrument.symbol
        segment = self._create(book_spec(self.set_name, self.exchange, name, self.epoch, FIRST_CAPACITY, slot, replay=self.replay))
        segment.ready()
        image = self._images[instrument.symbol] = ImageWriter(segment)
        return image

    def grow_image(self, image: ImageWriter, levels: int) -> ImageWriter:
        """Move a book to a file with room for `levels` a side. StorageError, and then nothing changed."""
        return self._replace_image(image, levels)

    def shrink_image(self, image: ImageWriter, levels: int) -> ImageWriter:
        """Move a book to a smaller file with room for `levels` a side, at least the first capacity.

        StorageError: nothing changed.
        """
        return self._replace_image(image, max(levels, FIRST_CAPACITY))

    def _replace_image(self, image: ImageWriter, levels: int) -> ImageWriter:
        made = image.resized(levels)
        self._images[image.segment.spec.symbol] = made
        self._segments[self._segments.index(image.segment)] = made.segment
        return made

    def serve_checkpoints(self, now_ns: int) -> None:
        """Make the checkpoints that readers have requested; one load where there are no requests."""
        for slot in self.wake.take_checkpoint_requests():
            if slot >= len(self._symbols) or now_ns - self._checkpointed_ns.get(slot, 0) < CHECKPOINT_PAUSE_NS:
                continue  # an invalid slot, or too soon: the reader asks again
            image = self._images.get(self._symbols[slot])
            if image is not None:
                image.checkpoint()
                self._checkpointed_ns[slot] = now_ns
                self.counters.block(self._symbols[slot]).add(Counter.CHECKPOINTS)

    def beat(self, monotonic_ns: int, recording_ns: int = 0) -> None:
        """Store the heartbeat in all segments, and a replay's clock (ns since 1970) if given. StorageError where one was cut short."""
        if recording_ns:
            self._recording_ns = recording_ns
            for segment in self._segments:
                segment.set_recording(recording_ns)
        for segment in self._segments:
            segment.beat(monotonic_ns)

    def close(self) -> None:
        """Retire the set and release its lease, if it is the outlet's own. The files stay readable."""
        self._retire()
        self._let_go()

    def discard(self) -> None:
        """Close, and remove all its segments: the set could not be created completely."""
        names = [segment.name for segment in self._segments if segment.state is not State.BUILDING]
        self._retire()
        for name in names:  # while we hold the lease no other writer can own them
            self.directory.unlink(name)
        self._let_go()

    def _let_go(self) -> None:
        if self._owns_lease:
            self._lease.release()

    def _retire(self) -> None:
        for segment in self._segments:
            segment.retire()
            segment.close()
        self._segments.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
