#!/usr/bin/env bash
# DuckDB: where two decimal scales meet, UNION, EXCEPT, IN (SELECT …) and COALESCE round the finer one; `=` and JOIN do not.
#
# Expected   Exact prices stay exact. The page "Typecasting" of DuckDB's docs says that values of different types are combined under a
#            parent type, lists comparisons and set operations together as places of that one rule, and gives INT64 and UINT64 the parent
#            INT128, which holds both. `p = q` compares 65000.129 and 65000.13 exactly, so one expects the same of all the others.
# Seen       DECIMAL(38,18) with DECIMAL(38,2) becomes DECIMAL(38,2), rounded, without a word: a price that equals no price of the other
#            column is IN (SELECT …) it, EXCEPT finds no difference, UNION makes one row of two prices, COALESCE and greatest() round.
#            Two Parquet files with different scales: the first named decides the scale, or with union_by_name the smaller one.
# Versions   duckdb 2.0.1; seen 2026-11-27. (pyarrow and polars refuse these files or widen them to the larger scale.)
# Matters    Books of two exchanges have different scales. Compared with EXCEPT or IN they look equal where they are not. Compare and
#            store integer ticks, or cast both sides to one wide enough type first.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
venv/bin/python - <<'PY'
import sys

import duckdb

connection = duckdb.connect()
connection.execute("CREATE TABLE fine AS SELECT '65000.129'::DECIMAL(38,18) AS price")
connection.execute("CREATE TABLE coarse AS SELECT '65000.13'::DECIMAL(38,2) AS price")
connection.execute("COPY fine TO 'fine.parquet'")
connection.execute("COPY coarse TO 'coarse.parquet'")

described = {
    "SELECT fine.price = coarse.price FROM fine, coarse": "False",
    "SELECT count(*) FROM fine JOIN coarse USING (price)": "0",
    "SELECT count(*) FROM fine WHERE price IN (SELECT price FROM coarse)": "1",
    "SELECT count(*) FROM (SELECT price FROM fine EXCEPT SELECT price FROM coarse)": "0",
    "SELECT price FROM fine UNION SELECT price FROM coarse": "65000.13",
    "SELECT coalesce(fine.price, coarse.price) FROM fine, coarse": "65000.13",
    "SELECT least(fine.price, coarse.price) FROM fine, coarse": "65000.13",
    "SELECT min(price) FROM read_parquet(['fine.parquet', 'coarse.parquet'])": "65000.129000000000000000",
    "SELECT min(price) FROM read_parquet(['coarse.parquet', 'fine.parquet'])": "65000.13",
    "SELECT min(price) FROM read_parquet(['fine.parquet', 'coarse.parquet'], union_by_name = true)": "65000.13",
}
seen = {}
for query in described:
    seen[query] = ", ".join(str(value) for row in connection.execute(query).fetchall() for value in row)
    print(f"{seen[query]:<26}{query}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
