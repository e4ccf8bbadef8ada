"""One exchange and its collector in virtual time: the real Session, Decoder, Ingest, segments and a following reader.

SimulatedExchange ═ Wire ═ Session ─► Ingest ─► segments ─► SetFollower        Rest ═ SimulatedExchange
             the Judge compares what the collector holds with the simulator's truth
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from chaos.judge import Judge
from chaos.virtual_time import VirtualTime
from chaos.wires import Link, Rest, Wire
from support.feeds import depth_of
from websockets.asyncio.server import ServerConnection

from alphapulse_cli import exchanges
from alphapulse_cli.apps.reconstruct import WRONG
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.recorder import Recorder
from alphapulse_cli.edges.capture.rolling import RollingFiles
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.link import answers
from alphapulse_cli.edges.exchange.session import Session
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter, CountersReader
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.sim.exchange import SimulatedExchange
from alphapulse_cli.sim.listings import rows_of
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.wire import trade as trade_record
from alphapulse_cli.wire.delta import BookState

LEVELS = 40
RING_RECORDS = 16_384
URL = "wss://exchange.invalid"
STALL_S = 6.0  # of each stall
NS_PER_S = 1_000_000_000
STEP_S = 0.1  # a step of every symbol
LOOK_S = 0.05  # between two looks at whether what is waited for has come
STATUS_WITHIN_S, STATUS_BY_REST_S = (
    1.0,
    31.0 + 120.0 + 2.0,
)  # once a book is quiet, and no sooner than two minutes after the last look


class WatchedEncoder:
    """An exchange's side that tells the judge of the frames it makes of a book."""

    def __init__(self, encoder, judge):
        self.__dict__["_encoder"], self.__dict__["_judge"] = encoder, judge

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def __setattr__(self, name, value):
        setattr(self._encoder, name, value)

    def update(self, symbol, changes, now_ns):
        frames = self._encoder.update(symbol, changes, now_ns)
        if len(frames) == 1 and not self._encoder.spoil_checksum:
            self._judge.told(frames[0], symbol)
        return frames


def watched(exchange, judge):
    """The exchange as the simulator has it, its encoders watched."""
    return replace(exchange, encoder=lambda truth, mode: WatchedEncoder(exchange.encoder(truth, mode), judge))


