"""Public Python API: the readers that the commands use, with numpy arrays for records.

    DeltaReader("kraken").poll()        a structured array of delta records (`wire.delta.dtype()`), whole groups only
    TradeReader("kraken").poll()        the same of trades (`wire.trade.dtype()`)
    Book("kraken", "BTC-USD").read()    the collector's own book, copied out of shared memory whole
    follow("kraken", symbols=[…])       exact books, rebuilt in this process, an update after each change; also `async for`
    prices(records), times(records), …  columns of either array, exact, in numbers that cannot wrap: `readers.columns`
    to_pandas(records)                  either array as a DataFrame, exact prices and sizes beside the integers

A set has the name of its exchange, or the NAME given to `collect --as NAME`. A reader cannot slow or break the writer. A reader
that is too slow is *lapped*: the writer overwrote records that were not yet read. `missed` counts them, and `follow` heals its
books from the book images. Readers carry on when the collector restarts. A reader is not safe to share between threads: make one
for each thread.

Units: prices in ticks and sizes in lots, integers; times in nanoseconds since 1970 where the name ends in `_ns`. For calculations
use `prices(records)`, `sizes`, `times`, `exchange_times` and `feed_delays`: a record's own decimals and times are unsigned, and
numpy wraps them. `poll` returns an array of its own memory, copied out of the ring and checked against laps; `poll(copy=False)`
saves a copy and lends the reader's memory, which its next `poll` overwrites.

A set that `alphapulse replay` writes is read in the same way, from the replay's own directory (`shm_dir`). `replay` of readers,
copies and updates tells it from a live one; its ages are to be measured with a reader's `now_ns()`.

Errors are in `alphapulse_cli.errors`: NoSegment where nothing was collected yet, StorageError where the directory may not be used,
UsageError for impossible names, SegmentGone where a file was cut short under its reader (try again to attach to the next
collector's).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from alphapulse_cli.book.book import Book as ExactBook
from alphapulse_cli.errors import NoSegment, SegmentGone, UsageError
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import POLL_RECORDS, GroupReader, Start
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import TradingStatus, allows_taking, trading_status
from alphapulse_cli.readers.columns import Form, level_numbers
from alphapulse_cli.readers.selection import Wanted, settled, until_there
from alphapulse_cli.readers.sets import SetReaders
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ImageCopy, SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.shm.wake import WakePage
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState

if TYPE_CHECKING:
    import numpy as np

COPY_TRIES, COPY_PAUSE_NS, CHECKPOINT_AFTER = 400, 500_000, 20
ASYNC_PAUSE_S = 0.001


class RecordReader:
    """Reader of one set's ring: whole groups only, across restarts of its collector. NoSegment if the set is not there.

    `start`: "now", "oldest" (all that the ring still holds), or a sequence. `label` is this reader's name in `alphapulse segments`.
    """

    kind: SegmentKind

    def __init__(self, name: str, *, start: Start = "now", shm_dir: str | None = None, label: str = "python") -> None:
        self._name = name
        self._directory = open_directory(shm_dir)
        self._groups = GroupReader(self._directory, name, self.kind, start, label)
        self._dtype = delta.dtype() if self.kind is SegmentKind.DELTAS else trade.dtype()
        self._waits: dict[str, Waiting] = {}
        self.last_missed = 0  # records, at the last poll

    def poll(self, limit: int = POLL_RECORDS, *, copy: bool = True) -> "np.ndarray[Any, Any]":
        """New records, shape (n,): at most `limit`, and the held beginning of a group; empty if there are none.

        `copy=False` lends the reader's own memory, read-only, until its next poll.
        """
        import numpy as np

        polled = self._groups.poll(clock.monotonic_ns(), limit)
        self.last_missed = polled.missed
        lent = np.frombuffer(polled.records, dtype=self._dtype)
        if copy:
            return lent.copy()
        lent.flags.writeable = False
        return lent

    @property
    def missed(self) -> int:
        """Records overwritten before this reader got to them, so far."""
        return self._groups.missed

    @property
    def lag(self) -> int:
        """Records published and not yet read."""
        return self._groups.reader.lag

    @property
    def replay(self) -> bool:
        """Whether a replay writes the set: its records are of the past."""
        return self._groups.is_replay

    def now_ns(self) -> int:
        """Time now on the clock of the records, ns since 1970, for their ages: CLOCK_REALTIME, or that of the recording in a replay.

        0 in a replay that has not published it yet.
        """
        return self._groups.now_ns()

    @property
    def liveness(self) -> Liveness:
        """State of the set's writer process now, from its heartbeat and lock."""
        return self._groups.segment.liveness(clock.monotonic_ns())

    def wait(self, timeout_s: float, how: str = "wake") -> bool:
        """Wait until there is something to poll; False after `timeout_s` seconds, or soon if the collector has ended.

        `how` is spin, yield, sleep or wake, see `readers.waiting`. UsageError for another.
        """
        if how not in self._waits:
            self._waits[how] = Waiting(how, self._directory)
        return self._waits[how].wait({self._name: self._groups.reader}, timeout_s)

    def __iter__(self) -> Iterator["np.ndarray[Any, Any]"]:
        """Iterate over arrays of new records without end; each has its own memory and at least one record."""
        while True:
            records = self.poll()
            if len(records):
                yield records
            else:
                self.wait(1.0)

    def close(self) -> None:
        """Close the directory and remove the cursor; the mappings end with this object."""
        self._groups.close()
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class DeltaReader(RecordReader):
    """Reader of price-level deltas: arrays of `wire.delta.dtype()`, 256 bytes a record, at most 12 changes in each.

    `records["changes"][i][:records["change_count"][i]]` are the changes of record i; CHECKs and STATUSes have none.
    """

    kind = SegmentKind.DELTAS


