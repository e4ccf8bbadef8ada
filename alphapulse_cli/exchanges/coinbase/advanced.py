"""Coinbase's Advanced Trade feed: channels `level2` (named `l2_data` in its frames), `market_trades`, `heartbeats`.

    {"channel":"l2_data","timestamp":…,"sequence_num":7,"events":[{"type":"update","product_id":"BTC-USD","updates":[
        {"side":"bid","event_time":…,"price_level":"63310.2","new_quantity":"0"}]}]}

Rules of this feed, numbered as the tests number them (S1 to S7 are in feed.py):
  C1  `sequence_num` counts every frame of a connection, of any channel, by one. The first number of a connection may be any:
      frames lost before it precede every snapshot.
  C2  Any other step, forwards or back, is a loss for an unknown product: one GapFound for all instruments, and all books and
      trades are resubscribed on the same connection, whose count continues from there: that takes one round trip, a new
      connection four. Trades are still published, and the snapshot with which their subscription begins fills the holes. An
      outstanding answer may itself be lost: it is requested again LOST_NS later. More than MOST_BREAKS breaks without all
      books being live in between give one Reconnect, and no book of that connection is live any more.
  C3  A frame that is refused with DecodeError counts as received if it has the expected number; otherwise the next frame would
      show a false gap. With an unexpected number it does not count: the next frame reveals the break.
  C4  A frame answered with OffGrid counts only when it is passed in again. If the next frame comes instead, the caller dropped
      it: it counts then, and the books in it that were on their grids are DISTRUSTED, since they missed it too.
  C5  `error` frames and frames of unknown types have no number and are not counted.
  C6  A `snapshot` replaces the book. `side` is "bid" or "offer"; sizes are absolute and zero removes, also a level that was never
      there; the last of repeated levels counts. Prices are compared as numbers: zeros are trimmed. A frame may have a
      `client_id`, which is ignored (empty in all recordings, September 2026).
  C7  `events` may hold several products, and one product several times: all changes of a product in a frame are one event, in
      order of first mention. A snapshot begins a new event. An update with `"updates":[]` gives no event.
  C8  Feed delay is measured from the matching engine: an update's time is the newest `event_time` of its levels. The frame's
      `timestamp` is used instead if that is of 1970 or before, and for a snapshot, whose levels are as old as their orders. A
      `timestamp` or a trade's `time` of 1970 or before (servers write an unset one so, or as the year 1) counts as missing.
  C9  A confirmation (`subscriptions`, a list of all subscriptions) may come after data; data are accepted without it.
  C10 Trades come newest first: they are published in order of their ids. `side` is the maker's: "SELL" means that the taker bought.
      A `snapshot` of trades is history.
  C11 A heartbeat's `current_time` is not RFC 3339 and its counter is sometimes text: neither is read.
  C12 Channels and products that were not requested give Unrecognised: no error; their frames are counted in the sequence.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, ADVANCED_CHANNELS
from alphapulse_cli.exchanges.coinbase.feed import HEARTBEATS, MOST_TRADES, CoinbaseFeed
from alphapulse_cli.exchanges.coinbase.product import (
    KIND_CHARACTERS,
    Product,
    Trust,
    off_grid,
    time_ns,
    trade_number,
    trades_of,
)
from alphapulse_cli.exchanges.labels import made_of
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TEXT_KEPT, TRADES, FrameLabel, Position
from alphapulse_cli.exchanges.shape import MOST_NUMBER, UNKNOWN
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.exchanges.trade_ids import Numbered
from alphapulse_cli.market.events import (
    NO_TIME,
    Event,
    GapFound,
    GapReason,
    Heartbeat,
    Side,
    Snapshot,
    Subscribed,
    Trade,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.requests import Reconnect
from alphapulse_cli.market.ticks import FinerThanGrid, Malformed

OUR_CHANNELS = {name: ours for ours, name in ADVANCED_CHANNELS.items()}
TAKER_SIDES = {"SELL": Side.BUY, "BUY": Side.SELL}  # the frame names the maker's side (C10)
USUAL_UPDATE = (
    '{"channel":"l2_data",<optional>"client_id":"",</optional>"timestamp":"<text>","sequence_num":<first>,"events":['
    '{"type":"update","product_id":"<name>",'
    '"updates":[<rows>{"side":"<side>","event_time":"<time>","price_level":"<price>","new_quantity":"<size>"}</rows>]}]}'
)
LOST_NS = 2_000_000_000
MOST_BREAKS = 4
TRADES_PATH = "/api/v3/brokerage/market/products/{name}/ticker?limit={limit}"
IS_HISTORY = {"snapshot": True, "update": False}

Found = tuple[Callable[[Product, Any], Sequence[Event]], Product, Any]  # (function that applies it, product, data read)


class AdvancedFeed(CoinbaseFeed):
    """Decoder of mode "advanced"."""

    mode_name = ADVANCED
    channel_names = ADVANCED_CHANNELS
    usual_update = USUAL_UPDATE
    side_words = ("bid", "offer")
    is_counted = True

    def __init__(self, instruments: Sequence[Instrument], channels: Collection[str]) -> None:
        super().__init__(instruments, channels)
        self._awaited: int | None = None
        self._broken = False  # C2: after too many breaks, no book of this connection is live any more
        self._breaks = 0  # sequence breaks since all books were last live
        self._set_aside: list[Product] | None = None  # C4: products on their grids in the expected frame, if that was OffGrid

    @property
    def _expected(self) -> int | None:
        """Sequence number of the next frame; None before the first. The shape keeps it, since it reads most frames."""
        return self._awaited if self.shape.expected == UNKNOWN else self.shape.expected

    def _expect(self, number: int | None, *, usual: bool = True) -> None:
        """Set the sequence number of the next frame; with `usual` False the shape declines that frame, for `receive` to read."""
        self._awaited = number
        self.shape.expected = number if usual and number is not None and 0 <= number < MOST_NUMBER else UNKNOWN

    def connected(self, monotonic_ns: int) -> None:
        """Reset for a new connection: a new sequence, and every book waits for its snapshot."""
        super().connected(monotonic_ns)
        self._broken, self._breaks, self._set_aside = False, 0, None
        self._expect(None)

    def receive(self, frame: bytes, _receive_ns: int) -> Sequence[Event]:
        """Events of one frame, in order. DecodeError if it is not understood in full."""
        number: Any = None
        try:
            message = orjson.loads(frame)
            number = message.get("sequence_num") if type(message) is dict else None
            if type(number) is not int:
                return self._on_unnumbered(message)
            try:
                found, events_of_frame = self._read(message)
            except FinerThanGrid:
                return self._off_grid(message, number)
        except NOT_UNDERSTOOD as error:
            if type(number) is int and number == self._expected:
                self._expect(number + 1, usual=self._set_aside is None)  # C3
            raise DecodeError(f"not a frame of Coinbase's Advanced Trade feed: {str(error)[:TEXT_KEPT]}", frame) from error
        events: list[Event] = []
        if number != self._expected or self._set_aside is not None:
            events += self._on_step(number)
        self._expect(number + 1)
        for believe, product, read in found:
            events += believe(product, read)
        if events_of_frame and self._owed.waits(HEARTBEATS) and any(map(_is_of_heartbeats, events_of_frame)):
            self._owed.settle(HEARTBEATS)
        events += events_of_frame
        return events

    def position(self) -> Position:
        """Position in the connection: the sequence number of the next frame."""
        return {"next": self._expected}

    def last_number(self, native: str) -> int | None:  # noqa: ARG002 - the connection's
        """`sequence_num` of the connection's last frame."""
        return self._expected - 1 if self._expected else None

    def label(self, frame: bytes) -> FrameLabel:
        """Products of a frame, and the connection's number of it."""
        message = orjson.loads(frame)
        rows = [event for event in message.get("events") or () if isinstance(event, dict)]
        rows += [trade for event in rows for trade in event.get("trades") or () if isinstance(trade, dict)]
        return made_of((row.get("product_id") for row in rows), message, ("sequence_num",), first="sequence_num")

    def resume(self, position: Position, natives: Collection[str]) -> None:
        """Resume with live books of these products."""
        super().resume(position, natives)
        self._expect(None if position["next"] is None else int(position["next"]))

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to the book, unless that or a new connection is already in flight."""
        if not self._broken:
            super().resync(instrument)

    # Reading, without a change of state

    def _read(self, message: dict[str, Any]) -> tuple[list[Found], list[Event]]:
        """Parse a numbered frame to (changes to apply to products, other events)."""
        channel, entries = message["channel"], message.get("events")
        if channel == "l2_data":
            return self._read_books(message, _list(entries))
        if channel == "market_trades":
            return self._read_trades(_list(entries))
        if channel == "heartbeats":
            return [], [Heartbeat(time_ns(message["timestamp"]))]
        if channel == "subscriptions":
            return self._read_confirmation(_list(entries))
        if not isinstance(channel, str):
            raise Malformed("the channel is not text")
        return [], [Unrecognised(channel[:KIND_CHARACTERS])]

    def _read_books(self, message: dict[str, Any], entries: list[Any]) -> tuple[list[Found], list[Event]]:
        """Snapshots and updates of a frame of `l2_data` (C6, C7, C8)."""
        found: list[Found] = []
        others: list[Event] = []
        updates: dict[str, list[Update]] = {}  # by product, until a snapshot of it follows
        for entry in entries:
            kind, name, rows = entry["type"], entry["product_id"], _list(entry["updates"])
            product = self._products.get(name)
            if product is None:
                others.append(Unrecognised(f"l2_data of {name}"[:KIND_CHARACTERS]))
            elif kind == "snapshot":
                exchange_ns = time_ns(message["timestamp"])
                found.append(
                    (self._on_snapshot, product, [Snapshot(i, _levels(i, rows), exchange_ns) for i in product.instruments])
                )
                updates.pop(name, None)
            elif kind != "update":
                raise Malformed(f"neither snapshot nor update: {str(kind)[:KIND_CHARACTERS]!r}")
            elif rows:
                exchange_ns = _newest_ns(rows) or time_ns(message["timestamp"])
                events = updates.get(name)
                if events is None:
                    events = updates[name] = [Update(i, _levels(i, rows), exchange_ns) for i in product.instruments]
                    found.append((self._on_update, product, events))
                else:
                    _extend(events, rows, exchange_ns)
        return found, others

    def _read_trades(self, entries: list[Any]) -> tuple[list[Found], list[Event]]:
        """Trades of a frame of `market_trades` (C10)."""
        numbered: dict[str, list[tuple[int, list[Trade]]]] = {}
        unknown: dict[str, Event] = {}
        for entry in entries:
            history = IS_HISTORY[entry["type"]]
            for row in _list(entry["trades"]):
                name, number, side = row["product_id"], trade_number(row["trade_id"]), TAKER_SIDES[row["side"]]
                product = self._products.get(name)
                if product is None:
                    unknown[name] = Unrecognised(f"market_trades of {name}"[:KIND_CHARACTERS])
                    continue
                trades = trades_of(product, number, row, side, time_ns(row["time"]), history=history)
                numbered.setdefault(name, []).append((number, trades))
        return [(self._on_trades, self._products[name], rows) for name, rows in numbered.items()], list(unknown.values())

    def _read_confirmation(self, entries: list[Any]) -> tuple[list[Found], list[Event]]:
        """Confirmed subscriptions of a frame (C9)."""
        found: list[Found] = []
        confirmations: list[Event] = []
        for entry in entries:
            for name, natives in _dict(entry["subscriptions"]).items():
                if not all(isinstance(native, str) for native in _list(natives)):
                    raise Malformed("a confirmation names a product that is not text")
                channel = OUR_CHANNELS.get(name, name[:KIND_CHARACTERS])
                products = [self._products[native] for native in natives if native in self._products]
                found += [(self._on_confirmed, product, channel) for product in products]
                confirmations.append(Subscribed(channel, tuple(product.name for product in products)))
        return found, confirmations

    # Applying

    def _on_step(self, number: int) -> list[Event]:
        """Events of a frame with an unexpected number, or after an OffGrid frame that did not come again (C1, C2, C4)."""
        events: list[Event] = []
        aside, self._set_aside = self._set_aside, None
        if self._expected is None or self._broken or number == self._expected:
            return events
        if aside is not None and number == self._expected + 1:
            for product in aside:
                if product.trust is Trust.LIVE:
                    self._heal(product)
                    events.append(GapFound(tuple(product.instruments), GapReason.UNREADABLE, product.name))
            return events
        detail = f"expected {self._expected}, got {str(number)[:KIND_CHARACTERS]}"
        is_back = self._expected is not None and number < self._expected
        expected, found = str(self._expected), str(number)[:KIND_CHARACTERS]
        self._on_break(detail)
        reason = GapReason.SEQUENCE_RESET if is_back else GapReason.SEQUENCE
        return [GapFound(tuple(self.instruments.values()), reason, detail, expected, found)]

    def _on_break(self, detail: str) -> None:
        """C2: mark all books DISTRUSTED, then resubscribe or reconnect."""
        self._breaks += 1
        if self._breaks > MOST_BREAKS:
            self._broken = True
            self._owed.clear()
            self._again.clear()
            self._requests = [Reconnect(f"sequence break: {detail}")]
        for product in self._products.values():
            self._trust(product, Trust.DISTRUSTED)
            for channel in () if self._broken else self.channels:
                if self._owed.waits((channel, product.name)):
                    self._owed.hurry((channel, product.name), self._now_ns + LOST_NS)
                else:
                    self._ask_anew(channel, product.name)

    def _on_snapshot(self, product: Product, events: Sequence[Snapshot]) -> Sequence[Event]:
        if self._broken:
            return ()
        believed = super()._on_snapshot(product, events)
        if self._breaks and not any(channel == BOOK for channel, _ in self._owed.everything()):
            self._breaks = 0
        return believed

    def _on_update(self, product: Product, events: Sequence[Update]) -> Sequence[Event]:
        if product.trust is Trust.LIVE:
            return events
        return () if self._broken else super()._on_update(product, events)

    def _on_confirmed(self, product: Product, channel: str) -> Sequence[Event]:
        """Settle a confirmed subscription to trades, which may be rare; a book is settled by its snapshot (S5)."""
        if channel == TRADES:
            self._arrived(TRADES, product.name)
        return ()

    def _on_unnumbered(self, message: Any) -> Sequence[Event]:
        """Events of a frame without sequence number (C5)."""
        kind = message["type"]
        if not isinstance(kind, str) or "channel" in message:
            raise Malformed("a frame without sequence number")
        if kind != "error":
            return [Unrecognised(kind[:KIND_CHARACTERS])]
        return self._on_error(str(message["message"])[:TEXT_KEPT])

    def _off_grid(self, message: dict[str, Any], number: int) -> Sequence[Event]:
        """OffGrid events with the grids that a frame of books needs (S7). The frame is applied when it is passed in again (C4)."""
        numbers: dict[str, tuple[list[Any], list[Any]]] = {}
        for entry in message["events"]:
            for row in entry["updates"]:
                prices, sizes = numbers.setdefault(entry["product_id"], ([], []))
                prices.append(row["price_level"])
                sizes.append(row["new_quantity"])
        needs = [(product, off_grid(product, *numbers[name])) for name, product in self._products.items() if name in numbers]
        if number == self._expected:
            self._expect(number, usual=False)
            self._set_aside = [product for product, events in needs if not events]
        return [event for _, events in needs for event in events]

    # Trades of the past

    def _trades_path(self, name: str) -> str:
        return TRADES_PATH.format(name=quote(name), limit=MOST_TRADES)

    def _fetched_rows(self, answer: Any) -> list[dict[str, Any]]:
        return _list(answer["trades"])

    def _fetched_trade(self, product: Product, row: dict[str, Any]) -> Numbered:
        """Trade of a row of the REST answer.

        Whether its `side` is the maker's or the taker's is undocumented, so the side is UNKNOWN.
        """
        number = trade_number(row["trade_id"])
        return number, trades_of(product, number, row, Side.UNKNOWN, time_ns(row["time"]), history=True)

    # Subscribing

    def _heartbeat_frames(self) -> Sequence[bytes]:
        return [orjson.dumps({"type": "subscribe", "channel": "heartbeats"})]

    def _subscription(self, verb: str, channel: str, names: list[str]) -> dict[str, Any]:
        return {"type": verb, "product_ids": names, "channel": channel}


def _is_of_heartbeats(event: Event) -> bool:
    """Whether an event is a heartbeat, or the confirmation of the channel."""
    return isinstance(event, Heartbeat) or (isinstance(event, Subscribed) and event.channel == "heartbeats")


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Malformed(f"not a list: {type(value).__name__}")
    return value


def _dict(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise Malformed(f"not an object: {type(value).__name__}")
    return value


def _levels(instrument: Instrument, rows: list[Any]) -> Levels:
    levels = empty_of(instrument)
    levels.add_sided_dicts(rows, "side", "bid", "offer", "price_level", "new_quantity")
    return levels


def _newest_ns(rows: list[Any]) -> int:
    """Newest `event_time` of the levels, nanoseconds since 1970; 0 for 1970 or before (C8).

    Levels of one batch share their time, so few texts are parsed.
    """
    return max(0, *map(rfc3339_ns, {row["event_time"] for row in rows}))


def _extend(events: list[Update], rows: list[Any], exchange_ns: int | None) -> None:
    """Append further changes of a product that occurs more than once in a frame (C7)."""
    for event in events:
        event.levels.add_sided_dicts(rows, "side", "bid", "offer", "price_level", "new_quantity")
        event.time_ns = max(event.time_ns, NO_TIME if exchange_ns is None else exchange_ns)
