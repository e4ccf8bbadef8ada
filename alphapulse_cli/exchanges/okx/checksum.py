"""OKX's book checksum, which its messages carried until June 2026: a CRC-32, signed, over the text of the 25 best levels a side.

    bid 1, ask 1, bid 2, ask 2, … each as price:size, all joined by ":"; where one side ends the other goes on alone

    bids 3366.1 x 7, 3366 x 6; asks 3366.8 x 9, 3368 x 8    ->    "3366.1:7:3366.8:9:3366:6:3368:8"    ->    -1881014294

The text is the one that was sent. OKX writes numbers without trailing zeros, so it follows from the integers of any grid.
"""

from itertools import chain, zip_longest
from zlib import crc32

from alphapulse_cli.exchanges.protocol import BookTop, Level
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text

CHECKSUM_DEPTH = 25
SIGN_BIT = 1 << 31


def book_checksum(instrument: Instrument, book: BookTop) -> int:
    """Checksum that this book must have, a signed integer of 32 bits."""
    pairs = zip_longest(book.bids(CHECKSUM_DEPTH), book.asks(CHECKSUM_DEPTH))
    texts = [_text(instrument, level) for level in chain.from_iterable(pairs) if level is not None]
    unsigned = crc32(":".join(texts).encode("ascii"))
    return (unsigned ^ SIGN_BIT) - SIGN_BIT


def _text(instrument: Instrument, level: Level) -> str:
    ticks, lots = level
    return f"{trim_text(ticks, instrument.price_decimals)}:{trim_text(lots, instrument.size_decimals)}"
