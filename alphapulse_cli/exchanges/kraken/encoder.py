"""Server side of a Kraken connection: a client's requests in; acks, snapshots, updates and trades out, from a `Truth`.

Updates maintain the *client's window*, the best N levels per side. After each change of the market the encoder compares the window
with the market's best N and sends

    each level that is new or has another size, including one that rises into the window from below
    a delete (size 0) for a removed level, but none for a level that better ones pushed out: the client truncates its book itself

with the checksum of the window afterwards. Numbers are JSON numbers with all their decimals, trailing zeros included. The channels
`ticker` and `ohlc` are in `summaries`.
"""

from collections.abc import Sequence

import orjson

from alphapulse_cli.exchanges.kraken.checksum import levels_checksum
from alphapulse_cli.exchanges.kraken.entries import Json, rows
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.render import asset_json, levels_json, pair_json, quoted, time_text, trade_json
from alphapulse_cli.exchanges.kraken.summaries import Summaries
from alphapulse_cli.exchanges.protocol import Change, Level, NotSimulated, Truth
from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.instrument import Instrument

HISTORY_TRADES = 50
CONNECTION_ID = 13834774380200032777  # larger than 2^63, as the real exchange's
CHANNELS_OF_SYMBOLS = ("book", "trade", "ticker", "ohlc")
PRIVATE = frozenset(  # channels and methods of the authenticated address
    {
        *("executions", "balances", "level3", "add_order", "amend_order", "edit_order", "batch_add", "batch_cancel"),
        *("cancel_order", "cancel_all", "cancel_all_orders_after"),
    }
)
PRIVATE_ANSWER = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"


