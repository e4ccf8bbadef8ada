"""A list whose spare room tells of the row under its cursor, or of the row that was pinned.

    table      its rows, and no more lines than they need
    pane       the screen's own widgets, a few times a second; not drawn and not fed where there is no room

`x` pins the row: the pane stays with it wherever the cursor goes. Enter goes deeper, Esc comes back. `a` sets an alarm on the row
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
SHARED_FROM = 30  # rows of the body from which on a long table shares them with the pane
PANE_EVERY_NS = 250_000_000


class PaneScreen(ListScreen):
    """`compose_pane`, `show_pane` and `hide_pane` are the screen's."""

    other_rows = 0  # of the body, beside table and pane
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "pin", "Pin"),
        *RowKeys.ALARM_BINDINGS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self.pinned: Any = None
        self.pane_height = 0
        self._told: Any = None  # the key the pane is of
        self._pane_ns = 0

    # ··· for the screens ···

    def compose_pane(self) -> Iterable[Widget]:
        """The pane's widgets, beside each other."""
        raise NotImplementedError

    def show_pane(self, picture: Picture, key: Any) -> None:
        """Of the row with that key."""
        raise NotImplementedError

    def hide_pane(self) -> None:
        """Nothing of it is seen: what feeds it can stop."""

    # ··· what they share ···

    def compose_body(self) -> Iterable[Widget]:
        """The table, then the pane."""
        yield from super().compose_body()
        with Horizontal(id="pane"):
            yield from self.compose_pane()

    def show(self, picture: Picture) -> None:
        """The table at once, the pane a few times a second, or at once where it is of another row."""
        super().show(picture)
        self._share_room()
        key = self.table.chosen if self.pinned is None else self.pinned
        if not self.pane_height or key is None:
            return
        if key != self._told or abs(picture.taken_ns - self._pane_ns) >= PANE_EVERY_NS:
            self._told, self._pane_ns = key, picture.taken_ns
            self.show_pane(picture, key)

    def show_again(self) -> None:
        """Everything, at once."""
        self._told = None
        super().show_again()

    def _share_room(self) -> None:
        """How many rows the pane has; 0 where the table needs them."""
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
            self._told = None
            if not left:
                self.hide_pane()

    def on_resize(self, _: Resize) -> None:
        """Share the room anew."""
        self.show_again()

    def action_move(self, rows: int) -> None:
        """The cursor, and the pane with it."""
        super().action_move(rows)
        self._follow()

    def on_click(self) -> None:
        """The pointer may have moved the cursor."""
        self._follow()

    on_mouse_scroll_down = on_mouse_scroll_up = on_click

    def _follow(self) -> None:
        if self.pinned is None and self.pane_height and self.pulse.picture is not None and self.table.chosen != self._told:
            self._told, self._pane_ns = self.table.chosen, self.pulse.picture.taken_ns
            self.show_pane(self.pulse.picture, self._told)

    def decorated(self, row: Row) -> Row:
        """Marked while its alarm is passed."""
        return self.marked(row)

    def action_pin(self) -> None:
        """Keep the pane on the row under the cursor, or let it follow the cursor again."""
        self.pinned = self.table.chosen if self.pinned is None else None
        self.show_again()
