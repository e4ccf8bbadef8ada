"""Feeds screen: how good each exchange's feed was, its connections' and symbols'; since the start, in the last hour, the last day.

picture.cards, a look a second while the screen is in front ─► a row each        v ─► the next window
"""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from alphapulse_cli.apps import feeds as texts
from alphapulse_cli.readers.feeds import WINDOWS_NS, FeedCard
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.listing import ListScreen, Order
from alphapulse_cli.tui.widgets import figures
from alphapulse_cli.tui.widgets.line_table import Cell, Column, Row
from alphapulse_cli.tui.widgets.lines import Line, Lines

WINDOW = "feeds.window"  # name of the remembered window
WORDS = {"start": "Since the collector's start", "hour": "The last hour", "day": "The last day"}
KIND_ORDER = ("exchange", "connection", "symbol")


def window_line(window: str, cards: Iterable[FeedCard]) -> Line:
    """Line that says which window is shown, and when it begins."""
    begins = sorted({card.from_ns for card in cards})
    since = f", from {moment(begins[0], digits=1)[:19]}Z on" if begins else ""
    return [(f" {WORDS[window]}", "title"), (f"{since}; v: the next window", "quiet")]


def valid_cell(card: FeedCard) -> Cell:
    """Valid time. It is marked where the book was ever not valid; `!` where a hundredth of the time or more was lost."""
    share = card.valid_percent
    text = texts.percent(share)
    if share is None:
        return text, "quiet"
    return (f"! {text}", "dead") if share <= 99.0 else (text, "" if share == 100.0 else "waiting")


def count_cell(number: int | None) -> Cell:
    """Count of something that went wrong: `!` marks any."""
    if number is None:
        return "", ""
    return (f"! {figures.count(number)}", "waiting") if number else ("0", "quiet")


def state_cell(card: FeedCard) -> Cell:
    """State now, green for what is as it should be."""
    text = texts.state(card)
    if not card.live:
        return text, "dead"
    is_good = card.books_live == card.books and card.trading_status in (None, "TRADING")
    return text, "live" if is_good else "waiting"


