"""One instrument's book as the collector keeps it: the exact book in its shared image, and every change of it as a group in the ring.

    Snapshot, Update ─► room ─► image seqlock odd ─► Book.apply ─► image seqlock even ─► ring.publish ─► readers

The image is edited first and the ring published after, so that a reader who noted the ring's position before it copied the image
finds every later group in the ring. A message becomes one group or none at all: what changes nothing is not told.

Every message comes through here, so this too is compiled. Between `change` and `publish` of `flow.publish` the keeper decides what
the book is called from now on.
"""

from collections.abc import Callable

from alphapulse_cli import native
from alphapulse_cli.book.book import Book
from alphapulse_cli.errors import StorageError
from alphapulse_cli.exchanges.protocol import BookTop
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.publish import Publisher
from alphapulse_cli.flow.resync import ResyncPacer
from alphapulse_cli.market.events import BookEvent, Snapshot
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trading_status import TradingStatus, stricter
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState, Kind

SOURCE_HASH = native.source_hash()

# What the hot path names, looked up once: a member of an enum costs an attribute's lookup and, handed to the core, a conversion.
LIVE, STALE, SYNCING, HALTED = BookState.LIVE, BookState.STALE, BookState.SYNCING, BookState.HALTED
NO_REASON, REFUSED, BAD_CHECKSUM = BookReason.NONE, BookReason.REFUSED, BookReason.BAD_CHECKSUM
CHECKSUM_OK = ChecksumState.OK
DELTA, RESET = int(Kind.DELTA), int(Kind.RESET)
CHECKSUMS_OK = int(Counter.CHECKSUMS_OK)

CHECK_EVERY_GROUPS = _CHECK_EVERY = 1024  # and the same as a C number
CHECK_EVERY_NS = 1_000_000_000

BookChecksum = Callable[[Instrument, BookTop], int]


