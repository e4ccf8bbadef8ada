"""Pictures: immutable values that the live screen shows at one time; the feed makes them, widgets draw them.

    Picture ─┬─ sets: SetPicture           a collector: alive or not, counters, latency by stage, how far behind it this reader is
             ├─ books: BookPicture         a symbol of it: top, state, rates; its BookLadder while the symbol is watched
             ├─ trades                     of all sets, newest first
             ├─ arbitrage: ArbitragePicture   every way to trade, net of fees; only while its screen is looked at
             ├─ cards                      how good each feed was; only while its screen is looked at
             └─ segments                   the files behind it all, a look a second

Prices and sizes are exact: ticks and lots with their decimals, or decimal text; Fractions where they are compared or added across
exchanges. Floats are for drawing only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.apps.segments import SegmentRow
from alphapulse_cli.flow.arbitrage.candidate import Finding, RejectReason
from alphapulse_cli.readers.feeds import FeedCard
from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm.histogram import Distribution

LADDER_LEVELS = 250  # a side; deeper levels are counted in `BookStatus`, not shown
MIDS = 24  # samples of the sparkline, one a second
MOMENTS = 900  # samples of a book's mid and spread, one a second
HISTORY = 120  # samples of a stage's percentiles, one a second
TRADES = 500

Level = tuple[int, int]  # (ticks, lots)


@dataclass(frozen=True, slots=True)
class BookLadder:
    """Best levels of a book, best first. `moved`: (is_ask, ticks) -> (+1 grown or new, -1 shrunk or gone; CLOCK_MONOTONIC ns)."""

    price_decimals: int
    size_decimals: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    moved: Mapping[tuple[bool, int], tuple[int, int]] = field(default_factory=dict)


class Watched(NamedTuple):
    """Wanted ladders and their depth: those of a symbol ("" for none) in every set, or in the set of that name."""

    symbol: str = ""
    set_name: str = ""
    levels: int = LADDER_LEVELS

    def levels_of(self, set_name: str, symbol: str) -> int:
        """Depth of that book's ladder; 0 if it is not watched."""
        return self.levels if symbol and symbol == self.symbol and self.set_name in ("", set_name) else 0


class Moment(NamedTuple):
    """Mid and spread of a book in one second, for drawing only."""

    mid: float
    spread_bps: float


@dataclass(frozen=True, slots=True)
class BookPicture:
    """Book of one set. `bid` and `ask` are its best prices for comparisons; None if empty, not LIVE, or not tradable."""

    set_name: str
    status: BookStatus
    bid: Fraction | None = None
    ask: Fraction | None = None
    mids: Sequence[float] = ()  # oldest first
    last_trade: TradeItem | None = None
    ladder: BookLadder | None = None  # only of a watched symbol, once its replica is exact
    history: Sequence[Moment | None] = ()  # one for each second, oldest first; None for a second in which the book was not LIVE

    @property
    def key(self) -> tuple[str, str]:
        """Key of the book in all pictures: (set, symbol)."""
        return self.set_name, self.status.symbol


@dataclass(frozen=True, slots=True)
class Stage:
    """Latency of one step, in ns, over the last two minutes.

    `is_relative`: it spans two clocks, so only its changes are meaningful.
    """

    name: str  # "exchange to received", "received to published", "received to seen here"
    is_relative: bool
    distribution: Distribution
    history: Sequence[tuple[int, int]] = ()  # (p50, p99) of each second, oldest first


@dataclass(frozen=True, slots=True)
class SetPicture:
    """Set of one collector. `lag` is the number of records that this reader is behind, `missed` the number it lost.

    `capacity` is that of the ring, in records; `revival` is the advice for a set that is not live, else "".
    """

    status: SetStatus
    stages: Sequence[Stage] = ()
    lag: int = 0
    missed: int = 0
    laps: int = 0
    restarts: int = 0
    capacity: int = 0
    published: int = 0
    revival: str = ""


@dataclass(frozen=True, slots=True)
class ArbitrageRow:
    """One way to trade: buy at a set's best asks, sell at another's best bids. Values that the books do not give are None.

    `found` is the walk through both books if there is an opportunity, `why` the reason that holds one back; neither means no
    profit.
    """

    symbol: str
    buy: tuple[str, str]  # (set, symbol)
    sell: tuple[str, str]
    currency: str  # currency of the profit
    note: str  # the book that converts, or the assumption
    ask: str = ""
    bid: str = ""
    raw_bps: Fraction | None = None  # return of the best prices before fees; None across currencies
    net_bps: Fraction | None = None  # return of the best prices after fees
    why: RejectReason | None = None
    found: Finding | None = None
    since_ns: int = 0  # when the opportunity was first seen, on the clock of `Picture.arbitrage_ns`
    is_from_start: bool = False  # it was there at the first look, and may be older


class Seen(NamedTuple):
    """Opportunity that has ended, as pictures saw it; times are on the clock of `Picture.arbitrage_ns`. `is_from_start`: it may be older."""

    symbol: str
    buy: tuple[str, str]
    sell: tuple[str, str]
    since_ns: int
    until_ns: int
    best: Finding  # the most profitable one
    is_from_start: bool


@dataclass(frozen=True, slots=True)
class ArbitragePicture:
    """All ways to trade at the time of a picture; `held_back` counts the rows of each reason."""

    rows: Sequence[ArbitrageRow] = ()
    held_back: Mapping[RejectReason, int] = field(default_factory=dict)
    not_compared: Sequence[tuple[str, str]] = ()  # pairs of symbols without a book that converts their quote currencies
    unknown_fees: Sequence[str] = ()  # a sentence for each exchange or replay that is left out
    seen: Sequence[Seen] = ()  # newest first
    clock_ns: int = 0  # of replays: time of the recording, ns since 1970, to which the times above refer; 0 for live sets


@dataclass(frozen=True, slots=True)
class Picture:
    """State of the live screen at one time. `advice` is a sentence if something is missing, else "".

    `taken_ns` is CLOCK_MONOTONIC.
    """

    taken_ns: int
    sets: Sequence[SetPicture] = ()
    books: Sequence[BookPicture] = ()
    trades: Sequence[TradeItem] = ()  # newest first
    segments: Sequence[SegmentRow] = ()
    advice: str = ""
    arbitrage: ArbitragePicture | None = None
    cards: Sequence[FeedCard] | None = None

    @property
    def arbitrage_ns(self) -> int:
        """Time now on the clock of opportunities: CLOCK_MONOTONIC of the picture, of replays the recording's."""
        return (self.arbitrage.clock_ns if self.arbitrage is not None else 0) or self.taken_ns

    @property
    def replays(self) -> Sequence[SetPicture]:
        """Sets that replays write: of the past."""
        return [one for one in self.sets if one.status.replay]

    def best(self, symbol: str) -> tuple[BookPicture | None, BookPicture | None]:
        """Books with the highest bid and the lowest ask of a symbol; None each if fewer than two LIVE books compete."""
        books = of_one_time([book for book in self.books if book.status.symbol == symbol])
        bids = [book for book in books if book.bid is not None]
        asks = [book for book in books if book.ask is not None]
        if len(bids) < 2 or len(asks) < 2:
            return None, None
        return max(bids, key=lambda book: book.bid or 0), min(asks, key=lambda book: book.ask or 0)

    def symbols(self) -> list[str]:
        """All symbols, sorted."""
        return sorted({book.status.symbol for book in self.books})


def of_one_time(books: Sequence[BookPicture]) -> Sequence[BookPicture]:
    """Books that can be compared with one another: without those of replays where there are live ones."""
    live = [book for book in books if not book.status.replay]
    return live or books
