#!/usr/bin/env bash
# picows and websockets take opposite sides of `socks5://`: who resolves the exchange's name.
#
# Expected   curl's manual gives the two schemes of a SOCKS 5 proxy: with `socks5://` the client resolves the name, with `socks5h://` the
#            proxy does. websockets knows both schemes and does just that. picows names `socks4://` and `socks5://` in the docs of `ws_connect`,
#            so one expects its `socks5://` to be curl's.
# Seen       The same URL, the same proxy: through websockets `socks5://` sends the proxy an address, through picows a host name. That is
#            what curl and websockets call `socks5h://`, and `socks5h://` is what picows refuses: ValueError "Invalid scheme component: socks5h".
# Versions   picows 2.3.1, websockets 17.4, python-socks 3.2.1 (both go through it); seen 2026-11-27.
# Matters    A collector that changes its WebSocket library and keeps its proxy URL moves its name lookups to the other side: where only
#            the proxy can resolve, websockets wants `socks5h`, and where only this side can, picows finds nothing under either name.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check picows==2.3.1 websockets==17.4 python-socks==3.2.1
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
"$place/venv/bin/python" - <<'PY'
import asyncio
import logging
import sys

import picows
import websockets

logging.disable(logging.CRITICAL)  # the peers hang up as soon as they are connected
asked = []  # the address type of each CONNECT: 1 and 4 are addresses, 3 is a name


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


async def proxy(reader, writer):
    """A SOCKS 5 server (RFC 1928) without a password, which reaches this machine alone."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\5\0")
    *_, kind = await reader.readexactly(4)
    length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
    await reader.readexactly(length)
    port = int.from_bytes(await reader.readexactly(2))
    asked.append("a name" if kind == 3 else "an address")
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\5\0\0\1" + bytes(6))
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


async def through_websockets(url, way):
    async with websockets.connect(url, proxy=way):
        pass


async def through_picows(url, way):
    transport, _ = await picows.ws_connect(picows.WSListener, url, proxy=way)
    transport.disconnect()


async def main():
    seen = {}
    feed = await websockets.serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0)
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    url = f"ws://localhost:{feed.sockets[0].getsockname()[1]}/"
    for scheme in ("socks5", "socks5h"):
        for connect in (through_websockets, through_picows):
            asked.clear()
            try:
                await asyncio.wait_for(connect(url, f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"), 10)
                said = f"the proxy was given {' and '.join(asked)}"
            except ValueError as error:
                said = f"ValueError: {error}"
            seen[connect.__name__.removeprefix("through_"), scheme] = said
            print(f"{connect.__name__.removeprefix('through_'):<11}{scheme + '://':<11}{said}")
    return seen


seen = asyncio.run(main())
described = {
    ("websockets", "socks5"): "the proxy was given an address",
    ("picows", "socks5"): "the proxy was given a name",
    ("websockets", "socks5h"): "the proxy was given a name",
    ("picows", "socks5h"): "ValueError: Invalid scheme component: socks5h",
}
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