class FeedsScreen(ListScreen):
    """The Feeds screen: a row for each exchange, each connection where there are several, each symbol."""

    TITLE = "Feeds"
    NAME = "feeds"
    HELP = (
        "How good each feed was: a row for each collector, for its connections if it has several, and for its symbols. Valid is the share of"
        " the time in which the books were LIVE, rounded down: 100 is always. Healing is the time from the moment at which a book stopped being"
        " LIVE to the moment at which it was again: half of them were done in the first figure, 99 in a hundred in the second. Delay is the"
        " exchange's clock against ours, so that only its changes mean something. ! marks what went wrong; - is not known.\n\n"
        "v changes the window: since the collector's start, the last hour, the last day. Earlier collectors of the set are in the last two;"
        " ran is how much of the window one ran. docs/how-to/read-the-scorecards.md says what each figure means."
    )
    COLUMNS = (
        Column("exchange", "set", 10, right=False, limit=20, least=3),
        Column("symbol", "feed", 9, right=False, limit=16, least=5),
        Column("state", "now", 8, right=False, limit=22, least=4),
        Column("valid", "valid %", 8),
        Column("gaps", "gaps", 5, limit=9),
        Column("healing", "healing p50/p99", 15, rank=1, limit=20),
        Column("delay", "delay p50/p99", 15, rank=2, limit=20),
        Column("tail", "p99.9", 8, rank=7),
        Column("resyncs", "resyncs", 7, rank=3, limit=9),
        Column("checksums", "bad sums", 8, rank=4, limit=9),
        Column("messages", "messages/s", 10, rank=4),
        Column("bytes", "bytes/s", 9, rank=6),
        Column("reconnects", "reconnects", 10, rank=5),
        Column("open", "open %", 7, rank=6),
        Column("halts", "halts", 5, rank=6),
        Column("ran", "ran", 7, rank=5),
    )
    ORDERS: ClassVar[dict[str, Order]] = {
        "exchange": lambda card: (card.set, KIND_ORDER.index(card.kind), card.connection or 0, card.symbol),
        "symbol": lambda card: (card.symbol or "~", card.set, card.connection or 0),
        "valid": lambda card: card.valid_percent,
        "gaps": lambda card: card.gaps,
        "healing": lambda card: card.healing_ms["p99"],
        "delay": lambda card: card.feed_delay_us["p99"],
        "resyncs": lambda card: card.resyncs,
        "messages": lambda card: card.messages_per_s,
        "reconnects": lambda card: card.reconnects,
    }
    LARGEST_FIRST = frozenset({"gaps", "healing", "delay", "resyncs", "messages", "reconnects"})
    BINDINGS: ClassVar[list[BindingType]] = [Binding("v", "window", "Window")]

    def __init__(self) -> None:
        super().__init__()
        self._head = Lines(id="window")

    def compose_body(self) -> Iterable[Widget]:
        """Two widgets: the line about the window, and the table."""
        yield self._head
        yield self.table

    @property
    def window(self) -> str:
        """The chosen window, as remembered."""
        chosen = self.pulse.remembered(WINDOW, "hour")
        return chosen if chosen in WINDOWS_NS else "hour"

    def show(self, picture: Picture) -> None:
        """Draw the cards of the chosen window."""
        self.pulse.judge(self.window)
        line = window_line(self.window, self._of_window(picture))
        self._head.show(line, lambda _width, _height: [line])
        super().show(picture)

    def _of_window(self, picture: Picture) -> list[FeedCard]:
        return [card for card in picture.cards or () if card.window == self.window]

    def items(self, picture: Picture) -> Iterable[FeedCard]:
        """The cards that match the filter."""
        for card in texts.in_table(self._of_window(picture)):
            if self.matches(card.set, card.exchange, texts.name(card), texts.state(card)):
                yield card

    def row(self, item: FeedCard) -> Row:
        """The row of a card."""
        healing, delay = item.healing_ms, item.feed_delay_us
        is_part = item.kind != "exchange"
        cells: dict[str, Cell] = {
            "exchange": (item.set, "quiet" if is_part else "strong"),
            "symbol": (texts.name(item), "" if is_part else "strong"),
            "state": state_cell(item),
            "valid": valid_cell(item),
            "gaps": count_cell(item.gaps),
            "healing": (texts.joined((_ms(healing["p50"]), _ms(healing["p99"]))), "") if item.healings else ("-", "quiet"),
            "delay": (texts.joined((_us(delay["p50"]), _us(delay["p99"]))), "") if delay["count"] else ("-", "quiet"),
            "tail": (_us(delay["p99.9"]), ""),
            "resyncs": count_cell(item.resyncs),
            "checksums": ("-", "quiet") if item.checksums_percent is None else count_cell(item.checksums_bad),
            "messages": (texts.rate(item.messages_per_s), ""),
            "bytes": ("", "") if item.kind == "symbol" else (texts.octets(item.bytes_per_s), ""),
            "reconnects": count_cell(item.reconnects),
            "open": ("", "") if item.kind == "symbol" else (texts.percent(item.open_percent), ""),
            "halts": count_cell(item.halts),
            "ran": (texts.seconds(item.ran_ns), "quiet"),
        }
        return Row((item.set, item.kind, item.connection if item.kind == "connection" else 0, item.symbol), cells)

    def nothing(self, picture: Picture) -> str:
        """The sentence shown without cards."""
        if picture.cards is None or any(card.window != self.window for card in picture.cards):
            return picture.advice or "Reading the scorecards"
        return picture.advice or "No scorecards: collectors keep them, replays do not. alphapulse demo starts some collectors."

    def action_window(self) -> None:
        """Choose the next window."""
        names = list(WINDOWS_NS)
        self.pulse.remember(WINDOW, names[(names.index(self.window) + 1) % len(names)])
        self.show_again()

    def on_line_table_chosen(self) -> None:
        """Open the ladders of the row's symbol."""
        chosen = self.table.chosen
        if chosen is not None:
            self.open_symbol(chosen[3])


def _ms(ms: int | None) -> str:
    return figures.duration(None if ms is None else ms * 1e6)


def _us(us: int | None) -> str:
    return figures.duration(None if us is None else us * 1e3)
