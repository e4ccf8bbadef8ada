"""Bitfinex's book checksum: CRC-32 over the text of the 25 best levels per side.

    bid, ask, bid, ask, …, best first, as far as each side has levels; of each level price and amount, an ask's amount negative;
    numbers as JavaScript writes them (`numbers`), joined by colons

    bids 6000 x 1, 5999 x 2, asks 6001 x 1, 6002 x 2   ->   "6000:1:6001:-1:5999:2:6002:-2"   ->   1332972658

The exchange sends it as a signed 32-bit integer; events carry it unsigned.
"""

from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from zlib import crc32

from alphapulse_cli.exchanges.bitfinex.facts import CHECKSUM_DEPTH
from alphapulse_cli.exchanges.bitfinex.numbers import number_text, plain_text
from alphapulse_cli.exchanges.protocol import BookTop, Level
from alphapulse_cli.market.instrument import Instrument

MASK32 = 0xFFFF_FFFF
TINY = b"0.000000"  # the plain decimals of every number below 1e-6 contain it, and few other numbers do


def book_text(
    bids: Sequence[Level],
    asks: Sequence[Level],
    price_decimals: int,
    size_decimals: int,
    text: Callable[[int, int], str] = number_text,
) -> str:
    """Text of a book's levels, best first, that the checksum covers; `text` formats a number."""
    words_of_bids = [f"{text(ticks, price_decimals)}:{text(lots, size_decimals)}" for ticks, lots in bids[:CHECKSUM_DEPTH]]
    words_of_asks = [f"{text(ticks, price_decimals)}:-{text(lots, size_decimals)}" for ticks, lots in asks[:CHECKSUM_DEPTH]]
    return ":".join(word for word in chain.from_iterable(zip_longest(words_of_bids, words_of_asks)) if word is not None)


def book_checksum(instrument: Instrument, book: BookTop, announced: int | None = None) -> int:
    """Unsigned checksum of a book on the grid of `instrument`.

    If it differs from the `announced` one and a number is below 1e-6, the exchange may have written that number in plain decimals,
    as its newer client library does: the checksum of that text is returned if it equals the announced one.
    """
    grid = instrument.price_decimals, instrument.size_decimals
    usual = book.top_decimals(CHECKSUM_DEPTH, *grid, True)
    if TINY not in usual:
        return crc32(usual)
    bids, asks = book.bids(CHECKSUM_DEPTH), book.asks(CHECKSUM_DEPTH)
    text = book_text(bids, asks, *grid)
    checksum = crc32(text.encode("ascii"))
    if announced is not None and checksum != announced and "e-" in text:
        plain = crc32(book_text(bids, asks, *grid, plain_text).encode("ascii"))
        return announced if plain == announced else checksum
    return checksum


def covered_text(instrument: Instrument, book: BookTop) -> bytes:
    """Text that the checksum of a book covers, as `book_checksum` takes it where no number is doubtful."""
    grid = instrument.price_decimals, instrument.size_decimals
    usual = book.top_decimals(CHECKSUM_DEPTH, *grid, True)
    return usual if TINY not in usual else book_text(book.bids(CHECKSUM_DEPTH), book.asks(CHECKSUM_DEPTH), *grid).encode("ascii")


def signed(checksum: int) -> int:
    """Convert a checksum to the exchange's form, a signed 32-bit integer."""
    return checksum - (1 << 32) if checksum >> 31 else checksum


def unsigned(checksum: object) -> int:
    """Convert the exchange's signed integer to an unsigned checksum. ValueError for anything but a 32-bit integer."""
    if type(checksum) is not int or not -(1 << 31) <= checksum <= MASK32:
        raise ValueError("the checksum is not an integer of 32 bits")
    return checksum & MASK32
