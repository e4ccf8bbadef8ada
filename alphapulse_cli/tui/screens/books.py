"""Books: one symbol over all its exchanges, ladder beside ladder; the consolidated book; the depth chart.

    symbol · grouping · cursor · what is shown                     one row
    ladder │ ladder │ …                  │ consolidated            what fits; the other exchanges are a key away
    depth chart                                                    where there is room

Only LIVE books are in the consolidated ladder and the chart. A book that is not LIVE says why and what to do, above its last levels.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.widget import Widget

from alphapulse_cli.edges.shown import safe
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.tui import books_words as say
from alphapulse_cli.tui.consolidate import coarsest, merged, rungs_in
from alphapulse_cli.tui.grouping import STEPS, Rungs
from alphapulse_cli.tui.ladder_text import Line, Look, initials, widths
from alphapulse_cli.tui.picture import BookPicture, Ladder, Picture
from alphapulse_cli.tui.screens.base import PulseScreen
from alphapulse_cli.tui.widgets.consolidated import ConsolidatedPane
from alphapulse_cli.tui.widgets.depth_chart import DepthChart
from alphapulse_cli.tui.widgets.ladder import GAP, LadderPane, Painted
from alphapulse_cli.wire.delta import BookState

SYMBOL, GROUPING, LEVELS, MERGED, CHART = (f"books.{name}" for name in ("symbol", "grouping", "levels", "consolidated", "chart"))
LEVEL_COUNTS = (5, 10, 20, 50, 0)  # 0: what fits
IMBALANCE_LEVELS, CHART_LEVELS = 10, 150
SYMBOLS = Binding.Group("Symbol", compact=True)
GROUPS = Binding.Group("Group ", compact=True)  # the footer has no gap behind a group


class BooksHead(Painted):
    """The line above the ladders."""

    line: Line = ()

    def make_lines(self, width: int, height: int) -> list[Line]:  # noqa: ARG002 - there is one
        """What the screen has to say."""
        return [self.line]


class BooksScreen(PulseScreen):
    """One symbol over all its exchanges."""

    TITLE = "Books"
    HELP = (
        "One symbol over all its exchanges: asks above, bids below; the bars are the running total. The consolidated ladder adds the LIVE"
        " ones. ▲ grown or new, ▼ shrunk; * best of all exchanges; ≥ at least, the book goes on deeper than is shown here."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,left_square_bracket", "symbol(-1)", "Previous symbol", group=SYMBOLS),
        Binding("right,right_square_bracket", "symbol(1)", "Next symbol", group=SYMBOLS),
        Binding("plus,equals_sign", "group(1)", "Coarser prices", key_display="+", group=GROUPS),
        Binding("minus,underscore", "group(-1)", "Finer prices", key_display="-", group=GROUPS),
        Binding("c", "toggle_merged", "All"),
        Binding("d", "toggle_chart", "Chart"),
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
        self._known: set[str] = set()  # symbols that were here, or were asked for: they are missed, others never chosen
        self._looked: str | None = None
        self._skip = self._first = 0
        self._cursor: Fraction | None = None
        self._drawn: dict[str, tuple[tuple[Ladder, int, int, int], Rungs]] = {}
        self._beside: list[tuple[BookPicture, Rungs | None]] = []  # what the ladders show
        self._whole = Rungs(0, 0)
        self._room = say.Room(0, 0, 0, 0)

    def compose_body(self) -> Iterable[Widget]:
        """The line, the ladders, the chart."""
        with Vertical(id="books"):
            yield BooksHead(id="books-head")
            with Horizontal(id="books-ladders"):
                yield ConsolidatedPane(id="books-merged")
            yield DepthChart(id="books-chart")

    # What is looked at

    def show_symbol(self, symbol: str) -> None:
        """Look at that symbol from now on."""
        self._known.add(symbol)
        self.pulse.remember(SYMBOL, symbol)
        self._skip, self._cursor = 0, None
        if self.is_mounted:
            self.show_again()

    def _symbol(self, symbols: list[str]) -> str:
        """The remembered one, which may be missing now; the first one where nothing better is known."""
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

    def on_screen_resume(self) -> None:
        """Whoever was in front may have looked at another symbol; what is drawn then is the base's part."""
        self._looked = None

    @on(Resize)
    def _other_room(self) -> None:
        self.call_after_refresh(self.show_again)

    # Drawing

    def show(self, picture: Picture) -> None:
        """Share the room out, then draw each part."""
        symbols = picture.symbols()
        symbol = self._symbol(symbols)
        if symbol != self._looked:
            self._looked = symbol
            self.pulse.look_at(symbol)
        books = sorted((book for book in picture.books if book.status.symbol == symbol), key=lambda book: book.set_name)
        shown = [book for book in books if self.matches(book.set_name, book.status.exchange)]
        body = self.query_one("#books").size
        coarse, step = coarsest(shown), self._step()
        limit = max(self._skip + max(self._count(), body.height // 2), IMBALANCE_LEVELS, self._count())
        ladders = {book.set_name: self._rungs(book, step, coarse, limit) for book in shown}
        known = [rungs for rungs in ladders.values() if rungs is not None]
        deepest = max((max(len(rungs.bids), len(rungs.asks)) for rungs in known), default=0)
        self._skip = min(self._skip, max(deepest - 1, 0))
        needs = [widths(rungs) for rungs in known] or [(20, 30, 40)]
        least, plain, full = (GAP + max(need[at] for need in needs) for at in range(3))
        chosen = (self.pulse.remembered(name, "") for name in (MERGED, CHART))
        self._room = say.share(body.width, body.height - 1, len(shown), (least, plain, full), *chosen)
        self._first %= max(len(shown), 1)
        turned = shown[self._first :] + shown[: self._first] if self._room.ladders < len(shown) else shown
        self._beside = [(book, ladders[book.set_name]) for book in turned[: self._room.ladders]]
        self._draw_ladders(picture, symbol, self._sentences(picture, symbol, symbols, books, shown))
        self._draw_whole(shown, ladders, limit)
        self._draw_head(symbol, symbols, len(shown), coarse)

    def _rungs(self, book: BookPicture, step: int, coarse: int, limit: int) -> Rungs | None:
        """Those of a book; the same ones again while its ladder is the same."""
        if book.ladder is None:
            return None
        key = book.ladder, step, coarse, limit
        held = self._drawn.get(book.set_name)
        if held is None or held[0][0] is not book.ladder or held[0][1:] != key[1:]:
            held = self._drawn[book.set_name] = key, rungs_in(book, step, coarse, limit)
        return held[1]

    def _sentences(
        self, picture: Picture, symbol: str, symbols: list[str], books: list[BookPicture], shown: list[BookPicture]
    ) -> list[str]:
        """What to say where there is no ladder at all."""
        if shown:
            return []
        if books:
            return [
                "No exchange has the words of the filter.",
                f"There are: {safe(', '.join(book.set_name for book in books))}. Esc ends it.",
            ]
        if symbols:
            return [f"{safe(symbol)} is not collected any more.", f"← → show another; there are: {safe(', '.join(symbols))}"]
        return ["There are no books.", safe(picture.advice) or "They are shown here as soon as they are collected."]

    def _draw_ladders(self, picture: Picture, symbol: str, sentences: list[str]) -> None:
        panes = [pane for pane in self.query(LadderPane) if not isinstance(pane, ConsolidatedPane)]
        wanted = max(len(self._beside), 1 if sentences else 0)
        for _ in range(wanted - len(panes)):
            panes.append(LadderPane())
            self.query_one("#books-ladders").mount(panes[-1], before="#books-merged")
        width = self.size.width if sentences else self._room.each
        for at, pane in enumerate(panes):
            pane.display = at < wanted
            if at < wanted:
                pane.styles.width = width
        if sentences:
            panes[0].show_words((), sentences)
        best_bid, best_ask = picture.best(symbol)
        for pane, (book, rungs) in zip(panes, self._beside, strict=False):
            title = say.title(book.set_name, book.status, width - GAP)
            stale = book.status.state is not BookState.LIVE
            words = say.why(book.status, has_ladder=rungs is not None)
            if rungs is None:
                pane.show_words(title, words)
                continue
            look = Look(self._skip, self._count(), self._cursor, book is best_bid, book is best_ask, stale)
            over = self._count() or IMBALANCE_LEVELS
            state = book.status.state.name if stale else ""
            pane.show_rungs(title, rungs, look, over, state, words if stale else ())

    def _draw_whole(self, shown: list[BookPicture], ladders: dict[str, Rungs | None], limit: int) -> None:
        """The consolidated ladder and the chart."""
        room, pane, chart = self._room, self.query_one(ConsolidatedPane), self.query_one(DepthChart)
        live = [book for book in shown if book.status.state is BookState.LIVE and ladders[book.set_name] is not None]
        names = [book.set_name for book in live]
        pane.display, chart.display = bool(room.merged and shown), bool(room.chart and shown)
        self._whole = merged([rungs for book in live if (rungs := ladders[book.set_name]) is not None], limit)
        if pane.display:
            pane.styles.width = room.merged
            marks = initials(names)
            title = say.merged_title(names, marks, room.merged - GAP)
            look = Look(self._skip, self._count(), self._cursor, initials=marks)
            if live:
                pane.show_rungs(title, self._whole, look, self._count() or IMBALANCE_LEVELS)
            else:
                pane.show_words(title, ["No exchange is LIVE here.", "Only LIVE books are added up; what is amiss stands beside."])
        if chart.display:
            chart.styles.height = room.chart
            deep = [rungs_in(book, 1, 0, CHART_LEVELS) for book in live]
            chart.show_depth(merged(deep, CHART_LEVELS))

    def _draw_head(self, symbol: str, symbols: list[str], count: int, coarse: int) -> None:
        line = self.query_one(BooksHead)
        at = f"{symbols.index(symbol) + 1} of {len(symbols)}" if symbol in symbols else ""
        hidden = f"{self._room.ladders} of {count} exchanges shown, e: next" if self._room.ladders < count else ""
        levels = f"{self._count()} levels" if self._count() else ""
        parts = [(safe(symbol), "name"), (at, "quiet"), (hidden, "waiting"), (say.group_words(self._step(), coarse), "quiet")]
        parts += [(say.cursor_words(self._cursor, self._whole), "mid"), (levels, "quiet")]
        parts += [(f"from level {self._skip + 1}" if self._skip else "", "quiet")]
        line.line = say.head(parts, line.size.width)
        line.renew()

    def copy_text(self) -> str:
        """The ladders shown, exactly: exchange, side, price, size, total."""
        lines = []
        for book, rungs in self._beside:
            if rungs is None:
                continue
            for side, found in (("ask", rungs.asks), ("bid", rungs.bids)):
                for rung in found[self._skip : self._skip + (self._count() or IMBALANCE_LEVELS)]:
                    sizes = (to_text(lots, rungs.size_decimals) for lots in (rung.lots, rung.total))
                    cells = safe(book.set_name), safe(book.status.symbol), side, to_text(rung.ticks, rungs.price_decimals), *sizes
                    lines.append("\t".join(cells))
        return "\n".join(lines)

    # Keys and mouse

    def action_symbol(self, by: int) -> None:
        """The next symbol, or the one before."""
        symbols = self.pulse.picture.symbols() if self.pulse.picture is not None else []
        if symbols:
            now = self._symbol(symbols)
            self.show_symbol(symbols[(symbols.index(now) + by) % len(symbols)] if now in symbols else symbols[0])

    def action_group(self, by: int) -> None:
        """Coarser or finer prices; the cursor's may be none of them."""
        at = STEPS.index(self._step()) + by
        self._cursor = None
        self._choose(GROUPING, str(STEPS[max(0, min(at, len(STEPS) - 1))]))

    def action_levels(self, by: int) -> None:
        """More or fewer levels a side; after the most: what fits."""
        at = LEVEL_COUNTS.index(self._count()) + by
        self._choose(LEVELS, str(LEVEL_COUNTS[max(0, min(at, len(LEVEL_COUNTS) - 1))]))

    def _choose(self, name: str, value: str) -> None:
        self.pulse.remember(name, value)
        self.show_again()

    def action_toggle_merged(self) -> None:
        """The consolidated ladder, even where it takes another's place."""
        self._choose(MERGED, "off" if self._room.merged else "on")

    def action_toggle_chart(self) -> None:
        """The depth chart, even where it takes the ladders' place."""
        self._choose(CHART, "off" if self._room.chart else "on")

    def action_rotate(self, by: int) -> None:
        """The exchanges there was no room for."""
        self._first += by
        self.show_again()

    def action_scroll(self, rows: int) -> None:
        """Deeper into the book, or back."""
        self._skip = max(self._skip + rows, 0)
        self.show_again()

    def action_cursor(self, by: int) -> None:
        """Along the prices of all LIVE books."""
        whole = self._whole
        prices = [whole.price(rung) for rung in (*reversed(whole.asks), *whole.bids)]
        if prices:
            at = prices.index(self._cursor) + by if self._cursor in prices else len(whole.asks) - (by < 0)
            self._cursor = prices[max(0, min(at, len(prices) - 1))]
            self.show_again()

    def action_reset(self) -> None:
        """Best prices, what fits, not grouped, no cursor."""
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
