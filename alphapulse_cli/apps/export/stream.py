"""Stream of events between the sources of an export and its writers: whole books, groups, trades and gaps.

In the order of publication for each market, and merged by receive time. A frame's trades come first, since a trade's change of
the book follows it; a dataset does not know its frames, there it is so for all that has the same time.

    BookEvent(is_snapshot=True)     the whole book, in `book`: at the beginning, after each gap, where the source joined it
    BookEvent(is_snapshot=False)    a group: the changes of one message of the exchange
    TradeEvent                      a trade
    GapEvent                        the book may be wrong from here on, until its next snapshot
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alphapulse_cli.book.book import Book
from alphapulse_cli.wire.delta import NO_FEED_DELAY

MOST_GAPS = 1000  # in the summary of a market; further ones are only counted
BUY, SELL = 0, 1  # a taker's side; another number is unknown


class Market(NamedTuple):
    """Market of a set: what an exported file is of."""

    set_name: str
    exchange: str
    symbol: str

    @property
    def id(self) -> str:
        """Name as in messages and file names: set:symbol."""
        return f"{self.set_name}:{self.symbol}"


class Change(NamedTuple):
    """Change of one level; 0 lots remove it."""

    ticks: int
    lots: int
    is_ask: bool
    is_new: bool


class BookEvent(NamedTuple):
    """Book after a group, or joined as a whole. `book` is the source's own, which its next event changes."""

    market: Market
    is_snapshot: bool
    changes: list[Change]  # of the group; none where the book was joined as a whole
    epoch: int
    sequence: int  # of the group's first change, as in datasets; of the last change before a book that was joined
    version: int
    timestamp_ns: int
    feed_delay_us: int | None
    resynced: bool
    book: Book

    @property
    def exchange_ns(self) -> int | None:
        """The exchange's time, exact to the microsecond; None where it gave none."""
        return None if self.feed_delay_us is None else self.timestamp_ns - self.feed_delay_us * 1000


class TradeEvent(NamedTuple):
    """Trade, with its place in the ring of trades."""

    market: Market
    epoch: int
    sequence: int
    timestamp_ns: int
    exchange_ns: int | None
    trade_id: str
    side: int
    ticks: int
    lots: int
    price_decimals: int
    size_decimals: int
    history: bool


class GapEvent(NamedTuple):
    """Begin of a time in which the book is not to be believed, with its reason in words."""

    market: Market
    timestamp_ns: int
    reason: str


Event = BookEvent | TradeEvent | GapEvent


def delay_of(stored: int) -> int | None:
    """Feed delay of a record's number; None where the exchange gave no time."""
    return None if stored == NO_FEED_DELAY else stored


@dataclass(slots=True)
class Losses:
    """Losses of the source itself: reported at the end of an export, and in its JSON."""

    damages: list[str] = field(default_factory=list)  # of files, in words
    rows_lost: int = 0  # that the capture's writer left out, by its own account
    trades_missed: Counter[str] = field(default_factory=Counter)  # by set:symbol: missed by the exchange's own numbers
    records_missed: Counter[str] = field(default_factory=Counter)  # by set: that the dataset's recorder could not read in time

    def __bool__(self) -> bool:
        return bool(self.damages or self.rows_lost or self.trades_missed.total() or self.records_missed.total())

    def as_json(self) -> dict[str, Any]:
        """Members of the JSON."""
        return {
            "damages": self.damages,
            "rows_lost": self.rows_lost,
            "trades_missed": {name: count for name, count in sorted(self.trades_missed.items()) if count},
            "records_missed": {name: count for name, count in sorted(self.records_missed.items()) if count},
        }


@dataclass(slots=True)
class Tally:
    """Count of one market's events, and its gaps: what stands in the JSON of every export."""

    market: Market
    counts: Counter[str] = field(default_factory=Counter)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0
    price_decimals: int = 0
    size_decimals: int = 0

    def take(self, event: Event) -> None:
        """Count an event."""
        self.first_ns = min(self.first_ns or event.timestamp_ns, event.timestamp_ns)
        self.last_ns = max(self.last_ns, event.timestamp_ns)
        if isinstance(event, GapEvent):
            self.counts["gaps"] += 1
            if len(self.gaps) < MOST_GAPS:
                self.gaps.append({"timestamp_ns": event.timestamp_ns, "reason": event.reason})
            return
        if isinstance(event, TradeEvent):
            self.counts["trades"] += 1
            self.counts["history_trades"] += event.history
            decimals = event.price_decimals, event.size_decimals
        else:
            self.counts["snapshots"] += event.is_snapshot
            self.counts["groups"] += bool(event.changes)
            self.counts["changes"] += len(event.changes)
            decimals = event.book.price_decimals, event.book.size_decimals
        self.price_decimals = max(self.price_decimals, decimals[0])
        self.size_decimals = max(self.size_decimals, decimals[1])
