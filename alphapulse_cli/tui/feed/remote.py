"""Remote control of the replay in a segments' directory: one thread that asks it over its control socket, so that no screen waits.

    keys, clicks ─► Orders, at most 64 ─► pause, resume, step, seek, speed      those of one kind that wait together are one
    5 times a second ─► timeline ─► ReplayView ─► `show`, in this thread, when it differs from the last one
    opportunities that the feed saw ─► marks on the recording's time

Where no replay listens, one system call a second looks for one. A replay that was there and is not any more is GONE, until there is
another.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from alphapulse_cli.apps.replay.marks import Marks
from alphapulse_cli.apps.replay.plan import MAX, parse_speed, speed_text
from alphapulse_cli.apps.replay.steering import (
    CONTROL_NAME,
    OVER,
    PAUSE,
    RESUME,
    SEEK,
    SPEED,
    STEP,
    TIMELINE,
    Span,
    Timeline,
    parse_timeline,
)
from alphapulse_cli.edges import control
from alphapulse_cli.errors import AlphapulseError, NoSegment, StorageError, UsageError
from alphapulse_cli.readers import moments
from alphapulse_cli.shm.directory import open_directory

ASK_EVERY_S, LOOK_EVERY_S = 0.2, 1.0
ANSWER_S = 2.0  # a replay that does not answer within that time is SILENT
STOP_WITHIN_S = 0.5
MOST_ORDERS = 64
SILENT, GONE = "no answer", "gone"  # states of a view beside those of a replay
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, MAX)  # that faster and slower go through


@dataclass(frozen=True, slots=True)
class ReplayView:
    """State of a replay, as a screen shows it. Times are in ns since 1970, gaps and opportunities (first, last) of their times."""

    state: str
    now_ns: int
    speed: str
    first_ns: int
    last_ns: int
    is_paused: bool = True
    surveyed: int = 100  # percentage of the recording that was searched for gaps
    gaps: Sequence[Span] = ()
    opportunities: Sequence[Span] = ()


class Order(NamedTuple):
    """Order of a user: "pause" or go on; "step" by `amount` frames or "pass" ns; "seek" a time or "shift" by ns; "speed" by so many."""

    what: str
    amount: int = 1


SUMMED = frozenset({"step", "pass", "shift", "speed"})  # of several that wait together the amounts are added up


class Remote:
    """Remote control of the replay in a directory (None: the default one), from `start` to `stop`."""

    def __init__(self, place: str | None) -> None:
        self._place = place
        self._orders: deque[Order] = deque(maxlen=MOST_ORDERS)
        self._ordered, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="alphapulse-remote", daemon=True)
        self._view: ReplayView | None = None
        self._revision = ""
        self._opportunities: Marks | None = None
        self._show: Callable[[ReplayView | None], None] = lambda _: None
        self._say: Callable[[str], None] = lambda _: None

    def start(self, show: Callable[[ReplayView | None], None], say: Callable[[str], None]) -> None:
        """Start the thread, which calls `show` with each new view, None for no replay, and `say` with what went wrong, in one line."""
        self._show, self._say = show, say
        self._thread.start()

    def order(self, order: Order) -> None:
        """Have the replay do something. Any thread may call it; it returns at once."""
        self._orders.append(order)
        self._ordered.set()

    def mark(self, recording_ns: int) -> None:
        """Mark a time of the recording at which there was an opportunity. Any one other thread may call it."""
        marks = self._opportunities
        if marks is not None:
            marks.add(recording_ns)

    def stop(self) -> None:
        """Stop the thread; one that waits for an answer is not waited for."""
        self._stopping.set()
        self._ordered.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turn()
            is_there = self._view is not None and self._view.state != GONE
            self._ordered.wait(ASK_EVERY_S if is_there else LOOK_EVERY_S)

    def turn(self) -> None:
        """Carry out the orders, and ask for the state."""
        self._ordered.clear()
        orders = []
        with suppress(IndexError):
            while True:
                orders.append(self._orders.popleft())
        for order in merged(orders):
            self._carry_out(order)
        self._put(self._asked())

    def _carry_out(self, order: Order) -> None:
        view = self._asked()
        if view is None:
            return
        self._put(view)
        try:
            words = command(order, view)
            if words:
                self._ask(*words)
        except StorageError:
            self._say("the replay does not answer")
        except AlphapulseError as error:
            self._say(f"{error}: {error.hint}" if error.hint else str(error))

    def _asked(self) -> ReplayView | None:
        """View of the replay now; of one that has gone, or does not answer, the last one with that state."""
        before = self._view
        try:
            told = parse_timeline(self._ask(TIMELINE, *([self._revision] if before is not None and before.state != GONE else [])))
        except NoSegment:
            self._revision = ""
            return None if before is None else replace(before, state=GONE)
        except UsageError:  # a collector's set with the name of the socket, or a replay of another version
            return None
        except (StorageError, OSError):
            return None if before is None else replace(before, state=SILENT)
        return self._view_of(told, before)

    def _view_of(self, told: Timeline, before: ReplayView | None) -> ReplayView:
        marks = self._opportunities
        if marks is None or (marks.first_ns, marks.last_ns) != (told.first_ns, told.last_ns):
            marks = self._opportunities = Marks(told.first_ns, told.last_ns)
        self._revision = str(told.revision)
        gaps = tuple(told.gaps) if told.gaps is not None else before.gaps if before is not None else ()
        times = told.now_ns, told.speed, told.first_ns, told.last_ns
        return ReplayView(told.state, *times, told.is_paused, told.surveyed, gaps, tuple(marks.ranges()))

    def _ask(self, action: str, *words: str) -> list[str]:
        with open_directory(self._place) as directory:
            return control.ask(directory, CONTROL_NAME, action, words, timeout_s=ANSWER_S)

    def _put(self, view: ReplayView | None) -> None:
        if view != self._view:
            self._view = view
            self._show(view)


def merged(orders: Sequence[Order]) -> Iterator[Order]:
    """Iterate over the orders, with neighbours of one kind as one: their sum, the last of several seeks, and two pauses are none."""
    for what, group in groupby(orders, attrgetter("what")):
        same = list(group)
        if what in SUMMED:
            yield Order(what, sum(one.amount for one in same))
        elif what != "pause" or len(same) % 2:
            yield same[-1]


def command(order: Order, view: ReplayView) -> list[str]:
    """Action and words that carry out an order in that state; none where there is nothing to do. UsageError with the reason."""
    if view.state == GONE:
        raise NoSegment("the replay is gone", "alphapulse replay FILE")
    what, amount = order
    if what in ("pause", "step", "pass") and view.state == OVER:
        raise UsageError("the recording is over", "seek back: { or a click on the timeline")
    match what:
        case "pause":
            return [RESUME] if view.is_paused else [PAUSE]
        case "step":
            return [STEP, str(amount)]
        case "pass":
            return [STEP, f"{amount // 1_000_000}ms"]
        case "seek":
            return [SEEK, moments.moment(amount, digits=9)]
        case "shift":
            to_ns = min(max(view.now_ns + amount, view.first_ns), view.last_ns)
            return [SEEK, moments.moment(to_ns, digits=9)] if to_ns != view.now_ns else []
    return [SPEED, speed_text(_next_speed(parse_speed(view.speed), amount))] if amount else []


def _next_speed(speed: float, steps: int) -> float:
    """Speed that lies so many steps of SPEEDS above that one, or below it; the last one there is."""
    for _ in range(abs(steps)):
        others = [one for one in SPEEDS if (_rank(one) > _rank(speed) if steps > 0 else _rank(one) < _rank(speed))]
        speed = (others[0] if steps > 0 else others[-1]) if others else speed
    return speed


def _rank(speed: float) -> float:
    return math.inf if speed == MAX else speed
