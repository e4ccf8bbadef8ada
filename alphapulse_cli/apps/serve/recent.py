"""Data that a request cannot read from shared memory at once: the last trades, closed candles, and the bytes of deltas.

    Source ─► batches ─► RecentTrades      the last trades of each market
                    └──► DeltaMeter        records of deltas against whole books
    rings ─► RecentCandles                 closed candles of the widths that were asked for

Each is bounded, and begins with what the rings still hold when the server starts.
"""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from alphapulse_cli.apps.candles.live import LiveCandles
from alphapulse_cli.apps.candles.markets import Rule
from alphapulse_cli.apps.serve.source import Batch, Group, Key
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.market.candles import Candle
from alphapulse_cli.readers.items import CHANGE, Names, TradeItem, trade_items
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import LEVEL_BYTES
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import RecordKind

MOST_TRADES = 1000  # kept of a market
MOST_CANDLES = 1000  # kept of a market and width
MOST_OF_WIDTH = 50_000  # kept of all markets, each alike
MOST_MARKETS = 4096  # with trades or candles
UNUSED_NS = 600_000_000_000  # after which the candles of a width are dropped
LATE_NS = 2_000_000_000  # a candle waits for late trades, as `alphapulse candles` does
BASELINE = "the full book's levels, 16 bytes each, sent at each update"
COUNT_AT = delta.offsets()["change_count"]
DELTA_KIND, RESET_KIND = int(RecordKind.DELTA), int(RecordKind.RESET)


class RecentTrades:
    """Last trades of each market, as their records: a third of the memory of what they are read into. A listener of the source."""

    def __init__(self, most: int = MOST_TRADES) -> None:
        self._most = most
        self._held: dict[Key, deque[bytes]] = {}
        self._replays: set[Key] = set()
        self._missed: Counter[str] = Counter()

    def __call__(self, batch: Batch) -> None:
        """Take in a batch."""
        for one in batch.trades:
            key = one.item.set_name, one.item.symbol
            held = self._held.get(key)
            if held is None:
                if len(self._held) >= MOST_MARKETS:
                    continue
                held = self._held[key] = deque(maxlen=self._most)
                if one.item.replay:
                    self._replays.add(key)
            held.append(one.record)
        for lost in batch.missed:
            if lost.ring == "trades":
                self._missed[lost.set_name] += lost.missed

    def last(self, set_name: str, symbol: str, limit: int) -> list[TradeItem]:
        """Last trades of a market, the newest first."""
        key = set_name, symbol
        records = memoryview(b"".join(islice(reversed(self._held.get(key, ())), limit)))
        return list(trade_items(records, set_name, Names(None), replay=key in self._replays))

    def missed(self, set_name: str) -> int:
        """Records of a set that were overwritten before they were read."""
        return self._missed[set_name]


@dataclass(slots=True)
class Measured:
    """Bytes of a book's groups against whole books, and its last group; a measurement of one server."""

    groups: int = 0
    delta_bytes: int = 0
    full_bytes: int = 0
    last: Group | None = None
    bid_changes: int = 0  # of the last group
    ask_changes: int = 0
    full_levels: int = 0  # of the book after it
    latency_ns: int | None = None  # of the last group that was not in the ring before the source came to it


class DeltaMeter:
    """Measurement of deltas against `BASELINE`; a listener of the source. `books` gives a replica, None for one that is not whole.

    A group counts if the number of the book's levels after it is known. That is counted back from the replica after the batch: each
    change says whether it adds or removes a level.
    """

    def __init__(self, books: Callable[[Key], Reconstructor | None]) -> None:
        self._books = books
        self.began_ns = clock.realtime_ns()
        self.missed = 0
        self._measured: dict[Key, Measured] = {}

    def __call__(self, batch: Batch) -> None:
        """Take in a batch."""
        self.missed += sum(lost.missed for lost in batch.missed if lost.ring == "deltas")
        by_book: dict[Key, list[Group]] = {}
        for group in batch.groups:
            if group.kind in (DELTA_KIND, RESET_KIND):
                by_book.setdefault((group.set_name, group.symbol), []).append(group)
        if by_book:
            now_ns = clock.realtime_ns()
            for key, groups in by_book.items():
                self._measure(key, groups, now_ns)

    def _measure(self, key: Key, groups: list[Group], now_ns: int) -> None:
        """Count a book's groups of one batch, from the last one back."""
        replica = self._books(key)
        if replica is None or replica.version != groups[-1].version or groups[-1].kind != DELTA_KIND:
            return
        one = self._measured.get(key)
        if one is None:
            if len(self._measured) >= MOST_MARKETS:
                return
            one = self._measured[key] = Measured()
        levels = one.full_levels = replica.book.bid_count + replica.book.ask_count
        for index in range(len(groups) - 1, -1, -1):
            group = groups[index]
            if group.kind != DELTA_KIND:
                break  # the book before it was another one
            one.groups += 1
            one.delta_bytes += len(group.records)
            one.full_bytes += levels * LEVEL_BYTES
            bids, asks, added = _counted(group.records)
            levels -= added
            if index == len(groups) - 1:
                one.last, one.bid_changes, one.ask_changes = group, bids, asks
                if not group.is_backlog:
                    one.latency_ns = None if group.replay else now_ns - group.timestamp_ns

    def of(self, key: Key) -> Measured:
        """Measurement of a book; an empty one where nothing was measured."""
        return self._measured.get(key, NOTHING)


