"""Scrubber of a replay: its state, and the timeline of its recording with what is marked on it.

     ► playing 10x  2026-11-28T10:46:00.250Z  42%            space pauses  . frame  > second  { } 10 s  w time  f F speed
     10:45:57Z ━━━━━━✕━━━▲━━━━━━━━━━●──────✕✕──── 10:46:04Z

✕ a gap, ▲ an opportunity, * both, ● here, ◆ here and something marked. A column stands for the same part of the recording as each
other; no mark is ever left out, however many lie in one. A click on the timeline seeks.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, cast

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip

from alphapulse_cli.apps.replay.steering import OVER, PAUSED, PLAYING, SEEKING, Span
from alphapulse_cli.readers import moments
from alphapulse_cli.tui.feed.remote import GONE, SILENT, ReplayView
from alphapulse_cli.tui.widgets.by_line import ByLine

if TYPE_CHECKING:
    from textual.events import Click

FEW_ROWS = 16  # a screen of fewer has the scrubber in one line
A_DAY_NS = 86_400 * 10**9
LEAST_TIMELINE = 8
ENDS_WIDTH, DAYS_WIDTH = 60, 110  # least widths for the times at the timeline's ends, without and with their days
SIGNS = {PLAYING: "►", PAUSED: "║", SEEKING: "»", OVER: "■", SILENT: "✕", GONE: "✕"}
TELLS = {
    SEEKING: "the books of that time are being built",
    OVER: "the recording is over: { goes back",
    SILENT: "the replay does not answer",
    GONE: "its process is gone: alphapulse replay FILE plays it again",
}
ENDED = "it has played all and ended (with --hold it stays)"
END_NS = 1_000_000_000  # a replay that goes no earlier than that before the recording's end has ended by itself
KEYS = ("space plays", ". frame", "> second", "{ } 10 s", "w time", "f F speed", "? tells more")
PLAYED, REST, HERE, HERE_MARKED, GAP, OPPORTUNITY, BOTH = "━─●◆✕▲*"

Piece = tuple[str, str]  # text, kind


class ReplayApp(Protocol):
    """The part of the app that the scrubber uses."""

    replay: ReplayView | None

    def seek_replay(self, to_ns: int) -> None:
        """Have the replay go to that time of its recording."""


class ReplayScreen(Protocol):
    """The part of its screen that the scrubber uses."""

    scrubber_rows: int
    size: Size

    def show_again(self) -> None:
        """Draw again, since the room has changed."""


class Place(NamedTuple):
    """Place of the timeline in its line: the texts at its ends, and the number of its columns."""

    before: str
    columns: int
    after: str


def column_of(time_ns: int, view: ReplayView, columns: int) -> int:
    """Column of a time of the recording; the first and the last one for times before and behind it."""
    span_ns = max(view.last_ns - view.first_ns, 1)
    rounded = (2 * (time_ns - view.first_ns) * (columns - 1) + span_ns) // (2 * span_ns)
    return min(max(rounded, 0), columns - 1)


def time_of(column: int, view: ReplayView, columns: int) -> int:
    """Time of the recording at a column: the first and the last of all at the ends."""
    return view.first_ns + (view.last_ns - view.first_ns) * column // max(columns - 1, 1)


def marked(spans: Sequence[Span], view: ReplayView, columns: int) -> set[int]:
    """Columns in which some of these times lie."""
    made: set[int] = set()
    for first_ns, last_ns in spans:
        if last_ns >= view.first_ns and first_ns <= view.last_ns:
            made.update(range(column_of(first_ns, view, columns), column_of(last_ns, view, columns) + 1))
    return made


def timeline(view: ReplayView, columns: int) -> list[Piece]:
    """Cells of the timeline: what was played, what was not, the position, and the marks."""
    here = column_of(view.now_ns, view, columns)
    gaps, opportunities = marked(view.gaps, view, columns), marked(view.opportunities, view, columns)
    cells: list[Piece] = [(PLAYED, "played") if at < here else (REST, "rest") for at in range(columns)]
    for at in gaps | opportunities:
        cells[at] = (
            (BOTH, "both") if at in gaps and at in opportunities else (GAP, "gap") if at in gaps else (OPPORTUNITY, "opportunity")
        )
    cells[here] = (HERE if cells[here][1] in ("played", "rest") else HERE_MARKED), "here"
    return cells


def place_of(view: ReplayView, width: int) -> Place:
    """Place of the timeline in a line of that width."""
    before = after = " "
    if width >= ENDS_WIDTH:
        is_one_day = view.first_ns // A_DAY_NS == view.last_ns // A_DAY_NS
        texts = [_second(ns) for ns in (view.first_ns, view.last_ns)]
        if is_one_day:
            texts = [text[11:] for text in texts]
        if is_one_day or width >= DAYS_WIDTH:
            before, after = f" {texts[0]} ", f" {texts[1]} "
    return Place(before, max(width - len(before) - len(after), 0), after)


def head(view: ReplayView, width: int) -> list[Piece]:
    """State, speed, clock and share, and behind them what there is to say, as far as there is room."""
    clock = moments.moment(view.now_ns, digits=3)
    share = f"{100 * (view.now_ns - view.first_ns) // max(view.last_ns - view.first_ns, 1)}%"
    sign = SIGNS.get(view.state, " ")
    for state, after in ((f" {sign} {view.state} {view.speed} ", f"  {share} "), (f" {sign} {view.speed} ", " "), (f"{sign}", "")):
        made: list[Piece] = [(state, "state"), (f" {clock}", "clock"), (after, "quiet")]
        if len(state) + len(clock) + 1 + len(after) <= width:
            break
    room = width - sum(len(text) for text, _ in made) - 2
    has_ended = view.state == GONE and view.now_ns >= view.last_ns - END_NS
    tells = ENDED if has_ended else TELLS.get(view.state, "" if view.surveyed >= 100 else f"searching for gaps: {view.surveyed}%")
    if tells:
        told = tells if len(tells) <= room else f"{tells[: max(room - 1, 0)]}…"
        return [*made, (f" {told} " if room > 0 else "", "wrong" if view.state in (SILENT, GONE) else "quiet")]
    keys = [*KEYS]
    if not view.is_paused:
        keys[0] = "space pauses"
    while keys and len("  ".join(keys)) > room:
        keys.pop()
    words = "  ".join(keys)
    return [*made, (f" {words:>{room}} " if room > 0 else "", "quiet")]


def short(view: ReplayView, width: int) -> tuple[list[Piece], Place]:
    """Sign and clock in front of the timeline, for a screen with few rows: the pieces, and the timeline's place behind them."""
    words = f"{SIGNS.get(view.state, ' ')}{view.speed} {_second(view.now_ns)}"
    if width - len(words) - 2 < LEAST_TIMELINE:
        return [], Place("", width, "")
    return [(words, "state")], Place(" " * (len(words) + 1), width - len(words) - 2, " ")


