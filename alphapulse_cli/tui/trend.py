"""Trend of a price, one cell a sample: the height is the price, the colour whether it is above or below the first sample.

    mids of a symbol on all its exchanges ─► one Scale ─► trend_cell of each: "▃▃▄▅▇↑" and the side of each block

All exchanges of a symbol have one scale, so equal heights are equal prices. A spike does not flatten the rest: a price further
beyond the range of the middle 90 % than half of that range is drawn as an arrow at the edge, ↑ or ↓.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alphapulse_cli.tui.feed.picture import BookPicture
from alphapulse_cli.tui.widgets.line_table import BLOCKS, DOWN, LEVEL, TREND, UP, Cell

ABOVE, BELOW = "↑", "↓"
LOW_PART, HIGH_PART, REACH = 0.05, 0.95, 0.5


class Scale(NamedTuple):
    """The lowest and the highest price that are drawn as a height; a price beyond them is drawn as an arrow."""

    low: float
    high: float

    def height(self, price: float, steps: int) -> int:
        """Height of a price, 0 to `steps`; -1 below and `steps` + 1 above the scale; the middle where the scale has one price only."""
        if price < self.low:
            return -1
        if price > self.high:
            return steps + 1
        return steps // 2 if self.low == self.high else round((price - self.low) / (self.high - self.low) * steps)


def scale_of(prices: Iterable[float]) -> Scale:
    """The scale from the lowest to the highest of these prices, spikes left out."""
    ranked = sorted(prices)
    if not ranked:
        return Scale(0.0, 0.0)
    low, high = (ranked[round(part * (len(ranked) - 1))] for part in (LOW_PART, HIGH_PART))
    reach = (high - low) * REACH
    return Scale(max(ranked[0], low - reach), min(ranked[-1], high + reach))


def trend_cell(mids: Sequence[float], scale: Scale) -> Cell:
    """(text, kind) of a table's cell: one block a sample; the kind is TREND and a sign a block for its side of the first sample."""
    if not mids:
        return "", ""
    steps = len(BLOCKS) - 1
    drawn = BELOW + BLOCKS + ABOVE  # index: height + 1
    ways = (UP if mid > mids[0] else DOWN if mid < mids[0] else LEVEL for mid in mids)
    return "".join(drawn[scale.height(mid, steps) + 1] for mid in mids), TREND + "".join(ways)


class Scales:
    """Cache of each symbol's scale, kept while no new sample has come."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[list[Sequence[float]], Scale]] = {}

    def of(self, books: Iterable[BookPicture]) -> dict[str, Scale]:
        """Symbol -> the scale of the samples of all its books."""
        samples: dict[str, list[Sequence[float]]] = {}
        for book in books:
            samples.setdefault(book.status.symbol, []).append(book.mids)
        self._held = {symbol: self._one(symbol, mids) for symbol, mids in samples.items()}
        return {symbol: scale for symbol, (_, scale) in self._held.items()}

    def _one(self, symbol: str, samples: list[Sequence[float]]) -> tuple[list[Sequence[float]], Scale]:
        held = self._held.get(symbol)
        if held is not None and len(held[0]) == len(samples) and all(a is b for a, b in zip(held[0], samples, strict=True)):
            return held
        return samples, scale_of(mid for mids in samples for mid in mids)
