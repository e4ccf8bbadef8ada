"""Lease: the lock file that admits one writer per set, names its holder, and keeps the epoch that grows with every writer.

`<set>.lock` is locked with flock for as long as its holder lives: the kernel frees it at once when a process dies, however it dies.
The file is never unlinked (two processes could then lock two files of one name), and its holder never forks (a child would
inherit the lock): children are spawned. Its text names the holder, for people and for the next writer:

    <pid> <start time> <boot id, hex> <pid namespace> <epoch>

Behind 256 bytes it may have a note of the holder: one line of JSON, the words of its command line that are not in its segments.

Each epoch is larger than the file's last and than those of the set's segments, and not below the seconds since 1970, so that it
grows even where somebody removed the whole directory.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, Self

from alphapulse_cli.errors import NotASegment, SegmentError, StorageError, WriterAlive
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, check_set_name, parse_segment_name, segment_name, storage_error
from alphapulse_cli.shm.identity import Identity, is_stopped, my_identity, pid_namespace, process_is_alive
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment

MAX_TEXT_BYTES, MAX_NOTE_BYTES = 256, 8192
BESIDE_IT = "collect under another name beside it: --as NAME"
MAX_EPOCH = (1 << 62) - 1  # larger numbers are damage: we never write one


class Holder(NamedTuple):
    """Contents of a lock file: the process that holds, or last held, the set, and its epoch."""

    who: Identity
    epoch: int


class Lease:
    """Right to write one set; `epoch` is this writer's own. Release it, or use it in a `with`."""

    def __init__(self, set_name: str, fd: int, epoch: int) -> None:
        self.set_name = set_name
        self.epoch = epoch
        self._fd = fd

    @classmethod
    def acquire(cls, directory: Directory, set_name: str) -> "Lease":
        """Take the set's lock and the next epoch. WriterAlive where another process holds it; StorageError where the files fail."""
        fd = open_lock(directory, set_name, create=True)
        try:
            if not try_lock(fd):
                raise _refusal(directory, set_name, read_holder(fd))  # noqa: TRY301 the descriptor goes with it
            last = read_holder(fd)
            epoch = _next_epoch(directory, set_name, last.epoch if last else 0)
            _write_holder(fd, Holder(my_identity(), epoch))
        except BaseException:
            os.close(fd)
            raise
        return cls(set_name, fd, epoch)

    def note(self, words: Sequence[str]) -> None:
        """Note words of the holder's command line for whoever starts it again; what does not fit, or cannot be written, is left out."""
        text = json.dumps(list(words)).encode() + b"\n"
        if len(text) <= MAX_NOTE_BYTES:
            with suppress(OSError):
                os.pwrite(self._fd, text, MAX_TEXT_BYTES)

    def release(self) -> None:
        """Release the lock for the next writer."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def open_lock(directory: Directory, set_name: str, *, create: bool) -> int:
    """Open the set's lock file and return its descriptor.

    StorageError; FileNotFoundError where it is missing and `create` is false.
    """
    name = f"{check_set_name(set_name)}.lock"
    try:
        return directory.open_file(name, os.O_RDWR | (os.O_CREAT if create else 0))
    except NotASegment as error:
        raise StorageError(f"the lock of {set_name} cannot be used: {error}", error.hint or f"rm {directory.path / name}") from None
    except IsADirectoryError:
        path = directory.path / name
        raise StorageError(f"the lock of {set_name} cannot be used: {path} is a directory", f"rm -r {path}") from None
    except FileNotFoundError:
        if not create:
            raise
        raise StorageError(f"the directory {directory.path} was removed") from None
    except OSError as error:
        raise storage_error(error, f"open {directory.path / name}") from None


def try_lock(fd: int) -> bool:
    """Take the lock unless another process holds it; returns whether it was taken."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder_of(directory: Directory, set_name: str) -> Holder | None:
    """Process that the lock file names, living or dead; None if it names none."""
    try:
        fd = open_lock(directory, set_name, create=False)
    except (FileNotFoundError, StorageError):
        return None
    try:
        return read_holder(fd)
    finally:
        os.close(fd)


def note_of(directory: Directory, set_name: str) -> list[str]:
    """Words that the holder, living or dead, noted; none where there are none, or no readable text."""
    try:
        fd = open_lock(directory, set_name, create=False)
    except (FileNotFoundError, StorageError):
        return []
    try:
        words = json.loads(os.pread(fd, MAX_NOTE_BYTES, MAX_TEXT_BYTES))
    except (ValueError, RecursionError):
        return []
    finally:
        os.close(fd)
    is_text = isinstance(words, list) and all(isinstance(word, str) and word.isprintable() for word in words)
    return words if is_text else []


def read_holder(fd: int) -> Holder | None:
    """Contents of the open lock file; None if it is empty or damaged."""
    fields = os.pread(fd, MAX_TEXT_BYTES, 0).split()
    try:
        pid, start, boot, namespace, epoch = fields
        found = Holder(Identity(bytes.fromhex(boot.decode("ascii")), int(pid), int(start), int(namespace)), int(epoch))
    except ValueError:
        return None
    return found if 0 <= found.epoch < MAX_EPOCH else None


def _write_holder(fd: int, holder: Holder) -> None:
    who = holder.who
    text = f"{who.pid} {who.start_time} {who.boot_id.hex()} {who.pid_namespace} {holder.epoch}\n".encode("ascii")
    try:
        os.pwrite(fd, text.ljust(MAX_TEXT_BYTES), 0)  # of constant length: no tail of a longer, older text remains
        os.ftruncate(fd, MAX_TEXT_BYTES)  # the note is the last holder's
    except OSError as error:
        raise storage_error(error, "write the lock file") from None


def _refusal(directory: Directory, set_name: str, holder: Holder | None) -> WriterAlive:
    # A process that has just taken the lock may not have written its name yet.
    if holder is None or not process_is_alive(holder.who):
        return WriterAlive(f"{set_name} is already being collected by another process", BESIDE_IT)
    pid = holder.who.pid
    collected_by = f"{set_name} is already being collected by pid {pid}"
    if holder.who.pid_namespace != pid_namespace() or not _is_silent(directory, set_name, holder):
        return WriterAlive(collected_by, BESIDE_IT)
    if is_stopped(pid):
        return WriterAlive(f"{collected_by}, which is stopped", f"let it go on: kill -CONT {pid}")
    return WriterAlive(f"{collected_by}, which shows no sign of life", f"if it hangs, end it and try again: kill -9 {pid}")


def _is_silent(directory: Directory, set_name: str, holder: Holder) -> bool:
    """Whether the holder's segments exist and no longer get a heartbeat."""
    try:
        counters = Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name))
    except (SegmentError, StorageError):
        return False
    return counters.epoch == holder.epoch and counters.liveness(clock.monotonic_ns()) is Liveness.SILENT


def _next_epoch(directory: Directory, set_name: str, last: int) -> int:
    for name in directory.names():
        parsed = parse_segment_name(name)
        if parsed and parsed[1] == set_name:
            try:
                last = max(last, min(Segment.attach(directory, name).epoch, MAX_EPOCH - 1))
            except (SegmentError, StorageError):
                continue
    return max(last + 1, clock.realtime_ns() // 1_000_000_000)
