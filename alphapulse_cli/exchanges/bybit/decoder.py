"""Bybit API v5, spot: frames of the topics `orderbook.N` and `publicTrade`, and answers to our requests, become events.

    {"topic":"orderbook.50.BTCUSDT","ts":…,"type":"snapshot"|"delta","data":{"s":…,"b":[[price,size]…],"a":[…],"u":7,"seq":9},"cts":…}
    {"topic":"publicTrade.BTCUSDT","ts":…,"type":"snapshot","data":[{"i":…,"T":…,"p":…,"v":…,"S":"Buy","s":…,"BT":false}…]}

No sockets, no clock, no logging, no book. Subscriptions keep rules W1 to W5. The others, numbered as the tests number them:

  Y1   A book `snapshot` replaces the book, requested or not. So does any message with `u` = 1: Bybit's service was restarted.
  Y2   In a `delta` a size is absolute, never a difference; "0" removes the level, also one that is not there. A level that leaves
       the window of N a side is removed in the same way; each message carries the depth N, to which `flow` truncates the book as a
       safeguard.
  Y3   The `u` of a `delta` is one more than that of the message before. A larger one is a gap: the book is resubscribed.
  Y4   A `delta` whose `u` is not above the last one is old, and ignored. If its `seq` is above the last one, `u` was reset, which
       is a gap; so are more than 20 ignored deltas in a row. `seq` grows with holes, so it shows no loss.
  Y5   A `delta` before the first snapshot is a gap, reported once. While a resubscription is in flight, updates belong to the old
       subscription and are ignored. One resubscription is in flight at a time.
  Y6   Prices and sizes are text. A level finer than the grid gives OffGrid and changes nothing; a trade uses its own grid.
  Y7   The time of a book message is `ts`, or the matching engine's `cts` if that is newer or `ts` is missing: milliseconds.
  Y8   `S` of a trade is the taker's side, its time `T`. Although its `type` is "snapshot", no trade is history. Ids have no
       order, so a missing trade cannot be detected.
  Y9   A pong is an answer whose `op` is still "ping", or "pong" on other feeds of this exchange.
  Y10  A well-formed message of an unknown kind or topic gives Unrecognised; any other that is not understood is a DecodeError.
  Y11  A ping is sent each 20 s. For a book still unanswered after three requests the connection is replaced (`LastResort`).
  Y12  A quiet book is checked by a new subscription. Until its snapshot comes its updates are applied; if the snapshot then differs
       from the book, messages were missed. A book that is crossed for a second is resubscribed: Bybit does not promise that `u`
       shows every loss.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.bybit import subscriptions
from alphapulse_cli.exchanges.bybit.facts import FACTS, NAME
from alphapulse_cli.exchanges.bybit.fields import book_time_ns, levels_of, number, off_grid, text, trade_of, unknown
from alphapulse_cli.exchanges.bybit.instruments import parse_instruments
from alphapulse_cli.exchanges.bybit.subscriptions import Topics
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TRADES, FrameLabel, Position
from alphapulse_cli.exchanges.shape import Numbers, Shape
from alphapulse_cli.exchanges.subscriptions import LastResort, Patience, Standing, is_rate
from alphapulse_cli.market.events import (
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    Snapshot,
    Subscribed,
    SubscriptionRefused,
    Unanswered,
    Unrecognised,
    Update,
    UpdateIgnored,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.requests import Reconnect, Request, Send, SlowDown
from alphapulse_cli.market.ticks import FinerThanGrid

PING_EVERY_NS = 20_000_000_000
MOST_IGNORED = 20  # Y4
RESTARTED = 1  # Y1
TRADE_TOPIC = "publicTrade."
USUAL_DELTA = (
    '{"topic":"orderbook.%d.<name>","ts":<millis>,"type":"delta","data":{"s":"<again>","b":[<bids>["<price>","<size>"]</bids>],'
    '"a":[<asks>["<price>","<size>"]</asks>],"u":<first>,"seq":<final>},"cts":<millis>}'
)


class Decoder:
    """Decoder of one connection; `exchanges.protocol.Decoder`.

    UsageError for a depth that Bybit does not offer, or for more topics than a connection carries.
    """

    confirms_in_band = True
    book_checksum = None

    def __init__(self, instruments: Iterable[Instrument], channels: Collection[str], depth: int = 0, mode: str = "") -> None:
        chosen = FACTS.mode(mode)
        self.depth = depth or chosen.default_depth
        if self.depth not in chosen.depths:
            raise UsageError(f"bybit has no book of depth {depth}", f"choose one of {', '.join(map(str, chosen.depths))}")
        self.instruments = {instrument.native: instrument for instrument in instruments}
        names = [(BOOK, f"orderbook.{self.depth}."), (TRADES, TRADE_TOPIC)]
        self._of_topic = {
            f"{prefix}{native}": (channel, native)
            for native in self.instruments
            for channel, prefix in names
            if channel in channels
        }
        self._book_topics = {native: topic for topic, (channel, native) in self._of_topic.items() if channel == BOOK}
        self._topics = Topics(self._of_topic)
        self.shape = Shape(USUAL_DELTA % self.depth, depth=self.depth, counted_by_name=True)
        self._numbers = self.shape.numbers
        self._ignored: dict[str, tuple[int, int]] = {}  # native -> the last `u`, and the messages ignored since (Y4)
        self._last_resort: LastResort[str] = LastResort()
        self._patience = Patience()
        self._requests: list[Request] = []
        self._now_ns = self._pinged_ns = 0  # CLOCK_MONOTONIC, of the last tick
        self._pings = 0

    # The interface `exchanges.protocol.Decoder`

    def connected(self, monotonic_ns: int) -> None:
        """Queue all subscriptions; forget books and sequence numbers of the last connection."""
        self._now_ns = self._pinged_ns = monotonic_ns
        self._requests = []
        self.shape.instruments.clear()
        self._numbers.clear()
        self._ignored.clear()
        self._topics.start(monotonic_ns)

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - Bybit's frames need no receive time
        """Events of one frame. DecodeError if it is not understood in full; then nothing has changed."""
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"not JSON: {error}", frame) from error
        if not isinstance(message, dict):
            return [Unrecognised(type(message).__name__)]
        topic = message.get("topic")
        try:
            if topic is None:
                return self._on_answer(message)
            known = self._of_topic.get(topic)
            if known is None:
                return [unknown("topic", topic)]
            channel, native = known
            return self._on_book(native, topic, message) if channel == BOOK else self._on_trades(native, topic, message)
        except NOT_UNDERSTOOD as error:
            words = f"a frame was not understood: {type(error).__name__} {str(error)[:80]!r}"
            is_of_trades = isinstance(topic, str) and topic.startswith(TRADE_TOPIC)
            raise DecodeError(words, frame, may_hold_books=not is_of_trades) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since book snapshots come over the WebSocket."""
        raise DecodeError("bybit's snapshots come over the WebSocket", body)

    def receive_trades(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since missing trades cannot be detected (Y8)."""
        raise DecodeError("bybit's trades come over the WebSocket", body)

    def receive_proof(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """Raise DecodeError: never requested, since a quiet book is checked by a WebSocket snapshot."""
        raise DecodeError("bybit's proofs come over the WebSocket", body)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of an `instruments-info` answer. DecodeError."""
        return parse_instruments(body, ours=self.instruments)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """Do nothing: no snapshot is ever fetched."""

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests. All waiting topics are sent together, ten in a message."""
        requests = [*self._requests, *map(Send, self._topics.frames())]
        self._requests = []
        return requests

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue a ping each 20 s and repetitions of unanswered requests (Y11, W5)."""
        self._now_ns = monotonic_ns
        if monotonic_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = monotonic_ns
            self._pings += 1
            self._requests.append(Send(subscriptions.ping(self._pings)))
        for topic, silences in self._topics.silences().items():
            if self._of_topic[topic][0] == BOOK and self._last_resort.is_due(topic, silences, monotonic_ns):
                self._requests.append(Reconnect(f"no answer to the subscription to {topic}, {silences} times"))
        silent = self._by_channel(self._topics.tick(monotonic_ns)[1])
        return [Unanswered(channel, natives) for channel, natives in silent.items()]

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to one book, unless its snapshot is already on its way (Y5)."""
        if self._topics.is_good(self._book_topics.get(instrument.native, "")):
            self._ask_anew(instrument.native)

    def confirm(self, instrument: Instrument) -> None:
        """Y12: resubscribe to a live book; its snapshot will show whether anything was missed."""
        self._topics.confirm(self._book_topics.get(instrument.native, ""), self._now_ns)

    def position(self) -> Position:
        """Position in the connection: (`u`, `seq`) of the last message of each live book."""
        numbers = self._numbers.items()
        return {native: [one.last, one.final] for native, one in numbers if self._topics.is_good(self._book_topics[native])}

    def last_number(self, native: str) -> int | None:
        """`u` of the last message in a live book."""
        numbers = self._numbers.get(native)
        return numbers.last if numbers is not None and self._topics.is_good(self._book_topics[native]) else None

    def label(self, frame: bytes) -> FrameLabel:
        """Symbol and numbers of a frame."""
        message = orjson.loads(frame)
        data = message.get("data")
        if not isinstance(data, dict):
            return made_of([topic.rpartition(".")[2] for topic in [message.get("topic", "")] if topic], {}, ())
        return made_of((data.get("s"),), data, ("u", "seq"), first="u" if message.get("type") == "delta" else "")

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume with live books of these symbols."""
        for native in natives:
            last, final = position[native]
            self._numbers[native] = Numbers(int(last), int(final))
            self._topics.arrived(self._book_topics[native])
            self.shape.instruments[native] = self.instruments[native]

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument from now on."""
        self.instruments[instrument.native] = instrument
        if instrument.native in self.shape.instruments:
            self.shape.instruments[instrument.native] = instrument

    # Topics

    def _on_book(self, native: str, topic: str, message: dict[str, Any]) -> Sequence[Event]:
        kind, data, instrument = message["type"], message["data"], self.instruments[native]
        if kind not in ("snapshot", "delta"):
            return [unknown("book", kind)]
        if data["s"] != native:
            raise ValueError("a book of another symbol than the topic's")
        update, sequence, moment_ns = number(data["u"]), number(data["seq"]), book_time_ns(message)
        try:
            levels = levels_of(instrument, data["b"], data["a"])
        except FinerThanGrid:
            return [off_grid(instrument, data["b"], data["a"])]
        if kind == "delta" and update != RESTARTED:
            return self._on_delta(instrument, topic, (update, sequence), levels, moment_ns)
        self._topics.arrived(topic)
        self._numbers[native] = Numbers(update, sequence)
        self._ignored.pop(native, None)
        self.shape.instruments[native] = instrument
        return [Snapshot(instrument, levels, moment_ns, None, self.depth)]

    def _on_delta(
        self, instrument: Instrument, topic: str, numbered: tuple[int, int], levels: Levels, moment_ns: int
    ) -> Sequence[Event]:
        """Events of a delta with these (`u`, `seq`), by Y3 to Y5."""
        native, (update, sequence) = instrument.native, numbered
        if self._topics.standings[topic] is Standing.ASKED:
            return [self._gap(instrument, GapReason.UPDATE_BEFORE_SNAPSHOT)]
        if not self._topics.is_good(topic):
            return [UpdateIgnored(instrument)]
        numbers = self._numbers[native]
        if update == numbers.last + 1:
            numbers.last, numbers.final = update, sequence
            return [Update(instrument, levels, moment_ns, None, self.depth)]
        if update > numbers.last:
            return [self._gap(instrument, GapReason.SEQUENCE, (numbers.last, update))]
        if sequence > numbers.final:
            return [self._gap(instrument, GapReason.SEQUENCE_RESET, (numbers.last, update))]
        since, count = self._ignored.get(native, (numbers.last, 0))
        count = count + 1 if since == numbers.last else 1
        self._ignored[native] = numbers.last, count
        if count > MOST_IGNORED:
            return [self._gap(instrument, GapReason.IGNORED, (numbers.last, update))]
        return [UpdateIgnored(instrument)]

    def _gap(self, instrument: Instrument, reason: GapReason, numbers: tuple[int, int] | None = None) -> GapFound:
        """Gap of a book, whose last `u` and the one that came are `numbers`."""
        self._ask_anew(instrument.native)
        if numbers is None:
            return GapFound([instrument], reason)
        last, update = numbers
        return GapFound([instrument], reason, f"u {update} after {last}", str(last + 1), str(update))

    def _ask_anew(self, native: str) -> None:
        """Resubscribe to a book that is wrong or has no snapshot."""
        self.shape.instruments.pop(native, None)
        self._ignored.pop(native, None)
        self._topics.ask_anew(self._book_topics[native], self._now_ns)

    def _on_trades(self, native: str, topic: str, message: dict[str, Any]) -> Sequence[Event]:
        if message["type"] != "snapshot":  # Y8
            return [unknown("trades", message["type"])]
        rows = message["data"]
        if type(rows) is not list:
            raise ValueError("the trades are not a list")
        trades = [trade_of(self.instruments[native], row) for row in rows]
        self._topics.arrived(topic)
        return trades

    # Answers to our requests

    def _on_answer(self, message: dict[str, Any]) -> Sequence[Event]:
        """Events of acks, refusals and pongs: messages without a topic."""
        if "op" not in message and "success" not in message:
            return [unknown("message", message.get("type", ""))]
        verb, reason = text(message.get("op", "")), subscriptions.reason_of(message)
        if message.get("success", True) is not True:
            return self._on_refusal(verb, message.get("req_id"), reason)
        if verb in ("ping", "pong"):  # Y9
            return [Heartbeat()]
        if verb == "unsubscribe":
            return []
        topics = self._topics.answered(message.get("req_id")) if verb == "subscribe" else None
        if topics is None:
            return [unknown("answer to", verb)]
        for topic in topics:
            if self._of_topic[topic][0] == TRADES:
                self._topics.arrived(topic)
        return [Subscribed(channel, natives) for channel, natives in self._by_channel(topics).items()]

    def _on_refusal(self, verb: str, req_id: object, reason: str) -> Sequence[Event]:
        self._slow_down(reason)
        if verb in ("ping", "unsubscribe"):
            return [unknown(verb, reason)]
        topics = self._topics.answered(req_id)
        if topics is None:
            self._topics.all_refused(self._now_ns)
            return [SubscriptionRefused("", "", reason, for_now=True)]
        events: list[Event] = []
        subscribed_already = self._topics.named_there(topics, reason, self._now_ns)
        if subscribed_already:
            return [Subscribed(channel, natives) for channel, natives in self._by_channel([subscribed_already]).items()]
        for topic, final in self._topics.request_refused(topics, reason, self._now_ns):
            channel, native = self._of_topic[topic]
            if final and channel == BOOK:
                self.shape.instruments.pop(native, None)
            events.append(SubscriptionRefused(channel, native, reason, for_now=not final))
        return events or [SubscriptionRefused("", "", reason, for_now=True)]

    def _slow_down(self, reason: str) -> None:
        if is_rate(reason) and self._patience.is_over(self._now_ns):
            self._requests.append(SlowDown(f"{NAME}: {reason}"))

    def _by_channel(self, topics: Iterable[str]) -> dict[str, list[str]]:
        """Native symbols of these topics, by canonical channel name."""
        found: dict[str, list[str]] = {}
        for topic in topics:
            channel, native = self._of_topic[topic]
            found.setdefault(channel, []).append(native)
        return found
