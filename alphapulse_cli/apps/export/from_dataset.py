"""Events of a dataset: the rows of its tables, put in the order in which they were published.

    deltas ─┐
    status ─┼─► by (epoch, sequence): a book kept from its rows ─┐
    snapshots ┘                                                   ├─► merged by receive time ─► events
    trades ──────────────────────────────────────────────────────┘

A book is begun by a snapshot, or by version 1 after the begin of an epoch. Where the chain of versions breaks, or rows were missed, it
is not believed until the next snapshot. A snapshot at the begin of a further file is compared with the book, and is no event.
"""

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from alphapulse_cli.apps.export.stream import BookEvent, Change, Event, GapEvent, Losses, Market, TradeEvent
from alphapulse_cli.book.book import Book
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.edges.columns.places import day_of, first_ns_of
from alphapulse_cli.edges.columns.reading import opened, parts, symbols_of, symbols_of_group
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import NoSegment
from alphapulse_cli.readers.items import TAKERS
from alphapulse_cli.wire import delta

BATCH_ROWS = 16_384
BELIEVED = ("LIVE", "STALE")
RETIRED = "RETIRED"
RANKS = {"deltas": 0, "status": 1, "snapshots": 2}  # of rows with the same place and time
LEVEL_WORDS = {"bid": 0, "ask": delta.IS_ASK}

Row = dict[str, Any]


class Stored(NamedTuple):
    """Set of a dataset: its files by table, in order of time, and its symbols."""

    set_name: str
    exchange: str
    files: dict[str, list[Path]]
    symbols: list[str]


