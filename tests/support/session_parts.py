"""A whole collector in the test's own event loop, against a simulated exchange on loopback, with a follower that reads along.

async with Rig(directory, "kraken") as rig:
    await rig.live()
    rig.sim.inject("gap")
    await rig.moves_until(lambda: …)
    await rig.settles()                 # collector's and follower's books are the simulator's truth, level for level
"""

import asyncio
from dataclasses import replace
from typing import cast
from urllib.parse import parse_qsl

from alphapulse_cli import exchanges
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.edges.exchange.session import Session
from alphapulse_cli.edges.exchange.transport import open_link
from alphapulse_cli.edges.exchange.watchdog import Timing
from alphapulse_cli.exchanges.protocol import Rate
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.wire.delta import BookState
from support.feeds import DEPTHS
from support.sim_parts import until

QUICK = Timing(
    tick_s=0.01,
    ping_after_s=0.2,
    stale_after_s=0.3,
    dead_after_s=0.5,
    proven_after_s=0.0,
    at_once_s=0.01,
    first_backoff_s=0.01,
    longest_backoff_s=0.05,
)
PATIENT = replace(QUICK, ping_after_s=30.0, stale_after_s=40.0, dead_after_s=50.0)  # for tests that are not about silence


class Watchable:
    """The real thing, whose methods a test may replace; those of a compiled class, or of one with slots, cannot be."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)


class Rig:
    """One exchange, simulated, collected and followed."""

    def __init__(
        self,
        directory,
        name,
        *,
        mode="",
        symbols=("ETH-BTC",),
        timing=PATIENT,
        opener=open_link,
        url="",
        facts=None,
        silence=None,
        seed=3,
        sim_options=None,
        recorder=None,
    ):
        self.directory, self.name, self.mode, self.symbols = directory, name, mode, symbols
        self.timing, self.opener, self.url = timing, opener, url
        self.facts = {"connects": Rate(1000, 1000.0), "sends": Rate(200, 200.0)} | (facts or {})
        self.silence = silence
        self.recorder = recorder
        self.depth = DEPTHS.get((name, mode))
        self.sim = SimulatedExchange(name, seed=seed, symbols=symbols, rate=0, mode=mode, **(sim_options or {}))
        self.notices = []
        self.opened_at = []

    async def __aenter__(self):
        await self.sim.__aenter__()
        exchange = exchanges.get(self.name)
        instruments = exchange.parse_instruments(self.metadata(exchange), self.mode)
        self.instruments = [each for each in instruments if each.symbol in self.symbols]
        symbols = [each.symbol for each in self.instruments]
        self.outlet = Outlet(self.directory, self.name, self.name, symbols, 4096, clock.monotonic_ns())
        decoder = exchange.decoder(self.instruments, {"book", "trades"}, self.depth or 0, self.mode)
        self.ingest = Watchable(Ingest(exchange, decoder, self.instruments, ("book", "trades"), self.outlet, self._note, self.mode))
        modes = [replace(mode, silence=self.silence) for mode in exchange.facts.modes]
        facts = replace(exchange.facts, modes=modes, **self.facts)
        self.limits = limits = Limits.of(facts)
        self.fetcher = Watchable(Fetcher(self.sim.rest_url, limits.weight))
        url = self.url or self.sim.websocket_url
        after = self._after_frame
        ingest, fetcher = cast("Ingest", self.ingest), cast("Fetcher", self.fetcher)
        self.session = Session(
            facts,
            url,
            fetcher,
            ingest,
            self._note,
            after,
            self._open,
            self.timing,
            limits,
            self.mode,
            recorder=self.recorder,
        )
        self.follower = SetFollower(self.directory, self.name)
        self.task = asyncio.create_task(self.session.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.outlet.close()
        await self.sim.__aexit__(*_)

    def metadata(self, exchange):
        path, _, query = (exchange.facts.mode(self.mode).instruments_path or exchange.facts.instruments_path).partition("?")
        status, body = self.sim.answer(path, dict(parse_qsl(query)))
        assert status == 200
        return body

    async def _open(self, url, on_frame):
        self.opened_at.append(clock.monotonic_ns())
        return await self.opener(url, on_frame)

    def _note(self, level, line):
        self.notices.append((level, line))

    def _after_frame(self, _receive_ns):
        self.outlet.beat(clock.monotonic_ns())
        self.outlet.serve_checkpoints(clock.realtime_ns())

    @property
    def warnings(self):
        return [line for level, line in self.notices if level == "warning"]

    def keeper(self, symbol=""):
        return next(each for each in self.ingest.keepers.values() if each.instrument.symbol == (symbol or self.symbols[0]))

    def count(self, counter, symbol=""):
        return CountersReader(self.outlet.counters.segment).blocks()[symbol][counter.label]

    def total(self, counter):
        return CountersReader(self.outlet.counters.segment).total()[counter.label]

    def states(self):
        return {symbol: self.keeper(symbol).state for symbol in self.symbols}

    def is_live(self):
        return not self.task.done() and set(self.states().values()) == {BookState.LIVE}

    async def live(self):
        """Until every book is."""
        await self.moves_until(self.is_live)

    async def moves_until(self, reached):
        """The market moves, slowly, until it is so."""
        async with asyncio.timeout(20):
            while not reached():
                assert not self.task.done(), self.task.result()
                await self.sim.advance(1)
                await asyncio.sleep(0.005)

    async def settles(self):
        """The market stands still: what everybody has is the truth, and the follower never had to join again."""
        await self.live()
        await self.sim.advance(3)
        await until(self._is_true)
        self.follower.poll(clock.monotonic_ns())
        while self.follower.poll(clock.monotonic_ns()).record_count:
            pass
        for symbol in self.symbols:
            replica, book = self.follower.books[symbol], self.keeper(symbol).book
            assert not replica.is_cold
            assert (replica.book.bids(), replica.book.asks()) == (book.bids(), book.asks())
        assert self.follower.checks_bad == 0

    def _is_true(self):
        for symbol in self.symbols:
            bids, asks = self.sim.truth.book(symbol, self.depth)
            book = self.keeper(symbol).book
            factor = 10 ** (book.price_decimals - self.sim.truth.instruments[symbol].price_decimals)
            if [(ticks * factor, lots) for ticks, lots in bids] != book.bids():
                return False
            if [(ticks * factor, lots) for ticks, lots in asks] != book.asks():
                return False
        return True


class FakeLink:
    """A connection that does what a test says, and answers no ping unless told to. Its farewell takes until `gone` is set."""

    def __init__(self, on_frame, *, answers=False, slow_farewell=False):
        self.on_frame, self.answers = on_frame, answers
        self.sent, self.sent_at, self.pings = [], [], 0
        self.is_closed = False
        self.gone = asyncio.Event()
        if not slow_farewell:
            self.gone.set()
        self._end = asyncio.get_running_loop().create_future()

    async def send(self, frame):
        self.sent.append(frame)
        self.sent_at.append(clock.monotonic_ns())

    async def ping(self):
        self.pings += 1
        if not self.answers:
            await asyncio.Event().wait()

    async def closed(self):
        return await asyncio.shield(self._end)

    async def close(self):
        self.is_closed = True
        await self.gone.wait()

    def end(self, why):
        self._end.set_result(why)

    def hear(self, frame):
        self.on_frame(frame, clock.realtime_ns())


def links_of(**options):
    """(an opener of FakeLinks, the links it made)."""
    made = []

    async def opener(_url, on_frame):
        made.append(FakeLink(on_frame, **options))
        return made[-1]

    return opener, made
