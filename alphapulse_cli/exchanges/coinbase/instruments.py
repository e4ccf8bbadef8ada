"""Instruments of Coinbase's product records, of either REST interface.

    Advanced Trade   {"products":[{"product_id":"BTC-USD","price_increment":"0.01","base_increment":"0.00000001",…}]}
    Exchange         [{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001",…}]

A body of another format is refused. A record that is not a spot market, or has no usable increments, is left out: it cannot be
collected.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.coinbase.facts import FACTS
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.scan import MAX_DECIMALS, MAX_TICKS
from alphapulse_cli.market.ticks import FinerThanGrid, NumberError, decimals_of, to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus, stricter

ONLINE = "online"
STATUSES = {  # Coinbase's status word -> trading status of a product
    ONLINE: TradingStatus.TRADING,
    "offline": TradingStatus.SUSPENDED,
    "internal": TradingStatus.SUSPENDED,
    "delisted": TradingStatus.DELISTED,
}
FLAGS = {  # trading status by a record's flag; each may be set beside "online"
    "limit_only": TradingStatus.LIMIT_ONLY,
    "post_only": TradingStatus.POST_ONLY,
    "auction_mode": TradingStatus.AUCTION,
    "cancel_only": TradingStatus.CANCEL_ONLY,
    "view_only": TradingStatus.SUSPENDED,
    "trading_disabled": TradingStatus.SUSPENDED,
    "is_disabled": TradingStatus.SUSPENDED,
}


def parse_instruments(body: bytes, mode: str = "", ours: Mapping[str, Instrument] = NO_INSTRUMENTS) -> Sequence[Instrument]:
    """Spot instruments of a products answer; one of `ours`, by native name, whose record cannot be read is returned unchanged.

    DecodeError for any other body; KeyError for an unknown mode.
    """
    advanced = FACTS.mode(mode) is FACTS.modes[0]
    try:
        answer = orjson.loads(body)
        records = answer["products"] if advanced else answer
    except (ValueError, TypeError, KeyError) as error:
        raise DecodeError(f"not a products answer: {error}", body) from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DecodeError("not a list of product records", body)
    names = ("product_id", "price_increment") if advanced else ("id", "quote_increment")
    found = (_instrument(record, *names, ours) for record in records)
    return [instrument for instrument in found if instrument is not None]


def _instrument(record: dict[str, Any], id_key: str, tick_key: str, ours: Mapping[str, Instrument]) -> Instrument | None:
    """Instrument of a record; None if it cannot be collected."""
    if record.get("product_type", "SPOT") != "SPOT":
        return None
    try:
        product, alias = check_symbol(record[id_key]), record.get("alias") or ""
        price_decimals, tick_size = _increment(record[tick_key])
        size_decimals, lot_size = _increment(record["base_increment"])
        min_size = _lots_up(record.get("base_min_size") or "0", size_decimals)
        alias_of = check_symbol(alias) if alias else ""
    except (KeyError, TypeError, NumberError, UsageError):
        name = record.get(id_key)
        return ours.get(name) if isinstance(name, str) else None
    status, word = status_of(record)
    return Instrument(
        FACTS.name, product, product, price_decimals, size_decimals, tick_size, lot_size, min_size, status, alias_of, word
    )


def status_of(record: Mapping[str, Any]) -> tuple[TradingStatus, str]:
    """Strictest trading status in a record, and the exchange's words for it. A record without a status counts as online."""
    word = record.get("status") or ONLINE
    found = {flag: status for flag, status in FLAGS.items() if record.get(flag)}
    named_status = STATUSES.get(word, TradingStatus.UNKNOWN) if isinstance(word, str) else TradingStatus.UNKNOWN
    words = [*([] if word == ONLINE and found else [word if isinstance(word, str) else "no text"]), *found]
    return stricter(named_status, *found.values()), ", ".join(words)[:WORD_CHARACTERS]


def status_fields(status: TradingStatus) -> dict[str, Any]:
    """Fields of a record with this trading status; "unknown" if Coinbase has no word for it."""
    flagged = {flag: status is flag_status for flag, flag_status in FLAGS.items() if flag not in ("view_only", "is_disabled")}
    words = {flag_status: word for word, flag_status in STATUSES.items() if word in (ONLINE, "delisted")}
    return {"status": words.get(status, ONLINE if any(flagged.values()) else "unknown"), **flagged}


def _increment(text: object) -> tuple[int, int]:
    """(decimals, units of 10**-decimals) of an increment. NumberError if it is 0 or too large, TypeError if it is not text."""
    if not isinstance(text, str):
        raise TypeError("the increment must be text")
    decimals = decimals_of(text)
    units = to_ticks(text, min(decimals, MAX_DECIMALS))
    if not 0 < units <= MAX_TICKS:
        raise NumberError(f"not an increment: {text[:40]!r}")
    return decimals, units


def _lots_up(text: object, decimals: int) -> int:
    """Smallest order size in lots, rounded up to whole lots."""
    if not isinstance(text, str):
        raise TypeError("the size must be text")
    try:
        return to_ticks(text, decimals)
    except FinerThanGrid as finer:
        lot: int = 10 ** (finer.needed_decimals - decimals)
        return -(-to_ticks(text, finer.needed_decimals) // lot)
