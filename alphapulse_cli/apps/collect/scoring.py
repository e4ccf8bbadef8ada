"""Scores of a running set: brought up to date with the heartbeat, checkpoints written by a thread.

What goes wrong with them ends the scores, with a notice, and never the collection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.flow.scores import Scorekeeper
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.scores import ScoresWriter


@contextlib.asynccontextmanager
async def scored(outlet: Outlet, notice: Notice) -> AsyncIterator[Callable[[], None]]:
    """Keep the scores of an outlet, to which no book may belong yet, while the body runs; it gets what to call with each heartbeat."""
    try:
        now_ns = clock.monotonic_ns()
        file = ScoresWriter(outlet.directory, outlet.set_name, outlet.exchange, outlet.epoch, now_ns)
    except StorageError as error:
        notice("warning", f"no feed scorecards: {error}")
        yield lambda: None
        return
    outlet.scores = Scorekeeper(file, outlet.counters, clock.monotonic_ns)
    scoring = Scoring(outlet.scores, notice)
    try:
        yield scoring.beat
    except StorageError:
        if not outlet.counters.block().get(Counter.FRAMES):  # there was no room for the set
            file.discard()
            scoring.give_up()
        raise
    finally:
        await scoring.close()


class Scoring:
    """Scoring of one set, until it is closed or fails."""

    def __init__(self, keeper: Scorekeeper, notice: Notice) -> None:
        self._keeper, self._notice = keeper, notice
        self._works = True
        self._checkpoint: asyncio.Task[None] | None = None

    def beat(self) -> None:
        """Bring the scores up to date, and begin a checkpoint where one is due."""
        if not self._works:
            return
        now_ns = clock.monotonic_ns()
        try:
            self._keeper.beat(now_ns)
        except StorageError as error:
            self._fail(error)
            return
        if self._keeper.file.is_due(now_ns) and (self._checkpoint is None or self._checkpoint.done()):
            self._checkpoint = asyncio.create_task(self._take(now_ns))

    async def _take(self, now_ns: int) -> None:
        try:
            await asyncio.to_thread(self._keeper.file.checkpoint, now_ns)
        except StorageError as error:
            self._notice("warning", f"feed scorecards without a checkpoint of this moment: {error}")

    async def close(self) -> None:
        """Bring the scores up to date for the last time. What a checkpoint still does is waited for."""
        if self._checkpoint is not None:
            await self._checkpoint
        if self._works:
            try:
                self._keeper.close()
            except StorageError as error:
                self._fail(error)

    def give_up(self) -> None:
        """Keep no scores any more."""
        self._works = False

    def _fail(self, error: StorageError) -> None:
        self._works = False
        self._notice("warning", f"feed scorecards end here: {error}")
