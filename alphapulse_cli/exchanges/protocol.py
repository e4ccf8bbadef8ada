"""Interfaces of an exchange: its facts, a decoder (bytes in, events and requests out) and an encoder (the reverse).

A decoder has no socket, no clock, no log. Two times are arguments: `receive_ns` (CLOCK_REALTIME) only stamps frames, `monotonic_ns`
(CLOCK_MONOTONIC) is the clock of deadlines. A deadline that begins with a frame counts from the last `tick`, at most about 100 ms
earlier. Requests are returned as values, in order of execution:

    decoder = kraken.Decoder(instruments, channels={"book", "trades"}, depth=10, mode="")
    decoder.connected(monotonic_ns)                # a new connection: forget the old one's state, queue the subscriptions
    for request in decoder.pending_requests(): …   # Send, FetchSnapshot, …
    for event in decoder.receive(frame, receive_ns): … # each frame, in order
    decoder.resync(instrument)                     # flow found the book wrong (checksum): queue its repair
    for event in decoder.tick(monotonic_ns): …     # each 100 ms

If a decoder has a `shape` (exchanges.shape), its caller offers each frame to the shape first, and to `receive` if the shape
declines it. A frame is parsed in full or refused with DecodeError: no level and no trade of a refused frame is published. A
DecodeError changes no state; if it affects a book, `flow` calls `resync`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

from alphapulse_cli.market.events import Event, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Request
from alphapulse_cli.market.trade_summary import Span, TradeSummary

if TYPE_CHECKING:  # importing the registry must not import any exchange's parts
    from alphapulse_cli.exchanges.shape import Shape
    from alphapulse_cli.market.levels import Levels

Level = tuple[int, int]  # (ticks, lots)
Change = tuple[int, int, bool]  # (ticks, lots, is_ask)
Refusal = tuple[int, bytes]  # (HTTP status, body) of a refused handshake
Position = dict[str, Any]  # position of a decoder in its connection, as JSON values
NotSimulated = tuple[str, str]  # (feature of the real exchange, behaviour of the simulator instead)


class BookTop(Protocol):
    """View of a book for a checksum: at most the `count` best levels per side, best first."""

    def bids(self, count: int) -> Sequence[Level]:
        """Best bids."""

    def asks(self, count: int) -> Sequence[Level]:
        """Best asks."""

    def top_digits(self, count: int) -> bytes:
        """Best asks, then best bids, as decimal digits of ticks and lots without separators."""

    def top_decimals(self, count: int, price_decimals: int, size_decimals: int, sign: bool) -> bytes:
        """Best bids and asks alternating, price:size joined by ":", in shortest decimals; with `sign`, asks' sizes are negative."""


BookChecksum = Callable[[Instrument, BookTop], int]  # the checksum that a book must have

SEQUENCE, CHECKSUM = "sequence", "checksum"  # proofs of a book
BOOK, TRADES = "book", "trades"  # canonical channel names; each exchange's own names are in its decoder

# Exceptions of parsing a frame with unexpected contents: a decoder turns them into a DecodeError. RecursionError: nesting that the
# parser accepts can still be too deep for `repr`.
NOT_UNDERSTOOD = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
TEXT_KEPT = 200  # longest text of an exchange (in characters) kept in events and errors: hostile, otherwise as long as a frame


@dataclass(frozen=True, slots=True)
class Rate:
    """Token-bucket rate limit: `burst` actions at once after a pause, then `per_second`."""

    burst: int
    per_second: float

    @classmethod
    def within(cls, amount: int, span_s: float, burst: int) -> "Rate":
        """Rate limit with that burst, and at most `amount` actions in any `span_s` seconds."""
        return cls(burst, (amount - burst) / span_s)


