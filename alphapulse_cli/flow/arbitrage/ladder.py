"""Ladder: one leg of a cycle, that is the levels that an order takes, the money that leaves and arrives, and the reverse questions.

    buy    takes asks    quote leaves: notional + fee       base arrives: the size
    sell   takes bids    base leaves: the size              quote arrives: notional - fee

The taker fee is a fraction of the leg's notional, in its quote currency: paid on top when buying, taken off when selling. Orders
are integers on `CycleLeg.decimals`, money is Exact; only order sizes are rounded, to whole lots. No more than MOST_LEVELS of a side
are ever looked at. Prices must not be negative.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.depth_walk import FIRST_LOOK, LOOK_GROWTH, MOST_PIECES, levels
from alphapulse_cli.flow.arbitrage.exact import ONE, Exact
from alphapulse_cli.flow.arbitrage.terms import Rules

MOST_LEVELS = MOST_PIECES + 1


@dataclass(frozen=True, slots=True)
class CycleLeg:
    """Terms of a leg: buy or sell, the book's grid, its exchange's taker fee and rules."""

    is_buy: bool
    price_decimals: int
    size_decimals: int
    fee: Exact
    rules: Rules

    @property
    def decimals(self) -> int:
        """Grid of orders, on which both the book's levels and the rules are whole numbers."""
        return max(self.size_decimals, self.rules.size_decimals)

    @property
    def weight(self) -> Exact:
        """Factor of a notional: 1 plus the fee when buying, minus the fee when selling."""
        return ONE + self.fee if self.is_buy else ONE - self.fee

    @property
    def money_decimals(self) -> int:
        """Grid of the money that leaves or arrives in the quote currency, the fee included."""
        return self.price_decimals + self.decimals + self.fee.decimals

    @property
    def step(self) -> int:
        """Step of order sizes, on the grid of orders."""
        return max(1, self.rules.lot) * self._finer

    @property
    def minimum(self) -> int:
        """Smallest order, a multiple of the step, on the grid of orders."""
        return -(-max(1, self.rules.minimum * self._finer) // self.step) * self.step

    @property
    def _finer(self) -> int:
        return int(10 ** (self.decimals - self.rules.size_decimals))


class LegLadder:
    """Side of a book that a leg takes, best level first, read as far as needed; `seen` are the levels read, on the book's grid."""

    def __init__(self, book: Book, leg: CycleLeg) -> None:
        assert (book.price_decimals, book.size_decimals) == (leg.price_decimals, leg.size_decimals)
        self.leg, self.step, self.minimum = leg, leg.step, leg.minimum
        self.weight = leg.weight.on(leg.fee.decimals)
        self.seen: list[tuple[int, int]] = []
        self._unread = one_by_one(book, is_ask=leg.is_buy)
        self._factor = int(10 ** (leg.decimals - leg.size_decimals))

    def without_fee(self) -> Self:
        """Copy with the same levels at their bare prices. The original must not be used any more."""
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__, weight=int(10**self.leg.fee.decimals))
        return bare

    def level(self, index: int) -> tuple[int, int] | None:
        """Level as (ticks, lots on the grid of orders), 0 the best; None beyond the last."""
        while index >= len(self.seen):
            found = next(self._unread, None) if index < MOST_LEVELS else None
            if found is None:
                return None
            self.seen.append(found)
        ticks, lots = self.seen[index]
        return ticks, lots * self._factor

    def fills(self, order: int) -> tuple[tuple[int, int], ...] | None:
        """Levels (ticks, lots) that an order takes; None if the side does not hold as much."""
        taken: list[tuple[int, int]] = []
        while order:
            level = self.level(len(taken))
            if level is None:
                return None
            ticks, lots = level
            taken.append((ticks, min(lots, order)))
            order -= taken[-1][1]
        return tuple(taken)

    def paid(self, order: int) -> Exact:
        """Money that leaves for an order that the side holds."""
        return self._money(order) if self.leg.is_buy else Exact(order, self.leg.decimals)

    def got(self, order: int) -> Exact:
        """Money received for an order that the side holds."""
        return Exact(order, self.leg.decimals) if self.leg.is_buy else self._money(order)

    def largest(self, amount: Exact) -> int:
        """Largest multiple of the step that `amount` pays for and that the side holds: 0 for none."""
        is_buy = self.leg.is_buy
        left = amount.whole(self.leg.money_decimals if is_buy else self.leg.decimals)
        order, index = 0, 0
        while left > 0 and (level := self.level(index)) is not None:
            ticks, lots = level
            price = ticks * self.weight if is_buy else 1
            take = min(lots, left // price) if price else lots
            order, left, index = order + take, left - take * price, index + 1
            if take < lots:
                break
        return self.rounded_down(order)

    def least(self, amount: Exact) -> int | None:
        """Smallest admissible order that brings at least `amount`; None if the side does not hold it."""
        is_buy = self.leg.is_buy
        left = -Exact(-amount.units, amount.decimals).whole(self.leg.decimals if is_buy else self.leg.money_decimals)  # rounded up
        order, index = 0, 0
        while left > 0:
            level = self.level(index)
            if level is None:
                return None
            ticks, lots = level
            price = 1 if is_buy else ticks * self.weight
            take = min(lots, -(-left // price)) if price else lots
            order, left, index = order + take, left - take * price, index + 1
        order = max(self.rounded_down(order + self.step - 1), self.minimum)
        return order if self.fills(order) is not None else None

    def rounded_down(self, order: int) -> int:
        """Order rounded down to the step."""
        return order // self.step * self.step

    def _money(self, order: int) -> Exact:
        """Notional of an order including its fee."""
        fills = self.fills(order)
        assert fills is not None
        return Exact(sum(ticks * lots for ticks, lots in fills) * self.weight, self.leg.money_decimals)


def one_by_one(book: Book, *, is_ask: bool) -> Iterator[tuple[int, int]]:
    """Levels of a side best first, read a few at a time."""
    seen, count = 0, FIRST_LOOK
    while True:
        found = levels(book, count, is_ask=is_ask)
        yield from found[seen:]
        if len(found) < count:
            return
        seen, count = count, LOOK_GROWTH * count
