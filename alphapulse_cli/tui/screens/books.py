"""Books: one symbol over all its exchanges, ladder beside ladder; the consolidated book; the depth chart.

    symbol · grouping · cursor · what is shown                     one row
    ladder │ ladder │ …                  │ consolidated            what fits; the other exchanges are a key away
    depth chart                                                    where there is room

Only LIVE books are in the consolidated ladder and the chart. A book that is not LIVE says why and what to do, above its last
levels.
"""

from collections.abc import Iterable

from textual import on
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.timer import Timer
from textual.widget import Widget

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock
from alphapulse_cli.tui.books import words as book_words
from alphapulse_cli.tui.books.consolidate import coarsest, merged, rungs_in
from alphapulse_cli.tui.books.consolidated import ConsolidatedPane
from alphapulse_cli.tui.books.depth_chart import DepthChart
from alphapulse_cli.tui.books.grouping import Rungs
from alphapulse_cli.tui.books.ladder import GAP, LadderPane, Painted
from alphapulse_cli.tui.books.ladder_columns import widths
from alphapulse_cli.tui.books.ladder_text import Line, Look, initials
from alphapulse_cli.tui.feed.picture import BookLadder, BookPicture, Picture, Watched, of_one_time
from alphapulse_cli.tui.screens.books_keys import CHART, IMBALANCE_LEVELS, MERGED, BooksKeys
from alphapulse_cli.wire.delta import BookState

CHART_LEVELS = 150
CHART_EVERY_NS = 200_000_000  # the depth chart is slow to draw and changes slowly
PICTURES_NS = 66_000_000  # from one ladder to the next
CELL_NS = 6_000  # time between two drawings for each cell of the terminal: large terminals are drawn only a few times a second


class BooksHead(Painted):
    """Line above the ladders: symbol, grouping, cursor, which part of the book is shown."""

    line: Line = ()

    def make_lines(self, width: int, height: int) -> list[Line]:  # noqa: ARG002 - there is one
        """Make the single line of the heading."""
        return [self.line]


