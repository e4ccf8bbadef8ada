"""Player that watches: it tells each change of a book's state, and of each row when it looks closely.

    far:   blocks of frames at once, as any replay      ─► on_fault
    close: row by row, each with the books before it    ─► on_row, on_fault

A state that time changes (a silence, a crossed book) is told with the time of its tick.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from alphapulse_cli.apps.explain.evidence import GAP, OF_REASONS, Kind, told
from alphapulse_cli.apps.replay.player import MOST_IDLE_NS, MakeOutlet, Player
from alphapulse_cli.apps.replay.timeline import Reel
from alphapulse_cli.edges.capture import rows
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.flow.ingest import GAP_REASONS, Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.market.events import GapReason
from alphapulse_cli.wire.delta import BookReason, BookState

UNREADABLE = "unreadable "  # how a warning of a message that cannot be read begins
GOOD = (BookState.LIVE, BookState.STALE)
Trust = tuple[BookState, BookReason]
AT_FIRST: Trust = (BookState.COLD, BookReason.STARTING)


@dataclass(frozen=True, slots=True)
class Change:
    """Change of a book's state. `row` is the row that caused it, None where time did, or where it lies in a run of frames."""

    time_ns: int
    connection: int
    ingest: Ingest
    keeper: BookKeeper
    before: Trust
    after: Trust
    row: Row | None

    @property
    def is_fault(self) -> bool:
        """Whether the book was good and is so no longer, or less so."""
        (before, _), (after, reason) = self.before, self.after
        if reason is BookReason.RETIRED or before not in GOOD:
            return False
        return after not in GOOD or (before is BookState.LIVE and after is BookState.STALE)


@dataclass(slots=True)
class Listeners:
    """Functions that a player calls. `on_words` gets the collector's warnings, before the changes of that moment."""

    on_change: Callable[[Sequence[Change]], None]  # all of one moment
    on_words: Callable[[int, Row | None, Sequence[str]], None] = lambda *_: None
    before_row: Callable[[Row, "WatchingPlayer"], None] = lambda *_: None  # close only
    after_row: Callable[[Row, "WatchingPlayer"], None] = lambda *_: None
    after_tick: Callable[[int, "WatchingPlayer"], None] = lambda *_: None
    on_end: Callable[["WatchingPlayer"], None] = lambda _: None  # of a run, before its books are retired


def kind_of(change: Change, said: Sequence[str]) -> Kind:
    """Kind of a fault: as a warning of that moment says, else by the reason of the book's state."""
    if change.row is not None and change.row.kind == rows.Kind.LOST:
        return Kind.LOST
    if change.after[0] is not BookState.STALE:
        for text in said:
            kind = told(text, change.keeper.instrument.id)
            if kind is not None:
                return kind
    return OF_REASONS[change.after[1]]


class WatchingPlayer(Player):
    """Player that tells what happens to the books. `is_close` may be set at any time."""

    def __init__(self, head: Head, make_outlet: MakeOutlet, listeners: Listeners, only: Collection[str] = ()) -> None:
        self._words: list[str] = []
        self._listeners = listeners
        self._trusted: dict[BookKeeper, Trust] = {}
        self.is_close = self._is_over = False
        super().__init__(head, make_outlet, self._hear, only)

    def play(self, row: Row) -> None:
        """Play one row, and look."""
        if not self.is_close:
            super().play(row)
            self._look(self.now_ns, row)
            return
        if row.time_ns >= self._next_tick_ns:  # so that what time does is told before the row
            self.advance(row.time_ns)
        self._listeners.before_row(row, self)
        super().play(row)
        self._look(self.now_ns, row)
        self._listeners.after_row(row, self)

    def play_frames(self, reel: Reel, until_ns: int) -> int:
        """Play the frames that come next, and look; none of them together where the player is close."""
        if self.is_close:
            return 0
        played = super().play_frames(reel, until_ns)
        if played:
            self._look(self.now_ns, None)
        return played

    def advance(self, time_ns: int) -> None:
        """Let the clock pass to `time_ns`, and look at each tick."""
        while self._open and 0 < self._next_tick_ns <= time_ns:
            tick_ns = self._next_tick_ns
            if tick_ns > self._row_ns + MOST_IDLE_NS:
                break
            super().advance(tick_ns)
            self._look(tick_ns, None)
            if self.is_close:
                self._listeners.after_tick(tick_ns, self)
        super().advance(time_ns)

    def finish(self) -> None:
        """End the run at its last row."""
        if not self._is_over:
            self._is_over = True
            self._listeners.on_end(self)
        super().finish()
        self._look(self.now_ns, None)

    def _hear(self, level: str, text: str) -> None:
        if level == "warning":
            self._words.append(text)

    def _look(self, time_ns: int, row: Row | None) -> None:
        words, self._words = self._words, []
        gaps = [match for match in map(GAP.fullmatch, words) if match]
        changes: list[Change] = []
        for connection, ingest in self.connections():
            for keeper in ingest.keepers.values():
                now = keeper.state, keeper.reason
                before = self._trusted.get(keeper, AT_FIRST)
                for trust in (*_passed(keeper, before, now, gaps), now):
                    if trust != before:
                        changes.append(Change(time_ns, connection, ingest, keeper, before, trust, row))
                        before = trust
                self._trusted[keeper] = now
        if words:
            self._listeners.on_words(time_ns, row, words)
        if changes:
            self._listeners.on_change(changes)


def _passed(keeper: BookKeeper, before: Trust, now: Trust, gaps: Sequence[re.Match[str]]) -> Iterator[Trust]:
    """States that a good book passed through within one message: a new snapshot healed at once what it showed to be wrong."""
    if before[0] in GOOD and now[0] is BookState.LIVE:
        for match in gaps:
            if keeper.instrument.id in match[2].split():
                yield BookState.SYNCING, GAP_REASONS[GapReason(match[1])]
