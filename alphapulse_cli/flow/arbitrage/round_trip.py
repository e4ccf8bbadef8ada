"""Continuous round of three legs, as if there were no lots: the points at which its return bends, and its peak.

    leg 1 brings X │1────────│2─────────────│3──       levels end at amounts of X: exact
    leg 2          │a─────────────│b──────────│c─      at orders of leg 2, and so at amounts of X paid and Y got: exact
    leg 3 takes  Y │i────│j────────────────────│k      levels end at amounts of Y: exact

All three are laid along leg 2's order: X and Y become orders of leg 2 by one division within its present level, so no fraction
grows with the length of the walk. This is the slow side: Fractions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from alphapulse_cli.flow.arbitrage.depth_walk import MOST_PIECES, End
from alphapulse_cli.flow.arbitrage.ladder import LegLadder


@dataclass(frozen=True, slots=True)
class Mark:
    """Point at which a level is used up: leg 1's order on its grid, not rounded.

    `net` is the profit of the continuous round up to it, in home currency.
    """

    order: Fraction
    net: Fraction


class Place:
    """Position of the round on one leg: a level; the order, cost and proceeds before it; and cost and proceeds a unit within it."""

    def __init__(self, ladder: LegLadder) -> None:
        self._ladder, self._index = ladder, -1
        self.ticks = self.lots = 0
        self.order = self.paid = self.got = self.pays = self.gets = Fraction(0)

    def go_on(self) -> bool:
        """Advance to the next level; returns whether there is one."""
        level = self._ladder.level(self._index + 1)
        if level is None:
            return False
        self.order, self.paid, self.got = self.end, self.paid_at(self.end), self.got_at(self.end)
        self._index += 1
        self.ticks, self.lots = level
        leg = self._ladder.leg
        money = Fraction(self.ticks * self._ladder.weight, 10**leg.money_decimals)
        size = Fraction(1, 10**leg.decimals)
        self.pays, self.gets = (money, size) if leg.is_buy else (size, money)
        return True

    @property
    def end(self) -> Fraction:
        """Order that uses up this level."""
        return self.order + self.lots

    def paid_at(self, order: Fraction) -> Fraction:
        """Cost of an order that ends in this level."""
        return self.paid + (order - self.order) * self.pays

    def got_at(self, order: Fraction) -> Fraction:
        """Proceeds of an order that ends in this level."""
        return self.got + (order - self.order) * self.gets

    def order_paying(self, amount: Fraction) -> Fraction:
        """Order that costs `amount` at this level's price; the level's end where it is free. It may lie beyond the level."""
        return self.order + (amount - self.paid) / self.pays if self.pays else self.end

    def order_getting(self, amount: Fraction) -> Fraction:
        """Order that brings `amount` at this level's price."""
        return self.order + (amount - self.got) / self.gets


def marks_of(
    ladders: tuple[LegLadder, LegLadder, LegLadder], crosses: Callable[[tuple[int, int, int]], bool]
) -> tuple[list[Mark], End]:
    """Marks of all levels that cross, the peak last, and the reason of the end.

    There are no marks where the best prices do not cross.
    """
    first, second, third = places = tuple(Place(ladder) for ladder in ladders)
    marks: list[Mark] = []
    if not all(place.go_on() for place in places):
        return marks, End.NO_DEPTH
    for _ in range(MOST_PIECES):
        if not crosses((first.ticks, second.ticks, third.ticks)):
            return marks, End.NO_PROFIT
        ends = (
            second.order_paying(first.got_at(first.end)) if second.pays else second.end + 1,
            second.end,
            second.order_getting(third.paid_at(third.end)),
        )
        at = min(ends)
        order = first.order_getting(second.paid_at(at))
        net = third.got_at(third.order_paying(second.got_at(at))) - first.paid_at(order)
        marks.append(Mark(order, net))
        if not all(place.go_on() for place, end in zip(places, ends, strict=True) if end == at):
            return marks, End.NO_DEPTH
    return marks, End.TOO_DEEP
