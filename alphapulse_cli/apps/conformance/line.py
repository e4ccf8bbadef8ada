"""Line: one exchange's encoder and decoder joined in memory, with the collector's own `Ingest` behind them.

    SimulatedMarket ─► Encoder ─► frames ─► a fault ─► Ingest (Decoder) ─► books, trades
                          ▲                               │ requests
                          └──── Send, Fetch…, Reconnect ◄─┘

No socket, no clock: time is virtual and moves by STEP_NS a step, and every request is answered at once. So a run with the same seed
is the same run, and a fault is the only thing that can go wrong in it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from alphapulse_cli.edges.exchange.rate_limit import RateLimit
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Decoder, Level, joined, opened
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.instrument import Instrument
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
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.wire import trade as trade_record
from alphapulse_cli.wire.delta import BookState

START_NS = 1_790_000_000 * 10**9  # of the virtual clock
STEP_NS = 100_000_000
LEVELS = 40  # levels a side of each book: every window of an exchange is at most so deep, or full
RING_RECORDS = 16_384
MOST_ROUNDS = 50  # requests and answers within one step; a decoder that asks for more asks for ever
CHANNELS = frozenset({BOOK, TRADES})

Fault = Callable[[Sequence[bytes]], Sequence[bytes]]


class NeverQuiet(AlphapulseError):
    """A decoder queued requests without end."""


class Line:
    """One connection of an exchange's simulator to a collector's ingest. `decoder` may replace the exchange's own, for tests."""

    def __init__(
        self,
        exchange: Exchange,
        mode: str,
        *,
        seed: int = 1,
        symbols: int = 2,
        decoder: Callable[[Sequence[Instrument]], Decoder] | None = None,
    ) -> None:
        self.exchange, self.mode = exchange, mode
        self.facts = exchange.facts.mode(mode)
        self.market = SimulatedMarket(exchange.facts.name, seed, levels_per_side=LEVELS, start_ns=START_NS)
        self.symbols = self.market.symbols[:symbols]
        instruments = [self.market.instruments[symbol] for symbol in self.symbols]
        self.rest = exchange.rest_encoder(self.market, mode)
        self.encoder = exchange.encoder(self.market, mode)
        self.decoder = decoder(instruments) if decoder else exchange.decoder(instruments, CHANNELS, 0, mode)
        self.notices: list[str] = []
        with ExitStack() as opened:
            place = opened.enter_context(TemporaryDirectory(prefix="alphapulse-check-"))
            directory = opened.enter_context(open_directory(Path(place) / "segments", create=True))
            name = exchange.facts.name
            self.outlet = opened.enter_context(Outlet(directory, name, name, self.symbols, RING_RECORDS, clock.monotonic_ns()))
            self.ingest = Ingest(exchange, self.decoder, instruments, CHANNELS, self.outlet, self._note, mode)
            self._opened = opened.pop_all()
        self.keepers = {keeper.instrument.symbol: keeper for keeper in self.ingest.keepers.values()}
        self.now_ns = self.monotonic_ns = START_NS
        self.frames: list[bytes] = []  # every frame that the exchange sent
        self.requests: list[Request] = []  # every request that the decoder made
        self.answers: list[tuple[Request, bytes]] = []  # bodies of fetched requests
        self.left_live: set[str] = set()  # symbols whose book was not LIVE after some frame, since this was last emptied
        self.reconnections = 0
        self.is_mute = False  # whether the exchange's frames are swallowed, until the next connection
        self.trades_made = dict.fromkeys(self.symbols, 0)
        self.without_trades: set[str] = set()  # symbols whose frames of trades get lost
        self.limit: RateLimit | None = None  # of sent messages; None: each leaves at once
        self._late: deque[tuple[int, bytes]] = deque()  # messages that wait for the limit, and when they leave
        self.fault_of_sends: Callable[[bytes], Sequence[bytes] | None] | None = None  # answers instead of the exchange, or None

    def __enter__(self) -> Self:
        try:
            self.connect()
        except BaseException:  # there is no __exit__ then
            self._opened.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()

    def _note(self, level: str, line: str) -> None:
        self.notices.append(f"{level}: {line}")

    # The connection

    def connect(self) -> None:
        """Open the connection, and carry out what the decoder requests on it."""
        self.encoder = self.exchange.encoder(self.market, self.mode)
        self.is_mute = False
        opened(self.encoder, self.exchange.facts.mode(self.mode).websocket_url)
        self._late.clear()
        self.ingest.connected(self.monotonic_ns)
        self.deliver(self.encoder.connected(self.now_ns))
        self.carry_out()

    def reconnect(self) -> None:
        """Lose the connection and open another."""
        self.reconnections += 1
        self.ingest.disconnected(self.now_ns)
        self._look()
        self.connect()

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Hand frames to the collector, in order; none where the connection is mute."""
        for frame in () if self.is_mute else frames:
            self.frames.append(frame)
            self.ingest.receive(frame, self.now_ns)
            self._look()

    def _look(self) -> None:
        self.left_live.update(symbol for symbol, keeper in self.keepers.items() if keeper.state is not BookState.LIVE)

    def carry_out(self) -> None:
        """Carry out all requests, and those that their answers lead to. NeverQuiet if there is no end of them."""
        for _ in range(MOST_ROUNDS):
            requests = self.ingest.pending_requests()
            if not requests:
                return
            for request in requests:
                self.requests.append(request)
                self._carry_out(request)
        raise NeverQuiet(
            f"the decoder still queues requests after {MOST_ROUNDS} rounds of answers", f"the last: {self.requests[-1]}"
        )

    def _carry_out(self, request: Request) -> None:
        match request:
            case Send(frame):
                wait_s = self.limit.reserve(self.monotonic_ns) if self.limit else 0
                if wait_s:
                    self._late.append((self.monotonic_ns + int(wait_s * 1e9), frame))
                else:
                    self._send(frame)
            case FetchSnapshot() | FetchProof() | FetchTrades() | FetchInstruments():
                self._fetch(request)
            case Reconnect():
                self.reconnect()
            case SlowDown() if self.limit:
                self.limit.slow_down(self.monotonic_ns)
            case SlowDown():
                pass

    def _send(self, frame: bytes) -> None:
        answers = self.fault_of_sends(frame) if self.fault_of_sends else None
        self.deliver(self.encoder.receive(frame, self.now_ns) if answers is None else answers)

    def get(self, path: str) -> tuple[int, bytes]:
        """GET a path of the exchange's REST side, its query included: (HTTP status, body)."""
        bare, _, query = path.partition("?")
        return self.rest.respond(bare, dict(parse_qsl(query)), self.now_ns)

    @property
    def metadata_paths(self) -> tuple[str, ...]:
        """REST paths of the mode's instrument metadata."""
        return self.exchange.facts.metadata_paths(self.mode)

    def metadata(self) -> tuple[int, bytes]:
        """GET the instrument metadata: (worst HTTP status, body for `parse_instruments`)."""
        answers = [self.get(path) for path in self.metadata_paths]
        return max(status for status, _ in answers), joined([body for _, body in answers])

    def _fetch(self, request: FetchSnapshot | FetchProof | FetchTrades | FetchInstruments) -> None:
        status, body = self.metadata() if isinstance(request, FetchInstruments) else self.get(request.path)
        self.answers.append((request, body))
        match request:
            case FetchInstruments() if status == 200:
                self.ingest.receive_instruments(body, self.now_ns)
            case FetchInstruments():
                self.ingest.fetch_failed(None, self.monotonic_ns)
            case FetchSnapshot(instrument) if status != 200:
                self.ingest.fetch_failed(instrument, self.monotonic_ns)
            case FetchSnapshot(instrument):
                self.ingest.receive_snapshot(instrument, body, self.now_ns)
            case FetchProof(instrument) if status == 200:
                self.ingest.receive_proof(instrument, body, self.now_ns)
            case FetchTrades(instrument) if status == 200:
                self.ingest.receive_trades(instrument, body, self.now_ns)
        self._look()

    # The market

    def step(self, symbol: str = "", fault: Fault | None = None) -> int:
        """Make a step of one symbol's market, or of all; `fault` changes the frames of its book updates. How many frames it got.

        Then 100 ms pass.
        """
        struck = 0
        for each in [symbol] if symbol else self.symbols:
            made = self.market.step(each, self.now_ns)
            if made.trades:
                self.trades_made[each] += len(made.trades)
                frames = self.encoder.trades(each, made.trades, self.now_ns)
                self.deliver(() if each in self.without_trades else frames)
            if made.changes:
                frames = self.encoder.update(each, made.changes, self.now_ns)
                struck += len(frames)
                self.deliver(fault(frames) if fault else frames)
        self.pass_time()
        return struck

    def pass_time(self, steps: int = 1) -> None:
        """Let time pass without a change of the market: heartbeats once a second, the collector's ticks, what they request."""
        for _ in range(steps):
            self.now_ns += STEP_NS
            self.monotonic_ns += STEP_NS
            if self.now_ns % 1_000_000_000 < STEP_NS:
                self.deliver(self.encoder.heartbeat(self.now_ns))
            while self._late and self._late[0][0] <= self.monotonic_ns:
                self._send(self._late.popleft()[1])
            self.ingest.tick(self.now_ns, self.monotonic_ns)
            self.carry_out()

    def is_live(self) -> bool:
        """Whether every book is LIVE."""
        return all(keeper.state is BookState.LIVE for keeper in self.keepers.values())

    # Books and trades, exact

    def wrong_books(self, symbols: Sequence[str] = ()) -> list[str]:
        """Sentences about the LIVE books that are not the market's; [] if all are right."""
        return [
            f"{symbol}: {difference}"
            for symbol in symbols or self.symbols
            if self.keepers[symbol].state is BookState.LIVE and (difference := self._difference(symbol))
        ]

    def _difference(self, symbol: str) -> str:
        keeper, listed = self.keepers[symbol], self.market.instruments[symbol]
        depth = None if self.facts.full_depth else self.facts.default_depth or None
        sides = zip(("bid", "ask"), self.market.book(symbol, depth), (keeper.book.bids(), keeper.book.asks()), strict=True)
        for side, true, held in sides:
            wanted, got = on_one_grid(true, listed, keeper.instrument), on_one_grid(held, keeper.instrument, listed)
            if wanted != got:
                first = next(
                    (at for at, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), min(len(wanted), len(got))
                )
                return f"{len(got)} {side} levels where the market has {len(wanted)}; the first difference is at level {first + 1}"
        return ""

    def published_trades(self, symbol: str, *, history: bool = False) -> list[tuple[str, int, int, int]]:
        """Trades in the ring, with `history` also those: (id, ticks, lots, side), on the grid of the listing, oldest first."""
        import numpy as np

        records, _, _ = RingReader(self.outlet.trades.segment, "oldest").poll(RING_RECORDS)
        listed, found = self.market.instruments[symbol], []
        for row in np.frombuffer(bytes(records), trade_record.dtype()):
            if row["symbol"].decode() != symbol or (row["flags"] & trade_record.HISTORY and not history):
                continue
            price, size = (
                10 ** (int(row["price_decimals"]) - listed.price_decimals),
                10 ** (int(row["size_decimals"]) - listed.size_decimals),
            )
            found.append(
                (row["trade_id"].decode(), int(row["price_ticks"]) // price, int(row["size_lots"]) // size, int(row["side"]))
            )
        return found


def on_one_grid(levels: Sequence[Level], of: Instrument, other: Instrument) -> list[Level]:
    """Levels on the finer of two grids, so that they can be compared."""
    price = 10 ** max(0, other.price_decimals - of.price_decimals)
    size = 10 ** max(0, other.size_decimals - of.size_decimals)
    return [(ticks * price, lots * size) for ticks, lots in levels]
