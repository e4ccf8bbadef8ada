"""Live board of `collect` and `demo`: a row a book, the best bid and ask of all exchanges marked; plain lines in a pipe.

State words and marks repeat what the colours say. Text of an exchange is shown escaped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from alphapulse_cli.cli import render
from alphapulse_cli.cli.fitting import wrapped
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.market.trading_status import allows_taking
from alphapulse_cli.readers.moments import moment, replay_words
from alphapulse_cli.readers.status import BookStatus, SetStatus, capture_state, capture_words, state_words
from alphapulse_cli.shm.counters import CaptureState
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
FRAME_LINES = 5  # title, two empty lines, the table's header, an empty line before the notices
NOTICE_LINES = 2  # kept free for the newest notice
LONGEST_STATE = len("SYNCING disconnected,")  # a longer one takes a second line


@dataclass(frozen=True, slots=True)
class BoardColumn:
    """A column of the board; on a narrow screen the columns of the highest `rank` are left out first."""

    title: str
    rank: int
    width: int
    show: Callable[[BookStatus], str] = lambda _: ""
    right: bool = True


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


COLUMNS = (
    BoardColumn("symbol", 0, 9, right=False),
    BoardColumn("exchange", 0, 10, right=False),
    BoardColumn("state", 0, 7, right=False),
    BoardColumn("bid size", 3, 12, lambda book: book.bid_size),
    BoardColumn("bid", 0, 10),
    BoardColumn("ask", 0, 10),
    BoardColumn("ask size", 3, 12, lambda book: book.ask_size),
    BoardColumn("bps", 1, 6, lambda book: _number(book.spread_bps, 2)),
    BoardColumn("levels", 4, 6, lambda book: str(book.bid_count + book.ask_count)),
    BoardColumn("deltas/s", 2, 8, lambda book: _number(book.deltas_per_s, 0)),
    BoardColumn("trades/s", 5, 8, lambda book: _number(book.trades_per_s, 0)),
    BoardColumn("delay ms", 5, 8, lambda book: _number(None if book.feed_delay_us is None else book.feed_delay_us / 1000, 1)),
    BoardColumn("age ms", 4, 6, lambda book: _number(None if book.age_ms is None else max(book.age_ms, 0.0), 0)),
    BoardColumn("gaps", 2, 4, lambda book: str(book.gaps)),
)
GAP = 2


def columns_for(width: int, state_width: int = 0) -> list[BoardColumn]:
    """Columns that fit into `width` beside states of `state_width`; whole ranks are left out, the highest first."""
    more = max(state_width - next(column.width for column in COLUMNS if column.title == "state"), 0)
    for rank in range(max(column.rank for column in COLUMNS), -1, -1):
        kept = [column for column in COLUMNS if column.rank <= rank]
        if more + sum(column.width + GAP for column in kept) <= width or rank == 0:
            return kept
    raise AssertionError("unreachable")


def board(sets: Sequence[SetStatus], notices: Sequence[str], title: str, width: int, height: int) -> "Group":
    """Draw the board: a table of books, a sentence a set, and as many of the last notices as fit whole, the newest last."""
    from rich.console import Group, RenderableType
    from rich.text import Text

    books = sorted((book for one in sets for book in one.books), key=lambda book: (book.symbol, book.exchange))
    state_width = min(max((len(state_words(book)) for book in books), default=0), LONGEST_STATE)
    about = [(line, "" if is_healthy(one) else "red") for one in sets for line in wrapped(set_words(one), width)]
    wanted = {id(book): len(wrapped(state_words(book), max(state_width, 1))) for book in books}  # lines of each
    room = height - FRAME_LINES - len(about) - (NOTICE_LINES if notices else 0)
    shown = books if sum(wanted.values()) <= room else ailing_first(books, wanted, room - 1)
    hidden = len(books) - len(shown)
    ailing = sum(book.state is not BookState.LIVE for book in books) - sum(book.state is not BookState.LIVE for book in shown)
    lines: list[RenderableType] = [Text(title, style="bold"), Text(""), _books(shown, books, columns_for(width, state_width))]
    lines += (
        [Text(f"and {hidden} more books, {f'{ailing} of them not LIVE' if ailing else 'all LIVE'}", style="dim")] if hidden else []
    )
    lines += [Text(""), *(Text(line, style=style) for line, style in about)]
    rows = sum(wanted[id(book)] for book in shown) + bool(hidden)
    recent = last_notices(notices, width, height - FRAME_LINES - len(about) - rows)
    return Group(*lines, *(Text(line, style="dim") for line in ([""] if recent else []) + recent))


def is_healthy(one: SetStatus) -> bool:
    """Whether the set's collector lives, and its capture is not stopped."""
    is_live = one.liveness is not None and one.liveness.value == "live"
    return is_live and capture_state(one.totals) <= CaptureState.WRITING


