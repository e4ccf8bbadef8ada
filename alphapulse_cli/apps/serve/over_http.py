"""WebSocket on the REST port, `/api/v1/stream/deltas`: the same clients, messages and limits as on the WebSocket port.

    Streams ─► Client ─► Queue.write ─► frames that wait: bounded by the client ─► a task of the client ─► ASGI send, which waits for it

A program or a proxy that may reach one port alone gets everything there. With `exchange` or `symbol` in its address a client is
subscribed to those deltas at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.protocol import State

from alphapulse_cli.apps.serve.clients import TOLD_WITHIN_S
from alphapulse_cli.apps.serve.door import Message, Receive, Scope, Send, refuse
from alphapulse_cli.apps.serve.facts import Facts
from alphapulse_cli.apps.serve.markets import API
from alphapulse_cli.apps.serve.messages import TEXT_FRAME, Encoding, unframed
from alphapulse_cli.edges.columns.extras import require

PATH = f"{API}/stream/deltas"


def add(app: FastAPI, facts: Facts) -> None:
    """Add the endpoint."""
    app.router.routes.append(WebSocketRoute(PATH, _Endpoint(facts)))


class _Endpoint:
    """ASGI application of the stream."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client to its end."""
        server = self._facts.state.streams
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
        address = str((scope.get("client") or ("", 0))[0])
        if server is None:
            await refuse(scope, receive, send, 503, "unavailable", "the server has no streams yet", "try again")
            return
        refusal = server.refusal(address, headers)
        if refusal is not None:
            await refuse(scope, receive, send, *refusal, "")
            return
        ours = [one.subprotocol for one in Encoding]
        chosen = next((one for one in scope.get("subprotocols", ()) if one in ours), None)
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": chosen})
        connection = Connection(receive, send, address, chosen, headers, _first(scope, chosen))
        await connection.serve(server.serve_client)


def _first(scope: Scope, subprotocol: str | None) -> str | bytes | None:
    """Request that the address of a client means; None for none."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    asked = {name: query[name][-1] for name in ("exchange", "symbol") if name in query}
    if not asked:
        return None
    request = {"op": "subscribe", "channel": "deltas", **asked}
    if subprotocol == Encoding.MSGPACK.subprotocol:
        packed: bytes = require("msgpack", "serve", "the MessagePack encoding").packb(request)
        return packed
    return orjson.dumps(request).decode()


class Queue:
    """Transport of a client: what was written waits for the client's task. `abort` cuts the connection off."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.changed = asyncio.Event()
        self.aborted = asyncio.Event()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Add whole frames."""
        self.waiting.append(data)
        self._bytes += len(data)
        self.changed.set()

    def taken(self, data: bytes) -> None:
        """Note that the client's connection took these frames."""
        self._bytes -= len(data)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait, those under way included."""
        return self._bytes

    def abort(self) -> None:
        """Cut the connection off."""
        self.aborted.set()


class Connection:
    """Connection of ASGI as the streams know one of the library websockets: what they use of it, and no more."""

    def __init__(
        self, receive: Receive, send: Send, address: str, subprotocol: str | None, headers: Headers, first: str | bytes | None
    ) -> None:
        self.transport = Queue()
        self.remote_address = (address, 0)
        self.subprotocol = subprotocol
        self.request = SimpleNamespace(headers=headers)
        self.protocol = SimpleNamespace(state=State.OPEN, close_sent=None, extensions=())
        self._receive, self._send, self._first = receive, send, first
        self._closing: Message | None = None
        self._closed = asyncio.Event()

    async def serve(self, work: Any) -> None:
        """Run the client's work until it ends, is cut off, or the client is gone."""
        sending = asyncio.create_task(self._send_all())
        working = asyncio.create_task(work(cast(ServerConnection, self)))
        aborted = asyncio.create_task(self.transport.aborted.wait())
        try:
            await asyncio.wait([working, aborted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, aborted, sending):
                task.cancel()
            await asyncio.gather(working, aborted, sending, return_exceptions=True)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Iterate over the client's messages, until it is gone."""
        if self._first is not None:
            yield self._first
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self.protocol.state = State.CLOSED
                self._closed.set()
                return
            text = message.get("text")
            yield message["bytes"] if text is None else text

    async def close(self, code: int, reason: str) -> None:
        """Send all that waits, then close; wait for the client to do so too, TOLD_WITHIN_S at most."""
        self.protocol.state = State.CLOSING
        self._closing = {"type": "websocket.close", "code": code, "reason": reason}
        self.transport.changed.set()
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                await self._closed.wait()
        except TimeoutError:
            self.transport.abort()

    async def _send_all(self) -> None:
        """Send what waits, in order, for ever; it waits where the client does not read."""
        queue = self.transport
        with suppress(OSError, RuntimeError):  # the client is gone: its messages end, too
            while True:
                while queue.waiting:
                    data = queue.waiting.popleft()
                    for opcode, payload in unframed(data):
                        is_text = opcode == TEXT_FRAME
                        await self._send(
                            {"type": "websocket.send", "text": payload.decode()}
                            if is_text
                            else {"type": "websocket.send", "bytes": payload}
                        )
                    queue.taken(data)
                if self._closing is not None:
                    await self._send(self._closing)
                    return
                queue.changed.clear()
                await queue.changed.wait()
