"""Ingest: one exchange's stream becomes books, groups and trades. (frame, receive time) in, shared memory out; no socket, no clock.

    frame ─► decoder ─► events ─► BookKeeper of the instrument ─► image, ring
                          └─────► trades ─► ring
    requests of the decoder, and those that heal a wrong book ─► pending_requests() ─► the session, which has the socket

`collect` feeds it from a socket, a replay from a capture, a test from a list: the code is the same. Every frame comes through
`receive`, so this module is compiled.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from alphapulse_cli import native
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import BOOK, Decoder
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.flow.ailments import sentence
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.metadata import MetadataSchedule
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.quiet import CrossedBooks, QuietBooks
from alphapulse_cli.flow.trades import TradePublisher
from alphapulse_cli.flow.trading import TradingStatuses
from alphapulse_cli.market.events import (
    BookEvent,
    ClosingSoon,
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    InstrumentsSeen,
    OffGrid,
    Proof,
    Snapshot,
    SnapshotRefused,
    Subscribed,
    SubscriptionRefused,
    SystemStatus,
    Trade,
    TradesMissed,
    TradesRecovered,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchInstruments, Reconnect, Request
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.delta import BookReason, BookState

if TYPE_CHECKING:
    from alphapulse_cli.flow.scores import ConnectionScore
    from alphapulse_cli.flow.witness import Witness

SOURCE_HASH = native.source_hash()

FRAMES, BYTES, LAST_FRAME_NS = int(Counter.FRAMES), int(Counter.BYTES), int(Counter.LAST_FRAME_NS)
UNREADABLE_IN_A_ROW = 5  # unreadable frames after which the connection is replaced
MOST_REFUSALS = 10_000  # most refusals remembered as reported; beyond that the memory is emptied
HAS_NUMBER = re.compile(rb"[0-9]")
REGRIDS_PER_FRAME = 4  # a frame may need finer prices, then finer sizes, more than once

GAP_REASONS = {
    GapReason.SEQUENCE: BookReason.SEQUENCE_GAP,
    GapReason.CHECKSUM: BookReason.BAD_CHECKSUM,
    GapReason.UPDATE_BEFORE_SNAPSHOT: BookReason.SEQUENCE_GAP,
    GapReason.UNREADABLE: BookReason.UNREADABLE,
    GapReason.DISCONNECTED: BookReason.DISCONNECTED,
    GapReason.SEQUENCE_RESET: BookReason.SEQUENCE_GAP,
    GapReason.IGNORED: BookReason.SEQUENCE_GAP,
    GapReason.QUIET: BookReason.MUTE,
    GapReason.CROSSED: BookReason.CROSSED,
    GapReason.NOT_CAPTURED: BookReason.SEQUENCE_GAP,
}

Notice = Callable[[str, str], None]  # (level "info" | "warning", one line of text): hostile, to be printed escaped


class Ingest:
    """One exchange's decoder, its books by native symbol, and the rings in which they are published.

    Books of the symbols in `checksum_warns` stay LIVE, UNVERIFIED, where the exchange's checksums of their snapshots are always
    wrong. StorageError if there is no room for a book's image: then the outlet must be discarded.
    """

    def __init__(
        self,
        exchange: Exchange,
        decoder: Decoder,
        instruments: Sequence[Instrument],
        channels: Collection[str],
        outlet: Outlet,
        notice: Notice,
        mode: str = "",
        *,
        checksum_warns: Collection[str] = (),
        witness: "Witness | None" = None,
    ) -> None:
        self.decoder = decoder
        self._decode = decoder.receive
        self._shape: Shape | None = decoder.shape
        self.outlet = outlet
        books = instruments if BOOK in channels else ()
        if BOOK not in channels:
            outlet.forget_books({one.symbol for one in instruments})
        checksum = decoder.book_checksum
        self.keepers = {
            one.native: BookKeeper(one, outlet, checksum, checksum_warns=one.symbol in checksum_warns, witness=witness)
            for one in books
        }
        self._witness = witness
        self.heard_ns = 0  # receive time of the last frame
        self._last_frame = b""  # for a witness alone
        self._was_heartbeat = False
        self.counters = outlet.counters.block()
        facts = exchange.facts
        self._fetch_instruments = FetchInstruments(facts.metadata_paths(mode), facts.instruments_weight)
        confirm = getattr(decoder, "confirm", None)  # a plug-in's decoder may not have it
        in_band = getattr(decoder, "confirms_in_band", False)
        self._quiet = QuietBooks(self.keepers.values() if confirm else (), self._confirm, in_band=in_band)
        self._crossed = CrossedBooks.of(facts.mode(mode), self.keepers.values())
        self._symbol_counters = {one.native: outlet.counters.block(one.symbol) for one in instruments}
        self.symbols = frozenset(one.symbol for one in instruments)  # of the connection, without the dropped ones
        self._notice = notice
        self._requests: list[Request] = []
        self._unreadable_in_a_row = 0
        self._metadata = MetadataSchedule(outlet.epoch)
        self.is_fed = False  # whether this connection has carried a book or a trade
        self.frame_count = self.byte_count = 0  # received by this connection
        self.score: ConnectionScore | None = None
        self.opened_ns = 0  # time at which the connection was made, of the clock of all deadlines
        self._monotonic_ns = 0  # time of the last tick, from which deadlines that begin with a frame count
        self._reported_refusals: set[tuple[str, str]] = set()  # reported: (channel, native or message), until subscribed
        self._statuses = TradingStatuses(self.keepers, notice)
        self._unsettled: dict[str, BookKeeper] = {}  # for this frame decoded on another grid than their instrument's
        self._trades = TradePublisher(outlet, self._symbol_counters, notice)
        if witness is not None:
            witness.attached(self)

    # Inputs

    def connected(self, monotonic_ns: int) -> None:
        """Start a new connection: the decoder queues its subscriptions."""
        self._monotonic_ns = self.opened_ns = monotonic_ns
        self._unreadable_in_a_row = 0
        self.is_fed = False
        self._metadata.connected(monotonic_ns)
        self._requests.clear()
        self._statuses.start()
        if self.score is not None:
            self.score.opened()
        self.decoder.connected(monotonic_ns)

    def disconnected(self, now_ns: int) -> None:
        """Mark every book as wrong until its next snapshot: the connection is lost. `now_ns` is CLOCK_REALTIME."""
        if self.score is not None:
            self.score.closed()
        for keeper in self.keepers.values():
            keeper.pacer.disconnected()
            keeper.set_state(BookState.SYNCING, BookReason.DISCONNECTED, now_ns)

    def retire(self, now_ns: int) -> None:
        """Mark every book as RETIRED, before the segments are, when the collector stops in good order."""
        for keeper in self.keepers.values():
            keeper.set_state(BookState.STALE, BookReason.RETIRED, now_ns)

    def drop(self, symbols: Collection[str], now_ns: int) -> None:
        """Mark the books of these symbols as RETIRED, and keep them no longer; what still comes for them is left out."""
        for keeper in [each for each in self.keepers.values() if each.instrument.symbol in symbols]:
            keeper.set_state(BookState.STALE, BookReason.RETIRED, now_ns)
            del self.keepers[keeper.instrument.native]
            self._quiet.forget(keeper)
            self._crossed.forget(keeper)
        self.symbols = self.symbols.difference(symbols)

    def doubt(self, now_ns: int, monotonic_ns: int) -> None:
        """Mark LIVE books as UNCONFIRMED and request their proof: the exchange should have been heard by now."""
        self._quiet.doubt(now_ns, monotonic_ns)

    def silent(self, now_ns: int, reason: BookReason = BookReason.SILENT) -> None:
        """Mark LIVE books as STALE: nothing was heard for too long. `reason` is MUTE where pings are still answered."""
        for keeper in self.keepers.values():
            if keeper.state in (BookState.LIVE, BookState.STALE):
                keeper.set_state(BookState.STALE, reason, now_ns)

    def heard(self, now_ns: int) -> None:
        """Mark STALE books as LIVE: the exchange is heard again, and nothing was lost in between."""
        for keeper in self.keepers.values():
            if keeper.state is BookState.STALE and not self._quiet.is_mute(keeper):
                keeper.set_state(BookState.LIVE, self._quiet.reason_when_live(keeper), now_ns)

    def receive(self, frame: bytes, receive_ns: int) -> bool:
        """Take in one frame from the socket; `receive_ns` is CLOCK_REALTIME.

        Whether it was anything but an update of a good book: then the decoder is likely to have requests.
        """
        counters = self.counters
        counters.add(FRAMES)
        counters.add(BYTES, len(frame))
        self.frame_count += 1
        self.byte_count += len(frame)
        counters.set(LAST_FRAME_NS, receive_ns)
        if self._witness is not None:
            self._show_frame(self._witness, frame, receive_ns)
        self.heard_ns = receive_ns
        if self._shape is not None:
            usual = self._shape.read(frame)
            if usual is not None:  # nearly every frame
                self._unreadable_in_a_row = 0
                return not self._on_book(usual, receive_ns)
        try:
            events = self._decode(frame, receive_ns)
            if len(events) == 1 and type(events[0]) is Update:
                self._unreadable_in_a_row = 0
                return not self._on_book(events[0], receive_ns)
            events = self._on_grid(events, partial(self._decode, frame, receive_ns), receive_ns)
        except DecodeError as error:
            self._unreadable(error, receive_ns)
        else:
            self._unreadable_in_a_row = 0
            self.handle(events, receive_ns)
        if self._unsettled:
            self._settle_grids()
        return True

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> None:
        """Process the answer to a FetchSnapshot. An unreadable one changes nothing: the decoder requests another."""
        try:
            decode = partial(self._decode_snapshot, instrument, body, receive_ns)
            events = self._on_grid(decode(), decode, receive_ns)
        except DecodeError as error:
            self.counters.add(Counter.DECODE_ERRORS)
            self._notice("warning", f"{instrument.id}: unreadable snapshot: {error}")
        else:
            self.handle(events, receive_ns)
        self._settle_grids()

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> None:
        """Publish the missing trades in the answer to a FetchTrades, as history."""
        try:
            decode = partial(self._decode_trades, instrument, body, receive_ns)
            events = self._on_grid(decode(), decode, receive_ns)
        except DecodeError as error:
            self.counters.add(Counter.DECODE_ERRORS)
            self._notice("warning", f"{instrument.id}: unreadable trades: {error}")
        else:
            self.handle(events, receive_ns)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> None:
        """Compare a quiet book with the answer to a FetchProof."""
        try:
            events = self.decoder.receive_proof(self._current(instrument), body, receive_ns)
        except DecodeError as error:
            self.counters.add(Counter.DECODE_ERRORS)
            self._notice("warning", f"{instrument.id}: unreadable snapshot: {error}")
        else:
            self.handle(events, receive_ns)

    def fetch_failed(self, instrument: Instrument | None, monotonic_ns: int) -> None:
        """Note a failed FetchSnapshot; for None a failed FetchInstruments, which is repeated in a minute."""
        self.counters.add(Counter.FETCHES_FAILED)
        if instrument is None:
            self._metadata.failed(monotonic_ns)
        else:
            self.decoder.fetch_failed(self._current(instrument), monotonic_ns)

    def receive_instruments(self, body: bytes, receive_ns: int) -> None:
        """Take in the answer to a FetchInstruments, of this connection or of another one of the same set."""
        if self._monotonic_ns:  # once connected
            self._metadata.read(self._monotonic_ns)
        try:
            found = self.decoder.receive_instruments(body)
            self._on_instruments(InstrumentsSeen(found), receive_ns)
            if found:  # an empty answer does not prove that instruments were removed
                self._statuses.on_listed({each.native for each in found}, receive_ns)
        except DecodeError as error:
            self.counters.add(Counter.DECODE_ERRORS)
            self._notice("warning", f"instrument metadata not understood: {error}")
        if self._statuses.is_any_restricted():  # the restriction may end at any moment
            self._metadata.hasten(self._monotonic_ns)

    def tick(self, now_ns: int, monotonic_ns: int) -> None:
        """Let time pass; called about every 100 ms.

        `now_ns` (CLOCK_REALTIME) stamps records, `monotonic_ns` is the clock of all deadlines.
        """
        self._monotonic_ns = monotonic_ns
        events = self.decoder.tick(monotonic_ns)
        if events:
            self.handle(events, now_ns)
        if self._metadata.is_due(monotonic_ns):
            self._read_metadata()
        for keeper in self.keepers.values():
            if keeper.tick(now_ns, monotonic_ns):
                self._notice("info", f"{keeper.instrument.id}: LIVE again")
            if keeper.pacer.due(monotonic_ns):
                self.decoder.resync(keeper.instrument)
        self._quiet.tick(now_ns, monotonic_ns)
        for keeper in self._crossed.tick(monotonic_ns):
            self._on_gap(GapFound((keeper.instrument,), GapReason.CROSSED), now_ns)
            self._resync(keeper)

    def pending_requests(self) -> list[Request]:
        """Take the queued requests, in the order in which to carry them out."""
        requests = [*self._requests, *self.decoder.pending_requests()]
        self._requests.clear()
        return requests

    # Checkpoints

    def memory(self, keeper: BookKeeper, monotonic_ns: int) -> dict[str, Any]:
        """Return the facts of a book beside its levels, as values of JSON: its silence, its crossing, its trading status."""
        return {
            "quiet": self._quiet.memory(keeper, monotonic_ns),
            "crossed": self._crossed.memory(keeper, monotonic_ns),
            "trading": self._statuses.memory(keeper),
        }

    def recall(self, keeper: BookKeeper, memory: Mapping[str, Any], receive_ns: int, monotonic_ns: int) -> None:
        """Go on with a book from a `memory`, which may lack members. LookupError, TypeError or ValueError for one that cannot be right."""
        self._quiet.recall(keeper, memory.get("quiet"), monotonic_ns)
        self._crossed.recall(keeper, memory.get("crossed"), monotonic_ns)
        if "trading" in memory:
            self._statuses.recall(keeper, memory["trading"], receive_ns)

    # Events

    def _show_frame(self, witness: "Witness", frame: bytes, receive_ns: int) -> None:
        """Tell the witness of a frame that came twice, and of a clock that went back."""
        if frame == self._last_frame and not self._was_heartbeat and HAS_NUMBER.search(frame):  # pongs have no number
            witness.repeated(receive_ns)
        self._last_frame, self._was_heartbeat = frame, False
        if receive_ns < self.heard_ns:
            witness.stepped(self.heard_ns, receive_ns)

    def _decode_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        return self.decoder.receive_snapshot(self._current(instrument), body, receive_ns)

    def _decode_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        return self.decoder.receive_trades(self._current(instrument), body, receive_ns)

    def _on_grid(self, events: Sequence[Event], decode: Callable[[], Sequence[Event]], receive_ns: int) -> Sequence[Event]:
        """Events on a grid that holds all their levels: for a finer level, the grid is refined and the same bytes are decoded again.

        DecodeError. A level that fits no grid is then left out and counted, so that an event always shows what became of the book.
        """
        for tries_left in range(REGRIDS_PER_FRAME, -1, -1):
            off_grid = [event for event in events if isinstance(event, OffGrid)]
            if not off_grid:
                break
            for event in off_grid:
                self._regrid(event, receive_ns, may_refine=tries_left > 0)
            events = decode()
        return events

    def handle(self, events: Sequence[Event], receive_ns: int) -> None:
        """Apply the events of one frame, in order; its trades together."""
        trades: list[Trade] = []
        for event in events:
            match event:
                case Snapshot():
                    self.is_fed = True
                    self._on_snapshot(event, receive_ns)
                case Update():
                    self.is_fed = True
                    self._on_book(event, receive_ns)
                case Proof():
                    self._on_proof(event, receive_ns)
                case Trade():
                    self.is_fed = True
                    if event.instrument.symbol in self.symbols:
                        trades.append(event)
                case GapFound():
                    self._on_gap(event, receive_ns)
                case InstrumentsSeen():
                    self._on_instruments(event, receive_ns)
                case Subscribed():
                    self._reported_refusals.difference_update([(event.channel, native) for native in event.natives])
                    self._notice("info", f"subscribed to {event.channel} {' '.join(event.natives)}")
                case SubscriptionRefused():
                    self._on_refusal(event, receive_ns)
                case TradesMissed():
                    self._symbol_counters[event.instrument.native].add(Counter.TRADES_MISSED, event.count)
                case TradesRecovered():
                    self._symbol_counters[event.instrument.native].add(Counter.TRADES_RECOVERED, event.count)
                case UpdateIgnored():
                    self._symbol_counters[event.instrument.native].add(Counter.UPDATES_IGNORED)
                case SnapshotRefused():
                    self._symbol_counters[event.instrument.native].add(Counter.SNAPSHOTS_REFUSED)
                    self._notice("info", f"{event.instrument.id}: {event.detail}: requesting another")
                case Unanswered():
                    asked = " ".join((event.channel, *event.natives))
                    self._notice("warning", f"no answer yet to the subscription to {asked}: subscribing again")
                case Unrecognised():
                    self.counters.add(Counter.UNRECOGNISED)
                    self._notice("info", f"unknown kind of message: {event.kind}")
                case ClosingSoon():
                    self._requests.append(Reconnect(f"announced by the exchange: {event.reason}", others_too=True))
                case SystemStatus():
                    self._statuses.on_system(event, receive_ns)
                case OffGrid():
                    self._on_off_grid(event, receive_ns)
                case Heartbeat():
                    self._was_heartbeat = True  # beyond that, the session has already noted that the exchange was heard
        if trades:
            for trade in trades:
                self._look_at_grid(trade)
            self._trades.publish(trades, receive_ns)

    def _on_book(self, event: BookEvent, receive_ns: int) -> bool:
        """Apply a book event to its keeper; returns whether it succeeded."""
        keeper = self.keepers.get(event.instrument.native)
        if keeper is None or keeper.apply(event, receive_ns):
            return True
        self._on_ailing(keeper)
        return False

    def _on_ailing(self, keeper: BookKeeper) -> None:
        """Report a book that differs from the exchange's, and request what may heal it."""
        ailment, name = keeper.ailment(), keeper.instrument.id
        if ailment is not None:
            state, reason, what = ailment
            self._notice("warning", f"{name}: {sentence(state, reason, what, keeper.pacer.retry_pause_s)}")
        if keeper.reason is BookReason.OFF_GRID:
            self.decoder.use_instrument(keeper.instrument)
        if keeper.reason is BookReason.BAD_CHECKSUM:
            self._notice("warning", f"{name}: our book's checksum differs from the exchange's: resyncing")
        if keeper.state is BookState.SYNCING and keeper.reason is not BookReason.UNVERIFIED:
            self._resync(keeper)

    def _on_snapshot(self, event: Snapshot, receive_ns: int) -> None:
        keeper = self.keepers.get(event.instrument.native)
        if keeper is not None and self._quiet.refutes(keeper, event):
            self._on_gap(GapFound((keeper.instrument,), GapReason.QUIET), receive_ns)
        self._on_book(event, receive_ns)

    def _on_proof(self, proof: Proof, receive_ns: int) -> None:
        keeper = self.keepers.get(proof.instrument.native)
        if keeper is None or keeper.state not in (BookState.LIVE, BookState.STALE):
            return
        if not self._quiet.proven(keeper, proof, receive_ns, self._monotonic_ns):
            self._on_gap(GapFound((keeper.instrument,), GapReason.QUIET, "its levels differ"), receive_ns)
            self._resync(keeper)

    def _on_gap(self, gap: GapFound, receive_ns: int) -> None:
        """Mark the books of a gap as SYNCING and report it; the decoder has already requested what heals them."""
        if self._witness is not None:
            self._witness.gap(gap, receive_ns)
        if not gap.instruments:
            self.counters.add(Counter.GAPS)
        for instrument in gap.instruments:
            self._symbol_counters[instrument.native].add(Counter.GAPS)
            keeper = self.keepers.get(instrument.native)
            if keeper is not None:
                keeper.set_state(BookState.SYNCING, GAP_REASONS[gap.reason], receive_ns)
        ids = " ".join(instrument.id for instrument in gap.instruments)
        detail = f", {gap.detail}" if gap.detail else ""
        self._notice("warning", f"gap ({gap.reason.value}{detail}): resyncing {ids}")

    def _look_at_grid(self, trade: Trade) -> None:
        """Request the metadata again if a trade is on a finer grid than its instrument, since the tick size may have changed."""
        made, held = trade.instrument, self.decoder.instruments.get(trade.instrument.native)
        is_finer = held is not None and (made.price_decimals > held.price_decimals or made.size_decimals > held.size_decimals)
        if is_finer and not trade.refused:
            self._symbol_counters[made.native].add(Counter.OFF_GRID)
            self._suspect_metadata()

    def _on_off_grid(self, event: OffGrid, receive_ns: int) -> None:
        """Heal a book whose message no grid satisfied: the message is lost."""
        keeper = self.keepers.get(event.instrument.native)
        if keeper is not None and keeper.state in (BookState.LIVE, BookState.STALE):
            keeper.set_state(BookState.SYNCING, BookReason.OFF_GRID, receive_ns)
            self._resync(keeper)

    def _on_instruments(self, event: InstrumentsSeen, receive_ns: int) -> None:
        """Take in metadata. A grid only becomes finer while a book is on it; a grid that the book cannot move to is ignored."""
        for seen in event.instruments:
            keeper = self.keepers.get(seen.native)
            if keeper is None:
                continue
            if keeper.use_metadata(seen, receive_ns):
                self.decoder.use_instrument(keeper.instrument)
            self._statuses.on_instrument(keeper, seen, receive_ns)

    def _on_refusal(self, event: SubscriptionRefused, receive_ns: int) -> None:
        """Count a refused subscription and report it once.

        A final refusal makes the book HALTED until a snapshot comes; one for now leaves a LIVE book as it is.
        """
        self.counters.add(Counter.REFUSALS)
        key = event.channel, event.native or event.message  # a refusal without a symbol is reported once for each text
        if key not in self._reported_refusals:
            if len(self._reported_refusals) >= MOST_REFUSALS:
                self._reported_refusals.clear()
            self._reported_refusals.add(key)
            when = "asking again within a minute" if event.for_now else "asking again every 10 minutes"
            name = f"{event.channel} {event.native}".strip() or "a request"
            self._notice("warning", f"the exchange refused {name}: {event.message}; {when}")
        keeper = self.keepers.get(event.native)
        if keeper is None or event.channel != BOOK:
            return
        if not event.for_now:
            keeper.set_state(BookState.HALTED, BookReason.REFUSED, receive_ns)
        elif keeper.state not in (BookState.LIVE, BookState.STALE):
            keeper.set_state(keeper.state, BookReason.REFUSED, receive_ns)

    def _regrid(self, event: OffGrid, receive_ns: int, *, may_refine: bool) -> None:
        """Switch the decoder to a finer grid, or report to it that there is none.

        The grid of a book that waits for a snapshot is decided by that snapshot.
        """
        made = event.instrument
        keeper = self.keepers.get(made.native)
        self._symbol_counters[made.native].add(Counter.OFF_GRID)
        self._suspect_metadata()
        finer: Instrument | None = None
        if may_refine and not made.grid_is_final and keeper is not None:
            is_good = keeper.state in (BookState.LIVE, BookState.STALE)
            needed = event.price_decimals, event.size_decimals
            finer = keeper.regrid(*needed, receive_ns) if is_good else made.on_grid(*needed)
        self.decoder.use_instrument(finer or replace(made, grid_is_final=True))
        if keeper is not None:
            self._unsettled[made.native] = keeper

    def _settle_grids(self) -> None:
        """Return instruments to their own grids, possibly finer by now, at the end of a frame."""
        for keeper in self._unsettled.values():
            self.decoder.use_instrument(keeper.instrument)
        self._unsettled.clear()

    def _confirm(self, instrument: Instrument) -> None:
        """Request the proof of a quiet book, and its trading status: some exchanges report a halt in their metadata only."""
        self.decoder.confirm(instrument)
        if self._metadata.may_read_for_quiet(self._monotonic_ns):
            self._read_metadata()

    def _suspect_metadata(self) -> None:
        """Read the metadata again, at most once a minute: the exchange may have changed more than we saw."""
        if self._metadata.may_read(self._monotonic_ns):
            self._read_metadata()

    def _read_metadata(self) -> None:
        self._metadata.read(self._monotonic_ns)
        self._requests.append(self._fetch_instruments)

    def _unreadable(self, error: DecodeError, receive_ns: int) -> None:
        """Report an unreadable frame, and resync all books of the connection: any of them may have missed an update.

        A frame whose channel is legible and carries no books costs none of them.
        """
        self.counters.add(Counter.DECODE_ERRORS)
        self._notice("warning", f"unreadable message: {error}")
        if self._witness is not None:
            self._witness.unreadable(str(error), receive_ns)
        if not error.may_hold_books:
            return
        self._unreadable_in_a_row += 1
        if self._unreadable_in_a_row >= UNREADABLE_IN_A_ROW:
            self._unreadable_in_a_row = 0
            self._requests.append(Reconnect(f"{UNREADABLE_IN_A_ROW} unreadable messages in a row"))
            return
        for keeper in self.keepers.values():
            if keeper.state in (BookState.LIVE, BookState.STALE):
                keeper.set_state(BookState.SYNCING, BookReason.UNREADABLE, receive_ns)
                self._resync(keeper)

    def _resync(self, keeper: BookKeeper) -> None:
        keeper.pacer.want()
        if keeper.pacer.due(self._monotonic_ns):
            self.decoder.resync(keeper.instrument)

    def _current(self, instrument: Instrument) -> Instrument:
        """Instrument on its present grid, which may be finer than when the request was made."""
        keeper = self.keepers.get(instrument.native)
        return keeper.instrument if keeper is not None else instrument
