#!/usr/bin/env bash
# arcticdb: one append of floats changes the integers that are already stored.
#
# Expected   A library with a dynamic schema takes an append whose column has another type. One expects that what was written stays what it was, or
#            that an append that cannot be held exactly is refused.
# Seen       After an append of one float the whole column is read as float64: sequence numbers above 2^53 that were stored as integers
#            come back as their neighbours. The earlier version, asked for by its number, still has the integers.
# Versions   arcticdb 6.28.2, pandas 2.3.3; seen 2026-11-28.
# Matters    Trade ids, sequences and nanoseconds of months change by one late file whose column had a hole (a hole makes a float of it in pandas).
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check arcticdb==6.28.2 pandas==2.3.3
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys

import arcticdb
import pandas as pd

STORED = [9007199254740993, 9007199254740995]
store = arcticdb.Arctic("lmdb://store")
library = store.create_library("market", library_options=arcticdb.LibraryOptions(dynamic_schema=True))
library.write("BTC-USD", pd.DataFrame({"sequence": STORED}, index=pd.to_datetime([1, 2], unit="ns")))
library.append("BTC-USD", pd.DataFrame({"sequence": [9007199254740997.0]}, index=pd.to_datetime([3], unit="ns")))
after, before = library.read("BTC-USD").data["sequence"], library.read("BTC-USD", as_of=0).data["sequence"]
seen = (str(after.dtype), [int(one) for one in after[:2]], str(before.dtype), before.tolist())
print(f"stored {STORED}; after an append of one float: {seen[1]} ({seen[0]}); the version before it: {seen[3]} ({seen[2]})")
described = ("float64", [9007199254740992, 9007199254740996], "int64", STORED)
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
