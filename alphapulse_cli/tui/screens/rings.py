"""Rings screen: every segment, its writer, its readers and how far behind they are, and its set's counters.

segments, a look a second ─► a row each, its readers beneath it
the set of the cursor's row ─► its counters; the row's own details above them
"""

from collections.abc import Iterable
from typing import Any

from textual.widget import Widget

from alphapulse_cli.apps.segments import ReaderRow, SegmentRow
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.tui.alarms import RING, Key
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.detailed import DetailedScreen
from alphapulse_cli.tui.widgets import figures
from alphapulse_cli.tui.widgets.counters import detail_lines
from alphapulse_cli.tui.widgets.line_table import Cell, Column, Row
from alphapulse_cli.tui.widgets.lines import Lines

STATES = {"live": "live", "building": "waiting", "replaced": "waiting", "retired": "quiet", "silent": "dead", "gone": "dead"}
ORDER = ("deltas", "trades", "counters", "book")  # order of a set's segments
LIVE_BOOK = "LIVE"


def part(row: SegmentRow) -> str:
    """Part of the set that the segment holds: deltas, trades, counters, or a book's symbol."""
    return row.symbol or row.kind


def contents(row: SegmentRow) -> str:
    """Contents of a segment: "4,365 records" or "8,016 levels"; "" for counters."""
    if row.levels is not None:
        return f"{figures.count(row.levels)} levels"
    return f"{figures.count(row.published)} records" if row.kind in ORDER[:2] else ""


def now_cell(row: SegmentRow) -> Cell:
    """(text, kind) of records a second, or of the book's state. Green is used for the file's own state only."""
    if row.book_state:
        return row.book_state, "" if row.book_state == LIVE_BOOK else "waiting"
    return ("" if row.records_per_s is None else f"{row.records_per_s:,.0f} /s"), ""


def segment_row(row: SegmentRow, *, is_first: bool = True) -> Row:
    """The row of a segment; if attaching to it failed the row has the reason. `is_first`: the first row of its set."""
    name = f"{REPLAY} {row.set_name}" if row.replay else row.set_name
    cells: dict[str, Cell] = {"set": (name, "" if is_first else "quiet"), "part": (part(row), "")}
    if row.problem:
        return Row((row.name, ()), cells | {"state": ("damaged", "dead")}, (row.problem, "dead"))
    return Row(
        (row.name, ()),
        cells
        | {
            "state": (row.state, STATES.get(row.state, "waiting")),
            "contents": (contents(row), ""),
            "now": now_cell(row),
            "size": (figures.size(row.bytes), "quiet"),
            "beat": (figures.age(row.heartbeat_age_s), "quiet"),
            "pid": (str(row.pid), "quiet"),
            "capacity": (figures.count(row.capacity), "quiet"),
            "since": (figures.since(row.epoch), "quiet"),
            "name": (row.name, "quiet"),
        },
    )


def reader_row(number: int, reader: ReaderRow) -> Row:
    """The row of a reader, beneath its ring's; `number` distinguishes readers of one process."""
    behind = "reads a ring that was replaced" if reader.lag is None else f"{reader.lag:,} behind"
    state = ("reads", "quiet") if reader.alive else ("dead", "dead")
    kind = "waiting" if reader.missed or reader.lag is None else "quiet"
    words = f"{behind}, {'! ' if reader.missed else ''}{reader.missed:,} missed, pid {reader.pid}"
    key = reader.segment, (number, reader.pid, reader.label)
    return Row(key, {"set": ("", ""), "part": (f"└ {reader.label}", "quiet"), "state": state}, (words, kind))


