"""Scheduling of checks of quiet books, since one symbol's stream can die while others are busy.

    LIVE ──no message for its bound──► LIVE, UNCONFIRMED ──a message, or a proof that agrees──► LIVE
                                              ├──a proof that differs──► gap (QUIET), healed like any other
                                              └──nothing for 10 s──► STALE, MUTE ──a message, or a snapshot──► LIVE

A book's bound is 20 times the median time between its messages: at least 10 s, and at most 30 s while another book of the
connection is heard, else 60 s. `Decoder.confirm` requests the proof from the exchange: a small REST snapshot whose number and
levels are compared (`Proof`), or a new subscription, whose snapshot is compared. Some books at a time, the quietest first:
exchanges have limits.

A feed that is late with a promised heartbeat is doubted as a whole (`QuietBooks.doubt`): all its books are checked at once.

A book that is LIVE though UNVERIFIED is checked like any other and keeps that reason: no snapshot can verify it.

Where a lost message cannot be seen at all, a book that is crossed or locked in itself for 3 s is the sign of one (`CrossedBooks`);
an exchange whose numbers may hide a loss sets a bound of its own (`Mode.crossed_s`).

No work is done at a message: every 100 ms the counters of the books' messages are compared. Times are CLOCK_MONOTONIC, handed in.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any, Self

from alphapulse_cli.exchanges.protocol import Mode
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.market.events import Proof, Snapshot
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.delta import BookReason, BookState

SECOND_NS, MS = 1_000_000_000, 1_000_000
LEAST_NS, MOST_BESIDE_NS, MOST_ALONE_NS = 10 * SECOND_NS, 30 * SECOND_NS, 60 * SECOND_NS
MEDIANS = 20
INTERVALS_KEPT = 31
PROOF_WITHIN_NS = 10 * SECOND_NS
ROUND_NS, ROUND_BOOKS = 5 * SECOND_NS, 20  # pause between two rounds of checks, and most books of one round
CROSSED_NS, LONGEST_CROSSED_NS = 3 * SECOND_NS, 60 * SECOND_NS
CHECKED = {(BookState.LIVE, reason) for reason in (BookReason.NONE, BookReason.UNCONFIRMED, BookReason.UNVERIFIED)}

Confirm = Callable[[Instrument], None]


class _Pulse:
    """Time of a book's last message, and its usual intervals."""

    __slots__ = ("asked_ns", "heard_ns", "intervals", "is_mute", "messages", "was_heard")

    def __init__(self) -> None:
        self.messages = 0
        self.was_heard = False
        self.heard_ns = 0
        self.intervals: deque[int] = deque(maxlen=INTERVALS_KEPT)
        self.asked_ns = 0  # time at which its check was requested; 0 = not being checked
        self.is_mute = False  # the check had no answer, and the book was made STALE for that

    def hear(self, messages: int, now_ns: int) -> None:
        """Note that the count of messages is now `messages`."""
        if not self.asked_ns and self.was_heard:  # a message caused by a check is not a usual interval
            self.intervals.append(now_ns - self.heard_ns)
        self.messages, self.was_heard = messages, True
        self.rest(now_ns)

    def rest(self, now_ns: int) -> None:
        """Restart the wait."""
        self.heard_ns, self.asked_ns, self.is_mute = now_ns, 0, False

    def bound_ns(self, most_ns: int) -> int:
        """Longest time that the book may be quiet, in nanoseconds, `most_ns` at most."""
        usual_ns = MEDIANS * int(median(self.intervals)) if self.intervals else 0
        return min(max(LEAST_NS, usual_ns), most_ns)