class BooksScreen(BooksKeys):
    """The Books screen: one symbol over all its exchanges."""

    TITLE = "Books"
    NEEDS = "#books-merged"
    HELP = (
        "One symbol over all its exchanges: asks above, bids below; the bars are the running total. The consolidated ladder adds the LIVE"
        " ones, with a letter for each that has a part. ▲ grown or new, ▼ shrunk at the last change, paler what changed just before; * best of all exchanges; > the price cursor;"
        " ≥ at least, the book goes on deeper than is known here; Δ spread; imbalance +20%: more bids, -20%: more asks in the best"
        " 10 levels, or as many as m and n choose. The wheel goes deeper, a click marks a price in all ladders, / chooses exchanges."
    )

    def __init__(self) -> None:
        super().__init__()
        self._drawn: dict[str, tuple[tuple[BookLadder, int, int, int], Rungs]] = {}
        self._beside: list[tuple[BookPicture, Rungs | None]] = []  # the columns that the ladders show
        self._keys: list[tuple[str, str]] = []
        self._drawn_ns = 0
        self._later: Timer | None = None
        self._charted: tuple[list[str], int] = [], 0  # the books whose depth is in the chart, and their times

    def compose_body(self) -> Iterable[Widget]:
        """The heading, the ladders, the chart."""
        with Vertical(id="books"):
            yield BooksHead(id="books-head")
            with Horizontal(id="books-ladders"):
                yield ConsolidatedPane(id="books-merged")
            yield DepthChart(id="books-chart")

    def on_screen_resume(self) -> None:
        """Ask for this symbol's ladders again with the next drawing, since another screen may have asked for others."""
        self._looked = None

    @on(Resize)
    def _other_room(self) -> None:
        self.call_after_refresh(self.show_again)

    # Drawing

    def show_again(self) -> None:
        """Draw at once, without the pause for large terminals: a key was pressed, or the pause is over."""
        self._drawn_ns = 0
        super().show_again()

    def _is_soon(self, picture: Picture) -> bool:
        """Whether to wait: a large terminal was drawn just now. A change of books is always drawn at once."""
        keys, now = [book.key for book in picture.books], clock.monotonic_ns()
        every = self.size.width * self.size.height * CELL_NS
        left = self._drawn_ns + every - now
        if every > PICTURES_NS and left > 0 and keys == self._keys:
            if self._later is None:
                self._later = self.set_timer(left / 1e9, self.show_again)
            return True
        if self._later is not None:
            self._later.stop()
        self._keys, self._drawn_ns, self._later = keys, now, None
        return False

    def show(self, picture: Picture) -> None:
        """Divide the room among ladders and chart, then draw each."""
        if self._is_soon(picture):
            return
        symbols = picture.symbols()
        symbol = self._symbol(symbols)
        if symbol != self._looked:
            self._looked, self._charted = symbol, ([], 0)
            self.pulse.look_at(Watched(symbol))
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
        self._room = book_words.share(body.width, body.height - 1, len(shown), (least, plain, full), *chosen)
        self._first %= max(len(shown), 1)
        turned = shown[self._first :] + shown[: self._first] if self._room.ladders < len(shown) else shown
        self._beside = [(book, ladders[book.set_name]) for book in turned[: self._room.ladders]]
        self._draw_ladders(picture, symbol, self._sentences(picture, symbol, symbols, books, shown))
        self._draw_whole(shown, ladders, limit, picture.taken_ns)
        self._draw_head(symbol, symbols, len(shown), coarse)

    def _rungs(self, book: BookPicture, step: int, coarse: int, limit: int) -> Rungs | None:
        """Rows of a book's ladder; the same object while the ladder is the same."""
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
        """Lines shown if there is no ladder at all."""
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
        revivals = {one.status.name: one.revival for one in picture.sets}
        for pane, (book, rungs) in zip(panes, self._beside, strict=False):
            title = book_words.title(book.set_name, book.status, width - GAP)
            stale = book.status.state is not BookState.LIVE
            words = book_words.why(book.status, has_ladder=rungs is not None, revival=revivals.get(book.set_name, ""))
            if rungs is None:
                pane.show_words(title, words)
                continue
            look = Look(self._skip, self._count(), self._cursor, book is best_bid, book is best_ask, stale)
            over = self._count() or IMBALANCE_LEVELS
            state = book.status.state.name if stale else ""
            pane.show_rungs(title, rungs, look, over, state, words if stale else ())

    def _draw_whole(self, shown: list[BookPicture], ladders: dict[str, Rungs | None], limit: int, taken_ns: int) -> None:
        """Draw the consolidated ladder and the chart."""
        room, pane, chart = self._room, self.query_one(ConsolidatedPane), self.query_one(DepthChart)
        live = of_one_time([book for book in shown if book.status.state is BookState.LIVE and ladders[book.set_name] is not None])
        names = [book.set_name for book in live]
        pane.display, chart.display = bool(room.merged and shown), bool(room.chart and shown)
        self._whole = merged([rungs for book in live if (rungs := ladders[book.set_name]) is not None], limit)
        if pane.display:
            pane.styles.width = room.merged
            marks = initials(names)
            title = book_words.merged_title(names, marks, room.merged - GAP)
            look = Look(self._skip, self._count(), self._cursor, initials=marks)
            if live:
                pane.show_rungs(title, self._whole, look, self._count() or IMBALANCE_LEVELS)
            else:
                pane.show_words(title, ["No exchange is LIVE here.", "Only LIVE books are added up; what is amiss stands beside."])
        if chart.display:
            chart.styles.height = room.chart
            if names != self._charted[0] or abs(taken_ns - self._charted[1]) >= CHART_EVERY_NS:
                self._charted = names, taken_ns
                chart.show_depth(merged([rungs_in(book, 1, 0, CHART_LEVELS) for book in live], CHART_LEVELS))

    def _draw_head(self, symbol: str, symbols: list[str], count: int, coarse: int) -> None:
        line = self.query_one(BooksHead)
        at = f"{symbols.index(symbol) + 1} of {len(symbols)}" if symbol in symbols else ""
        hidden = f"{self._room.ladders} of {count} exchanges shown, e: next" if self._room.ladders < count else ""
        levels = f"{self._count()} levels" if self._count() else ""
        parts = [
            (safe(symbol), "name"),
            (at, "quiet"),
            (hidden, "waiting"),
            (book_words.group_words(self._step(), coarse), "quiet"),
        ]
        parts += [(book_words.cursor_words(self._cursor, self._whole), "mid"), (levels, "quiet")]
        parts += [(f"from level {self._skip + 1}" if self._skip else "", "quiet")]
        line.line = book_words.head(parts, line.size.width)
        line.renew()

    def copy_text(self) -> str:
        """The ladders shown, with exact figures: exchange, side, price, size, total."""
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
