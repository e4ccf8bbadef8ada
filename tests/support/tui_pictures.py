"""Pictures made by hand, and a feed that hands them over: for tests of the live screen that need no segments."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot
from textual.strip import Strip

from alphapulse_cli.readers.status import BookStatus, SetStatus
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.feed.picture import BookLadder, BookPicture, Picture, SetPicture
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.wire.delta import BookReason, BookState


def parsed_once(parse, known):
    """`Stylesheet._parse_rules` that remembers what it parsed in any app before: a new app, and each screen first shown, parses all styles anew."""

    def remembering(self, *arguments, **more):
        key = arguments, tuple(more.items()), tuple(self._variables.items())
        if key not in known:
            known[key] = parse(self, *arguments, **more)
        return known[key]

    return remembering


Stylesheet._parse_rules = parsed_once(Stylesheet._parse_rules, {})


class HandFeed:
    """A feed without a thread: the test shows what it likes."""

    def __init__(self):
        self.watched, self.screen, self.started, self.stopped = "", "", False, False

    def make(self, show, failed):
        self.show, self.failed = show, failed
        return self

    def start(self):
        self.started = True

    def watch(self, watched):
        self.watched, self.depth = watched.symbol, (watched.set_name, watched.levels)

    def turn_to(self, screen):
        self.screen = screen

    def judge(self, window):
        self.window = window

    def stop(self):
        self.stopped = True


def book(set_name="kraken", symbol="BTC-USD", bid="100.00", ask="100.01", state=BookState.LIVE, **more):
    """A book with these best prices and three levels a side."""
    reason = BookReason.NONE if state is BookState.LIVE else BookReason.SILENT
    status = BookStatus(set_name, symbol, state, reason, bid, "1.5", ask, "2.5", 1.0, 3, 3, 7, deltas_per_s=12.0, age_ms=3.0)
    live = state is BookState.LIVE
    bids = [(int(bid.replace(".", "")) - i, 150 + i) for i in range(3)]
    asks = [(int(ask.replace(".", "")) + i, 250 + i) for i in range(3)]
    shown: dict[str, Any] = {"ladder": BookLadder(2, 2, bids, asks), "mids": (100.0, 100.1, 100.2)} | more
    return BookPicture(set_name, status, Fraction(bid) if live else None, Fraction(ask) if live else None, **shown)


def picture(*books, advice="", **more):
    """A picture of these books, with a live set for each set's name."""
    totals = {counter.label: 0 for counter in Counter}
    names = sorted({one.set_name for one in books})
    sets = tuple(
        SetPicture(SetStatus(name, name, Liveness.LIVE, 1, 1, deltas_per_s=12.0, totals=totals), capacity=1024) for name in names
    )
    return Picture(clock.monotonic_ns(), sets, books, advice=advice, **more)


def strips_of(app: App[Any]) -> list[Strip]:
    """The lines on an app's screen, with their colours; Textual has no public way to them."""
    return app.screen._compositor.render_strips(app.size)


def lines_of(app: App[Any]) -> list[str]:
    """The lines on an app's screen, as text without the blanks at their ends."""
    return [strip.text.rstrip() for strip in strips_of(app)]


@dataclass(frozen=True)
class RunningApp:
    """The app while it runs, the keys and mouse of its user, and the feed that is the test's hand."""

    app: AlphapulseApp
    pilot: Pilot[None]
    feed: HandFeed
    pauses: int

    @property
    def screen(self) -> Any:
        """The screen in front, a dialog too."""
        return self.app.screen

    async def give(self, shown: Picture) -> None:
        """Show a picture; returns once it is drawn."""
        self.feed.show(shown)
        await self.settle()

    async def press(self, *keys: str) -> None:
        """Press keys one after another; returns once what they did is drawn."""
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Wait until all that was sent to the app is done and drawn."""
        for _ in range(self.pauses):
            await self.pilot.pause()

    def strips(self) -> list[Strip]:
        """The lines on the screen, with their colours."""
        return strips_of(self.app)

    def words(self) -> str:
        """All that is on the screen, one blank between words and no frames: a sentence that is wrapped in its box is whole again."""
        return " ".join(" ".join(line.strip(" │") for line in self.lines()).split())

    def lines(self) -> list[str]:
        """The lines on the screen, as text without the blanks at their ends."""
        return lines_of(self.app)


@contextlib.asynccontextmanager
async def running_app(
    size: tuple[int, int] = (100, 30),
    *,
    given: Picture | None = None,
    pauses: int = 1,
    state: Preferences | None = None,
    **arguments: Any,
) -> AsyncIterator[RunningApp]:
    """The app in a terminal of this size (columns, rows), `given` shown if there is one; other arguments are the app's own."""
    feed = HandFeed()
    app = AlphapulseApp(feed.make, state or Preferences(None), **arguments)
    async with app.run_test(size=size) as pilot:
        tui = RunningApp(app, pilot, feed, pauses)
        if given is None:
            await pilot.pause()
        else:
            await tui.give(given)
        yield tui
