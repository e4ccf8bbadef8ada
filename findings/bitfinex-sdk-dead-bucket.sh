#!/usr/bin/env bash
# bitfinex-api-py (Bitfinex's own SDK): the connection of its subscriptions ends, and nobody is told; nothing comes any more.
#
# Expected   The client opens one connection by `start`, and further ones ("buckets") that carry the subscriptions. Its README: when a
#            connection is lost, it connects and subscribes anew. One expects that of each of its connections, or at least an event.
# Seen       Only the end of the first connection, which carries no public data, begins a reconnection. Where a bucket's connection is
#            closed, or torn down, its task ends with ConnectionClosedError (or in silence after a normal close); there is no event, no
#            line in its log, and no other connection. `start` goes on as if all were well.
# Versions   bitfinex-api-py 4.0.0, websockets 12.0 (which it asks for; the server too); seen 2026-11-28.
# Matters    A program holds its last book and its last trades for ever. Only the missing heartbeats would tell, and they are not handed on.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check bitfinex-api-py==4.0.0
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import asyncio
import json
import logging
import sys

import websockets.server
from bfxapi import Client

HELLO = {"event": "info", "version": 2, "serverId": "083bd8d4-aca7-4690-a573-eabfc8103de8", "platform": {"status": 1}}
SNAPSHOT = [[6000, 1, 1], [6001, 1, -1]]
logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it prints at the very end what the ended tasks had raised
WATCHED_S = 12.0  # its first pause before it connects again is 1 to 5 seconds


async def watch(how):
    """Events of a client whose subscription's connection ends in that way, and the connections that it has opened."""
    opened, ended = [], asyncio.Event()

    async def bitfinex(connection):
        opened.append(connection)
        await connection.send(json.dumps(HELLO))
        async for text in connection:
            request = json.loads(text)
            if request["event"] == "subscribe":
                ack = {"event": "subscribed", "chanId": 7, "symbol": "tBTCUSD", "pair": "BTCUSD", "subId": request["subId"]}
                await connection.send(json.dumps({**ack, "channel": "book", "prec": "P0", "freq": "F0", "len": "25"}))
                await connection.send(json.dumps([7, SNAPSHOT]))
                await asyncio.sleep(0.5)
                if how == "torn":
                    connection.transport.abort()
                else:
                    await connection.close()
                ended.set()

    async with websockets.server.serve(bitfinex, "127.0.0.1", 0) as server:
        client = Client(wss_host=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        said = []
        client.wss.on("t_book_snapshot", lambda *_: said.append("snapshot"))
        client.wss.on("disconnected", lambda *_: said.append("disconnected"))

        async def subscribe():
            await client.wss.subscribe("book", symbol="tBTCUSD")

        client.wss.on("open", subscribe)
        running = asyncio.create_task(client.wss.start())
        await asyncio.wait_for(ended.wait(), 60)
        await asyncio.sleep(WATCHED_S)
        said.append("ended" if running.done() else "goes on")
        count = len(opened)
        running.cancel()
    return said, count


described = dict.fromkeys(("torn", "closed"), (["snapshot", "goes on"], 2))
seen = {}
for how in described:
    seen[how] = asyncio.run(watch(how))
    print(f"the subscription's connection is {how}: {', '.join(seen[how][0])}; {seen[how][1]} connections opened in all")
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
