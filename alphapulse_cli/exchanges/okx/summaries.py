"""Tickers, candles and best levels of OKX, by channel and by REST, for simulators. Fields and formats are from OKX's documentation.

trades ─► tickers, the current candle of each interval          a best level changes ─► tickers, bbo-tbt
a candle closes ─► it is sent once more, confirmed, with the next heartbeat
"""

from collections.abc import Sequence

from alphapulse_cli.exchanges.okx.fields import NS_PER_MS, Json
from alphapulse_cli.exchanges.okx.rows import book_row, data_frame
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.market.trade_summary import DAY_S, MONDAY_S, MONTH, WEEK, Span, TradeSummary

TICKERS, BEST, CANDLE = "tickers", "bbo-tbt", "candle"
HOUR_S = 3600
HONG_KONG_S = 16 * HOUR_S  # Hong Kong time: bars of six hours and longer begin at its midnight, unless named "utc"
DAY_UTC, DAY_UTC8 = Span(DAY_S), Span(DAY_S, HONG_KONG_S)
SPANS = {  # OKX's name of a bar -> its length; 1M in Hong Kong time is missing
    **{f"{minutes}m": Span(60 * minutes) for minutes in (1, 3, 5, 15, 30)},
    **{f"{hours}H": Span(hours * HOUR_S) for hours in (1, 2, 4)},
    **{f"{hours}H": Span(hours * HOUR_S, HONG_KONG_S % (hours * HOUR_S)) for hours in (6, 12)},
    **{f"{hours}Hutc": Span(hours * HOUR_S) for hours in (6, 12)},
    "1D": DAY_UTC8,
    "1Dutc": DAY_UTC,
    "1W": Span(7 * DAY_S, MONDAY_S - 8 * HOUR_S),
    "1Wutc": WEEK,
    "1Mutc": MONTH,
}


