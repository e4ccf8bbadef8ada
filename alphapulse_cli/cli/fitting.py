"""Column widths of a table in a terminal: figures and names stay whole, prose wraps, columns without room are left out by rank."""

from collections.abc import Sequence
from dataclasses import dataclass

BETWEEN = 2  # blanks between two columns
LONGEST_WORD = 24  # a longer one, such as an address, may be broken


@dataclass(frozen=True, slots=True)
class Measure:
    """Widths of one column, in terminal cells.

    `least`: the smallest width that breaks no figure or word. `natural`: the smallest width that wraps no cell. `rank`: above 0 the
    column may be left out, the highest first.
    """

    least: int
    natural: int
    rank: int = 0


def measure(title: str, cells: Sequence[str], whole: bool, rank: int = 0) -> Measure:
    """Measure a column by its title and cells; `whole` forbids wrapping of cells, as for figures.

    A title may wrap between words.
    """
    from rich.cells import cell_len

    words = [title] if not cells else [title, *cells]
    natural = max(cell_len(text) for text in words)
    least = max(min(LONGEST_WORD, cell_len(word)) for text in words for word in text.split() or [""])
    if whole:
        least = max([least, *(cell_len(text) for text in cells)])
    return Measure(min(least, natural), natural, rank)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of that width, broken between words, all but the first indented; a word longer than a line is broken."""
    import textwrap

    indent = "  " if width > len("  ") else ""
    return textwrap.wrap(text, max(width, 1), subsequent_indent=indent, break_on_hyphens=False) or [""]


def fit(measures: Sequence[Measure], room: int) -> list[int] | None:
    """Width of each column within `room` cells, 0 for one left out; None if the unranked columns do not fit with whole words."""
    shown = list(range(len(measures)))

    def needed(widths: Sequence[int]) -> int:
        return sum(widths) + BETWEEN * (len(widths) - 1)

    while needed([measures[at].least for at in shown]) > room:
        dropped = max(shown, key=lambda at: (measures[at].rank, at), default=None)
        if dropped is None or not measures[dropped].rank:
            return None
        shown.remove(dropped)
    widths = {at: measures[at].natural for at in shown}
    while needed(list(widths.values())) > room:
        widest = max((at for at in shown if widths[at] > measures[at].least), key=lambda at: widths[at])
        widths[widest] -= 1
    return [widths.get(at, 0) for at in range(len(measures))]
