"""Writers of the tables of datasets as plain files: deltas, trades and snapshots, a file each, in CSV, Parquet or as Arrow IPC.

The columns are those of a dataset (edges/columns/schema.py). Before them stand `time`, the receive time as RFC 3339 with nine digits,
and `exchange` and `set`: one file has all markets, in order of time. CSV has prices and sizes with all their decimals, so that a reader which
guesses types from the first rows guesses right.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.stream import BookEvent, Event, GapEvent, Market, TradeEvent
from alphapulse_cli.apps.export.writer import levels_of
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.edges.columns.schema import DECIMAL_PRECISION, DECIMAL_SCALE, TABLES, arrow_schema, parquet_options
from alphapulse_cli.readers.items import TAKERS, text
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.wire.delta import MAX_CHANGES

if TYPE_CHECKING:
    import pyarrow as pa

OWN_COLUMNS = ("time", "exchange", "set")  # before those of the dataset
EXPORTED = ("deltas", "trades", "snapshots")
ROWS = 16_384  # of a row group, and held at most
PER_RECORD = 16
Row = dict[str, Any]


class Sink(Protocol):
    """File of one table that takes rows."""

    def write(self, rows: list[Row]) -> None:
        """Write rows: a value for each column, a price or size by its ticks or lots."""

    def close(self) -> None:
        """Finish the file."""


class Tables:
    """Writer of a file for each table. `suffix` is csv, parquet or arrow."""

    def __init__(self, output: Output, suffix: str) -> None:
        if suffix != "csv":
            require("pyarrow", "record", f"export --to {suffix}")
        sinks: dict[str, Callable[[Output, str, Path], Sink]] = {"csv": _Csv, "parquet": _Parquet, "arrow": _Arrow}
        make = sinks[suffix]
        self._names = {table: f"{table}.{suffix}" for table in EXPORTED}
        self._sinks = {table: make(output, table, output.path(self._names[table])) for table in EXPORTED}
        self._rows: dict[str, list[Row]] = {table: [] for table in EXPORTED}
        self._seen: dict[Market, set[str]] = {}

    def take(self, event: Event) -> None:
        """Write an event: a group's changes, a joined book's levels, or a trade."""
        if isinstance(event, GapEvent):
            return
        if isinstance(event, TradeEvent):
            self._add("trades", event.market, [_trade_row(event)])
        elif event.changes or not event.is_snapshot:
            self._add("deltas", event.market, _change_rows(event))
        else:
            self._add("snapshots", event.market, _level_rows(event))

    def _add(self, table: str, market: Market, rows: list[Row]) -> None:
        self._seen.setdefault(market, set()).add(self._names[table])
        held = self._rows[table]
        held += rows
        if len(held) >= ROWS:
            self._sinks[table].write(held)
            held.clear()

    def finish(self) -> dict[Market, dict[str, Any]]:
        """Finish the files."""
        for table, sink in self._sinks.items():
            if self._rows[table]:
                sink.write(self._rows[table])
            sink.close()
        return {market: {"files": sorted(names)} for market, names in self._seen.items()}


def columns_of(table: str) -> list[str]:
    """Names of a file's columns."""
    return [*OWN_COLUMNS, *(one.name for one in TABLES[table])]


def _place(event: BookEvent | TradeEvent) -> Row:
    """Values of the columns that all rows of an event have in common."""
    market = event.market
    return {
        "time": moment(event.timestamp_ns, digits=9),
        "exchange": market.exchange,
        "set": market.set_name,
        "symbol": market.symbol,
        "epoch": event.epoch,
        "sequence": event.sequence,
        "timestamp_ns": event.timestamp_ns,
    }


def _change_rows(event: BookEvent) -> list[Row]:
    place = _place(event) | {
        "feed_delay_us": event.feed_delay_us,
        "version": event.version,
        "is_last": False,
        "resynced": event.resynced,
        "price_decimals": event.book.price_decimals,
        "size_decimals": event.book.size_decimals,
    }
    rows = [
        place
        | {
            "sequence": event.sequence + number // MAX_CHANGES * PER_RECORD + number % MAX_CHANGES,
            "side": "ask" if one.is_ask else "bid",
            "is_new": one.is_new,
            "price_ticks": one.ticks,
            "size_lots": one.lots,
        }
        for number, one in enumerate(event.changes)
    ]
    if rows:
        rows[-1]["is_last"] = True
    return rows


