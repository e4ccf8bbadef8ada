"""Pace of a reader in an event loop: when it looks at its rings again.

    slow:  a thread sleeps in the kernel ─► a record ─► one call in the loop ─► look
    busy:  look, rest JOIN_S, look, …: what falls due within a rest is read, and written, at once; the thread is left out

A reader is busy from a record that comes within JOIN_S of the last batch until a look that finds nothing.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto

from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.ring import RingReader

JOIN_S = 0.001
JOIN_NS = 1_000_000
LONGEST_WAIT_S = 0.05


class Outcome(Enum):
    """Outcome of a look."""

    NOTHING = auto()
    READ = auto()
    MORE = auto()  # a ring holds more than one look takes


class Pace:
    """Caller of `look` in the loop, as long as `run` runs; `rings` gives those to wait for, in one way of waiting.

    `look` gets the time at which the sleeping thread saw a record (CLOCK_MONOTONIC in ns), 0 where it did not sleep, and is called
    LONGEST_WAIT_S after the last time at the latest.
    """

    def __init__(self, look: Callable[[int], Outcome], rings: Callable[[], list[RingReader]], waiting: Waiting) -> None:
        self._look, self._rings = look, rings
        self._sleeper = Sleeper(waiting)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed: asyncio.Future[None] | None = None
        self._next: asyncio.Handle | None = None  # the look that the loop itself has arranged
        self._is_busy = False
        self._read_ns = 0  # when the last batch had been read and handed out

    async def run(self) -> None:
        """Look for ever. An exception of `look` ends it."""
        self._loop = asyncio.get_running_loop()
        self._failed = self._loop.create_future()
        try:
            self._step()
            self._sleeper.start(self._loop, self._called)
            await self._failed
        finally:
            if self._next is not None:
                self._next.cancel()

    def _called(self, woken_ns: int) -> None:
        """Take the thread's call: look, unless a look is arranged or the last batch is too fresh. Only a look answers it."""
        assert self._loop is not None
        assert self._failed is not None
        if self._failed.done():
            return
        left_ns = self._read_ns + JOIN_NS - clock.monotonic_ns()
        if woken_ns and (left_ns > 0 or self._next is not None):
            self._is_busy = True
            if self._next is None:
                self._next = self._loop.call_later(left_ns / 1e9, self._step)
        elif self._next is None:
            self._step(woken_ns)

    def _step(self, woken_ns: int = 0) -> None:
        assert self._loop is not None
        assert self._failed is not None
        if self._failed.done():
            return
        self._next = None
        if not self._is_busy:
            self._sleeper.answer()
        try:
            outcome = self._look(woken_ns)
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self._failed.set_exception(error)
            return
        self._sleeper.rings = self._rings()
        if outcome is Outcome.NOTHING:
            if self._is_busy:
                self._is_busy = False
                self._sleeper.answer()  # it is behind what was read meanwhile, and looks at once
            return
        self._read_ns = clock.monotonic_ns()  # not its begin: clients' tasks have their turn, however long a look takes
        if outcome is Outcome.MORE:
            self._next = self._loop.call_soon(self._step)
        elif self._is_busy:
            self._next = self._loop.call_later(JOIN_S, self._step)

    def close(self) -> None:
        """End the sleeping thread."""
        self._sleeper.close()


class Sleeper:
    """Thread that waits for rings in the loop's stead, and calls the loop where one has more.

    It has positions of its own, so the loop need not tell it what was read. Between a call and its answer it calls no second time.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.rings: Sequence[RingReader] = ()  # those to wait for; the loop replaces them
        self._waiting = waiting
        self._mine: dict[str, RingReader] = {}  # readers of the same rings, at the end of what the loop was called for
        self._unanswered = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def start(self, loop: asyncio.AbstractEventLoop, called: Callable[[int], None]) -> None:
        """Begin: `called` is called in that loop with the time of seeing a record (CLOCK_MONOTONIC in ns), or with 0 after a vain wait."""
        name, arguments = "alphapulse serve: waits for rings", (loop, called)
        self._thread = threading.Thread(target=self._work, args=arguments, name=name, daemon=True)
        self._thread.start()

    def answer(self) -> None:
        """Answer a call: for what is published from now on there is another."""
        if self._unanswered.locked():
            self._unanswered.release()

    def _work(self, loop: asyncio.AbstractEventLoop, called: Callable[[int], None]) -> None:
        while not self._is_closed:
            seen_ns = 0
            with suppress(AlphapulseError, OSError):  # the look finds out what it is
                seen_ns = self._wait()
            self._unanswered.acquire()
            try:
                loop.call_soon_threadsafe(called, seen_ns)
            except RuntimeError:  # the loop was closed
                return

    def _wait(self) -> int:
        rings = self.rings
        if [one.segment for one in self._mine.values()] != [one.segment for one in rings]:
            self._mine = {str(number): RingReader(one.segment, one.position) for number, one in enumerate(rings)}
        if not self._waiting.wait(self._mine, LONGEST_WAIT_S):
            return 0
        seen_ns = clock.monotonic_ns()
        for one in self._mine.values():
            one.seek(max(one.published(), one.position))
        return seen_ns

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self.answer()
        if self._thread is not None:
            self._thread.join(1.0)
