"""Duties of a writer to its readers: heartbeats, latency counters, checkpoints. They do not depend on the source of its frames."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock

BEAT_S = 0.1


def after_frame(outlet: Outlet) -> Callable[[int], None]:
    """Make the function to call after a frame's records are published: it records their latency and serves requested checkpoints.

    Its argument is the frame's receive time in ns since 1970, or 0 without a frame.
    """
    record, serve_checkpoints, realtime_ns = outlet.counters.publish_latency.record, outlet.serve_checkpoints, clock.realtime_ns

    def count(receive_ns: int) -> None:
        now_ns = realtime_ns()
        if receive_ns:
            record(now_ns - receive_ns)
        serve_checkpoints(now_ns)

    return count


@contextlib.asynccontextmanager
async def published(outlet: Outlet, look: Callable[[], None]) -> AsyncIterator[None]:
    """Send heartbeats, and call `look`, every BEAT_S while the body runs.

    StorageError, after cancelling it, if a segment was cut short.
    """
    body, failures = asyncio.current_task(), list[StorageError]()
    assert body is not None

    async def beat() -> None:
        try:
            while True:
                outlet.beat(clock.monotonic_ns())
                look()
                await asyncio.sleep(BEAT_S)
        except StorageError as error:
            failures.append(error)
            body.cancel()

    task = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if not failures:
            raise
        body.uncancel()
        raise failures[0] from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
