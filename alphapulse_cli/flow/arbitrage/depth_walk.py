"""Buy at one book's asks and sell at another's bids: the size that earns most, to the last unit, and every level it takes.

    asks of A   ticks, lots ──► matched with ──► bids of B      pieces (ask ticks, bid ticks, lots), best first on both sides
                                   │
                 marginal net = bid * sell_weight - ask * buy_weight      per lot, an integer; it never grows along the walk

The weights hold all that multiplies a price: grid, taker fee (paid on each leg's notional in its quote currency), rate to the
currency in which the profit is counted. The net of a size is thus concave. Rules, as the tests number them:
  W1  Nothing is walked unless the best prices cross net of fees.
  W2  An order's size is a whole multiple of both lot sizes (their least common multiple), and no less than both minimum sizes.
  W3  The best multiple is the one below or the one above the size q at which the marginal net ends being positive; if q is below the
      minimum it is the minimum, if that still earns. Of sizes that earn the same, the smallest.
  W4  Caps (a size, a notional, what the best level of a conversion book takes) bound the size before it is rounded down to W2.
  W5  No more than MOST_PIECES are walked: books that cross so deep are two different things of one name. `end` says so.
Prices must not be negative, as no exchange's are. Integers decide; a Fraction shows an average.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from fractions import Fraction

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, ZERO, Exact
from alphapulse_cli.flow.arbitrage.terms import Terms

FIRST_LOOK, LOOK_GROWTH = 8, 4  # levels read of a side at first, and how many times more when they are used up
MOST_PIECES = 512


@unique
class End(StrEnum):
    """What ended a walk."""

    NO_PROFIT = "the next lots earn nothing net of fees"
    NO_DEPTH = "one of the sides has no more levels"
    CAPPED = "the size, notional or conversion limit"
    TOO_DEEP = "too many levels cross to be true"


@dataclass(frozen=True, slots=True)
class DepthWalk:
    """The size that earns most: `fills` of (ask ticks, bid ticks, lots), lots and `size_lots` in 10**-terms.size_decimals.

    `net_units` are in 10**-terms.money_decimals of the settlement currency. `asks` and `bids` are the levels that were looked at, on
    their books' own grids, best first; the last of them may not be taken.
    """

    terms: Terms
    size_lots: int
    net_units: int
    fills: tuple[tuple[int, int, int], ...]
    asks: tuple[tuple[int, int], ...]
    bids: tuple[tuple[int, int], ...]
    end: End

    @property
    def size(self) -> Exact:
        """In the base currency."""
        return Exact(self.size_lots, self.terms.size_decimals)

    @property
    def net(self) -> Exact:
        """The profit net of all fees, in the settlement currency."""
        return Exact(self.net_units, self.terms.money_decimals)

    @property
    def paid(self) -> Exact:
        """What the asks cost before the fee, in the buyer's quote currency."""
        units = sum(ask * lots for ask, _, lots in self.fills)
        return Exact(units, self.terms.buy.price_decimals + self.terms.size_decimals)

    @property
    def got(self) -> Exact:
        """What the bids bring before the fee, in the seller's quote currency."""
        units = sum(bid * lots for _, bid, lots in self.fills)
        return Exact(units, self.terms.sell.price_decimals + self.terms.size_decimals)

    @property
    def paid_settled(self) -> Exact:
        """`paid` in the settlement currency."""
        return self.paid if self.terms.buy.rate is None else self.paid * self.terms.buy.rate.price

    @property
    def got_settled(self) -> Exact:
        """`got` in the settlement currency."""
        return self.got if self.terms.sell.rate is None else self.got * self.terms.sell.rate.price

    @property
    def gross(self) -> Exact:
        """What is earned before any fee, in the settlement currency."""
        return self.got_settled - self.paid_settled

    @property
    def buy_fee(self) -> Exact:
        """The taker fee of the buying leg, in the settlement currency."""
        return self.paid_settled * self.terms.buy.fee

    @property
    def sell_fee(self) -> Exact:
        """The taker fee of the selling leg, in the settlement currency."""
        return self.got_settled * self.terms.sell.fee

    @property
    def conversion_fee(self) -> Exact:
        """The taker fees of exchanging one quote currency for another, in the settlement currency."""
        buy, sell = self.terms.buy, self.terms.sell
        fee = ZERO
        if buy.rate is not None:
            fee = fee + (self.paid_settled + self.buy_fee) * buy.rate.fee
        if sell.rate is not None:
            fee = fee + (self.got_settled - self.sell_fee) * sell.rate.fee
        return fee

    @property
    def spent(self) -> Exact:
        """What must be laid out: the cost with every fee of the buying leg, in the settlement currency."""
        return self.paid * self.terms.buy.weight(1)

    @property
    def net_bps(self) -> Fraction:
        """The net profit in basis points of what is spent; 0 where nothing is."""
        return self.net.fraction * BASIS_POINTS / self.spent.fraction if self.spent.units else Fraction(0)

    @property
    def average_ask(self) -> Fraction:
        """The average price paid, before the fee, in the buyer's quote currency."""
        return self.paid.fraction / self.size.fraction

    @property
    def average_bid(self) -> Fraction:
        """The average price got, before the fee, in the seller's quote currency."""
        return self.got.fraction / self.size.fraction


