"""Frames of a simulated exchange, made without a socket: the traffic of a connection, in order, ready to be timed.

    market (seed) ─► encoder ⇄ decoder's own requests ─► opening: greeting, acks, snapshots · updates: one book message each

The frames are those of the real protocol. Their market is kept, so that a benchmark can prove that the timed work was correct.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from alphapulse_cli import exchanges
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import BOOK, Change, Decoder, Encoder, Mode, RestEncoder, joined
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchSnapshot, Request, Send
from alphapulse_cli.sim.market_maker import SimulatedMarket

SEED = 7
STARTED_NS = 1_790_000_000 * 10**9
STEP_NS = 50_000_000
WARMING_UPDATES = 64  # after these every decoder is live: its snapshot is joined with the stream


class BenchFeed(NamedTuple):
    """Feed of an exchange, with the name of its lines."""

    case: str
    exchange: str
    mode: str
    symbol: str = "BTC-USD"


FEEDS = (
    BenchFeed("kraken", "kraken", ""),
    BenchFeed("coinbase", "coinbase", ""),
    BenchFeed("coinbase, Exchange feed", "coinbase", "exchange"),
    BenchFeed("binance-us", "binance-us", ""),
    BenchFeed("okx", "okx", ""),
    BenchFeed("bitfinex", "bitfinex", ""),
    BenchFeed("bybit", "bybit", "", "BTC-USDT"),
)


class Heard(NamedTuple):
    """Message of the exchange: a frame, or with `is_snapshot` the answer to a FetchSnapshot."""

    body: bytes
    is_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Tape:
    """Traffic of one connection: its opening and its book updates. `receiver` makes a fresh decoder of the feed."""

    exchange: Exchange
    instruments: Sequence[Instrument]
    depth: int  # levels a side of the subscription; 0 is the full book
    opening: Sequence[Heard]
    updates: Sequence[bytes]
    market: SimulatedMarket | None  # as it is after the last update; None for a recording
    receiver: Callable[[], Decoder]
    mode: str = ""  # name of the feed; "" where the exchange has one only


class Server:
    """Exchange's side of one connection, without sockets."""

    def __init__(self, feed: BenchFeed) -> None:
        self.exchange = exchanges.get(feed.exchange)
        self.mode: Mode = self.exchange.facts.mode(feed.mode)
        self.symbol, self.now_ns = feed.symbol, STARTED_NS
        self.market = SimulatedMarket(feed.exchange, SEED, [feed.symbol], start_ns=STARTED_NS)
        self.encoder: Encoder = self.exchange.encoder(self.market, self.mode.name)
        self.rest: RestEncoder = self.exchange.rest_encoder(self.market, self.mode.name)

    def get(self, path: str) -> bytes:
        """Body of the answer to a REST request."""
        parts = urlsplit(path)
        _, body = self.rest.respond(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), self.now_ns)
        return body

    def instrument(self) -> Instrument:
        """Instrument of the feed's symbol, parsed from the exchange's metadata."""
        listed = joined([self.get(path) for path in self.exchange.facts.metadata_paths(self.mode.name)])
        found = self.exchange.parse_instruments(listed, self.mode.name)
        return next(one for one in found if one.symbol == self.symbol)

    def update(self, steps: int = 1) -> Sequence[bytes]:
        """Frames of the market's next `steps` in one message; [] if none of the changes is within the subscribed depth."""
        net: dict[tuple[int, bool], Change] = {}
        for _ in range(steps):
            self.now_ns += STEP_NS
            step = self.market.step(self.symbol, self.now_ns)
            net.update({(ticks, is_ask): (ticks, lots, is_ask) for ticks, lots, is_ask in step.changes})
        return self.encoder.update(self.symbol, list(net.values()), self.now_ns) if net else []


@cache
def tape(feed: BenchFeed, count: int) -> Tape:
    """Tape of a connection to that feed, with `count` updates after its opening."""
    server = Server(feed)
    instrument, depth = server.instrument(), server.mode.default_depth

    def receiver() -> Decoder:
        return server.exchange.decoder([instrument], {BOOK}, depth, server.mode.name)

    decoder = receiver()
    decoder.connected(server.now_ns)
    opening: list[Heard] = []
    _hear(server, decoder, server.encoder.connected(server.now_ns), opening)
    for _ in range(WARMING_UPDATES):
        _hear(server, decoder, server.update(), opening)
    updates: list[bytes] = []
    while len(updates) < count:
        updates += server.update()
    return Tape(server.exchange, [instrument], depth, opening, updates, server.market, receiver, server.mode.name)


def _hear(server: Server, decoder: Decoder, frames: Sequence[bytes], opening: list[Heard]) -> None:
    """Feed the decoder these frames and the answers to its requests, and append all of them to the opening."""
    waiting = [Heard(frame) for frame in frames]
    while True:
        waiting += [heard for request in decoder.pending_requests() for heard in _answers(server, request)]
        if not waiting:
            return
        for heard in waiting:
            if heard.is_snapshot:
                decoder.receive_snapshot(server.instrument(), heard.body, server.now_ns)
            else:
                decoder.receive(heard.body, server.now_ns)
        opening += waiting
        waiting = []


def _answers(server: Server, request: Request) -> list[Heard]:
    if isinstance(request, Send):
        return [Heard(frame) for frame in server.encoder.receive(request.frame, server.now_ns)]
    if isinstance(request, FetchSnapshot):
        return [Heard(server.get(request.path), is_snapshot=True)]
    return []


def open_decoder(made: Tape) -> Decoder:
    """Make a decoder that has received the opening."""
    decoder = made.receiver()
    decoder.connected(STARTED_NS)
    for heard in made.opening:
        if heard.is_snapshot:
            decoder.receive_snapshot(made.instruments[0], heard.body, STARTED_NS)
        else:
            decoder.receive(heard.body, STARTED_NS)
        decoder.pending_requests()
    return decoder
