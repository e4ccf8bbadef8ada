"""Levels as decimals, by the library's decimals: what a book writes itself for a checksum."""

from decimal import Context, Decimal
from itertools import chain, zip_longest

EXACT = Context(prec=60)


def top_decimals(bids, asks, price_decimals, size_decimals, *, sign):
    """Bids and asks in turn, best first, as price:size joined by ":"; with `sign` asks' sizes are negative."""
    words = [(level, "") for level in bids], [(level, "-" if sign else "") for level in asks]
    return ":".join(
        f"{decimal(level[0], price_decimals)}:{minus}{decimal(level[1], size_decimals)}"
        for level, minus in filter(None, chain.from_iterable(zip_longest(*words)))
    ).encode()


def decimal(units, decimals):
    text = f"{Decimal(units).scaleb(-decimals, EXACT):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