def ticker_row(truth: Truth, instrument: Instrument, now_ns: int) -> Json:
    """Row of `tickers`; prices without a trade or level are empty."""
    symbol, prices, sizes = instrument.symbol, instrument.price_decimals, instrument.size_decimals
    day, last = truth.last_day(symbol, now_ns), truth.recent_trades(symbol, 1)

    def best(side: Sequence[Level]) -> tuple[str, str]:
        return (trim_text(side[0][0], prices), trim_text(side[0][1], sizes)) if side else ("", "")

    def begin(span: Span) -> str:
        """Opening price of a day: its first trade's price, or the last price if there was none yet."""
        newest = truth.candles(symbol, span, 1)
        if not newest:
            return ""
        is_today = newest[0].begin_ns == span.begin_ns(now_ns)
        return trim_text(newest[0].open_ticks if is_today else newest[0].close_ticks, prices)

    (bid, bid_size), (ask, ask_size) = map(best, truth.book(symbol, 1))
    return {
        "instType": "SPOT",
        "instId": instrument.native,
        "last": trim_text(last[-1].price_ticks, prices) if last else "",
        "lastSz": trim_text(last[-1].size_lots, sizes) if last else "",
        "askPx": ask,
        "askSz": ask_size,
        "bidPx": bid,
        "bidSz": bid_size,
        "open24h": trim_text(day.open_ticks, prices) if last else "",
        "high24h": trim_text(day.high_ticks, prices) if last else "",
        "low24h": trim_text(day.low_ticks, prices) if last else "",
        "volCcy24h": trim_text(day.quote, prices + sizes),
        "vol24h": trim_text(day.size_lots, sizes),
        "ts": str(now_ns // NS_PER_MS),
        "sodUtc0": begin(DAY_UTC),
        "sodUtc8": begin(DAY_UTC8),
    }


def candle_row(instrument: Instrument, candle: TradeSummary, now_ns: int) -> list[str]:
    """Row [begin in ms, open, high, low, close, volume, turnover, turnover, "1" if closed]; both turnovers in quote currency."""
    prices, turnover = instrument.price_decimals, trim_text(candle.quote, instrument.price_decimals + instrument.size_decimals)
    ticks = (candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks)
    size = trim_text(candle.size_lots, instrument.size_decimals)
    begin_ms, is_over = str(candle.begin_ns // NS_PER_MS), "1" if candle.end_ns <= now_ns else "0"
    return [begin_ms, *(trim_text(each, prices) for each in ticks), size, turnover, turnover, is_over]


class Summaries:
    """Subscriptions of one client to `tickers`, `bbo-tbt` and `candle…`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._channels: dict[str, set[str]] = {TICKERS: set(), BEST: set()}  # symbols by channel
        self._best: dict[str, list[Sequence[Level]]] = {}  # best levels as last sent, by subscribed symbol
        self._candles: dict[tuple[str, str], TradeSummary | None] = {}  # (symbol, bar) -> candle sent and not yet confirmed

    @staticmethod
    def has(channel: str) -> bool:
        """Whether the channel is one of this class."""
        return channel in (TICKERS, BEST) or (channel.startswith(CANDLE) and channel.removeprefix(CANDLE) in SPANS)

    def subscribe(self, channel: str, symbol: str, now_ns: int) -> list[bytes]:
        """Start a subscription; returns its first frame."""
        if channel in self._channels:
            self._channels[channel].add(symbol)
            self._best[symbol] = [*self._truth.book(symbol, 1)]
            return [self._frame(channel, symbol, now_ns)]
        bar = channel.removeprefix(CANDLE)
        newest = self._truth.candles(symbol, SPANS[bar], 1)
        self._candles[symbol, bar] = newest[0] if newest else None
        return [self._candle(symbol, bar, newest[0], now_ns)] if newest else []

    def unsubscribe(self, channel: str, symbol: str) -> None:
        """End a subscription, if there is one."""
        self._channels.get(channel, set()).discard(symbol)
        self._candles.pop((symbol, channel.removeprefix(CANDLE)), None)

    def of_trades(self, symbol: str, now_ns: int) -> list[bytes]:
        """Frames sent after new trades of the symbol."""
        frames = [self._frame(TICKERS, symbol, now_ns)] if symbol in self._channels[TICKERS] else []
        for subscribed, bar in self._candles:
            if subscribed == symbol:
                frames += self._confirmed(symbol, bar, now_ns)
                [newest] = self._truth.candles(symbol, SPANS[bar], 1)
                self._candles[symbol, bar] = newest
                frames.append(self._candle(symbol, bar, newest, now_ns))
        return frames

    def of_book(self, symbol: str, now_ns: int) -> list[bytes]:
        """Frames sent after a change of the symbol's best levels."""
        channels = [channel for channel, symbols in self._channels.items() if symbol in symbols]
        if not channels or (best := [*self._truth.book(symbol, 1)]) == self._best[symbol]:
            return []
        self._best[symbol] = best
        return [self._frame(channel, symbol, now_ns) for channel in channels]

    def of_time(self, now_ns: int) -> list[bytes]:
        """Frames of candles that have closed."""
        return [frame for symbol, bar in self._candles for frame in self._confirmed(symbol, bar, now_ns)]

    def _confirmed(self, symbol: str, bar: str, now_ns: int) -> list[bytes]:
        candle = self._candles[symbol, bar]
        if candle is None or candle.end_ns > now_ns:
            return []
        self._candles[symbol, bar] = None
        return [self._candle(symbol, bar, candle, now_ns)]

    def _frame(self, channel: str, symbol: str, now_ns: int) -> bytes:
        instrument = self._truth.instruments[symbol]
        if channel == TICKERS:
            return data_frame(TICKERS, instrument, [ticker_row(self._truth, instrument, now_ns)])
        row = {**book_row(instrument, *self._truth.book(symbol, 1), now_ns), "seqId": self._truth.sequence(symbol)}
        return data_frame(BEST, instrument, [row])

    def _candle(self, symbol: str, bar: str, candle: TradeSummary, now_ns: int) -> bytes:
        instrument = self._truth.instruments[symbol]
        return data_frame(CANDLE + bar, instrument, [candle_row(instrument, candle, now_ns)])
