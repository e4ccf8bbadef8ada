"""Connection of one client to a simulated exchange: encoder, frame queue, and fault injection.

    market step ─► encoder ─► mischief ─► edges.server.Client: a bounded queue ─► WebSocket
    client's frame ─► encoder ─────────────┘

Frames are encoded and queued in the order of the market's states, in the event loop's thread: a client gets an exact feed however
slowly it reads.
"""

import socket
import struct
from collections.abc import Callable, Mapping

import orjson
from websockets.asyncio.server import ServerConnection

from alphapulse_cli.edges.server.client import Client
from alphapulse_cli.exchanges.protocol import Encoder
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.sim.market_maker import MarketStep
from alphapulse_cli.sim.mischief import HANDSHAKES, OF_FRAMES, Injection, Mischief, Scenario

ABOUT_FRAMES = frozenset(OF_FRAMES) - {"checksum", "flood"}
NEEDING_BOOKS = ABOUT_FRAMES | {"checksum"}
DRIP_NS = 500_000_000
FOREVER_NS = 1 << 62
BOOK_WORDS = (b'"book', b"level2", b"@depth", b"orderbook.")  # every exchange's subscription to a book contains one of them


class Connection(Client):
    """Connection of a client; clients are numbered from 1 in the order of their arrival. Times are ns since 1970."""

    def __init__(
        self,
        number: int,
        websocket: ServerConnection,
        encoder: Encoder,
        mischief: Mischief,
        *,
        queue_bytes: int,
        report: Callable[[Injection, float], None],
        natives: Mapping[str, str],
    ) -> None:
        """Start sending.

        `report` is called with each injection and its seconds; `natives` are the exchange's own names by symbol.
        """
        super().__init__(websocket, queue_bytes)
        self.number, self.encoder, self.mischief, self._report = number, encoder, mischief, report
        self._silent_until_ns = self._drip_until_ns = self._next_drip_ns = 0
        self._is_mute = False
        self._has_books = False  # whether a book update was sent to the client
        self._mute_symbols: dict[str, tuple[bytes, ...]] = {}  # muted symbol -> its names in a client's requests
        self._natives = natives
        self._next_subscription = ""  # fault of the client's next subscription: "refuse", "lost-ack" or ""

    def connected(self, now_ns: int) -> None:
        """Queue the exchange's greeting frames."""
        self.push(self.encoder.connected(now_ns))

    def receive(self, frame: bytes, now_ns: int) -> None:
        """Process a frame of the client and queue the answers."""
        if self._is_mute and b"ping" not in frame:
            return
        if self._next_subscription and _subscribes(frame):
            kind, self._next_subscription = self._next_subscription, ""
            self.push(self.encoder.refuse_for_now(frame, now_ns) if kind == "refuse" else ())
            return
        if self._mute_symbols and any(word in frame for word in BOOK_WORDS):
            for symbol, names in list(self._mute_symbols.items()):
                if any(name in frame for name in names):
                    del self._mute_symbols[symbol]
        self.push(self.encoder.receive(frame, now_ns))

    def heartbeat(self, now_ns: int) -> None:
        """Queue the frames that the exchange sends every second: heartbeats, and pictures where the feed has them."""
        if not self._is_mute:
            frames = self.encoder.heartbeat(now_ns)
            mute = [name for names in self._mute_symbols.values() for name in names]
            self.push([frame for frame in frames if not any(name in frame for name in mute)])

    def is_mute(self, symbol: str) -> bool:
        """Whether a fault suppresses this symbol's frames, or all frames."""
        return self._is_mute or symbol in self._mute_symbols

    def send_status(self, symbol: str, now_ns: int) -> None:
        """Queue the frames that announce the symbol's new trading status, if the exchange has such frames."""
        if not self._is_mute:
            self.push(self.encoder.trading_status(symbol, now_ns))

    def take(self, step: MarketStep, instrument: Instrument, now_ns: int) -> bool:
        """Queue the frames of a market step, after fault injection. True for a flood: the caller then makes a burst of steps."""
        if self.is_mute(step.symbol):
            return False
        trades = self.encoder.trades(step.symbol, step.trades, now_ns) if step.trades else ()
        self.push(trades)
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
        self.push(mangled)
        self._has_books = self._has_books or bool(frames)
        # a client with only trades gets connection faults too; one whose book is being resubscribed gets them with its next update
        has_target = frames or (trades and not self._has_books and kind not in NEEDING_BOOKS)
        if scenario is None or not has_target or (kind == "offgrid" and not changed):
            return False  # the fault does not apply to these frames: an armed kind waits for the next update
        self.mischief.spend(scenario)
        struck = spoiled if kind == "checksum" else changed or kind not in ABOUT_FRAMES
        return struck and self._strike(scenario, step.symbol, now_ns)

    def _strike(self, scenario: Scenario, symbol: str, now_ns: int) -> bool:
        """Log an injected fault, and carry it out if it is one of the connection. True for a flood."""
        self._report(Injection(now_ns, scenario.kind, self.number, symbol), scenario.seconds)
        kind, until_ns = scenario.kind, now_ns + int(scenario.seconds * 1e9)
        if kind == "stall":
            self._silent_until_ns = max(self._silent_until_ns, until_ns)
            self.allow(0)
        elif kind == "drip":
            self._drip_until_ns = max(self._drip_until_ns, until_ns)
            self.allow(0)
        elif kind == "mute" and scenario.symbol:
            native = self._natives[symbol]
            self._mute_symbols[symbol] = (f'"{native}"'.encode(), f'"{native.lower()}@'.encode(), f'.{native}"'.encode())
        elif kind == "mute":
            self._is_mute = True
        elif kind == "half-open":
            self._silent_until_ns = FOREVER_NS
            self.allow(0)
            self.websocket.transport.pause_reading()
        elif kind in ("refuse", "lost-ack"):
            self._next_subscription = kind
        elif kind in ("disconnect", "rst") or kind in HANDSHAKES:
            self._tear_down(kind)
        return kind == "flood"

    def _tear_down(self, kind: str) -> None:
        """Abort the connection without a close frame; `rst`: with a TCP reset."""
        self.dropped = f"mischief: {kind}"
        transport = self.websocket.transport
        end: socket.socket | None = transport.get_extra_info("socket") if kind == "rst" else None
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def tick(self, now_ns: int) -> None:
        """Process timers: end a silence that is over, release the next frame of a drip."""
        if self._silent_until_ns and now_ns >= self._silent_until_ns:
            self._silent_until_ns = 0
            self.allow(0 if self._drip_until_ns else None)
        if not self._drip_until_ns:
            return
        if now_ns >= self._drip_until_ns:
            self._drip_until_ns = 0
            self.allow(0 if self._silent_until_ns else None)
        elif now_ns >= self._next_drip_ns and not self._silent_until_ns:
            self._next_drip_ns = now_ns + DRIP_NS
            self.allow(1)


def _subscribes(frame: bytes) -> bool:
    """Whether a client's frame (arbitrary bytes) is a JSON object that subscribes."""
    words = frame.lower()
    if b"subscribe" not in words or b"unsubscribe" in words:
        return False
    try:
        return isinstance(orjson.loads(frame), dict)
    except orjson.JSONDecodeError:
        return False
