"""Server side of a connection to Coinbase's Advanced Trade feed: the rules of advanced.py in reverse.

Every frame but an error takes the connection's next sequence number (C1, C5). A new level2 subscription is answered with the
whole book of each product, best first, zeros trimmed (C6), and only then with the confirmation (C9); one to market_trades with
the last trades as a snapshot, newest first and with the maker's side (C10).

    channel       first frames                         afterwards
    level2        the book                             each change
    market_trades the last trades                      each trade
    ticker        a snapshot                           after each trade
    ticker_batch  a snapshot without the best prices   each five seconds, if there was a trade
    candles       candles of five minutes, newest last each second, if there was a trade: the current one
    status        the product's record                 each five seconds
    heartbeats                                         each second

A frame of `l2_data` has an empty `client_id` and no other frame has one, as in frames of September 2026. The formats of
`ticker` and `ticker_batch` are from recorded frames, those of `candles` and `status` from the documentation.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.coinbase.advanced_rest import candle_row
from alphapulse_cli.exchanges.coinbase.figures import YEAR_DAYS, best, last_day, last_days, percent_change, price_text, size_text
from alphapulse_cli.exchanges.coinbase.products import advanced_status
from alphapulse_cli.exchanges.coinbase.server import (
    BATCH_S,
    MAKER_WORDS,
    RATE_REFUSAL,
    Changes,
    Every,
    NotAcceptedError,
    Subscriptions,
    client_message,
    no_product,
)
from alphapulse_cli.exchanges.protocol import Change, Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.market.trade_summary import Span

BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL = "level2", "market_trades", "heartbeats"
TICKER_CHANNEL, BATCH_CHANNEL, CANDLE_CHANNEL, STATUS_CHANNEL = "ticker", "ticker_batch", "candles", "status"
KEYLESS_CHANNELS = (
    *(BOOK_CHANNEL, TRADE_CHANNEL, HEARTBEAT_CHANNEL),
    *(TICKER_CHANNEL, BATCH_CHANNEL, CANDLE_CHANNEL, STATUS_CHANNEL),
)
HISTORY_TRADES = 100
HISTORY_CANDLES = 100
CANDLE_SPAN = Span(300)
SIDE_WORDS = ("bid", "offer")


class AdvancedEncoder:
    """Encoder of mode "advanced". `spoil_checksum` has no effect: the feed has no checksum."""

    def __init__(self, truth: Truth) -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._subscriptions = Subscriptions(truth)
        self._sequence = 0
        self._heartbeats = 0
        self._changes = Changes(truth)
        self._batches, self._statuses = Every(BATCH_S), Every(BATCH_S)

    def connected(self, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the exchange sends no greeting."""
        return []

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer to a request: data first, then the confirmation; or an error frame."""
        try:
            subscribes, message = client_message(frame)
            channel, instruments = self._requested(message)
        except NotAcceptedError as error:
            return [orjson.dumps({"type": "error", "message": str(error)})]
        if channel == HEARTBEAT_CHANNEL:
            instruments = [no_product(HEARTBEAT_CHANNEL)]
        if not subscribes:
            self._subscriptions.remove(channel, instruments or self._subscriptions.instruments(channel))
            return [self._confirmation(now_ns)]
        self._subscriptions.add(channel, instruments)
        begins = {
            BOOK_CHANNEL: self._book,
            TRADE_CHANNEL: self._past_trades,
            TICKER_CHANNEL: self._first_ticker,
            BATCH_CHANNEL: self._first_batch,
            CANDLE_CHANNEL: self._past_candles,
            STATUS_CHANNEL: self._status,
        }
        begin = begins.get(channel)
        frames = [begin(instrument, now_ns) for instrument in instruments] if begin else []
        return [*frames, self._confirmation(now_ns)]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One `l2_data` update, if the client is subscribed."""
        instrument = self._truth.instruments[symbol]
        if not self._subscriptions.has(BOOK_CHANNEL, instrument):
            return []
        return [self._book_frame("update", instrument, changes, now_ns)]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One frame of `market_trades` and one of `ticker`, for the channels that the client is subscribed to."""
        instrument = self._truth.instruments[symbol]
        frames = []
        if trades and self._subscriptions.has(TRADE_CHANNEL, instrument):
            frames.append(self._trade_frame("update", instrument, trades, now_ns))
        if trades and self._subscriptions.has(TICKER_CHANNEL, instrument):
            frames.append(self._ticker_frame(TICKER_CHANNEL, "update", instrument, now_ns))
        return frames

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the trading status is only in the REST product records."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames due by time: a heartbeat, and the periodic frames of other subscribed channels."""
        held = self._subscriptions
        frames = []
        if HEARTBEAT_CHANNEL in held.channels():
            self._heartbeats += 1
            go_time = f"{rfc3339_text(now_ns, 6)[:-1].replace('T', ' ')} +0000 UTC m=+{self._heartbeats}.5"
            beat = {"current_time": go_time, "heartbeat_counter": self._heartbeats}
            frames.append(self._frame(HEARTBEAT_CHANNEL, [beat], now_ns))
        traded = self._changes.traded(CANDLE_CHANNEL, held.instruments(CANDLE_CHANNEL))
        frames += [self._candle_frame("update", instrument, 1, now_ns) for instrument in traded]
        if self._batches.is_due(now_ns):
            traded = self._changes.traded(BATCH_CHANNEL, held.instruments(BATCH_CHANNEL))
            frames += [self._ticker_frame(BATCH_CHANNEL, "update", instrument, now_ns) for instrument in traded]
        if self._statuses.is_due(now_ns):
            frames += [self._status(instrument, now_ns) for instrument in held.instruments(STATUS_CHANNEL)]
        return frames

    def refuse_for_now(self, _frame: bytes, _now_ns: int) -> Sequence[bytes]:
        """Refusal by a rate limit: an error that names no product."""
        return [RATE_REFUSAL]

    def restart_sequence(self) -> None:
        """Restart `sequence_num` at 0."""
        self._sequence = 0

    def _requested(self, message: dict[str, Any]) -> tuple[str, list[Instrument]]:
        """Parse a request to (channel, products); an unsubscribe without products ends the whole channel."""
        channel, names = message.get("channel"), message.get("product_ids", [])
        if isinstance(channel, str) and channel not in KEYLESS_CHANNELS:  # unknown, or needs a key: same answer
            raise NotAcceptedError("authentication failure")
        found = [self._subscriptions.find(name) for name in names] if isinstance(names, list) else [None]
        instruments = [instrument for instrument in found if instrument is not None]
        needs_products = channel != HEARTBEAT_CHANNEL and message["type"] == "subscribe"
        if not isinstance(channel, str) or len(instruments) < len(found) or (needs_products and not found):
            raise NotAcceptedError("failure to subscribe")
        return channel, list({instrument.native: instrument for instrument in instruments}.values())

    def _frame(self, channel: str, events: list[Any], now_ns: int) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        client = {"client_id": ""} if channel == "l2_data" else {}
        timestamp = rfc3339_text(now_ns)
        return orjson.dumps({"channel": channel, **client, "timestamp": timestamp, "sequence_num": number, "events": events})

    def _confirmation(self, now_ns: int) -> bytes:
        held = self._subscriptions
        return self._frame("subscriptions", [{"subscriptions": {name: held.products(name) for name in held.channels()}}], now_ns)

    def _book(self, instrument: Instrument, now_ns: int) -> bytes:
        bids, asks = self._truth.book(instrument.symbol)
        levels = [*((*level, False) for level in bids), *((*level, True) for level in asks)]
        return self._book_frame("snapshot", instrument, levels, now_ns)

    def _book_frame(self, kind: str, instrument: Instrument, levels: Sequence[Change], now_ns: int) -> bytes:
        event = {"type": kind, "product_id": instrument.native, "updates": _rows(instrument, levels, now_ns)}
        return self._frame("l2_data", [event], now_ns)

    def _first_ticker(self, instrument: Instrument, now_ns: int) -> bytes:
        return self._ticker_frame(TICKER_CHANNEL, "snapshot", instrument, now_ns)

    def _first_batch(self, instrument: Instrument, now_ns: int) -> bytes:
        self._changes.traded(BATCH_CHANNEL, [instrument])
        return self._ticker_frame(BATCH_CHANNEL, "snapshot", instrument, now_ns)

    def _past_candles(self, instrument: Instrument, now_ns: int) -> bytes:
        self._changes.traded(CANDLE_CHANNEL, [instrument])
        return self._candle_frame("snapshot", instrument, HISTORY_CANDLES, now_ns)

    def _ticker_frame(self, channel: str, kind: str, instrument: Instrument, now_ns: int) -> bytes:
        tickers = _tickers(self._truth, instrument, now_ns, with_best=channel == TICKER_CHANNEL)
        return self._frame(channel, [{"type": kind, "tickers": tickers}], now_ns)

    def _candle_frame(self, kind: str, instrument: Instrument, count: int, now_ns: int) -> bytes:
        candles = self._truth.candles(instrument.symbol, CANDLE_SPAN, count)
        rows = [{**candle_row(instrument, candle), "product_id": instrument.native} for candle in candles]
        return self._frame(CANDLE_CHANNEL, [{"type": kind, "candles": rows}], now_ns)

    def _status(self, instrument: Instrument, now_ns: int) -> bytes:
        event = {"type": "snapshot", "products": [advanced_status(self._truth.instruments[instrument.symbol])]}
        return self._frame(STATUS_CHANNEL, [event], now_ns)

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
    """JSON array of the levels, built as text because a whole book has tens of thousands of levels."""
    price_decimals, size_decimals = instrument.price_decimals, instrument.size_decimals
    heads = [f'{{"side":"{word}","event_time":"{rfc3339_text(now_ns, 6)}","price_level":"' for word in SIDE_WORDS]
    rows = [
        f'{heads[is_ask]}{trim_text(ticks, price_decimals)}","new_quantity":"{trim_text(lots, size_decimals)}"}}'
        for ticks, lots, is_ask in changes
    ]
    return orjson.Fragment(f"[{','.join(rows)}]")


def _tickers(truth: Truth, instrument: Instrument, now_ns: int, *, with_best: bool) -> list[dict[str, str]]:
    """Ticker of a product; none before its first trade."""
    day, year = last_day(truth, instrument, now_ns), last_days(truth, instrument, YEAR_DAYS, now_ns)
    if not day.trade_count:
        return []
    ticker = {
        "type": "ticker",
        "product_id": instrument.native,
        "price": price_text(instrument, day.close_ticks),
        "volume_24_h": size_text(instrument, day.size_lots),
        "low_24_h": price_text(instrument, day.low_ticks),
        "high_24_h": price_text(instrument, day.high_ticks),
        "low_52_w": price_text(instrument, year.low_ticks),
        "high_52_w": price_text(instrument, year.high_ticks),
        "price_percent_chg_24_h": percent_change(day),
    }
    bid, ask = best(truth, instrument)
    if with_best and bid and ask:
        prices = {"best_bid": price_text(instrument, bid[0]), "best_ask": price_text(instrument, ask[0])}
        ticker |= {
            **prices,
            "best_bid_quantity": size_text(instrument, bid[1]),
            "best_ask_quantity": size_text(instrument, ask[1]),
        }
    return [ticker]
