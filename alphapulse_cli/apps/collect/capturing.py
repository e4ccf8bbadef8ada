"""Captures of a collector: the recorder of one, from the first request to the last frame, and its counters."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from alphapulse_cli.edges.capture import files, keeping
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import CapturePlan
from alphapulse_cli.edges.capture.recorder import Recorder, public_url
from alphapulse_cli.edges.capture.rolling import RollingFiles, Totals
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter

Report = Callable[[str, str], None]


@contextlib.contextmanager
def recording(plan: CapturePlan | None, head: Head, report: Report) -> Iterator[Recorder | None]:
    """Context of a running collection's recorder, closed at the end; None without a plan. StorageError for an unusable folder."""
    if plan is None:
        yield None
        return
    folder = files.open_folder(Path(plan.folder))
    rolling = RollingFiles(
        folder,
        _in_the_loop(report),
        keeping.rotation(plan.rotate),
        keeping.least_free(plan.least_free),
        keeping.keep(plan.keep),
    )
    recorder = Recorder(rolling, head)
    reason = "ended"
    try:
        yield recorder
    except Exception as error:
        reason = f"failed: {error}"
        raise
    finally:
        recorder.close(reason)


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
