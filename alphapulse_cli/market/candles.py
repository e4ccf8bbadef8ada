"""Candles of one market by a written rule, in exact integers: what live rings, captures and datasets share.

    trades, gaps ─► CandleMaker ─► close(clock) ─► Candle, Candle, …     each once, in order, without holes between them

Rules, numbered as the tests number them:
  B1  A candle holds the trades from its begin on and before its end. Begins are whole multiples of the width since 1970-01-01 UTC;
      those of weeks are Mondays.
  B2  The time of a trade is the exchange's, or the receive time where the exchange gave none.
  B3  Trades are ordered by (time, epoch, sequence): open is the first, close the last of them, in whatever order they are read. Of equal
      times the one that was published first is first.
  B4  A trade of a subscription's history counts once by its id: where it has a time of the exchange's, at or after the begin of the
      watch, and its id was not counted. Otherwise it is left out, and counted as such.
  B5  A candle is open until `late_ns` after its end. A trade that was received later, or whose candle was handed out, is in no candle: the
      candle that is the oldest open one at that moment counts it as late. Without `late_ns` all trades are waited for.
  B6  A candle without trades has a count of 0 and no prices. The last price is not repeated. There are candles up to the clock.
  B7  A candle is a gap where any part of it was not watched: it says why, and how many records are missing where that is known.
  B8  Prices and sizes of other decimals are put on the finest grid among them. Nothing is rounded but the text of `vwap`: half to even,
      VWAP_DIGITS digits more than the prices have.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trade_summary import DAY_S, SECOND_NS, WEEK, Span

WIDTHS = {
    "1s": Span(1),
    "10s": Span(10),
    "1m": Span(60),
    "5m": Span(300),
    "15m": Span(900),
    "30m": Span(1800),
    "1h": Span(3600),
    "4h": Span(4 * 3600),
    "1d": Span(DAY_S),
    "1w": WEEK,
}
VWAP_DIGITS = 4
MOST_IDS = 1 << 16  # remembered ids of trades; history from before the oldest of them is left out (B4)
MOST_EMPTY = 100_000  # candles without trades in a row; those that follow are skipped, and counted
BUY, SELL = 0, 1  # the taker's side, as in the trade record


class CandleTrade(NamedTuple):
    """Trade as a record or a row has it; `exchange_ns` is 0 where the exchange gave no time."""

    receive_ns: int
    exchange_ns: int
    epoch: int
    sequence: int
    price_ticks: int
    size_lots: int
    price_decimals: int
    size_decimals: int
    side: int
    trade_id: str
    is_history: bool


@dataclass(slots=True)
class Candle:
    """Candle of one market. Prices in ticks, None without trades; volumes in lots; `notional_units` is the sum of ticks times lots.

    A unit is 10**-(price_decimals + size_decimals) of the quote currency. `gap` says why a part of it was not watched, "" where all was.
    """

    set_name: str
    exchange: str
    symbol: str
    width: str
    begin_ns: int
    end_ns: int  # exclusive
    price_decimals: int = 0
    size_decimals: int = 0
    open_ticks: int | None = None
    high_ticks: int | None = None
    low_ticks: int | None = None
    close_ticks: int | None = None
    volume_lots: int = 0
    buy_lots: int = 0  # of the trades whose taker bought
    sell_lots: int = 0
    notional_units: int = 0
    count: int = 0
    history: int = 0  # trades of a subscription's history among them
    late: int = 0  # trades of earlier candles that came too late for them
    left_out: int = 0  # trades of a subscription's history that are in no candle
    gap: str = ""
    missed: int = 0  # records, or trades by the exchange's count, that were missed
    is_replay: bool = False
    first_key: tuple[int, int, int] = field(default=(0, 0, 0), repr=False)
    last_key: tuple[int, int, int] = field(default=(0, 0, 0), repr=False)

    @property
    def open(self) -> str | None:
        """Price of the first trade, exact decimal text."""
        return self._price(self.open_ticks)

    @property
    def high(self) -> str | None:
        """Highest price, exact decimal text."""
        return self._price(self.high_ticks)

    @property
    def low(self) -> str | None:
        """Lowest price, exact decimal text."""
        return self._price(self.low_ticks)

    @property
    def close(self) -> str | None:
        """Price of the last trade, exact decimal text."""
        return self._price(self.close_ticks)

    @property
    def volume(self) -> str:
        """Sum of the sizes, exact decimal text."""
        return to_text(self.volume_lots, self.size_decimals)

    @property
    def buy_volume(self) -> str:
        """Sum of the sizes of the trades whose taker bought, exact decimal text."""
        return to_text(self.buy_lots, self.size_decimals)

    @property
    def sell_volume(self) -> str:
        """Sum of the sizes of the trades whose taker sold, exact decimal text."""
        return to_text(self.sell_lots, self.size_decimals)

    @property
    def notional(self) -> str:
        """Sum of price times size, exact decimal text."""
        return to_text(self.notional_units, self.price_decimals + self.size_decimals)

    @property
    def vwap(self) -> str | None:
        """Mean price by volume, `notional` / `volume`, as text rounded by B8; None without volume."""
        if not self.volume_lots:
            return None
        return to_text(_half_even(self.notional_units * 10**VWAP_DIGITS, self.volume_lots), self.price_decimals + VWAP_DIGITS)

    def row(self) -> dict[str, Any]:
        """Row of the candle, by the keys of its JSON object, without its begin and end as text; sums are texts: they may exceed 64 bits."""
        return {
            "set": self.set_name,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "width": self.width,
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "vwap": self.vwap,
            "count": self.count,
            "buy_volume": self.buy_volume,
            "sell_volume": self.sell_volume,
            "notional": self.notional,
            "notional_units": str(self.notional_units),
            "volume_lots": str(self.volume_lots),
            "price_decimals": self.price_decimals,
            "size_decimals": self.size_decimals,
            "history": self.history,
            "late": self.late,
            "left_out": self.left_out,
            "gap": bool(self.gap),
            "why": self.gap,
            "missed": self.missed,
            **({"replay": True} if self.is_replay else {}),
        }

    def _price(self, ticks: int | None) -> str | None:
        return None if ticks is None else to_text(ticks, self.price_decimals)

    def refine(self, price_decimals: int, size_decimals: int) -> None:
        """Put the numbers on grids at least that fine (B8)."""
        by = 10 ** max(price_decimals - self.price_decimals, 0)
        if by > 1:
            self.price_decimals = price_decimals
            self.notional_units *= by
            if self.open_ticks is not None and self.high_ticks is not None:
                assert self.low_ticks is not None
                assert self.close_ticks is not None
                self.open_ticks, self.high_ticks = self.open_ticks * by, self.high_ticks * by
                self.low_ticks, self.close_ticks = self.low_ticks * by, self.close_ticks * by
        by = 10 ** max(size_decimals - self.size_decimals, 0)
        if by > 1:
            self.size_decimals = size_decimals
            self.notional_units *= by
            self.volume_lots, self.buy_lots, self.sell_lots = self.volume_lots * by, self.buy_lots * by, self.sell_lots * by

    def add(self, trade: CandleTrade, time_ns: int) -> None:
        """Count a trade of that time, which is within the candle."""
        assert self.begin_ns <= time_ns < self.end_ns
        if trade.price_decimals != self.price_decimals or trade.size_decimals != self.size_decimals:
            self.refine(trade.price_decimals, trade.size_decimals)
        ticks = trade.price_ticks * 10 ** (self.price_decimals - trade.price_decimals)
        lots = trade.size_lots * 10 ** (self.size_decimals - trade.size_decimals)
        key = (time_ns, trade.epoch, trade.sequence)
        if not self.count or key < self.first_key:
            self.open_ticks, self.first_key = ticks, key
        if not self.count or key > self.last_key:
            self.close_ticks, self.last_key = ticks, key
        self.high_ticks = ticks if self.high_ticks is None else max(self.high_ticks, ticks)
        self.low_ticks = ticks if self.low_ticks is None else min(self.low_ticks, ticks)
        self.volume_lots += lots
        if trade.side == BUY:
            self.buy_lots += lots
        elif trade.side == SELL:
            self.sell_lots += lots
        self.notional_units += ticks * lots
        self.count += 1
        self.history += trade.is_history


class CandleMaker:
    """Maker of the candles of one market that is watched from `began_ns` on.

    Candles that begin before `from_ns`, or at or after `to_ns`, are not made; both are borders. `skipped` counts candles without trades
    that were skipped (MOST_EMPTY), `late` the late trades that no candle has told yet.
    """

    def __init__(
        self,
        names: tuple[str, str, str],
        width: str,
        began_ns: int,
        late_ns: int | None = None,
        from_ns: int = 0,
        to_ns: int | None = None,
        *,
        is_replay: bool = False,
    ) -> None:
        self._names, self._width, self._span, self._late_ns = names, width, WIDTHS[width], late_ns
        self._from_ns, self._to_ns, self._is_replay = from_ns, to_ns, is_replay
        self._floor_ns = began_ns  # history from before it cannot be judged
        self._next_ns = max(self._span.begin_ns(began_ns), from_ns)  # begin of the next candle to hand out
        self._open: dict[int, Candle] = {}
        self._decimals = 0, 0  # of the last candle that was handed out
        self._ids: dict[str, int] = {}  # how often each remembered id was met: seldom more than once
        self._met: deque[tuple[str, int]] = deque()  # in their order; a dict that loses its first keys is slow to find the next
        self._down: dict[str, tuple[int, str]] = {}  # what is down -> since when, and why
        self._spans: list[tuple[int, int, str]] = []  # (begin, end, why) of what was not watched, a heap
        self._present: list[tuple[int, int, str]] = []  # those that have begun before the next candle's end
        self._missed: dict[int, int] = {}  # by begin of the candle
        self._told: dict[int, list[int]] = {}  # late trades and history left out, by begin of the candle
        self._empty = 0
        self.skipped = 0
        if self._next_ns < began_ns:
            self._note(self._next_ns, began_ns, "the watch began")

    @property
    def late(self) -> int:
        """Number of late trades that no candle has told yet."""
        return sum(late for late, _ in self._told.values())

    def add(self, trade: CandleTrade) -> None:
        """Count a trade, in any order of time; history in the order of publication."""
        time_ns = trade.exchange_ns or trade.receive_ns
        if trade.is_history and (not trade.exchange_ns or time_ns < self._floor_ns or trade.trade_id in self._ids):
            self._tell(trade.receive_ns, 1)
            return
        self._remember(trade.trade_id, time_ns)
        if time_ns < self._from_ns or (self._to_ns is not None and time_ns >= self._to_ns):
            return
        begin_ns = self._span.begin_ns(time_ns)
        candle = self._open.get(begin_ns)
        if candle is None or self._late_ns is not None:
            end_ns = self._span.end_ns(begin_ns)
            if begin_ns < self._next_ns or (self._late_ns is not None and trade.receive_ns >= end_ns + self._late_ns):
                self._tell(trade.receive_ns, 0)
                return
            if candle is None:
                candle = self._open[begin_ns] = self._candle(begin_ns, end_ns, trade.price_decimals, trade.size_decimals)
        candle.add(trade, time_ns)

    def down(self, what: str, time_ns: int, why: str) -> None:
        """Note that the market is not watched from then on, until `up` of the same `what`."""
        since = self._down.get(what)
        if since is None or since[1] != why:
            self.up(what, time_ns)
            self._down[what] = time_ns, why

    def up(self, what: str, time_ns: int) -> None:
        """Note that `what` is watched again."""
        since = self._down.pop(what, None)
        if since is not None:
            self._note(since[0], time_ns, since[1])

    def missed(self, after_ns: int, time_ns: int, count: int, why: str) -> None:
        """Note that `count` records between two times were missed; the candle of the later one tells the number."""
        self._note(min(after_ns, time_ns), time_ns, why)
        begin_ns = max(self._span.begin_ns(time_ns), self._next_ns)
        self._missed[begin_ns] = self._missed.get(begin_ns, 0) + count

    def close(self, clock_ns: int) -> Iterator[Candle]:
        """Hand out the candles that no longer are open (B5) at that time of receipt. None are without `late_ns`."""
        if self._late_ns is None:
            return
        while (end_ns := self._span.end_ns(self._next_ns)) + self._late_ns <= clock_ns:
            if self._to_ns is not None and self._next_ns >= self._to_ns:
                return
            yield from self._hand_out(end_ns, clock_ns)

    def finish(self, clock_ns: int) -> Iterator[Candle]:
        """Hand out all candles up to the one of that time, at which the watch ended, and later ones with trades."""
        limit_ns = clock_ns + 1 if self._to_ns is None else min(clock_ns + 1, self._to_ns)
        border_ns = self._span.end_ns(self._span.begin_ns(clock_ns))
        if clock_ns < border_ns:
            self._note(clock_ns, border_ns, "the watch ended")
        while self._next_ns < limit_ns:
            yield from self._hand_out(self._span.end_ns(self._next_ns), clock_ns)
        for begin_ns in sorted(self._open):
            self._next_ns = begin_ns
            self._note(begin_ns, self._span.end_ns(begin_ns), "the watch ended")
            yield from self._hand_out(self._span.end_ns(begin_ns), clock_ns)

    def _candle(self, begin_ns: int, end_ns: int, price_decimals: int, size_decimals: int) -> Candle:
        return Candle(*self._names, self._width, begin_ns, end_ns, price_decimals, size_decimals, is_replay=self._is_replay)

    def _hand_out(self, end_ns: int, clock_ns: int) -> Iterator[Candle]:
        """Hand out the next candle, or skip it; what comes from here on for it is late."""
        begin_ns = self._next_ns
        self._next_ns = end_ns
        candle = self._open.pop(begin_ns, None)
        missed, told = self._missed.pop(begin_ns, 0), self._told.pop(begin_ns, None)
        self._empty = 0 if candle is not None or missed or told is not None else self._empty + 1
        if self._empty > MOST_EMPTY:
            self._skip(clock_ns)
            return
        if candle is None:
            candle = self._candle(begin_ns, end_ns, *self._decimals)
        self._decimals = candle.price_decimals, candle.size_decimals
        candle.gap, candle.missed = ", ".join(self._why(begin_ns, end_ns)), missed
        if told is not None:
            candle.late, candle.left_out = told
        yield candle

    def _skip(self, clock_ns: int) -> None:
        """Skip the candles without trades up to the next one with something to tell, or up to the clock's, and the one handed out now."""
        there = [begin for one in (self._open, self._missed, self._told) for begin in one]
        next_ns = max(min([*there, self._span.begin_ns(clock_ns)]), self._next_ns)
        self.skipped += 1 + (next_ns - self._next_ns) // (self._span.seconds * SECOND_NS)
        self._next_ns = next_ns

    def _why(self, begin_ns: int, end_ns: int) -> list[str]:
        """Reasons for which a candle is a gap, each once, in order of their begins."""
        while self._spans and self._spans[0][0] < end_ns:
            self._present.append(heapq.heappop(self._spans))
        self._present = [one for one in self._present if one[1] > begin_ns]
        found = [*self._present, *((since_ns, end_ns, why) for since_ns, why in self._down.values() if since_ns < end_ns)]
        return list(dict.fromkeys(why for *_, why in sorted(found)))

    def _note(self, since_ns: int, until_ns: int, why: str) -> None:
        until_ns = max(until_ns, since_ns + 1)  # a moment is a gap, too
        if until_ns > self._next_ns:
            heapq.heappush(self._spans, (since_ns, until_ns, why))

    def _tell(self, receive_ns: int, which: int) -> None:
        """Count a late trade (0) or one left out (1) in the oldest candle that is open when it was received."""
        begin_ns = max(self._span.begin_ns(receive_ns - (self._late_ns or 0)), self._next_ns)
        self._told.setdefault(begin_ns, [0, 0])[which] += 1

    def _remember(self, trade_id: str, time_ns: int) -> None:
        self._ids[trade_id] = self._ids.get(trade_id, 0) + 1
        self._met.append((trade_id, time_ns))
        if len(self._met) > MOST_IDS:
            oldest, oldest_ns = self._met.popleft()
            self._floor_ns = max(self._floor_ns, oldest_ns + 1)
            times = self._ids.pop(oldest) - 1
            if times:
                self._ids[oldest] = times


def _half_even(number: int, by: int) -> int:
    """Quotient of two integers, the second above 0, rounded half to even."""
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole & 1))
