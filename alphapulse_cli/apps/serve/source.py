"""Source of `serve`: the one consumer of the rings in the process. It keeps exact books and hands out what was new, batch by batch.

    rings of all wanted sets ─► poll ─► Batch ─► listeners, one after another, in the loop: streams, statistics, candles, metrics
                                 │
                                 └► `books`, `states`: replicas as of the last batch

A batch's groups were all applied before a listener sees it, so a book is never shown between two records of a group. After a batch the
source rests JOIN_S: what falls due meanwhile is one batch. Where nothing comes it sleeps in a thread of its own, in the kernel, and
costs no CPU. Rings are read from their oldest record on, so that a server that was just started knows the last groups and trades;
these are marked `is_backlog`.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import AlphapulseError, SegmentError, SegmentGone, StorageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import GroupReader, Polled, Start
from alphapulse_cli.flow.merged import group_spans
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.items import HEADER, Names, TradeItem, trade_items
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.readers.sets import SetReaders
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

LOGGER = logging.getLogger("alphapulse.serve")
JOIN_S = 0.001  # pause after a batch: what falls due meanwhile is written at once
POLL_RECORDS = 512  # of a set in one batch: what is written to a client at once has a bound
LONGEST_WAIT_S = 0.05
STATES_EVERY_NS = 100_000_000
KEPT_BYTES = 4 << 20  # of a set's groups, for clients that resume: as much as a ring of the default size holds
COUNT_AT = delta.offsets()["change_count"]
DELTA_KIND, RESET_KIND = int(RecordKind.DELTA), int(RecordKind.RESET)

Key = tuple[str, str]  # (set name, symbol)


class Group(NamedTuple):
    """One group of a book, as its records say it. `records` are its raw records, 256 bytes each, in memory of its own."""

    set_name: str
    exchange: str
    symbol: str
    epoch: int
    kind: int  # a RecordKind
    version: int
    prev_version: int
    timestamp_ns: int  # receive time of the frame, CLOCK_REALTIME
    feed_delay_us: int | None
    change_count: int
    price_decimals: int
    size_decimals: int
    flags: int  # of the first record
    records: bytes
    replay: bool
    is_backlog: bool  # it was in the ring before the source came to it

    @property
    def key(self) -> Key:
        """Key of the group's book."""
        return self.set_name, self.symbol


class SourceTrade(NamedTuple):
    """One trade: the item, its raw record of 128 bytes, and its place: epoch of the writer and sequence in the ring."""

    item: TradeItem
    record: bytes
    epoch: int
    sequence: int
    is_backlog: bool


class Lost(NamedTuple):
    """Number of records of a set's ring ("deltas" or "trades") that were overwritten before they were read."""

    set_name: str
    exchange: str
    ring: str
    missed: int
    replay: bool


class NewWriter(NamedTuple):
    """Notice that another writer writes the set: its versions begin again, in a new epoch. `ring` is "deltas" or "trades"."""

    set_name: str
    exchange: str
    ring: str
    epoch: int
    replay: bool


class State(NamedTuple):
    """State of a book, as every reader shows it: LIVE only if its writer lives and the replica is whole."""

    set_name: str
    exchange: str
    symbol: str
    epoch: int
    version: int
    state: BookState
    reason: BookReason
    trading_status: TradingStatus | None
    noted_ns: int  # CLOCK_REALTIME, when it was seen
    replay: bool


@dataclass(slots=True)
class Batch:
    """Items that one poll of all rings found. `states` are those that changed; `gone` are sets whose files went away under the source.

    `read_ns` and `woken_ns` are CLOCK_MONOTONIC: when the poll began, and when the sleeping thread saw a record (0: it did not sleep).
    """

    read_ns: int
    woken_ns: int = 0
    groups: list[Group] = field(default_factory=list)
    trades: list[SourceTrade] = field(default_factory=list)
    missed: list[Lost] = field(default_factory=list)
    restarted: list[NewWriter] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    has_more: bool = False  # a ring holds more than one poll takes

    def __bool__(self) -> bool:
        return bool(self.groups or self.trades or self.missed or self.restarted or self.states or self.gone)


Listener = Callable[[Batch], None]


