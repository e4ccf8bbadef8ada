"""Decoder of Example: frames of the channels `book`, `trades` and `heartbeat` become events.

    {"channel":"book","type":"snapshot","name":"BTC_USD","seq":7,"bids":[["64000.1","0.5"]],"asks":[["64000.2","1"]],"ts":1790000000000}
    {"channel":"book","type":"update","name":"BTC_USD","prev":7,"seq":9,"bids":[["64000.1","0"]],"asks":[],"ts":1790000000100}
    {"channel":"trades","name":"BTC_USD","trades":[{"id":5,"price":"64000.2","size":"0.1","side":"buy","ts":1790000000100}]}
    {"channel":"heartbeat","ts":1790000001000} {"op":"subscribed","channel":"book","name":"BTC_USD"}     {"op":"unsubscribed",…}
    {"op":"error","message":"…","name":"…"}

No sockets, no clock, no book. The rules, numbered as the tests number them:

  E1  A `snapshot` replaces the book, requested or not.
  E2  In an `update` a size is absolute; size 0 removes the level.
  E3  `prev` of an update is the `seq` of the frame before it; any other is a gap: the book is resubscribed.
  E4  While a resubscription is in flight, updates belong to the old one and are ignored. So are updates before the first snapshot.
  E5  `side` of a trade is the taker's. Ids grow by one: rules T1 to T6 of `trade_ids`, without T6 (no REST trades).
  E6  A request without an answer, or refused, is repeated with the pauses of `Subscriptions`.
  E7  A quiet book is checked by a new subscription: its updates are applied until the snapshot comes.
  E8  A number finer than the grid gives OffGrid and changes nothing. A frame is parsed in full or refused.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.example.facts import FACTS
from alphapulse_cli.exchanges.example.instruments import parse_instruments
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TEXT_KEPT, TRADES, BookChecksum, FrameLabel
from alphapulse_cli.exchanges.shape import UNKNOWN, Shape
from alphapulse_cli.exchanges.subscriptions import Subscriptions, is_final
from alphapulse_cli.exchanges.trade_ids import TradeIds
from alphapulse_cli.market.events import (
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    OffGrid,
    Side,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    Trade,
    Unanswered,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import empty_of
from alphapulse_cli.market.requests import Request, Send
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import FinerThanGrid, decimals_of
from alphapulse_cli.market.trade_numbers import exact_trade

SIDES = {"buy": Side.BUY, "sell": Side.SELL}
NS_PER_MS = 1_000_000
Json = dict[str, Any]


class Decoder:
    """Decoder of one connection; `exchanges.protocol.Decoder`."""

    confirms_in_band = True
    shape: Shape | None = None  # the last step: see shape.py
    book_checksum: BookChecksum | None = None

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int = 0, mode: str = "") -> None:  # noqa: ARG002
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self._book, self._trades = (
            Subscriptions(self.instruments if channel in channels else (), FACTS.subscribe_batch, partial(_frame, channel))
            for channel in (BOOK, TRADES)
        )
        self._sequences: dict[str, int] = {}  # seq of each live book's last frame
        self._trade_ids = {native: TradeIds() for native in self.instruments}
        self._now_ns = 0

    # The interface `exchanges.protocol.Decoder`

    def connected(self, monotonic_ns: int) -> None:
        """Queue all subscriptions; forget books of the last connection, keep trade ids."""
        self._now_ns = monotonic_ns
        self._book.start(monotonic_ns)
        self._trades.start(monotonic_ns)

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Events of one frame. DecodeError if it is not understood in full; then nothing has changed."""
        try:
            message = orjson.loads(frame)
            if not isinstance(message, dict):
                return [Unrecognised(type(message).__name__)]
            if "op" in message:
                return self._on_answer(message)
            match message.get("channel"):
                case "book":
                    return self._on_book(message)
                case "trades":
                    return self._on_trades(message)
                case "heartbeat":
                    return [Heartbeat(_time_ns(message["ts"]))]
            return [Unrecognised(f"channel {message.get('channel')}"[:TEXT_KEPT])]
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"a frame was not understood: {type(error).__name__} {str(error)[:80]!r}", frame) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested."""
        raise DecodeError("snapshots come over the WebSocket", body)

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested."""
        raise DecodeError("trades come over the WebSocket", body)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested."""
        raise DecodeError("a proof is a snapshot over the WebSocket", body)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of the answer to a FetchInstruments. DecodeError."""
        return parse_instruments(body, ours=self.instruments)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Do nothing: no snapshot is ever fetched."""

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests."""
        return [Send(frame) for subscriptions in (self._book, self._trades) for frame in subscriptions.frames()]

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue the repeated requests that are due (E6)."""
        self._now_ns = monotonic_ns
        silent = {BOOK: self._book.tick(monotonic_ns)[1], TRADES: self._trades.tick(monotonic_ns)[1]}
        return [Unanswered(channel, natives) for channel, natives in silent.items() if natives]

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to one book, unless its snapshot is already on its way (E4)."""
        if self._book.is_good(instrument.native):
            self._book.ask_anew(instrument.native, self._now_ns)

    def confirm(self, instrument: Instrument) -> None:
        """Resubscribe to a live book, whose updates are applied until the snapshot (E7)."""
        self._book.confirm(instrument.native, self._now_ns)

    def label(self, frame: bytes) -> FrameLabel:
        """Symbol and numbers of a frame, for `alphapulse explain`."""
        message = orjson.loads(frame)
        return made_of((message.get("name"),), message, ("prev", "seq"), prev="prev")

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument

    # Answers

    def _on_answer(self, message: Json) -> Sequence[Event]:
        match message["op"]:
            case "subscribed":
                channel, native = str(message["channel"])[:TEXT_KEPT], message["name"]
                if channel == TRADES and native in self._trades.standings:
                    self._trades.arrived(native)  # a book is settled by its snapshot
                return [Subscribed(channel, (native,))] if native in self.instruments else [Unrecognised("ack of another name")]
            case "unsubscribed":
                return []
            case "error":
                return self._on_error(message)
        return [Unrecognised(f"op {message['op']}"[:TEXT_KEPT])]

    def _on_error(self, message: Json) -> Sequence[Event]:
        """Events of a refusal: of one subscription or, if it names none, of all that wait for an answer (E6)."""
        reason, channel, native = (str(message.get(key, ""))[:TEXT_KEPT] for key in ("message", "channel", "name"))
        final = is_final(reason)
        subscriptions = {BOOK: self._book, TRADES: self._trades}.get(channel)
        if subscriptions is not None and native in subscriptions.standings:
            subscriptions.refused(native, self._now_ns, final=final)
        else:
            self._book.all_refused(self._now_ns)
            self._trades.all_refused(self._now_ns)
        return [SubscriptionRefused(channel, native, reason, for_now=not final)]

    # Channels

    def _on_book(self, message: Json) -> Sequence[Event]:
        instrument, kind = self.instruments.get(message["name"]), message["type"]
        if instrument is None or instrument.native not in self._book.standings or kind not in ("snapshot", "update"):
            return [Unrecognised(f"book {kind} of {message['name']}"[:TEXT_KEPT])]
        native, sequence = instrument.native, _number(message["seq"])
        previous = _number(message["prev"]) if kind == "update" else UNKNOWN
        event = self._levels(Snapshot if kind == "snapshot" else Update, instrument, message)
        if isinstance(event, OffGrid):
            return [event]
        if isinstance(event, Snapshot):
            self._book.arrived(native)
        elif not self._book.is_good(native):  # E4
            return []
        elif previous != self._sequences[native]:  # E3
            detail = f"prev {previous}, expected {self._sequences[native]}"
            self._book.ask_anew(native, self._now_ns)
            return [GapFound((instrument,), GapReason.SEQUENCE, detail, str(self._sequences[native]), str(previous))]
        self._sequences[native] = sequence
        return [event]

    def _levels(self, kind: type[Snapshot] | type[Update], instrument: Instrument, message: Json) -> Snapshot | Update | OffGrid:
        exchange_ns, sides = _time_ns(message["ts"]), [_rows(message["bids"]), _rows(message["asks"])]
        levels = empty_of(instrument)
        try:
            levels.add_pairs(sides[0], is_ask=False)
            levels.add_pairs(sides[1], is_ask=True)
        except FinerThanGrid:  # E8
            prices, sizes = (max(decimals_of(row[at]) for side in sides for row in side) for at in (0, 1))
            return OffGrid(instrument, max(prices, instrument.price_decimals), max(sizes, instrument.size_decimals))
        return kind(instrument, levels, exchange_ns)

    def _on_trades(self, message: Json) -> Sequence[Event]:
        instrument = self.instruments.get(message["name"])
        if instrument is None or instrument.native not in self._trades.standings:
            return [Unrecognised(f"trades of {message['name']}"[:TEXT_KEPT])]
        numbered = [(_number(row["id"]), (_trade(instrument, row),)) for row in _rows(message["trades"], dict)]
        self._trades.arrived(instrument.native)
        return self._trade_ids[instrument.native].take(numbered, self._now_ns)


def _frame(channel: str, _number: int, op: str, names: Sequence[str]) -> bytes:
    return orjson.dumps({"op": op, "channel": channel, "names": names})


def _trade(instrument: Instrument, row: Json) -> Trade:
    price, size = row["price"], row["size"]
    if type(price) is not str or type(size) is not str:
        raise TypeError("price and size must be text")
    return exact_trade(instrument, str(_number(row["id"])), price, size, SIDES[row["side"]], _time_ns(row["ts"]))


def _rows(value: object, kind: type = list) -> list[Any]:
    """Return the list if each element is of that type, so that no text or object passes for a row."""
    if type(value) is not list or not all(type(row) is kind for row in value):
        raise TypeError(f"not a list of {kind.__name__}s")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TICKS:
        raise ValueError("not an integer of 63 bits")
    return value


def _time_ns(value: object) -> int:
    """Nanoseconds since 1970 of a time in integer milliseconds."""
    if type(value) is not int or not 0 < value < MAX_TICKS // NS_PER_MS:
        raise ValueError("not a time in milliseconds")
    return value * NS_PER_MS
