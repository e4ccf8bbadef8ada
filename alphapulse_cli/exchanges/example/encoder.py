"""Encoder of Example: the exchange's side of one connection, for its simulator. The frames are in `decoder`'s docstring."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.example.facts import FACTS
from alphapulse_cli.exchanges.example.instruments import instrument_row
from alphapulse_cli.exchanges.protocol import BOOK, TRADES, Change, Level, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

NS_PER_MS = 1_000_000


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002
        self._truth = truth
        self._symbols = {instrument.native: symbol for symbol, instrument in truth.instruments.items()}
        self._subscribed: set[tuple[str, str]] = set()  # (channel, symbol)
        self.spoil_checksum = False  # there are no checksums

    def connected(self, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Return no frames: Example sends no greeting."""
        return ()

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """One ack per name, a book's followed by its snapshot; an error for an unknown name or request."""
        try:
            request = orjson.loads(frame)
            channel, names, op = request["channel"], list(request["names"]), request["op"]
            if channel not in (BOOK, TRADES) or op not in ("subscribe", "unsubscribe"):
                return [orjson.dumps({"op": "error", "message": "unknown channel"})]
            step = self._subscribe if op == "subscribe" else self._unsubscribe
            return [answer for name in names for answer in step(channel, name, now_ns)]
        except (KeyError, TypeError, ValueError):
            return [orjson.dumps({"op": "error", "message": "malformed request"})]

    def _subscribe(self, channel: str, name: str, now_ns: int) -> list[bytes]:
        symbol = self._symbols.get(name)
        if symbol is None:
            return [orjson.dumps({"op": "error", "channel": channel, "name": name, "message": "unknown symbol"})]
        self._subscribed.add((channel, symbol))
        ack = orjson.dumps({"op": "subscribed", "channel": channel, "name": name})
        if channel == TRADES:
            return [ack]
        bids, asks = self._truth.book(symbol)
        sides = [(ticks, lots, False) for ticks, lots in bids] + [(ticks, lots, True) for ticks, lots in asks]
        return [ack, self._book({"type": "snapshot", "seq": self._truth.sequence(symbol)}, symbol, sides, now_ns)]

    def _unsubscribe(self, channel: str, name: str, now_ns: int) -> list[bytes]:  # noqa: ARG002
        self._subscribed.discard((channel, self._symbols.get(name, "")))
        return [orjson.dumps({"op": "unsubscribed", "channel": channel, "name": name})]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One book frame with these changes."""
        if (BOOK, symbol) not in self._subscribed:
            return ()
        sequence = self._truth.sequence(symbol)
        return [self._book({"type": "update", "prev": sequence - len(changes), "seq": sequence}, symbol, changes, now_ns)]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One `trades` frame with these trades."""
        if (TRADES, symbol) not in self._subscribed:
            return ()
        rows = [_trade_row(trade, now_ns) for trade in trades]
        return [orjson.dumps({"channel": "trades", "name": self._truth.instruments[symbol].native, "trades": rows})]

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Return no frames: the trading status is only in the REST metadata."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """One heartbeat frame."""
        return [orjson.dumps({"channel": "heartbeat", "ts": now_ns // NS_PER_MS})]

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Refusal by a rate limit: an error that names no request."""
        return [orjson.dumps({"op": "error", "message": "too many requests"})]

    def restart_sequence(self) -> None:
        """Do nothing: sequence numbers are those of the simulated market."""

    def _book(self, head: dict[str, Any], symbol: str, changes: Sequence[Change], now_ns: int) -> bytes:
        instrument = self._truth.instruments[symbol]
        bids = [_row(instrument, (ticks, lots)) for ticks, lots, is_ask in changes if not is_ask]
        asks = [_row(instrument, (ticks, lots)) for ticks, lots, is_ask in changes if is_ask]
        return orjson.dumps(
            {"channel": "book", **head, "name": instrument.native, "bids": bids, "asks": asks, "ts": now_ns // NS_PER_MS}
        )


class RestEncoder:
    """The exchange's REST side; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002
        self._truth = truth

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:  # noqa: ARG002
        """Answer a GET with (HTTP status, body)."""
        if path != FACTS.instruments_path.partition("?")[0]:  # without the query, which is a separate argument
            return 404, b'{"error":"not found"}'
        return 200, orjson.dumps({"instruments": [instrument_row(each) for each in self._truth.instruments.values()]})


def _row(instrument: Instrument, level: Level) -> list[str]:
    return [to_text(level[0], instrument.price_decimals), to_text(level[1], instrument.size_decimals)]


def _trade_row(trade: Trade, now_ns: int) -> dict[str, Any]:
    instrument = trade.instrument
    return {
        "id": int(trade.trade_id),
        "price": to_text(trade.price_ticks, instrument.price_decimals),
        "size": to_text(trade.size_lots, instrument.size_decimals),
        "side": "sell" if trade.side is Side.SELL else "buy",
        "ts": (now_ns if trade.exchange_ns is None else trade.exchange_ns) // NS_PER_MS,
    }
