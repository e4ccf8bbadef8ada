"""Texts of the Books screen (states and advice, titles, the line above the ladders), and the sharing of its room."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.market.ticks import trim_text
from alphapulse_cli.market.trading_status import allows_taking, remark
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.readers.status import BookStatus, state_words
from alphapulse_cli.shm import clock
from alphapulse_cli.tui.books.grouping import Rungs
from alphapulse_cli.tui.books.ladder_text import Line, Piece
from alphapulse_cli.wire.delta import BookReason, BookState

KINDS = {BookState.LIVE: "live", BookState.STALE: "dead", BookState.HALTED: "dead"}  # the others wait
NEXT = {  # advice by reason; short, since a narrow ladder has eight lines for it
    BookReason.NONE: "It is LIVE again by itself.",
    BookReason.STARTING: "The first snapshot is awaited; it comes by itself.",
    BookReason.SEQUENCE_GAP: "A message was lost; a new snapshot comes by itself.",
    BookReason.BAD_CHECKSUM: "Its checksum differed from the exchange's; a new snapshot comes by itself.",
    BookReason.DISCONNECTED: "The collector connects again by itself. Is the network there?",
    BookReason.SILENT: "Nothing was heard for too long; the collector connects again by itself. Is the network there?",
    BookReason.UNREADABLE: "A message was not understood; a new snapshot comes by itself.",
    BookReason.NO_ROOM: "Shared memory has no room for it; it is tried again by itself. Who takes it? alphapulse segments",
    BookReason.REFUSED: "See what the exchange has: alphapulse symbols --exchange {exchange}",
    BookReason.RETIRED: "Its collector has ended.",
    BookReason.UNCONFIRMED: "It has been quiet for long and is being checked.",
    BookReason.CROSSED: "It was crossed in itself; a new snapshot comes by itself.",
    BookReason.MUTE: "Its feed fell silent; it is asked again by itself.",
    BookReason.OFF_GRID: "It has a price or size that no grid holds; it is tried again by itself.",
    BookReason.UNVERIFIED: "Its snapshots' own checksums are wrong; tried again each 10 min. To use it: --checksum warn",
}
NEXT_IN_A_REPLAY = {  # in place of those
    BookReason.STARTING: "The recording has its first snapshot later, or the replay is on its way there.",
    BookReason.DISCONNECTED: "The collector lost its connection here; the recording has what came next.",
    BookReason.SILENT: "Nothing was heard for too long here; the recording has what came next.",
    BookReason.MUTE: "Its feed was silent here; the recording has what came next.",
    BookReason.RETIRED: "The replay goes to another time, or is over.",
}
CHART_ROOM, LEAST_CHART = 30, 7  # rows of the body from which on a chart is shown by default; least rows of a chart
FOR_PARTS = 5


def why(status: BookStatus, *, has_ladder: bool, revival: str = "", is_named: bool = False) -> list[str]:
    """Sentences about a book without a current ladder: its state, and advice (the `revival` of its set if that is not live).

    `is_named`: the state is shown above already.
    """
    if status.state is BookState.LIVE:
        return ["The book is being read.", "It is here as soon as it is exact."]
    levels = "levels as last known" if has_ladder else "no levels are known"
    sentence = f"{levels[0].upper()}{levels[1:]}." if is_named else f"{state_words(status)}; {levels}."
    return [sentence, safe(revival) or what_next(status)]


def what_next(status: BookStatus) -> str:
    """Sentence with the next automatic step, or the user's action."""
    if status.is_waiting:
        left_s = (status.wait_until_ns - clock.realtime_ns()) / 1e9
        return f"The exchange asked for a pause of {left_s:,.0f} s more; the collector goes on by itself then."
    words = NEXT_IN_A_REPLAY.get(status.reason) if status.replay else None
    return (words or NEXT[status.reason]).format(exchange=safe(status.exchange))


def title(name: str, status: BookStatus, width: int) -> Line:
    """Title of a ladder: the exchange, and at the other end its state."""
    mark, words = ("●" if status.state is BookState.LIVE else "○"), state_words(status)
    if len(name) + len(words) + 5 > width:
        words = REPLAY if status.replay else remark(status.trading_status) or status.state.name
    left = f" {safe(name)} "
    room = max(width - len(words) - 2, 0)
    left = left if len(left) <= room else f"{left[: max(room - 1, 0)]}…"
    return Piece(left.ljust(room), "name"), Piece(
        f"{mark} {words}", KINDS.get(status.state, "waiting") if allows_taking(status.trading_status) else "dead"
    )


def merged_title(names: Sequence[str], marks: str, width: int) -> Line:
    """Title of the consolidated ladder: the number of exchanges, and their initials with names if there is room."""
    legend = "  ".join(f"{mark} {safe(name)}" for mark, name in zip(marks, names, strict=True))
    name = f" all {len(names)} live "
    short = legend if len(name) + len(legend) <= width else f"{marks}"
    return Piece(name.ljust(max(width - len(short), len(name))), "name"), Piece(short, "quiet")


def head(parts: Sequence[tuple[str, str]], width: int) -> Line:
    """Line above the ladders: parts as (text, kind), without those that do not fit."""
    line: list[Piece] = []
    for text, kind in parts:
        if text and sum(len(piece.text) for piece in line) + len(text) + 3 <= width:
            line.append(Piece(f" {text}  ", kind))
    return tuple(line)


def group_words(step: int, coarse: int) -> str:
    """Text of the grouping of prices."""
    return "not grouped" if step == 1 else f"grouped by {trim_text(step, coarse)}"


def cursor_words(price: Fraction | None, rungs: Rungs) -> str:
    """Text of the size that all LIVE books have at the cursor's price."""
    ticks = None if price is None else rungs.rung_at(price)
    if price is None or ticks is None:
        return ""
    found = [
        (rung, side) for side, rungs_of in (("bid", rungs.bids), ("asked", rungs.asks)) for rung in rungs_of if rung.ticks == ticks
    ]
    sentence = ", ".join(
        f"{trim_text(rung.lots, rungs.size_decimals)} {side} by {sum(map(bool, rung.parts))}" for rung, side in found
    )
    return f"> {trim_text(ticks, rungs.price_decimals)}: {sentence or 'nothing live'}"


class Room(NamedTuple):
    """Share of the room: number of ladders, width of each, width of the consolidated one, height of the chart; 0 for none."""

    ladders: int
    each: int
    merged: int
    chart: int


def share(width: int, height: int, count: int, needs: tuple[int, int, int], merged: str, chart: str) -> Room:
    """Share the room among `count` ladders; `merged` and `chart` are "on", "off", or "" for "if they fit".

    `needs` has three widths of a ladder: the least, with whole sizes, and with whole totals.
    """
    least, plain, full = needs
    has_chart = chart == "on" or (not chart and height >= CHART_ROOM)
    chart_rows = min(max(height // 4, LEAST_CHART), max(height - 6, 0)) if has_chart else 0
    with_parts = least + FOR_PARTS
    if merged == "off" or (not merged and (count < 2 or width < count * least + with_parts)):
        shown = max(min(count, width // least), 1)
        return Room(shown, width // shown, 0, chart_rows)
    shown = min(count, max(width - with_parts, 0) // least)
    even = (width - FOR_PARTS) // (shown + 1)
    each = plain if plain <= even < full else even  # width that is too little for totals here goes to the consolidated ladder
    return Room(shown, each, width - shown * each, chart_rows)
