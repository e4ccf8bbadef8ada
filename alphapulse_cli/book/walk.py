"""Walk of one side over the levels of a whole book: check their order, emit the difference, become them.

    levels   │ bids, sorted either way │ asks │ bids │ …         a message usually has one run a side
               └ run ─► next index ─────┘ run ─► …               `finish` removes the levels that no run has met
    batch ◄── every difference, in the walk's order
    side  ◄── `take`, once there is room: only then does anything but the batch change

Most of a book stays as it was, and an unchanged run costs little more than reading its memory. The worst levels, up to the first
that changed, stay where they are (`_settled`): `take` writes only those above.
"""

from alphapulse_cli import native
from alphapulse_cli.book import hashes, runs
from alphapulse_cli.book.side import Side
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.batch import Batch

SOURCE_HASH = native.source_hash()

ASK_BIT, NEW_BIT, LOTS_BITS = delta.IS_ASK, delta.LEVEL_IS_NEW, delta.SIZE_MASK
BITS64 = (1 << 64) - 1


class Walk:
    """Walk over one side: `start`, then `run` or `survey` for each run of its levels, `finish` after `run`s, `take`.

    `incoming` counts the levels walked over so far.
    """

    def __init__(self, side: Side) -> None:
        self._side = side
        self._side_bit = ASK_BIT if side.is_ask else 0
        self.start()

    def start(self) -> None:
        """Reset the walk."""
        side = self._side
        self.incoming = self._runs = self._first = 0
        self._at, self._step, self._flip, self._last = 0, 2, 0, 0
        self._left = self._settled = side.count
        self._hash = side.level_hash

    def run(self, levels: Levels, i: int, batch: Batch) -> int:
        """Emit the differences from level `i`, one of this side, to the end of its run; the next index, -1 as for `survey`."""
        self._runs += 1
        if self.incoming == 0:
            self._aim(levels, i)
        signed, words, pairs, total = levels._signed, levels._words, self._side._pairs, levels.count
        flip, step, side_bit = self._flip, self._step, self._side_bit
        at, left, last, incoming = self._at, self._left, self._last, self.incoming
        while i < total:
            ticks, word = signed[2 * i], words[2 * i + 1]
            if left and pairs[at] == ticks and (pairs[at + 1] | side_bit) == word:
                most = min(total - i, left)
                same = 1 + runs.alike(pairs, at + step, step, words, 2 * i + 2, side_bit, most - 1)
                at += same * step
                left -= same
                incoming += same
                i += same
                last = pairs[at - step] ^ flip
                continue
            if (word ^ side_bit) >= ASK_BIT:
                break
            lots, rank = word & LOTS_BITS, ticks ^ flip
            if lots == 0 or (incoming and rank <= last):
                return -1
            last = rank
            incoming += 1
            i += 1
            while left and (pairs[at] ^ flip) < rank:
                self._record(batch, at, pairs[at], pairs[at + 1], 0)
                at += step
                left -= 1
            if left == 0 or pairs[at] != ticks:
                self._record(batch, at, ticks, 0, lots)
                continue
            if pairs[at + 1] != lots:
                self._record(batch, at, ticks, pairs[at + 1], lots)
            at += step
            left -= 1
        self._at, self._left, self._last, self.incoming = at, left, last, incoming
        return i

    def finish(self, batch: Batch) -> None:
        """Emit removals of the levels that no run has met."""
        pairs = self._side._pairs
        while self._left:
            self._record(batch, self._at, pairs[self._at], pairs[self._at + 1], 0)
            self._at += self._step
            self._left -= 1

    def survey(self, levels: Levels, i: int) -> int:
        """Check the run that begins at index `i`; the next index, or -1 where the book must be arranged first.

        It must be where levels walked so far are out of order, repeated, or of size 0.
        """
        self._runs += 1
        if self.incoming == 0:
            self._aim(levels, i)
        signed, words, total = levels._signed, levels._words, levels.count
        flip, side_bit, last, incoming = self._flip, self._side_bit, self._last, self.incoming
        while i < total:
            word = words[2 * i + 1] ^ side_bit
            if word >= ASK_BIT:
                break
            rank = signed[2 * i] ^ flip
            if word == 0 or (incoming and rank <= last):
                return -1
            last = rank
            incoming += 1
            i += 1
        self._last, self.incoming = last, incoming
        return i

    def take(self, levels: Levels, is_hashed: bool) -> None:
        """Become the levels walked over. Room must be reserved.

        `is_hashed` says that the walk was by `run`s, which have computed the hash.
        """
        side, pairs, words, step = self._side, self._side._pairs, levels._words, self._step
        at = 0 if step > 0 else 2 * self.incoming - 2
        if self._runs < 2:
            settled = self._settled if is_hashed else 0
            skipped = settled if step > 0 else 0
            runs.take(pairs, at + 2 * skipped, step, words, 2 * (self._first + skipped), self._side_bit, self.incoming - settled)
        else:
            i, left = 2 * self._first, self.incoming
            while left:
                if (words[i + 1] ^ self._side_bit) < ASK_BIT:
                    runs.take(pairs, at, step, words, i, self._side_bit, 1)
                    at += step
                    left -= 1
                i += 2
        side.count = self.incoming
        side.level_hash = self._hash if is_hashed else hashes.of_levels(pairs, side.count, side.is_ask)

    def _aim(self, levels: Levels, i: int) -> None:
        """Note that the side's first level is `i`, and find the direction of the walk from its second: prices fall or rise."""
        signed, words = levels._signed, levels._words
        falls = False
        for second in range(i + 1, levels.count):
            if (words[2 * second + 1] ^ self._side_bit) < ASK_BIT:
                falls = signed[2 * second] < signed[2 * i]
                break
        self._first = i
        self._flip = -1 if falls else 0
        self._step = 2 if falls == self._side.is_ask else -2
        self._at = 0 if self._step > 0 else 2 * self._left - 2

    def _record(self, batch: Batch, at: int, ticks: int, old: int, lots: int) -> None:
        """Emit one difference at word `at` of the side: to the batch, to the incoming hash, and to the bound of settled levels."""
        batch.append(ticks, lots | (0 if old else NEW_BIT) | self._side_bit)
        self._hash = (self._hash + hashes.of_change(ticks, self._side.is_ask, old, lots)) & BITS64
        below = at >> 1
        if old == 0 and self._step < 0:  # a new level goes above the one at which the walk stands
            below += 1
        self._settled = min(self._settled, below)
