"""What an exchange is to us: its facts, a decoder (bytes in, events and requests out) and an encoder (the same backwards).

A decoder has no socket, no clock, no log. Two times are handed in: `receive_ns` (CLOCK_REALTIME) stamps frames and nothing else,
`monotonic_ns` (CLOCK_MONOTONIC) is what deadlines count: one that begins with a frame counts from the last `tick`, about 100 ms ago
at most. Requests leave as values, in the order in which they must be done:

    decoder = kraken.Decoder(instruments, channels={"book", "trades"}, depth=10, mode="")
    decoder.connected(monotonic_ns)                # a new connection: forget the old one's state, queue the subscriptions
    for request in decoder.pending_requests(): …   # Send, FetchSnapshot, …
    for event in decoder.receive(frame, receive_ns): … # each frame, in order
    decoder.resync(instrument)                     # flow found the book wrong (a checksum): queue what heals it
    for event in decoder.tick(monotonic_ns): …     # each 100 ms

A decoder may have a `shape` (exchanges.shape) besides: whoever feeds it offers that each frame first, and `receive` what it does not
take. A frame is understood in full or refused with DecodeError: no level and no trade of a refused frame leaves. A DecodeError
changes no state but that the decoder may have to queue a resync, which `flow` asks for with `resync`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from alphapulse_cli.market.events import Event, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Request

Level = tuple[int, int]  # (ticks, lots)
Change = tuple[int, int, bool]  # (ticks, lots, is_ask)


class BookTop(Protocol):
    """What a checksum may look at of a book. Best levels first, at most `count` of them."""

    def bids(self, count: int) -> Sequence[Level]:
        """The best bids."""

    def asks(self, count: int) -> Sequence[Level]:
        """The best asks."""

    def top_digits(self, count: int) -> bytes:
        """The best asks, then the best bids, as decimal digits of ticks and lots with nothing between."""


BOOK, TRADES = "book", "trades"  # our names of the channels; each exchange's own are in its facts

# What reading a frame of another shape raises: a decoder makes it a DecodeError. Nesting that the parser still takes can be too
# deep for whoever shows it (RecursionError).
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
TEXT_KEPT = 200  # characters of an exchange's own words in events and errors: hostile, and as long as a frame may be


@dataclass(frozen=True, slots=True)
class Rate:
    """Bound on how often something may be done: `burst` at once after a rest, then `per_second`."""

    burst: int
    per_second: float

    @classmethod
    def within(cls, amount: int, span_s: float, burst: int) -> "Rate":
        """Rate with that burst, and never more than `amount` in any `span_s` seconds."""
        return cls(burst, (amount - burst) / span_s)


@dataclass(frozen=True, slots=True)
class Silence:
    """Longest silence, in seconds, that a feed's promise of heartbeats allows: then its books are STALE, then the connection is replaced.

    A pong does not break it: it proves the transport, not the feed. Where snapshots are small they are asked for before it comes to that
    (`doubt_after_s`): books that they prove are LIVE, for they are what the exchange has now.
    """

    stale_after_s: float = 3.0
    dead_after_s: float = 5.0
    doubt_after_s: float | None = None  # None: snapshots are too large to be asked for whenever a heartbeat is late


@dataclass(frozen=True, slots=True)
class Mode:
    """One way of collecting from an exchange: a feed, its addresses and how its books are kept right."""

    name: str
    websocket_url: str
    rest_url: str
    validates: str  # one line for `alphapulse exchanges`: "CRC32 of the top 10 on every message"
    full_depth: bool
    depths: Sequence[int] = ()  # what `--depth` may be; () = no choice
    default_depth: int = 0  # 0 = the full book
    instruments_path: str = ""  # where this mode's REST keeps the metadata; "" = `Facts.instruments_path`
    silence: Silence | None = None  # None: the feed promises no frame; pings tell whether the connection lives
    shows_loss: bool = True  # a lost book message is seen (sequence, checksum); False: only a book crossed in itself gives it away


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is fixed about an exchange; the one source for `exchanges`, `doctor`, the docs and the session's limits."""

    name: str  # "kraken": on the command line, in records, in file names
    title: str  # "Kraken"
    modes: Sequence[Mode]  # the first is the default
    instruments_path: str  # REST path of the instrument metadata below `rest_url`
    instruments_weight: int = 1
    rest_weight: Rate = Rate(30, 0.5)  # our own bounds, inside the exchange's: 60 in any minute
    connects: Rate = Rate(5, 0.08)  # 9 in any minute
    sends: Rate = Rate(1, 1.0)
    sends_per_address: bool = False  # else the exchange counts them by connection
    connection_life_s: float = 0.0  # the exchange closes after this long; 0 = it does not
    subscribe_batch: int = 100  # symbols in one subscribe message
    taker_fee: str = ""  # of the lowest tier, a decimal fraction: "0.0026"
    quirks: Sequence[str] = field(default_factory=tuple)

    def mode(self, name: str = "") -> Mode:
        """The mode of that name, the default one for "". KeyError if there is none."""
        if not name:
            return self.modes[0]
        return {mode.name: mode for mode in self.modes}[name]


