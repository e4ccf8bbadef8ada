"""What stands in for the network: a WebSocket of two ends with a latency, and REST. Everything else of a run is the real thing.

    Session ◄── Link ═══ Wire ═══ what a simulated exchange takes for its ServerConnection

Frames arrive in the order in which they were sent. The faults of a network are here (`Wire.cut`, `Wire.freeze`), those of an exchange are
the simulator's own mischief.
"""

import asyncio
from collections import deque
from urllib.parse import parse_qsl

from websockets.exceptions import ConnectionClosedError

from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.edges.exchange.fetch import Answer
from alphapulse_cli.edges.exchange.link import CUT, closed_by_us, refusal
from alphapulse_cli.errors import ExchangeError
from alphapulse_cli.shm import clock


class OneWay:
    """Frames under way in one direction: each arrives `latency_s` after it was sent, unless nothing arrives any more."""

    def __init__(self, latency_s, arrive):
        self._latency_s, self._arrive = latency_s, arrive
        self._under_way: deque[bytes] = deque()
        self.is_frozen = False

    def send(self, frame):
        loop = asyncio.get_running_loop()
        self._under_way.append(frame)
        loop.call_later(self._latency_s, self._deliver)

    def _deliver(self):
        if self._under_way:
            frame = self._under_way.popleft()
            if not self.is_frozen:
                self._arrive(frame)

    def forget(self):
        self._under_way.clear()


class Wire:
    """One connection. `link` is the client's end; this object is the server's: send, recv, close, transport.abort()."""

    request = None  # there is no handshake: no path that the client opened

    def __init__(self, world, on_frame):
        self.world = world
        self._on_frame = on_frame
        self._ended = asyncio.get_running_loop().create_future()
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._down, self._up = OneWay(world.latency_s, self._arrived), OneWay(world.latency_s, self._received.put_nowait)
        self.is_open = True
        self.opened_ns = clock.monotonic_ns()
        self.transport = self  # for `transport.abort()`

    # the server's end

    async def send(self, text):
        self._check()
        self._down.send(text.encode())

    async def recv(self):
        message = await self._received.get()
        if message is None:
            raise ConnectionClosedError(None, None)
        return message

    async def close(self, code=1000, reason=""):
        self.cut(f"closed by the exchange, code {code} {reason}")

    def abort(self):
        self.cut(CUT)

    def pause_reading(self):
        self.freeze()

    def get_extra_info(self, _name):
        return None

    # the network

    def cut(self, why):
        """The connection is gone, for both at once."""
        if self.is_open:
            self.is_open = False
            self._down.forget()
            self._up.forget()
            self._received.put_nowait(None)
            if not self._ended.done():
                self._ended.set_result(why)

    def freeze(self):
        """Half open: nothing arrives any more, in neither direction, and nobody is told."""
        self._down.is_frozen = self._up.is_frozen = True

    def _arrived(self, frame):
        if len(frame) > shared.MAX_FRAME_BYTES:
            self.cut("closed by us, code 1009")
        if self.is_open and not self._ended.done():
            try:
                self._on_frame(frame, clock.realtime_ns())
            except Exception as error:  # noqa: BLE001 - the link raises it where the session waits
                self._ended.set_exception(error)
            self.world.judge.after_frame(frame)

    def _check(self):
        if not self.is_open:
            raise ConnectionClosedError(None, None)

    @property
    def is_frozen(self):
        return self._down.is_frozen


class Link:
    """The client's end: `edges.exchange.transport.Link`."""

    def __init__(self, wire):
        self._wire = wire

    async def send(self, frame):
        if not self._wire.is_open:
            raise ExchangeError("the connection is gone")
        self._wire._up.send(bytes(frame))

    async def ping(self):
        if not self._wire.is_open:
            raise ExchangeError("the connection is gone")
        if self._wire.is_frozen:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(2 * self._wire.world.latency_s)

    async def closed(self):
        return await asyncio.shield(self._wire._ended)

    async def close(self):
        self._wire.cut(closed_by_us(1000))


class Rest:
    """`edges.exchange.fetch.Fetcher`, answered by the simulated exchange after a round trip."""

    def __init__(self, world):
        self._world = world

    async def get(self, path, weight=1, on_answer=None):
        world = self._world
        await asyncio.sleep(world.latency_s)
        bare, _, query = path.partition("?")
        status, body = world.sim.answer(bare, dict(parse_qsl(query, keep_blank_values=True)))
        await asyncio.sleep(world.latency_s + world.sim.outages.take_delay_s())
        world.trace("GET", path, status)
        error = None if status == 200 else refusal(path, status) or ExchangeError(f"{path} answers {status}")
        if on_answer is not None:
            on_answer(Answer(path, status, (), body, clock.realtime_ns(), str(error or "")))
        if error is not None:
            raise error
        return body
