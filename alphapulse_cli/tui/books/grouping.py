"""Rungs of a ladder: levels grouped by price, with running totals from the best on; exact, in integers throughout.

    levels (ticks, lots), best first ─► groups of `step` ticks, bids down, asks up ─► rungs with running totals

A group never looks better than its levels: a bid's price is rounded down, an ask's up. A book may have more levels than its ladder
holds; rungs whose sums may lack some of these are not `whole`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from alphapulse_cli.tui.feed.picture import Level

STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)  # 1: not grouped


class Rung(NamedTuple):
    """One line of a side.

    `total` is the sum of lots from the best rung to this one, `parts` has the lots of each book if merged.
    """

    ticks: int
    lots: int
    total: int
    whole: bool = True
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rungs:
    """Both sides as they are drawn, best first.

    `best` is the best (bid, ask) in ticks before grouping; `moved` is made by `moves_of`; `is_cut` says of (bids, asks) whether the
    book has further levels that are not known here.
    """

    price_decimals: int
    size_decimals: int
    bids: Sequence[Rung] = ()
    asks: Sequence[Rung] = ()
    best: tuple[int | None, int | None] = (None, None)
    moved: Mapping[tuple[bool, int], int] = field(default_factory=dict)
    is_cut: tuple[bool, bool] = (False, False)

    def price(self, rung: Rung) -> Fraction:
        """Exact price of a rung, comparable across exchanges."""
        return Fraction(rung.ticks, 10**self.price_decimals)

    def rung_at(self, price: Fraction) -> int | None:
        """Ticks of that price; None if it is not on this ladder's grid."""
        ticks = price * 10**self.price_decimals
        return ticks.numerator if ticks.denominator == 1 else None

    def imbalance(self, count: int) -> Fraction | None:
        """Imbalance (bids - asks) / (bids + asks) of the best `count` rungs of each side; None without rungs."""
        bids, asks = (sum(rung.lots for rung in side[:count]) for side in (self.bids, self.asks))
        return Fraction(bids - asks, bids + asks) if bids + asks else None


def group_ticks(step: int, decimals: int, coarsest: int) -> int:
    """Size of a group in a ladder's own ticks, for `step` ticks of the coarsest exchange; a step of 1 means no grouping."""
    return 1 if step == 1 else step * 10 ** (decimals - coarsest)


def grouped(ticks: int, step: int, *, is_ask: bool) -> int:
    """Price of a tick's group: rounded down for a bid, up for an ask."""
    return -(-ticks // step) * step if is_ask else ticks // step * step


def rungs_of(levels: Sequence[Level], step: int, limit: int, *, is_ask: bool, is_cut: bool = False) -> list[Rung]:
    """Make the best `limit` rungs of levels. `is_cut`: the book has further levels, so that the last group may not be whole."""
    if step == 1:
        best = levels[:limit]
        sums = accumulate(lots for _, lots in best)
        return [Rung(ticks, lots, total) for (ticks, lots), total in zip(best, sums, strict=True)]
    made: list[Rung] = []
    price, sum_lots, total = None, 0, 0
    for ticks, lots in levels:
        at = grouped(ticks, step, is_ask=is_ask)
        if at != price:
            if price is not None:
                made.append(Rung(price, sum_lots, total))
                if len(made) == limit:
                    return made
            price, sum_lots = at, 0
        sum_lots += lots
        total += lots
    if price is not None:
        made.append(Rung(price, sum_lots, total, whole=not is_cut))
    return made


def moves_of(moved: Mapping[tuple[bool, int], tuple[int, int]], step: int) -> dict[tuple[bool, int], int]:
    """Moves by (is_ask, ticks of the rung): +2 or -2 for the newest ones, +1 or -1 for earlier ones, which fade.

    A group has the direction of its level that moved last.
    """
    latest: dict[tuple[bool, int], tuple[int, int]] = {}
    for (is_ask, ticks), (way, when) in moved.items():
        key = is_ask, grouped(ticks, step, is_ask=is_ask)
        if key not in latest or latest[key][1] <= when:
            latest[key] = way, when
    newest = max((when for _, when in latest.values()), default=0)
    return {key: way * (2 if when == newest else 1) for key, (way, when) in latest.items()}
