"""Instruments of an `exchangeInfo` body. `BTCUSDT` has no separator: base and quote are read from their fields, never split.

Left out are symbols that our records cannot name (too long, or not in ASCII: Binance lists some in Chinese), those whose grid is
finer than 18 decimals, and rows that are not understood: they must not spoil the others.
"""

from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, TEXT_KEPT
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import decimals_of, to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus

MAX_NATIVE = 32  # characters; the longest known symbol has half of that
STATUSES = {  # Binance's status word -> trading status of a symbol
    "TRADING": TradingStatus.TRADING,
    "AUCTION_MATCH": TradingStatus.AUCTION,
    "PRE_TRADING": TradingStatus.SUSPENDED,
    "PENDING_TRADING": TradingStatus.SUSPENDED,
    "POST_TRADING": TradingStatus.SUSPENDED,
    "END_OF_DAY": TradingStatus.SUSPENDED,
    "HALT": TradingStatus.SUSPENDED,
    "BREAK": TradingStatus.SUSPENDED,  # also of delisted symbols, which stay in the answer
}
WORDS = {status: word for word, status in reversed(STATUSES.items())} | {TradingStatus.SUSPENDED: "HALT"}  # the usual ones
UNSAID_DECIMALS = 8  # of an increment of zero, which the exchange does not enforce: its numbers have eight decimals


def parse_instruments(
    body: bytes, mode: str = "", exchange: str = "binance-us", ours: Mapping[str, Instrument] = NO_INSTRUMENTS
) -> list[Instrument]:
    """All instruments of the body, trading or not, for both modes. DecodeError if none of its rows is understood."""
    del mode
    try:
        return understood(orjson.loads(body)["symbols"], partial(_instrument, exchange), ours, itemgetter("symbol"))
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"{exchange}: instrument metadata not understood: {error!r:.{TEXT_KEPT}}", body) from error


def parse_volumes(body: bytes, exchange: str = "binance-us") -> dict[str, tuple[float, float]]:
    """Volumes of 24 hours in the base currency, and last prices, by native symbol. DecodeError if the body is not understood."""
    try:
        rows = orjson.loads(body)
        if type(rows) is not list:
            raise TypeError("volumes are not an array")
        return {row["symbol"]: (float(row["volume"]), float(row["lastPrice"])) for row in rows}
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"{exchange}: volumes not understood: {error!r:.{TEXT_KEPT}}", body) from error


def _instrument(exchange: str, row: dict[str, Any]) -> Instrument | None:
    filters = {each["filterType"]: each for each in row["filters"]}
    tick, lot, smallest = filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"], filters["LOT_SIZE"]["minQty"]
    price_decimals = _decimals(tick)
    size_decimals = max(_decimals(lot), decimals_of(smallest))
    native = row["symbol"]
    if not isinstance(native, str):
        raise TypeError("the symbol must be text")
    try:
        symbol = check_symbol(f"{row['baseAsset'].upper()}-{row['quoteAsset'].upper()}")
    except UsageError:
        return None
    if max(price_decimals, size_decimals) > MAX_DECIMALS or len(native) > MAX_NATIVE:
        return None
    return Instrument(
        exchange=exchange,
        symbol=symbol,
        native=native,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_size_ticks=to_ticks(tick, price_decimals) or 1,
        lot_size_lots=to_ticks(lot, size_decimals) or 1,
        min_size_lots=to_ticks(smallest, size_decimals),
        trading_status=STATUSES.get(row["status"], TradingStatus.UNKNOWN),
        status_word=row["status"][:WORD_CHARACTERS],
    )


def status_word(instrument: Instrument) -> str:
    """Binance's word for an instrument's trading status; "UNKNOWN" if Binance has no word for it."""
    return instrument.status_word or WORDS.get(instrument.trading_status, "UNKNOWN")


def _decimals(increment: str) -> int:
    return decimals_of(increment) if increment.strip("0.") else UNSAID_DECIMALS
