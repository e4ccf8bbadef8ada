"""Arbitrage screen: profit, net of fees, of buying at one exchange and selling at another, for every symbol and pair of exchanges."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import ClassVar

from textual import on
from textual.widget import Widget

from alphapulse_cli.flow.arbitrage.depth_walk import DepthWalk
from alphapulse_cli.flow.arbitrage.exact import Exact, rounded
from alphapulse_cli.tui.alarms import ARBITRAGE
from alphapulse_cli.tui.books.detail_pane import DetailLines
from alphapulse_cli.tui.books.way import Ends, way_lines, way_of
from alphapulse_cli.tui.cells import age
from alphapulse_cli.tui.feed.picture import ArbitragePicture, ArbitrageRow, Picture
from alphapulse_cli.tui.screens.listing import Order
from alphapulse_cli.tui.screens.with_pane import PaneScreen
from alphapulse_cli.tui.widgets.line_table import Cell, Column, LineTable, Row
from alphapulse_cli.tui.widgets.lines import Line, Lines, in_width, joined

NOT_COMPARED = 3  # most pairs named in a note


def profit(row: ArbitrageRow) -> tuple[bool, Fraction] | None:
    """Sort key of a row: opportunities, by profit, are above all others, by the return of their best prices."""
    if row.found is not None:
        return True, row.found.net.fraction
    return None if row.net_bps is None else (False, row.net_bps)


class ArbitrageScreen(PaneScreen):
    """The arbitrage screen: a row for each symbol, exchange to buy at and exchange to sell at. Enter opens the symbol's books."""

    TITLE = "Arbitrage"
    NAME = "arbitrage"
    HELP = (
        "Buy at one exchange's asks, sell at another's bids: every two exchanges of every symbol, both ways. net bps is what the best prices"
        " leave after both taker fees (exchange.NAME.taker_fee in the configuration, else the lowest tier). » marks an opportunity: size is"
        " what earns most when both books are walked, within the exchanges' lot and minimum sizes, net profit what it earns. Below the table is"
        " the walk of the row under the cursor, what was seen of it lately and how many of those lasted how long; x keeps it there, a sets an"
        " alarm on it, Enter opens the ladders, Esc comes back.\n\n"
        "The verdict of another row says what holds it back: a book that is not live, a market that takes no orders, a book older than 10 s"
        " or crossed in itself, or"
        " feeds whose delays differ by more than 500 ms. A book that is not live has no prices here.\n\n"
        "This is how the books stand in each picture, at most 12 a second, and the age counts from the first picture that had it (> : it"
        " was there when the screen was opened), in a replay by the recording's clock. What comes and goes between two pictures is not seen"
        " here. alphapulse arb watch sees every change and keeps what it saw: alphapulse arb history."
    )
    COLUMNS = (
        Column("symbol", "symbol", 9, right=False, limit=16, least=7),
        Column("buy", "buy at", 10, right=False, limit=16, least=4),
        Column("ask", "ask", 10, rank=2, limit=18),
        Column("sell", "sell at", 10, right=False, limit=16, least=4),
        Column("bid", "bid", 10, rank=2, limit=18),
        Column("bps", "net bps", 8, limit=11),
        Column("size", "size", 10, rank=2, limit=18),
        Column("net", "profit", 10, limit=16),
        Column("currency", "", 4, rank=1, right=False, limit=8),
        Column("age", "age", 6, rank=1, limit=8),
        Column("verdict", "verdict", 11, right=False, limit=12),
        Column("raw", "raw bps", 8, rank=3, limit=11),
        Column("paid", "average ask", 12, rank=4, limit=20),
        Column("got", "average bid", 12, rank=4, limit=20),
        Column("exact", "profit, exact", 20, rank=5, limit=30),
        Column("note", "converted", 24, rank=6, right=False, limit=40),
    )
    ORDERS: ClassVar[dict[str, Order]] = {
        "net": profit,
        "bps": lambda row: row.net_bps,
        "raw": lambda row: row.raw_bps,
        "symbol": lambda row: row.symbol,
        "buy": lambda row: row.buy,
        "sell": lambda row: row.sell,
        "age": lambda row: -row.since_ns if row.found is not None else None,
        "verdict": lambda row: verdict(row)[0],
    }
    LARGEST_FIRST = frozenset({"net", "bps", "raw", "age"})

    SCOPE = ARBITRAGE
    _now_ns = 0

    def __init__(self) -> None:
        super().__init__()
        self._way = DetailLines(way_lines, id="pane-detail")

    def compose_body(self) -> Iterable[Widget]:
        """The table, the pane, and below them the notes on rows that are held back."""
        yield from super().compose_body()
        yield Lines(id="held-back")

    def compose_pane(self) -> Iterable[Widget]:
        """The pane's one widget: the walk, and recent opportunities."""
        yield self._way

    def show_pane(self, picture: Picture, key: Ends) -> None:
        """Show the way to trade with that key."""
        alarm = self.pulse.alarms.text_of(self.SCOPE, self.alarm_key(key))
        notes = (f"alarm: {alarm}" if alarm else "", "pinned: x lets it go" if self.pinned is not None else "")
        self._way.show_item(way_of(picture, key, "  ".join(note for note in notes if note)))

    def alarm_key(self, key: Ends) -> tuple[str, str, str, str]:
        """The alarm's key of a row: exchange and symbol of the book to buy from, then of the book to sell to."""
        return (*key[0], *key[1])

    def show(self, picture: Picture) -> None:
        """Draw the table and the notes."""
        self._now_ns = picture.arbitrage_ns
        lines = notes(picture.arbitrage or ArbitragePicture())
        self.other_rows = len(lines)
        super().show(picture)
        below = self.query_one("#held-back", Lines)
        below.styles.height = len(lines)
        below.show(lines, lambda width, _: [in_width(note_line(title, parts, width), width) for title, parts in lines])

    def items(self, picture: Picture) -> Iterable[ArbitrageRow]:
        """The ways to trade that match the filter."""
        for row in () if picture.arbitrage is None else picture.arbitrage.rows:
            if self.matches(row.symbol, *row.buy, *row.sell, row.currency, verdict(row)[0]):
                yield row

    def row(self, item: ArbitrageRow) -> Row:
        """The table's row of one way to trade."""
        return Row((item.buy, item.sell), cells_of(item, self._now_ns))

    def nothing(self, picture: Picture) -> str:
        """The sentence shown instead of rows: why there is nothing to compare, and what to do."""
        if picture.advice:
            return picture.advice
        if picture.arbitrage is None:
            return "Looking at the books."
        return "No symbol is collected from two exchanges. Collect another: alphapulse collect --exchange coinbase"

    @on(LineTable.Chosen)
    def _open(self, event: LineTable.Chosen) -> None:
        """Open the ladders of the row's symbol."""
        (_, symbol), _ = event.key
        self.open_symbol(symbol)