def _level_rows(event: BookEvent) -> list[Row]:
    book = event.book
    place = _place(event) | {
        "version": event.version,
        "price_decimals": book.price_decimals,
        "size_decimals": book.size_decimals,
    }
    return [
        place
        | {
            "side": "ask" if is_ask else "bid",
            "level": level if not is_ask else level - book.bid_count,
            "price_ticks": ticks,
            "size_lots": lots,
        }
        for level, (ticks, lots, is_ask) in enumerate(levels_of(book))
    ]


def _trade_row(event: TradeEvent) -> Row:
    return _place(event) | {
        "exchange_ns": event.exchange_ns,
        "trade_id": event.trade_id,
        "side": TAKERS[min(event.side, 2)],
        "history": event.history,
        "price_ticks": event.ticks,
        "size_lots": event.lots,
        "price_decimals": event.price_decimals,
        "size_decimals": event.size_decimals,
    }


class _Csv:
    """CSV file; a cell without a value is empty."""

    def __init__(self, output: Output, table: str, path: Path) -> None:
        self._columns = columns_of(table)
        self._columns += [] if "size" in self._columns else ["size"]  # all sizes are ready: they cost nothing but text
        self._out: IO[str] = output.keep(path.open("w", encoding="utf-8", newline=""))
        self._csv = csv.writer(self._out, lineterminator="\n")
        self._csv.writerow(self._columns)

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            row["price"] = text(row["price_ticks"], row["price_decimals"])
            row["size"] = text(row["size_lots"], row["size_decimals"])
        self._csv.writerows([[_cell(row[name]) for name in self._columns] for row in rows])

    def close(self) -> None:
        self._out.close()


def _cell(value: Any) -> Any:
    return ("true" if value else "false") if isinstance(value, bool) else value


def file_schema(table: str) -> "pa.Schema":
    """Arrow schema of a file."""
    import pyarrow as pa

    own = [pa.field(name, pa.string(), nullable=False) for name in OWN_COLUMNS]
    return pa.schema([*own, *arrow_schema(table)], {"alphapulse.export": "1", "alphapulse.table": table})


def _batch(schema: "pa.Schema", rows: list[Row]) -> "pa.RecordBatch":
    import pyarrow as pa

    def column(field: "pa.Field") -> "pa.Array":
        if field.name == "price":
            return decimals([row["price_ticks"] for row in rows], [row["price_decimals"] for row in rows])
        if field.name == "size":
            return decimals([row["size_lots"] for row in rows], [row["size_decimals"] for row in rows])
        return pa.array([row[field.name] for row in rows], field.type)

    return pa.record_batch([column(field) for field in schema], schema=schema)


def decimals(units: list[int], places: list[int]) -> "pa.Array":
    """Ticks or lots, each with its number of decimals, as decimal128(38, 18): integers throughout."""
    import pyarrow as pa

    raw = bytearray().join(
        [
            (number * 10 ** (DECIMAL_SCALE - count)).to_bytes(16, "little", signed=True)
            for number, count in zip(units, places, strict=True)
        ]
    )
    kind = pa.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE)
    return pa.Array.from_buffers(kind, len(units), [None, pa.py_buffer(bytes(raw))])


class _Parquet:
    """Parquet file, with the encodings of a dataset."""

    def __init__(self, output: Output, table: str, path: Path) -> None:
        import pyarrow.parquet as pq

        self._schema = file_schema(table)
        options: dict[str, Any] = dict(parquet_options(table))
        if isinstance(options.get("use_dictionary"), list):
            options["use_dictionary"] = [*OWN_COLUMNS, *options["use_dictionary"]]
        self._writer = output.keep(pq.ParquetWriter(path, self._schema, **options))
        self._writer.add_key_value_metadata(self._schema.metadata)  # without a stored schema its metadata would be dropped

    def write(self, rows: list[Row]) -> None:
        self._writer.write_batch(_batch(self._schema, rows))

    def close(self) -> None:
        self._writer.close()


class _Arrow:
    """Arrow IPC file (Feather version 2)."""

    def __init__(self, output: Output, table: str, path: Path) -> None:
        import pyarrow as pa

        self._schema = file_schema(table)
        self._file = output.keep(pa.OSFile(str(path), "wb"))
        self._writer = pa.ipc.new_file(self._file, self._schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))

    def write(self, rows: list[Row]) -> None:
        self._writer.write_batch(_batch(self._schema, rows))

    def close(self) -> None:
        self._writer.close()
        self._file.close()
