#!/usr/bin/env bash
# pybit (Bybit's own SDK): the "snapshot" that each order book callback gets is not sorted, and a lost delta leaves no trace.
#
# Expected   Bybit's docs of the order book topic: bids of a snapshot are sorted from the highest price, asks from the lowest; `u` goes up by
#            one per message. pybit keeps the book by itself and gives the callback of orderbook_stream the whole of it under the type
#            "snapshot". So b[0] and a[0] are the best prices, and a hole in `u` is noticed, for nobody else sees it as such.
# Seen       Levels that a delta brings are put at the end of their side: after a better bid and a better ask, b[0] and a[0] are still the
#            old ones. A delta whose `u` is 7 after 3 is applied in silence. What a callback was given goes on changing: all callbacks share
#            one book, so a "snapshot" that is kept, or handed to another thread, is not what it was.
# Versions   pybit 5.17.0, websockets 17.4 (the server); seen 2026-11-27.
# Matters    A strategy that takes b[0] and a[0] trades on stale quotes, most of all in the moment when the market improves.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check pybit==5.17.0 websockets==17.4
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import copy
import json
import queue
import sys
import threading

import pybit.unified_trading
from websockets.sync.server import serve

TOPIC = "orderbook.50.BTCUSDT"


def frame(kind, u, bids, asks):
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": 1000 + u}
    return json.dumps({"topic": TOPIC, "type": kind, "ts": 1786538760000 + u, "cts": 1786538760000 + u, "data": data})


FRAMES = [
    frame("snapshot", 2, [["100.0", "1"], ["99.9", "2"]], [["100.5", "1"], ["100.6", "2"]]),
    frame("delta", 3, [["100.2", "3"]], [["100.3", "4"]]),  # a better bid and a better ask
    frame("delta", 7, [["99.9", "0"]], []),  # 4, 5 and 6 were lost
]


def bybit(connection):
    for text in connection:
        request = json.loads(text)
        if request["op"] == "subscribe":
            subscribed.wait(30)  # pybit sends its request before it knows its callback
            connection.send(json.dumps({"success": True, "ret_msg": "", "op": "subscribe", "req_id": request["req_id"], "conn_id": "1"}))
            for book in FRAMES:
                connection.send(book)


calls = queue.Queue()
subscribed = threading.Event()


def on_book(message):
    calls.put((message, copy.deepcopy(message)))


with serve(bybit, "127.0.0.1", 0) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.socket.getsockname()[1]
    pybit.unified_trading.PUBLIC_WSS = f"ws://127.0.0.1:{port}/v5/public/{{CHANNEL_TYPE}}"
    client = pybit.unified_trading.WebSocket("spot", testnet=False)
    client.orderbook_stream(50, "BTCUSDT", on_book)
    subscribed.set()
    given = [calls.get(timeout=30) for _ in FRAMES]
    client.exit()

described = [
    ("snapshot", 2, "100.0, 99.9", "100.5, 100.6"),
    ("snapshot", 3, "100.0, 99.9, 100.2", "100.5, 100.6, 100.3"),
    ("snapshot", 7, "100.0, 100.2", "100.5, 100.6, 100.3"),
]
seen = []
for _, then in given:
    book = then["data"]
    seen.append((then["type"], book["u"], *(", ".join(price for price, _ in book[side]) for side in "ba")))
    print("type {}, u {}, bids {}; asks {}".format(*seen[-1]))
now = {message["data"]["u"] for message, _ in given}
print(f"u of the three callbacks' books, looked at afterwards: {now}")
as_described = seen == described and now == {7}
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