class BookKeeper:
    """Keeps one book. `state` and `reason` are what every reader is told; `version` grows by one with each group."""

    def __init__(self, instrument: Instrument, outlet: Outlet, book_checksum: BookChecksum | None) -> None:
        self.instrument = instrument
        self.counters = outlet.counters.block(instrument.symbol)
        self.pacer = ResyncPacer()
        self.state, self.reason = BookState.COLD, BookReason.STARTING
        self.checksum = ChecksumState.NONE
        self.trading_status = instrument.trading_status
        self.version = 0
        self._outlet = outlet
        self._ring = outlet.deltas
        self._book_checksum = book_checksum
        self._image = outlet.open_image(instrument)
        self._book = Book(instrument.price_decimals, instrument.size_decimals, self._image.bids, self._image.asks)
        self._batch = Batch(instrument.symbol, instrument.exchange, instrument.price_decimals, instrument.size_decimals)
        self._publisher = Publisher(self._book, self._batch, self._image, self._ring, self.counters, outlet.delays)
        self._say()
        self._groups_since_check = 0
        self._checked_ns = self._monotonic_ns = 0
        self._edit()
        self._set_rules()
        self._image.set_trading_status(self.trading_status)
        self._commit(0)

    @property
    def book(self) -> Book:
        """The book itself: look, do not touch."""
        return self._book

    def apply(self, event: BookEvent, receive_ns: int) -> bool:
        """Take in a Snapshot or an Update; False if the book does not match the exchange's checksum now.

        An Update of a book that is not LIVE is left out: its snapshot is on the way. A book that cannot be given room is HALTED.
        """
        is_snapshot = isinstance(event, Snapshot)
        if self.state is HALTED and not (is_snapshot and self.reason is REFUSED):
            return True  # a refusal is over when a snapshot comes after all
        state, reason = self.state, self.reason
        was_live = self.state is LIVE or self.state is STALE
        if not (is_snapshot or was_live):
            self.counters.add(Counter.UPDATES_IGNORED)
            return True
        publisher = self._publisher
        levels_needed = publisher.room_needed(event.levels, is_snapshot)
        if levels_needed and not self._make_room(levels_needed, receive_ns):
            return True
        if is_snapshot:
            self.pacer.healed()
        is_first = self.version == 0
        changes = publisher.change(event, receive_ns, is_snapshot, is_first)
        # The verdict comes before the commit: the image never calls a book LIVE that the exchange's checksum has refuted.
        is_right = event.checksum is None or self._agrees(event)
        if not is_right:
            self._become(SYNCING, BAD_CHECKSUM)
        elif is_snapshot:
            self._become(LIVE, NO_REASON)
        if is_first:
            self._publish(RESET, receive_ns, False)
        elif changes:
            self._publish(DELTA, receive_ns, is_snapshot and not was_live)
        else:
            self._commit(receive_ns)
        if self.state is not state or self.reason is not reason:
            self._tell_status(receive_ns)
        return is_right

    def _publish(self, kind: int, receive_ns: int, resynced: bool) -> None:
        """The batch leaves as the next group, and now and then a CHECK after it."""
        self.version += 1
        self._publisher.publish(kind, receive_ns, self.version, resynced)
        self._groups_since_check += 1
        if self._groups_since_check >= _CHECK_EVERY:
            self.check(receive_ns)

    def _edit(self) -> None:
        """From here to `_commit` the image may be changed."""
        self._image.begin()

    def _commit(self, receive_ns: int) -> None:
        """The image is whole again, with nothing to tell of what is in it."""
        self._publisher.commit(self.version, receive_ns, 0)

    def _agrees(self, event: BookEvent) -> bool:
        """Compare with the exchange's checksum of the book after this message."""
        if self._book_checksum is None:
            return True
        if self._book_checksum(self.instrument, self._book) == event.checksum:
            if self.checksum is not CHECKSUM_OK:
                self._note_checksum(CHECKSUM_OK)
            self.counters.add(CHECKSUMS_OK)
            return True
        self._note_checksum(ChecksumState.BAD)
        self.counters.add(Counter.CHECKSUMS_BAD)
        return False

    def _become(self, state: BookState, reason: BookReason) -> None:
        if state is SYNCING and self.state in (LIVE, STALE):
            self.counters.add(Counter.RESYNCS)
        self.state, self.reason = state, reason
        self._say()

    def _note_checksum(self, checksum: ChecksumState) -> None:
        self.checksum = checksum
        self._say()

    def _say(self) -> None:
        self._publisher.say(self.state, self.reason, self.checksum)

    def set_state(self, state: BookState, reason: BookReason, receive_ns: int) -> None:
        """Tell every reader, in the image at once and in the ring as a STATUS. COLD books stay COLD until their first snapshot."""
        if self.state is BookState.COLD and state in (SYNCING, STALE):
            state = BookState.COLD
        if (state, reason) == (self.state, self.reason) or self.state is HALTED:
            return
        self._become(state, reason)
        self._edit()
        self._commit(receive_ns)
        self._tell_status(receive_ns)

    def _tell_status(self, receive_ns: int) -> None:
        records = self._batch.status(receive_ns, self.version, self.state, self.reason, self.trading_status)
        self._ring.publish(self._batch.records, records)

    def tick(self, now_ns: int, monotonic_ns: int) -> None:
        """Let time pass, about every 100 ms: a CHECK each second."""
        self._monotonic_ns = monotonic_ns
        if self.state is LIVE and monotonic_ns - self._checked_ns >= CHECK_EVERY_NS:
            self.check(now_ns)

    def check(self, now_ns: int) -> None:
        """Publish a CHECK: any reader can prove its replica against it."""
        book, self._groups_since_check, self._checked_ns = self._book, 0, self._monotonic_ns
        records = self._batch.check(now_ns, self.version, book.book_hash, book.bid_count, book.ask_count, self.checksum, self.state)
        self._ring.publish(self._batch.records, records)

    def _make_room(self, levels: int, receive_ns: int) -> bool:
        """Room for so many levels a side, *before* a message is applied, so that none is ever applied in part."""
        try:
            self._image = self._outlet.grow_image(self._image, levels)
        except StorageError:
            self.set_state(HALTED, BookReason.NO_ROOM, receive_ns)
            return False
        self._edit()
        self._book.rebind(self._image.bids, self._image.asks)
        self._publisher.use_image(self._image)
        self._commit(receive_ns)
        self.counters.add(Counter.IMAGES_GROWN)
        return True

    def regrid(self, price_decimals: int, size_decimals: int, receive_ns: int) -> Instrument | None:
        """A grid at least this fine: the book is rescaled exactly and readers are told RESET. None if it cannot be: HALTED."""
        finer = self.instrument.on_grid(price_decimals, size_decimals)
        if finer == self.instrument:
            return finer
        self._edit()
        if finer is None or not self._book.rescale(finer.price_decimals, finer.size_decimals):
            self._commit(receive_ns)
            self.set_state(HALTED, BookReason.OFF_GRID, receive_ns)
            return None
        self.instrument = finer
        self._set_rules()
        self._batch.set_decimals(finer.price_decimals, finer.size_decimals)
        self._batch.clear()
        if self.version == 0:
            self._commit(receive_ns)
        else:
            self._publish(RESET, receive_ns, False)
        return finer

    def use_rules(self, seen: Instrument, receive_ns: int) -> bool:
        """Take tick, lot and minimum size of newer metadata, whose grid is no finer than ours; whether they are new."""
        held = self.instrument
        ours = seen.on_grid(held.price_decimals, held.size_decimals)
        if ours is None or (ours.price_decimals, ours.size_decimals) != (held.price_decimals, held.size_decimals):
            return False  # finer than ours could become: the book is halted
        if ours.rules == held.rules:
            return False
        self.instrument = held.with_rules(*ours.rules)
        self._edit()
        self._set_rules()
        self._commit(receive_ns)
        return True

    def use_status(self, seen: Instrument, of_exchange: TradingStatus, receive_ns: int) -> bool:
        """Take the trading status of newer metadata. The stricter of that and the whole exchange's is told; whether it is another."""
        self.instrument = self.instrument.with_status(seen.trading_status, seen.status_word)
        status = stricter(seen.trading_status, of_exchange)
        if status is self.trading_status:
            return False
        self.trading_status = status
        self._edit()
        self._image.set_trading_status(status)
        self._commit(receive_ns)
        self._tell_status(receive_ns)
        return True

    def _set_rules(self) -> None:
        """The image, open for an edit, says what its readers' orders must keep to."""
        self._image.set_rules(*self.instrument.rules)
