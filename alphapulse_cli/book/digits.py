"""Levels as decimal digits, ticks and lots of one level after the other without separators: the input of an exchange's checksum.

Compiled code takes `digits.pxd` instead, which reads the numbers in place and makes no object per level.
"""

from typing import Any


def of_best(pairs: Any, count: int, levels: int) -> bytes:
    """Digits of the best `levels` of `count` (ticks, lots) pairs, best first; the best pair is the last.

    All pairs are taken where there are fewer than `levels`.
    """
    first = max(count - levels, 0)
    return "".join([f"{pairs[2 * at]}{pairs[2 * at + 1]}" for at in range(count - 1, first - 1, -1)]).encode("ascii")
