"""Protocol of the writers of formats: each takes the events one by one, and finishes its files."""

from typing import Any, Protocol

from alphapulse_cli.apps.export.stream import Event, Market
from alphapulse_cli.book.book import Book

Level = tuple[int, int, bool]  # ticks, lots, whether it is an ask


class Writer(Protocol):
    """Writer of one format."""

    def take(self, event: Event) -> None:
        """Write an event."""

    def finish(self) -> dict[Market, dict[str, Any]]:
        """Finish the files; what a reader of them has to know, by market: members of the JSON."""


def levels_of(book: Book) -> list[Level]:
    """All levels of a book: bids, then asks, each best first."""
    return [
        *((ticks, lots, False) for ticks, lots in book.bids()),
        *((ticks, lots, True) for ticks, lots in book.asks()),
    ]


def name_of(market: Market) -> str:
    """Part of a file name for a market: its set and symbol."""
    return f"{market.set_name}-{market.symbol}"
