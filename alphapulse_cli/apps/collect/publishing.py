"""A writer's duties to its readers, whatever feeds it: a heartbeat, latencies, checkpoints.

`collect` feeds it from an exchange, a replay from a capture.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock

BEAT_S = 0.1


def after_frame(outlet: Outlet) -> Callable[[int], None]:
    """The function to call once a frame's records are published: it counts their latency and makes the checkpoints that were asked for."""
    record, serve_checkpoints, realtime_ns = outlet.counters.publish_latency.record, outlet.serve_checkpoints, clock.realtime_ns

    def count(receive_ns: int) -> None:
        now_ns = realtime_ns()
        if receive_ns:
            record(now_ns - receive_ns)
        serve_checkpoints(now_ns)

    return count


@contextlib.asynccontextmanager
async def published(outlet: Outlet, look: Callable[[], None]) -> AsyncIterator[None]:
    """Beat, and call `look`, while the body runs. StorageError, the body broken off, where a segment's file was cut short."""
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
