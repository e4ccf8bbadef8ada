"""Shared file mappings, and access to their 64-bit words for callers outside the compiled core. The module itself is compiled.

    Mapping   an `mmap` under the SIGBUS guard: a file that is cut short becomes zeros, and the process lives (`shm/sigbus.py`)
    Words     its 64-bit words, loaded and stored whole and with the memory orders of `shm/memory.py`

The interpreted core has no guard. There `Mapping.is_cut` asks the system, for callers that check before they touch the memory.
"""

import errno
import mmap
import sys
from typing import Any, Self

from alphapulse_cli import native
from alphapulse_cli.shm import memory, sigbus

SOURCE_HASH = native.source_hash()

# From Python 3.13 on a mapping needs no descriptor of its own, which saves a thousand in a set of a thousand books. Linux can then
# still tell whether the file was cut short (`_lacks_its_last_page`).
_KEEPS_DESCRIPTOR = sys.version_info < (3, 13) or sys.platform != "linux"
_OPTIONS: dict[str, Any] = {} if _KEEPS_DESCRIPTOR else {"trackfd": False}
_POPULATE_READ = 22  # MADV_POPULATE_READ: load the pages, or fail with EFAULT where an access would fault (Linux 5.14)


class Mapping(mmap.mmap):
    """Shared mapping of `size` bytes of an open file from `offset` on, which a page begins; unmapped with its last user.

    Raises OSError, ValueError and OverflowError as `mmap` does.
    """

    _watched = 0
    _end = 0

    def __new__(cls, fd: int, size: int, *, writable: bool, offset: int = 0) -> Self:
        """Map the file and put the mapping under the guard."""
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        made = mmap.mmap.__new__(cls, fd, size, access=access, offset=offset, **_OPTIONS)
        made._end = offset + size  # noqa: SLF001 our own, just made
        made._watched = sigbus.watch(native.octets(made), size)  # noqa: SLF001 our own, just made
        return made

    def is_cut(self) -> bool:
        """Whether the file was cut short; zeros may already have replaced its contents in memory."""
        if sigbus.is_cut(self._watched):
            return True
        return self.size() < self._end if _KEEPS_DESCRIPTOR else self._lacks_its_last_page()

    def _lacks_its_last_page(self) -> bool:
        """Whether the last page is missing; False where the kernel is too old to tell (before Linux 5.14)."""
        try:
            self.madvise(_POPULATE_READ, (len(self) - 1) // mmap.PAGESIZE * mmap.PAGESIZE)
        except OSError as error:
            return error.errno == errno.EFAULT
        return False

    def __del__(self) -> None:
        sigbus.forget(self._watched)


class Words:
    """64-bit words of a buffer. IndexError for an index outside it, TypeError for a store into a read-only buffer."""

    def __init__(self, buffer: Any) -> None:
        view = memoryview(buffer)
        self.count = view.nbytes // 8
        self.writable = not view.readonly
        self._buffer = buffer
        self._words = native.words(buffer)

    def load_acquire(self, index: int) -> int:
        """Load a word; later reads see what its writer stored before it."""
        return memory.load_acquire(self._words, self._checked(index))

    def load_relaxed(self, index: int) -> int:
        """Load a word whole, without an order."""
        return memory.load_relaxed(self._words, self._checked(index))

    def store_release(self, index: int, value: int) -> None:
        """Store a word after all earlier writes."""
        memory.store_release(self._words, self._stored(index), value)

    def store_relaxed(self, index: int, value: int) -> None:
        """Store a word whole, without an order."""
        memory.store_relaxed(self._words, self._stored(index), value)

    def full_fence(self) -> None:
        """Complete all earlier loads and stores before any later one."""
        memory.full_fence()

    def _checked(self, index: int) -> int:
        if index < 0 or index >= self.count:
            raise IndexError(f"no word {index} of {self.count}")
        return index

    def _stored(self, index: int) -> int:
        if not self.writable:
            raise TypeError("the memory is mapped read-only")
        return self._checked(index)
