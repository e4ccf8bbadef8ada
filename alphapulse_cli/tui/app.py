"""Application of the live screen: it connects the feed to the screens, and holds the state that they share.

    Feed (its own thread) ─► the newest Picture ─► `show` of the screen in front, at most 12 times a second
    keys ─► the table of screens · pause · help · theme · filter · copy · screenshot · the replay's remote control

While paused the feed keeps draining and the picture stays; the status line says how old it is. A bug, here or in the feed, ends the
app and restores the terminal; `failure` is the exception.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from alphapulse_cli.edges.hook import Hook
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import ExitCode
from alphapulse_cli.tui import tabs
from alphapulse_cli.tui.alarms import Alarms
from alphapulse_cli.tui.feed.picture import Picture, Watched
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.saying import NOTICE_S
from alphapulse_cli.tui.screens.help import HelpScreen, key_rows
from alphapulse_cli.tui.screens.prompts import Choose
from alphapulse_cli.tui.scrubbing import ABOUT, RemoteLike, ScrubbingApp
from alphapulse_cli.tui.terminal import TerminalDriver
from alphapulse_cli.tui.themes import NAMES
from alphapulse_cli.tui.widgets.frame import FilterLine

STATUS_EVERY_S = 0.5
SETTLE_S = 0.1  # after a resize
SWITCHED_S = 0.15  # after another screen was turned to
THEME, SCREEN = "theme", "screen"
HOLD, HOLD_ABOUT = "Pause this picture (p)", "The feed goes on meanwhile; nothing is lost"
PALETTE = (  # beside screens, themes and the pause
    ("Filter the rows (/)", "Show only rows with these words, of a symbol or exchange"),
    ("Go to a symbol (g)", "Choose one of all symbols"),
    ("Copy the rows (y)", "Copy this screen as text to the terminal's clipboard"),
    ("Save a picture (s)", "Save this screen as an SVG in the current folder"),
    ("Explain this screen (?)", "Help on this screen, and every key that works"),
    ("Quit the live screen (q)", "The collectors go on"),
)


class FeedLike(Protocol):
    """Methods of a feed that the app uses."""

    def start(self) -> None:
        """Begin to pass on pictures."""

    def watch(self, watched: Watched) -> None:
        """Choose the books whose ladders are wanted, and their depth."""

    def turn_to(self, screen: str) -> None:
        """Tell the feed which screen is in front."""

    def judge(self, window: str) -> None:
        """Choose the window of the scorecards."""

    def stop(self) -> None:
        """End; no picture comes afterwards."""


MakeFeed = Callable[[Callable[[Picture], None], Callable[[BaseException], None]], FeedLike]


class Arrived(Message):
    """Message that there is a newer picture; one of these in the queue is enough."""

    def can_replace(self, message: Message) -> bool:
        """Whether it replaces `message` in the queue: an older one of its kind."""
        return isinstance(message, Arrived)


class Failed(Message):
    """Message that the feed has failed, with its exception."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class AlphapulseApp(ScrubbingApp):
    """Application of the live screen. `screen` and `theme` take precedence over the remembered ones.

    `notices` are lines that another thread appends to; `on_alarm` is the command that an alarm runs; `remote` steers a replay.
    """

    TITLE = "alphapulse"
    TABS = tuple((tab.key, tab.title) for tab in tabs.TABS)
    MODES: ClassVar[dict[str, str | Callable[[], Screen[object]]]] = {**tabs.makers()}  # type: ignore[dict-item]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(tab.key, f"go({tab.title!r})", tab.title, show=False) for tab in tabs.TABS),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("p", "pause", "Pause"),
        Binding("g", "jump", "Go to a symbol", show=False),
        Binding("t", "next_theme", "Theme"),
        Binding("y", "copy", "Copy"),
        Binding("s", "save_svg", "Screenshot", show=False),
        Binding("q", "quit", "Quit"),
        Binding("escape", "come_back", "End the filter, or go back", show=False),
        Binding("ctrl+c", "interrupt", "Interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        make_feed: MakeFeed,
        preferences: Preferences,
        screen: str = "",
        theme: str = "",
        notices: Sequence[str] = (),
        on_alarm: Sequence[str] = (),
        remote: RemoteLike | None = None,
    ) -> None:
        super().__init__(notices)
        self.remote = remote
        self._preferences = preferences
        self._begin = screen
        self._came_from = ""  # the screen that Esc goes back to
        self._newest: Picture | None = None
        self.alarms = Alarms(preferences)
        self.hook = Hook(on_alarm)
        self._settling: Timer | None = None
        self._feed = make_feed(self._take, self._fail)
        self.theme = next(name for name in (theme, preferences.get(THEME, ""), NAMES[0]) if name in NAMES)

    @property
    def failure(self) -> Exception | None:
        """Exception that ended the app, if any."""
        return self._exception

    def _fatal_error(self) -> None:
        """End without Textual's traceback on the screen: the caller of the app reports `failure`."""
        self._close_messages_no_wait()

    def on_mount(self) -> None:
        """Show the first screen, and start the feed."""
        names = [tab.name for tab in tabs.TABS]
        wanted = (self._begin, self._preferences.get(SCREEN, ""), names[0])
        self._turn_to(next(name for name in wanted if name in names))
        self.set_interval(STATUS_EVERY_S, self._look_around)
        self._feed.start()
        self.start_remote()

    def on_unmount(self) -> None:
        """Stop the remote control, and the feed, which removes its cursors."""
        self.stop_remote()
        self._feed.stop()
        self.hook.leave()

    def on_resize(self) -> None:
        """Draw the whole screen, even if the size is the same: a terminal that was smaller for a moment has lost the rest."""
        if self.screen_stack:
            self.screen.refresh(layout=True)
        self._draw_whole_after(SETTLE_S)

    def _draw_whole_after(self, seconds: float) -> None:
        """Draw the whole screen shortly after a change of screens, since Textual may skip that drawing."""
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(seconds, self._settle)

    def _settle(self) -> None:
        """Read the terminal's size after the last of several resizes or screen changes, and draw again, since an update may be cut."""
        self._be_as_large()
        if self.screen_stack:
            self.screen.refresh(layout=True)

    def _be_as_large(self) -> None:
        """Post a resize if the terminal has another size: Textual may handle resizes in rapid succession in the wrong order."""
        if isinstance(self._driver, TerminalDriver) and self._driver.terminal_size != self.size:
            self.post_message(Resize.from_dimensions(self._driver.terminal_size, None))

    # Callbacks of the feed, in its own thread

    def _take(self, picture: Picture) -> None:
        self._newest = picture
        self.post_message(Arrived())

    def _fail(self, error: BaseException) -> None:
        self.post_message(Failed(error))

    @on(Failed)
    def _end(self, event: Failed) -> None:
        raise event.error

    @on(Arrived)
    def _show(self) -> None:
        """Draw the newest picture on the screen in front; alarms are checked while it is paused, too."""
        if self._newest is not None:
            self._ring(self.alarms.check(self._newest))
        if self.is_paused or self._newest is None:
            return
        self.picture = self._newest
        front = self.front()
        if front is not None and front.is_mounted:
            front.show(self.picture)

    def _ring(self, sentences: Sequence[str]) -> None:
        """Report alarms: the bell, a notice, and the user's command."""
        for sentence in sentences:
            self.bell()
            self.notify(safe(sentence), title="alarm", severity="warning", timeout=NOTICE_S, markup=False)
            problem = self.hook.run(sentence)
            if problem:
                self.notify(safe(problem), severity="error", markup=False)

    # Requests of screens

    def look_at(self, watched: Watched) -> None:
        """Choose the books whose ladders are wanted, and their depth."""
        self._feed.watch(watched)

    def judge(self, window: str) -> None:
        """Choose the window of the scorecards."""
        self._feed.judge(window)

    def remembered(self, name: str, default: str) -> str:
        """Remembered value of a name, from this run or an earlier one."""
        return self._preferences.get(name, default)

    def remember(self, name: str, value: str) -> None:
        """Remember a value, for the next run too."""
        self._preferences.set(name, value)

    def go(self, title: str, *, is_deeper: bool = False) -> None:
        """Switch to the screen of that title, and remember it; Esc comes back from where it is deeper."""
        for tab in tabs.TABS:
            if tab.title == title:
                self._came_from = self.current_mode if is_deeper and tab.name != self.current_mode else ""
                self._turn_to(tab.name)
                self.remember(SCREEN, tab.name)

    def _turn_to(self, name: str) -> None:
        """Switch to that screen, unless it is in front already."""
        if name == self.current_mode:
            return
        left = self.front()
        self._draw_whole_after(SWITCHED_S)
        self._feed.turn_to(name)
        self._feed.watch(Watched())  # the next screen asks for the ladders it needs
        self.switch_mode(name)
        if left is not None:
            left.is_covered = True

    def delay_update(self, delay: float = 0.05) -> None:
        """Hold nothing back at a change of screens, as Textual would: the moment is seconds where the machine is busy."""

    # The rest of the frame

    def _look_around(self) -> None:
        """End the app if its terminal has gone; else check its size, its rows and the status line."""
        if isinstance(self._driver, TerminalDriver) and self._driver.is_gone:
            self.exit()
        self._be_as_large()
        self.watch_rows()
        self.draw_replay()
        self.renew_status()

    # Keys

    def action_go(self, title: str) -> None:
        """Switch to the screen of a number key."""
        self.go(title)

    def action_pause(self) -> None:
        """Pause or resume the screen."""
        self.is_paused = not self.is_paused
        self._show()
        self.renew_status()

    def action_filter(self) -> None:
        """Open the filter line of the screen in front."""
        front = self.front()
        if front is not None:
            front.query_one(FilterLine).open()

    def action_come_back(self) -> None:
        """End the filter if there is one; else go back to the screen whose row was opened."""
        front = self.front()
        if front is not None and front.filter:
            front.filter = ""
        elif self._came_from:
            self.go(next(tab.title for tab in tabs.TABS if tab.name == self._came_from))

    def action_jump(self) -> None:
        """Choose one of all symbols: the cursor goes to its row, or its ladders are shown."""
        front, symbols = self.front(), [] if self.picture is None else self.picture.symbols()
        if front is None or not symbols:
            self.notify("there are no symbols yet", timeout=2)
            return
        self.push_screen(Choose("go to a symbol", symbols), lambda symbol: front.jump(symbol) if symbol else None)

    def action_next_theme(self) -> None:
        """Use the next theme: dark, light, high contrast, colour-blind safe."""
        at = NAMES.index(self.theme) if self.theme in NAMES else -1
        self._use_theme(NAMES[(at + 1) % len(NAMES)])

    def _use_theme(self, name: str) -> None:
        self.theme = name
        self.remember(THEME, name)
        self.notify(f"theme: {name}", timeout=2)

    def action_copy(self) -> None:
        """Copy the screen's text to the clipboard of the terminal."""
        front = self.front()
        text = front.copy_text() if front is not None else ""
        if text:
            self.copy_to_clipboard(text)
        self.notify(f"copied {len(text.splitlines())} lines" if text else "nothing to copy here", timeout=2)

    def action_save_svg(self) -> None:
        """Save the screen as an SVG file in the current folder."""
        name = f"alphapulse-{self.current_mode}-{datetime.now().astimezone():%Y%m%d-%H%M%S}.svg"
        try:
            Path(name).write_text(self.export_screenshot(title="alphapulse"), encoding="utf-8")
        except OSError as problem:
            self.notify(f"cannot write {name}: {problem.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {name}", markup=False)

    def action_help(self) -> None:
        """Show help on the focused part and the screen, and their keys."""
        screen = self.screen
        about = [words for words in (getattr(screen.focused, "HELP", None), screen.HELP) if words]
        if self.replay is not None:
            about.append(ABOUT)
        if self.recent:
            about.append("\n".join(["Said lately, the newest last:", *self.recent]))
        bindings = [
            (one.binding.key, self.get_key_display(one.binding), one.tooltip or one.binding.tooltip or one.binding.description)
            for one in screen.active_bindings.values()
            if one.enabled
        ]
        self.push_screen(HelpScreen(screen.title or "alphapulse", about, key_rows(bindings)))

    def action_interrupt(self) -> None:
        """End with the exit code of Ctrl-C."""
        self.exit(return_code=ExitCode.INTERRUPTED)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:  # noqa: ARG002 - the same on all
        """Entries of the palette: every screen, every theme, every key's action."""
        for tab in tabs.TABS:
            yield SystemCommand(f"Show {tab.title} ({tab.key})", tab.about, lambda title=tab.title: self.go(title))
        for name in NAMES:
            about = "Remembered for the next run (t: the next one)"
            yield SystemCommand(f"Use the theme {name}", about, lambda name=name: self._use_theme(name))
        yield SystemCommand("Go on with the newest picture (p)" if self.is_paused else HOLD, HOLD_ABOUT, self.action_pause)
        for (title, about), work in zip(PALETTE, self._palette(), strict=True):
            yield SystemCommand(title, about, work)

    def _palette(self) -> tuple[Callable[[], object], ...]:
        """The actions of the items of PALETTE."""
        return (
            self.action_filter,
            self.action_jump,
            self.action_copy,
            self._save_soon,
            self.action_help,
            self.action_quit,
        )

    def _save_soon(self) -> None:
        """Save the screen once the palette has closed."""
        self.set_timer(0.1, self.action_save_svg)
