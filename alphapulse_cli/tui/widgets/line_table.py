"""Table drawn line by line, with a cursor and a header that sorts.

Screens give it rows; it keeps no other data.

    Column   name, title, width, and a rank: where the width is short the columns of the highest rank go first
    Row      a key that stays when everything else changes, and its cells: (text, kind); a kind is a component class of the widget

A column is as wide as its widest cell so far, so that nothing jumps; it grows to its limit, and what is longer is cut with an
ellipsis. The cursor stays on its row by the row's key, wherever sorting puts it; until it is moved it is on the first row. A table
without rows shows the sentence it was given.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.strip import Strip

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.tui.sentence import sentence_lines
from alphapulse_cli.tui.widgets.by_line import ByLine

GAP = 2
KINDS = ("bid", "ask", "best", "crossing", "live", "waiting", "dead", "quiet", "strong", "alarm")
TREND = "trend:"  # a kind; followed by a sign for the colour of each character of the text
UP, DOWN, LEVEL = "+", "-", "="
TREND_KINDS = {UP: "bid", DOWN: "ask", LEVEL: "quiet"}
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_CELLS = 4096  # largest number of cached cells


class Column(NamedTuple):
    """One column, `width` to `limit` wide; `rank` 0 stays for as long as there is room.

    `least`: what words may shrink to where not even rank 0 has room, ending in an ellipsis (1: their sign only). Figures are shown
    whole or not.
    """

    name: str
    title: str
    width: int
    rank: int = 0
    right: bool = True
    limit: int = 0  # 0: the width
    least: int = 0  # 0: the width


Cell = tuple[str, str]  # (text, kind): kind "" is plain


class Row(NamedTuple):
    """One row; `key` identifies it, `rest` is a sentence from the first column without a cell to the end of the line."""

    key: Any
    cells: Mapping[str, Cell]
    rest: Cell = ("", "")


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Columns that fit into `width` cells; columns are left out rank by rank, the highest first, rank 0 never."""
    for rank in range(max(column.rank for column in columns), 0, -1):
        kept = [column for column in columns if column.rank <= rank]
        if sum(column.width + GAP for column in kept) <= width + GAP:
            return kept
    return [column for column in columns if column.rank == 0]


def narrow(columns: Sequence[Column], widest: Mapping[str, int], width: int) -> list[Column]:
    """Columns of rank 0 made narrower, one cell apart: text columns shrink, then the last columns go; the first is always kept."""
    kept = [column for column in columns if column.rank == 0]
    least = [needed(column, widest.get(column.name, 0)) for column in kept]
    while len(kept) > 1 and sum(least) + len(least) - 1 > width:
        kept.pop()
        least.pop()
    left = max(width - sum(least) - len(least) + 1, 0)
    made = []
    for column, at_least in zip(kept, least, strict=True):
        more = min(left, max(column.width - at_least, 0))
        left -= more
        made.append(column._replace(width=min(at_least + more, width)))
    return made


def needed(column: Column, widest: int) -> int:
    """Least width of a column: for figures the widest cell or the title, for text `least`."""
    return min(max(widest, len(column.title)), column.width) if column.right else column.least or column.width


def fitted(text: str, width: int, *, right: bool) -> str:
    """The text in exactly `width` characters.

    A cut text ends in an ellipsis, so that a cut number is never taken for a whole one.
    """
    shown = text if len(text) <= width else text[:1] if width == 1 else f"{text[: max(width - 1, 0)]}…"[:width]
    return shown.rjust(width) if right else shown.ljust(width)


class Drawing(NamedTuple):
    """A drawn cell and its width."""

    segments: Sequence[Segment]
    width: int


