"""The readers, for Python: what every command here uses, with numpy arrays for records.

    DeltaReader("kraken").poll()        a structured array of delta records (`wire.delta.dtype()`), whole groups only
    TradeReader("kraken").poll()        the same of trades (`wire.trade.dtype()`)
    Book("kraken", "BTC-USD").read()    the collector's own book, copied out of shared memory whole
    follow("kraken", symbols=[…])       exact books, rebuilt in this process, an update after each change; also `async for`

A set is named by its exchange, or by what `collect --as NAME` said. Nothing that reads can slow or break the writer; a reader that is
too slow is *lapped*: it is told how many records it missed, and `follow` heals itself from the image.

Arrays that `poll` returns are borrowed: they are overwritten by the next `poll` of the same reader. `.copy()` what you keep.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from alphapulse_cli.book.book import Book as ExactBook
from alphapulse_cli.edges.idle import Idle, idle_strategy
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.flow.follow import POLL_RECORDS, GroupReader, SetFollower, Start
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import Kind
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState

if TYPE_CHECKING:
    import numpy as np

COPY_TRIES = 1000


class RecordReader:
    """One set's records, whole groups only, across restarts of its collector. NoSegment if the set is not there."""

    kind: Kind

    def __init__(self, name: str, *, start: Start = "now", shm_dir: str | None = None) -> None:
        self._name = name
        self._directory = open_directory(shm_dir)
        self._groups = GroupReader(self._directory, name, self.kind, start)
        self._dtype = delta.dtype() if self.kind is Kind.DELTAS else trade.dtype()
        self._idle: Idle | None = None

    def poll(self, limit: int = POLL_RECORDS) -> "np.ndarray[Any, Any]":
        """What is new, at most about `limit` records; empty if nothing is. Borrowed until the next poll."""
        import numpy as np

        return np.frombuffer(self._groups.poll(limit).records, dtype=self._dtype)

    @property
    def missed(self) -> int:
        """Records overwritten before this reader got to them, so far."""
        return self._groups.missed

    @property
    def lag(self) -> int:
        """Records published and not yet read."""
        return self._groups.reader.lag

    @property
    def liveness(self) -> Liveness:
        """What the set's writer really is, now."""
        return self._groups.segment.liveness(clock.monotonic_ns())

    def wait(self, timeout_s: float, how: str = "wake") -> bool:
        """Wait until there is something to poll; False after `timeout_s` seconds. `how` is spin, yield, sleep or wake."""
        if self._idle is None:
            self._idle = idle_strategy(how, self._directory, self._name)
        return self._idle.wait(self._groups.reader, timeout_s)

    def __iter__(self) -> Iterator["np.ndarray[Any, Any]"]:
        """Arrays without end, each borrowed until the next."""
        while True:
            records = self.poll()
            if len(records):
                yield records
            else:
                self.wait(1.0)

    def close(self) -> None:
        """Let go of the directory; what is mapped goes with this object."""
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class DeltaReader(RecordReader):
    """Price-level deltas: arrays of `wire.delta.dtype()`, 256 bytes a record."""

    kind = Kind.DELTAS


class TradeReader(RecordReader):
    """Trades: arrays of `wire.trade.dtype()`, 128 bytes a record."""

    kind = Kind.TRADES


@dataclass(frozen=True, slots=True)
class BookCopy:
    """A whole book at one version. Levels are (n, 2) int64 arrays of (ticks, lots), *best first*; state as it was when copied."""

    exchange: str
    symbol: str
    version: int
    timestamp_ns: int
    price_decimals: int
    size_decimals: int
    state: BookState
    reason: BookReason
    bids: "np.ndarray[Any, Any]"
    asks: "np.ndarray[Any, Any]"

    def rows(self, depth: int | None = None) -> list[tuple[str, str, str]]:
        """("bid" or "ask", price, size) as exact decimal text: bids best first, then asks best first."""
        made = []
        for side, levels in (("bid", self.bids), ("ask", self.asks)):
            for ticks, lots in levels[:depth].tolist():
                made.append((side, to_text(ticks, self.price_decimals), to_text(lots, self.size_decimals)))
        return made


