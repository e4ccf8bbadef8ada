"""Follow the rings of all sets there are: every group of deltas, every trade, and every record that was missed.

    rings of all wanted sets ─► whole groups ─► DeltaGroup | TradeTold | Missed | Restarted, in each set's own order

Sets that appear while it runs are read from their first record. Between two sets no order is promised but that of arrival. Nothing is
lost silently: a lap is a `Missed` among the data.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from alphapulse_cli.apps.moments import moment
from alphapulse_cli.apps.sets import Wanted, find_sets, nothing_wanted, settled
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.edges.idle import Waiting
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import GroupReader, Polled, Start
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import NOT_TOLD, trading_status
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import STATUS_SINCE_MINOR, Kind
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookState

HEADER = struct.Struct("<Q16s16sQQBBBBi")
CHANGE = struct.Struct("<qQ")
CHECK = struct.Struct("<QIIBB")
assert HEADER.size == delta.HEADER_BYTES
assert CHANGE.size == delta.CHANGE_BYTES
LOTS, NEW, ASK = delta.SIZE_MASK, delta.LEVEL_IS_NEW, delta.IS_ASK
LOOK_EVERY_NS = 500_000_000
LONGEST_WAIT_S = 0.25
KEPT_NAMES = 4096
NO_QUOTE = (None, None, None, None)
TAKERS = ("buy", "sell", "unknown")

text = lru_cache(1 << 16)(to_text)  # prices and sizes come again and again


class DeltaGroup(NamedTuple):
    """One group. `changes` are (side, price, size, is new) with exact decimal text; `told` is what a CHECK or STATUS says."""

    set_name: str
    exchange: str
    symbol: str
    kind: delta.Kind
    version: int
    prev_version: int
    timestamp_ns: int
    feed_delay_us: int | None
    price_decimals: int
    size_decimals: int
    resynced: bool
    changes: list[tuple[str, str, str, bool]]
    told: dict[str, Any]
    quote: tuple[str | None, str | None, str | None, str | None] = NO_QUOTE  # bid, its size, ask, its size, where books are kept

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
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
            **self.told,
        }


class TradeTold(NamedTuple):
    """One trade; `side` is what the taker did, price and size are exact decimal text."""

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

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        told = self._asdict()
        names = {"set": told.pop("set_name"), "exchange": told.pop("exchange"), "symbol": told.pop("symbol")}
        return {**names, "time": moment(self.timestamp_ns, digits=9), **told}


class Missed(NamedTuple):
    """So many records of that set were overwritten before they could be read."""

    set_name: str
    exchange: str
    missed: int

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"set": self.set_name, "exchange": self.exchange, "missed": self.missed}


class Restarted(NamedTuple):
    """A new collector writes that set: versions begin again."""

    set_name: str
    exchange: str
    epoch: int

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"set": self.set_name, "exchange": self.exchange, "restarted": True, "epoch": self.epoch}


Item = DeltaGroup | TradeTold | Missed | Restarted


class Tail:
    """Reads until told to stop. NoSegment if a set or symbol that was asked for is not there, UsageError for an unknown way of waiting.

    `quotes`: books are kept beside the deltas, and each group tells the best bid and ask after it.
    """

    def __init__(
        self,
        directory: Directory,
        kind: Kind,
        wanted: Wanted,
        start: Start = "now",
        since_ns: int = 0,
        how: str = "wake",
        *,
        quotes: bool = False,
    ) -> None:
        self._directory = directory
        self._kind = kind
        self._wanted = wanted = settled(directory, wanted, kind)
        self._followers: dict[str, SetFollower] | None = {} if quotes else None
        self._since_ns = since_ns
        self._waiting = Waiting(how, directory)
        self._readers: dict[str, GroupReader] = {}
        self._before: set[str] = set()  # sets whose records are still older than what was asked for
        self._names: dict[tuple[str, bytes], tuple[str, str] | None] = {}
        self._look(start)
        if not self._readers:
            raise nothing_wanted(directory, wanted)

    def _look(self, start: Start) -> None:
        """Attach to the wanted sets that are not read yet."""
        self._looked_ns = clock.monotonic_ns()
        for name in find_sets(self._directory, self._wanted, self._kind):
            if name not in self._readers:
                try:
                    self._readers[name] = self._attached(name, start)
                except (SegmentError, StorageError):  # gone meanwhile, or replaced at this moment: the next look finds it
                    continue
                if self._since_ns:
                    self._before.add(name)

    def _attached(self, name: str, start: Start) -> GroupReader:
        label = f"tail {'deltas' if self._kind is Kind.DELTAS else 'trades'}"
        if self._followers is None:
            return GroupReader(self._directory, name, self._kind, start, label)
        follower = SetFollower(self._directory, name, start=start, label=label)
        self._followers[name] = follower
        return follower.groups

    @property
    def sets(self) -> list[str]:
        """The sets that are read."""
        return sorted(self._readers)

    def poll(self) -> list[Item]:
        """What is new in all sets."""
        now = clock.monotonic_ns()
        if now - self._looked_ns >= LOOK_EVERY_NS:
            self._look("oldest")
        made: list[Item] = []
        for name, reader in self._readers.items():
            follower = self._followers[name] if self._followers is not None else None
            polled = reader.poll(now) if follower is None else follower.fetch(now)
            exchange = reader.segment.spec.exchange
            if polled.restarted:
                made.append(Restarted(name, exchange, reader.segment.epoch))
            if polled.missed:
                made.append(Missed(name, exchange, polled.missed))
            if polled.record_count:
                tells_status = reader.segment.layout_minor >= STATUS_SINCE_MINOR
                told = (
                    self._trades(name, polled.records)
                    if self._kind is Kind.TRADES
                    else self._deltas(name, polled, follower, now, tells_status)
                )
                made += self._after(name, told) if name in self._before else told
            if follower is not None:
                follower.join()
        return made

    def wait(self, timeout_s: float) -> bool:
        """Wait until there may be more."""
        return self._waiting.wait({name: one.reader for name, one in self._readers.items()}, min(timeout_s, LONGEST_WAIT_S))

    def items(self, count: int | None = None, duration_s: float | None = None) -> Iterator[Item | None]:
        """All that comes, `count` groups or trades or for so long; a None whenever nothing more is at hand for now."""
        end_ns = None if duration_s is None else clock.monotonic_ns() + int(duration_s * 1e9)
        left = count
        while True:
            made = self.poll()
            for item in made:
                yield item
                if left is not None and isinstance(item, DeltaGroup | TradeTold):
                    left -= 1
                    if left == 0:
                        return
            now = clock.monotonic_ns()
            if end_ns is not None and now >= end_ns:
                return
            if made:
                yield None
            else:
                self.wait(LONGEST_WAIT_S if end_ns is None else (end_ns - now) / 1e9)

    def _after(self, name: str, told: Iterator[Item]) -> Iterator[Item]:
        """Without what is older than what was asked for."""
        for item in told:
            if name not in self._before or item.timestamp_ns >= self._since_ns:  # type: ignore[union-attr]  # records have one
                self._before.discard(name)
                yield item

    def _name(self, set_name: str, key: bytes) -> tuple[str, str] | None:
        """(symbol, exchange) of a record's 32 bytes; None for what is not wanted."""
        known = (set_name, key)
        if known not in self._names:
            if len(self._names) >= KEPT_NAMES:
                self._names.clear()
            symbol, exchange = (part.rstrip(b"\0").decode("utf-8", "backslashreplace") for part in (key[:16], key[16:]))
            only = self._wanted.symbols_of(set_name, exchange)
            self._names[known] = (symbol, exchange) if only is None or symbol in only else None
        return self._names[known]

    def _deltas(
        self, set_name: str, polled: Polled, follower: SetFollower | None, now: int, tells_status: bool = True
    ) -> Iterator[Item]:
        records, first = polled.records, 0
        is_live = follower is not None and follower.groups.is_live(now)
        changes: list[tuple[str, str, str, bool]] = []
        for at in range(0, len(records), delta.DELTA_BYTES):
            head = HEADER.unpack_from(records, at)
            timestamp_ns, symbol_bytes, exchange_bytes, version, previous, count, flags, prices, sizes, delay = head
            if flags & delta.FIRST:
                changes, first = [], at // delta.DELTA_BYTES
            names = self._name(set_name, symbol_bytes + exchange_bytes)
            if names is None:
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
                    names[1],
                    names[0],
                    delta.Kind(kind if kind <= delta.Kind.STATUS else delta.Kind.DELTA),
                    version,
                    previous,
                    timestamp_ns,
                    None if delay == delta.NO_FEED_DELAY else delay,
                    prices,
                    sizes,
                    bool(flags & delta.RESYNCED),
                    changes,
                    _told(kind, records, begin, tells_status) if kind >= delta.Kind.CHECK else {},
                    quote_of(book) if is_live and book is not None and book.version == version else NO_QUOTE,
                )

    def _trades(self, set_name: str, records: memoryview) -> Iterator[Item]:
        return trades_told(records, set_name, partial(self._name, set_name))

    def close(self) -> None:
        """Remove the cursors."""
        for reader in self._readers.values():
            reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def quote_of(book: Reconstructor) -> tuple[str | None, str | None, str | None, str | None]:
    """Best bid, its size, best ask, its size of a replica, as exact decimal text; none where it is not LIVE or the side is empty."""
    if book.is_cold or book.book_state != BookState.LIVE:
        return NO_QUOTE
    levels, prices, sizes = book.book, book.book.price_decimals, book.book.size_decimals
    bid, ask = levels.best_bid(), levels.best_ask()
    return (
        *((text(bid[0], prices), text(bid[1], sizes)) if bid else NO_QUOTE[:2]),
        *((text(ask[0], prices), text(ask[1], sizes)) if ask else NO_QUOTE[2:]),
    )