class TradeReader(RecordReader):
    """Reader of trades: arrays of `wire.trade.dtype()`, 128 bytes a record."""

    kind = SegmentKind.TRADES


@dataclass(frozen=True, slots=True)
class BookCopy:
    """Copy of a book at one version.

    Levels are (n, 2) int64 arrays of (ticks, lots), *best first*; the state is that of the copy.
    """

    exchange: str
    symbol: str
    version: int
    timestamp_ns: int
    price_decimals: int
    size_decimals: int
    state: BookState
    reason: BookReason
    trading_status: TradingStatus | None  # which orders the market takes; None if its writer does not say
    bids: "np.ndarray[Any, Any]"
    asks: "np.ndarray[Any, Any]"
    replay: bool = False  # a replay writes the set: LIVE is then as of the recording

    def prices(self, side: str, form: Form = "decimal") -> "np.ndarray[Any, Any]":
        """Prices of side "bid" or "ask", shape (n,), best first: exact "decimal" or "text", nearest "float".

        ValueError for another side or form.
        """
        return level_numbers(self._levels(side)[:, 0], self.price_decimals, form)

    def sizes(self, side: str, form: Form = "decimal") -> "np.ndarray[Any, Any]":
        """Sizes of side "bid" or "ask", shape (n,), in the order and the forms of `prices`."""
        return level_numbers(self._levels(side)[:, 1], self.size_decimals, form)

    def _levels(self, side: str) -> "np.ndarray[Any, Any]":
        if side not in ("bid", "ask"):
            raise ValueError(f"unknown side: {side!r}; sides are bid and ask")
        return self.bids if side == "bid" else self.asks

    @property
    def is_tradable(self) -> bool:
        """Whether the book was LIVE when it was copied, and an order that takes from it would have been accepted."""
        return self.state is BookState.LIVE and allows_taking(self.trading_status)

    def rows(self, depth: int | None = None) -> list[tuple[str, str, str]]:
        """Rows of ("bid" or "ask", price, size) in exact decimal text: at most `depth` bids, best first, then as many asks."""
        made = []
        for side, levels in (("bid", self.bids), ("ask", self.asks)):
            for ticks, lots in levels[:depth].tolist():
                made.append((side, to_text(ticks, self.price_decimals), to_text(lots, self.size_decimals)))
        return made


