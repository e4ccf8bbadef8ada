"""The fast road from RFC 3339 text to nanoseconds: the usual text and nothing else, character by character.

What is usual: `2026-08-12T19:27:47.532655123Z`, UTC, with no fraction or 1 to 9 digits of one, in the years 1970 to 2261. For the
rest `usual_ns` says "not mine" and never raises: `exchanges.timestamps` then takes the slow road, which knows offsets and names
what is wrong. Compiled code takes `moment.pxd` instead. Interpreted there is no faster road than the slow one with its memory of
the last seconds, so this one gives up on everything.
"""

from typing import Any


def usual_at(octets: Any, start: int, end: int) -> int:  # noqa: ARG001
    """The same of the text in these bytes; -1 also where `end` lies before `start`."""
    return -1


def usual_ns(text: str) -> int:  # noqa: ARG001
    """Nanoseconds since the epoch of a usual time; -1 for any other."""
    return -1
