"""Base of a list screen with a pane below the table: details of the row under the cursor, or of the pinned row.

    table      the rows, and no more lines than they need
    pane       the screen's own widgets, a few times a second; not drawn and not fed if there is no room

`x` pins the row: the pane keeps it while the cursor moves. Enter opens the row, Esc comes back. `a` sets an alarm on the row
under the cursor; a row whose alarm is passed has a mark and a colour.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.widget import Widget

from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.listing import ListScreen
from alphapulse_cli.tui.screens.row_keys import RowKeys
from alphapulse_cli.tui.widgets.line_table import Row

LEAST_PANE, LEAST_TABLE = 6, 4
SHARED_FROM = 30  # rows of the body from which on the pane has a part of them even where the table is long
PANE_EVERY_NS = 250_000_000


class PaneScreen(ListScreen):
    """A list with a pane. Screens define `compose_pane`, `show_pane` and `hide_pane`."""

    other_rows = 0  # rows of the body for other widgets than table and pane
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "pin", "Pin"),
        *RowKeys.ALARM_BINDINGS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self.pinned: Any = None
        self.pane_height = 0
        self._pane_key: Any = None  # key of the row that the pane shows
        self._pane_ns = 0

    # ··· for the screens ···

    def compose_pane(self) -> Iterable[Widget]:
        """The pane's widgets, beside each other."""
        raise NotImplementedError

    def show_pane(self, picture: Picture, key: Any) -> None:
        """Draw the pane of the row with that key."""
        raise NotImplementedError

    def hide_pane(self) -> None:
        """Stop what feeds the pane, since it is hidden."""

    # ··· shared by them ···

    def compose_body(self) -> Iterable[Widget]:
        """The table, then the pane."""
        yield from super().compose_body()
        with Horizontal(id="pane"):
            yield from self.compose_pane()

    def show(self, picture: Picture) -> None:
        """Draw the table, and the pane at most every PANE_EVERY_NS or when its row is another one."""
        super().show(picture)
        self._share_room()
        key = self.table.chosen if self.pinned is None else self.pinned
        if not self.pane_height or key is None:
            return
        if key != self._pane_key or abs(picture.taken_ns - self._pane_ns) >= PANE_EVERY_NS:
            self._pane_key, self._pane_ns = key, picture.taken_ns
            self.show_pane(picture, key)

    def show_again(self) -> None:
        """Draw the table and the pane at once."""
        self._pane_key = None
        super().show_again()

    def _share_room(self) -> None:
        """Set the pane's number of rows; 0 where the table needs them."""
        if not self.is_mounted:
            return
        room, rows = self.room - self.other_rows, len(self.table.rows)
        left = room - max(rows + 1, LEAST_TABLE)
        if left < LEAST_PANE:
            left = room * 2 // 5 if room >= SHARED_FROM else 0
        left = left if rows else 0
        if left != self.pane_height:
            self.pane_height = left
            pane = self.query_one("#pane")
            pane.display = bool(left)
            pane.styles.height = left
            self._pane_key = None
            if not left:
                self.hide_pane()

    def on_resize(self, _: Resize) -> None:
        """Divide the space among the widgets again."""
        self.show_again()

    def action_move(self, rows: int) -> None:
        """Move the cursor by that many rows, and the pane with it."""
        super().action_move(rows)
        self._follow()

    def on_click(self) -> None:
        """Draw the pane of the row under the cursor, which the mouse may have moved."""
        self._follow()

    on_mouse_scroll_down = on_mouse_scroll_up = on_click

    def _follow(self) -> None:
        if self.pinned is None and self.pane_height and self.pulse.picture is not None and self.table.chosen != self._pane_key:
            self._pane_key, self._pane_ns = self.table.chosen, self.pulse.picture.taken_ns
            self.show_pane(self.pulse.picture, self._pane_key)

    def decorated(self, row: Row) -> Row:
        """The row, with a mark while its alarm is passed."""
        return self.marked(row)

    def action_pin(self) -> None:
        """Keep the pane on the row under the cursor, or let it follow the cursor again."""
        self.pinned = self.table.chosen if self.pinned is None else None
        self.show_again()
