"""Chart of a book's mid and spread over the last minutes, as lines; in floats, for drawing only.

    64,120.50 ┤      ▃▅█▆       the mid, from its lowest to its highest here; green above where it began, red below
              │  ▂▄▇█████▇▅
    64,113.00 ┤▆███████████
     spread   │▁▁▂▁▁█▁▁▁▂▁▁     in basis points, from 0 to the widest; ↑ wider than the scale, which a spike does not stretch
              -8 min      now

A column covers as many seconds as needed for all of them to fit; a column without a LIVE second is blank.
"""

from collections.abc import Callable, Sequence

from alphapulse_cli.tui.books.ladder_text import Line, Piece
from alphapulse_cli.tui.feed.picture import Moment
from alphapulse_cli.tui.trend import ABOVE, BELOW, Scale, scale_of
from alphapulse_cli.tui.widgets.lines import bars

LEAST_WIDTH, LEAST_HEIGHT = 24, 5
MOST_HEIGHT = 18
SPREAD_ROWS = 2
WORDS = "collecting: a sample a second"

MakeChart = Callable[[Sequence[Moment | None], int, int, int], list[Line]]  # of (history, places, width, height)


def columns(history: Sequence[Moment | None], width: int) -> tuple[list[Moment | None], int]:
    """Columns of the chart, each with mean mid and widest spread (None without a LIVE second), and the seconds a column."""
    seconds = max(1, -(-len(history) // max(width, 1)))
    made: list[Moment | None] = []
    for at in range(0, len(history), seconds):
        known = [one for one in history[at : at + seconds] if one is not None]
        made.append(Moment(sum(one.mid for one in known) / len(known), max(one.spread_bps for one in known)) if known else None)
    return made, seconds


class Chart:
    """Cache of the last chart, which is drawn more often than its history changes (once a second)."""

    def __init__(self) -> None:
        self._made: tuple[tuple[Sequence[Moment | None], int, int, int], list[Line]] | None = None

    def lines(self, history: Sequence[Moment | None], places: int, width: int, height: int) -> list[Line]:
        """Lines as from `chart_lines`, kept while history and room are the same."""
        made = self._made
        if made is None or made[0][0] is not history or made[0][1:] != (places, width, height):
            self._made = made = (history, places, width, height), chart_lines(history, places, width, height)
        return made[1]


def chart_lines(history: Sequence[Moment | None], places: int, width: int, height: int) -> list[Line]:
    """Lines of the chart in that room, prices with `places` decimals; a sentence without two samples, [] without room."""
    height = min(height, MOST_HEIGHT)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return []
    known = [one for one in history if one is not None]
    if len(known) < 2:
        return [(Piece(f" mid and spread: {WORDS}", "quiet"),)]
    scale, widest = scale_of(one.mid for one in known), scale_of(one.spread_bps for one in known).high
    tags = [f"{price:,.{places}f}" for price in (scale.high, scale.low)]
    label = max(*map(len, tags), len("spread bps")) + 1
    shown, seconds = columns(history, width - label - 2)
    rows = height - SPREAD_ROWS - 1
    lines = _mid_lines(shown, scale, known[0].mid, rows, tags, label)
    lines += _spread_lines(shown, widest, label)
    return [*lines, _axis(len(shown) * seconds, len(shown), label)]


def _mid_lines(
    shown: Sequence[Moment | None], scale: Scale, start: float, rows: int, tags: Sequence[str], label: int
) -> list[Line]:
    """Lines of the mid: the area, with the highest and lowest price of the scale beside it."""
    drawn = [_cells(one, scale, rows) for one in shown]
    kinds = ["quiet" if one is None or one.mid == start else "bid" if one.mid > start else "ask" for one in shown]
    lines: list[Line] = []
    for row in range(rows):
        tag = tags[0] if not row else tags[1] if row == rows - 1 else ""
        pieces = [Piece(f"{tag.rjust(label)} {'┤' if tag else '│'}", "quiet")]
        pieces += _runs([cells[row] for cells in drawn], kinds)
        lines.append(tuple(pieces))
    return lines


def _cells(one: Moment | None, scale: Scale, rows: int) -> Sequence[str]:
    """Cells of a column, the uppermost first."""
    if one is None:
        return " " * rows
    if one.mid > scale.high:
        return ABOVE + "█" * (rows - 1)
    if one.mid < scale.low:
        return " " * (rows - 1) + BELOW
    span = scale.high - scale.low
    return bars([(one.mid - scale.low) / span if span else 0.5], rows)


def _spread_lines(shown: Sequence[Moment | None], widest: float, label: int) -> list[Line]:
    parts = [0.0 if one is None else min(one.spread_bps / widest, 1.0) if widest > 0 else 0.0 for one in shown]
    upper, *lower = bars(parts, SPREAD_ROWS)
    marked = "".join(ABOVE if one is not None and one.spread_bps > widest else cell for one, cell in zip(shown, upper, strict=True))
    tags = ("spread bps", f"{widest:,.2f}", *[""] * SPREAD_ROWS)
    return [
        (Piece(f"{tag.rjust(label)} │", "quiet"), Piece(line, "mid")) for tag, line in zip(tags, (marked, *lower), strict=False)
    ]


def _axis(seconds: int, width: int, label: int) -> Line:
    ago = f"-{seconds} s" if seconds < 120 else f"-{seconds / 60:.0f} min"
    return (Piece(" " * (label + 2) + ago.ljust(max(width - len("now"), len(ago) + 1)) + "now", "quiet"),)


def _runs(cells: Sequence[str], kinds: Sequence[str]) -> list[Piece]:
    """Pieces of cells, neighbours of the same kind joined."""
    made: list[Piece] = []
    for cell, kind in zip(cells, kinds, strict=True):
        if made and made[-1].kind == kind:
            made[-1] = Piece(made[-1].text + cell, kind)
        else:
            made.append(Piece(cell, kind))
    return made
