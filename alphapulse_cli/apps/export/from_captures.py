"""Events of captures: they are played in this process, row by row, and read as every reader reads a ring.

    capture ─► Playback ─► private rings ─► SetFollower, GroupReader ─► events

After each row of the recording its records are read, so that no reader is lapped, and a book that was replaced is joined at exactly
its version. The books are exact: the follower's own, proved by the CHECKs among the records.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from alphapulse_cli.apps.export.stream import BookEvent, Change, Event, GapEvent, Losses, Market, TradeEvent, delay_of
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.flow.follow import SetFollower, states_of
from alphapulse_cli.flow.groups import GroupReader, Polled, Start
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers.items import CHANGE, HEADER, Names
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import Directory, open_directory, usual_path
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState, RecordKind

BELIEVED = (BookState.LIVE, BookState.STALE)  # STALE is a matter of time: the book goes on where it was


class CaptureEvents:
    """Iterator over the events of recordings, each with the symbols wanted of it (empty for all). Use it in a `with`.

    `span_ns` is (from, until), None for no limit; what is at its end is left out. `losses` is complete behind the last event.
    """

    def __init__(
        self,
        chosen: Sequence[tuple[Recording, Sequence[str]]],
        span_ns: tuple[int | None, int | None] = (None, None),
        progress: Callable[[int, int], None] = lambda _frames, _now_ns: None,
    ) -> None:
        self.losses = Losses()
        self._chosen, self._span_ns, self._progress = chosen, span_ns, progress
        self._only = {recording.set_name: list(symbols) for recording, symbols in chosen}
        self._opened = contextlib.ExitStack()
        self._sets: dict[str, _SetEvents] = {}

    def __enter__(self) -> Self:
        path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-export-", dir=usual_path().parent))
        self._directory = self._opened.enter_context(open_directory(str(Path(path) / "segments"), create=True))
        self._playback = Playback([one for one, _ in self._chosen], self._span_ns, self._damaged, self._player, keeps_ended=True)
        self._opened.callback(self._close)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()

    def __iter__(self) -> Iterator[Event]:
        playback, (from_ns, _) = self._playback, self._span_ns
        while from_ns is not None and playback.next_ns is not None and playback.next_ns < from_ns:
            playback.play(from_ns - 1)
        yield from self._read(from_ns or 0)
        while playback.next_ns is not None:
            playback.play_one()
            yield from self._read(0)
            self._progress(playback.frames, playback.now_ns)
        for player in playback.players:
            assert isinstance(player, _CountingPlayer)
            player.finish()
        yield from self._read(0)
        for player in playback.players:
            assert isinstance(player, _CountingPlayer)
            player.count()

    def _read(self, begun_ns: int) -> Iterator[Event]:
        """Read what the last row published: of the sets that published anything."""
        for player in self._playback.players:
            name = player.head.set_name
            reader = self._sets.get(name)
            if reader is None:
                reader = self._sets[name] = _SetEvents(self._directory, name, player.head.run_ns, begun_ns)
            if reader.is_behind(player):
                yield from reader.read(player.head.run_ns)

    def _player(self, head: Head) -> Player:
        def outlet(symbols: Sequence[str]) -> Outlet:
            return Outlet(self._directory, head.set_name, head.exchange, symbols, 0, clock.monotonic_ns(), replay=True)

        return _CountingPlayer(head, outlet, self._only[head.set_name], self.losses)

    def _damaged(self, path: Path, what: str) -> None:
        self.losses.damages.append(f"{path.name}: {what}")

    def _close(self) -> None:
        for reader in self._sets.values():
            reader.close()
        self._playback.close()


class _CountingPlayer(Player):
    """Player that counts what its run lost."""

    def __init__(self, head: Head, make_outlet: Callable[[Sequence[str]], Outlet], only: Sequence[str], losses: Losses) -> None:
        super().__init__(head, make_outlet, lambda *_: None, only)
        self._losses, self._is_counted = losses, False

    def play(self, row: Row) -> None:
        """Play one row; one that tells of a loss is counted."""
        if row.kind == Kind.LOST:
            with contextlib.suppress(orjson.JSONDecodeError, AttributeError, TypeError):
                rows = orjson.loads(row.payload).get("rows")
                self._losses.rows_lost += rows if isinstance(rows, int) and rows > 0 else 0
        super().play(row)

    def count(self) -> None:
        """Count the trades that its run missed, once."""
        if not self._is_counted:
            self._is_counted = True
            for symbol in self.outlet.symbols:
                block = self.outlet.counters.block(symbol)
                missed = block.get(Counter.TRADES_MISSED) - block.get(Counter.TRADES_RECOVERED)
                self._losses.trades_missed[f"{self.head.set_name}:{symbol}"] += max(missed, 0)

    def close(self) -> None:
        """End the run, and count what it missed."""
        self.count()
        super().close()


class _SetEvents:
    """Reader of one set's private rings: events out of records."""

    def __init__(self, directory: Directory, set_name: str, run_ns: int, begun_ns: int) -> None:
        self._name, self._begun_ns = set_name, begun_ns
        self._epoch = self._trades_epoch = run_ns
        start: Start = "now" if begun_ns else "oldest"
        self._follower = SetFollower(directory, set_name, None, start)
        self._trades = GroupReader(directory, set_name, SegmentKind.TRADES, start)
        self._names = Names(None)
        self._markets: dict[str, Market] = {}
        self._due: dict[str, bool] = {}  # symbol -> whether its next book is a snapshot
        self._last: dict[str, int] = {}  # symbol -> sequence of its last change
        self._shown: set[str] = set()  # symbols of which there was a snapshot
        self._told: set[str] = set()  # symbols whose present gap was told
        self._joined: set[str] = set()  # symbols whose book has been looked at since it was cold
        self._seen = (-1, -1, -1)

    def is_behind(self, player: Player) -> bool:
        """Whether there are records that were not read, of this run or of a new one."""
        outlet = player.outlet
        now = (outlet.epoch, outlet.deltas.published, outlet.trades.published)
        is_new, self._seen = now != self._seen, now
        return is_new

    def read(self, run_ns: int) -> Iterator[Event]:
        """Iterate over the events of all records that were not read."""
        now_ns = clock.monotonic_ns()
        while (polled := self._trades.poll(now_ns)).record_count or polled.restarted:
            self._trades_epoch = run_ns
            yield from self._trades_of(polled)
        while (polled := self._follower.fetch(now_ns)).record_count or polled.restarted:
            if polled.missed:
                raise IntegrityError(f"the export of {self._name} did not read {polled.missed} records in time")
            if polled.restarted:
                yield from self._restarted(run_ns)
            yield from self._groups_of(polled)
        yield from self._joins()  # once all records are read: an image is not of a later version than they are
        self._follower.groups.acknowledge()

    def _restarted(self, run_ns: int) -> Iterator[Event]:
        self._epoch = run_ns
        self._joined.clear()
        for symbol, market in self._markets.items():
            self._last[symbol] = 0
            yield from self._gap(market, run_ns, "restarted")

    def _gap(self, market: Market, time_ns: int, reason: str) -> Iterator[GapEvent]:
        """Begin a gap; it is told once, and only of a book that was shown."""
        self._due[market.symbol] = True
        if market.symbol in self._shown and market.symbol not in self._told:
            self._told.add(market.symbol)
            yield GapEvent(market, time_ns, reason)

    def _groups_of(self, polled: Polled) -> Iterator[Event]:
        records, changes, begin = polled.records, list[Change](), 0
        for at in range(0, len(records), delta.DELTA_BYTES):
            head = HEADER.unpack_from(records, at)
            timestamp_ns, symbol_bytes, exchange_bytes, version, _, count, flags, _, _, delay = head
            if flags & delta.FIRST:
                changes, begin = [], at // delta.DELTA_BYTES
            if count:
                first = at + delta.HEADER_BYTES
                changes += [
                    Change(ticks, word & delta.SIZE_MASK, bool(word & delta.IS_ASK), bool(word & delta.LEVEL_IS_NEW))
                    for ticks, word in CHANGE.iter_unpack(records[first : first + delta.CHANGE_BYTES * count])
                ]
            if not flags & delta.LAST:
                continue
            names = self._names.of(symbol_bytes + exchange_bytes)
            assert names is not None
            former = self._follower.books.get(names[0])
            version_before = former.version if former is not None else 0
            replica = self._follower.take(polled, begin, at // delta.DELTA_BYTES + 1 - begin)
            if replica is None:
                continue
            market = self._market(*names)
            symbol, kind = market.symbol, flags & delta.KIND_MASK
            if kind == RecordKind.STATUS:
                state, reason = states_of(records[at + delta.HEADER_BYTES], records[at + delta.HEADER_BYTES + 1])
                if reason is BookReason.RETIRED:  # the recording's end is no gap
                    self._due[symbol] = True
                elif state not in BELIEVED:
                    yield from self._gap(market, timestamp_ns, reason.name.lower().replace("_", " "))
                elif state is BookState.LIVE and self._due.get(symbol, True) and not replica.is_cold and replica.version:
                    yield self._snapshot(market, [], self._last.get(symbol, 0), replica.version, timestamp_ns, None, False)
            elif kind == RecordKind.RESET:
                yield from self._gap(market, timestamp_ns, "replaced")
            elif kind == RecordKind.DELTA and version_before < version == replica.version and not replica.is_cold:
                sequence = (polled.first + begin) * 16
                resynced = bool(flags & delta.RESYNCED)
                self._last[symbol] = (polled.first + at // delta.DELTA_BYTES) * 16 + max(count - 1, 0)
                if resynced or self._due.get(symbol, True):
                    yield self._snapshot(market, changes, sequence, version, timestamp_ns, delay_of(delay), resynced)
                else:
                    yield BookEvent(
                        market,
                        False,
                        changes,
                        self._epoch,
                        sequence,
                        version,
                        timestamp_ns,
                        delay_of(delay),
                        False,
                        replica.book,
                    )

    def _joins(self) -> Iterator[Event]:
        """Join the books that were replaced, or that were there when the export began."""
        self._joined -= {symbol for symbol, book in self._follower.books.items() if book.is_cold}
        if len(self._joined) == len(self._follower.books):
            return
        self._follower.join()
        for symbol, replica in self._follower.books.items():
            if replica.is_cold or symbol in self._joined:
                continue
            self._joined.add(symbol)
            is_believed = states_of(replica.book_state, replica.reason)[0] in BELIEVED
            if is_believed and replica.version and not replica.book.is_empty and self._due.get(symbol, True):
                time_ns = max(replica.timestamp_ns, self._begun_ns)
                delay = delay_of(replica.feed_delay_us) if time_ns == replica.timestamp_ns else None
                market, last = self._market(symbol, replica.exchange), self._last.get(symbol, 0)
                yield self._snapshot(market, [], last, replica.version, time_ns, delay, False)

    def _snapshot(
        self, market: Market, changes: list[Change], sequence: int, version: int, time_ns: int, delay: int | None, resynced: bool
    ) -> BookEvent:
        self._due[market.symbol] = False
        self._shown.add(market.symbol)
        self._told.discard(market.symbol)
        book = self._follower.books[market.symbol].book
        return BookEvent(market, True, changes, self._epoch, sequence, version, time_ns, delay, resynced, book)

    def _trades_of(self, polled: Polled) -> Iterator[Event]:
        if polled.missed:
            raise IntegrityError(f"the export of {self._name} did not read {polled.missed} trades in time")
        for place, one in enumerate(trade.RECORD.iter_unpack(polled.records)):
            timestamp_ns, symbol, exchange, _, _, side, trade_id, ticks, lots, exchange_ns, prices, sizes, flags = one
            names = self._names.of(symbol + exchange)
            assert names is not None
            yield TradeEvent(
                self._market(*names),
                self._trades_epoch,
                (polled.first + place) * 16,
                timestamp_ns,
                exchange_ns or None,
                trade_id.rstrip(b"\0").decode("ascii", "backslashreplace"),
                side,
                ticks,
                lots,
                prices,
                sizes,
                bool(flags & trade.HISTORY),
            )

    def _market(self, symbol: str, exchange: str) -> Market:
        if symbol not in self._markets:
            self._markets[symbol] = Market(self._name, exchange, symbol)
        return self._markets[symbol]

    def close(self) -> None:
        """Remove the cursors."""
        self._follower.close()
        self._trades.close()
