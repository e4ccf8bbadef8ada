"""Coinbase's product records, of either REST interface, as instruments.

    Advanced Trade   {"products":[{"product_id":"BTC-USD","price_increment":"0.01","base_increment":"0.00000001",…}]}
    Exchange         [{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001",…}]

A body of another shape is refused. A record that names no spot market, or no increments to count in, is left out: it cannot be
collected, and must not take all the others with it.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.coinbase.facts import FACTS
from alphapulse_cli.market.instrument import MAX_DECIMALS, Instrument, check_symbol
from alphapulse_cli.market.ticks import MAX_TICKS, FinerThanGrid, NumberError, decimals_of, to_ticks

NOT_TRADED = ("trading_disabled", "is_disabled", "view_only", "cancel_only")


def parse_instruments(body: bytes, mode: str = "") -> Sequence[Instrument]:
    """The spot instruments of a products answer. DecodeError if it is none; KeyError for a mode that there is not."""
    advanced = FACTS.mode(mode) is FACTS.modes[0]
    try:
        answer = orjson.loads(body)
        records = answer["products"] if advanced else answer
    except (ValueError, TypeError, KeyError) as error:
        raise DecodeError(f"not a products answer: {error}", body) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DecodeError("not a list of product records", body)
    names = ("product_id", "price_increment") if advanced else ("id", "quote_increment")
    found = (_instrument(record, *names) for record in records)
    return [instrument for instrument in found if instrument is not None]


def _instrument(record: dict[str, Any], id_key: str, tick_key: str) -> Instrument | None:
    """The instrument of a record, or None where it cannot be one of ours."""
    if record.get("product_type", "SPOT") != "SPOT":
        return None
    try:
        product, alias = check_symbol(record[id_key]), record.get("alias") or ""
        price_decimals, tick_size = _increment(record[tick_key])
        size_decimals, lot_size = _increment(record["base_increment"])
        min_size = _lots_up(record.get("base_min_size") or "0", size_decimals)
        alias_of = check_symbol(alias) if alias else ""
    except (KeyError, TypeError, NumberError, UsageError):
        return None
    trading = record.get("status", "online") == "online" and not any(record.get(flag) for flag in NOT_TRADED)
    return Instrument(FACTS.name, product, product, price_decimals, size_decimals, tick_size, lot_size, min_size, trading, alias_of)


def _increment(text: object) -> tuple[int, int]:
    """(decimals, units of 10**-decimals) of an increment; a NumberError for what nothing can be counted in."""
    if not isinstance(text, str):
        raise TypeError("an increment is text")
    decimals = decimals_of(text)
    units = to_ticks(text, min(decimals, MAX_DECIMALS))
    if not 0 < units <= MAX_TICKS:
        raise NumberError(f"not an increment: {text[:40]!r}")
    return decimals, units


def _lots_up(text: object, decimals: int) -> int:
    """Lots of a smallest size, rounded up where it lies between two."""
    if not isinstance(text, str):
        raise TypeError("a size is text")
    try:
        return to_ticks(text, decimals)
    except FinerThanGrid as finer:
        lot: int = 10 ** (finer.needed_decimals - decimals)
        return -(-to_ticks(text, finer.needed_decimals) // lot)
