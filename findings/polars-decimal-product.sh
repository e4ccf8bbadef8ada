#!/usr/bin/env bash
# polars: the product of two Decimals keeps the scale of one factor; prices of small coins become 0.
#
# Expected   Price times size is a number with the digits of both: 0.00001234 * 0.00001234 has 16 decimals. One expects these, or an error
#            (as DuckDB's, where the digits do not fit).
# Seen       The product has the larger scale of the two, rounded: a price of 8 decimals times such a size loses what lies below 1e-8, without a word.
#            Squares of such prices are 0, notional sums are wrong in their last digits, and what was summed up before was rounded row by row.
#            Integers (ticks, lots) give the exact sum.
# Versions   polars 2.1.0; seen 2026-11-28.
# Matters    Volume-weighted prices and variances of coins that cost less than a cent.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check polars==2.1.0
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys
from decimal import Decimal

import polars as pl

PRICES, SIZES = ["0.00001234", "0.00001237", "0.00001239"], ["0.00012345", "0.00054321", "0.00011111"]
frame = pl.DataFrame({"price": PRICES, "size": SIZES}).cast(pl.Decimal(38, 8))
exact = sum(Decimal(price) * Decimal(size) for price, size in zip(PRICES, SIZES, strict=True))
notional = frame.select((pl.col("price") * pl.col("size")).sum()).item()
square = frame.select((pl.col("price") * pl.col("price")).max()).item()
lots = pl.DataFrame({"ticks": [1234, 1237, 1239], "lots": [12345, 54321, 11111]})
by_integers = lots.select((pl.col("ticks") * pl.col("lots")).sum()).item()
seen = (f"{notional:f}", f"{square:f}", Decimal(by_integers).scaleb(-16) == exact)
print(f"sum of price * size: {notional:f}; exact {exact:f}; by integers equal to that: {seen[2]}")
print(f"largest price squared: {square:f}; exact {Decimal(PRICES[-1]) ** 2:f}")
described = ("0.00000001", "0.00000000", True)
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
