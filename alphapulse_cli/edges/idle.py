"""How to wait for the next record is a parameter: fastest and hungriest first.

spin    polls without pause                   a core, for the last fraction of a microsecond
yield   polls, giving way to others           a core, if nobody else wants it
sleep   polls every 200 us                    almost nothing; up to 0.3 ms late
wake    sleeps in the kernel until woken      nothing; a kernel wake-up late (5 ms at most if a wake-up is lost)
"""

import os
import time
from collections.abc import Callable
from typing import Protocol

from alphapulse_cli.errors import UsageError
from alphapulse_cli.shm.ring import RingReader

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
