"""Keys that steer the replay in the segments' directory, and the messages that its remote control sends.

Over a live directory there is no replay, and the keys do nothing.
"""

from typing import ClassVar, Protocol

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers import moments
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.feed.remote import GONE, Order, ReplayView
from alphapulse_cli.tui.saying import SayingApp
from alphapulse_cli.tui.screens.prompts import Ask

ABOUT = (
    "Beneath is a replay: its state, its speed, the recording's clock, and the recording's whole time as a line. ✕ is a gap: lost rows, a"
    " connection that was away, silence, time between two runs of the collector, and, once it was played, a broken sequence or a wrong"
    " checksum. ▲ is an opportunity that this screen saw (what comes and goes between two looks it does not see), * both, ● where the"
    " replay is, ◆ the same where something is marked. A click seeks. Every seek, and < too, builds the books anew from the last checkpoint"
    " before that time, in a new epoch, and meanwhile there are none."
)
SECOND_NS = 1_000_000_000
PREFIX = "replay_"  # of these actions


class ShowView(Protocol):
    """Function that is called with each new view of the replay."""

    def __call__(self, view: ReplayView | None, /) -> None:
        """Show the view; None for no replay."""


class Say(Protocol):
    """Function that is called with what went wrong."""

    def __call__(self, text: str, /) -> None:
        """Show the text."""


class RemoteLike(Protocol):
    """Methods of a remote control that the app uses."""

    def start(self, show: ShowView, say: Say) -> None:
        """Begin to pass on views and what went wrong, in any thread."""

    def order(self, order: Order) -> None:
        """Have the replay do something; it returns at once."""

    def stop(self) -> None:
        """End; nothing is passed on afterwards."""


class ReplaySeen(Message):
    """Message that there is a newer view of the replay; one of these in the queue is enough."""

    def can_replace(self, message: Message) -> bool:
        """Whether it replaces `message` in the queue: an older one of its kind."""
        return isinstance(message, ReplaySeen)


class ReplaySaid(Message):
    """Message that the replay refused something, or does not answer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class ScrubbingApp(SayingApp):
    """Part of the app that steers a replay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "replay_pause", "Replay: pause it, or let it go on", show=False),
        Binding("full_stop", "replay_step", "Replay: the next frame", key_display=".", show=False),
        Binding("greater_than_sign", "replay_pass", "Replay: the next second", key_display=">", show=False),
        Binding("less_than_sign", "replay_shift(-1)", "Replay: a second back, books built anew", key_display="<", show=False),
        Binding("left_curly_bracket,shift+left", "replay_shift(-10)", "Replay: 10 s back, books built anew", show=False),
        Binding("right_curly_bracket,shift+right", "replay_shift(10)", "Replay: 10 s on, books built anew", show=False),
        Binding("w", "replay_when", "Replay: go to a time (RFC 3339, with Z)", show=False),
        Binding("f", "replay_speed(1)", "Replay: faster", show=False),
        Binding("F", "replay_speed(-1)", "Replay: slower", show=False),
    ]

    remote: RemoteLike | None = None
    _newest_view: ReplayView | None = None

    def start_remote(self) -> None:
        """Let the remote control look for a replay."""
        if self.remote is not None:
            self.remote.start(self._see, self._hear)

    def stop_remote(self) -> None:
        """Stop the remote control."""
        if self.remote is not None:
            self.remote.stop()

    # Callbacks of the remote control, in its own thread

    def _see(self, view: ReplayView | None) -> None:
        self._newest_view = view
        self.post_message(ReplaySeen())

    def _hear(self, text: str) -> None:
        self.post_message(ReplaySaid(text))

    @on(ReplaySeen)
    def draw_replay(self) -> None:
        """Draw the newest view; that of a replay that is gone only until live sets are all there is."""
        view, had = self._newest_view, self.replay is not None
        self.replay = None if view is not None and view.state == GONE and _is_live(self.picture) else view
        front = self.front()
        if front is not None and front.scrubber.is_attached:
            front.scrubber.renew()
        if had is not (self.replay is not None):
            self.refresh_bindings()

    @on(ReplaySaid)
    def _say(self, event: ReplaySaid) -> None:
        self.notify(event.text, severity="warning", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether an action is there: those on a replay are where there is one."""
        if action.startswith(PREFIX) and self.replay is None:
            return False
        return super().check_action(action, parameters)

    # Keys

    def _order(self, what: str, amount: int = 1) -> None:
        if self.remote is not None:
            self.remote.order(Order(what, amount))

    def seek_replay(self, to_ns: int) -> None:
        """Have the replay go to that time of its recording."""
        self._order("seek", to_ns)

    def action_replay_pause(self) -> None:
        """Pause the replay, or let it go on."""
        self._order("pause")

    def action_replay_step(self) -> None:
        """Play the next frame; a replay that plays is paused first."""
        self._order("step")

    def action_replay_pass(self) -> None:
        """Play the next second, and stay there."""
        self._order("pass", SECOND_NS)

    def action_replay_shift(self, seconds: int) -> None:
        """Seek by so many seconds, to the recording's ends at most."""
        self._order("shift", seconds * SECOND_NS)

    def action_replay_speed(self, steps: int) -> None:
        """Play faster, or slower."""
        self._order("speed", steps)

    def action_replay_when(self) -> None:
        """Ask for a time of the recording, and go there."""
        view = self.replay
        assert view is not None
        first, last = (moments.moment(ns, digits=3) for ns in (view.first_ns, view.last_ns))
        about = f"From {first} to {last}. The books of that time are built from the last checkpoint before it."

        def go(text: str | None) -> None:
            if text is not None:
                self.seek_replay(moments.parse(text))

        asked = Ask("go to a time of the recording", about, moments.moment(view.now_ns, digits=3), lambda text: wrong(text, view))
        self.push_screen(asked, go)


def wrong(text: str, view: ReplayView) -> str:
    """Error of a text that is no time of the recording; "" for one that is."""
    try:
        time_ns = moments.parse(text)
    except UsageError as error:
        return f"{error}: {error.hint}"
    if not view.first_ns <= time_ns <= view.last_ns:
        return f"{moments.moment(time_ns, digits=3)} is not in the recording"
    return ""


def _is_live(picture: Picture | None) -> bool:
    """Whether there are sets, and none of them is a replay's."""
    return picture is not None and bool(picture.sets) and not picture.replays
