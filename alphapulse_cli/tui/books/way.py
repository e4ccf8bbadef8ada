"""Details of one way to trade: the walk through both books, its recent opportunities, and how long these lasted.

Way (a row of the arbitrage screen, recent opportunities) ─► way_lines(width, height)

BTC-USD  buy at coinbase, sell at kraken  » opportunity
the walk: size, level by level, and the sums      │ survival: how many were still there at each age
                                                  │ recent opportunities: end, duration, best profit
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.flow.arbitrage.depth_walk import DepthWalk
from alphapulse_cli.flow.arbitrage.exact import BASIS_POINTS
from alphapulse_cli.market.ticks import to_text, trim_text
from alphapulse_cli.readers.status import state_words
from alphapulse_cli.tui.books.detail import side_by_side
from alphapulse_cli.tui.books.ladder import wrapped
from alphapulse_cli.tui.books.ladder_text import Line, Piece, cut_line
from alphapulse_cli.tui.feed.picture import ArbitrageRow, Picture, Seen
from alphapulse_cli.tui.widgets.figures import duration
from alphapulse_cli.wire.delta import BookState

SURVIVAL_NS = (100_000_000, 500_000_000, 1_000_000_000, 5_000_000_000)
TWO_COLUMNS, RIGHT = 132, 64
LEAST_LATELY = 3

Ends = tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Way:
    """Content of the lines. `row` is None if the way has gone; `lately` has its recent opportunities, newest first."""

    ends: Ends
    row: ArbitrageRow | None
    lately: Sequence[Seen]
    now_ns: int  # on the clock of `lately`
    note: str = ""  # the alarm, and whether it is pinned
    not_live: Sequence[str] = ()  # a text for each of its books that is not LIVE: "kraken: SYNCING disconnected"


def way_of(picture: Picture, ends: Ends, note: str) -> Way:
    """Details of a way in a picture; their time is cut to the second, so that they are not drawn too often."""
    rows = () if picture.arbitrage is None else picture.arbitrage.rows
    seen = () if picture.arbitrage is None else picture.arbitrage.seen
    row = next((one for one in rows if (one.buy, one.sell) == ends), None)
    lately = tuple(one for one in seen if (one.buy, one.sell) == ends)
    statuses = [(name, book.status) for name, symbol in ends for book in picture.books if book.key == (name, symbol)]
    not_live = tuple(f"{name}: {state_words(status)}" for name, status in statuses if status.state is not BookState.LIVE)
    return Way(ends, row, lately, picture.arbitrage_ns // 1_000_000_000 * 1_000_000_000, note, not_live)


def way_lines(way: Way, width: int, height: int) -> list[Line]:
    """Lines about a way to trade in that room."""
    if width < 1 or height < 1:
        return []
    (buy, symbol), (sell, _) = way.ends
    names = f" {safe(symbol)}  buy at {safe(buy)}, sell at {safe(sell)}  "
    lines: list[Line] = [(Piece(names, "name"), *_verdict(way.row), Piece(f"  {way.note}" if way.note else "", "best"))]
    room = height - 1
    if width >= TWO_COLUMNS:
        lines += side_by_side(_walk(way, width - RIGHT), _lately(way, room), width - RIGHT, room)
    else:
        after = _lately(way, max(room // 2, LEAST_LATELY))
        lines += [*_walk(way, width)[: max(room - len(after), 0)], *after]
    return [cut_line(line, width) for line in lines[:height]]


def _verdict(row: ArbitrageRow | None) -> Line:
    if row is None:
        return (Piece("not there any more", "waiting"),)
    if row.found is not None:
        return (Piece("» opportunity", "best"),)
    return (Piece(row.why.value.replace("_", " "), "waiting"),) if row.why is not None else (Piece("no profit", "quiet"),)


def _walk(way: Way, width: int) -> list[Line]:
    """Lines about the walk: the sums and the levels taken; else the reason why there is no walk."""
    row = way.row
    if row is None:
        return []
    if row.found is None:
        if row.why is not None:
            sentence = (
                f"{row.why.meaning}: {'; '.join(way.not_live)}"
                if row.why is RejectReason.NOT_LIVE and way.not_live
                else row.why.meaning
            )
            return wrapped(f"Held back: {safe(sentence)}.", width, "waiting")
        if row.net_bps is None:
            return wrapped("One side of a book is empty, or no book converts between the currencies.", width, "quiet")
        sentence = f"The best prices leave {float(row.net_bps):+,.2f} bps after both taker fees: there is nothing to walk."
        return [*wrapped(sentence, width, "quiet"), *wrapped(_breaks_even(row), width, "size")]
    found = row.found
    if not isinstance(found, DepthWalk):
        return wrapped(f"{found.size.text} earns {found.net.text} {safe(row.currency)}.", width, "mid")
    sums = [
        ("size", found.size.text, "mid"),
        ("gross", found.gross.text, "size"),
        ("buyer's fee", f"-{found.buy_fee.text}", "quiet"),
        ("seller's fee", f"-{found.sell_fee.text}", "quiet"),
        *([("conversion", f"-{found.conversion_fee.text}", "quiet")] if found.conversion_fee.units else []),
        ("net", f"{found.net.text} {safe(row.currency)}, {float(found.net_bps):.2f} bps of the amount spent", "best"),
        ("ends where", found.end.value, "quiet"),
    ]
    lines: list[Line] = [(Piece(f" {name:<13}", "quiet"), Piece(text, kind)) for name, text, kind in sums]
    lines.append((Piece(f" {'':<2}{'buy at':>16}{'sell at':>16}{'size':>16}{'in all':>16}", "head"),))
    total = 0
    terms = found.terms
    for ask, bid, lots in found.fills:
        total += lots
        prices = to_text(ask, terms.buy.price_decimals), to_text(bid, terms.sell.price_decimals)
        sizes = trim_text(lots, terms.size_decimals), trim_text(total, terms.size_decimals)
        lines.append(
            (Piece(f"   {prices[0]:>16}", "ask"), Piece(f"{prices[1]:>16}", "bid"), Piece(f"{sizes[0]:>16}{sizes[1]:>16}", "size"))
        )
    return lines


def _breaks_even(row: ArbitrageRow) -> str:
    """Sentence with the bid, and with the ask, at which the best prices alone would break even; rounded to the texts' decimal places."""
    assert row.net_bps is not None
    part = 1 + row.net_bps / BASIS_POINTS  # of the amount spent: the part that comes back
    if not row.ask or not row.bid or part <= 0:
        return ""
    grids = [10 ** len(text.partition(".")[2]) for text in (row.bid, row.ask)]
    bid, ask = math.ceil(Fraction(row.bid) / part * grids[0]), math.floor(Fraction(row.ask) * part * grids[1])
    texts = to_text(bid, len(str(grids[0])) - 1), to_text(ask, len(str(grids[1])) - 1)
    return f"It breaks even with a bid of {texts[0]} at {safe(row.sell[0])}, or with an ask of {texts[1]} at {safe(row.buy[0])}."


