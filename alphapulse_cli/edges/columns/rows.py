"""Rows of a dataset out of records, by columns: numpy arrays in signed integers, and exact decimals out of them.

    delta_rows(records, sequences, epoch)     a row for each change        trade_rows(…)     a row for each trade
    with_decimals(rows)                     the same rows with their exact prices, as Parquet holds them

While a recording is open its rows have no decimals: they follow from ticks and are made when a file is written.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from alphapulse_cli.edges.columns.schema import (
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    SEQUENCES_PER_RECORD,
    TABLES,
    arrow_schema,
)
from alphapulse_cli.readers.columns import TAKERS, changes
from alphapulse_cli.wire import delta, trade

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]
    Columns = Mapping[str, "Array | Sequence[Any] | str | int"]

SIDES = ("bid", "ask")
HALF, LOW = 32, 0xFFFF_FFFF


def delta_rows(records: "Array", sequences: "Array", epoch: int) -> "Columns":
    """Columns of the changes of delta records, whose sequences in their ring are `sequences` (int64)."""
    import numpy as np

    rows = changes(records)
    counts = np.minimum(records["change_count"], delta.MAX_CHANGES).astype(np.int64)
    of = np.repeat(np.arange(len(records), dtype=np.int64), counts)
    place = np.arange(len(of), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    flags = records["flags"][of]
    return {
        "symbol": rows["symbol"],
        "epoch": np.full(len(rows), epoch, dtype=np.int64),
        "sequence": sequences[of] * SEQUENCES_PER_RECORD + place,
        "timestamp_ns": rows["timestamp_ns"],
        "feed_delay_us": _or_null(rows["feed_delay_us"], delta.NO_FEED_DELAY),
        "version": rows["version"],
        "is_last": ((flags & delta.LAST) != 0) & (place == counts[of] - 1),
        "resynced": (flags & delta.RESYNCED) != 0,
        "side": rows["is_ask"].astype(np.int8),
        "is_new": rows["is_new"],
        "price_ticks": rows["price_ticks"],
        "size_lots": rows["size_lots"],
        "price_decimals": rows["price_decimals"],
        "size_decimals": rows["size_decimals"],
    }


def trade_rows(records: "Array", sequences: "Array", epoch: int) -> "Columns":
    """Columns of trade records, whose sequences in their ring are `sequences` (int64)."""
    import numpy as np

    assert records.dtype == trade.dtype()
    return {
        "symbol": records["symbol"],
        "epoch": np.full(len(records), epoch, dtype=np.int64),
        "sequence": sequences * SEQUENCES_PER_RECORD,
        "timestamp_ns": records["timestamp_ns"].astype(np.int64),
        "exchange_ns": _or_null(records["exchange_ns"].astype(np.int64), 0),
        "trade_id": records["trade_id"],
        "side": np.minimum(records["side"], len(TAKERS) - 1).astype(np.int8),
        "history": (records["flags"] & trade.HISTORY) != 0,
        "price_ticks": records["price_ticks"].astype(np.int64),
        "size_lots": records["size_lots"].astype(np.int64),
        "price_decimals": records["price_decimals"].astype(np.int64),
        "size_decimals": records["size_decimals"].astype(np.int64),
    }


def stream_schema(table: str) -> "pa.Schema":
    """Schema of a table's rows while they are recorded: without decimals."""
    import pyarrow as pa

    decimals = {one.name for one in TABLES[table] if one.type == "decimal"}
    return pa.schema([field for field in arrow_schema(table) if field.name not in decimals])


def arrow_rows(table: str, columns: "Columns") -> "pa.RecordBatch":
    """Rows by the stream's schema. Names may be bytes of records (S16), sides their numbers; what is one text or number is every row's."""
    import pyarrow as pa

    schema = stream_schema(table)
    count = next(len(values) for values in columns.values() if not isinstance(values, str | int))
    return pa.record_batch([_arrow(columns[field.name], field, table, count) for field in schema], schema=schema)


def with_decimals(table: str, rows: "pa.Table") -> "pa.Table":
    """Rows by the table's own schema: with the decimals that they lack, which follow from ticks and lots."""
    import pyarrow as pa

    schema = arrow_schema(table)
    have = {name: rows.column(name) for name in rows.schema.names}
    for name in schema.names:
        if name not in have:
            price = name.endswith("price")
            units = name.replace("price", "ticks" if "_" in name else "price_ticks") if price else "size_lots"
            have[name] = decimals(rows.column(units), rows.column("price_decimals" if price else "size_decimals"))
    return pa.table([have[name] for name in schema.names], schema.names).cast(schema)


def decimals(units: "pa.ChunkedArray", places: "pa.ChunkedArray") -> "pa.Array":
    """Exact decimal128 of units * 10 ** -places; null where the units are. Both are int64, places 0..18."""
    import numpy as np
    import pyarrow as pa

    valid = units.is_valid().combine_chunks() if units.null_count else None
    whole = units.fill_null(0).to_numpy().astype(np.int64)
    powers = np.array([10 ** (DECIMAL_SCALE - place) for place in range(DECIMAL_SCALE + 1)], dtype=np.uint64)
    low, high = _product(np.abs(whole).view(np.uint64), powers[places.to_numpy()])  # of -2**63, too, abs is 2**63 as unsigned
    is_negative = whole < 0
    words = np.empty((len(whole), 2), dtype="<u8")
    words[:, 0] = np.where(is_negative, ~low + np.uint64(1), low)
    words[:, 1] = np.where(is_negative, ~high + (low == 0), high)
    kind = pa.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE)
    nulls = None if valid is None else pa.array(valid.to_numpy(zero_copy_only=False)).buffers()[1]
    return pa.Array.from_buffers(kind, len(whole), [nulls, pa.py_buffer(words)])


def _product(a: "Array", b: "Array") -> "tuple[Array, Array]":
    """Low and high 64 bits of the products of two arrays of unsigned integers."""
    import numpy as np

    half, low = np.uint64(HALF), np.uint64(LOW)
    a_low, a_high, b_low, b_high = a & low, a >> half, b & low, b >> half
    lows, crossed, other = a_low * b_low, a_low * b_high, a_high * b_low
    middle = (lows >> half) + (crossed & low) + (other & low)
    return (lows & low) | (middle << half), a_high * b_high + (crossed >> half) + (other >> half) + (middle >> half)


def _or_null(values: "Array", absent: int) -> "Array":
    import numpy as np

    return np.ma.masked_equal(values, absent)


def _arrow(values: "Array | Sequence[Any] | str | int", field: "pa.Field", table: str, count: int) -> "pa.Array":
    import numpy as np
    import pyarrow as pa

    if isinstance(values, str | int):
        return pa.repeat(pa.scalar(values, field.type), count)
    if not isinstance(values, np.ndarray):
        return pa.array(values, type=field.type)
    if values.dtype.kind == "S":
        names, codes = np.unique(values, return_inverse=True)
        texts = pa.array([name.decode("utf-8", "backslashreplace") for name in names.tolist()], type=field.type)
        return texts.take(pa.array(codes.reshape(-1)))
    if field.name == "side":
        words = TAKERS if table == "trades" else SIDES
        return pa.array(words, type=field.type).take(pa.array(values))
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, type=field.type, mask=np.ma.getmaskarray(values))
    return pa.array(values, type=field.type)
