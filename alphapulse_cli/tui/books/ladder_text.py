"""Lines of a ladder, as pieces of text with kinds, without widgets and colours. Kinds are component classes of the drawing widget.

    ▲  50012.30*     0.12        3.4512      title, asks with the worst on top,
    ─ 50012.25 ─ spread 0.10 ─ imbalance +12% ─  the middle,
    ▼  50012.20      1.5         1.5         bids with the best on top

A price is written as the exchange writes it. Sizes are aligned at their points, without trailing zeros; an ellipsis replaces digits
that do not fit. `≥` precedes a sum that may be incomplete (grouping.Rung.whole). `>` is the cursor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.market.ticks import to_text, trim_text
from alphapulse_cli.tui.books.grouping import Rung, Rungs
from alphapulse_cli.tui.books.ladder_columns import Columns, size_cells

MARKS = {2: ("▲", "moved"), -2: ("▼", "moved"), 1: ("▲", "fading"), -1: ("▼", "fading")}  # red and green are the sides' own
GROUNDS = {2: "flash", -2: "flash", 1: "fade", -1: "fade"}


class Piece(NamedTuple):
    """Piece of a line: text, its kind, and the kind of its background, "" for none."""

    text: str
    kind: str = ""
    ground: str = ""


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """View of a ladder: rungs skipped at the top, number of rungs (0: as many as fit), the cursor's price, marks of the best."""

    skip: int = 0
    count: int = 0
    cursor: Fraction | None = None
    best_bid: bool = False
    best_ask: bool = False
    is_stale: bool = False
    initials: str = ""  # initials of the exchanges in a merged ladder


def fitting(rows: int, look: Look) -> int:
    """Number of rungs that a side with that number of rows shows."""
    return min(rows, look.count) if look.count else rows


def side_lines(rungs: Rungs, look: Look, wide: Columns, count: int, most: int, *, is_ask: bool) -> list[Line]:
    """Lines of a side, best first; `most` is the total of a full bar, in lots."""
    shown = (rungs.asks if is_ask else rungs.bids)[look.skip : look.skip + count]
    sizes = size_cells([rung.lots for rung in shown], rungs.size_decimals, wide.size)
    totals = size_cells([rung.total for rung in shown], rungs.size_decimals, wide.total) if wide.total else [""] * len(shown)
    cursor = None if look.cursor is None else rungs.rung_at(look.cursor)
    best = (look.best_ask if is_ask else look.best_bid) and not look.skip
    lines = []
    for at, (rung, size, total) in enumerate(zip(shown, sizes, totals, strict=True)):
        way = 0 if look.is_stale else rungs.moved.get((is_ask, rung.ticks), 0)
        sums = Piece(f" {_marked(total, rung)}" if total else "", "quiet"), Piece(_parts(rung, look, wide), "quiet")
        cells = (Piece(f" {_marked(size, rung)}", "stale" if look.is_stale else "size"), *sums)
        front = _front(rung, rungs, wide, way, is_cursor=rung.ticks == cursor, is_best=best and at == 0, look=look, is_ask=is_ask)
        lines.append((*front, *_barred(cells, wide.width - wide.begin, rung.total, most, look, is_ask=is_ask)))
    return lines


def _front(
    rung: Rung, rungs: Rungs, wide: Columns, way: int, *, is_cursor: bool, is_best: bool, look: Look, is_ask: bool
) -> tuple[Piece, ...]:
    """Pieces of the mark and the price, over the flash or the cursor."""
    ground = "cursor" if is_cursor else GROUNDS.get(way, "")
    mark, kind = (">", "best") if is_cursor else MARKS.get(way, (" ", ""))
    price = to_text(rung.ticks, rungs.price_decimals).rjust(wide.price)
    colour = "stale" if look.is_stale else "best" if is_best else "ask" if is_ask else "bid"
    return Piece(mark, kind, ground), Piece(f"{price}{'*' if is_best else ' '}", colour, ground)


def _marked(cell: str, rung: Rung) -> str:
    """Cell of a sum, with ≥ if it may be incomplete, in the blank before it if there is one."""
    if rung.whole:
        return cell
    return f"{cell[: len(cell) - len(cell.lstrip()) - 1]}≥{cell.lstrip()}" if cell[:1] == " " else f"≥{cell[:-2]}…"


