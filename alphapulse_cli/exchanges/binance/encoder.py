"""Server side of one Binance WebSocket connection, from a simulator's truth. No sockets, no clock.

Update ids are counts of level changes: `u` is the truth's sequence after the changes, `U` = u - len(changes) + 1, `lastUpdateId`
the sequence now (`rest.py`). So any snapshot splices onto any stream by rules B1 to B7, overlaps included.

Frames are wrapped as behind /stream, whatever the path was. The connection serves every requested stream, in both modes: depth
diffs, pictures of the top 5, 10 or 20, and trades, whose ids must be decimal numbers. Any other stream, that of an unknown symbol
too, is acknowledged and stays silent, as at the real exchange. `spoil_checksum` has no effect: there is no checksum.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance.rest import picture, wire_rows, wire_text
from alphapulse_cli.exchanges.binance.subscriptions import stream_name
from alphapulse_cli.exchanges.protocol import Change, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument

NS_PER_MS, NS_PER_US = 1_000_000, 1_000
PICTURE = re.compile(r"depth(5|10|20)(?:@100ms)?")
DIFF = re.compile(r"depth(?:@100ms)?")
INVALID_REQUEST, INVALID_JSON = 2, 3
TOO_MANY_REQUESTS = -1003


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`. KeyError for an unknown mode or exchange."""

    def __init__(self, truth: Truth, mode: str = "", exchange: str = "binance-us") -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._facts = binance.FACTS[exchange]
        self._facts.mode(mode)
        self._ns_per_unit = NS_PER_US if exchange == "binance" else NS_PER_MS  # `timeUnit` of its usual address
        self._lower = {instrument.native.lower(): symbol for symbol, instrument in truth.instruments.items()}
        self._streams: dict[str, None] = {}  # in the order of subscription
        self._wanted: dict[str, dict[str, None]] = {symbol: {} for symbol in truth.instruments}  # stream suffixes by symbol

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """No frames: Binance sends no greeting."""
        del now_ns
        return ()

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Ack of a request, with the first picture of each picture stream in it; or the exchange's error."""
        del now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [self._error(INVALID_JSON, "Invalid JSON: not understood", None)]
        if not isinstance(request, dict):
            return [self._error(INVALID_REQUEST, "Invalid request: request must be an object", None)]
        number = request.get("id")
        if type(number) is not int or number < 0:
            return [self._error(INVALID_REQUEST, "Invalid request: id must be an unsigned integer", None)]
        return self._answer(request.get("method"), request.get("params", []), number)

    def _answer(self, method: Any, params: Any, number: int) -> Sequence[bytes]:
        if method == "LIST_SUBSCRIPTIONS":
            return [orjson.dumps({"result": list(self._streams), "id": number})]
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return [self._error(INVALID_REQUEST, "Invalid request: unknown method", number)]
        if not isinstance(params, list) or not params or not all(isinstance(stream, str) for stream in params):
            return [self._error(INVALID_REQUEST, "Invalid request: params must be an array of streams", number)]
        ack = orjson.dumps({"result": None, "id": number})
        if method == "UNSUBSCRIBE":
            for stream in params:
                self._streams.pop(stream, None)
                self._wanted.get(self._symbol_of(stream), {}).pop(stream.partition("@")[2], None)
            return [ack]
        new = [stream for stream in dict.fromkeys(params) if stream not in self._streams]
        if len(self._streams) + len(new) > binance.MAX_STREAMS:
            return [self._error(INVALID_REQUEST, f"Invalid request: more than {binance.MAX_STREAMS} streams", number)]
        return [ack, *(frame for stream in new for frame in self._subscribe(stream))]

    def _subscribe(self, stream: str) -> Sequence[bytes]:
        self._streams[stream] = None
        symbol, suffix = self._symbol_of(stream), stream.partition("@")[2]
        if symbol not in self._wanted:
            return ()
        self._wanted[symbol][suffix] = None
        return self._pictures(symbol, [suffix])

    def _symbol_of(self, stream: str) -> str:
        return self._lower.get(stream.partition("@")[0], "")

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One depthUpdate with all changes, and a picture, to each stream of that kind."""
        wanted = self._wanted[symbol]
        if not wanted or not changes:
            return ()
        return [*self._diffs(symbol, changes, now_ns), *self._pictures(symbol, wanted)]

    def _diffs(self, symbol: str, changes: Sequence[Change], now_ns: int) -> list[bytes]:
        instrument, final = self._truth.instruments[symbol], self._truth.sequence(symbol)
        streams = [suffix for suffix in self._wanted[symbol] if DIFF.fullmatch(suffix)]
        if not streams:
            return []
        data = {
            "e": "depthUpdate",
            "E": now_ns // self._ns_per_unit,
            "s": instrument.native,
            "U": final - len(changes) + 1,
            "u": final,
            "b": wire_rows(instrument, [(ticks, lots) for ticks, lots, is_ask in changes if not is_ask]),
            "a": wire_rows(instrument, [(ticks, lots) for ticks, lots, is_ask in changes if is_ask]),
        }
        return [_wrapped(instrument, suffix, data) for suffix in streams]

    def _pictures(self, symbol: str, suffixes: Sequence[str] | Mapping[str, None]) -> list[bytes]:
        instrument, matches = self._truth.instruments[symbol], [PICTURE.fullmatch(suffix) for suffix in suffixes]
        return [_wrapped(instrument, match[0], picture(self._truth, symbol, int(match[1]))) for match in matches if match]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One frame a trade, if the client is subscribed."""
        if binance.TRADE_STREAM not in self._wanted[symbol]:
            return ()
        return [_wrapped(trade.instrument, binance.TRADE_STREAM, _trade(trade, now_ns, self._ns_per_unit)) for trade in trades]

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """No frames: the trading status is only in the REST answer `exchangeInfo`."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Pictures, which also come when nothing changes; diffs and trades do not. Pings are the transport's business."""
        del now_ns
        return [frame for symbol, suffixes in self._wanted.items() for frame in self._pictures(symbol, suffixes)]

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """The error for too many requests."""
        del now_ns
        number = orjson.loads(frame).get("id")
        return [self._error(TOO_MANY_REQUESTS, "Too many requests; please slow down.", number)]

    def restart_sequence(self) -> None:
        """Do nothing: the ids belong to the book, not to the connection."""

    def _error(self, code: int, message: str, number: int | None) -> bytes:
        """Error frame: flat at Binance.US, nested on Binance's newer servers."""
        error = {"code": code, "msg": message}
        if self._facts.name == "binance":
            return orjson.dumps({"error": error, "id": number})
        return orjson.dumps({**error, "id": number} if number is not None else error)


def _wrapped(instrument: Instrument, suffix: str, data: dict[str, Any]) -> bytes:
    return orjson.dumps({"stream": stream_name(instrument.native, suffix), "data": data})


def _trade(trade: Trade, now_ns: int, ns_per_unit: int) -> dict[str, Any]:
    instrument, now = trade.instrument, now_ns // ns_per_unit
    return {
        "e": "trade",
        "E": now,
        "s": instrument.native,
        "t": int(trade.trade_id),
        "p": wire_text(trade.price_ticks, instrument.price_decimals),
        "q": wire_text(trade.size_lots, instrument.size_decimals),
        "T": now if trade.exchange_ns is None else trade.exchange_ns // ns_per_unit,
        "m": trade.side is Side.SELL,  # the buyer was the maker: the taker sold
        "M": True,
    }
