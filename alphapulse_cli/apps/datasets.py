"""Datasets in Python: the files that `alphapulse record` writes, as Arrow, polars, pandas or numpy, exact in each of them.

    trades = ap.load("data", "trades", exchanges=["kraken"], symbols=["BTC-USD"], start="2026-11-28T00:00:00Z")
    frame = trades.to_pandas()

Integers stay integers: a column that may be null is Int64 in pandas and a masked array in numpy, where the usual way would make doubles
of it. `price` is an exact decimal. Each row has the exchange, the day (YYYYMMDD) and the name of the set of its file, as text, integer and
text, whatever they look like.

Order: by (timestamp_ns, exchange, set_name, epoch, sequence). In the order of publication, by which a book is rebuilt, the rows of a set
are by (epoch, sequence); the two differ only where our clock was set back.
"""

import itertools
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.edges.columns.places import day_of
from alphapulse_cli.edges.columns.reading import PATH_COLUMNS, Part, parts, symbols_of
from alphapulse_cli.edges.columns.schema import TABLES, Column
from alphapulse_cli.errors import NoSegment, StorageError, UsageError
from alphapulse_cli.market.instrument import near_symbols, understood_id
from alphapulse_cli.readers.moments import Time, moment, nanoseconds

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

WITHIN = {"snapshots": ("side", "level")}  # order of the rows that share a sequence
EXTRA = "record"


