"""SIGBUS guard for mapped files that are cut short: a mapping of zeros and a flag instead of the death of the process.

A page that the file no longer has cannot be read or written: the kernel sends SIGBUS, which by default kills the process. The
compiled core (`sigbus.pxd`) handles it: a fault within a watched mapping replaces that whole mapping by zeros, and the process goes
on; any other fault goes to the handler that was there before. Readers and writers of a segment recognise the zeros
(`segment.is_gone`).

This interpreted stand-in watches nothing: Python cannot handle a fault in the middle of an access.
"""

from typing import Any


def watch(start: Any, size: int) -> int:  # noqa: ARG001 the compiled one looks at them
    """Guard `size` bytes from `start` on; the handle for `forget` and `is_cut`, 0 where nothing is guarded."""
    return 0


def forget(place: int) -> None:
    """Stop guarding a range that is about to be unmapped."""


def is_cut(place: int) -> bool:  # noqa: ARG001 the compiled one looks at it
    """Whether zeros have replaced the range."""
    return False
