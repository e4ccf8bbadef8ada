"""Kraken's instrument metadata in its two forms: REST `AssetPairs` and the WebSocket channel `instrument`.

The grid of a pair is its *precision*, since the checksum is rendered with it; the tick size may be several ticks of that grid. REST
names XBT and XDG and has numbers as text, WebSocket v2 names BTC and DOGE and has JSON numbers. BASE/QUOTE becomes BASE-QUOTE here.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.instrument_rows import NO_INSTRUMENTS, understood
from alphapulse_cli.exchanges.kraken.facts import NAME
from alphapulse_cli.exchanges.protocol import NOT_UNDERSTOOD
from alphapulse_cli.market.instrument import Instrument, check_symbol
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import FinerThanGrid, number_to_ticks
from alphapulse_cli.market.trading_status import WORD_CHARACTERS, TradingStatus

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}  # asset names: REST's -> WebSocket v2's
REST_NAMES = {ours: theirs for theirs, ours in RENAMED.items()}
TRADES_PATH = "/0/public/Trades"
STATUSES = {  # Kraken's status word -> trading status of a pair
    "online": TradingStatus.TRADING,
    "limit_only": TradingStatus.LIMIT_ONLY,
    "post_only": TradingStatus.POST_ONLY,
    "cancel_only": TradingStatus.CANCEL_ONLY,
    "reduce_only": TradingStatus.CANCEL_ONLY,  # orders may only reduce a position
    "maintenance": TradingStatus.SUSPENDED,
    "work_in_progress": TradingStatus.SUSPENDED,
    "delisted": TradingStatus.DELISTED,
}
WORDS = {status: word for word, status in reversed(STATUSES.items())}  # trading status -> Kraken's usual word


def parse_instruments(
    body: bytes,
    mode: str = "",  # noqa: ARG001  # one mode only
    ours: Mapping[str, Instrument] = NO_INSTRUMENTS,
) -> list[Instrument]:
    """Instruments of a REST `AssetPairs` answer. DecodeError for any other body, or if no pair is understood.

    Left out: pairs without a WebSocket name, those whose symbol or precision our records cannot hold, and those that are not
    understood and not among `ours`, by native name.
    """
    try:
        answer = orjson.loads(body)
        if answer["error"]:
            words = ", ".join(map(str, answer["error"]))
            raise DecodeError(f"kraken answers {words[:100]!r}", body)
        return understood(answer["result"].values(), _from_rest, ours, _native_of)
    except NOT_UNDERSTOOD as error:
        raise DecodeError(f"not an AssetPairs answer: {type(error).__name__}", body) from error


def rest_name(native: str) -> str:
    """REST name of a pair: XBT/USD for BTC/USD."""
    return "/".join(REST_NAMES.get(asset, asset) for asset in native.split("/"))


def trades_path(native: str, since_ns: int) -> str:
    """REST path of the first 1,000 trades at or after `since_ns` (since 1970), of the last 1,000 for 0."""
    since = f"&since={since_ns - 1}" if since_ns > 0 else ""
    return f"{TRADES_PATH}?pair={quote(rest_name(native).replace('/', ''))}&count=1000{since}"


def from_websocket(pair: Mapping[str, Any]) -> Instrument | None:
    """Instrument of a pair of the channel `instrument`; None if our records cannot hold it.

    Raises KeyError, TypeError, ValueError.
    """
    return _instrument(
        pair["symbol"],
        (pair["price_precision"], pair["qty_precision"]),
        (pair["price_increment"], pair["qty_increment"], pair["qty_min"]),
        pair["status"],
    )


def _native_of(pair: Mapping[str, Any]) -> str:
    return "/".join(RENAMED.get(asset, asset) for asset in pair["wsname"].split("/"))


def _from_rest(pair: Mapping[str, Any]) -> Instrument | None:
    if "wsname" not in pair:  # dark pools have none
        return None
    return _instrument(
        _native_of(pair),
        (pair["pair_decimals"], pair["lot_decimals"]),
        (pair.get("tick_size"), None, pair.get("ordermin")),  # answers of 2021 have neither tick size nor status
        pair.get("status", "online"),
    )


def _instrument(
    native: str, precisions: tuple[int, int], increments: tuple[object, object, object], status: str
) -> Instrument | None:
    """Instrument of a pair; None if no record can hold it (name too long, precision above 18 decimals)."""
    if not isinstance(status, str):
        raise TypeError("the status must be text")
    for precision in precisions:
        if type(precision) is not int or precision < 0:
            raise ValueError("the precision is not a number of decimals")
    if max(precisions) > MAX_DECIMALS:
        return None
    try:
        symbol = check_symbol(native.replace("/", "-"))
    except UsageError:
        return None
    tick, lot, least = increments
    return Instrument(
        exchange=NAME,
        symbol=symbol,
        native=native,
        price_decimals=precisions[0],
        size_decimals=precisions[1],
        tick_size_ticks=_units(tick, precisions[0]) or 1,
        lot_size_lots=_units(lot, precisions[1]) or 1,
        min_size_lots=_units(least, precisions[1]),
        trading_status=STATUSES.get(status, TradingStatus.UNKNOWN),
        status_word=status[:WORD_CHARACTERS],
    )


def status_word(instrument: Instrument) -> str:
    """Kraken's word for an instrument's trading status; "unknown" if Kraken has no word for it."""
    return instrument.status_word or WORDS.get(instrument.trading_status, "unknown")


def _units(increment: object, decimals: int) -> int:
    """Increment in units of the grid; 0 if it is missing or finer than the precision."""
    if increment is None:
        return 0
    try:
        return number_to_ticks(repr(increment) if isinstance(increment, float) else increment, decimals)
    except FinerThanGrid:
        return 0
