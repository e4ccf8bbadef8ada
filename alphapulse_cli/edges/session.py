"""One exchange's connection, kept up: connect, let the decoder subscribe, feed ingest, watch for silence, back off, connect again.

    OPENING ──connected──► UP ──closed, silent 5 s, Reconnect asked──► PAUSE ──jittered backoff──► OPENING

The pause doubles with each try and is never so short that the exchange's bound of connections a minute would be passed.

Silence is measured, not assumed: 2 s without a frame send a ping, one more second without an answer makes the books STALE, 5 s
without any sign of life end the connection. Everything here runs in one event loop; frames are handled in the reader's own turn.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from alphapulse_cli.edges.budget import Budget
from alphapulse_cli.edges.fetch import Fetcher
from alphapulse_cli.edges.transport import Link, OnFrame, open_link
from alphapulse_cli.errors import ExchangeError, Refused
from alphapulse_cli.exchanges.protocol import Facts
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.market.requests import FetchInstruments, FetchSnapshot, Reconnect, Request, Send
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter

LIFE_MARGIN_S = 3600.0  # renew a connection this long before the exchange would end it
CONNECTS_SPAN_S = 60.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.25, 30.0

Opener = Callable[[str, OnFrame], Awaitable[Link]]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is too long, in seconds."""

    tick_s: float = 0.1
    ping_after_s: float = 2.0
    stale_after_s: float = 3.0
    dead_after_s: float = 5.0
    first_backoff_s: float = FIRST_BACKOFF_S
    longest_backoff_s: float = LONGEST_BACKOFF_S
    steady_after_s: float = 60.0  # a connection that lived this long was a good one: the next backoff starts small again