@dataclass(frozen=True, slots=True)
class Silence:
    """Longest silences, in seconds, of a feed that promises heartbeats.

    After `stale_after_s` its books are STALE, after `dead_after_s` the connection is replaced. A pong does not end a silence: it
    proves the transport, not the feed. Feeds with small snapshots request them earlier (after `doubt_after_s`): a book that equals
    its new snapshot stays LIVE.
    """

    stale_after_s: float = 3.0
    dead_after_s: float = 5.0
    doubt_after_s: float | None = None  # None: snapshots are too large to request at each late heartbeat


@dataclass(frozen=True, slots=True)
class BlindSpot:
    """What no proof of a feed covers: a loss there is not seen."""

    code: str  # for programs: "below-checksum"
    text: str  # one line for people
    below_level: int = 0  # only levels of a side behind that many are concerned; 0: no matter which


BEFORE_SNAPSHOT = BlindSpot(
    "before-snapshot", "a message lost right before a snapshot that was not asked for is not seen: the snapshot replaces the book"
)  # of feeds that number no snapshots


@dataclass(frozen=True, slots=True)
class Mode:
    """Feed of an exchange: its addresses, and how its books are kept correct."""

    name: str
    websocket_url: str
    rest_url: str
    validates: str  # one line for `alphapulse exchanges`: "CRC32 of the top 10 on every message"
    full_depth: bool
    depths: Sequence[int] = ()  # choices of `--depth`; () = no choice
    default_depth: int = 0  # 0 = the full book
    instruments_path: str = ""  # REST path of this mode's metadata; "" = `Facts.instruments_path`
    silence: Silence | None = None  # None: the feed promises no heartbeat; pings tell whether the connection is alive
    shows_loss: bool = True  # whether a lost book message is detected (sequence, checksum); False: only a crossed book reveals it
    proofs: Sequence[str] = ()  # of SEQUENCE and CHECKSUM, which prove that no book message was lost; () = nothing does
    proof_depth: int = 0  # levels of a side that CHECKSUM covers; 0 = all
    blind_spots: Sequence[BlindSpot] = ()
    crossed_s: float = 0.0  # time that a book may stay crossed before a resync; 0: 3 s without `shows_loss`, else unlimited


@dataclass(frozen=True, slots=True)
class Facts:
    """Constants of an exchange: the one source for `exchanges`, `doctor`, the reference page and the session's limits."""

    name: str  # "kraken": on the command line, in records, in file names
    title: str  # "Kraken"
    modes: Sequence[Mode]  # the first is the default
    instruments_path: str  # REST path of the instrument metadata below `rest_url`
    instruments_weight: int = 1
    further_metadata: Sequence[str] = ()  # further REST paths of the metadata; `parse_instruments` gets all answers `joined`
    rest_weight: Rate = Rate(30, 0.5)  # our own limit, below the exchange's: 60 in any minute
    connects: Rate = Rate(5, 0.08)  # 9 in any minute
    sends: Rate = Rate(1, 1.0)
    sends_per_address: bool = False  # whether `sends` limits an address; otherwise each connection
    connection_life_s: float = 0.0  # age at which the exchange closes a connection; 0 = never
    volumes_path: str = ""  # REST path of all markets' volumes of 24 hours, for `Exchange.parse_volumes`; "" = none
    volumes_weight: int = 1
    subscribe_batch: int = 100  # most symbols in one subscribe message
    channels_per_connection: int = 0  # most subscriptions on a connection (a symbol's book and trades are two); 0 = no limit
    books_per_connection: int = 0  # most books on a connection; 0 = no limit but the one above
    trades_show_loss: bool = True  # whether a lost trade is detected, by contiguous ids or the connection's sequence
    taker_fee: str = ""  # taker fee of the lowest tier, a decimal fraction: "0.0026"
    quirks: Sequence[str] = field(default_factory=tuple)

    def mode(self, name: str = "") -> Mode:
        """Return the mode of that name, the default one for "". KeyError if there is none."""
        if not name:
            return self.modes[0]
        return {mode.name: mode for mode in self.modes}[name]

    def metadata_paths(self, mode: str = "") -> tuple[str, ...]:
        """REST paths of a mode's instrument metadata, the instruments' first; their answers are parsed together, `joined`."""
        return (self.mode(mode).instruments_path or self.instruments_path, *self.further_metadata)

    def symbols_per_connection(self, channels: Collection[str]) -> int:
        """Most symbols per connection if each has these channels (BOOK, TRADES); 0 = no limit."""
        by_channels = self.channels_per_connection // max(len(channels), 1)
        by_books = self.books_per_connection if BOOK in channels else 0
        limits = [limit for limit in (by_channels, by_books) if limit]
        return min(limits, default=0)


