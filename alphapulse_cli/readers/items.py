"""Items that readers of rings hand out: groups of deltas, trades, missed records, and new writers.

    records of one set ─► delta_groups ─► DeltaGroup        records of one set ─► trade_items ─► TradeItem

Prices and sizes are exact decimal text. `Names` decodes each symbol and exchange once. Rows of a replayed set say so: "replay":
true.
"""

import struct
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import Polled
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import NOT_REPORTED, trading_status
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookState

HEADER = struct.Struct("<Q16s16sQQBBBBi")
CHANGE = struct.Struct("<qQ")
CHECK = struct.Struct("<QIIBB")
assert HEADER.size == delta.HEADER_BYTES
assert CHANGE.size == delta.CHANGE_BYTES
LOTS, NEW, ASK = delta.SIZE_MASK, delta.LEVEL_IS_NEW, delta.IS_ASK
KEPT_NAMES = 4096
NO_QUOTE = (None, None, None, None)
TAKERS = ("buy", "sell", "unknown")

text = lru_cache(1 << 16)(to_text)  # the same prices and sizes return many times


class DeltaGroup(NamedTuple):
    """One group. `changes` are (side, price, size, is new) in exact decimal text; `own_fields` has the fields of a CHECK or STATUS."""

    set_name: str
    exchange: str
    symbol: str
    kind: delta.RecordKind
    version: int
    prev_version: int
    timestamp_ns: int
    feed_delay_us: int | None
    price_decimals: int
    size_decimals: int
    resynced: bool
    changes: list[tuple[str, str, str, bool]]
    own_fields: dict[str, Any]
    quote: tuple[str | None, str | None, str | None, str | None] = NO_QUOTE  # (bid, its size, ask, its size) where books are kept
    replay: bool = False  # a replay wrote it

    def row(self) -> dict[str, Any]:
        """Row of the item, by the keys of its JSON object."""
        return {
            "set": self.set_name,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "kind": self.kind.name,
            "version": self.version,
            "prev_version": self.prev_version,
            "time": moment(self.timestamp_ns, digits=9),
            "timestamp_ns": self.timestamp_ns,
            "feed_delay_us": self.feed_delay_us,
            "price_decimals": self.price_decimals,
            "size_decimals": self.size_decimals,
            "resynced": self.resynced,
            "changes": [change[:3] for change in self.changes],
            **self.own_fields,
            **_mark(self.replay),
        }


class TradeItem(NamedTuple):
    """One trade; `side` is the taker's, price and size are exact decimal text."""

    set_name: str
    exchange: str
    symbol: str
    timestamp_ns: int
    exchange_ns: int | None
    trade_id: str
    side: str
    price: str
    size: str
    price_decimals: int
    size_decimals: int
    history: bool
    replay: bool = False

    def row(self) -> dict[str, Any]:
        """Row of the item, by the keys of its JSON object."""
        own_fields = self._asdict()
        if not own_fields["replay"]:
            del own_fields["replay"]
        names = {"set": own_fields.pop("set_name"), "exchange": own_fields.pop("exchange"), "symbol": own_fields.pop("symbol")}
        return {**names, "time": moment(self.timestamp_ns, digits=9), **own_fields}


class Missed(NamedTuple):
    """Number of records of a set that were overwritten before they could be read."""

    set_name: str
    exchange: str
    missed: int
    replay: bool = False

    def row(self) -> dict[str, Any]:
        """Row of the item, by the keys of its JSON object."""
        return {"set": self.set_name, "exchange": self.exchange, "missed": self.missed, **_mark(self.replay)}


class Restarted(NamedTuple):
    """Notice that a new collector writes the set: versions begin again."""

    set_name: str
    exchange: str
    epoch: int
    replay: bool = False

    def row(self) -> dict[str, Any]:
        """Row of the item, by the keys of its JSON object."""
        row = {"set": self.set_name, "exchange": self.exchange, "restarted": True, "epoch": self.epoch}
        return {**row, **_mark(self.replay)}


def _mark(is_replay: bool) -> dict[str, Any]:
    """Mark of a replay's row; a live one has none."""
    return {"replay": True} if is_replay else {}


Item = DeltaGroup | TradeItem | Missed | Restarted


class Names:
    """Decoder of the symbols and exchanges in one set's records; it remembers at most KEPT_NAMES.

    `only`: the wanted symbols, None for all.
    """

    def __init__(self, only: Collection[str] | None) -> None:
        self._only = only
        self._known: dict[bytes, tuple[str, str] | None] = {}

    def of(self, key: bytes) -> tuple[str, str] | None:
        """Symbol and exchange of a record's 32 bytes of names; None for a symbol that is not wanted."""
        if key not in self._known:
            if len(self._known) >= KEPT_NAMES:
                self._known.clear()
            symbol, exchange = (part.rstrip(b"\0").decode("utf-8", "backslashreplace") for part in (key[:16], key[16:]))
            self._known[key] = (symbol, exchange) if self._only is None or symbol in self._only else None
        return self._known[key]


