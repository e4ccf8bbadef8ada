"""Server side of a connection to Coinbase's Exchange feed: the rules of exchange.py in reverse.

The confirmation comes first, with `level2_batch` renamed `level2_50`, then each product's whole book and its last match. Sizes and
prices are written with all their decimals. Channels that need keys are refused in the exchange's own words.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from alphapulse_cli.exchanges.coinbase.server import MAKER_WORDS, NotAcceptedError, Subscriptions, client_message
from alphapulse_cli.exchanges.protocol import Change, Level, Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL = "level2_50", "matches", "heartbeat"
CHANNELS = {"level2_batch": BOOK_CHANNEL, BOOK_CHANNEL: BOOK_CHANNEL, "matches": TRADE_CHANNEL, "heartbeat": HEARTBEAT_CHANNEL}
KEYED_CHANNELS = ("level2", "level3", "full")
SIDE_WORDS = ("buy", "sell")


class ExchangeEncoder:
    """Encoder of mode "exchange". `spoil_checksum` has no effect: the feed has no checksum."""

    def __init__(self, truth: Truth) -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._subscriptions = Subscriptions(truth)

    def connected(self, _now_ns: int) -> Sequence[bytes]:
        """No frames: the exchange sends no greeting."""
        return []

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """The confirmation, then the first frames of the new channels; or an error frame."""
        try:
            subscribes, message = client_message(frame)
            channels, instruments = self._asked_for(message)
        except NotAcceptedError as error:
            answer = {"type": "error", "message": str(error)}
            return [orjson.dumps({**answer, "reason": error.reason} if error.reason else answer)]
        for channel in channels:
            (self._subscriptions.add if subscribes else self._subscriptions.remove)(channel, instruments)
        frames = [self._confirmation()]
        for instrument in instruments if subscribes else ():
            if BOOK_CHANNEL in channels:
                frames.append(self._book(instrument, now_ns))
            if TRADE_CHANNEL in channels:
                last = self._truth.recent_trades(instrument.symbol, 1)
                frames += [self._match("last_match", instrument, trade, now_ns) for trade in last]
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
        """One match a trade, oldest first, if the client is subscribed."""
        instrument = self._truth.instruments[symbol]
        if not self._subscriptions.has(TRADE_CHANNEL, instrument):
            return []
        return [self._match("match", instrument, trade, now_ns) for trade in trades]

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """No frames: the trading status is only in the REST product records."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """One heartbeat for each product whose channel the client is subscribed to."""
        return [self._beat(instrument, now_ns) for instrument in self._subscriptions.instruments(HEARTBEAT_CHANNEL)]

    def refuse_for_now(self, _frame: bytes, _now_ns: int) -> Sequence[bytes]:
        """An error that names no product. Its words are invented: no real one was ever recorded."""
        return [orjson.dumps({"type": "error", "message": "rate limit exceeded"})]

    def restart_sequence(self) -> None:
        """Do nothing: the feed has no sequence numbers."""

    def _asked_for(self, message: dict[str, Any]) -> tuple[list[str], list[Instrument]]:
        names, channels = message.get("product_ids"), message.get("channels")
        if not isinstance(names, list) or not isinstance(channels, list) or not names or not channels:
            raise NotAcceptedError("Failed to subscribe", "product_ids and channels are required")
        for channel in channels:
            if channel in KEYED_CHANNELS:
                raise NotAcceptedError("Failed to subscribe", "level2, level3, and full channels now require authentication.")
            if not isinstance(channel, str) or channel not in CHANNELS:
                raise NotAcceptedError("Failed to subscribe", f"{str(channel)[:40]} is not a valid channel")
        instruments: dict[str, Instrument] = {}
        for name in names:
            instrument = self._subscriptions.find(name)
            if instrument is None:
                raise NotAcceptedError("Failed to subscribe", f"{str(name)[:40]} is not a valid product")
            instruments[instrument.native] = instrument
        return [CHANNELS[channel] for channel in channels], list(instruments.values())

    def _confirmation(self) -> bytes:
        held = self._subscriptions
        rows = [{"name": name, "product_ids": held.products(name), "account_ids": None} for name in held.channels()]
        return orjson.dumps({"type": "subscriptions", "channels": rows})

    def _book(self, instrument: Instrument, now_ns: int) -> bytes:
        bids, asks = ([_pair(instrument, level) for level in side] for side in self._truth.book(instrument.symbol))
        head = {"type": "snapshot", "product_id": instrument.native}
        return orjson.dumps({**head, "asks": asks, "bids": bids, "time": rfc3339_text(now_ns, 6)})

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
