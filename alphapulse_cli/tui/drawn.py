"""Text on the terminal by cell, derived from the escape sequences that were written to it.

    driver.write(data) ─► Drawn.take(data) ─► `text(x, y, width)`: compared by the watchdog with the text that should be there

Only Textual's own output is understood: it moves the cursor, then writes text in colours.
"""

import re

from rich.cells import cell_len

COLOURS = re.compile(r"\x1b\[[0-9;:]*m|\n")
TO = "\x1b["  # the cursor: TO row ; column H, both from 1
NEVER = "\0"  # text of a cell that was never written to


class Drawn:
    """Cells of a terminal that were written to."""

    def __init__(self) -> None:
        self._rows: dict[int, list[str]] = {}

    def take(self, data: str) -> None:
        """Take output that is written to the terminal."""
        for run in COLOURS.sub("", data).split(TO)[1:]:
            where, _, text = run.partition("H")
            row, _, column = where.partition(";")
            if text and row.isdecimal() and column.isdecimal():
                self._put(int(column) - 1, self._rows.setdefault(int(row) - 1, []), text)

    def _put(self, x: int, cells: list[str], text: str) -> None:
        if len(cells) < x:
            cells += [NEVER] * (x - len(cells))
        made = list(text) if len(text) == cell_len(text) else [part for one in text for part in (one, *[""] * (cell_len(one) - 1))]
        cells[x : x + len(made)] = made

    def text(self, x: int, y: int, width: int) -> str:
        """Text in `width` cells of line `y` from cell `x` on."""
        return "".join(self._rows.get(y, ())[x : x + width])