def delta_groups(
    polled: Polled,
    set_name: str,
    names: Names,
    *,
    has_status: bool = True,
    follower: SetFollower | None = None,
    now_ns: int = 0,
    replay: bool = False,
) -> Iterator[DeltaGroup]:
    """Iterate over the wanted groups among polled records. A `follower` applies each group first and adds the quote after it."""
    records, first = polled.records, 0
    is_live = follower is not None and follower.groups.is_live(now_ns)
    changes: list[tuple[str, str, str, bool]] = []
    for at in range(0, len(records), delta.DELTA_BYTES):
        head = HEADER.unpack_from(records, at)
        timestamp_ns, symbol_bytes, exchange_bytes, version, previous, count, flags, prices, sizes, delay = head
        if flags & delta.FIRST:
            changes, first = [], at // delta.DELTA_BYTES
        found = names.of(symbol_bytes + exchange_bytes)
        if found is None:
            continue
        begin = at + delta.HEADER_BYTES
        if count:
            changes += [
                ("ask" if word & ASK else "bid", text(ticks, prices), text(word & LOTS, sizes), bool(word & NEW))
                for ticks, word in CHANGE.iter_unpack(records[begin : begin + 16 * min(count, delta.MAX_CHANGES)])
            ]
        if flags & delta.LAST:
            kind = flags & delta.KIND_MASK
            book = None if follower is None else follower.take(polled, first, at // delta.DELTA_BYTES + 1 - first)
            yield DeltaGroup(
                set_name,
                found[1],
                found[0],
                delta.RecordKind(kind if kind <= delta.RecordKind.STATUS else delta.RecordKind.DELTA),
                version,
                previous,
                timestamp_ns,
                None if delay == delta.NO_FEED_DELAY else delay,
                prices,
                sizes,
                bool(flags & delta.RESYNCED),
                changes,
                _status_fields(kind, records, begin, has_status) if kind >= delta.RecordKind.CHECK else {},
                quote_of(book) if is_live and book is not None and book.version == version else NO_QUOTE,
                replay,
            )


def quote_of(book: Reconstructor) -> tuple[str | None, str | None, str | None, str | None]:
    """Best bid, its size, best ask and its size in a replica, exact decimal text; None if it is not LIVE or a side is empty."""
    if book.is_cold or book.book_state != BookState.LIVE:
        return NO_QUOTE
    levels, prices, sizes = book.book, book.book.price_decimals, book.book.size_decimals
    bid, ask = levels.best_bid(), levels.best_ask()
    return (
        *((text(bid[0], prices), text(bid[1], sizes)) if bid else NO_QUOTE[:2]),
        *((text(ask[0], prices), text(ask[1], sizes)) if ask else NO_QUOTE[2:]),
    )


def trade_items(records: memoryview, set_name: str, names: Names, *, replay: bool = False) -> Iterator[TradeItem]:
    """Iterate over the wanted trades among these records."""
    for one in trade.RECORD.iter_unpack(records):
        timestamp_ns, symbol, exchange, _, _, side, trade_id, ticks, lots, exchange_ns, prices, sizes, flags = one
        found = names.of(symbol + exchange)
        if found is None:
            continue
        yield TradeItem(
            set_name,
            found[1],
            found[0],
            timestamp_ns,
            exchange_ns or None,
            trade_id.rstrip(b"\0").decode("utf-8", "backslashreplace"),
            TAKERS[min(side, 2)],
            text(ticks, prices),
            text(lots, sizes),
            prices,
            sizes,
            bool(flags & trade.HISTORY),
            replay,
        )


def _status_fields(kind: int, records: memoryview, begin: int, has_status: bool) -> dict[str, Any]:
    """Fields of a CHECK or a STATUS beside its header."""
    if kind == delta.RecordKind.STATUS:
        state, reason = states_of(records[begin], records[begin + 1])
        trading = trading_status(records[begin + 2] if has_status else NOT_REPORTED)
        return {"state": state.name, "reason": reason.name, "trading_status": None if trading is None else trading.name}
    book_hash, bid_levels, ask_levels, checksum, state_number = CHECK.unpack_from(records, begin)
    return {
        "book_hash": f"{book_hash:016x}",
        "bid_levels": bid_levels,
        "ask_levels": ask_levels,
        "checksum": delta.ChecksumState(checksum).name if checksum <= delta.ChecksumState.BAD else "NONE",
        "state": states_of(state_number, 0)[0].name,
    }
