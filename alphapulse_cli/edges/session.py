"""One exchange's connection, kept up: connect, let the decoder subscribe, feed ingest, watch for silence, back off, connect again.

    OPENING ──connected──► UP ──closed, silent 5 s, Reconnect asked──► PAUSE ──jittered backoff──► OPENING

Silence is measured, not assumed: 2 s without a frame send a ping, one more second without an answer makes the books STALE, 5 s
without any sign of life end the connection. Everything here runs in one event loop; frames are handled in the reader's own turn.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from alphapulse_cli.edges.fetch import Fetcher
from alphapulse_cli.edges.transport import Link, OnFrame, open_link
from alphapulse_cli.errors import AlphapulseError, ExchangeError, Refused, UsageError
from alphapulse_cli.exchanges.protocol import Facts
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.market.requests import FetchInstruments, FetchSnapshot, Reconnect, Request, Send
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter

TICK_S = 0.1
PING_AFTER_S, STALE_AFTER_S, DEAD_AFTER_S = 2.0, 3.0, 5.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 30.0
STEADY_AFTER_S = 60.0  # a connection that lived this long was a good one: the next backoff starts small again
LIFE_MARGIN_S = 3600.0  # renew a connection this long before the exchange would end it

Opener = Callable[[str, OnFrame], Awaitable[Link]]


@dataclass(slots=True)
class Backoff:
    """Full jitter: a random time up to a bound that doubles."""

    dice: random.Random = field(default_factory=random.SystemRandom)
    bound_s: float = FIRST_BACKOFF_S

    def next_s(self) -> float:
        """How long to wait before the next try."""
        pause = self.dice.uniform(self.bound_s / 2, self.bound_s)
        self.bound_s = min(2 * self.bound_s, LONGEST_BACKOFF_S)
        return pause

    def reset(self) -> None:
        """The connection was good."""
        self.bound_s = FIRST_BACKOFF_S


class Session:
    """Keeps one exchange flowing into `ingest` until `run` is cancelled."""

    def __init__(
        self,
        facts: Facts,
        url: str,
        fetcher: Fetcher,
        ingest: Ingest,
        notice: Notice,
        after_frame: Callable[[int], None],
        opener: Opener = open_link,
    ) -> None:
        self._facts = facts
        self._url = url
        self._fetcher = fetcher
        self._ingest = ingest
        self._notice = notice
        self._after_frame = after_frame
        self._opener = opener
        self._backoff = Backoff()
        self._heard_ns = 0
        self._send_after_ns = 0
        self._sends: asyncio.Queue[bytes] = asyncio.Queue()
        self._fetches: set[asyncio.Task[None]] = set()
        self._reconnect: asyncio.Future[str] | None = None
        self._last_connect_ns = 0

    async def run(self) -> None:
        """Until cancelled. UsageError or Refused if trying again cannot help; nothing else of the network's leaves here."""
        while True:
            opened_ns = clock.monotonic_ns()
            try:
                why = await self._one_connection()
            except (UsageError, Refused):
                raise
            except AlphapulseError as error:
                why = str(error)
            self._ingest.disconnected(clock.realtime_ns())
            self._ingest.counters.add(Counter.RECONNECTS)
            if clock.monotonic_ns() - opened_ns > STEADY_AFTER_S * 1e9:
                self._backoff.reset()
            # Never more connections a minute than the exchange allows, however the backoff falls.
            floor_s = 60.0 / self._facts.connects_per_minute if self._backoff.bound_s > 8 * FIRST_BACKOFF_S else 0.0
            pause_s = max(self._backoff.next_s(), floor_s)
            self._notice("warning", f"disconnected: {why}; connecting again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)

    async def _one_connection(self) -> str:
        """From connect to end; why it ended."""
        self._sends = asyncio.Queue()
        self._reconnect = asyncio.get_running_loop().create_future()
        link = await self._opener(self._url, self._on_frame)
        self._heard_ns = clock.monotonic_ns()
        try:
            self._ingest.connected(clock.realtime_ns())
            self._do_requests()
            async with _tasks(self._send_queued(link), self._watch(link), link.closed()) as running:
                done, _ = await asyncio.wait({*running, self._reconnect}, return_when=asyncio.FIRST_COMPLETED)
                return str(done.pop().result())
        finally:
            for fetch in self._fetches:
                fetch.cancel()
            await link.close()

    def _on_frame(self, frame: bytes, receive_ns: int) -> None:
        self._heard_ns = clock.monotonic_ns()
        self._ingest.receive(frame, receive_ns)
        self._after_frame(receive_ns)
        self._do_requests()

    def _do_requests(self) -> None:
        for request in self._ingest.pending_requests():
            self._do(request)

    def _do(self, request: Request) -> None:
        match request:
            case Send(frame):
                self._sends.put_nowait(frame)
            case FetchSnapshot():
                self._spawn(self._fetch_snapshot(request))
            case FetchInstruments():
                self._spawn(self._fetch_instruments(request))
            case Reconnect(reason):
                if self._reconnect is not None and not self._reconnect.done():
                    self._reconnect.set_result(reason)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    async def _fetch_snapshot(self, request: FetchSnapshot) -> None:
        try:
            body = await self._fetcher.get(request.path, request.weight)
        except ExchangeError as error:
            self._notice("warning", f"{request.instrument.id}: no snapshot: {error}")
            self._ingest.fetch_failed(request.instrument, clock.realtime_ns())
        else:
            now_ns = clock.realtime_ns()
            self._ingest.receive_snapshot(request.instrument, body, now_ns)
            self._after_frame(now_ns)
        self._do_requests()

    async def _fetch_instruments(self, request: FetchInstruments) -> None:
        try:
            body = await self._fetcher.get(request.path, request.weight)
        except ExchangeError as error:
            self._notice("warning", f"no instrument metadata: {error}")
        else:
            self._ingest.receive_instruments(body, clock.realtime_ns())
        self._do_requests()

    async def _send_queued(self, link: Link) -> str:
        """Send what the decoder asked for, in order, no faster than the exchange allows."""
        gap_ns = int(1e9 / self._facts.sends_per_second)
        while True:
            frame = await self._sends.get()
            now = clock.monotonic_ns()
            if now < self._send_after_ns:
                await asyncio.sleep((self._send_after_ns - now) / 1e9)
            self._send_after_ns = clock.monotonic_ns() + gap_ns
            await link.send(frame)

    async def _watch(self, link: Link) -> str:
        """Ticks, pings, staleness and the connection's planned end."""
        opened_ns = clock.monotonic_ns()
        life_s = self._facts.connection_life_s - LIFE_MARGIN_S if self._facts.connection_life_s else float("inf")
        pinged = stale = False
        while True:
            await asyncio.sleep(TICK_S)
            now = clock.monotonic_ns()
            silent_s = (now - self._heard_ns) / 1e9
            self._ingest.tick(clock.realtime_ns())
            self._after_frame(0)
            self._do_requests()
            if silent_s < PING_AFTER_S:
                if stale:
                    self._ingest.heard(clock.realtime_ns())
                pinged = stale = False
            elif silent_s >= DEAD_AFTER_S:
                return f"nothing heard for {silent_s:.1f} s"
            elif silent_s >= STALE_AFTER_S and not stale:
                stale = True
                self._ingest.silent(clock.realtime_ns())
            elif not pinged:
                pinged = True
                self._spawn(self._ping(link))
            if (now - opened_ns) / 1e9 > life_s:
                return "the exchange ends connections of this age"

    async def _ping(self, link: Link) -> None:
        with contextlib.suppress(ExchangeError, OSError):
            pong = await link.ping()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.ensure_future(pong), DEAD_AFTER_S)
                self._heard_ns = clock.monotonic_ns()


@contextlib.asynccontextmanager
async def _tasks(*work: Coroutine[None, None, str]) -> AsyncIterator[list[asyncio.Task[str]]]:
    """Run these beside one another; whatever still runs at the end is cancelled and awaited."""
    running = [asyncio.create_task(one) for one in work]
    try:
        yield running
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
