"""Interfaces of an exchange: its facts, a decoder (bytes in, events and requests out) and an encoder (the reverse).

A decoder has no socket, no clock, no log. Two times are handed in: `receive_ns` (CLOCK_REALTIME) only stamps frames, `monotonic_ns`
(CLOCK_MONOTONIC) is the clock of deadlines. A deadline that begins with a frame counts from the last `tick`, at most about 100 ms
earlier. Requests leave as values, in the order in which they must be carried out:

    decoder = kraken.Decoder(instruments, channels={"book", "trades"}, depth=10, mode="")
    decoder.connected(monotonic_ns)                # a new connection: forget the old one's state, queue the subscriptions
    for request in decoder.pending_requests(): …   # Send, FetchSnapshot, …
    for event in decoder.receive(frame, receive_ns): … # each frame, in order
    decoder.resync(instrument)                     # flow found the book wrong (a checksum): queue what heals it
    for event in decoder.tick(monotonic_ns): …     # each 100 ms

Where a decoder has a `shape` (exchanges.shape), its caller offers each frame to that first, and to `receive` what the shape
declines. A frame is understood in full or refused with DecodeError: no level and no trade of a refused frame leaves. A DecodeError
changes no state, except that the decoder may have to queue a resync, which `flow` requests with `resync`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

from alphapulse_cli.market.events import Event, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Request
from alphapulse_cli.market.trade_summary import Span, TradeSummary

if TYPE_CHECKING:  # the registry imports no part of an exchange
    from alphapulse_cli.exchanges.shape import Shape

Level = tuple[int, int]  # (ticks, lots)
Change = tuple[int, int, bool]  # (ticks, lots, is_ask)
Refusal = tuple[int, bytes]  # (HTTP status, body) of a handshake that is not accepted
Position = dict[str, Any]  # of a decoder in its connection: values of JSON
NotSimulated = tuple[str, str]  # (what the real exchange has, what a client of the simulator gets in its place)


class BookTop(Protocol):
    """View of a book for a checksum: at most the `count` best levels of a side, best first."""

    def bids(self, count: int) -> Sequence[Level]:
        """Best bids."""

    def asks(self, count: int) -> Sequence[Level]:
        """Best asks."""

    def top_digits(self, count: int) -> bytes:
        """Best asks, then best bids, as decimal digits of ticks and lots without separators."""

    def top_decimals(self, count: int, price_decimals: int, size_decimals: int, sign: bool) -> bytes:
        """Best bids and asks in turn as price:size joined by ":", shortest plain decimals; with `sign` asks' sizes are negative."""


BookChecksum = Callable[[Instrument, BookTop], int]  # the checksum that a book must have

BOOK, TRADES = "book", "trades"  # our names of the channels; each exchange's own are in its decoder

# Exceptions of reading a frame with unexpected contents: a decoder turns them into a DecodeError. RecursionError: nesting that the
# parser accepts can still be too deep for `repr`.
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
TEXT_KEPT = 200  # characters of an exchange's own words in events and errors: hostile, and as long as a frame may be


@dataclass(frozen=True, slots=True)
class Rate:
    """Bound on the rate of an action: `burst` at once after a rest, then `per_second`."""

    burst: int
    per_second: float

    @classmethod
    def within(cls, amount: int, span_s: float, burst: int) -> "Rate":
        """Rate with that burst, and never more than `amount` in any `span_s` seconds."""
        return cls(burst, (amount - burst) / span_s)


@dataclass(frozen=True, slots=True)
class Silence:
    """Longest silences, in seconds, of a feed that promises heartbeats.

    After `stale_after_s` its books are STALE, after `dead_after_s` the connection is replaced. A pong does not end a silence: it
    proves the transport, not the feed. Where snapshots are small they are requested before that (after `doubt_after_s`): books that
    they prove are LIVE, since they equal the exchange's present ones.
    """

    stale_after_s: float = 3.0
    dead_after_s: float = 5.0
    doubt_after_s: float | None = None  # None: snapshots are too large to request at each late heartbeat


