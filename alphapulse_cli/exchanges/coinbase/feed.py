"""Base of Coinbase's two feeds: products and the state of their books, repeated subscriptions, trades by their ids.

    WAITING ──snapshot──► LIVE ──gap, resync()──► DISTRUSTED ──snapshot──► LIVE
       └──update: GapFound, once──────────────────────┘

Rules of both feeds, numbered as the tests number them:
  S1  One channel per message, products in batches, heartbeats first: after 5 s without a subscription the server disconnects.
  S2  A USDC product is an alias of the product whose book it shares (`Instrument.alias_of`): subscriptions and frames use that
      product's name. Each instrument that shares a product gets its own events.
  S3  An update before any snapshot gives one GapFound, and the product is resubscribed. Updates of a DISTRUSTED book are parsed
      and dropped.
  S4  A resync is an unsubscribe and a subscribe; simultaneous resyncs share the two messages. One resync per
      product is in flight: until its snapshot comes, a further `resync` has no effect.
  S5  A book without a snapshot, and trades and heartbeats neither confirmed nor received, are requested again, without limit,
      after the pauses of `Owed`, and reported once. For a book still unanswered after three requests the connection is replaced
      (`LastResort`). An error names no product: it counts as a refusal of all waiting requests. A second rate-limit error
      within 2 s slows us down.
  S6  Trade ids of a product grow by one: rules T1 to T6 of `trade_ids`. A subscription begins with a snapshot of trades, which
      fills holes.
  S7  A frame is decoded in full before anything of it is applied: DecodeError and OffGrid change no book and no trade.
  S8  Missing trades are fetched by REST, among the last 1,000.
  S9  A quiet book is checked by resubscribing. Its updates are applied until the snapshot comes; if that differs from the book,
      messages were missed.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase.facts import FACTS
from alphapulse_cli.exchanges.coinbase.instruments import parse_instruments
from alphapulse_cli.exchanges.coinbase.product import Product, Trust, off_grid, trade_number
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TEXT_KEPT, TRADES, Position
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.exchanges.subscriptions import LastResort, Owed, Patience, batches, is_rate
from alphapulse_cli.exchanges.trade_ids import Numbered
from alphapulse_cli.market.events import (
    Event,
    GapFound,
    GapReason,
    Snapshot,
    SubscriptionRefused,
    TradesMissed,
    Unanswered,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchTrades, Reconnect, Request, Send, SlowDown
from alphapulse_cli.market.ticks import FinerThanGrid

MOST_TRADES = 1000  # most trades of one GET
HEARTBEATS = ("heartbeats", "")  # key of the heartbeats' request, which has no product


class CoinbaseFeed(ABC):
    """Base class of the two feeds' decoders."""

    mode_name: str
    channel_names: Mapping[str, str]  # canonical channel name -> the feed's
    usual_update: str  # example of the commonest frame, for a Shape
    side_words: tuple[str, str]  # the feed's words for bids and asks
    confirms_in_band = True
    book_checksum = None
    is_counted: bool  # whether `<first>` of `usual_update` grows by one with each frame

    def __init__(self, instruments: Sequence[Instrument], channels: Collection[str]) -> None:
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self.channels = [channel for channel in (BOOK, TRADES) if channel in channels]
        self._products: dict[str, Product] = {}
        for instrument in self.instruments.values():
            name = instrument.alias_of or instrument.native
            self._products.setdefault(name, Product(name, [])).instruments.append(instrument)
        self.shape = Shape(self.usual_update, *self.side_words, is_counted=self.is_counted)
        self._requests: list[Request] = []
        self._again: dict[str, dict[str, bool]] = {}  # channel -> products to subscribe to, and whether to unsubscribe first
        self._owed: Owed[tuple[str, str]] = Owed()  # (channel, product)
        self._last_resort: LastResort[str] = LastResort()
        self._patience = Patience()
        self._now_ns = 0  # CLOCK_MONOTONIC, of the last tick

    # The interface `exchanges.protocol.Decoder`, without `receive`

    def connected(self, monotonic_ns: int) -> None:
        """Start on a new connection: every book waits for its snapshot (S1). Trade ids are kept (S6)."""
        self._now_ns = monotonic_ns
        for product in self._products.values():
            self._trust(product, Trust.WAITING)
        self._again.clear()
        self._owed.clear()
        self._owed.ask(HEARTBEATS, monotonic_ns)
        self._requests = [Send(frame) for frame in self._heartbeat_frames()]
        for channel in self.channels:
            for name in self._products:
                self._owed.ask((channel, name), monotonic_ns)
            self._requests += self._sends("subscribe", channel, list(self._products))

    def pending_requests(self) -> Sequence[Request]:
        """Take the queued requests, in the order of execution."""
        requests, self._requests = self._requests, []
        for channel, names in self._again.items():
            requests += self._sends("unsubscribe", channel, [name for name, ends in names.items() if ends])
            requests += self._sends("subscribe", channel, list(names))
        self._again.clear()
        return requests

    def tick(self, monotonic_ns: int) -> Sequence[Event]:
        """Queue repetitions of unanswered requests (S5) and fetches of missing trades (S8)."""
        self._now_ns = monotonic_ns
        for channel, name in self._owed.everything():
            silences = self._owed.silences((channel, name))
            if channel == BOOK and self._last_resort.is_due(name, silences, monotonic_ns):
                self._requests.append(Reconnect(f"no answer to the subscription to the book of {name}, {silences} times"))
        again, untold = self._owed.due(monotonic_ns)
        if HEARTBEATS in again:
            self._requests += map(Send, self._heartbeat_frames())
            again.remove(HEARTBEATS)
        for channel, name in again:  # after a refusal there is no subscription to end
            self._again.setdefault(channel, {})[name] = not self._owed.was_refused((channel, name))
        for product in self._products.values():
            if product.ids.wants_fill(monotonic_ns):
                self._requests.append(FetchTrades(product.instruments[0], self._trades_path(product.name)))
        silent: dict[str, list[str]] = {}
        for channel, name in untold:
            silent.setdefault(channel, []).extend([name] if name else [])
        return [Unanswered(channel, tuple(names)) for channel, names in silent.items()]

    def resync(self, instrument: Instrument) -> None:
        """Resubscribe to the book, unless that is already in flight (S4)."""
        product = self._products[instrument.alias_of or instrument.native]
        if not self._owed.waits((BOOK, product.name)):
            self._heal(product)

    def confirm(self, instrument: Instrument) -> None:
        """Resubscribe to a live book, unless that is already in flight (S9)."""
        product = self._products[instrument.alias_of or instrument.native]
        if product.trust is Trust.LIVE and not self._owed.waits((BOOK, product.name)):
            self._ask_anew(BOOK, product.name)

    def receive_proof(self, _instrument: Instrument, body: bytes, _receive_ns: int) -> Sequence[Event]:
        """Raise DecodeError: never requested, since a quiet book is checked by a WebSocket snapshot."""
        raise DecodeError("Coinbase's books do not come by REST", body)

    def position(self) -> Position:
        """Position in the connection."""
        return {}

    def resume(self, position: Position, natives: Collection[str]) -> None:  # noqa: ARG002
        """Resume with live books of these products."""
        for instrument in (self.instruments[native] for native in natives):
            product = self._products[instrument.alias_of or instrument.native]
            self._trust(product, Trust.LIVE)
            self._arrived(BOOK, product.name)

    def use_instrument(self, instrument: Instrument) -> None:
        """Decode on the grid of this instrument (same native name) from now on."""
        product = self._products[instrument.alias_of or instrument.native]
        product.instruments = [instrument if held.native == instrument.native else held for held in product.instruments]
        self.instruments[instrument.native] = instrument
        self._trust(product, product.trust)

    def receive_snapshot(self, _instrument: Instrument, body: bytes, _receive_ns: int) -> Sequence[Event]:
        """Raise DecodeError: never requested, since book snapshots come over the WebSocket."""
        raise DecodeError("Coinbase's books do not come by REST", body)

    def receive_trades(self, instrument: Instrument, body: bytes, _receive_ns: int) -> Sequence[Event]:
        """S8: events of the missing trades in the answer to a FetchTrades. DecodeError if it is not understood in full."""
        product = self._products[instrument.alias_of or instrument.native]
        try:
            rows = [row for row in self._fetched_rows(orjson.loads(body)) if product.ids.misses(trade_number(row["trade_id"]))]
            try:
                found = [self._fetched_trade(product, row) for row in rows]
            except FinerThanGrid:
                return off_grid(product, [row["price"] for row in rows], [row["size"] for row in rows])
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"not trades of Coinbase: {str(error)[:TEXT_KEPT]}", body) from error
        return product.ids.fill(found, self._now_ns)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """Instruments of a products answer. DecodeError if it is not understood."""
        return parse_instruments(body, self.mode_name, self.instruments)

    def fetch_failed(self, _instrument: Instrument, _monotonic_ns: int) -> None:  # noqa: B027 - no part for a feed to define
        """Do nothing: no snapshot is ever fetched."""

    # Abstract methods, one implementation per feed

    @abstractmethod
    def _heartbeat_frames(self) -> Sequence[bytes]:
        """Frames that subscribe to heartbeats."""

    @abstractmethod
    def _subscription(self, verb: str, channel: str, names: list[str]) -> dict[str, Any]:
        """Request that subscribes to a channel of these products, or unsubscribes from it, depending on `verb`."""

    @abstractmethod
    def _trades_path(self, name: str) -> str:
        """REST path of the latest trades of a product."""

    @abstractmethod
    def _fetched_rows(self, answer: Any) -> list[dict[str, Any]]:
        """Rows of the answer at that path."""

    @abstractmethod
    def _fetched_trade(self, product: Product, row: dict[str, Any]) -> Numbered:
        """Id and trade of one row of `_fetched_rows`."""

    # Subscriptions

    def _sends(self, verb: str, channel: str, names: list[str]) -> list[Request]:
        def frame_of(batch: list[str]) -> bytes:
            return orjson.dumps(self._subscription(verb, self.channel_names[channel], batch))

        return [Send(frame) for _, frame in batches(names, FACTS.subscribe_batch, frame_of)]

    def _ask_anew(self, channel: str, name: str) -> None:
        self._owed.ask((channel, name), self._now_ns)
        self._again.setdefault(channel, {})[name] = True

    def _arrived(self, channel: str, name: str) -> None:
        self._owed.settle((channel, name))

    def _on_error(self, message: str) -> Sequence[Event]:
        """S5: events of an error, which names no request."""
        self._owed.refuse_all(self._now_ns)
        if is_rate(message) and self._patience.is_over(self._now_ns):
            self._requests.append(SlowDown(message))
        return [SubscriptionRefused("", "", message, for_now=True)]

    def _trust(self, product: Product, trust: Trust) -> None:
        product.trust = trust
        if trust is Trust.LIVE and len(product.instruments) == 1:
            self.shape.instruments[product.name] = product.instruments[0]
        else:  # the shape reads only LIVE books of one instrument: a frame of a shared book gives an event for each instrument
            self.shape.instruments.pop(product.name, None)

    def _heal(self, product: Product) -> None:
        self._trust(product, Trust.DISTRUSTED)
        self._ask_anew(BOOK, product.name)

    # Books

    def _on_snapshot(self, product: Product, events: Sequence[Snapshot]) -> Sequence[Event]:
        """Events of a book snapshot, on each instrument's grid."""
        self._trust(product, Trust.LIVE)
        self._arrived(BOOK, product.name)
        return events

    def _on_update(self, product: Product, events: Sequence[Update]) -> Sequence[Event]:
        """Events of an update: the update if the book is LIVE, GapFound if WAITING, none if DISTRUSTED (S3)."""
        if product.trust is Trust.LIVE:
            return events
        if product.trust is Trust.WAITING:
            self._heal(product)
            return [GapFound(tuple(product.instruments), GapReason.UPDATE_BEFORE_SNAPSHOT, product.name)]
        if not self._owed.waits((BOOK, product.name)):
            self._ask_anew(BOOK, product.name)
        return ()

    # Trades

    def _on_trades(self, product: Product, numbered: Sequence[Numbered]) -> list[Event]:
        """Events of one frame's trades (S6)."""
        self._arrived(TRADES, product.name)
        return product.ids.take(numbered, self._now_ns)

    def _on_last_trade_id(self, product: Product, number: int) -> list[Event]:
        """Events of the exchange's last trade id: TradesMissed for unseen ids up to it (S6)."""
        missed = product.ids.last_known(number)
        return [TradesMissed(instrument, missed) for instrument in product.instruments] if missed else []
