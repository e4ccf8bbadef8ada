"""Replay of captures into segments of their own: paced by the recording's clock, and steered while it runs.

    Recording (a set) ─┐
    Recording ─────────┴─► merged rows ─► Pace: when ─► Player of the set ─► its segments ─► readers, as of a live set
                                           ▲
          pause · resume · step · seek · speed, over the control socket

Each run of a collector in the recording, and each seek, begins a new epoch, as a collector that was started again does. What lies
before the start is played first, as fast as it goes and before readers see the set, since the books depend on it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan, parse_speed, speed_text
from alphapulse_cli.apps.replay.player import RECEIVED, Player
from alphapulse_cli.apps.replay.timeline import OVER, Recording, merged
from alphapulse_cli.edges.capture.head import parse_head
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.edges.control import ControlServer
from alphapulse_cli.errors import UsageError, WriterAlive
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers import moments
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.lease import Lease

CONTROL_NAME = "replay"
ACTIONS = ("pause", "resume", "step", "seek", "speed", "status")
BEAT_NS = 50_000_000
SLICE_NS = 5_000_000  # work between two looks at the event loop
LOOK_EVERY = 64  # rows between two looks at the clock
MOST_STEPS = 1_000_000


@dataclass(slots=True)
class Pace:
    """Pace of a replay: which time of the recording it has reached at a time of ours. Times in ns."""

    speed: float
    is_paused: bool = False
    _wall_ns: int = 0
    _recording_ns: int = 0

    def set(self, wall_ns: int, recording_ns: int) -> None:
        """Let the recording's time be `recording_ns` now, and go on from there."""
        self._wall_ns, self._recording_ns = wall_ns, recording_ns

    def reached(self, wall_ns: int) -> int | None:
        """Time of the recording that is reached; None at the speed MAX, which is bound by nothing."""
        if self.is_paused:
            return self._recording_ns
        return None if self.speed == MAX else self._recording_ns + int((wall_ns - self._wall_ns) * self.speed)

    def wait_s(self, recording_ns: int, wall_ns: int) -> float:
        """Seconds from now until the recording's time is `recording_ns`."""
        return max(self._wall_ns + (recording_ns - self._recording_ns) / self.speed - wall_ns, 0.0) / 1e9


@dataclass(slots=True)
class Progress:
    """Figures of a replay so far."""

    first_ns: int  # of the recording
    last_ns: int
    now_ns: int = 0  # of the recording
    frames: int = 0
    rows: int = 0
    is_over: bool = False


