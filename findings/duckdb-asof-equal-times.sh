#!/usr/bin/env bash
# duckdb: which of several quotes at one nanosecond an ASOF join takes changes with the number of rows on the left.
#
# Expected   Quotes that arrived in one frame have one time. ASOF JOIN ... ON trades.t >= quotes.t takes one of them; one expects that it is
#            the last, or at least always the same one, whatever else is in the table.
# Seen       Up to 63 trades it is the first of the equal quotes, from 64 trades on the last: the same trade has another bid when more
#            trades are joined with it. With the place in the order of publication as part of the key (a second column and a strictly rising
#            integer t * 16 + place here) the answer is the same at each size.
# Versions   duckdb 2.0.1; seen 2026-11-28.
# Matters    Slippage that is measured over an hour and over a day differs for the same trades. Join by a strictly rising integer.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
"$place/venv/bin/python" - <<'PY'
import sys

import duckdb

con = duckdb.connect()
con.execute("CREATE TABLE quotes AS SELECT 100::BIGINT AS t, i AS place, 100::BIGINT * 16 + i AS key, i AS bid FROM range(3) r(i)")
seen = {}
for count in (1, 63, 64, 10_000):
    con.execute(f"CREATE OR REPLACE TABLE trades AS SELECT 100::BIGINT AS t, 100::BIGINT * 16 + 15 AS key FROM range({count})")
    found = {}
    for on in ("t", "key"):
        rows = con.execute(f"SELECT DISTINCT bid FROM trades ASOF JOIN quotes ON trades.{on} >= quotes.{on}").fetchall()
        found[on] = sorted(bid for (bid,) in rows)
    seen[count] = found
    print(f"{count} trades at the time of 3 quotes: joined by time, quote {found['t']}; by the rising integer, quote {found['key']}")
described = {count: {"t": [0] if count < 64 else [2], "key": [2]} for count in seen}
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
