"""Captures of a collector: the recorder of one, from the first request to the last frame, its counters, and its last frames when asked."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from alphapulse_cli.edges import background
from alphapulse_cli.edges.capture import files, keeping, last_frames
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import CapturePlan, LastBounds
from alphapulse_cli.edges.capture.last_frames import LastFrames
from alphapulse_cli.edges.capture.recorder import Recorder, public_url
from alphapulse_cli.edges.capture.rolling import RollingFiles, Totals
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.private import private_directory

WITH_IT = "what it kept went with it; `alphapulse collect --capture DIR` keeps all on disk"
FETCHED_WITHIN_S = 60.0  # files that nobody took away by then are removed

Report = Callable[[str, str], None]


@contextlib.contextmanager
def recording(plan: CapturePlan | None, head: Head, report: Report, last: LastBounds | None = None) -> Iterator[Recorder | None]:
    """Context of a running collection's recorder, closed at the end; None without a plan and without `last` frames to keep.

    StorageError for an unusable folder.
    """
    if plan is None and last is None:
        yield None
        return
    kept = LastFrames(last, head, clock.monotonic_ns()) if last is not None else None
    recorder = Recorder(_files(plan, report) if plan is not None else None, head, kept)
    reason = "ended"
    try:
        yield recorder
    except Exception as error:
        reason = f"failed: {error}"
        raise
    finally:
        recorder.close(reason)


def _files(plan: CapturePlan, report: Report) -> RollingFiles:
    return RollingFiles(
        files.open_folder(Path(plan.folder)),
        _in_the_loop(report),
        keeping.rotation(plan.rotate),
        keeping.least_free(plan.least_free),
        keeping.keep(plan.keep),
    )


class LastFramesWriter:
    """Writer of what a collector's last frames are now, as files that whoever asked for them takes away. Close it at the end.

    The files lie in a private folder of the segments' directory, which both sides can see, and for a minute at most.
    """

    def __init__(self, recorder: Recorder | None, shm_dir: Path) -> None:
        self._recorder, self._shm_dir = recorder, shm_dir
        self._stack = contextlib.ExitStack()
        self._folder: Path | None = None
        self._timers: dict[Path, asyncio.TimerHandle] = {}
        self._is_closed = False

    async def write(self) -> list[str]:
        """Write a file; its path from the segments' directory on, and what is to be said of it. UsageError without last frames; StorageError."""
        last = self._recorder.last if self._recorder is not None else None
        if last is None:
            raise UsageError("this collector keeps no last frames", "start it without --last-frames off")
        try:
            if self._folder is None:
                self._folder = self._stack.enter_context(private_directory(str(self._shm_dir), "last")).path
            folder = Path(tempfile.mkdtemp(dir=self._folder))
        except OSError as error:
            raise StorageError(
                f"the collector cannot make a folder for the last frames in {self._shm_dir}: {error.strerror or error}",
                "ask again; `alphapulse segments` says whether the collector has ended meanwhile",
            ) from None
        self._timers[folder] = asyncio.get_running_loop().call_later(FETCHED_WITHIN_S, self._remove, folder)
        parts = last.parts()
        try:
            path = await background.call(last_frames.write, parts, folder)
        except StorageError as error:
            raise StorageError("the collector ended while it was asked", WITH_IT) if self._is_closed else error from None
        finally:
            last.written()
        return [str(path.relative_to(self._shm_dir)), *last.remarks(parts)]

    def _remove(self, folder: Path) -> None:
        self._timers.pop(folder).cancel()
        shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the files."""
        self._is_closed = True
        for folder in list(self._timers):
            self._remove(folder)
        self._stack.close()


def head_of(exchange: str, mode: str, depth: int, channels: tuple[str, ...], set_name: str, url: str) -> Head:
    """Make the head of a set's capture, without its instruments."""
    return Head(exchange, mode, depth, channels, set_name, public_url(url), clock.realtime_ns())


def publish(totals: Totals, block: CounterBlock) -> None:
    """Store a capture's figures in the counters of its set."""
    block.set(Counter.CAPTURE_STATE, totals.state)
    block.set(Counter.CAPTURE_ROWS, totals.rows)
    block.set(Counter.CAPTURE_BYTES, totals.bytes_written)
    block.set(Counter.CAPTURE_ROWS_LOST, totals.rows_lost)


def _in_the_loop(report: Report) -> Report:
    """Report from any thread; nothing once the loop has ended."""
    loop = asyncio.get_running_loop()

    def tell(level: str, message: str) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(report, level, message)

    return tell
