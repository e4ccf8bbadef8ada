"""Overview of all books: a row per exchange and symbol, the best prices over all exchanges marked, crossing ones highlighted."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import ClassVar, NamedTuple

from textual import on
from textual.widget import Widget

from alphapulse_cli.market.trading_status import allows_taking, remark
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.readers.status import BookStatus, wait_end
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.books.consolidate import rungs_in
from alphapulse_cli.tui.books.detail import Detail, detail_of, pane_lines
from alphapulse_cli.tui.books.detail_pane import DetailLines
from alphapulse_cli.tui.books.ladder import LadderPane
from alphapulse_cli.tui.books.ladder_text import Look
from alphapulse_cli.tui.books.price_chart import Chart
from alphapulse_cli.tui.cells import age, aligned, number, places
from alphapulse_cli.tui.feed.picture import BookPicture, Picture, SetPicture, Watched
from alphapulse_cli.tui.screens.books_keys import IMBALANCE_LEVELS
from alphapulse_cli.tui.screens.listing import Order
from alphapulse_cli.tui.screens.with_pane import PaneScreen
from alphapulse_cli.tui.trend import Scale, Scales, trend_cell
from alphapulse_cli.tui.widgets.line_table import Cell, Column, LineTable, Row
from alphapulse_cli.wire.delta import BookReason, BookState

STATES = {
    BookState.LIVE: ("●", "live"),
    BookState.SYNCING: ("○", "waiting"),
    BookState.COLD: ("○", "waiting"),
    BookState.STALE: ("✗", "dead"),
    BookState.HALTED: ("✗", "dead"),
}
LADDER_FROM = 76  # columns of the terminal
NO_BOOK = {None: "no segments", Liveness.LIVE: "no books yet"}


class Item(NamedTuple):
    """Content of one row: a book, or a collector without books (then `book` is None).

    `best` and `crossing` have "bid", "ask" or both in them.
    """

    owner: SetPicture | None
    book: BookPicture | None
    best: frozenset[str] = frozenset()
    crossing: frozenset[str] = frozenset()
    scale: Scale = Scale(0.0, 0.0)  # scale of the symbol's trends

    @property
    def name(self) -> str:
        """The set's name."""
        return self.book.set_name if self.book is not None else self.owner.status.name if self.owner is not None else ""


