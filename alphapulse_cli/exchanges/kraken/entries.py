"""Parsers of one entry of a `book` or `trade` frame: the stateless half of the decoder. An entry is parsed in full or refused.

Numbers are read from the doubles of the parsed frame if those determine the decimals exactly, else from its raw tokens (rule K7 of
`decoder`). An entry that is not understood raises one of `protocol.NOT_UNDERSTOOD`; the decoder turns that into a DecodeError.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from alphapulse_cli.exchanges.protocol import TEXT_KEPT
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.market.events import OffGrid, Side, Snapshot, Trade, Unrecognised, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import FinerThanGrid, NeedsRawText, decimals_of, to_ticks
from alphapulse_cli.market.trade_numbers import exact_trade

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
FETCHED_SIDES = {"b": Side.BUY, "s": Side.SELL}
BookKind = type[Snapshot] | type[Update]
Json = dict[str, Any]


def read_book(
    kind: BookKind, instrument: Instrument, entry: Json, raw: Callable[[], Json], depth: int
) -> Snapshot | Update | OffGrid:
    """Book event of an entry; `raw` returns the same entry with its numbers as text."""
    crc, moment = entry["checksum"], entry.get("timestamp")
    if type(crc) is not int or not 0 <= crc < 1 << 32:
        raise ValueError("the checksum is not an integer of 32 bits")
    exchange_ns = None if moment is None else time_ns(moment)
    try:
        try:
            levels = _levels(instrument, entry)
        except NeedsRawText:
            levels = _levels(instrument, raw())
    except FinerThanGrid:
        exact = raw()
        return _off_grid(instrument, exact["bids"] + exact["asks"])
    return kind(instrument, levels, exchange_ns, crc, depth)


def read_trade(instrument: Instrument, entry: Json, raw: Callable[[], Json], *, history: bool) -> Trade:
    """Trade of an entry; `raw` as for `read_book`."""
    trade_id = entry["trade_id"]
    if type(trade_id) is not int or not 0 <= trade_id <= MAX_TICKS:  # so a difference of two ids fits a counter
        raise ValueError("the trade id is not an integer of 63 bits")
    side, exchange_ns = SIDES[entry["side"]], time_ns(entry["timestamp"])
    try:
        return exact_trade(instrument, str(trade_id), entry["price"], entry["qty"], side, exchange_ns, history=history)
    except NeedsRawText:
        exact = raw()
        return exact_trade(instrument, str(trade_id), exact["price"], exact["qty"], side, exchange_ns, history=history)


def fetched_rows(body: bytes) -> list[Any]:
    """Rows of a `Trades` answer, numbers as text: [price, volume, time, side, type, misc, id]. ValueError for Kraken's error."""
    answer = json.loads(body, parse_float=str, parse_int=str)
    if rows(answer["error"]):
        raise ValueError(text(answer["error"][0]))
    found = [rows(value) for name, value in answer["result"].items() if name != "last"]
    return [rows(row) for part in found for row in part]


def read_fetched_trade(instrument: Instrument, row: list[Any]) -> Trade:
    """Trade of a row of `fetched_rows`, marked as history."""
    price, size, moment, side, trade_id = row[0], row[1], row[2], row[3], int(row[6])
    if not 0 <= trade_id <= MAX_TICKS:
        raise ValueError("the trade id is not an integer of 63 bits")
    if type(price) is not str or type(size) is not str:
        raise TypeError("price and size must be text")
    return exact_trade(instrument, str(trade_id), price, size, FETCHED_SIDES[side], to_ticks(moment, 9), history=True)


def raw_entry(frame: bytes, index: int) -> Json:
    """Entry `index` of the frame's data, its numbers as the text that was sent."""
    entry: Json = json.loads(bytes(frame), parse_float=str, parse_int=str)["data"][index]
    return entry


def rows(value: object) -> list[Any]:
    """Return the value if it is a list; ValueError for any other type, so that no text or object passes for a list."""
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004 - one kind of error for all contents of a frame
    return value


def text(value: object) -> str:
    """Text of the exchange, cut to TEXT_KEPT characters: hostile. ValueError for any other type."""
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004
    return value[:TEXT_KEPT]


def time_ns(value: str) -> int:
    """Nanoseconds since 1970 of the exchange's time. ValueError for a time before 1970, which no record can hold."""
    ns = rfc3339_ns(value)
    if ns < 0:
        raise ValueError("the time is before 1970")
    return ns


def unknown(kind: str, value: object) -> Unrecognised:
    """Unrecognised event that names the kind and the exchange's word."""
    return Unrecognised(f"{kind} {value}"[:TEXT_KEPT])


def _levels(instrument: Instrument, entry: Json) -> Levels:
    levels = empty_of(instrument)
    levels.add_dicts(rows(entry["bids"]), "price", "qty", False)
    levels.add_dicts(rows(entry["asks"]), "price", "qty", True)
    return levels


def _off_grid(instrument: Instrument, exact: Sequence[Json]) -> OffGrid:
    """K7: OffGrid with the decimals that all these rows need, from their raw tokens."""
    prices = max(decimals_of(str(row["price"])) for row in exact)
    sizes = max(decimals_of(str(row["qty"])) for row in exact)
    return OffGrid(instrument, max(prices, instrument.price_decimals), max(sizes, instrument.size_decimals))