@dataclass(slots=True)
class Replay:
    """Replay of `recordings` by a plan. `notice` is called with warnings; `on_ready` once readers can attach."""

    plan: ReplayPlan
    recordings: Sequence[Recording]
    directory: Directory
    notice: Notice
    on_ready: Callable[[], None] | None = None
    hold: bool = False  # stay, paused, at the end of the recording
    pace: Pace = field(init=False)
    progress: Progress = field(init=False)
    is_shown: bool = field(default=False, init=False)  # whether readers see it
    _players: dict[int, Player] = field(default_factory=dict)
    _rows: Iterator[tuple[int, Row]] = field(default_factory=lambda: iter(()))
    _next: tuple[int, Row] | None = None
    _show_ns: int = 0  # time of the recording from which on readers see it
    _steps: int = 0  # frames to play while paused
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _beaten_ns: int = 0

    def __post_init__(self) -> None:
        self.pace = Pace(self.plan.speed)
        first = min(one.first_ns for one in self.recordings)
        self.progress = Progress(max(first, self.plan.from_ns or 0), max(one.last_ns for one in self.recordings))

    async def run(self) -> None:
        """Play to the end of the recording, or until cancelled; the segments are retired then."""
        try:
            async with self._controlled():
                self._begin(self.plan.from_ns)
                self.pace.is_paused = self.plan.paused
                await self._play()
        finally:
            self._close()

    @contextlib.asynccontextmanager
    async def _controlled(self) -> AsyncIterator[None]:
        try:
            lease = Lease.acquire(self.directory, CONTROL_NAME)
        except WriterAlive:
            raise WriterAlive(
                f"a replay runs in {self.directory.path} already",
                "steer that one: alphapulse replay seek|speed …; or give --shm-dir",
            ) from None
        with lease:
            async with ControlServer(self.directory, CONTROL_NAME, self._answer, actions=ACTIONS):
                yield

    # Playing

    def _begin(self, from_ns: int | None) -> None:
        """Begin at a time of the recording; what lies before it is played at once."""
        self._close()
        damaged = self._damaged
        self._rows = merged([one.rows(from_ns, self.plan.to_ns, damaged) for one in self.recordings])
        self._next = next(self._rows, None)
        self._show_ns = from_ns if from_ns is not None else (self._next[1].time_ns if self._next else 0)
        self.is_shown = self.progress.is_over = False
        self.pace.set(clock.monotonic_ns(), self._show_ns)
        self.progress.now_ns = self._show_ns

    async def _play(self) -> None:
        while True:
            self._changed.clear()
            wall_ns = clock.monotonic_ns()
            pause_s = self._slice(wall_ns)
            self._beat(clock.monotonic_ns())
            if self.progress.is_over and not self.hold:
                return
            if pause_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):  # `wait_for` of Python 3.11 can lose a cancellation
                        await self._changed.wait()
            else:
                await asyncio.sleep(0)

    def _slice(self, wall_ns: int) -> float:
        """Play what is due, for SLICE_NS at most; the seconds until more is due."""
        limit_ns = wall_ns + SLICE_NS
        while self._next is not None:
            reached_ns = self._show_ns - 1 if not self.is_shown else self.pace.reached(wall_ns)
            due = self._due(reached_ns)
            if due is None and not self.is_shown:
                self._show()
                return 0.0
            if due is None:
                assert reached_ns is not None
                for player in self._players.values():
                    player.advance(min(reached_ns, self._next[1].time_ns))
                self.progress.now_ns = max(self.progress.now_ns, reached_ns)
                return (
                    min(BEAT_NS / 1e9, self.pace.wait_s(self._next[1].time_ns, wall_ns))
                    if not self.pace.is_paused
                    else BEAT_NS / 1e9
                )
            wall_ns = clock.monotonic_ns()
            if wall_ns >= limit_ns:
                return 0.0
        if not self.is_shown:
            self._show()
        self.progress.is_over = True
        return BEAT_NS / 1e9

    def _due(self, reached_ns: int | None) -> int | None:
        """Play up to LOOK_EVERY rows that are due; their number, None if none was."""
        played = 0
        while self._next is not None and played < LOOK_EVERY:
            number, row = self._next
            if reached_ns is not None and row.time_ns > reached_ns:
                if not (self.pace.is_paused and self._steps and self.is_shown):
                    break
                self._steps -= row.kind == RECEIVED
                self.pace.set(clock.monotonic_ns(), row.time_ns)
            self._one(number, row)
            self._next = next(self._rows, None)
            played += 1
        return played or None

    def _one(self, number: int, row: Row) -> None:
        player = self._players.get(number)
        if row.kind == Kind.HEAD:
            head = parse_head(row.payload)
            if player is None or player.head.run_ns != head.run_ns:
                if player is not None:
                    player.close()
                outlet = _OutletMaker(self, head.set_name, head.exchange)
                self._players[number] = Player(head, outlet, self._notice_of(head.set_name), self.plan.symbols_of(head.exchange))
                return
        if row.kind == OVER:
            if player is not None:
                player.close()
                del self._players[number]
        elif player is not None:
            player.play(row)
            self.progress.now_ns = player.now_ns
            self.progress.rows += 1
            self.progress.frames += row.kind == RECEIVED

    def _show(self) -> None:
        """Let readers see the sets."""
        self.is_shown = True
        for player in self._players.values():
            player.outlet.beat(clock.monotonic_ns(), self._show_ns)
            player.outlet.show()
        self.pace.set(clock.monotonic_ns(), self._show_ns)
        if self.on_ready is not None:
            self.on_ready()
            self.on_ready = None

    def _beat(self, monotonic_ns: int) -> None:
        """Send heartbeats, and serve the checkpoints that readers request."""
        for player in self._players.values():
            player.outlet.serve_checkpoints(self.progress.now_ns)
        if monotonic_ns - self._beaten_ns >= BEAT_NS:
            self._beaten_ns = monotonic_ns
            for player in self._players.values():
                player.outlet.beat(monotonic_ns, self.progress.now_ns)

    def _close(self) -> None:
        for player in self._players.values():
            player.close()
        self._players.clear()

    def _damaged(self, path: Path, what: str) -> None:
        self.notice("warning", f"{path}: {what}")

    def _notice_of(self, set_name: str) -> Notice:
        def notice(level: str, message: str) -> None:
            if self.is_shown:
                self.notice(level, f"{moments.moment(self.progress.now_ns, digits=3)} {set_name}: {message}")

        return notice

    # Steering

    async def _answer(self, action: str, words: Sequence[str]) -> Sequence[str]:
        """Carry out a command; the state after it in words. UsageError."""
        match action, *words:
            case ["pause"]:
                self._repace(is_paused=True)
            case ["resume"]:
                self._repace(is_paused=False)
            case ["step", *count] if len(count) <= 1:
                self._repace(is_paused=True)
                self._steps += _step_count(count[0] if count else "1")
            case ["speed", text]:
                self.pace.speed, is_paused = parse_speed(text), self.pace.is_paused
                self._repace(is_paused=is_paused)
            case ["seek", text]:
                self._seek(moments.parse(text))
            case ["status"]:
                pass
            case _:
                raise UsageError(f"{action} takes other words than {' '.join(words)[:60]!r}", f"alphapulse replay {action} --help")
        self._changed.set()
        return self._state()

    def _repace(self, *, is_paused: bool) -> None:
        self.pace.is_paused = is_paused
        self.pace.set(clock.monotonic_ns(), self.progress.now_ns)

    def _seek(self, to_ns: int) -> None:
        if not self.progress.first_ns <= to_ns <= self.progress.last_ns:
            first, last = moments.moment(self.progress.first_ns), moments.moment(self.progress.last_ns)
            raise UsageError(f"{moments.moment(to_ns)} is not in the recording", f"it is from {first} to {last}")
        self._begin(to_ns)

    def _state(self) -> list[str]:
        state = "over" if self.progress.is_over else "paused" if self.pace.is_paused else "playing"
        return [state, moments.moment(self.progress.now_ns), speed_text(self.pace.speed)]


@dataclass(frozen=True, slots=True)
class _OutletMaker:
    """Maker of a set's segments in the replay's directory; hidden from readers until the replay is shown."""

    replay: Replay
    set_name: str
    exchange: str

    def __call__(self, symbols: Sequence[str]) -> Outlet:
        replay = self.replay
        return Outlet(
            replay.directory,
            self.set_name,
            self.exchange,
            symbols,
            replay.plan.ring_capacity,
            clock.monotonic_ns(),
            is_hidden=not replay.is_shown,
            replay=True,
        )


def _step_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS:
        raise UsageError(f"not a number of frames: {text[:20]!r}", f"from 1 to {MOST_STEPS}")
    return int(text)
