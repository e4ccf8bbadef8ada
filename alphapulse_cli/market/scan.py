"""Fast parser of usual numbers and rows to ticks; it declines everything unusual.

Usual is a plain decimal text ("121706.01"), a JSON integer, or a JSON float that proves its decimal; on the grid, in range; in rows
that are exactly `list`s or `dict`s. For anything else these functions decline (-1, or the index of the row where they stopped) and
never raise: `market.ticks` and `market.levels` then take the exact slow path, which knows exponents and names what is wrong. So
this parser may decline anything, but each answer that it gives is the slow path's.

Compiled code takes `scan.pxd` instead, which reads the characters in place and makes no object per level.
"""

from math import copysign
from typing import Any

MAX_CHARACTERS = 40
MAX_DECIMALS = 18
MAX_TICKS = (1 << 63) - 1
MAX_LOTS = (1 << 62) - 1
IS_ASK = 1 << 63
EXACT_FLOAT = 1 << 51  # below it round(x * 10^d) of a double x is trusted if dividing by 10^d gives x again
POWERS = tuple(int(10**exponent) for exponent in range(MAX_CHARACTERS + 1))


def plain(number: Any, decimals: int) -> int:
    """Ticks, 0..MAX_TICKS, of a usual number on the grid 10**-decimals (0..18); -1 for any other number."""
    if number.__class__ is not str:
        return _json(number, decimals)
    if len(number) > MAX_CHARACTERS or not number.isascii():
        return -1
    whole, point, fraction = number.partition(".")
    digits = whole + fraction
    if not digits.isdigit() or not whole or (point and not fraction):
        return -1
    missing = decimals - len(fraction)
    ticks = int(digits)
    if missing > 0:
        ticks *= POWERS[missing]
    elif missing:
        ticks, rest = divmod(ticks, POWERS[-missing])
        if rest:
            return -1
    return ticks if ticks <= MAX_TICKS else -1


def _json(number: Any, decimals: int) -> int:
    if number.__class__ is int:
        return number * POWERS[decimals] if 0 <= number <= MAX_TICKS // POWERS[decimals] else -1
    if number.__class__ is float and 0 <= number < EXACT_FLOAT and copysign(1, number) > 0:
        scale = float(POWERS[decimals])
        ticks = round(number * scale)
        if ticks < EXACT_FLOAT and ticks / scale == number:
            return ticks
    return -1


def number_end(octets: Any, at: int) -> int:
    """Index of the first byte at or after `at` that is neither a digit nor a point."""
    while octets[at] in b"0123456789.":
        at += 1
    return at


def plain_at(octets: Any, start: int, end: int, decimals: int) -> int:
    """Ticks, as of `plain`, of the ASCII text in octets[start:end] if it is a JSON number (no leading zeros); else -1."""
    text = bytes(octets[start:end]).decode("ascii")
    return -1 if text[:1] == "0" and text[1:2].isdigit() else plain(text, decimals)


def integer_at(octets: Any, start: int, end: int) -> int:
    """Value of the JSON integer in octets[start:end], 0..MAX_TICKS; -1 for any other number."""
    return -1 if b"." in bytes(octets[start:end]) else plain_at(octets, start, end, 0)


def rows(
    table: Any,
    start: int,
    side_key: Any,
    price_key: Any,
    size_key: Any,
    bid_word: Any,
    ask_word: Any,
    is_ask: bool,
    price_decimals: int,
    size_decimals: int,
    words: Any,
    count: int,
) -> int:
    """Write the levels of `table[start:]` to `words`, from level `count` on; the number of rows before the first unusual one.

    `words` has room for all of them, two words a level. Integer keys mean rows that are lists, text keys dicts. With `side_key`
    None all rows are of the side that `is_ask` says, else `bid_word` or `ask_word` in the row tells.
    """
    kind = dict if isinstance(price_key, str) else list
    flag = IS_ASK if is_ask else 0
    at = 2 * count
    for index in range(start, len(table)):
        row = table[index]
        if row.__class__ is not kind:
            return index - start
        try:
            ticks, lots = plain(row[price_key], price_decimals), plain(row[size_key], size_decimals)
            side = None if side_key is None else row[side_key]
        except (IndexError, KeyError):
            return index - start
        if ticks <= 0 or not 0 <= lots <= MAX_LOTS:  # a price of 0 is unusual: the slow path refuses it
            return index - start
        if side_key is not None:
            if side == ask_word:
                flag = IS_ASK
            elif side == bid_word:
                flag = 0
            else:
                return index - start
        words[at] = ticks
        words[at + 1] = lots | flag
        at += 2
    return len(table) - start
