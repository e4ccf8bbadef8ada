"""Memory order between processes: the loads, stores and fences that shared words need.

Compiled code takes C11 atomics from `memory.pxd`. This interpreted stand-in relies on two facts: on x86-64 the processor keeps
loads in order and stores in order, and an aligned 8-byte item of a `memoryview.cast("Q")` is read and written whole. Neither holds
elsewhere, so `segment.require_ordered_core` refuses to run interpreted there. (`struct.pack_into` must never touch a shared word:
it zeroes its target before it writes, and another process sees the zero.)

The argument `memory` is the result of `native.words(buffer)`; `index` counts 64-bit words.
"""

import platform
from typing import Any

ORDERED_MACHINES = frozenset({"x86_64", "amd64"})  # platform.machine().lower() where the stand-in is sound


def load_acquire(memory: Any, index: int) -> int:
    """Load a word; later reads see what its writer stored before it."""
    value: int = memory[index]
    return value


def load_relaxed(memory: Any, index: int) -> int:
    """Load a word whole, without an order."""
    value: int = memory[index]
    return value


def store_release(memory: Any, index: int, value: int) -> None:
    """Store a word after all earlier writes."""
    memory[index] = value


def store_relaxed(memory: Any, index: int, value: int) -> None:
    """Store a word whole, without an order."""
    memory[index] = value


def acquire_fence() -> None:
    """Complete all earlier loads before any later load or store."""


def release_fence() -> None:
    """Complete all earlier loads and stores before any later store."""


def full_fence() -> None:
    """Complete all earlier loads and stores before any later one.

    Interpreted this is a no-op: nothing orders a store before a later load.
    """


def fences_are_sound() -> bool:
    """Whether the interpreted stand-in keeps the promised order on this machine."""
    return platform.machine().lower() in ORDERED_MACHINES
