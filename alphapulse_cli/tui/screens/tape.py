"""Tape screen: trades of all exchanges merged, newest first, each with a bar for its value."""

from collections.abc import Iterable
from decimal import Decimal
from math import log10
from typing import NamedTuple

from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.tui.cells import clock_text
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.listing import ListScreen
from alphapulse_cli.tui.widgets.line_table import Column, Row

BAR = 30
DECADES = 4  # powers of ten of value that a bar's length spans
EIGHTHS = " ▏▎▍▌▋▊▉█"


class Item(NamedTuple):
    """A trade, its value in its quote currency, and its bar's length (0 … 1), 1 for the largest value shown in that currency."""

    trade: TradeItem
    value: Decimal
    share: float


class TapeScreen(ListScreen):
    """The Tape screen: trades in the order in which they were received.

    The cursor stays on its trade; at the first row it follows the newest.
    """

    TITLE = "Tape"
    NAME = "tape"
    HELP = (
        "Trades of every exchange as they come, newest first. ▲ the taker bought, ▼ sold. The bar is the trade's value on a logarithmic scale:"
        " whole for the largest here in the same quote currency, a quarter of it shorter for a tenth of that. Rows stand in the order of the"
        " time at which we received them, in UTC; h: as history, with the subscription. The exchange's own time stands in its own column.\n\n"
        "The filter takes words (kraken btc buy) and a smallest value: >10000 shows what was worth more than that."
    )
    COLUMNS = (
        Column("time", "received (UTC)", 14),
        Column("symbol", "symbol", 9, right=False, limit=16, least=7),
        Column("exchange", "exchange", 10, right=False, limit=16, least=3),
        Column("side", "taker", 6, right=False, least=1),
        Column("price", "price", 11, limit=18),
        Column("size", "size", 11, limit=18),
        Column("value", "value", 13, rank=2, limit=20),
        Column("bar", "", BAR, rank=3, right=False),
        Column("exchange_time", "exchange's time", 15, rank=4),
        Column("id", "trade", 12, rank=5, right=False, limit=36),
    )

    def items(self, picture: Picture) -> Iterable[Item]:
        """The trades that match the filter, newest first."""
        words = self.filter.split()
        least = max((smallest(word) for word in words if word.startswith(">")), default=Decimal(0))
        names = [word for word in words if not word.startswith(">")]
        shown = [(trade, Decimal(trade.price) * Decimal(trade.size)) for trade in picture.trades if has(trade, names)]
        shown = [one for one in shown if one[1] > least or not least]
        largest: dict[str, Decimal] = {}
        for trade, value in shown:
            largest[quote(trade)] = max(value, largest.get(quote(trade), Decimal(0)))
        for trade, value in shown:
            yield Item(trade, value, share(value, largest[quote(trade)]))

    def row(self, item: Item) -> Row:
        """The table's row of one trade."""
        trade, kind = item.trade, "bid" if item.trade.side == "buy" else "ask"
        quiet = "quiet" if trade.history else ""
        return Row(
            (trade.set_name, trade.symbol, trade.trade_id, trade.timestamp_ns),
            {
                "time": (f"{'h' if trade.history else ''}{clock_text(trade.timestamp_ns)}", "quiet"),
                "exchange_time": ("-" if trade.exchange_ns is None else clock_text(trade.exchange_ns), "quiet"),
                "symbol": (trade.symbol, "strong"),
                "exchange": (f"{REPLAY} {trade.set_name}" if trade.replay else trade.set_name, ""),
                "side": (f"{'▲' if kind == 'bid' else '▼'} {trade.side}", kind),
                "price": (trade.price, quiet or kind),
                "size": (trade.size, quiet),
                "value": (f"{item.value:,.2f}", quiet),
                "bar": (bar(item.share, BAR), kind),
                "id": (trade.trade_id, "quiet"),
            },
        )

    def nothing(self, picture: Picture) -> str:
        """The sentence shown without trades: the reason, and what to do."""
        return picture.advice or "No trades yet: they are shown as they come."


def smallest(word: str) -> Decimal:
    """The number after the > of a filter; 0 while it is not a number (yet)."""
    text = word[1:].replace(",", "").replace("_", "")
    return Decimal(text) if text.isascii() and text.replace(".", "", 1).isdigit() else Decimal(0)


def has(trade: TradeItem, words: list[str]) -> bool:
    """Whether symbol, set, exchange and side of the trade, in lower case, contain every word."""
    whole = f"{trade.symbol} {trade.set_name} {trade.exchange} {trade.side}".lower()
    return all(word in whole for word in words)


def quote(trade: TradeItem) -> str:
    """The currency of the trade's value: the symbol's quote currency."""
    return trade.symbol.rpartition("-")[2]


def share(value: Decimal, most: Decimal) -> float:
    """Length of a bar, 0 … 1: 1 for the largest value, 1 / DECADES less for each factor of ten below it, 0 beyond DECADES of them."""
    if value <= 0 or most <= 0:
        return 0.0
    return max(0.0, 1 + log10(value / most) / DECADES)


def bar(share: float, width: int) -> str:
    """A bar of that part (0 … 1) of the width, to an eighth of a cell; at least one eighth."""
    eighths = max(1, round(share * width * 8))
    return EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
