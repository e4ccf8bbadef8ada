"""Writer for nautilus_trader: a catalog of order book deltas and trade ticks, as its 128-bit build (16 decimals) reads them.

    data/order_book_deltas/BTC-USD.KRAKEN/<first>_<last>.parquet      data/trade_tick/BTC-USD.KRAKEN/<first>_<last>.parquet

Rules of its loader and its book:
  N1  The last delta of a group has F_LAST. A snapshot is a CLEAR, then an ADD for each level, all with F_SNAPSHOT.
  N2  A level that goes is DELETE: an UPDATE to size 0 is refused.
  N3  No column has nulls; prices and sizes are 128-bit integers in units of 10^-16, little-endian.
  N4  The precisions stand in a file's metadata: where a market's grid becomes finer another file begins.
  N5  A market's files do not overlap in time (ts_init), and in a file it does not go back.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.stream import BUY, SELL, BookEvent, Event, GapEvent, Market, TradeEvent
from alphapulse_cli.apps.export.writer import levels_of, name_of
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers.moments import moment

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PRECISION = 16
ADD, UPDATE, DELETE, CLEAR = 1, 2, 3, 4
NO_SIDE, BID, ASK = 0, 1, 2
NO_AGGRESSOR, BUYER, SELLER = 0, 1, 2
F_SNAPSHOT, F_LAST = 32, 128
MOST_PRICE, MOST_SIZE = 17_014_118_346_046 * 10**PRECISION, 34_028_236_692_093 * 10**PRECISION
NOTHING = bytes(16)
ROWS = 32_768  # of a row group, and held at most
DELTAS, TRADES = "order_book_deltas", "trade_tick"
HINT = "csv, parquet and arrow hold it: --to parquet"


class Nautilus:
    """Writer of a catalog. UsageError where a number does not fit its fixed-point numbers."""

    def __init__(self, output: Output) -> None:
        require("pyarrow", "record", "export --to nautilus")
        self._output = output
        self._files: dict[tuple[str, Market], _File] = {}
        self._cleaned: dict[Market, Counter[str]] = {}

    def take(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, GapEvent):
            return
        cleaned = self._cleaned.setdefault(event.market, Counter())
        if isinstance(event, BookEvent):
            self._file(DELTAS, event.market).book(event, cleaned)
        elif event.history:
            cleaned["history_trades_left_out"] += 1
        elif not event.lots:
            cleaned["trades_of_size_0_left_out"] += 1
        else:
            self._file(TRADES, event.market).trade(event, cleaned)

    def _file(self, kind: str, market: Market) -> "_File":
        key = kind, market
        if key not in self._files:
            self._files[key] = _File(self._output, kind, market)
        return self._files[key]

    def finish(self) -> dict[Market, dict[str, Any]]:
        """Finish the files."""
        made: dict[Market, dict[str, Any]] = {}
        for (_, market), file in self._files.items():
            file.close()
            found = made.setdefault(
                market, {"instrument_id": instrument_id(market), "files": [], "cleaned": dict(self._cleaned[market])}
            )
            found["files"] += file.names
        return made


def instrument_id(market: Market) -> str:
    """Instrument id in nautilus_trader: the symbol, and the set's name as its venue."""
    return f"{market.symbol}.{market.set_name.upper()}"


def schema_of(kind: str, market: Market, price_decimals: int, size_decimals: int) -> "pa.Schema":
    """Arrow schema of a catalog's file."""
    import pyarrow as pa

    number, flag, count = pa.binary(16), pa.uint8(), pa.uint64()
    times = {"ts_event": count, "ts_init": count}
    columns = (
        {
            "action": flag,
            "side": flag,
            "price": number,
            "size": number,
            "order_id": count,
            "flags": flag,
            "sequence": count,
            **times,
        }
        if kind == DELTAS
        else {"price": number, "size": number, "aggressor_side": flag, "trade_id": pa.string(), **times}
    )
    metadata = {
        "instrument_id": instrument_id(market),
        "price_precision": str(price_decimals),
        "size_precision": str(size_decimals),
    }
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in columns.items()], metadata)


