"""Server side of one OKX connection: a client's requests in; answers, snapshots, updates, pictures and trades out, from a `Truth`.

Updates maintain the *client's window*, the best 400 levels per side. After each change of the market the encoder compares the
window with the market's best 400 and sends the differences, with a removal of each level that left it. `seqId` is the market's
sequence number, `prevSeqId` the one last sent on this connection: a reset of the market's sequence is a reset as OKX describes it.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from alphapulse_cli.exchanges.okx import facts as okx
from alphapulse_cli.exchanges.okx.fields import NO_SNAPSHOT_BEFORE, Json, rows
from alphapulse_cli.exchanges.okx.rows import book_row, data_frame, trade_row
from alphapulse_cli.exchanges.okx.summaries import Summaries
from alphapulse_cli.exchanges.protocol import Change, Level, NotSimulated, Truth
from alphapulse_cli.market.events import Trade

CONNECTION_ID = "32f4414f"
KEEP_ALIVE_NS = 60_000_000_000
UNKNOWN = (
    "Wrong URL or channel:{channel},instId:{native} doesn't exist. "
    "Please use the correct URL, channel and parameters referring to API document."
)
BOOKS, PICTURES, TRADES = "books", "books5", "trades"


class _Window:
    """A client's copy of one book: the best levels per side, best first; `seq` is the last number sent, at `sent_ns`."""

    __slots__ = ("asks", "bids", "sent_ns", "seq")

    def __init__(self, bids: Sequence[Level], asks: Sequence[Level], seq: int, now_ns: int) -> None:
        self.bids, self.asks, self.seq, self.sent_ns = bids, asks, seq, now_ns

    def is_touched_by(self, changes: Sequence[Change]) -> bool:
        """Whether any of these changes is visible in the window."""
        for ticks, _, is_ask in changes:
            side = self.asks if is_ask else self.bids
            if len(side) < okx.BOOK_DEPTH or (ticks <= side[-1][0] if is_ask else ticks >= side[-1][0]):
                return True
        return False


