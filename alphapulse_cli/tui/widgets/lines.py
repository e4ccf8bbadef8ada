"""Widget of coloured text lines, made by a function when its size or its content has changed.

    show(what, make) ─► make(width, height) ─► Lines: text in kinds ─► Strips

The function makes no more lines than it was given room for, and knows no colours: a kind is a component class of the widget.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.tui.widgets.by_line import ByLine

KINDS = ("title", "bar", "faint", "mark", "quiet", "live", "waiting", "dead")

Line = Sequence[tuple[str, str]]  # (text, kind), kind "" is plain
MakeLines = Callable[[int, int], Sequence[Line]]

BLOCKS = " ▁▂▃▄▅▆▇█"


class Lines(ByLine):
    """The widget; empty until `show` is called."""

    can_focus = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{kind}" for kind in KINDS}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._what: Any = None
        self._make: MakeLines = lambda _width, _height: ()
        self._made: Sequence[Line] = ()
        self._made_for: Size | None = None

    def show(self, what: Any, make: MakeLines) -> None:
        """Draw the lines of `make(width, height)`; `what` is its data: data equal to the last are not drawn again."""
        if self._what is not what and self._what != what:
            self._what, self._make, self._made_for = what, make, None
            self.refresh()

    def lines(self) -> Sequence[Line]:
        """The lines, made for the present size."""
        self.measure()
        if self._made_for != self.room:
            self._made_for = self.room
            self._made = self._make(*self.room)
        return self._made

    def shown_on(self, y: int) -> Any:
        """Text and kinds of line `y`."""
        if self._made_for != self.room:
            self.lines()
        return self._made[y] if y < len(self._made) else ()

    def render_line(self, y: int) -> Strip:
        """Draw line `y`."""
        line = self.shown_on(y)
        return Strip([Segment(safe(text), self._style(kind)) for text, kind in line]).adjust_cell_length(
            self.room.width, self.ground
        )

    def _style(self, kind: str) -> Any:
        return self.get_component_rich_style(f"lines--{kind}") if kind else self.ground


def side_by_side(parts: Sequence[tuple[Sequence[Line], int]]) -> list[Line]:
    """Blocks of lines next to each other; each block is (lines, columns)."""
    height = max(len(lines) for lines, _ in parts)
    return [[run for lines, width in parts for run in in_width(lines[y] if y < len(lines) else (), width)] for y in range(height)]


def in_width(line: Line, width: int) -> Line:
    """The line in exactly `width` columns; a cut line ends in an ellipsis."""
    if sum(len(text) for text, _ in line) > width:
        return [*_cut(line, width - 1), ("…", "quiet")] if width > 0 else []
    return [*line, (" " * (width - sum(len(text) for text, _ in line)), "")]


def _cut(line: Line, width: int) -> Line:
    made: list[tuple[str, str]] = []
    for text, kind in line:
        made.append((text[: max(width, 0)], kind))
        width -= len(text)
    return made


def joined(parts: Sequence[str], width: int) -> str:
    """The parts separated by commas, as many as fit into `width`; at least the first."""
    text = parts[0]
    for one in parts[1:]:
        if len(text) + 2 + len(one) > width:
            break
        text += f", {one}"
    return text


def bars(parts: Sequence[float], height: int) -> list[str]:
    """Lines of upright bars, one for each part (0 … 1), `height` lines tall, top line first. Any part above 0 is visible."""
    eighths = [0 if part <= 0 else max(round(part * height * 8), 1) for part in parts]
    return ["".join(BLOCKS[max(0, min(one - below * 8, 8))] for one in eighths) for below in range(height - 1, -1, -1)]
