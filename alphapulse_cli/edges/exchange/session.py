"""Session with an exchange: connect, let the decoder subscribe, feed ingest, watch for silence, pause, connect again.

    OPENING ──connected──► UP ──closed, silent, Reconnect asked──► PAUSE ──► OPENING

After a connection that carried books or trades the next one is made at once: without a pause if the decoder asked for it, else at a
random time within `Timing.at_once_s`, so that collectors that were disconnected together do not return together. The old connection
is closed meanwhile, which takes seconds if the exchange does not answer. Connections that failed or carried no data lengthen the
pause. All connections keep within the exchange's limits (`edges.exchange.rate_limit`), which all collectors of a machine may share,
and wait for the end of a Retry-After. A set of more symbols than a connection carries has several sessions: `Siblings`.

With a recorder each frame is noted before it is decoded, and all else that ingest is told.

`edges.exchange.watchdog` judges silence. The session runs in one event loop; `_on_frame` handles a frame in the link's own turn.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TypeVar

from alphapulse_cli.edges.exchange import retry_after
from alphapulse_cli.edges.exchange.fetch import Fetcher, fetch_metadata
from alphapulse_cli.edges.exchange.link import Link, OnFrame
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.edges.exchange.recording import SessionRecorder
from alphapulse_cli.edges.exchange.siblings import Siblings
from alphapulse_cli.edges.exchange.transport import open_link
from alphapulse_cli.edges.exchange.watchdog import AT_ONCE_S, FIRST_BACKOFF_S, LONGEST_BACKOFF_S, SilenceVerdict, Timing, Watchdog
from alphapulse_cli.errors import ExchangeError, Refused
from alphapulse_cli.exchanges.protocol import Facts
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.market.requests import (
    FetchInstruments,
    FetchProof,
    FetchSnapshot,
    FetchTrades,
    Reconnect,
    Request,
    Send,
    SlowDown,
)
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire.delta import BookReason

LIFE_MARGIN_S = 3600.0  # a connection is renewed this long before the exchange would end it

R = TypeVar("R", FetchTrades, FetchProof)

Opener = Callable[[str, OnFrame], Awaitable[Link]]


@dataclass(slots=True)
class Backoff:
    """Exponential backoff: a random pause between half a bound and the bound, which doubles with each failure. Times in seconds."""

    first_s: float = FIRST_BACKOFF_S
    longest_s: float = LONGEST_BACKOFF_S
    at_once_s: float = AT_ONCE_S
    dice: random.Random = field(default_factory=random.SystemRandom)
    bound_s: float = field(default=0.0, init=False)

    def after_failure_s(self) -> float:
        """Seconds to wait after a connection that failed or carried no data."""
        self.bound_s = min(2 * self.bound_s or self.first_s, self.longest_s)
        return self.dice.uniform(self.bound_s / 2, self.bound_s)

    def after_good_s(self, *, others_too: bool = True) -> float:
        """Seconds to wait after a connection that carried data; resets the bound.

        `others_too`: others may have lost theirs as well.
        """
        self.bound_s = 0.0
        return self.dice.uniform(0.0, self.at_once_s) if others_too else 0.0


class Session:
    """Session with one exchange that feeds `ingest` until `run` is cancelled.

    `after_frame` is called after each frame with its receive time in ns since 1970, and each `Timing.tick_s` with 0. `siblings` is
    shared by the sessions of one set; each renews its connection `early_s` seconds sooner than it must, so that not all do at once.
    """

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
        limits: Limits | None = None,
        mode: str = "",
        siblings: Siblings | None = None,
        early_s: float = 0.0,
        recorder: SessionRecorder | None = None,
    ) -> None:
        self._facts = facts
        self._url = url
        self._fetcher = fetcher
        self._ingest = ingest
        self._notice = notice
        self._after_frame = after_frame
        self._opener = opener
        self._timing = timing or Timing()
        self._silence = facts.mode(mode).silence
        self._backoff = Backoff(self._timing.first_backoff_s, self._timing.longest_backoff_s, self._timing.at_once_s)
        self._limits = limits or Limits.of(facts)
        self._siblings = siblings or Siblings()
        self._siblings.ingests.append(ingest)
        self._life_s = _renewed_after_s(facts) - early_s
        self._recorder = recorder
        self.number = recorder.connection() if recorder is not None else 0  # in the capture
        self._connected_count = 0
        self._is_heard = False  # whether a frame came since the watchdog last looked: frames need not read the clock
        self._was_fed = False  # whether the last connection carried books or trades
        self._others_too = True  # whether other collectors may have lost theirs at the same moment
        self._farewells: set[asyncio.Task[None]] = set()  # connections being closed
        self._sends: asyncio.Queue[bytes] = asyncio.Queue()
        self._errands: set[asyncio.Task[None]] = set()  # fetches and pings under way
        self._fetches: dict[Request, asyncio.Task[None]] = {}  # fetches of which one at a time is enough
        self._end: asyncio.Future[str] | None = None  # of this connection: our reason to end it, or the exception of an errand

    async def run(self) -> None:
        """Keep connected until cancelled. UsageError, or Refused before the first connection of the set: a retry cannot help.

        Other network errors are reported as notices, and the session connects again.
        """
        try:
            await self._keep_connected()
        finally:
            await asyncio.gather(*self._farewells)

    async def _keep_connected(self) -> None:
        while True:
            await self._wait_for_a_connect()
            retry_after_s: float | None = None
            try:
                why = await self._one_connection()
            except Refused as error:
                if not self._siblings.has_connected:
                    raise
                why = str(error)
            except ExchangeError as error:
                why, retry_after_s = str(error), error.retry_after_s
            if retry_after_s:
                self._limits.connects.pause(clock.monotonic_ns() + int(retry_after_s * 1e9))
                self._publish_wait(retry_after_s)
            good = self._was_fed
            pause_s = self._backoff.after_good_s(others_too=self._others_too) if good else self._backoff.after_failure_s()
            self._notice("warning", f"disconnected: {why}; connecting again in {max(pause_s, retry_after_s or 0):.1f} s")
            await asyncio.sleep(pause_s)

    async def _wait_for_a_connect(self) -> None:
        """Wait until the exchange's limits allow a connection."""
        now_ns = clock.monotonic_ns()
        asked_s = self._limits.connects.pause_left_s(now_ns)
        pause_s = self._limits.connects.reserve(now_ns)
        if asked_s > 0:
            self._publish_wait(asked_s)
            self._notice("warning", f"rate-limited by the exchange: connecting again at {retry_after.end_of(asked_s)}")
        elif pause_s > 0:
            self._notice(
                "info", f"waiting {pause_s:.1f} s to connect: limit of {self._limits.connects.per_minute} connections a minute"
            )
        await asyncio.sleep(pause_s)

    def _publish_wait(self, seconds: float) -> None:
        """Tell readers, by a counter, that the exchange asked to pause for `seconds`; 0 ends it."""
        until_ns = clock.realtime_ns() + int(seconds * 1e9) if seconds else 0
        self._ingest.counters.set(Counter.WAIT_UNTIL_NS, self._siblings.wait_until_ns(self._ingest, until_ns))

    async def _one_connection(self) -> str:
        """Run one connection from opening to end; returns the reason of the end. ExchangeError if it cannot be opened."""
        self._was_fed, self._others_too = False, True
        self._fetches.clear()
        self._sends = asyncio.Queue()
        self._end = asyncio.get_running_loop().create_future()
        try:
            link = await self._opener(self._url, self._on_frame)
        except ExchangeError as error:
            self._lost(str(error))
            raise
        opened_ns = clock.monotonic_ns()
        self._connected_count += 1
        self._ingest.counters.set(Counter.CONNECTIONS_OPEN, self._siblings.opened(self._ingest))
        self._publish_wait(0)
        if self._connected_count > 1:
            self._ingest.counters.add(Counter.RECONNECTS)
        try:
            if self._recorder is not None:
                self._recorder.opened(self.number, self._url, self._natives(), clock.realtime_ns())
            self._ingest.connected(clock.monotonic_ns())
            self._do_requests()
            async with _tasks(self._send_queued(link), self._watch(link, opened_ns), link.closed()) as running:
                done, _ = await asyncio.wait({*running, self._end}, return_when=asyncio.FIRST_COMPLETED)
                ended = done.pop()
                self._lost(_reason(ended))  # before closing, which may take a while
                return str(ended.result())
        finally:
            self._ingest.counters.set(Counter.CONNECTIONS_OPEN, self._siblings.ended(self._ingest))
            self._was_fed = self._ingest.is_fed
            for errand in self._errands:
                errand.cancel()
            self._farewell(link)

    def _natives(self) -> list[str]:
        """Native names of the connection's symbols."""
        ingest = self._ingest
        return [native for native, one in ingest.decoder.instruments.items() if one.symbol in ingest.symbols]

    def _farewell(self, link: Link) -> None:
        """Close the link while the next one is opened; no frame of it arrives from here on."""
        farewell = asyncio.create_task(link.close())
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    def _on_frame(self, frame: bytes, receive_ns: int) -> None:
        self._is_heard = True
        if self._recorder is not None:
            self._recorder.received(self.number, frame, receive_ns)
        self._ingest.receive(frame, receive_ns)
        self._after_frame(receive_ns)
        requests = self._ingest.pending_requests()
        if requests:
            self._do_all(requests)

    def _do_requests(self) -> None:
        self._do_all(self._ingest.pending_requests())

    def _do_all(self, requests: list[Request]) -> None:
        for request in requests:
            self.carry_out(request)

    def carry_out(self, request: Request) -> None:
        """Carry out a request of the decoder, at once or in a task of the session; the answer to a fetch goes to `ingest`."""
        match request:
            case Send(frame):
                self._sends.put_nowait(frame)
            case FetchSnapshot():
                self._spawn(self._fetch_snapshot(request))
            case FetchTrades():
                self._fetch_once(request, self._fetch_trades)
            case FetchProof():
                self._fetch_once(request, self._fetch_proof)
            case FetchInstruments():
                if not self._siblings.is_reading:  # else the answer comes to this connection, too
                    self._siblings.reader = self._spawn(self._fetch_instruments(request))
            case Reconnect(reason, others_too):
                if self._end is not None and not self._end.done():
                    self._others_too = others_too
                    self._end.set_result(reason)
            case SlowDown(reason):
                self._limits.sends.slow_down(clock.monotonic_ns())
                self._notice("warning", f"sending at half the rate for a minute: {reason}")

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        errand = asyncio.create_task(work)
        self._errands.add(errand)
        errand.add_done_callback(self._errand_done)
        return errand

    def _fetch_once(self, request: R, fetch: Callable[[R], Coroutine[None, None, None]]) -> None:
        """Start the fetch unless the same one is under way (waiting, perhaps, for a Retry-After): each spends of the limit."""
        under_way = self._fetches.get(request)
        if under_way is None or under_way.done():
            self._fetches[request] = self._spawn(fetch(request))

    def _errand_done(self, errand: asyncio.Task[None]) -> None:
        """Pass an errand's exception on to the connection, which it ends: no failure is silent."""
        self._errands.discard(errand)
        error = None if errand.cancelled() else errand.exception()
        if error is not None and self._end is not None and not self._end.done():
            self._end.set_exception(error)

    async def _get(self, request: FetchSnapshot | FetchTrades | FetchProof, kind: str, native: str) -> tuple[bytes, int]:
        """Body of a GET and its receive time, noted as `kind`. ExchangeError."""
        if self._recorder is None:
            return await self._fetcher.get(request.path, request.weight), clock.realtime_ns()
        listener = self._recorder.listen(self.number, kind, native)
        return await self._fetcher.get(request.path, request.weight, listener), listener.receive_ns

    async def _fetch_snapshot(self, request: FetchSnapshot) -> None:
        try:
            body, now_ns = await self._get(request, "snapshot", request.instrument.native)
        except ExchangeError as error:
            self._notice("warning", f"{request.instrument.id}: fetching a snapshot failed: {error}")
            if error.retry_after_s:
                self._publish_wait(error.retry_after_s)
            self._ingest.fetch_failed(request.instrument, clock.monotonic_ns())
        else:
            self._ingest.receive_snapshot(request.instrument, body, now_ns)
            self._after_frame(now_ns)
        self._do_requests()

    async def _fetch_trades(self, request: FetchTrades) -> None:
        try:
            body, now_ns = await self._get(request, "trades", request.instrument.native)
        except ExchangeError as error:
            self._notice("info", f"{request.instrument.id}: fetching missing trades failed: {error}")
        else:
            self._ingest.receive_trades(request.instrument, body, now_ns)
            self._after_frame(now_ns)
        self._do_requests()

    async def _fetch_proof(self, request: FetchProof) -> None:
        try:
            body, now_ns = await self._get(request, "proof", request.instrument.native)
        except ExchangeError as error:
            self._notice("info", f"{request.instrument.id}: the check of its quiet book failed: {error}")
            self._ingest.counters.add(Counter.FETCHES_FAILED)
        else:
            self._ingest.receive_proof(request.instrument, body, now_ns)
            self._after_frame(now_ns)
        self._do_requests()

    async def _fetch_instruments(self, request: FetchInstruments) -> None:
        """Read the metadata for all connections of the set.

        A read that fails, or ends with this connection, is repeated by this session: a minute later, or beside its next connection.
        """
        try:
            listener = self._recorder.listen(self.number, "instruments") if self._recorder is not None else None
            body = await fetch_metadata(self._fetcher, request.paths, request.weight, listener)
            now_ns = listener.receive_ns if listener is not None else clock.realtime_ns()
        except ExchangeError as error:
            self._notice("warning", f"fetching the instrument metadata failed: {error}")
            self._ingest.fetch_failed(None, clock.monotonic_ns())
        else:
            for ingest in self._siblings.ingests:
                ingest.receive_instruments(body, now_ns)
        self._do_requests()

    async def _send_queued(self, link: Link) -> str:
        """Send the frames requested by the decoder, in order, within the exchange's limit.

        Ends with the link's ExchangeError only.
        """
        while True:
            frame = await self._sends.get()
            pause_s = self._limits.sends.reserve(clock.monotonic_ns())
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            if self._recorder is not None:
                self._recorder.sent(self.number, frame)
            await link.send(frame)

    async def _watch(self, link: Link, opened_ns: int) -> str:
        """Tick ingest, act on the watchdog's verdicts, and return the reason when the connection is to end."""
        watchdog = Watchdog(self._timing, self._silence, opened_ns)
        while True:
            await asyncio.sleep(self._timing.tick_s)
            now, heard, self._is_heard = clock.monotonic_ns(), self._is_heard, False
            self._ingest.tick(clock.realtime_ns(), now)
            self._after_frame(0)
            self._do_requests()
            match watchdog.look(now, heard=heard):
                case SilenceVerdict.PING:
                    self._spawn(self._ping(link, watchdog))
                case SilenceVerdict.DOUBT:
                    self._ingest.doubt(self._marked(SilenceVerdict.DOUBT), now)
                    self._do_requests()
                case SilenceVerdict.SILENT:
                    self._ingest.silent(self._marked(SilenceVerdict.SILENT))
                case SilenceVerdict.MUTE:
                    self._ingest.silent(self._marked(SilenceVerdict.MUTE), BookReason.MUTE)
                case SilenceVerdict.HEARD:
                    self._ingest.heard(self._marked(SilenceVerdict.HEARD))
                case SilenceVerdict.DEAD:
                    return watchdog.why
            if (now - opened_ns) / 1e9 > self._life_s:
                return "the exchange ends connections of this age"

    def _marked(self, verdict: SilenceVerdict) -> int:
        """Record a verdict that is passed to ingest; returns the time, in ns since 1970."""
        now_ns = clock.realtime_ns()
        if self._recorder is not None:
            self._recorder.marked(self.number, verdict, now_ns)
        return now_ns

    def _lost(self, reason: str) -> None:
        """Report the loss of the connection to ingest."""
        now_ns = clock.realtime_ns()
        if self._recorder is not None:
            self._recorder.shut(self.number, reason, now_ns)
        self._ingest.disconnected(now_ns)

    async def _ping(self, link: Link, watchdog: Watchdog) -> None:
        """Send a ping and report the pong to the watchdog, which judges a missing one."""
        with contextlib.suppress(ExchangeError, TimeoutError):
            async with asyncio.timeout(self._timing.dead_after_s):
                await link.ping()
            watchdog.ponged(clock.monotonic_ns())


def _reason(ended: asyncio.Future[str]) -> str:
    """Reason of a connection's end, also where it is an exception."""
    return str(ended.exception() or ended.result())


def _renewed_after_s(facts: Facts) -> float:
    """Age at which a connection is replaced, before the exchange would end it."""
    return max(facts.connection_life_s - LIFE_MARGIN_S, LIFE_MARGIN_S) if facts.connection_life_s else float("inf")


@contextlib.asynccontextmanager
async def _tasks(*work: Coroutine[None, None, str]) -> AsyncIterator[list[asyncio.Task[str]]]:
    """Run these coroutines concurrently; tasks that still run at the end are cancelled and awaited."""
    running = [asyncio.create_task(one) for one in work]
    try:
        yield running
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
