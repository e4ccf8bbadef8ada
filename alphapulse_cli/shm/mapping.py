"""A file mapped for several processes, and its words in the order that they need: for all that is not hot itself, and so is never compiled.

    Mapping   an `mmap` that a guard looks after: cut short under us it becomes zeros, not our death (`shm/sigbus.py`)
    Words     its 64-bit words, loaded and stored whole and with the orders of `shm/memory.py`, whoever calls

Interpreted there is no guard: then `is_cut` asks the system, for those who look before they touch.
"""

import errno
import mmap
import sys
from typing import Any, Self

from alphapulse_cli import native
from alphapulse_cli.shm import memory, sigbus

SOURCE_HASH = native.source_hash()

# From Python 3.13 on a mapping can do without a descriptor of its own; a set of a thousand books is as many. Linux tells without one.
_KEEPS_DESCRIPTOR = sys.version_info < (3, 13) or sys.platform != "linux"
_OPTIONS: dict[str, Any] = {} if _KEEPS_DESCRIPTOR else {"trackfd": False}
_POPULATE_READ = 22  # madvise: touch it for me, and say so where that would be a fault (Linux 5.14)


class Mapping(mmap.mmap):
    """The first `size` bytes of an open file, shared. Goes with its last user; OSError, ValueError and OverflowError as of `mmap`."""

    _watched = 0

    def __new__(cls, fd: int, size: int, *, writable: bool) -> Self:
        """Map, and have it watched."""
        made = mmap.mmap.__new__(cls, fd, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ, **_OPTIONS)
        made._watched = sigbus.watch(native.octets(made), size)  # noqa: SLF001 our own, just made
        return made

    def is_cut(self) -> bool:
        """Whether this is no longer the file: it was cut short, and zeros may have taken its place."""
        if sigbus.is_cut(self._watched):
            return True
        return self.size() < len(self) if _KEEPS_DESCRIPTOR else self._lacks_its_last_page()

    def _lacks_its_last_page(self) -> bool:
        """As far as the system can say; an older one cannot."""
        try:
            self.madvise(_POPULATE_READ, (len(self) - 1) // mmap.PAGESIZE * mmap.PAGESIZE)
        except OSError as error:
            return error.errno == errno.EFAULT
        return False

    def __del__(self) -> None:
        sigbus.forget(self._watched)


class Words:
    """The 64-bit words of a buffer. IndexError past their end, TypeError for a store where nothing may be written."""

    def __init__(self, buffer: Any) -> None:
        view = memoryview(buffer)
        self.count = view.nbytes // 8
        self.writable = not view.readonly
        self._buffer = buffer
        self._words = native.words(buffer)

    def load_acquire(self, index: int) -> int:
        """The word, before anything that is read after it."""
        return memory.load_acquire(self._words, self._checked(index))

    def load_relaxed(self, index: int) -> int:
        """The word, whole, with no order."""
        return memory.load_relaxed(self._words, self._checked(index))

    def store_release(self, index: int, value: int) -> None:
        """Store the word after everything that was written before it."""
        memory.store_release(self._words, self._stored(index), value)

    def store_relaxed(self, index: int, value: int) -> None:
        """Store the word, whole, with no order."""
        memory.store_relaxed(self._words, self._stored(index), value)

    def full_fence(self) -> None:
        """Everything before it is done before anything after it."""
        memory.full_fence()

    def _checked(self, index: int) -> int:
        if index < 0 or index >= self.count:
            raise IndexError(f"no word {index} of {self.count}")
        return index

    def _stored(self, index: int) -> int:
        if not self.writable:
            raise TypeError("mapped for reading")
        return self._checked(index)
