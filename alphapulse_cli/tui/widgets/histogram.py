"""Histogram of a distribution: samples a column on a logarithmic axis of time, with percentiles marked beneath.

    4,102 ┤      ▃█▅                    samples in the fullest column
          │    ▁▆███▄▂        ▁
          └──┴────────┴────────┴──
             10 µs    100 µs   1 ms
               ▲p50 ▲p90   ▲p99

A column counts the samples of the buckets in it; samples of a bucket that spans several columns are spread over them.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10

from alphapulse_cli.shm.histogram import LARGEST, QUANTILES, Distribution, bucket_end
from alphapulse_cli.tui.widgets.figures import duration
from alphapulse_cli.tui.widgets.lines import Line, bars

GUTTER = 9
LEAST_NS, MOST_NS = 1, LARGEST + 1
STEPS = (1, 2, 5, 10)
DEAREST_FIRST = ("p50", "p99", "max", "p90", "p99.9")

Axis = tuple[float, float]  # (log10 of its begin, log10 of its end), both in ns


def axis_of(distribution: Distribution) -> Axis:
    """Axis from a round figure at or below the smallest sample to one at or above the largest."""
    held = [bucket for bucket, count in enumerate(distribution.counts) if count]
    if not held:
        return 3.0, 6.0
    least, most = max(bucket_end(held[0] - 1) if held[0] else 0, LEAST_NS), max(bucket_end(held[-1]), 2)
    begin = max(step * 10 ** floor(log10(least)) for step in STEPS if step * 10 ** floor(log10(least)) <= least)
    end = min(step * 10 ** floor(log10(most)) for step in STEPS if step * 10 ** floor(log10(most)) >= most)
    return log10(begin), max(log10(end), log10(begin) + 0.3)


def column_of(ns: float, axis: Axis, width: int) -> int:
    """Column of a duration (ns) on an axis `width` columns wide; a duration beyond the axis is in the column at its end."""
    begin, end = axis
    return max(0, min(int((log10(max(ns, LEAST_NS)) - begin) / (end - begin) * width), width - 1))


def columns(distribution: Distribution, axis: Axis, width: int) -> list[float]:
    """Number of samples in each column; the sum is the distribution's count."""
    begin, end = axis
    scale = width / (end - begin)
    held = [0.0] * width
    for bucket, count in enumerate(distribution.counts):
        if not count:
            continue
        low = max(bucket_end(bucket - 1) + 1, LEAST_NS) if bucket else LEAST_NS
        first = max(0.0, min((log10(low) - begin) * scale, width - 1e-9))
        last = max(first, min((log10(bucket_end(bucket) + 1) - begin) * scale, width - 1e-9))
        if int(first) == int(last):
            held[int(first)] += count
            continue
        edges = [first, *range(int(first) + 1, int(last) + 1), last]
        for left, right in pairwise(edges):
            held[int(left)] += count * (right - left) / (last - first)
    return held


def shape(distribution: Distribution, axis: Axis, width: int) -> str:
    """The distribution as one line of blocks, `width` cells wide."""
    held = columns(distribution, axis, width)
    top = max(held)
    return bars([one / top for one in held], 1)[0] if top else " " * width


def ticks(axis: Axis, width: int) -> list[tuple[int, str]]:
    """(column, text) of the round figures on the axis for which there is room; powers of ten go first."""
    begin, end = axis
    decades = range(floor(begin), ceil(end) + 1)
    figures = [10**at for at in decades] + [step * 10**at for step in (2, 5) for at in decades]
    placed: list[tuple[int, str]] = []
    for figure in figures:
        text = duration(figure).replace(".00", "").replace(".0", "")
        at = round((log10(figure) - begin) / (end - begin) * width) if figure else -1
        free = all(at + len(text) + 1 < left or at > left + len(other) + 1 for left, other in placed)
        if at >= 0 and at + len(text) <= width and free:
            placed.append((at, text))
    return sorted(placed)


def marks(distribution: Distribution, axis: Axis, width: int, rows: int) -> list[str]:
    """Lines of percentiles, each a ▲ below its column with its name beside it; those without room in `rows` lines are left out."""
    named = {f"p{fraction * 100:g}": distribution.quantile(fraction) for fraction in QUANTILES}
    named["max"] = distribution.largest if distribution.count else None
    lines = [" " * width] * rows
    for name in DEAREST_FIRST:
        ns = named[name]
        if ns is None:
            continue
        at = column_of(ns, axis, width)
        for row, text, begin in [(row, *side) for row in range(rows) for side in ((f"▲{name}", at), (f"{name}▲", at - len(name)))]:
            end = begin + len(text)
            if begin >= 0 and end <= width and not lines[row][begin:end].strip():
                lines[row] = lines[row][:begin] + text + lines[row][end:]
                break
    return [line.rstrip() for line in lines]


def histogram_lines(distribution: Distribution, width: int, height: int) -> Sequence[Line]:
    """Lines of the histogram, `height` of `width` cells; no lines where there is too little room."""
    across, mark_rows = width - GUTTER, 2 if height >= 7 else 1
    tall = height - 2 - mark_rows
    if across < 12 or tall < 1:
        return []
    if not distribution.count:
        return [[("", "")], [(" no samples yet in these two minutes", "quiet")]]
    axis = axis_of(distribution)
    held = columns(distribution, axis, across)
    top = max(held)
    drawn = bars([one / top for one in held], tall)
    counts = [f"{top:,.0f} ┤".rjust(GUTTER), *["│".rjust(GUTTER)] * (tall - 1)]
    placed = ticks(axis, across)
    ruler, figures = list("─" * across), ""
    for at, text in placed:
        ruler[at] = "┴"
        figures = figures.ljust(at) + text
    return [
        *([(count, "quiet"), (line, "bar")] for count, line in zip(counts, drawn, strict=True)),
        [("└".rjust(GUTTER) + "".join(ruler), "quiet")],
        [(" " * GUTTER + figures, "quiet")],
        *([(" " * GUTTER + line, "mark")] for line in marks(distribution, axis, across, mark_rows)),
    ]