class _Window:
    """A client's copy of one book: the best `depth` levels per side, best first."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: list[Level] = []
        self.asks: list[Level] = []

    def touched_by(self, changes: Sequence[Change]) -> bool:
        """Whether any of these changes is visible in the window."""
        for ticks, _, is_ask in changes:
            side = self.asks if is_ask else self.bids
            if len(side) < self.depth or not _worse(ticks, side[-1][0], is_ask):
                return True
        return False

    def move_to(self, bids: Sequence[Level], asks: Sequence[Level]) -> tuple[list[Level], list[Level]]:
        """Levels to send so that the client's window becomes this one, (bids, asks); size 0 is a delete."""
        differences = _difference(self.bids, bids, self.depth, is_ask=False), _difference(self.asks, asks, self.depth, is_ask=True)
        self.bids, self.asks = list(bids), list(asks)
        return differences


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        self._depths = FACTS.mode(mode).depths
        self._default_depth = FACTS.mode(mode).default_depth
        self._truth = truth
        self._by_native = {instrument.native: instrument for instrument in truth.instruments.values()}
        self._windows: dict[str, _Window] = {}
        self._trading: set[str] = set()
        self._summaries = Summaries(truth)
        self._sent_pairs = False
        self._spoke = False
        self.spoil_checksum = False

    def connected(self, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002 - the greeting tells no time
        """Frame of the exchange's status, sent before any subscription."""
        status = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": CONNECTION_ID}
        return [orjson.dumps({"channel": "status", "type": "update", "data": [status]})]

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answers to a request: one ack per symbol, each followed by its snapshot; Kraken's errors; pongs."""
        self._spoke = True
        moment = time_text(now_ns)
        try:
            message = orjson.loads(frame)
            method, params = message["method"], message.get("params") or {}
            answer: Json = {"method": method, "time_in": moment, "time_out": moment}
            if type(message.get("req_id")) is int:
                answer["req_id"] = message["req_id"]
            if method == "ping":
                return [orjson.dumps(answer | {"method": "pong"})]
            if method not in ("subscribe", "unsubscribe"):
                return [_refusal(answer, PRIVATE_ANSWER if method in PRIVATE else "Unsupported method")]
            if params["channel"] in PRIVATE:
                return [_refusal(answer, PRIVATE_ANSWER)]
            if params["channel"] == "instrument":
                return self._instruments(params, answer, method == "subscribe")
            if params["channel"] not in CHANNELS_OF_SYMBOLS:
                return [_refusal(answer, "Channel not supported")]
            natives = dict.fromkeys(rows(params["symbol"]))
            step = self._subscribe if method == "subscribe" else self._unsubscribe
            return [reply for native in natives for reply in step(params, native, answer | {"symbol": native}, now_ns)]
        except (KeyError, TypeError, ValueError, AttributeError):
            return [_refusal({"method": "error", "time_in": moment, "time_out": moment}, "Malformed request")]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """Frames of tickers that change, then one book frame unless the changes are outside the client's window."""
        tickers = self._summaries.of_book(symbol, now_ns)
        self._spoke |= bool(tickers)
        window = self._windows.get(symbol)
        if window is None or not window.touched_by(changes):
            return tickers
        bids, asks = window.move_to(*self._truth.book(symbol, window.depth))
        return [*tickers, self._book_frame("update", symbol, bids, asks, now_ns)] if bids or asks else tickers

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One frame with all of these trades, then the ticker and the candles that they change."""
        if not trades:
            return []
        frames = [self._trade_frame("update", trades, now_ns)] if symbol in self._trading else []
        frames += self._summaries.of_trades(symbol, now_ns)
        self._spoke |= bool(frames)
        return frames

    def trading_status(self, symbol: str, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002 - the frame tells no time
        """An update of the channel `instrument` for a client that subscribed to it."""
        if not self._sent_pairs:
            return []
        self._spoke = True
        pair = pair_json(self._truth.instruments[symbol])
        return [f'{{"channel":"instrument","type":"update","data":{{"assets":[],"pairs":[{pair}]}}}}'.encode()]

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002
        """A heartbeat, if there is a subscription and no other frame was sent since the last call."""
        spoke, self._spoke = self._spoke, False
        subscribed = self._windows or self._trading or self._sent_pairs or self._summaries.any
        return [b'{"channel":"heartbeat"}'] if subscribed and not spoke else []

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:  # noqa: ARG002 - it names neither request nor time
        """Kraken's error for too many messages; it names no request."""
        return [b'{"Error":"Exceeded msg rate"}']

    def restart_sequence(self) -> None:
        """Do nothing: Kraken has no sequence numbers."""

    # Requests

    def _subscribe(self, params: Json, native: str, answer: Json, now_ns: int) -> list[bytes]:
        instrument = self._by_native.get(native)
        if instrument is None:
            return [_refusal(answer, f"Currency pair not supported {native}")]
        symbol, channel = instrument.symbol, params["channel"]
        if channel in ("ticker", "ohlc"):
            return self._summarise(params, instrument, answer, now_ns)
        if symbol in (self._windows if channel == "book" else self._trading):
            return [_refusal(answer, "Already subscribed")]
        if channel == "trade":
            self._trading.add(symbol)
            wanted = params.get("snapshot", False) is True
            ack = _ack(answer, {"channel": channel, "snapshot": wanted, "symbol": native})
            past = self._truth.recent_trades(symbol, HISTORY_TRADES) if wanted else ()
            return [ack, self._trade_frame("snapshot", past, now_ns)] if past else [ack]
        depth = params.get("depth", self._default_depth)
        if type(depth) is not int or depth not in self._depths:
            return [_refusal(answer, "Subscription depth not supported")]
        window = self._windows[symbol] = _Window(depth)
        wanted = params.get("snapshot", True) is True
        ack = _ack(answer, {"channel": channel, "depth": depth, "snapshot": wanted, "symbol": native})
        window.bids, window.asks = map(list, self._truth.book(symbol, depth))
        return [ack, self._book_frame("snapshot", symbol, window.bids, window.asks, now_ns)] if wanted else [ack]

    def _summarise(self, params: Json, instrument: Instrument, answer: Json, now_ns: int) -> list[bytes]:
        result, frame = self._summaries.subscribe(params, instrument, now_ns)
        if isinstance(result, str):
            return [_refusal(answer, result)]
        return [_ack(answer, result), *([frame] if frame else [])]

    def _unsubscribe(self, params: Json, native: str, answer: Json, now_ns: int) -> list[bytes]:  # noqa: ARG002
        instrument, channel = self._by_native.get(native), params["channel"]
        result: Json = {"channel": channel, "symbol": native}
        if instrument is not None and channel in ("ticker", "ohlc"):
            ended = self._summaries.unsubscribe(params, instrument)
            return [_ack(answer, ended) if ended else _refusal(answer, "Subscription Not Found")]
        if instrument is not None and channel == "trade" and instrument.symbol in self._trading:
            self._trading.discard(instrument.symbol)
            return [_ack(answer, result)]
        window = self._windows.get(instrument.symbol) if instrument is not None and channel == "book" else None
        if instrument is None or window is None or params.get("depth", self._default_depth) != window.depth:
            return [_refusal(answer, "Subscription Not Found")]
        del self._windows[instrument.symbol]
        return [_ack(answer, result | {"depth": window.depth})]

    def _instruments(self, params: Json, answer: Json, subscribe: bool) -> list[bytes]:
        self._sent_pairs = subscribe
        wanted = params.get("snapshot", True) is True
        ack = _ack(answer, {"channel": "instrument", "snapshot": wanted})
        if not subscribe or not wanted:
            return [ack]
        names = {name for native in self._by_native for name in native.split("/")}
        assets = ",".join(asset_json(name) for name in sorted(names))
        pairs = ",".join(map(pair_json, self._truth.instruments.values()))
        return [ack, f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[{assets}],"pairs":[{pairs}]}}}}'.encode()]

    # Frames

    def _book_frame(self, kind: str, symbol: str, bids: Sequence[Level], asks: Sequence[Level], now_ns: int) -> bytes:
        self._spoke = True
        window, instrument = self._windows[symbol], self._truth.instruments[symbol]
        crc = levels_checksum(window.asks, window.bids)
        if self.spoil_checksum:
            crc, self.spoil_checksum = crc ^ 1, False
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":{quoted(instrument.native)},"bids":[{levels_json(instrument, bids)}],'
            f'"asks":[{levels_json(instrument, asks)}],"checksum":{crc},"timestamp":"{time_text(now_ns)}"}}]}}'
        ).encode()

    def _trade_frame(self, kind: str, trades: Sequence[Trade], now_ns: int) -> bytes:
        self._spoke = True
        return f'{{"channel":"trade","type":"{kind}","data":[{",".join(trade_json(trade, now_ns) for trade in trades)}]}}'.encode()


