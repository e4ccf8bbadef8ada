"""The fields of Binance's messages, checked and made ours. Each raises ValueError, TypeError, KeyError or IndexError for what it is not.

A number finer than the instrument's grid raises OffGridFound instead, with the event that says which grid the whole message needs.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from alphapulse_cli.market.events import OffGrid, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.ticks import MAX_TICKS, FinerThanGrid, to_ticks

NS_PER_MS, MAX_MS = 1_000_000, 9_000_000_000_000  # of the year 2255: ns still fit 63 bits


class OffGridFound(Exception):
    """Carries the OffGrid event out of the parsing of a message."""

    def __init__(self, event: OffGrid) -> None:
        super().__init__()
        self.event = event


def data_of(message: dict[str, Any]) -> dict[str, Any]:
    """A frame's payload, wrapped with its stream's name or bare."""
    data: dict[str, Any] = message.get("data", message)
    return data


def update_of(instrument: Instrument, data: dict[str, Any]) -> Update:
    """The Update of a depthUpdate's payload."""
    return Update(instrument, levels_of(instrument, data["b"], data["a"]), nanoseconds(data["E"]))


def levels_of(instrument: Instrument, bids: Any, asks: Any) -> Levels:
    """The levels of [price, quantity] rows."""
    if type(bids) is not list or type(asks) is not list:
        raise TypeError("levels are not an array")
    levels = Levels(instrument.price_decimals, instrument.size_decimals)
    try:
        if bids:  # most messages have one side only
            levels.add_pairs(bids, False)
        if asks:
            levels.add_pairs(asks, True)
    except FinerThanGrid:
        raise OffGridFound(off_grid(instrument, [*bids, *asks])) from None
    return levels


def off_grid(instrument: Instrument, rows: Iterable[Sequence[str]]) -> OffGrid:
    """What grid all these [price, size] rows need. NumberError if one of them is no number at all."""
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
    """An id: an integer of 63 bits, so that what is counted between two of them fits a counter."""
    if type(value) is not int or not 0 <= value <= MAX_TICKS:
        raise ValueError(f"not an id: {value!r:.40}")
    return value


def nanoseconds(milliseconds: Any) -> int:
    """The exchange's milliseconds in ns."""
    if type(milliseconds) is not int or not 0 <= milliseconds <= MAX_MS:
        raise ValueError(f"not a time in ms: {milliseconds!r:.40}")
    return milliseconds * NS_PER_MS