class Source:
    """Reader of all wanted sets of a directory. NoSegment if `needed` and none of them is there; UsageError for an unknown way to wait.

    `books` and `states` are as of the last batch; `listeners` are called with each. It is used in one thread.
    """

    def __init__(
        self,
        directory: Directory,
        wanted: Wanted,
        how: str = "wake",
        *,
        label: str = "serve",
        needed: bool = False,
        start: Start = "oldest",
    ) -> None:
        self.directory, self.wanted = directory, wanted
        self.listeners: list[Listener] = []
        self.states: dict[Key, State] = {}
        self.failures = 0  # listeners that raised
        self._label, self._how, self._start = label, how, start
        self._names: dict[str, Names] = {}
        self._end_of_backlog: dict[tuple[str, SegmentKind], int] = {}
        self._history: dict[str, _History] = {}
        self._states_after_ns = 0
        self._read_until: dict[str, int] = {}  # sequence in a set's ring
        self._noted: dict[str, str] = {}  # failures, by set
        self._deltas: SetReaders[SetFollower] = SetReaders(directory, wanted, self._attach, start=start, how=how, needed=needed)
        self._trades: SetReaders[GroupReader] = SetReaders(
            directory, wanted, self._attach_trades, kind=SegmentKind.TRADES, start=start, how=how, needed=False
        )
        self._sleeper = Sleeper(directory, how)

    def _attach(self, name: str, exchange: str, start: Start) -> SetFollower:
        symbols = self.wanted.symbols_of(name, exchange)
        made = SetFollower(self.directory, name, symbols, start, f"{self._label} deltas")
        self._names[name] = Names(symbols)
        self._end_of_backlog[name, SegmentKind.DELTAS] = made.ring.published()
        self._history[name] = _History()
        return made

    def _attach_trades(self, name: str, exchange: str, start: Start) -> GroupReader:
        made = GroupReader(self.directory, name, SegmentKind.TRADES, start, f"{self._label} trades")
        self._names.setdefault(name, Names(self.wanted.symbols_of(name, exchange)))
        self._end_of_backlog[name, SegmentKind.TRADES] = made.ring.published()
        return made

    @property
    def followers(self) -> Mapping[str, SetFollower]:
        """Follower of each set that is read, by its name."""
        return self._deltas.readers

    @property
    def trade_readers(self) -> Mapping[str, GroupReader]:
        """Reader of each set's trades, by the set's name."""
        return self._trades.readers

    @property
    def books(self) -> dict[Key, Reconstructor]:
        """Replicas of all books, made anew at each call: read them now, they change with the next batch."""
        return {(name, symbol): book for name, one in self.followers.items() for symbol, book in one.books.items()}

    def book(self, key: Key) -> Reconstructor | None:
        """Replica of a book, None if there is none."""
        follower = self.followers.get(key[0])
        return None if follower is None else follower.books.get(key[1])

    def is_whole(self, key: Key) -> bool:
        """Whether that book's replica is there and equals its writer's book at its version."""
        follower = self.followers.get(key[0])
        return follower is not None and key[1] in follower.books and follower.is_whole(key[1])

    def epoch(self, set_name: str) -> int | None:
        """Epoch of the set's writer, None if the set is not read."""
        follower = self.followers.get(set_name)
        return None if follower is None else follower.groups.segment.epoch

    def is_catching_up(self, set_name: str) -> bool:
        """Whether what that set's ring held when this was first asked is still being read: the groups up to a book's version may come yet."""
        follower = self.followers.get(set_name)
        if follower is None:
            return False
        until = self._read_until.setdefault(set_name, follower.ring.published())
        return follower.ring.position < until

    def since(self, key: Key, epoch: int, version: int, until: int) -> list[Group] | None:
        """Groups that lead a copy of that book from `version` to `until`; None if they are not at hand, or are no unbroken chain."""
        history = self._history.get(key[0])
        if history is None or epoch != self.epoch(key[0]):
            return None
        return history.since(key[1], epoch, version, until)

    def poll(self, now_ns: int, woken_ns: int = 0) -> Batch:
        """Read all rings once; `now_ns` is CLOCK_MONOTONIC."""
        batch = Batch(now_ns, woken_ns)
        for sets in (self._deltas, self._trades):
            try:
                sets.look(now_ns)
            except (SegmentError, StorageError, OSError) as error:
                self._note("directory", error)
        asks_states = now_ns >= self._states_after_ns
        for name in list(self.followers):
            asks_states |= self._poll_deltas(name, now_ns, batch)
        for name in list(self.trade_readers):
            self._poll_trades(name, now_ns, batch)
        if asks_states:
            self._states_after_ns = now_ns + STATES_EVERY_NS
            self._look_at_states(now_ns, batch)
        return batch

    def _poll_deltas(self, name: str, now_ns: int, batch: Batch) -> bool:
        """Read one set's deltas; whether the states of its books may have changed."""
        follower = self.followers[name]
        try:
            polled = follower.poll(now_ns, POLL_RECORDS)
        except SegmentGone:
            self._deltas.drop(name)
            self._history.pop(name, None)
            self._read_until.pop(name, None)
            batch.gone.append(name)
            return True
        except (SegmentError, StorageError, OSError) as error:
            self._note(name, error)
            return True
        exchange, epoch, is_replay = follower.exchange, follower.groups.segment.epoch, follower.groups.is_replay
        if polled.restarted:
            self._end_of_backlog.pop((name, SegmentKind.DELTAS), None)
            self._history[name] = _History()
            self._read_until.pop(name, None)
            batch.restarted.append(NewWriter(name, exchange, "deltas", epoch, is_replay))
        if polled.missed:
            batch.missed.append(Lost(name, exchange, "deltas", polled.missed, is_replay))
        has_status = False
        if polled.record_count:
            end = self._end_of_backlog.get((name, SegmentKind.DELTAS), 0)
            history = self._history[name]
            for group in _groups(polled, name, epoch, self._names[name], end, replay=is_replay):
                has_status |= group.kind == RecordKind.STATUS
                history.add(group)
                batch.groups.append(group)
            batch.has_more |= polled.record_count >= POLL_RECORDS
        return bool(polled.restarted or polled.missed or has_status)

    def _poll_trades(self, name: str, now_ns: int, batch: Batch) -> None:
        reader = self.trade_readers[name]
        try:
            polled = reader.poll(now_ns, POLL_RECORDS)
        except SegmentGone:
            self._trades.drop(name)
            return
        except (SegmentError, StorageError, OSError) as error:
            self._note(name, error)
            return
        exchange, epoch, is_replay = reader.segment.spec.exchange, reader.segment.epoch, reader.is_replay
        if polled.restarted:
            self._end_of_backlog.pop((name, SegmentKind.TRADES), None)
            batch.restarted.append(NewWriter(name, exchange, "trades", epoch, is_replay))
        if polled.missed:
            batch.missed.append(Lost(name, exchange, "trades", polled.missed, is_replay))
        if not polled.record_count:
            return
        end = self._end_of_backlog.get((name, SegmentKind.TRADES), 0)
        for index in range(polled.record_count):
            record = polled.records[index * trade.TRADE_BYTES : (index + 1) * trade.TRADE_BYTES]
            for item in trade_items(record, name, self._names[name], replay=is_replay):  # none, where its symbol is not wanted
                sequence = polled.first + index
                batch.trades.append(SourceTrade(item, bytes(record), epoch, sequence, sequence < end))
        batch.has_more |= polled.record_count >= POLL_RECORDS

    def _note(self, what: str, error: Exception) -> None:
        """Note a failure that may pass (too many open files): it is tried again, and logged where it is another one."""
        if self._noted.get(what) != str(error):
            self._noted[what] = str(error)
            LOGGER.error("%s cannot be read, and is tried again: %s", what, error)

    def _look_at_states(self, now_ns: int, batch: Batch) -> None:
        """Note the states that differ from those of the last look."""
        there = set()
        for name, follower in self.followers.items():
            epoch, is_replay = follower.groups.segment.epoch, follower.groups.is_replay
            for symbol, book in follower.books.items():
                state, reason = follower.state(symbol, now_ns)
                key = name, symbol
                there.add(key)
                before = self.states.get(key)
                trading = follower.trading_status(symbol)
                if before is None or (before.state, before.reason, before.trading_status, before.epoch) != (
                    state,
                    reason,
                    trading,
                    epoch,
                ):
                    made = State(
                        name, follower.exchange, symbol, epoch, book.version, state, reason, trading, clock.realtime_ns(), is_replay
                    )
                    self.states[key] = made
                    batch.states.append(made)
        for key in self.states.keys() - there:  # its set's files went away: nobody is to take it for LIVE
            before = self.states.pop(key)
            if before.state is not BookState.COLD and before.reason is not BookReason.RETIRED:
                batch.states.append(before._replace(state=BookState.STALE, reason=BookReason.SILENT))

    async def run(self) -> None:
        """Poll for ever, and hand each batch to the listeners. A listener that raises is logged, and called again with the next."""
        woken_ns = 0
        while True:
            batch = self.poll(clock.monotonic_ns(), woken_ns)
            woken_ns = 0
            if batch:
                self.tell(batch)
                await asyncio.sleep(0 if batch.has_more else JOIN_S)
            else:
                woken_ns = await self._sleeper.wait(self._rings())

    def tell(self, batch: Batch) -> None:
        """Hand a batch to the listeners."""
        for listener in self.listeners:
            try:
                listener(batch)
            except Exception:
                self.failures += 1
                LOGGER.exception("a listener of the source failed")

    def _rings(self) -> dict[str, RingReader]:
        return {
            f"{kind}_{name}": one.ring
            for kind, sets in (("deltas", self._deltas), ("trades", self._trades))
            for name, one in sets.readers.items()
        }

    def close(self) -> None:
        """End the sleeping thread and remove the cursors."""
        self._sleeper.close()
        self._deltas.close()
        self._trades.close()