@dataclass
class World:
    """One run: entered, it lives; `sim.inject` lets faults strike, `judge` looks."""

    directory: Directory
    time: VirtualTime
    exchange_name: str
    mode: str = ""
    seed: int = 0
    latency_s: float = 0.02
    step_s: float = STEP_S
    symbols: tuple[str, ...] = ()  # the first two that the exchange lists
    capture: Path | None = None  # folder of a capture of the run
    wires: list[Wire] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    when_struck: Callable[[Any], None] | None = None  # called with each injection of the simulator, once it has struck
    struck_count: int = 0
    stall_ns: tuple[int, int] = (0, 0)  # begin and end of the last stalls that followed one another without a pause

    async def __aenter__(self):
        self.symbols = self.symbols or tuple(row[0] for row in rows_of(self.exchange_name)[:2])
        self.started_ns = clock.monotonic_ns()
        self.judge = Judge(self)
        self.server_ahead_ns = self.time.ahead_ns  # the exchange's clock does not jump with ours
        self.exchange = exchanges.get(self.exchange_name)
        self.depth = depth_of((self.exchange_name, self.mode))
        market = SimulatedMarket(
            self.exchange_name, self.seed, self.symbols, levels_per_side=LEVELS, start_ns=self.time.realtime_ns
        )
        self.sim = SimulatedExchange(
            self.exchange_name,
            market,
            seed=self.seed,
            rate=0,
            mode=self.mode,
            clock=lambda: self.time.monotonic_ns + self.server_ahead_ns,
            speaker=watched(self.exchange, self.judge),
        )
        instruments = list(market.instruments.values())
        self.outlet = Outlet(
            self.directory, self.exchange_name, self.exchange_name, list(self.symbols), RING_RECORDS, clock.monotonic_ns()
        )
        decoder = self.exchange.decoder(instruments, {"book", "trades"}, self.depth or 0, self.mode)
        self.ingest = Ingest(self.exchange, decoder, instruments, ("book", "trades"), self.outlet, self._note, self.mode)
        self.keepers = {keeper.instrument.symbol: keeper for keeper in self.ingest.keepers.values()}
        fetcher = cast("Fetcher", Rest(self))
        self.recorder = self._recorder(instruments) if self.capture is not None else None
        self.session = Session(
            self.exchange.facts,
            URL,
            fetcher,
            self.ingest,
            self._note,
            self._after_frame,
            self._open,
            mode=self.mode,
            recorder=self.recorder,
        )
        self.follower = SetFollower(self.directory, self.exchange_name)
        self._tasks = [asyncio.create_task(self.session.run()), asyncio.create_task(self._move())]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self.wires:
            wire.cut("the end")
        await asyncio.sleep(1)
        if self.recorder is not None:
            self.recorder.close("ended")
        self.follower.close()
        self.counted = CountersReader(self.outlet.counters.segment).blocks()  # by symbol, at the end
        self.outlet.close()

    def _recorder(self, instruments):
        mode = self.exchange.facts.mode(self.mode)
        head = Head(
            self.exchange_name, mode.name, self.depth or 0, ("book", "trades"), self.exchange_name, URL, clock.realtime_ns()
        )
        assert self.capture is not None
        rolling = RollingFiles(files.open_folder(self.capture), self._note, Rotation(), LeastFree(0.0, 0))
        recorder = Recorder(rolling, head)
        recorder.begin(lambda: instruments)
        return recorder

    async def _move(self):
        """The market: ten moments a second, each looked at before the next, when all that was sent has arrived."""
        while True:
            await asyncio.sleep(self.step_s)
            self.judge.sample()
            await self.sim.advance()
            self._tell_struck()
            self.outlet.beat(clock.monotonic_ns())
            if self.recorder is not None:
                self.recorder.beat(clock.monotonic_ns())
            self.follower.poll(clock.monotonic_ns())

    def _tell_struck(self):
        """A fault strikes with a frame, which may be a while after it was injected: while books are not LIVE there are few."""
        count = sum(self.sim.injection_counts.values())
        for injection in list(self.sim.injections)[len(self.sim.injections) - (count - self.struck_count) :]:
            if injection.kind == "stall":
                self._note_stall()
            if self.when_struck is not None:
                self.when_struck(injection)
        self.struck_count = count

    def _note_stall(self):
        """A stall that strikes before the last one is over prolongs it."""
        now_ns = clock.monotonic_ns()
        began_ns, ends_ns = self.stall_ns
        self.stall_ns = (began_ns if now_ns <= ends_ns else now_ns), now_ns + int(STALL_S * 1e9)

    async def _open(self, url, on_frame):
        await asyncio.sleep(2 * self.latency_s)
        refusal = self.sim.refusal_of_handshake()
        self.trace("connect", refusal and refusal[0])
        if refusal is not None:
            raise answers(url, *refusal)
        wire = Wire(self, on_frame)
        self.wires.append(wire)
        self._tasks.append(asyncio.create_task(self.sim.serve_client(cast("ServerConnection", wire))))
        return Link(wire)

    def _note(self, level, line):
        self.notices.append(f"{self.elapsed_s:.2f} {level}: {line}")
        self.trace("notice", line)

    def _after_frame(self, _receive_ns):
        self.outlet.serve_checkpoints(clock.realtime_ns())

    @property
    def is_unproven(self):
        """Whether the newest connection, if any is open, is too young to have shown that it keeps a promise of heartbeats."""
        return not self.wires or clock.monotonic_ns() - self.wires[-1].opened_ns < 1_500_000_000

    @property
    def stalled_s(self):
        """How long the stalls that are at work, or ended within a second, last without a pause; else 0."""
        began_ns, ends_ns = self.stall_ns
        return (ends_ns - began_ns) / 1e9 if clock.monotonic_ns() <= ends_ns + NS_PER_S else 0.0

    @property
    def status_within_s(self):
        """How long a change of a market's trading status may be untold while the exchange can be reached."""
        return STATUS_WITHIN_S if self.exchange_name == "kraken" else STATUS_BY_REST_S

    @property
    def feed(self):
        return self.exchange_name, self.mode

    def trace(self, *what):
        self.judge.note(*what)

    @property
    def elapsed_s(self):
        return (clock.monotonic_ns() - self.started_ns) / 1e9

    def keeper(self, symbol):
        return self.keepers[symbol]

    def true_book(self, symbol):
        bids, asks = self.sim.truth.book(symbol, self.depth)
        return list(bids), list(asks)

    def held_book(self, symbol):
        """On the grid of the exchange, whatever finer grid ours has."""
        keeper, listed = self.keepers[symbol], self.sim.truth.instruments[symbol]
        price = 10 ** (keeper.instrument.price_decimals - listed.price_decimals)
        size = 10 ** (keeper.instrument.size_decimals - listed.size_decimals)
        return on_grid(keeper.book.bids(), price, size), on_grid(keeper.book.asks(), price, size)

    def is_live(self):
        return all(keeper.state is BookState.LIVE for keeper in self.keepers.values())

    def is_status_told(self):
        return all(
            self.keepers[symbol].trading_status is self.sim.truth.instruments[symbol].trading_status for symbol in self.symbols
        )

    def is_mute(self):
        """Whether a symbol's frames are kept back on a connection that is open."""
        return any(connection.is_mute(symbol) for connection in self.sim.connections for symbol in self.symbols)

    def is_true(self):
        return all(self.held_book(symbol) == self.true_book(symbol) for symbol in self.symbols)

    def trades_faults(self):
        """J5: of the ids between the oldest and the newest told, none twice, and as many untold as were reported missed."""
        import numpy as np

        records, _, missed = RingReader(self.outlet.trades.segment, "oldest").poll(RING_RECORDS)
        rows = np.frombuffer(bytes(records), trade_record.dtype())
        found = ["J5: more trades than the ring holds"] if missed else []
        for symbol in self.symbols:
            ids = sorted(int(row["trade_id"]) for row in rows if row["symbol"].decode() == symbol)
            twice = len(ids) - len(set(ids))
            untold = ids[-1] - ids[0] + 1 - len(set(ids)) if ids else 0
            reported = self.count(Counter.TRADES_MISSED, symbol) - self.count(Counter.TRADES_RECOVERED, symbol)
            # Coinbase's Exchange feed names the last trade before it tells any: what lies between is lost, and no told trade frames it.
            framed = reported >= untold if self.feed == ("coinbase", "exchange") else reported == untold
            framed = framed or (not self.exchange.facts.trades_show_loss and reported == 0)
            if twice or not framed:
                found.append(f"J5 {symbol}: {twice} trades told twice, {untold} untold, {reported} reported missed")
        return found

    def states(self):
        return {symbol: f"{keeper.state.name} {keeper.reason.name}" for symbol, keeper in self.keepers.items()}

    def readers_faults(self):
        """Of a reader in the same state as any other process: its replicas are the collector's books, and nothing spoke against them."""
        found = []
        for symbol, book in self.follower.books.items():
            keeper = self.keepers[symbol]
            if (book.book.bids(), book.book.asks()) != (keeper.book.bids(), keeper.book.asks()):
                found.append(f"J4 {symbol}: a reader's replica is not the collector's book")
            wrong = {why.name: count for why, count in self.follower.breaks[symbol].items() if why in WRONG}
            if wrong:
                found.append(f"J4 {symbol}: a reader's chain broke: {wrong}")
        return found

    def count(self, counter, symbol=""):
        return CountersReader(self.outlet.counters.segment).blocks()[symbol][counter.label]

    async def until(self, holds, limit_s):
        """Wait for it; how long it took, None if it did not come."""
        started_ns = clock.monotonic_ns()
        while not holds():
            if clock.monotonic_ns() - started_ns > limit_s * 1e9:
                return None
            await asyncio.sleep(LOOK_S)
        return (clock.monotonic_ns() - started_ns) / 1e9

    async def stand_still(self):
        """The market stops, and what is under way arrives."""
        self._tasks[1].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks[1]
        await asyncio.sleep(4 * self.latency_s)
        self.follower.poll(clock.monotonic_ns())


def on_grid(levels, price, size):
    return levels if price == size == 1 else [(ticks / price, lots / size) for ticks, lots in levels]
