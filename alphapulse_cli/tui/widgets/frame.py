"""The frame of every screen: the tabs above, the filter and the status line below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from rich.segment import Segment
from textual import on
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.strip import Strip
from textual.widgets import Input

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.tui.widgets.by_line import ByLine

if TYPE_CHECKING:
    from textual.events import Click

NAME = " alphapulse "
GAP = " "


class FramedApp(Protocol):
    """The part of the app that the frame uses."""

    TABS: ClassVar[tuple[tuple[str, str], ...]]

    def go(self, title: str) -> None:
        """To the screen of that name."""

    def status_lines(self, width: int, most: int) -> list[str]:
        """Text of the status line, at most `most` lines."""


class FramedScreen(Protocol):
    """The part of its screen that the frame uses."""

    filter: str
    status_rows: int
    size: Size

    def show_again(self) -> None:
        """Lay out anew: the room has changed."""


def fitting_tabs(names: tuple[tuple[str, str], ...], width: int) -> list[tuple[str, str]]:
    """(title, text) of each tab; where they do not all fit, titles lose their ends, all alike, never their number."""
    for length in range(max((len(title) for _, title in names), default=0), 0, -1):
        made = [(title, f" {key} {title[:length]} ") for key, title in names]
        if sum(len(text) for _, text in made) <= width:
            return made
    return [(title, f" {key} ") for key, title in names]


class Heading(ByLine):
    """The screens by number; a click goes to one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading--name", "heading--tab", "heading--here"}

    def shown_on(self, y: int) -> Any:  # noqa: ARG002 - there is one
        """The tabs, and which is this screen's."""
        return self.screen.title, cast(FramedApp, self.app).TABS

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is one
        """The name and the tabs."""
        style = self.get_component_rich_style
        segments = [Segment(NAME, style("heading--name")), Segment(GAP, self.ground)]
        here = self.screen.title
        segments += [Segment(text, style("heading--here" if title == here else "heading--tab")) for title, text in self._tabs()]
        return Strip(segments).adjust_cell_length(self.size.width, self.ground)

    def _tabs(self) -> list[tuple[str, str]]:
        return fitting_tabs(cast(FramedApp, self.app).TABS, self.size.width - len(NAME) - len(GAP))

    def on_click(self, event: "Click") -> None:
        """Go to the screen under the pointer."""
        at = len(NAME) + len(GAP)
        for title, text in self._tabs():
            if at <= event.x < at + len(text):
                cast(FramedApp, self.app).go(title)
            at += len(text)


PART = 4  # of the screen's height that the status line may take, where there is a command to be typed


class StatusLine(ByLine):
    """The status line: one line of text, or as many as a command takes; the app provides it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"status--mark"}

    _said: tuple[str, Sequence[str]] = ("", ("",))

    def on_resize(self) -> None:
        """There is room for more, or for less."""
        self.renew()

    def renew(self) -> None:
        """Draw it again, if there is something else to say."""
        before, rows = self._said, self.rows
        self._said = self._now()
        if self.rows != rows:
            screen = cast(FramedScreen, self.screen)
            self.styles.height = screen.status_rows = self.rows
            screen.show_again()
        if self._said != before:
            self.refresh()

    @property
    def rows(self) -> int:
        """Number of lines it takes."""
        return len(self._said[1])

    def _now(self) -> tuple[str, Sequence[str]]:
        """(the filter, what the app says)."""
        screen = cast(FramedScreen, self.screen)
        filtered = f" filter: {safe(screen.filter)} (/ changes it, esc ends it) " if screen.filter else ""
        most = 1 if filtered else max(screen.size.height // PART, 1)
        return filtered, cast(FramedApp, self.app).status_lines(max(self.size.width - len(filtered), 0), most)

    def shown_on(self, y: int) -> Any:
        """Its part of what is said."""
        return self._said[0], self._said[1][y : y + 1]

    def render_line(self, y: int) -> Strip:
        """The filter, marked, before what the app says."""
        filtered, said = self._said
        head = [Segment(filtered, self.get_component_rich_style("status--mark"))] if filtered and not y else []
        segments = [*head, Segment(said[y] if y < len(said) else "", self.ground)]
        return Strip(segments).adjust_cell_length(self.size.width, self.ground)


class FilterLine(Input):
    """Typed after `/`: every letter filters at once; Enter keeps it, Esc ends it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "End the filter", show=False)]

    def __init__(self) -> None:
        super().__init__(placeholder="filter: words of a symbol or exchange; enter keeps it, esc ends it", compact=True)
        self.display = False

    def open(self) -> None:
        """Show it and take the keys."""
        self.display = True
        self.value = cast(FramedScreen, self.screen).filter
        self.focus()

    def action_leave(self) -> None:
        """No filter any more."""
        self.value = ""
        self._close()

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        cast(FramedScreen, self.screen).filter = event.value

    @on(Input.Submitted)
    def _close(self) -> None:
        self.display = False
        self.screen.set_focus(None)