def load(
    dataset: str | PathLike[str],
    table: str = "deltas",
    *,
    exchanges: Collection[str] | None = None,
    symbols: Collection[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    columns: Sequence[str] | None = None,
    exchange: str | Collection[str] | None = None,
) -> "Dataset":
    """Open a table of a dataset: the rows of these exchanges (or sets) and symbols from `start` on, before `end`, by receive time.

    Symbols are BTC-USD or kraken:BTC-USD; times are RFC 3339 text with an offset, ns since 1970, or aware datetimes. Its files are those that
    are complete now. UsageError for an unknown table or column, a time without an offset, or a file of a greater version; NoSegment for
    a folder that is no dataset, and for an exchange or a symbol that it does not have; StorageError for a damaged file. `exchange` is the
    former name of `exchanges`.
    """
    require("pyarrow", EXTRA, "ap.load")
    _known(table, TABLES, "table")
    has = columns_of(table)
    chosen = tuple(has) if columns is None else tuple(_list(columns, "columns"))
    for name in chosen:
        _known(name, has, f"column of {table}")
    if len(set(chosen)) < len(chosen) or not chosen:
        raise UsageError("columns are named once each" if chosen else "no column is named", f"columns of {table}: {', '.join(has)}")
    start_ns, end_ns = (None if time is None else nanoseconds(time) for time in (start, end))
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise UsageError(f"end, {moment(end_ns)}, is not after start, {moment(start_ns)}", "what is at end is left out")
    folder = Path(dataset)
    only = _exchanges(exchanges, exchange)

    def is_day_wanted(day: int) -> bool:
        return (start_ns is None or day_of(start_ns) <= day) and (end_ns is None or day <= day_of(end_ns - 1))

    found = parts(folder, table, only, is_day_wanted)
    _require_exchanges(folder, only, found)
    wanted = None if symbols is None else _found_symbols(folder, table, only, _list(symbols, "symbols"), found)
    read = [part for part in found if wanted is None or _symbols_in(part, wanted)]
    return Dataset(folder, table, chosen, wanted, start_ns, end_ns, tuple(read))


def columns_of(table: str) -> dict[str, Column]:
    """Columns of a loaded table by name: those of the path, then the table's own."""
    path = (
        Column("exchange", "text", "the exchange"),
        Column("day", "int", "the day of the receive time in UTC, YYYYMMDD"),
        Column("set_name", "text", "the set: the exchange, or the name that its collector was given"),
    )
    assert tuple(column.name for column in path) == PATH_COLUMNS
    return {column.name: column for column in (*path, *TABLES[table])}


@dataclass(frozen=True, slots=True, repr=False)
class Dataset:
    """Rows of one table, not read before a `to_…` is called: each reads them anew."""

    folder: Path
    table: str
    columns: tuple[str, ...]
    symbols: tuple[tuple[str, str], ...] | None  # (exchange or "", symbol); None: all
    start_ns: int | None
    end_ns: int | None
    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        return f"<Dataset {self.table} of {self.folder}: {len(self.files)} files, {len(self.columns)} columns>"

    @property
    def files(self) -> list[Path]:
        """Files that are read, in order of exchange, day and time."""
        return [path for part in self.parts for path in part.files]

    def to_arrow(self) -> "pa.Table":
        """Arrow table. StorageError where a file is damaged or was removed meanwhile."""
        import pyarrow as pa
        import pyarrow.compute as pc

        schema = self._schema()
        order = self._order()
        needed = list(dict.fromkeys((*self.columns, *order)))
        try:
            tables = [self._read(part, needed) for part in self.parts]
        except (OSError, pa.ArrowException) as problem:
            raise _unreadable(problem) from problem
        whole = pa.concat_tables(tables) if tables else pa.schema([schema.field(name) for name in needed]).empty_table()
        rows = pc.sort_indices(whole, sort_keys=[(name, "ascending") for name in order])
        return whole.select(list(self.columns)).take(rows)

    @overload
    def to_polars(self, *, lazy: "Literal[False]" = False) -> "pl.DataFrame": ...
    @overload
    def to_polars(self, *, lazy: "Literal[True]") -> "pl.LazyFrame": ...
    def to_polars(self, *, lazy: bool = False) -> "pl.DataFrame | pl.LazyFrame":
        """Polars frame; with `lazy` a LazyFrame that reads what its query needs, in the same order."""
        require("polars", "", "to_polars")
        import polars as pl

        frame = self._scan().sort(self._order(), maintain_order=True).select(self.columns)
        if lazy:
            return frame
        try:
            return frame.collect()
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise _unreadable(problem) from problem

    def to_pandas(self) -> "pd.DataFrame":
        """Pandas frame: int64, Int64 where a number may be null, bool, text, and Decimals (dtype object) for `price`."""
        require("pandas", "pandas", "to_pandas")
        import pandas as pd

        table = self.to_arrow()
        made = {}
        for field in table.schema:
            column = table.column(field.name)
            if self._is_masked(field.name, column):
                numbers, empty = _filled(column)
                made[field.name] = pd.Series(pd.arrays.IntegerArray(numbers, empty))
            else:
                made[field.name] = column.to_pandas()
        return pd.DataFrame(made, columns=list(self.columns))

    def to_numpy(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Arrays by column, shape (n,): int64, masked where a number may be null, bool, and objects for text and Decimals."""
        import numpy as np

        made: dict[str, Any] = {}
        table = self.to_arrow()
        for field in table.schema:
            column = table.column(field.name)
            if self._is_masked(field.name, column):
                numbers, empty = _filled(column)
                made[field.name] = np.ma.MaskedArray(numbers, empty)
            else:
                made[field.name] = column.to_numpy()
        return made

    def _schema(self) -> "pa.Schema":
        """Arrow schema of all columns, those of the path first. Each may be null: a file of an older version may lack it."""
        import pyarrow as pa

        from alphapulse_cli.edges.columns.schema import arrow_schema

        own = arrow_schema(self.table)
        types = {"int": pa.int64(), "text": pa.string()}
        return pa.schema(
            [
                pa.field(name, own.field(name).type if name in own.names else types[column.type])
                for name, column in columns_of(self.table).items()
            ]
        )

    def _is_masked(self, name: str, column: "pa.ChunkedArray") -> bool:
        """Whether a column is of integers of which some may be null."""
        known = columns_of(self.table)[name]
        return known.type == "int" and (known.is_nullable or column.null_count > 0)

    def _order(self) -> list[str]:
        return ["timestamp_ns", "exchange", "set_name", "epoch", "sequence", *WITHIN.get(self.table, ())]

    def _read(self, part: Part, needed: Sequence[str]) -> "pa.Table":
        import pyarrow as pa
        import pyarrow.dataset as ds
        from pyarrow import fs

        schema = self._schema()
        own = pa.schema([field for field in schema if field.name not in PATH_COLUMNS])
        conditions = []
        if self.start_ns is not None:
            conditions.append(ds.field("timestamp_ns") >= self.start_ns)
        if self.end_ns is not None:
            conditions.append(ds.field("timestamp_ns") < self.end_ns)
        if self.symbols is not None:
            conditions.append(ds.field("symbol").isin(_symbols_in(part, self.symbols)))
        condition = None
        for one in conditions:
            condition = one if condition is None else condition & one
        files = ds.dataset([str(path.absolute()) for path in part.files], own, "parquet", fs.LocalFileSystem(), partitioning=None)
        rows = files.to_table([name for name in needed if name not in PATH_COLUMNS], condition)
        values = {"exchange": part.exchange, "day": part.day, "set_name": part.set_name}
        columns = [
            pa.repeat(pa.scalar(values[name], schema.field(name).type), len(rows)) if name in values else rows.column(name)
            for name in needed
        ]
        return pa.table(columns, pa.schema([schema.field(name) for name in needed]))

    def _scan(self) -> "pl.LazyFrame":
        """All columns of all parts, unsorted."""
        import polars as pl

        types: dict[str, Any] = {"int": pl.Int64, "text": pl.String, "bool": pl.Boolean, "decimal": pl.Decimal(38, 18)}
        schema = {name: types[column.type] for name, column in columns_of(self.table).items()}
        scans = []
        for part in self.parts:
            scan = pl.scan_parquet(
                [path.absolute() for path in part.files], hive_partitioning=False, glob=False, cache=False, low_memory=False
            )
            if self.start_ns is not None:
                scan = scan.filter(pl.col("timestamp_ns") >= self.start_ns)
            if self.end_ns is not None:
                scan = scan.filter(pl.col("timestamp_ns") < self.end_ns)
            if self.symbols is not None:
                scan = scan.filter(pl.col("symbol").is_in(_symbols_in(part, self.symbols)))
            values = {"exchange": part.exchange, "day": part.day, "set_name": part.set_name}
            scans.append(
                scan.select(
                    pl.lit(values[name], kind).alias(name)
                    if name in values
                    else pl.col(name)
                    if name in part.names
                    else pl.lit(None, kind).alias(name)
                    for name, kind in schema.items()
                )
            )
        return pl.concat(scans) if scans else pl.LazyFrame(schema=schema)


def _symbols_in(part: Part, wanted: Collection[tuple[str, str]]) -> list[str]:
    """Symbols that are wanted of a part."""
    return [symbol for of, symbol in wanted if of in ("", part.exchange, part.set_name)]


def _filled(column: "pa.ChunkedArray") -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Numbers of a column, 0 where it is null, and where that is."""
    empty = column.is_null().to_numpy()
    return column.fill_null(0).to_numpy(), empty


def _unreadable(problem: Exception) -> StorageError:
    reason = str(problem).partition("\n")[0][:200]
    return StorageError(f"the dataset cannot be read: {reason}", "if --keep removed a file meanwhile, load it again")


def _known(name: object, known: Collection[str], what: str) -> None:
    import difflib

    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"no such {what}: {str(name)[:40]!r}", hint)


def _list(names: Collection[str], what: str) -> list[str]:
    if isinstance(names, str):
        raise UsageError(f"{what} are a list, not a text: {names[:40]!r}", f"{what}=[{names[:40]!r}]")
    return list(names)


def _exchanges(exchanges: Collection[str] | None, former: str | Collection[str] | None) -> list[str]:
    """Exchanges by their argument or its former name. UsageError for both."""
    if former is None:
        return _list(exchanges or (), "exchanges")
    if exchanges is not None:
        raise UsageError("exchange is the former name of exchanges", "leave exchange out")
    warnings.warn("load(exchange=...) is exchanges=[...] now", DeprecationWarning, stacklevel=3)
    return [former] if isinstance(former, str) else list(former)


def _all_parts(folder: Path, table: str, exchanges: Collection[str] = ()) -> Iterator[Part]:
    """Iterate over the parts of all tables, those of `table` first."""
    for name in sorted(TABLES, key=lambda name: name != table):
        yield from parts(folder, name, exchanges)


def _require_exchanges(folder: Path, exchanges: Collection[str], found: Collection[Part]) -> None:
    """Check that the dataset has all of them, in some table, on some day. NoSegment with those that are there."""

    def names(of: Iterable[Part]) -> set[str]:
        return {name for part in of for name in (part.exchange, part.set_name)}

    missing = set(exchanges) - names(found)
    if missing:
        there = names(_all_parts(folder, ""))
        missing -= there
    if missing:
        raise NoSegment(
            f"no rows of {', '.join(sorted(missing))[:100]} in the dataset",
            f"it has {', '.join(sorted(there))[:200]}" if there else "it has none yet",
        )


def _found_symbols(
    folder: Path, table: str, exchanges: Collection[str], symbols: Sequence[str], found: Collection[Part]
) -> tuple[tuple[str, str], ...]:
    """(Exchange or set, or "", and symbol) of each symbol, as the dataset spells it. NoSegment, with near names, for one that is nowhere in it."""
    known: dict[tuple[str, str], set[str]] = {}

    def has(of: str, symbol: str) -> bool:
        return any(symbol in names for sets, names in known.items() if not of or of in sets)

    left = [text.rpartition(":")[::2] for text in symbols]
    for part in itertools.chain(found, _all_parts(folder, table, exchanges)):
        if not left:
            break
        for path in part.files:
            known.setdefault((part.exchange, part.set_name), set()).update(symbols_of(path) - {""})
            left = [one for one in left if not has(*one)]
            if not left:
                break
    made, missing = [], []
    for text in symbols:
        of, symbol = text.rpartition(":")[::2]
        if not has(of, symbol):
            with suppress(UsageError):
                of, symbol = understood_id(text)
        made.append((of, symbol))
        missing += [] if has(of, symbol) else [text]
    if missing:
        there = sorted({name for names in known.values() for name in names})
        near = dict.fromkeys(name for text in missing for name in _near(text, known))
        raise NoSegment(
            f"no rows of {', '.join(missing)[:100]} in the dataset",
            f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(there)[:200] or 'none yet'}",
        )
    return tuple(made)


def _near(text: str, known: Mapping[tuple[str, str], Collection[str]]) -> list[str]:
    """Near names of a symbol that is not there, where `known` has the symbols of each (exchange, set)."""
    of, _, symbol = text.rpartition(":")
    elsewhere = sorted(f"{set_name}:{symbol}" for (_, set_name), names in known.items() if of and symbol in names)
    return elsewhere or near_symbols(symbol, {name for names in known.values() for name in names})
