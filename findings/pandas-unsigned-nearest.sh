#!/usr/bin/env bash
# pandas: the "nearest" of an unsigned index is not the nearest.
#
# Expected   Without an exact match, Index.get_indexer(method="nearest") and reindex(method="nearest") document the index value at the smallest
#            distance, the larger of two at the same. 110 among 100, 200 and 300 is nearest to 100.
# Seen       With a uint64 index the answer is 200, without an error: the distance to the value below is taken as unsigned and wraps. What
#            lies between two values gets the one above, however near the one below. int64 answers right, and so does
#            merge_asof(direction="nearest") for both.
# Versions   pandas 3.1.1, numpy 2.4.6; seen 2026-11-27.
# Matters    Nanoseconds and sequence numbers are often kept as uint64. Quotes put to trades by reindex(method="nearest") then all come from
#            after the trade: a look into the future that no check of the data finds. Cast to int64 first.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import sys

import numpy as np
import pandas as pd

START = 1786538760218000000  # ns since 1970, of a day in 2026
quotes, trades = [100, 200, 300], [101, 110, 149, 190, 201]
described = {
    ("get_indexer", "int64"): [100, 100, 100, 200, 200],
    ("get_indexer", "uint64"): [200, 200, 200, 200, 300],
    ("reindex", "int64"): [100, 100, 100, 200, 200],
    ("reindex", "uint64"): [200, 200, 200, 200, 300],
    ("merge_asof", "int64"): [100, 100, 100, 200, 200],
    ("merge_asof", "uint64"): [100, 100, 100, 200, 200],
}
seen = {}
for way, kind in described:
    index, wanted = (pd.Index(np.array(times, dtype=kind) + np.array(START, dtype=kind)) for times in (quotes, trades))
    if way == "get_indexer":
        found = [quotes[place] for place in index.get_indexer(wanted, method="nearest")]
    elif way == "reindex":
        found = pd.Series(quotes, index=index).reindex(wanted, method="nearest").tolist()
    else:
        right = pd.DataFrame({"time": index, "quote": quotes})
        found = pd.merge_asof(pd.DataFrame({"time": wanted}), right, on="time", direction="nearest")["quote"].tolist()
    seen[way, kind] = found
    print(f"{way:<13}{kind:<8}trades at {trades}: quotes of {found}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
