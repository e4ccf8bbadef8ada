"""Number formats of Binance, for its simulator: decimal text with eight decimals, more if an instrument's grid is finer."""

from collections.abc import Sequence
from typing import Any

from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

WIRE_DECIMALS = 8


def wire_text(value: int, decimals: int) -> str:
    """Decimal text of a price or a size."""
    places, factor = _finest(decimals)
    return to_text(value * factor, places)


def money_text(value: int, decimals: int) -> str:
    """Decimal text of a quote amount, a sum of ticks times lots, truncated to eight decimals."""
    finer = max(decimals - WIRE_DECIMALS, 0)
    return to_text(value // 10**finer * 10 ** max(WIRE_DECIMALS - decimals, 0), WIRE_DECIMALS)


def _finest(decimals: int) -> tuple[int, int]:
    """Number of decimals to write, and the factor that scales an integer of `decimals` to it."""
    return max(WIRE_DECIMALS, decimals), 10 ** max(WIRE_DECIMALS - decimals, 0)


def price_text(instrument: Instrument, ticks: int) -> str:
    """Decimal text of a price."""
    return wire_text(ticks, instrument.price_decimals)


def size_text(instrument: Instrument, lots: int) -> str:
    """Decimal text of a size."""
    return wire_text(lots, instrument.size_decimals)


def quote_text(instrument: Instrument, quote: int) -> str:
    """Decimal text of a sum of ticks times lots, in the quote currency."""
    return money_text(quote, instrument.price_decimals + instrument.size_decimals)


def wire_rows(instrument: Instrument, levels: Sequence[Level]) -> list[list[str]]:
    """Rows [price, quantity] as text, of (ticks, lots)."""
    prices, price_factor = _finest(instrument.price_decimals)
    sizes, size_factor = _finest(instrument.size_decimals)
    return [[to_text(ticks * price_factor, prices), to_text(lots * size_factor, sizes)] for ticks, lots in levels]


def picture(truth: Truth, symbol: str, depth: int) -> dict[str, Any]:
    """Best `depth` levels per side: a REST snapshot, and the data of a partial depth frame."""
    instrument, (bids, asks) = truth.instruments[symbol], truth.book(symbol, depth)
    return {"lastUpdateId": truth.sequence(symbol), "bids": wire_rows(instrument, bids), "asks": wire_rows(instrument, asks)}
