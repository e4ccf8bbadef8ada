"""What a round through three books earns, found the slow way: every first order is tried and reckoned in Fractions. It shares nothing with the code.

`outcome(case, size)` is what a first order leads to, or None; `best(case)` the most that any earns; `bound(case)` how much more than the
walk's that may be, by the lots alone.
"""

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.exact import parse, parse_fee
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.flow.arbitrage.triangle import CycleLeg, CycleTerms
from alphapulse_cli.market.levels import Levels


@dataclass(frozen=True)
class Side:
    """One leg: levels (ticks, lots) of the side it takes, and what lies on the other, which must never matter."""

    is_buy: bool
    levels: tuple[tuple[int, int], ...]
    price_decimals: int = 0
    size_decimals: int = 0
    fee: str = "0"
    lot: int = 1
    minimum: int = 0
    rule_decimals: int = 0

    def book(self):
        """The product's; the other side's one level is a lot at a worse price."""
        levels = Levels(self.price_decimals, self.size_decimals)
        for ticks, lots in self.levels:
            levels.add(ticks, lots, self.is_buy)
        prices = [ticks for ticks, _ in self.levels]
        other = (min(prices, default=2) - 1) if self.is_buy else max(prices, default=1) + 1
        if other > 0:
            levels.add(other, 1, not self.is_buy)
        book = Book(self.price_decimals, self.size_decimals)
        book.load(levels)
        return book

    def leg(self):
        """The product's."""
        rules = Rules(self.lot, self.minimum, self.rule_decimals)
        return CycleLeg(self.is_buy, self.price_decimals, self.size_decimals, parse_fee(self.fee), rules)

    def priced(self):
        """(price, size) as Fractions, best first."""
        rows = [(Fraction(ticks, 10**self.price_decimals), Fraction(lots, 10**self.size_decimals)) for ticks, lots in self.levels]
        return sorted(rows, reverse=not self.is_buy)

    @property
    def step(self):
        """One lot, in the base currency."""
        return Fraction(max(1, self.lot), 10**self.rule_decimals)

    def order(self, size):
        """(paid, got, fee) of an order; None if it is below the minimum or the side does not hold it."""
        if size <= 0 or size < Fraction(self.minimum, 10**self.rule_decimals):
            return None
        notional, left = Fraction(0), size
        for price, there in self.priced():
            notional, left = notional + min(left, there) * price, left - min(left, there)
        fee = notional * Fraction(self.fee)
        if left:
            return None
        return (notional + fee, size, fee) if self.is_buy else (size, notional - fee, fee)

    def largest(self, amount):
        """The largest order that so much pays for; 0 for none. By halving: what is paid grows with the size."""
        most = sum((size for _, size in self.priced()), Fraction(0)) // self.step
        low, high = 0, int(most)
        while low < high:
            middle = (low + high + 1) // 2
            notional, left = Fraction(0), middle * self.step
            for price, there in self.priced():
                notional, left = notional + min(left, there) * price, left - min(left, there)
            costs = notional * (1 + Fraction(self.fee)) if self.is_buy else middle * self.step
            low, high = (middle, high) if costs <= amount else (low, middle - 1)
        return low * self.step

    def rate(self):
        """(got, paid) per unit of the order at the best price, net of fees."""
        price = self.priced()[0][0]
        return (Fraction(1), price * (1 + Fraction(self.fee))) if self.is_buy else (price * (1 - Fraction(self.fee)), Fraction(1))


@dataclass(frozen=True)
class Case:
    """Three sides in order, and what the first may cost."""

    sides: tuple[Side, ...]
    most_spent: str | None = None

    def terms(self):
        """The product's."""
        return CycleTerms(tuple(side.leg() for side in self.sides))

    def cap(self):
        """The product's."""
        return None if self.most_spent is None else parse(self.most_spent)

    def books(self):
        """The product's."""
        return [side.book() for side in self.sides]


def outcome(case, size):
    """[(size, paid, got, fee)] of the three legs of that first order; None where one of them is not to be had."""
    found: list[tuple[Fraction, ...]] = []
    for side in case.sides:
        size = side.largest(found[-1][2]) if found else size
        order = side.order(size)
        if order is None or (not found and case.most_spent is not None and order[0] > Fraction(case.most_spent)):
            return None
        found.append((size, *order))
    return found


def best(case, *, every=None):
    """(net, size) of the first order that earns most, the smallest of these, of all multiples of its lot, or of `every`; (0, None) if none earns."""
    first = case.sides[0]
    step = every or first.step
    most = sum((size for _, size in first.priced()), Fraction(0)) // step
    found = Fraction(0), None
    for count in range(1, int(most) + 1):
        legs = outcome(case, count * step)
        if legs is not None and legs[2][2] - legs[0][1] > found[0]:
            found = legs[2][2] - legs[0][1], count * step
    return found


def returned(case):
    """What one unit of home brings at the best prices, net of fees; None where a side is empty."""
    if not all(side.levels for side in case.sides):
        return None
    product = Fraction(1)
    for side in case.sides:
        got, paid = side.rate()
        product *= got / paid
    return product


def bound(case):
    """What rounding to lots can cost: what a lot of the first order earns, one of the second is worth, one of the third brings."""
    (_, paid), (got2, _), (got3, paid3) = (side.rate() for side in case.sides)
    first, second, third = (side.step for side in case.sides)
    return first * paid * max(Fraction(0), returned(case) - 1) + second * got2 * got3 / paid3 + third * got3


# ---- strategies ------------------------------------------------------------------------------------------------------

fees = st.sampled_from(["0", "0", "0", "0.001", "0.0026", "0.1"])


@st.composite
def sides(draw):
    """Few levels around 1, so that amounts of all currencies are alike; mostly good ones."""
    is_buy, price_decimals = draw(st.booleans()), draw(st.integers(1, 2))
    low, high = (6, 11) if is_buy else (10, 15)
    prices = st.integers(low * 10 ** (price_decimals - 1), high * 10 ** (price_decimals - 1))
    rows = draw(st.lists(st.tuples(prices, st.integers(1, 9)), max_size=4, unique_by=lambda row: row[0]))
    return Side(
        is_buy,
        tuple(rows),
        price_decimals,
        draw(st.integers(0, 1)),
        draw(fees),
        draw(st.integers(0, 3)),
        draw(st.sampled_from([0, 0, 0, 1, 3])),
        draw(st.integers(0, 1)),
    )


@st.composite
def cases(draw):
    """Three sides, now and then with a cap."""
    cap = draw(st.none() | st.none() | st.integers(0, 200).map(lambda tenths: f"{tenths // 10}.{tenths % 10}"))
    return Case((draw(sides()), draw(sides()), draw(sides())), cap)
