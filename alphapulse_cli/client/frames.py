"""Frames of `alphapulse serve` in the raw encoding, as a client reads them; nothing here holds a connection or keeps a state.

    text frame ─► a dict with a `type`              binary frame ─► Group | TradeRecord | SnapshotPart

What cannot be right raises DecodeError: the connection is given up, and the copies are made anew.
"""

import struct
from typing import Any, NamedTuple

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.readers.items import CHANGE, HEADER, LOTS
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.served import RAW_GROUPS, RAW_HEADER, RAW_REPLAY, RAW_SNAPSHOT, RAW_TRADES

LEVEL = struct.Struct("<qQ")
KNOWN_NAMES = 8192  # kept decoded
COUNT_AT, FLAGS_AT = delta.offsets()["change_count"], delta.offsets()["flags"]

Key = tuple[str, str]  # (set name, symbol)


class Group(NamedTuple):
    """One group of a book: its whole records, 256 bytes each. `kind` is the number of a RecordKind."""

    key: Key
    exchange: str
    epoch: int
    replay: bool
    kind: int
    version: int
    prev_version: int
    timestamp_ns: int
    feed_delay_us: int
    change_count: int
    records: bytearray


class TradeRecord(NamedTuple):
    """One trade, as its record of 128 bytes. `place` is its sequence in the set's ring, modulo 65,536; 0 also from an older server."""

    key: Key
    exchange: str
    epoch: int
    replay: bool
    timestamp_ns: int
    place: int
    record: bytearray


class SnapshotPart(NamedTuple):
    """A part of a whole book. `bids` and `asks` are 16 bytes a level, best first, as they came."""

    key: Key
    exchange: str
    epoch: int
    replay: bool
    version: int
    timestamp_ns: int
    price_decimals: int
    size_decimals: int
    part: int
    parts: int
    bids: list[bytes]
    asks: list[bytes]


Frame = Group | TradeRecord | SnapshotPart


class Reader:
    """Reader of frames, which decodes each name once."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def read(self, payload: str | bytes) -> dict[str, Any] | Frame | None:
        """Frame of one WebSocket message; None for a kind of a later version. DecodeError."""
        if isinstance(payload, str):
            return _message(payload)
        if len(payload) < RAW_HEADER.size:
            raise DecodeError("a binary frame without a header", payload)
        kind, flags, part, parts, place, epoch, name = RAW_HEADER.unpack_from(payload)
        records = bytearray(memoryview(payload)[RAW_HEADER.size :])
        set_name, is_replay = self._name(name), bool(flags & RAW_REPLAY)
        if kind == RAW_TRADES:
            if len(records) != trade.TRADE_BYTES:
                raise DecodeError("a trade that is no record", payload)
            timestamp_ns, symbol, exchange, *_ = trade.RECORD.unpack_from(records)
            key = set_name, self._name(symbol)
            return TradeRecord(key, self._name(exchange), epoch, is_replay, timestamp_ns, place, records)
        if kind not in (RAW_GROUPS, RAW_SNAPSHOT):
            return None
        if not records or len(records) % delta.DELTA_BYTES:
            raise DecodeError("records cut short", payload)
        head = HEADER.unpack_from(records)
        timestamp_ns, symbol, exchange, version, prev_version, _, marks, prices, sizes, delay_us = head
        key = set_name, self._name(symbol)
        if kind == RAW_GROUPS:
            last = len(records) - delta.DELTA_BYTES
            count = delta.MAX_CHANGES * (last // delta.DELTA_BYTES) + records[last + COUNT_AT]
            kind_of = marks & delta.KIND_MASK
            if not marks & delta.FIRST or not records[last + FLAGS_AT] & delta.LAST:
                raise DecodeError("a group that is not whole", payload)
            return Group(
                key, self._name(exchange), epoch, is_replay, kind_of, version, prev_version, timestamp_ns, delay_us, count, records
            )
        if not 1 <= part <= parts:
            raise DecodeError("a part of a snapshot without its number", payload)
        bids, asks = _levels(records)
        return SnapshotPart(
            key, self._name(exchange), epoch, is_replay, version, timestamp_ns, prices, sizes, part, parts, bids, asks
        )

    def _name(self, field: bytes) -> str:
        found = self._names.get(field)
        if found is None:
            if len(self._names) >= KNOWN_NAMES:
                self._names.clear()
            try:
                found = self._names[field] = field.rstrip(b"\0").decode("ascii")
            except UnicodeDecodeError:
                raise DecodeError("a name that is not ASCII", field) from None
        return found


def _message(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:
        raise DecodeError("a text that is no JSON", text[:200].encode("utf-8", "replace")) from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise DecodeError("a message without a type", text[:200].encode("utf-8", "replace"))
    return found


def _levels(records: bytearray) -> tuple[list[bytes], list[bytes]]:
    """Levels of a snapshot's records, bids and asks, in the form of an image."""
    bids: list[bytes] = []
    asks: list[bytes] = []
    for at in range(0, len(records), delta.DELTA_BYTES):
        begin = at + delta.HEADER_BYTES
        count = min(records[at + COUNT_AT], delta.MAX_CHANGES)
        for ticks, word in CHANGE.iter_unpack(records[begin : begin + delta.CHANGE_BYTES * count]):
            (asks if word & delta.IS_ASK else bids).append(LEVEL.pack(ticks, word & LOTS))
    return bids, asks
