"""Instruments of an answer to `public/instruments`, spot markets only. `BTC-USDT` is BASE-QUOTE already.

Left out are other kinds (their sizes are contracts), names that our records cannot hold, grids finer than 18 decimals, and rows
that are not understood: they must not spoil the others.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.okx.facts import NAME
from alphapulse_cli.exchanges.okx.fields import answered
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD, TEXT_KEPT
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import decimals_of, to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus

SPOT = "SPOT"
STATUSES = {  # OKX's status word -> trading status of an instrument
    "live": TradingStatus.TRADING,
    "suspend": TradingStatus.SUSPENDED,
    "preopen": TradingStatus.SUSPENDED,
    "test": TradingStatus.SUSPENDED,
}
WORDS = {status: word for word, status in reversed(STATUSES.items())} | {TradingStatus.SUSPENDED: "suspend"}  # the usual ones


def parse_instruments(
    body: bytes,
    mode: str = "",  # noqa: ARG001 - all modes have the same
    ours: Mapping[str, Instrument] = NO_INSTRUMENTS,
) -> list[Instrument]:
    """Spot instruments of the body, trading or not. DecodeError for OKX's error, or if no row is understood."""
    try:
        return understood(answered(body), _instrument, ours, itemgetter("instId"))
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"{NAME}: instrument metadata not understood: {error!r:.{TEXT_KEPT}}", body) from error


def parse_volumes(body: bytes) -> dict[str, tuple[float, float]]:
    """Volumes of 24 hours in the base currency, and last prices, by native name. DecodeError if the body is not understood.

    Left out: markets without any trade yet, which have no last price.
    """
    try:
        return {row["instId"]: (float(row["vol24h"]), float(row["last"])) for row in answered(body) if row["last"]}
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"{NAME}: volumes not understood: {error!r:.{TEXT_KEPT}}", body) from error


def _instrument(row: dict[str, Any]) -> Instrument | None:
    if row.get("instType", SPOT) != SPOT:
        return None
    native, tick, lot, smallest = row["instId"], row["tickSz"], row["lotSz"], row["minSz"]
    if not isinstance(native, str):
        raise TypeError("the name must be text")
    price_decimals, size_decimals = decimals_of(tick), max(decimals_of(lot), decimals_of(smallest))
    try:
        symbol = check_symbol(f"{row['baseCcy']}-{row['quoteCcy']}")
    except UsageError:
        return None
    if max(price_decimals, size_decimals) > MAX_DECIMALS or native != symbol:
        return None
    return Instrument(
        exchange=NAME,
        symbol=symbol,
        native=native,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        tick_size_ticks=to_ticks(tick, price_decimals) or 1,
        lot_size_lots=to_ticks(lot, size_decimals) or 1,
        min_size_lots=to_ticks(smallest, size_decimals),
        trading_status=STATUSES.get(row["state"], TradingStatus.UNKNOWN),
        status_word=row["state"][:WORD_CHARACTERS],
    )


def status_word(instrument: Instrument) -> str:
    """OKX's word for an instrument's trading status; "unknown" if OKX has no word for it."""
    return instrument.status_word or WORDS.get(instrument.trading_status, "unknown")
