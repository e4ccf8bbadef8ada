"""Server side of a Bybit connection: a client's requests in; answers, snapshots, deltas and trades out, from a `Truth`.

The exchange keeps a *window* for each subscription: the best N levels per side. After each change of the market the encoder
compares it with the truth's best N and sends every level that is new or has another size, and a removal (size "0") of every level
that is gone or has left the window. `u` counts these messages, `seq` is the truth's own number. Numbers are text without trailing
zeros.

Depth 1 is sent as snapshots only, and again after three seconds without a change. `tickers` and `kline` are in `summaries`.

After a restart (`restart_sequence`) the next message of each book is a snapshot whose `u` is 1.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.bybit.facts import DEPTHS, MOST_ARGS, MOST_TEXT, MOST_TRADES
from alphapulse_cli.exchanges.bybit.render import NS_PER_MS, SPANS, rows_of, side_of
from alphapulse_cli.exchanges.bybit.subscriptions import SEPARATORS
from alphapulse_cli.exchanges.bybit.summaries import Summaries
from alphapulse_cli.exchanges.protocol import Change, Level, NotSimulated, Truth
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.ticks import trim_text

BEST = 1  # depth of the topic with only the best level per side
REPEAT_NS = 3_000_000_000
CONNECTION_ID = "d9avsh3fo0jvsls9d82g-5m9jh"  # same format as the real exchange's


class _Window:
    """The best `depth` levels per side as last sent to the client, and the number `u` of the last message."""

    def __init__(self, depth: int, number: int) -> None:
        self.depth, self.number = depth, number
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.is_restarted = False
        self.sent_ns = 0

    def touched_by(self, changes: Sequence[Change]) -> bool:
        """Whether any of these changes is visible in the window."""
        for ticks, _, is_ask in changes:
            side = self.asks if is_ask else self.bids
            if len(side) < self.depth or (ticks <= max(side) if is_ask else ticks >= min(side)):
                return True
        return False

    def move_to(self, bids: Sequence[Level], asks: Sequence[Level]) -> tuple[list[Level], list[Level]]:
        """Levels to send so that the client's window becomes this one, (bids, asks); size 0 is a removal."""
        differences = _difference(self.bids, bids), _difference(self.asks, asks)
        self.bids, self.asks = dict(bids), dict(asks)
        return differences


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`. There is no checksum to spoil."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self.spoil_checksum = False
        self._truth = truth
        self._by_native = {instrument.native: instrument.symbol for instrument in truth.instruments.values()}
        self._windows: dict[str, dict[int, _Window]] = {symbol: {} for symbol in truth.instruments}  # by depth
        self._numbers: dict[str, int] = {}  # the last `u` of each book topic ever subscribed to
        self._trading: set[str] = set()
        self._summaries = Summaries(truth)

    def connected(self, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Return no frames: Bybit sends no greeting."""
        return ()

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answer to a request, then the snapshots of the new topics; or Bybit's error, without any effect."""
        try:
            request = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            return [_answer("", "", f"Failed to decode incoming data:{error}"[:200], success=False)]
        if not isinstance(request, dict):
            return [_answer("", "", "Failed to decode incoming data:readObjectStart: expect { or n", success=False)]
        verb, req_id, topics = request.get("op"), request.get("req_id", ""), request.get("args")
        if not isinstance(req_id, str):
            req_id = ""
        if verb == "ping":
            return [_answer("ping", req_id, "pong")]
        if verb not in ("subscribe", "unsubscribe"):
            return [_answer("", req_id, "error:invalid op", success=False)]
        if not isinstance(topics, list) or not topics or not all(isinstance(topic, str) for topic in topics):
            return [_answer(verb, req_id, "error:invalid args", success=False)]
        if len(topics) > MOST_ARGS:
            return [_answer(verb, req_id, f"args size >{MOST_ARGS}", success=False)]
        return self._unsubscribe(topics, req_id) if verb == "unsubscribe" else self._subscribe(topics, req_id, now_ns)

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """One delta for each subscribed depth, none if the changes are outside its window."""
        frames = []
        for window in self._windows[symbol].values():
            if window.is_restarted:
                frames.append(self._snapshot(symbol, window, now_ns))
            elif window.touched_by(changes):
                bids, asks = window.move_to(*self._truth.book(symbol, window.depth))
                if not bids and not asks:
                    continue
                window.number += 1
                if window.depth == BEST:  # first, so that a fault that drops the last frame drops the one of the deepest book
                    frames.insert(0, self._snapshot(symbol, window, now_ns))
                else:
                    frames.append(self._book_frame("delta", symbol, window, bids, asks, now_ns))
        return frames

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """Frames of these trades, 1,024 in each, if the client is subscribed; then the ticker and the candles that they change."""
        starts = range(0, len(trades), MOST_TRADES) if symbol in self._trading else ()
        frames = [self._trade_frame(symbol, trades[at : at + MOST_TRADES], now_ns) for at in starts]
        return frames + self._summaries.of_trades(symbol, now_ns) if trades else frames

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the trading status is only in the REST answer `instruments-info`."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames due by time: closed candles, and best levels without a change for three seconds. Bybit has no heartbeat."""
        frames = self._summaries.of_time(now_ns)
        for symbol, windows in self._windows.items():
            window = windows.get(BEST)
            if window is not None and now_ns - window.sent_ns >= REPEAT_NS:
                frames.append(self._snapshot(symbol, window, now_ns))
        return frames

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """Refusal by a rate limit, in the words of REST: those of the WebSocket are not published."""
        request = orjson.loads(frame)
        return [
            _answer(
                request.get("op", ""), request.get("req_id", ""), "Too many visits. Exceeded the API Rate Limit.", success=False
            )
        ]

    def restart_sequence(self) -> None:
        """Simulate a restart of Bybit's service: the next message of each book is a snapshot with `u` = 1."""
        for windows in self._windows.values():
            for window in windows.values():
                window.is_restarted = True

    # Requests

    def _subscribe(self, topics: Sequence[str], req_id: str, now_ns: int) -> list[bytes]:
        fault = self._fault_of(topics)
        if fault:
            return [_answer("subscribe", req_id, fault, success=False)]
        frames = [_answer("subscribe", req_id, "subscribe")]
        for topic in topics:
            symbol, depth = self._understood(topic)
            if isinstance(depth, str):
                frames += self._summaries.subscribe(symbol, depth, now_ns)
                continue
            if not depth:
                self._trading.add(symbol)
                continue
            begun = max(self._truth.sequence(symbol), 1)  # a 1 that follows a 0 would be a restart's
            window = self._windows[symbol][depth] = _Window(depth, self._numbers.get(topic, begun))
            frames.append(self._snapshot(symbol, window, now_ns))
        return frames

    def _fault_of(self, topics: Sequence[str]) -> str:
        """Bybit's reason to refuse a subscription to these topics; "" for none."""
        subscribed = set(self._topics())
        for topic in topics:
            symbol, depth = self._understood(topic)
            if depth is None:
                return f"error:handler not found,topic:{topic[:200]}"
            if not symbol:
                return f"Invalid symbol :[{topic[:200]}]"
            if topic in subscribed:
                return f"error:already subscribed,topic:{topic}"
        if sum(len(topic) + SEPARATORS for topic in subscribed | set(topics)) > MOST_TEXT:
            return f"error:args exceed {MOST_TEXT} characters"
        return ""

    def _unsubscribe(self, topics: Sequence[str], req_id: str) -> list[bytes]:
        for topic in topics:
            symbol, depth = self._understood(topic)
            if isinstance(depth, str):
                self._summaries.unsubscribe(symbol, depth)
            elif depth == 0:
                self._trading.discard(symbol)
            elif symbol and depth in self._windows[symbol]:
                self._numbers[topic] = self._windows[symbol].pop(depth).number
        return [_answer("unsubscribe", req_id, "")]

    def _understood(self, topic: str) -> tuple[str, int | str | None]:
        """Parse a topic to (symbol, kind); the symbol is "" if it is unknown.

        The kind is the depth of a book, 0 for trades, the interval of candles, "" for the ticker, None for an unknown topic.
        """
        channel, _, rest = topic.partition(".")
        if channel in ("publicTrade", "tickers"):
            return self._by_native.get(rest, ""), 0 if channel == "publicTrade" else ""
        kind, _, native = rest.partition(".")
        symbol = self._by_native.get(native, "")
        if channel == "kline" and kind in SPANS:
            return symbol, kind
        return (symbol, int(kind)) if channel == "orderbook" and kind in map(str, (BEST, *DEPTHS)) else ("", None)

    def _topics(self) -> list[str]:
        """All topics that the client is subscribed to."""
        natives = {symbol: native for native, symbol in self._by_native.items()}
        books = [f"orderbook.{depth}.{natives[symbol]}" for symbol, windows in self._windows.items() for depth in windows]
        trades = [f"publicTrade.{natives[symbol]}" for symbol in self._trading]
        return [*books, *trades, *self._summaries.topics()]

    # Frames

    def _snapshot(self, symbol: str, window: _Window, now_ns: int) -> bytes:
        if window.is_restarted:
            window.number, window.is_restarted = 1, False
        bids, asks = self._truth.book(symbol, window.depth)
        window.move_to(bids, asks)
        return self._book_frame("snapshot", symbol, window, bids, asks, now_ns)

    def _book_frame(
        self, kind: str, symbol: str, window: _Window, bids: Sequence[Level], asks: Sequence[Level], now_ns: int
    ) -> bytes:
        instrument, now_ms = self._truth.instruments[symbol], now_ns // NS_PER_MS
        window.sent_ns = now_ns
        data = {
            "s": instrument.native,
            "b": rows_of(instrument, bids),
            "a": rows_of(instrument, asks),
            "u": window.number,
            "seq": self._truth.sequence(symbol),
        }
        topic = f"orderbook.{window.depth}.{instrument.native}"
        return orjson.dumps({"topic": topic, "ts": now_ms, "type": kind, "data": data, "cts": now_ms})

    def _trade_frame(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> bytes:
        topic, now_ms = f"publicTrade.{self._truth.instruments[symbol].native}", now_ns // NS_PER_MS
        rows = [_trade(trade, now_ms, self._truth.sequence(symbol)) for trade in trades]
        return orjson.dumps({"topic": topic, "ts": now_ms, "type": "snapshot", "data": rows})


NOT_SIMULATED: Sequence[NotSimulated] = (
    ("`linear`, `inverse`, `option`", "every path of the WebSocket is spot; REST: nothing is listed, their symbols: 10001"),
    ("topics `orderbook.full`, `orderbook.rpi`, `allLiquidation`, index prices", "refused: error:handler not found"),
    ("the pace of topics: 10 ms to 300 ms", "a frame for each change of the market"),
    ("`tickers.usdIndexPrice`", "empty, as for a coin that is no collateral"),
    ("REST paths other than time, status, instruments, tickers, book, trades and candles", "404"),
)


def _difference(held: dict[int, int], wanted: Sequence[Level]) -> list[Level]:
    """Levels that turn `held` into `wanted`: new sizes, best first, then removals."""
    after = dict(wanted)
    return [(ticks, lots) for ticks, lots in wanted if held.get(ticks) != lots] + [
        (ticks, 0) for ticks in held if ticks not in after
    ]


def _trade(trade: Trade, now_ms: int, sequence: int) -> dict[str, Any]:
    instrument = trade.instrument
    return {
        "i": trade.trade_id,
        "T": now_ms if trade.exchange_ns is None else trade.exchange_ns // NS_PER_MS,
        "p": trim_text(trade.price_ticks, instrument.price_decimals),
        "v": trim_text(trade.size_lots, instrument.size_decimals),
        "S": side_of(trade),
        "s": instrument.native,
        "BT": False,
        "RPI": False,
        "seq": sequence,
    }


def _answer(verb: str, req_id: str, words: str, *, success: bool = True) -> bytes:
    return orjson.dumps({"success": success, "ret_msg": words, "conn_id": CONNECTION_ID, "req_id": req_id, "op": verb})
