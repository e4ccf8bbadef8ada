"""Server side of a connection to Coinbase's Advanced Trade feed: the rules of advanced.py in reverse.

Every frame but an error takes the connection's next sequence number (C1, C5). A new level2 subscription is answered with the
whole book of each product, best first, zeros trimmed (C6), and only then with the confirmation (C9); one to market_trades with
the last trades as history, newest first and with the maker's side (C10).
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.coinbase.server import MAKER_WORDS, NotAcceptedError, Subscriptions, client_message
from alphapulse_cli.exchanges.protocol import Change, Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text

BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL = "level2", "market_trades", "heartbeats"
KEYLESS_CHANNELS = (BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL)
KEYED_CHANNELS = ("user", "futures_balance_summary")
HISTORY_TRADES = 100
SIDE_WORDS = ("bid", "offer")


class AdvancedEncoder:
    """Encoder of mode "advanced". `spoil_checksum` has no effect: the feed has no checksum."""

    def __init__(self, truth: Truth) -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._subscriptions = Subscriptions(truth)
        self._sequence = 0
        self._heartbeats = 0

    def connected(self, _now_ns: int) -> Sequence[bytes]:
        """No frames: the exchange sends no greeting."""
        return []

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Data first, then the confirmation; or an error frame."""
        try:
            subscribes, message = client_message(frame)
            channel, instruments = self._asked_for(message)
        except NotAcceptedError as error:
            return [orjson.dumps({"type": "error", "message": str(error)})]
        if channel == HEARTBEAT_CHANNEL:
            instruments = [_no_product()]
        if not subscribes:
            self._subscriptions.remove(channel, instruments)
            return [self._confirmation(now_ns)]
        self._subscriptions.add(channel, instruments)
        frames = []
        if channel == BOOK_CHANNEL:
            frames = [self._book(instrument, now_ns) for instrument in instruments]
        elif channel == TRADE_CHANNEL:
            frames = [self._past_trades(instrument, now_ns) for instrument in instruments]
        return [*frames, self._confirmation(now_ns)]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One `l2_data` update, if the client is subscribed."""
        instrument = self._truth.instruments[symbol]
        if not self._subscriptions.has(BOOK_CHANNEL, instrument):
            return []
        rows = _rows(instrument, changes, now_ns)
        return [self._frame("l2_data", [{"type": "update", "product_id": instrument.native, "updates": rows}], now_ns)]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One `market_trades` update, if the client is subscribed."""
        instrument = self._truth.instruments[symbol]
        if not trades or not self._subscriptions.has(TRADE_CHANNEL, instrument):
            return []
        return [self._trade_frame("update", instrument, trades, now_ns)]

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """No frames: the trading status is only in the REST product records."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """One heartbeat, if the client is subscribed."""
        if HEARTBEAT_CHANNEL not in self._subscriptions.channels():
            return []
        self._heartbeats += 1
        go_time = f"{rfc3339_text(now_ns, 6)[:-1].replace('T', ' ')} +0000 UTC m=+{self._heartbeats}.5"
        return [self._frame(HEARTBEAT_CHANNEL, [{"current_time": go_time, "heartbeat_counter": self._heartbeats}], now_ns)]

    def refuse_for_now(self, _frame: bytes, _now_ns: int) -> Sequence[bytes]:
        """An error that names no product. Its words are invented: no real one was ever recorded."""
        return [orjson.dumps({"type": "error", "message": "rate limit exceeded"})]

    def restart_sequence(self) -> None:
        """Restart `sequence_num` at 0."""
        self._sequence = 0

    def _asked_for(self, message: dict[str, Any]) -> tuple[str, list[Instrument]]:
        channel, names = message.get("channel"), message.get("product_ids", [])
        if channel in KEYED_CHANNELS:
            raise NotAcceptedError("authentication failure")
        found = [self._subscriptions.find(name) for name in names] if isinstance(names, list) else [None]
        instruments = [instrument for instrument in found if instrument is not None]
        needs_products = channel != HEARTBEAT_CHANNEL
        if channel not in KEYLESS_CHANNELS or len(instruments) < len(found) or (needs_products and not found):
            raise NotAcceptedError("failure to subscribe")
        return str(channel), list({instrument.native: instrument for instrument in instruments}.values())

    def _frame(self, channel: str, events: list[Any], now_ns: int) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        timestamp = rfc3339_text(now_ns)
        return orjson.dumps({"channel": channel, "timestamp": timestamp, "sequence_num": number, "events": events})

    def _confirmation(self, now_ns: int) -> bytes:
        held = self._subscriptions
        return self._frame("subscriptions", [{"subscriptions": {name: held.products(name) for name in held.channels()}}], now_ns)

    def _book(self, instrument: Instrument, now_ns: int) -> bytes:
        bids, asks = self._truth.book(instrument.symbol)
        levels = [*((*level, False) for level in bids), *((*level, True) for level in asks)]
        event = {"type": "snapshot", "product_id": instrument.native, "updates": _rows(instrument, levels, now_ns)}
        return self._frame("l2_data", [event], now_ns)

    def _past_trades(self, instrument: Instrument, now_ns: int) -> bytes:
        return self._trade_frame("snapshot", instrument, self._truth.recent_trades(instrument.symbol, HISTORY_TRADES), now_ns)

    def _trade_frame(self, kind: str, instrument: Instrument, trades: Sequence[Trade], now_ns: int) -> bytes:
        rows = [
            {
                "product_id": instrument.native,
                "trade_id": trade.trade_id,
                "price": trim_text(trade.price_ticks, instrument.price_decimals),
                "size": trim_text(trade.size_lots, instrument.size_decimals),
                "time": rfc3339_text(now_ns if trade.exchange_ns is None else trade.exchange_ns, 6),
                "side": MAKER_WORDS[trade.side].upper(),
            }
            for trade in reversed(trades)
        ]
        return self._frame(TRADE_CHANNEL, [{"type": kind, "trades": rows}], now_ns)


def _rows(instrument: Instrument, changes: Sequence[Change], now_ns: int) -> orjson.Fragment:
    """JSON array of the levels. Written as text, since a whole book has tens of thousands of them."""
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    heads = [f'{{"side":"{word}","event_time":"{rfc3339_text(now_ns, 6)}","price_level":"' for word in SIDE_WORDS]
    rows = [
        f'{heads[is_ask]}{trim_text(ticks, price_decimals)}","new_quantity":"{trim_text(lots, size_decimals)}"}}'
        for ticks, lots, is_ask in changes
    ]
    return orjson.Fragment(f"[{','.join(rows)}]")


def _no_product() -> Instrument:
    """Placeholder instrument for heartbeats, which have no products but are named in the confirmation."""
    return Instrument("coinbase", HEARTBEAT_CHANNEL, HEARTBEAT_CHANNEL, 0, 0)
