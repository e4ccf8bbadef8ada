"""Example's instrument metadata: GET /instruments.

{"instruments":[{"name":"BTC_USD","tick":"0.01","lot":"0.00000001","min":"0.00001","status":"open"}]}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.example.facts import NAME
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.ticks import decimals_of, to_text, to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus

STATUSES = {"open": TradingStatus.TRADING, "cancel_only": TradingStatus.CANCEL_ONLY, "halted": TradingStatus.SUSPENDED}
WORDS = {status: word for word, status in STATUSES.items()}


def parse_instruments(body: bytes, mode: str = "", ours: Mapping[str, Instrument] = NO_INSTRUMENTS) -> Sequence[Instrument]:  # noqa: ARG001
    """Instruments of the answer; one of `ours` whose row cannot be read is returned unchanged. DecodeError for any other body."""
    try:
        return understood(orjson.loads(body)["instruments"], _read, ours, lambda row: str(row["name"]))
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"not an answer of instruments: {str(error)[:80]!r}", body) from error


def _read(row: dict[str, Any]) -> Instrument | None:
    """Instrument of a row; None for a market whose name is not BASE_QUOTE, which cannot be collected."""
    native, word = row["name"], row["status"]
    tick, lot = decimals_of(row["tick"]), decimals_of(row["lot"])
    try:
        symbol = check_symbol(native.replace("_", "-"))
    except UsageError:
        return None
    return Instrument(
        NAME,
        symbol,
        native,
        tick,
        lot,
        tick_size_ticks=to_ticks(row["tick"], tick),
        lot_size_lots=to_ticks(row["lot"], lot),
        min_size_lots=to_ticks(row["min"], lot),
        trading_status=STATUSES.get(word, TradingStatus.UNKNOWN),
        status_word=str(word)[:WORD_CHARACTERS],
    )


def instrument_row(instrument: Instrument) -> dict[str, str]:
    """Row of the answer for this instrument, the reverse of `parse_instruments`."""
    return {
        "name": instrument.native,
        "tick": to_text(instrument.tick_size_ticks, instrument.price_decimals),
        "lot": to_text(instrument.lot_size_lots, instrument.size_decimals),
        "min": to_text(instrument.min_size_lots, instrument.size_decimals),
        "status": WORDS.get(instrument.trading_status, "unknown"),
    }
