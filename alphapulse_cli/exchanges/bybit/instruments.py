"""Instruments of an `instruments-info` answer, volumes of a `tickers` answer.

`BTCUSDT` has no separator: base and quote are read from their fields, never split.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.bybit.facts import NAME
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, TEXT_KEPT
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import decimals_of, to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus

MAX_NATIVE = 32  # characters; the longest known symbol has half of that
STATUSES = {  # Bybit's status word -> trading status of a symbol
    "Trading": TradingStatus.TRADING,
    "PreLaunch": TradingStatus.SUSPENDED,
    "Delivering": TradingStatus.SUSPENDED,
    "Closed": TradingStatus.DELISTED,
}
WORDS = {status: word for word, status in reversed(STATUSES.items())}  # the usual ones


def parse_instruments(
    body: bytes,
    mode: str = "",  # noqa: ARG001  # one mode only
    ours: Mapping[str, Instrument] = NO_INSTRUMENTS,
) -> list[Instrument]:
    """Instruments of an `instruments-info` answer. DecodeError for any other body, or if no row is understood.

    Left out: symbols that our records cannot name or hold, and rows that are not understood and not among `ours`, by native name.
    """
    try:
        return understood(_rows(body), _instrument, ours, itemgetter("symbol"))
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"not an instruments-info answer: {type(error).__name__}", body) from error


def parse_volumes(body: bytes) -> dict[str, tuple[float, float]]:
    """Volumes of 24 hours in the base currency, and last prices, by native name. DecodeError if the body is not understood.

    Left out: markets without any trade yet, which have no last price.
    """
    try:
        return {row["symbol"]: (float(row["volume24h"]), float(row["lastPrice"])) for row in _rows(body) if row["lastPrice"]}
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"bybit: volumes not understood: {type(error).__name__}", body) from error


def _rows(body: bytes) -> list[Any]:
    """Rows of an answer. DecodeError for Bybit's error."""
    answer = orjson.loads(body)
    if answer["retCode"] != 0:
        raise DecodeError(f"bybit answers {str(answer.get('retMsg', ''))[:TEXT_KEPT]!r}", body)
    found: list[Any] = answer["result"]["list"]
    return found


def _instrument(row: Mapping[str, Any]) -> Instrument | None:
    sizes, native, status = row["lotSizeFilter"], row["symbol"], row["status"]
    tick, lot = row["priceFilter"]["tickSize"], sizes["basePrecision"]
    least = sizes.get("minOrderQty") or "0"
    if not isinstance(native, str) or not isinstance(status, str):
        raise TypeError("the symbol and its status must be text")
    price_decimals, size_decimals = decimals_of(tick), max(decimals_of(lot), decimals_of(least))
    try:
        symbol = check_symbol(f"{row['baseCoin'].upper()}-{row['quoteCoin'].upper()}")
    except UsageError:
        return None
    if max(price_decimals, size_decimals) > MAX_DECIMALS or len(native) > MAX_NATIVE:
        return None
    return Instrument(
        exchange=NAME,
        symbol=symbol,
        native=native,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_size_ticks=to_ticks(tick, price_decimals) or 1,
        lot_size_lots=to_ticks(lot, size_decimals) or 1,
        min_size_lots=to_ticks(least, size_decimals),
        trading_status=STATUSES.get(status, TradingStatus.UNKNOWN),
        status_word=status[:WORD_CHARACTERS],
    )


def status_word(instrument: Instrument) -> str:
    """Bybit's word for an instrument's trading status; "Unknown" if Bybit has no word for it."""
    return instrument.status_word or WORDS.get(instrument.trading_status, "Unknown")
