"""Bitfinex WebSocket v2: frames of the channels `book` and `trades`, and the server's events, become events of alphapulse.

No sockets, no clock, no logging, no book. The rules, numbered as the tests number them:

  F1   The flags (sequence numbers, checksums, times) are set before any subscription, and again until they are confirmed.
  F2   Data frames carry a channel number; the ack maps it to a subscription, for this connection only. Data of ended channels are
       ignored, of channels that were not requested Unrecognised; all are counted (F5).
  F3   A list of levels is a snapshot, also an empty one, and replaces the book, requested or not. One level is an update: the size
       is absolute, the amount's sign its side, and a count of 0 removes it. The exchange removes levels that leave its window:
       `flow` does not cut.
  F4   An update before the first snapshot is a gap, reported once; the symbol is then resubscribed. While a symbol
       heals, its updates are ignored. One healing is in flight at a time.
  F5   Every data frame of the connection has a number, one more than the last: data, heartbeats, checksums, trades, of all
       channels. The first number is taken as it comes. Any other step, forwards or back, means a lost frame of an unknown channel:
       one gap for all books, and a new connection; until then no book is live. Frames without numbers are accepted until the first
       numbered frame.
  F6   A frame that is refused with DecodeError but has the expected number counts as received. A frame answered with OffGrid
       counts at once; when it is passed in again it is not counted twice.
  F7   A checksum comes in a frame of its own and covers the book after all earlier frames: an update without levels.
  F8   A trade is published at its `te`. Its `tu` is a repetition, unless its `te` came before our subscription: then it is
       published at `tu`. Ids have gaps, so they show no loss: a lost `te` is a hole in the sequence (F5), and the snapshot of
       trades with which the next subscription begins contains it (`trades`). `amount` > 0: the taker bought.
  F9   A snapshot sets the grid that it needs, since prices have five significant digits and no tick. An update finer than the grid
       gives OffGrid; a trade uses its own grid, or is refused.
  F10  Prices and sizes are JSON numbers, 7e-7 among them. If a double does not determine the decimal text exactly, the raw token
       is parsed.
  F11  Info 20051 announces the end of the connection. 20060 begins a maintenance: the exchange is suspended; 20061 ends it:
       earlier books are dropped, and everything is resubscribed. The greeting contains the platform status; a version other than 2
       is refused.
  F12  A request without an answer, or refused, is repeated without limit, with the pauses of `Owed`. "Already subscribed" for a
       channel with a known number: resubscribe; with an unknown number: new connection. An end that was not requested is a gap. For
       a book still unanswered after three requests the connection is replaced (`LastResort`).
  F13  A quiet book is checked by a new subscription. Until its snapshot comes its updates are applied; if the snapshot then differs
       from the book, messages were missed. Whenever a book is resubscribed, so are the trades of its symbol: the snapshot of trades
       with which their subscription begins contains those that a dead stream has missed.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.bitfinex.checksum import book_checksum, covered_text, unsigned
from alphapulse_cli.exchanges.bitfinex.connection import Connection
from alphapulse_cli.exchanges.bitfinex.entries import (
    integer,
    raw_frame,
    read_levels,
    read_past,
    read_trade,
    rows,
    sequence_of,
    time_of,
    unknown,
)
from alphapulse_cli.exchanges.bitfinex.pairs import parse_instruments, trades_path
from alphapulse_cli.exchanges.bitfinex.subscriptions import Key
from alphapulse_cli.exchanges.bitfinex.trades import SeenTrades
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TRADES, BookTop, FrameLabel
from alphapulse_cli.exchanges.subscriptions import GOOD, Standing
from alphapulse_cli.market.events import Event, GapFound, GapReason, Heartbeat, OffGrid, Snapshot, Unrecognised, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.requests import FetchTrades
from alphapulse_cli.market.ticks import Malformed, OffGridRow

HEARTBEAT, CHECKSUM, EXECUTED, UPDATED = "hb", "cs", "te", "tu"


class Decoder(Connection):
    """Decoder of one connection; `exchanges.protocol.Decoder`. UsageError for a depth that Bitfinex does not offer."""

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int = 0, mode: str = "") -> None:
        super().__init__(instruments, channels, depth, mode)
        self._trades = {native: SeenTrades() for native in self.instruments if TRADES in self.channels}

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - Bitfinex's frames need no receive time
        """Events of one frame. DecodeError if it is not understood in full; then only the sequence number has changed (F6)."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"not JSON: {error}", frame) from error
        try:
            if isinstance(message, list):
                return self._on_data(message, frame)
            if not isinstance(message, dict):
                return [Unrecognised(type(message).__name__)]
            return self._on_server_event(message)
        except NOT_UNDERSTOOD as error:
            words = f"a frame was not understood: {type(error).__name__} {str(error)[:80]!r}"
            raise DecodeError(words, frame, may_hold_books=self._may_hold_books(message)) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since a REST book has no sequence number to splice it by."""
        raise DecodeError("bitfinex has no REST snapshot that could be spliced", body)

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """F8: events of the missing trades in the answer to a FetchTrades. DecodeError if it is not understood in full."""
        seen, current = self._trades.get(instrument.native), self.instruments.get(instrument.native)
        if seen is None or current is None:
            return ()
        try:
            read = read_past(current, orjson.loads(body), lambda: raw_frame(body))
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"trades were not understood: {type(error).__name__} {str(error)[:80]!r}", body) from error
        return seen.fill(read)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of the answers `tickers` and `pub:info:pair`. DecodeError."""
        return parse_instruments(body, ours=self.instruments)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since a quiet book is checked by a WebSocket snapshot."""
        raise DecodeError("bitfinex has no REST snapshot that could be compared", body)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Do nothing: no snapshot is ever fetched."""

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue repetitions of unanswered requests (F12) and fetches of missing trades (F8)."""
        for native, seen in self._trades.items():
            if seen.wants_fill(monotonic_ns):
                self._requests.append(FetchTrades(self.instruments[native], trades_path(native, seen.since_ms)))
        return self._repeat_requests(monotonic_ns)

    def book_checksum(self, instrument: Instrument, book: BookTop) -> int:
        """Checksum that this book must have, evaluated directly after the frame that announced one."""
        return book_checksum(instrument, book, self.shape.checksum)

    def checksum_text(self, instrument: Instrument, book: BookTop) -> bytes:
        """Text that this book's checksum covers."""
        return covered_text(instrument, book)

    def label(self, frame: bytes) -> FrameLabel:
        """Pair of a frame by its channel number, its number in the connection, and a book's checksum."""
        message = orjson.loads(frame)
        if not isinstance(message, list):
            return made_of((message.get("symbol"),), message, ("chanId",))
        key = self._subscriptions.key_of(integer(message[0]))
        numbers = {"channel": message[0], "sequence": sequence_of(message, _place_of_sequence(message))}
        if message[1] == CHECKSUM:
            numbers["checksum"] = unsigned(message[2])
        return made_of(() if key is None else (key[1],), numbers, tuple(numbers), first="sequence")

    def _may_hold_books(self, message: Any) -> bool:
        """Whether an unreadable frame may belong to a book; counts it if its number is the expected one (F6)."""
        if not isinstance(message, list):
            return False
        try:
            number = sequence_of(message, _place_of_sequence(message))
            if number is not None and number == self._expected and not self._broken:
                self._expect(number + 1)
            key = self._subscriptions.key_of(integer(message[0]))
        except NOT_UNDERSTOOD:
            return True
        return key is None or key[0] == BOOK

    # Data

    def _on_data(self, message: list[Any], frame: bytes) -> Sequence[Event]:
        """Events of a data frame, which is parsed in full, then counted, then applied."""
        channel, content, place = integer(message[0]), message[1], _place_of_sequence(message)
        number, exchange_ns = sequence_of(message, place), time_of(message, place + 1)
        if number is None and self._must_have_numbers:
            raise Malformed("a frame without a sequence number")
        key = self._subscriptions.key_of(channel)
        if content == HEARTBEAT:
            return [*self._count(number), Heartbeat(exchange_ns)]
        if key is None:
            events: list[Event] = [] if self._subscriptions.was_ended(channel) else [unknown("data of channel", channel)]
            return [*self._count(number), *events]
        if key[0] == TRADES:
            return self._on_trades(key, message, frame, number)
        return self._on_book(key, message, frame, number, exchange_ns)

    def _on_book(self, key: Key, message: list[Any], frame: bytes, number: int | None, exchange_ns: int | None) -> Sequence[Event]:
        native, content = key[1], message[1]
        instrument = self.instruments[native]
        if content == CHECKSUM:
            checksum = unsigned(message[2])
            return self._believe_checksum(key, checksum, self._count(number), exchange_ns)
        is_snapshot = not rows(content) or isinstance(content[0], list)
        table = content if is_snapshot else [content]
        try:
            levels = read_levels(instrument, table, lambda: _rows_of(raw_frame(frame)[1], is_snapshot))
        except OffGridRow as off:
            finer = (
                instrument.on_grid(off.price_decimals, off.size_decimals) if is_snapshot and not instrument.grid_is_final else None
            )
            if finer is None:
                broke = self._count(number)
                if not broke:
                    self._handed_back = number
                return broke or [OffGrid(instrument, off.price_decimals, off.size_decimals)]
            instrument = finer
            levels = read_levels(instrument, table, lambda: _rows_of(raw_frame(frame)[1], is_snapshot))
        broke = self._count(number)
        if broke or self._broken:
            return broke
        return (
            self._believe_snapshot(key, instrument, levels, exchange_ns) if is_snapshot else self._believe(key, levels, exchange_ns)
        )

    def _believe_snapshot(self, key: Key, instrument: Instrument, levels: Levels, exchange_ns: int | None) -> Sequence[Event]:
        self.instruments[key[1]] = instrument  # F9
        self._subscriptions.arrived(key)
        self.shape.instruments[str(self._subscriptions.number_of(key))] = instrument
        return [Snapshot(instrument, levels, exchange_ns)]

    def _believe(self, key: Key, levels: Levels, exchange_ns: int | None) -> Sequence[Event]:
        """Events of an update in the subscription's state (F4)."""
        standing, instrument = self._subscriptions.standings[key], self.instruments[key[1]]
        if standing in GOOD:
            return [Update(instrument, levels, exchange_ns)]
        if standing is Standing.ASKED:
            self._heal(key)
            return [GapFound([instrument], GapReason.UPDATE_BEFORE_SNAPSHOT)]
        return []

    def _believe_checksum(self, key: Key, checksum: int, broke: list[Event], exchange_ns: int | None) -> Sequence[Event]:
        """Events of a checksum (F7): an update without levels, of a live book."""
        if broke or self._broken or self._subscriptions.standings[key] not in GOOD:
            return broke
        instrument = self.instruments[key[1]]
        self.shape.checksum = checksum
        return [Update(instrument, empty_of(instrument), exchange_ns, checksum)]

    def _on_trades(self, key: Key, message: list[Any], frame: bytes, number: int | None) -> Sequence[Event]:
        """Events of a frame of trades (F8)."""
        native, content = key[1], message[1]
        instrument, seen = self.instruments[native], self._trades[native]
        if isinstance(content, str):
            if content not in (EXECUTED, UPDATED):
                return [*self._count(number), unknown("trades", content)]
            trade_id, trade = read_trade(instrument, message[2], lambda: raw_frame(frame)[2], history=False)
            return [*self._count(number), *seen.take(trade_id, trade)]
        past = read_past(instrument, content, lambda: raw_frame(frame)[1])
        broke = self._count(number)
        self._subscriptions.arrived(key)
        return [*broke, *seen.take_past(past, self._now_ns)]


def _place_of_sequence(message: list[Any]) -> int:
    """Index of the sequence number in a data frame: after the content, which is one value, or a word and a value."""
    word = message[1]
    return 3 if isinstance(word, str) and word != HEARTBEAT else 2


def _rows_of(content: list[Any], is_snapshot: bool) -> list[Any]:
    return content if is_snapshot else [content]
