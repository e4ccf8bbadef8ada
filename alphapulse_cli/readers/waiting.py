"""Ways to wait for the next record, from the fastest, which costs the most, to the cheapest.

        how it waits                          cost and delay
spin    polls without pause                   a whole core; no delay
yield   polls, giving way to others           a core, if no other process wants it
sleep   polls every 200 us                    almost no CPU; up to 0.3 ms late
wake    sleeps in the kernel until woken      no CPU; late by a kernel wake-up (at most 5 ms if a wake-up is lost)

`Waiting` waits for any of several rings; where the kernel wakes for one word only (before Linux 5.16) "wake" then behaves as "sleep".
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from alphapulse_cli.errors import NotASegment, StorageError, UsageError
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.shm.wake import Sleepers, WakePage

SLEEP_S = 200e-6
ENDED_PAUSE_S = 0.02  # pause between looks for the successor of a ring that has ended


class Idle(Protocol):
    """A way of waiting."""

    def wait(self, reader: RingReader, timeout_s: float) -> bool:
        """Wait until the ring has unread records; False after `timeout_s` seconds, or once the ring has ended.

        SegmentGone if its file turns out to be cut short after a wait without a record.
        """


class Polling:
    """Polling of the ring with a pause between looks."""

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
    """Sleep in the kernel on the ring's wake word, a few milliseconds at a time."""

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
    """Wait for any of several rings, by the names of their sets; rings may come and go between calls.

    UsageError for an unknown way.
    """

    def __init__(self, how: str, directory: Directory) -> None:
        if how not in WAYS:
            raise _unknown(how)
        self._how, self._directory = how, directory
        self._alone: tuple[RingReader, Idle] | None = None  # the way of waiting for the only ring that has not ended
        self._pause = _PAUSES.get(how, _nap)
        self._asleep = Sleepers(())  # the rings of the last wait, each with its set's wake page

    def wait(self, readers: Mapping[str, RingReader], timeout_s: float) -> bool:
        """Wait at most `timeout_s` seconds until any ring has unread records, and say whether; shortly where a ring has ended."""
        going = {name: reader for name, reader in readers.items() if not reader.ended}
        if len(going) < len(readers) or not going:
            timeout_s = min(timeout_s, ENDED_PAUSE_S)
        if len(going) == 1:
            (reader,) = going.values()
            if self._alone is None or self._alone[0] is not reader:
                self._alone = reader, idle_strategy(self._how, self._directory, reader.segment.spec.set_name)
            return self._alone[1].wait(reader, timeout_s)
        until = time.monotonic() + timeout_s
        sleepers = self._sleepers(going)
        while not any(reader.lag for reader in going.values()):
            left_s = until - time.monotonic()
            if left_s <= 0:
                for reader in going.values():
                    reader.segment.require_whole()
                return False
            if sleepers is not None:
                sleepers.wait(int(left_s * 1e9))
                if any(reader.ended for reader in going.values()):
                    return any(reader.lag for reader in going.values())
            else:
                (self._pause if going else _nap)()
        return True

    def _sleepers(self, readers: Mapping[str, RingReader]) -> Sleepers | None:
        """Each ring with its set's wake page; None where we do not sleep, or a page cannot be used."""
        if self._how != "wake" or not readers:
            return None
        known = [id(reader) for _, reader in self._asleep.pairs]
        if known != [id(reader) for reader in readers.values()]:
            self._asleep = Sleepers(())
            with contextlib.suppress(NotASegment, StorageError):
                pages = [WakePage.open(self._directory, one.segment.spec.set_name) for one in readers.values()]
                self._asleep = Sleepers(list(zip(pages, readers.values(), strict=True)))
        return self._asleep if self._asleep.pairs else None


def _nap() -> None:
    time.sleep(SLEEP_S)


_PAUSES: dict[str, Callable[[], object]] = {"spin": lambda: None, "yield": os.sched_yield}


def idle_strategy(how: str, directory: Directory, set_name: str) -> Idle:
    """Make the way of waiting of that name; "wake" becomes "sleep" where the set's wake page cannot be used.

    UsageError for another name.
    """
    if how not in WAYS:
        raise _unknown(how)
    if how == "wake":
        with contextlib.suppress(NotASegment, StorageError):
            return Woken(WakePage.open(directory, set_name))
    return Polling(_PAUSES.get(how, _nap))


def _unknown(how: str) -> UsageError:
    return UsageError(f"unknown way of waiting: {how[:20]!r}", f"ways are: {', '.join(WAYS)}")
