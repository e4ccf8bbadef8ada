"""Levels as text, the input of an exchange's checksum: bare digits of one side, or decimals of both sides in turn.

    of_best       ticks and lots, best first, without separators                          10050 3 10049 7   ->   "100503100497"
    decimals_of   bid, ask, bid, ask, … best first, price:size, joined by ":"             "100.5:3:100.51:2:100.49:7:100.52:9"

Compiled code takes `digits.pxd` instead, which reads the numbers in place and makes no object per level.
"""

from typing import Any

from alphapulse_cli.market.ticks import trim_text


def of_best(pairs: Any, count: int, levels: int) -> bytes:
    """Digits of the best `levels` of `count` (ticks, lots) pairs, best first; the best pair is the last.

    All pairs are taken where there are fewer than `levels`.
    """
    first = max(count - levels, 0)
    return "".join([f"{pairs[2 * at]}{pairs[2 * at + 1]}" for at in range(count - 1, first - 1, -1)]).encode("ascii")


def decimals_of(
    bids: Any, bid_count: int, asks: Any, ask_count: int, levels: int, price_decimals: int, size_decimals: int, sign: bool
) -> bytes:
    """Shortest plain decimals of the best `levels` a side; where one side ends the other goes on. With `sign` asks' sizes are negative."""
    words: list[str] = []
    for back in range(1, levels + 1):
        for pairs, count, minus in ((bids, bid_count, ""), (asks, ask_count, "-" if sign else "")):
            if back <= count:
                at = 2 * (count - back)
                words += [trim_text(pairs[at], price_decimals), minus + trim_text(pairs[at + 1], size_decimals)]
    return ":".join(words).encode("ascii")
