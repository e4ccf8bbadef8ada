"""Pictures of one book: its replica's state over the sampled rates, and its ladder while the book is watched.

No code here runs per record: a book is examined when a picture is made, and only if its version or state has changed.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.book.views import BASIS_POINTS, spread_bps
from alphapulse_cli.market.trading_status import allows_taking, trading_status
from alphapulse_cli.readers.items import TradeItem, text
from alphapulse_cli.readers.moments import age_ms
from alphapulse_cli.readers.status import BookStatus
from alphapulse_cli.tui.feed.picture import MIDS, MOMENTS, BookLadder, BookPicture, Level, Moment
from alphapulse_cli.wire.delta import NO_FEED_DELAY, BookReason, BookState

FLASH_NS = 600_000_000  # time for which a move is marked
MOVED_LEVELS = 128  # best levels of a side whose moves are marked

Moved = dict[tuple[bool, int], tuple[int, int]]


class Exact(NamedTuple):
    """Status of a book, and its best prices for comparisons."""

    status: BookStatus
    bid: Fraction | None = None
    ask: Fraction | None = None


class OneBook:
    """Maker of the pictures of one book of one set; it returns the same object while the book is unchanged."""

    def __init__(self, set_name: str) -> None:
        self._set_name = set_name
        self.last_trade: TradeItem | None = None
        self._mids: tuple[float, ...] = ()
        self._history: deque[Moment | None] = deque(maxlen=MOMENTS)
        self._moments: tuple[Moment | None, ...] = ()  # the history as a tuple, while the book is watched
        self._levels = 0  # depth of the last ladder
        self._made: BookPicture | None = None
        self._sample: BookStatus | None = None
        self._key: tuple[object, ...] = ()
        self._sides: tuple[Sequence[Level], Sequence[Level]] | None = None
        self._moved: Moved = {}

    def tick(self, skipped: int = 0) -> None:
        """Add a second to the sparkline and the history, which has nothing of the seconds that were skipped before it."""
        moment = None if self._made is None else _moment(self._made)
        self._history.extend([*[None] * skipped, moment])
        self._moments = tuple(self._history) if self._levels else ()
        self._key = ()
        if moment is not None:
            self._mids = (*self._mids, moment.mid)[-MIDS:]

    def begin_again(self) -> None:
        """Forget the sparkline and the history: the clock was set back."""
        self._history.clear()
        self._mids = self._moments = ()
        self._key = ()

    def picture(
        self,
        sample: BookStatus,
        replica: Reconstructor | None,
        state: tuple[BookState, BookReason],
        levels: int,
        now_ns: int,
        clock_ns: int,
    ) -> BookPicture:
        """Picture of the book now. `state` is that of the replica; the sample takes its place until the replica is whole.

        `levels` is the depth of the ladder of a watched book, which also has the history; 0 for a book that is not watched.
        `clock_ns` is the time now on the set's clock (`Segment.now_ns`), `now_ns` that of the screen, CLOCK_MONOTONIC.
        """
        if replica is not None and (replica.is_cold or not replica.version):
            replica = None
        version = sample.version if replica is None else replica.version
        trading = None if replica is None else replica.trading_status
        key = (version, state, trading, levels, self.last_trade, replica is None)
        if self._made is not None and key == self._key and sample is self._sample and not self._fade(now_ns):
            return self._made
        self._key, self._sample = key, sample
        exact = Exact(sample) if replica is None else self._exact(sample, replica, state, clock_ns)
        if levels != self._levels:
            self._levels, self._sides, self._moved = levels, None, {}
            self._moments = tuple(self._history) if levels else ()
        ladder = self._ladder(replica, levels, now_ns) if replica is not None and levels else None
        if ladder is None:
            self._sides, self._moved = None, {}
        self._made = BookPicture(self._set_name, *exact, self._mids, self.last_trade, ladder, self._moments)
        return self._made

    def _exact(self, sample: BookStatus, replica: Reconstructor, state: tuple[BookState, BookReason], clock_ns: int) -> Exact:
        """Status with the replica's best levels and the sample's rates and counts."""
        book = replica.book
        bid, ask = book.best_bid(), book.best_ask()
        prices, sizes = book.price_decimals, book.size_decimals
        spread = spread_bps(book)
        status = replace(
            sample,
            state=state[0],
            reason=state[1],
            bid="" if bid is None else text(bid[0], prices),
            bid_size="" if bid is None else text(bid[1], sizes),
            ask="" if ask is None else text(ask[0], prices),
            ask_size="" if ask is None else text(ask[1], sizes),
            spread_bps=None if spread is None else float(spread),
            bid_count=book.bid_count,
            ask_count=book.ask_count,
            version=replica.version,
            trading_status=trading_status(replica.trading_status),
            age_ms=age_ms(replica.timestamp_ns, clock_ns),
            feed_delay_us=sample.feed_delay_us if replica.feed_delay_us == NO_FEED_DELAY else replica.feed_delay_us,
        )
        if state[0] is not BookState.LIVE or not allows_taking(status.trading_status):
            return Exact(status)
        unit = 10**prices
        return Exact(status, None if bid is None else Fraction(bid[0], unit), None if ask is None else Fraction(ask[0], unit))

    def _ladder(self, replica: Reconstructor, levels: int, now_ns: int) -> BookLadder:
        """Ladder of the best levels, with the moves since the last one."""
        book = replica.book
        sides = book.bids(levels), book.asks(levels)
        if self._sides is not None:
            moved = dict(self._moved)
            for is_ask in (False, True):
                for ticks, way in moves(self._sides[is_ask], sides[is_ask], min(levels, MOVED_LEVELS), is_ask=is_ask):
                    moved[is_ask, ticks] = way, now_ns
            self._moved = {level: change for level, change in moved.items() if now_ns - change[1] < FLASH_NS}
        self._sides = sides
        return BookLadder(book.price_decimals, book.size_decimals, *sides, self._moved)

    def _fade(self, now_ns: int) -> bool:
        """Whether a mark has expired."""
        return any(now_ns - when >= FLASH_NS for _, when in self._moved.values())


def _moment(book: BookPicture) -> Moment | None:
    """Mid and spread of a book now; None if it is not LIVE or one-sided."""
    if book.bid is None or book.ask is None or not book.bid + book.ask:
        return None
    mid = (book.bid + book.ask) / 2
    return Moment(float(mid), float((book.ask - book.bid) / mid * BASIS_POINTS))


def moves(before: Sequence[Level], after: Sequence[Level], limit: int = MOVED_LEVELS, *, is_ask: bool) -> list[tuple[int, int]]:
    """Moves of one side's levels: (ticks, +1 for new or grown, -1 for gone or shrunk).

    Only the best `limit` levels are compared; a level that the limit hides has not moved.
    """
    before, after = before[:limit], after[:limit]
    old, new = dict(before), dict(after)
    made = []
    for ticks, lots in set(before) ^ set(after):
        earlier, later = old.get(ticks, 0), new.get(ticks, 0)
        if (lots == later) if later else (lots == earlier):  # a changed level is in both: count it once
            unseen = (not earlier and _beyond(before, ticks, limit, is_ask)) or (not later and _beyond(after, ticks, limit, is_ask))
            if not unseen:
                made.append((ticks, 1 if later > earlier else -1))
    return made


def _beyond(side: Sequence[Level], ticks: int, limit: int, is_ask: bool) -> bool:
    """Whether that price is beyond the last level of a side that was cut."""
    if len(side) < limit:
        return False
    worst = side[-1][0]
    return ticks > worst if is_ask else ticks < worst
