#!/usr/bin/env bash
# ccxt: after a wrong checksum, Bitfinex's book is delivered without the levels that it had.
#
# Expected   ChecksumError says "you can reconnect by calling watchOrderBook again": one expects a new snapshot, and the exchange's book.
# Seen       The book is forgotten, and asked for a second time on the same connection. Bitfinex refuses that (10301), as the first
#            subscription was not ended, and goes on with updates; the first of them is taken for a snapshot. The book that is delivered,
#            without an error, has the levels of later updates alone, until the next checksum is wrong too, and so on.
#            A lost connection is no way out: the old book is kept, and its new snapshot taken for an update (a TypeError; not tried here).
# Versions   ccxt 4.5.90, websockets 17.4 (the server); seen 2026-11-28.
# Matters    A book without most of its levels looks like any other.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check ccxt==4.5.90 websockets==17.4
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import asyncio
import json
import sys

import ccxt.pro
import websockets

SNAPSHOT = [[6000, 1, 1], [5999, 2, 2], [6001, 1, -1], [6002, 1, -2]]
UPDATES = [[5998, 1, 3], [5997, 1, 4], [5996, 1, 5]]  # none of them touches the best levels
REFUSED = {"event": "error", "msg": "subscribe: dup", "code": 10301, "channel": "book", "symbol": "tBTCUSD"}


async def watch(calls):
    """What the calls of watch_order_book give, one after the other."""
    sums = [1]  # the right one is 1332972658

    async def bitfinex(connection):
        await connection.send(json.dumps({"event": "info", "version": 2, "platform": {"status": 1}}))
        subscribed = False
        async for text in connection:
            request = json.loads(text)
            if request["event"] == "conf":
                await connection.send(json.dumps({"event": "conf", "status": "OK", "flags": request["flags"]}))
                if sums:
                    await connection.send(json.dumps([7, "cs", sums.pop()]))
            elif subscribed:
                await connection.send(json.dumps(REFUSED))
                for update in UPDATES:
                    await asyncio.sleep(0.3)
                    await connection.send(json.dumps([7, update]))
            else:
                subscribed = True
                ack = {"event": "subscribed", "channel": "book", "chanId": 7, "symbol": "tBTCUSD", "prec": "P0", "freq": "F0"}
                await connection.send(json.dumps({**ack, "len": "25", "pair": "BTCUSD"}))
                await connection.send(json.dumps([7, SNAPSHOT]))

    said = []
    async with websockets.serve(bitfinex, "127.0.0.1", 0) as server:
        exchange = ccxt.pro.bitfinex()
        exchange.urls["api"]["ws"]["public"] = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        market = {"id": "tBTCUSD", "symbol": "BTC/USD", "base": "BTC", "quote": "USD", "spot": True, "type": "spot"}
        exchange.set_markets({"BTC/USD": exchange.safe_market_structure(market)})
        for _ in range(calls):
            try:
                book = await asyncio.wait_for(exchange.watch_order_book("BTC/USD"), 30)
                said.append(f"{len(book['bids'])} bids, {len(book['asks'])} asks")
            except Exception as error:  # what is raised is what is to be seen
                said.append(type(error).__name__)
        await exchange.close()
    return said


described = ["2 bids, 2 asks", "ChecksumError", "0 bids, 0 asks", "1 bids, 0 asks", "2 bids, 0 asks"]
seen = asyncio.run(watch(len(described)))
for each in seen:
    print(f"watch_order_book: {each}")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
