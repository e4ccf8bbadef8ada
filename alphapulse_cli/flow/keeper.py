"""One instrument's book as the collector keeps it: the exact book in its shared image, and every change of it as a group in the ring.

    Snapshot, Update ─► room ─► image seqlock odd ─► Book.apply ─► image seqlock even ─► ring.publish ─► readers

The image is edited first and the ring published after, so that a reader who noted the ring's position before it copied the image
finds every later group in the ring. A message becomes one group or none at all: what changes nothing is not told.

Every message comes through here, so this too is compiled. Between `change` and `publish` of `flow.publish` the keeper decides what
the book is called from now on.
"""

import contextlib
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
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.trading_status import TradingStatus, stricter
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.image import ImageWriter
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState, Kind

SOURCE_HASH = native.source_hash()

# What the hot path names, looked up once: a member of an enum costs an attribute's lookup and, handed to the core, a conversion.
LIVE, STALE, SYNCING, HALTED = BookState.LIVE, BookState.STALE, BookState.SYNCING, BookState.HALTED
NO_REASON, BAD_CHECKSUM, UNVERIFIED = BookReason.NONE, BookReason.BAD_CHECKSUM, BookReason.UNVERIFIED
OFF_GRID, NO_ROOM = BookReason.OFF_GRID, BookReason.NO_ROOM
CHECKSUM_OK = ChecksumState.OK
DELTA, RESET = int(Kind.DELTA), int(Kind.RESET)
CHECKSUMS_OK, UPDATES_IGNORED = int(Counter.CHECKSUMS_OK), int(Counter.UPDATES_IGNORED)

CHECK_EVERY_GROUPS = _CHECK_EVERY = 1024  # and the same as a C number
CHECK_EVERY_NS = 1_000_000_000
SNAPSHOTS_DOUBTED = 5  # in a row that their own checksum refuted: then it is the checksum that nobody can make good

BookChecksum = Callable[[Instrument, BookTop], int]


