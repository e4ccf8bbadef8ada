"""Walk of a cycle: the first order that earns most when money is sent round three books of one exchange, and the order of each leg.

    home ──leg 1──► X ──leg 2──► Y ──leg 3──► home        net = what leg 3 brings - what leg 1 costs
          order s1      s2: what X pays    s3: what Y pays        what is left of X and Y is dust, worth 0

A leg buys (quote leaves, base arrives) or sells. The taker fee is a fraction of each leg's notional, in its quote currency: paid on
top when buying, taken off when selling. Rules, numbered as the tests number them:
  T1  Nothing is walked unless one unit sent round at the best prices, net of fees, comes back as more.
  T2  Every order is a whole multiple of its book's lot, no less than its minimum, no more than its side holds. The second and third
      are the largest that the currency just got can pay, fee included.
  T3  The continuous round (no lots) earns along s1 what a concave function does; it bends where a level of any leg is used up (a
      mark) and ends at the peak, where the prices that are left no longer cross. The orders tried are those around the marks, from
      the peak down, and the smallest that reach the same or the next third order; the best net wins, of equal nets the smallest
      size.
  T4  `most_spent` caps what leg 1 costs, its fee included, in home currency.
  T5  No more than MOST_PIECES are walked.
The distance from the optimum is bounded: no admissible s1 earns more than the net found plus
      lot1 * (what one unit of s1 earns) + lot2 * (what one unit of s2 is worth) + lot3 * (what one unit of s3 brings),
in home currency at the best prices net of fees. Proof: let c be the peak, raised to the smallest admissible s1 or lowered to the
cap. The continuous net of c bounds every admissible size's; rounding c down to lot 1 loses less than the first term, since no lot
earns more than the first; rounding s2 and s3 down loses less than the other two. If nothing is found the net found is 0.

All decisions are made on integers and Fractions. Books and terms must be on one grid, prices not negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.depth_walk import MOST_PIECES, End
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS, Exact
from alphapulse_cli.flow.arbitrage.ladder import CycleLeg, LegLadder
from alphapulse_cli.flow.arbitrage.round_trip import marks_of

__all__ = ["MOST_PIECES", "CycleLeg", "CycleTerms", "CycleWalk", "End", "LegWalk", "walk_cycle"]

MARKS_TRIED = 16  # the peak and the marks before it; T3's bound needs the peak only

Orders = tuple[int, int, int]


class CycleTerms:
    """Three legs, and the two factors with which their best prices are compared."""

    __slots__ = ("_cost_factor", "_gain_factor", "_is_buy", "legs")

    def __init__(self, legs: tuple[CycleLeg, CycleLeg, CycleLeg]) -> None:
        self.legs = legs
        self._is_buy = tuple(leg.is_buy for leg in legs)
        gain = cost = 1
        for leg in legs:
            weight, grid = leg.weight.on(leg.fee.decimals), int(10 ** (leg.price_decimals + leg.fee.decimals))
            gain *= grid if leg.is_buy else weight
            cost *= weight if leg.is_buy else grid
        common = gcd(gain, cost)
        self._gain_factor, self._cost_factor = gain // common, cost // common

    def crosses(self, prices: tuple[int, int, int]) -> bool:
        """T1: whether one unit sent round at these prices (ticks: asks for buys, bids for sells) earns anything net of fees."""
        gain, cost = self._compare(prices)
        return gain > cost

    def best_return(self, prices: tuple[int, int, int]) -> Fraction | None:
        """Net return of one unit sent round at these prices, negative for a loss; None if something is bought at 0."""
        gain, cost = self._compare(prices)
        return Fraction(gain, cost) - 1 if cost else None

    def _compare(self, prices: tuple[int, int, int]) -> tuple[int, int]:
        """Pair (money that returns, money sent), in a common unit."""
        one, two, three = prices
        buys_one, buys_two, buys_three = self._is_buy
        gain, cost = self._gain_factor, self._cost_factor
        gain, cost = (gain, cost * one) if buys_one else (gain * one, cost)
        gain, cost = (gain, cost * two) if buys_two else (gain * two, cost)
        return (gain, cost * three) if buys_three else (gain * three, cost)


@dataclass(frozen=True, slots=True)
class LegWalk:
    """Order of one leg: `size` in its base currency, `paid` and `got` with the fee included, `fee` in its quote currency.

    `fills` are (ticks, lots) with lots in 10**-leg.decimals; `levels` those looked at, on the book's grid, the last perhaps not
    taken.
    """

    is_buy: bool
    size: Exact
    paid: Exact
    got: Exact
    fee: Exact
    fills: tuple[tuple[int, int], ...]
    levels: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CycleWalk:
    """Round that earns most. `gross` is the profit of the same first order if no leg took a fee."""

    terms: CycleTerms
    legs: tuple[LegWalk, LegWalk, LegWalk]
    gross: Exact  # in home currency
    end: End

    @property
    def size(self) -> Exact:
        """Size of the first leg's order, in that leg's base currency."""
        return self.legs[0].size

    @property
    def spent(self) -> Exact:
        """Cost of the first leg with its fee, in home currency."""
        return self.legs[0].paid

    @property
    def net(self) -> Exact:
        """Profit net of all fees, dust worth nothing, in home currency."""
        return self.legs[2].got - self.legs[0].paid

    @property
    def net_bps(self) -> Fraction:
        """Net profit in basis points of the money spent; 0 where none is spent."""
        return self.net.fraction * BASIS_POINTS / self.spent.fraction if self.spent.units else Fraction(0)

    @property
    def dust(self) -> tuple[Exact, Exact]:
        """Unsold remainders of the currencies X and Y."""
        first, second, third = self.legs
        return first.got - second.paid, second.got - third.paid


def walk_cycle(books: Sequence[Book], terms: CycleTerms, most_spent: Exact | None = None) -> CycleWalk | None:
    """Find the round through the books of three legs that earns most; None if no admissible one earns anything."""
    first, second, third = (LegLadder(book, leg) for book, leg in zip(books, terms.legs, strict=True))
    ladders = (first, second, third)
    marks, end = marks_of(ladders, terms.crosses)
    smallest = _first_for(ladders, third.minimum)
    if not marks or smallest is None:
        return None
    most = None if most_spent is None else first.largest(most_spent)  # T4
    if most is not None and most < marks[-1].order:
        end = End.CAPPED
    elif end is End.TOO_DEEP:  # T5: levels beyond are not looked at
        most = first.rounded_down(int(marks[-1].order))
    trial = _Trial(ladders, smallest, most)
    for mark in reversed(marks):
        if len(trial.aims) == MARKS_TRIED or mark.net <= trial.best_net:  # no size up to a mark earns more than its continuous net
            break
        trial.around(first.rounded_down(int(mark.order)))
    return None if trial.best is None else _found(ladders, terms, trial.best, end)


class _Trial:
    """Trial of first orders within bounds: `best` are the three orders of the one that earns most, None while none does."""

    def __init__(self, ladders: tuple[LegLadder, LegLadder, LegLadder], smallest: int, most: int | None) -> None:
        self.best: Orders | None = None
        self.best_net = Fraction(0)
        self.aims: set[int] = set()
        self._ladders, self._smallest, self._most = ladders, smallest, most
        self._tried: dict[int, Orders | None] = {}

    def around(self, order: int) -> None:
        """Try that first order, or the nearest within bounds, and its neighbours.

        The smallest first orders that lead to its third order, or to that order's neighbours, are tried too.
        """
        first, _, third = self._ladders
        order = max(order, self._smallest) if self._most is None else min(max(order, self._smallest), self._most)
        if order in self.aims:
            return
        self.aims.add(order)
        for near in (order, order - first.step, order + first.step):
            self._try(near)
        orders = self._tried[order]
        if orders is not None:
            for last in (orders[2], orders[2] + third.step, orders[2] - third.step):
                least = _first_for(self._ladders, last) if last >= third.minimum else None
                if least is not None:
                    self._try(least)

    def _try(self, order: int) -> None:
        if order in self._tried:
            return
        is_within = order >= self._smallest and (self._most is None or order <= self._most)
        orders = self._tried[order] = orders_of(self._ladders, order) if is_within else None
        if orders is None:
            return
        net = (self._ladders[2].got(orders[2]) - self._ladders[0].paid(order)).fraction
        if net > self.best_net or (net == self.best_net and self.best is not None and order < self.best[0]):
            self.best, self.best_net = orders, net


def orders_of(ladders: tuple[LegLadder, LegLadder, LegLadder], order: int) -> Orders | None:
    """T2: the three orders that follow from a first one; None if one of them is not admissible."""
    first, second, third = ladders
    if order < first.minimum or first.fills(order) is None:
        return None
    next_order = second.largest(first.got(order))
    if next_order < second.minimum:
        return None
    last = third.largest(second.got(next_order))
    return (order, next_order, last) if last >= third.minimum else None


def _first_for(ladders: tuple[LegLadder, LegLadder, LegLadder], last: int) -> int | None:
    """Smallest first order that leads to a third of at least `last`; None if the books do not hold it."""
    first, second, third = ladders
    if third.fills(last) is None:
        return None
    middle = second.least(third.paid(last))
    return None if middle is None else first.least(second.paid(middle))


def _found(ladders: tuple[LegLadder, LegLadder, LegLadder], terms: CycleTerms, orders: Orders, end: End) -> CycleWalk:
    first, second, third = (_leg_walk(ladder, order) for ladder, order in zip(ladders, orders, strict=True))
    one, two, three = (ladder.without_fee() for ladder in ladders)
    bare = orders_of((one, two, three), orders[0])
    assert bare is not None  # an order that can be paid with fees can be paid without
    gross = three.got(bare[2]) - one.paid(bare[0])
    return CycleWalk(terms, (first, second, third), gross, end)


def _leg_walk(ladder: LegLadder, order: int) -> LegWalk:
    leg, fills = ladder.leg, ladder.fills(order)
    assert fills is not None
    notional = Exact(sum(ticks * lots for ticks, lots in fills), leg.price_decimals + leg.decimals)
    size, paid, got = Exact(order, leg.decimals), ladder.paid(order), ladder.got(order)
    return LegWalk(leg.is_buy, size, paid, got, notional * leg.fee, fills, tuple(ladder.seen))
