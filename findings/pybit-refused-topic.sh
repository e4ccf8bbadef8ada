#!/usr/bin/env bash
# pybit (Bybit's own SDK): one topic that the exchange refuses ends the whole connection, without a word.
#
# Expected   A topic that Bybit does not know is answered {"success": false, "ret_msg": "…", "op": "subscribe"}. pybit writes "Couldn't
#            subscribe to topic" to its log, as its code means it to; the streams that are there already go on.
# Seen       It logs that, then removes the callback of topic[0], where `topic` is the text of its request: its first character, "{". The
#            KeyError ends the connection and its thread; no exception is seen, nothing connects anew, all other topics fall silent.
# Versions   pybit 5.17.0, websockets 17.4 (the server); seen 2026-11-28.
# Matters    A delisted symbol, or a misspelt one, that is subscribed to later on takes the feeds of all others away.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check pybit==5.17.0 websockets==17.4
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import json
import logging
import sys
import threading
import time

import pybit.unified_trading
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

TOPIC = "publicTrade.BTCUSDT"
TRADE = {"i": "1", "T": 1, "p": "100", "v": "1", "S": "Buy", "s": "BTCUSDT", "BT": False}
raised, said, trades = [], [], []
threading.excepthook = lambda args: raised.append(args.exc_value)
of_websocket = logging.Handler()
of_websocket.emit = lambda record: said.append(record.getMessage())
logging.getLogger("websocket").addHandler(of_websocket)  # of the library below pybit


def trade_for_ever(connection):
    try:
        while True:
            connection.send(json.dumps({"topic": TOPIC, "type": "snapshot", "ts": 1, "data": [TRADE]}))
            time.sleep(0.05)
    except ConnectionClosed:
        pass


def bybit(connection):
    for text in connection:
        request = json.loads(text)
        if request["op"] != "subscribe":
            continue
        known = request["args"] == [TOPIC]
        words = "subscribe" if known else f"Invalid symbol :[{request['args'][0]}]"
        time.sleep(0.2)  # pybit sends a request before it knows the callback
        connection.send(json.dumps({"success": known, "ret_msg": words, "op": "subscribe", "req_id": request["req_id"], "conn_id": "1"}))
        if known:
            threading.Thread(target=trade_for_ever, args=(connection,), daemon=True).start()


def within(seconds, reached):
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(reached())


with serve(bybit, "127.0.0.1", 0) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.socket.getsockname()[1]
    pybit.unified_trading.PUBLIC_WSS = f"ws://127.0.0.1:{port}/v5/public/{{CHANNEL_TYPE}}"
    client = pybit.unified_trading.WebSocket("spot", testnet=False)
    client.trade_stream("BTCUSDT", trades.append)
    flows = within(30, lambda: len(trades) > 5)
    client.trade_stream("NOSUCHUSDT", trades.append)
    ended = within(30, lambda: not client.is_connected() and not client.wst.is_alive())
    time.sleep(0.5)
    before = len(trades)
    again = within(5, lambda: len(trades) > before)

print(f"trades before the refused topic: {flows}; afterwards: {again}; connection and thread ended: {ended}; raised: {raised}")
print(said[0] if said else "nothing was logged")
as_described = flows and ended and not again and not raised and said and said[0].endswith(": '{'")
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