def trades_told(records: memoryview, set_name: str, name: Callable[[bytes], tuple[str, str] | None]) -> Iterator[TradeTold]:
    """The trades of these records; `name` gives (symbol, exchange) of a record's 32 bytes, None for what is not wanted."""
    for one in trade.RECORD.iter_unpack(records):
        timestamp_ns, symbol, exchange, _, _, side, trade_id, ticks, lots, exchange_ns, prices, sizes, flags = one
        names = name(symbol + exchange)
        if names is None:
            continue
        yield TradeTold(
            set_name,
            names[1],
            names[0],
            timestamp_ns,
            exchange_ns or None,
            trade_id.rstrip(b"\0").decode("utf-8", "backslashreplace"),
            TAKERS[min(side, 2)],
            text(ticks, prices),
            text(lots, sizes),
            prices,
            sizes,
            bool(flags & trade.HISTORY),
        )


def _told(kind: int, records: memoryview, begin: int, tells_status: bool) -> dict[str, Any]:
    """What a CHECK or a STATUS says beside its header."""
    if kind == delta.Kind.STATUS:
        state, reason = states_of(records[begin], records[begin + 1])
        trading = trading_status(records[begin + 2] if tells_status else NOT_TOLD)
        return {"state": state.name, "reason": reason.name, "trading_status": None if trading is None else trading.name}
    book_hash, bid_levels, ask_levels, checksum, state_number = CHECK.unpack_from(records, begin)
    return {
        "book_hash": f"{book_hash:016x}",
        "bid_levels": bid_levels,
        "ask_levels": ask_levels,
        "checksum": delta.ChecksumState(checksum).name if checksum <= delta.ChecksumState.BAD else "NONE",
        "state": states_of(state_number, 0)[0].name,
    }
