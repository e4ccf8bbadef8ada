"""Keys of the Books screen: they choose symbol, grouping, levels, cursor and parts; `books.py` draws them.

Symbol, grouping, levels, the consolidated ladder and the chart are remembered for the user; scrolling and the cursor are not.
"""

from fractions import Fraction
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from alphapulse_cli.tui.books import words as book_words
from alphapulse_cli.tui.books.grouping import STEPS, Rungs
from alphapulse_cli.tui.books.ladder import LadderPane
from alphapulse_cli.tui.screens.base import PulseScreen

SYMBOL, GROUPING, LEVELS, MERGED, CHART = (f"books.{name}" for name in ("symbol", "grouping", "levels", "consolidated", "chart"))
LEVEL_COUNTS = (5, 10, 20, 50, 0)  # 0: as many as fit
IMBALANCE_LEVELS = 10
SYMBOLS = Binding.Group("Symbol", compact=True)
GROUPS = Binding.Group("Group ", compact=True)  # the footer puts no gap after a group


class BooksKeys(PulseScreen):
    """Keys and the state they change; `_whole` and `_room` were drawn last.

    The screen defines `show`, `compose_body` and `copy_text`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,left_square_bracket", "symbol(-1)", "Previous symbol", group=SYMBOLS),
        Binding("right,right_square_bracket", "symbol(1)", "Next symbol", group=SYMBOLS),
        Binding("plus,equals_sign", "group(1)", "Coarser prices", key_display="+", group=GROUPS),
        Binding("minus,underscore", "group(-1)", "Finer prices", key_display="-", group=GROUPS),
        Binding("c", "toggle_merged", "All", tooltip="All exchanges' books as one: show or hide"),
        Binding("d", "toggle_chart", "Chart", tooltip="Depth chart: show or hide"),
        Binding("e,tab", "rotate(1)", "The exchanges there is no room for", show=False),
        Binding("E,shift+tab", "rotate(-1)", "Back to those before", show=False),
        Binding("down,j", "scroll(1)", "Deeper into the book", show=False),
        Binding("up,k", "scroll(-1)", "Back to the best prices", show=False),
        Binding("pagedown", "scroll(20)", "A page deeper", show=False),
        Binding("pageup", "scroll(-20)", "A page back", show=False),
        Binding("m", "levels(1)", "More levels", show=False),
        Binding("n", "levels(-1)", "Fewer levels", show=False),
        Binding("shift+down,J", "cursor(1)", "Price cursor down", show=False),
        Binding("shift+up,K", "cursor(-1)", "Price cursor up", show=False),
        Binding("home", "reset", "As it was at first", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()  # symbols that had books, or were asked for: only such a symbol is shown as missing
        self._looked: str | None = None
        self._skip = self._first = 0
        self._cursor: Fraction | None = None
        self._whole = Rungs(0, 0)
        self._room = book_words.Room(0, 0, 0, 0)

    # Selection

    def show_symbol(self, symbol: str) -> None:
        """Show the ladders of that symbol from now on."""
        self._known.add(symbol)
        self.pulse.remember(SYMBOL, symbol)
        self._skip, self._cursor = 0, None
        if self.is_mounted:
            self.show_again()

    def jump(self, symbol: str) -> None:
        """Show the symbol's ladders on this screen."""
        self.show_symbol(symbol)

    def _symbol(self, symbols: list[str]) -> str:
        """The remembered symbol, even if it is missing now; else the first one."""
        wanted = self.pulse.remembered(SYMBOL, "")
        if wanted in symbols:
            self._known.add(wanted)
        return wanted if wanted in self._known or not symbols else symbols[0]

    def _step(self) -> int:
        text = self.pulse.remembered(GROUPING, "")
        return int(text) if text in map(str, STEPS) else 1

    def _count(self) -> int:
        text = self.pulse.remembered(LEVELS, "")
        return int(text) if text in map(str, LEVEL_COUNTS) else 0

    # Keys and mouse

    def action_symbol(self, by: int) -> None:
        """Show the next symbol, or the previous one."""
        symbols = self.pulse.picture.symbols() if self.pulse.picture is not None else []
        if symbols:
            now = self._symbol(symbols)
            self.show_symbol(symbols[(symbols.index(now) + by) % len(symbols)] if now in symbols else symbols[0])

    def action_group(self, by: int) -> None:
        """Group prices more coarsely or finely; the cursor may then be between two of them."""
        at = STEPS.index(self._step()) + by
        self._cursor = None
        self._choose(GROUPING, str(STEPS[max(0, min(at, len(STEPS) - 1))]))

    def action_levels(self, by: int) -> None:
        """Show more or fewer levels a side; after the largest number, as many as fit."""
        at = LEVEL_COUNTS.index(self._count()) + by
        self._choose(LEVELS, str(LEVEL_COUNTS[max(0, min(at, len(LEVEL_COUNTS) - 1))]))

    def _choose(self, name: str, value: str) -> None:
        self.pulse.remember(name, value)
        self.show_again()

    def action_toggle_merged(self) -> None:
        """Show or hide the consolidated ladder, even where it replaces another one."""
        self._choose(MERGED, "off" if self._room.merged else "on")

    def action_toggle_chart(self) -> None:
        """Show or hide the depth chart, even where it replaces the ladders."""
        self._choose(CHART, "off" if self._room.chart else "on")

    def action_rotate(self, by: int) -> None:
        """Show the exchanges for which there was no room."""
        self._first += by
        self.show_again()

    def action_scroll(self, rows: int) -> None:
        """Scroll deeper into the book, or back."""
        self._skip = max(self._skip + rows, 0)
        self.show_again()

    def action_cursor(self, by: int) -> None:
        """Move the cursor along the prices of all LIVE books."""
        whole = self._whole
        prices = [whole.price(rung) for rung in (*reversed(whole.asks), *whole.bids)]
        if prices:
            at = prices.index(self._cursor) + by if self._cursor in prices else len(whole.asks) - (by < 0)
            self._cursor = prices[max(0, min(at, len(prices) - 1))]
            self.show_again()

    def action_reset(self) -> None:
        """Go back to the best prices, as many levels as fit, no grouping, no cursor."""
        self._skip, self._first, self._cursor = 0, 0, None
        for name in (GROUPING, LEVELS, MERGED, CHART):
            self.pulse.remember(name, "")
        self.show_again()

    @on(LadderPane.PriceClicked)
    def _mark(self, event: LadderPane.PriceClicked) -> None:
        self._cursor = None if event.price == self._cursor else event.price
        self.show_again()

    @on(LadderPane.Scrolled)
    def _wheel(self, event: LadderPane.Scrolled) -> None:
        self.action_scroll(event.rows)
