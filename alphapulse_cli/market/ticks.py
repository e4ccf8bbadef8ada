"""Decimal text to integer ticks and lots, and back: exact, or refused.

All numbers cross from text to integers here. Text must be a plain decimal of ASCII digits (an exponent is allowed: exchanges write
7e-7), not negative, of at most 400 characters and with an exponent of at most 400 either way. The bounds cover every spelling of a
JSON double, so an absurd number is still a number, if one that fits no grid. They are checked before any arithmetic.
A JSON float is taken as it is where its value proves the decimal it came from; else its raw token is asked for.

Each call answers with ticks or a NumberError, in bounded time:

    NumberError
    ├── Malformed          not a plain non-negative decimal: refuse the frame
    ├── FinerThanGrid      exact, but finer than the grid: refine the grid, or count the number and show it
    │   └── OffGridRow     the same for a price and its size, or for a whole message of them
    └── NeedsRawText       a JSON float that does not prove its decimal: parse the frame again, numbers as text

`market.scan` is the fast path for usual numbers; `_exact` below is the slow path, and the reference for both.
"""

import re
from math import copysign, isfinite

from alphapulse_cli import native
from alphapulse_cli.market import scan
from alphapulse_cli.market.scan import MAX_DECIMALS

SOURCE_HASH = native.source_hash()

MAX_CHARACTERS, MAX_EXPONENT = 400, 400
SHOWN_CHARACTERS = 40  # of a refused number in a message
MAX_INTEGER = 10**MAX_CHARACTERS - 1
NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?", re.ASCII)


class NumberError(ValueError):
    """Number that cannot become ticks."""


class Malformed(NumberError):
    """Text that is not a plain non-negative decimal: refused before any arithmetic."""


class FinerThanGrid(NumberError):
    """Exact number finer than 10**-decimals; `needed_decimals` (possibly over 18) would hold it."""

    is_size = False  # whether the number is the size of a (price, size) pair

    def __init__(self, text: str, decimals: int, needed_decimals: int) -> None:
        super().__init__(f"{text[:SHOWN_CHARACTERS]} is finer than 10**-{decimals}")
        self.needed_decimals = needed_decimals


class OffGridRow(FinerThanGrid):
    """Prices or sizes finer than their grids; `price_decimals` and `size_decimals` (possibly over 18) would hold them all.

    Both are at least the decimals of the present grid, so an OffGrid event can be made of them unchanged.
    """

    def __init__(self, reason: str, *, is_size: bool, price_decimals: int, size_decimals: int) -> None:
        ValueError.__init__(self, reason)
        self.is_size = is_size
        self.needed_decimals = size_decimals if is_size else price_decimals
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals


class NeedsRawText(NumberError):
    """JSON float that does not prove the decimal it came from: parse its raw token instead."""


def to_ticks(text: str, decimals: int) -> int:
    """Exact ticks of decimal text on the grid 10**-decimals, without an upper limit (over MAX_TICKS too).

    Raises Malformed or FinerThanGrid.
    """
    if not isinstance(text, str):
        raise Malformed(f"not decimal text: {type(text).__name__}")
    if 0 <= decimals <= MAX_DECIMALS:
        ticks = scan.plain(text, decimals)
        if ticks >= 0:
            return ticks
    return _exact(text, decimals)


def number_to_ticks(number: object, decimals: int) -> int:
    """Exact ticks of a JSON number (int or float) or decimal text, without an upper limit.

    Raises NeedsRawText, Malformed or FinerThanGrid.
    """
    if 0 <= decimals <= MAX_DECIMALS:
        ticks = scan.plain(number, decimals)
        if ticks >= 0:
            return ticks
    if isinstance(number, str):
        return _exact(number, decimals)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Malformed(f"not a number: {type(number).__name__}")
    if isinstance(number, float):
        if not isfinite(number) or copysign(1, number) < 0:
            raise Malformed(f"not a plain number: {number!r}")
        raise NeedsRawText(f"{number!r} needs its raw text")
    if not 0 <= number <= MAX_INTEGER:
        raise Malformed("a negative integer, or one of more than 400 digits")
    return number * int(10**decimals)


def price_and_size(price: object, size: object, price_decimals: int, size_decimals: int) -> tuple[int, int]:
    """Exact (ticks, lots) of a level's or a trade's numbers.

    Raises as `number_to_ticks`, but OffGridRow in place of FinerThanGrid.
    """
    ticks = lots = 0
    reason, is_size = "", False
    needed_price, needed_size = price_decimals, size_decimals
    try:
        ticks = number_to_ticks(price, price_decimals)
    except FinerThanGrid as finer:
        reason, needed_price = f"price {finer}", finer.needed_decimals
    try:
        lots = number_to_ticks(size, size_decimals)
    except FinerThanGrid as finer:
        reason, is_size, needed_size = reason or f"size {finer}", not reason, finer.needed_decimals
    if reason:
        raise OffGridRow(reason, is_size=is_size, price_decimals=needed_price, size_decimals=needed_size)
    return ticks, lots


def to_text(ticks: int, decimals: int) -> str:
    """Decimal text of ticks with exactly `decimals` digits after the point."""
    sign, digits = ("-" if ticks < 0 else ""), str(abs(ticks)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def trim_text(ticks: int, decimals: int) -> str:
    """Shortest exact decimal text of ticks: "0.5" where `to_text` gives "0.50000000"."""
    text = to_text(ticks, decimals)
    return text.rstrip("0").rstrip(".") if decimals else text


def decimals_of(text: str) -> int:
    """Number of decimals that the increment in `text` needs: 2 for "0.01000000", 0 for "1" and "10". Raises Malformed."""
    try:
        to_ticks(text, 0)
    except FinerThanGrid as finer:
        return finer.needed_decimals
    return 0


def _exact(text: str, decimals: int) -> int:
    match = NUMBER.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if match is None:
        raise Malformed(f"not a plain decimal: {text[:SHOWN_CHARACTERS]!r}")
    whole, fraction, exponent = match[1], (match[2] or "").rstrip("0"), int(match[3] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise Malformed(f"exponent beyond {MAX_EXPONENT}: {text[:SHOWN_CHARACTERS]!r}")
    value = int(whole + fraction)
    shift = decimals + exponent - len(fraction)
    if shift >= 0:
        return value * int(10**shift)
    ticks, rest = divmod(value, int(10**-shift))
    if rest:
        raise FinerThanGrid(text, decimals, _needed(value, decimals - shift))
    return ticks


def _needed(value: int, decimals: int) -> int:
    while value % 10 == 0:
        value //= 10
        decimals -= 1
    return decimals
