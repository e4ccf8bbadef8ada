"""Terms of an arbitrage of two books: fees, order sizes, rates between quote currencies, caps; all made integers once.

    Leg (grid, fee, rules, rate) of the buyer  ─┐
    Leg                          of the seller ─┼─► Terms: two weights, two size factors, a step, a minimum, three bounds
    a size, a notional                         ─┘

A pair's terms are made again when a book's grid becomes finer or the best level of a conversion book moves, never at other changes.
"""

from dataclasses import dataclass
from math import lcm
from typing import NamedTuple

from alphapulse_cli.flow.arbitrage.exact import ONE, Exact


class Rules(NamedTuple):
    """Rules of order sizes: multiples of `lot`, at least `minimum`, both in 10**-size_decimals; 0 is no rule."""

    lot: int = 1
    minimum: int = 0
    size_decimals: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Price of one unit of a leg's quote currency in the settlement currency, and the size available at that price."""

    price: Exact
    fee: Exact
    size: Exact
    source: str  # id of the market whose best level it is


@dataclass(frozen=True, slots=True)
class Leg:
    """Side of a walk: its book's grid, its exchange's fee and rules, its quote currency's rate (None: no conversion)."""

    price_decimals: int
    size_decimals: int
    fee: Exact
    rules: Rules
    rate: Rate | None = None

    def weight(self, sign: int) -> Exact:
        """Factor of a price in the settlement currency, the fee included and the rate applied.

        The fee is added for `sign` 1 (a buyer) and taken off for -1.
        """
        weight = ONE + Exact(sign * self.fee.units, self.fee.decimals)
        if self.rate is not None:
            weight = weight * self.rate.price * (ONE + Exact(sign * self.rate.fee.units, self.rate.fee.decimals))
        return weight

    @property
    def decimals(self) -> int:
        """Grid on which both this side's levels and its rules are whole numbers."""
        return max(self.size_decimals, self.rules.size_decimals)


class Terms:
    """Integers for the walks of one pair, computed once: scale factors, weights, step, minimum and caps.

    `size` caps the base currency, `notional` the cost of the bought levels before fees, in the settlement currency.
    """

    def __init__(self, buy: Leg, sell: Leg, size: Exact | None = None, notional: Exact | None = None) -> None:
        self.buy, self.sell = buy, sell
        decimals = self.size_decimals = max(buy.decimals, sell.decimals)
        prices = max(buy.price_decimals, sell.price_decimals)
        buy_weight, sell_weight = buy.weight(1), sell.weight(-1)
        weights = max(buy_weight.decimals, sell_weight.decimals)
        self.money_decimals = decimals + prices + weights  # of lots * ticks * weight
        self.buy_weight = buy_weight.on(weights) * int(10 ** (prices - buy.price_decimals))
        self.sell_weight = sell_weight.on(weights) * int(10 ** (prices - sell.price_decimals))
        self.buy_factor = int(10 ** (decimals - buy.size_decimals))
        self.sell_factor = int(10 ** (decimals - sell.size_decimals))
        finer = [(leg.rules, int(10 ** (decimals - leg.rules.size_decimals))) for leg in (buy, sell)]
        self.step = lcm(*(max(1, rules.lot) * factor for rules, factor in finer))
        self.minimum = self._rounded_up(max(1, *(rules.minimum * factor for rules, factor in finer)))
        self.most_lots = None if size is None else size.whole(decimals)
        self.buy_budget = _least_of(self._notional_budget(notional), self._rate_budget(buy, 1))
        self.sell_budget = self._rate_budget(sell, -1)

    def caps(self) -> "Caps | None":
        """Fresh caps of one walk; None if there are none."""
        if self.most_lots is None and self.buy_budget is None and self.sell_budget is None:
            return None
        return Caps(self.most_lots, self.buy_budget, self.sell_budget)

    def at_least(self, lots: int) -> int:
        """W2: smallest admissible order size that is at least `lots`."""
        return max(self._rounded_up(lots), self.minimum)

    def _rounded_up(self, lots: int) -> int:
        return -(-lots // self.step) * self.step

    def _notional_budget(self, notional: Exact | None) -> int | None:
        """Notional in ask ticks * lots, rounded down."""
        if notional is None:
            return None
        rate = ONE if self.buy.rate is None else self.buy.rate.price
        return _divided(notional, rate, self.buy.price_decimals + self.size_decimals)

    def _rate_budget(self, leg: Leg, sign: int) -> int | None:
        """Cap by the best level of the leg's conversion book, in the leg's ticks * lots, rounded down; None without one.

        It includes the fees of the leg.
        """
        if leg.rate is None:
            return None
        return _divided(leg.rate.size, ONE + Exact(sign * leg.fee.units, leg.fee.decimals), leg.price_decimals + self.size_decimals)


class Caps:
    """Remainder of a walk's bounds (W4): lots, and ticks * lots of either side; None for no bound."""

    def __init__(self, most_lots: int | None, buy_budget: int | None, sell_budget: int | None) -> None:
        self._most, self._buy_left, self._sell_left = most_lots, buy_budget, sell_budget

    def allow(self, lots: int, ask: int, bid: int) -> int:
        """Take as many of these lots at these prices as the bounds allow; their number."""
        if self._most is not None:
            lots = min(lots, self._most)
        if self._buy_left is not None and ask:
            lots = min(lots, self._buy_left // ask)
        if self._sell_left is not None and bid:
            lots = min(lots, self._sell_left // bid)
        if self._most is not None:
            self._most -= lots
        if self._buy_left is not None:
            self._buy_left -= lots * ask
        if self._sell_left is not None:
            self._sell_left -= lots * bid
        return lots


def _divided(amount: Exact, by: Exact, decimals: int) -> int | None:
    """`amount` / `by` on that grid, rounded down; None (no bound) for a divisor of 0."""
    return None if by.units == 0 else amount.units * int(10 ** (by.decimals + decimals)) // (by.units * int(10**amount.decimals))


def _least_of(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)