class Book:
    """Reader of the collector's own book in shared memory (its image). NoSegment if it is not there."""

    def __init__(self, name: str, symbol: str, *, shm_dir: str | None = None) -> None:
        self._name = name
        self._directory = open_directory(shm_dir)
        self._file = segment_name(SegmentKind.BOOK, name, symbol)
        self._attach()

    def _attach(self) -> None:
        self._segment = Segment.attach(self._directory, self._file)
        self._reader = ImageReader(self._segment)

    def read(self, depth: int | None = None) -> BookCopy:
        """Consistent copy of the book: all levels, or the best `depth` of each side.

        It takes about a microsecond for few levels, 0.1 ms for 45,000.
        NoSegment if the book went away, or its writer died in the middle of an edit. A book whose writer is not LIVE is STALE.
        """
        import numpy as np

        image = self._copy(depth)
        spec = self._segment.spec
        liveness = self._segment.liveness(clock.monotonic_ns())
        state, reason = states_of(image.state, image.reason)
        if liveness is not Liveness.LIVE:
            state, reason = BookState.STALE, BookReason.SILENT if liveness is Liveness.SILENT else BookReason.RETIRED
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
            trading_status(image.trading_status),
            bids,
            asks,
            self._segment.is_replay,
        )

    def _copy(self, depth: int | None) -> ImageCopy:
        """Copy of the image, or of a requested checkpoint if the image is edited faster than it can be copied."""
        try:
            first = self._reader.copy_checkpoint(1)
        except SegmentGone:
            self._attach()
            first = None
        for attempt in range(COPY_TRIES):
            if self._segment.liveness(clock.monotonic_ns()) not in (Liveness.LIVE, Liveness.BUILDING):
                self._attach()  # replaced by a larger file, or by a new writer's; or it is still the dead one's
            image = self._reader.copy() if depth is None else self._reader.top(max(depth, 0))
            if image is None and attempt >= CHECKPOINT_AFTER and depth is None:
                image = self._checkpoint(first)
            if image is not None:
                return image
            if self._reader.writer_died_editing(clock.monotonic_ns()):
                raise NoSegment(
                    f"{self._file} is incomplete: its collector was killed during an update", "start the collector again"
                )
            clock.pause(COPY_PAUSE_NS)
        raise NoSegment(f"{self._file} changed during each try to copy it", "alphapulse segments shows whether its collector runs")

    def _checkpoint(self, first: ImageCopy | None) -> ImageCopy | None:
        """Copy of a checkpoint newer than `first`; if there is none yet, ask the writer for one and return None."""
        image = self._reader.copy_checkpoint()
        if image is not None and (first is None or image.seq != first.seq):
            return image
        WakePage.open(self._directory, self._name).request_checkpoint(self._segment.spec.request_slot)
        return None

    def close(self) -> None:
        """Close the directory; the mapping ends with this object."""
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class FollowUpdate:
    """State of a book after one or more changes. `book` is the replica itself, which the next poll changes: `copy()` what you keep.

    `book.bids(n)`, `.asks(n)`, `.best_bid()`, `.best_ask()` give (ticks, lots), best first; `book.views` answers more.
    """

    set_name: str
    exchange: str
    symbol: str
    book: ExactBook
    version: int
    timestamp_ns: int
    state: BookState
    reason: BookReason
    trading_status: TradingStatus | None  # which orders the market takes; None if its writer does not say
    missed: int  # records lost to laps so far; the book was healed from its image
    replay: bool = False  # a replay writes the set: LIVE is then as of the recording

    @property
    def is_tradable(self) -> bool:
        """Whether the book is LIVE and the market accepts taking orders: trade on nothing else."""
        return self.state is BookState.LIVE and allows_taking(self.trading_status)

    def copy(self, depth: int | None = None) -> BookCopy:
        """Copy of the book as it is now, in its own memory: all levels, or the best `depth` of each side."""
        import numpy as np

        book = self.book
        bids, asks = (np.array(side, dtype="<i8").reshape(-1, 2) for side in (book.bids(depth), book.asks(depth)))
        return BookCopy(
            self.exchange,
            self.symbol,
            self.version,
            self.timestamp_ns,
            book.price_decimals,
            book.size_decimals,
            self.state,
            self.reason,
            self.trading_status,
            bids,
            asks,
            self.replay,
        )


