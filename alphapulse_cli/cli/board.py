"""The live board of `collect` and `demo`: a row a book, the best bid and ask over all exchanges marked; plain lines where nobody looks.

State words and marks say what the colours say. Text of exchanges is only ever shown escaped.
"""

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from alphapulse_cli.apps.status import BookStatus, SetStatus
from alphapulse_cli.cli import render, talk
from alphapulse_cli.wire.delta import BookState

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

STYLES = {
    BookState.LIVE: "green",
    BookState.SYNCING: "yellow",
    BookState.COLD: "dim",
    BookState.STALE: "red",
    BookState.HALTED: "bold red",
}
SHOWN_NOTICES = 6


def board(sets: Sequence[SetStatus], notices: Sequence[str], title: str) -> "Group":
    """Everything in one picture: a table of books, a line a set, the last notices."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    lines: list[RenderableType] = [Text(title, style="bold"), Text(""), _books(sets), Text("")]
    lines += [_set_line(one) for one in sets]
    if notices:
        lines.append(Text(""))
        lines += [Text(talk.safe(line)[:200], style="dim") for line in list(notices)[-SHOWN_NOTICES:]]
    return Group(*lines)


def _books(sets: Sequence[SetStatus]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = (
        "symbol",
        "exchange",
        "state",
        "bid size",
        "bid",
        "ask",
        "ask size",
        "bps",
        "levels",
        "deltas/s",
        "trades/s",
        "delay ms",
    )
    for name in (*columns, "age ms", "gaps"):
        table.add_column(name, justify="left" if name in ("symbol", "exchange", "state") else "right", no_wrap=True)
    books = sorted((book for one in sets for book in one.books), key=lambda book: (book.symbol, book.exchange))
    best = {symbol: _best([book for book in books if book.symbol == symbol]) for symbol in {book.symbol for book in books}}
    previous = ""
    for book in books:
        best_bid, best_ask = best[book.symbol]
        table.add_row(
            Text(talk.safe(book.symbol) if book.symbol != previous else "", style="bold"),
            talk.safe(book.exchange),
            _state(book),
            book.bid_size,
            Text(f"{'*' if book is best_bid else ' '}{book.bid}", style="bold green" if book is best_bid else "green"),
            Text(f"{book.ask}{'*' if book is best_ask else ' '}", style="bold red" if book is best_ask else "red"),
            book.ask_size,
            "" if book.spread_bps is None else f"{book.spread_bps:.2f}",
            f"{book.bid_count + book.ask_count}",
            f"{book.deltas_per_s:.0f}",
            f"{book.trades_per_s:.0f}",
            "" if book.feed_delay_us is None else f"{book.feed_delay_us / 1000:.1f}",
            "" if book.age_ms is None else f"{max(book.age_ms, 0):.0f}",
            str(book.gaps),
        )
        previous = book.symbol
    return table


def _best(books: Sequence[BookStatus]) -> tuple[BookStatus | None, BookStatus | None]:
    """The books with the highest bid and the lowest ask; only LIVE ones compete, and one alone is no contest."""
    live = [book for book in books if book.state is BookState.LIVE]
    if len(live) < 2:
        return None, None
    bids = [book for book in live if book.bid]
    asks = [book for book in live if book.ask]
    return (
        max(bids, key=lambda book: Fraction(book.bid), default=None),
        min(asks, key=lambda book: Fraction(book.ask), default=None),
    )


def _state(book: BookStatus) -> "Text":
    from rich.text import Text

    words = book.state.name if book.state is BookState.LIVE else f"{book.state.name} {book.reason.name.lower().replace('_', ' ')}"
    return Text(words, style=STYLES[book.state])


def _set_line(one: SetStatus) -> "Text":
    from rich.text import Text

    return Text(set_words(one), style="" if one.liveness is not None and one.liveness.value == "live" else "red")


def set_words(one: SetStatus) -> str:
    """One set in one line."""
    if one.liveness is None:
        return f"{talk.safe(one.name)}: no segments yet"
    p50, p99 = one.publish_latency.get("p50"), one.publish_latency.get("p99")
    latency = "" if p50 is None or p99 is None else f", published in {p50 / 1000:.0f} us (p99 {p99 / 1000:.0f})"
    live = sum(book.state is BookState.LIVE for book in one.books)
    total = one.totals
    return (
        f"{talk.safe(one.name)}: {one.liveness.value}, pid {one.pid}, {live}/{len(one.books)} books live, {one.frames_per_s:.0f} messages/s,"
        f" {one.deltas_per_s:.0f} deltas/s, {one.trades_per_s:.0f} trades/s, {total['gaps']} gaps, {total['checksums_bad']} bad checksums,"
        f" {total['resyncs']} resyncs, {total['reconnects']} reconnects{latency}"
    )


def rows(sets: Sequence[SetStatus]) -> Iterator[dict[str, Any]]:
    """One JSON row a book."""
    for one in sets:
        for book in one.books:
            yield {
                "set": one.name,
                "exchange": book.exchange,
                "symbol": book.symbol,
                "writer": one.liveness.value if one.liveness else None,
                "state": book.state.name,
                "reason": book.reason.name,
                "bid": book.bid,
                "bid_size": book.bid_size,
                "ask": book.ask,
                "ask_size": book.ask_size,
                "bid_levels": book.bid_count,
                "ask_levels": book.ask_count,
                "version": book.version,
                "messages_per_s": round(one.frames_per_s, 1),
                "deltas_per_s": round(book.deltas_per_s, 1),
                "trades_per_s": round(book.trades_per_s, 1),
                "feed_delay_us": book.feed_delay_us,
                "gaps": book.gaps,
                "resyncs": book.resyncs,
            }


def print_lines(sets: Sequence[SetStatus], *, as_json: bool) -> None:
    """What a board is without a terminal: a line a set, or a JSON row a book."""
    if as_json:
        render.emit_json([*rows(sets), None])
        return
    for one in sets:
        sys.stdout.write(set_words(one) + "\n")
    sys.stdout.flush()
