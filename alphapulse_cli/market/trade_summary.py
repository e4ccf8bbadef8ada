"""Summary of the trades of a span of time, in exact integers: a candle, or the figures of the last 24 hours.

    trades ─► TradeSummary.add ─► merged(summaries) ─► a longer span

Sums of money are in units of 10**-(price_decimals + size_decimals) of the quote currency: ticks times lots.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from alphapulse_cli.market.events import Side, Trade

SECOND_NS = 1_000_000_000
DAY_S = 86_400
MONDAY_S = 4 * DAY_S  # 1970-01-05, the first Monday


@dataclass(frozen=True, slots=True)
class Span:
    """Length of candles: `seconds` from any whole multiple of them after `offset_s`, or calendar months (UTC)."""

    seconds: int
    offset_s: int = 0
    is_month: bool = False

    def begin_ns(self, moment_ns: int) -> int:
        """Begin of the candle that contains that moment, ns since 1970."""
        if self.is_month:
            moment = datetime.fromtimestamp(moment_ns // SECOND_NS, UTC)
            return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * SECOND_NS
        length, offset = self.seconds * SECOND_NS, self.offset_s * SECOND_NS
        return (moment_ns - offset) // length * length + offset

    def end_ns(self, begin_ns: int) -> int:
        """End, exclusive, of the candle that begins then."""
        if self.is_month:
            return self.begin_ns(begin_ns + int(timedelta(days=32).total_seconds()) * SECOND_NS)
        return begin_ns + self.seconds * SECOND_NS


MONTH = Span(28 * DAY_S, is_month=True)
WEEK = Span(7 * DAY_S, MONDAY_S)


@dataclass(slots=True)
class TradeSummary:
    """Summary of the trades from `begin_ns` until before `end_ns`; without a trade, `trade_count` is 0 and the ids are ""."""

    begin_ns: int
    end_ns: int
    open_ticks: int = 0
    high_ticks: int = 0
    low_ticks: int = 0
    close_ticks: int = 0
    size_lots: int = 0
    quote: int = 0  # sum of ticks times lots
    bought_lots: int = 0  # of the trades whose taker bought
    bought_quote: int = 0
    trade_count: int = 0
    first_id: str = ""
    last_id: str = ""

    def add(self, trade: Trade) -> None:
        """Add a trade that is newer than those before."""
        ticks, lots = trade.price_ticks, trade.size_lots
        bought = lots if trade.side is Side.BUY else 0
        self._add(ticks, ticks, ticks, ticks, lots, ticks * lots, bought, ticks * bought, 1, trade.trade_id, trade.trade_id)

    def merge(self, newer: "TradeSummary") -> None:
        """Add all trades of a summary that are newer than those before."""
        if newer.trade_count:
            self._add(
                newer.open_ticks,
                newer.high_ticks,
                newer.low_ticks,
                newer.close_ticks,
                newer.size_lots,
                newer.quote,
                newer.bought_lots,
                newer.bought_quote,
                newer.trade_count,
                newer.first_id,
                newer.last_id,
            )

    def _add(
        self,
        first: int,
        high: int,
        low: int,
        last: int,
        lots: int,
        quote: int,
        bought_lots: int,
        bought_quote: int,
        count: int,
        first_id: str,
        last_id: str,
    ) -> None:
        if not self.trade_count:
            self.open_ticks, self.high_ticks, self.low_ticks, self.first_id = first, high, low, first_id
        self.high_ticks, self.low_ticks = max(self.high_ticks, high), min(self.low_ticks, low)
        self.close_ticks, self.last_id = last, last_id
        self.size_lots += lots
        self.quote += quote
        self.bought_lots += bought_lots
        self.bought_quote += bought_quote
        self.trade_count += count


def merged(summaries: Iterable[TradeSummary], begin_ns: int, end_ns: int) -> TradeSummary:
    """Summary of all trades of these summaries, oldest first, for that span."""
    whole = TradeSummary(begin_ns, end_ns)
    for each in summaries:
        whole.merge(each)
    return whole


def by_span(summaries: Iterable[TradeSummary], span: Span) -> Iterator[TradeSummary]:
    """Iterate over candles of these shorter summaries, oldest first: those with a trade."""
    candle: TradeSummary | None = None
    for each in summaries:
        begin_ns = span.begin_ns(each.begin_ns)
        if candle is None or begin_ns != candle.begin_ns:
            if candle is not None:
                yield candle
            candle = TradeSummary(begin_ns, span.end_ns(begin_ns))
        candle.merge(each)
    if candle is not None:
        yield candle


def without_holes(candles: Sequence[TradeSummary], span: Span, until_ns: int, count: int) -> list[TradeSummary]:
    """The newest `count` candles up to the one of `until_ns`: a candle without a trade has the last price, as exchanges give it."""
    found: list[TradeSummary] = []
    for place, candle in enumerate(candles):
        found.append(candle)
        next_ns = candles[place + 1].begin_ns if place + 1 < len(candles) else span.end_ns(span.begin_ns(until_ns))
        begin_ns, last = candle.end_ns, candle.close_ticks
        if (skipped := (next_ns - begin_ns) // (span.seconds * SECOND_NS) - count) > 0:  # more empty ones than are wanted
            begin_ns = span.begin_ns(begin_ns + skipped * span.seconds * SECOND_NS)
        while begin_ns < next_ns:
            empty = TradeSummary(begin_ns, span.end_ns(begin_ns), last, last, last, last)
            found.append(empty)
            begin_ns = empty.end_ns
    return [replace(each) for each in found[-count:]] if count > 0 else []
