"""Columns of a ladder: their widths, which of them are left out where the room is short, and the alignment of sizes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alphapulse_cli.market.ticks import to_text, trim_text
from alphapulse_cli.tui.books.grouping import Rungs

LEAST_SIZE = 8


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of a line in cells: mark 1, price, star 1, then size, total and parts, each after a gap of 1; 0 if left out."""

    width: int
    price: int
    size: int
    total: int
    parts: int

    @property
    def begin(self) -> int:
        """Cell at which the bars begin."""
        return self.price + 2


def price_width(rungs: Rungs) -> int:
    """Width of the longest price, which is the best or the last of a side."""
    ends = [rung.ticks for side in (rungs.bids, rungs.asks) for rung in (*side[:1], *side[-1:])]
    return max((len(to_text(ticks, rungs.price_decimals)) for ticks in ends), default=5)


def size_width(lots: Iterable[int], decimals: int, least: int) -> int:
    """Width of the longest size with all its digits, at least `least` of them before the point."""
    whole = max(len(str(max(lots, default=0) // 10**decimals)), least)
    return whole + 1 + decimals if decimals else whole


def widths(rungs: Rungs) -> tuple[int, int, int]:
    """Three widths of a ladder: the least, with every digit of the sizes, and of the totals too."""
    sides, decimals = (rungs.bids, rungs.asks), rungs.size_decimals
    begin = price_width(rungs) + 2
    plain = begin + 1 + size_width((rung.lots for side in sides for rung in side), decimals, 3)
    return begin + 1 + LEAST_SIZE, plain, plain + 1 + size_width((side[-1].total for side in sides if side), decimals, 5)


def columns(rungs: Rungs, width: int, parts: int = 0) -> Columns:
    """Columns that fit into `width`: the size always, then the parts, then the total."""
    price = price_width(rungs)
    _, plain, full = widths(rungs)
    size, total = plain - price - 3, full - plain - 1
    room = width - price - 2
    parts = parts if room >= parts + 1 + LEAST_SIZE + 1 else 0
    room -= parts + 1 if parts else 0
    left = room - 1 - size - 1
    if left < min(LEAST_SIZE, total):
        return Columns(width, price, max(min(room - 1, size), 1), 0, parts)
    return Columns(width, price, size, min(left, total), parts)


def size_cells(values: Sequence[int], decimals: int, width: int) -> list[str]:
    """Cells of a column of sizes (lots), aligned at their points, each exactly `width` wide; missing digits are an ellipsis."""
    whole = max((len(str(value // 10**decimals)) for value in values), default=1)
    shown = max(min(decimals, width - whole - 1), 0)
    return [_size_cell(value, decimals, shown, width) for value in values]


def _size_cell(value: int, decimals: int, shown: int, width: int) -> str:
    whole, _, fraction = trim_text(value, decimals).partition(".")
    if len(fraction) > shown:
        fraction = f"{fraction[: shown - 1]}…" if shown else ""
        whole = whole if shown else f"{whole}…"
    text = f"{whole}.{fraction}" if fraction else whole
    text = text.ljust(len(whole) + 1 + shown) if shown else text
    return text.rjust(width) if len(text) <= width else f"{text[: width - 1]}…"
