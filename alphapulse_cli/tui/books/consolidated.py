"""Ladder of all LIVE exchanges together, with the initials of the exchanges in each level."""

from alphapulse_cli.tui.books import ladder_columns
from alphapulse_cli.tui.books.ladder import LadderPane
from alphapulse_cli.tui.books.ladder_columns import Columns


class ConsolidatedPane(LadderPane):
    """Ladder with one more column: the initials of the exchanges that have a size at that price."""

    def columns(self, width: int) -> Columns:
        """Columns of the ladder, with the initials if they fit."""
        return ladder_columns.columns(self._rungs, width, max(len(self._look.initials), len("from")))
