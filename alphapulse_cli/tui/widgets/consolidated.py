"""The ladder of all LIVE exchanges together: which of them are in a level stands behind it."""

from alphapulse_cli.tui import ladder_text
from alphapulse_cli.tui.ladder_text import Columns
from alphapulse_cli.tui.widgets.ladder import LadderPane


class ConsolidatedPane(LadderPane):
    """A ladder with one column more: an initial for each exchange that has something at that price."""

    HELP = "The consolidated ladder: the sizes of all LIVE exchanges, added; the letters behind say who has a part in a level."

    def columns(self, width: int) -> Columns:
        """With the parts, if they fit."""
        return ladder_text.columns(self._rungs, width, max(len(self._look.initials), len("from")))