class DatasetEvents:
    """Iterator over the events of a dataset's markets. Use it in a `with`. NoSegment where an exchange or a symbol is not there.

    `span_ns` is (from, until), None for no limit; what is at its end is left out. `losses` is complete behind the last event.
    """

    def __init__(
        self,
        dataset: Path,
        exchanges: Collection[str] = (),
        symbols: Collection[str] = (),
        span_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        require("pyarrow", "record", "export of a dataset")
        self.losses = Losses()
        self._span_ns = span_ns
        self._sets = _stored(dataset, exchanges, span_ns)
        self._chosen = _chosen(self._sets, exchanges, symbols, lambda: _stored(dataset, (), (None, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def __iter__(self) -> Iterator[Event]:
        streams: list[Iterator[Event]] = []
        for stored, symbol in self._chosen:
            streams.append(_trades(stored, Market(stored.set_name, stored.exchange, symbol)))
        for stored, symbol in self._chosen:
            streams.append(_Books(stored, Market(stored.set_name, stored.exchange, symbol), self._span_ns[0] or 0).events())
        from_ns, until_ns = self._span_ns
        for event in heapq.merge(*streams, key=lambda event: event.timestamp_ns):
            if until_ns is not None and event.timestamp_ns >= until_ns:
                break
            if from_ns is None or event.timestamp_ns >= from_ns:
                yield event
        for stored in self._sets:
            self._count_missed(stored)

    def _count_missed(self, stored: Stored) -> None:
        """Count the records that the recorder missed: they stand in rows of the whole set, once for all its markets."""
        from_ns, until_ns = self._span_ns
        for row in _rows(stored.files.get("status", ()), "status", None):
            is_within = (from_ns is None or row["timestamp_ns"] >= from_ns) and (until_ns is None or row["timestamp_ns"] < until_ns)
            if row["kind"] == "missed" and is_within:
                self.losses.records_missed[stored.set_name] += row["missed"] or 0


def _stored(dataset: Path, exchanges: Collection[str], span_ns: tuple[int | None, int | None]) -> list[Stored]:
    first, last = (None if time_ns is None else day_of(time_ns) for time_ns in span_ns)

    def is_wanted(day: int) -> bool:
        return (first is None or day >= first) and (last is None or day <= last)

    found: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for table in ("deltas", "trades", "status", "snapshots"):
        for part in parts(dataset, table, exchanges, is_wanted):
            found.setdefault((part.set_name, part.exchange), {}).setdefault(table, []).extend(part.files)
    made = []
    for (set_name, exchange), files in sorted(found.items()):
        for listed in files.values():
            listed.sort(key=lambda path: (path.parent.name, first_ns_of(path), path.name))
        symbols = {
            symbol for table in ("deltas", "trades", "snapshots") for path in files.get(table, ()) for symbol in symbols_of(path)
        }
        made.append(Stored(set_name, exchange, files, sorted(symbols - {""})))
    return made


def _chosen(
    sets: Sequence[Stored], exchanges: Collection[str], symbols: Collection[str], all_sets: Callable[[], Sequence[Stored]]
) -> list[tuple[Stored, str]]:
    """Markets of these exchanges and symbols. NoSegment, by `all_sets` of the dataset, for what it does not have at all or not then."""
    made, held = [], set()
    for one in sets:
        for symbol in one.symbols:
            names = {f"{name}{symbol}" for name in ("", f"{one.exchange}:", f"{one.set_name}:")}
            if not symbols or names & set(symbols):
                made.append((one, symbol))
                held |= names
    if made and not set(symbols) - held and not set(exchanges) - _names(sets):
        return made
    there = all_sets()
    known = sorted({f"{one.set_name}:{symbol}" for one in there for symbol in one.symbols})
    named = {f"{name}{symbol}" for one in there for symbol in one.symbols for name in ("", f"{one.exchange}:", f"{one.set_name}:")}
    missing = ", ".join(sorted({*set(exchanges) - _names(there), *set(symbols) - named}))[:100]
    if not missing and known:
        raise NoSegment("there is nothing to export in that time", "leave out --from and --until to export all")
    raise NoSegment(
        f"not in the dataset: {missing or 'no rows'}",
        f"it has {', '.join(known[:20])[:200]}" if known else "alphapulse record DIR fills it",
    )


def _names(sets: Sequence[Stored]) -> set[str]:
    """Names of sets and of their exchanges."""
    return {name for one in sets for name in (one.exchange, one.set_name)}


def _rows(files: Sequence[Path], table: str, symbols: Collection[str] | None) -> Iterator[Row]:
    """Iterate over the rows of files of a table, of these symbols (None for all), as they stand."""
    names = [one.name for one in TABLES[table] if one.name not in ("price", "size")]
    for path in files:
        with opened(path) as file:
            wanted = [
                number
                for number in range(file.num_row_groups)
                if symbols is None or not symbols_of_group(file, number).isdisjoint(symbols)
            ]
            for batch in file.iter_batches(BATCH_ROWS, wanted, columns=names) if wanted else ():
                columns = batch.to_pydict()
                for values in zip(*(columns[name] for name in names), strict=True):
                    row = dict(zip(names, values, strict=True))
                    if symbols is None or row["symbol"] in symbols:
                        yield row


def _trades(stored: Stored, market: Market) -> Iterator[Event]:
    for row in _rows(stored.files.get("trades", ()), "trades", {market.symbol}):
        yield TradeEvent(
            market,
            row["epoch"],
            row["sequence"],
            row["timestamp_ns"],
            row["exchange_ns"],
            row["trade_id"],
            TAKERS.index(row["side"]),
            row["price_ticks"],
            row["size_lots"],
            row["price_decimals"],
            row["size_decimals"],
            row["history"],
        )


class _Books:
    """Book of one market, kept from the rows of a dataset."""

    def __init__(self, stored: Stored, market: Market, from_ns: int) -> None:
        self._stored, self._market, self._from_ns = stored, market, from_ns
        self._book = Book(0, 0)
        self._version: int | None = None  # of the book; None where its levels are not known
        self._epoch = self._sequence = 0
        self._is_due = True  # whether the next book is a snapshot
        self._is_shown = self._is_told = False
        self._is_believed = True  # by its last state

    def events(self) -> Iterator[Event]:
        """Iterate over the events; what lies before the wanted time only builds the book."""
        has_begun = not self._from_ns
        for time_ns, event in self._all():
            if not has_begun and time_ns >= self._from_ns:
                has_begun = True
                if self._is_shown and not self._is_due and not (isinstance(event, BookEvent) and event.is_snapshot):
                    yield from self._at_begin(event)
                    continue
            if event is not None:
                yield event

    def _at_begin(self, event: Event | None) -> Iterator[Event]:
        """Begin with the whole book as it is after the first event."""
        if isinstance(event, BookEvent):
            yield event._replace(is_snapshot=True)
        else:
            yield self._snapshot(max(self._from_ns, 0), None, [], self._sequence, resynced=False)
            if event is not None:
                yield event

    def _all(self) -> Iterator[tuple[int, Event | None]]:
        def keyed(table: str, symbols: Collection[str]) -> Iterator[tuple[tuple[int, int, int, int], str, Row]]:
            for row in _rows(self._stored.files.get(table, ()), table, symbols):
                yield (row["epoch"], row["sequence"], row["timestamp_ns"] if table != "deltas" else 0, RANKS[table]), table, row

        own = {self._market.symbol}
        of_all = keyed("status", {""})  # rows of the whole set stand in a row group of their own
        merged = heapq.merge(keyed("deltas", own), of_all, keyed("status", own), keyed("snapshots", own), key=lambda one: one[0])
        for (table, epoch, _), rows in groupby(merged, key=lambda one: (one[1], one[2]["epoch"], _group_of(one[1], one[2]))):
            listed = [row for _, _, row in rows]
            if epoch != self._epoch:
                yield from self._new_epoch(epoch, listed[0]["timestamp_ns"])
            found = {"deltas": self._group, "status": self._status, "snapshots": self._joined}[table](listed)
            events: list[Event | None] = [*found] or [None]
            yield from ((listed[0]["timestamp_ns"], event) for event in events)

    def _new_epoch(self, epoch: int, time_ns: int) -> Iterator[tuple[int, Event | None]]:
        self._epoch, self._sequence = epoch, 0
        self._version = 0
        self._book = Book(0, 0)
        yield from ((time_ns, event) for event in self._gap(time_ns, "restarted"))

    def _gap(self, time_ns: int, reason: str) -> Iterator[GapEvent]:
        """Begin a gap; it is told once, and only of a book that was shown."""
        self._is_due = True
        if self._is_shown and not self._is_told:
            self._is_told = True
            yield GapEvent(self._market, time_ns, reason)

    def _group(self, rows: list[Row]) -> Iterator[Event]:
        first, version = rows[0], rows[0]["version"]
        if self._version is not None and self._book.is_empty:  # without levels it has no grid of its own
            self._book = Book(first["price_decimals"], first["size_decimals"])
        if self._version is not None and version <= self._version:
            return  # it is in the snapshot already
        if self._version is None or version != self._version + 1:
            self._version = None
            yield from self._gap(first["timestamp_ns"], "rows missed")
            return
        changes = [Change(row["price_ticks"], row["size_lots"], row["side"] == "ask", row["is_new"]) for row in rows]
        book = self._book
        book.reserve(len(changes))
        for one in changes:
            book.set(one.ticks, one.lots | (delta.IS_ASK if one.is_ask else 0))
        self._version, self._sequence = version, rows[-1]["sequence"]
        resynced, sequence = first["resynced"], first["sequence"]
        if resynced or self._is_due:
            yield self._snapshot(first["timestamp_ns"], first["feed_delay_us"], changes, sequence, resynced=resynced)
        else:
            yield BookEvent(
                self._market,
                False,
                changes,
                self._epoch,
                sequence,
                version,
                first["timestamp_ns"],
                first["feed_delay_us"],
                False,
                book,
            )

    def _status(self, rows: list[Row]) -> Iterator[Event]:
        for row in rows:
            if row["ring"] != "deltas":
                continue
            if row["kind"] in ("reset", "missed"):
                self._version = None
                yield from self._gap(row["timestamp_ns"], "replaced" if row["kind"] == "reset" else "rows missed")
            elif row["kind"] == "snapshot":
                self._is_believed = row["state"] in BELIEVED
                if not (row["bid_levels"] or row["ask_levels"]):  # a book without levels has no rows in snapshots
                    self._book, self._version, self._is_due = Book(0, 0), row["version"], True
            elif row["kind"] == "status" and row["symbol"] and row["state"] is not None:
                self._is_believed = row["state"] in BELIEVED
                if row["reason"] == RETIRED:
                    self._is_due = True
                elif row["state"] not in BELIEVED:
                    yield from self._gap(row["timestamp_ns"], (row["reason"] or "").lower().replace("_", " "))
                elif row["state"] == "LIVE" and self._is_due and self._version:
                    yield self._snapshot(row["timestamp_ns"], None, [], self._sequence, resynced=False)

    def _joined(self, rows: list[Row]) -> Iterator[Event]:
        first = rows[0]
        made = Book(first["price_decimals"], first["size_decimals"])
        made.reserve(len(rows))
        for row in rows:
            made.set(row["price_ticks"], row["size_lots"] | LEVEL_WORDS[row["side"]])
        is_same = self._version == first["version"] and made.book_hash == self._book.book_hash
        if is_same and not self._is_due:
            return
        if not self._is_believed:  # its levels are known, and shown when it is LIVE
            self._book, self._version, self._is_due = made, first["version"], True
            return
        if not is_same and not self._is_due:  # without a word of why: never silently
            yield from self._gap(first["timestamp_ns"], "another book in a snapshot")
        self._book, self._version = made, first["version"]
        yield self._snapshot(first["timestamp_ns"], None, [], self._sequence, resynced=False)

    def _snapshot(
        self, time_ns: int, feed_delay_us: int | None, changes: list[Change], sequence: int, *, resynced: bool
    ) -> BookEvent:
        self._is_due = self._is_told = False
        self._is_shown = True
        assert self._version is not None
        return BookEvent(
            self._market, True, changes, self._epoch, sequence, self._version, time_ns, feed_delay_us, resynced, self._book
        )


def _group_of(table: str, row: Row) -> tuple[int, int]:
    """Rows with the same are taken together: those of a group, of a snapshot; a status stands alone."""
    return (row["version"], row["timestamp_ns"]) if table != "status" else (row["sequence"], row["timestamp_ns"])
