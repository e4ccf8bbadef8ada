#!/usr/bin/env bash
# chdb: sum(price * size) of two decimal128(38, 18) columns is another number, negative even, without an error.
#
# Expected   Three trades of 0.5 at 65000.10 have a notional of 97500.15. Their columns are decimal128(38, 18), the usual type for exact prices in
#            Parquet. One expects that sum, or "overflow", which ClickHouse has for decimals elsewhere.
# Seen       The product gets the type Decimal(38, 36), in which 38 digits leave room for 99 at most; it wraps, and so does the sum: -160.889...
#            Made Decimal256 before, or as integers, it is right.
# Versions   chdb 4.4.0, pyarrow 26.0.1 (writes the file); seen 2026-11-28.
# Matters    A report of volumes that nobody notices until one of them is negative.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check chdb==4.4.0 pyarrow==26.0.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys
from decimal import Decimal

import chdb
import pyarrow as pa
import pyarrow.parquet as pq

exact = pa.decimal128(38, 18)
trades = pa.table({"price": pa.array([Decimal("65000.10")] * 3, exact), "size": pa.array([Decimal("0.5")] * 3, exact)})
pq.write_table(trades, "trades.parquet")


def ask(expression):
    return str(chdb.query(f"SELECT {expression} FROM file('trades.parquet')", "TSV")).strip()


EXPRESSIONS = ("any(toTypeName(price * size))", "sum(price * size)", "sum(toDecimal256(price, 18) * toDecimal256(size, 18))")
seen = {one: ask(one) for one in EXPRESSIONS}
for expression, value in seen.items():
    print(f"{expression}: {value}")
print("exact: 97500.15")
described = {
    "any(toTypeName(price * size))": "Nullable(Decimal(38, 36))",
    "sum(price * size)": "-160.889306309339013988512332917476687872",
    "sum(toDecimal256(price, 18) * toDecimal256(size, 18))": "97500.15",
}
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
