"""Writer of one complete Parquet file: sorted, a row group for each symbol, under a temporary name until it is whole.

A Parquet file whose writer was killed cannot be read at all (pyarrow, polars, DuckDB): so a file is written, synced and renamed, and
none lives long.
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from alphapulse_cli.edges.columns.schema import arrow_schema, metadata, parquet_options

if TYPE_CHECKING:
    import pyarrow as pa

UNFINISHED = ".unfinished"  # a suffix that no reader of Parquet looks for
ORDER = ("symbol", "epoch", "sequence")


def write_file(path: Path, table: str, rows: "pa.Table", exchange: str, set_name: str) -> int:
    """Write these rows of a table as a file; returns its size in bytes. OSError; the folder is made if it is not there.

    `rows` has the columns of `arrow_schema(table)`, in any order of rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = arrow_schema(table)
    rows = rows.select(schema.names).cast(schema)
    order = [(name, "ascending") for name in (*ORDER, *(["side", "level"] if table == "snapshots" else []))]
    rows = rows.take(pc.sort_indices(rows, sort_keys=order)).combine_chunks()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    with pa.OSFile(os.fspath(unfinished), "wb") as out, pq.ParquetWriter(out, schema, **parquet_options(table)) as writer:
        for begin, end in _runs(rows.column("symbol")):
            writer.write_table(rows.slice(begin, end - begin), row_group_size=max(end - begin, 1))
        writer.add_key_value_metadata(metadata(table, exchange, set_name))  # without a stored schema its metadata would be dropped
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.rename(path)
    return path.stat().st_size


def _runs(symbols: "pa.ChunkedArray") -> list[tuple[int, int]]:
    """Begin and end of each run of equal symbols."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.run_end_encode(pa.concat_arrays(symbols.chunks)).run_ends.to_pylist() if len(symbols) else []
    return list(pairwise([0, *ends]))
