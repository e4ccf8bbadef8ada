"""Binance spot, modes `diff` and `depth20`: bytes in, events and requests out; no sockets, no clock, no logging.

    diff      @depth@100ms ─► SplicedBook (rules B1 to B11) ─► Update ...      REST snapshot ─► Snapshot and the buffered Updates
    depth20   @depth20@100ms ─► Snapshot with depth 20: the whole top 20 each time; `flow` publishes the difference
    trades    @trade ─► TradeIds (rules T1 to T6); `m` true means that the buyer was the maker, so the taker SOLD

A *picture* is one message of a depth20 stream: the whole top 20. Subscriptions keep rules U1 to U3. The rules of pictures and of
trades by REST, numbered as the tests number them:
  P1  A picture replaces the top 20. A picture with the same id is a repetition: no event.
  P2  A picture with a smaller id is out of order: the sequence was reset, or the picture is old. That is a gap; no book is
      shown until the next picture whose id does not decrease.
  P3  After `resync` the next picture is accepted with any id.
  P4  Missing trades are fetched from among the last 1,000, which is all that REST gives without keys.
  P5  A subscribed symbol without a picture for 10 s is looked up by REST (`confirmation.Awaited`): on a quiet market the REST
      snapshot serves as its picture, otherwise its stream is dead. A dead stream is resubscribed; if it dies again soon after,
      the connection is replaced, at most once in ten minutes if a new connection did not help.

Sizes are absolute and zero removes, also a level that is not there. A frame is parsed in full before any state changes, so a
DecodeError or an OffGrid leaves the decoder as it was, except that an unreadable snapshot is requested again. An answer to no
pending request is ignored.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from orjson import loads

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance.fields import OffGridFound, data_of, fetched_trade_of, integer, levels_of, trade_of, update_of
from alphapulse_cli.exchanges.binance.instruments import parse_instruments
from alphapulse_cli.exchanges.binance.spliced_book import SplicedBook
from alphapulse_cli.exchanges.binance.subscriptions import Subscriptions, stream_name
from alphapulse_cli.exchanges.confirmation import (
    AGAIN_NS,
    NO_HELP_NS,
    PROOF_DEPTH,
    Awaited,
    Confirmation,
    Finding,
)
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TRADES, FrameLabel, Position
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.exchanges.trade_ids import TradeIds
from alphapulse_cli.market.events import ClosingSoon, Event, GapFound, GapReason, Proof, Snapshot, Unanswered, Unrecognised
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.requests import FetchProof, FetchSnapshot, FetchTrades, Reconnect, Request, Send

USUAL_DIFF = (
    '{"stream":"<text>","data":{"e":"depthUpdate","E":<millis>,"s":"<name>","U":<first>,"u":<final>,'
    '"b":[<bids>["<price>","<size>"]</bids>],"a":[<asks>["<price>","<size>"]</asks>]}}'
)
KIND_CHARACTERS = 40
NO_PICTURE = -1


@dataclass(slots=True)
class _Pictures:
    """Last picture of one symbol on this connection."""

    last: int = NO_PICTURE
    is_doubted: bool = False  # P2: the last picture's id decreased


@dataclass(slots=True)
class _Trading:
    """Trade ids of one symbol, kept across connections."""

    ids: TradeIds = field(default_factory=TradeIds)
    is_fed: bool = False  # whether trade frames arrived on this connection


class Decoder:
    """Decoder for "binance-us" and "binance"; `exchanges.protocol.Decoder`.

    UsageError for a depth that does not exist, or for more streams than a connection carries.
    """

    confirms_in_band = False
    shape = None  # mode diff: `receive` calls the shape itself, after the splice
    book_checksum = None

    def __init__(
        self,
        instruments: Iterable[Instrument],
        channels: Collection[str],
        depth: int = 0,
        mode: str = "",
        exchange: str = "binance-us",
    ) -> None:
        self._facts = binance.FACTS[exchange]
        self._pictures = self._facts.mode(mode).name == binance.DEPTH20
        most = binance.PICTURE_DEPTH if self._pictures else binance.SNAPSHOT_LIMITS[-1]
        if depth and (depth > most or (self._pictures and depth < most)):
            raise UsageError(
                f"{exchange} has no book of depth {depth} in mode {self._facts.mode(mode).name}", f"the deepest is {most}"
            )
        self._limit = binance.snapshot_limit(depth)
        self.instruments = {instrument.native: instrument for instrument in instruments}
        book_stream = binance.PICTURE_STREAM if self._pictures else binance.DIFF_STREAM
        suffixes = [*([book_stream] if BOOK in channels else ()), *([binance.TRADE_STREAM] if TRADES in channels else ())]
        self._subscriptions = Subscriptions(list(self.instruments), suffixes, self._facts.subscribe_batch)
        books = self.instruments if BOOK in channels else {}
        self._books = {} if self._pictures else {native: SplicedBook(one, self._fetch) for native, one in books.items()}
        self._picture_natives = {stream_name(native, book_stream): native for native in books} if self._pictures else {}
        self._shown = {native: _Pictures() for native in self._picture_natives.values()}
        self._trades = {native: _Trading() for native in self.instruments} if TRADES in channels else {}
        self._shape = Shape(USUAL_DIFF)
        self._shape.instruments = self.instruments
        self._book_stream = book_stream
        self._checks: dict[str, Confirmation] = {}  # of quiet books
        self._awaited: dict[str, Awaited] = {}  # P5
        self._pictured: set[str] = set()  # symbols with a picture on this connection
        self._died_ns: dict[str, int] = {}  # time at which a stream was last found dead
        self._replaced_ns: dict[str, int] = {}  # time at which the connection was last replaced for a symbol
        self._reported_silent: set[str] = set()  # symbols whose silence was reported, until their book is live
        self._requests: list[Request] = []
        self._now_ns = 0  # CLOCK_MONOTONIC, of the last tick

    # The interface `exchanges.protocol.Decoder`

    def connected(self, monotonic_ns: int) -> None:
        """Start on a new connection: forget everything of the last one except trade ids, and queue the subscriptions."""
        self._now_ns = monotonic_ns
        for book in self._books.values():
            book.reset()
        for native in self._shown:
            self._shown[native] = _Pictures()
        for trading in self._trades.values():
            trading.is_fed = False
        self._checks.clear()
        self._awaited.clear()
        self._pictured.clear()
        self._requests = [Send(frame) for frame in self._subscriptions.connected(monotonic_ns)]

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - its frames need no receive time
        """Events of one frame, wrapped with its stream's name or bare. DecodeError if it is not understood in full."""
        try:
            usual = self._shape.read(frame)
            if usual is not None and (book := self._books.get(usual.instrument.native)) is not None:
                return book.on_event(usual, self._shape.first, self._shape.final, frame, self._now_ns)
            message = loads(frame)
            data = message.get("data", message)
            if type(data) is dict:
                kind = data.get("e")
                if kind == "depthUpdate" and (book := self._books.get(data["s"])) is not None:
                    return book.on_event(update_of(book.instrument, data), data["U"], data["u"], frame, self._now_ns)
                if kind == "trade" and (trading := self._trades.get(data["s"])) is not None:
                    number, trade = trade_of(self.instruments[data["s"]], data)
                    trading.is_fed = True
                    return trading.ids.take([(number, (trade,))], self._now_ns)
                if "lastUpdateId" in data and (native := self._native_of_picture(message)) is not None:
                    return self._on_picture(native, data)
            return self._on_talk(message, data)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"{self._facts.name}: {error!r:.200}", frame) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Events of a REST snapshot: a Snapshot and the buffered Updates after it. DecodeError if it is not understood in full.

        SnapshotRefused where it does not fit the stream; no events where it has to wait for the stream.
        """
        book = self._books.get(instrument.native)
        if book is None or not book.in_flight:
            return ()
        try:
            return book.on_snapshot(body, self._now_ns)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            book.fetch_again(self._now_ns)
            raise DecodeError(f"{self._facts.name}: snapshot of {instrument.id}: {error!r:.200}", body) from error

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """P4: events of the missing trades in the answer to a FetchTrades. DecodeError if it is not understood in full."""
        trading, current = self._trades.get(instrument.native), self.instruments.get(instrument.native)
        if trading is None or current is None:
            return ()
        try:
            rows = loads(body)
            if type(rows) is not list:
                raise TypeError("trades are not an array")
            missing = [row for row in rows if trading.ids.misses(integer(row["id"]))]
            return trading.ids.fill([fetched_trade_of(current, row) for row in missing], self._now_ns)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"{self._facts.name}: trades of {instrument.id}: {error!r:.200}", body) from error

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of an `exchangeInfo`. DecodeError if it is not understood."""
        return parse_instruments(body, exchange=self._facts.name, ours=self.instruments)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Queue a failed snapshot again."""
        book = self._books.get(instrument.native)
        if book is not None and book.in_flight:
            self._now_ns = monotonic_ns
            book.fetch_again(monotonic_ns)

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue the requests that are due: snapshots, missing trades, and repetitions of unanswered subscriptions (U2, U3)."""
        self._now_ns = monotonic_ns
        events = [event for book in self._books.values() for event in book.tick(monotonic_ns)]
        for native, book in self._books.items():
            if book.is_dead:
                book.is_dead = False
                events += self._on_silent_stream(native)
        self._await_pictures(monotonic_ns)
        for native, check in self._checks.items():
            if check.due(monotonic_ns):
                self._fetch_proof(native)
        for native, trading in self._trades.items():
            if trading.ids.wants_fill(monotonic_ns):
                path = f"{binance.TRADES_PATH}?symbol={quote(native)}&limit={binance.RECENT_TRADES}"
                self._requests.append(FetchTrades(self.instruments[native], path, binance.TRADES_WEIGHT))
        for native in self._subscriptions.fed(self._is_fed):
            if native in self._books:
                self._books[native].confirmed(monotonic_ns)
        frames, reports, gave_up = self._subscriptions.again(monotonic_ns, self._is_fed)
        if gave_up:
            self._requests.append(Reconnect("the subscriptions were neither confirmed nor fed"))
        else:
            self._requests += map(Send, frames)
        return [*events, *reports]

    def resync(self, instrument: Instrument) -> None:
        """Heal a wrong book: fetch another snapshot, or take the next picture, whatever its id (P3)."""
        book = self._books.get(instrument.native)
        if book is not None:
            book.resync()
        if instrument.native in self._shown:
            self._shown[instrument.native] = _Pictures()

    def confirm(self, instrument: Instrument) -> None:
        """Request a small REST snapshot to compare a quiet symbol's stream and book with (`confirmation`)."""
        last_number = self._last_number(instrument.native)
        if last_number is not None:
            self._checks[instrument.native] = Confirmation(last_number)
            self._fetch_proof(instrument.native)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Judge a quiet symbol by the answer to a FetchProof. DecodeError as of `receive`."""
        native, last_number = instrument.native, self._last_number(instrument.native)
        check = self._checks.pop(native, None)
        awaited = self._awaited.get(native) if last_number is None else None
        if awaited is None and (check is None or last_number is None):
            return ()
        current = self.instruments[native]
        try:
            answer = loads(body)
            number, levels = integer(answer["lastUpdateId"]), levels_of(current, answer["bids"], answer["asks"])
        except OffGridFound:
            return ()
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"{self._facts.name}: snapshot of {current.id}: {error!r:.200}", body) from error
        if awaited is not None:
            return self._on_awaited(awaited, current, number, levels)
        assert check is not None
        assert last_number is not None
        finding = check.judge(number, last_number, self._now_ns)
        if not check.is_over:
            self._checks[native] = check
        if finding is Finding.COMPARE:
            return (Proof(current, levels, PROOF_DEPTH),)
        return self._on_dead_stream(current, f"it stands at {last_number}, the book at {number}") if finding is Finding.DEAD else ()

    def position(self) -> Position:
        """Position in the connection: the last id of each live stream, or of each last picture."""
        live: Position = {native: book.splice.position for native, book in self._books.items() if book.splice.live}
        return live | {native: [shown.last, False] for native, shown in self._shown.items() if shown.last != NO_PICTURE}

    def last_number(self, native: str) -> int | None:
        """Last update id in a live book, or of its last picture."""
        book, shown = self._books.get(native), self._shown.get(native)
        if book is not None:
            return book.splice.last if book.splice.live else None
        return shown.last if shown is not None and shown.last != NO_PICTURE else None

    def label(self, frame: bytes) -> FrameLabel:
        """Symbol and ids of a frame, or of a REST snapshot."""
        message = loads(frame)
        data = data_of(message)
        native = data.get("s") or str(message.get("stream", "")).partition("@")[0].upper()
        return made_of((native,) if native else (), data, ("U", "u", "lastUpdateId", "t"), first="U")

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume with live books of these symbols."""
        for native in natives:
            last, is_unmet = position[native]
            if native in self._books:
                self._books[native].splice.resume(int(last), is_unmet=bool(is_unmet))
            else:
                self._shown[native].last = int(last)

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode frames, buffered ones too, on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument
        if instrument.native in self._books:
            self._books[instrument.native].instrument = instrument

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order of execution."""
        if not self._requests:
            return ()
        requests, self._requests = self._requests, []
        return requests

    # Kinds of message

    def _on_picture(self, native: str, data: dict[str, Any]) -> Sequence[Event]:
        instrument, shown = self.instruments[native], self._shown[native]
        number = integer(data["lastUpdateId"])
        levels = levels_of(instrument, data["bids"], data["asks"])
        last, shown.last = shown.last, number
        self._pictured.add(native)
        if number < last:  # P2
            shown.is_doubted = True
            detail = f"picture {last} is followed by {number}"
            return (GapFound((instrument,), GapReason.SEQUENCE_RESET, detail, f"at least {last}", str(number)),)
        if number == last and not shown.is_doubted:
            return ()
        shown.is_doubted = False
        return (Snapshot(instrument, levels, depth=binance.PICTURE_DEPTH),)

    def _native_of_picture(self, message: dict[str, Any]) -> str | None:
        """Symbol of a picture, by its stream's name. A bare one can only be that of the only symbol; None otherwise."""
        if "stream" in message:
            return self._picture_natives.get(message["stream"])
        return next(iter(self._picture_natives.values())) if len(self._picture_natives) == 1 else None

    def _is_fed(self, native: str) -> bool:
        """Whether any data message of that symbol arrived on this connection."""
        book, shown, trading = self._books.get(native), self._shown.get(native), self._trades.get(native)
        return (
            (book is not None and book.is_fed)
            or (shown is not None and shown.last != NO_PICTURE)
            or (trading is not None and trading.is_fed)
        )

    def _on_talk(self, message: Any, data: Any) -> Sequence[Event]:
        """Events of a control message: an answer to a request, a notice of shutdown, or an unknown type."""
        if type(message) is not dict:
            raise TypeError("not an object")
        stream, kind = message.get("stream"), data.get("e") if type(data) is dict else None
        if kind == "serverShutdown" or stream == "!serverShutdown":
            return (ClosingSoon("serverShutdown"),)
        if data is message and ("result" in message or "error" in message or "code" in message):
            natives, events = self._subscriptions.answer(message, self._now_ns)
            for native in natives:
                if native in self._books:
                    self._books[native].confirmed(self._now_ns)
            return events
        return (Unrecognised(str(kind or str(stream).partition("@")[2] or stream)[:KIND_CHARACTERS]),)

    # Quiet books

    def _last_number(self, native: str) -> int | None:
        """Last update id of a symbol's stream; None if its book is not live."""
        if native in self._shown:
            last = self._shown[native].last
            return None if last == NO_PICTURE or self._shown[native].is_doubted else last
        book = self._books.get(native)
        return book.splice.last if book is not None and book.splice.live else None

    def _was_fed(self, native: str) -> bool:
        """Whether the symbol's book stream sent any message on this connection."""
        book = self._books.get(native)
        return native in self._pictured if book is None else book.splice.was_fed

    def _fetch_proof(self, native: str) -> None:
        weight = binance.snapshot_weight(self._facts.name, binance.SNAPSHOT_LIMITS[0])
        path = f"{binance.DEPTH_PATH}?symbol={quote(native)}&limit={PROOF_DEPTH}"
        self._requests.append(FetchProof(self.instruments[native], path, weight))

    def _await_pictures(self, now_ns: int) -> None:
        """P5: request REST snapshots of symbols without a picture for 10 s."""
        unanswered = self._subscriptions.unanswered()
        for native in self._shown:
            if native in unanswered:
                self._awaited.pop(native, None)
            elif self._last_number(native) is not None:
                self._awaited.pop(native, None)
                self._reported_silent.discard(native)
            elif native not in self._awaited:
                self._awaited[native] = Awaited(now_ns)
            elif self._awaited[native].due(now_ns):
                self._fetch_proof(native)

    def _on_awaited(self, awaited: Awaited, instrument: Instrument, number: int, levels: Levels) -> Sequence[Event]:
        """P5: events of a REST snapshot for a symbol without a picture."""
        finding = awaited.judge(number, self._now_ns)
        if finding is Finding.COMPARE:
            self._shown[instrument.native] = _Pictures(number)
            return (Snapshot(instrument, levels, depth=binance.PICTURE_DEPTH),)
        return self._on_silent_stream(instrument.native) if finding is Finding.DEAD else ()

    def _on_silent_stream(self, native: str) -> Sequence[Event]:
        """Restart a dead stream whose book is not live: reported once, and not as a gap."""
        self._awaited.pop(native, None)
        self._restart(native)
        is_reported = native in self._reported_silent
        self._reported_silent.add(native)
        return () if is_reported else (Unanswered(BOOK, (native,)),)

    def _on_dead_stream(self, instrument: Instrument, detail: str) -> Sequence[Event]:
        """Restart a dead stream of a live book, which is a gap."""
        self._reported_silent.discard(instrument.native)
        self._restart(instrument.native)
        self.resync(instrument)
        return (GapFound((instrument,), GapReason.QUIET, detail),)

    def _restart(self, native: str) -> None:
        """Resubscribe to a dead stream; replace the connection if it died recently as well."""
        stream = stream_name(native, self._book_stream)
        died_ns, self._died_ns[native] = self._died_ns.get(native), self._now_ns
        replaced_ns = self._replaced_ns.get(native)
        is_no_help = replaced_ns is not None and self._now_ns - replaced_ns < NO_HELP_NS and not self._was_fed(native)
        if died_ns is not None and self._now_ns - died_ns < AGAIN_NS and not is_no_help:
            self._replaced_ns[native] = self._now_ns
            self._requests.append(Reconnect(f"the stream {stream} died again"))
        else:
            self._requests += map(Send, self._subscriptions.restart(stream, self._now_ns))

    def _fetch(self, instrument: Instrument) -> None:
        """B2: queue the fetch of a snapshot."""
        path = f"{binance.DEPTH_PATH}?symbol={quote(instrument.native)}&limit={self._limit}"
        self._requests.append(FetchSnapshot(instrument, path, binance.snapshot_weight(self._facts.name, self._limit)))
