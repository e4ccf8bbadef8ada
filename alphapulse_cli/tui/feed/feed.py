"""Feed of the live screen: one thread that drains every set's rings and makes a Picture, at most 12 times a second.

    every 20 ms      drain: all rings, in large polls
    every 0.5 s      look: new sets, silent writers, counters and rates
    every second     segments and readers, latency of the second, sparklines; scorecards while their screen is in front
    changed, 12/s    a Picture ─► `show`, called in this thread; with the ways to trade while the arbitrage screen is in front,
                     or to mark the opportunities of a replay

The feed changes nothing in shared memory but its own cursors. Sets that appear, die, restart or lap it are states in the Picture,
with advice; a directory that does not exist yet is waited for. Only a bug ends the thread, which calls `failed` with the exception.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter

from alphapulse_cli.apps import segments
from alphapulse_cli.apps.revive import revival
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.readers.feeds import FeedCard, cards
from alphapulse_cli.readers.items import TradeItem
from alphapulse_cli.readers.selection import Wanted, find_sets
from alphapulse_cli.readers.sets import SetReaders
from alphapulse_cli.readers.status import SetStatus, StatusSource
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory
from alphapulse_cli.tui.feed.advice import advice
from alphapulse_cli.tui.feed.arbitrage_feed import ArbitrageFeed
from alphapulse_cli.tui.feed.picture import TRADES, ArbitragePicture, BookPicture, Picture, SetPicture, Watched
from alphapulse_cli.tui.feed.set_feed import OneSet, Tally

PAUSE_S = 0.02
PICTURE_EVERY_NS = 1_000_000_000 // 12
LOOK_EVERY_NS = 500_000_000
SECOND_NS = 1_000_000_000
COST_SHARE = 50  # expensive looks are taken less often: each kind takes at most a fiftieth of the time
AT_LEAST_EVERY_NS = 2_000_000_000  # whatever the cost: the first look also imports, maps and attaches
STOP_WITHIN_S = 5.0
ARBITRAGE, FEEDS = "arbitrage", "feeds"  # names of screens
RECEIVED = attrgetter("timestamp_ns")


class ScreenFeed:
    """Feed of the sets in a segments' directory (None: the default one), from `start` to `stop`."""

    def __init__(
        self,
        place: str | None,
        wanted: Wanted,
        show: Callable[[Picture], None],
        failed: Callable[[BaseException], None],
        fees: Mapping[str, str] | None = None,
        mark: Callable[[int], None] | None = None,
    ) -> None:
        """`mark` is called, in the feed's thread, with each time of a recording at which an opportunity is seen in its replay."""
        self._place, self._wanted = place, wanted
        self._show, self._failed = show, failed
        self._thread = threading.Thread(target=self._run, name="alphapulse-feed", daemon=True)
        self._stopping = threading.Event()
        self._watched = Watched()
        self._screen = ""
        self._window = "hour"  # of the scorecards
        self._cards: Sequence[FeedCard] | None = None
        self._fees = dict(fees or {})
        self._mark = mark
        self._arbitrage_feed = ArbitrageFeed(self._fees)
        self._changed = True
        self._next_picture = self._next_look = self._next_second = 0
        self._directory: Directory | None = None
        self._source: StatusSource | None = None
        self._sets: SetReaders[OneSet] | None = None  # None while there is no directory
        self._tallies: dict[str, Tally] = {}
        self._samples: list[SetStatus] = []
        self._known: dict[str, SetStatus] = {}  # every wanted set that was ever there, as it was
        self._revivals: dict[str, str] = {}  # set that is not live -> its advice
        self._segments: Sequence[segments.SegmentRow] = ()
        self._published: dict[str, tuple[int, int, int]] = {}  # segment -> epoch, published, when
        self._tape: deque[TradeItem] = deque(maxlen=TRADES)
        self._advice = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, watched: Watched) -> None:
        """Choose the books whose ladders are wanted, and their depth. Any thread may call it."""
        if watched != self._watched:
            self._watched = watched
            self._changed = True

    def turn_to(self, screen: str) -> None:
        """Note the screen in front: ways to trade are made only for the arbitrage screen. Any thread may call it."""
        if screen != self._screen:
            self._screen = screen
            self._changed = True
            self._next_second = 0

    def judge(self, window: str) -> None:
        """Choose the window of the scorecards, which are read only for their screen. Any thread may call it."""
        if window != self._window:
            self._window = window
            self._next_second = 0

    def stop(self) -> None:
        """Stop the thread and remove the cursors; waits for it at most STOP_WITHIN_S."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.step(clock.monotonic_ns())
                self._stopping.wait(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - the app tells it, in its own thread
            self._failed(error)
        finally:
            self._leave()

    def step(self, now_ns: int) -> None:
        """Make one turn: drain, look if it is due, show a picture if there is news.

        Outside failures become states, not exceptions.
        """
        self._changed |= self._drain(now_ns)
        if now_ns >= self._next_look:
            known = len(self._followed)
            self._look()
            spent = clock.monotonic_ns() - now_ns if len(self._followed) == known else 0  # the cost of attaching does not recur
            self._next_look = now_ns + pause(LOOK_EVERY_NS, spent)
        if now_ns >= self._next_second:
            self._second(now_ns)
            spent = clock.monotonic_ns() - now_ns
            self._next_second = now_ns + pause(SECOND_NS, spent)
        if self._changed and now_ns >= self._next_picture:
            self._changed = False
            self._next_picture = now_ns + PICTURE_EVERY_NS
            self._show(self.picture(now_ns))

    def _drain(self, now_ns: int) -> bool:
        changed = False
        for one in self._followed:
            try:
                changed |= one.drain(now_ns)
            except (AlphapulseError, OSError):  # a file was cut short: attach again once there is a whole one
                assert self._sets is not None
                self._sets.drop(one.name)
                changed = True
        return changed

    @property
    def _followed(self) -> list[OneSet]:
        return [] if self._sets is None else list(self._sets.readers.values())

    def _look(self) -> None:
        """Attach to new sets, sample all sets, and find the advice."""
        self._changed = True
        try:
            directory = self._opened()
            assert self._sets is not None
            for one in self._followed:
                one.look()
            self._sets.look_now("now")
            samples = [one for one in self._sample() if self._wanted.takes_set(one.name, one.exchange)]
        except (AlphapulseError, OSError) as error:
            self._leave()
            self._samples, self._revivals = [], {}
            self._advice = _error_text(error)
            return
        self._known |= {one.name: one for one in samples if one.liveness is not None}
        there = {one.name for one in samples if one.liveness is not None}
        gone = [replace(self._known[name], liveness=None) for name in sorted(self._known.keys() - there)]
        self._revivals = {one.name: found.sentence for one in (*samples, *gone) if (found := revival(directory, one)) is not None}
        self._samples = samples + [
            SetStatus(one.name, one.exchange, None) for one in gone if one.name not in {s.name for s in samples}
        ]
        others = sorted(find_sets(directory, Wanted())) if not self._samples else []
        self._advice = advice(str(directory.path), self._wanted, others, [one.name for one in self._samples], self._revivals)

    def _opened(self) -> Directory:
        """Open directory, opened again if its path has another one now. NoSegment while there is none."""
        held = self._directory
        if held is not None:
            with suppress(OSError):
                if os.path.samestat(held.path.stat(), os.fstat(held.fd)):
                    return held
            self._leave()
        self._directory = open_directory(self._place)
        self._source = StatusSource(self._directory)
        self._sets = SetReaders(self._directory, self._wanted, self._attach, needed=False)
        return self._directory

    def _attach(self, name: str, exchange: str, _: Start) -> OneSet:
        assert self._directory is not None
        return OneSet(self._directory, name, exchange, self._wanted, self._tallies.setdefault(name, Tally()), self._tape)

    def _sample(self) -> list[SetStatus]:
        assert self._source is not None
        return self._source.sample()

    def _second(self, now_ns: int) -> None:
        """Read once a second: latencies, segments and their readers."""
        self._changed = True
        with suppress(AlphapulseError, OSError):
            for one in self._followed:
                one.read_second()
            if self._directory is not None:
                rows = segments.describe(self._directory, lambda _: None)
                for row in rows:
                    self._rate(row, now_ns)
                self._segments = tuple(rows)
                self._read_cards(self._directory)

    def _read_cards(self, directory: Directory) -> None:
        """Read the scorecards; None, without any cost, while their screen is not in front."""
        is_in_front = self._screen == FEEDS
        self._cards = tuple(cards(directory, self._wanted, self._window, self._samples)) if is_in_front else None

    def _rate(self, row: segments.SegmentRow, now_ns: int) -> None:
        """Set a ring's rate over the time since the last look, longer than `describe` could wait here."""
        if row.records_per_s is None:
            return
        epoch, published, when = self._published.get(row.name, (0, 0, 0))
        row.records_per_s = (row.published - published) * 1e9 / (now_ns - when) if epoch == row.epoch and now_ns > when else None
        self._published[row.name] = row.epoch, row.published, now_ns

    def picture(self, now_ns: int) -> Picture:
        """Picture of everything now; `now_ns` is CLOCK_MONOTONIC."""
        sets: list[SetPicture] = []
        books: list[BookPicture] = []
        for status in self._samples:
            one = None if self._sets is None else self._sets.readers.get(status.name)
            if one is None:
                sets.append(SetPicture(status, revival=self._revivals.get(status.name, "")))
                books += [BookPicture(status.name, book) for book in status.books if self._wants(status, book.symbol)]
            else:
                sets.append(one.picture(status, self._revivals.get(status.name, "")))
                books += one.books(status.books, self._watched, now_ns)
        trades = tuple(sorted(self._tape, key=RECEIVED)[::-1])  # trades of one frame have one time: the last one first
        return Picture(
            now_ns, tuple(sets), tuple(books), trades, self._segments, self._advice, self._arbitrage(now_ns), self._cards
        )

    def _arbitrage(self, now_ns: int) -> ArbitragePicture | None:
        """Ways to trade; None, without any cost, while the arbitrage screen is not in front.

        Those of a replay are looked at on every screen, for the marks on its timeline.
        """
        is_in_front, followed = self._screen == ARBITRAGE, self._followed
        is_marked = self._mark is not None and len(followed) > 1 and all(one.is_replay for one in followed)
        if self._directory is None or not (is_in_front or is_marked):
            self._arbitrage_feed.pause()
            return None
        made = self._arbitrage_feed.look(self._directory, followed, now_ns)
        if is_marked and self._mark is not None and made.clock_ns and any(row.found is not None for row in made.rows):
            self._mark(made.clock_ns)
        return made if is_in_front else None

    def _wants(self, status: SetStatus, symbol: str) -> bool:
        only = self._wanted.symbols_of(status.name, status.exchange)
        return only is None or symbol in only

    def _leave(self) -> None:
        """Close the sets and the directory."""
        if self._sets is not None:
            self._sets.close()
        if self._directory is not None:
            self._directory.close()
        self._directory = self._source = self._sets = None
        self._arbitrage_feed = ArbitrageFeed(self._fees)
        self._segments = ()
        self._cards = None


def pause(every_ns: int, spent_ns: int) -> int:
    """Time in ns until the next look of a kind, after one that took `spent_ns`."""
    return min(max(every_ns, COST_SHARE * spent_ns), AT_LEAST_EVERY_NS)


def _error_text(error: Exception) -> str:
    hint = getattr(error, "hint", "")
    found = f"{str(error)[:1].upper()}{str(error)[1:]}"
    return f"{found}. {hint[:1].upper()}{hint[1:]}" if hint else found
