"""Consumer loop of all readers: attach to all wanted sets, stay attached, read, wait.

    directory ─► look, twice a second ─► attach to the sets that are new ─► readers, by set name ─► read ─► items
                                                                               ▲                      │
                                                                               └── wait ◄── nothing new

A set's own reader finds its successor after a restart (`flow.groups`). A set that appears later is read from the oldest record its
ring holds. A set whose files were cut short under its reader can be dropped: the next look attaches to the files that have its name
then.

A program supplies `attach` and `read`:

    sets = SetReaders(directory, Wanted.of(["kraken"], None), lambda name, _exchange, start: SetFollower(directory, name,
    start=start)) for item in sets.items(lambda now_ns: [one for follower in sets.readers.values() for one in what_you_do(follower,
    now_ns)]):
        …
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from alphapulse_cli.errors import AlphapulseError, SegmentError, StorageError
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.readers.selection import Wanted, find_sets, nothing_wanted
from alphapulse_cli.readers.waiting import Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader

LOOK_EVERY_NS = 500_000_000
LONGEST_WAIT_S = 0.25


class SetReader(Protocol):
    """A reader of one set: a GroupReader, a SetFollower, or a program's own around one of them."""

    @property
    def ring(self) -> RingReader:
        """The ring that is waited for."""

    def close(self) -> None:
        """Remove the cursor."""


Reader = TypeVar("Reader", bound=SetReader)
Item = TypeVar("Item")
Attach = Callable[[str, str, Start], Reader]  # (set name, its exchange, where to start)
Observe = Callable[[Collection[str], int], None]  # (set names, CLOCK_MONOTONIC in ns)


class SetReaders(Generic[Reader]):
    """Readers of all wanted sets that have a ring of that kind, by set name. UsageError for an unknown way of waiting.

    `attach` makes a reader; where it raises SegmentError or StorageError the set is tried again at the next look. `start` is the
    place in the rings that are there now. With `needed`, NoSegment if no wanted set is there. `observe` is called at each later
    look with the names of the sets and CLOCK_MONOTONIC in ns.
    """

    def __init__(
        self,
        directory: Directory,
        wanted: Wanted,
        attach: "Attach[Reader]",
        *,
        kind: SegmentKind = SegmentKind.DELTAS,
        start: Start = "now",
        how: str = "wake",
        needed: bool = True,
        observe: Observe | None = None,
    ) -> None:
        self.readers: dict[str, Reader] = {}
        self._directory, self._wanted, self._kind = directory, wanted, kind
        self._attach = attach
        self._waiting = Waiting(how, directory)
        self._look_after_ns = 0
        self._left_out: set[str] = set()
        self._observe: Observe | None = None
        self.look(clock.monotonic_ns(), start)
        if needed and not self.readers:
            raise nothing_wanted(directory, wanted)
        self._observe = observe

    def look(self, monotonic_ns: int, start: Start = "oldest") -> bool:
        """Attach to new sets, at most twice a second; returns whether it looked. `monotonic_ns` is CLOCK_MONOTONIC now."""
        if monotonic_ns < self._look_after_ns:
            return False
        self._look_after_ns = monotonic_ns + LOOK_EVERY_NS
        self.look_now(start)
        if self._observe is not None:
            self._observe(self.readers.keys(), monotonic_ns)
        return True

    def look_now(self, start: Start = "oldest") -> dict[str, str]:
        """Attach to new sets; returns the exchange by set name of all wanted sets that are there."""
        found = find_sets(self._directory, self._wanted, self._kind)
        for name, exchange in found.items():
            if name not in self.readers and name not in self._left_out:
                with suppress(SegmentError, StorageError):  # gone meanwhile, or replaced at this moment
                    self.readers[name] = self._attach(name, exchange, start)
        return found

    def wait(self, timeout_s: float) -> bool:
        """Wait until any set has more; False after `timeout_s` seconds, or soon where a collector has ended."""
        return self._waiting.wait({name: one.ring for name, one in self.readers.items()}, timeout_s)

    def items(
        self, read: Callable[[int], Sequence[Item]], duration_s: float | None = None, wait_s: float = LONGEST_WAIT_S
    ) -> Iterator[Item | None]:
        """Iterate over the items that `read` finds, without end or for `duration_s` seconds; None after a batch: no more for now.

        `read` gets CLOCK_MONOTONIC in nanoseconds. After a read without items it is called again within `wait_s` seconds.
        """
        end_ns = None if duration_s is None else clock.monotonic_ns() + int(duration_s * 1e9)
        while True:
            now_ns = clock.monotonic_ns()
            self.look(now_ns)
            found = read(now_ns)
            yield from found
            now_ns = clock.monotonic_ns()
            if end_ns is not None and now_ns >= end_ns:
                return
            if found:
                yield None
            else:
                self.wait(wait_s if end_ns is None else min(wait_s, (end_ns - now_ns) / 1e9))

    def drop(self, name: str, *, for_good: bool = False) -> None:
        """Close that set's reader. The next look attaches to the set that has the name then; `for_good` prevents that."""
        one = self.readers.pop(name)
        if for_good:
            self._left_out.add(name)
        with suppress(AlphapulseError, OSError):
            one.close()

    def close(self) -> None:
        """Close all readers, which removes their cursors."""
        for name in list(self.readers):
            self.drop(name)