class QuietBooks:
    """Watch over all books of one connection. `confirm` is the decoder's; `in_band` says whether it leads to a Snapshot."""

    def __init__(self, keepers: Iterable[BookKeeper], confirm: Confirm, *, in_band: bool) -> None:
        self._pulses = {keeper: _Pulse() for keeper in keepers}
        self._confirm = confirm
        self._in_band = in_band
        self._round_ns = 0

    def is_mute(self, keeper: BookKeeper) -> bool:
        """Whether the book is STALE because its check had no answer: then messages of other books do not make it LIVE."""
        pulse = self._pulses.get(keeper)
        return pulse is not None and pulse.is_mute

    def reason_when_live(self, keeper: BookKeeper) -> BookReason:
        """Reason of a STALE book that becomes LIVE without a message of its own: UNCONFIRMED while it is being checked."""
        pulse = self._pulses.get(keeper)
        is_asked = pulse is not None and pulse.asked_ns and keeper.live_reason is BookReason.NONE
        return BookReason.UNCONFIRMED if is_asked else keeper.live_reason

    def tick(self, now_ns: int, monotonic_ns: int) -> None:
        """Check each book, about every 100 ms; `now_ns` (CLOCK_REALTIME) stamps records."""
        silent: list[tuple[int, BookKeeper]] = []
        newest_ns = 0
        for keeper, pulse in self._pulses.items():
            messages = keeper.counters.get(Counter.BOOK_UPDATES)
            if messages != pulse.messages:
                self._heard(keeper, pulse, messages, now_ns, monotonic_ns)
            elif keeper.state is BookState.STALE and not pulse.is_mute:
                pass  # STALE with the whole feed, which pongs alone may make LIVE again: its own silence goes on counting
            elif (keeper.state, keeper.reason) not in CHECKED and keeper.state is not BookState.STALE:
                pulse.rest(monotonic_ns)
            elif monotonic_ns - pulse.heard_ns >= LEAST_NS:
                silent.append((pulse.heard_ns, keeper))
            newest_ns = max(newest_ns, pulse.heard_ns)
        if silent:
            beside = monotonic_ns - newest_ns < LEAST_NS
            self._check(silent, MOST_BESIDE_NS if beside else MOST_ALONE_NS, now_ns, monotonic_ns)

    def _heard(self, keeper: BookKeeper, pulse: _Pulse, messages: int, now_ns: int, monotonic_ns: int) -> None:
        is_doubted = pulse.is_mute or (keeper.state is BookState.LIVE and keeper.reason is BookReason.UNCONFIRMED)
        pulse.hear(messages, monotonic_ns)
        if is_doubted and keeper.state in (BookState.LIVE, BookState.STALE):
            keeper.set_state(BookState.LIVE, keeper.live_reason, now_ns)

    def _check(self, silent: list[tuple[int, BookKeeper]], most_ns: int, now_ns: int, monotonic_ns: int) -> None:
        may_ask = ROUND_BOOKS if monotonic_ns - self._round_ns >= ROUND_NS else 0
        for heard_ns, keeper in sorted(silent, key=_first):
            pulse = self._pulses[keeper]
            if pulse.asked_ns and not pulse.is_mute and monotonic_ns - pulse.asked_ns >= PROOF_WITHIN_NS:
                pulse.is_mute = True
                keeper.set_state(BookState.STALE, BookReason.MUTE, now_ns)
            since_ns = pulse.asked_ns or heard_ns
            if not may_ask or monotonic_ns - since_ns < pulse.bound_ns(most_ns):
                continue
            may_ask -= 1
            self._round_ns = pulse.asked_ns = monotonic_ns
            if not pulse.is_mute:
                _call_unconfirmed(keeper, now_ns)
            self._confirm(keeper.instrument)

    def doubt(self, now_ns: int, monotonic_ns: int) -> None:
        """Check every LIVE book at once, since the whole feed is silent.

        Where they are more than one round's, none is checked: they become STALE when the silence has lasted.
        """
        live = [keeper for keeper, pulse in self._pulses.items() if (keeper.state, keeper.reason) in CHECKED and not pulse.asked_ns]
        if len(live) > ROUND_BOOKS:
            return
        for keeper in live:
            self._round_ns = self._pulses[keeper].asked_ns = monotonic_ns
            _call_unconfirmed(keeper, now_ns)
            self._confirm(keeper.instrument)

    def forget(self, keeper: BookKeeper) -> None:
        """Watch this book no longer."""
        self._pulses.pop(keeper, None)

    def memory(self, keeper: BookKeeper, monotonic_ns: int) -> list[Any] | None:
        """Silence of a book so far, as values of JSON, for a process that goes on with it; None for a book that is not watched.

        In ns before now the last message and the request of its check (0: none), whether that is without an answer, whether a message
        has come that was not looked at yet, and the usual intervals in ms.
        """
        pulse = self._pulses.get(keeper)
        if pulse is None:
            return None
        asked_ns = monotonic_ns - pulse.asked_ns if pulse.asked_ns else 0
        is_new = keeper.counters.get(Counter.BOOK_UPDATES) != pulse.messages
        return [
            *(monotonic_ns - pulse.heard_ns, asked_ns, pulse.is_mute, is_new, pulse.was_heard),
            [each // MS for each in pulse.intervals],
        ]

    def recall(self, keeper: BookKeeper, memory: Sequence[Any] | None, monotonic_ns: int) -> None:
        """Go on with a book from a `memory`; without one its silence begins now. LookupError, TypeError or ValueError for a wrong one."""
        pulse = self._pulses.get(keeper)
        if pulse is None:
            return
        pulse.messages = keeper.counters.get(Counter.BOOK_UPDATES)
        pulse.rest(monotonic_ns)
        if memory is None:
            return
        heard_ns, asked_ns, is_mute, is_new, was_heard, intervals = memory
        pulse.heard_ns = monotonic_ns - int(heard_ns)
        pulse.asked_ns = monotonic_ns - int(asked_ns) if asked_ns else 0
        pulse.is_mute, pulse.was_heard = bool(is_mute), bool(was_heard)
        pulse.messages -= bool(is_new)
        pulse.intervals.extend(int(each) * MS for each in intervals)

    def refutes(self, keeper: BookKeeper, event: Snapshot) -> bool:
        """Whether a snapshot that is about to be applied shows that a doubted book has missed a message."""
        is_doubted = keeper.reason is BookReason.UNCONFIRMED or self.is_mute(keeper)
        return self._in_band and is_doubted and differs(keeper, event.levels, None)

    def proven(self, keeper: BookKeeper, proof: Proof, now_ns: int, monotonic_ns: int) -> bool:
        """Compare the book with a Proof; if they agree, its check ends. Returns whether they agree."""
        if differs(keeper, proof.levels, proof.depth):
            return False
        keeper.proved_ns = now_ns
        pulse = self._pulses[keeper]
        if pulse.is_mute or keeper.reason is BookReason.UNCONFIRMED:
            keeper.set_state(BookState.LIVE, keeper.live_reason, now_ns)
        pulse.rest(monotonic_ns)
        return True


def differs(keeper: BookKeeper, levels: Levels, depth: int | None) -> bool:
    """Whether the best `depth` levels a side (None: all) differ from these.

    False on another grid, where they cannot be compared.
    """
    book = keeper.book
    if (book.price_decimals, book.size_decimals) != (levels.price_decimals, levels.size_decimals):
        return False
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for ticks, lots, is_ask in levels:
        sides[is_ask][ticks] = lots
    bids, asks = (
        sorted(((ticks, lots) for ticks, lots in side.items() if lots), reverse=not is_ask) for is_ask, side in enumerate(sides)
    )
    return bids[:depth] != list(book.bids(depth)) or asks[:depth] != list(book.asks(depth))


def _first(pair: tuple[int, BookKeeper]) -> int:
    return pair[0]


def _call_unconfirmed(keeper: BookKeeper, now_ns: int) -> None:
    if keeper.reason is not BookReason.UNVERIFIED:
        keeper.set_state(BookState.LIVE, BookReason.UNCONFIRMED, now_ns)


class _Crossing:
    """Time since which one book is crossed, and how long it may be."""

    __slots__ = ("bound_ns", "since_ns")

    def __init__(self, bound_ns: int) -> None:
        self.since_ns = 0  # 0 = not crossed, or not LIVE
        self.bound_ns = bound_ns


class CrossedBooks:
    """Timer of crossed books, whose best bid is at or above their best ask.

    A book that a fresh snapshot did not uncross, as in an auction, is so at the exchange: its bound doubles each time, up to a
    minute.
    """

    def __init__(self, keepers: Iterable[BookKeeper], bound_ns: int = CROSSED_NS) -> None:
        self._bound_ns = bound_ns
        self._crossings = {keeper: _Crossing(bound_ns) for keeper in keepers}

    @classmethod
    def of(cls, mode: Mode, keepers: Iterable[BookKeeper]) -> Self:
        """Watch over these books of a feed, or over none where a lost message always shows."""
        bound_ns = int(mode.crossed_s * SECOND_NS) or CROSSED_NS
        return cls(keepers if mode.crossed_s or not mode.shows_loss else (), bound_ns)

    def forget(self, keeper: BookKeeper) -> None:
        """Watch this book no longer."""
        self._crossings.pop(keeper, None)

    def memory(self, keeper: BookKeeper, monotonic_ns: int) -> list[int] | None:
        """Time for which a book has been crossed and its bound, in ns, for a process that goes on with it; None if it is not crossed."""
        crossing = self._crossings.get(keeper)
        return [monotonic_ns - crossing.since_ns, crossing.bound_ns] if crossing is not None and crossing.since_ns else None

    def recall(self, keeper: BookKeeper, memory: Sequence[Any] | None, monotonic_ns: int) -> None:
        """Go on with a book from a `memory`. TypeError or ValueError for a wrong one."""
        crossing = self._crossings.get(keeper)
        if crossing is not None and memory is not None:
            since_ns, bound_ns = memory
            crossing.since_ns, crossing.bound_ns = monotonic_ns - int(since_ns), int(bound_ns)

    def tick(self, monotonic_ns: int) -> Sequence[BookKeeper]:
        """Books that were LIVE and crossed or locked at every look for their bound; each is returned once."""
        changed: list[BookKeeper] = []
        for keeper, crossing in self._crossings.items():
            if keeper.state is not BookState.LIVE:
                crossing.since_ns = 0
            elif not _is_crossed(keeper):
                crossing.since_ns, crossing.bound_ns = 0, self._bound_ns
            elif not crossing.since_ns:
                crossing.since_ns = monotonic_ns
            elif monotonic_ns - crossing.since_ns >= crossing.bound_ns:
                crossing.since_ns, crossing.bound_ns = 0, min(2 * crossing.bound_ns, LONGEST_CROSSED_NS)
                changed.append(keeper)
        return changed


def _is_crossed(keeper: BookKeeper) -> bool:
    bids, asks = keeper.book.bids(1), keeper.book.asks(1)
    return bool(bids and asks and bids[0][0] >= asks[0][0])
