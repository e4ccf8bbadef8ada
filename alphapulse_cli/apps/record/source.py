"""Source of one set's rows: its two rings and its books, as the tables of a dataset.

    deltas ring ─► whole groups ─┬─► changes, by numpy ─────────────► deltas
                                 └─► replica, group by group ─┬─────► bbo, where a best price, its size or the state changed
                                                              └─────► snapshots, where a part of the recording begins, and after each hole
    trades ring ─► trades, by numpy ────────────────────────────────► trades
    STATUS, CHECK, RESET, what was missed, a new writer ────────────► status

A snapshot is put where the ring has come to its version: the image of a live book may be ahead of the ring. So a book is built again by its
newest snapshot and the changes of greater versions.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.rows import SIDES, delta_rows, trade_rows
from alphapulse_cli.edges.columns.schema import SEQUENCES_PER_RECORD, TABLES
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import GroupReader, Polled, Start
from alphapulse_cli.market.trading_status import NOT_REPORTED, trading_status
from alphapulse_cli.readers.items import CHECK
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import STATUS_SINCE_MINOR, SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.wire import delta, trade

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LABEL = "record"
BEGUN, RESTARTED, MISSED, ENDED = -4, -3, -2, -1  # added to the first sequence of the next record: changes take only 12 of the 16
DELTA, RESET, STATUS = delta.RecordKind.DELTA, delta.RecordKind.RESET, delta.RecordKind.STATUS
NOT_WRITTEN = "NOT_WRITTEN"
STEP_BACK_NS = 1_000_000_000  # of our clock, behind which a part begins; smaller ones are those of a clock that is adjusted
Row = dict[str, Any]


class _Held(NamedTuple):
    """Copy of a book that is to be put where the ring has come to its version."""

    version: int
    state: str
    book_hash: int
    price_decimals: int
    size_decimals: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class SetSource:
    """Source of the rows of one set, or of those of `symbols`. NoSegment if the set does not exist. Poll it, tend it, close it.

    `epoch_of` makes the epoch in the rows from that of a segment.
    """

    def __init__(
        self,
        directory: Directory,
        recorder: Recorder,
        symbols: Collection[str] | None = None,
        start: Start = "now",
        epoch_of: Callable[[int], int] = int,
    ) -> None:
        name = recorder.set_name
        self.recorder = recorder
        self.groups = 0  # of deltas, so far
        self._follower = SetFollower(directory, name, symbols, start=start, label=LABEL)
        try:
            self._trades = GroupReader(directory, name, SegmentKind.TRADES, start, LABEL)
        except BaseException:
            self._follower.close()
            raise
        self._epoch_of = epoch_of
        self._symbols = None if symbols is None else [symbol.encode("ascii") for symbol in symbols]
        self._has_begun = False
        self._rows: dict[str, list[Row]] = {name: [] for name in TABLES}
        self._tops: dict[str, tuple[object, ...]] = {}
        self._versions: dict[str, int] = {}  # of the last group in the ring, by symbol
        self._wanting: set[str] = set()  # symbols whose book has to be put as soon as it is whole
        self._held: dict[str, _Held] = {}
        self._sequence = 0  # of the last change
        self._time_ns = 0  # of the last record, or of what came after it
        self._newest_ns = 0  # of the records since our clock was set back

    @property
    def ring(self) -> RingReader:
        """Ring that is waited for."""
        return self._follower.ring

    @property
    def epoch(self) -> int:
        """Epoch of the rows of deltas now."""
        return self._epoch_of(self._follower.groups.segment.epoch)

    def unread(self, deltas: int, trades: int) -> int:
        """Records of the ring with more that are not read, where so many were published in each."""
        return max(deltas - self._follower.groups.position, trades - self._trades.position)

    def poll(self, monotonic_ns: int) -> int:
        """Read what is new, and hand its rows to the recorder; the number of records."""
        import numpy as np

        polled = self._follower.fetch(monotonic_ns)
        records = np.frombuffer(polled.records, delta.dtype())
        first_ns = int(records["timestamp_ns"][0]) if len(records) else self._follower.groups.now_ns()
        if not self._begin(first_ns, polled.first):
            return 0
        if polled.restarted:
            self._restarted(polled, first_ns)
        if polled.missed:
            self._missed("deltas", polled.missed, polled.first, self._follower.groups)
            self._want_books()
        if len(records):
            self._take_all(polled, records)
            self._time_ns = int(records["timestamp_ns"][-1])
        elif self.recorder.is_due(
            now_ns := max(self._follower.groups.now_ns(), self._time_ns)
        ):  # a replay's may be behind its records
            self._begin_part(now_ns)
        self._follower.join()
        self._hold_books()
        if not len(records):
            for symbol in list(self._held):  # all that was published before the image was copied has been read
                self._put(symbol, self._sequence)
        traded = self._take_trades(monotonic_ns)
        self._add_rows()
        self._follower.groups.acknowledge()
        return len(records) + traded

    def tend(self, monotonic_ns: int) -> None:
        """Write what is due."""
        lost = self.recorder.tend(monotonic_ns)
        if lost:
            self._row_of_set("missed", "deltas", self._sequence + MISSED + SEQUENCES_PER_RECORD, missed=lost, reason=NOT_WRITTEN)
            self._want_books()
            self._hold_books()
            self._add_rows()

    def close(self) -> None:
        """End the recording, and wait for its files. StorageError where not all could be written."""
        try:
            if self._has_begun:
                for symbol in list(self._held):
                    self._put(symbol, self._sequence)
                self._row_of_set("ended", "deltas", self._next_sequence() + ENDED)
                self._add_rows()
        finally:
            try:
                self._follower.close()
                self._trades.close()
            finally:
                self.recorder.close()

    # Parts

    def _begin(self, time_ns: int, first: int) -> bool:
        """Begin the recording before record `first`, if it has not; False where a replay's clock is not known yet."""
        if not self._has_begun and time_ns > 0:
            self._has_begun = True
            self._time_ns = time_ns
            self._sequence = first * SEQUENCES_PER_RECORD + BEGUN
            self._row_of_set("begun", "deltas", self._sequence)
            self._begin_part(time_ns)
        return self._has_begun

    def _begin_part(self, time_ns: int) -> None:
        """Begin the next part of the recording with all books."""
        if self.recorder.has_begun:
            self._add_rows()
        self.recorder.begin_part(self.epoch, time_ns)
        self._time_ns = time_ns  # of its books, too: they belong to its day
        self._want_books()
        self._hold_books()

    def _next_sequence(self) -> int:
        return self._follower.groups.position * SEQUENCES_PER_RECORD

    def _restarted(self, polled: Polled, time_ns: int) -> None:
        """Begin another part with a new writer's records, the first of which came at `time_ns`: long before it was found, if we were stopped."""
        self._tops.clear()
        self._versions.clear()
        self._held.clear()
        self._add_rows()
        self._time_ns = max(time_ns, self._time_ns)
        self._sequence = polled.first * SEQUENCES_PER_RECORD + RESTARTED
        self._begin_part(self._time_ns)
        self._row_of_set("restarted", "deltas", self._sequence)

    def _missed(self, ring: str, missed: int, first: int, groups: GroupReader) -> None:
        self.recorder.totals.missed += missed
        self._row_of_set(
            "missed", ring, first * SEQUENCES_PER_RECORD + MISSED, epoch=self._epoch_of(groups.segment.epoch), missed=missed
        )

    def _row_of_set(self, kind: str, ring: str, sequence: int, **others: Any) -> None:
        """Row of `status` that is of the whole set."""
        usual = {"symbol": "", "epoch": self.epoch, "timestamp_ns": self._time_ns, "version": 0}
        self._rows["status"].append(usual | {"kind": kind, "ring": ring, "sequence": sequence} | others)

    # Deltas

    def _take_all(self, polled: Polled, records: "Array") -> None:
        """Take whole groups, and begin another part of the recording between two of them where one is due."""
        import numpy as np

        flags = records["flags"]
        ends = np.flatnonzero(flags & delta.LAST) + 1
        starts = np.concatenate(([0], ends[:-1]))
        times = records["timestamp_ns"][starts].astype(np.int64)
        groups = list(
            zip(
                starts.tolist(),
                ends.tolist(),
                (flags[starts] & delta.KIND_MASK).tolist(),
                records["version"][starts].tolist(),
                times.tolist(),
                records["change_count"][ends - 1].tolist(),
                strict=True,
            )
        )
        begin = 0
        for group in groups:
            if self.recorder.is_due(group[4]) or group[4] < self._newest_ns - STEP_BACK_NS:  # or the next roll may be hours away
                self._add_deltas(polled, records, begin, group[0])
                begin = group[0]
                self._begin_part(group[4])
                self._newest_ns = group[4]
            self._newest_ns = max(self._newest_ns, group[4])
            self._take(polled, records, *group)
        self.groups += len(groups)
        self._add_deltas(polled, records, begin, len(records))

    def _add_deltas(self, polled: Polled, records: "Array", begin: int, end: int) -> None:
        import numpy as np

        some = records[begin:end]
        sequences = np.arange(polled.first + begin, polled.first + end, dtype=np.int64)
        keep = some["change_count"] > 0
        if self._symbols is not None:
            keep &= np.isin(some["symbol"], self._symbols)
        if keep.any():
            self.recorder.add("deltas", delta_rows(some[keep], sequences[keep], self.epoch))
        self._add_rows()

    def _take(
        self, polled: Polled, records: "Array", begin: int, end: int, kind: int, version: int, time_ns: int, change_count: int
    ) -> None:
        """Take one group: the replica, and what is to be said of it."""
        book = self._follower.take(polled, begin, end - begin)
        sequence = (polled.first + end - 1) * SEQUENCES_PER_RECORD + max(change_count - 1, 0)
        self._sequence = sequence
        if book is None:
            return
        symbol = book.symbol
        self._time_ns = time_ns
        self._versions[symbol] = version
        if kind != DELTA:
            self._add_event(polled, records, begin, kind, symbol, sequence)
            if kind == RESET:
                self._wanting.add(symbol)
                self._follower.join()
                self._hold_books()
        held = self._held.get(symbol)
        if held is not None and version >= held.version:
            self._put(symbol, sequence if version == held.version else (polled.first + begin) * SEQUENCES_PER_RECORD - 1)
        if book.is_cold:
            self._wanting.add(symbol)
        elif version >= book.version:
            bid, ask, state = book.book.best_bid(), book.book.best_ask(), book.book_state
            top = (bid, ask, state)
            if top != self._tops.get(symbol):
                self._tops[symbol] = top
                bid_ticks, bid_lots = bid or (None, None)
                ask_ticks, ask_lots = ask or (None, None)
                self._rows["bbo"].append(
                    {
                        "symbol": symbol,
                        "epoch": self.epoch,
                        "sequence": sequence,
                        "timestamp_ns": time_ns,
                        "version": version,
                        "state": states_of(state, 0)[0].name,
                        "bid_ticks": bid_ticks,
                        "bid_lots": bid_lots,
                        "ask_ticks": ask_ticks,
                        "ask_lots": ask_lots,
                        "price_decimals": book.book.price_decimals,
                        "size_decimals": book.book.size_decimals,
                    }
                )

    def _add_event(self, polled: Polled, records: "Array", at: int, kind: int, symbol: str, sequence: int) -> None:
        """Add the row of a STATUS, CHECK or RESET."""
        payload = polled.records[at * delta.DELTA_BYTES + delta.HEADER_BYTES : (at + 1) * delta.DELTA_BYTES]
        row: Row = {
            "symbol": symbol,
            "epoch": self.epoch,
            "sequence": sequence,
            "timestamp_ns": int(records["timestamp_ns"][at]),
            "version": int(records["version"][at]),
            "ring": "deltas",
        }
        if kind == RESET:
            row["kind"] = "reset"
        elif kind == STATUS:
            state, reason = states_of(payload[0], payload[1])
            has_status = self._follower.groups.segment.layout_minor >= STATUS_SINCE_MINOR
            trading = trading_status(payload[2] if has_status else NOT_REPORTED)
            row |= {"kind": "status", "state": state.name, "reason": reason.name}
            row["trading_status"] = None if trading is None else trading.name
        else:
            book_hash, bid_levels, ask_levels, checksum, state_number = CHECK.unpack_from(payload)
            names = delta.ChecksumState
            row |= {"kind": "check", "state": states_of(state_number, 0)[0].name, "book_hash": f"{book_hash:016x}"}
            row |= {"bid_levels": bid_levels, "ask_levels": ask_levels}
            row["checksum"] = names(checksum).name if checksum <= names.BAD else names.NONE.name
        self._rows["status"].append(row)

    # Books

    def _want_books(self) -> None:
        self._wanting.update(self._follower.books)
        self._held.clear()

    def _hold_books(self) -> None:
        """Copy the wanted books that are whole; put those whose version the ring has reached."""
        for symbol in [symbol for symbol in self._wanting if symbol in self._follower.books and self._follower.is_whole(symbol)]:
            replica = self._follower.books[symbol]
            book = replica.book
            self._wanting.discard(symbol)
            state = states_of(replica.book_state, 0)[0].name
            grid = (book.price_decimals, book.size_decimals)
            self._held[symbol] = _Held(replica.version, state, book.book_hash, *grid, book.bids(), book.asks())
            if self._versions.get(symbol, -1) >= replica.version:
                self._put(symbol, self._sequence)

    def _put(self, symbol: str, sequence: int) -> None:
        """Add a held book to the snapshots, and a row of `status` that tells of it: a book may have no levels."""
        import numpy as np

        held = self._held.pop(symbol)
        place = {
            "symbol": symbol,
            "epoch": self.epoch,
            "sequence": sequence,
            "timestamp_ns": self._time_ns,
            "version": held.version,
        }
        grid = {"price_decimals": held.price_decimals, "size_decimals": held.size_decimals}
        for number, levels in enumerate((held.bids, held.asks)):
            both = np.array(levels, dtype=np.int64).reshape(-1, 2)
            numbers = {"level": np.arange(len(both)), "price_ticks": both[:, 0], "size_lots": both[:, 1]}
            self.recorder.add("snapshots", {**numbers, **place, **grid, "side": SIDES[number]})
        told = {
            "state": held.state,
            "book_hash": f"{held.book_hash:016x}",
            "bid_levels": len(held.bids),
            "ask_levels": len(held.asks),
        }
        self._rows["status"].append({**place, "kind": "snapshot", "ring": "deltas", **told})

    # Trades

    def _take_trades(self, monotonic_ns: int) -> int:
        import numpy as np

        polled = self._trades.poll(monotonic_ns)
        epoch = self._epoch_of(self._trades.segment.epoch)
        records = np.frombuffer(polled.records, trade.dtype())
        if polled.restarted:
            first_ns = int(records["timestamp_ns"][0]) if len(records) else self._time_ns
            sequence = polled.first * SEQUENCES_PER_RECORD + RESTARTED
            self._row_of_set("restarted", "trades", sequence, epoch=epoch, timestamp_ns=first_ns)
        if polled.missed:
            self._missed("trades", polled.missed, polled.first, self._trades)
        if not len(records):
            return 0
        sequences = np.arange(polled.first, polled.first + len(records), dtype=np.int64)
        if self._symbols is not None:
            keep = np.isin(records["symbol"], self._symbols)
            records, sequences = records[keep], sequences[keep]
        if len(records):
            self.recorder.add("trades", trade_rows(records, sequences, epoch))
        return polled.record_count

    def _add_rows(self) -> None:
        """Hand the rows that were made one by one to the recorder."""
        for table, rows in self._rows.items():
            if rows:
                self.recorder.add_rows(table, rows)
                rows.clear()
