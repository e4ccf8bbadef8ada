"""Source of `serve`: the one consumer of the rings in the process. It keeps exact books and hands out what was new, batch by batch.

    rings of all wanted sets ─► poll ─► Batch ─► listeners, one after another, in the loop: streams, statistics, candles, metrics
                                 │
                                 └► `books`, `states`: replicas as of the last batch

A batch's groups were all applied before a listener sees it, so a book is never shown between two records of a group. After a batch the
source rests JOIN_S: what falls due meanwhile is one batch. Where nothing comes it sleeps in a thread of its own, in the kernel, and
costs no CPU (`pace`). Rings are read from their oldest record on, so that a server that was just started knows the last groups and trades;
these are marked `is_backlog`.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from alphapulse_cli.apps.serve.pace import Outcome, Pace
from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.errors import SegmentError, SegmentGone, StorageError
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
POLL_RECORDS = 512  # of a set in one batch: what is written to a client at once has a bound
STATES_EVERY_NS = 100_000_000
ALL_EVERY_NS = 20_000_000  # between two polls of rings that have nothing unread
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
        self._states_after_ns = self._all_after_ns = 0
        self._read_until: dict[str, int] = {}  # sequence in a set's ring
        self._noted: dict[str, str] = {}  # failures, by set
        self._deltas: SetReaders[SetFollower] = SetReaders(directory, wanted, self._attach, start=start, how=how, needed=needed)
        self._trades: SetReaders[GroupReader] = SetReaders(
            directory, wanted, self._attach_trades, kind=SegmentKind.TRADES, start=start, how=how, needed=False
        )
        self._pace: Pace | None = None

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

    def poll(self, now_ns: int, woken_ns: int = 0, *, unread_only: bool = False) -> Batch:
        """Read all rings once, or those that have unread records; `now_ns` is CLOCK_MONOTONIC.

        A ring that was replaced, a book that waits for its image: only a poll of all finds these.
        """
        batch = Batch(now_ns, woken_ns)
        for sets in (self._deltas, self._trades):
            try:
                sets.look(now_ns)
            except (SegmentError, StorageError, OSError) as error:
                self._note("directory", error)
        asks_states = now_ns >= self._states_after_ns
        for name, follower in list(self.followers.items()):
            if not unread_only or follower.ring.lag:
                asks_states |= self._poll_deltas(name, now_ns, batch)
        for name, reader in list(self.trade_readers.items()):
            if not unread_only or reader.ring.lag:
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
        self._pace = Pace(self._step, self._rings, Waiting(self._how, self.directory))
        await self._pace.run()

    def _step(self, woken_ns: int) -> Outcome:
        """Poll once, all rings every ALL_EVERY_NS and else those that have unread records, and hand the batch out."""
        now_ns = clock.monotonic_ns()
        reads_all = now_ns >= self._all_after_ns
        if reads_all:
            self._all_after_ns = now_ns + ALL_EVERY_NS
        batch = self.poll(now_ns, woken_ns, unread_only=not reads_all)
        if not batch:
            return Outcome.NOTHING
        self.tell(batch)
        return Outcome.MORE if batch.has_more else Outcome.READ

    def tell(self, batch: Batch) -> None:
        """Hand a batch to the listeners."""
        for listener in self.listeners:
            try:
                listener(batch)
            except Exception:
                self.failures += 1
                LOGGER.exception("a listener of the source failed")

    def _rings(self) -> list[RingReader]:
        return [one.ring for sets in (self.followers, self.trade_readers) for one in sets.values()]

    def close(self) -> None:
        """End the sleeping thread and remove the cursors."""
        if self._pace is not None:
            self._pace.close()
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