@dataclass(slots=True)
class Backoff:
    """A random time between half a bound and the bound, which doubles: who was thrown out together does not come back together."""

    first_s: float = FIRST_BACKOFF_S
    longest_s: float = LONGEST_BACKOFF_S
    dice: random.Random = field(default_factory=random.SystemRandom)
    bound_s: float = field(default=0.0, init=False)

    def next_s(self) -> float:
        """How long to wait before the next try."""
        self.bound_s = min(2 * self.bound_s or self.first_s, self.longest_s)
        return self.dice.uniform(self.bound_s / 2, self.bound_s)

    def reset(self) -> None:
        """The connection was good."""
        self.bound_s = 0.0


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
        timing: Timing | None = None,
    ) -> None:
        self._facts = facts
        self._url = url
        self._fetcher = fetcher
        self._ingest = ingest
        self._notice = notice
        self._after_frame = after_frame
        self._opener = opener
        self._timing = timing or Timing()
        self._backoff = Backoff(self._timing.first_backoff_s, self._timing.longest_backoff_s)
        self._connects = Budget(facts.connects_per_minute, CONNECTS_SPAN_S)
        self._connected_count = 0
        self._is_heard = False  # since the watchdog last looked: the clock is its business, not every frame's
        self._heard_ns = 0
        self._send_after_ns = 0
        self._sends: asyncio.Queue[bytes] = asyncio.Queue()
        self._errands: set[asyncio.Task[None]] = set()  # fetches and pings under way
        self._end: asyncio.Future[str] | None = None  # of this connection: why we want it, or the mistake that an errand ended in

    async def run(self) -> None:
        """Until cancelled. UsageError, or Refused before anything was ever heard: trying again cannot help. Nothing else of the network's."""
        while True:
            pause_s = self._connects.reserve(clock.monotonic_ns())
            if pause_s > 0:
                self._notice("info", f"connecting in {pause_s:.1f} s: so many connections a minute are too many")
                await asyncio.sleep(pause_s)
            try:
                why = await self._one_connection()
            except Refused as error:
                if not self._connected_count:
                    raise
                why = str(error)
            except ExchangeError as error:
                why = str(error)
            pause_s = self._backoff.next_s()
            self._notice("warning", f"disconnected: {why}; connecting again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)

    async def _one_connection(self) -> str:
        """From connect to end; why it ended."""
        self._sends = asyncio.Queue()
        self._end = asyncio.get_running_loop().create_future()
        try:
            link = await self._opener(self._url, self._on_frame)
        except ExchangeError:
            self._ingest.disconnected(clock.realtime_ns())
            raise
        opened_ns = self._heard_ns = clock.monotonic_ns()
        self._connected_count += 1
        if self._connected_count > 1:
            self._ingest.counters.add(Counter.RECONNECTS)
        try:
            self._ingest.connected(clock.monotonic_ns())
            self._do_requests()
            async with _tasks(self._send_queued(link), self._watch(link, opened_ns), link.closed()) as running:
                done, _ = await asyncio.wait({*running, self._end}, return_when=asyncio.FIRST_COMPLETED)
                self._ingest.disconnected(clock.realtime_ns())  # before the farewell, which may take a while
                return str(done.pop().result())
        finally:
            if clock.monotonic_ns() - opened_ns > self._timing.steady_after_s * 1e9:
                self._backoff.reset()
            for errand in self._errands:
                errand.cancel()
            await link.close()

    def _on_frame(self, frame: bytes, receive_ns: int) -> None:
        self._is_heard = True
        self._ingest.receive(frame, receive_ns)
        self._after_frame(receive_ns)
        requests = self._ingest.pending_requests()
        if requests:
            self._do_all(requests)

    def _do_requests(self) -> None:
        self._do_all(self._ingest.pending_requests())

    def _do_all(self, requests: list[Request]) -> None:
        for request in requests:
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
                if self._end is not None and not self._end.done():
                    self._end.set_result(reason)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errand_done)

    def _errand_done(self, errand: asyncio.Task[None]) -> None:
        """What went wrong in one ends the connection as if it had gone wrong in it: no mistake is silent."""
        self._errands.discard(errand)
        error = None if errand.cancelled() else errand.exception()
        if error is not None and self._end is not None and not self._end.done():
            self._end.set_exception(error)

    async def _fetch_snapshot(self, request: FetchSnapshot) -> None:
        try:
            body = await self._fetcher.get(request.path, request.weight)
        except ExchangeError as error:
            self._notice("warning", f"{request.instrument.id}: no snapshot: {error}")
            self._ingest.fetch_failed(request.instrument, clock.monotonic_ns())
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
            self._ingest.fetch_failed(None, clock.monotonic_ns())
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

    async def _watch(self, link: Link, opened_ns: int) -> str:
        """Ticks, pings, staleness and the connection's planned end."""
        timing, facts = self._timing, self._facts
        life_s = max(facts.connection_life_s - LIFE_MARGIN_S, LIFE_MARGIN_S) if facts.connection_life_s else float("inf")
        pinged = stale = False
        while True:
            await asyncio.sleep(timing.tick_s)
            now = clock.monotonic_ns()
            if self._is_heard:
                self._is_heard, self._heard_ns = False, now
            silent_s = (now - self._heard_ns) / 1e9
            self._ingest.tick(clock.realtime_ns(), now)
            self._after_frame(0)
            self._do_requests()
            if silent_s < timing.ping_after_s:
                if stale:
                    self._ingest.heard(clock.realtime_ns())
                pinged = stale = False
            elif not pinged:
                pinged = True
                self._spawn(self._ping(link))
            elif silent_s >= timing.dead_after_s:
                return f"nothing heard for {silent_s:.1f} s"
            elif silent_s >= timing.stale_after_s and not stale:
                stale = True
                self._ingest.silent(clock.realtime_ns())
            if (now - opened_ns) / 1e9 > life_s:
                return "the exchange ends connections of this age"

    async def _ping(self, link: Link) -> None:
        """The answer is a sign of life like any frame; without one the watchdog knows what to do."""
        with contextlib.suppress(ExchangeError, TimeoutError):
            async with asyncio.timeout(self._timing.dead_after_s):
                await link.ping()
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