def _lately(way: Way, height: int) -> list[Line]:
    """Lines about recent opportunities: their survival, then each that ended."""
    lines: list[Line] = [survival_line(way.lately)]
    if way.lately:
        lines.append((Piece(f" {'ended':<13}{'lasted':>10}{'best profit':>22}", "head"),))
    for one in way.lately:
        ago = f"{duration(max(way.now_ns - one.until_ns, 0))} ago" if way.now_ns > one.until_ns + 10**9 else "just now"
        lasted = f"{'>' if one.is_from_start else ''}{duration(one.until_ns - one.since_ns)}"
        lines.append((Piece(f" {ago:<13}{lasted:>10}", "quiet"), Piece(f"{one.best.net.text:>22}", "best")))
    return lines[:height]


def survival_line(lately: Sequence[Seen]) -> Line:
    """Line about survival: of the opportunities seen from birth to end, the number still there at each age."""
    whole = [one.until_ns - one.since_ns for one in lately if not one.is_from_start]
    if not whole:
        return (Piece(" no opportunity came and went here yet", "quiet"),)
    parts = [f"{duration(limit)}: {sum(life >= limit for life in whole)}" for limit in SURVIVAL_NS]
    return (Piece(f" of {len(whole)} seen, after ", "quiet"), Piece(", ".join(parts), "size"))