def joined(bodies: Sequence[bytes]) -> bytes:
    """Join REST answers to the body for `parse_instruments`: a single answer unchanged, several as a JSON array."""
    return bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"


class RestBook(NamedTuple):
    """Book by REST that can be compared with a followed one: its request, and the reader of its answer.

    An exchange has none where its REST book lags by seconds, rounds its numbers, or merges levels.
    """

    path: Callable[[str], str]  # native name -> path and query
    weight: int  # cost in the REST budget
    levels: "Callable[[Instrument, bytes], Levels]"  # levels on the instrument's grid; DecodeError, also for finer ones


class Decoder(Protocol):
    """Decoder of one connection: bytes and receive times in, events and requests out."""

    instruments: dict[str, Instrument]  # instruments by native name
    confirms_in_band: bool  # whether `confirm` gives a Snapshot; otherwise a FetchProof

    @property
    def shape(self) -> "Shape | None":
        """Fast parser of the commonest book update, offered each frame before `receive`; None if the decoder has none."""
        return None

    @property
    def book_checksum(self) -> BookChecksum | None:
        """Function that computes a book's checksum, with this connection's precisions; None if the exchange sends no checksums."""
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
        """Listed instruments in the answer to a FetchInstruments. DecodeError if it is not understood.

        A subscribed instrument whose row cannot be read is returned unchanged.
        """

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Queue a failed FetchSnapshot again (the session spaces the tries)."""

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order of execution."""

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Events caused by the passage of time: overdue answers. Queues pings and other due requests. Called about every 100 ms."""

    def resync(self, instrument: Instrument) -> None:
        """Queue requests for a fresh Snapshot of a wrong book. One resync per book is in flight at a time."""

    def confirm(self, instrument: Instrument) -> None:
        """Queue a check of a quiet book: a new subscription (its Snapshot is compared), or a FetchProof.

        The book stays live meanwhile: its updates still give events. A dead stream gives GapFound (QUIET).
        """

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:
        """Events of the answer to a FetchProof: a Proof, a GapFound, or none if it proves nothing.

        DecodeError if it is not understood.
        """

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument (same native name) from now on."""


@runtime_checkable
class Resumable(Protocol):
    """Optional interface of a decoder that can resume in the middle of a connection, with books saved earlier.

    Without it, a capture has to be read from the beginning of a connection.
    """

    def position(self) -> Position:
        """Sequence numbers needed to continue, as JSON values; of live books only."""

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume from a `position`; called after `connected`. The books of these instruments are live.

        LookupError, TypeError or ValueError for an invalid position.
        """


@runtime_checkable
class Numbered(Protocol):
    """Optional part of a decoder whose exchange numbers its messages: the number at which a book stands."""

    def last_number(self, native: str) -> int | None:
        """Exchange's number of the last message that this book, or its connection, has taken in; None while it waits for one.

        Where messages have a range of numbers it is the last of them.
        """


@dataclass(frozen=True, slots=True)
class FrameLabel:
    """Facts of a frame for people: the instruments it is about, and its numbers by the names that the exchange gives them.

    `follows` is the number at which a book must stand for this frame to be the next one; None where the exchange numbers nothing.
    """

    natives: Sequence[str] = ()
    numbers: Mapping[str, int] = field(
        default_factory=dict
    )  # {"U": 7, "u": 9}; a book's checksum is "checksum", as events carry it
    follows: int | None = None


@runtime_checkable
class Labelled(Protocol):
    """Optional interface of a decoder that can say what is written on a frame, for `alphapulse explain`. It changes nothing.

    Call it as `labels.label_of`.
    """

    def label(self, frame: bytes) -> FrameLabel:
        """Label of a frame, or of the answer to a FetchSnapshot. One of NOT_UNDERSTOOD for a frame that cannot be read."""


@runtime_checkable
class ShowsChecksum(Protocol):
    """Optional interface of a decoder with a `book_checksum` that can show the text which that covers."""

    def checksum_text(self, instrument: Instrument, book: BookTop) -> bytes:
        """Text of the book's levels whose CRC-32 is the checksum."""


