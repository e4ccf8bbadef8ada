#!/usr/bin/env bash
# coinbase-advanced-py (Coinbase's own SDK): its type of WebSocket messages refuses most frames that the exchange sends.
#
# Expected   The SDK's page of the WebSocket client has users wrap each message: WebsocketResponse(json.loads(msg)). It takes what the exchange
#            sends today. The exchange's AsyncAPI description, checked against the production feed, says that frames have no client_id.
# Seen       A frame of market_trades as recorded in August 2026 (published among ccxt's test data) raises KeyError('client_id'); with an empty
#            client_id added it is accepted. An error frame, which has no channel at all, raises KeyError('channel').
# Versions   coinbase-advanced-py 1.8.4; seen 2026-11-28.
# Matters    The exception is raised in the user's on_message, within the SDK's reading task: a program that follows the page stops at the
#            first trade, ticker, heartbeat or confirmation.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check coinbase-advanced-py==1.8.4
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import json
import sys

from coinbase.websocket import WebsocketResponse

TRADE = {"product_id": "BTC-USD", "trade_id": "1069726293", "price": "63310.25", "size": "0.00000012", "side": "BUY"}
RECORDED = {
    "channel": "market_trades",
    "timestamp": "2026-08-12T19:27:48.364886251Z",
    "sequence_num": 2,
    "events": [{"type": "update", "trades": [{**TRADE, "time": "2026-08-12T19:27:48.298771Z"}]}],
}
FRAMES = {
    "as recorded": RECORDED,
    "with an empty client_id": {**RECORDED, "client_id": ""},
    "an error": {"type": "error", "message": "authentication failure"},
}


def made_of(frame):
    try:
        return f"trade {WebsocketResponse(json.loads(json.dumps(frame))).events[0].trades[0].trade_id}"
    except KeyError as missing:
        return f"KeyError {missing}"


seen = {name: made_of(frame) for name, frame in FRAMES.items()}
for name, result in seen.items():
    print(f"{name}: {result}")
described = {
    "as recorded": "KeyError 'client_id'",
    "with an empty client_id": "trade 1069726293",
    "an error": "KeyError 'channel'",
}
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
