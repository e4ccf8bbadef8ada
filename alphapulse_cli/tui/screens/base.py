"""Base of the numbered screens: a frame around a body that shows a Picture.

    Heading      the screens by number, this one marked                        one row
    body         `compose_body`: the screen's own widgets
    Scrubber     over a replay: its state, and where it is in the recording      two rows, one where there are few
    FilterLine   while `/` is open
    StatusLine   PAUSED, the filter, notices, who is collected                 one row; more for a command that is to be typed
    Footer       the keys that work here                                       one row

A screen draws from `show(picture)` and keeps no data but the last picture; it is called at most 12 times a second, and
only while the screen is in front. At 80 x 24 a body has 21 rows.

`PulseApp` is the part of the app that screens may use, with answers that suffice for a test; the real app is in `tui/app.py`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, cast

from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.driver import Driver
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from alphapulse_cli.tui.alarms import Alarms
from alphapulse_cli.tui.feed.picture import Picture, Watched
from alphapulse_cli.tui.feed.remote import ReplayView
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.themes import NAMES, THEMES
from alphapulse_cli.tui.widgets.frame import FilterLine, Heading, StatusLine
from alphapulse_cli.tui.widgets.scrubber import Scrubber

FRAME_ROWS = 3  # heading, status line, footer


class PulseApp(App[None]):
    """The part of the app that screens use; `tui/app.py` has the real one."""

    CSS_PATH = Path(__file__).parents[1] / "alphapulse.tcss"
    TABS: ClassVar[tuple[tuple[str, str], ...]] = ()  # (key, title) of each screen

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self.picture: Picture | None = None
        self.replay: ReplayView | None = None  # the replay in the segments' directory
        self.is_paused = False
        self._remembered: dict[str, str] = {}
        self.alarms = Alarms(Preferences(None))
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = NAMES[0]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Values of our style variables for a theme that does not define them."""
        return dict(THEMES[0].variables)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's line filters without those that change nothing here: filtering each line is slow, and colours are true colours."""
        filters = super().get_line_filters()
        if not self.screen_stack or not isinstance(self.screen, PulseScreen):  # Textual's palette uses other keys
            return filters
        return [one for one in filters if not isinstance(one, ANSIToTruecolor)]

    def look_at(self, watched: Watched) -> None:
        """Ask for the ladders of these books from now on; one of the next pictures has them."""

    def judge(self, window: str) -> None:
        """Ask for the scorecards of that window from now on."""

    def remembered(self, name: str, default: str) -> str:
        """The preference remembered under that name ("books.grouping"), from this run or an earlier one; else `default`."""
        return self._remembered.get(name, default)

    def remember(self, name: str, value: str) -> None:
        """Remember the preference for this user."""
        self._remembered[name] = value

    def status_lines(self, width: int, most: int) -> list[str]:  # noqa: ARG002 - the real app uses them
        """Text of the status line, at most `most` lines."""
        return [""]

    def go(self, title: str, *, is_deeper: bool = False) -> None:
        """Switch to the screen with that title; with `is_deeper`, Esc comes back."""

    def seek_replay(self, to_ns: int) -> None:
        """Have the replay go to that time of its recording."""


class PulseScreen(Screen[None]):
    """One of the numbered screens.

    `TITLE` is its name; `HELP` is the plain text that `?` shows about it, above the keys that work here.
    """

    NEEDS: ClassVar[str] = ""  # selector of the widget that `show` needs and that is composed last
    AUTO_FOCUS = ""  # the keys are the screen's own: nothing needs the focus to work

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self.heading = Heading()
        self.status_line = StatusLine()
        self.scrubber = Scrubber()
        self.status_rows = 1  # lines that the status line takes
        self.scrubber_rows = 0  # lines that the scrubber takes
        self.is_covered = False  # another screen was in front since it was last drawn

    @property
    def pulse(self) -> PulseApp:
        """The app, as screens know it."""
        return cast(PulseApp, self.app)

    def compose(self) -> ComposeResult:
        """The frame around the body."""
        yield self.heading
        yield from self.compose_body()
        with Vertical(id="foot"):
            yield self.scrubber
            yield FilterLine()
            yield self.status_line
            yield Footer(compact=True, show_command_palette=False)

    @property
    def room(self) -> int:
        """Number of rows of the body."""
        return self.size.height - FRAME_ROWS - (self.status_rows - 1) - self.scrubber_rows

    def compose_body(self) -> Iterable[Widget]:
        """The screen's own widgets, top to bottom."""
        raise NotImplementedError

    def show(self, picture: Picture) -> None:
        """Draw the picture: the newest, or the one at which the screen is paused."""
        raise NotImplementedError

    def jump(self, symbol: str) -> None:
        """Go to the symbol: by default to its ladders on the Books screen."""
        self.pulse.remember("books.symbol", symbol)
        self.pulse.go("Books", is_deeper=True)

    def copy_text(self) -> str:
        """Plain text of the screen, which `y` copies; "" if there is nothing to copy."""
        return ""

    @property
    def filter(self) -> str:
        """The filter typed after `/`, in lower case; "" shows everything."""
        return self._filter

    @filter.setter  # noqa: A003 - the property, not the builtin
    def filter(self, text: str) -> None:
        self._filter = text.strip().lower()
        self.show_again()

    def matches(self, *texts: str) -> bool:
        """Whether every word of the filter is somewhere in these texts."""
        if not self._filter:
            return True
        whole = " ".join(texts).lower()
        return all(word in whole for word in self._filter.split())

    def show_again(self) -> None:
        """Draw the last picture again, after a key changed the view.

        Nothing while the screen is still being composed.
        """
        if self.NEEDS and not self.query(self.NEEDS):
            return
        if self.pulse.picture is not None:
            self.show(self.pulse.picture)
        self.renew_status()

    def renew_status(self) -> None:
        """Rebuild the status line, and the heading if the names of the sets changed."""
        if self.heading.is_attached:
            self.heading.renew()
        if self.scrubber.is_attached:
            self.scrubber.renew()
        if self.status_line.is_attached:
            self.status_line.renew()

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        """Lay out the screen, at Textual's request; one that has come to the front is drawn at once, as a whole, with the newest picture.

        Textual would first draw only its changed lines, between those of the screen before, and the whole screen later.
        """
        if self.is_covered and self.is_current:
            self.is_covered = False
            self.show_again()
            self.refresh()
            self._dirty_widgets.add(self)
        super()._refresh_layout(size, scroll)

    def on_screen_resume(self) -> None:
        """Draw the last picture, since the screen is in front again."""
        self.show_again()
