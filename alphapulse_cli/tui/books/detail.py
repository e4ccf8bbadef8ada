"""Details of one book, as lines for a given room: state and advice, trades, mid and spread, rates, latencies.

Detail (a book, its set, its trades) ─► detail_lines(width, height)

kraken BTC-USD  ● LIVE                                    pinned: x lets it go
reason why it is not LIVE, and advice
mid and spread            │ trades, newest first
rates, counts, latencies  │
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.readers.status import state_words
from alphapulse_cli.tui.books import words as book_words
from alphapulse_cli.tui.books.ladder import wrapped
from alphapulse_cli.tui.books.ladder_text import Line, Piece, cut_line
from alphapulse_cli.tui.books.price_chart import MOST_HEIGHT, MakeChart, chart_lines
from alphapulse_cli.tui.cells import age, clock_text
from alphapulse_cli.tui.feed.picture import BookPicture, Picture, SetPicture
from alphapulse_cli.tui.widgets.figures import duration
from alphapulse_cli.wire.delta import BookState

MOST_TRADES = 60
TRADES_WIDTH = 40  # width of the column beside the chart
TWO_COLUMNS = 84
RELATIVE = "≈"


@dataclass(frozen=True, slots=True)
class Detail:
    """Content of the lines about a book; equal details make equal lines."""

    book: BookPicture
    owner: SetPicture | None
    trades: Sequence[TradeItem] = ()
    is_pinned: bool = False
    alarm: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """Content of the lines about a row without a book, or a pinned book that has gone."""

    name: str
    advice: str
    is_pinned: bool = False


def detail_of(picture: Picture, key: tuple[str, str], *, is_pinned: bool, alarm: str = "") -> Detail | Missing:
    """Details of the book with that key, (set, symbol)."""
    book = next((one for one in picture.books if one.key == key), None)
    if book is None:
        owner = next((one for one in picture.sets if one.status.name == key[0]), None)
        revival = "" if owner is None else owner.revival
        advice = (
            revival
            or picture.advice
            or ("It is shown here once it is there." if key[1] else "Its books are shown here as they come.")
        )
        return Missing(f"{key[0]} {key[1]}".strip(), advice, is_pinned)
    owner = next((one for one in picture.sets if one.status.name == book.set_name), None)
    trades = [trade for trade in picture.trades if (trade.set_name, trade.symbol) == key]
    return Detail(book, owner, tuple(trades[:MOST_TRADES]), is_pinned, alarm)


def pane_lines(what: Detail | Missing, width: int, height: int, chart: MakeChart = chart_lines) -> list[Line]:
    """Lines about a book, or about one that is not there."""
    if isinstance(what, Detail):
        return detail_lines(what, width, height, chart)
    pin = "  pinned: x lets it go" if what.is_pinned else ""
    lines: list[Line] = [(Piece(f" {safe(what.name)}", "name"), Piece("  no book", "waiting"), Piece(pin, "best"))]
    return [cut_line(line, width) for line in [*lines, *wrapped(safe(what.advice), width, "quiet")]][:height]


def detail_lines(detail: Detail, width: int, height: int, chart: MakeChart = chart_lines) -> list[Line]:
    """Lines about a book in that room, the most important first."""
    if width < 1 or height < 1:
        return []
    status = detail.book.status
    lines = [cut_line(title_line(detail, width), width)]
    if status.state is not BookState.LIVE:
        revival = "" if detail.owner is None else detail.owner.revival
        is_named = any(state_words(status) in piece.text for piece in lines[0])
        for words in book_words.why(status, has_ladder=detail.book.ladder is not None, revival=revival, is_named=is_named):
            lines += wrapped(words, width, "waiting")
    if width >= TWO_COLUMNS:
        left = width - TRADES_WIDTH
        room, facts = height - len(lines), _facts(detail, left)
        beside = [*_charted(detail, left, room - len(facts), chart), *facts]
        lines += side_by_side(beside, trade_lines(detail.trades, TRADES_WIDTH, room), left, room)
    else:
        facts = _facts(detail, width)
        lines += _charted(detail, width, height - len(lines) - len(facts) - 4, chart) + facts
        lines += trade_lines(detail.trades, width, height - len(lines))
    return [cut_line(line, width) for line in lines[:height]]


def title_line(detail: Detail, width: int) -> Line:
    """Title line: set, symbol and state; at the end the alarm and the pin."""
    status = detail.book.status
    sign = "●" if status.state is BookState.LIVE else "○"
    name = f" {safe(detail.book.set_name)} {safe(status.symbol)}  "
    state = f"{sign} {state_words(status)}"
    alarm = f"alarm: {detail.alarm}" if detail.alarm else ""
    pin = "  ".join(part for part in (alarm, "pinned: x lets it go" if detail.is_pinned else "") if part)
    return (
        Piece(name, "name"),
        Piece(state, book_words.KINDS.get(status.state, "waiting")),
        Piece(pin.rjust(max(width - len(name) - len(state), len(pin) + 2)), "best"),
    )


def _charted(detail: Detail, width: int, room: int, chart: MakeChart) -> list[Line]:
    places = len(detail.book.status.bid.partition(".")[2])
    return chart(detail.book.history, places, width - 1, min(room, MOST_HEIGHT))


def _facts(detail: Detail, width: int) -> list[Line]:
    """Lines about rates, counts, rules for orders and latencies."""
    status = detail.book.status
    delay = "" if status.feed_delay_us is None else f"{status.feed_delay_us / 1000:,.1f} ms feed delay {RELATIVE}"
    parts = [
        (f"{status.deltas_per_s:,.0f} deltas/s", ""),
        (f"{status.trades_per_s:,.1f} trades/s", ""),
        (f"last frame {age(status.age_ms)} ago" if status.age_ms is not None else "", ""),
        (delay, ""),
        (f"{status.gaps:,} gaps", "waiting" if status.gaps else "quiet"),
        (f"{status.resyncs:,} resyncs", "quiet"),
        (f"{status.bid_count:,} bid and {status.ask_count:,} ask levels", "quiet"),
        (f"tick {status.tick_size}" if status.tick_size else "", "quiet"),
        (f"lot {status.lot_size}" if status.lot_size else "", "quiet"),
        (f"smallest order {status.min_size}" if status.min_size else "", "quiet"),
    ]
    lines = flowing([one for one in parts if one[0]], width)
    for stage in () if detail.owner is None else detail.owner.stages:
        middle, late = (duration(stage.distribution.quantile(part)) for part in (0.5, 0.99))
        name = f" {stage.name}{f' {RELATIVE}' if stage.is_relative else ''}"
        lines.append((Piece(name.ljust(25), "quiet"), Piece(f"p50 {middle:>9}  p99 {late:>9}", "size")))
    return lines


def trade_lines(trades: Sequence[TradeItem], width: int, height: int) -> list[Line]:
    """Lines about trades, newest first: time of receipt, price and size."""
    if height < 2:
        return []
    if not trades:
        return [(Piece(" no trades yet", "quiet"),)]
    shown = trades[: height - 1]
    prices, sizes = (max(len(text) for text in texts) for texts in zip(*((one.price, one.size) for one in shown), strict=True))
    head = Piece(f" {'received (UTC)':<15}{'price':>{prices + 2}}{'size':>{sizes + 2}}", "head")
    lines: list[Line] = [(head,)]
    for trade in shown:
        mark, kind = ("▲", "bid") if trade.side == "buy" else ("▼", "ask") if trade.side == "sell" else (" ", "size")
        when = f"{'h' if trade.history else ' '}{clock_text(trade.timestamp_ns)}"
        lines.append(
            (
                Piece(f"{when:<16}", "quiet"),
                Piece(f"{mark} {safe(trade.price):>{prices}}", kind),
                Piece(f"  {safe(trade.size):>{sizes}}", "size"),
            )
        )
    return [cut_line(line, width) for line in lines]


def flowing(parts: Sequence[tuple[str, str]], width: int) -> list[Line]:
    """Wrap parts (text, kind) into lines without cutting a part."""
    lines: list[list[Piece]] = [[]]
    used = 0
    for text, kind in parts:
        if lines[-1] and used + len(text) + 3 > width:
            lines.append([])
            used = 0
        lines[-1].append(Piece(f" {text}  ", kind))
        used += len(text) + 3
    return [tuple(line) for line in lines if line]


def side_by_side(left: Sequence[Line], right: Sequence[Line], width: int, height: int) -> list[Line]:
    """Join two blocks: the left lines in exactly `width` cells, then the right ones."""
    made: list[Line] = []
    for at in range(min(max(len(left), len(right)), height)):
        line = cut_line(left[at], width) if at < len(left) else ()
        blank = Piece(" " * (width - sum(len(piece.text) for piece in line)))
        made.append((*line, blank, *(right[at] if at < len(right) else ())))
    return made
