"""History of the last two minutes by second: a band for p99 above one for p50, each from zero on a scale of its own.

    1.20 ms ┤    █
        p99 │▂▁▁▂█▁▁▂ ▁▁▂
    41.0 µs ┤▇▇▆▇█▇▇▇ ▇▇▆
        p50 │████████ ███
             2 min           now

A second without a sample is a gap, marked with a dot, never a zero.
"""

from collections.abc import Sequence

from alphapulse_cli.tui.feed.picture import HISTORY
from alphapulse_cli.tui.widgets.figures import duration
from alphapulse_cli.tui.widgets.lines import Line, bars

GUTTER = 10
GAP = "·"

Second = tuple[int, int]  # (p50, p99) in ns; (0, 0) where nothing was recorded


def band(values: Sequence[int | None], name: str, kind: str, height: int, each: int) -> list[Line]:
    """Lines of one band, `each` columns a second; values in ns, None is a gap."""
    top = max((value for value in values if value is not None), default=0)
    drawn = bars([0.0 if value is None else max(value / max(top, 1), 1e-9) for value in values], height)
    gutters = [f"{duration(top)} ┤", *["│"] * (height - 1)]
    if height > 1:
        gutters[-1] = f"{name} │"
    lines: list[Line] = []
    for row, (gutter, line) in enumerate(zip(gutters, drawn, strict=True)):
        is_lowest = row == height - 1
        marked = "".join((GAP if is_lowest and value is None else one) * each for one, value in zip(line, values, strict=True))
        lines.append([(gutter.rjust(GUTTER), "quiet"), (marked, kind)])
    return lines


def history_lines(history: Sequence[Second], width: int, height: int) -> Sequence[Line]:
    """Lines of both bands in `width` cells and `height` lines, the newest second at the right end; none where there is too little room."""
    across, tall = width - GUTTER, (height - 1) // 2
    if across < 8 or tall < 1:
        return []
    if not history:
        return [[("", "")], [(" a second's figures come once a second has passed", "quiet")]]
    each = max(across // HISTORY, 1)
    shown = [None if second == (0, 0) else second for second in history[-(across // each) :]]
    lines = band([second and second[1] for second in shown], "p99", "faint", height - 1 - tall, each)
    lines += band([second and second[0] for second in shown], "p50", "bar", tall, each)
    ago, room = f"{len(shown)} s ago", len(shown) * each
    beneath = ago + "now".rjust(max(room - len(ago), 4))
    return [*lines, [(" " * GUTTER + (beneath if len(beneath) <= across else ago[:across]), "quiet")]]
