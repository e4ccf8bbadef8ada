"""Topics `tickers` and `kline` of one simulated client: its subscriptions, and the frames sent after trades and by time.

trades ─► tickers (for spot always a snapshot), the current candle of each interval
a candle closes ─► it is sent once more, confirmed, with the next heartbeat
"""

import orjson

from alphapulse_cli.exchanges.bybit.render import NS_PER_MS, SPANS, candle_figures, day_figures
from alphapulse_cli.exchanges.protocol import Truth
from alphapulse_cli.market.trade_summary import TradeSummary


class Summaries:
    """Subscriptions of one client to `tickers` and `kline`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._tickers: set[str] = set()
        self._candles: dict[tuple[str, str], TradeSummary | None] = {}  # (symbol, interval) -> candle sent and not yet confirmed

    def has(self, symbol: str, interval: str) -> bool:
        """Whether the client is subscribed to that interval's candles (to the ticker for "")."""
        return (symbol, interval) in self._candles if interval else symbol in self._tickers

    def topics(self) -> list[str]:
        """Topics that the client is subscribed to."""
        natives = {symbol: instrument.native for symbol, instrument in self._truth.instruments.items()}
        candles = [f"kline.{interval}.{natives[symbol]}" for symbol, interval in self._candles]
        return [*candles, *(f"tickers.{natives[symbol]}" for symbol in self._tickers)]

    def subscribe(self, symbol: str, interval: str, now_ns: int) -> list[bytes]:
        """Start a subscription (interval "": to the ticker); returns its first frame."""
        if interval:
            self._candles[symbol, interval] = None
            return []
        self._tickers.add(symbol)
        return [self._ticker(symbol, now_ns)]

    def unsubscribe(self, symbol: str, interval: str) -> None:
        """End a subscription, if there is one."""
        if interval:
            self._candles.pop((symbol, interval), None)
        else:
            self._tickers.discard(symbol)

    def of_trades(self, symbol: str, now_ns: int) -> list[bytes]:
        """Frames sent after new trades of the symbol."""
        frames = [self._ticker(symbol, now_ns)] if symbol in self._tickers else []
        for subscribed, interval in self._candles:
            if subscribed == symbol:
                frames += self._confirmed(symbol, interval, now_ns)
                [newest] = self._truth.candles(symbol, SPANS[interval], 1)
                self._candles[symbol, interval] = newest
                frames.append(self._candle(symbol, interval, newest, now_ns))
        return frames

    def of_time(self, now_ns: int) -> list[bytes]:
        """Frames of candles that have closed."""
        return [frame for symbol, interval in self._candles for frame in self._confirmed(symbol, interval, now_ns)]

    def _confirmed(self, symbol: str, interval: str, now_ns: int) -> list[bytes]:
        candle = self._candles[symbol, interval]
        if candle is None or candle.end_ns > now_ns:
            return []
        self._candles[symbol, interval] = None
        return [self._candle(symbol, interval, candle, now_ns, is_over=True)]

    def _ticker(self, symbol: str, now_ns: int) -> bytes:
        instrument = self._truth.instruments[symbol]
        topic, data = f"tickers.{instrument.native}", day_figures(self._truth, instrument, now_ns)
        frame = {"topic": topic, "ts": now_ns // NS_PER_MS, "type": "snapshot", "cs": self._truth.sequence(symbol), "data": data}
        return orjson.dumps(frame)

    def _candle(self, symbol: str, interval: str, candle: TradeSummary, now_ns: int, *, is_over: bool = False) -> bytes:
        instrument, now_ms = self._truth.instruments[symbol], now_ns // NS_PER_MS
        row = candle_figures(instrument, candle) | {
            "end": candle.end_ns // NS_PER_MS - 1,
            "interval": interval,
            "confirm": is_over,
            "timestamp": now_ms,
        }
        topic = f"kline.{interval}.{instrument.native}"
        return orjson.dumps({"type": "snapshot", "topic": topic, "data": [row], "ts": now_ms})
