"""OKX, API v5, spot: frames of the channels `books`, `books5` and `trades` become events. No sockets, no clock, no logging.

    books     400 levels per side: a snapshot, then changes        ─► Book (O1 to O9) ─► Snapshot, Update …
    books5    a full top 5 in each message                         ─► Snapshot of depth 5; `flow` publishes the difference
    trades    rows of one or more fills                            ─► TradeIds (T1 to T7); `side` is the taker's

The rules, numbered as the tests number them:

  O1   A `snapshot` replaces the book, requested or not; its seqId is the start of the chain. Sizes are absolute, 0 removes. The
       exchange sends removals for levels that leave its window of 400, so the book is not truncated here.
  O2   An `update` follows if its prevSeqId is the last seqId, whatever the step to its own seqId.
  O3   After a minute without a change an empty update with seqId = prevSeqId confirms the book: an Update without levels.
  O4   A seqId below a prevSeqId that matches is a reset by the exchange: the chain continues from the smaller number.
  O5   Any other update is a gap. The symbol is resubscribed; until the answer, messages belong to the old
       subscription and are ignored. After a hundred resubscriptions in an hour, gaps are healed by REST as in O8, since the
       exchange limits requests.
  O6   A checksum other than 0 is passed on with the event, signed (older recordings); 0 means none. A message without sequence
       numbers needs a checksum, and may only follow a snapshot without sequence numbers.
  O7   If the first message is an update, or no snapshot came within 5 s of the answer, the book begins with a REST snapshot. No
       book was live, so this is no gap.
  O8   Until it arrives, messages are kept as one unbroken chain: one that does not follow begins another, and so does a reset. A
       snapshot older than the chain is refused, and another fetched. One ahead of it is held for 5 s at most. The book is the
       snapshot, then the kept messages beyond its seqId. From then on O2 to O5 hold, and a gap heals by another REST snapshot.
  O9   A snapshot adopted before any message may be newer than the first messages: those that end at or before it are ignored, at
       most 20 in a row.
  O10  A *picture*, one message of `books5`, replaces the top 5. The same seqId is a repetition. A smaller seqId is a gap: no book
       is shown until the next picture whose seqId does not decrease. After `resync` the next picture is accepted with any seqId.
  O11  Subscriptions are answered one by one. One without an answer and without data is requested again, without limit, after the
       pauses of `Owed`; for a book still unanswered after three requests the connection is replaced (`LastResort`).
  O12  A refusal applies to the subscription that its text names, else to all of its request. Codes 60011, 60018 and 64003 are
       final. After rate-limit refusals (60014) requests are repeated after pauses, like all others; after five within a minute the
       connection is replaced, at most once in ten minutes, since the exchange counts requests per connection.
  O13  After 20 s without a message the text `ping` is sent; the answer is the text `pong`. Without an answer within 10 s the
       connection is replaced. A notice 64008 announces the end of the connection.
  O14  A quiet book is checked by a REST snapshot: with the same seqId its best levels must equal the book's. One that is ahead, and
       still ahead of the stream a second later, shows a dead stream: it is resubscribed. The connection is replaced if the answer
       takes more than 3 s or, at most once in ten minutes, if the stream dies again within two minutes.
  O15  Missing trades are fetched from among the last 500.
  O16  A well-formed message of an unknown kind gives Unrecognised; any other that is not understood is a DecodeError, which leaves
       the state unchanged.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from orjson import loads

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.confirmation import AGAIN_NS, PROOF_DEPTH, Confirmation, Finding
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.okx import facts as okx
from alphapulse_cli.exchanges.okx.book import NONE, Book, Stage
from alphapulse_cli.exchanges.okx.checksum import book_checksum, book_text
from alphapulse_cli.exchanges.okx.fields import (
    BookKind,
    Json,
    OffGridFound,
    answered,
    book_of,
    digits,
    fetched_row,
    integer,
    numbers_of,
    picture_number,
    rows,
    trade_of,
)
from alphapulse_cli.exchanges.okx.instruments import parse_instruments
from alphapulse_cli.exchanges.okx.subscriptions import Arguments, Key
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TEXT_KEPT, TRADES, BookTop, FrameLabel, Position
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.exchanges.subscriptions import SILENCES, LastResort, is_final, is_rate
from alphapulse_cli.exchanges.trade_ids import Counted, TradeIds
from alphapulse_cli.market.events import (
    ClosingSoon,
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    Proof,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    Unanswered,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchProof, FetchSnapshot, FetchTrades, Reconnect, Request, Send

USUAL_UPDATE = (
    '{"arg":{"channel":"books","instId":"<name>"},"action":"update","data":[{"asks":[<asks>["<price>","<size>","0","<text>"]</asks>],'
    '"bids":[<bids>["<price>","<size>","0","<text>"]</bids>],"ts":"<millis>","checksum":0,'
)
SEQ_FIRST, PREV_FIRST = '"seqId":<first>,"prevSeqId":<final>}]}', '"prevSeqId":<final>,"seqId":<first>}]}'  # both are documented
BOOK_EVENTS: dict[str, BookKind] = {"snapshot": Snapshot, "update": Update}
BOOKS_CHANNEL, PICTURES_CHANNEL, TRADES_CHANNEL = "books", "books5", "trades"
OUR_CHANNELS = {BOOKS_CHANNEL: BOOK, PICTURES_CHANNEL: BOOK, TRADES_CHANNEL: TRADES}  # OKX's channel name -> canonical name
PING, PONG = b"ping", b"pong"
PING_AFTER_NS, PONG_WITHIN_NS, RESTART_WITHIN_NS = 20_000_000_000, 10_000_000_000, 3_000_000_000
FINAL_CODES = frozenset({"60011", "60018", "64003"})  # login required, no such channel or instrument, a higher VIP level required
RATE_CODES = frozenset({"60014", "50011"})
RATE_REFUSALS, RATE_WITHIN_NS = 5, 60_000_000_000
CLOSING_CODE = "64008"


@dataclass(slots=True)
class _Pictures:
    """Last picture of one symbol on this connection."""

    last: int = NONE
    is_doubted: bool = False  # O10: the last picture's seqId decreased


class Decoder:
    """Decoder of one connection; `exchanges.protocol.Decoder`. UsageError for a depth that the mode does not have."""

    confirms_in_band = False
    shape = None  # `receive` calls the shape itself, since an update has to follow the chain

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int = 0, mode: str = "") -> None:
        chosen = okx.FACTS.mode(mode)
        if depth not in (0, chosen.default_depth):
            raise UsageError(
                f"okx has no book of depth {depth} in mode {chosen.name}", f"it has {chosen.default_depth} levels per side"
            )
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self._is_pictures = chosen.name == okx.BOOKS5
        self._channel = PICTURES_CHANNEL if self._is_pictures else BOOKS_CHANNEL
        natives = list(self.instruments) if BOOK in channels else []
        self._books = {} if self._is_pictures else {each: self._new_book(each) for each in natives}
        self._shown = {each: _Pictures() for each in natives} if self._is_pictures else {}
        self._trades = {each: TradeIds() for each in self.instruments} if TRADES in channels else {}
        keys = [*((self._channel, each) for each in natives), *((TRADES_CHANNEL, each) for each in self._trades)]
        self._subscriptions = Arguments(keys)
        self._shape, self._other_shape = Shape(USUAL_UPDATE + SEQ_FIRST), Shape(USUAL_UPDATE + PREV_FIRST)
        self._is_prev_first = False  # key order that `_shape` reads: that of the last update
        self._shape.instruments = self._other_shape.instruments = self.instruments
        self._checks: dict[str, Confirmation] = {}  # checks of quiet books, by native symbol
        self._restarted_ns: dict[str, int] = {}  # O14: dead streams that were resubscribed and not yet answered
        self._died_ns: dict[str, int] = {}  # time at which a stream was last found dead
        self._last_resort: LastResort[Key | str] = LastResort()
        self._hour_ns = self._resubscriptions = 0  # O5
        self._requests: list[Request] = []
        self._now_ns = 0  # CLOCK_MONOTONIC, of the last tick
        self._start_connection(0)

    def _new_book(self, native: str) -> Book:
        return Book(self.instruments[native], self._fetch, self._subscribe_anew)

    def _start_connection(self, monotonic_ns: int) -> None:
        self._now_ns = self._heard_ns = monotonic_ns
        self._pinged_ns: int | None = None  # time of the ping that waits for an answer
        self._refused_ns: list[int] = []  # O12: times of rate-limit refusals

    # The interface `exchanges.protocol.Decoder`

    def connected(self, monotonic_ns: int) -> None:
        """Start on a new connection: forget everything of the last one except trade ids, and queue the subscriptions."""
        self._start_connection(monotonic_ns)
        for book in self._books.values():
            book.reset()
        for native in self._shown:
            self._shown[native] = _Pictures()
        self._checks.clear()
        self._restarted_ns.clear()
        self._requests = []
        self._subscriptions.start(monotonic_ns)

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - its frames need no receive time
        """Events of one frame. DecodeError if it is not understood in full; then nothing has changed."""
        self._heard_ns = self._now_ns
        usual = self._shape.read(frame)
        if usual is not None:
            book = self._books.get(usual.instrument.native)
            if book is not None and book.follows == self._shape.final:  # O2, O4: nearly every frame
                book.last = book.follows = self._shape.first
                return (usual,)
        if frame == PONG:
            self._pinged_ns = None
            return (Heartbeat(),)
        channel = None
        try:
            message = loads(frame)
            if type(message) is not dict:
                return (Unrecognised(type(message).__name__),)
            if "event" in message:
                return self._on_talk(message)
            if type(message.get("arg")) is dict:
                channel = message["arg"].get("channel")
                return self._on_data(message, channel, frame)
            return (Unrecognised(_short(f"message with the key {next(iter(message), '')}")),)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"okx: {error!r:.200}", frame, may_hold_books=channel != TRADES_CHANNEL) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """O8: events of a REST snapshot: a Snapshot and the kept Updates after it. DecodeError if it is not understood in full.

        SnapshotRefused where it does not fit the stream; no events where it has to wait for the stream.
        """
        book = self._books.get(instrument.native)
        if book is None or book.stage is not Stage.SPLICING or not book.in_flight:
            return ()
        try:
            return book.on_fetched(body, self._now_ns)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            book.fetch_again(self._now_ns)
            raise DecodeError(f"okx: snapshot of {instrument.id}: {error!r:.200}", body) from error

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """O15: events of the missing trades in the answer to a FetchTrades. DecodeError if it is not understood in full."""
        ids, current = self._trades.get(instrument.native), self.instruments.get(instrument.native)
        if ids is None or current is None:
            return ()
        try:
            missing = [row for row in answered(body) if ids.misses(digits(row["tradeId"]))]
            read = [trade_of(current, row, history=True) for row in missing]
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"okx: trades of {instrument.id}: {error!r:.200}", body) from error
        return ids.take_counted([(number, count or 1, (trade,)) for number, count, trade in read], self._now_ns)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of an answer to `public/instruments`. DecodeError if it is not understood."""
        return parse_instruments(body, ours=self.instruments)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Queue a failed snapshot again."""
        book = self._books.get(instrument.native)
        if book is not None and book.in_flight:
            self._now_ns = monotonic_ns
            book.fetch_again(monotonic_ns)

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order of execution."""
        requests = [*self._requests, *map(Send, self._subscriptions.frames())]
        self._requests = []
        return requests

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue the requests that are due: pings, subscriptions, snapshots, missing trades."""
        self._now_ns = monotonic_ns
        self._keep_alive()
        events = [event for book in self._books.values() for event in book.tick(monotonic_ns)]
        for native, check in self._checks.items():
            if check.due(monotonic_ns):
                self._fetch_proof(native)
        for native, ids in self._trades.items():
            if ids.wants_fill(monotonic_ns):
                path = f"{okx.TRADES_PATH}?instId={quote(native)}&limit={okx.RECENT_TRADES}"
                self._requests.append(FetchTrades(self.instruments[native], path))
        for (channel, native), silences in self._subscriptions.silences().items():
            if channel == self._channel and self._last_resort.is_due((channel, native), silences, monotonic_ns):
                self._requests.append(Reconnect(f"no answer to the subscription to the book of {native}, {silences} times"))
        silent: dict[str, list[str]] = {}
        for channel, native in self._subscriptions.tick(monotonic_ns)[1]:
            silent.setdefault(OUR_CHANNELS[channel], []).append(native)
        return [*events, *(Unanswered(ours, natives) for ours, natives in silent.items())]

    def resync(self, instrument: Instrument) -> None:
        """Heal a wrong book: resubscribe or fetch a snapshot (O5, O8), or accept the next picture with any seqId (O10)."""
        book = self._books.get(instrument.native)
        if book is not None:
            book.heal()
        if instrument.native in self._shown:
            self._shown[instrument.native] = _Pictures()

    def confirm(self, instrument: Instrument) -> None:
        """O14: request a small REST snapshot to compare a quiet symbol's stream and book with."""
        last_number = self._last_number(instrument.native)
        if last_number is not None:
            self._checks[instrument.native] = Confirmation(last_number)
            self._fetch_proof(instrument.native)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """O14: judge a quiet symbol by the answer to a FetchProof. DecodeError as of `receive`."""
        native, last_number = instrument.native, self._last_number(instrument.native)
        check = self._checks.pop(native, None)
        if check is None or last_number is None:
            return ()
        try:
            row = fetched_row(body)
            number, snapshot = integer(row["seqId"]), book_of(Snapshot, self.instruments[native], row)
        except OffGridFound:
            return ()
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"okx: snapshot of {instrument.id}: {error!r:.200}", body) from error
        finding = check.judge(number, last_number, self._now_ns)
        if not check.is_over:
            self._checks[native] = check
        if finding is Finding.COMPARE:
            return (Proof(snapshot.instrument, snapshot.levels, self._proof_depth),)
        return self._on_dead_stream(native, f"it stands at {last_number}, the book at {number}") if finding is Finding.DEAD else ()

    def position(self) -> Position:
        """Position in the connection: sequence numbers of each live book, or of each last picture."""
        live: Position = {native: book.position for native, book in self._books.items() if book.stage is Stage.LIVE}
        return live | {native: [shown.last, 0, False] for native, shown in self._shown.items() if shown.last != NONE}

    def last_number(self, native: str) -> int | None:
        """`seqId` of the last message in a live book, or of its last picture."""
        book, shown = self._books.get(native), self._shown.get(native)
        if book is not None:
            return book.last if book.stage is Stage.LIVE and book.last != NONE else None  # before 2023 there were none
        return shown.last if shown is not None and shown.last != NONE else None

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume with live books of these symbols."""
        for native in natives:
            last, follows, is_unmet = position[native]
            if native in self._books:
                self._books[native].resume(int(last), int(follows), is_unmet=bool(is_unmet))
            else:
                self._shown[native].last = int(last)
            self._subscriptions.arrived((self._channel, native))

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode frames, kept ones too, on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument
        if instrument.native in self._books:
            self._books[instrument.native].instrument = instrument

    def book_checksum(self, instrument: Instrument, book: BookTop) -> int:
        """Checksum that this book must have (O6)."""
        return book_checksum(instrument, book)

    def checksum_text(self, instrument: Instrument, book: BookTop) -> bytes:
        """Text that this book's checksum covers (O6)."""
        return book_text(instrument, book)

    def label(self, frame: bytes) -> FrameLabel:
        """Symbol and numbers of a frame, or of a REST snapshot; a checksum of 0 is none (O6)."""
        message = loads(frame)
        entries = message.get("data") or [message]
        native = message.get("arg", {}).get("instId")
        names = ("prevSeqId", "seqId", "checksum") if entries[-1].get("checksum") else ("prevSeqId", "seqId")
        return made_of((native,) if native else (), entries[-1], names, prev="prevSeqId")

    # Data

    def _on_data(self, message: Json, channel: object, frame: bytes) -> Sequence[Event]:
        native = message["arg"].get("instId")
        if channel == BOOKS_CHANNEL and (book := self._books.get(native)) is not None:
            return self._on_book(book, message, frame)
        if channel == PICTURES_CHANNEL and native in self._shown:
            instrument = self.instruments[native]
            read = [(picture_number(row), book_of(Snapshot, instrument, row, okx.PICTURE_DEPTH)) for row in rows(message["data"])]
            return [event for number, picture in read for event in self._on_picture(native, number, picture)]
        if channel == TRADES_CHANNEL and native in self._trades:
            return self._on_trades(native, message)
        return (Unrecognised(_short(f"{channel} of {native}")),)

    def _on_book(self, book: Book, message: Json, frame: bytes) -> Sequence[Event]:
        kind = BOOK_EVENTS.get(message["action"])
        if kind is None:
            return (Unrecognised(_short(f"{BOOKS_CHANNEL} {message['action']}")),)
        read = [(book_of(kind, book.instrument, row), numbers_of(row)) for row in rows(message["data"])]
        is_prev_first = frame.rfind(b'"prevSeqId":') < frame.rfind(b',"seqId":')
        if kind is Update and is_prev_first is not self._is_prev_first:
            self._is_prev_first = is_prev_first
            self._shape, self._other_shape = self._other_shape, self._shape
        events: list[Event] = []
        for place, (event, numbers) in enumerate(read):
            if isinstance(event, Snapshot):
                self._fed(BOOKS_CHANNEL, book.instrument.native)
                events += book.on_snapshot(event, numbers)
            else:
                events += book.on_update(event, numbers, frame, place, self._now_ns)
        return events

    def _on_picture(self, native: str, number: int, picture: Snapshot | Update) -> Sequence[Event]:
        """O10: events of one picture."""
        shown = self._shown[native]
        self._fed(PICTURES_CHANNEL, native)
        last, shown.last = shown.last, number
        if number < last:
            shown.is_doubted = True
            detail = f"picture {last} is followed by {number}"
            return (GapFound((picture.instrument,), GapReason.SEQUENCE_RESET, detail, f"at least {last}", str(number)),)
        if number == last != NONE and not shown.is_doubted:
            return ()
        shown.is_doubted = False
        return (picture,)

    def _on_trades(self, native: str, message: Json) -> Sequence[Event]:
        instrument = self.instruments[native]
        read: list[Counted] = []
        for row in rows(message["data"]):
            number, count, trade = trade_of(instrument, row)
            read.append((number, count, (trade,)))
        self._fed(TRADES_CHANNEL, native)
        return self._trades[native].take_counted(read, self._now_ns)

    def _fed(self, channel: str, native: str) -> None:
        """Record data, which confirm a subscription."""
        self._subscriptions.arrived((channel, native))
        if channel != TRADES_CHANNEL:
            self._restarted_ns.pop(native, None)

    # Answers, notices

    def _on_talk(self, message: Json) -> Sequence[Event]:
        kind = message["event"]
        if kind == "error":
            return self._on_refusal(message)
        if kind == "notice" and message.get("code") == CLOSING_CODE:
            return (ClosingSoon(_short(f"{CLOSING_CODE} {message.get('msg', '')}")),)
        if kind not in ("subscribe", "unsubscribe"):
            return (Unrecognised(_short(kind)),)
        key = message["arg"]["channel"], message["arg"]["instId"]
        if kind == "unsubscribe":
            return ()
        if key not in self._subscriptions.standings:
            return (Unrecognised(_short(f"answer to {key[0]} of {key[1]}")),)
        channel, native = key
        if channel != PICTURES_CHANNEL:  # settled by the first picture
            self._subscriptions.arrived(key)
        if channel != TRADES_CHANNEL:
            self._restarted_ns.pop(native, None)
        if channel == BOOKS_CHANNEL:
            self._books[native].acked(self._now_ns)
        return (Subscribed(OUR_CHANNELS[channel], (native,)),)

    def _on_refusal(self, message: Json) -> Sequence[Event]:
        """O12: events of a refusal."""
        code, words = message.get("code", ""), message.get("msg", "")
        if type(code) is not str or type(words) is not str:
            raise TypeError("an error of unknown shape")
        reason = _short(f"{code} {words}")
        final = code in FINAL_CODES or is_final(words)
        keys = self._subscriptions.request_refused(message.get("id"), words, self._now_ns, final=final)
        if code in RATE_CODES or is_rate(words):
            self._on_rate()
        if not keys:
            return (SubscriptionRefused("", "", reason, for_now=not final),)
        return [SubscriptionRefused(OUR_CHANNELS[channel], native, reason, for_now=not final) for channel, native in keys]

    def _on_rate(self) -> None:
        """O12: count a rate-limit refusal."""
        self._refused_ns = [*(each for each in self._refused_ns if self._now_ns - each < RATE_WITHIN_NS), self._now_ns]
        if len(self._refused_ns) >= RATE_REFUSALS and self._last_resort.is_due("rate", SILENCES, self._now_ns):
            self._requests.append(Reconnect(f"{RATE_REFUSALS} requests refused within a minute as too many"))

    def _keep_alive(self) -> None:
        """O13, O14: ping a silent connection; replace one that does not answer."""
        now_ns = self._now_ns
        if self._pinged_ns is not None and self._heard_ns > self._pinged_ns:
            self._pinged_ns = None
        if self._pinged_ns is not None and now_ns - self._pinged_ns >= PONG_WITHIN_NS:
            self._pinged_ns = now_ns
            self._requests.append(Reconnect("no answer to a ping"))
        if self._pinged_ns is None and now_ns - self._heard_ns >= PING_AFTER_NS:
            self._pinged_ns = now_ns
            self._requests.append(Send(PING))
        mute = [native for native, asked_ns in self._restarted_ns.items() if now_ns - asked_ns > RESTART_WITHIN_NS]
        if mute:
            self._restarted_ns.clear()
            self._requests.append(Reconnect(f"no answer to the new subscription to the dead stream of {mute[0]}"))

    # Healing

    def _subscribe_anew(self, native: str) -> None:
        """O5: queue a resubscription of a book, or a REST snapshot after too many resubscriptions within an hour."""
        if self._now_ns - self._hour_ns >= okx.HOUR_NS:
            self._hour_ns, self._resubscriptions = self._now_ns, 0
        self._resubscriptions += 1
        is_dead = native in self._restarted_ns  # only a resubscription revives it
        if self._resubscriptions > okx.MOST_RESUBSCRIPTIONS and native in self._books and not is_dead:
            self._books[native].splice()
        else:
            self._subscriptions.ask_anew((self._channel, native), self._now_ns)

    def _fetch(self, instrument: Instrument) -> None:
        """O7: queue the fetch of a snapshot."""
        path = f"{okx.BOOKS_PATH}?instId={quote(instrument.native)}&sz={okx.BOOK_DEPTH}&source=0"
        self._requests.append(FetchSnapshot(instrument, path))

    # Quiet books

    @property
    def _proof_depth(self) -> int:
        return okx.PICTURE_DEPTH if self._is_pictures else PROOF_DEPTH

    def _last_number(self, native: str) -> int | None:
        """Last seqId of a symbol's stream; None if its book is not live or has no sequence numbers."""
        if native in self._shown:
            shown = self._shown[native]
            return None if shown.last == NONE or shown.is_doubted else shown.last
        book = self._books.get(native)
        return book.last if book is not None and book.stage is Stage.LIVE and book.last != NONE else None

    def _fetch_proof(self, native: str) -> None:
        path = f"{okx.BOOKS_PATH}?instId={quote(native)}&sz={self._proof_depth}"
        self._requests.append(FetchProof(self.instruments[native], path))

    def _on_dead_stream(self, native: str, detail: str) -> Sequence[Event]:
        """O14: resubscribe to a dead stream, a gap of its book. If it died recently as well, replace the connection."""
        died_ns, self._died_ns[native] = self._died_ns.get(native), self._now_ns
        if died_ns is not None and self._now_ns - died_ns < AGAIN_NS and self._last_resort.is_due(native, SILENCES, self._now_ns):
            self._requests.append(Reconnect(f"the stream of {native} died again"))
        self._restarted_ns[native] = self._now_ns
        if native in self._books:
            self._books[native].subscribe_anew()
        else:
            self._shown[native] = _Pictures()
            self._subscribe_anew(native)
        return (GapFound((self.instruments[native],), GapReason.QUIET, detail),)


def _short(value: Any) -> str:
    """Text of the exchange, cut to TEXT_KEPT characters: hostile. TypeError for any other type."""
    if type(value) is not str:
        raise TypeError("not text")
    return value[:TEXT_KEPT]
