"""Depth chart of all LIVE exchanges together."""

from alphapulse_cli.tui.books.chart import chart_lines
from alphapulse_cli.tui.books.grouping import Rungs
from alphapulse_cli.tui.books.ladder import Painted
from alphapulse_cli.tui.books.ladder_text import Line, Piece


class DepthChart(Painted):
    """Widget of the depth chart; `show_depth` gives it the rungs to draw."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rungs = Rungs(0, 0)

    def show_depth(self, rungs: Rungs) -> None:
        """Draw these rungs, which are not grouped."""
        if rungs != self._rungs:
            self._rungs = rungs
            self.renew()

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Lines of the chart; a sentence if a side is missing."""
        return chart_lines(self._rungs, width, height) or [(Piece(" No depth chart without LIVE bids and asks", "quiet"),)]
