"""Reader cursors: one small file a reader, by which other programs show its lag.

The file is `readers/<pid namespace>-<pid>-<start time>-<n>`. The pid alone would not do: the first process of every container is
pid 1, so two readers of one volume would share, and remove, one file.

Only the reader itself writes its file, two words at a time, and it removes it at its end. A reader that was killed leaves it
behind; boot id, pid and start time then show that it is dead, and `sweep` removes it. Reading a ring needs no cursor: without one
the reader is merely not listed. A replay at full speed waits for the readers that have one, so that it laps none of them.
"""

import os
import re
import weakref
from contextlib import suppress
from itertools import count as counting
from typing import NamedTuple, Self

from alphapulse_cli.errors import NoSegment, SegmentError
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import READERS, Directory, parse_segment_name, storage_error
from alphapulse_cli.shm.identity import Identity, my_identity, pid_namespace, process_is_alive
from alphapulse_cli.shm.mapping import Mapping, Words
from alphapulse_cli.shm.segment import Segment, allocate

CURSOR_BYTES = 512
CURSOR_MAGIC = int.from_bytes(b"alphacur", "little")
NAME_PATTERN = re.compile(r"[0-9]{1,20}(-[0-9]{1,20}){3}|[0-9]{1,10}-[0-9]{1,10}")  # the second: <pid>-<n>, of readers up to 0.1
# (offset, bytes): text and identity first, then the two words that change, on cache lines of their own
CURSOR_FIELDS = {
    "magic": (0, 8),
    "pid": (8, 8),
    "start_time": (16, 8),
    "pid_namespace": (24, 8),
    "boot_id": (32, 16),
    "epoch": (48, 8),
    "opened_ns": (56, 8),
    "segment": (64, 64),
    "label": (128, 32),
    "position": (256, 8),
    "missed": (264, 8),
}
_WORD = {name: offset // 8 for name, (offset, size) in CURSOR_FIELDS.items() if size == 8}
_POSITION, _MISSED = _WORD["position"], _WORD["missed"]
_OPENED = counting()
UNCERTAIN_NS = 2_000_000_000


class CursorInfo(NamedTuple):
    """Contents of a reader's cursor file, and whether its process is alive."""

    name: str
    who: Identity
    segment: str
    epoch: int
    label: str  # the command: "tail deltas"
    opened_ns: int  # CLOCK_REALTIME
    position: int  # sequence of the next record to read
    missed: int  # records since it attached
    alive: bool


class AttachedReaders:
    """Readers of one ring as its writer sees them. A replay at full speed waits for the slowest, a collector for none."""

    def __init__(self, directory: Directory, ring: Segment) -> None:
        self._directory, self._name, self._epoch = directory, ring.name, ring.epoch
        self._moved: dict[
            str, tuple[int, int]
        ] = {}  # cursor of an uncertain reader -> (position, CLOCK_MONOTONIC of its last move)

    def slowest(self, monotonic_ns: int) -> CursorInfo | None:
        """Reader whose next record is the oldest; None without readers.

        It reads a file of each reader, about 0.1 ms each: while fewer records than the capacity were published since its `position`, nobody is
        lapped and no new look is needed. A reader that still reads a former ring of that name is at 0 of this one. Dead readers do
        not count; of another pid namespace, where that cannot be known, those that have not moved for UNCERTAIN_NS.
        """
        return min(self.all(monotonic_ns), key=lambda one: one.position, default=None)

    def all(self, monotonic_ns: int) -> list[CursorInfo]:
        """Readers that `slowest` chooses from."""
        mine = pid_namespace()
        attached = []
        for info in list_cursors(self._directory):
            if info.segment != self._name or not info.alive or info.epoch > self._epoch:
                continue
            here = info if info.epoch == self._epoch else info._replace(position=0)
            if info.who.pid_namespace == mine or self._has_moved(info, monotonic_ns):
                attached.append(here)
        return attached

    def _has_moved(self, info: CursorInfo, monotonic_ns: int) -> bool:
        position, moved_ns = self._moved.get(info.name, (-1, 0))
        if position != info.position:
            self._moved[info.name] = info.position, monotonic_ns
            return True
        return monotonic_ns - moved_ns < UNCERTAIN_NS


class Cursor:
    """Cursor file of this reader. Close it, or use it in a `with`; an orderly exit of the process removes it too."""

    def __init__(self, directory: Directory, segment_name: str, epoch: int, label: str) -> None:
        """Create the file. StorageError where that fails: the reader can go on without a cursor."""
        who = my_identity()
        readers = directory.subdirectory(READERS, create=True)
        name = f"{who.pid_namespace}-{who.pid}-{who.start_time}-{next(_OPENED)}"
        self._memory = _made(readers, name)
        self._words = Words(self._memory)
        numbers = zip(("pid", "start_time", "pid_namespace"), who[1:], strict=True)
        for field, value in (*numbers, ("epoch", epoch), ("opened_ns", clock.realtime_ns())):
            self._words.store_relaxed(_WORD[field], value)
        texts = {"boot_id": who.boot_id, "segment": segment_name.encode("ascii"), "label": label.encode("ascii", "replace")}
        for field, octets in texts.items():
            start, size = CURSOR_FIELDS[field]
            self._memory[start : start + min(size, len(octets))] = octets[:size]
        self._words.store_release(0, CURSOR_MAGIC)
        self.close = weakref.finalize(self, _remove, readers, name, who.pid)

    def update(self, position: int, missed: int) -> None:
        """Store the sequence of the next record to read, and the number of records missed since the reader attached."""
        self._words.store_relaxed(_POSITION, position)
        self._words.store_relaxed(_MISSED, missed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def list_cursors(directory: Directory) -> list[CursorInfo]:
    """All readers with a cursor file, dead ones too (`alive` says)."""
    with suppress(NoSegment), directory.subdirectory(READERS, create=False) as readers:
        return [info for name in readers.names() if (info := _read(readers, name)) is not None]
    return []


def sweep_cursors(directory: Directory) -> list[str]:
    """Remove the cursor files of dead readers; the names removed."""
    with suppress(NoSegment), directory.subdirectory(READERS, create=False) as readers:
        dead = [info.name for name in readers.names() if (info := _read(readers, name)) is not None and not info.alive]
        for name in dead:
            readers.unlink(name)
        return dead
    return []


def _made(readers: Directory, name: str) -> Mapping:
    try:
        readers.unlink(name)  # left by a process of the same pid and start time, of another boot or machine
        fd = readers.open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            allocate(fd, CURSOR_BYTES)
            return Mapping(fd, CURSOR_BYTES, writable=True)
        except BaseException:
            readers.unlink(name)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(error, f"create {readers.path / name}") from None


def _remove(readers: Directory, name: str, pid: int) -> None:
    with suppress(OSError), readers:
        if pid == os.getpid():  # a forked child inherits this exit handler: it must not remove its parent's file
            readers.unlink(name)


def _read(readers: Directory, name: str) -> CursorInfo | None:
    """Contents of a cursor file; None for another file, or one that is not finished."""
    if not NAME_PATTERN.fullmatch(name):
        return None
    try:
        fd = readers.open_file(name)
    except (OSError, SegmentError):
        return None
    try:
        octets = os.pread(fd, CURSOR_BYTES, 0)
    finally:
        os.close(fd)
    words = memoryview(octets).cast("Q") if len(octets) == CURSOR_BYTES else [0]
    segment = _text(octets, "segment")
    if words[0] != CURSOR_MAGIC or parse_segment_name(segment) is None:
        return None
    start, size = CURSOR_FIELDS["boot_id"]
    who = Identity(octets[start : start + size], *(words[_WORD[field]] for field in ("pid", "start_time", "pid_namespace")))
    return CursorInfo(
        name,
        who,
        segment,
        words[_WORD["epoch"]],
        _text(octets, "label"),
        words[_WORD["opened_ns"]],
        words[_POSITION],
        words[_MISSED],
        process_is_alive(who),
    )


def _text(octets: bytes, field: str) -> str:
    start, size = CURSOR_FIELDS[field]
    return octets[start : start + size].rstrip(b"\0").decode("ascii", "backslashreplace")
