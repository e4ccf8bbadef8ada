"""Book keeper: one instrument's exact book in its shared image, and each change of it as a group in the ring.

    Snapshot, Update ─► room ─► image seqlock odd ─► Book.apply ─► image seqlock even ─► ring.publish ─► readers

The image is edited first and the ring published after, so that a reader who noted the ring's position before it copied the image
finds every later group in the ring. A message becomes one group, or none if it changes nothing.

Every message passes through here, so this module is compiled. Between `change` and `publish` of `flow.publish` the keeper decides
the state and reason of the book.
"""

import contextlib
from typing import TYPE_CHECKING

from alphapulse_cli import native
from alphapulse_cli.book.book import Book
from alphapulse_cli.errors import StorageError
from alphapulse_cli.exchanges.protocol import BookChecksum
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.publish import Publisher
from alphapulse_cli.flow.resync import ResyncPacer
from alphapulse_cli.market.events import BookEvent, Snapshot
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.trading_status import TradingStatus, stricter
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.image import ImageWriter
from alphapulse_cli.shm.layout import LEVEL_BYTES
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState, RecordKind

if TYPE_CHECKING:
    from alphapulse_cli.flow.witness import Witness

SOURCE_HASH = native.source_hash()

# Names of the hot path, looked up once: a member of an enum costs the look-up of an attribute and, in the core, a conversion.
LIVE, STALE, SYNCING, HALTED = BookState.LIVE, BookState.STALE, BookState.SYNCING, BookState.HALTED
NO_REASON, BAD_CHECKSUM, UNVERIFIED = BookReason.NONE, BookReason.BAD_CHECKSUM, BookReason.UNVERIFIED
OFF_GRID, NO_ROOM = BookReason.OFF_GRID, BookReason.NO_ROOM
CHECKSUM_OK = ChecksumState.OK
DELTA, RESET = int(RecordKind.DELTA), int(RecordKind.RESET)
CHECKSUMS_OK, UPDATES_IGNORED = int(Counter.CHECKSUMS_OK), int(Counter.UPDATES_IGNORED)

CHECK_EVERY_GROUPS = _CHECK_EVERY = 1024  # the second name is a C number in the compiled core
CHECK_EVERY_NS = 1_000_000_000
SNAPSHOTS_DOUBTED = 5  # snapshots in a row with a wrong checksum of their own, after which the checksum is taken to be at fault


