"""A screen that is a table with the details of the row under its cursor: beneath it, or beside it where it is wide enough.

    picture ─► rows ─► sorted ─► table            `o` and a click on a title sort, Enter makes the details large, `c` and `a` as everywhere
                  └─► the cursor's ─► details     all is drawn again only where it has changed

Where there is no room the details are hidden first; Enter brings them in front of the table then too.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.base import PulseScreen
from alphapulse_cli.tui.screens.row_keys import RowKeys
from alphapulse_cli.tui.widgets.line_table import LineTable, Row, TableKeys, fitting

LEAST_TABLE = 5


class DetailedScreen(RowKeys, TableKeys, PulseScreen):
    """A table and the details of its row.

    Screens define the methods under "for the screens"; `NAME` is the key of remembered sorting.
    """

    SORTS: ClassVar[Sequence[str]] = ()  # names of columns, in the order of `o`; the first is the natural order
    LARGEST_FIRST: ClassVar[frozenset[str]] = frozenset()
    LEAST_DETAILS = 8
    BESIDE_FROM = 10_000  # columns of the terminal

    BINDINGS: ClassVar[list[BindingType]] = [
        *(binding for binding in TableKeys.TABLE_BINDINGS if binding.key != "enter"),  # type: ignore[union-attr]
        Binding("o", "sort", "Sort"),
        *RowKeys.COLUMN_BINDINGS,
        *RowKeys.ALARM_BINDINGS,
        Binding("enter", "choose", "Details"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = LineTable(self.COLUMNS, id="table")
        self._made_of: Any = None
        self._arranged: Any = None
        self.is_large = False
        self.details_height = 0

    # ··· for the screens ···

    def compose_details(self) -> Iterable[Widget]:
        """The details' widgets."""
        raise NotImplementedError

    def source(self, picture: Picture) -> Any:
        """The data of the rows; rows are rebuilt only when it differs from the last."""
        raise NotImplementedError

    def rows(self, picture: Picture, sorted_by: str, *, reverse: bool) -> list[Row]:
        """The rows that match the filter, in that order."""
        raise NotImplementedError

    def show_details(self, picture: Picture, key: Any) -> None:
        """Show the details of the row with that key; None for no row."""
        raise NotImplementedError

    def nothing(self, picture: Picture) -> str:
        """The sentence that the table shows without rows."""
        raise NotImplementedError

    # ··· shared by them ···

    def compose_body(self) -> Iterable[Widget]:
        """The table, then the details."""
        with Container(id="parts"):
            yield self.table
            with Container(id="details"):
                yield from self.compose_details()

    def show(self, picture: Picture) -> None:
        """Draw rows and details that have changed."""
        self.use_columns()
        by, reverse = self.sorting
        made_of = self.source(picture), self.nothing(picture), self.filter, by, reverse, self.pulse.alarms.passed
        if made_of != self._made_of:
            self._made_of = made_of
            rows = [self.marked(row) for row in self.rows(picture, by, reverse=reverse)]
            self.table.show_rows(rows, made_of[1], by, reverse=reverse)
        self._arrange()
        self.show_details(picture, self.table.chosen)

    def on_resize(self) -> None:
        """Divide the space among the widgets again."""
        self.show_again()

    def _arrange(self) -> None:
        """Divide the room: `details_height` rows for details, or none."""
        rows = len(self.table.rows)
        room = self.room
        is_beside, is_roomy = self.size.width >= self.BESIDE_FROM, room >= self.LEAST_DETAILS + LEAST_TABLE
        below = max(room - rows - 1, self.LEAST_DETAILS)
        is_large = self.is_large and rows > 0
        arranged = is_beside, is_roomy, below, is_large, rows > 0
        if arranged == self._arranged or not self.is_mounted:
            return
        self._arranged = arranged
        parts, details = self.query_one("#parts"), self.query_one("#details")
        parts.set_class(is_beside and not is_large, "-beside")
        self.table.display = not is_large
        details.display = is_large or (rows > 0 and (is_beside or is_roomy))
        self.details_height = room if is_beside or is_large else below
        details.styles.height = self.details_height

    @property
    def sorting(self) -> tuple[str, bool]:
        """(the column's name, whether in reverse), as remembered."""
        by, _, way = self.pulse.remembered(f"{self.NAME}.sort", "").partition(":")
        return (by, way == "down") if by in self.SORTS else (self.SORTS[0], self.SORTS[0] in self.LARGEST_FIRST)

    def sort_by(self, name: str, *, reverse: bool) -> None:
        """Sort by that column from now on, and in the next run."""
        self.pulse.remember(f"{self.NAME}.sort", f"{name}:{'down' if reverse else 'up'}")
        self.show_again()

    def action_sort(self) -> None:
        """Sort by the next visible column."""
        seen = {column.name for column in fitting(self.chosen_columns(), self.table.size.width or self.size.width)}
        names = [name for name in self.SORTS if name in seen]
        by = self.sorting[0]
        following = names[(names.index(by) + 1) % len(names)] if by in names else names[0]
        self.sort_by(following, reverse=following in self.LARGEST_FIRST)

    def on_line_table_header_clicked(self, event: LineTable.HeaderClicked) -> None:
        """Sort by that column; in reverse if the table is sorted by it already."""
        by, reverse = self.sorting
        if event.name in self.SORTS:
            self.sort_by(event.name, reverse=not reverse if event.name == by else event.name in self.LARGEST_FIRST)

    def on_line_table_chosen(self) -> None:
        """Show the details in place of the table, or the table again."""
        self.is_large = not self.is_large
        self.show_again()

    def action_move(self, rows: int) -> None:
        """Move the cursor by that many rows, and draw the details of its new row."""
        super().action_move(rows)
        self.show_again()

    def on_click(self) -> None:
        """Draw the details of the row under the cursor, which the mouse may have moved."""
        self.show_again()

    on_mouse_scroll_down = on_mouse_scroll_up = on_click

    def copy_text(self) -> str:
        """The table with all its columns, separated by tabs."""
        lines = ["\t".join(column.title for column in self.COLUMNS)]
        for row in self.table.rows:
            texts = [row.cells[column.name][0] for column in self.COLUMNS if column.name in row.cells]
            lines.append("\t".join(safe(text) for text in [*texts, row.rest[0]]).rstrip())
        return "\n".join(lines) if len(lines) > 1 else ""
