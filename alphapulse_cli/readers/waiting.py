"""How to wait for the next record is a parameter: fastest and hungriest first.

spin    polls without pause                   a core, for the last fraction of a microsecond
yield   polls, giving way to others           a core, if nobody else wants it
sleep   polls every 200 us                    almost nothing; up to 0.3 ms late
wake    sleeps in the kernel until woken      nothing; a kernel wake-up late (5 ms at most if a wake-up is lost)

`Waiting` waits for any of several rings. The kernel wakes for one word only, so of several rings "wake" is "sleep".
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from alphapulse_cli.errors import NotASegment, StorageError, UsageError
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.wake import WakePage

SLEEP_S = 200e-6
ENDED_PAUSE_S = 0.02  # a ring that has ended brings nothing more: its successor is looked for this often


class Idle(Protocol):
    """A way of waiting."""

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait until the ring has more than was read; False after the timeout, or once the ring has ended.

        SegmentGone where its file was found cut short after a wait in vain.
        """


class Polling:
    """Looks, pauses, looks again."""

    def __init__(self, pause: Callable[[], object]) -> None:
        self._pause = pause

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait by polling."""
        until = time.monotonic() + timeout_s
        while not reader.lag:
            if time.monotonic() >= until or reader.ended:
                reader.segment.require_whole()
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
                reader.segment.require_whole()
                return False
            self._page.wait(reader, left_ns)
        return True


WAYS = ("spin", "yield", "sleep", "wake")


class Waiting:
    """Waits for any of some rings, each known by its set's name; rings may come and go between calls. UsageError for an unknown way."""

    def __init__(self, how: str, directory: Directory) -> None:
        if how not in WAYS:
            raise _unknown(how)
        self._how, self._directory = how, directory
        self._alone: tuple[RingReader, Idle] | None = None  # of one ring, as long as it is the only one
        self._pause = _PAUSES.get(how, _nap)

    def wait(self, readers: Mapping[str, RingReader], timeout_s: float) -> bool:
        """Whether any ring has more than was read; waits at most `timeout_s` for it, and shortly where no ring can bring more."""
        going = {name: reader for name, reader in readers.items() if not reader.ended}
        if len(going) < len(readers) or not going:
            timeout_s = min(timeout_s, ENDED_PAUSE_S)
        if len(going) == 1:
            ((name, reader),) = going.items()
            if self._alone is None or self._alone[0] is not reader:
                self._alone = reader, idle_strategy(self._how, self._directory, name)
            return self._alone[1].wait(reader, timeout_s)
        until = time.monotonic() + timeout_s
        while not any(reader.lag for reader in going.values()):
            if time.monotonic() >= until:
                for reader in going.values():
                    reader.segment.require_whole()
                return False
            (self._pause if going else _nap)()
        return True


def _nap() -> None:
    time.sleep(SLEEP_S)


_PAUSES: dict[str, Callable[[], object]] = {"spin": lambda: None, "yield": os.sched_yield}


def idle_strategy(how: str, directory: Directory, set_name: str) -> Idle:
    """The way of waiting of that name; "wake" is "sleep" where the set's wake page cannot be used. UsageError for another name."""
    if how not in WAYS:
        raise _unknown(how)
    if how == "wake":
        with contextlib.suppress(NotASegment, StorageError):
            return Woken(WakePage.open(directory, set_name))
    return Polling(_PAUSES.get(how, _nap))


def _unknown(how: str) -> UsageError:
    return UsageError(f"unknown way of waiting: {how[:20]!r}", f"ways are: {', '.join(WAYS)}")
