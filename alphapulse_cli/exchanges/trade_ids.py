"""Gap detection and deduplication by trade ids of one market, for exchanges whose ids grow by one.

    seen      ████████████░░░██████░████████▌          ids are kept across connections
              oldest       holes           newest

Rules, numbered as the tests number them:
  T1  An id above the newest + 1 opens a hole: TradesMissed, before the trade that shows it.
  T2  An id in a hole fills it: TradesRecovered, and the trade is published as history. So is one below the oldest id, from a
      subscription's snapshot; the ids between it and the oldest are a hole like any other.
  T3  A trade whose id was seen is not published again, from any frame, connection or answer.
  T4  The ids are reset if a trade with an id at or below the newest is more than a second newer: all seen ids are forgotten,
      and nothing is missed.
      Likewise if an id is more than MOST_STEP from all seen ids: no outage is that long, and no counter holds such sums.
  T5  At most MOST_HOLES holes are remembered. Beyond that the lowest is dropped: its trades stay missed, even if they arrive later.
  T6  Missing trades are fetched by REST, if the exchange serves them without keys: FIRST_FILL_NS after the hole opened (a
      subscription's snapshot may fill it first), then after longer pauses, FILL_TRIES times for each hole at the newest end. Only
      trades in holes are taken from the answer: newer ones come by the stream.
  T7  A trade may stand for several (OKX's `count`): its id is the last of them. It fills them all, and only ids before the first
      of them are missing. Without a count no id before it counts as missing.

Invariant: reported missed minus recovered trades = ids between the oldest and the newest that were never published.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from alphapulse_cli.market.events import Event, Trade, TradesMissed, TradesRecovered

MOST_HOLES = 256
BEGAN_ANEW_NS = 1_000_000_000
MOST_STEP = 1_000_000_000
FIRST_FILL_NS, FILL_PAUSES_NS = 1_000_000_000, (10_000_000_000, 60_000_000_000, 60_000_000_000)
FILL_TRIES = len(FILL_PAUSES_NS)

Numbered = tuple[int, Sequence[Trade]]  # a trade's id, and the trade on the grid of each instrument that shares the market
Counted = tuple[int, int, Sequence[Trade]]  # the same with the count of ids that it stands for (T7), 0 if unknown
SEEN, NEW, LATE = -1, 0, -2


class TradeIds:
    """Seen trade ids of one market, stored as the oldest, the newest and the holes between."""

    __slots__ = ("_fill_at_ns", "_hole_firsts", "_hole_lasts", "_newest_ns", "_tries", "newest", "oldest", "since_ns")

    def __init__(self) -> None:
        self._tries = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.oldest = self.newest = -1
        self._newest_ns: int | None = None
        self._hole_firsts: list[int] = []  # ascending, like `_hole_lasts`
        self._hole_lasts: list[int] = []
        self._fill_at_ns: int | None = None  # T6
        self.since_ns = 0  # the exchange's time of the last trade before the lowest hole that is being fetched; 0 = unknown

    @property
    def missing(self) -> int:
        """Number of trades in the remembered holes."""
        return sum(self._hole_lasts) - sum(self._hole_firsts) + len(self._hole_firsts)

    @property
    def holes(self) -> list[tuple[int, int]]:
        """Holes as (first, last) missing id, ascending."""
        return list(zip(self._hole_firsts, self._hole_lasts, strict=True))

    def misses(self, number: int) -> bool:
        """Whether the trade with that id is missing."""
        at = bisect_right(self._hole_firsts, number) - 1
        return at >= 0 and number <= self._hole_lasts[at]

    def take(self, numbered: Iterable[Numbered], now_ns: int) -> list[Event]:
        """Events of one frame's trades, in order of their ids; `now_ns` is CLOCK_MONOTONIC (T6)."""
        return self.take_counted([(number, 1, trades) for number, trades in numbered], now_ns)

    def take_counted(self, counted: Iterable[Counted], now_ns: int) -> list[Event]:
        """Events of one frame's trades that may each stand for several (T7)."""
        events: list[Event] = []
        recovered = 0
        instruments: list[Trade] = []
        for number, count, trades in sorted(counted, key=_number):
            verdict, missed, filled = self._place(number, count, trades[0].exchange_ns)
            if verdict == SEEN:
                continue
            if missed:
                self._opened(now_ns)
                events += [TradesMissed(trade.instrument, missed) for trade in trades]
            if verdict == LATE:
                if filled:
                    recovered += filled
                    instruments = list(trades)
                events += [trade if trade.history else replace(trade, history=True) for trade in trades]
            else:
                events += trades
        if recovered:
            events += [TradesRecovered(trade.instrument, recovered) for trade in instruments]
        return events

    def fill(self, numbered: Iterable[Numbered], now_ns: int) -> list[Event]:
        """T6: events of fetched trades; only those in holes are taken."""
        return self.take([one for one in numbered if self.misses(one[0])], now_ns)

    def wants_fill(self, now_ns: int) -> bool:
        """T6: whether to fetch missing trades now; True counts as requested."""
        if self._fill_at_ns is None or now_ns < self._fill_at_ns:
            return False
        if not self._hole_firsts or self._tries == FILL_TRIES:
            self._fill_at_ns = None
            return False
        self._fill_at_ns = now_ns + FILL_PAUSES_NS[self._tries]
        self._tries += 1
        return True

    def last_known(self, number: int) -> int:
        """Record the exchange's last trade id; returns how many trades it shows to be missing (T1)."""
        if self.newest < 0 or not self.newest < number <= self.newest + MOST_STEP:
            return 0
        missed = number - self.newest
        self._add_hole(len(self._hole_firsts), self.newest + 1, number)
        self.newest, self._newest_ns = number, None  # that trade is missing too, so its time is unknown
        return missed

    def _opened(self, now_ns: int) -> None:
        self._tries, self._fill_at_ns = 0, now_ns + FIRST_FILL_NS

    def _place(self, number: int, count: int, exchange_ns: int | None) -> tuple[int, int, int]:
        """Record an id as seen, the last of `count` ids (0: of all since the newest).

        Returns (NEW, LATE or SEEN; ids missed before it; missed ids that it fills).
        """
        newest = self.newest
        if number != newest + 1 and newest >= 0 and self._is_anew(number, exchange_ns):  # T4
            self._begin_anew()
            newest = -1
        first = number - count + 1 if count else newest + 1 if 0 <= newest < number else number
        if newest < 0:
            self.oldest = first
        if newest < 0 or number > newest:
            before_ns = self._newest_ns
            self.newest, self._newest_ns = number, exchange_ns
            missed = max(first - newest - 1, 0) if newest >= 0 else 0
            if missed:
                if self._fill_at_ns is None:
                    self.since_ns = before_ns or 0
                self._add_hole(len(self._hole_firsts), newest + 1, first - 1)
            return NEW, missed, 0
        if number < self.oldest:
            missed = self.oldest - number - 1
            if missed:
                self._add_hole(0, number + 1, self.oldest - 1)
            self.oldest = first
            return LATE, missed, 0
        filled = self._fill_some(first, number)
        return (LATE, 0, filled) if filled else (SEEN, 0, 0)

    def _is_anew(self, number: int, exchange_ns: int | None) -> bool:
        if number > self.newest:
            return number - self.newest > MOST_STEP
        if self.oldest - number > MOST_STEP:
            return True
        return exchange_ns is not None and self._newest_ns is not None and exchange_ns > self._newest_ns + BEGAN_ANEW_NS

    def _fill_some(self, first: int, number: int) -> int:
        """Remove the ids `first` to `number` from the hole that contains `number`; returns their count, 0 without a hole."""
        at = bisect_right(self._hole_firsts, number) - 1
        if at < 0 or number > self._hole_lasts[at]:
            return 0
        hole_first, hole_last = self._hole_firsts[at], self._hole_lasts[at]
        first = max(first, hole_first)
        below = [(hole_first, first - 1)] if hole_first < first else []
        above = [(number + 1, hole_last)] if number < hole_last else []
        self._hole_firsts[at : at + 1] = [hole[0] for hole in below + above]
        self._hole_lasts[at : at + 1] = [hole[1] for hole in below + above]
        self._bound()
        return number - first + 1

    def _add_hole(self, at: int, first: int, last: int) -> None:
        self._hole_firsts.insert(at, first)
        self._hole_lasts.insert(at, last)
        self._bound()

    def _bound(self) -> None:
        """T5: drop the lowest hole beyond MOST_HOLES."""
        if len(self._hole_firsts) > MOST_HOLES:
            del self._hole_firsts[0], self._hole_lasts[0]


def _number(counted: Counted) -> int:
    return counted[0]