class Truth(Protocol):
    """Market of a simulator, from which an encoder makes its frames. Symbols are canonical."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Current instruments by symbol."""

    def book(self, symbol: str, depth: int | None = None) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first, each level (ticks, lots); at most `depth` per side, all for None."""

    def sequence(self, symbol: str) -> int:
        """Sequence number of the book: it grows by `len(changes)` with each `Encoder.update`."""

    def recent_trades(self, symbol: str, count: int) -> Sequence[Trade]:
        """Last `count` trades, oldest first."""

    def last_day(self, symbol: str, now_ns: int) -> TradeSummary:
        """Summary of the trades of the last 24 hours: open, high, low, last, volumes, count."""

    def candles(self, symbol: str, span: Span, count: int) -> Sequence[TradeSummary]:
        """Newest `count` candles with a trade, oldest first, as far as stored; `without_holes` adds those without a trade."""


class Encoder(Protocol):
    """The exchange's side of *one* connection: a client's frames in, the exchange's frames out; no socket, no clock.

    The truth contains a change before `update` is called for it. Channels without a subscription give no frames.
    """

    spoil_checksum: bool  # fault injection: the next checksum sent is wrong, then this is False again

    # An encoder may implement `PathReader` as well.

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """Frames of the greeting, if the exchange sends one."""

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answers to a client's frame: acks, snapshots, or the exchange's error for an unknown symbol or malformed frame."""

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """Frames of book changes, each (ticks, lots, is_ask)."""

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """Frames of these trades."""

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:
        """Frames that announce the symbol's new trading status; empty if the exchange reports it by REST only."""

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames of the heartbeat; called about once a second."""

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Refusal of a client's request (a JSON object) by the exchange's rate limit."""

    def restart_sequence(self) -> None:
        """Restart the sequence numbers that this connection counts; no effect if they are the truth's or there are none."""


@runtime_checkable
class PathReader(Protocol):
    """Optional interface of an encoder that reads the address opened by its client, called before `connected`.

    Before the handshake it is also called on a temporary encoder, to decide whether to refuse the handshake.
    """

    def opened(self, path: str, query: Mapping[str, str]) -> Refusal | None:
        """Read the address (path and query). Returns the refusal if the exchange has no such address."""


def opened(encoder: Encoder, address: str) -> Refusal | None:
    """Pass the opened path and query to an encoder that is a PathReader; returns the refusal of the handshake, or None."""
    if not isinstance(encoder, PathReader):
        return None
    parts = urlsplit(address)
    return encoder.opened(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))


class RestEncoder(Protocol):
    """The exchange's REST side: instrument metadata, and book snapshots where it has them.

    It may implement `HeadersEncoder` as well.
    """

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body); an unknown path gets 404 with the exchange's error."""


@runtime_checkable
class HeadersEncoder(Protocol):
    """Optional interface of a RestEncoder with extra HTTP headers, such as used limits. Date and Content-Type are always added."""

    def headers(self, path: str, query: Mapping[str, str], now_ns: int) -> Sequence[tuple[str, str]]:
        """Headers of the answer to that request; called once for each, after `respond`."""