class Following:
    """Iterator over updates of exact books: `for update in …` or `async for update in …`. Use it in a `with`, or `close` it."""

    def __init__(
        self, names: Sequence[str], symbols: Collection[str] | None, shm_dir: str | None, label: str = "python", how: str = "wake"
    ) -> None:
        if not names:
            raise UsageError("nothing to follow", 'name a set, as in follow("kraken")')
        with ExitStack() as opened:
            directory = opened.enter_context(open_directory(shm_dir))
            wanted = Wanted(frozenset(), () if symbols is None else Wanted.of(None, symbols).symbols, frozenset(names))
            if symbols is not None:
                wanted = settled(directory, wanted)

            def attach(name: str, exchange: str, _: Start) -> SetFollower:
                return SetFollower(directory, name, wanted.symbols_of(name, exchange), label=label)

            self._sets = SetReaders(directory, wanted, attach, how=how, needed=False)
            opened.callback(self._sets.close)
            for name in names:
                if name not in self._sets.readers:
                    self._sets.readers[name] = attach(name, name, "now")  # NoSegment, which names it
            self._opened = opened.pop_all()
        self._seen: dict[tuple[str, str], tuple[object, ...]] = {}

    @property
    def followers(self) -> list[SetFollower]:
        """The followers, one for each set."""
        return list(self._sets.readers.values())

    def poll(self) -> list[FollowUpdate]:
        """Updates since the last poll: one for each book whose version, state or trading status changed, as it is now."""
        now = clock.monotonic_ns()
        self._sets.look(now)
        return self._read(now)

    def _read(self, now: int) -> list[FollowUpdate]:
        return [update for follower in self.followers for update in self._of(follower, now)]

    def _of(self, follower: SetFollower, now: int) -> Iterator[FollowUpdate]:
        follower.poll(now)
        for symbol, replica in follower.books.items():
            state, reason = follower.state(symbol, now)
            seen = (follower.groups.segment.epoch, replica.version, state, reason, replica.trading_status)
            if self._seen.get((follower.set_name, symbol)) == seen:
                continue
            self._seen[follower.set_name, symbol] = seen
            yield FollowUpdate(
                follower.set_name,
                follower.exchange,
                symbol,
                replica.book,
                replica.version,
                replica.timestamp_ns,
                state,
                reason,
                follower.trading_status(symbol),
                follower.groups.missed,
                follower.groups.is_replay,
            )

    def wait(self, timeout_s: float) -> bool:
        """Wait until any set has more; False after `timeout_s` seconds, or soon if a collector has ended."""
        return self._sets.wait(timeout_s)

    def __iter__(self) -> Iterator[FollowUpdate]:
        for update in self._sets.items(self._read, wait_s=0.1):
            if update is not None:
                yield update

    async def __aiter__(self) -> AsyncIterator[FollowUpdate]:
        while True:
            updates = self.poll()
            for update in updates:
                yield update
            await asyncio.sleep(0 if updates else ASYNC_PAUSE_S)

    def close(self) -> None:
        """Close the directory and remove the cursors."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def follow(*names: str, symbols: Collection[str] | None = None, shm_dir: str | None = None, wait: bool = False) -> Following:
    """Follow exact books of these sets (all symbols, or those given): an iterator and an async iterator of FollowUpdates.

    NoSegment, with near names, if a set or a symbol is not there; with `wait` it is waited for, and a warning of the logger
    `alphapulse` says so. UsageError without a name.
    """
    if not wait:
        return Following(names, symbols, shm_dir)
    with open_directory(shm_dir, create=True):  # the directory is absent where nothing was ever collected
        pass
    return until_there(lambda: Following(names, symbols, shm_dir), logging.getLogger("alphapulse").warning)[0]
