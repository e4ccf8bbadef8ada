"""Reader of one set's rings for candles: its trades, and from the other ring and the counters what was not watched.

ring of trades ─► CandleTrade                                          records missed ─► a gap
ring of deltas ─► STATUS: a book that is not LIVE ─► a gap             counters ─► trades missed upstream, connections that are lost
"""

from collections import defaultdict
from contextlib import suppress

from alphapulse_cli.apps.candles.markets import Markets
from alphapulse_cli.errors import SegmentError, StorageError
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.flow.groups import GroupReader, Polled, Start
from alphapulse_cli.flow.images import SharedImages
from alphapulse_cli.market.candles import CandleTrade
from alphapulse_cli.readers.items import Names
from alphapulse_cli.readers.selection import Wanted, symbols_here
from alphapulse_cli.shm.counters import Counter, CountersReader
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState

COUNT_EVERY_NS = 500_000_000  # of the set's own clock, between looks at the counters
STARTING = "starting"


class SetCandles:
    """Reader of one set for `markets`, in a `directory` where it is running, or is played by this process. NoSegment if it is not there.

    `ago_ns` asks for candles from that long before now on, by the set's own clock.
    """

    def __init__(
        self,
        directory: Directory,
        set_name: str,
        markets: Markets,
        wanted: Wanted,
        start: Start,
        *,
        label: str = "",
        ago_ns: int | None = None,
        is_running: bool = True,
    ) -> None:
        self._is_running = is_running
        self._directory, self._set_name, self._markets = directory, set_name, markets
        self.trades = GroupReader(directory, set_name, SegmentKind.TRADES, start, label)
        self._deltas = GroupReader(directory, set_name, SegmentKind.DELTAS, start, label)
        self._exchange = self.trades.segment.spec.exchange
        self._names = Names(wanted.symbols_of(set_name, self._exchange))
        self._images = SharedImages(directory, set_name)
        self._attached_ns = self.trades.now_ns()
        self._from_ns = None if ago_ns is None or not self._attached_ns else max(self._attached_ns - ago_ns, 0)
        self._is_from_now = start == "now"
        self._is_begun = False
        self._began_ns = 0  # of the writer, or of the watch
        self._is_first = False  # whether this writer is read from its first record on
        self._last_ns = {self.trades: 0, self._deltas: 0}  # receive time of the last record
        self._unread: defaultdict[GroupReader, int] = defaultdict(int)  # missed, with no record behind them yet
        self._has_status: set[str] = set()  # symbols with a STATUS of this writer
        self._is_unsure = True  # whether states may have changed without a STATUS that was read
        self._counters: CountersReader | None = None
        self._missed: dict[str, int] = {}  # trades missed upstream, by symbol, at the last look
        self._counted_ns = 0

    @property
    def ring(self) -> RingReader:
        """Ring that is waited for."""
        return self.trades.ring

    @property
    def now_ns(self) -> int:
        """Time now on the set's clock, and never before its last record; 0 if not known."""
        return max(self.trades.now_ns(), *self._last_ns.values())

    @property
    def has_more(self) -> bool:
        """Whether there are records that were not read yet."""
        return bool(self.trades.reader.lag or self._deltas.reader.lag)

    def read(self, monotonic_ns: int) -> bool:
        """Read some records; whether all were read. In a running set the time without a live writer is a gap."""
        polled = [(one, one.poll(monotonic_ns)) for one in (self.trades, self._deltas)]
        if not self._is_begun and not self._begin(*(each for _, each in polled)):
            return True
        if any(each.restarted for _, each in polled):
            self._restart()
        for one, each in polled:
            self._note_missed(one, each)
        (_, trades), (_, deltas) = polled
        if trades.record_count:
            self._take_trades(trades)
        if deltas.record_count:
            self._take_states(deltas)
        is_done = not self.has_more
        if is_done:
            now_ns = self.now_ns
            if self._is_unsure:
                self._look_at_states(now_ns)
            if now_ns >= self._counted_ns + COUNT_EVERY_NS:
                self._count(now_ns)
            if self._is_running:
                for _, maker in self._markets.makers(self._set_name):
                    if self.trades.is_live(monotonic_ns):
                        maker.up("writer", now_ns)
                    else:
                        maker.down("writer", now_ns, "no collector")
        return is_done

    def count(self) -> None:
        """Look at the counters once more, at the end."""
        if self._is_begun:
            self._count(self.now_ns)

    def _begin(self, trades: Polled, deltas: Polled) -> bool:
        """Begin the watch, once a time is known."""
        first = [_first_ns(each, size) for each, size in ((trades, trade.TRADE_BYTES), (deltas, delta.DELTA_BYTES))]
        is_whole = not trades.missed and trades.first == 0 and not self._is_from_now  # the ring still has its first record
        if self._is_from_now:
            began_ns = self._attached_ns or max(first)
        elif is_whole:
            began_ns = min((time_ns for time_ns in first if time_ns), default=self.now_ns)
        else:
            began_ns = first[0]
        if not began_ns:
            return False
        self._is_begun, self._is_first, self._began_ns, self._counted_ns = True, is_whole, began_ns, 0
        symbols = symbols_here(self._directory, self._set_name)
        is_replay = self._is_running and self.trades.is_replay
        self._markets.begin(self._set_name, self._exchange, symbols, began_ns, self._from_ns, is_replay=is_replay)
        for one in self._last_ns:
            self._last_ns[one] = began_ns
        if is_whole:
            self._starting(began_ns)
        self._count(began_ns)
        return True

    def _starting(self, time_ns: int) -> None:
        """Note that this writer's books are not there yet."""
        for symbol in self._images.symbols():
            if (maker := self._markets.maker(self._set_name, symbol, time_ns)) is not None:
                maker.down("book", time_ns, STARTING)

    def _restart(self) -> None:
        """Go on with a new writer: nothing was watched between the last record of the former and its own first."""
        self._has_status.clear()
        self._counters, self._missed = None, {}
        self._is_first, self._is_unsure = True, False
        self._began_ns = last_ns = max(self._last_ns.values())
        self._starting(last_ns)
        for _, maker in self._markets.makers(self._set_name):
            maker.down("restart", last_ns, "collector restarted")

    def _note_missed(self, one: GroupReader, polled: Polled) -> None:
        """Note a gap between the last record that was read and the next one."""
        self._unread[one] += polled.missed
        size, what = (trade.TRADE_BYTES, "trades") if one is self.trades else (delta.DELTA_BYTES, "states")
        first_ns = _first_ns(polled, size)
        if not first_ns:
            return
        for _, maker in self._markets.makers(self._set_name):
            maker.up("restart", first_ns)
            if self._unread[one]:
                count = self._unread[one] if one is self.trades else 0
                maker.missed(self._last_ns[one], first_ns, count, f"{what} missed")
                if one is self._deltas:
                    maker.up("book", first_ns)
        if self._unread.pop(one, 0) and one is self._deltas:
            self._is_unsure = True
            self._has_status.clear()
            self._is_first = False
            self._began_ns = first_ns

    def _take_trades(self, polled: Polled) -> None:
        epoch, last_ns = self.trades.segment.epoch, 0
        for sequence, one in enumerate(trade.RECORD.iter_unpack(polled.records), polled.first):
            last_ns, symbol, exchange, _, _, side, trade_id, ticks, lots, exchange_ns, prices, sizes, flags = one
            found = self._names.of(symbol + exchange)
            maker = None if found is None else self._markets.maker(self._set_name, found[0], last_ns)
            if maker is not None:
                name = trade_id.rstrip(b"\0").decode("utf-8", "backslashreplace")
                maker.add(
                    CandleTrade(
                        last_ns, exchange_ns, epoch, sequence, ticks, lots, prices, sizes, side, name, bool(flags & trade.HISTORY)
                    )
                )
        self._last_ns[self.trades] = last_ns

    def _take_states(self, polled: Polled) -> None:
        """Take in the STATUS records; the others have nothing that concerns candles."""
        at, size, records = delta.offsets(), delta.DELTA_BYTES, polled.records
        for index, flags in enumerate(bytes(records[at["flags"] :: size])):
            if flags & delta.KIND_MASK != delta.RecordKind.STATUS:
                continue
            start = index * size
            time_ns = int.from_bytes(records[start : start + 8], "little")
            found = self._names.of(bytes(records[start + at["symbol"] : start + at["exchange"] + 16]))
            maker = None if found is None else self._markets.maker(self._set_name, found[0], time_ns)
            if found is not None and maker is not None:
                if self._is_first and found[0] not in self._has_status:
                    maker.down("book", self._began_ns, STARTING)
                self._has_status.add(found[0])
                state, reason = states_of(records[start + at["status.state"]], records[start + at["status.reason"]])
                if state is BookState.LIVE:
                    maker.up("book", time_ns)
                else:
                    maker.down("book", time_ns, why_not_live(state.name, reason.name))
        self._last_ns[self._deltas] = _first_ns(polled, size, polled.record_count - 1)

    def _look_at_states(self, now_ns: int) -> None:
        """Look at the state of each book of which no STATUS was read."""
        self._is_unsure = False
        for symbol in self._images.symbols():
            if symbol in self._has_status or self._is_first:
                continue
            image = self._images.image(symbol, self._deltas.segment.epoch)
            words = None if image is None else image.peek()
            maker = self._markets.maker(self._set_name, symbol, now_ns)
            if words is not None and maker is not None:
                state, reason = states_of(words.state, words.reason)
                if state is not BookState.LIVE:
                    maker.down("book", self._began_ns, why_not_live(state.name, reason.name))

    def _count(self, now_ns: int) -> None:
        """Look at the counters: trades missed upstream, and connections that are lost, for markets without a book."""
        with suppress(SegmentError, StorageError):
            if self._counters is None:
                name = segment_name(SegmentKind.COUNTERS, self._set_name)
                self._counters = CountersReader(Segment.attach(self._directory, name))
            blocks = self._counters.blocks()
            own = blocks.get("", {})
            is_lost = own.get(Counter.CONNECTIONS_OPEN.label, 0) < own.get(Counter.CONNECTIONS.label, 0)
            with_book = frozenset(self._images.symbols())
            for symbol, maker in self._markets.makers(self._set_name):
                if symbol not in with_book:
                    if is_lost:
                        maker.down("connection", now_ns, "disconnected")
                    else:
                        maker.up("connection", now_ns)
                missed = blocks.get(symbol, {}).get(Counter.TRADES_MISSED.label, 0)
                known = self._missed.get(symbol, 0 if self._is_first else missed)
                if missed > known:
                    maker.missed(self._counted_ns or now_ns, now_ns, missed - known, "trades missed upstream")
                self._missed[symbol] = missed
        self._counted_ns = now_ns

    def close(self) -> None:
        """Remove the cursors."""
        self.trades.close()
        self._deltas.close()


def why_not_live(state: str, reason: str) -> str:
    """Words for a book that is not LIVE: its reason, or its state where there is none."""
    return (state if reason in ("", BookReason.NONE.name) else reason).lower().replace("_", " ")


def _first_ns(polled: Polled, size: int, index: int = 0) -> int:
    """Receive time of a record, the first one by default; 0 where there is none."""
    return int.from_bytes(polled.records[index * size : index * size + 8], "little") if polled.record_count else 0
