"""Parsers of the fields of OKX's messages. Each raises one of `protocol.NOT_UNDERSTOOD` for unexpected contents.

A level finer than the instrument's grid raises OffGridFound instead, with the grid that the whole message needs.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from orjson import loads

from alphapulse_cli.market.events import OffGrid, Side, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import empty_of
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import OffGridRow
from alphapulse_cli.market.trade_numbers import exact_trade

NS_PER_MS, NS_PER_US = 1_000_000, 1_000
MAX_MS = 9_000_000_000_000  # in the year 2255, so that ns fit 63 bits
MIN_US, MAX_US = 100_000_000_000_000, 9_000_000_000_000_000
NO_SNAPSHOT_BEFORE = -1  # `prevSeqId` of a snapshot
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
NOT_TOLD = 0  # `count` of a trade in an older recording, which has none

Json = dict[str, Any]
BookKind = type[Snapshot] | type[Update]


class OffGridFound(Exception):
    """Exception that ends the parsing of a message, with the OffGrid event to report."""

    def __init__(self, event: OffGrid) -> None:
        super().__init__()
        self.event = event


class Numbers(NamedTuple):
    """Sequence numbers of a book message: its own, and the previous message's."""

    seq: int
    prev: int


def rows(value: object) -> list[Any]:
    """Return the value if it is a list; TypeError for any other type."""
    if type(value) is not list:
        raise TypeError("not an array")
    return value


def integer(value: object) -> int:
    """Return the value if it is an integer from 0 to 63 bits. ValueError for any other value."""
    if type(value) is not int or not 0 <= value <= MAX_TICKS:
        raise ValueError(f"not a number of 63 bits: {value!r:.40}")
    return value


def digits(value: object) -> int:
    """Integer of 63 bits given as text of ASCII digits. ValueError for any other value."""
    if type(value) is not str or not (value.isdecimal() and value.isascii()) or len(value) > 19:
        raise ValueError(f"not digits: {value!r:.40}")
    return integer(int(value))


def time_ns(value: object) -> int:
    """Nanoseconds since 1970 of milliseconds as text, or of microseconds if it is too large for ms (as in the fast path)."""
    moment = digits(value)
    if moment <= MAX_MS:
        return moment * NS_PER_MS
    if MIN_US <= moment <= MAX_US:
        return moment * NS_PER_US
    raise ValueError(f"not a time: {moment}")


def book_of(kind: BookKind, instrument: Instrument, row: Mapping[str, Any], depth: int | None = None) -> Snapshot | Update:
    """Book event of a row of `data`, asks first, as OKX sends them. A checksum of 0 means none."""
    levels = empty_of(instrument)
    finer: list[OffGridRow] = []
    for side, is_ask in (("asks", True), ("bids", False)):
        try:
            levels.add_pairs(rows(row[side]), is_ask)
        except OffGridRow as off:
            finer.append(off)
    if finer:
        prices, sizes = max(off.price_decimals for off in finer), max(off.size_decimals for off in finer)
        raise OffGridFound(OffGrid(instrument, prices, sizes))
    return kind(instrument, levels, time_ns(row["ts"]), checksum_of(row), depth)


def checksum_of(row: Mapping[str, Any]) -> int | None:
    """Checksum of a book message, a signed integer of 32 bits; None if it is 0 or missing."""
    crc = row.get("checksum", 0)
    if type(crc) is not int or not -(1 << 31) <= crc < 1 << 31:
        raise ValueError("the checksum is not an integer of 32 bits")
    return crc or None


def numbers_of(row: Mapping[str, Any]) -> Numbers | None:
    """Sequence numbers of a book message; None for an older recording, which has a checksum instead."""
    if "seqId" not in row and "prevSeqId" not in row:
        if checksum_of(row) is None:
            raise ValueError("neither a sequence number nor a checksum")
        return None
    prev = row["prevSeqId"]
    return Numbers(integer(row["seqId"]), prev if prev == NO_SNAPSHOT_BEFORE and type(prev) is int else integer(prev))


def picture_number(row: Mapping[str, Any]) -> int:
    """Sequence number of a picture of `books5`; -1 for an older recording, which has none."""
    return integer(row["seqId"]) if "seqId" in row else NO_SNAPSHOT_BEFORE


def fetched_row(body: bytes) -> Json:
    """Row of the REST answer with one book. ValueError for the exchange's error."""
    [row] = answered(body)
    if type(row) is not dict:
        raise TypeError("a book that is no object")
    return row


def answered(body: bytes) -> list[Any]:
    """Rows of a REST answer. ValueError for the exchange's error, which may come with HTTP 200."""
    answer = loads(body)
    if answer["code"] != "0":
        raise ValueError(f"OKX answers {answer['code']!r:.20} {answer.get('msg', '')!r:.100}")
    return rows(answer["data"])


def trade_of(instrument: Instrument, row: Mapping[str, Any], *, history: bool = False) -> tuple[int, int, Trade]:
    """Parse a trade to (id, count of ids that it stands for, trade)."""
    number, count = digits(row["tradeId"]), digits(row["count"]) if "count" in row else NOT_TOLD
    if "count" in row and not 1 <= count <= number + 1:
        raise ValueError(f"not a count of trades: {count}")
    price, size = row["px"], row["sz"]
    if type(price) is not str or type(size) is not str:
        raise TypeError("price and size must be text")
    moment = time_ns(row["ts"])
    return number, count, exact_trade(instrument, str(number), price, size, SIDES[row["side"]], moment, history=history)
