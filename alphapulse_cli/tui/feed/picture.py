"""What the live screen shows at one moment, as values: the feed makes them, widgets draw them, nobody changes them.

    Picture ─┬─ sets: SetPicture           a collector: alive or not, counters, latency by stage, how far behind it this reader is
             ├─ books: BookPicture         a symbol of it: top, state, rates; its Ladder while somebody looks at the symbol
             ├─ trades                     of all sets, newest first
             ├─ arbitrage: ArbitragePicture   every way to trade, net of fees; only while its screen is looked at
             └─ segments                   the files behind it all, a look a second

Prices and sizes are exact: ticks and lots with their decimals, or decimal text. Where they are compared or added across exchanges
they are Fractions. Floats are for drawing only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.apps.segments import SegmentRow
from alphapulse_cli.flow.arbitrage.candidate import Finding, Why
from alphapulse_cli.readers.items import TradeTold
from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm.histogram import Distribution

LADDER_LEVELS = 250  # a side; deeper levels are counted in `BookStatus`, not shown
MIDS = 24  # of the sparkline, one a second
MOMENTS = 900  # of a book's mid and spread, one a second
HISTORY = 120  # of a stage's percentiles, one a second
TRADES = 500

Level = tuple[int, int]  # (ticks, lots)


@dataclass(frozen=True, slots=True)
class Ladder:
    """The best levels of a book, best first. `moved`: (is_ask, ticks) -> (+1 grown or new, -1 shrunk or gone; monotonic ns of when)."""

    price_decimals: int
    size_decimals: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    moved: Mapping[tuple[bool, int], tuple[int, int]] = field(default_factory=dict)


class Watched(NamedTuple):
    """Whose ladders are wanted, and how deep: of a symbol ("" for none) in every set, or in the one of that name."""

    symbol: str = ""
    set_name: str = ""
    levels: int = LADDER_LEVELS

    def levels_of(self, set_name: str, symbol: str) -> int:
        """Of that book; 0: it is not watched."""
        return self.levels if symbol and symbol == self.symbol and self.set_name in ("", set_name) else 0


class Moment(NamedTuple):
    """A book in one second, for drawing only."""

    mid: float
    spread_bps: float


@dataclass(frozen=True, slots=True)
class BookPicture:
    """One symbol of one set. `bid` and `ask` are the best prices for comparing; None where a side is empty, or not LIVE, or not to be traded."""

    set_name: str
    status: BookStatus
    bid: Fraction | None = None
    ask: Fraction | None = None
    mids: Sequence[float] = ()  # oldest first
    last_trade: TradeTold | None = None
    ladder: Ladder | None = None  # of a watched symbol, once it is exact here
    history: Sequence[Moment | None] = ()  # of each second, oldest first; None for one in which it was not LIVE

    @property
    def key(self) -> tuple[str, str]:
        """(set, symbol): what stays when everything else changes."""
        return self.set_name, self.status.symbol


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way, in ns, over the last minutes. `is_relative`: it spans two clocks, so only its changes mean something."""

    name: str  # "exchange to received", "received to published", "received to seen here"
    is_relative: bool
    distribution: Distribution
    history: Sequence[tuple[int, int]] = ()  # (p50, p99) of each second, oldest first


@dataclass(frozen=True, slots=True)
class SetPicture:
    """One collector. `lag` is how many records this reader is behind, `missed` how many it lost, `capacity` of the ring.

    `revival` is what to do where it is not live, "" else.
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
    """One way to trade: buy at a set's best asks, sell at another's best bids. What the books do not allow to say is None.

    `found` is what the walk through both books earns if there is an opportunity, `why` what holds one back, neither: no profit.
    """

    symbol: str
    buy: tuple[str, str]  # (set, symbol)
    sell: tuple[str, str]
    currency: str  # of the profit
    note: str  # what converts, or was assumed
    ask: str = ""
    bid: str = ""
    raw_bps: Fraction | None = None  # of the best prices, before fees; None across currencies
    net_bps: Fraction | None = None  # of the best prices, after fees
    why: Why | None = None
    found: Finding | None = None
    since_ns: int = 0  # monotonic: of the picture in which the opportunity was first seen
    is_from_start: bool = False  # it was there when the looking began, and may be older


class Seen(NamedTuple):
    """An opportunity that was seen to end, as pictures saw it; monotonic ns. `is_from_start`: it may be older than it was seen."""

    symbol: str
    buy: tuple[str, str]
    sell: tuple[str, str]
    since_ns: int
    until_ns: int
    best: Finding  # the one that earned most
    is_from_start: bool


@dataclass(frozen=True, slots=True)
class ArbitragePicture:
    """Every way to trade, as the books stood when it was taken; `held_back` counts the rows of each reason."""

    rows: Sequence[ArbitrageRow] = ()
    held_back: Mapping[Why, int] = field(default_factory=dict)
    not_compared: Sequence[tuple[str, str]] = ()  # symbols whose quote currencies nobody converts
    unknown_fees: Sequence[str] = ()  # a sentence for each exchange that is left out
    seen: Sequence[Seen] = ()  # newest first


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at once. `advice` is what to do where there is nothing to show, "" else; `taken_ns` is monotonic."""

    taken_ns: int
    sets: Sequence[SetPicture] = ()
    books: Sequence[BookPicture] = ()
    trades: Sequence[TradeTold] = ()  # newest first
    segments: Sequence[SegmentRow] = ()
    advice: str = ""
    arbitrage: ArbitragePicture | None = None

    def best(self, symbol: str) -> tuple[BookPicture | None, BookPicture | None]:
        """The books with the highest bid and the lowest ask of a symbol; None where fewer than two LIVE books compete."""
        books = [book for book in self.books if book.status.symbol == symbol]
        bids = [book for book in books if book.bid is not None]
        asks = [book for book in books if book.ask is not None]
        if len(bids) < 2 or len(asks) < 2:
            return None, None
        return max(bids, key=lambda book: book.bid or 0), min(asks, key=lambda book: book.ask or 0)

    def symbols(self) -> list[str]:
        """Every symbol there is, in order."""
        return sorted({book.status.symbol for book in self.books})
