"""Keys of every screen with a table: choose its columns (`c`), set an alarm on a row (`a`).

`c`   asks for names of columns in the order that is wanted; remembered for that screen
`a`   asks for the threshold of the row under the cursor; a row whose alarm is passed has a mark and a colour
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from alphapulse_cli.tui import columns
from alphapulse_cli.tui.alarms import BOOK, Key, about
from alphapulse_cli.tui.screens.prompts import Ask
from alphapulse_cli.tui.widgets.line_table import Column, LineTable, Row

if TYPE_CHECKING:
    from alphapulse_cli.tui.screens.base import PulseApp

RINGS = "!"  # before the name of a row whose alarm is passed


class RowKeys:
    """Mix in before PulseScreen, with a `table` of `COLUMNS`; `NAME` is what the choice is remembered under."""

    NAME: ClassVar[str] = ""
    COLUMNS: ClassVar[Sequence[Column]] = ()
    SCOPE: ClassVar[str] = BOOK  # of the rows' alarms
    MARKED: ClassVar[str] = "symbol"  # the column that has the mark
    COLUMN_BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "columns", "Choose the columns", show=False)]
    ALARM_BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "alarm", "Set an alarm on the row", show=False)]

    table: LineTable
    if TYPE_CHECKING:
        app: Any
        pulse: PulseApp
        show_again: Callable[[], None]
        notify: Callable[..., None]

    _columns = ""  # as they were chosen

    def use_columns(self) -> None:
        """The remembered columns, if they differ from the table's."""
        wanted = self.pulse.remembered(f"{self.NAME}.columns", "")
        if wanted != self._columns:
            self._columns = wanted
            self.table.set_columns(self.chosen_columns())

    def chosen_columns(self) -> list[Column]:
        """In their order."""
        return columns.chosen(self.COLUMNS, self._columns)

    def action_columns(self) -> None:
        """Ask which ones, and in which order."""

        def choose(text: str | None) -> None:
            if text is not None:
                self.pulse.remember(f"{self.NAME}.columns", " ".join(text.split()))
                self.show_again()

        names = " ".join(column.name for column in self.COLUMNS)
        said = f"{names}. In the order you want; the last go first. Empty: as at first."
        self.app.push_screen(Ask("columns", said, self._columns or names, lambda text: columns.wrong(self.COLUMNS, text)), choose)

    def alarm_key(self, key: Any) -> Key | None:
        """Name of a row among alarms, by its key; None where it can have none."""
        raise NotImplementedError

    def marked(self, row: Row) -> Row:
        """The row, with a mark while its alarm is passed."""
        key = self.alarm_key(row.key)
        if key is None or not self.pulse.alarms.is_passed(self.SCOPE, key):
            return row
        name = row.cells.get(self.MARKED, ("", ""))[0]
        return row._replace(cells={**row.cells, self.MARKED: (f"{RINGS}{name}", "alarm")})

    def action_alarm(self) -> None:
        """Ask for the threshold of the row under the cursor."""
        key = None if self.table.chosen is None else self.alarm_key(self.table.chosen)
        if key is None:
            self.notify("there is no row here that can have an alarm", timeout=2)
            return
        alarms = self.pulse.alarms

        def put(text: str | None) -> None:
            if text is not None:
                alarms.put(self.SCOPE, key, text)
                self.show_again()

        asked = Ask(
            f"alarm: {' '.join(key)}", about(self.SCOPE), alarms.text_of(self.SCOPE, key), partial(alarms.wrong, self.SCOPE, key)
        )
        self.app.push_screen(asked, put)
