"""Levels as decimal digits, one number after the other without anything between: what an exchange's checksum is taken of.

Compiled code takes `digits.pxd` instead, which reads the numbers where they lie and makes no object per level.
"""

from typing import Any


def of_best(pairs: Any, count: int, levels: int) -> bytes:
    """Ticks and lots of the best `levels` of `count` pairs, the best of which is the last; of fewer if there are not as many."""
    first = max(count - levels, 0)
    return "".join([f"{pairs[2 * at]}{pairs[2 * at + 1]}" for at in range(count - 1, first - 1, -1)]).encode("ascii")
