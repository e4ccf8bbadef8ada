"""Binance spot, modes `diff` and `depth20`: bytes in, events and requests out; no sockets, no clock, no logging.

    diff      @depth@100ms ─► Splice (rules B1..B7) ─► Update ...          REST snapshot ─► Snapshot and the buffered Updates
    depth20   @depth20@100ms ─► Snapshot with depth 20: the whole top 20 each time; `flow` publishes the difference
    trades    @trade; `m` says that the buyer was the maker, so that true means: the taker SOLD

Sizes are absolute and zero removes, also what is not there. A symbol's snapshot is asked for once its first event is buffered (B1), or
`QUIET_NS` after the exchange confirmed its stream; one is in flight at a time. A fetch that did not help is repeated at once, then
after pauses that double up to a minute.

Everything of a frame is parsed before any state changes, so that a DecodeError or an OffGrid leaves the decoder as it was, but that an
unreadable snapshot is asked for again. An answer that nobody waits for is ignored.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from orjson import loads

from alphapulse_cli.errors import DecodeError, UsageError
from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance.fields import OffGridFound, data_of, integer, levels_of, nanoseconds, off_grid, update_of
from alphapulse_cli.exchanges.binance.instruments import parse_instruments
from alphapulse_cli.exchanges.binance.splice import NOTHING_SEEN, Splice
from alphapulse_cli.exchanges.binance.subscriptions import Subscriptions, stream_name
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TRADES
from alphapulse_cli.exchanges.sequence import GAP, NEXT, missed
from alphapulse_cli.exchanges.shape import Shape
from alphapulse_cli.market.events import (
    ClosingSoon,
    Event,
    GapFound,
    GapReason,
    Side,
    Snapshot,
    Trade,
    TradesMissed,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchSnapshot, Reconnect, Request, Send
from alphapulse_cli.market.ticks import FinerThanGrid, to_ticks

QUIET_NS = 1_500_000_000
USUAL_DIFF = (
    '{"stream":"<text>","data":{"e":"depthUpdate","E":<millis>,"s":"<name>","U":<first>,"u":<final>,'
    '"b":[<bids>["<price>","<size>"]</bids>],"a":[<asks>["<price>","<size>"]</asks>]}}'
)
FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 1_000_000_000, 60_000_000_000
KIND_CHARACTERS = 40


@dataclass(slots=True)
class _Market:
    """What the decoder remembers of one symbol on this connection."""

    instrument: Instrument
    splice: Splice = field(default_factory=Splice)
    in_flight: bool = False  # a snapshot was asked for
    due_ns: int | None = None  # when to ask for one, if it waits for its time
    failures: int = 0  # fetches since the last that helped
    last_trade: int = NOTHING_SEEN
    last_picture: int = NOTHING_SEEN

    def reset(self) -> None:
        self.splice.reset()
        self.in_flight, self.due_ns, self.failures = False, None, 0
        self.last_trade = self.last_picture = NOTHING_SEEN

    @property
    def fed(self) -> bool:
        return max(self.splice.last, self.last_trade, self.last_picture) > NOTHING_SEEN


class Decoder:
    """`exchanges.protocol.Decoder` for "binance-us" and "binance". UsageError for a depth or for more streams than there are."""

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
        self._markets = {native: _Market(instrument) for native, instrument in self.instruments.items()}
        book_stream = binance.PICTURE_STREAM if self._pictures else binance.DIFF_STREAM
        suffixes = [*([book_stream] if BOOK in channels else ()), *([binance.TRADE_STREAM] if TRADES in channels else ())]
        self._subscriptions = Subscriptions(list(self.instruments), suffixes, self._facts.subscribe_batch)
        books = self._markets if BOOK in channels else {}
        self._diffs = {} if self._pictures else books
        self._picture_streams = {stream_name(native, book_stream): books[native] for native in books} if self._pictures else {}
        self._trades = self._markets if TRADES in channels else {}
        self._shape = Shape(USUAL_DIFF)
        self._shape.instruments = self.instruments
        self._requests: list[Request] = []
        self._now_ns = 0  # CLOCK_MONOTONIC, as the last tick told it

    # What the world tells us

    def connected(self, monotonic_ns: int) -> None:
        """A new connection stands: everything of the last one is forgotten, the subscriptions are queued."""
        self._now_ns = monotonic_ns
        for market in self._markets.values():
            market.reset()
        self._requests = [Send(frame) for frame in self._subscriptions.connected(monotonic_ns)]

    def receive(self, frame: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002 - its frames need no receive time
        """Events of one frame, wrapped with its stream's name or bare. DecodeError if it is not understood in full."""
        try:
            usual = self._shape.read(frame)
            if usual is not None and (market := self._diffs.get(usual.instrument.native)) is not None:
                return self._on_diff(market, usual, self._shape.first, self._shape.final, frame)
            message = loads(frame)
            data = message.get("data", message)
            if type(data) is dict:
                kind = data.get("e")
                if kind == "depthUpdate" and (market := self._diffs.get(data["s"])) is not None:
                    return self._on_diff(market, update_of(market.instrument, data), data["U"], data["u"], frame)
                if kind == "trade" and (market := self._trades.get(data["s"])) is not None:
                    return self._on_trade(market, data)
                if "lastUpdateId" in data and (market := self._picture_market(message)) is not None:
                    return self._on_picture(market, data)
            return self._on_talk(message, data)
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"{self._facts.name}: {error!r:.200}", frame) from error

    def receive_snapshot(self, instrument: Instrument, body: bytes, receive_ns: int) -> Sequence[Event]:  # noqa: ARG002
        """The Snapshot and the buffered Updates behind it; GapFound if the stream has left it behind. DecodeError as `receive`."""
        market = self._diffs.get(instrument.native)
        if market is None or not market.in_flight:
            return ()
        try:
            answer = loads(body)
            snapshot_id = integer(answer["lastUpdateId"])
            snapshot = Snapshot(market.instrument, levels_of(market.instrument, answer["bids"], answer["asks"]))
            updates = [update_of(market.instrument, data_of(loads(frame))) for frame in market.splice.after(snapshot_id)]  # B4
        except OffGridFound as found:
            return (found.event,)
        except NOT_UNDERSTOOD as error:
            self._fetch_again(market)
            raise DecodeError(f"{self._facts.name}: snapshot of {market.instrument.id}: {error!r:.200}", body) from error
        if not market.splice.reaches(snapshot_id):  # B3
            self._fetch_again(market)
            return (GapFound((market.instrument,), GapReason.STALE_SNAPSHOT, f"snapshot {snapshot_id} precedes the stream"),)
        market.splice.adopt(snapshot_id)  # B5
        market.in_flight, market.due_ns, market.failures = False, None, 0
        return [snapshot, *updates]  # B6

    def receive_instruments(self, body: bytes) -> Sequence[Instrument]:
        """The instruments of an `exchangeInfo`. DecodeError if it is not understood."""
        return parse_instruments(body, exchange=self._facts.name)

    def fetch_failed(self, instrument: Instrument, monotonic_ns: int) -> None:
        """A snapshot could not be had: ask again."""
        market = self._markets.get(instrument.native)
        if market is not None and market.in_flight:
            self._now_ns = monotonic_ns
            self._fetch_again(market)

    def tick(self, monotonic_ns: int) -> None:
        """Ask for the snapshots whose time has come; give up a connection that neither answers nor feeds."""
        self._now_ns = monotonic_ns
        for market in self._diffs.values():
            if market.due_ns is not None and monotonic_ns >= market.due_ns:
                self._fetch(market)
        if self._subscriptions.overdue(monotonic_ns) and not any(market.fed for market in self._markets.values()):
            self._subscriptions.abandon()
            self._requests.append(Reconnect("the subscriptions were neither confirmed nor fed"))

    def resync(self, instrument: Instrument) -> None:
        """The book is wrong: fetch another snapshot, or take the next picture, whatever its id."""
        market = self._markets.get(instrument.native)
        if market is None:
            return
        market.last_picture = NOTHING_SEEN
        if market.splice.live:
            market.splice.discard()
            self._fetch(market)

    def use_instrument(self, instrument: Instrument) -> None:
        """From now on frames are decoded on this grid; buffered events too."""
        self.instruments[instrument.native] = self._markets[instrument.native].instrument = instrument

    def pending_requests(self) -> Sequence[Request]:
        """What to do now, in order; asking empties the list."""
        if not self._requests:
            return ()
        requests, self._requests = self._requests, []
        return requests

    # Kinds of message

    def _on_diff(self, market: _Market, update: Update, first: Any, final: Any, frame: bytes) -> Sequence[Event]:
        if not (type(first) is int and type(final) is int and 0 <= first <= final):
            raise ValueError(f"not a range of ids: {first!r}..{final!r}")
        splice = market.splice
        last, was_live = splice.last, splice.live
        verdict = splice.take(first, final, frame)
        if was_live and verdict is NEXT:
            return (update,)
        if was_live and verdict is GAP:  # B7
            self._fetch(market)
            return (GapFound((market.instrument,), GapReason.SEQUENCE, f"{last} is followed by {first}..{final}"),)
        if not splice.live and not market.failures:  # B1, B2: an event is buffered
            self._fetch(market)
        return ()

    def _on_picture(self, market: _Market, data: dict[str, Any]) -> Sequence[Event]:
        number = integer(data["lastUpdateId"])
        levels = levels_of(market.instrument, data["bids"], data["asks"])
        if number <= market.last_picture:
            return ()
        market.last_picture = number
        return (Snapshot(market.instrument, levels, depth=binance.PICTURE_DEPTH),)

    def _picture_market(self, message: dict[str, Any]) -> _Market | None:
        """Whose picture it is: the stream's name says so. A bare one can only be that of the only symbol."""
        if "stream" in message:
            return self._picture_streams.get(message["stream"])
        return next(iter(self._picture_streams.values())) if len(self._picture_streams) == 1 else None

    def _on_trade(self, market: _Market, data: dict[str, Any]) -> Sequence[Event]:
        number, buyer_is_maker, instrument = integer(data["t"]), data["m"], market.instrument
        if type(buyer_is_maker) is not bool:
            raise ValueError(f"m is neither true nor false: {buyer_is_maker!r:.40}")
        try:
            ticks, lots = to_ticks(data["p"], instrument.price_decimals), to_ticks(data["q"], instrument.size_decimals)
        except FinerThanGrid:
            raise OffGridFound(off_grid(instrument, [(data["p"], data["q"])])) from None
        side = Side.SELL if buyer_is_maker else Side.BUY
        trade = Trade(instrument, str(number), ticks, lots, side, nanoseconds(data["T"]))
        lost = missed(market.last_trade, number) if market.last_trade > NOTHING_SEEN else 0
        if lost < 0:
            return ()  # this connection gave it already
        market.last_trade = number
        return (TradesMissed(instrument, lost), trade) if lost else (trade,)

    def _on_talk(self, message: Any, data: Any) -> Sequence[Event]:
        """Everything that is neither book nor trade."""
        if type(message) is not dict:
            raise TypeError("not an object")
        stream, kind = message.get("stream"), data.get("e") if type(data) is dict else None
        if kind == "serverShutdown" or stream == "!serverShutdown":
            return (ClosingSoon("serverShutdown"),)
        if data is message and ("result" in message or "error" in message or "code" in message):
            natives, events = self._subscriptions.answer(message)
            for native in natives:
                market = self._diffs.get(native)
                if market is not None and not market.splice.live and not market.in_flight and market.due_ns is None:
                    market.due_ns = self._now_ns + QUIET_NS  # B1: a quiet symbol's first event may be long in coming
            return events
        return (Unrecognised(str(kind or str(stream).partition("@")[2] or stream)[:KIND_CHARACTERS]),)

    # Snapshots

    def _fetch(self, market: _Market) -> None:
        """B2: ask for a snapshot unless one is in flight."""
        if not market.in_flight:
            market.in_flight, market.due_ns = True, None
            weight = binance.snapshot_weight(self._facts.name, self._limit)
            path = f"{binance.DEPTH_PATH}?symbol={quote(market.instrument.native)}&limit={self._limit}"
            self._requests.append(FetchSnapshot(market.instrument, path, weight))

    def _fetch_again(self, market: _Market) -> None:
        """The last one did not help: at once the first time, then after ever longer pauses."""
        market.failures += 1
        market.in_flight = False
        if market.failures == 1:
            self._fetch(market)
        else:
            market.due_ns = self._now_ns + min(FIRST_PAUSE_NS << min(market.failures - 2, 16), LONGEST_PAUSE_NS)