def _second(time_ns: int) -> str:
    """RFC 3339 text of a time in whole seconds."""
    return f"{moments.moment(time_ns)[:19]}Z"


class Scrubber(ByLine):
    """The scrubber's two lines; one on a screen of few rows, none without a replay."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"scrubber--{kind}" for kind in ("state", "clock", "quiet", "wrong", "played", "rest", "here", "gap", "opportunity", "both")
    }

    _view: ReplayView | None = None

    def on_resize(self) -> None:
        """Draw for the new room."""
        self.renew()

    def renew(self) -> None:
        """Draw the replay's view of now, if it is another; take the lines that it needs."""
        screen = cast(ReplayScreen, self.screen)
        view = cast(ReplayApp, self.app).replay
        rows = 0 if view is None else 1 if screen.size.height < FEW_ROWS else 2
        before, self._view = self._view, view
        if rows != screen.scrubber_rows:
            screen.scrubber_rows = rows
            self.display = rows > 0
            self.styles.height = max(rows, 1)
            screen.show_again()
        if view != before:
            self.refresh()

    def shown_on(self, y: int) -> Any:
        """The pieces of the line."""
        view, width = self._view, self.room.width
        if view is None or width < 1:
            return ()
        screen = cast(ReplayScreen, self.screen)
        if screen.scrubber_rows == 1:
            pieces, place = short(view, width)
            return (*pieces, *([(" ", "rest")] if pieces else []), *timeline(view, place.columns)) if place.columns > 0 else ()
        if y == 0:
            return tuple(head(view, width))
        place = place_of(view, width)
        cells = timeline(view, place.columns) if place.columns > 0 else []
        return ((place.before, "quiet"), *cells, (place.after, "quiet"))

    def render_line(self, y: int) -> Strip:
        """Draw the pieces of the line."""
        style = self.get_component_rich_style
        segments = [Segment(text, style(f"scrubber--{kind}")) for text, kind in self.shown_on(y)]
        return Strip(segments).adjust_cell_length(self.size.width, self.ground)

    def on_click(self, event: "Click") -> None:
        """Seek to the time under the pointer."""
        view, screen = self._view, cast(ReplayScreen, self.screen)
        if view is None or event.y != screen.scrubber_rows - 1:
            return
        place = place_of(view, self.size.width) if screen.scrubber_rows > 1 else short(view, self.size.width)[1]
        at = event.x - len(place.before)
        if 0 <= at < place.columns:
            cast(ReplayApp, self.app).seek_replay(time_of(at, view, place.columns))
