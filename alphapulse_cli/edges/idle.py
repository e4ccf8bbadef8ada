"""How to wait for the next record is a parameter: fastest and hungriest first.

spin    polls without pause                   a core, for the last fraction of a microsecond
yield   polls, giving way to others           a core, if nobody else wants it
sleep   polls every 200 us                    almost nothing; up to 0.3 ms late
wake    sleeps in the kernel until woken      nothing; a kernel wake-up late (5 ms at most if a wake-up is lost)
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Protocol

from alphapulse_cli.errors import NotASegment, StorageError, UsageError
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.wake import WakePage

SLEEP_S = 200e-6


class Idle(Protocol):
    """A way of waiting."""

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait until the ring has more than was read; False after the timeout, or once the ring has ended."""


class Polling:
    """Looks, pauses, looks again."""

    def __init__(self, pause: Callable[[], object]) -> None:
        self._pause = pause

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait by polling."""
        until = time.monotonic() + timeout_s
        while not reader.lag:
            if time.monotonic() >= until or reader.ended:
                return False
            self._pause()
        return True


class Woken:
    """Sleeps in the kernel on the ring's own word, a few milliseconds at a time."""

    def __init__(self, page: WakePage) -> None:
        self._page = page

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait for the writer's wake-up call."""
        until = time.monotonic_ns() + int(timeout_s * 1e9)
        while not reader.lag:
            left_ns = until - time.monotonic_ns()
            if left_ns <= 0 or reader.ended:
                return False
            self._page.wait(reader, left_ns)
        return True


WAYS = ("spin", "yield", "sleep", "wake")


def idle_strategy(how: str, directory: Directory, set_name: str) -> Idle:
    """The way of waiting of that name; "wake" is "sleep" where the set's wake page cannot be used. UsageError for another name."""
    match how:
        case "spin":
            return Polling(lambda: None)
        case "yield":
            return Polling(os.sched_yield)
        case "sleep":
            return Polling(lambda: time.sleep(SLEEP_S))
        case "wake":
            with contextlib.suppress(NotASegment, StorageError):
                return Woken(WakePage.open(directory, set_name))
            return Polling(lambda: time.sleep(SLEEP_S))
    raise UsageError(f"unknown way of waiting: {how[:20]!r}", f"ways are: {', '.join(WAYS)}")
