"""Server's end of one WebSocket client. Frames wait until the end of a batch, and are written at once; what is outstanding is bounded.

    put(frame) ─► waiting ─► flush ─► transport.write (never waits) ─► what the client has not read yet: at most `queue_bytes`

websockets makes the handshake, reads, and answers pings; writing is ours. A client that does not read in time is told and closed with
1013; if it does not read that either, the connection is aborted. A snapshot in flight does not count, and the next one waits until most
of it was read: so a client costs its bound, one snapshot and one batch at most, whatever it does.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from alphapulse_cli.apps.serve.messages import CloseCode, Encoding, Message, Problem, encoded
from alphapulse_cli.apps.serve.state import ClientCounts, ClientFigures, Limits

TOLD_WITHIN_S, STOP_WITHIN_S = 10.0, 3.0  # that a client has to read why it is closed; where the server stops
CONFLATE_SHARE = 4  # above a fourth of the bound, updates that newer ones replace are held back
REASON_BYTES = 123  # of a close frame


class Client:
    """One client: its encoding, what waits for it, and its limits. `closing` is the code that it was closed with, 0 if it was not."""

    def __init__(self, websocket: ServerConnection, encoding: Encoding, limits: Limits, counts: ClientCounts) -> None:
        self.websocket, self.encoding, self.limits = websocket, encoding, limits
        self.closing = 0
        self.number, self.address, self.bytes_received = 0, "", 0
        self.is_authorized = False
        self.behind: set[Any] = set()  # topics with an update that was held back
        self.waiting: list[bytes] = []  # frames of this batch
        self._counts = counts
        self._transport = websocket.transport
        self._send, self._unread = self._transport.write, self._transport.get_write_buffer_size
        self._written = 0  # bytes handed to the transport, ever
        self._snapshot = (0, 0)  # the places of `_written` between which the last snapshot lies
        self._task: asyncio.Task[None] | None = None
        self._tokens = float(limits.messages_at_once)
        self._asked_s = 0.0

    def put(self, data: bytes) -> None:
        """Add whole frames to what the next flush writes."""
        if not self.closing:
            self.waiting.append(data)

    def say(self, message: Message) -> None:
        """Write a message now, behind all that waits."""
        self.put(encoded(self.encoding, message))
        self._counts.messages_sent += 1
        self.flush()

    def prepare(self, data: bytes) -> None:
        """Do beforehand what frames need that will be written together: nothing here."""

    def put_snapshot(self, frames: Sequence[bytes]) -> None:
        """Write a snapshot, whose bytes do not count as long as they are unread; only where `takes_snapshot`."""
        self.flush()
        begun = self._written
        for part in frames:
            self._write(part)
        self._snapshot = begun, self._written

    @property
    def takes_snapshot(self) -> bool:
        """Whether little enough is outstanding for a further snapshot."""
        return not self.closing and self.outstanding < self.limits.queue_bytes // CONFLATE_SHARE

    @property
    def outstanding(self) -> int:
        """Bytes that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    @property
    def figures(self) -> ClientFigures:
        """Figures of the client now."""
        return ClientFigures(self.number, self.address, self.encoding.value, self._written, self.bytes_received, self.outstanding)

    @property
    def is_behind(self) -> bool:
        """Whether so much is outstanding that an update which a newer one replaces is to be held back."""
        left = self._transport.get_write_buffer_size()
        return left > 0 and self._counted(left) > self.limits.queue_bytes // CONFLATE_SHARE

    def _counted(self, outstanding: int) -> int:
        """Outstanding bytes without those of the snapshot."""
        begin, end = self._snapshot
        read = self._written - outstanding
        return outstanding - max(end - max(read, begin), 0)

    def flush(self) -> None:
        """Write all that waits, in one call; close the client if more than its bound is outstanding."""
        waiting = self.waiting
        if not waiting:
            return
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        waiting.clear()
        left = self._unread()
        if left and self._counted(left) + len(data) > self.limits.queue_bytes:
            self._counts.slow += 1
            self.close(CloseCode.TOO_SLOW, f"too slow: {left} bytes wait to be read", Problem.TOO_SLOW)
            return
        self._send(data)  # as `_write`: this is done for each client in each batch
        self._written += len(data)
        self._counts.bytes_sent += len(data)
        self._counts.writes += 1

    def _write(self, data: bytes) -> None:
        self._send(data)
        self._written += len(data)
        self._counts.bytes_sent += len(data)
        self._counts.writes += 1

    def may_ask(self, now_s: float) -> bool:
        """Whether a further message is within the rate; `now_s` is the loop's time."""
        if self._asked_s:
            gained = (now_s - self._asked_s) * self.limits.messages_per_s
            self._tokens = min(self._tokens + gained, float(self.limits.messages_at_once))
        self._asked_s = now_s
        self._tokens -= 1
        return self._tokens >= 0

    def close(self, code: int, reason: str, problem: Problem | None = None) -> None:
        """Tell the client why, and close; nothing is written to it afterwards. It is aborted if it does not read that."""
        if self.closing:
            return
        self.waiting.clear()
        if problem is not None:
            said = {"type": "error", "code": problem.value, "message": reason, "field": None, "hint": None}
            self._write(encoded(self.encoding, said))
            self._counts.messages_sent += 1
        self.closing = int(code)
        self._counts.closed[int(code)] += 1
        self._task = asyncio.get_running_loop().create_task(self._close(int(code), reason))

    async def _close(self, code: int, reason: str) -> None:
        with suppress(ConnectionClosed):
            try:
                async with asyncio.timeout(STOP_WITHIN_S if code == CloseCode.RESTART else TOLD_WITHIN_S):
                    await self.websocket.close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
            except TimeoutError:
                self._transport.abort()

    async def closed(self) -> None:
        """Wait for the end of the closing, after the connection has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])
