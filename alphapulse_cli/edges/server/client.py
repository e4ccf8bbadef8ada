"""Server's end of one WebSocket client: frames wait in a queue bounded in bytes; a client that reads too slowly is dropped.

    push(frames) ─► queue (at most `queue_bytes`) ─► a task of its own ─► WebSocket

`push` never waits, so one client delays neither the others nor the producer of the frames. Over the bound the queue is emptied and
the connection is closed with code 1008 and the reason; if the client does not read these within TOLD_WITHIN_S, it is aborted.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

TOO_SLOW = 1008  # RFC 6455: policy violation
READ_REASON_WITHIN_S = 1.0  # seconds that a dropped client has to read the reason


class Client:
    """Queue and sender of one client; `queue_bytes` is the bound. `dropped` is the reason for dropping it, "" if it was not dropped."""

    def __init__(self, websocket: ServerConnection, queue_bytes: int) -> None:
        self.frames_sent = 0
        self.queued_bytes = 0
        self.dropped = ""
        self.websocket, self._queue_bytes = websocket, queue_bytes
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._allowance: int | None = None
        self._sender = asyncio.create_task(self._send_all())
        self._closing: asyncio.Task[None] | None = None

    def push(self, frames: Sequence[bytes]) -> None:
        """Queue text frames (UTF-8); drop the client if that exceeds the bound. Frames for a dropped client are ignored."""
        if self.dropped or not frames:
            return
        self._queue.extend(frames)
        self.queued_bytes += sum(len(frame) for frame in frames)
        if self.queued_bytes > self._queue_bytes:
            self.drop(f"too slow: {self.queued_bytes} bytes waited")
        else:
            self._wake.set()

    def allow(self, count: int | None) -> None:
        """Send at most `count` further frames from now on; None lifts the limit."""
        self._allowance = count
        self._wake.set()

    @property
    def is_held_back(self) -> bool:
        """Whether nothing is sent any more until `allow` says so."""
        return self._allowance == 0

    def drop(self, reason: str) -> None:
        """Discard the queue and close the connection with this reason."""
        self.dropped = reason
        self._queue.clear()
        self.queued_bytes = 0
        self._sender.cancel()  # it waits for room in the socket, and closing would wait for it
        self._closing = asyncio.create_task(self._close(reason))

    async def closed(self) -> None:
        """End the connection's tasks, after the connection has ended."""
        self._sender.cancel()
        await asyncio.wait([task for task in (self._sender, self._closing) if task is not None])

    async def _close(self, reason: str) -> None:
        """Send the close frame, which follows all data already in the socket; abort if it is not read within TOLD_WITHIN_S."""
        try:
            async with asyncio.timeout(READ_REASON_WITHIN_S):
                await self.websocket.close(TOO_SLOW, reason)
        except TimeoutError:
            self.websocket.transport.abort()

    async def _send_all(self) -> None:
        """Send queued frames until the connection ends."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue and self._allowance != 0:
                    if self._allowance is not None:
                        self._allowance -= 1
                    frame = self._queue.popleft()
                    await self.websocket.send(frame.decode())
                    self.queued_bytes -= len(frame)
                    self.frames_sent += 1
        except ConnectionClosed:
            return
