"""Coinbase's older Exchange feed: channels `level2_batch`, `matches`, `heartbeat`, which work without keys.

    {"type":"snapshot","product_id":…,"bids":[[price,size]…],"asks":[…]}      {"type":"l2update","changes":[["buy",price,size]…]}
    {"type":"last_match"|"match","trade_id":7,"side":…}      {"type":"heartbeat","last_trade_id":7}      {"type":"subscriptions"}

Rules of this feed, numbered as the tests number them (S1 to S7 are in feed.py):
  X1  A `snapshot` replaces the book: rows [price, size] of each side. It may carry no time.
  X2  `l2update` rows are [buy | sell, price, size]: buy is bid, sell is ask. Sizes are absolute; zero ("0", "0.00000000") removes
      a level, even one that is not in the book. Prices are compared as numbers: trailing zeros come and go.
  X3  There is no sequence number: a lost book frame cannot be detected. Feed delay is measured from `time`; a time of 1970 or
      before counts as missing.
  X4  `side` of a match is the maker's: "sell" means that the taker bought.
  X5  `last_match` is history; a `heartbeat.last_trade_id` above the last received trade id shows lost trades.
  X6  The confirmation calls `level2_batch` `level2_50`. An `error` names no product: see S5.
  X7  Types and products without a subscription give Unrecognised: no error.

Frames of `level2`, recorded in 2021 when it was public, have the same format.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase.facts import EXCHANGE, EXCHANGE_CHANNELS, FACTS
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
from alphapulse_cli.exchanges.protocol import BOOK, NOT_UNDERSTOOD, TEXT_KEPT, TRADES, FrameLabel
from alphapulse_cli.exchanges.subscriptions import batches
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.exchanges.trade_ids import Numbered
from alphapulse_cli.market.events import (
    Event,
    Heartbeat,
    Side,
    Snapshot,
    Subscribed,
    Unrecognised,
    Update,
)
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.levels import Levels, empty_of
from alphapulse_cli.market.ticks import FinerThanGrid, Malformed

OUR_CHANNELS = {"level2_50": BOOK, "level2_batch": BOOK, "level2": BOOK, "matches": TRADES}
TAKER_SIDES = {"sell": Side.BUY, "buy": Side.SELL}  # the frame names the maker's side (X4)
USUAL_UPDATE = '{"type":"l2update","product_id":"<name>","changes":[<rows>["<side>","<price>","<size>"]</rows>],"time":"<time>"}'
PRODUCT_KINDS = frozenset({"l2update", "match", "last_match", "heartbeat", "snapshot"})


class ExchangeFeed(CoinbaseFeed):
    """Decoder of mode "exchange"."""

    mode_name = EXCHANGE
    channel_names = EXCHANGE_CHANNELS
    usual_update = USUAL_UPDATE
    side_words = ("buy", "sell")
    is_counted = False

    def label(self, frame: bytes) -> FrameLabel:
        """Product of a frame, and the numbers that are about trades: books have none (X3)."""
        message = orjson.loads(frame)
        return made_of((message.get("product_id"),), message, ("trade_id", "last_trade_id"))

    def receive(self, frame: bytes, _receive_ns: int) -> Sequence[Event]:
        """Events of one frame, in order. DecodeError if it is not understood in full."""
        try:
            message = orjson.loads(frame)
            try:
                return self._read(message)
            except FinerThanGrid:
                return self._off_grid(message)
        except NOT_UNDERSTOOD as error:
            raise DecodeError(f"not a frame of Coinbase's Exchange feed: {str(error)[:TEXT_KEPT]}", frame) from error

    def _read(self, message: Any) -> Sequence[Event]:
        kind = message["type"]
        if kind not in PRODUCT_KINDS:
            return self._on_other(kind, message)
        product = self._products.get(message["product_id"])
        if product is None:
            return [Unrecognised(f"{kind} of {message['product_id']}"[:KIND_CHARACTERS])]
        if kind == "l2update":
            return self._read_update(product, message)
        if kind == "snapshot":
            return self._read_snapshot(product, message)
        if kind == "heartbeat":
            return self._read_heartbeat(product, message)
        return self._read_match(product, message)

    def _read_update(self, product: Product, message: dict[str, Any]) -> Sequence[Event]:
        """Updates of an `l2update` (X2)."""
        text, rows = message.get("time"), message["changes"]
        exchange_ns = None if text is None else rfc3339_ns(text)
        if exchange_ns is not None and exchange_ns <= 0:  # X3
            exchange_ns = None
        if type(rows) is not list:
            raise Malformed("the changes are not a list")
        events: list[Update] = []
        for instrument in product.instruments:
            levels = empty_of(instrument)
            levels.add_sided(rows, "buy", "sell")
            events.append(Update(instrument, levels, exchange_ns))
        if product.trust is Trust.LIVE and rows:
            return events
        return self._on_update(product, events) if rows else ()

    def _read_snapshot(self, product: Product, message: dict[str, Any]) -> Sequence[Event]:
        """Snapshots of a frame, one for each instrument that shares the book (X1)."""
        exchange_ns, bids, asks = _time(message), _pairs(message["bids"]), _pairs(message["asks"])
        events = [Snapshot(instrument, _sides(instrument, bids, asks), exchange_ns) for instrument in product.instruments]
        return self._on_snapshot(product, events)

    def _read_match(self, product: Product, message: dict[str, Any]) -> Sequence[Event]:
        """Trades of a match, one for each instrument that shares the product (X4, X5)."""
        number, history = trade_number(message["trade_id"]), message["type"] == "last_match"
        side, exchange_ns = TAKER_SIDES[message["side"]], time_ns(message["time"])
        trades = trades_of(product, number, message, side, exchange_ns, history=history)
        return self._on_trades(product, [(number, trades)])

    def _read_heartbeat(self, product: Product, message: dict[str, Any]) -> Sequence[Event]:
        """Heartbeat, and TradesMissed if its last trade id shows a loss (X5) and trades are subscribed."""
        heartbeat, number = Heartbeat(_time(message)), trade_number(message["last_trade_id"])
        self._owed.settle(HEARTBEATS)
        missed = self._on_last_trade_id(product, number) if TRADES in self.channels else []
        return [*missed, heartbeat]

    def _on_other(self, kind: Any, message: dict[str, Any]) -> Sequence[Event]:
        """Events of frames that belong to no product (X6, X7)."""
        if kind == "subscriptions":
            return self._on_subscriptions(message["channels"])
        if not isinstance(kind, str):
            raise Malformed("the type is not text")
        if kind == "error":
            reason = message.get("reason", "")
            answer = f"{message['message']}: {reason}" if reason else str(message["message"])
            return self._on_error(answer[:TEXT_KEPT])
        return [Unrecognised(kind[:KIND_CHARACTERS])]

    def _on_subscriptions(self, rows: Any) -> Sequence[Event]:
        found: list[tuple[str, tuple[str, ...]]] = []
        if type(rows) is not list:
            raise Malformed("the channels are not a list")
        for row in rows:
            name, natives = row["name"], tuple(row["product_ids"] or ())
            if not isinstance(name, str) or not all(isinstance(native, str) for native in natives):
                raise Malformed("a confirmation names a channel or product that is not text")
            ours = tuple(native for native in natives if native in self._products)
            found.append((OUR_CHANNELS.get(name, name[:KIND_CHARACTERS]), ours))
        for channel, natives in found:
            if channel == TRADES:
                for native in natives:
                    self._arrived(TRADES, native)
            if channel == "heartbeat":
                self._owed.settle(HEARTBEATS)
        return [Subscribed(channel, natives) for channel, natives in found]

    def _off_grid(self, message: dict[str, Any]) -> Sequence[Event]:
        """OffGrid events with the grids that the frame needs; the frame is applied when it is passed in again (S7)."""
        is_update = message["type"] == "l2update"
        rows = [row[1:3] for row in message["changes"]] if is_update else [*message["bids"], *message["asks"]]
        return off_grid(self._products[message["product_id"]], [row[0] for row in rows], [row[1] for row in rows])

    def _trades_path(self, name: str) -> str:
        return f"/products/{quote(name)}/trades?limit={MOST_TRADES}"

    def _fetched_rows(self, answer: Any) -> list[dict[str, Any]]:
        if not isinstance(answer, list):
            raise Malformed("the trades are not a list")
        return answer

    def _fetched_trade(self, product: Product, row: dict[str, Any]) -> Numbered:
        """Trade of a row of the REST answer, whose side is the maker's too (X4)."""
        number = trade_number(row["trade_id"])
        return number, trades_of(product, number, row, TAKER_SIDES[row["side"]], time_ns(row["time"]), history=True)

    def _heartbeat_frames(self) -> Sequence[bytes]:
        messages = batches(self._products, FACTS.subscribe_batch, self._heartbeat_frame)
        return [frame for _, frame in messages]

    def _heartbeat_frame(self, names: list[str]) -> bytes:
        return orjson.dumps(self._subscription("subscribe", "heartbeat", names))

    def _subscription(self, verb: str, channel: str, names: list[str]) -> dict[str, Any]:
        return {"type": verb, "product_ids": names, "channels": [channel]}


def _time(message: dict[str, Any]) -> int | None:
    text = message.get("time")
    return None if text is None else time_ns(text)


def _sides(instrument: Instrument, bids: Any, asks: Any) -> Levels:
    levels = empty_of(instrument)
    levels.add_pairs(bids, is_ask=False)
    levels.add_pairs(asks, is_ask=True)
    return levels


def _pairs(rows: Any) -> list[list[Any]]:
    """Return the rows if each is a list; a text would pass for a row, its first two characters for price and size."""
    if not isinstance(rows, list) or not all(type(row) is list for row in rows):
        raise Malformed("a side is not a list of rows")
    return rows
