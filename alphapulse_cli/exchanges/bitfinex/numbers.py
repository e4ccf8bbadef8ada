"""Numbers as Bitfinex writes them: the text that JavaScript gives a number, from our integers, and its five significant digits.

JavaScript writes the shortest digits that prove a double, without trailing zeros, in exponent form below 1e-6 and from 1e21 on.
Such digits are those of an exact integer without its trailing zeros, so the text follows from ticks and decimals alone:

    ticks 700, decimals 9   ->   digits "7", 700e-9 = 0.7e-6   ->   "7e-7"
"""

SIGNIFICANT_DIGITS = 5
LEAST_PLAIN, MOST_PLAIN = -6, 21  # places of the point, counted from the first digit, of numbers that are written plainly
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
    """Text of the same number that never is in exponent form."""
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
    """Decimals, and ticks of the smallest step, of prices of about 10**`exponent`: five significant digits, 8 decimals at most."""
    finest = exponent - SIGNIFICANT_DIGITS + 1
    return min(max(0, -finest), MOST_PRICE_DECIMALS), int(10 ** min(max(0, finest), 18))