def verdict(row: ArbitrageRow) -> Cell:
    """(text, kind) of the verdict's cell."""
    if row.found is not None:
        return "opportunity", "best"
    if row.why is not None:
        return row.why.value.replace("_", " "), "waiting"
    return ("no profit" if row.ask and row.bid else "one-sided"), "quiet"


def cells_of(row: ArbitrageRow, now_ns: int) -> dict[str, Cell]:
    """Column -> (text, kind) of a row; `now_ns` is the picture's time, from which ages count, on the clock of `since_ns`."""
    found = row.found
    bps, raw = signed(row.net_bps), signed(row.raw_bps)
    cells: dict[str, Cell] = {
        "symbol": (row.symbol, "strong"),
        "buy": (row.buy[0], ""),
        "ask": (row.ask or "-", "ask" if row.ask else "quiet"),
        "sell": (row.sell[0], ""),
        "bid": (row.bid or "-", "bid" if row.bid else "quiet"),
        "bps": (bps, "") if found is None else (f"»{bps}", "crossing"),
        "currency": ("" if found is None else row.currency, "quiet"),
        "verdict": verdict(row),
        "raw": (raw, "quiet"),
        "note": (row.note, "quiet"),
    }
    if found is not None:
        age_text = age((now_ns - row.since_ns) / 1e6)
        cells |= {
            "size": (found.size.text, ""),
            "net": (money(found.net), "best"),
            "age": (f">{age_text}" if row.is_from_start else age_text, "quiet"),
            "exact": (found.net.text, ""),
        }
        if isinstance(found, DepthWalk):
            cells |= {"paid": (rounded(found.average_ask, 8), "ask"), "got": (rounded(found.average_bid, 8), "bid")}
    return cells


def signed(bps: Fraction | None) -> str:
    """Basis points with their sign; "" for None."""
    return "" if bps is None else f"{float(bps):+,.2f}"


def money(amount: Exact) -> str:
    """Text of an amount, rounded down to hundredths, or to millionths if it is small."""
    digits = 2 if amount.fraction >= 1 else 6
    units = amount.fraction * 10**digits // 1
    return f"{units // 10**digits:,}.{units % 10**digits:0{digits}}"


Note = tuple[str, Sequence[str]]  # its subject, and its parts


def notes(arbitrage: ArbitragePicture) -> list[Note]:
    """Notes, a line each: why rows are held back, and which pairs have no row."""
    made: list[Note] = []
    if arbitrage.held_back:
        reasons = sorted(arbitrage.held_back.items(), key=lambda one: (-one[1], one[0].value))
        made.append(("held back: ", [f"{count} {why.value.replace('_', ' ')} ({why.meaning})" for why, count in reasons]))
    if arbitrage.not_compared:
        pairs = [f"{one}/{other}" for one, other in arbitrage.not_compared[:NOT_COMPARED]]
        more = len(arbitrage.not_compared) - len(pairs)
        made.append(("not compared, nothing converts: ", [*pairs, *([f"and {more} more"] if more else [])]))
    return made + [("", [sentence]) for sentence in arbitrage.unknown_fees]


def note_line(title: str, parts: Sequence[str], width: int) -> Line:
    """The note as a line of coloured pieces."""
    return [("  ", ""), (title, "waiting"), (joined(parts, width - len(title) - 2), "quiet")]
