"""Lines about one thing, made by a function of it; drawn again only where they are others than before."""

from collections.abc import Callable
from typing import Any

from alphapulse_cli.tui.books.ladder import Painted
from alphapulse_cli.tui.books.ladder_text import Line

MakeLines = Callable[[Any, int, int], list[Line]]


class DetailLines(Painted):
    """`tell` gives it what it is about; None is nothing."""

    def __init__(self, make: MakeLines, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._make = make
        self._what: Any = None

    def tell(self, what: Any) -> None:
        """Draw the lines of this."""
        if what != self._what:
            self._what = what
            self.renew()

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Those of what it is about."""
        return [] if self._what is None else self._make(self._what, width, height)
