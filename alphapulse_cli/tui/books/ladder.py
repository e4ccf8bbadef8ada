"""Widget of a book as a ladder: its name and state, asks above, the spread in the middle, bids below.

It gets rungs, or a sentence if there are none, and draws only the lines that changed.

    kraken                 ● LIVE     line 0
       price     size     total       line 1
    asks, the best one last
    ─ mid ─ spread ─ imbalance ─
    bids, the best one first
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message
from textual.strip import Strip

from alphapulse_cli.tui.books import ladder_columns, ladder_text
from alphapulse_cli.tui.books.grouping import Rungs
from alphapulse_cli.tui.books.ladder_columns import Columns
from alphapulse_cli.tui.books.ladder_text import Line, Look, Piece
from alphapulse_cli.tui.sentence import sentence_lines
from alphapulse_cli.tui.widgets.by_line import ByLine

KINDS = (
    *(
        "name",
        "head",
        "size",
        "quiet",
        "bid",
        "ask",
        "bid-hill",
        "ask-hill",
        "best",
        "mid",
        "moved",
        "fading",
        "crossing",
        "live",
        "waiting",
        "dead",
        "stale",
    ),
)
GROUNDS = ("bid-bar", "ask-bar", "flash", "fade", "cursor")
HEADS = 2  # lines above the sides
GAP = 2  # blank cells to the right


class Painted(ByLine):
    """Widget whose lines are pieces; `renew` draws those that changed. Subclasses define `make_lines`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ladder--{kind}" for kind in (*KINDS, *GROUNDS)}

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: list[Line] = []
        self._paints: dict[tuple[str, str], Style] = {}

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Make the lines for `width` and `height` in cells."""
        raise NotImplementedError

    def renew(self) -> None:
        """Make the lines again and draw those that changed."""
        self.measure()
        width, height = self.room
        lines = self.make_lines(width, height) if width and height else []
        before, self._lines = self._lines, lines
        changed = [y for y, line in enumerate(lines) if y >= len(before) or line != before[y]]
        if len(lines) != len(before) or len(changed) > len(lines) // 2:
            self.refresh()
        else:
            self.draw_lines(changed)

    def on_resize(self, _: Resize) -> None:
        """Make all lines for the new size."""
        self._lines = []
        self.renew()

    def notify_style_update(self) -> None:
        """Forget the styles of the old theme."""
        super().notify_style_update()
        self._paints.clear()

    def _paint(self, kind: str, ground: str) -> Style:
        style = self._paints.get((kind, ground))
        if style is None:
            style = self.ground
            for name in (ground, kind):
                if name:
                    style += self.get_component_rich_style(f"ladder--{name}", partial=True)
            self._paints[kind, ground] = style
        return style

    def shown_on(self, y: int) -> Any:
        """Pieces of that line."""
        return self._lines[y] if y < len(self._lines) else ()

    def render_line(self, y: int) -> Strip:
        """Strip of that line."""
        line = self.shown_on(y)
        segments = [Segment(piece.text, self._paint(piece.kind, piece.ground)) for piece in line]
        width, blank = self.room.width, self._paint("", "")
        room = width - sum(cell_len(piece.text) for piece in line)
        if room < 0:
            return Strip(segments).adjust_cell_length(width, blank)
        return Strip([*segments, Segment(" " * room, blank)], width)  # with its width: measuring it each time is expensive


def wrapped(text: str, width: int, kind: str) -> list[Line]:
    """Wrap text to lines, indented by a cell; each command has lines of its own."""
    lines = sentence_lines(text, max(width - 2, 1)) or [("", False)]
    return [(Piece(f" {line}", "name" if is_command else kind),) for line, is_command in lines]


class LadderPane(Painted):
    """Widget of a ladder; `show_rungs` or `show_words` gives it its content."""

    class PriceClicked(Message):
        """Message about a click on a level, with its price; None elsewhere."""

        def __init__(self, price: Fraction | None) -> None:
            super().__init__()
            self.price = price

    class Scrolled(Message):
        """Message to scroll that number of levels deeper into the book."""

        def __init__(self, rows: int) -> None:
            super().__init__()
            self.rows = rows

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._title: Line = ()
        self._rungs = Rungs(0, 0)
        self._look = Look()
        self._words: Sequence[str] = ()
        self._state, self._over = "", 10
        self._shown: tuple[object, ...] = ()

    def show_rungs(self, title: Line, rungs: Rungs, look: Look, over: int, state: str = "", words: Sequence[str] = ()) -> None:
        """Draw these rungs; `over` is the number of levels of the imbalance. A book that is not LIVE has its state in the middle.

        Its `words` then take the place of the worst asks.
        """
        shown = title, rungs, look, over, state, words
        if shown == self._shown and self._lines:
            return
        self._shown = shown
        self._title, self._rungs, self._look, self._over, self._state, self._words = shown
        self.renew()

    def show_words(self, title: Line, words: Sequence[str]) -> None:
        """Draw these sentences in place of a ladder."""
        self.show_rungs(title, Rungs(0, 0), Look(), 0, "", words)

    def rows(self) -> tuple[int, int]:
        """Numbers of lines for asks and for bids."""
        room = max(self.size.height - HEADS - 1, 0)
        return room // 2, room - room // 2

    def _word_lines(self, width: int) -> list[Line]:
        lines = [line for at, words in enumerate(self._words) for line in wrapped(words, width, "" if at else "waiting")]
        return [ladder_text.cut_line(line, width) for line in lines]

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Make the lines: head, asks, middle, bids."""
        width = max(width - GAP, 1)
        head = [ladder_text.cut_line(self._title, width)]
        if not self._rungs.bids and not self._rungs.asks:
            return [*head, (), *self._word_lines(width)][:height]
        wide, look, rungs = self.columns(width), self._look, self._rungs
        asks, bids = self.rows()
        reason = self._word_lines(width)[:asks] if self._state else []
        shown = [ladder_text.fitting(rows, look) for rows in (bids, asks)]
        sides = [side[look.skip : look.skip + count] for side, count in zip((rungs.bids, rungs.asks), shown, strict=True)]
        most = max((rung.total for side in sides for rung in side[-1:]), default=0)
        below, above = (
            ladder_text.side_lines(rungs, look, wide, count, most, is_ask=is_ask)
            for is_ask, count in zip((False, True), shown, strict=True)
        )
        upper: list[Line] = [*[()] * (asks - len(above)), *above[::-1]]
        upper[: len(reason)] = reason  # in place of the worst asks: the middle stays beside the others'
        middle = ladder_text.cut_line(ladder_text.middle(rungs, self._over, self._state, width), width)
        return [*head, self.heads(wide), *upper, middle, *below][:height]

    def columns(self, width: int) -> Columns:
        """Columns of this ladder, at most `width` cells."""
        return ladder_columns.columns(self._rungs, width)

    def heads(self, wide: Columns) -> Line:
        """Line of the columns' titles."""
        return ladder_text.heads(wide)

    def price_at(self, y: int) -> Fraction | None:
        """Price of the level in that line; None if there is none."""
        look, rungs = self._look, self._rungs
        asks, bids = self.rows()
        at = y - HEADS
        is_ask = at < asks
        side = rungs.asks if is_ask else rungs.bids
        index, count = (asks - 1 - at, asks) if is_ask else (at - asks - 1, bids)
        if at < 0 or not 0 <= index < ladder_text.fitting(count, look) or look.skip + index >= len(side):
            return None
        return rungs.price(side[look.skip + index])

    def on_click(self, event: Click) -> None:
        """Post the price under the pointer, for all ladders."""
        self.post_message(self.PriceClicked(self.price_at(event.y)))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll deeper into the book."""
        event.stop()
        self.post_message(self.Scrolled(3))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll back to the best prices."""
        event.stop()
        self.post_message(self.Scrolled(-3))
