"""Widget of lines about one thing, made by a function; only lines that changed are drawn again."""

from collections.abc import Callable
from typing import Any

from alphapulse_cli.tui.books.ladder import Painted
from alphapulse_cli.tui.books.ladder_text import Line

MakeLines = Callable[[Any, int, int], list[Line]]


class DetailLines(Painted):
    """Widget of the lines that `make` makes of the thing passed to `show_item`; None shows nothing."""

    def __init__(self, make: MakeLines, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._make = make
        self._item: Any = None

    def show_item(self, item: Any) -> None:
        """Draw the lines about this."""
        if item != self._item:
            self._item = item
            self.renew()

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Lines about the present thing."""
        return [] if self._item is None else self._make(self._item, width, height)