class Book:
    """The collector's own book in shared memory. NoSegment if it is not there."""

    def __init__(self, name: str, symbol: str, *, shm_dir: str | None = None) -> None:
        self._directory = open_directory(shm_dir)
        self._file = segment_name(Kind.BOOK, name, symbol)
        self._attach()

    def _attach(self) -> None:
        self._segment = Segment.attach(self._directory, self._file)
        self._reader = ImageReader(self._segment)

    def read(self, depth: int | None = None) -> BookCopy:
        """A consistent copy: all levels, or the best `depth` of each side. NoSegment if the book went away meanwhile."""
        import numpy as np

        for _ in range(COPY_TRIES):
            if self._segment.liveness(clock.monotonic_ns()) is Liveness.REPLACED:
                self._attach()
            image = self._reader.copy(1) if depth is None else self._reader.top(depth)
            if image is not None:
                break
        else:
            raise NoSegment(f"{self._file} could not be copied whole: its writer died in the middle of an edit, or never pauses")
        spec = self._segment.spec
        live = self._segment.is_live(clock.monotonic_ns())
        state = BookState(image.state) if live else BookState.STALE
        reason = BookReason(image.reason) if live else BookReason.SILENT
        bids = np.frombuffer(image.bids, dtype="<i8").reshape(-1, 2)[::-1]
        asks = np.frombuffer(image.asks, dtype="<i8").reshape(-1, 2)[::-1]
        return BookCopy(
            spec.exchange,
            spec.symbol,
            image.version,
            image.timestamp_ns,
            image.price_decimals,
            image.size_decimals,
            state,
            reason,
            bids,
            asks,
        )


@dataclass(frozen=True, slots=True)
class FollowUpdate:
    """A book after one or more changes. `book` is the replica itself: look at it before asking for the next update."""

    exchange: str
    symbol: str
    book: ExactBook
    version: int
    timestamp_ns: int
    state: BookState
    reason: BookReason
    missed: int  # records lost to laps so far; the book was healed from its image


class Following:
    """Iterates over updates of exact books: `for update in …` or `async for update in …`."""

    def __init__(self, names: Sequence[str], symbols: Collection[str] | None, shm_dir: str | None) -> None:
        self._directory = open_directory(shm_dir)
        self.followers = [SetFollower(self._directory, name, symbols) for name in names]
        self._versions: dict[tuple[str, str], tuple[int, BookState]] = {}
        self._idle = idle_strategy("wake" if len(names) == 1 else "sleep", self._directory, names[0])

    def poll(self) -> list[FollowUpdate]:
        """The books that changed since the last poll: newest state, one update each."""
        updates: list[FollowUpdate] = []
        for follower in self.followers:
            follower.poll()
            now = clock.monotonic_ns()
            for symbol, replica in follower.books.items():
                state, reason = follower.state(symbol, now)
                seen = (replica.version, state)
                if self._versions.get((follower.set_name, symbol)) == seen:
                    continue
                self._versions[follower.set_name, symbol] = seen
                updates.append(
                    FollowUpdate(
                        follower.exchange,
                        symbol,
                        replica.book,
                        replica.version,
                        replica.timestamp_ns,
                        state,
                        reason,
                        follower.groups.missed,
                    )
                )
        return updates

    def __iter__(self) -> Iterator[FollowUpdate]:
        while True:
            updates = self.poll()
            yield from updates
            if not updates:
                self._idle.wait(self.followers[0].groups.reader, 0.1)

    async def __aiter__(self) -> AsyncIterator[FollowUpdate]:
        while True:
            updates = self.poll()
            for update in updates:
                yield update
            await asyncio.sleep(0 if updates else 0.001)


def follow(*names: str, symbols: Collection[str] | None = None, shm_dir: str | None = None) -> Following:
    """Exact books of these sets (all symbols, or those given), as an iterator and an async iterator. NoSegment if one is not there."""
    return Following(names, symbols, shm_dir)