class LineTable(ByLine):
    """The table's widget; `show_rows` sets its rows."""

    can_focus = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"table--{kind}" for kind in KINDS),
        "table--header",
        "table--cursor",
        "table--sorted",
    }

    class Chosen(Message):
        """Message that the row with that key was chosen, by Enter or a double click."""

        def __init__(self, key: Any) -> None:
            super().__init__()
            self.key = key

    class HeaderClicked(Message):
        """Message: a click on that column's title."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = list(columns)
        self._rows: list[Row] = []
        self._nothing = ""
        self._sorted_by, self._sign = "", ""
        self._key: Any = None
        self._top = 0
        self._fitting: tuple[int, list[Column]] | None = None
        self._gap = GAP
        self._widest: dict[str, int] = {}  # column -> width of its widest cell so far
        self._styles: dict[tuple[str, bool], Style] = {}
        self._cells: dict[tuple[str, str, int, bool, bool], Drawing] = {}
        self._at = 0  # the row under the cursor
        self._asked: list[tuple[Row, bool] | None] = []  # rows last passed on for drawing, by line below the header

    def notify_style_update(self) -> None:
        """Drop cached styles and cells: the theme has changed."""
        super().notify_style_update()
        self._styles.clear()
        self._cells.clear()

    def show_rows(self, rows: Sequence[Row], nothing: str, sorted_by: str = "", *, reverse: bool = False) -> None:
        """Show these rows from now on; `nothing` is the sentence shown where there are none."""
        self.measure()
        before = self._nothing, self._sorted_by, self._sign, self._shown()
        self._rows, self._nothing = list(rows), nothing
        self._sorted_by, self._sign = sorted_by, "▼" if reverse else "▲"
        grown = [self._grown(column) for column in self._columns]
        if grown != self._columns:
            self._columns, self._fitting = grown, None
        shown = self._shown()
        self._find_cursor()
        if before != (self._nothing, self._sorted_by, self._sign, shown) or not self._rows:
            self._draw_all()
        else:
            self._draw_changed()

    def _lines(self) -> list[tuple[Row, bool] | None]:
        return [self._on_line(y) for y in range(1, self.room.height)]

    def _draw_all(self) -> None:
        self._asked = self._lines()
        self.refresh()

    def _draw_changed(self) -> None:
        """Draw lines that differ from the last request.

        Textual does not report whether a request was drawn, so requests are compared.
        """
        before, self._asked = self._asked, self._lines()
        if len(before) != len(self._asked):
            self.refresh()
            return
        self.draw_lines(y for y, (old, new) in enumerate(zip(before, self._asked, strict=True), 1) if old != new)

    def _grown(self, column: Column) -> Column:
        if not column.right and column.limit <= column.width:
            return column
        widest = max((len(row.cells[column.name][0]) for row in self._rows if column.name in row.cells), default=0)
        if widest > self._widest.get(column.name, 0):
            self._widest[column.name] = widest
            self._fitting = None
        return column._replace(width=min(widest, column.limit)) if column.width < widest and column.width < column.limit else column

    def _shown(self) -> list[Column]:
        """The columns for which there is room, cached by width."""
        width = self.room.width
        if self._fitting is None or self._fitting[0] != width:
            columns, self._gap = fitting(self._columns, width), GAP
            if sum(column.width + GAP for column in columns) > width + GAP:
                columns, self._gap = narrow(self._columns, self._widest, width), 1
            self._fitting = width, columns
            self._cells.clear()
        return self._fitting[1]

    @property
    def rows(self) -> Sequence[Row]:
        """The rows, in their order."""
        return self._rows

    @property
    def chosen(self) -> Any:
        """Key of the row under the cursor; None without rows."""
        return self._rows[self._at].key if self._rows else None

    def _find_cursor(self) -> None:
        """Find the row under the cursor and the first visible row."""
        self._at = 0 if self._key is None else next((index for index, row in enumerate(self._rows) if row.key == self._key), 0)
        height = max(self.room.height - 1, 1)
        self._top = max(min(self._top, self._at, len(self._rows) - height), self._at - height + 1, 0)

    def _on_line(self, y: int) -> tuple[Row, bool] | None:
        """(row of line `y`, whether the cursor is on it); None below the last row."""
        index = self._top + y - 1
        return (self._rows[index], index == self._at) if index < len(self._rows) else None

    def move(self, rows: int) -> None:
        """Move the cursor by that many rows; a negative number is up."""
        if self._rows:
            at = max(0, min(self._at + rows, len(self._rows) - 1))
            self._key = self._rows[at].key if at else None
            self._find_cursor()
            self._draw_all()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show these columns from now on."""
        self._columns, self._fitting = list(columns), None
        self.refresh()

    def put_cursor(self, key: Any) -> None:
        """Put the cursor on the row with that key."""
        self._key = key
        self._find_cursor()
        self.refresh()

    def choose(self) -> None:
        """Post `Chosen` for the row under the cursor."""
        if self._rows:
            self.post_message(self.Chosen(self.chosen))

    def on_resize(self) -> None:
        """Draw all, since other rows may be visible."""
        self.measure()
        self._find_cursor()
        self._draw_all()

    def shown_on(self, y: int) -> Any:
        """Content of line `y`: the columns with the sorting's sign, or with the row; or the sentence."""
        if y == 0:
            return self._shown(), self._sorted_by, self._sign
        return (self._shown(), self._on_line(y)) if self._rows else self._nothing

    def render_line(self, y: int) -> Strip:
        """Draw line `y`; line 0 is the header."""
        here = self._on_line(y) if y else None
        if here is not None:
            return self._row(*here, self._shown())
        segments = self._header(self._shown()) if y == 0 else [] if self._rows else self._nothing_line(y)
        return Strip(segments).adjust_cell_length(self.room.width, self._style("", is_cursor=False))

    def _nothing_line(self, y: int) -> list[Segment]:
        """Line `y` of the sentence, which begins on the second line below the header."""
        lines = sentence_lines(self._nothing, self.room.width - 1)
        if not 0 <= y - 2 < len(lines):
            return []
        text, is_command = lines[y - 2]
        kind = "table--strong" if is_command else "table--quiet"
        return [Segment(f" {safe(text)}", self.get_component_rich_style(kind))]

    def _header(self, columns: Sequence[Column]) -> list[Segment]:
        plain, marked = self.get_component_rich_style("table--header"), self.get_component_rich_style("table--sorted")
        segments = []
        for column in columns:
            here = column.name == self._sorted_by
            title = fitted(f"{column.title}{self._sign}" if here else column.title, column.width, right=column.right)
            segments += [Segment(title, marked if here else plain), Segment(" " * self._gap, plain)]
        return segments

    def _row(self, row: Row, is_cursor: bool, columns: Sequence[Column]) -> Strip:
        """Strip of a row; cells are cached by text, kind, width and cursor."""
        segments: list[Segment] = []
        used, width = 0, self.room.width
        for column in columns:
            if row.rest[0] and column.name not in row.cells:
                text, kind = row.rest
                rest = fitted(safe(text), width - used, right=False)
                segments.append(Segment(rest, self._style(kind, is_cursor=is_cursor)))
                used += cell_len(rest)
                break
            cell = (*row.cells.get(column.name, ("", "")), column.width, column.right, is_cursor)
            drawn = self._cells.get(cell)
            if drawn is None:
                if len(self._cells) >= MOST_CELLS:
                    self._cells.clear()
                drawn = self._cells[cell] = self._cell(*cell)
            segments += drawn.segments
            used += drawn.width
        blank = self._style("", is_cursor=False)
        if used <= width:
            return Strip([*segments, Segment(" " * (width - used), blank)] if used < width else segments, width)
        return Strip(segments, used).adjust_cell_length(width, blank)

    def _cell(self, text: str, kind: str, width: int, right: bool, is_cursor: bool) -> "Drawing":
        """A cell and the gap after it, in as few segments as possible."""
        shown, ground = fitted(safe(text), width, right=right), self._style("", is_cursor=is_cursor)
        if kind.startswith(TREND):
            ways = kind[len(TREND) :].ljust(len(shown), LEVEL)
            segments = [
                Segment("".join(block for _, block in run), self._style(TREND_KINDS[way], is_cursor=is_cursor))
                for way, run in groupby(zip(ways, shown, strict=False), key=itemgetter(0))
            ]
        else:
            segments = [Segment(shown, self._style(kind, is_cursor=is_cursor))]
        style = segments[-1].style if segments else None
        if style is not None and style.bgcolor == ground.bgcolor and not style.reverse:  # a blank looks the same in these colours
            segments[-1] = Segment(segments[-1].text + " " * self._gap, style)
        else:
            segments.append(Segment(" " * self._gap, ground))
        return Drawing(segments, cell_len(shown) + self._gap)

    def _style(self, kind: str, *, is_cursor: bool) -> Style:
        """Style of a cell; cached until the theme changes."""
        key = kind, is_cursor
        if key not in self._styles:
            ground = self.get_component_rich_style("table--cursor") if is_cursor else self.ground
            self._styles[key] = ground + self.get_component_rich_style(f"table--{kind}", partial=True) if kind else ground
        return self._styles[key]

    def on_click(self, event: Click) -> None:
        """Click on a title: sort; on a row: put the cursor there; double click: open the row."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            at = 0
            for column in self._shown():
                if at <= offset.x < at + column.width + self._gap:
                    self.post_message(self.HeaderClicked(column.name))
                at += column.width + self._gap
        elif self._top + offset.y - 1 < len(self._rows):
            self._key = self._rows[self._top + offset.y - 1].key
            self._find_cursor()
            self._draw_all()
            if event.chain == 2:
                self.choose()

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        """Move the cursor by three rows."""
        self.move(3)

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Move the cursor by three rows."""
        self.move(-3)


class TableKeys:
    """Bindings of a screen whose main part is one table; mix in before PulseScreen and define `table`."""

    TABLE_BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown", "move(20)", "Page down", show=False),
        Binding("pageup", "move(-20)", "Page up", show=False),
        Binding("home", "move(-100000)", "First", show=False),
        Binding("end", "move(100000)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]

    table: LineTable

    def action_move(self, rows: int) -> None:
        """Move the cursor by that many rows."""
        self.table.move(rows)

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        self.table.choose()