NOTHING = Measured()


def _counted(records: bytes) -> tuple[int, int, int]:
    """Changes of bids and of asks in a group's records, and levels added less those removed."""
    bids = asks = added = 0
    for at in range(0, len(records), delta.DELTA_BYTES):
        begin = at + delta.HEADER_BYTES
        count = min(records[at + COUNT_AT], delta.MAX_CHANGES)
        for _, word in CHANGE.iter_unpack(records[begin : begin + delta.CHANGE_BYTES * count]):
            if word & delta.IS_ASK:
                asks += 1
            else:
                bids += 1
            if word & delta.LEVEL_IS_NEW:
                added += 1
            elif not word & delta.SIZE_MASK:
                added -= 1
    return bids, asks, added


@dataclass(slots=True)
class _Width:
    source: LiveCandles
    held: dict[tuple[str, str], deque[Candle]]
    used_ns: int


class RecentCandles:
    """Closed candles of all markets, for the widths that were asked for and "1m". The first ones are made of what the rings hold."""

    def __init__(self, directory: Directory, wanted: Wanted) -> None:
        self._directory, self._wanted = directory, wanted
        self._widths: dict[str, _Width] = {}

    def ask(self, width: str) -> bool:
        """Ask for a width; whether its candles are being made now. UsageError for an unknown width."""
        now_ns = clock.monotonic_ns()
        held = self._widths.get(width)
        if held is not None:
            held.used_ns = now_ns
            return True
        rule = Rule(width, LATE_NS)
        with suppress(SegmentError, StorageError):  # nothing is collected yet
            self._widths[width] = _Width(LiveCandles(self._directory, self._wanted, rule, "oldest"), {}, now_ns)
            return True
        return False

    def read(self, width: str) -> bool:
        """Read a part of what is new for a width; whether there may be more."""
        one = self._widths.get(width)
        if one is None:
            return False
        try:
            found = one.source.poll()
        except (SegmentError, StorageError):  # a ring's file was cut short: from its successor again
            self._drop(width)
            return False
        for candle in found:
            key = candle.set_name, candle.symbol
            if key not in one.held and len(one.held) >= MOST_MARKETS:
                continue
            one.held.setdefault(key, deque(maxlen=MOST_CANDLES)).append(candle)
        if found:
            most = MOST_OF_WIDTH // len(one.held)
            for held in one.held.values():
                while len(held) > most:
                    held.popleft()
        return one.source.has_more

    def last(self, set_name: str, symbol: str, width: str, limit: int) -> list[Candle]:
        """Last closed candles of a market, the oldest first."""
        one = self._widths.get(width)
        return [] if one is None else list(one.held.get((set_name, symbol), ()))[-limit:]

    def tend(self) -> None:
        """Drop the widths that nobody asks for any more, but for "1m"."""
        now_ns = clock.monotonic_ns()
        for width in [name for name, one in self._widths.items() if name != "1m" and now_ns - one.used_ns > UNUSED_NS]:
            self._drop(width)

    @property
    def widths(self) -> list[str]:
        """Widths that are made now."""
        return list(self._widths)

    def _drop(self, width: str) -> None:
        self._widths.pop(width).source.close()

    def close(self) -> None:
        """Remove the cursors."""
        for width in self.widths:
            self._drop(width)
