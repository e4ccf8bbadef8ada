"""Fast parser of common RFC 3339 text to nanoseconds, character by character; it declines any other form.

Usual is `2026-08-12T19:27:47.532655123Z`: UTC, without a fraction or with 1 to 9 digits of one, in the years 1970 to 2261. For
anything else `usual_ns` returns -1 and never raises: `exchanges.timestamps` then takes the exact slow path, which supports offsets
and gives the reason of an error. Compiled code uses `moment.pxd` instead. Interpreted, it would not be faster than the slow path
with its cache of recent seconds, so this stand-in declines everything.
"""

from typing import Any


def usual_at(octets: Any, start: int, end: int) -> int:  # noqa: ARG001
    """Nanoseconds since 1970 of a usual time in octets[start:end]; -1 for any other text, and where `end` lies before `start`."""
    return -1


def usual_ns(text: str) -> int:  # noqa: ARG001
    """Nanoseconds since 1970 of a usual time; -1 for any other text."""
    return -1
