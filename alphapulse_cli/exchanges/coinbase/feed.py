"""What Coinbase's two feeds share: products and the trust in their books, subscriptions with a watchdog, trades by their ids.

    WAITING ──snapshot──► LIVE ──gap, resync()──► DISTRUSTED ──snapshot──► LIVE
       └──update: GapFound, once──────────────────────┘

Rules of both feeds, numbered as the tests number them:
  S1  One channel per message, products in batches, heartbeats first: the server hangs up on who does not subscribe within 5 s.
  S2  A USDC product is an alias: it is subscribed to, and its frames come, under the name of the product whose book it shares
      (`Instrument.alias_of`). Each instrument that shares a product gets its own events.
  S3  An update before any snapshot leaves as GapFound, once, and the product is subscribed to anew. Updates of a book that is
      not trusted are read, and left out.
  S4  A resync is an unsubscribe and a subscribe; several products of one moment share the two messages. One is in flight at a
      time: until its snapshot comes, asking again does nothing.
  S5  A book without a snapshot, or trades neither confirmed nor seen, 10 s after they were asked for are asked for once more; 10 s
      later that is given up, and only an update of the book or a `resync` asks again. A product that does not exist stays silent.
  S6  Trade ids of a product grow by one. A step over ids is TradesMissed, before the trade that shows it; also over a
      reconnection, where ids already seen are left out of the past that a subscription begins with. Ids that begin anew with a
      connection are a new count, not a loss.
  S7  A frame is decoded in full before anything of it is believed: DecodeError and OffGrid leave all as it was.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase.facts import FACTS
from alphapulse_cli.exchanges.coinbase.instruments import parse_instruments
from alphapulse_cli.exchanges.coinbase.product import Product, Trust
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.market.events import Event, GapFound, GapReason, Snapshot, Trade, TradesMissed, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Request, Send

WATCHDOG_NS = 10_000_000_000


class Feed:
    """The part of a decoder that does not depend on which of the two feeds it reads."""

    mode_name: str
    channel_names: Mapping[str, str]  # our names of the channels, and the feed's
    usual_update: str  # what nearly all frames are, as an example for a Shape
    side_words: tuple[str, str]  # of bids and asks
    is_counted: bool  # whether `<first>` of it is a number that grows by one with each frame

    def __init__(self, instruments: Sequence[Instrument], channels: Collection[str]) -> None:
        self.instruments = {instrument.native: instrument for instrument in instruments}
        self.channels = [channel for channel in (BOOK, TRADES) if channel in channels]
        self._products: dict[str, Product] = {}
        for instrument in self.instruments.values():
            name = instrument.alias_of or instrument.native
            self._products.setdefault(name, Product(name, [])).instruments.append(instrument)
        self.shape = Shape(self.usual_update, *self.side_words, is_counted=self.is_counted)
        self._requests: list[Request] = []
        self._again: dict[str, list[str]] = {}  # channel -> products to subscribe to anew
        self._waiting: dict[tuple[str, str], int] = {}  # (channel, product) -> deadline; 0 until a tick tells the time
        self._asked_twice: set[tuple[str, str]] = set()

    # The contract of exchanges.protocol.Decoder, but for `receive`

    def connected(self, monotonic_ns: int) -> None:
        """A new connection: every book waits for its snapshot (S1). Trade ids live on (S6)."""
        for product in self._products.values():
            self._trust(product, Trust.WAITING)
            product.ids_may_begin_anew = True
        self._again.clear()
        self._asked_twice.clear()
        self._waiting = {(channel, name): monotonic_ns + WATCHDOG_NS for channel in self.channels for name in self._products}
        self._requests = [Send(frame) for frame in self._heartbeat_frames()]
        for channel in self.channels:
            self._requests += self._sends("subscribe", channel, list(self._products))

    def pending_requests(self) -> Sequence[Request]:
        """What to do now, in order; asking empties the list."""
        requests, self._requests = self._requests, []
        for channel, names in self._again.items():
            requests += self._sends("unsubscribe", channel, names)
            requests += self._sends("subscribe", channel, names)
        self._again.clear()
        return requests

    def tick(self, monotonic_ns: int) -> None:
        """The watchdog (S5)."""
        for key, deadline_ns in list(self._waiting.items()):
            if not deadline_ns:
                self._waiting[key] = monotonic_ns + WATCHDOG_NS
            elif monotonic_ns >= deadline_ns:
                del self._waiting[key]
                if key not in self._asked_twice:
                    self._asked_twice.add(key)
                    self._ask_again(*key)

    def resync(self, instrument: Instrument) -> None:
        """Subscribe anew to its book, unless that is under way already (S4)."""
        product = self._products[instrument.alias_of or instrument.native]
        if (BOOK, product.name) not in self._waiting:
            self._asked_twice.discard((BOOK, product.name))
            self._heal(product)

    def use_instrument(self, instrument: Instrument) -> None:
        """From now on this (same native name, other grid) is the instrument."""
        product = self._products[instrument.alias_of or instrument.native]
        product.instruments = [instrument if held.native == instrument.native else held for held in product.instruments]
        self.instruments[instrument.native] = instrument
        self._trust(product, product.trust)

    def receive_snapshot(self, _instrument: Instrument, body: bytes, _receive_ns: int) -> Sequence[Event]:
        """Books come in-band; none is ever asked for by REST."""
        raise DecodeError("Coinbase's books do not come by REST", body)

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """The instruments of a products answer."""
        return parse_instruments(body, self.mode_name)

    def fetch_failed(self, _instrument: Instrument, _monotonic_ns: int) -> None:
        """Nothing is fetched, so nothing is queued again."""

    # What a feed says in its own way

    def _heartbeat_frames(self) -> Sequence[bytes]:
        raise NotImplementedError

    def _subscription(self, verb: str, channel: str, names: list[str]) -> dict[str, Any]:
        raise NotImplementedError

    # Subscriptions

    def _sends(self, verb: str, channel: str, names: list[str]) -> list[Request]:
        size = FACTS.subscribe_batch
        batches = (names[start : start + size] for start in range(0, len(names), size))
        return [Send(orjson.dumps(self._subscription(verb, self.channel_names[channel], batch))) for batch in batches]

    def _ask_again(self, channel: str, name: str) -> None:
        self._waiting[channel, name] = 0
        names = self._again.setdefault(channel, [])
        if name not in names:
            names.append(name)

    def _arrived(self, channel: str, name: str) -> None:
        if self._waiting.pop((channel, name), None) is not None:
            self._asked_twice.discard((channel, name))

    def _trust(self, product: Product, trust: Trust) -> None:
        product.trust = trust
        if trust is Trust.LIVE and len(product.instruments) == 1:
            self.shape.instruments[product.name] = product.instruments[0]
        else:  # or an alias shares it: the frame is an event of each
            self.shape.instruments.pop(product.name, None)

    def _heal(self, product: Product) -> None:
        self._trust(product, Trust.DISTRUSTED)
        self._ask_again(BOOK, product.name)

    # Books

    def _on_snapshot(self, product: Product, events: Sequence[Snapshot]) -> Sequence[Event]:
        """The whole book, on each instrument's grid."""
        self._trust(product, Trust.LIVE)
        self._arrived(BOOK, product.name)
        return events

    def _on_update(self, product: Product, events: Sequence[Update]) -> Sequence[Event]:
        """Changes of a book: events of a LIVE one, a gap of a WAITING one, nothing of another (S3)."""
        if product.trust is Trust.LIVE:
            return events
        if product.trust is Trust.WAITING:
            self._heal(product)
            return [GapFound(tuple(product.instruments), GapReason.UPDATE_BEFORE_SNAPSHOT, product.name)]
        if (BOOK, product.name) not in self._waiting:
            self._ask_again(BOOK, product.name)
        return ()

    # Trades

    def _on_trades(self, product: Product, numbered: list[tuple[int, list[Trade]]]) -> list[Event]:
        """The trades of one frame, ascending by id, each once per instrument, and what lies between them (S6)."""
        self._arrived(TRADES, product.name)
        numbered.sort(key=_number)
        events: list[Event] = []
        last = product.last_trade_id
        if product.ids_may_begin_anew and last is not None and numbered[-1][0] < last:
            last = None
        product.ids_may_begin_anew = False
        for number, trades in numbered:
            if last is not None:
                if number <= last and trades[0].history:
                    continue
                events += _missed(product, number - last - 1)
            events += trades
            last = number if last is None else max(number, last)
        product.last_trade_id = last
        return events

    def _on_last_trade_id(self, product: Product, number: int) -> list[Event]:
        """The exchange says which trade was the last: those that we have not are lost (S6)."""
        last, product.last_trade_id = product.last_trade_id, max(number, product.last_trade_id or 0)
        return [] if last is None else _missed(product, number - last)


def _number(numbered: tuple[int, list[Trade]]) -> int:
    return numbered[0]


def _missed(product: Product, count: int) -> list[Event]:
    return [TradesMissed(instrument, count) for instrument in product.instruments] if count > 0 else []
