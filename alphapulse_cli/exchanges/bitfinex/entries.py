"""Parsers of the parts of a data frame: the stateless half of the decoder. A part is parsed in full or refused.

    [channel, [price, count, amount], sequence, time]        [channel, "cs", checksum, sequence, time]      sequence and time only
    [channel, [[price, count, amount], …], sequence, time]   [channel, "hb", sequence, time]                if the flags ask for it
    [channel, "te", [id, time, amount, price], sequence, time]

Numbers are read from the doubles of the parsed frame if those determine the decimals exactly, else from its raw tokens (rule F10 of
`decoder`). Unexpected content raises one of `protocol.NOT_UNDERSTOOD`; the decoder turns that into a DecodeError.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from alphapulse_cli.exchanges.protocol import TEXT_KEPT
from alphapulse_cli.market.events import Side, Trade, Unrecognised
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import Malformed, NeedsRawText
from alphapulse_cli.market.trade_numbers import exact_trade

BID, ASK = "bid", "ask"
LEVEL_FIELDS, TRADE_FIELDS = 3, 4
LARGEST_MS = 9_000_000_000_000  # milliseconds of the year 2255: as nanoseconds they fit 63 bits
NS_PER_MS = 1_000_000
LARGEST_COUNT = 1 << 62


def raw_frame(frame: bytes) -> list[Any]:
    """The frame with its numbers as the text that was sent."""
    message: list[Any] = json.loads(bytes(frame), parse_float=str, parse_int=str)
    return message


def sequence_of(message: list[Any], place: int) -> int | None:
    """Sequence number at index `place` of a frame; None if the frame is shorter. Malformed for anything but an integer."""
    if len(message) <= place:
        return None
    number = message[place]
    if type(number) is not int or not 0 <= number < LARGEST_COUNT:
        raise Malformed("the sequence number is not a plain integer")
    return number


def time_of(message: list[Any], place: int) -> int | None:
    """Exchange's time of a frame in nanoseconds since 1970; None if there is no time at its index."""
    value = message[place] if len(message) > place else None
    return value * NS_PER_MS if type(value) is int and 0 < value <= LARGEST_MS else None


def milliseconds(value: object) -> int:
    """Convert the exchange's milliseconds to nanoseconds since 1970. Malformed for a value out of range."""
    if type(value) is not int or not 0 < value <= LARGEST_MS:
        raise Malformed("the time is not in milliseconds")
    return value * NS_PER_MS


def read_levels(instrument: Instrument, rows: list[Any], raw: Callable[[], list[Any]]) -> Levels:
    """Levels of rows [price, count, amount] on the instrument's grid; `raw` returns the same rows as text.

    Raises OffGridRow, with the grid that all rows need.
    """
    try:
        return _levels(instrument, [_sided(row) for row in rows])
    except NeedsRawText:
        return _levels(instrument, [_sided_text(row) for row in raw()])


def read_trade(instrument: Instrument, row: Any, raw: Callable[[], Any], *, history: bool) -> tuple[int, Trade]:
    """Id and trade of a row [id, time, amount, price]; `raw` returns the same row as text."""
    if type(row) is not list or len(row) < TRADE_FIELDS:
        raise Malformed("not the row of a trade")
    trade_id, moment, amount, price = row[:TRADE_FIELDS]
    if type(trade_id) is not int or not 0 <= trade_id <= MAX_TICKS:
        raise Malformed("the trade id is not an integer of 63 bits")
    is_sale, size = _amount(amount)
    side, exchange_ns = Side.SELL if is_sale else Side.BUY, milliseconds(moment)
    _number(price)
    try:
        trade = exact_trade(instrument, str(trade_id), price, size, side, exchange_ns, history=history)
    except NeedsRawText:
        exact = raw()
        size = exact[2].removeprefix("-")
        trade = exact_trade(instrument, str(trade_id), exact[3], size, side, exchange_ns, history=history)
    return trade_id, trade


def read_past(instrument: Instrument, table: object, raw: Callable[[], list[Any]]) -> list[tuple[int, Trade]]:
    """Ids and trades of a list of such rows, all of them history; `raw` returns the same list as text."""
    exact = cache(raw)
    return [read_trade(instrument, row, partial(_row_of, exact, place), history=True) for place, row in enumerate(rows(table))]


def _row_of(table: Callable[[], list[Any]], place: int) -> Any:
    return table()[place]


def rows(value: object) -> list[Any]:
    """Return the value if it is a list. Malformed for any other type, so that no text or object passes for a list."""
    if type(value) is not list:
        raise Malformed("not a list")
    return value


def text(value: object) -> str:
    """Text of the exchange, cut to TEXT_KEPT characters: hostile. Malformed for any other type."""
    if not isinstance(value, str):
        raise Malformed("not text")
    return value[:TEXT_KEPT]


def integer(value: object) -> int:
    """Return the value if it is an integer. Malformed for any other type."""
    if type(value) is not int:
        raise Malformed("not an integer")
    return value


def unknown(kind: str, value: object) -> Unrecognised:
    """Unrecognised event that names the kind and the exchange's word."""
    return Unrecognised(f"{kind} {value}"[:TEXT_KEPT])


def _levels(instrument: Instrument, sided: list[list[Any]]) -> Levels:
    levels = empty_of(instrument)
    levels.add_sided(sided, BID, ASK)
    return levels


def _sided(row: Any) -> list[Any]:
    """Row [side, price, size] of a row [price, count, amount]: the amount's sign is the side, a count of 0 removes."""
    if type(row) is not list or len(row) != LEVEL_FIELDS:
        raise Malformed("not the row of a level")
    price, count, amount = row
    _number(price)
    if type(count) is not int or not 0 <= count < LARGEST_COUNT:
        raise Malformed("the count of orders is not a plain integer")
    is_ask, size = _amount(amount)
    return [ASK if is_ask else BID, price, size if count else 0]


def _sided_text(row: list[str]) -> list[Any]:
    """Row [side, price, size] of a row of raw tokens that `_sided` has accepted already."""
    price, count, amount = row
    return [ASK if amount.startswith("-") else BID, price, amount.removeprefix("-") if int(count) else 0]


def _number(value: object) -> None:
    if type(value) not in (int, float):
        raise Malformed("not a JSON number")


def _amount(amount: Any) -> tuple[bool, int | float]:
    """Split an amount into (is negative, absolute size). Malformed for 0, which has no side."""
    _number(amount)
    if not amount:
        raise Malformed("an amount of 0")
    return amount < 0, abs(amount)
