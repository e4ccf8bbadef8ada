"""Simulated exchange: a seeded market behind the real protocol, on a WebSocket and REST server at one loopback port.

    async with SimulatedExchange("kraken", seed=7) as exchange:         # real time: `rate` steps per second and symbol
        ... exchange.websocket_url, exchange.rest_url ...

    async with SimulatedExchange("kraken", rate=0) as exchange:         # virtual time: steps on `advance` only
        await exchange.advance(100)

    ws://host:port/… ─► process_request ─┬─ Upgrade ─► Connection (encoder, queue, mischief) ◄─ every step of the market
    http://host:port/… ──────────────────┴─ GET ─────► RestEncoder

    exchange.freeze(); exchange.truth.book("BTC-USD"); exchange.thaw()      # compare a client with the frozen market

The exchange runs in one event loop: a snapshot and the updates after it always fit. It serves tests, demos and users' own bots on
loopback, optionally with TLS. It is not meant as a public server: it has no rate limits and no login.
"""

import asyncio
import math
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from alphapulse_cli import exchanges
from alphapulse_cli.edges.server.listener import Answer, Listener
from alphapulse_cli.errors import UsageError
from alphapulse_cli.exchanges.protocol import HeadersEncoder, joined, opened
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.sim.connection import Connection
from alphapulse_cli.sim.hidden_price import seed_of
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.mischief import DEFAULT_STALL_S, FLOOD_STEPS, Injection, Mischief, Scenario, check_kind
from alphapulse_cli.sim.outages import Outages
from alphapulse_cli.sim.pace import keep_pace
from alphapulse_cli.sim.planted import PlantedSchedule

DEFAULT_RATE = 20.0  # steps per second and symbol
UNTHROTTLED = math.inf  # as fast as the clients read
VIRTUAL_START_NS = 1_790_000_000 * 10**9  # start of the virtual clock: September 2026
STEP_NS = 50_000_000  # advance of the virtual clock per step
SECOND_NS = 1_000_000_000
QUEUE_BYTES = 64 << 20  # largest queue of a client: several full-depth snapshots fit
ROOM_BYTES = 1 << 20  # an unthrottled market pauses while a client's queue is larger
STEPS_AT_ONCE = 64  # market steps between two turns of the event loop
KEPT_INJECTIONS = 10_000
FROZEN_PAUSE_S = 0.01  # polling interval of an unthrottled market that is frozen
NOT_SIMULATED = (  # common to all exchanges: the first rows of docs/reference/simulators.md
    ("orders, accounts, private channels, keys", "refused as any unknown path or channel is"),
    ("rate limits and bans", "none; of what an exchange tells about used limits, what its encoder counts"),
    ("a TLS certificate of a known authority", "plain ws:// and http://, or one of a throw-away authority with `--tls`"),
    ("compressed frames (permessage-deflate)", "never agreed to in the handshake; clients fall back to plain frames"),
    ("the exchange's own listing", "a few of its symbols on their real grids, and `--more N` invented ones"),
    ("a market with a past", "trades, candles and figures of 24 hours since the simulator's start; candles of up to a year"),
)
JSON = ("Content-Type", "application/json")


