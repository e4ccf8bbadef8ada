"""Replay of captures into segments of their own: paced by the recording's clock, and steered while it runs.

    Recording (a set) ─┐
    Recording ─────────┴─► merged rows ─► Pace: when ─► Player of the set ─► its segments ─► readers, as of a live set
                                           ▲
          pause · resume · step · seek · speed, over the control socket

    Recording ─► survey, a block at a time ─► Marks of gaps ◄─ what the books lost as they were played

Each run of a collector in the recording, and each seek, begins a new epoch, as a collector that was started again does. What lies
before the start is played first, as fast as it goes and before readers see the set, since the books depend on it.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.apps.replay import survey
from alphapulse_cli.apps.replay.marks import Marks
from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan, parse_speed, speed_text
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.room import Room
from alphapulse_cli.apps.replay.steering import ACTIONS, CONTROL_NAME, OVER, PAUSED, PLAYING, SEEKING, Timeline
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS
from alphapulse_cli.edges.control import ControlServer
from alphapulse_cli.edges.quantities import duration_s
from alphapulse_cli.errors import AlphapulseError, UsageError, WriterAlive
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers import moments
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.cursor import CursorInfo
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.identity import is_stopped, pid_namespace
from alphapulse_cli.shm.lease import Lease

BEAT_NS, BEAT_S = 50_000_000, 0.05
READER_PAUSE_S, READER_STANDS_NS = 0.002, 5_000_000_000
SLICE_NS = 5_000_000  # work between two looks at the event loop
MOST_STEPS = 1_000_000
SURVEY_SHARE = 20  # the survey takes a twentieth of the time while the replay plays
FAULTS = (Counter.GAPS, Counter.CHECKSUMS_BAD, Counter.DECODE_ERRORS)  # counters that mark a time as it is played


@dataclass(slots=True)
class Pace:
    """Pace of a replay: which time of the recording it has reached at a time of ours. Times in ns."""

    speed: float
    is_paused: bool = False
    _wall_ns: int = 0
    _recording_ns: int = 0

    @property
    def is_fast(self) -> bool:
        """Whether it is faster than it was recorded."""
        return self.speed == MAX or self.speed > 1.0

    def set(self, wall_ns: int, recording_ns: int) -> None:
        """Let the recording's time be `recording_ns` now, and go on from there."""
        self._wall_ns, self._recording_ns = wall_ns, recording_ns

    def reached(self, wall_ns: int) -> int:
        """Time of the recording that is reached; the last of all times at the speed MAX, which is bound by nothing."""
        if self.is_paused:
            return self._recording_ns
        return MOST_TIME_NS if self.speed == MAX else self._recording_ns + int((wall_ns - self._wall_ns) * self.speed)

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
    gaps: Marks = field(init=False)  # times at which something is missing, as far as it is known
    surveyed: float = field(default=0.0, init=False)  # share of the recording that the survey has read
    is_shown: bool = field(default=False, init=False)  # whether readers see it
    _playback: Playback | None = None
    _show_ns: int = 0  # time of the recording from which on readers see it
    _steps: int = 0  # frames to play while paused
    _step_to_ns: int = 0  # time of the recording to play to while paused; 0: none
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _beaten_ns: int = 0
    _rooms: dict[Outlet, Room] = field(default_factory=dict)
    _failure: AlphapulseError | None = None  # reason why a seek could not be carried out: nothing is left to play
    _waited_ns: int = 0  # time since which a reader is waited for
    _held: CursorInfo | None = None  # that reader, in the last slice
    _named: str = ""  # reader that was named in a warning; "" while none stands still
    _has_warned: bool = False  # a collector would have warned since the faults were last counted
    _faults: dict[Outlet, int] = field(default_factory=dict)
    _ending: Player | None = None  # player of the run whose end is waited with until it is read

    def __post_init__(self) -> None:
        self.pace = Pace(self.plan.speed)
        first = min(one.first_ns for one in self.recordings)
        last = max(one.last_ns for one in self.recordings)
        self.progress = Progress(max(first, self.plan.from_ns or 0), min(last, self.plan.to_ns or last))
        self.gaps = Marks(self.progress.first_ns, self.progress.last_ns)

    async def run(self) -> None:
        """Play to the end of the recording, or until cancelled; the segments are retired then."""
        try:
            async with self._controlled():
                self._begin(self.plan.from_ns)
                self.pace.is_paused = self.plan.paused
                surveying = asyncio.create_task(self._survey())
                try:
                    await self._play()
                finally:
                    surveying.cancel()
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
        self.is_shown = self.progress.is_over = False  # first: the sets that are made now are hidden
        self._playback = Playback(self.recordings, (from_ns, self.plan.to_ns), self._damaged, self._player, may_end=self._may_end)
        self._show_ns = from_ns if from_ns is not None else self._playback.next_ns or 0
        self._steps = self._step_to_ns = 0
        self.pace.set(clock.monotonic_ns(), self._show_ns)
        self.progress.now_ns = self._show_ns

    async def _play(self) -> None:
        while True:
            self._changed.clear()
            if self._failure is not None:
                raise self._failure
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
        limit_ns, playback = wall_ns + SLICE_NS, self._playback
        assert playback is not None
        self._held = None
        while playback.next_ns is not None:
            if self.is_shown and self.pace.is_paused:
                return self._step(wall_ns)
            if self.is_shown and self.pace.is_fast and self._waits_for_a_reader(wall_ns):
                return READER_PAUSE_S
            reached_ns = self.pace.reached(wall_ns) if self.is_shown else self._show_ns - 1
            if not playback.play(reached_ns):
                if not self.is_shown:
                    self._show()
                    return 0.0
                return self._wait(reached_ns, wall_ns)
            self._note_progress()
            wall_ns = clock.monotonic_ns()
            if wall_ns >= limit_ns:
                return 0.0
        if not self.is_shown:
            self._show()
        self.progress.is_over = True
        return BEAT_S

    def _waits_for_a_reader(self, wall_ns: int) -> bool:
        """Whether a reader would be lapped by what comes next. One that stands for READER_STANDS_NS is named."""
        for player in self._playback.players if self._playback is not None else ():
            reader = self._rooms[player.outlet].missing(wall_ns)
            if reader is not None:
                if not self._waited_ns:
                    self._beaten_ns = 0  # the clock is stored at once: readers hold what it has not reached
                self._waited_ns, self._held = self._waited_ns or wall_ns, reader
                if wall_ns - self._waited_ns >= READER_STANDS_NS and not self._named:
                    self._named = _reader_name(reader)
                    self.notice("warning", f"{self.held_by}; at 1x no reader is waited for: alphapulse replay speed 1x")
                self.pace.set(wall_ns, self.progress.now_ns)
                return True
        if self._named:
            self.notice("warning", f"the replay goes on: {self._named} is no longer waited for")
        self._waited_ns, self._named = 0, ""
        return False

    @property
    def held_by(self) -> str:
        """Reader that the replay waits for, in words; "" while it waits for none."""
        reader = self._held
        if reader is None:
            return ""
        if reader.who.pid_namespace == pid_namespace() and is_stopped(reader.who.pid):
            return f"waiting for {_reader_name(reader)}, which is stopped: kill -CONT {reader.who.pid} lets it go on"
        return f"waiting for {_reader_name(reader)}" + (", which does not read on: does a pager hold it?" if self._named else "")

    def _step(self, wall_ns: int) -> float:
        """Play what `step` has asked for, and what comes before it, for SLICE_NS at most; the seconds until there may be more to do."""
        playback, limit_ns = self._playback, wall_ns + SLICE_NS
        assert playback is not None
        while (self._steps or self._step_to_ns) and playback.next_ns is not None and wall_ns < limit_ns:
            if self._waits_for_a_reader(wall_ns):
                return READER_PAUSE_S
            if self._steps:
                self._steps -= playback.play_one()
                self._note_progress()
            elif playback.play(self._step_to_ns):
                self._note_progress()
            else:
                playback.advance(self._step_to_ns)
                self.progress.now_ns = max(self.progress.now_ns, self._step_to_ns)
                self._step_to_ns = 0
            wall_ns = clock.monotonic_ns()
            self.pace.set(wall_ns, self.progress.now_ns)
        return 0.0 if wall_ns >= limit_ns else BEAT_S

    def _wait(self, reached_ns: int, wall_ns: int) -> float:
        """Let the clocks pass to the time reached, at which nothing is due; the seconds until something is."""
        playback = self._playback
        assert playback is not None
        assert playback.next_ns is not None
        playback.advance(min(reached_ns, playback.next_ns))
        self.progress.now_ns = max(self.progress.now_ns, reached_ns)
        return min(BEAT_S, self.pace.wait_s(playback.next_ns, wall_ns))

    def _note_progress(self) -> None:
        playback, progress = self._playback, self.progress
        assert playback is not None
        progress.now_ns, progress.rows, progress.frames = playback.now_ns, playback.rows, playback.frames
        if self._has_warned:
            self._has_warned = False
            self._mark_faults()

    def _mark_faults(self) -> None:
        """Mark the present time as a gap if a counter of FAULTS has grown."""
        for player in self._playback.players if self._playback is not None else ():
            outlet = player.outlet
            blocks = [outlet.counters.block(name) for name in ("", *outlet.symbols)]
            count = sum(block.get(fault) for block in blocks for fault in FAULTS)
            if count > self._faults.get(outlet, 0):
                self.gaps.add(self.progress.now_ns)
            self._faults[outlet] = count

    async def _survey(self) -> None:
        """Mark the gaps that the capture itself tells of, beside the replay."""
        spans = [one.last_ns - one.first_ns + 1 for one in self.recordings]
        with contextlib.suppress(AlphapulseError, OSError):  # of a file that is gone by now: playing it tells more
            for number, recording in enumerate(self.recordings):
                began_ns = clock.monotonic_ns()
                for reached_ns, found in survey.gaps(recording, self.plan.to_ns):
                    for from_ns, to_ns in found:
                        self.gaps.add(from_ns, to_ns)
                    read = min(max(reached_ns - recording.first_ns, 0), spans[number])
                    self.surveyed = (sum(spans[:number]) + read) / sum(spans)
                    is_idle = self.state in (PAUSED, OVER)
                    await asyncio.sleep(0 if is_idle else (clock.monotonic_ns() - began_ns) * (SURVEY_SHARE - 1) / 1e9)
                    began_ns = clock.monotonic_ns()
            self.surveyed = 1.0

    def _player(self, head: Head) -> Player:
        notice, outlet = self._notice_of(head.set_name), _OutletMaker(self, head.set_name, head.exchange)
        made = Player(head, outlet, notice, self.plan.symbols_of(head.exchange))
        self._rooms[made.outlet] = Room(self.directory, made.outlet)
        return made

    def _may_end(self, player: Player) -> bool:
        """Whether a run may end now: with the clock stored, and all of it read where readers are waited for."""
        if not (self.is_shown and (self.pace.is_fast or self.pace.is_paused)):
            return True
        room, wall_ns = self._rooms[player.outlet], clock.monotonic_ns()
        if self._ending is not player:
            self._ending = player
            room.require_all_read()
        if room.missing(wall_ns) is not None:
            return False
        self._ending = None
        player.outlet.beat(wall_ns, self.progress.now_ns)
        return True

    def _show(self) -> None:
        """Let readers see the sets."""
        self.is_shown = True
        assert self._playback is not None
        self._playback.advance(self._show_ns)
        self.progress.now_ns = self._show_ns
        for player in self._playback.players:
            player.outlet.beat(clock.monotonic_ns(), self._show_ns)
            player.outlet.show()
        self.pace.set(clock.monotonic_ns(), self._show_ns)
        if self.on_ready is not None:
            self.on_ready()
            self.on_ready = None

    def _beat(self, monotonic_ns: int) -> None:
        """Send heartbeats, and serve the checkpoints that readers request."""
        players = self._playback.players if self._playback is not None else ()
        for player in players:
            player.outlet.serve_checkpoints(self.progress.now_ns)
        if monotonic_ns - self._beaten_ns >= BEAT_NS:
            self._beaten_ns = monotonic_ns
            for player in players:
                player.outlet.beat(monotonic_ns, self.progress.now_ns)

    def _close(self) -> None:
        if self._playback is not None:
            self._playback.close()
            self._playback = None
        self._rooms.clear()
        self._faults.clear()

    def _damaged(self, path: Path, what: str) -> None:
        self.notice("warning", f"{path}: {what}")

    def _notice_of(self, set_name: str) -> Notice:
        def notice(level: str, message: str) -> None:  # what a collector would say now, which was said then
            self._has_warned |= level == "warning"
            if self.is_shown:
                self.notice("info", f"{moments.moment(self.progress.now_ns, digits=3)} {set_name}: {message}")

        return notice

    # Steering

    async def _answer(self, action: str, words: Sequence[str]) -> Sequence[str]:
        """Carry out a command; the state after it in words. UsageError."""
        match action, *words:
            case ["pause"]:
                self._repace(is_paused=True)
            case ["resume"]:
                self._steps = self._step_to_ns = 0
                self._repace(is_paused=False)
            case ["step", *count] if len(count) <= 1:
                frames, time_ns = step_size(count[0] if count else "1")
                self._repace(is_paused=True)
                self._steps += frames
                if time_ns:
                    self._step_to_ns = min(max(self._step_to_ns, self.progress.now_ns) + time_ns, self.progress.last_ns)
            case ["speed", text]:
                self.pace.speed, is_paused = parse_speed(text), self.pace.is_paused
                self._repace(is_paused=is_paused)
            case ["seek", text]:
                self._seek(moments.parse(text))
            case ["status"]:
                pass
            case ["timeline", *revision] if len(revision) <= 1:
                return self._timeline(revision[0] if revision else "")
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
        for recording in self.recordings:
            recording.check_there()  # before the books of now are given up
        try:
            self._begin(to_ns)
        except AlphapulseError as error:
            self._failure = error
            self._changed.set()
            raise

    @property
    def state(self) -> str:
        """State in a word: playing, paused, over; seeking while it plays the rows before the time that readers will see."""
        if not self.is_shown:
            return SEEKING
        return OVER if self.progress.is_over else PAUSED if self.pace.is_paused else PLAYING

    def _state(self) -> list[str]:
        now_ns = self.progress.now_ns if self.is_shown else self._show_ns
        return [self.state, moments.moment(now_ns), speed_text(self.pace.speed), *([self.held_by] if self.held_by else [])]

    def _timeline(self, revision: str) -> list[str]:
        """Timeline for a scrubber; without the gaps where the asker has those of that revision."""
        progress, gaps = self.progress, self.gaps
        state, _, speed, *_ = self._state()
        now_ns = progress.now_ns if self.is_shown else self._show_ns
        known = None if revision == str(gaps.revision) else list(gaps.ranges())
        times, surveyed = (progress.first_ns, progress.last_ns), int(self.surveyed * 100)
        return Timeline(state, now_ns, speed, *times, surveyed, gaps.revision, self.pace.is_paused, known).words()


def _reader_name(reader: CursorInfo) -> str:
    return f"{reader.label or 'a reader'} (process {reader.who.pid})"


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


def step_size(text: str) -> tuple[int, int]:
    """(frames, time in ns) of a step, one of them 0. UsageError for what is neither a number of frames nor a time."""
    if text.isdecimal():
        frames = int(text) if len(text) <= 20 else 0
        if not 1 <= frames <= MOST_STEPS:
            raise UsageError(f"not a number of frames: {text[:20]!r}", f"from 1 to {MOST_STEPS}")
        return frames, 0
    try:
        return 0, max(math.floor(duration_s(text) * 1e9), 1)
    except ValueError:
        raise UsageError(f"not a number of frames, nor a time: {text[:20]!r}", "as in 10, or 1s, 250ms, 2m") from None
