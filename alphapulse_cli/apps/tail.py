"""The rings of all sets, followed: groups of deltas, or trades, as rows of plain values.

    GroupReader of each set ─► whole groups ─► a row a group (deltas), a row a trade ─► whoever prints
    laps and restarts ─► rows too: what was lost is never silent

Rows are dicts ready for JSON: numbers that must stay exact are decimal text.
"""

import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from alphapulse_cli.apps.reconstruct import symbols_of_sets
from alphapulse_cli.errors import NoSegment, SegmentError, StorageError, UsageError
from alphapulse_cli.flow.follow import GroupReader, Start
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import Cursor
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.layout import Kind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

Row = dict[str, Any]

HEADER = struct.Struct("<Q16s16sQQBBBBi")  # a delta record's first 64 bytes, `delta.DELTA_FIELDS`
CHANGES = [struct.Struct(f"<{'qQ' * count}") for count in range(delta.MAX_CHANGES + 1)]
CHECK = struct.Struct("<QIIBB")  # `delta.CHECK_FIELDS`
assert HEADER.size == delta.HEADER_BYTES
LOOK_FOR_SETS_NS = 500_000_000
SIDES = ("buy", "sell", "unknown")
BOOKS, TRADES = Kind.DELTAS, Kind.TRADES


class Tail:
    """Follows the deltas or trades of these sets (all there are or will be, for ()), of these symbols."""

    def __init__(
        self, directory: Directory, kind: Kind, names: Collection[str] = (), symbols: Collection[str] = (), start: str = "now"
    ) -> None:
        """NoSegment if nothing is there to follow, UsageError for a `start` that is not now, oldest or -10s."""
        self.kind = kind
        self._directory = directory
        self._names, self._symbols = names, symbols_of_sets(symbols)
        self._start: Start = "now" if start == "now" else "oldest"
        self._since_ns = 0 if start in ("now", "oldest") else clock.realtime_ns() - _ago_ns(start)
        self._readers: dict[str, GroupReader] = {}
        self._cursors: dict[str, Cursor] = {}
        self._looked_ns = 0
        self._look()
        if not self._readers:
            asked = f" of {' '.join(names)}" if names else ""
            raise NoSegment(
                f"nothing to follow{asked} in {directory.path}",
                "start a collector first: alphapulse demo, or see: alphapulse segments",
            )
        self._start = "oldest"  # a set that appears later is read from its beginning

    @property
    def readers(self) -> dict[str, GroupReader]:
        """By the set's name; for waiting."""
        return self._readers

    def poll(self) -> list[Row]:
        """What is new in all sets, in each one's order; laps and restarts as rows of their own."""
        now = clock.monotonic_ns()
        if now - self._looked_ns >= LOOK_FOR_SETS_NS:
            self._look()
        rows: list[Row] = []
        for name, reader in self._readers.items():
            polled = reader.poll()
            if polled.restarted:
                rows.append({"kind": "RESTART", "set": name, "epoch": reader.segment.epoch})
            if polled.missed:
                rows.append({"kind": "LAPPED", "set": name, "missed": polled.missed})
            if polled.record_count:
                decode = _groups if self.kind is Kind.DELTAS else _trades
                rows += self._wanted(name, decode(polled.records, polled.record_count))
            if name in self._cursors:
                self._cursors[name].update(reader.position, reader.missed)
        return rows

    def _wanted(self, name: str, rows: Iterator[Row]) -> Iterator[Row]:
        """Of the symbols asked for, and not before the time asked for."""
        symbols = self._symbols(name)
        for row in rows:
            if (symbols is None or row["symbol"] in symbols) and row["timestamp_ns"] >= self._since_ns:
                yield row

    def _look(self) -> None:
        """Sets that are new."""
        self._looked_ns = clock.monotonic_ns()
        for file in self._directory.names():
            parsed = parse_segment_name(file)
            if parsed is None or parsed[0] is not self.kind or parsed[1] in self._readers or not self._is_wanted(parsed[1]):
                continue
            with suppress(SegmentError, StorageError):
                reader = GroupReader(self._directory, parsed[1], self.kind, self._start)
                self._readers[parsed[1]] = reader
                with suppress(SegmentError, StorageError):  # a reader without a cursor is merely unseen
                    label = "tail deltas" if self.kind is Kind.DELTAS else "tail trades"
                    self._cursors[parsed[1]] = Cursor(self._directory, reader.name, reader.segment.epoch, label)

    def _is_wanted(self, name: str) -> bool:
        symbols = self._symbols(name)
        if symbols is not None and not symbols:
            return False
        if not self._names or name in self._names:
            return True
        with suppress(SegmentError, StorageError):
            return Segment.attach(self._directory, segment_name(self.kind, name)).spec.exchange in self._names
        return False

    def close(self) -> None:
        """Take the cursors away."""
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()


