"""Parsers of the fields of Bybit's messages. Each raises one of `protocol.NOT_UNDERSTOOD` for unexpected contents."""

import re
from typing import Any

from alphapulse_cli.exchanges.protocol import TEXT_KEPT
from alphapulse_cli.market.events import OffGrid, Side, Trade, Unrecognised
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import FinerThanGrid, to_ticks
from alphapulse_cli.market.trade_numbers import exact_trade

NS_PER_MS, NS_PER_US = 1_000_000, 1_000
LARGEST_MILLIS = 9_000_000_000_000  # in the year 2255, so that ns fit 63 bits; `exchanges.shape` has the same bounds
LEAST_MICROS, LARGEST_MICROS = 100_000_000_000_000, 9_000_000_000_000_000  # larger than any time in ms
TAKER_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
TRADE_ID = re.compile(r"[0-9A-Za-z-]{1,32}")  # longest trade id that a record holds; ids of spot trades are digits


def text(value: object) -> str:
    """Text of the exchange, cut to TEXT_KEPT characters: hostile. ValueError for any other type."""
    if not isinstance(value, str):
        raise ValueError("not text")  # noqa: TRY004 - one kind of error for all contents of a frame
    return value[:TEXT_KEPT]


def number(value: Any) -> int:
    """Update number or sequence, an integer of 63 bits."""
    if type(value) is not int or not 0 <= value <= MAX_TICKS:
        raise ValueError(f"not a number of an update: {value!r:.40}")
    return value


def time_ns(moment: Any) -> int:
    """Nanoseconds since 1970 of a time in ms, or in µs if it is too large for ms."""
    if type(moment) is int:
        if LEAST_MICROS <= moment <= LARGEST_MICROS:
            return moment * NS_PER_US
        if 0 <= moment <= LARGEST_MILLIS:
            return moment * NS_PER_MS
    raise ValueError(f"not a time in ms: {moment!r:.40}")


def book_time_ns(message: dict[str, Any]) -> int:
    """Time of a book message: the newer of `ts` (time of sending) and the optional `cts` (time of the matching engine)."""
    made_ns = time_ns(message["ts"])
    return max(made_ns, time_ns(message["cts"])) if "cts" in message else made_ns


def levels_of(instrument: Instrument, bids: Any, asks: Any) -> Levels:
    """Levels of [price, size] rows; FinerThanGrid where one is finer than the instrument's grid."""
    levels = empty_of(instrument)
    levels.add_pairs(_rows(bids), is_ask=False)
    levels.add_pairs(_rows(asks), is_ask=True)
    return levels


def off_grid(instrument: Instrument, bids: Any, asks: Any) -> OffGrid:
    """OffGrid event with the grid that all these rows need."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    for row in (*bids, *asks):
        prices, sizes = max(prices, _needed(row[0], prices)), max(sizes, _needed(row[1], sizes))
    return OffGrid(instrument, prices, sizes)


def trade_of(instrument: Instrument, row: dict[str, Any]) -> Trade:
    """Trade of a row of `publicTrade`."""
    trade_id, price, size = row["i"], row["p"], row["v"]
    if row["s"] != instrument.native:
        raise ValueError("a trade of another symbol")
    if type(trade_id) is not str or not TRADE_ID.fullmatch(trade_id):
        raise ValueError("the trade's id is not text of at most 32 letters and digits")
    if type(price) is not str or type(size) is not str:
        raise TypeError("price and size must be text")
    return exact_trade(instrument, trade_id, price, size, TAKER_SIDES[row["S"]], time_ns(row["T"]))


def unknown(kind: str, value: object) -> Unrecognised:
    """Unrecognised event that names the kind and the exchange's word."""
    return Unrecognised(f"{kind} {value}"[:TEXT_KEPT])


def _rows(value: Any) -> list[Any]:
    """Return the rows if each is a list; a text would pass for a row, its first two characters for price and size."""
    if type(value) is not list or not all(type(row) is list for row in value):
        raise ValueError("a side is not a list of rows")
    return value


def _needed(number_text: str, decimals: int) -> int:
    try:
        to_ticks(number_text, decimals)
    except FinerThanGrid as finer:
        return finer.needed_decimals
    return decimals