class Decoder(Protocol):
    """Bytes and receive time in, events and requests out."""

    instruments: dict[str, Instrument]  # by the exchange's own name
    confirms_in_band: bool  # whether `confirm` brings a Snapshot; else a FetchProof is asked for

    def connected(self, monotonic_ns: int) -> None:
        """A new connection stands: forget the last one's sequence and buffers, queue the subscriptions."""

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of one frame, in order. DecodeError if it is not understood in full."""

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchSnapshot. DecodeError if it is not understood in full."""

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchTrades. DecodeError if it is not understood in full."""

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """The instruments of the answer to a FetchInstruments. DecodeError if it is not understood."""

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """A FetchSnapshot could not be had; queue it again (the session spaces the tries)."""

    def pending_requests(self) -> Sequence[Request]:
        """What to do now, in order; asking empties the list."""

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Events of time that passed (about every 100 ms): what stayed away. Queues pings and whatever waited for its time."""

    def resync(self, instrument: Instrument) -> None:
        """The book of `instrument` is wrong: queue what brings a fresh Snapshot. One is in flight at a time."""

    def confirm(self, instrument: Instrument) -> None:
        """Queue what proves a quiet book right or wrong: a subscription anew (its Snapshot is compared), or a FetchProof.

        The book stays good meanwhile: its updates are events as before. A stream that is found dead leaves as GapFound (QUIET).
        """

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchProof: a Proof, a GapFound, or none if it proves nothing. DecodeError as `receive_snapshot`."""

    def use_instrument(self, instrument: Instrument) -> None:
        """From now on this (same native name, other grid) is the instrument; frames are decoded on its grid."""


class Truth(Protocol):
    """The market as a simulator knows it: what an encoder reads its frames from. Symbols are canonical."""

    instruments: Mapping[str, Instrument]

    def book(self, symbol: str, depth: int | None = None) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first, each level (ticks, lots); the best `depth` of each, all with None."""

    def sequence(self, symbol: str) -> int:
        """How many level changes the book has seen, ever: grows by `len(changes)` with each `Encoder.update`."""

    def recent_trades(self, symbol: str, count: int) -> Sequence[Trade]:
        """The last trades, oldest first."""


class Encoder(Protocol):
    """The exchange's side of *one* connection: a client's frames in, the exchange's frames out; no socket, no clock.

    The truth already contains the change when `update` is told of it. What the client did not subscribe to gives no frames.
    """

    spoil_checksum: bool  # a simulator's mischief: the next checksum sent is wrong, then this is False again

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """The greeting, if the exchange sends one."""

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answers to a client's frame: acks, snapshots, the exchange's own error for an unknown symbol or for nonsense."""

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """The frames of these (ticks, lots, is_ask) changes."""

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """The frames of these trades."""

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:
        """The frames that tell that the symbol's trading status is another; none where the exchange tells it by REST only."""

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """About once a second."""

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer a client's request as the exchange answers one that comes too soon: refused, and right a little later."""

    def restart_sequence(self) -> None:
        """Begin the numbers that this connection counts by itself anew; nothing where the truth counts, or nobody."""


class RestEncoder(Protocol):
    """The exchange's REST side: instrument metadata, and book snapshots where it has them."""

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """(HTTP status, body) of a GET; 404 with the exchange's own error for what it does not know."""
