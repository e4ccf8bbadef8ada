"""Kraken's book checksum: CRC-32 over the digits of the ten best levels per side.

    asks, lowest price first, then bids, highest first; of each level the price rendered with the pair's price precision and the
    size with its size precision, both without the point and without leading zeros, one after the other; no separators

    price 0.5657 of precision 4, size 1098.39475580 of precision 8   ->   "5657" "109839475580"

In ticks and lots of a grid of exactly that precision these digits are the integers themselves. A book may be on a finer grid than
the pair's precision; its integers are then first brought to the precision, exactly.
"""

from collections.abc import Sequence
from zlib import crc32

from alphapulse_cli.exchanges.kraken.facts import CHECKSUM_DEPTH
from alphapulse_cli.exchanges.protocol import BookTop, Level
from alphapulse_cli.market.instrument import Instrument


def levels_checksum(asks: Sequence[Level], bids: Sequence[Level], price_excess: int = 0, size_excess: int = 0) -> int:
    """Unsigned CRC-32 of the `levels_text` of a book."""
    return crc32(levels_text(asks, bids, price_excess, size_excess))


def levels_text(asks: Sequence[Level], bids: Sequence[Level], price_excess: int = 0, size_excess: int = 0) -> bytes:
    """Digits of a book's levels, best first, already cut to the subscribed depth: of the first ten of each side.

    The excesses are the decimals that the book's grid has beyond the pair's precisions (negative: too few, filled with zeros). A
    level that needs the excess decimals proves that the precision has grown since it was announced: then the grid's own decimals
    are used as the precision.
    """
    numbers: list[int] = []
    for level in asks[:CHECKSUM_DEPTH]:
        numbers += level
    for level in bids[:CHECKSUM_DEPTH]:
        numbers += level
    if price_excess or size_excess:
        numbers[::2] = _rendered(numbers[::2], price_excess)
        numbers[1::2] = _rendered(numbers[1::2], size_excess)
    return ("%d" * len(numbers) % tuple(numbers)).encode("ascii")


def book_checksum(
    instrument: Instrument, book: BookTop, price_precision: int | None = None, size_precision: int | None = None
) -> int:
    """Checksum of a book on the grid of `instrument`. The precisions default to the grid's decimals."""
    return crc32(book_text(instrument, book, price_precision, size_precision))


def book_text(
    instrument: Instrument, book: BookTop, price_precision: int | None = None, size_precision: int | None = None
) -> bytes:
    """Digits that the checksum of a book covers."""
    price_excess = 0 if price_precision is None else instrument.price_decimals - price_precision
    size_excess = 0 if size_precision is None else instrument.size_decimals - size_precision
    if price_excess == 0 == size_excess:  # usual case: the integers of the book are the digits
        return book.top_digits(CHECKSUM_DEPTH)
    return levels_text(book.asks(CHECKSUM_DEPTH), book.bids(CHECKSUM_DEPTH), price_excess, size_excess)


def _rendered(numbers: list[int], excess: int) -> list[int]:
    """Convert numbers to `excess` fewer decimals (more if negative) if that is exact for all of them; otherwise unchanged."""
    if excess <= 0:
        return [number * 10**-excess for number in numbers]
    divided = [divmod(number, 10**excess) for number in numbers]
    return numbers if any(rest for _, rest in divided) else [quotient for quotient, _ in divided]
