#!/usr/bin/env bash
# NaN in Parquet: DuckDB returns NaN rows for `<`, or none for `>`, count(*) disagrees with the rows, and pyarrow drops NaN from `!=`.
#
# Expected   One answer for one file's content. parquet.thrift leaves NaN out of the statistics and says that a reader who looks for NaN
#            must not rely on them. DuckDB's docs: NaN equals itself and is greater than any other number, so NaN < 5 is false and NaN > 0
#            is true. In pyarrow (and IEEE 754) NaN != 1 is true.
# Seen       Four spreads, two of them NaN, written by pyarrow. DuckDB: `spread < 5` returns all four rows; with two rows in a row group
#            `count(*)` of `spread < 0` is 2 where the same WHERE returns one row, and `spread > 0` loses a NaN. FILTER is right each time.
#            pyarrow.parquet's filter `spread != 1` loses the NaN that the same filter in memory keeps. Both decide by a row group's
#            minimum and maximum and compare no value.
# Versions   duckdb 2.0.1, pyarrow 26.0.1; seen 2026-11-27. (polars 2.1.0 answers alike however the file is cut.)
# Matters    NaN is how a float export writes "no bid" or "no spread". A count of crossed or narrow books then counts books that have no
#            spread at all, by the size of the row groups. Write NULL for what is not there, or integers.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
venv/bin/python - <<'PY'
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

nan = float("nan")
table = pa.table({"spread": pa.array([-1.0, nan, 1.0, nan])})
pq.write_table(table, "one.parquet")
pq.write_table(table, "two.parquet", row_group_size=2)

connection = duckdb.connect()
described, seen = {}, {}


def note(what, value, expected):
    described[what], seen[what] = expected, value
    print(f"{what:<40}{value}")


def duck(where, file):
    rows = [row[0] for row in connection.execute(f"SELECT spread FROM '{file}.parquet' WHERE spread {where}").fetchall()]
    counted = connection.execute(f"SELECT count(*) FROM '{file}.parquet' WHERE spread {where}").fetchone()[0]
    true = connection.execute(f"SELECT count(*) FILTER (spread {where}) FROM '{file}.parquet'").fetchone()[0]
    return f"{len(rows)} rows {rows}, count(*) {counted}, count(*) FILTER {true}"


note("duckdb   spread < 5, one row group", duck("< 5", "one"), "4 rows [-1.0, nan, 1.0, nan], count(*) 4, count(*) FILTER 2")
note("duckdb   spread < 0, one row group", duck("< 0", "one"), "1 rows [-1.0], count(*) 1, count(*) FILTER 1")
note("duckdb   spread < 0, two row groups", duck("< 0", "two"), "1 rows [-1.0], count(*) 2, count(*) FILTER 1")
note("duckdb   spread > 0, one row group", duck("> 0", "one"), "3 rows [nan, 1.0, nan], count(*) 3, count(*) FILTER 3")
note("duckdb   spread > 0, two row groups", duck("> 0", "two"), "2 rows [1.0, nan], count(*) 2, count(*) FILTER 3")
note("pyarrow  spread != 1, in memory", str(table.filter(pc.field("spread") != 1)["spread"].to_pylist()), "[-1.0, nan, nan]")
for file, expected in (("one", "[-1.0, nan, nan]"), ("two", "[-1.0, nan]")):
    read = pq.read_table(f"{file}.parquet", filters=pc.field("spread") != 1)["spread"].to_pylist()
    note(f"pyarrow  spread != 1, {file} row group{'s' * (file == 'two')}", str(read), expected)
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
