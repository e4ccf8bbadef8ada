"""OKX's book checksum, which its messages carried until June 2026: a CRC-32, signed, over the text of the 25 best levels per side.

    bid 1, ask 1, bid 2, ask 2, … each as price:size, all joined by ":"; after the shorter side ends, the longer one continues alone

    bids 3366.1 x 7, 3366 x 6; asks 3366.8 x 9, 3368 x 8    ->    "3366.1:7:3366.8:9:3366:6:3368:8"    ->    -1881014294

The text is as sent by OKX, without trailing zeros, so it can be computed from the integers of any grid.
"""

from zlib import crc32

from alphapulse_cli.exchanges.okx.facts import CHECKSUM_DEPTH
from alphapulse_cli.exchanges.protocol import BookTop
from alphapulse_cli.market.instrument import Instrument

SIGN_BIT = 1 << 31


def book_checksum(instrument: Instrument, book: BookTop) -> int:
    """Checksum that this book must have, a signed integer of 32 bits."""
    return (crc32(book_text(instrument, book)) ^ SIGN_BIT) - SIGN_BIT


def book_text(instrument: Instrument, book: BookTop) -> bytes:
    """Text that the checksum of a book covers."""
    return book.top_decimals(CHECKSUM_DEPTH, instrument.price_decimals, instrument.size_decimals, False)
