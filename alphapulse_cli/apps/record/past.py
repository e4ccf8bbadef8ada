"""Recording of captures: they are played in this process at full speed, into rings that nobody else sees, and nothing of them is missed.

    reels ─► Playback, frame by frame ─► private rings ─► SetSource, before they are half full and behind each RESET ─► dataset

Rows have the recorded times. Their epoch is the second in which the collector's run began, the same each time: a run that the dataset
has already is refused, since its rows would be there twice.
"""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from alphapulse_cli.apps.record.plan import RecordPlan, Report
from alphapulse_cli.apps.record.source import SetSource
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import Recording
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.streams import open_folder
from alphapulse_cli.errors import AlphapulseError, UsageError
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, usual_path

SECOND_NS = 1_000_000_000
RING_RECORDS = 1 << 16
READ_AT = RING_RECORDS // 4  # unread records of a ring
TEND_FRAMES = 256


class PastRecording:
    """Recording of captures, each with the symbols that are wanted (none: all), from a time on, before another. UsageError where the dataset has one of their runs already; WriterAlive, StorageError.

    Close it.
    """

    def __init__(
        self,
        plan: RecordPlan,
        chosen: Sequence[tuple[Recording, Collection[str]]],
        report: Report,
        span_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self._plan, self._report, self._from_ns = plan, report, span_ns[0]
        self.recorders: dict[str, Recorder] = {}
        self._symbols: dict[str, Collection[str] | None] = {}
        self._sources: dict[str, SetSource] = {}
        self._epochs: dict[tuple[str, int], int] = {}  # (set, epoch of its segments) -> epoch of its rows
        self._resets: dict[str, int] = {}
        self._opened = contextlib.ExitStack()
        open_folder(Path(plan.folder))
        try:
            for one, only in chosen:
                recorder = self.recorders[one.set_name] = plan.recorder(one.exchange, one.set_name, report)
                self._symbols[one.set_name] = only or None
                for head in one.heads:
                    self._require_new(recorder, head)
            path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-record-", dir=usual_path().parent))
            self._directory = self._opened.enter_context(open_directory(str(Path(path) / "segments"), create=True))
            self._playback = Playback([one for one, _ in chosen], span_ns, self._damaged, self._player, keeps_ended=True)
            self._opened.callback(self._playback.close)
        except BaseException:
            self._opened.close()
            for recorder in self.recorders.values():
                recorder.close()
            raise

    def _require_new(self, recorder: Recorder, head: Head) -> None:
        epoch = head.run_ns // SECOND_NS
        if recorder.holds(epoch):
            raise UsageError(
                f"{self._plan.folder} has this run of {recorder.set_name} already",
                f"name another folder, or remove its files first: {recorder.set_name}-{epoch}-*.parquet",
            )

    def run(self, goes_on: Callable[[], bool]) -> Iterator[None]:
        """Record while `goes_on` says so; it pauses now and then."""
        playback = self._playback
        if self._from_ns is not None:
            while playback.next_ns is not None and playback.next_ns < self._from_ns:
                playback.play(self._from_ns - 1)
                if not goes_on():
                    return
            self._attach("now")
        number = 0
        while playback.next_ns is not None:
            playback.play_one()
            self._attach("oldest")
            for player in playback.players:
                self._read_if_due(player)
            number += 1
            if number % TEND_FRAMES == 0:
                self._tend()
                yield
                if not goes_on():
                    return
        for name in self._sources:
            self._read(name)

    @property
    def groups(self) -> int:
        """Groups of deltas that were read so far."""
        return sum(source.groups for source in self._sources.values())

    def _epoch_of(self, name: str, epoch: int) -> int:
        return self._epochs[name, epoch]

    def _attach(self, start: Start) -> None:
        for player in self._playback.players:
            name = player.head.set_name
            if name not in self._sources:
                recorder, symbols = self.recorders[name], self._symbols[name]
                self._sources[name] = SetSource(self._directory, recorder, symbols, start, partial(self._epoch_of, name))

    def _read_if_due(self, player: Player) -> None:
        name, outlet = player.head.set_name, player.outlet
        source = self._sources[name]
        reset = outlet.deltas.after_reset
        if reset != self._resets.get(name, 0) or source.unread(outlet.deltas.published, outlet.trades.published) >= READ_AT:
            self._resets[name] = reset
            self._read(name)

    def _read(self, name: str) -> None:
        source = self._sources[name]
        while source.poll(clock.monotonic_ns()):
            pass

    def _tend(self) -> None:
        now_ns = clock.monotonic_ns()
        for player in self._playback.players:
            player.outlet.beat(now_ns, player.now_ns)
        for source in self._sources.values():
            source.tend(now_ns)

    def _player(self, head: Head) -> Player:
        name = head.set_name
        if name in self._sources:
            self._read(name)  # what its former run has left

        def outlet(symbols: Sequence[str]) -> Outlet:
            made = Outlet(self._directory, name, head.exchange, symbols, RING_RECORDS, clock.monotonic_ns(), replay=True)
            self._epochs[name, made.epoch] = head.run_ns // SECOND_NS
            self._resets[name] = 0
            return made

        return Player(head, outlet, lambda *_: None, self._symbols[name] or ())

    def _damaged(self, path: Path, what: str) -> None:
        self._report("warning", f"{path}: {what}")

    def close(self) -> None:
        """End the recording, and wait for its files. StorageError where not all could be written."""
        failures: list[AlphapulseError] = []
        for name, recorder in self.recorders.items():
            source = self._sources.get(name)
            try:
                if source is None:
                    recorder.close()
                else:
                    source.close()
            except AlphapulseError as problem:
                failures.append(problem)
        self._opened.close()
        if failures:
            raise failures[0]