def ailing_first(books: Sequence[BookStatus], wanted: Mapping[int, int], room: int) -> list[BookStatus]:
    """Books that find room in so many lines, one at least: those that are not LIVE before the others; in the order of `books`."""
    chosen: list[BookStatus] = []
    for book in sorted(books, key=lambda book: book.state is BookState.LIVE):
        room -= wanted[id(book)]
        if room < 0 and chosen:
            break
        chosen.append(book)
    ids = {id(book) for book in chosen}
    return [book for book in books if id(book) in ids]


def last_notices(notices: Sequence[str], width: int, room: int) -> list[str]:
    """Lines of the newest notices that find room, the newest last and always whole."""
    lines: list[str] = []
    for notice in list(notices)[: -SHOWN_NOTICES - 1 : -1]:
        one = wrapped(safe(notice), width)
        if lines and len(lines) + len(one) > room:
            break
        lines = one + lines
    return lines


def _books(shown: Sequence[BookStatus], books: Sequence[BookStatus], columns: Sequence[BoardColumn]) -> "Table":
    """Table of the books shown, in which the best prices are those of all `books`."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title, justify="right" if column.right else "left", no_wrap=column.title != "state"
        )  # a price is never cut
    kinds = {(book.symbol, book.replay) for book in shown}  # the past does not compete with the present
    best = {kind: _best([book for book in books if (book.symbol, book.replay) == kind]) for kind in kinds}
    previous = ""
    for book in shown:
        best_bid, best_ask = best[book.symbol, book.replay]
        cells = {
            "symbol": _text(book.symbol if book.symbol != previous else "", "bold"),
            "exchange": _text(book.exchange, ""),
            "state": _text(state_words(book), STYLES[book.state] if allows_taking(book.trading_status) else "bold red"),
            "bid": _text(f"{'*' if book is best_bid else ''}{book.bid}", "bold green" if book is best_bid else "green"),
            "ask": _text(f"{book.ask}{'*' if book is best_ask else ' '}", "bold red" if book is best_ask else "red"),
        }
        table.add_row(*(cells[column.title] if column.title in cells else _text(column.show(book), "") for column in columns))
        previous = book.symbol
    return table


def _text(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(safe(text), style=style)


def _best(books: Sequence[BookStatus]) -> tuple[BookStatus | None, BookStatus | None]:
    """Books with the highest bid and the lowest ask among LIVE books that can be traded; None each if there are fewer than two."""
    live = [book for book in books if book.state is BookState.LIVE and allows_taking(book.trading_status)]
    if len(live) < 2:
        return None, None
    bids = [book for book in live if book.bid]
    asks = [book for book in live if book.ask]
    return (
        max(bids, key=lambda book: Fraction(book.bid), default=None),
        min(asks, key=lambda book: Fraction(book.ask), default=None),
    )


def set_words(one: SetStatus) -> str:
    """Line about a set: its collector, its counters, its rates and its publish latency."""
    if one.liveness is None:
        return f"{safe(one.name)}: no segments yet"
    p50, p99 = one.publish_latency.get("p50"), one.publish_latency.get("p99")
    latency = "" if p50 is None or p99 is None else f", published in {p50 / 1000:.0f} us (p99 {p99 / 1000:.0f})"
    live = sum(book.state is BookState.LIVE for book in one.books)
    total = one.totals
    replay = f"{replay_words(one.recording_ns)}, " if one.replay else ""
    several = total["connections"] > 1
    capture = capture_words(total)
    connections = f" {total['connections_open']} of {total['connections']} connections," if several else ""
    return (
        f"{safe(one.name)}: {replay}{one.liveness.value}, pid {one.pid}, {live}/{len(one.books)} books live,{connections} {total['gaps']} gaps,"
        f" {total['checksums_bad']} bad checksums, {total['resyncs']} resyncs, {total['reconnects']} reconnects,"
        f"{f' {capture},' if capture else ''}"  # before the rates: the end may be cut
        f" {one.frames_per_s:.0f} messages/s, {one.deltas_per_s:.0f} deltas/s, {one.trades_per_s:.0f} trades/s{latency}"
    )


def rows(sets: Sequence[SetStatus]) -> Iterator[dict[str, Any]]:
    """Iterate over JSON rows, one a book."""
    for one in sets:
        capture = capture_state(one.totals)
        for book in one.books:
            yield {
                "set": one.name,
                "exchange": book.exchange,
                "symbol": book.symbol,
                "writer": one.liveness.value if one.liveness else None,
                "state": book.state.name,
                "reason": book.reason.name,
                "wait_until": moment(book.wait_until_ns) if book.is_waiting else None,
                "trading_status": None if book.trading_status is None else book.trading_status.name,
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
                "capture": capture.name if capture else None,
                "capture_rows": one.totals.get("capture_rows", 0),
                "capture_rows_lost": one.totals.get("capture_rows_lost", 0),
                **({"replay": True, "recording": moment(one.recording_ns) if one.recording_ns else None} if one.replay else {}),
            }


def lines(sets: Sequence[SetStatus], *, as_json: bool) -> bytes:
    """Encoded lines for an output that is no terminal: a line a set, or a JSON row a book."""
    if as_json:
        return b"".join(render.json_line(row) for row in rows(sets))
    return "".join(set_words(one) + "\n" for one in sets).encode("utf-8", "backslashreplace")
