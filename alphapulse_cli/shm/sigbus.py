"""The guard against files that are cut short under us: what would be our death (SIGBUS) becomes a mapping of zeros, and a flag.

A page that the file has no longer cannot be read or written: the kernel sends SIGBUS, and its default is the end of the process. The
compiled core (`sigbus.pxd`) handles it: a fault within a mapping that is watched puts zeros in the place of that whole mapping and goes on;
any other fault is for the handler that was there before. Who reads or writes a segment knows zeros for what they are (`segment.is_gone`).

Interpreted there is no guard, and this stand-in watches nothing: Python cannot handle a fault in the middle of an access.
"""

from typing import Any


def watch(start: Any, size: int) -> int:  # noqa: ARG001 the compiled one looks at them
    """Look after `size` bytes from there on; what `forget` and `is_cut` want to know it by, 0 for not watched."""
    return 0


def forget(place: int) -> None:
    """The range is about to be unmapped."""


def is_cut(place: int) -> bool:  # noqa: ARG001 the compiled one looks at it
    """Whether zeros are mapped there by now, and no file."""
    return False
