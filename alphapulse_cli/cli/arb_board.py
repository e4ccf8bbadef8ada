"""Live table of `arb watch`: open opportunities, the most profitable first, those just ended, and counts of those held back."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from alphapulse_cli.apps.arb.rows import event_row
from alphapulse_cli.cli import render, stderr
from alphapulse_cli.cli.fitting import wrapped
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.flow.arbitrage.opportunity import Event, EventKind
from alphapulse_cli.readers.moments import REPLAY, replay_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from alphapulse_cli.apps.arb.keep import Keeper
    from alphapulse_cli.apps.arb.watch import Watch, WatchStatus

REFRESH_NS = 250_000_000
KEPT_ENDED, SHOWN_NOT_LIVE = 12, 4
GAP = 2


@dataclass(frozen=True, slots=True)
class ArbColumn:
    """A column of the table; on a narrow screen the columns of the highest `rank` are left out first."""

    key: str
    title: str
    rank: int
    width: int
    right: bool = True


COLUMNS = (
    ArbColumn("mark", "", 0, 1, right=False),
    ArbColumn("symbol", "symbol", 0, 8, right=False),
    ArbColumn("buy", "buy at", 0, 10, right=False),
    ArbColumn("buy_price", "price", 2, 11),
    ArbColumn("sell", "sell at", 0, 10, right=False),
    ArbColumn("sell_price", "price", 2, 11),
    ArbColumn("size", "size", 1, 11),
    ArbColumn("net", "net profit", 0, 10),
    ArbColumn("currency", "", 0, 4, right=False),
    ArbColumn("net_bps", "net bps", 0, 7),
    ArbColumn("life", "age", 0, 7),
    ArbColumn("peak_net", "peak", 3, 10),
    ArbColumn("id", "id", 2, 8, right=False),
    ArbColumn("note", "", 4, 24, right=False),
)


def columns_for(width: int) -> list[ArbColumn]:
    """Columns that fit into `width` terminal cells; the least important are left out first, a whole rank at a time."""
    for rank in range(max(column.rank for column in COLUMNS), -1, -1):
        kept = [column for column in COLUMNS if column.rank <= rank]
        if sum(column.width + GAP for column in kept) <= width or rank == 0:
            return kept
    raise AssertionError("unreachable")


class Board:
    """State of the live table: takes events, is drawn a few times a second."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._open: dict[str, Event] = {}
        self._ended: deque[Event] = deque(maxlen=KEPT_ENDED)

    def take(self, event: Event) -> None:
        """Take one event: an opportunity that opened, changed or closed."""
        name = event.opportunity.id
        if event.kind is EventKind.CLOSED:
            self._open.pop(name, None)
            self._ended.appendleft(event)
        else:
            self._open[name] = event

    def draw(self, status: "WatchStatus", width: int, height: int) -> "Group":
        """Draw the table and its footer, cut to `width` and `height` in terminal cells."""
        from rich.console import Group
        from rich.text import Text

        going = sorted(self._open.values(), key=profit, reverse=True)
        below = [(part, style) for line, style in footer(status) for part in wrapped(safe(line), width)]
        room = max(height - len(below) - 4, 1)
        table = self._table(going[:room], list(self._ended)[: max(room - len(going), 0)], columns_for(width), status.now_ns)
        title = f"{REPLAY} {self._title}" if status.replay else self._title
        parts: list[Any] = [Text(title, style="bold", no_wrap=True, overflow="ellipsis"), Text(""), table]
        if not going and not self._ended:
            parts.append(Text("no opportunity yet: no prices cross, net of fees", style="dim"))
        parts.append(Text(""))
        parts += [Text(line, style=style) for line, style in below]
        return Group(*parts)

    @staticmethod
    def _table(going: Sequence[Event], ended: Sequence[Event], columns: Sequence[ArbColumn], now_ns: int) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis")
        for events, is_open in ((going, True), (ended, False)):
            for event in events:
                cells = cells_of(event, now_ns)
                style = "" if is_open else "dim"
                money = "bold green" if is_open else "dim"
                table.add_row(
                    *(Text(safe(cells[one.key]), style=money if one.key in ("net", "net_bps") else style) for one in columns)
                )
        return table


def profit(event: Event) -> Fraction:
    """Sort key of open opportunities: the net profit."""
    return event.finding.net.fraction


