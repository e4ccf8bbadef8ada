"""One side of the true book: a dict of sizes and a sorted list of prices, kept simple as a reference implementation.

    keys, ascending:   … │ 3rd best │ 2nd best │ best ]        a bid's key is its ticks, an ask's is -ticks

The best level is last on both sides, so that a change near the top moves few list entries. Tests compare books with it, so it
shares no code with `alphapulse_cli.book`.
"""

from bisect import bisect_left

from alphapulse_cli.exchanges.protocol import Level


class SimulatedLadder:
    """Levels of one side: sizes in lots by price in ticks, never zero."""

    def __init__(self, is_ask: bool) -> None:
        self.is_ask = is_ask
        self.sizes: dict[int, int] = {}
        self._sign = -1 if is_ask else 1
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def fill(self, sizes: dict[int, int]) -> None:
        """Replace all levels by these."""
        self.sizes = dict(sizes)
        self._keys = sorted(self._sign * ticks for ticks in sizes)

    def put(self, ticks: int, lots: int) -> int:
        """Set a level's size (0 removes it); returns its previous size."""
        before = self.sizes.get(ticks, 0)
        key = self._sign * ticks
        if lots:
            if not before:
                self._keys.insert(bisect_left(self._keys, key), key)
            self.sizes[ticks] = lots
        elif before:
            del self.sizes[ticks]
            del self._keys[bisect_left(self._keys, key)]
        return before

    def best(self) -> int:
        """Ticks of the best level; IndexError for an empty side."""
        return self._sign * self._keys[-1]

    def at(self, rank: int) -> int:
        """Ticks of the level at `rank`, 0 the best; IndexError beyond the last level."""
        return self._sign * self._keys[-1 - rank]

    def better_than(self, ticks: int) -> list[int]:
        """Ticks of the levels at `ticks` or better, best first."""
        first = bisect_left(self._keys, self._sign * ticks)
        return [self._sign * key for key in reversed(self._keys[first:])]

    def levels(self, depth: int | None = None) -> list[Level]:
        """The best `depth` levels (all for None), best first."""
        if depth is not None and depth <= 0:
            return []
        keys = self._keys if depth is None else self._keys[-depth:]
        sign, sizes = self._sign, self.sizes
        return [(sign * key, sizes[sign * key]) for key in reversed(keys)]
