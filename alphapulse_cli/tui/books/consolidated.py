"""The ladder of all LIVE exchanges together: which of them are in a level stands behind it."""

from alphapulse_cli.tui.books import ladder_columns
from alphapulse_cli.tui.books.ladder import LadderPane
from alphapulse_cli.tui.books.ladder_columns import Columns


class ConsolidatedPane(LadderPane):
    """A ladder with one column more: an initial for each exchange that has something at that price."""

    def columns(self, width: int) -> Columns:
        """With the parts, if they fit."""
        return ladder_columns.columns(self._rungs, width, max(len(self._look.initials), len("from")))
