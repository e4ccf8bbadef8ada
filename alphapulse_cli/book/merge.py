"""Merge of a large group's changes into a side in one walk: O(levels + changes), where `Side.set` moves levels for each change.

    records ─► this side's changes, in order of price either way? ─► the side's levels step back ─► both are written forward, merged

The difference of two books comes in order. A group that does not is refused and left to be `set` one by one.
"""

from typing import Any

from alphapulse_cli import native
from alphapulse_cli.book import hashes
from alphapulse_cli.book.side import Side
from alphapulse_cli.wire import delta

SOURCE_HASH = native.source_hash()

ASK_BIT, LOTS_BITS = delta.IS_ASK, delta.SIZE_MASK
BITS64 = (1 << 64) - 1
SIGN_BIT = delta.SIGN_BIT
RECORD_WORDS, HEADER_WORDS, MOST_CHANGES = delta.DELTA_BYTES // 8, delta.HEADER_BYTES // 8, delta.MAX_CHANGES


def merge(side: Side, words: Any, at: int, changes: int) -> bool:
    """Apply the side's changes among those of the records from word `at` on.

    False, and nothing changed, unless they come in order of price, rising or falling.
    """
    flip = side._flip
    rises = falls = False
    last = mine = 0
    for i in range(changes):
        place = at + RECORD_WORDS * (i // MOST_CHANGES) + HEADER_WORDS + 2 * (i % MOST_CHANGES)
        if (words[place + 1] >= ASK_BIT) != side.is_ask:
            continue
        rank = ((words[place] ^ SIGN_BIT) - SIGN_BIT) ^ flip
        if mine:
            if rank == last:
                return False
            rises = rises or rank > last
            falls = falls or rank < last
        last = rank
        mine += 1
    if rises and falls:
        return False
    if mine:
        _merge_sorted(side, words, at, changes, mine, falls)
    return True


def _merge_sorted(side: Side, words: Any, at: int, changes: int, mine: int, falls: bool) -> None:
    """Merge ordered changes. Our levels first move back by `mine` places, so that writing never overtakes reading."""
    side.reserve(side.count + mine)
    pairs, flip = side._pairs, side._flip
    native.move_words(pairs, 2 * mine, pairs, 0, 2 * side.count)
    read, end, write = 2 * mine, 2 * (mine + side.count), 0
    for step in range(changes):
        i = changes - 1 - step if falls else step
        place = at + RECORD_WORDS * (i // MOST_CHANGES) + HEADER_WORDS + 2 * (i % MOST_CHANGES)
        if (words[place + 1] >= ASK_BIT) != side.is_ask:
            continue
        ticks = (words[place] ^ SIGN_BIT) - SIGN_BIT
        lots = words[place + 1] & LOTS_BITS
        while read < end and (pairs[read] ^ flip) < (ticks ^ flip):
            pairs[write], pairs[write + 1] = pairs[read], pairs[read + 1]
            write += 2
            read += 2
        old = 0
        if read < end and pairs[read] == ticks:
            old = pairs[read + 1]
            read += 2
        if lots:
            pairs[write], pairs[write + 1] = ticks, lots
            write += 2
        if old != lots:
            side.level_hash = (side.level_hash + hashes.of_change(ticks, side.is_ask, old, lots)) & BITS64
    native.move_words(pairs, write, pairs, read, end - read)
    side.count = (write + end - read) // 2