class BookKeeper:
    """Keeper of one book. `state` and `reason` are those published to readers; `version` grows by one with each group.

    `instrument` is the one on whose grid messages are decoded. While the book is LIVE or STALE both are on one grid; otherwise the
    next snapshot brings the grid that it needs. `image` is the book's writer in shared memory (another one once the book outgrew
    it), `batch` holds the records that were published last. With `checksum_warns` a book whose snapshots never match their checksum
    is LIVE, UNVERIFIED.
    """

    def __init__(
        self,
        instrument: Instrument,
        outlet: Outlet,
        book_checksum: BookChecksum | None,
        *,
        checksum_warns: bool = False,
        witness: "Witness | None" = None,
    ) -> None:
        self.instrument = instrument
        self.announced = instrument  # on the grid of the exchange's metadata
        self.counters = outlet.counters.block(instrument.symbol)
        self.pacer = ResyncPacer()
        self.state, self.reason = BookState.COLD, BookReason.STARTING
        self.checksum = ChecksumState.NONE
        self.heard_ns = 0  # receive time of the last message that was applied, one with a wrong checksum aside
        self._witness = witness
        self._score = outlet.scores.book(instrument.symbol) if outlet.scores is not None else None
        self._was_crossed = False
        self.proved_ns = 0  # time of the last message whose checksum matched, or of the last REST answer that was compared
        self.trading_status = instrument.trading_status
        self.version = 0
        self._outlet = outlet
        self._ring = outlet.deltas
        self._book_checksum = book_checksum
        self.image = outlet.open_image(instrument)
        self._book = Book(instrument.price_decimals, instrument.size_decimals, self.image.bids, self.image.asks)
        self.batch = Batch(instrument.symbol, instrument.exchange, instrument.price_decimals, instrument.size_decimals)
        self._publisher = Publisher(self._book, self.batch, self.image, self._ring, self.counters, outlet.delays)
        self._show_state()
        self._checksum_warns = checksum_warns
        self._snapshots_refuted = 0  # snapshots in a row with a wrong checksum of their own
        self._is_snapshot_unproven = False  # whose checksum comes in a message of its own, and has not come yet
        self._reported: set[tuple[BookState, BookReason]] = set()  # ailments reported since the book was last good
        self._kept_out_text = ""
        self._groups_since_check = 0
        self._checked_ns = self._monotonic_ns = 0
        self._edit()
        self._set_rules()
        self.image.set_trading_status(self.trading_status)
        self._commit(0)
        if self._score is not None:
            self._score.changed(self.state, self.reason, self.trading_status)

    @property
    def book(self) -> Book:
        """The book, for reading only."""
        return self._book

    def apply(self, event: BookEvent, receive_ns: int) -> bool:
        """Apply a Snapshot or an Update; False if the book now differs from the exchange's, as `state` and `reason` say.

        `receive_ns` is CLOCK_REALTIME. An Update of a book that is neither LIVE nor STALE is ignored and counted: its snapshot is
        on the way. A message that fits no grid, or for which there is no room, is not applied at all.
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
        if publisher.is_crossed != self._was_crossed:
            self._cross(receive_ns)
        if is_new_grid:
            self._set_rules()
        # The checksum is compared before the commit: the image never calls a book LIVE that fails it.
        is_right = event.checksum is None or self._agrees(event.checksum, receive_ns)
        if not is_right:
            self._doubt(is_snapshot or self._is_snapshot_unproven)
        elif is_snapshot:
            self._is_snapshot_unproven = event.checksum is None and self._book_checksum is not None
            if not self._is_snapshot_unproven:
                self._snapshots_refuted = 0
            self._become(LIVE, self.live_reason)
        elif event.checksum is not None and (reason is UNVERIFIED or self._is_snapshot_unproven):
            self._snapshots_refuted, self._is_snapshot_unproven = 0, False
            self._become(state, NO_REASON if reason is UNVERIFIED else reason)
        if is_whole:
            self._publish(RESET, receive_ns, False)
        elif changes:
            self._publish(DELTA, receive_ns, is_snapshot and not was_live)
        else:
            self._commit(receive_ns)
        if self.state is not state or self.reason is not reason:
            self._publish_status(receive_ns)
        if is_right:
            self.heard_ns = receive_ns
        if is_snapshot and publisher.is_roomy(levels.count):
            self._give_room_back(levels.count, receive_ns)
        return is_right

    def _cross(self, receive_ns: int) -> None:
        """Note that the best prices cross, or no longer do."""
        self._was_crossed = not self._was_crossed
        if self._witness is not None:
            self._witness.crossed(self, self._was_crossed, receive_ns)

    def _take_grid(self, levels: Levels) -> bool:
        """Take over the grid of a snapshot, for records too; returns whether it differs from the book's."""
        book, held = self._book, self.instrument
        self.instrument = held.on_grid(levels.price_decimals, levels.size_decimals) or held
        if levels.price_decimals == book.price_decimals and levels.size_decimals == book.size_decimals:
            return False
        self.batch.set_decimals(levels.price_decimals, levels.size_decimals)
        return True

    def _leave_out(self, event: BookEvent, receive_ns: int) -> None:
        """Handle a message with a level that fits no grid.

        It is a gap for a good book; a book that is not good becomes HALTED, and is tried again later.
        """
        levels = event.levels
        self.counters.add(Counter.BOOK_UPDATES)
        self.counters.add(Counter.LEVELS_KEPT_OUT, levels.kept_out)
        self._kept_out_text = levels.kept_out_text
        if self.state is LIVE or self.state is STALE:
            self.set_state(SYNCING, OFF_GRID, receive_ns)
        else:
            self._halt(OFF_GRID, receive_ns)
        self.instrument = self.announced  # back from a refined grid, which may be the reason that a level did not fit

    def _halt(self, reason: BookReason, receive_ns: int) -> None:
        """Halt a book that no snapshot fits at present; it is retried later, and any snapshot that fits ends the halt."""
        if self.state is HALTED and self.reason is not reason:
            self._become(SYNCING, reason)
        self.set_state(HALTED, reason, receive_ns)
        self.pacer.retry(reason, self._monotonic_ns)

    def _publish(self, kind: int, receive_ns: int, resynced: bool) -> None:
        """Publish the batch as the next group, and a CHECK after every 1024th."""
        self.version += 1
        self._publisher.publish(kind, receive_ns, self.version, resynced)
        self._groups_since_check += 1
        if self._groups_since_check >= _CHECK_EVERY:
            self.check(receive_ns)

    def _edit(self) -> None:
        """Start an edit of the image, up to `_commit`."""
        self.image.begin()

    def _commit(self, receive_ns: int) -> None:
        """End an edit of the image without a group in the ring."""
        self._publisher.commit(self.version, receive_ns, 0)

    def _agrees(self, theirs: int, receive_ns: int) -> bool:
        """Whether the book after a message matches the exchange's checksum; counted."""
        if self._book_checksum is None:
            return True
        ours = self._book_checksum(self.instrument, self._book)
        if ours == theirs:
            if self.checksum is not CHECKSUM_OK:
                self._note_checksum(CHECKSUM_OK)
            self.proved_ns = receive_ns
            self.counters.add(CHECKSUMS_OK)
            return True
        self._note_checksum(ChecksumState.BAD)
        self.counters.add(Counter.CHECKSUMS_BAD)
        if self._witness is not None:
            self._witness.mismatched(self, theirs, ours, receive_ns)
        return False

    def _doubt(self, is_snapshot: bool) -> None:
        """Mark a book that failed the checksum as SYNCING; as UNVERIFIED where fresh snapshots fail it too."""
        self._snapshots_refuted += is_snapshot
        self._is_snapshot_unproven = False
        if self._snapshots_refuted < SNAPSHOTS_DOUBTED:
            self._become(SYNCING, BAD_CHECKSUM)
            return
        if self.reason is not UNVERIFIED:
            self.counters.add(Counter.UNVERIFIED)
        self._become(LIVE if self._checksum_warns else SYNCING, UNVERIFIED)
        self.pacer.retry(UNVERIFIED, self._monotonic_ns)

    @property
    def live_reason(self) -> BookReason:
        """Reason published with LIVE: UNVERIFIED or NONE."""
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
        self._show_state()

    def ailment(self) -> tuple[BookState, BookReason, str] | None:
        """Take the ailment to report: state, reason and the faulty level (hostile text).

        The result is None without an ailment, or if it was reported since the book was last good.
        """
        ails = self.state, self.reason
        if (self.state is not HALTED and self.reason not in (OFF_GRID, UNVERIFIED)) or ails in self._reported:
            return None
        self._reported.add(ails)
        return *ails, self._kept_out_text

    def _note_checksum(self, checksum: ChecksumState) -> None:
        self.checksum = checksum
        self._show_state()

    def _show_state(self) -> None:
        self._publisher.set_state(self.state, self.reason, self.checksum)

    def set_state(self, state: BookState, reason: BookReason, receive_ns: int) -> None:
        """Publish a state and reason: in the image at once, in the ring as a STATUS.

        A COLD book stays COLD until its first snapshot.
        HALTED ends only with a snapshot, so it is not overwritten here.
        """
        if self.state is BookState.COLD and state in (SYNCING, STALE):
            state = BookState.COLD
        if (state, reason) == (self.state, self.reason) or self.state is HALTED:
            return
        self._become(state, reason)
        self._edit()
        self._commit(receive_ns)
        self._publish_status(receive_ns)

    def _publish_status(self, receive_ns: int) -> None:
        records = self.batch.status(receive_ns, self.version, self.state, self.reason, self.trading_status)
        self._ring.publish(self.batch.records, records)
        if self._score is not None:
            self._score.changed(self.state, self.reason, self.trading_status)
        if self._witness is not None:
            self._witness.changed(self, receive_ns)

    def tick(self, now_ns: int, monotonic_ns: int) -> bool:
        """Let time pass, about every 100 ms: a CHECK each second. True if the book is good again after a reported ailment."""
        self._monotonic_ns = monotonic_ns
        if self.state is LIVE and monotonic_ns - self._checked_ns >= CHECK_EVERY_NS:
            self.check(now_ns)
        if not self._reported or self.reason is UNVERIFIED or not self.pacer.is_calm(monotonic_ns):
            return False
        self._reported.clear()
        return True

    def check(self, now_ns: int) -> None:
        """Publish a CHECK, against which any reader can prove its replica."""
        book, self._groups_since_check, self._checked_ns = self._book, 0, self._monotonic_ns
        records = self.batch.check(now_ns, self.version, book.book_hash, book.bid_count, book.ask_count, self.checksum, self.state)
        self._ring.publish(self.batch.records, records)

    def _make_room(self, levels: int, receive_ns: int) -> bool:
        """Make room for `levels` a side before a message is applied; False, and HALTED, if there is none."""
        try:
            larger = self._outlet.grow_image(self.image, levels)
        except StorageError:
            self._halt(NO_ROOM, receive_ns)
            return False
        self._move_to(larger, receive_ns)
        self.counters.add(Counter.IMAGES_GROWN)
        return True

    def _give_room_back(self, levels: int, receive_ns: int) -> None:
        """Shrink the image after an unusually large snapshot.

        Twice the present levels still fit, so that it need not move again soon.
        """
        with contextlib.suppress(StorageError):  # both files exist for a moment; if there is no room the next snapshot tries again
            self._move_to(self._outlet.shrink_image(self.image, 2 * levels), receive_ns)
            self.counters.add(Counter.IMAGES_SHRUNK)

    def _move_to(self, image: ImageWriter, receive_ns: int) -> None:
        """Move the book to another file: readers of the old one see REPLACED and follow."""
        self.image = image
        self._edit()
        self._book.rebind(image.bids, image.asks)
        self._publisher.use_image(image)
        self._commit(receive_ns)

    def regrid(self, price_decimals: int, size_decimals: int, receive_ns: int) -> Instrument | None:
        """Move to a grid at least this fine and return the instrument; None if that cannot be: nothing changed.

        A good book is rescaled exactly, which its readers see as a RESET.
        """
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
        self.image.set_rules(*finer.rules)
        self.batch.set_decimals(finer.price_decimals, finer.size_decimals)
        self.batch.clear()
        if self.version == 0:
            self._commit(receive_ns)
        else:
            self._publish(RESET, receive_ns, False)
        return True

    def resume(
        self,
        grid: Instrument,
        sides: tuple[bytes, bytes],
        version: int,
        trust: tuple[BookState, BookReason, ChecksumState],
        receive_ns: int,
    ) -> bool:
        """Take over a book of a checkpoint: bids and asks on that grid as an image holds them. False, and HALTED, without room.

        It is not published in the ring: readers find it in the image. ValueError for sides that cannot be right: nothing changed.
        """
        bids, asks = sides
        Book(grid.price_decimals, grid.size_decimals).load_sides(bids, asks)
        levels = max(len(bids), len(asks)) // LEVEL_BYTES
        if levels > self.image.capacity and not self._make_room(levels, receive_ns):
            return False
        self.instrument = grid
        self._edit()
        self._book.clear()
        self._book.rescale(grid.price_decimals, grid.size_decimals)
        self._book.load_sides(bids, asks)
        self.batch.set_decimals(grid.price_decimals, grid.size_decimals)
        self._set_rules()
        self.version = version
        self.state, self.reason, self.checksum = trust
        self._snapshots_refuted = SNAPSHOTS_DOUBTED if self.reason is UNVERIFIED else 0
        self._show_state()
        self._commit(receive_ns)
        self.heard_ns = receive_ns
        if self._witness is not None:
            self._witness.changed(self, receive_ns)
        return True

    def use_metadata(self, seen: Instrument, receive_ns: int) -> bool:
        """Take in metadata: the grid, if the book can move to it, tick, lot and minimum size. Whether `instrument` changed."""
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
        """Update the trading status from newer metadata, and publish the stricter of it and the whole exchange's.

        Whether it changed.
        """
        self.instrument = self.instrument.with_status(seen.trading_status, seen.status_word)
        status = stricter(seen.trading_status, of_exchange)
        if status is self.trading_status:
            return False
        self.trading_status = status
        self._edit()
        self.image.set_trading_status(status)
        self._commit(receive_ns)
        self._publish_status(receive_ns)
        return True

    def _set_rules(self) -> None:
        """Store the order rules in the image, which must be open for an edit."""
        self.image.set_rules(*self.instrument.rules)
