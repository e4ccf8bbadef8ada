"""The body of `exchangeInfo` to instruments. `BTCUSDT` has no separator: base and quote are read, never guessed by splitting."""

from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.market.instrument import MAX_DECIMALS, Instrument
from alphapulse_cli.market.ticks import decimals_of, to_ticks

UNSAID_DECIMALS = 8  # an increment of zero means that the exchange does not enforce one; its numbers have eight decimals


def parse_instruments(body: bytes, mode: str = "", exchange: str = "binance-us") -> list[Instrument]:
    """Every symbol of the body, trading or not; both modes share them. DecodeError if one of them is not understood."""
    del mode
    try:
        return [_instrument(exchange, row) for row in orjson.loads(body)["symbols"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DecodeError(f"{exchange}: instrument metadata not understood: {error!r}", body) from error


def _instrument(exchange: str, row: dict[str, Any]) -> Instrument:
    filters = {each["filterType"]: each for each in row["filters"]}
    tick, lot, smallest = filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"], filters["LOT_SIZE"]["minQty"]
    price_decimals = _decimals(tick)
    size_decimals = max(_decimals(lot), decimals_of(smallest))
    if not row["baseAsset"] or not row["quoteAsset"] or max(price_decimals, size_decimals) > MAX_DECIMALS:
        raise ValueError(f"no instrument: {str(row['symbol'])[:40]!r}")
    return Instrument(
        exchange=exchange,
        symbol=f"{row['baseAsset'].upper()}-{row['quoteAsset'].upper()}",
        native=str(row["symbol"]),
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_size_ticks=to_ticks(tick, price_decimals) or 1,
        lot_size_lots=to_ticks(lot, size_decimals) or 1,
        min_size_lots=to_ticks(smallest, size_decimals),
        trading=row["status"] == "TRADING",
    )


def _decimals(increment: str) -> int:
    return decimals_of(increment) if increment.strip("0.") else UNSAID_DECIMALS
