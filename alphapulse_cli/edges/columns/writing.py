"""Writer of one complete Parquet file: sorted, a row group for each symbol, under a temporary name until it is whole.

A Parquet file whose writer was killed cannot be read at all (pyarrow, polars, DuckDB): so a file is written, synced and renamed, and
none lives long.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from alphapulse_cli.edges.columns.rows import with_decimals
from alphapulse_cli.edges.columns.schema import arrow_schema, metadata, parquet_options

if TYPE_CHECKING:
    import pyarrow as pa

UNFINISHED = ".unfinished"  # a suffix that no reader of Parquet looks for
ORDER = ("epoch", "sequence")


def write_file(path: Path, table: str, rows: "pa.Table", exchange: str, set_name: str) -> int:
    """Write these rows of a table as a file; returns its size in bytes. OSError; the folder is made if it is not there.

    `rows` has the columns of `arrow_schema(table)`, or those but decimals, which follow from the others; in any order of rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = arrow_schema(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    with pa.OSFile(os.fspath(unfinished), "wb") as out, pq.ParquetWriter(out, schema, **parquet_options(table)) as writer:
        for symbol in sorted(pc.unique(rows.column("symbol")).to_pylist()):
            of_symbol = _sorted(rows.filter(pc.equal(rows.column("symbol"), symbol)), table)
            writer.write_table(with_decimals(table, of_symbol), row_group_size=len(of_symbol))
        writer.add_key_value_metadata(metadata(table, exchange, set_name))  # without a stored schema its metadata would be dropped
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())
    unfinished.rename(path)
    return path.stat().st_size


def _sorted(rows: "pa.Table", table: str) -> "pa.Table":
    """Rows of one symbol in their order. One symbol at a time: the rows of all would be in memory several times."""
    import pyarrow.compute as pc

    order = [(name, "ascending") for name in (*ORDER, *(["side", "level"] if table == "snapshots" else []))]
    return rows.take(pc.sort_indices(rows, sort_keys=order)).combine_chunks()
