"""Parsers of the fields of Binance's messages. Each raises ValueError, TypeError, KeyError or IndexError for any other contents.

A level finer than the instrument's grid raises OffGridFound instead, whose event names the grid that the whole message needs.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from alphapulse_cli.market.events import OffGrid, Side, Trade, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import FinerThanGrid, to_ticks
from alphapulse_cli.market.trade_numbers import exact_trade

NS_PER_MS, NS_PER_US = 1_000_000, 1_000
MAX_MS = 9_000_000_000_000  # of the year 2255: ns still fit 63 bits
MIN_US, MAX_US = 100_000_000_000_000, 9_000_000_000_000_000  # from 1973 on: no time in ms is that large


class OffGridFound(Exception):
    """Abort of the parsing of a message, with the OffGrid event that it leads to."""

    def __init__(self, event: OffGrid) -> None:
        super().__init__()
        self.event = event


def data_of(message: dict[str, Any]) -> dict[str, Any]:
    """Payload of a frame, either wrapped with its stream's name or bare."""
    data: dict[str, Any] = message.get("data", message)
    return data


def update_of(instrument: Instrument, data: dict[str, Any]) -> Update:
    """Update of a depthUpdate's payload."""
    return Update(instrument, levels_of(instrument, data["b"], data["a"]), nanoseconds(data["E"]))


def levels_of(instrument: Instrument, bids: Any, asks: Any) -> Levels:
    """Levels of [price, quantity] rows."""
    if type(bids) is not list or type(asks) is not list:
        raise TypeError("the levels are not an array")
    levels = empty_of(instrument)
    try:
        if bids:  # most messages have one side only
            levels.add_pairs(bids, False)
        if asks:
            levels.add_pairs(asks, True)
    except FinerThanGrid:
        raise OffGridFound(off_grid(instrument, [*bids, *asks])) from None
    return levels


def off_grid(instrument: Instrument, rows: Iterable[Sequence[str]]) -> OffGrid:
    """OffGrid with the grid that all these [price, size] rows need. NumberError for a value that is no number."""
    prices, sizes = instrument.price_decimals, instrument.size_decimals
    for row in rows:
        prices, sizes = max(prices, _needed(row[0], prices)), max(sizes, _needed(row[1], sizes))
    return OffGrid(instrument, prices, sizes)


def _needed(text: str, decimals: int) -> int:
    try:
        to_ticks(text, decimals)
    except FinerThanGrid as finer:
        return finer.needed_decimals
    return decimals


def integer(value: Any) -> int:
    """Id, an integer of 63 bits, so that a difference of two ids fits a counter. ValueError for any other value."""
    if type(value) is not int or not 0 <= value <= MAX_TICKS:
        raise ValueError(f"not an id: {value!r:.40}")
    return value


def nanoseconds(moment: Any) -> int:
    """Exchange time in nanoseconds since 1970, from ms, or from µs where the connection asks for them (`timeUnit=MICROSECOND`)."""
    if type(moment) is int:
        if 0 <= moment <= MAX_MS:
            return moment * NS_PER_MS
        if MIN_US <= moment <= MAX_US:
            return moment * NS_PER_US
    raise ValueError(f"not a time in ms or µs: {moment!r:.40}")


def trade_of(instrument: Instrument, data: dict[str, Any]) -> tuple[int, Trade]:
    """Number and trade of a `trade` frame's payload."""
    return _trade(instrument, data["t"], data["p"], data["q"], data["T"], data["m"])


def fetched_trade_of(instrument: Instrument, row: dict[str, Any]) -> tuple[int, Sequence[Trade]]:
    """Number and trades of a row of GET trades, in the form of `TradeIds`."""
    number, trade = _trade(instrument, row["id"], row["price"], row["qty"], row["time"], row["isBuyerMaker"])
    return number, (trade,)


def _trade(instrument: Instrument, trade_id: Any, price: Any, size: Any, moment: Any, buyer_is_maker: Any) -> tuple[int, Trade]:
    number = integer(trade_id)
    if type(buyer_is_maker) is not bool:
        raise ValueError(f"m is neither true nor false: {buyer_is_maker!r:.40}")
    if type(price) is not str or type(size) is not str:
        raise TypeError("price and size must be text")
    side = Side.SELL if buyer_is_maker else Side.BUY
    return number, exact_trade(instrument, str(number), price, size, side, nanoseconds(moment))