class OverviewScreen(PaneScreen):
    """The Overview screen: a row for each exchange and symbol. Enter opens the row's ladders."""

    TITLE = "Overview"
    NAME = "overview"
    HELP = (
        "A row for every exchange and symbol. * marks the best bid and the best ask over all live exchanges of a symbol; » and « mark prices"
        " that cross: there a bid is above another exchange's ask, before fees. Beneath the table is the book under the cursor: x keeps it"
        " there while the cursor goes on, Enter opens its ladders, Esc comes back. a sets an alarm on the row, such as"
        " spread > 5: ! marks the row while it is passed, the terminal's bell sounds, and on_alarm of the configuration is run.\n\n"
        "The trend is the mid price of the last 24 seconds: its height the price, on one scale for all exchanges of a symbol, its colour whether"
        " it stands above or below the first of them; ↑ and ↓ are spikes beyond the scale. Messages are the whole exchange's. Delay is the exchange's clock"
        " against ours, so only its changes mean something; age is the time since the book's last confirmed frame."
    )
    COLUMNS = (
        Column("symbol", "symbol", 9, right=False, limit=16, least=7),
        Column("exchange", "exchange", 10, right=False, limit=16, least=3),
        Column("state", "state", 9, right=False, limit=16, least=1),
        Column("bid_size", "bid size", 10, rank=5, limit=16),
        Column("bid", "bid", 10, limit=16),
        Column("ask", "ask", 10, limit=16),
        Column("ask_size", "ask size", 10, rank=5, limit=16),
        Column("spread", "bps", 6, rank=1, limit=8),
        Column("trend", "trend, 24 s", 24, rank=3, right=False),
        Column("last", "last trade", 11, rank=4, limit=17),
        Column("messages", "messages/s", 10, rank=6),
        Column("deltas", "deltas/s", 8, rank=2),
        Column("delay", "delay ms", 8, rank=6, limit=10),
        Column("gaps", "gaps", 4, rank=2, limit=7),
        Column("age", "age", 6, rank=1),
        Column("levels", "levels", 7, rank=7),
        Column("reason", "why", 16, rank=7, right=False, limit=21),
    )
    ORDERS: ClassVar[dict[str, Order]] = {
        "symbol": lambda item: (item.book.status.symbol if item.book else "~", item.name),
        "exchange": lambda item: (item.name, item.book.status.symbol if item.book else "~"),
        "state": lambda item: item.book.status.state if item.book else None,
        "bid": lambda item: item.book.bid if item.book else None,
        "ask": lambda item: item.book.ask if item.book else None,
        "spread": lambda item: item.book.status.spread_bps if item.book else None,
        "messages": lambda item: item.owner.status.frames_per_s if item.owner else None,
        "deltas": lambda item: item.book.status.deltas_per_s if item.book else None,
        "delay": lambda item: item.book.status.feed_delay_us if item.book else None,
        "gaps": lambda item: item.book.status.gaps if item.book else None,
        "age": lambda item: item.book.status.age_ms if item.book else None,
    }
    LARGEST_FIRST = frozenset({"spread", "messages", "deltas", "delay", "gaps", "age"})

    _places = _size_places = 0

    def __init__(self) -> None:
        super().__init__()
        self._scales = Scales()
        self._ladder = LadderPane(id="pane-ladder")
        self._detail = DetailLines(partial(pane_lines, chart=Chart().lines), id="pane-detail")
        self._looked: Watched | None = None

    def compose_pane(self) -> Iterable[Widget]:
        """Two widgets: the book's ladder, and the other facts of the book."""
        yield self._ladder
        yield self._detail

    def show_pane(self, picture: Picture, key: tuple[str, str]) -> None:
        """Show the book with that key."""
        set_name, symbol = key
        wanted = Watched(symbol, set_name, self.pane_height) if symbol else Watched()
        if wanted != self._looked:
            self._looked = wanted
            self.pulse.look_at(wanted)
        alarm = self.pulse.alarms.text_of(self.SCOPE, key)
        detail = detail_of(picture, key, is_pinned=self.pinned is not None, alarm=alarm)
        self._detail.show_item(detail)
        self._ladder.display = isinstance(detail, Detail) and self.size.width >= LADDER_FROM
        if isinstance(detail, Detail) and self._ladder.display:
            self._show_ladder(detail.book)

    def _show_ladder(self, book: BookPicture) -> None:
        """Show the ladder with exact prices, or the reason why there is none."""
        is_live = book.status.state is BookState.LIVE
        if book.ladder is None:
            self._ladder.show_words((), ["The book is being read."] if is_live else ["No levels are known."])
            return
        rungs = rungs_in(book, 1, 0, self.pane_height)
        state = "" if is_live else book.status.state.name  # name and reason are shown beside it
        self._ladder.show_rungs((), rungs, Look(is_stale=not is_live), IMBALANCE_LEVELS, state)

    def alarm_key(self, key: tuple[str, str]) -> tuple[str, str] | None:
        """The alarm's key of a book's row; None for a collector without books."""
        return key if key[1] else None

    def hide_pane(self) -> None:
        """Ask for no ladders any more."""
        self._looked = None
        self.pulse.look_at(Watched())

    def on_screen_resume(self) -> None:
        """Ask for the pane's ladder again with the next drawing, since another screen may have asked for others."""
        self._looked = None

    def items(self, picture: Picture) -> Iterable[Item]:
        """Items that match the filter: books, and collectors without books."""
        self._places = places([text for book in picture.books for text in (book.status.bid, book.status.ask)])
        self._size_places = places([text for book in picture.books for text in (book.status.bid_size, book.status.ask_size)])
        marks = {
            (symbol, replay): marked(
                [book for book in picture.books if (book.status.symbol, book.status.replay) == (symbol, replay)]
            )
            for symbol in picture.symbols()
            for replay in (False, True)
        }
        owners = {one.status.name: one for one in picture.sets}
        scales = self._scales.of(picture.books)
        for book in picture.books:
            status = book.status
            if self.matches(status.symbol, status.exchange, book.set_name, status.state.name):
                best, crossing = (of.get(book.key, frozenset()) for of in marks[status.symbol, status.replay])
                yield Item(owners.get(book.set_name), book, best, crossing, scales[status.symbol])
        having = {book.set_name for book in picture.books}
        for one in picture.sets:
            if one.status.name not in having and self.matches(one.status.name, one.status.exchange):
                yield Item(one, None)

    def row(self, item: Item) -> Row:
        """The table's row of a book or of a collector."""
        return book_row(item, self._places, self._size_places) if item.book is not None else set_row(item)

    def nothing(self, picture: Picture) -> str:
        """The sentence shown where nothing is collected: what to do."""
        return picture.advice or "There are no books yet: they are shown as they come."

    @on(LineTable.Chosen)
    def _open(self, event: LineTable.Chosen) -> None:
        """Open the ladders of the row's symbol."""
        self.open_symbol(event.key[1])


Marks = dict[tuple[str, str], frozenset[str]]


