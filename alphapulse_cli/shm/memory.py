"""Order between processes: the loads, stores and fences that shared words need, and nothing else.

Compiled code takes C11 atomics from `memory.pxd`. This interpreted stand-in relies on two facts: on x86-64 the processor keeps
loads in order and stores in order, and an aligned 8-byte item of a `memoryview.cast("Q")` is read and written whole. Neither
holds elsewhere, so `segment.require_ordered_core` refuses to run interpreted there. (`struct.pack_into` must never touch a shared word: it
zeroes its target before it writes, and another process sees the zero.)

`memory` below is what `native.words(buffer)` gave; `index` counts 64-bit words.
"""

import platform
from typing import Any

ORDERED_MACHINES = frozenset({"x86_64", "amd64"})  # platform.machine().lower() where the stand-in is sound


def load_acquire(memory: Any, index: int) -> int:
    """The word, before anything that is read after it."""
    value: int = memory[index]
    return value


def load_relaxed(memory: Any, index: int) -> int:
    """The word, whole, with no order."""
    value: int = memory[index]
    return value


def store_release(memory: Any, index: int, value: int) -> None:
    """Store the word after everything that was written before it."""
    memory[index] = value


def store_relaxed(memory: Any, index: int, value: int) -> None:
    """Store the word, whole, with no order."""
    memory[index] = value


def acquire_fence() -> None:
    """Loads before it are done before any load or store after it."""


def release_fence() -> None:
    """Loads and stores before it are done before any store after it."""


def full_fence() -> None:
    """Everything before it is done before anything after it. Interpreted, a few calls of the interpreter stand between."""


def fences_are_sound() -> bool:
    """Whether this build keeps the order it promises on this machine."""
    return platform.machine().lower() in ORDERED_MACHINES
