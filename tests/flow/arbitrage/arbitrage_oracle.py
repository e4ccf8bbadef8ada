"""What an arbitrage earns, found the slow way: every admissible size is tried and reckoned in Fractions. It shares nothing with the code.

A `Case` is two small books and what is asked of them; `best(case)` the smallest of the sizes that earn most, or None.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from hypothesis import strategies as st

from alphapulse_cli.book.book import Book
from alphapulse_cli.flow.arbitrage.exact import parse, parse_fee
from alphapulse_cli.flow.arbitrage.terms import Leg, Rate, Rules, Terms
from alphapulse_cli.market.levels import Levels


@dataclass(frozen=True)
class Side:
    """One leg: levels (ticks, lots) in any order, the grid, the fee and rate as text, order sizes in lots of 10**-rule_decimals."""

    levels: tuple[tuple[int, int], ...]
    price_decimals: int = 0
    size_decimals: int = 0
    fee: str = "0"
    lot: int = 1
    minimum: int = 0
    rule_decimals: int = 0
    rate: str = ""  # "" settled as it is
    rate_fee: str = "0"
    rate_size: str = "1000000"

    def book(self, is_ask):
        """The product's book, with nothing on its other side."""
        levels = Levels(self.price_decimals, self.size_decimals)
        for ticks, lots in self.levels:
            levels.add(ticks, lots, is_ask)
        book = Book(self.price_decimals, self.size_decimals)
        book.load(levels)
        return book

    def leg(self):
        """What the product's terms are made of."""
        rate = Rate(parse(self.rate), parse_fee(self.rate_fee), parse(self.rate_size), "rates") if self.rate else None
        rules = Rules(self.lot, self.minimum, self.rule_decimals)
        return Leg(self.price_decimals, self.size_decimals, parse_fee(self.fee), rules, rate)

    def priced(self):
        """{price: size}, as Fractions; the last of a repeated price."""
        return {
            Fraction(ticks, 10**self.price_decimals): Fraction(lots, 10**self.size_decimals) for ticks, lots in self.levels if lots
        }


@dataclass(frozen=True)
class Case:
    """Buy from the one, sell to the other, within the caps (texts)."""

    buy: Side
    sell: Side
    size: str | None = None
    notional: str | None = None

    def terms(self):
        """The product's."""
        return Terms(
            self.buy.leg(), self.sell.leg(), *(None if text is None else parse(text) for text in (self.size, self.notional))
        )

    def books(self):
        """The product's: asks of the one, bids of the other."""
        return self.buy.book(is_ask=True), self.sell.book(is_ask=False)


def taken(priced, size, best_last):
    """The notional of the best `size` of these levels; None if there is not as much."""
    notional = Fraction(0)
    for price in sorted(priced, reverse=best_last):
        piece = min(size, priced[price])
        notional, size = notional + piece * price, size - piece
    return notional if size == 0 else None


def outcome(case, size):
    """(net, paid, got) of that size, or None where it is not to be had within the caps. Paid and got are before fees and rates."""
    buy, sell = case.buy, case.sell
    paid, got = taken(buy.priced(), size, best_last=False), taken(sell.priced(), size, best_last=True)
    if paid is None or got is None or (case.size is not None and size > Fraction(case.size)):
        return None
    out, back = paid * (1 + Fraction(buy.fee)), got * (1 - Fraction(sell.fee))
    notional = paid
    if buy.rate:
        if out > Fraction(buy.rate_size):
            return None
        out, notional = out * Fraction(buy.rate) * (1 + Fraction(buy.rate_fee)), paid * Fraction(buy.rate)
    if sell.rate:
        if back > Fraction(sell.rate_size):
            return None
        back = back * Fraction(sell.rate) * (1 - Fraction(sell.rate_fee))
    if case.notional is not None and notional > Fraction(case.notional):
        return None
    return back - out, paid, got


def admissible(case):
    """Every size that both exchanges accept and both books could fill."""
    decimals = max(side_decimals for one in (case.buy, case.sell) for side_decimals in (one.size_decimals, one.rule_decimals))
    step = lcm(*(max(1, one.lot) * 10 ** (decimals - one.rule_decimals) for one in (case.buy, case.sell)))
    least = max(one.minimum * 10 ** (decimals - one.rule_decimals) for one in (case.buy, case.sell))
    most = min(sum(one.priced().values(), Fraction(0)) for one in (case.buy, case.sell)) * 10**decimals
    return [Fraction(lots, 10**decimals) for lots in range(step, int(most) + 1, step) if lots >= least]


def best(case):
    """(size, net) of the smallest size that earns most; None if none earns anything."""
    found = None
    for size in admissible(case):
        result = outcome(case, size)
        if result is not None and result[0] > (0 if found is None else found[1]):
            found = size, result[0]
    return found


# ---- strategies ------------------------------------------------------------------------------------------------------

fees = st.sampled_from(["0", "0", "0.001", "0.0026", "0.01", "0.1"])
caps = st.none() | st.none() | st.integers(0, 400).map(lambda tenths: f"{tenths // 10}.{tenths % 10}")


@st.composite
def sides(draw, *, is_ask):
    """Few levels around 20, on a grid of their own; asks tend to lie below where bids do, so that most cases cross."""
    price_decimals, size_decimals = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    low, high = (14, 22) if is_ask else (18, 26)
    prices = st.integers(low * 10**price_decimals, high * 10**price_decimals)
    rows = draw(st.lists(st.tuples(prices, st.integers(1, 9)), max_size=5, unique_by=lambda row: row[0]))
    return Side(
        levels=tuple(rows),
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        fee=draw(fees),
        lot=draw(st.integers(0, 4)),
        minimum=draw(st.sampled_from([0, 0, 1, 3, 7])),
        rule_decimals=draw(st.integers(0, 1)),
    )


@st.composite
def cases(draw, *, rates=True):
    """A pair of sides, now and then with caps and with rates between currencies."""
    case = Case(draw(sides(is_ask=True)), draw(sides(is_ask=False)), draw(caps), draw(st.none() | caps))
    if rates and draw(st.booleans()):
        rated = {
            "rate": draw(st.sampled_from(["1", "0.999", "1.0004", "0.8"])),
            "rate_fee": draw(fees),
            "rate_size": draw(st.sampled_from(["1000000", "1000000", "100", "33.3", "0"])),
        }
        side = draw(st.sampled_from(["buy", "sell"]))
        case = replace(case, **{side: replace(getattr(case, side), **rated)})
    return case