class Encoder:
    """Encoder of one client's connection; `exchanges.protocol.Encoder`. KeyError for an unknown mode.

    `snapshots`: whether a subscription to a book begins with a snapshot; OKX announced in 2026 that it would end that.
    """

    def __init__(self, truth: Truth, mode: str = "", *, snapshots: bool = True) -> None:
        okx.FACTS.mode(mode)
        self.spoil_checksum = False  # no effect: there is no checksum
        self._truth = truth
        self._snapshots = snapshots
        self._by_native = {instrument.native: instrument for instrument in truth.instruments.values()}
        self._windows: dict[str, _Window] = {}
        self._summaries = Summaries(truth)
        self._subscribed: dict[str, set[str]] = {PICTURES: set(), TRADES: set()}  # symbols by channel

    def connected(self, now_ns: int) -> Sequence[bytes]:
        """Return no frames: OKX sends no greeting."""
        del now_ns
        return ()

    def receive(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Answers to a request, one for each argument, each followed by its snapshot; OKX's errors; pongs."""
        if frame == b"ping":
            return [b"pong"]
        request: Any = None
        try:
            request = orjson.loads(frame)
            step = {"subscribe": self._subscribe, "unsubscribe": self._unsubscribe}[request["op"]]
            args = [(arg["channel"], arg["instId"]) for arg in rows(request["args"])]
            return [reply for channel, native in args for reply in step(channel, native, request, now_ns)]
        except (LookupError, TypeError, ValueError, AttributeError):
            return [_error("60012", "Invalid request: not understood", request)]

    def update(self, symbol: str, changes: Sequence[Change], now_ns: int) -> Sequence[bytes]:
        """Frames of tickers, best levels and a picture, then one of the book unless the changes are outside the client's window.

        The book's frame is last, so that a fault that drops the last frame drops that one.
        """
        frames = self._summaries.of_book(symbol, now_ns)
        if symbol in self._subscribed[PICTURES]:
            frames.append(self._picture(symbol, now_ns))
        window = self._windows.get(symbol)
        if window is not None and window.is_touched_by(changes):
            bids, asks = map(list, self._truth.book(symbol, okx.BOOK_DEPTH))
            differences = _difference(window.bids, bids), _difference(window.asks, asks)
            window.bids, window.asks = bids, asks
            if any(differences):
                frames.append(self._book_frame("update", symbol, *differences, now_ns))
        return frames

    def trades(self, symbol: str, trades: Sequence[Trade], now_ns: int) -> Sequence[bytes]:
        """One frame per trade, if the client is subscribed; then the ticker and the candles that they change."""
        summaries = self._summaries.of_trades(symbol, now_ns) if trades else []
        if symbol not in self._subscribed[TRADES]:
            return summaries
        number = self._truth.sequence(symbol)
        return [
            data_frame(TRADES, trade.instrument, [{**trade_row(trade, now_ns), "count": "1", "source": "0", "seqId": number}])
            for trade in trades
        ] + summaries

    def trading_status(self, _symbol: str, _now_ns: int) -> Sequence[bytes]:
        """Return no frames: the trading status is only in the REST answer `public/instruments`."""
        return ()

    def heartbeat(self, now_ns: int) -> Sequence[bytes]:
        """Frames due by time: closed candles, and empty updates of books without a message for a minute."""
        over = self._summaries.of_time(now_ns)
        quiet = [symbol for symbol, window in self._windows.items() if now_ns - window.sent_ns >= KEEP_ALIVE_NS]
        return over + [self._book_frame("update", symbol, (), (), now_ns, moves=False) for symbol in quiet]

    def refuse_for_now(self, frame: bytes, now_ns: int) -> Sequence[bytes]:
        """Refusal by a rate limit."""
        del now_ns
        return [_error("60014", "Requests too frequent", orjson.loads(frame))]

    def restart_sequence(self) -> None:
        """Do nothing: sequence numbers are the market's, and `prevSeqId` is the one last sent on this connection."""

    # Requests

    def _subscribe(self, channel: str, native: str, request: Json, now_ns: int) -> list[bytes]:
        instrument = self._by_native.get(native)
        if instrument is None or not (channel in (BOOKS, PICTURES, TRADES) or Summaries.has(channel)):
            return [_error("60018", UNKNOWN.format(channel=channel, native=native), request)]
        answer, symbol = _answer("subscribe", channel, native, request), instrument.symbol
        if Summaries.has(channel):
            return [answer, *self._summaries.subscribe(channel, symbol, now_ns)]
        if channel == TRADES:
            self._subscribed[TRADES].add(symbol)
            return [answer]
        if channel == PICTURES:
            self._subscribed[PICTURES].add(symbol)
            return [answer, self._picture(symbol, now_ns)]
        if symbol in self._windows:
            return [answer]
        bids, asks = map(list, self._truth.book(symbol, okx.BOOK_DEPTH))
        self._windows[symbol] = _Window(bids, asks, self._truth.sequence(symbol), now_ns)
        return [answer, self._book_frame("snapshot", symbol, bids, asks, now_ns)] if self._snapshots else [answer]

    def _unsubscribe(self, channel: str, native: str, request: Json, now_ns: int) -> list[bytes]:
        del now_ns
        instrument = self._by_native.get(native)
        symbol = instrument.symbol if instrument is not None else ""
        if channel == BOOKS:
            self._windows.pop(symbol, None)
        elif channel in self._subscribed:
            self._subscribed[channel].discard(symbol)
        else:
            self._summaries.unsubscribe(channel, symbol)
        return [_answer("unsubscribe", channel, native, request)]

    # Frames

    def _book_frame(
        self, action: str, symbol: str, bids: Sequence[Level], asks: Sequence[Level], now_ns: int, *, moves: bool = True
    ) -> bytes:
        window, instrument = self._windows[symbol], self._truth.instruments[symbol]
        prev = NO_SNAPSHOT_BEFORE if action == "snapshot" else window.seq
        window.seq = self._truth.sequence(symbol) if moves else window.seq
        window.sent_ns = now_ns
        row = {**book_row(instrument, bids, asks, now_ns), "checksum": 0, "seqId": window.seq, "prevSeqId": prev}
        return data_frame(BOOKS, instrument, [row], action)

    def _picture(self, symbol: str, now_ns: int) -> bytes:
        instrument, (bids, asks) = self._truth.instruments[symbol], self._truth.book(symbol, okx.PICTURE_DEPTH)
        row = {**book_row(instrument, bids, asks, now_ns), "instId": instrument.native, "seqId": self._truth.sequence(symbol)}
        return data_frame(PICTURES, instrument, [row])


NOT_SIMULATED: Sequence[NotSimulated] = (
    (
        "swaps, futures, options, index and mark prices",
        "spot alone; by REST nothing of another `instType` is listed; channels: error 60018",
    ),
    ("channels `books-l2-tbt`, `books50-l2-tbt`, `books-rpi`, `trades-all`, `instruments`, `status`", "error 60018"),
    ("`/ws/v5/business` and `/ws/v5/private`", "every path serves the public channels, candles among them"),
    ("the pace of channels: 10 ms to 1 s", "a frame for each change of the market"),
    ("several fills in one trade (`count`), bars of a month by Hong Kong's clock (1M)", "one fill a trade; 1Mutc"),
    ("an instrument's largest orders, leverage and day of listing", "those of BTC-USDT"),
    ("REST paths other than time, status, instruments, books, trades, history-trades, tickers and candles", "404"),
)


def _difference(held: Sequence[Level], wanted: Sequence[Level]) -> list[Level]:
    """Levels that turn `held` into `wanted`: removals, then new sizes, best first."""
    if held == wanted:
        return []
    before, after = dict(held), dict(wanted)
    return [(ticks, 0) for ticks in before if ticks not in after] + [level for level in wanted if before.get(level[0]) != level[1]]


def _id_of(request: Any) -> Json:
    """Field `id` of an answer, copied from the request if it has one."""
    number = request.get("id") if isinstance(request, dict) else None
    return {"id": number} if isinstance(number, str) else {}


def _answer(event: str, channel: str, native: str, request: Json) -> bytes:
    arg = {"channel": channel, "instId": native}
    return orjson.dumps({**_id_of(request), "event": event, "arg": arg, "connId": CONNECTION_ID})


def _error(code: str, message: str, request: Any) -> bytes:
    return orjson.dumps({**_id_of(request), "event": "error", "code": code, "msg": message, "connId": CONNECTION_ID})
