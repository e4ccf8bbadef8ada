"""Frame of every screen: the tabs above, the filter and the status line below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from rich.segment import Segment
from textual import on
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Input

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.tui.widgets.by_line import ByLine

if TYPE_CHECKING:
    from textual.events import Click

    from alphapulse_cli.tui.feed.picture import Picture

NAME = " alphapulse "
REPLAYED, MIXED = f" {REPLAY} ", f" {REPLAY}+LIVE "  # in place of the name
GAP = " "


class FramedApp(Protocol):
    """Interface of the app that the frame uses."""

    TABS: ClassVar[tuple[tuple[str, str], ...]]
    picture: "Picture | None"

    def go(self, title: str) -> None:
        """Switch to the screen with that title."""

    def status_lines(self, width: int, most: int) -> list[str]:
        """Text of the status line, at most `most` lines."""


class FramedScreen(Protocol):
    """The part of its screen that the frame uses."""

    filter: str
    status_rows: int
    size: Size

    def show_again(self) -> None:
        """Draw again, since the room has changed."""


def fitting_tabs(names: tuple[tuple[str, str], ...], width: int) -> list[tuple[str, str]]:
    """(title, text) of each tab. Where they do not all fit all titles are cut to the same length; numbers are kept."""
    for length in range(max((len(title) for _, title in names), default=0), 0, -1):
        made = [(title, f" {key} {title[:length]} ") for key, title in names]
        if sum(len(text) for _, text in made) <= width:
            return made
    return [(title, f" {key} ") for key, title in names]


class Heading(ByLine):
    """Heading: the screens by number; a click switches to one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading--name", "heading--replay", "heading--tab", "heading--here"}

    _drawn = NAME

    def renew(self) -> None:
        """Draw the line again if its first word has changed."""
        before, self._drawn = self._drawn, self._title()
        if self._drawn != before:
            self.refresh()

    def shown_on(self, y: int) -> Any:  # noqa: ARG002 - there is one
        """The tabs, which of them is this screen's, and the word before them."""
        return self.screen.title, cast(FramedApp, self.app).TABS, self._title()

    def _title(self) -> str:
        """Program name, or REPLAY if past data are shown."""
        picture = cast(FramedApp, self.app).picture
        if picture is None or not picture.replays:
            return NAME
        return REPLAYED if len(picture.replays) == len(picture.sets) else MIXED

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is one
        """Draw the name and the tabs."""
        style = self.get_component_rich_style
        name = self._title()
        kind = "heading--name" if name is NAME else "heading--replay"
        segments = [Segment(name, style(kind)), Segment(GAP, self.ground)]
        here = self.screen.title
        segments += [Segment(text, style("heading--here" if title == here else "heading--tab")) for title, text in self._tabs()]
        return Strip(segments).adjust_cell_length(self.size.width, self.ground)

    def _tabs(self) -> list[tuple[str, str]]:
        return fitting_tabs(cast(FramedApp, self.app).TABS, self.size.width - len(self._title()) - len(GAP))

    def on_click(self, event: "Click") -> None:
        """Go to the screen under the pointer."""
        at = len(self._title()) + len(GAP)
        for title, text in self._tabs():
            if at <= event.x < at + len(text):
                cast(FramedApp, self.app).go(title)
            at += len(text)


PART = 4  # part of the screen's height that the status line may take where it has a command


class StatusLine(ByLine):
    """The status line: one line of text, or as many as a command takes; the app provides it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"status--mark"}

    _drawn: tuple[str, Sequence[str]] = ("", ("",))

    def on_resize(self) -> None:
        """Rebuild the text for the new size."""
        self.renew()

    def renew(self) -> None:
        """Draw the line again if its text has changed."""
        before, rows = self._drawn, self.rows
        self._drawn = self._now()
        if self.rows != rows:
            screen = cast(FramedScreen, self.screen)
            self.styles.height = screen.status_rows = self.rows
            screen.show_again()
        if self._drawn != before:
            self.refresh()

    @property
    def rows(self) -> int:
        """Number of lines it takes."""
        return len(self._drawn[1])

    def _now(self) -> tuple[str, Sequence[str]]:
        """(the filter, the app's lines)."""
        screen = cast(FramedScreen, self.screen)
        filtered = f" filter: {safe(screen.filter)} (/ changes it, esc ends it) " if screen.filter else ""
        most = 1 if filtered else max(screen.size.height // PART, 1)
        return filtered, cast(FramedApp, self.app).status_lines(max(self.size.width - len(filtered), 0), most)

    def shown_on(self, y: int) -> Any:
        """The filter, if it is shown on that line, and the line's text."""
        return self._drawn[0], self._drawn[1][y : y + 1]

    def render_line(self, y: int) -> Strip:
        """Draw the filter, marked, before the app's text."""
        filtered, shown = self._drawn
        head = [Segment(filtered, self.get_component_rich_style("status--mark"))] if filtered and not y else []
        segments = [*head, Segment(shown[y] if y < len(shown) else "", self.ground)]
        return Strip(segments).adjust_cell_length(self.size.width, self.ground)


class FilterLine(Input):
    """Line for the filter, opened with `/`: every letter filters at once; Enter keeps the filter, Esc clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "End the filter", show=False)]

    def __init__(self) -> None:
        super().__init__(placeholder="filter: words of a symbol or exchange; enter keeps it, esc ends it", compact=True)
        self.display = False

    def open(self) -> None:
        """Show the line and give it the focus."""
        self.display = True
        self.value = cast(FramedScreen, self.screen).filter
        self.focus()

    def action_leave(self) -> None:
        """Clear the filter and hide the line."""
        self.value = ""
        self._close()

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        cast(FramedScreen, self.screen).filter = event.value

    @on(Input.Submitted)
    def _close(self) -> None:
        self.display = False
        self.screen.set_focus(None)