class SimulatedExchange:
    """Server of one simulated exchange on one port.

    `truth`: its market. `injections`: log of injected faults. `dropped`: reasons why clients were disconnected.
    """

    def __init__(
        self,
        name: str,
        market: SimulatedMarket | None = None,
        *,
        seed: int = 1,
        symbols: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        rate: float = DEFAULT_RATE,
        burst: int = 1,
        mode: str = "",
        mischief: Sequence[Scenario] = (),
        queue_bytes: int = QUEUE_BYTES,
        clock: Callable[[], int] | None = None,
        speaker: exchanges.Exchange | None = None,
        planted: PlantedSchedule | None = None,
        more: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Set the exchange up; `async with` opens its port. UsageError for unknown names or an invalid rate or burst.

        `rate` is in steps per second for each symbol, in groups of `burst`; with 0 only `advance` moves the market. `clock` returns
        ns since 1970; the default is the real clock with a rate, a virtual one without. `speaker` replaces the registry's exchange.
        `planted` and `more`, a number of invented symbols, apply to the market that is created if `market` is None. With `tls`, a
        server's context (`edges.server.throwaway_ca`), the addresses are wss:// and https://.
        """
        self._speaker = speaker or exchanges.get(name)
        try:
            facts = self._speaker.facts.mode(mode)
        except KeyError:
            known = ", ".join(each.name for each in self._speaker.facts.modes)
            raise UsageError(f"{name} has no mode {mode[:40]!r}", f"its modes are: {known}") from None
        if not rate >= 0 or burst < 1:
            raise UsageError(
                f"impossible rate {rate:g} or burst {burst}", "the rate is 0 or more steps a second, the burst 1 or more steps"
            )
        self.name, self.mode, self.host, self.port = name, facts.name, host, port
        self.rate, self.burst = rate, burst
        self._clock = clock or (time.time_ns if rate else None)
        self.now_ns = self._clock() if self._clock else VIRTUAL_START_NS
        self.truth = market or SimulatedMarket(name, seed, symbols, start_ns=self.now_ns, planted=planted, more=more)
        self._rest = self._speaker.rest_encoder(self.truth, self.mode)
        self.outages = Outages()
        self._rest_path = urlsplit(facts.rest_url).path.rstrip("/")
        parts = urlsplit(facts.websocket_url)
        self._websocket_path = parts.path + (f"?{parts.query}" if parts.query else "")
        self._seed, self._mischief, self._queue_bytes = seed, mischief, queue_bytes
        self.connections: list[Connection] = []
        self.connection_count = 0  # since the start
        self.step_count = 0
        self.injections: deque[Injection] = deque(maxlen=KEPT_INJECTIONS)
        self.injection_counts: Counter[str] = Counter()
        self.dropped: deque[str] = deque(maxlen=KEPT_INJECTIONS)
        self._next_heartbeat_ns = self.now_ns + SECOND_NS
        self._halted_until_ns: dict[str, int] = {}
        self._metadata_paths = self._speaker.facts.metadata_paths(self.mode)
        self._turn = 0
        self._is_frozen = False
        self._tls = "s" if tls else ""
        self._listener = Listener(name, host, port, self.serve_client, self._get, self._refusal, tls)
        self._runner: asyncio.Task[None] | None = None
        self._someone_came = asyncio.Event()

    @property
    def websocket_url(self) -> str:
        """WebSocket address for clients: this host and port, with the path and query of the real exchange."""
        return f"ws{self._tls}://{self.host}:{self.port}{self._websocket_path}"

    @property
    def rest_url(self) -> str:
        """REST address for clients: this host and port, with the prefix of the real exchange's paths."""
        return f"http{self._tls}://{self.host}:{self.port}{self._rest_path}"

    async def __aenter__(self) -> Self:
        """Open the port and start the timer. UsageError if the port is not available."""
        self.port = await self._listener.open()
        if self.rate:
            per_second = self.rate * len(self.truth.symbols)
            unthrottled = self.rate == UNTHROTTLED
            runner = self._run_unthrottled() if unthrottled else keep_pace(self._step_next, per_second, self.burst)
            self._runner = asyncio.create_task(runner)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the timer, close every connection with code 1001, free the port."""
        self.stop_timer()
        if self._runner is not None:
            await asyncio.wait([self._runner])
        await self._listener.close()

    def stop_timer(self) -> None:
        """Stop the timer, if any, permanently: from then on only `advance` steps the market."""
        if self._runner is not None:
            self._runner.cancel()

    async def run_forever(self) -> None:
        """Wait until cancelled; raises the exception that ended the timer, if any."""
        if self._runner is None:
            await asyncio.Event().wait()
        else:
            await asyncio.shield(self._runner)

    async def advance(self, steps: int = 1, symbol: str = "") -> None:
        """Make `steps` market steps of every symbol (or one) now, and wait until the event loop has sent their frames."""
        for i in range(steps):
            self._pass_time(STEP_NS)
            for each in [symbol] if symbol else self.truth.symbols:
                self._step(each)
            if i % STEPS_AT_ONCE == STEPS_AT_ONCE - 1 or i == steps - 1:
                await asyncio.sleep(0)

    def freeze(self) -> None:
        """Freeze the market: no step changes it until `thaw`. Heartbeats and answers continue."""
        self._is_frozen = True

    def thaw(self) -> None:
        """End a freeze: the market steps again."""
        self._is_frozen = False

    def inject(self, kind: str, symbol: str = "", seconds: float = DEFAULT_STALL_S) -> None:
        """Inject a fault into the next update (of `symbol`, or of any) on every current connection.

        UsageError for an unknown kind.
        """
        check_kind(kind)
        for connection in self.connections:
            connection.mischief.arm(kind, symbol, seconds)

    def set_trading_status(self, symbol: str, status: TradingStatus) -> None:
        """Set the trading status of a symbol, and announce it in the feed and by REST.

        UsageError if the exchange has no such status. A market that accepts no taking orders is frozen.
        """
        before = self.truth.instruments[symbol].trading_status
        self.truth.set_trading_status(symbol, status)
        announced = {one.symbol: one.trading_status for one in self._speaker.parse_instruments(self._metadata(), self.mode)}
        if announced.get(symbol) is not status:
            self.truth.set_trading_status(symbol, before)
            raise UsageError(f"{self.name} has no trading status {status.name}", "use SUSPENDED or CANCEL_ONLY")
        for connection in self.connections:
            connection.send_status(symbol, self._now())

    def _metadata(self) -> bytes:
        parts = [path.partition("?") for path in self._metadata_paths]
        return joined([self._rest.respond(path, dict(parse_qsl(query)), self._now())[1] for path, _, query in parts])

    def _halt(self, symbol: str, seconds: float) -> None:
        """Halt a symbol's market for `seconds`, with the first halting status that the exchange can announce."""
        for status in (TradingStatus.CANCEL_ONLY, TradingStatus.SUSPENDED):
            with suppress(UsageError):
                self.set_trading_status(symbol, status)
                self._halted_until_ns[symbol] = self._now() + int(seconds * 1e9)
                return

    def _reopen(self) -> None:
        """Reopen the markets whose halt is over."""
        for symbol, until_ns in list(self._halted_until_ns.items()):
            if self.now_ns >= until_ns:
                del self._halted_until_ns[symbol]
                self.set_trading_status(symbol, TradingStatus.TRADING)

    def calm(self) -> None:
        """Cancel pending injected faults, on every current connection and for the whole exchange."""
        self.outages = Outages()
        for connection in self.connections:
            connection.mischief.disarm()

    def end_mischief(self) -> None:
        """Stop fault injection on current and future connections. Silences in progress end at their time."""
        self._mischief = ()
        self.outages = Outages()
        for connection in self.connections:
            connection.mischief.end()

    def _pass_time(self, step_ns: int) -> None:
        """Read the clock, or advance the virtual one; then process timers: ends of silences and halts, heartbeats."""
        self.now_ns = self._clock() if self._clock else self.now_ns + step_ns
        for connection in self.connections:
            connection.tick(self.now_ns)
        if self._halted_until_ns:
            self._reopen()
        if self.now_ns >= self._next_heartbeat_ns:
            self._next_heartbeat_ns = self.now_ns + SECOND_NS
            for connection in self.connections:
                connection.heartbeat(self.now_ns)

    def _step(self, symbol: str, *, may_flood: bool = True) -> None:
        if self._is_frozen or not self.truth.instruments[symbol].trading:
            return
        step = self.truth.step(symbol, self.now_ns)
        self.step_count += 1
        instrument = self.truth.instruments[symbol]
        wants_flood = [connection.take(step, instrument, self.now_ns) for connection in self.connections]
        if may_flood and any(wants_flood):
            for _ in range(FLOOD_STEPS):
                self._step(symbol, may_flood=False)

    def _step_next(self, count: int) -> None:
        """Make the next `count` steps, symbols in rotation, after the steps that planted opportunities need now."""
        self._pass_time(0)
        for symbol in self.truth.due(self.now_ns):
            self._step(symbol)
        symbols = self.truth.symbols
        for _ in range(count):
            self._step(symbols[self._turn % len(symbols)])
            self._turn += 1

    async def _run_unthrottled(self) -> None:
        """Make steps as fast as the clients read them, until cancelled; pauses without a client."""
        while True:
            while not self.connections:
                self._someone_came.clear()
                await self._someone_came.wait()
            self._step_next(STEPS_AT_ONCE)
            await asyncio.sleep(FROZEN_PAUSE_S if self._is_frozen else 0)
            while any(connection.queued_bytes > ROOM_BYTES and not connection.dropped for connection in self.connections):
                await asyncio.sleep(0.0005)
                self._pass_time(0)

    async def serve_client(self, websocket: ServerConnection) -> None:
        """Serve one client until its connection ends; `websocket` is the server's end of an open connection."""
        self.connection_count += 1
        number = self.connection_count
        encoder = self._speaker.encoder(self.truth, self.mode)
        if websocket.request is not None:
            opened(encoder, websocket.request.path)
        mischief = Mischief(self._mischief, seed_of(self._seed, self.name, "mischief", str(number)))
        connection = Connection(
            number,
            websocket,
            encoder,
            mischief,
            queue_bytes=self._queue_bytes,
            report=self._report,
            natives={symbol: instrument.native for symbol, instrument in self.truth.instruments.items()},
        )
        self.connections.append(connection)
        self._someone_came.set()
        try:
            connection.connected(self._now())
            while True:
                message = await websocket.recv()
                connection.receive(message.encode() if isinstance(message, str) else bytes(message), self._now())
        except ConnectionClosed:
            pass
        finally:
            self.connections.remove(connection)
            if connection.dropped:
                self.dropped.append(connection.dropped)
            await connection.closed()

    def _now(self) -> int:
        return self._clock() if self._clock else self.now_ns

    def _report(self, injection: Injection, seconds: float) -> None:
        self.injections.append(injection)
        self.injection_counts[injection.kind] += 1
        if injection.kind == "sequence-reset":
            self.truth.restart_sequence(injection.symbol)
            for connection in self.connections:
                connection.encoder.restart_sequence()
        elif injection.kind == "metadata":
            self.truth.double_min_size(injection.symbol)
        elif injection.kind == "halted":
            self._halt(injection.symbol, seconds)
        else:
            self.outages.begin(injection.kind, seconds)

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        """Answer a REST request: (HTTP status, body)."""
        return self.outages.spoil(path, *self._rest.respond(path, query, self._now()))

    def refusal_of_handshake(self) -> tuple[int, list[tuple[str, str]]] | None:
        """Refusal of the next handshake: (HTTP status, headers), or None if it is accepted."""
        return self.outages.refusal()

    def _refusal(self, address: str) -> Answer | None:
        refusal = self.refusal_of_handshake()
        if refusal is not None:
            return Answer(refusal[0], headers=refusal[1])
        refused = opened(self._speaker.encoder(self.truth, self.mode), address)
        return None if refused is None else Answer(*refused)

    async def _get(self, path: str, query: Mapping[str, str]) -> Answer:
        below = path.removeprefix(self._rest_path) if path.startswith(self._rest_path + "/") else path
        status, body = self.answer(below, query)
        headers = self._rest.headers(below, query, self._now()) if isinstance(self._rest, HeadersEncoder) else ()
        await asyncio.sleep(self.outages.take_delay_s())
        return Answer(status, body, [JSON, *headers])