def _ago_ns(start: str) -> int:
    """Nanoseconds of "-10s", "-500ms", "-2m"."""
    units = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    number = start[1:].rstrip("smh")
    unit = start[1 + len(number) :]
    if not start.startswith("-") or unit not in units or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise UsageError(f"not a place to start from: {start[:40]!r}", "write now, oldest, or how long ago: -10s, -2m")
    return int(number) * units[unit]


def _groups(records: memoryview, count: int) -> Iterator[Row]:
    """A row a group. Changes are [side, price, size, new or not]; a size of 0 is a removed level."""
    unpack = HEADER.unpack_from
    row: Row | None = None
    for at in range(0, count * delta.DELTA_BYTES, delta.DELTA_BYTES):
        timestamp, symbol, exchange, version, previous, changes, flags, prices, sizes, delay = unpack(records, at)
        if row is None or flags & delta.FIRST:
            kind = flags & delta.KIND_MASK
            row = {
                "kind": _kind_name(kind),
                "timestamp_ns": timestamp,
                "exchange": _name(exchange),
                "symbol": _name(symbol),
                "version": version,
                "prev_version": previous,
                "feed_delay_us": None if delay == delta.NO_FEED_DELAY else delay,
                "price_decimals": prices,
                "size_decimals": sizes,
            }
            if kind == delta.Kind.DELTA:
                row["resynced"] = bool(flags & delta.RESYNCED)
                row["changes"] = []
            elif kind in (delta.Kind.CHECK, delta.Kind.STATUS):
                row |= _said(kind, records, at + delta.HEADER_BYTES)
        if changes and "changes" in row:
            row["changes"] += _changes(records, at + delta.HEADER_BYTES, min(changes, delta.MAX_CHANGES), prices, sizes)
        if flags & delta.LAST:
            yield row
            row = None


def _changes(records: memoryview, at: int, count: int, prices: int, sizes: int) -> Iterator[list[Any]]:
    words = CHANGES[count].unpack_from(records, at)
    for place in range(0, 2 * count, 2):
        word = words[place + 1]
        yield [
            "ask" if word & delta.IS_ASK else "bid",
            to_text(words[place], prices),
            to_text(word & delta.SIZE_MASK, sizes),
            bool(word & delta.LEVEL_IS_NEW),
        ]


def _said(kind: int, records: memoryview, at: int) -> Row:
    """What a CHECK or a STATUS says."""
    if kind == delta.Kind.STATUS:
        return {"state": _enum(BookState, records[at]), "reason": _enum(BookReason, records[at + 1])}
    book_hash, bids, asks, checksum, state = CHECK.unpack_from(records, at)
    return {
        "book_hash": f"{book_hash:016x}",
        "bid_levels": bids,
        "ask_levels": asks,
        "exchange_checksum": _enum(ChecksumState, checksum),
        "state": _enum(BookState, state),
    }


def _trades(records: memoryview, count: int) -> Iterator[Row]:
    """A row a trade."""
    for fields in trade.RECORD.iter_unpack(records[: count * trade.TRADE_BYTES]):
        timestamp, symbol, exchange, _price, _volume, side, trade_id, ticks, lots, exchange_ns, prices, sizes, flags = fields
        yield {
            "kind": "TRADE",
            "timestamp_ns": timestamp,
            "exchange": _name(exchange),
            "symbol": _name(symbol),
            "trade_id": _name(trade_id),
            "side": SIDES[side] if side < len(SIDES) else SIDES[-1],
            "price": to_text(ticks, prices),
            "size": to_text(lots, sizes),
            "exchange_ns": exchange_ns or None,
            "history": bool(flags & trade.HISTORY),
        }


@cache
def _kind_name(kind: int) -> str:
    return delta.Kind(kind).name if kind <= max(delta.Kind) else f"KIND{kind}"


@cache
def _enum(kind: Any, value: int) -> str:
    return str(kind(value).name) if value in set(kind) else str(value)


def _name(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode("ascii", "backslashreplace")
