"""Depth chart in characters: the total size up to each price, bids left of the mid, asks right.

The floats of the drawing are made from exact sums. A column is a price, its height the total up to there; the edge of the hill is
drawn in eighths of a line.
"""

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.tui.books.grouping import Rung, Rungs
from alphapulse_cli.tui.books.ladder_text import Line, Piece

EIGHTHS = " ▁▂▃▄▅▆▇█"


def reach(rungs: Rungs) -> Fraction:
    """Distance from the mid, in ticks, up to which both sides are known; 0 without two sides."""
    if not rungs.bids or not rungs.asks:
        return Fraction(0)
    mid = Fraction(rungs.bids[0].ticks + rungs.asks[0].ticks, 2)
    below, above = mid - rungs.bids[-1].ticks, rungs.asks[-1].ticks - mid
    near = min(below, above)
    return near if near > 0 else max(below, above, Fraction(1))


def heights(side: Sequence[Rung], distances: Sequence[float], mid: float) -> list[int]:
    """Totals of a side, in lots, within each distance (ticks) from the mid."""
    steps = [abs(rung.ticks - mid) for rung in side]
    return [side[at - 1].total if at else 0 for at in (bisect_right(steps, distance) for distance in distances)]


def chart_lines(rungs: Rungs, width: int, height: int) -> list[Line]:
    """Lines of the chart: the hills and the prices below them; none if a side is missing or there is no room."""
    half, rows, far = width // 2, height - 2, float(reach(rungs))
    if not far or rows < 1 or half < 8:
        return []
    mid = (rungs.bids[0].ticks + rungs.asks[0].ticks) / 2
    distances = [far * (column + 1) / half for column in range(half)]
    bids, asks = (heights(side, distances, mid) for side in (rungs.bids, rungs.asks))
    most = max(bids[-1], asks[-1], 1)
    lines = [_title(rungs, bids[-1], asks[-1], width)]
    for row in range(rows):
        level = rows - 1 - row
        left, right = (
            _hill([total * rows * 8 // most - level * 8 for total in side], kind)
            for side, kind in ((bids[::-1], "bid"), (asks, "ask"))
        )
        lines.append((*left, *right))
    return [*lines, _axis(mid, far, rungs.price_decimals, half)]


def _hill(eighths: Sequence[int], kind: str) -> list[Piece]:
    """Pieces of one line of a hill: blank above it, its edge, full below."""
    runs = groupby(eighths, key=lambda height: height > 8)
    return [
        Piece("█" * len(list(run)), f"{kind}-hill")
        if is_below
        else Piece("".join([EIGHTHS[max(height, 0)] for height in run]), kind)
        for is_below, run in runs
    ]


def _title(rungs: Rungs, bids: int, asks: int, width: int) -> Line:
    left, right = f"bids {trim_text(bids, rungs.size_decimals)}", f"asks {trim_text(asks, rungs.size_decimals)}"
    room = width // 2 * 2 - len(left) - len(right)
    name = "depth" if room >= 9 else ""
    return (Piece(left, "bid"), Piece(name.center(max(room, 1)), "head"), Piece(right, "ask"))


def _axis(mid: float, far: float, decimals: int, half: int) -> Line:
    """Line of the axis: the mid, and the prices at both ends, to the tick."""
    ends = trim_text(round(mid - far), decimals), trim_text(round(mid * 10), decimals + 1), trim_text(round(mid + far), decimals)
    line = [" "] * (half * 2)
    for text, at in zip(ends, (0, half - len(ends[1]) // 2, half * 2 - len(ends[2])), strict=True):
        line[max(at, 0) : max(at, 0) + len(text)] = text
    return (Piece("".join(line)[: half * 2], "quiet"),)
