"""Writer for hftbacktest: an array of its 64-byte events for each market, `data` in an .npz file.

    kind | BUY or SELL | EXCH | LOCAL,  exchange time,  our time,  price,  size                        (times in ns)

Rules of its engine that a wrong file breaks without an error:
  H1  The array begins with CLEAR and SNAPSHOT rows; after each gap the same again.
  H2  Rows with EXCH ascend by exchange time, those with LOCAL by ours. A row has both flags where it stands at the same place in both
      orders; else it stands twice, once with each flag.
  H3  No row is received before it was sent: an exchange time behind ours becomes ours, and is counted. The exchange times of a book's
      rows do not go back either: the book on the exchange's side is built from them, in this order.
  H4  Within a group levels are removed before others are set: a bid at or above an ask hides it there until that ask is sent again.
      A book that was crossed or locked and no longer is has its best levels sent again.
  H5  `tick_size` and `lot_size` (in the JSON) are 1/10^decimals: a size below half a lot would remove its level.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.stream import BUY, SELL, BookEvent, Event, GapEvent, Market, TradeEvent
from alphapulse_cli.apps.export.writer import levels_of, name_of
from alphapulse_cli.book.book import Book
from alphapulse_cli.market.ticks import to_text

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUYS, SELLS = 0x8000_0000, 0x4000_0000, 0x2000_0000, 0x1000_0000
EVENT_FIELDS = [
    ("ev", "<u8"),
    ("exch_ts", "<i8"),
    ("local_ts", "<i8"),
    ("px", "<f8"),
    ("qty", "<f8"),
    ("order_id", "<u8"),
    ("ival", "<i8"),
    ("fval", "<f8"),
]
EVENT_BYTES = 64
SORTED_ROWS = 65_536  # rows among which a row may be before one that came earlier: what goes back further is set to the latest time
COPY_BYTES = 1 << 20

Row = tuple[int, int, int, float, float]  # kind and side, exchange time, our time, price, size


class HftBacktest:
    """Writer of `<set>-<symbol>.npz` files."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._files: dict[Market, _File] = {}

    def take(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, GapEvent):
            return
        if event.market not in self._files:
            self._files[event.market] = _File(self._output, self._output.scratch(f"{name_of(event.market)}.rows"))
        self._files[event.market].take(event)

    def finish(self) -> dict[Market, dict[str, Any]]:
        """Finish the files: the number of rows stands at their beginning, so they are copied once it is known."""
        return {
            market: file.finish(self._output.path(f"{name_of(market)}.npz"), f"{name_of(market)}.npz")
            for market, file in self._files.items()
        }


