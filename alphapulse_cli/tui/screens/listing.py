"""Base of a screen that is one table: items made of the picture are filtered, sorted and drawn.

    picture ─► items ─► filtered ─► sorted ─► a row each ─► LineTable

`o` sorts by the next sortable column, `r` reverses the order, a click on a title does either. Both
are remembered. Items without a value are last either way.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.base import PulseScreen
from alphapulse_cli.tui.screens.row_keys import RINGS, RowKeys
from alphapulse_cli.tui.widgets.line_table import LineTable, Row, TableKeys

Order = Callable[[Any], Any]  # an item's value to sort by; None if it has no value


class ListScreen(RowKeys, TableKeys, PulseScreen):
    """`NAME` is its name in the memory, `ORDERS` what can be sorted by: column -> value; the first is the order at the beginning.

    Columns of `LARGEST_FIRST` begin with their largest.
    """

    ORDERS: ClassVar[Mapping[str, Order]] = {}
    LARGEST_FIRST: ClassVar[frozenset[str]] = frozenset()
    BINDINGS: ClassVar[list[BindingType]] = [
        *TableKeys.TABLE_BINDINGS,
        Binding("o", "sort", "Sort"),
        Binding("r", "reverse", "Reverse the order", show=False),
        *RowKeys.COLUMN_BINDINGS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self.table = LineTable(self.COLUMNS)
        self._rows: list[Row] = []

    def compose_body(self) -> Iterable[Widget]:
        """The table, the body's one widget."""
        yield self.table

    def items(self, picture: Picture) -> Iterable[Any]:
        """The picture's items that match the filter."""
        raise NotImplementedError

    def row(self, item: Any) -> Row:
        """The table's row of an item."""
        raise NotImplementedError

    def decorated(self, row: Row) -> Row:
        """The row with additions that every row of the screen gets, such as an alarm's mark."""
        return row

    def nothing(self, picture: Picture) -> str:
        """The sentence shown where there are no items."""
        raise NotImplementedError

    @property
    def order(self) -> tuple[str, bool]:
        """(column, whether the largest values come first), as remembered."""
        name, sign, _ = self.pulse.remembered(f"{self.NAME}.order", "").partition("-")
        if name in self.ORDERS:
            return name, bool(sign)
        first = next(iter(self.ORDERS), "")
        return first, first in self.LARGEST_FIRST

    def show(self, picture: Picture) -> None:
        """Draw the items, sorted."""
        self.use_columns()
        by, reverse = self.order
        found = list(self.items(picture))
        if by:
            found = ordered(found, self.ORDERS[by], reverse=reverse)
        self._rows = [self.decorated(self.row(item)) for item in found]
        sentence = f"Nothing has all of: {self.filter}. Esc shows everything." if self.filter else self.nothing(picture)
        self.table.show_rows(self._rows, sentence, by, reverse=reverse)

    def copy_text(self) -> str:
        """The titles and the rows with all columns, aligned."""
        lines = [[column.title for column in self.COLUMNS]]
        lines += [[row.cells.get(column.name, ("", ""))[0] for column in self.COLUMNS] for row in self._rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.COLUMNS))]
        return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines)

    def open_symbol(self, symbol: str) -> None:
        """Open the ladders of that symbol."""
        if symbol:
            self.pulse.remember("books.symbol", symbol)
            self.pulse.go("Books", is_deeper=True)

    def jump(self, symbol: str) -> None:
        """Move the cursor to the first row of that symbol; where it has no row, open its ladders."""
        found = next((row.key for row in self._rows if row.cells.get("symbol", ("", ""))[0].removeprefix(RINGS) == symbol), None)
        if found is None:
            super().jump(symbol)
        else:
            self.table.put_cursor(found)
            self.show_again()

    def _sort_by(self, name: str, *, reverse: bool) -> None:
        self.pulse.remember(f"{self.NAME}.order", f"{name}{'-' if reverse else ''}")
        self.show_again()

    def action_sort(self) -> None:
        """Sort by the next sortable column."""
        names = list(self.ORDERS)
        if names:
            name = names[(names.index(self.order[0]) + 1) % len(names)]
            self._sort_by(name, reverse=name in self.LARGEST_FIRST)

    def action_reverse(self) -> None:
        """Reverse the order."""
        by, reverse = self.order
        if by:
            self._sort_by(by, reverse=not reverse)

    @on(LineTable.HeaderClicked)
    def _title(self, event: LineTable.HeaderClicked) -> None:
        by, reverse = self.order
        if event.name in self.ORDERS:
            self._sort_by(event.name, reverse=not reverse if event.name == by else event.name in self.LARGEST_FIRST)


def ordered(items: Sequence[Any], value: Order, *, reverse: bool) -> list[Any]:
    """Sort items by a value, stably; items without a value come last."""
    having = [item for item in items if value(item) is not None]
    without = [item for item in items if value(item) is None]
    return sorted(having, key=value, reverse=reverse) + without
