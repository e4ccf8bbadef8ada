"""Number formats of Bitfinex: JavaScript's text of a number, made from exact integers, and five significant digits of a price.

JavaScript writes the shortest digits that determine a double, without trailing zeros, in exponent form below 1e-6 and from 1e21 on.
Such digits are those of an exact integer without its trailing zeros, so the text follows from ticks and decimals alone:

    ticks 700, decimals 9   ->   digits "7", 700e-9 = 0.7e-6   ->   "7e-7"
"""

SIGNIFICANT_DIGITS = 5
LEAST_PLAIN, MOST_PLAIN = -6, 21  # positions of the decimal point, from the first digit, of numbers written in plain decimals
MOST_PRICE_DECIMALS = 8


def number_text(units: int, decimals: int) -> str:
    """JavaScript's text of `units` / 10**`decimals`, for units >= 0."""
    whole = str(units)
    digits = whole.rstrip("0")
    if not digits:
        return "0"
    place = len(whole) - decimals  # the number is 0.<digits> * 10**place
    if LEAST_PLAIN < place <= MOST_PLAIN:
        return _plain(digits, place)
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{mantissa}e{place - 1:+d}"


def plain_text(units: int, decimals: int) -> str:
    """Plain decimal text of the same number, never in exponent form."""
    whole = str(units)
    digits = whole.rstrip("0")
    return _plain(digits, len(whole) - decimals) if digits else "0"


def _plain(digits: str, place: int) -> str:
    if place <= 0:
        return f"0.{'0' * -place}{digits}"
    if place >= len(digits):
        return digits + "0" * (place - len(digits))
    return f"{digits[:place]}.{digits[place:]}"


def price_grid(exponent: int) -> tuple[int, int]:
    """Price grid at about 10**`exponent` as (decimals, step in ticks): five significant digits, at most 8 decimals."""
    finest = exponent - SIGNIFICANT_DIGITS + 1
    return min(max(0, -finest), MOST_PRICE_DECIMALS), int(10 ** min(max(0, finest), 18))
