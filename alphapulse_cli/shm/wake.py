"""Wake page: one page of requests from readers to the writer. All readers map it writable, so the writer trusts nothing in it.

        0 deltas          a reader of the delta ring sleeps: wake it after the next publish
      128 trades          the same for the trade ring
      256 checkpoints     some octet below is set
      384 … 4095          one octet a book, at 384 + its request_slot: make a checkpoint of it

A request is any value but 0; the writer stores 0 and carries it out. There is no count that could leak, and a lost request costs
little: a sleeper wakes by itself after 5 ms, and a checkpoint is requested again. Sleeping is FUTEX_WAIT on the low half of the
ring's `published` in the reader's read-only mapping; if there is no futex (macOS) it is a nap of 1 ms.
"""

import errno
import os
import platform
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from alphapulse_cli.errors import NotASegment, StorageError
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import Directory, check_set_name, storage_error
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.mapping import Mapping, Words
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import allocate

WAKE_BYTES = 4096
CHECKPOINTS_WORD, FIRST_SLOT = 32, 384
SLOT_COUNT = WAKE_BYTES - FIRST_SLOT  # books that can have a slot; readers of any further book can only copy its live image
MAX_WAIT_NS = 5_000_000
NAP_NS = 1_000_000
SHORT_NAP_NS = 200_000

_REQUEST_WORDS = {SegmentKind.DELTAS: 0, SegmentKind.TRADES: 16}
_FUTEX_CALLS = {"x86_64": 202, "amd64": 202, "aarch64": 98, "arm64": 98}  # the number of futex(2)
_FUTEX_WAITV, _FUTEX_32, _CLOCK_MONOTONIC = 449, 2, 1  # futex_waitv(2), the same number on every processor
MOST_WAITED = 128  # words that one call takes
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1  # not the PRIVATE forms: the word is shared between processes


class WakePage:
    """Mapped wake page of a set; writer and readers use the same class."""

    def __init__(self, mapped: Mapping) -> None:
        self.memory = mapped
        self._words = Words(mapped)

    @classmethod
    def open(cls, directory: Directory, set_name: str, *, create: bool = False) -> "WakePage":
        """Map `<set>.wake`. NotASegment for a missing file or one of another size or owner, StorageError where the system refuses.

        A reader can go on without a wake page. A writer (`create`) cannot: for it every failure is a StorageError, whose hint for
        an unusable file is the command that removes it.
        """
        name = f"{check_set_name(set_name)}.wake"
        path = directory.path / name
        try:
            fd = directory.open_file(name, os.O_RDWR | (os.O_CREAT if create else 0))
            try:
                size = os.fstat(fd).st_size
                if create and size == 0:
                    allocate(fd, WAKE_BYTES)
                elif size != WAKE_BYTES:
                    raise NotASegment(f"{path} is not a wake page: {size} bytes", f"rm {path}")
                return cls(Mapping(fd, WAKE_BYTES, writable=True))
            finally:
                os.close(fd)
        except FileNotFoundError:
            raise NotASegment(f"no wake page {path}") from None
        except NotASegment as error:
            if create:
                raise StorageError(f"the wake page of {set_name} cannot be used: {error}", f"rm {path}") from None
            raise
        except IsADirectoryError:
            raise StorageError(f"the wake page of {set_name} cannot be used: {path} is a directory", f"rm -r {path}") from None
        except OSError as error:
            raise storage_error(error, f"open {path}") from None

    @staticmethod
    def request_word(kind: SegmentKind) -> int:
        """Index of the word by which readers of that ring ask to be woken."""
        return _REQUEST_WORDS[kind]

    def request(self, reader: RingReader) -> None:
        """Ask the writer to wake this reader after its next publish."""
        self._words.store_relaxed(_REQUEST_WORDS[reader.segment.spec.kind], 1)
        self._words.full_fence()

    def wait(self, reader: RingReader, limit_ns: int = MAX_WAIT_NS) -> bool:
        """Sleep until a record past the reader's position is published, `limit_ns` at most; returns whether there is one.

        The limit is capped at 5 ms; 0 or less returns at once.
        """
        self.request(reader)
        position = reader.position
        seen = reader.segment.published  # loaded once: sleeping on a later value could miss that value's wake-up
        if seen > position or reader.ended:
            return reader.published() > position
        limit_ns = max(0, min(limit_ns, MAX_WAIT_NS))
        if not futex_wait(reader.segment.memory, seen, limit_ns):
            clock.pause(min(limit_ns, NAP_NS))
        return reader.published() > position

    def wake(self, writer: RingWriter) -> None:
        """Clear the request and wake all sleepers of that ring: the writer's part, after a publish that found a request."""
        self._words.store_relaxed(_REQUEST_WORDS[writer.segment.spec.kind], 0)
        futex_wake(writer.segment.memory)

    def request_checkpoint(self, slot: int) -> bool:
        """Ask the writer for a checkpoint of the book with that slot; False for a book without a slot."""
        if not 0 <= slot < SLOT_COUNT:
            return False
        self.memory[FIRST_SLOT + slot] = 1
        self._words.store_release(CHECKPOINTS_WORD, 1)
        return True

    def take_checkpoint_requests(self) -> list[int]:
        """Clear the checkpoint requests and return the slots of their books; one load where there are none."""
        if self._words.load_relaxed(CHECKPOINTS_WORD) == 0:
            return []
        self._words.store_relaxed(CHECKPOINTS_WORD, 0)
        self._words.full_fence()
        octets = self.memory[FIRST_SLOT:]
        slots = [slot for slot, octet in enumerate(octets) if octet]
        for slot in slots:
            self.memory[FIRST_SLOT + slot] = 0
        return slots