def _groups(polled: Polled, set_name: str, epoch: int, names: Names, end_of_backlog: int, *, replay: bool) -> Iterator[Group]:
    """Iterate over the wanted groups among polled records."""
    records, size = polled.records, delta.DELTA_BYTES
    for start, count in group_spans(polled):
        head = HEADER.unpack_from(records, start * size)
        timestamp_ns, symbol, exchange, version, previous, changes, flags, prices, sizes, delay = head
        found = names.of(symbol + exchange)
        if found is None:
            continue
        kind = flags & delta.KIND_MASK
        if count > 1:
            changes = delta.MAX_CHANGES * (count - 1) + records[(start + count - 1) * size + COUNT_AT]
        yield Group(
            set_name,
            found[1],
            found[0],
            epoch,
            kind,
            version,
            previous,
            timestamp_ns,
            None if delay == delta.NO_FEED_DELAY else delay,
            changes,
            prices,
            sizes,
            flags,
            bytes(records[start * size : (start + count) * size]),
            replay,
            polled.first + start < end_of_backlog,
        )


class _History:
    """The last groups of one set, KEPT_BYTES of records at most, for copies that resume."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()  # symbols, in the order of the groups
        self._groups: dict[str, deque[Group]] = {}
        self._bytes = 0

    def add(self, group: Group) -> None:
        """Keep a group, and drop the oldest beyond the bound."""
        self._order.append(group.symbol)
        self._groups.setdefault(group.symbol, deque()).append(group)
        self._bytes += len(group.records)
        while self._bytes > KEPT_BYTES and len(self._order) > 1:
            self._bytes -= len(self._groups[self._order.popleft()].popleft().records)

    def since(self, symbol: str, epoch: int, version: int, until: int) -> list[Group] | None:
        """Groups of a book that lead from `version` to `until`, CHECKs and STATUSes among them; None if that is no unbroken chain."""
        found: list[Group] = []
        reached = version
        for group in reversed(self._groups.get(symbol, ())):
            if group.version <= version or group.epoch != epoch:
                break
            found.append(group)
        found.reverse()
        chain: list[Group] = []
        for group in found:
            if group.version > until:
                break
            if group.kind == DELTA_KIND:
                if group.prev_version != reached:
                    return None
                reached = group.version
            elif group.kind == RESET_KIND or group.version != reached:
                return None
            chain.append(group)
        return chain if reached == until else None


class Sleeper:
    """Thread that waits for rings in the loop's stead, in the given way; the loop goes on meanwhile."""

    def __init__(self, directory: Directory, how: str) -> None:
        self._waiting = Waiting(how, directory)
        self._asked = threading.Event()
        self._rings: Mapping[str, RingReader] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Future[int] | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    async def wait(self, rings: Mapping[str, RingReader]) -> int:
        """Wait until one of these rings has more, LONGEST_WAIT_S at most: CLOCK_MONOTONIC in ns of seeing it, 0 if there is nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="alphapulse serve: waits for rings", daemon=True)
            self._thread.start()
        self._loop = asyncio.get_running_loop()
        self._rings, self._woken = rings, self._loop.create_future()
        self._asked.set()
        return await self._woken

    def _work(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._is_closed:
                return
            loop, woken = self._loop, self._woken
            assert loop is not None
            assert woken is not None
            seen = 0
            with suppress(AlphapulseError, OSError):  # the poll that follows finds out what it is
                seen = clock.monotonic_ns() if self._waiting.wait(self._rings, LONGEST_WAIT_S) else 0
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(_settle, woken, seen)

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join(1.0)


def _settle(woken: "asyncio.Future[int]", seen: int) -> None:
    if not woken.done():
        woken.set_result(seen)