def marked(books: Sequence[BookPicture]) -> tuple[Marks, Marks]:
    """(best, crossing) of one symbol's books: which of their prices are the best of all, and which cross another exchange's.

    Only LIVE books compete, and one alone is no contest. Books with the same best price are all marked.
    """
    bids = sorted((book.bid for book in books if book.bid is not None), reverse=True)
    asks = sorted(book.ask for book in books if book.ask is not None)
    best: Marks = {}
    crossing: Marks = {}
    for book in books:
        bid, ask = book.bid, book.ask
        highest, lowest = of_others(bids, bid), of_others(asks, ask)
        best[book.key] = sides(
            bid is not None and len(bids) > 1 and bid == bids[0], ask is not None and len(asks) > 1 and ask == asks[0]
        )
        crossing[book.key] = sides(
            bid is not None and lowest is not None and bid > lowest, ask is not None and highest is not None and highest > ask
        )
    return best, crossing


def of_others(ranked: Sequence[Fraction], own: Fraction | None) -> Fraction | None:
    """The best price of the other books. `ranked` has the prices of all books, best first, `own` among them."""
    at = 1 if own is not None and ranked[0] == own else 0
    return ranked[at] if at < len(ranked) else None


def sides(bid: bool, ask: bool) -> frozenset[str]:
    """Names of the marked sides: "bid", "ask"."""
    return frozenset(name for name, is_marked in (("bid", bid), ("ask", ask)) if is_marked)


def book_row(item: Item, places: int, size_places: int) -> Row:
    """The row of a book; prices and sizes have room for that many decimal places."""
    book = item.book
    assert book is not None
    status = book.status
    sign, kind = STATES[status.state]
    trading = remark(status.trading_status)
    tradable = allows_taking(status.trading_status)
    if not tradable:
        sign, kind = "✗", "dead"
    is_live = status.state is BookState.LIVE and tradable
    trade, why = book.last_trade, reason(status, trading)
    cells: dict[str, Cell] = {
        "symbol": (status.symbol, "strong"),
        "exchange": (f"{REPLAY} {book.set_name}" if status.replay else book.set_name, "waiting" if status.replay else ""),
        "state": (f"{sign} {trading if not tradable and status.state is BookState.LIVE else status.state.name}", kind),
        "bid_size": (aligned(status.bid_size, size_places), "" if is_live else "quiet"),
        "bid": price("bid", aligned(status.bid, places), item, is_live=is_live),
        "ask": price("ask", aligned(status.ask, places), item, is_live=is_live),
        "ask_size": (aligned(status.ask_size, size_places), "" if is_live else "quiet"),
        "spread": number(status.spread_bps, 2),
        "trend": trend_cell(book.mids, item.scale),
        "last": ("", "")
        if trade is None
        else (f"{trade.price} {'▲' if trade.side == 'buy' else '▼'}", "bid" if trade.side == "buy" else "ask"),
        "messages": number(None if item.owner is None else item.owner.status.frames_per_s, 0),
        "deltas": number(status.deltas_per_s, 0),
        "delay": number(None if status.feed_delay_us is None else status.feed_delay_us / 1000, 1),
        "gaps": (str(status.gaps), "waiting" if status.gaps else "quiet"),
        "age": (age(status.age_ms), "" if is_live else "quiet"),
        "levels": (f"{status.bid_count + status.ask_count:,}", "quiet"),
        "reason": (why, kind if why else ""),
    }
    return Row(book.key, cells)


def reason(status: BookStatus, trading: str) -> str:
    """The reason for a book's state, and which orders its market does not take."""
    why = "" if status.reason is BookReason.NONE else status.reason.name.lower().replace("_", " ")
    if status.is_waiting:
        why = f"waits until {wait_end(status)}"
    return ", ".join(part for part in (why, trading) if part)


def set_row(item: Item) -> Row:
    """The row of a collector without books (yet)."""
    assert item.owner is not None
    status = item.owner.status
    state = NO_BOOK.get(status.liveness, status.liveness.value if status.liveness else "")
    kind = "waiting" if status.liveness is Liveness.LIVE else "dead"
    sign = "○" if status.liveness is Liveness.LIVE else "✗"
    return Row(
        (status.name, ""),
        {
            "symbol": ("-", "quiet"),
            "exchange": (f"{REPLAY} {status.name}" if status.replay else status.name, ""),
            "state": (f"{sign} {state}", kind),
            "reason": (state, kind),
        },
    )


def price(side: str, text: str, item: Item, *, is_live: bool) -> Cell:
    """The price with its mark, or with a blank in its place: decimal points are aligned."""
    if not text:
        return "-", "quiet"
    kind = side if is_live else "quiet"
    mark = " "
    if side in item.best:
        mark, kind = "*", "best"
    if side in item.crossing:
        mark, kind = "»" if side == "bid" else "«", "crossing"
    if side == "bid":
        return f"{mark}{text}", kind
    digits = text.rstrip()
    return f"{digits}{mark}{text[len(digits) :]}", kind
