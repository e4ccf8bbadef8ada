"""Book hash by level: splitmix64(splitmix64(2 * ticks + is_ask) + lots), summed mod 2^64 by the holder of the levels.

The sum does not depend on an order, so a change of one level is one number to add.
"""

from typing import Any

from alphapulse_cli import native

SOURCE_HASH = native.source_hash()

BITS64 = (1 << 64) - 1
GAMMA, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def splitmix64(value: int) -> int:
    """Output of the splitmix64 generator for the state `value`, both u64: an even mixing of all bits."""
    value = (value + GAMMA) & BITS64
    value = ((value ^ (value >> 30)) * MIX_1) & BITS64
    value = ((value ^ (value >> 27)) * MIX_2) & BITS64
    return value ^ (value >> 31)


def of_change(ticks: int, is_ask: bool, old: int, lots: int) -> int:
    """Addend for the hash when a level's size changes from `old` to `lots` (0: no level); u64."""
    level = splitmix64(((ticks & BITS64) * 2 + is_ask) & BITS64)
    change = 0
    if lots:
        change = splitmix64((level + lots) & BITS64)
    if old:
        change -= splitmix64((level + old) & BITS64)
    return change & BITS64


def of_levels(pairs: Any, count: int, is_ask: bool) -> int:
    """Hash of `count` levels, each a pair of ticks and lots; u64."""
    level_hash = 0
    for at in range(count):
        level_hash += splitmix64((splitmix64(((pairs[2 * at] & BITS64) * 2 + is_ask) & BITS64) + pairs[2 * at + 1]) & BITS64)
    return level_hash & BITS64
