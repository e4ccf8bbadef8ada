"""Recording of live rings, or of those that a running `replay` writes: all wanted sets, those that appear later too."""

from collections.abc import Callable, Iterator
from pathlib import Path

from alphapulse_cli.apps.record.plan import RecordPlan, Report
from alphapulse_cli.apps.record.source import SetSource
from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.streams import open_folder
from alphapulse_cli.errors import AlphapulseError, StorageError
from alphapulse_cli.flow.groups import POLL_RECORDS, Start
from alphapulse_cli.readers.selection import settled
from alphapulse_cli.readers.sets import Observe, SetReaders
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory

Recorders = dict[str, Recorder]
PAUSE_NS = 500_000_000
GATHER_NS = 10_000_000  # pause in which records gather, as nobody waits for a file: hundreds at once cost a fraction of one by one


class LiveRecording:
    """Recording of the wanted sets of a directory. NoSegment if none of them is there; WriterAlive, StorageError. Close it.

    A set that appears while it runs is recorded from the oldest record of its ring on.
    """

    def __init__(
        self,
        plan: RecordPlan,
        directory: Directory,
        report: Report,
        start: Start = "now",
        how: str = "wake",
        observe: Observe | None = None,
    ) -> None:
        self._plan, self._directory, self._report = plan, directory, report
        self.recorders: Recorders = {}
        self._refused: set[str] = set()
        self._goes_on: Callable[[], bool] = lambda: True
        self._paused_ns = 0
        self._wanted = settled(directory, plan.wanted)
        open_folder(Path(plan.folder))  # where a set's reader fails it is tried again, and this would fail for ever
        self._sets: SetReaders[SetSource] = SetReaders(directory, self._wanted, self._attach, start=start, how=how, observe=observe)

    def _attach(self, name: str, exchange: str, start: Start) -> SetSource:
        recorder = self.recorders.get(name)
        if recorder is None:
            try:
                recorder = self._plan.recorder(exchange, name, self._report)
            except StorageError as problem:
                if name not in self._refused:
                    self._refused.add(name)
                    self._report("warning", f"{name} is not recorded: {problem}")
                raise
        try:
            made = SetSource(self._directory, recorder, self._wanted.symbols_of(name, exchange), start)
        except AlphapulseError:
            if name not in self.recorders:
                recorder.close()
            raise
        self.recorders[name] = recorder
        return made

    @property
    def sources(self) -> list[SetSource]:
        """Sources of the sets that are recorded now."""
        return list(self._sets.readers.values())

    @property
    def groups(self) -> int:
        """Groups of deltas that were read so far."""
        return sum(source.groups for source in self.sources)

    def run(self, goes_on: Callable[[], bool], duration_s: float | None = None) -> Iterator[None]:
        """Record while `goes_on` says so, or for `duration_s` seconds, and then what has been published by then; it pauses now and then."""
        self._goes_on = goes_on
        for _ in self._sets.items(self._read, duration_s):
            if not goes_on():
                break
            yield
        for source in self.sources:
            until = source.ring.published()
            while source.ring.position < until and source.poll(clock.monotonic_ns()):
                source.tend(clock.monotonic_ns())

    def _read(self, now_ns: int) -> list[None]:
        read = most = 0
        for source in self.sources:
            count = source.poll(now_ns)
            source.tend(now_ns)
            read, most = read + count, max(most, count)
        if read and most < POLL_RECORDS:
            clock.pause(GATHER_NS)
        if read or now_ns - self._paused_ns >= PAUSE_NS or not self._goes_on():  # where nothing comes, too, it may have to end
            self._paused_ns = now_ns
            return [None]
        return []

    def close(self) -> None:
        """End the recording, and wait for its files. StorageError where not all could be written."""
        failures: list[AlphapulseError] = []
        for source in self.sources:
            try:
                source.close()
            except AlphapulseError as problem:
                failures.append(problem)
        if failures:
            raise failures[0]
