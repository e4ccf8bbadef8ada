"""A Kraken client in the fewest lines: two dicts a book, cut to the depth and proved by the checksum after every event.

It applies what the product's decoder tells it, and it is what the decoder and the encoder are measured against.
"""

from collections.abc import Iterable

from alphapulse_cli.exchanges.kraken import Decoder, Encoder
from alphapulse_cli.exchanges.kraken.checksum import book_checksum
from alphapulse_cli.market.events import Event, Snapshot, Update
from alphapulse_cli.market.requests import Send
from support.decimals import top_decimals


class Top:
    """Two lists of levels, best first, as a checksum looks at a book."""

    def __init__(self, bids, asks):
        self._bids, self._asks = bids, asks

    def bids(self, count):
        return self._bids[:count]

    def asks(self, count):
        return self._asks[:count]

    def top_digits(self, count):
        return "".join(f"{ticks}{lots}" for ticks, lots in [*self.asks(count), *self.bids(count)]).encode()

    def top_decimals(self, count, price_decimals, size_decimals, sign):
        return top_decimals(self.bids(count), self.asks(count), price_decimals, size_decimals, sign=sign)


class DictBook:
    """One book as a client holds it; `right` says whether the last checksum was."""

    def __init__(self, *, cuts: bool = True) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.right = True
        self._cuts = cuts

    def apply(self, event: Snapshot | Update) -> bool:
        """Apply all levels, cut, prove; whether the checksum is right."""
        if isinstance(event, Snapshot):
            self.bids, self.asks = {}, {}
        for ticks, lots, is_ask in event.levels:
            side = self.asks if is_ask else self.bids
            side.pop(ticks, None)
            if lots:
                side[ticks] = lots
        if self._cuts:
            self.bids, self.asks = dict(self.best_bids(event.depth)), dict(self.best_asks(event.depth))
        self.right = book_checksum(event.instrument, Top(self.best_bids(10), self.best_asks(10))) == event.checksum
        return self.right

    def best_bids(self, depth):
        return sorted(self.bids.items(), reverse=True)[:depth]

    def best_asks(self, depth):
        return sorted(self.asks.items())[:depth]


class Line:
    """A decoder and an encoder joined without a socket; all events in the order in which they came."""

    def __init__(self, decoder: Decoder, encoder: Encoder) -> None:
        self.decoder, self.encoder, self.now_ns = decoder, encoder, 1_700_000_000_000_000_000
        self.books: dict[str, DictBook] = {}

    def connect(self) -> list[Event]:
        events = self.deliver(self.encoder.connected(self.now_ns))
        self.decoder.connected(self.now_ns)
        return events + self.ask()

    def ask(self) -> list[Event]:
        """Carry the decoder's requests over, and the answers back."""
        events: list[Event] = []
        for request in self.decoder.pending_requests():
            assert isinstance(request, Send)
            events += self.deliver(self.encoder.receive(request.frame, self.now_ns))
        return events

    def deliver(self, frames: Iterable[bytes]) -> list[Event]:
        """Frames to the decoder, its book events to the books."""
        events = [event for frame in frames for event in self.decoder.receive(frame, self.now_ns)]
        for event in events:
            if isinstance(event, Snapshot | Update):
                self.books.setdefault(event.instrument.symbol, DictBook()).apply(event)
        return events
