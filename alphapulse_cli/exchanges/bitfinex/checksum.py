"""Bitfinex's book checksum: CRC-32 over the text of the 25 best levels a side.

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
TINY = b"0.000000"  # in the plain decimals of every number below 1e-6, and of few others


def book_text(
    bids: Sequence[Level],
    asks: Sequence[Level],
    price_decimals: int,
    size_decimals: int,
    text: Callable[[int, int], str] = number_text,
) -> str:
    """Text of a book's levels, best first, over which the checksum is made; `text` writes a number."""
    words_of_bids = [f"{text(ticks, price_decimals)}:{text(lots, size_decimals)}" for ticks, lots in bids[:CHECKSUM_DEPTH]]
    words_of_asks = [f"{text(ticks, price_decimals)}:-{text(lots, size_decimals)}" for ticks, lots in asks[:CHECKSUM_DEPTH]]
    return ":".join(word for word in chain.from_iterable(zip_longest(words_of_bids, words_of_asks)) if word is not None)


def book_checksum(instrument: Instrument, book: BookTop, announced: int | None = None) -> int:
    """Unsigned checksum of a book on the grid of `instrument`.

    Where a number below 1e-6 makes it differ from the `announced` one, the exchange may have written that number plainly, as its
    newer client library does: then that checksum is returned if it is the announced one.
    """
    grid = instrument.price_decimals, instrument.size_decimals
    usual = book.top_decimals(CHECKSUM_DEPTH, *grid, True)
    if TINY not in usual:
        return crc32(usual)
    bids, asks = book.bids(CHECKSUM_DEPTH), book.asks(CHECKSUM_DEPTH)
    text = book_text(bids, asks, *grid)
    made = crc32(text.encode("ascii"))
    if announced is not None and made != announced and "e-" in text:
        plain = crc32(book_text(bids, asks, *grid, plain_text).encode("ascii"))
        return announced if plain == announced else made
    return made


def signed(checksum: int) -> int:
    """The checksum as the exchange writes it: a signed 32-bit integer."""
    return checksum - (1 << 32) if checksum >> 31 else checksum


def unsigned(checksum: object) -> int:
    """Unsigned checksum of the exchange's integer. ValueError for anything but an integer of 32 bits."""
    if type(checksum) is not int or not -(1 << 31) <= checksum <= MASK32:
        raise ValueError("the checksum is not an integer of 32 bits")
    return checksum & MASK32
