#!/usr/bin/env bash
# python-binance: after a gap DepthCacheManager takes any snapshot, and sets an older event on a newer one.
#
# Expected   Binance's docs, "How to manage a local order book correctly", and python-binance's page "Depth Cache", which refers to them: an
#            event may overlap the snapshot (U <= lastUpdateId + 1 <= u); a snapshot that is older than the next event is fetched again; what
#            the snapshot holds already is skipped; quantity 0 removes a level.
# Seen       1. Overlapping event: the right snapshot is thrown away, a second one fetched, and the older event set on top of it: the book
#               says 2 at 100 where the snapshot of id 105 had 5, until the events up to 105 have come.
#            2. A gap, and a snapshot that is older than the event after it: it is taken, and the change in between is missing for good, with
#               no error, while the ids go on as if nothing were missing.
#            3. Only the very text "0.00000000" removes a level; "0" or "0.00" leaves a level of size 0. Prices are keys as text: "100.0" and
#               "100.00" are two levels.
# Versions   python-binance 1.0.37; seen 2026-11-27. Events and snapshots come from objects in Binance's place.
# Matters    A book that is wrong without a sign, after each reconnect on a busy symbol; a best bid of size 0.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check python-binance==1.0.37
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import asyncio
import sys
from decimal import Decimal

from binance.ws.depthcache import DepthCache, DepthCacheManager


class Snapshots:
    """Binance's REST: one answer after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def get_order_book(self, **_):
        update_id, bids = self.answers.pop(0)
        return {"lastUpdateId": update_id, "bids": [[price, size] for price, size in bids], "asks": [["101.00000000", "1.00000000"]]}


class Events:
    """Binance's stream of one symbol."""

    def __init__(self, *events):
        self.events = [{"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": []} for first, last, bids in events]

    def depth_socket(self, *_, **__):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def recv(self):
        return self.events.pop(0)


def shown(cache):
    return ", ".join(f"{size.normalize():f} at {price.normalize():f}" for price, size in cache.get_bids())


async def books(snapshots, events):
    found = []
    count = len(events.events)
    async with DepthCacheManager(snapshots, "BTCUSDT", bm=events, conv_type=Decimal) as manager:
        for _ in range(count):
            found.append(shown(await asyncio.wait_for(manager.recv(), 10)))
    return " | ".join(found) + f"; {len(snapshots.answers)} snapshots left"


# bid 100: 1 at id 101, 2 at 102, 5 from 105 on
overlap = asyncio.run(
    books(
        Snapshots((101, [("100.00000000", "1.00000000")]), (105, [("100.00000000", "5.00000000")])),
        Events((101, 102, [["100.00000000", "2.00000000"]])),
    )
)
# id 102 gives 99 a size of 7; that event is lost, and the snapshot fetched for it is of id 101 too; 103 changes 98
behind = asyncio.run(
    books(
        Snapshots((101, [("100.00000000", "1.00000000")]), (101, [("100.00000000", "1.00000000")])),
        Events((103, 103, [["98.00000000", "3.00000000"]]), (104, 104, [["97.00000000", "4.00000000"]])),
    )
)
cache = DepthCache("BTCUSDT", conv_type=Decimal)
for level in (["100.0", "1.5"], ["100.0", "0"], ["100.00", "2"], ["99.0", "1"], ["99.0", "0.00000000"]):
    cache.add_bid(level)

seen = {"1. overlap": overlap, "2. snapshot behind": behind, "3. texts": shown(cache)}
described = {
    "1. overlap": "2 at 100; 0 snapshots left",
    "2. snapshot behind": "1 at 100, 3 at 98 | 1 at 100, 3 at 98, 4 at 97; 0 snapshots left",
    "3. texts": "0 at 100, 2 at 100",
}
for name, value in seen.items():
    print(f"{name:<20}{value}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
