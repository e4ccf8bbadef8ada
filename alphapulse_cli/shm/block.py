"""Counters of one symbol or exchange, written by one process several times a frame and therefore compiled."""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.shm import memory
from alphapulse_cli.shm.histogram import Histogram

SOURCE_HASH = native.source_hash()

BLOCK_BYTES, BLOCK_HEAD_WORDS, USED_WORD = 512, 8, 2
_ROOM = BLOCK_BYTES // 8 - BLOCK_HEAD_WORDS


class CounterBlock:
    """Block of counters that begins at byte `start` of a mapped counters file whose name is already written.

    `feed_delay` is the histogram of a symbol's feed delays; None where none is kept.
    """

    def __init__(self, mapped: Any, start: int) -> None:
        self._memory = mapped
        self._words = native.words(mapped)
        self._signed = native.signed(mapped)
        self._first = start // 8 + BLOCK_HEAD_WORDS
        self.feed_delay: Histogram | None = None
        memory.store_release(self._words, start // 8 + USED_WORD, 1)

    def add(self, counter: int, count: int = 1) -> None:
        """Add `count` to a counter. IndexError for a number outside the block."""
        if counter < 0 or counter >= _ROOM:
            raise IndexError(f"no counter {counter}")
        at = self._first + counter
        memory.store_relaxed(self._words, at, (self._words[at] + count) & native.MASK64)

    def set(self, counter: int, value: int) -> None:
        """Set a counter that holds a last value, which may be negative. IndexError for a number outside the block."""
        if counter < 0 or counter >= _ROOM:
            raise IndexError(f"no counter {counter}")
        memory.store_relaxed(self._words, self._first + counter, value & native.MASK64)

    def get(self, counter: int) -> int:
        """Current value of a counter. IndexError for a number outside the block."""
        if counter < 0 or counter >= _ROOM:
            raise IndexError(f"no counter {counter}")
        value: int = self._signed[self._first + counter]
        return value