@dataclass(frozen=True, slots=True)
class Mode:
    """One feed of an exchange: its addresses, and the means by which its books are kept right."""

    name: str
    websocket_url: str
    rest_url: str
    validates: str  # one line for `alphapulse exchanges`: "CRC32 of the top 10 on every message"
    full_depth: bool
    depths: Sequence[int] = ()  # choices of `--depth`; () = no choice
    default_depth: int = 0  # 0 = the full book
    instruments_path: str = ""  # REST path of this mode's metadata; "" = `Facts.instruments_path`
    silence: Silence | None = None  # None: the feed promises no heartbeat; pings tell whether the connection is alive
    shows_loss: bool = True  # a lost book message shows (sequence, checksum); False: only a crossed book reveals it
    crossed_s: float = (
        0.0  # time for which a book may be crossed before it is requested anew; 0: 3 s without `shows_loss`, else for ever
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """Constants of an exchange: the one source for `exchanges`, `doctor`, the reference page and the session's limits."""

    name: str  # "kraken": on the command line, in records, in file names
    title: str  # "Kraken"
    modes: Sequence[Mode]  # the first is the default
    instruments_path: str  # REST path of the instrument metadata below `rest_url`
    instruments_weight: int = 1
    further_metadata: Sequence[str] = ()  # REST paths of what the answer there lacks; `parse_instruments` reads them by `joined`
    rest_weight: Rate = Rate(30, 0.5)  # our own bound, below the exchange's: 60 in any minute
    connects: Rate = Rate(5, 0.08)  # 9 in any minute
    sends: Rate = Rate(1, 1.0)
    sends_per_address: bool = False  # `sends` bounds an address; otherwise each connection
    connection_life_s: float = 0.0  # age at which the exchange closes a connection; 0 = never
    volumes_path: str = ""  # REST path of all markets' volumes of 24 hours, for `Exchange.parse_volumes`; "" = none
    volumes_weight: int = 1
    subscribe_batch: int = 100  # most symbols in one subscribe message
    channels_per_connection: int = 0  # most subscriptions, a symbol's book and its trades being two; 0 = no limit
    books_per_connection: int = 0  # most books among them; 0 = no limit but the one above
    trades_show_loss: bool = True  # a lost trade shows, by ids without gaps or a sequence of the connection; False: it does not
    taker_fee: str = ""  # of the lowest tier, a decimal fraction: "0.0026"
    quirks: Sequence[str] = field(default_factory=tuple)

    def mode(self, name: str = "") -> Mode:
        """Mode of that name, the default one for "". KeyError where there is none."""
        if not name:
            return self.modes[0]
        return {mode.name: mode for mode in self.modes}[name]

    def metadata_paths(self, mode: str = "") -> tuple[str, ...]:
        """REST paths of a mode's instrument metadata, the first that of the instruments; their answers are read together, `joined`."""
        return (self.mode(mode).instruments_path or self.instruments_path, *self.further_metadata)

    def symbols_per_connection(self, channels: Collection[str]) -> int:
        """Most symbols that one connection carries with these channels of each, BOOK and TRADES; 0 = no limit."""
        by_channels = self.channels_per_connection // max(len(channels), 1)
        by_books = self.books_per_connection if BOOK in channels else 0
        limits = [limit for limit in (by_channels, by_books) if limit]
        return min(limits, default=0)


def joined(bodies: Sequence[bytes]) -> bytes:
    """Body of the instrument metadata, for `parse_instruments`: the only answer, or the JSON array of several."""
    return bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"


class Decoder(Protocol):
    """Decoder of one connection: bytes and receive times in, events and requests out."""

    instruments: dict[str, Instrument]  # by native name
    confirms_in_band: bool  # whether `confirm` leads to a Snapshot; otherwise to a FetchProof

    @property
    def shape(self) -> "Shape | None":
        """Fast parser of the commonest book update, offered each frame before `receive`; None where there is none."""
        return None

    @property
    def book_checksum(self) -> BookChecksum | None:
        """Function for the checksum that a book must have, by this connection's precisions; None if the exchange sends none."""
        return None

    def connected(self, monotonic_ns: int) -> None:
        """Start on a new connection: forget the old one's sequence and buffers, queue the subscriptions."""

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of one frame, in order. DecodeError if it is not understood in full."""

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchSnapshot. DecodeError if it is not understood in full."""

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchTrades. DecodeError if it is not understood in full."""

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of the answer to a FetchInstruments: those that are listed. DecodeError if it is not understood.

        One of ours whose row cannot be read is listed as it was.
        """

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Queue a failed FetchSnapshot again (the session spaces the tries)."""

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order in which to carry them out."""

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Events of the passage of time (called about every 100 ms): overdue answers. Queues pings and all that has come due."""

    def resync(self, instrument: Instrument) -> None:
        """Queue what brings a fresh Snapshot of a wrong book. One is in flight at a time."""

    def confirm(self, instrument: Instrument) -> None:
        """Queue a check of a quiet book: a new subscription (its Snapshot is compared), or a FetchProof.

        The book stays good meanwhile: its updates leave as events as before. A stream that proves dead leaves as GapFound (QUIET).
        """

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchProof: a Proof, a GapFound, or none where it proves nothing.

        DecodeError as of `receive_snapshot`.
        """

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument (same native name) from now on."""


@runtime_checkable
class Resumable(Protocol):
    """Optional part of a decoder: it can go on in the middle of a connection, with books that were kept by another.

    Without it the past of a capture is read from the beginning of a connection.
    """

    def position(self) -> Position:
        """Numbers by which the next frames are judged, as values of JSON. Only books that are good have any."""

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Go on from a `position`; called after `connected`. The books of these instruments are good.

        LookupError, TypeError or ValueError for a position that cannot be right.
        """


class Truth(Protocol):
    """Market of a simulator, from which an encoder makes its frames. Symbols are canonical."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Instruments as they are now, by symbol."""

    def book(self, symbol: str, depth: int | None = None) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first, each level (ticks, lots); the best `depth` of each side, all for None."""

    def sequence(self, symbol: str) -> int:
        """Number of level changes of the book so far: grows by `len(changes)` with each `Encoder.update`."""

    def recent_trades(self, symbol: str, count: int) -> Sequence[Trade]:
        """Last `count` trades, oldest first."""

    def last_day(self, symbol: str, now_ns: int) -> TradeSummary:
        """Summary of the trades of the last 24 hours: open, high, low, last, volumes, count."""

    def candles(self, symbol: str, span: Span, count: int) -> Sequence[TradeSummary]:
        """Newest `count` candles with a trade, oldest first, as many as are kept; `without_holes` adds those without."""


class Encoder(Protocol):
    """The exchange's side of *one* connection: a client's frames in, the exchange's frames out; no socket, no clock.

    The truth contains a change before `update` is called for it. Unsubscribed channels give no frames.
    """

    spoil_checksum: bool  # fault injection: the next checksum sent is wrong, then this is False again

    # An encoder may have `opened` as well, as `PathReader` has it.

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """Frames of the greeting, if the exchange sends one."""

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answers to a client's frame: acks, snapshots, the exchange's error for an unknown symbol or malformed frame."""

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """Frames of these (ticks, lots, is_ask) changes."""

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """Frames of these trades."""

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:
        """Frames that announce the symbol's new trading status; empty where the exchange tells it by REST only."""

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames of the heartbeat; called about once a second."""

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer to a client's request, a JSON object, that came too soon: a refusal by the exchange's rate limit."""

    def restart_sequence(self) -> None:
        """Restart the sequence numbers that this connection counts; no effect where the truth counts them or there are none."""


@runtime_checkable
class PathReader(Protocol):
    """Optional part of an encoder: it reads the address that its client opened, called before `connected`.

    It is also called on an encoder of its own before the handshake, to learn whether to refuse that.
    """

    def opened(self, path: str, query: Mapping[str, str]) -> Refusal | None:
        """Take the address: a path and the values of its query. Returns the refusal of one that the exchange does not have."""


def opened(encoder: Encoder, address: str) -> Refusal | None:
    """Tell an encoder the path and query that its client opened, if it reads them; returns the refusal of the handshake, or None."""
    if not isinstance(encoder, PathReader):
        return None
    parts = urlsplit(address)
    return encoder.opened(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))


class RestEncoder(Protocol):
    """The exchange's REST side: instrument metadata, and book snapshots where it has them.

    It may have `headers` as well, as `HeadersEncoder` has it.
    """

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body); an unknown path gets 404 with the exchange's error."""


@runtime_checkable
class HeadersEncoder(Protocol):
    """Optional part of a RestEncoder: HTTP headers of its own, such as used limits. Date and Content-Type are added anyway."""

    def headers(self, path: str, query: Mapping[str, str], now_ns: int) -> Sequence[tuple[str, str]]:
        """Headers of the answer to that request; called once for each, after `respond`."""
