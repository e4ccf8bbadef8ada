"""Writer of CSV files as Tardis.dev sells them, gzip'd: `incremental_book_L2` and `trades`, a pair for each market.

    exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount        times in us; amount 0 removes the level
    exchange,symbol,timestamp,local_timestamp,id,side,price,amount                 side buy, sell or unknown: the taker's

Rules:
  T1  Rows with is_snapshot=true behind rows with false begin a new book. Two snapshots in a row would be read as one: of the second the
      difference is written.
  T2  Rows go by our time. Where the exchange gave no time, `timestamp` is ours.
"""

import gzip
import io
from collections import Counter
from typing import Any

from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.stream import BookEvent, Event, GapEvent, Market, TradeEvent
from alphapulse_cli.apps.export.writer import levels_of
from alphapulse_cli.readers.items import TAKERS, text

BOOK_COLUMNS = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADE_COLUMNS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
SPECIAL = set(',"\r\n')


class Tardis:
    """Writer of `<set>_incremental_book_L2_<symbol>.csv.gz` and `<set>_trades_<symbol>.csv.gz`."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._files: dict[tuple[str, Market], _Lines] = {}
        self._latest: dict[Market, list[tuple[str, str, str]]] = {}  # rows of a snapshot without a group behind it
        self._cleaned: dict[Market, Counter[str]] = {}

    def take(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, GapEvent):
            return
        cleaned = self._cleaned.setdefault(event.market, Counter())
        if isinstance(event, BookEvent):
            if event.exchange_ns is None:
                cleaned["without_exchange_time"] += 1
            self._book(event)
        elif event.history:
            cleaned["history_trades_left_out"] += 1
        else:
            self._trade(event)

    def _book(self, event: BookEvent) -> None:
        book, market = event.book, event.market
        former = self._latest.pop(market, None)
        is_new_book = event.is_snapshot and former is None
        levels = levels_of(book) if event.is_snapshot else [(one.ticks, one.lots, one.is_ask) for one in event.changes]
        rows = [
            ("ask" if ask else "bid", text(ticks, book.price_decimals), text(lots, book.size_decimals))
            for ticks, lots, ask in levels
        ]
        if event.is_snapshot:
            self._latest[market] = rows
        if event.is_snapshot and former is not None:
            now = {row[:2] for row in rows}
            rows = [(side, price, "0") for side, price, _ in former if (side, price) not in now] + rows
        head = f"{market.exchange},{market.symbol},{_times(event)},{'true' if is_new_book else 'false'},"
        self._lines("incremental_book_L2", market, BOOK_COLUMNS).write(
            f"{head}{side},{price},{size}\n" for side, price, size in rows
        )

    def _trade(self, event: TradeEvent) -> None:
        market, name = event.market, event.trade_id
        if SPECIAL & set(name):
            name = '"' + name.replace('"', '""') + '"'
        price, size = text(event.ticks, event.price_decimals), text(event.lots, event.size_decimals)
        self._lines("trades", market, TRADE_COLUMNS).write(
            [f"{market.exchange},{market.symbol},{_times(event)},{name},{TAKERS[min(event.side, 2)]},{price},{size}\n"]
        )

    def _lines(self, kind: str, market: Market, columns: str) -> "_Lines":
        key = kind, market
        if key not in self._files:
            name = f"{market.set_name}_{kind}_{market.symbol}.csv.gz"
            self._files[key] = _Lines(self._output, name, columns)
        return self._files[key]

    def finish(self) -> dict[Market, dict[str, Any]]:
        """Finish the files."""
        made: dict[Market, dict[str, Any]] = {}
        for (_, market), lines in self._files.items():
            lines.close()
            found = made.setdefault(market, {"files": [], "cleaned": dict(self._cleaned[market])})
            found["files"].append(lines.name)
        return made


class _Lines:
    """A gzip'd file of lines; the same lines give the same bytes."""

    def __init__(self, output: Output, name: str, columns: str) -> None:
        self.name = name
        self._raw = output.keep(output.path(name).open("wb"))
        self._out = output.keep(io.TextIOWrapper(gzip.GzipFile("", "wb", 6, self._raw, mtime=0), "utf-8", newline=""))
        self._out.write(columns + "\n")

    def write(self, lines: Any) -> None:
        """Write lines, each with its end."""
        self._out.writelines(lines)

    def close(self) -> None:
        """Finish the file."""
        self._out.close()
        self._raw.close()


def _times(event: BookEvent | TradeEvent) -> str:
    ours = event.timestamp_ns // 1000
    return f"{ours if event.exchange_ns is None else event.exchange_ns // 1000},{ours}"
