"""Deduplication of one market's trades: each is published once, whichever frame carries it. Bitfinex's ids grow, but have gaps.

    te 5 ─► published      tu 5 ─► repetition      te 9 ─► published, nothing is missed      snapshot 3 … 9 ─► 7 as history

A gap in the ids is no loss, so ids cannot reveal a loss; the connection's sequence numbers do. After a sequence break, and after
any other end of a connection or subscription, the new one begins with the last 30 trades. The new ones among them are published as
history. If the oldest of them is newer than all seen trades, there may be more in between: that is reported as at least one missed
trade, and the missing part is fetched by REST; after its arrival the one missed trade is reported as recovered.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from alphapulse_cli.market.events import Event, Trade, TradesMissed, TradesRecovered

IDS_KEPT = 4096  # most ids remembered; older ones count as seen
FIRST_FILL_NS, FILL_PAUSES_NS = 1_000_000_000, (10_000_000_000, 60_000_000_000, 60_000_000_000)

Numbered = tuple[int, Trade]


class SeenTrades:
    """Trade ids of one market that were seen, and the range that is being fetched. Times are CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.newest = -1
        self._newest_ns = 0  # the exchange's time of the newest trade
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._floor = -1  # ids up to this one count as seen
        self._hole: tuple[int, int] | None = None  # range of ids (exclusive) in which trades may be missing
        self.since_ms = 0  # the exchange's time of the last trade before that
        self._fill_at_ns = self._tries = 0

    def take(self, number: int, trade: Trade) -> list[Event]:
        """Events of a trade as it happens."""
        if not self._note(number, trade):
            return []
        return [trade]

    def take_past(self, trades: Sequence[Numbered], now_ns: int) -> list[Event]:
        """Events of the snapshot of trades with which a subscription begins."""
        ordered = sorted(trades, key=_number)
        events: list[Event] = []
        if ordered and 0 <= self.newest < ordered[0][0]:
            if self._hole is None:
                events.append(TradesMissed(ordered[0][1].instrument, 1))
                self._hole, self.since_ms = (self.newest, ordered[0][0]), self._newest_ns // 1_000_000
            else:  # the missing range grows
                self._hole = self._hole[0], ordered[0][0]
            self._fill_at_ns, self._tries = now_ns + FIRST_FILL_NS, 0
        return events + [_as_history(trade) for number, trade in ordered if self._note(number, trade)]

    def fill(self, trades: Sequence[Numbered]) -> list[Event]:
        """Events of fetched trades in the missing range, which then begins at the last of them, or ends."""
        if self._hole is None or not trades:
            return []
        first, last = self._hole
        ordered = sorted(trades, key=_number)
        missing = [(number, trade) for number, trade in ordered if first < number < last and number not in self._seen]
        for number, _ in missing:
            self._keep(number)
        instrument = ordered[0][1].instrument
        self._hole = None
        if ordered[-1][0] < last and ordered[-1][0] > first:  # the answer ends within the range
            self._hole, self.since_ms = (ordered[-1][0], last), (ordered[-1][1].exchange_ns or 0) // 1_000_000
        done: list[Event] = [] if self._hole else [TradesRecovered(instrument, 1)]
        return [*(_as_history(trade) for _, trade in missing), *done]

    def wants_fill(self, now_ns: int) -> bool:
        """Whether to fetch the missing range now; True counts as requested."""
        if self._hole is None or now_ns < self._fill_at_ns or self._tries == len(FILL_PAUSES_NS):
            return False
        self._fill_at_ns = now_ns + FILL_PAUSES_NS[self._tries]
        self._tries += 1
        return True

    def _note(self, number: int, trade: Trade) -> bool:
        """Record a trade; returns whether it is new."""
        if number in self._seen or number <= self._floor:
            return False
        if number > self.newest:
            self.newest, self._newest_ns = number, trade.exchange_ns or 0
        self._keep(number)
        return True

    def _keep(self, number: int) -> None:
        self._seen[number] = None
        while len(self._seen) > IDS_KEPT:
            oldest, _ = self._seen.popitem(last=False)
            self._floor = max(self._floor, oldest)


def _as_history(trade: Trade) -> Trade:
    return trade if trade.history else replace(trade, history=True)


def _number(numbered: Numbered) -> int:
    return numbered[0]