def _parts(rung: Rung, look: Look, wide: Columns) -> str:
    """Initials of the exchanges in a rung, each in its place."""
    if not wide.parts:
        return ""
    return " " + "".join(mark if lots else "·" for mark, lots in zip(look.initials, rung.parts, strict=False)).ljust(wide.parts)


def _barred(cells: Sequence[Piece], width: int, total: int, most: int, look: Look, *, is_ask: bool) -> list[Piece]:
    """Cells over a bar as long as the total's share of `most`; the rest of the line is blank."""
    bar = 0 if look.is_stale or not most else min(-(-total * width // most), width)
    ground = "ask-bar" if is_ask else "bid-bar"
    used = sum(len(cell.text) for cell in cells)
    made: list[Piece] = []
    for cell in (*cells, Piece(" " * max(width - used, 0))):
        if cell.text:
            inside, outside = cell.text[:bar], cell.text[bar:]
            made += [Piece(inside, cell.kind, ground)] if inside else []
            made += [Piece(outside, cell.kind)] if outside else []
            bar -= len(inside)
    return made


def middle(rungs: Rungs, count: int, word: str, width: int) -> Line:
    """Line between the sides: mid, spread, imbalance; `word` instead for a book that is not LIVE."""
    if word:
        return ruled((Piece("─ ", "quiet"), Piece(word, "waiting")), width)
    bid, ask = rungs.best
    if bid is None or ask is None:
        return ruled((Piece("─ ", "quiet"), Piece("no bids" if bid is None else "no asks", "waiting")), width)
    spread, mid = to_text(ask - bid, rungs.price_decimals), trim_text((ask + bid) * 5, rungs.price_decimals + 1)
    label, kind = ("spread", "quiet") if ask > bid else ("locked", "crossing") if ask == bid else ("crossed", "crossing")
    share = rungs.imbalance(count)
    sign = imbalance_sign(share)
    whole = (Piece(mid, "mid"), Piece(f"{label} {spread}", kind), Piece(f"imbalance {sign}" if sign else "", "quiet"))
    short = (whole[0], Piece(f"Δ{spread}", kind), Piece(sign, "quiet"))
    for words, between in ((whole, " ─ "), (short, " ─ "), (short, " "), (short[:2], " "), (short[:1], "")):
        line = [piece for word in words if word.text for piece in (Piece(between, "quiet"), word)][1:]
        if sum(len(piece.text) for piece in line) + 3 <= width:
            break
    return ruled((Piece("─ ", "quiet"), *line), width)


def ruled(pieces: Line, width: int) -> Line:
    """Pieces followed by a rule up to the width."""
    left = max(width - sum(len(piece.text) for piece in pieces), 0)
    return (*pieces, Piece((" " + "─" * left)[:left], "quiet"))


def imbalance_sign(share: Fraction | None) -> str:
    """Text of an imbalance: signed percent, + for more bids; "" for None."""
    return "" if share is None else f"{round(share * 100):+}%"


def heads(wide: Columns) -> Line:
    """Line of the columns' titles."""
    cells = [" " + "price".rjust(wide.price) + " ", " " + "size".rjust(wide.size)]
    cells += [" " + "total".rjust(wide.total)] if wide.total else []
    cells += [" " + "from".ljust(wide.parts)[: wide.parts]] if wide.parts else []
    return (Piece("".join(cells)[: wide.width], "head"),)


def cut_line(line: Line, width: int) -> Line:
    """Cut a line to the width; a cut line ends in an ellipsis."""
    if sum(len(piece.text) for piece in line) <= width:
        return line
    made: list[Piece] = []
    left = width - 1
    for piece in line:
        if left < len(piece.text):
            return (*made, piece._replace(text=f"{piece.text[: max(left, 0)]}…"[:width]))
        made.append(piece)
        left -= len(piece.text)
    return tuple(made)


def initials(names: Sequence[str]) -> str:
    """Initials of names: for each its first letter that no earlier name has taken, else a digit."""
    taken = ""
    for name in names:
        taken += next(
            (letter for letter in name.lower() if letter.isascii() and letter.isalnum() and letter not in taken),
            str(len(taken) % 10),
        )
    return taken
