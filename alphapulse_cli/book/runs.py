"""Runs of levels, a side's beside a message's: compared and copied many at a time.

    a side's      ticks i64 | lots i64            from word `at` on, every `step` words (2, or -2 to go down)
    a message's   ticks i64 | lots | side bit     from word `i` on

Compiled code takes `runs.pxd` instead, which compares eight levels at once.
"""

from typing import Any


def alike(ours: Any, at: int, step: int, theirs: Any, i: int, side_bit: int, most: int) -> int:
    """Number of the next `most` levels proven equal on both; it may stop a few levels before the first difference."""
    for done in range(most):
        here, there = at + done * step, i + 2 * done
        if ours[here] & ((1 << 64) - 1) != theirs[there] or ours[here + 1] | side_bit != theirs[there + 1]:
            return done
    return max(most, 0)


def take(ours: Any, at: int, step: int, theirs: Any, i: int, side_bit: int, count: int) -> None:
    """Copy `count` levels of the message, all of this side, to the side's places."""
    for done in range(count):
        here, there = at + done * step, i + 2 * done
        ticks = theirs[there]
        ours[here], ours[here + 1] = (ticks ^ (1 << 63)) - (1 << 63), theirs[there + 1] ^ side_bit
