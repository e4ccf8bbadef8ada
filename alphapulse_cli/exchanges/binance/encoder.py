"""Server side of one Binance WebSocket connection, from a simulator's truth. No sockets, no clock.

Update ids are counts of level changes: `u` is the truth's sequence after the changes, `U` = u - len(changes) + 1, `lastUpdateId`
the sequence now (`rest.py`). So any snapshot splices onto any stream by rules B1 to B7, overlaps included.

    /stream, /stream?streams=a/b      frames wrapped with their stream's name
    /ws, /ws/<stream>                 bare frames
    ?timeUnit=MICROSECOND             Binance alone: times in microseconds

The connection serves every requested stream in both modes; the trades' ids must be decimal numbers. An unknown stream, or one
of an unknown symbol, is acknowledged and stays silent, as at the real exchange; one that only the real exchange has (NOT_SIMULATED)
is refused. `spoil_checksum` has no effect: there is no checksum.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.binance import facts as binance
from alphapulse_cli.exchanges.binance import figures, streams
from alphapulse_cli.exchanges.binance.streams import OF_ALL, Kind, Stream, stream_of
from alphapulse_cli.exchanges.binance.subscriptions import stream_name
from alphapulse_cli.exchanges.binance.wire import picture
from alphapulse_cli.exchanges.protocol import Change, Level, NotSimulated, Refusal, Truth
from alphapulse_cli.market.events import Trade

NS_PER_MS, NS_PER_US = 1_000_000, 1_000
UNKNOWN_PROPERTY, INVALID_VALUE, INVALID_REQUEST, INVALID_JSON = 0, 1, 2, 3
TOO_MANY_REQUESTS = -1003
ID_CHARACTERS = 36  # longest request id that is text
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
NOT_SIMULATED: Sequence[NotSimulated] = (
    (
        "streams avgPrice, blockTrade, referencePrice, ticker_1h, ticker_4h, ticker_1d, candles in the time zone +08:00",
        "refused: error 2 that names the stream; a handshake with one in its path gets 400",
    ),
    ("GET historicalTrades, ticker, ticker/tradingDay and other paths below /api/v3", "404 with error -1000"),
    ("depth updates gathered over 100 ms or a second", "one for each step of the market, whatever the stream's suffix"),
    ("aggregate trades of several fills", "each trade is an aggregate of its own, with the trade's id"),
    ("prevClosePrice, the price before the 24 hours", "the first price in them"),
    ("order ids `a`, `b` in Binance.US's trades", "left out, as Binance does"),
    ("error -1101, -1104 for parameters that a path does not have", "ignored"),
    (
        "ping frames at the exchange's own interval; serverShutdown; the end of a connection after 24 hours",
        "a ping each 20 s, no end",
    ),
    ("SBE streams, the WebSocket API, user data streams", "404"),
)


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder` with `opened`. KeyError for an unknown mode or exchange."""

    def __init__(self, truth: Truth, mode: str = "", exchange: str = "binance-us") -> None:
        self.spoil_checksum = False
        self._truth = truth
        self._facts = binance.FACTS[exchange]
        self._facts.mode(mode)
        self._ns_per_unit = NS_PER_US if exchange == "binance" else NS_PER_MS  # `timeUnit` of its usual address
        self._is_wrapped = True
        self._lower = {instrument.native.lower(): symbol for symbol, instrument in truth.instruments.items()}
        self._streams: dict[str, None] = {}  # in the order of subscription
        self._wanted: dict[str, dict[str, Stream]] = {symbol: {} for symbol in truth.instruments}  # by stream suffix
        self._best_sent: dict[str, tuple[Sequence[Level], Sequence[Level]]] = {}  # by symbol
        self._candle_sent: dict[tuple[str, str], int] = {}  # (symbol, suffix) -> begin of the candle that was sent last
        self._seconds = 0  # heartbeats so far
        self._ticker_sent: dict[str, str] = {}  # symbol -> id of the last trade of its figures in !ticker@arr

    def opened(self, path: str, query: Mapping[str, str]) -> Refusal | None:
        """Read the address that the client opened: bare or wrapped frames, unit of times, streams to subscribe to."""
        if self._facts.name == "binance":
            is_micro = query.get("timeUnit", "").upper() == "MICROSECOND"
            self._ns_per_unit = NS_PER_US if is_micro else NS_PER_MS
        root, _, names = path.strip("/").partition("/")
        if (root == "stream" and names) or root not in ("", "stream", "ws"):
            return 404, b""
        self._is_wrapped = root != "ws"
        named = [name for name in (query.get("streams", "") if root == "stream" else names).split("/") if name]
        missing = [name for name in named if streams.is_missing(name, self._facts.name)]
        if missing or len(named) > binance.MAX_STREAMS:
            return 400, orjson.dumps({"code": INVALID_REQUEST, "msg": _not_here(missing[0]) if missing else "too many streams"})
        for name in named:
            self._subscribe(name)
        return None

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """First pictures of the streams in the opened address; Binance sends no greeting."""
        del now_ns
        return [frame for name in self._streams for frame in self._first_picture(name)] if self._streams else ()

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer to a request, then the first picture of each picture stream in it; or the exchange's error."""
        del now_ns
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError:
            return [self._error(INVALID_JSON, "Invalid JSON: expected value at line 1 column 1", None)]
        if not isinstance(request, dict):
            return [self._error(INVALID_REQUEST, "Invalid request: request must be an object", None)]
        number = request.get("id", ())
        if not self._is_id(number):
            allowed = "an integer, a text or null" if self._facts.name == "binance" else "an unsigned integer"
            return [self._error(INVALID_REQUEST, f"Invalid request: request ID must be {allowed}", None)]
        return self._answer(request.get("method"), request.get("params", []), number)

    def _is_id(self, number: Any) -> bool:
        """Whether a request's id is valid: Binance accepts 64-bit integers, short texts and null; Binance.US unsigned integers."""
        if self._facts.name != "binance":
            return type(number) is int and number >= 0
        if isinstance(number, str):
            return len(number) <= ID_CHARACTERS
        return number is None or (type(number) is int and -(1 << 63) <= number < 1 << 63)

    def _answer(self, method: Any, params: Any, number: Any) -> Sequence[bytes]:
        if method not in METHODS:
            problem = f"unknown variant `{method}`, expected one of {', '.join(METHODS)}" if method else "missing field `method`"
            return [self._error(INVALID_REQUEST, f"Invalid request: {problem:.200}", number)]
        if method == "LIST_SUBSCRIPTIONS":
            return [orjson.dumps({"result": list(self._streams), "id": number})]
        if method.endswith("PROPERTY"):
            return [self._property(method, params, number)]
        if not isinstance(params, list) or not params or not all(isinstance(stream, str) for stream in params):
            return [self._error(INVALID_REQUEST, "Invalid request: params must be an array of streams", number)]
        ack = orjson.dumps({"result": None, "id": number})
        if method == "UNSUBSCRIBE":
            for stream in params:
                self._unsubscribe(stream)
            return [ack]
        missing = [stream for stream in params if streams.is_missing(stream, self._facts.name)]
        if missing:
            return [self._error(INVALID_REQUEST, f"Invalid request: {_not_here(missing[0])}", number)]
        new = [stream for stream in dict.fromkeys(params) if stream not in self._streams]
        if len(self._streams) + len(new) > binance.MAX_STREAMS:
            return [self._error(INVALID_REQUEST, f"Invalid request: more than {binance.MAX_STREAMS} streams", number)]
        for stream in new:
            self._subscribe(stream)
        return [ack, *(frame for stream in new for frame in self._first_picture(stream))]

    def _property(self, method: str, params: Any, number: Any) -> bytes:
        """Answer to SET_PROPERTY and GET_PROPERTY; the only property is `combined`."""
        if not isinstance(params, list) or not params or not isinstance(params[0], str):
            return self._error(INVALID_REQUEST, "Invalid request: property name must be a string", number)
        if params[0] != "combined":
            return self._error(UNKNOWN_PROPERTY, "Unknown property", number)
        if method == "GET_PROPERTY":
            return orjson.dumps({"result": self._is_wrapped, "id": number})
        if len(params) != 2 or type(params[1]) is not bool:
            return self._error(INVALID_VALUE, "Invalid value type: expected Boolean", number)
        self._is_wrapped = params[1]
        return orjson.dumps({"result": None, "id": number})

    def _subscribe(self, name: str) -> None:
        self._streams[name] = None
        symbol, suffix = self._place(name)
        stream = stream_of(suffix, self._facts.name)
        if symbol in self._wanted and stream.kind not in (Kind.MISSING, Kind.UNKNOWN):
            self._wanted[symbol][suffix] = stream

    def _unsubscribe(self, name: str) -> None:
        self._streams.pop(name, None)
        symbol, suffix = self._place(name)
        self._wanted.get(symbol, {}).pop(suffix, None)
        self._candle_sent.pop((symbol, suffix), None)

    def _place(self, name: str) -> tuple[str, str]:
        """Our symbol, "" for an unknown one, and the suffix of a stream's name."""
        native, _, suffix = name.partition("@")
        return self._lower.get(native, ""), suffix

    def _first_picture(self, name: str) -> Sequence[bytes]:
        symbol, suffix = self._place(name)
        stream = self._wanted.get(symbol, {}).get(suffix)
        return self._pictures(symbol, {suffix: stream}) if stream is not None else ()

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """Frames of a book change: best bid and ask if they changed, a picture, and last a depthUpdate, if subscribed."""
        wanted = self._wanted[symbol]
        if not wanted or not changes:
            return ()
        diffs = [suffix for suffix, stream in wanted.items() if stream.kind is Kind.DIFF]
        data = streams.diff(self._truth, symbol, changes, now_ns // self._ns_per_unit) if diffs else {}
        return [
            *self._best(symbol, wanted),
            *self._pictures(symbol, wanted),
            *(self._frame(symbol, suffix, data) for suffix in diffs),
        ]

    def _best(self, symbol: str, wanted: Mapping[str, Stream]) -> Sequence[bytes]:
        if not any(stream.kind is Kind.BEST for stream in wanted.values()):
            return ()
        best = self._truth.book(symbol, 1)
        if self._best_sent.get(symbol) == best:
            return ()
        self._best_sent[symbol] = best
        return [self._frame(symbol, "bookTicker", streams.best(self._truth, symbol))]

    def _pictures(self, symbol: str, wanted: Mapping[str, Stream]) -> list[bytes]:
        return [
            self._frame(symbol, suffix, picture(self._truth, symbol, int(stream.detail)))
            for suffix, stream in wanted.items()
            if stream.kind is Kind.PICTURE
        ]

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One frame a trade to each of the streams `trade` and `aggTrade`, if the client is subscribed."""
        now, unit = now_ns // self._ns_per_unit, self._ns_per_unit
        frames = []
        for suffix, stream in self._wanted[symbol].items():
            if stream.kind is Kind.TRADE:
                frames += [self._frame(symbol, suffix, streams.trade(trade, now, unit)) for trade in trades]
            elif stream.kind is Kind.AGGREGATE:
                frames += [self._frame(symbol, suffix, streams.aggregate(trade, now, unit)) for trade in trades]
        return frames or ()

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the trading status is only in the REST answer `exchangeInfo`."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames of each second, whether anything changes or not: pictures, figures of 24 hours, and each other second candles.

        No diffs and no trades are among them. Pings are the transport's business.
        """
        self._seconds += 1
        frames = []
        for symbol, wanted in self._wanted.items():
            if wanted:
                frames += self._pictures(symbol, wanted)
                frames += self._figures(symbol, wanted, now_ns)
        return [*frames, *self._of_all(now_ns)] if self._streams else frames

    def _figures(self, symbol: str, wanted: Mapping[str, Stream], now_ns: int) -> list[bytes]:
        frames = []
        for suffix, stream in wanted.items():
            if stream.kind in (Kind.TICKER, Kind.MINI_TICKER):
                data = streams.ticker(self._truth, symbol, now_ns, self._ns_per_unit, stream.kind)
                frames.append(self._frame(symbol, suffix, data))
            elif stream.kind is Kind.CANDLE and (self._seconds % 2 == 0 or stream.detail == "1s"):
                frames += self._candles(symbol, suffix, stream.detail, now_ns)
        return frames

    def _candles(self, symbol: str, suffix: str, interval: str, now_ns: int) -> list[bytes]:
        """Frames of candles: each one that ended since the last frame, with `x` true; then the current one."""
        span, instrument = figures.INTERVALS[interval], self._truth.instruments[symbol]
        present_ns = span.begin_ns(now_ns)
        last_ns = self._candle_sent.get((symbol, suffix), present_ns)
        count = 2 + (present_ns - last_ns) // (span.seconds * 10**9)
        frames = []
        for summary in figures.candles(self._truth, symbol, span, now_ns, min(count, 100)):
            if summary.begin_ns >= last_ns:
                is_over = summary.begin_ns < present_ns
                data = streams.candle(
                    instrument, summary, interval, now_ns // self._ns_per_unit, self._ns_per_unit, is_over=is_over
                )
                frames.append(self._frame(symbol, suffix, data))
        if frames:
            self._candle_sent[symbol, suffix] = present_ns
        return frames

    def _of_all(self, now_ns: int) -> list[bytes]:
        """Frames of the all-market streams (`!ticker@arr`): the tickers that changed since the last such frame."""
        kinds = {name: kind for name, kind in OF_ALL.items() if name in self._streams}
        if not kinds:
            return []
        changed = []
        for symbol in self._truth.instruments:
            last = self._truth.recent_trades(symbol, 1)
            if last and self._ticker_sent.get(symbol) != last[-1].trade_id:
                self._ticker_sent[symbol] = last[-1].trade_id
                changed.append(symbol)
        if not changed:
            return []
        return [
            self._wrapped(name, [streams.ticker(self._truth, symbol, now_ns, self._ns_per_unit, kind) for symbol in changed])
            for name, kind in kinds.items()
        ]

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """The error for too many requests."""
        del now_ns
        number = orjson.loads(frame).get("id")
        return [self._error(TOO_MANY_REQUESTS, "Too many requests; please slow down.", number)]

    def restart_sequence(self) -> None:
        """Do nothing: update ids count changes of the book, not of the connection."""

    def _error(self, code: int, message: str, number: Any) -> bytes:
        """Error frame: flat at Binance.US, nested on Binance's newer servers."""
        error = {"code": code, "msg": message}
        if self._facts.name == "binance":
            return orjson.dumps({"error": error, "id": number})
        return orjson.dumps({**error, "id": number} if number is not None else error)

    def _frame(self, symbol: str, suffix: str, data: dict[str, Any]) -> bytes:
        return self._wrapped(stream_name(self._truth.instruments[symbol].native, suffix), data)

    def _wrapped(self, name: str, data: Any) -> bytes:
        return orjson.dumps({"stream": name, "data": data} if self._is_wrapped else data)


def _not_here(stream: str) -> str:
    return f"the simulator has no stream {stream[:80]}"
