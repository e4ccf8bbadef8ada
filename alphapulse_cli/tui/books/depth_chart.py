"""The depth chart of all LIVE exchanges together."""

from alphapulse_cli.tui.books.chart import chart_lines
from alphapulse_cli.tui.books.grouping import Rungs
from alphapulse_cli.tui.books.ladder import Painted
from alphapulse_cli.tui.books.ladder_text import Line, Piece


class DepthChart(Painted):
    """`show_depth` gives it all it draws."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rungs = Rungs(0, 0)

    def show_depth(self, rungs: Rungs) -> None:
        """Draw these, which are not grouped."""
        if rungs != self._rungs:
            self._rungs = rungs
            self.renew()

    def make_lines(self, width: int, height: int) -> list[Line]:
        """The hills; a sentence where a side is missing."""
        return chart_lines(self._rungs, width, height) or [(Piece(" No depth chart without LIVE bids and asks", "quiet"),)]