class BookKeeper:
    """Keeps one book. `state` and `reason` are what every reader is told; `version` grows by one with each group.

    `instrument` is what its messages are decoded as. While the book is LIVE or STALE both are on one grid; else the next snapshot brings
    the grid that it needs. `checksum_warns`: a book whose snapshots are always refuted is LIVE all the same, UNVERIFIED.
    """

    def __init__(
        self, instrument: Instrument, outlet: Outlet, book_checksum: BookChecksum | None, *, checksum_warns: bool = False
    ) -> None:
        self.instrument = instrument
        self.announced = instrument  # on the grid that the exchange's metadata tells
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
        self._checksum_warns = checksum_warns
        self._snapshots_refuted = 0  # in a row, by their own checksum
        self._told: set[tuple[BookState, BookReason]] = set()  # of what ails it, since it was good last
        self._kept_out_text = ""
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
        """Take in a Snapshot or an Update; False if the book is not the exchange's now: `state` and `reason` say what is to be done.

        An Update of a book that is neither LIVE nor STALE is left out: its snapshot is on the way. What cannot be held in full, for want
        of a grid or of room, is not applied in part.
        """
        is_snapshot = isinstance(event, Snapshot)
        state, reason = self.state, self.reason
        was_live = state is LIVE or state is STALE
        if not (is_snapshot or was_live):
            self.counters.add(UPDATES_IGNORED)
            return True
        levels = event.levels
        if levels.kept_out:
            self._leave_out(event, receive_ns)
            return False
        publisher = self._publisher
        levels_needed = publisher.room_needed(levels, is_snapshot)
        if levels_needed and not self._make_room(levels_needed, receive_ns):
            return False
        is_new_grid = is_snapshot and self._take_grid(levels)
        is_whole = is_new_grid or self.version == 0
        changes = publisher.change(event, receive_ns, is_snapshot, is_whole)
        if is_new_grid:
            self._set_rules()
        # The verdict comes before the commit: the image never calls a book LIVE that the exchange's checksum has refuted.
        is_right = event.checksum is None or self._agrees(event)
        if not is_right:
            self._doubt(is_snapshot)
        elif is_snapshot:
            self._snapshots_refuted = 0
            self._become(LIVE, NO_REASON)
        elif reason is UNVERIFIED and event.checksum is not None:
            self._snapshots_refuted = 0
            self._become(state, NO_REASON)
        if is_whole:
            self._publish(RESET, receive_ns, False)
        elif changes:
            self._publish(DELTA, receive_ns, is_snapshot and not was_live)
        else:
            self._commit(receive_ns)
        if self.state is not state or self.reason is not reason:
            self._tell_status(receive_ns)
        if is_snapshot and publisher.is_roomy(levels.count):
            self._give_room_back(levels.count, receive_ns)
        return is_right

    def _take_grid(self, levels: Levels) -> bool:
        """A snapshot brings its grid; whether that is another than the book's. Records name it from here on."""
        book, held = self._book, self.instrument
        self.instrument = held.on_grid(levels.price_decimals, levels.size_decimals) or held
        if levels.price_decimals == book.price_decimals and levels.size_decimals == book.size_decimals:
            return False
        self._batch.set_decimals(levels.price_decimals, levels.size_decimals)
        return True

    def _leave_out(self, event: BookEvent, receive_ns: int) -> None:
        """A level that no grid holds: a gap of a good book; a book whose snapshot shows it is HALTED, and tried again later."""
        levels = event.levels
        self.counters.add(Counter.BOOK_UPDATES)
        self.counters.add(Counter.LEVELS_KEPT_OUT, levels.kept_out)
        self._kept_out_text = levels.kept_out_text
        if self.state is LIVE or self.state is STALE:
            self.set_state(SYNCING, OFF_GRID, receive_ns)
        else:
            self._halt(OFF_GRID, receive_ns)
        self.instrument = self.announced  # a grid that became too fine for the book is no reason to be without it

    def _halt(self, reason: BookReason, receive_ns: int) -> None:
        """No snapshot can be taken in, as it is now; it is tried again by and by, and whatever snapshot comes."""
        if self.state is HALTED and self.reason is not reason:
            self._become(SYNCING, reason)
        self.set_state(HALTED, reason, receive_ns)
        self.pacer.retry(reason, self._monotonic_ns)

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

    def _doubt(self, is_snapshot: bool) -> None:
        """The checksum refuted the book: a fresh snapshot is needed, or, where these are no help, it is UNVERIFIED."""
        self._snapshots_refuted += is_snapshot
        if self._snapshots_refuted < SNAPSHOTS_DOUBTED:
            self._become(SYNCING, BAD_CHECKSUM)
            return
        if self.reason is not UNVERIFIED:
            self.counters.add(Counter.UNVERIFIED)
        self._become(LIVE if self._checksum_warns else SYNCING, UNVERIFIED)
        self.pacer.retry(UNVERIFIED, self._monotonic_ns)

    @property
    def live_reason(self) -> BookReason:
        """Reason beside LIVE: UNVERIFIED or NONE."""
        return UNVERIFIED if self._snapshots_refuted >= SNAPSHOTS_DOUBTED else NO_REASON

    def _become(self, state: BookState, reason: BookReason) -> None:
        was_good, is_good = self.state is LIVE or self.state is STALE, state is LIVE or state is STALE
        if was_good and state is SYNCING:
            self.counters.add(Counter.RESYNCS)
        if was_good and not is_good:
            self.pacer.broke(self._monotonic_ns)
        elif is_good and (not was_good or self.reason is UNVERIFIED):
            self.pacer.healed(self._monotonic_ns)
        self.state, self.reason = state, reason
        self._say()

    def ailment(self) -> tuple[BookState, BookReason, str] | None:
        """State, reason and what is known of it (hostile text) where that must be told and was not since the book was good; asking tells it."""
        ails = self.state, self.reason
        if (self.state is not HALTED and self.reason not in (OFF_GRID, UNVERIFIED)) or ails in self._told:
            return None
        self._told.add(ails)
        return *ails, self._kept_out_text

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

    def tick(self, now_ns: int, monotonic_ns: int) -> bool:
        """Let time pass, about every 100 ms: a CHECK each second. True if the book is good again after an ailment that was told."""
        self._monotonic_ns = monotonic_ns
        if self.state is LIVE and monotonic_ns - self._checked_ns >= CHECK_EVERY_NS:
            self.check(now_ns)
        if not self._told or self.reason is UNVERIFIED or not self.pacer.is_calm(monotonic_ns):
            return False
        self._told.clear()
        return True

    def check(self, now_ns: int) -> None:
        """Publish a CHECK: any reader can prove its replica against it."""
        book, self._groups_since_check, self._checked_ns = self._book, 0, self._monotonic_ns
        records = self._batch.check(now_ns, self.version, book.book_hash, book.bid_count, book.ask_count, self.checksum, self.state)
        self._ring.publish(self._batch.records, records)

    def _make_room(self, levels: int, receive_ns: int) -> bool:
        """Room for so many levels a side, *before* a message is applied, so that none is ever applied in part."""
        try:
            larger = self._outlet.grow_image(self._image, levels)
        except StorageError:
            self._halt(NO_ROOM, receive_ns)
            return False
        self._move_to(larger, receive_ns)
        self.counters.add(Counter.IMAGES_GROWN)
        return True

    def _give_room_back(self, levels: int, receive_ns: int) -> None:
        """A monstrous snapshot's room, after one that needs so much less; there is enough left to grow without moving again at once."""
        with contextlib.suppress(StorageError):  # both files need room for a moment; the next snapshot may try again
            self._move_to(self._outlet.shrink_image(self._image, 2 * levels), receive_ns)
            self.counters.add(Counter.IMAGES_SHRUNK)

    def _move_to(self, image: ImageWriter, receive_ns: int) -> None:
        """The same book in another file: readers of the old one are told REPLACED and follow."""
        self._image = image
        self._edit()
        self._book.rebind(image.bids, image.asks)
        self._publisher.use_image(image)
        self._commit(receive_ns)

    def regrid(self, price_decimals: int, size_decimals: int, receive_ns: int) -> Instrument | None:
        """A grid at least this fine; a good book is rescaled exactly and readers are told RESET. None if it cannot be: nothing changed."""
        finer = self.instrument.on_grid(price_decimals, size_decimals)
        if finer is None or finer == self.instrument:
            return finer
        if self.state in (LIVE, STALE, BookState.COLD) and not self._rescale(finer, receive_ns):
            return None
        self.instrument = finer
        return finer

    def _rescale(self, finer: Instrument, receive_ns: int) -> bool:
        """Move the book to that grid; False if a level would no longer fit."""
        self._edit()
        if not self._book.rescale(finer.price_decimals, finer.size_decimals):
            self._commit(receive_ns)
            return False
        self._image.set_rules(*finer.rules)
        self._batch.set_decimals(finer.price_decimals, finer.size_decimals)
        self._batch.clear()
        if self.version == 0:
            self._commit(receive_ns)
        else:
            self._publish(RESET, receive_ns, False)
        return True

    def use_metadata(self, seen: Instrument, receive_ns: int) -> bool:
        """Take the exchange's metadata: its grid, if the book can be moved there, tick, lot and minimum size; whether `instrument` is new."""
        before = self.instrument
        self.announced = seen
        self.regrid(seen.price_decimals, seen.size_decimals, receive_ns)
        held = self.instrument
        ours = seen.on_grid(held.price_decimals, held.size_decimals)
        is_ours = ours is not None and (ours.price_decimals, ours.size_decimals) == (held.price_decimals, held.size_decimals)
        if ours is not None and is_ours and ours.rules != held.rules:
            self.instrument = held.with_rules(*ours.rules)
            if (self._book.price_decimals, self._book.size_decimals) == (held.price_decimals, held.size_decimals):
                self._edit()
                self._set_rules()
                self._commit(receive_ns)
        return self.instrument != before

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
