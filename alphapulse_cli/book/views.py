"""Read-only figures of a book, exact: best prices, mid, spread, depth, imbalance, and the cost of a taker's order.

All are integers in ticks and lots, or a Fraction where a division is due; nothing is rounded, and nothing is a float. A figure that
a one-sided or empty book does not have is None. Notionals and costs are in ticks * lots: divide by 10**(price_decimals +
size_decimals) for the quote currency.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.book.book import Book

BASIS_POINTS = 10_000
WALK_STEP = 32  # levels of the first slice; doubled as the walk goes deeper


class Bbo(NamedTuple):
    """Best bid and best ask with their sizes."""

    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class Walk:
    """Fill of a taker's order: `filled_lots` for `cost` (ticks * lots) from `level_count` levels.

    `worst_ticks` is the price of the last level, None without a fill.
    """

    filled_lots: int
    cost: int
    worst_ticks: int | None
    level_count: int

    @property
    def average_ticks(self) -> Fraction | None:
        """Average price in ticks; None without a fill."""
        return Fraction(self.cost, self.filled_lots) if self.filled_lots else None


def bbo(book: Book) -> Bbo | None:
    """Best bid and best ask; None unless both exist."""
    bid, ask = book.best_bid(), book.best_ask()
    return None if bid is None or ask is None else Bbo(*bid, *ask)


def mid_doubled(book: Book) -> int | None:
    """Twice the mid price in ticks: best bid + best ask, always whole."""
    best = bbo(book)
    return None if best is None else best.bid_ticks + best.ask_ticks


def mid(book: Book) -> Fraction | None:
    """Mid price in units of the quote currency."""
    doubled = mid_doubled(book)
    return None if doubled is None else Fraction(doubled, 2 * 10**book.price_decimals)


def spread_ticks(book: Book) -> int | None:
    """Best ask minus best bid; 0 in a locked book, negative in a crossed one."""
    best = bbo(book)
    return None if best is None else best.ask_ticks - best.bid_ticks


def spread_bps(book: Book) -> Fraction | None:
    """Spread in basis points of the mid; None for a mid of 0 too."""
    best = bbo(book)
    return None if best is None else spread_in_bps(best.bid_ticks, best.ask_ticks)


def spread_in_bps(bid_ticks: int, ask_ticks: int) -> Fraction | None:
    """Spread between two prices in basis points of their mid; None for a mid of 0."""
    doubled = bid_ticks + ask_ticks
    return Fraction(2 * BASIS_POINTS * (ask_ticks - bid_ticks), doubled) if doubled else None


def depth_lots(book: Book, count: int) -> tuple[int, int]:
    """Sum of sizes of the best `count` levels in lots: (bids, asks)."""
    return sum(lots for _, lots in book.bids(count)), sum(lots for _, lots in book.asks(count))


def imbalance(book: Book, count: int) -> Fraction | None:
    """Imbalance of the best `count` levels: (bid lots - ask lots) / (bid lots + ask lots).

    From -1 (asks only) to 1 (bids only); None for an empty book.
    """
    bids, asks = depth_lots(book, count)
    return Fraction(bids - asks, bids + asks) if bids + asks else None


def depth_walk(book: Book, is_ask: bool, size_lots: int | None = None, notional: int | None = None) -> Walk:
    """Fill a taker's order from the asks (`is_ask`, a buyer) or the bids, in whole lots.

    It is bounded by `size_lots`, `notional` (ticks * lots), or both. ValueError if neither is given or one is negative. A book too
    thin fills less: compare `filled_lots`.
    """
    if (size_lots is None and notional is None) or (size_lots or 0) < 0 or (notional or 0) < 0:
        raise ValueError("a depth walk needs a size or a notional, neither of them negative")
    filled = cost = visited = 0
    worst = None
    for ticks, lots in _levels(book, is_ask):
        wanted = lots if size_lots is None else min(lots, size_lots - filled)
        if notional is not None and ticks > 0:
            wanted = min(wanted, (notional - cost) // ticks)
        if wanted > 0:
            filled, cost, worst, visited = filled + wanted, cost + wanted * ticks, ticks, visited + 1
        if wanted < lots:
            break
    return Walk(filled, cost, worst, visited)


def _levels(book: Book, is_ask: bool) -> Iterator[tuple[int, int]]:
    """Levels of a side best first, read in growing slices: a walk of three levels does not list forty thousand."""
    side = book.asks if is_ask else book.bids
    seen, count = 0, WALK_STEP
    while True:
        found = side(count)
        yield from found[seen:]
        if len(found) < count:
            return
        seen, count = count, 2 * count