class _File:
    """Files of one kind and market, one after another."""

    def __init__(self, output: Output, kind: str, market: Market) -> None:
        self._output, self._kind, self._market = output, kind, market
        self._grid = (-1, -1)
        self._writer: pq.ParquetWriter | None = None
        self._path = Path()
        self._rows: list[tuple[Any, ...]] = []
        self._first_ns = self._last_ns = 0
        self.names: list[str] = []

    def book(self, event: BookEvent, cleaned: "Counter[str]") -> None:
        book = event.book
        event_ns, time_ns = self._times(event, cleaned, book.price_decimals, book.size_decimals)
        rows: list[tuple[int, int, bytes, bytes]]
        if event.is_snapshot:
            flags = F_SNAPSHOT
            rows = [(CLEAR, NO_SIDE, NOTHING, NOTHING)]
            rows += [(ADD, ASK if ask else BID, self._price(ticks), self._size(lots)) for ticks, lots, ask in levels_of(book)]
        else:
            flags = 0
            rows = [
                (
                    (ADD if one.is_new else UPDATE) if one.lots else DELETE,
                    ASK if one.is_ask else BID,
                    self._price(one.ticks),
                    self._size(one.lots),
                )
                for one in event.changes
            ]
        tail = (event.version, event_ns, time_ns)
        self._rows += [(*row, 0, flags, *tail) for row in rows[:-1]]
        self._rows += [(*row, 0, flags | F_LAST, *tail) for row in rows[-1:]]
        self._spill()

    def trade(self, event: TradeEvent, cleaned: "Counter[str]") -> None:
        event_ns, time_ns = self._times(event, cleaned, event.price_decimals, event.size_decimals)
        taker = {BUY: BUYER, SELL: SELLER}.get(event.side, NO_AGGRESSOR)
        trade_id = event.trade_id or f"{event.epoch}-{event.sequence}"  # it may not be empty
        self._rows.append((self._price(event.ticks), self._size(event.lots), taker, trade_id, event_ns, time_ns))
        self._spill()

    def _times(
        self, event: BookEvent | TradeEvent, cleaned: "Counter[str]", price_decimals: int, size_decimals: int
    ) -> tuple[int, int]:
        """ts_event and ts_init (N5), in the file of this grid."""
        time_ns = event.timestamp_ns
        if time_ns < self._last_ns:
            cleaned["receive_times_that_went_back"] += 1
            time_ns = self._last_ns
        if self._grid != (price_decimals, size_decimals):
            if self._writer is not None:
                time_ns = max(time_ns, self._last_ns + 1)
            self._begin(price_decimals, size_decimals, time_ns)
        self._last_ns = time_ns
        if event.exchange_ns is None:
            cleaned["without_exchange_time"] += 1
        return (time_ns if event.exchange_ns is None else event.exchange_ns), time_ns

    def _begin(self, price_decimals: int, size_decimals: int, time_ns: int) -> None:
        import pyarrow.parquet as pq

        if max(price_decimals, size_decimals) > PRECISION:
            raise UsageError(
                f"{self._market.id} has {max(price_decimals, size_decimals)} decimals; nautilus_trader has {PRECISION}", HINT
            )
        self.close()
        self._grid = price_decimals, size_decimals
        self._path = self._output.scratch(f"{self._kind}-{name_of(self._market)}-{len(self.names)}")
        schema = schema_of(self._kind, self._market, price_decimals, size_decimals)
        self._writer = self._output.keep(pq.ParquetWriter(self._path, schema, compression="zstd"))
        self._first_ns = time_ns

    def _price(self, ticks: int) -> bytes:
        return self._fixed(ticks, self._grid[0], MOST_PRICE, "a price")

    def _size(self, lots: int) -> bytes:
        return self._fixed(lots, self._grid[1], MOST_SIZE, "a size")

    def _fixed(self, number: int, decimals: int, most: int, what: str) -> bytes:
        raw = number * int(10 ** (PRECISION - decimals))
        if not -most <= raw <= most:
            raise UsageError(f"{self._market.id} has {what} of {to_text(number, decimals)}: too great for nautilus_trader", HINT)
        return raw.to_bytes(16, "little", signed=True)

    def _spill(self, *, is_all: bool = False) -> None:
        import pyarrow as pa

        if self._writer is None or not self._rows or (len(self._rows) < ROWS and not is_all):
            return
        columns = zip(*self._rows, strict=True)
        schema = self._writer.schema
        self._writer.write_batch(
            pa.record_batch([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)
        )
        self._rows.clear()

    def close(self) -> None:
        """Finish the present file, and name it by its times."""
        if self._writer is None:
            return
        self._spill(is_all=True)
        self._writer.close()
        self._writer = None
        name = f"data/{self._kind}/{instrument_id(self._market)}/{file_moment(self._first_ns)}_{file_moment(self._last_ns)}.parquet"
        self._output.adopt(self._path, name)
        self.names.append(name)


def file_moment(time_ns: int) -> str:
    """Time as in a file's name: 2026-11-28T20-24-58-741000000Z."""
    return moment(time_ns, digits=9).replace(":", "-").replace(".", "-")