def walk(asks: Book, bids: Book, terms: Terms) -> DepthWalk | None:
    """The size that earns most buying from `asks` and selling to `bids`; None if no admissible size earns anything.

    The books must be on the grids that `terms` were made for.
    """
    buy_weight, sell_weight = terms.buy_weight, terms.sell_weight
    pieces = Pieces(asks, bids, terms)
    fills: list[tuple[int, int, int]] = []
    taken, peak, goal = 0, 0, -1
    for ask, bid, lots in pieces:
        if goal < 0 and bid * sell_weight <= ask * buy_weight:
            if not taken:
                return None
            peak, goal = taken, terms.at_least(taken)
        piece = lots if goal < 0 else min(lots, goal - taken)
        if piece <= 0:
            break
        fills.append((ask, bid, piece))
        taken += piece
    if goal < 0:
        peak = taken
    best_size, best_net = 0, 0
    for size in (peak // terms.step * terms.step, taken if taken == goal else 0):  # W3
        net = net_of(fills, size, terms) if size >= terms.minimum else 0
        if net > best_net:
            best_size, best_net = size, net
    if not best_size:
        return None
    end = pieces.end if goal < 0 else End.NO_PROFIT
    return DepthWalk(terms, best_size, best_net, _first(fills, best_size), tuple(pieces.asks), tuple(pieces.bids), end)


def net_of(fills: list[tuple[int, int, int]], size_lots: int, terms: Terms) -> int:
    """The net of the first `size_lots` of these fills, in 10**-money_decimals."""
    net = 0
    for ask, bid, lots in fills:
        piece = min(lots, size_lots)
        net += piece * (bid * terms.sell_weight - ask * terms.buy_weight)
        size_lots -= piece
    return net


class Pieces:
    """Asks matched with bids, best first, within the caps; then `end` says what ended them, `asks` and `bids` what was looked at."""

    def __init__(self, asks: Book, bids: Book, terms: Terms) -> None:
        self.asks: list[tuple[int, int]] = []
        self.bids: list[tuple[int, int]] = []
        self.end = End.NO_DEPTH
        self._sides = levels(asks, is_ask=True), levels(bids, is_ask=False)
        self._terms = terms

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        asks, bids = self._sides
        terms = self._terms
        most, buy_left, sell_left = terms.most_lots, terms.buy_budget, terms.sell_budget
        ask = bid = ask_lots = bid_lots = 0
        for _ in range(MOST_PIECES):
            if not ask_lots:
                level = next(asks, None)
                if level is None:
                    return
                self.asks.append(level)
                ask, ask_lots = level[0], level[1] * terms.buy_factor
            if not bid_lots:
                level = next(bids, None)
                if level is None:
                    return
                self.bids.append(level)
                bid, bid_lots = level[0], level[1] * terms.sell_factor
            lots = wanted = min(ask_lots, bid_lots)
            if most is not None:  # W4
                lots = min(lots, most)
                most -= lots
            if buy_left is not None and ask:
                lots = min(lots, buy_left // ask)
                buy_left -= lots * ask
            if sell_left is not None and bid:
                lots = min(lots, sell_left // bid)
                sell_left -= lots * bid
            if lots:
                yield ask, bid, lots
            if lots < wanted:
                self.end = End.CAPPED
                return
            ask_lots -= lots
            bid_lots -= lots
        self.end = End.TOO_DEEP


def levels(book: Book, *, is_ask: bool) -> Iterator[tuple[int, int]]:
    """A side's levels best first, read a few at a time: most walks end within the first look."""
    side = book.asks if is_ask else book.bids
    seen, count = 0, FIRST_LOOK
    while True:
        found = side(count)
        yield from found[seen:]
        if len(found) < count:
            return
        seen, count = count, LOOK_GROWTH * count


def _first(fills: list[tuple[int, int, int]], size_lots: int) -> tuple[tuple[int, int, int], ...]:
    kept = []
    for ask, bid, lots in fills:
        if size_lots:
            piece = min(lots, size_lots)
            kept.append((ask, bid, piece))
            size_lots -= piece
    return tuple(kept)
