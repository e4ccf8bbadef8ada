#!/usr/bin/env bash
# ccxt: of Kraken's ticker and best levels of one symbol, only what is watched first is subscribed to.
#
# Expected   watch_ticker subscribes to Kraken's channel `ticker`, watch_bids_asks to the same one with `event_trigger` "bbo": a message for
#            each change of the best levels, rather than for each trade. Who watches both is told of both.
# Seen       Both wait under one name ("ticker:BTC/USD"), and what is waited for already is not asked for again. A second watch is never
#            sent: after watch_ticker, watch_bids_asks gives the ticker of trades, and no change of the best levels between two trades.
#            Each of them alone is subscribed to as one expects.
# Versions   ccxt 4.5.90, websockets 17.4 (the server); seen 2026-11-28.
# Matters    A program that quotes by watch_bids_asks sees best levels as old as the last trade, as soon as another part of it watches tickers.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check ccxt==4.5.90 websockets==17.4
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import asyncio
import contextlib
import json
import sys

import ccxt.pro
import websockets

FIGURES = {"volume": 2158.3, "vwap": 108894.5, "low": 106824.0, "high": 111300.0, "change": -2679.9, "change_pct": -2.41}
BEST = {"symbol": "BTC/USD", "bid": 108359.8, "bid_qty": 0.0136, "ask": 108359.9, "ask_qty": 17.18, "last": 108359.8, **FIGURES}


async def watch(*wanted):
    """The `event_trigger` of each subscription that Kraken is sent, if these are watched together."""
    asked, feeds = [], []

    async def feed(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await connection.send(json.dumps({"channel": "ticker", "type": "update", "data": [BEST]}))
                await asyncio.sleep(0.1)

    async def kraken(connection):
        async for text in connection:
            request = json.loads(text)
            if request.get("method") == "subscribe":
                trigger = request["params"].get("event_trigger", "trades")
                asked.append(trigger)
                result = {"channel": "ticker", "event_trigger": trigger, "snapshot": True, "symbol": "BTC/USD"}
                ack = {"method": "subscribe", "req_id": request.get("req_id"), "success": True, "result": result}
                await connection.send(json.dumps(ack))
                feeds.append(asyncio.create_task(feed(connection)))

    async with websockets.serve(kraken, "127.0.0.1", 0) as server:
        exchange = ccxt.pro.kraken()
        exchange.urls["api"]["ws"]["publicV2"] = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        market = {"id": "XXBTZUSD", "symbol": "BTC/USD", "wsId": "XBT/USD", "base": "BTC", "quote": "USD", "spot": True, "type": "spot"}
        exchange.set_markets({"BTC/USD": exchange.safe_market_structure(market)})
        calls = {"ticker": lambda: exchange.watch_ticker("BTC/USD"), "best": lambda: exchange.watch_bids_asks(["BTC/USD"])}
        for _ in range(3):  # each of them is called again and again, as its examples do
            await asyncio.wait_for(asyncio.gather(*(calls[each]() for each in wanted)), 60)
        await exchange.close()
    return asked


described = {("ticker",): ["trades"], ("best",): ["bbo"], ("ticker", "best"): ["trades"], ("best", "ticker"): ["bbo"]}
seen = {}
for wanted in described:
    seen[wanted] = asyncio.run(watch(*wanted))
    print(f"{' beside '.join(wanted)}: subscribed to {', '.join(seen[wanted])}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
