"""Parts for tests of the simulators: a protocol of three message types, a client that reads with a limit, and how a test awaits.

The small protocol: {"subscribe": native} is answered with {"book": …, "seq": …, "bids": …, "asks": …}; then {"update": native, "seq": …, "changes":
[[ticks, lots, is_ask], …], "crc": …} and {"trade": native, …}. "crc" is the best bid, so that a spoiled one shows.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import Facts, Level, Mode, Truth
from alphapulse_cli.sim.exchange import SimulatedExchange

LIMIT_S = 20.0
FACTS = Facts(
    name="small",
    title="Small",
    modes=[
        Mode("plain", "wss://small.example/v9", "https://small.example/api/v9", "the best bid", full_depth=True),
        Mode("fancy", "wss://small.example/fancy", "https://small.example", "nothing", full_depth=True),
    ],
    instruments_path="/instruments",
)


def _none(*_: Any) -> Any:
    raise NotImplementedError("the simulated side needs neither decoder nor parser")


class SmallEncoder:
    """`exchanges.protocol.Encoder` of the small protocol."""

    def __init__(self, truth: Truth, mode: str) -> None:
        self.truth, self.mode, self.spoil_checksum = truth, mode, False
        self._subscribed: dict[str, str] = {}

    def connected(self, now_ns):
        return [_frame({"hello": self.mode})]

    def receive(self, frame, now_ns):
        try:
            native = json.loads(frame)["subscribe"]
        except (ValueError, KeyError):
            return [_frame({"error": "what?"})]
        symbols = {each.native: symbol for symbol, each in self.truth.instruments.items()}
        if native not in symbols:
            return [_frame({"error": f"no {native}"})]
        self._subscribed[symbols[native]] = native
        bids, asks = self.truth.book(symbols[native])
        return [_frame({"book": native, "seq": self.truth.sequence(symbols[native]), "bids": bids, "asks": asks})]

    def update(self, symbol, changes, now_ns):
        if symbol not in self._subscribed:
            return []
        checksum = self.truth.book(symbol, 1)[0][0][0] + self.spoil_checksum
        self.spoil_checksum = False
        return [
            _frame({"update": self._subscribed[symbol], "seq": self.truth.sequence(symbol), "changes": changes, "crc": checksum})
        ]

    def trades(self, symbol, trades, now_ns):
        rows = [[trade.trade_id, trade.price_ticks, trade.size_lots] for trade in trades]
        return [_frame({"trade": self._subscribed[symbol], "trades": rows})] if symbol in self._subscribed else []

    def trading_status(self, symbol, now_ns):
        return []

    def heartbeat(self, now_ns):
        return [_frame({"heartbeat": now_ns})]

    def refuse_for_now(self, frame, now_ns):
        return [_frame({"error": "too soon"})]

    def restart_sequence(self):
        pass  # the truth counts


class SmallRest:
    """`exchanges.protocol.RestEncoder` of the small protocol."""

    def __init__(self, truth: Truth, mode: str) -> None:
        self.truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        if path == "/instruments":
            return 200, json.dumps([each.native for each in self.truth.instruments.values()]).encode()
        if path == "/book" and query.get("symbol") in self.truth.instruments:
            return 200, _frame({"bids": self.truth.book(query["symbol"])[0]})
        return 404, b'{"error":"not here"}'


SMALL = Exchange(FACTS, _none, SmallEncoder, SmallRest, _none)  # what the registry would give for the small protocol


def _frame(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


@dataclass
class DictBook:
    """A book in two dicts."""

    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def put(self, ticks: int, lots: int, is_ask: bool) -> None:
        side = self.asks if is_ask else self.bids
        side.pop(ticks, None)
        if lots:
            side[ticks] = lots

    def levels(self, depth: int | None = None) -> tuple[list[Level], list[Level]]:
        """As `Truth.book`."""
        return sorted(self.bids.items(), reverse=True)[:depth], sorted(self.asks.items())[:depth]


class SmallClient:
    """Speaks the small protocol: keeps a dict book, and notes what it can know to be wrong."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.book, self.seq = DictBook(), 0
        self.frames: list[Any] = []
        self.wrong: list[str] = []

    async def subscribe(self, native: str) -> None:
        """Subscribe, and read until the book is there."""
        await self.websocket.send(json.dumps({"subscribe": native}))
        await self.read_until(lambda: any("book" in frame for frame in self.frames))

    async def read_until(self, reached: Callable[[], bool]) -> None:
        """Read frames until it is so; TimeoutError at the limit."""
        while not reached():
            self.take(await within(self.websocket.recv()))

    @property
    def updates(self) -> int:
        """How many there were."""
        return sum("update" in frame for frame in self.frames)

    @property
    def errors(self) -> int:
        """How many there were."""
        return sum("error" in frame for frame in self.frames)

    def take(self, text: str | bytes) -> None:
        """One frame."""
        try:
            message = json.loads(text)
        except ValueError:
            self.wrong.append("garbage")
            return
        self.frames.append(message)
        if "book" in message:
            self.book = DictBook(dict(map(tuple, message["bids"])), dict(map(tuple, message["asks"])))
            self.seq = message["seq"]
        elif "update" in message:
            self._update(message)
        elif "type" in message:
            self.wrong.append("unknown")

    def _update(self, message: Any) -> None:
        if message["seq"] != self.seq + len(message["changes"]):
            self.wrong.append("sequence")
        for change in message["changes"]:
            self.book.put(*change)
        self.seq = message["seq"]
        if message["crc"] != self.book.levels(1)[0][0][0]:
            self.wrong.append("checksum")


async def within(awaitable: Awaitable[Any], limit_s: float = LIMIT_S) -> Any:
    """Its result, or TimeoutError."""
    return await asyncio.wait_for(awaitable, limit_s)


async def read_to_the_end(websocket: ClientConnection) -> None:
    """Read what there is; raises how the connection ended."""
    while True:
        await within(websocket.recv())


async def until(reached: Callable[[], object], limit_s: float = LIMIT_S, *, every_s: float = 0.001) -> None:
    """Let the loop run until it is so, which is looked at so often; TimeoutError at the limit."""
    async with asyncio.timeout(limit_s):
        while not reached():  # noqa: ASYNC110 - any condition, not an event's
            await asyncio.sleep(every_s)


def play(scene: Coroutine[Any, Any, Any]) -> Any:
    """Run an asynchronous test, bounded."""
    return asyncio.run(within(scene, 2 * LIMIT_S))


def client_of(exchange: SimulatedExchange, **options: Any) -> connect:
    """A WebSocket to it, large frames allowed."""
    return connect(exchange.websocket_url, **{"max_size": None, "close_timeout": 0.2, **options})


async def get(exchange: SimulatedExchange, path: str) -> tuple[int, Any]:
    """(status, JSON) of a GET below its REST address, over a plain socket."""
    reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
    prefix = exchange.rest_url.split(f":{exchange.port}", 1)[1]
    writer.write(f"GET {prefix}{path} HTTP/1.1\r\nHost: {exchange.host}\r\nConnection: close\r\n\r\n".encode())
    answer = await within(reader.read())
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}" in head.decode().lower()
    return int(head.split()[1]), json.loads(body)
