"""Bounded history of one simulated symbol: recent trades, candles, 24-hour figures, all computed from its trades.

    trade ─► the last TRADES_KEPT trades
         └─► summaries of each second, minute and hour with a trade (LEVELS) ─► candles of any longer span, the last 24 hours

Times are ns since 1970. A candle that begins before the stored summaries is omitted, since it would be incomplete.
"""

from collections import deque
from collections.abc import Sequence

from alphapulse_cli.market.events import Trade
from alphapulse_cli.market.trade_summary import DAY_S, SECOND_NS, Span, TradeSummary, by_span, merged

TRADES_KEPT = 1000  # most trades stored, for requests of past trades
LEVELS = ((1, 1000), (60, 1500), (3600, 9000))  # (seconds per summary, most summaries stored): a quarter of an hour, a day, a year


class History:
    """Trades and trade summaries of one symbol."""

    def __init__(self) -> None:
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self._levels = [(Span(seconds), deque[TradeSummary](maxlen=kept)) for seconds, kept in LEVELS]

    def add(self, trades: Sequence[Trade], now_ns: int) -> None:
        """Add the newest trades."""
        self.trades.extend(trades)
        for span, summaries in self._levels if trades else ():
            begin_ns = span.begin_ns(now_ns)
            if not summaries or begin_ns > summaries[-1].begin_ns:
                summaries.append(TradeSummary(begin_ns, span.end_ns(begin_ns)))
            for trade in trades:
                summaries[-1].add(trade)

    def last_day(self, now_ns: int) -> TradeSummary:
        """Summary of the trades of the last 24 hours (to within a minute)."""
        begin_ns = now_ns - DAY_S * SECOND_NS
        minutes = self._levels[1][1]
        return merged((each for each in minutes if each.begin_ns >= begin_ns), begin_ns, now_ns)

    def candles(self, span: Span, count: int) -> list[TradeSummary]:
        """The newest `count` candles with a trade, oldest first. ValueError for a span that is not a whole number of seconds."""
        if span.seconds < 1:
            raise ValueError(f"no span of candles: {span.seconds} s")
        kept = [summaries for base, summaries in self._levels if span.seconds % base.seconds == 0][-1]
        found = list(by_span(kept, span))
        if found and len(kept) == kept.maxlen and found[0].begin_ns < kept[0].begin_ns:
            del found[0]
        return found[-count:] if count > 0 else []