class RingsScreen(DetailedScreen):
    """The Rings screen: a row for each segment, and beneath it a row for each of its readers."""

    TITLE = "Rings"
    NAME = "rings"
    HELP = (
        "The files in shared memory: the rings of deltas and trades that a collector writes, its counters, and an image of each book. "
        "The state is what a file really is: live, silent (its writer was killed or hangs), retired (closed in good order), replaced "
        "by a newer one, or damaged, with the reason. Beneath a ring are its readers: how many records behind the writer each is, and "
        "how many were overwritten before it had read them.\n\n"
        "The details tell all of the row under the cursor, and what its set has counted since its writer began. ! marks counts of "
        "something that went wrong. a sets an alarm on the segment under the cursor, such as lag > 5000 (records that its slowest reader "
        "is behind) or: not live."
    )
    COLUMNS = (
        Column("set", "set", 10, right=False, least=4),
        Column("part", "segment", 16, right=False, least=8),
        Column("state", "state", 8, right=False, least=5),
        Column("contents", "contents", 15),
        Column("now", "now", 11),
        Column("size", "size", 8),
        Column("beat", "beat", 6, 1),
        Column("pid", "pid", 8, 1),
        Column("capacity", "room for", 8, 2),
        Column("since", "began", 10, 3),
        Column("name", "file", 40, 4, right=False),
    )
    SCOPE, MARKED = RING, "part"
    SORTS = ("set", "part", "state", "contents", "now", "size", "beat", "pid")
    LARGEST_FIRST = frozenset(("contents", "now", "size", "beat"))
    BESIDE_FROM = 150

    def __init__(self) -> None:
        super().__init__()
        self._details = Lines(id="counters")

    def compose_details(self) -> Iterable[Widget]:
        """One widget: details of the row, and its set's counters."""
        yield self._details

    def nothing(self, picture: Picture) -> str:
        """The sentence that the table shows without rows."""
        if self.filter and picture.segments:
            return "No segment or reader has these words: esc ends the filter"
        return picture.advice or ("Looking at the segments" if picture.sets else "No segments yet: alphapulse demo starts some")

    def source(self, picture: Picture) -> Any:
        """The segments; they are new objects once a second."""
        return picture.segments

    def rows(self, picture: Picture, sorted_by: str, *, reverse: bool) -> list[Row]:
        """Segments in order, each with those of its readers that match the filter."""
        made: list[Row] = []
        before = ""
        for row in sorted(picture.segments, key=lambda row: _rank(row, sorted_by, reverse=reverse)):
            of_segment = row.name, row.set_name, row.kind, row.symbol, row.state, row.problem, row.book_state
            readers = [
                reader_row(number, reader)
                for number, reader in enumerate(row.readers)
                if self.matches(*of_segment, reader.label, str(reader.pid))
            ]
            if readers or self.matches(*of_segment):
                made += [segment_row(row, is_first=row.set_name != before), *readers]
                before = row.set_name
        return made

    def alarm_key(self, key: Any) -> Key | None:
        """The alarm's key: the segment's name, for a reader's row too."""
        return (key[0],)

    def marked(self, row: Row) -> Row:
        """The row, with the alarm's mark if it is a segment's row."""
        return row if row.key[1] else super().marked(row)

    def show_details(self, picture: Picture, key: Any) -> None:
        """Show details of the row's segment and reader, and the counters of its set."""
        row = next((one for one in picture.segments if key is not None and one.name == key[0]), None)
        if row is None:
            self._details.show(None, lambda _width, _height: ())
            return
        one = next((each for each in picture.sets if each.status.name == row.set_name), None)
        status = one.status if one is not None else None
        what = row, key, status
        self._details.show(what, lambda width, height: detail_lines(row, status, width, height))


def _rank(row: SegmentRow, sorted_by: str, *, reverse: bool) -> tuple[Any, ...]:
    """Sort key of a segment. Sorted by figures, damaged segments, which have none, are last."""
    natural = row.set_name, ORDER.index(row.kind) if row.kind in ORDER else len(ORDER), row.symbol
    words = {"part": part(row), "state": row.state or "damaged"}
    if sorted_by in words:
        return _turned(words[sorted_by], reverse=reverse), natural
    values = {
        "contents": row.published or row.levels,
        "now": row.records_per_s,
        "size": row.bytes,
        "beat": row.heartbeat_age_s,
        "pid": row.pid,
    }
    if sorted_by in values:
        value = values[sorted_by]
        return 2 if row.problem else value is None, -(value or 0) if reverse else value or 0, natural
    return _turned(row.set_name, reverse=reverse), natural


def _turned(text: str, *, reverse: bool) -> tuple[int, ...]:
    """Sort key that sorts as the text does, or in reverse."""
    return (*((-ord(one) if reverse else ord(one)) for one in text), 1 if reverse else 0)
