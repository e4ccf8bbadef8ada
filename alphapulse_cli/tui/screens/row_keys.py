"""Keys of every screen with a table: choose its columns (`c`), set an alarm on a row (`a`).

`c`   asks for the names of columns in the wanted order; remembered for that screen
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

RINGS = "!"  # mark before the name of a row whose alarm is passed


class RowKeys:
    """Mixin for a PulseScreen with a `table` of `COLUMNS`; the choice of columns is remembered under `NAME`.

    List it before PulseScreen.
    """

    NAME: ClassVar[str] = ""
    COLUMNS: ClassVar[Sequence[Column]] = ()
    SCOPE: ClassVar[str] = BOOK  # scope of the rows' alarms
    MARKED: ClassVar[str] = "symbol"  # the column with the alarm's mark
    COLUMN_BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "columns", "Choose the columns", show=False)]
    ALARM_BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "alarm", "Set an alarm on the row", show=False)]

    table: LineTable
    if TYPE_CHECKING:
        app: Any
        pulse: PulseApp
        show_again: Callable[[], None]
        notify: Callable[..., None]

    _columns = ""  # the chosen columns

    def use_columns(self) -> None:
        """Show the remembered columns, if they differ from the table's."""
        wanted = self.pulse.remembered(f"{self.NAME}.columns", "")
        if wanted != self._columns:
            self._columns = wanted
            self.table.set_columns(self.chosen_columns())

    def chosen_columns(self) -> list[Column]:
        """The chosen columns, in the chosen order."""
        return columns.chosen(self.COLUMNS, self._columns)

    def action_columns(self) -> None:
        """Ask for the columns and their order."""

        def choose(text: str | None) -> None:
            if text is not None:
                self.pulse.remember(f"{self.NAME}.columns", " ".join(text.split()))
                self.show_again()

        names = " ".join(column.name for column in self.COLUMNS)
        question = f"{names}. In the order you want; the last go first. Empty: as at first."
        self.app.push_screen(
            Ask("columns", question, self._columns or names, lambda text: columns.wrong(self.COLUMNS, text)), choose
        )

    def alarm_key(self, key: Any) -> Key | None:
        """The alarm's key of the row with that key; None if it cannot have an alarm."""
        raise NotImplementedError

    def marked(self, row: Row) -> Row:
        """Row with a mark while its alarm threshold is passed."""
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
