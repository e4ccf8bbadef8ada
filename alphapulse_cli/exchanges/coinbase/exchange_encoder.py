"""Server side of a connection to Coinbase's Exchange feed: the rules of exchange.py in reverse.

The confirmation comes first, with `level2_batch` renamed `level2_50`, then each product's whole book, last match and ticker. Sizes
and prices of books and matches are written with all their decimals. Channels that need keys are refused in the exchange's own
words.

    channel       first frames               afterwards
    level2_batch  the book                   each change
    matches       the last match             each match
    ticker        the ticker                 after each match; `side` is the taker's
    ticker_batch  the same                   each five seconds, if there was a match
    status        all products, currencies   each five seconds; it has no products of its own
    heartbeat                                each second

A channel is a name, or an object with products of its own, {"name":"ticker","product_ids":[…]}, in addition to the message's.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from alphapulse_cli.exchanges.coinbase.currencies import exchange_currencies
from alphapulse_cli.exchanges.coinbase.figures import MONTH_DAYS, best, last_day, last_days, price_text, size_text
from alphapulse_cli.exchanges.coinbase.products import exchange_status
from alphapulse_cli.exchanges.coinbase.server import (
    BATCH_S,
    MAKER_WORDS,
    RATE_REFUSAL,
    TAKER_WORDS,
    Changes,
    Every,
    NotAcceptedError,
    Subscriptions,
    client_message,
    no_product,
)
from alphapulse_cli.exchanges.protocol import Change, Level, Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL = "level2_50", "matches", "heartbeat"
TICKER_CHANNEL, BATCH_CHANNEL, STATUS_CHANNEL = "ticker", "ticker_batch", "status"
CHANNELS = {
    "level2_batch": BOOK_CHANNEL,
    **{name: name for name in (BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL, TICKER_CHANNEL, BATCH_CHANNEL, STATUS_CHANNEL)},
}
KEYED_CHANNELS = ("level2", "level3", "full", "user")
Requested = dict[str, list[Instrument]]  # products by channel
SIDE_WORDS = ("buy", "sell")


class ExchangeEncoder:
    """Encoder of mode "exchange". `spoil_checksum` has no effect: the feed has no checksum."""

    def __init__(self, truth: Truth) -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._subscriptions = Subscriptions(truth)
        self._changes = Changes(truth)
        self._batches, self._statuses = Every(BATCH_S), Every(BATCH_S)

    def connected(self, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the exchange sends no greeting."""
        return []

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer to a request: the confirmation, then the first frames of the new channels; or an error frame."""
        try:
            subscribes, message = client_message(frame)
            channels = self._requested(message)
        except NotAcceptedError as error:
            answer = {"type": "error", "message": str(error)}
            return [orjson.dumps({**answer, "reason": error.reason} if error.reason else answer)]
        if not subscribes:
            for channel, instruments in channels.items():
                self._subscriptions.remove(channel, instruments or self._subscriptions.instruments(channel))
            return [self._confirmation()]
        for channel, instruments in channels.items():
            self._subscriptions.add(channel, instruments)
        firsts = {
            BOOK_CHANNEL: self._book,
            TRADE_CHANNEL: self._last_match,
            TICKER_CHANNEL: self._ticker,
            BATCH_CHANNEL: self._first_batch,
            STATUS_CHANNEL: self._status,
        }
        frames = [self._confirmation()]
        for channel, first in firsts.items():
            for instrument in channels.get(channel, ()):
                frames += first(instrument, now_ns)
        return frames

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One `l2update`, if the client is subscribed."""
        instrument = self._truth.instruments[symbol]
        if not self._subscriptions.has(BOOK_CHANNEL, instrument):
            return []
        rows = [[SIDE_WORDS[is_ask], *_pair(instrument, (ticks, lots))] for ticks, lots, is_ask in changes]
        time = rfc3339_text(now_ns, 6)
        return [orjson.dumps({"type": "l2update", "product_id": instrument.native, "changes": rows, "time": time})]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One match frame per trade, oldest first, then one ticker, for the channels that the client is subscribed to."""
        instrument = self._truth.instruments[symbol]
        frames = []
        if self._subscriptions.has(TRADE_CHANNEL, instrument):
            frames += [self._match("match", instrument, trade, now_ns) for trade in trades]
        if trades and self._subscriptions.has(TICKER_CHANNEL, instrument):
            frames += self._ticker(instrument, now_ns)
        return frames

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the trading status is only in the REST product records."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames due by time: a heartbeat per product, and the periodic frames of other subscribed channels."""
        held = self._subscriptions
        frames = [self._beat(instrument, now_ns) for instrument in held.instruments(HEARTBEAT_CHANNEL)]
        if self._batches.is_due(now_ns):
            for instrument in self._changes.traded(BATCH_CHANNEL, held.instruments(BATCH_CHANNEL)):
                frames += self._ticker(instrument, now_ns)
        for instrument in held.instruments(STATUS_CHANNEL) if self._statuses.is_due(now_ns) else ():
            frames += self._status(instrument, now_ns)
        return frames

    def refuse_for_now(self, _frame: bytes, _now_ns: int) -> Sequence[bytes]:
        """Refusal by a rate limit: an error that names no product."""
        return [RATE_REFUSAL]

    def restart_sequence(self) -> None:
        """Do nothing: the feed has no sequence numbers."""

    def _requested(self, message: dict[str, Any]) -> Requested:
        """Parse a request to channels, each with its products; an unsubscribe without products ends the whole channel."""
        names, channels = message.get("product_ids", []), message.get("channels")
        if not isinstance(names, list) or not isinstance(channels, list) or not channels:
            raise NotAcceptedError("Failed to subscribe", "product_ids and channels are required")
        requested: Requested = {}
        for entry in channels:
            channel, own = (entry.get("name"), entry.get("product_ids", [])) if isinstance(entry, dict) else (entry, [])
            if channel in KEYED_CHANNELS:
                raise NotAcceptedError("Failed to subscribe", "level2, level3, and full channels now require authentication.")
            if not isinstance(channel, str) or channel not in CHANNELS:
                raise NotAcceptedError("Failed to subscribe", f"{str(channel)[:40]} is not a valid channel")
            products = [no_product("")] if channel == STATUS_CHANNEL else self._products([*names, *_list(own)])
            if not products and message["type"] == "subscribe":
                raise NotAcceptedError("Failed to subscribe", "product_ids and channels are required")
            requested[CHANNELS[channel]] = products
        return requested

    def _products(self, names: list[Any]) -> list[Instrument]:
        found: dict[str, Instrument] = {}
        for name in names:
            instrument = self._subscriptions.find(name)
            if instrument is None:
                raise NotAcceptedError("Failed to subscribe", f"{str(name)[:40]} is not a valid product")
            found[instrument.native] = instrument
        return list(found.values())

    def _confirmation(self) -> bytes:
        held = self._subscriptions
        rows = [{"name": name, "product_ids": held.products(name), "account_ids": None} for name in held.channels()]
        return orjson.dumps({"type": "subscriptions", "channels": rows})

    def _book(self, instrument: Instrument, now_ns: int) -> list[bytes]:
        bids, asks = ([_pair(instrument, level) for level in side] for side in self._truth.book(instrument.symbol))
        head = {"type": "snapshot", "product_id": instrument.native}
        return [orjson.dumps({**head, "asks": asks, "bids": bids, "time": rfc3339_text(now_ns, 6)})]

    def _last_match(self, instrument: Instrument, now_ns: int) -> list[bytes]:
        last = self._truth.recent_trades(instrument.symbol, 1)
        return [self._match("last_match", instrument, trade, now_ns) for trade in last]

    def _first_batch(self, instrument: Instrument, now_ns: int) -> list[bytes]:
        self._changes.traded(BATCH_CHANNEL, [instrument])
        return self._ticker(instrument, now_ns)

    def _ticker(self, instrument: Instrument, now_ns: int) -> list[bytes]:
        """Frame of `ticker` and `ticker_batch` (both have the type `ticker`); none before the first trade."""
        last, (bid, ask) = self._truth.recent_trades(instrument.symbol, 1), best(self._truth, instrument)
        if not last or bid is None or ask is None:
            return []
        day = last_day(self._truth, instrument, now_ns)
        best_bid, best_ask = _pair(instrument, bid), _pair(instrument, ask)
        ticker = {
            "type": "ticker",
            "sequence": self._truth.sequence(instrument.symbol),
            "product_id": instrument.native,
            "price": price_text(instrument, last[0].price_ticks),
            "open_24h": price_text(instrument, day.open_ticks),
            "volume_24h": size_text(instrument, day.size_lots),
            "low_24h": price_text(instrument, day.low_ticks),
            "high_24h": price_text(instrument, day.high_ticks),
            "volume_30d": size_text(instrument, last_days(self._truth, instrument, MONTH_DAYS, now_ns).size_lots),
            "best_bid": best_bid[0],
            "best_bid_size": best_bid[1],
            "best_ask": best_ask[0],
            "best_ask_size": best_ask[1],
            "side": TAKER_WORDS[last[0].side],
            "time": rfc3339_text(now_ns if last[0].exchange_ns is None else last[0].exchange_ns, 6),
            "trade_id": int(last[0].trade_id),
            "last_size": size_text(instrument, last[0].size_lots),
        }
        return [orjson.dumps(ticker)]

    def _status(self, _: Instrument, _now_ns: int) -> list[bytes]:
        products = [exchange_status(instrument) for instrument in self._truth.instruments.values()]
        return [orjson.dumps({"type": "status", "products": products, "currencies": exchange_currencies(self._truth)})]

    def _match(self, kind: str, instrument: Instrument, trade: Trade, now_ns: int) -> bytes:
        number, (price, size) = int(trade.trade_id), _pair(instrument, (trade.price_ticks, trade.size_lots))
        return orjson.dumps(
            {
                "type": kind,
                "trade_id": number,
                "maker_order_id": str(UUID(int=2 * number)),
                "taker_order_id": str(UUID(int=2 * number + 1)),
                "side": MAKER_WORDS[trade.side],
                "size": size,
                "price": price,
                "product_id": instrument.native,
                "sequence": self._truth.sequence(instrument.symbol),
                "time": rfc3339_text(now_ns if trade.exchange_ns is None else trade.exchange_ns, 6),
            }
        )

    def _beat(self, instrument: Instrument, now_ns: int) -> bytes:
        last = self._truth.recent_trades(instrument.symbol, 1)
        return orjson.dumps(
            {
                "type": "heartbeat",
                "last_trade_id": int(last[-1].trade_id) if last else 0,
                "product_id": instrument.native,
                "sequence": self._truth.sequence(instrument.symbol),
                "time": rfc3339_text(now_ns, 6),
            }
        )


def _pair(instrument: Instrument, level: Level) -> list[str]:
    return [to_text(level[0], instrument.price_decimals), to_text(level[1], instrument.size_decimals)]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NotAcceptedError("Failed to subscribe", "product_ids and channels are required")
    return value
