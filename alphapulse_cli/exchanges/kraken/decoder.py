"""Kraken WebSocket v2: frames of the channels `book`, `trade`, `instrument`, `status` and `heartbeat` become events.

No sockets, no clock, no logging, no book. The rules, numbered as the tests number them:

  K1   A book `snapshot` replaces the book, requested or not. It may hold fewer levels than the subscribed depth.
  K2   In an `update` a size is absolute, never a difference; size 0 removes the level.
  K3   Each event carries the subscribed depth: `flow` truncates each side to it after applying, because Kraken sends no delete
       for a level that better ones pushed out of the window.
  K4   Each event carries the message's checksum, of the book after applying and truncating. Nothing else reveals a lost message.
  K5   An `update` before the first snapshot is a gap, reported once; the symbol is then resubscribed.
  K6   While a resubscription is in flight, updates belong to the old one and are ignored. One is in flight per symbol.
  K7   Prices and sizes are JSON numbers. If a double does not determine the decimal text exactly, the raw token is parsed.
       A level finer than the grid gives OffGrid and changes nothing; a trade uses its own grid, or is refused.
  K8   A trade's `side` is the taker's. The trades of a frame are published oldest first, by rules T1 to T6 of `trade_ids`. A
       `snapshot` of trades is history; it is requested only on a later connection, to fill the hole since the last one.
  K9   Acks come one per symbol. An error names no channel; the channel follows from our `req_id`. An error may look like a frame of
       a channel, so `error` and `success` are checked first. "Already subscribed" counts as an ack if LIVE; else: resubscribe.
  K10  The channel `instrument` describes every pair; only ours are read, and only their changes give events, trading status
       included. The channel `status` reports the status of the whole exchange, without a subscription. The connection's data of a
       pair is newer than REST's, which may be cached, and replaces it; the stricter of the two trading statuses applies.
  K11  A well-formed message of an unknown kind gives Unrecognised; any other that is not understood is a DecodeError.
  K12  A request without an answer, or refused, is repeated without limit, after the pauses of `Owed`. A refusal while the book is
       LIVE does not end it: it is subscribed again without an unsubscribe. An error that names no request may concern all waiting
       requests. A second rate-limit error within 2 s slows us down. The channel `instrument` is requested like the others: an
       answer to it, or its data, settles it. For a book still unanswered after three requests the connection is replaced
       (`LastResort`).
  K13  Missing trades are fetched by REST: the first 1,000 since the time of the last trade before the hole.
  K14  A quiet book is checked by a new subscription. Until its snapshot comes its updates are applied, since the exchange sent them
       before it ended the old subscription; if the snapshot then differs from the book, messages were missed.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from zlib import crc32

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.kraken import subscriptions
from alphapulse_cli.exchanges.kraken.checksum import book_text
from alphapulse_cli.exchanges.kraken.entries import (
    BookKind,
    Json,
    fetched_rows,
    raw_entry,
    read_book,
    read_fetched_trade,
    read_trade,
    rows,
    text,
    time_ns,
    unknown,
)
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.pairs import from_websocket, parse_instruments, trades_path
from alphapulse_cli.exchanges.kraken.status import read_status
from alphapulse_cli.exchanges.kraken.subscriptions import SEND_SPACING_NS, Channel
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TRADES, BookTop, FrameLabel, Position
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.exchanges.subscriptions import LastResort, Owed, Patience, Standing, is_final, is_rate
from alphapulse_cli.exchanges.trade_ids import Numbered, TradeIds
from alphapulse_cli.market.events import (
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    InstrumentsSeen,
    OffGrid,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    Trade,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Reconnect, Request, Send, SlowDown
from alphapulse_cli.market.trading_status import stricter

PING_EVERY_NS = 30_000_000_000
USUAL_UPDATE = (
    '{"channel":"book","type":"update","data":[{"symbol":"<name>","bids":[<bids>{"price":<price>,"qty":<size>}</bids>],'
    '"asks":[<asks>{"price":<price>,"qty":<size>}</asks>],"checksum":<checksum>,"timestamp":"<time>"}]}'
)
BOOK_EVENTS: dict[str, BookKind] = {"snapshot": Snapshot, "update": Update}
OUR_CHANNELS = {"book": BOOK, "trade": TRADES}  # Kraken's channel name -> canonical name
INSTRUMENT = "instrument"
BOOKLESS = ("status", "heartbeat", "trade")  # channels whose unreadable frames do not affect books
ALREADY = "already subscribed"


class Decoder:
    """Decoder of one connection; `exchanges.protocol.Decoder`. UsageError for a depth that Kraken does not offer."""

    confirms_in_band = True

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int = 10, mode: str = "") -> None:
        chosen = FACTS.mode(mode)
        self.depth = depth or chosen.default_depth
        if self.depth not in chosen.depths:
            raise UsageError(f"kraken has no book of depth {depth}", f"choose one of {', '.join(map(str, chosen.depths))}")
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self._precisions = {each.native: (each.price_decimals, each.size_decimals) for each in self.instruments.values()}
        self._seen: dict[str, Instrument] = {}  # K10: the last metadata from this connection
        self._book = Channel("book", self.instruments if BOOK in channels else (), {"depth": self.depth, "snapshot": True})
        self._trades = Channel("trade", self.instruments if TRADES in channels else (), {"snapshot": False})
        self._trade_ids = {native: TradeIds() for native in self._trades.standings}
        self.shape = Shape(USUAL_UPDATE, depth=self.depth)
        self._metadata: Owed[str] = Owed()  # its only key is INSTRUMENT
        self._last_resort: LastResort[str] = LastResort()
        self._patience = Patience()
        self._requests: list[Request] = []
        self._now_ns = self._pinged_ns = 0  # CLOCK_MONOTONIC, of the last tick
        self._pings = self._metadata_requests = 0
        self._handlers = {
            "book": self._on_book,
            "trade": self._on_trades,
            "instrument": self._on_instruments,
            "status": self._on_status,
            "heartbeat": self._on_heartbeat,
        }

    # The interface `exchanges.protocol.Decoder`

    def connected(self, monotonic_ns: int) -> None:
        """Queue all subscriptions; forget books and acks of the last connection, keep trade ids."""
        self._now_ns = self._pinged_ns = monotonic_ns
        self._requests = []
        self._seen.clear()
        self._metadata.clear()
        self._metadata.ask(INSTRUMENT, monotonic_ns)
        self._ask_for_metadata()
        self.shape.instruments.clear()
        self._trades.params = {"snapshot": any(ids.newest >= 0 for ids in self._trade_ids.values())}  # K8
        self._trades.start(self._book.start(monotonic_ns + SEND_SPACING_NS))

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - Kraken's frames need no receive time
        """Events of one frame. DecodeError if it is not understood in full; then nothing has changed."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"not JSON: {error}", frame) from error
        if not isinstance(message, dict):
            return [Unrecognised(type(message).__name__)]
        channel = message.get("channel")
        try:
            if channel is None or "error" in message or message.get("success") is False:
                return self._on_answer(message)
            handler = self._handlers.get(channel)
            return [unknown("channel", channel)] if handler is None else handler(message, frame)
        except NOT_UNDERSTOOD as error:
            words = f"a frame was not understood: {type(error).__name__} {str(error)[:80]!r}"
            raise DecodeError(words, frame, may_hold_books=channel not in BOOKLESS) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since book snapshots come over the WebSocket."""
        raise DecodeError("kraken has no REST snapshot that could be spliced", body)

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """K13: events of the missing trades in the answer to a FetchTrades. DecodeError if it is not understood in full."""
        ids, current = self._trade_ids.get(instrument.native), self.instruments.get(instrument.native)
        if ids is None or current is None:
            return ()
        try:
            read = [read_fetched_trade(current, row) for row in fetched_rows(body) if ids.misses(int(row[6]))]
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"trades were not understood: {type(error).__name__} {str(error)[:80]!r}", body) from error
        return ids.fill([(int(trade.trade_id), (trade,)) for trade in read], self._now_ns)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of an `AssetPairs` answer, replaced by this connection's newer data if any (K10).

        DecodeError if it is not understood.
        """
        found = {each.native: each for each in parse_instruments(body, ours=self.instruments)}
        for native, streamed in self._seen.items():
            rest = found.get(native)
            is_stricter = rest is not None and stricter(rest.trading_status, streamed.trading_status) is not streamed.trading_status
            found[native] = streamed.with_status(rest.trading_status, rest.status_word) if rest and is_stricter else streamed
        return list(found.values())

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Do nothing: no snapshot is ever fetched."""

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests. All waiting symbols of a channel are sent together, a hundred in a message."""
        requests = [*self._requests, *map(Send, self._book.frames()), *map(Send, self._trades.frames())]
        self._requests = []
        return requests

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue a ping each 30 s, repetitions of unanswered requests (K12), and fetches of missing trades (K13)."""
        self._now_ns = monotonic_ns
        if monotonic_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = monotonic_ns
            self._pings += 1
            self._requests.append(Send(subscriptions.request("ping", "ping", self._pings)))
        for native, ids in self._trade_ids.items():
            if ids.wants_fill(monotonic_ns):
                self._requests.append(FetchTrades(self.instruments[native], trades_path(native, ids.since_ns)))
        again, untold = self._metadata.due(monotonic_ns)
        if again:
            self._ask_for_metadata()
        for native, silences in self._book.silences().items():
            if self._last_resort.is_due(native, silences, monotonic_ns):
                self._requests.append(Reconnect(f"no answer to the subscription to the book of {native}, {silences} times"))
        silent = {channel.name: channel.tick(monotonic_ns)[1] for channel in (self._book, self._trades)}
        events = [Unanswered(OUR_CHANNELS[name], natives) for name, natives in silent.items() if natives]
        return [*(Unanswered(name) for name in untold), *events]

    def _ask_for_metadata(self) -> None:
        params = {"channel": INSTRUMENT, "snapshot": True}
        self._requests.append(Send(subscriptions.request("subscribe", INSTRUMENT, self._metadata_requests, params)))
        self._metadata_requests += 1

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to one book, unless its snapshot is already on its way (K6)."""
        if self._book.is_good(instrument.native):
            self._ask_anew(instrument.native)

    def confirm(self, instrument: Instrument) -> None:
        """K14: resubscribe to a live book; its snapshot will show whether anything was missed."""
        self._book.confirm(instrument.native, self._now_ns)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since a quiet book is checked by a WebSocket snapshot."""
        raise DecodeError("kraken has no REST snapshot that could be compared", body)

    def position(self) -> Position:
        """Position in the connection: empty, since Kraken does not number frames (each has a checksum)."""
        return {}

    def resume(self, position: Position, natives: Collection[str]) -> None:  # noqa: ARG002
        """Resume with live books of these symbols."""
        for native in natives:
            self._book.arrived(native)
            self.shape.instruments[native] = self.instruments[native]

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument
        if instrument.native in self.shape.instruments:
            self.shape.instruments[instrument.native] = instrument

    def book_checksum(self, instrument: Instrument, book: BookTop) -> int:
        """Checksum that this book must have, also on a grid finer than the pair's precision."""
        return crc32(book_text(instrument, book, *self._precisions[instrument.native]))

    def checksum_text(self, instrument: Instrument, book: BookTop) -> bytes:
        """Digits that this book's checksum covers."""
        return book_text(instrument, book, *self._precisions[instrument.native])

    def label(self, frame: bytes) -> FrameLabel:
        """Symbols of a frame, and the checksum of one book."""
        message = orjson.loads(frame)
        entries = message.get("data") or [message.get("result") or message]
        if not isinstance(entries, list):
            return FrameLabel()
        return made_of((entry.get("symbol") for entry in entries), entries[0] if len(entries) == 1 else {}, ("checksum",))

    # Channels

    def _on_book(self, message: Json, frame: bytes) -> list[Event]:
        kind = BOOK_EVENTS.get(message["type"])
        if kind is None:
            return [unknown("book", message["type"])]
        read: list[Event] = []
        for index, entry in enumerate(rows(message["data"])):
            instrument = self._ours(self._book, entry)
            if instrument is None:
                read.append(unknown("book of", entry["symbol"]))
            else:
                read.append(read_book(kind, instrument, entry, partial(raw_entry, frame, index), self.depth))
        off_grid: list[Event] = [event for event in read if isinstance(event, OffGrid)]
        return off_grid or [placed for event in read for placed in self._place(event)]

    def _place(self, event: Event) -> list[Event]:
        """Events of a book message: itself if the book is live, a gap before the first snapshot (K5), or an ignored one (K6)."""
        if isinstance(event, Snapshot):
            self._book.arrived(event.instrument.native)
            self.shape.instruments[event.instrument.native] = event.instrument
        if not isinstance(event, Update):
            return [event]
        native = event.instrument.native
        if self._book.is_good(native):
            return [event]
        if self._book.standings[native] is Standing.ASKED:
            self._ask_anew(native)
            return [GapFound([event.instrument], GapReason.UPDATE_BEFORE_SNAPSHOT)]
        return [UpdateIgnored(event.instrument)]

    def _ask_anew(self, native: str) -> None:
        """Resubscribe to a book that is wrong or has no snapshot."""
        self.shape.instruments.pop(native, None)
        self._book.ask_anew(native, self._now_ns)

    def _on_trades(self, message: Json, frame: bytes) -> list[Event]:
        if message["type"] not in BOOK_EVENTS:
            return [unknown("trade", message["type"])]
        history = message["type"] == "snapshot"
        trades: list[Trade] = []
        events: list[Event] = []
        for index, entry in enumerate(rows(message["data"])):
            instrument = self._ours(self._trades, entry)
            if instrument is None:
                events.append(unknown("trade of", entry["symbol"]))
                continue
            trades.append(read_trade(instrument, entry, partial(raw_entry, frame, index), history=history))
        by_native: dict[str, list[Numbered]] = {}
        for trade in trades:
            by_native.setdefault(trade.instrument.native, []).append((int(trade.trade_id), (trade,)))
        for native in sorted(by_native):
            self._trades.arrived(native)
            events += self._trade_ids[native].take(by_native[native], self._now_ns)
        return events

    def _ours(self, channel: Channel, entry: Json) -> Instrument | None:
        """Instrument of an entry, None if we did not subscribe to it on this channel."""
        native = entry["symbol"]
        return self.instruments[native] if native in channel.standings else None

    def _on_instruments(self, message: Json, frame: bytes) -> list[Event]:  # noqa: ARG002
        read = [from_websocket(pair) for pair in rows(message["data"]["pairs"]) if pair["symbol"] in self.instruments]
        changed = [instrument for instrument in read if instrument and self._seen.get(instrument.native) != instrument]
        self._metadata.settle(INSTRUMENT)
        for instrument in changed:
            self._seen[instrument.native] = instrument
            self._precisions[instrument.native] = (instrument.price_decimals, instrument.size_decimals)
        return [InstrumentsSeen(changed)] if changed else []

    def _on_status(self, message: Json, frame: bytes) -> list[Event]:  # noqa: ARG002
        return [read_status(entry) for entry in rows(message["data"])]

    def _on_heartbeat(self, message: Json, frame: bytes) -> list[Event]:  # noqa: ARG002
        return [Heartbeat()]

    # Answers to our requests

    def _on_answer(self, message: Json) -> list[Event]:
        """Events of acks, refusals and pongs: messages without a channel (K9)."""
        if "Error" in message:
            return self._on_nameless(text(message["Error"]))
        method = message.get("method")
        if "error" in message or message.get("success") is False:
            return self._on_refusal(message)
        if method == "pong":
            moment = message.get("time_out")
            return [Heartbeat(None if moment is None else time_ns(moment))]
        if method == "unsubscribe":
            return []
        if method == "subscribe":
            return self._on_ack(message["result"])
        return [unknown("method", method)]

    def _on_ack(self, result: Json) -> list[Event]:
        channel, native = text(result["channel"]), result.get("symbol")
        warnings: list[Event] = [unknown("warning", warning) for warning in rows(result.get("warnings") or [])]
        if native is None:
            if channel == INSTRUMENT:
                self._metadata.settle(INSTRUMENT)
            return [Subscribed(channel), *warnings]
        if native not in self.instruments:
            return [unknown("ack of", native), *warnings]
        if channel == "trade" and native in self._trades.standings:
            self._trades.arrived(native)
        return [Subscribed(OUR_CHANNELS.get(channel, channel), (native,)), *warnings]

    def _on_nameless(self, reason: str) -> list[Event]:
        """Events of an error that names no request (K12)."""
        self._book.all_refused(self._now_ns)
        self._trades.all_refused(self._now_ns)
        self._metadata.refuse_all(self._now_ns)
        self._slow_down(reason)
        return [SubscriptionRefused("", "", reason, for_now=True)]

    def _on_refusal(self, message: Json) -> list[Event]:
        reason, native = text(message.get("error", "")), text(message.get("symbol", ""))
        if message.get("method") == "unsubscribe":
            return [unknown("unsubscribe", reason)]
        kind = subscriptions.kind_of_request(message.get("req_id")) or text(message.get("channel", ""))
        channel = OUR_CHANNELS.get(kind, kind)
        subscribed = {"book": self._book, "trade": self._trades}.get(kind)
        final = is_final(reason)
        self._slow_down(reason)
        if kind == INSTRUMENT and self._metadata.waits(INSTRUMENT):
            if reason.casefold().startswith(ALREADY):
                self._metadata.settle(INSTRUMENT)
                return [Subscribed(INSTRUMENT)]
            self._metadata.refuse(INSTRUMENT, self._now_ns, final=final)
        if subscribed is None or native not in subscribed.standings:
            return [SubscriptionRefused(channel, native, reason, for_now=not final)]
        if reason.casefold().startswith(ALREADY):
            subscribed.already_there(native, self._now_ns)
            return [Subscribed(channel, (native,))]
        subscribed.refused(native, self._now_ns, final=final)
        if final and subscribed is self._book:
            self.shape.instruments.pop(native, None)
        return [SubscriptionRefused(channel, native, reason, for_now=not final)]

    def _slow_down(self, reason: str) -> None:
        if is_rate(reason) and self._patience.is_over(self._now_ns):
            self._requests.append(SlowDown(reason))