class _File:
    """One market's rows, and what was cleaned of them."""

    def __init__(self, output: Output, path: Path) -> None:
        self._path = path
        self._out: BinaryIO = output.keep(path.open("wb"))
        self._orders = TwoOrders()
        self._written = 0
        self._local_ns = self._book_ns = 0
        self._has_book = self._was_crossed = False
        self._decimals = [0, 0]
        self.cleaned: Counter[str] = Counter()

    def take(self, event: BookEvent | TradeEvent) -> None:
        if isinstance(event, TradeEvent):
            self._trade(event)
        else:
            self._book(event)
        if self._orders.is_due:
            self._write(self._orders.rows(is_end=False))

    def _trade(self, event: TradeEvent) -> None:
        if event.history:  # it happened before the recording, or stands in it already
            self.cleaned["history_trades_left_out"] += 1
            return
        if not self._has_book:
            self.cleaned["trades_before_the_first_book"] += 1
            return
        exchange_ns, local_ns = self._times(event.exchange_ns, event.timestamp_ns)
        side = {BUY: BUYS, SELL: SELLS}.get(event.side, 0)
        price, size = event.ticks / 10**event.price_decimals, event.lots / 10**event.size_decimals
        self._grid(event.price_decimals, event.size_decimals)
        self._orders.add((TRADE | side, exchange_ns, local_ns, price, size))

    def _book(self, event: BookEvent) -> None:
        book, self._has_book = event.book, True
        self._grid(book.price_decimals, book.size_decimals)
        exchange_ns, local_ns = self._times(event.exchange_ns, event.timestamp_ns)
        if exchange_ns < self._book_ns:
            self.cleaned["exchange_times_that_went_back"] += 1
            exchange_ns = self._book_ns
        self._book_ns = exchange_ns
        if event.is_snapshot:
            self._orders.add((CLEAR, exchange_ns, local_ns, 0.0, 0.0))
            rows = [(SNAPSHOT, *level) for level in levels_of(book)]
        else:
            gone = [(DEPTH, one.ticks, 0, one.is_ask) for one in event.changes if not one.lots]
            rows = gone + [(DEPTH, one.ticks, one.lots, one.is_ask) for one in event.changes if one.lots]
        is_crossed = _hides(book)
        if is_crossed:
            self.cleaned["crossed_books"] += 1
        elif self._was_crossed and not event.is_snapshot:
            bid, ask = book.best_bid(), book.best_ask()
            rows += [(DEPTH, *level, is_ask) for level, is_ask in ((bid, False), (ask, True)) if level is not None]
        self._was_crossed = is_crossed
        price_unit, size_unit = 10**book.price_decimals, 10**book.size_decimals
        for kind, ticks, lots, is_ask in rows:
            self._orders.add((kind | (SELLS if is_ask else BUYS), exchange_ns, local_ns, ticks / price_unit, lots / size_unit))

    def _times(self, exchange_ns: int | None, local_ns: int) -> tuple[int, int]:
        """Clean times (H2, H3)."""
        if local_ns < self._local_ns:
            self.cleaned["receive_times_that_went_back"] += 1
            local_ns = self._local_ns
        self._local_ns = local_ns
        if exchange_ns is None:
            self.cleaned["without_exchange_time"] += 1
            return local_ns, local_ns
        if exchange_ns > local_ns:
            self.cleaned["negative_latencies"] += 1
            return local_ns, local_ns
        return exchange_ns, local_ns

    def _grid(self, price_decimals: int, size_decimals: int) -> None:
        self._decimals = [max(self._decimals[0], price_decimals), max(self._decimals[1], size_decimals)]

    def _write(self, rows: Iterator[Row]) -> None:
        import numpy as np

        listed = list(rows)
        made = np.zeros(len(listed), dtype=EVENT_FIELDS)
        if listed:
            for name, column in zip(("ev", "exch_ts", "local_ts", "px", "qty"), zip(*listed, strict=True), strict=True):
                made[name] = column
        self._out.write(made.tobytes())
        self._written += len(listed)

    def finish(self, path: Path, name: str) -> dict[str, Any]:
        """Write the .npz file; what its reader has to know."""
        import numpy as np

        self._write(self._orders.rows(is_end=True))
        self._out.close()
        if self._orders.late:
            self.cleaned["exchange_times_that_went_back"] += self._orders.late
        member = zipfile.ZipInfo("data.npy")  # without the time of now: the same rows give the same bytes
        member.compress_type = zipfile.ZIP_DEFLATED
        with (
            zipfile.ZipFile(path, "w", compresslevel=4) as archive,
            archive.open(member, "w", force_zip64=True) as out,
            self._path.open("rb") as rows,
        ):
            head = {"descr": EVENT_FIELDS, "fortran_order": False, "shape": (self._written,)}
            np.lib.format.write_array_header_1_0(out, head)
            while block := rows.read(COPY_BYTES):
                out.write(block)
        self._path.unlink()
        return {
            "file": name,
            "tick_size": to_text(1, self._decimals[0]),
            "lot_size": to_text(1, self._decimals[1]),
            "rows": self._written,
            "cleaned": dict(sorted(self.cleaned.items())),
        }


class TwoOrders:
    """Rows in their two orders (H2): they come in that of our time, and a later one may have been sent earlier."""

    def __init__(self) -> None:
        self._coming: list[Row] = []  # in neither order yet
        self._unsent: list[Row] = []  # in our order already, not in the exchange's
        self._sent_ns = 0  # exchange time of the last row in its order
        self.late = 0

    def add(self, row: Row) -> None:
        """Add a row whose own times are clean."""
        if row[1] < self._sent_ns:
            self.late += 1
            row = (row[0], self._sent_ns, *row[2:])
        self._coming.append(row)

    @property
    def is_due(self) -> bool:
        """Whether there are so many rows that some should be taken out."""
        return len(self._coming) >= 2 * SORTED_ROWS

    def rows(self, *, is_end: bool) -> Iterator[Row]:
        """Iterate over the rows whose places in both orders are known, with their flags; over all at the end."""
        cut = len(self._coming) if is_end else len(self._coming) - SORTED_ROWS
        received, self._coming = self._coming[:cut], self._coming[cut:]
        sent = sorted([*self._unsent, *received], key=lambda row: row[1])
        limit_ns = min((row[1] for row in self._coming), default=None)
        known = len(sent) if limit_ns is None else next((at for at, row in enumerate(sent) if row[1] > limit_ns), len(sent))
        sent, self._unsent = sent[:known], sent[known:]
        if sent:
            self._sent_ns = sent[-1][1]
        return both_orders(sent, received)


def both_orders(sent: list[Row], received: list[Row]) -> Iterator[Row]:
    """Iterate over two orders of rows as one, each row with both flags where it stands at the same place in both."""
    first = second = 0
    while first < len(sent) and second < len(received):
        ours, theirs = received[second], sent[first]
        if theirs is ours:
            yield _flagged(ours, EXCH | LOCAL)
            first, second = first + 1, second + 1
        elif theirs[1] <= ours[1] and theirs[2] != ours[2]:  # sent before it, received before or behind it
            yield _flagged(theirs, EXCH)
            first += 1
        else:
            yield _flagged(ours, LOCAL)
            second += 1
    yield from (_flagged(row, EXCH) for row in sent[first:])
    yield from (_flagged(row, LOCAL) for row in received[second:])


def _flagged(row: Row, flags: int) -> Row:
    return (row[0] | flags, *row[1:])


def _hides(book: Book) -> bool:
    """Whether a side of the book is hidden in hftbacktest: it is crossed or locked."""
    return book.is_crossed or book.is_locked
