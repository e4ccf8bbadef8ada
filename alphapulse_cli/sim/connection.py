"""One client of a simulated exchange: its encoder, what waits for it, and its own mischief.

    market step ─► encoder ─► mischief ─► queue (bounded in bytes) ─► send_all ─► WebSocket
    client's frame ─► encoder ─────────────┘

Frames are made and queued in the order of the truth's states, in the event loop's one thread: what a client sees is exact whenever it
reads. A client that reads too slowly is dropped at the bound, with close code 1008 and the reason; nobody else notices.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from alphapulse_cli.exchanges.protocol import Encoder
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.sim.market_maker import Step
from alphapulse_cli.sim.mischief import Injection, Mischief, Scenario

TOO_SLOW = 1008  # RFC 6455: policy violation
TOLD_WITHIN_S = 1.0  # how long a dropped client has to read why
ABOUT_FRAMES = frozenset({"gap", "duplicate", "reorder", "offgrid", "garbage", "unknown"})


class Connection:
    """A client, numbered from 1 in the order of their coming."""

    def __init__(
        self,
        number: int,
        websocket: ServerConnection,
        encoder: Encoder,
        mischief: Mischief,
        *,
        queue_bytes: int,
        report: Callable[[Injection], None],
    ) -> None:
        self.number, self.encoder, self.mischief = number, encoder, mischief
        self.frames_sent = 0
        self.queued_bytes = 0
        self.dropped = ""  # why, once it was
        self._websocket, self._queue_bytes, self._report = websocket, queue_bytes, report
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._silent_until_ns = 0
        self._sender = asyncio.create_task(self._send_all())
        self._closing: asyncio.Task[None] | None = None

    def connected(self, now_ns: int) -> None:
        """Greet."""
        self._push(self.encoder.connected(now_ns))

    def receive(self, frame: bytes, now_ns: int) -> None:
        """A client's frame: queue the answers."""
        self._push(self.encoder.receive(frame, now_ns))

    def heartbeat(self, now_ns: int) -> None:
        """A second went by."""
        self._push(self.encoder.heartbeat(now_ns))

    def take(self, step: Step, instrument: Instrument, now_ns: int) -> bool:
        """What the market did: queue its frames. True if mischief wants a flood after it."""
        if step.trades:
            self._push(self.encoder.trades(step.symbol, step.trades, now_ns))
        if not step.changes:
            return False
        scenario = self.mischief.draw(step.symbol)
        kind = scenario.kind if scenario else ""
        self.encoder.spoil_checksum = kind == "checksum"
        frames = self.encoder.update(step.symbol, step.changes, now_ns)
        spoiled = kind == "checksum" and not self.encoder.spoil_checksum
        self.encoder.spoil_checksum = False
        mangled = self.mischief.mangle(kind, frames, step.symbol, step.changes, instrument)
        changed = mangled != list(frames)
        self._push(mangled)
        if scenario is None or not frames or (kind == "offgrid" and not changed):
            return False  # nothing that it could strike: what is armed waits for the next update
        self.mischief.spend(scenario)
        struck = spoiled if kind == "checksum" else changed or kind not in ABOUT_FRAMES
        return struck and self._strike(scenario, step.symbol, now_ns)

    def _strike(self, scenario: Scenario, symbol: str, now_ns: int) -> bool:
        """Log what struck, and do what is not about frames. True for a flood."""
        self._report(Injection(now_ns, scenario.kind, self.number, symbol))
        if scenario.kind == "stall":
            self._silent_until_ns = max(self._silent_until_ns, now_ns + int(scenario.seconds * 1e9))
        elif scenario.kind == "disconnect":
            self.dropped = "mischief: disconnect"
            self._websocket.transport.abort()
        return scenario.kind == "flood"

    def tick(self, now_ns: int) -> None:
        """Time went by: a silence may be over."""
        if self._silent_until_ns and now_ns >= self._silent_until_ns:
            self._silent_until_ns = 0
            self._wake.set()

    def _push(self, frames: Sequence[bytes]) -> None:
        if self.dropped or not frames:
            return
        self._queue.extend(frames)
        self.queued_bytes += sum(len(frame) for frame in frames)
        if self.queued_bytes > self._queue_bytes:
            self._drop(f"too slow: {self.queued_bytes} bytes waited")
        else:
            self._wake.set()

    def _drop(self, reason: str) -> None:
        """Forget what waits and tell the client why."""
        self.dropped = reason
        self._queue.clear()
        self.queued_bytes = 0
        self._sender.cancel()  # it waits for a full socket, and closing would wait for it
        self._closing = asyncio.create_task(self._tell(reason))

    async def _tell(self, reason: str) -> None:
        """The close frame stands behind all that the socket already holds: who does not read it in time is cut off."""
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                await self._websocket.close(TOO_SLOW, reason)
        except TimeoutError:
            self._websocket.transport.abort()

    async def _send_all(self) -> None:
        """Send what is queued, for as long as the connection stands."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue and not self._silent_until_ns:
                    frame = self._queue.popleft()
                    await self._websocket.send(frame.decode())
                    self.queued_bytes -= len(frame)
                    self.frames_sent += 1
        except ConnectionClosed:
            return

    async def closed(self) -> None:
        """The connection is gone: end what was at work for it."""
        self._sender.cancel()
        await asyncio.wait([task for task in (self._sender, self._closing) if task is not None])