class Sleepers:
    """Several rings that one reader sleeps on at once, each with its set's wake page. What a sleep needs is made once."""

    def __init__(self, pairs: Sequence[tuple[WakePage, RingReader]]) -> None:
        self.pairs = list(pairs)
        self._readers = [reader for _, reader in self.pairs]
        self._waiting = _WaitingForAny.of([reader.segment.memory for reader in self._readers])

    def wait(self, limit_ns: int = MAX_WAIT_NS) -> bool:
        """Sleep until any of these rings has a record past its reader's position, `limit_ns` at most; returns whether one has.

        The limit is capped at 5 ms. Where the system cannot wait for several words (before Linux 5.16) it is a short nap.
        """
        for page, reader in self.pairs:
            page.request(reader)
        seen = []
        for reader in self._readers:
            published = reader.published()  # loaded once, as in `WakePage.wait`
            if published > reader.position or reader.ended:
                return self._has_any()
            seen.append(published)
        limit_ns = max(0, min(limit_ns, MAX_WAIT_NS))
        if self._waiting is None or not self._waiting.wait(seen, limit_ns):
            clock.pause(min(limit_ns, SHORT_NAP_NS))
        return self._has_any()

    def _has_any(self) -> bool:
        return any(reader.lag for reader in self._readers)


class _WaitingForAny:
    """Call of futex_waitv(2) on the `published` of some rings, its arguments made once."""

    def __init__(self, memories: Sequence[Any], call: Any) -> None:
        import ctypes

        self._entries = (ctypes.c_uint64 * (3 * len(memories)))()  # struct futex_waitv of each: value, address, flags
        for place, memory in enumerate(memories):
            self._entries[3 * place + 1] = _address(memory) + _LOW_HALF
            self._entries[3 * place + 2] = _FUTEX_32
        self._until = (ctypes.c_long * 2)()
        self._call, self._errno = call, ctypes.get_errno
        number, count, flags = ctypes.c_long(_FUTEX_WAITV), ctypes.c_uint(len(memories)), ctypes.c_uint(0)
        self._arguments = number, self._entries, count, flags, self._until, ctypes.c_int(_CLOCK_MONOTONIC)

    @classmethod
    def of(cls, memories: Sequence[Any]) -> "_WaitingForAny | None":
        """Call for these; None where the system has none, or there are too many."""
        futex = _futex()
        return cls(memories, futex[0]) if futex is not None and 0 < len(memories) <= MOST_WAITED else None

    def wait(self, published: Sequence[int], limit_ns: int) -> bool:
        """Sleep while the low halves of all these `published` are unchanged; False at once where the system cannot."""
        entries, until = self._entries, self._until
        for place, value in enumerate(published):
            entries[3 * place] = value & 0xFFFF_FFFF
        until[0], until[1] = divmod(clock.monotonic_ns() + limit_ns, 1_000_000_000)  # the call takes an end, not a length
        failed = self._call(*self._arguments)
        return failed >= 0 or self._errno() in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR)


def has_futex() -> bool:
    """Whether a sleeping reader can be woken on this system; otherwise it naps."""
    return _futex() is not None


def futex_wait(mapped: Any, published: int, limit_ns: int) -> bool:
    """Sleep while the low half of `published` is unchanged, at most `limit_ns`; False at once where the system has no futex."""
    futex = _futex()
    if futex is None:
        return False
    import ctypes

    limit = (ctypes.c_long * 2)(limit_ns // 1_000_000_000, limit_ns % 1_000_000_000)
    address = _address(mapped) + _LOW_HALF
    call, number = futex
    failed = call(number, ctypes.c_void_p(address), _FUTEX_WAIT, ctypes.c_uint32(published & 0xFFFF_FFFF), limit, None, 0)
    return not failed or ctypes.get_errno() in (errno.EAGAIN, errno.ETIMEDOUT, errno.EINTR)


def futex_wake(mapped: Any) -> None:
    """Wake all processes that sleep on `published`."""
    futex = _futex()
    if futex is None:
        return
    import ctypes

    call, number = futex
    call(number, ctypes.c_void_p(_address(mapped) + _LOW_HALF), _FUTEX_WAKE, ctypes.c_uint32(0x7FFF_FFFF), None, None, 0)


_LOW_HALF = layout.HEADER["published"].offset + (0 if sys.byteorder == "little" else 4)


@cache
def _futex() -> Any:
    """Pair (syscall function, its number for futex), or None."""
    number = _FUTEX_CALLS.get(platform.machine().lower())
    if sys.platform != "linux" or number is None or sys.maxsize < 1 << 32:
        return None
    import ctypes

    return ctypes.CDLL(None, use_errno=True).syscall, ctypes.c_long(number)


def _address(mapped: Any) -> int:
    """Address of the mapping; ctypes' own `from_buffer` refuses read-only ones."""
    import ctypes

    view = (ctypes.c_void_p * 32)()  # room for a Py_buffer, whose first member is the address
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(mapped), view, 0)
    address = view[0]
    ctypes.pythonapi.PyBuffer_Release(view)
    assert address is not None
    return int(address)