def cells_of(event: Event, now_ns: int) -> dict[str, str]:
    """Cells of one row, by column; the mark repeats the colour: » open, · over."""
    row = event_row(event)
    is_over = event.kind is EventKind.CLOSED
    life_ms = row["life_ms"] if is_over else max((now_ns - event.opportunity.born_ns) / 1e6, 0.0)
    shown = event.peak if is_over else event.finding
    note = row["note"]
    if is_over:
        note = "ended" if event.why is RejectReason.GONE else f"ended: {event.why.meaning if event.why else ''}"
    return {
        **{key: "" if row.get(key) is None else str(row[key]) for key in ("symbol", "buy", "sell", "currency", "id")},
        "mark": "·" if is_over else "»",
        "buy_price": brief(row.get("buy_price", "")),
        "sell_price": brief(row.get("sell_price", "")),
        "size": brief(shown.size.text),
        "net": f"{float(shown.net.fraction):,.2f}" if abs(shown.net.fraction) >= 1 else f"{float(shown.net.fraction):.6f}",
        "net_bps": f"{float(shown.net_bps):.2f}",
        "life": life_text(life_ms, exact=event.opportunity.is_birth_seen),
        "peak_net": f"{float(event.peak.net.fraction):,.2f}",
        "note": note,
    }


def brief(text: str, digits: int = 10) -> str:
    """First digits of an exact decimal text, for a narrow column; JSON has all of them."""
    whole, point, fraction = text.partition(".")
    return f"{whole}{point}{fraction[: max(digits - len(whole), 0)]}".rstrip(".") if point else text


def life_text(milliseconds: float, *, exact: bool = True) -> str:
    """Text of a duration: 12 ms, 3.4 s, 2:05; with > where it is a lower bound (not `exact`)."""
    mark = "" if exact else ">"
    if milliseconds < 1000:
        return f"{mark}{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{mark}{seconds:.1f} s" if seconds < 60 else f"{mark}{int(seconds // 60)}:{int(seconds % 60):02d}"


def footer(status: "WatchStatus") -> list[tuple[str, str]]:
    """Lines below the table, each with its style: books, counts, reasons for holding back, books that are not used."""
    lines = [(f"{replay_words(status.now_ns)}: these books are of the past", "yellow")] if status.replay else []
    lines += [
        (
            f"{status.books_live} of {status.books} books live · {status.candidates} ways to trade · {status.opened} opened, "
            f"{status.open} open" + (f" · {status.missed} records missed" if status.missed else ""),
            "red" if status.missed else "",
        )
    ]
    if status.refused:
        reasons = ", ".join(f"{count} {why.meaning}" for why, count in sorted(status.refused.items(), key=lambda one: -one[1]))
        lines.append((f"held back: {reasons}", "yellow"))
    lines += [(f"{one}: not used", "red") for one in status.not_live[:SHOWN_NOT_LIVE]]
    if len(status.not_live) > SHOWN_NOT_LIVE:
        lines.append((f"and {len(status.not_live) - SHOWN_NOT_LIVE} more that are not live", "red"))
    lines += [(f"{one}: not used", "red") for one in status.not_tradable[:SHOWN_NOT_LIVE]]
    if len(status.not_tradable) > SHOWN_NOT_LIVE:
        lines.append((f"and {len(status.not_tradable) - SHOWN_NOT_LIVE} more that take no orders", "red"))
    lines += [(f"{name}: left out, it is {'live' if status.replay else REPLAY}", "red") for name in status.left_out]
    if status.not_compared:
        pairs = ", ".join(f"{one}/{other}" for one, other in status.not_compared[:3])
        lines.append((f"not compared, different currencies: {pairs}; collect a book that converts, or use --treat-as-usd", "dim"))
    return lines


def run(watching: "Watch", keeper: "Keeper", count: int | None, duration: float | None) -> None:
    """Draw the live table until the watch ends: after `count` opportunities, `duration` seconds, or Ctrl-C."""
    from rich.live import Live

    board = Board("alphapulse arb: net of taker fees, walked through both books; Ctrl-C ends it")
    console = render.console(sys.stdout)
    with stderr.drawing(), Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        drawn_ns = 0
        for event in watching.events(count, duration):
            if event is not None:
                board.take(event)
                keeper.hold(event)
                keeper.catch_up()
            now = time.monotonic_ns()
            if now - drawn_ns >= REFRESH_NS:
                drawn_ns = now
                live.update(board.draw(watching.status(), console.width, console.height), refresh=True)
        live.update(board.draw(watching.status(), console.width, console.height), refresh=True)
