"""Exact money and sizes: whole units on a decimal grid, so that sums and products are exact; and taker fees.

    Exact(units, decimals)  is  units / 10**decimals:  "0.0026" is Exact(26, 4)

Prices, sizes and fees are decimals, so costs, fees and profits are too, to the last digit; only a division (an average price, basis
points) leaves the grid, and is a Fraction. This is for the slow side: at every change of a book plain integers decide.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import total_ordering

from alphapulse_cli import exchanges as registry
from alphapulse_cli.book.views import BASIS_POINTS as BASIS_POINTS  # noqa: PLC0414 - a name of this module too
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market import ticks

SHOWN_DIGITS = 12  # digits after the point of a number that no decimal equals


@total_ordering
class Exact:
    """Exact decimal number, `units` / 10**`decimals`; compares by value: 1.0 equals 1.

    Treat it as immutable (a frozen dataclass takes three times as long to make).
    """

    __slots__ = ("decimals", "units")

    def __init__(self, units: int, decimals: int = 0) -> None:
        self.units = units
        self.decimals = decimals

    def __repr__(self) -> str:
        return f"Exact({self.units}, {self.decimals})"

    def on(self, decimals: int) -> int:
        """Units on a grid at least this fine."""
        assert decimals >= self.decimals
        return self.units * int(10 ** (decimals - self.decimals))

    def whole(self, decimals: int) -> int:
        """Units on the grid of `decimals`, rounded down."""
        return self.on(decimals) if decimals >= self.decimals else self.units // int(10 ** (self.decimals - decimals))

    def __add__(self, other: "Exact") -> "Exact":
        decimals = max(self.decimals, other.decimals)
        return Exact(self.on(decimals) + other.on(decimals), decimals)

    def __sub__(self, other: "Exact") -> "Exact":
        return self + Exact(-other.units, other.decimals)

    def __mul__(self, other: "Exact") -> "Exact":
        return Exact(self.units * other.units, self.decimals + other.decimals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and (self - other).units == 0

    def __lt__(self, other: "Exact") -> bool:
        return (self - other).units < 0

    def __hash__(self) -> int:
        return hash(self.fraction)

    @property
    def fraction(self) -> Fraction:
        """Equal Fraction."""
        return Fraction(self.units, 10**self.decimals)

    @property
    def text(self) -> str:
        """Shortest exact decimal text."""
        return ticks.trim_text(self.units, self.decimals)


ZERO, ONE = Exact(0), Exact(1)


def parse(text: str, what: str = "number") -> Exact:
    """Parse plain decimal text, not negative. UsageError, naming `what`, for anything else."""
    try:
        decimals = ticks.decimals_of(text)
        return Exact(ticks.to_ticks(text, decimals), decimals)
    except ticks.NumberError:
        raise UsageError(f"not a {what}: {text[:40]!r}", "write a plain decimal such as 0.0026") from None


def parse_fee(text: str) -> Exact:
    """Parse a taker fee, a fraction of the notional, from 0 to below 1. UsageError for anything else."""
    fee = parse(text, "taker fee")
    if fee >= ONE:
        raise UsageError(f"not a taker fee: {text[:40]!r}", "write the fraction of the notional: 0.0026 for 0.26 %")
    return fee


def taker_fees(exchanges: Iterable[str], overrides: Mapping[str, str]) -> dict[str, Exact]:
    """Taker fee of each exchange: the override, else the lowest tier in its facts.

    UsageError where neither is known; never a silent 0.
    """
    fees = {}
    for name in exchanges:
        text = overrides[name] if name in overrides else registry.get(name).facts.taker_fee
        if not text:
            raise UsageError(f"{name}'s taker fee is not known", f"give it: --fee {name}=0.0026")
        fees[name] = parse_fee(text)
    return fees


def ratio_text(part: Exact, of: Exact, digits: int = SHOWN_DIGITS, times: int = 1) -> str:
    """Text of part / of * times, rounded as by `rounded`, without a Fraction."""
    above, below = part.units * times * int(10 ** (digits + of.decimals)), of.units * int(10**part.decimals)
    whole, rest = divmod(above, below)
    if 2 * rest > below or (2 * rest == below and whole % 2):
        whole += 1
    return ticks.trim_text(whole, digits)


def rounded(value: Fraction, digits: int = SHOWN_DIGITS) -> str:
    """Decimal text of the nearest number with that many digits, half to even: for display, never for decisions."""
    return ticks.trim_text(round(value * 10**digits), digits)
