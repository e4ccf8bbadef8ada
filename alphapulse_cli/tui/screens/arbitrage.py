"""Where a bid of one exchange is above, or near, the ask of another: the raw spread between each two, before fees and depth."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import permutations
from typing import ClassVar, NamedTuple

from textual import on

from alphapulse_cli.tui.cells import age
from alphapulse_cli.tui.picture import BookPicture, Picture
from alphapulse_cli.tui.screens.listing import ListScreen, Order
from alphapulse_cli.tui.widgets.line_table import Column, LineTable, Row


class Item(NamedTuple):
    """Buy at one exchange's ask, sell at another's bid: of the same symbol, both LIVE."""

    buy: BookPicture
    sell: BookPicture

    @property
    def spread(self) -> Decimal:
        """What is left of each unit, in the quote currency; below 0 where it would cost."""
        return Decimal(self.sell.status.bid) - Decimal(self.buy.status.ask)

    @property
    def bps(self) -> float | None:
        """The same, of the price paid; None where that is not above 0."""
        paid = Decimal(self.buy.status.ask)
        return float(self.spread / paid) * 10_000 if paid > 0 else None

    @property
    def size(self) -> Decimal:
        """What the two best levels have in common."""
        return min(Decimal(self.buy.status.ask_size), Decimal(self.sell.status.bid_size))

    @property
    def age_ms(self) -> float | None:
        """Of the older of the two."""
        ages = [one.status.age_ms for one in (self.buy, self.sell) if one.status.age_ms is not None]
        return max(ages, default=None)


class ArbitrageScreen(ListScreen):
    """Enter opens the books of the row's symbol."""

    TITLE = "Arbitrage"
    NAME = "arbitrage"
    HELP = (
        "For every symbol and every two live exchanges: buy at the one's best ask, sell at the other's best bid. What crosses is marked ».\n\n"
        "These are raw spreads: before fees, for the size of the best levels alone, and as they were received here. What crosses here could"
        " be traded only if fees and delay leave something of it."
    )
    COLUMNS = (
        Column("symbol", "symbol", 9, right=False, limit=16),
        Column("buy", "buy at", 11, right=False, limit=16),
        Column("ask", "ask", 11, limit=18),
        Column("sell", "sell at", 11, right=False, limit=16),
        Column("bid", "bid", 11, limit=18),
        Column("bps", "raw bps", 9),
        Column("spread", "per unit", 10, rank=1, limit=18),
        Column("size", "size", 11, rank=2, limit=18),
        Column("age", "age", 6, rank=3),
    )
    ORDERS: ClassVar[dict[str, Order]] = {
        "bps": lambda item: item.bps,
        "symbol": lambda item: item.buy.status.symbol,
        "buy": lambda item: item.buy.set_name,
        "sell": lambda item: item.sell.set_name,
        "size": lambda item: item.size,
        "age": lambda item: item.age_ms,
    }
    LARGEST_FIRST = frozenset({"bps", "size"})

    def items(self, picture: Picture) -> Iterable[Item]:
        """Every two exchanges of every symbol."""
        for symbol in picture.symbols():
            books = [book for book in picture.books if book.status.symbol == symbol]
            for buy, sell in permutations(books, 2):
                if buy.ask is not None and sell.bid is not None and self.matches(symbol, buy.set_name, sell.set_name):
                    yield Item(buy, sell)

    def row(self, item: Item) -> Row:
        """One way to trade."""
        is_crossing = item.spread > 0
        kind = "crossing" if is_crossing else ""
        bps = item.bps
        return Row(
            (item.buy.key, item.sell.key),
            {
                "symbol": (item.buy.status.symbol, "strong"),
                "buy": (item.buy.set_name, ""),
                "ask": (item.buy.status.ask, "ask"),
                "sell": (item.sell.set_name, ""),
                "bid": (item.sell.status.bid, "bid"),
                "bps": ("" if bps is None else f"{'»' if is_crossing else ''}{bps:+,.2f}", kind),
                "spread": (f"{item.spread:+,f}", kind),
                "size": (f"{item.size:f}", "" if is_crossing else "quiet"),
                "age": (age(item.age_ms), "quiet"),
            },
        )

    def nothing(self, picture: Picture) -> str:
        """Fewer than two live books of one symbol: what to do."""
        if picture.advice:
            return picture.advice
        return "No symbol is live on two exchanges. Collect another: alphapulse collect --exchange coinbase"

    @on(LineTable.Chosen)
    def _open(self, event: LineTable.Chosen) -> None:
        """The ladders of that row's symbol."""
        (_, symbol), _ = event.key
        self.open_symbol(symbol)