NOT_SIMULATED: Sequence[NotSimulated] = (
    ("WebSocket version 1 (`wss://ws.kraken.com`)", "every path speaks version 2"),
    ("the channel `level3`, channels and methods that need a key", f"refused: {PRIVATE_ANSWER!r}"),
    ("candles of a market's past in the snapshot of `ohlc`", "those since the simulator's start, ten at most"),
    ("`Spread`, `GroupedBook`, `PreTrade`, `PostTrade` and other products by REST", "404, EGeneral:Unknown method"),
    ("`Depth`: sizes of three decimals, the time of each level's last change", "sizes of all decimals, the time of the answer"),
    ("leverage and position limits of each pair", "those of BTC/USD and ETH/BTC; the other pairs have no margin"),
)


def _worse(ticks: int, than: int, is_ask: bool) -> bool:
    return ticks > than if is_ask else ticks < than


def _difference(held: Sequence[Level], wanted: Sequence[Level], depth: int, *, is_ask: bool) -> list[Level]:
    """Levels that turn `held` into `wanted`: deletes, then new sizes, best first; no delete for a level below a full window."""
    before, after = dict(held), dict(wanted)
    full = len(wanted) == depth
    removals = [(ticks, 0) for ticks in before if ticks not in after and not (full and _worse(ticks, wanted[-1][0], is_ask))]
    return removals + [(ticks, lots) for ticks, lots in wanted if before.get(ticks) != lots]


def _ack(answer: Json, result: Json) -> bytes:
    return orjson.dumps({key: value for key, value in answer.items() if key != "symbol"} | {"result": result, "success": True})


def _refusal(answer: Json, text: str) -> bytes:
    return orjson.dumps({"error": text, **answer, "success": False})
