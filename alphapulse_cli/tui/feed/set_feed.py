"""One set, followed for the live screen: exact books, trades, their latency to here, state and rates.

rings ─► drain: in large polls, no work per record but trades ─► replicas, trades, latency to here
counters ─► read_second: a look a second                      ─► stages
                                  picture: when one is wanted ─► SetPicture, BookPictures
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import POLL_RECORDS, GroupReader, Polled
from alphapulse_cli.readers.items import Names, TradeItem, trade_items
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Histogram
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.tui.feed.book_feed import OneBook
from alphapulse_cli.tui.feed.picture import MOMENTS, TRADES, BookPicture, SetPicture, Stage, Watched
from alphapulse_cli.tui.feed.stages import StageWatch
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState

MOST_POLLS = 8  # polls in a row, before other sets have their turn
SAMPLES = 16  # latency samples a poll
SECOND_NS = 1_000_000_000
RECORD_WORDS = delta.DELTA_BYTES // 8
UNKNOWN = BookState.SYNCING, BookReason.STARTING


@dataclass(slots=True)
class Tally:
    """Counts about a set that survive attaching to it again."""

    epoch: int = 0
    missed: int = 0
    laps: int = 0
    restarts: int = 0


class OneSet:
    """Follower of one set. SegmentError or StorageError if it cannot be attached to.

    It counts into `tally`, and appends trades to `tape`, newest last.
    """

    def __init__(
        self, directory: Directory, name: str, exchange: str, wanted: Wanted, tally: Tally, tape: deque[TradeItem]
    ) -> None:
        self.name, self.exchange, self.tally = name, exchange, tally
        self._directory, self._tape = directory, tape
        self._only = wanted.symbols_of(name, exchange)
        self._follower = SetFollower(directory, name, self._only, "now", "tui deltas")
        self._trades: GroupReader | None = None
        self._names = Names(self._only)
        self._books: dict[str, OneBook] = {}
        self._seen = Histogram(bytearray(HISTOGRAM_BYTES))
        self._counters: CountersReader | None = None
        self._watches = (
            StageWatch("exchange to received", is_relative=True),
            StageWatch("received to published", is_relative=False),
            StageWatch("received to seen here", is_relative=False),
        )
        self._stages: tuple[Stage, ...] = ()
        self._behind = 0  # greatest lag in records since the last picture
        self._is_fresh = True  # no trade of this ring was read yet
        self._read_ns = 0  # of a recording's clock: when the stages were read last
        self._second = 0  # of a recording's clock: that of the sparklines' last points
        self._note_epoch()
        if self.is_replay:
            self._forget_trades(self.clock_ns())
        self.look()

    @property
    def is_replay(self) -> bool:
        """Whether a replay writes the set."""
        return self._follower.groups.is_replay

    def clock_ns(self) -> int:
        """Time now on the set's clock, ns since 1970; 0 in a replay that has not published it."""
        return self._follower.groups.now_ns()

    @property
    def epoch(self) -> int:
        """Epoch of the set's writer: another one after each seek of a replay."""
        return self.tally.epoch

    @property
    def ring(self) -> RingReader:
        """Ring of the set's deltas."""
        return self._follower.ring

    def look(self) -> None:
        """Attach to the ring of trades if it was not there before; called a few times a second."""
        if self._trades is not None:
            return
        with suppress(SegmentError, StorageError):
            published = Segment.attach(self._directory, segment_name(SegmentKind.TRADES, self.name)).published
            begin = max(published - TRADES, 0)
            self._trades = GroupReader(self._directory, self.name, SegmentKind.TRADES, begin, "tui trades")

    def drain(self, now_ns: int) -> bool:
        """Read the new records of both rings; returns whether there were any. SegmentGone if a file was cut short."""
        changed = False
        self._behind = max(self._behind, self._follower.groups.reader.lag)
        for _ in range(MOST_POLLS):
            polled = self._follower.poll(now_ns)
            changed |= self._note(polled)
            if polled.record_count < POLL_RECORDS // 2:
                break
        if self._trades is not None:
            polled = self._trades.poll(now_ns)
            if polled.restarted and self.is_replay:
                self._forget_trades(self._trades.now_ns())
                self._is_fresh = True
            if polled.record_count:
                changed = True
                self._take_trades(polled.records)
        if self.is_replay:
            self._tick_by_its_clock()
        return changed

    def _tick_by_its_clock(self) -> None:
        """Add the next points to the sparklines where the recording's clock has come to another second; a step back begins them anew."""
        second = self.clock_ns() // SECOND_NS
        if second == self._second:
            return
        passed, self._second = second - (self._second or second), second
        for book in self._books.values():
            if passed < 0:
                book.begin_again()
            else:
                book.tick(min(max(passed - 1, 0), MOMENTS))

    def _forget_trades(self, from_ns: int) -> None:
        """Forget the set's trades that were received at that time or later: the replay is before them, or plays them again."""
        kept = [one for one in self._tape if one.set_name != self.name or one.timestamp_ns < from_ns]
        self._tape.clear()
        self._tape.extend(kept)
        for book in self._books.values():
            if book.last_trade is not None and book.last_trade.timestamp_ns >= from_ns:
                book.last_trade = None

    def _note(self, polled: Polled) -> bool:
        """Count laps and restarts, and sample the latency of records; returns whether the poll brought anything."""
        if polled.restarted:
            self._note_epoch()
        if polled.missed:
            self.tally.missed += polled.missed
            self.tally.laps += 1
        count = polled.record_count
        if count and not self._follower.groups.is_replay:  # how late a replay is seen cannot be told: its clock moves in steps
            now, step = clock.realtime_ns(), RECORD_WORDS * max(count // SAMPLES, 1)
            for received_ns in polled.records.cast("Q")[::step].tolist():
                self._seen.record(now - received_ns)
        return bool(count or polled.missed or polled.restarted)

    def _note_epoch(self) -> None:
        epoch = self._follower.groups.segment.epoch
        if self.tally.epoch and epoch != self.tally.epoch:
            self.tally.restarts += 1
        self.tally.epoch = epoch
        self._counters = None

    def _take_trades(self, records: memoryview) -> None:
        if self._is_fresh:  # these may have been read before: from the former ring of a replay, or before it was attached to again
            self._is_fresh = False
            self._forget_trades(int.from_bytes(records[:8], "little"))
        for trade in trade_items(records, self.name, self._names, replay=self.is_replay):
            self._tape.append(trade)
            self._book(trade.symbol).last_trade = trade

    def _wants(self, symbol: str) -> bool:
        return self._only is None or symbol in self._only

    def _book(self, symbol: str) -> OneBook:
        found = self._books.get(symbol)
        if found is None:
            found = self._books[symbol] = OneBook(self.name)
        return found

    def read_second(self) -> None:
        """Read the stages and add the sparklines' next points, once a second; of a replay whose clock stands, nothing."""
        for book in self._books.values() if not self.is_replay else ():
            book.tick()
        if self.is_replay and self.clock_ns() == self._read_ns:
            return  # it stands still
        self._read_ns = self.clock_ns()
        if self._counters is None:
            with suppress(SegmentError, StorageError):
                self._counters = CountersReader(Segment.attach(self._directory, segment_name(SegmentKind.COUNTERS, self.name)))
                for watch in self._watches[:2]:
                    watch.begin_again()
        readings = [self._seen.read()]
        if self._counters is not None:
            held = self._counters.histograms()
            readings = [held["feed_delay_ns"], held["publish_latency_ns"], *readings]
        watches = self._watches[-len(readings) :]
        self._stages = tuple(watch.read(reading) for watch, reading in zip(watches, readings, strict=True))

    def picture(self, status: SetStatus, revival: str = "") -> SetPicture:
        """Picture of the set, with the advice if it is not live."""
        groups, tally = self._follower.groups, self.tally
        behind, self._behind = self._behind, 0
        capacity = groups.segment.spec.capacity
        published = groups.reader.published()
        return SetPicture(status, self._stages, behind, tally.missed, tally.laps, tally.restarts, capacity, published, revival)

    def books(self, samples: list[BookStatus], watched: Watched, now_ns: int) -> list[BookPicture]:
        """Pictures of the wanted books now."""
        replicas = self._follower.books
        clock_ns = self.clock_ns()
        made = []
        for sample in samples:
            symbol = sample.symbol
            if self._wants(symbol):
                replica = replicas.get(symbol)
                state = UNKNOWN if replica is None else self._follower.state(symbol, now_ns)
                levels = watched.levels_of(self.name, symbol)
                made.append(self._book(symbol).picture(sample, replica, state, levels, now_ns, clock_ns))
        return made

    def stand(self, now_ns: int) -> Iterator[tuple[str, Reconstructor, BookState, BookReason]]:
        """Iterate over the wanted books: (symbol, replica, current state and reason)."""
        for symbol, replica in self._follower.books.items():
            if self._wants(symbol):
                yield symbol, replica, *self._follower.state(symbol, now_ns)

    def close(self) -> None:
        """Remove the cursors."""
        self._follower.close()
        if self._trades is not None:
            self._trades.close()
