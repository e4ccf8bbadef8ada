"""Decimal text to integer ticks and lots, and back: exact, or refused.

A number crosses from text to integers once, here. Text must be a plain decimal of ASCII digits (an exponent is allowed: exchanges
write 7e-7), at most 40 characters, not negative, exponent at most 30 either way: all checked before any arithmetic.
"""

import re
from fractions import Fraction

from alphapulse_cli import native

SOURCE_HASH = native.source_hash()

MAX_CHARACTERS, MAX_EXPONENT = 40, 30
MAX_TICKS = (1 << 63) - 1
MAX_LOTS = (1 << 62) - 1
EXACT_FLOAT = 1 << 51  # below it round(x * 10^d) of a double is trusted, where dividing again gives the double back
NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,2}))?", re.ASCII)


class NumberError(ValueError):
    """A number that cannot become ticks."""


class Malformed(NumberError):
    """Not a plain non-negative decimal: refused before any arithmetic."""


class FinerThanGrid(NumberError):
    """Exact, but finer than 10**-decimals; `needed_decimals` (possibly over 18) would hold it."""

    def __init__(self, text: str, decimals: int, needed_decimals: int) -> None:
        super().__init__(f"{text[:MAX_CHARACTERS]} is finer than 10**-{decimals}")
        self.needed_decimals = needed_decimals


class NeedsRawText(NumberError):
    """A JSON number whose double does not prove the decimal it came from: parse its raw token instead."""


def to_ticks(text: str, decimals: int) -> int:
    """Exact ticks of decimal text, of any size; Malformed or FinerThanGrid."""
    match = NUMBER.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    if match is None:
        raise Malformed(f"not a plain decimal: {text[:MAX_CHARACTERS]!r}")
    whole, fraction, exponent = match[1], (match[2] or "").rstrip("0"), int(match[3] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise Malformed(f"exponent beyond {MAX_EXPONENT}: {text!r}")
    value = int(whole + fraction)
    shift = decimals + exponent - len(fraction)
    if shift >= 0:
        return value * 10**shift
    ticks, rest = divmod(value, 10**-shift)
    if rest:
        needed = decimals - shift
        while value % 10 == 0:
            value //= 10
            needed -= 1
        raise FinerThanGrid(text, decimals, needed)
    return ticks


def number_to_ticks(number: object, decimals: int) -> int:
    """Exact ticks of a JSON number (int or float) or decimal text; NeedsRawText, Malformed or FinerThanGrid."""
    if isinstance(number, str):
        return to_ticks(number, decimals)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 1e300:
        raise Malformed(f"not a plain number: {str(number)[:MAX_CHARACTERS]!r}")
    if isinstance(number, int):
        return number * 10**decimals
    scale = 10.0**decimals
    ticks = round(number * scale)
    if ticks >= EXACT_FLOAT or ticks / scale != number:
        raise NeedsRawText(f"{number!r} needs its raw text")
    return ticks


def to_text(ticks: int, decimals: int) -> str:
    """Decimal text of ticks with exactly `decimals` digits behind the point."""
    sign, digits = ("-" if ticks < 0 else ""), str(abs(ticks)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def decimals_of(text: str) -> int:
    """How many decimals the increment in `text` needs: 2 for "0.01000000", 0 for "1" and "10". Malformed if it is no number."""
    try:
        to_ticks(text, 0)
    except FinerThanGrid as finer:
        return finer.needed_decimals
    return 0


def as_fraction(ticks: int, decimals: int) -> Fraction:
    """The exact value."""
    return Fraction(ticks, 10**decimals)
