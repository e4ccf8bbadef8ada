"""Trade record: 128 bytes, one trade. `TRADE_FIELDS` is the one definition of its layout."""

import struct
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from alphapulse_cli.market.events import Trade

if TYPE_CHECKING:
    import numpy as np

TRADE_BYTES, TRADE_ID_BYTES = 128, 32
HISTORY, FIRST, LAST = 1 << 0, 1 << 3, 1 << 4

TRADE_FIELDS = [
    ("timestamp_ns", "<u8", "receive time of the frame, CLOCK_REALTIME"),
    ("symbol", "S16", "BTC-USD, NUL-padded ASCII"),
    ("exchange", "S16", "kraken, NUL-padded ASCII"),
    ("price", "<f8", "rounded, for display; price_ticks is exact"),
    ("volume", "<f8", "rounded, for display; size_lots is exact"),
    ("side", "u1", "0 the taker bought, 1 the taker sold, 2 unknown"),
    ("trade_id", "S32", "the exchange's id, NUL-padded ASCII"),
    ("reserved", "V7", "zero"),
    ("price_ticks", "<i8", "price in ticks"),
    ("size_lots", "<i8", "size in lots"),
    ("exchange_ns", "<u8", "the exchange's time, since 1970; 0 = it gave none"),
    ("price_decimals", "u1", "0..18"),
    ("size_decimals", "u1", "0..18"),
    ("flags", "u1", "bit 0 HISTORY (from a subscription's snapshot), bits 3, 4 FIRST, LAST of a frame"),
    ("padding", "V5", "zero"),
]
RECORD = struct.Struct("<Q16s16sddB32s7xqqQBBB5x")
assert RECORD.size == TRADE_BYTES


@cache
def dtype() -> "np.dtype[np.void]":
    """Numpy structured dtype of the record, 128 bytes."""
    import numpy as np

    made = np.dtype([(name, kind) for name, kind, _ in TRADE_FIELDS])
    assert made.itemsize == TRADE_BYTES
    return made


def pack(trade: Trade, receive_ns: int, flags: int) -> bytes:
    """Make the record of a trade; `receive_ns` is CLOCK_REALTIME.

    ValueError for an id, price or size that does not fit: never cut.
    """
    instrument = trade.instrument
    trade_id = trade.trade_id.encode("ascii")
    if len(trade_id) > TRADE_ID_BYTES or b"\0" in trade_id:  # a NUL would be read as its end
        raise ValueError(f"trade id of {len(trade_id)} bytes: a record holds {TRADE_ID_BYTES}, none of them NUL")
    if trade.price_ticks <= 0:
        raise ValueError(f"trade price not above 0: {trade.price_ticks} ticks")
    try:
        return RECORD.pack(
            receive_ns,
            instrument.symbol.encode("ascii"),
            instrument.exchange.encode("ascii"),
            trade.price_ticks / 10**instrument.price_decimals,
            trade.size_lots / 10**instrument.size_decimals,
            trade.side,
            trade_id,
            trade.price_ticks,
            trade.size_lots,
            trade.exchange_ns or 0,
            instrument.price_decimals,
            instrument.size_decimals,
            flags | (HISTORY if trade.history else 0),
        )
    except struct.error as error:
        raise ValueError(f"trade does not fit its record: {error}") from None


def as_group(records: Sequence[bytes]) -> bytearray:
    """Join the records of one frame's trades in one buffer, FIRST set in the first, LAST in the last."""
    group = bytearray().join(records)
    flags_at = offsets()["flags"]
    group[flags_at] |= FIRST
    group[len(group) - TRADE_BYTES + flags_at] |= LAST
    return group


@cache
def offsets() -> dict[str, int]:
    """Field name -> byte offset."""
    sizes = {"<u8": 8, "<i8": 8, "<f8": 8, "u1": 1}
    found: dict[str, int] = {}
    at = 0
    for name, kind, _ in TRADE_FIELDS:
        found[name] = at
        at += sizes.get(kind) or int(kind[1:])
    return found
