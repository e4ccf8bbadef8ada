"""Marks on the time of a recording: a fixed number of equal parts, each marked or not, however many marks are set.

first_ns ├──┬──┬██┬──┬──┬──┬██┬██┬──┤ last_ns      ranges() ─► (from, to) of each run of marked parts
"""

from collections.abc import Iterator
from itertools import groupby

PARTS = 2048  # more than a terminal has columns


class Marks:
    """Marks between two times, in ns since 1970. `revision` grows with each change."""

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self.first_ns, self.last_ns = first_ns, max(last_ns, first_ns)
        self.part_ns = (self.last_ns - first_ns) // PARTS + 1
        self.revision = 0
        self._parts = bytearray(PARTS)

    def add(self, from_ns: int, to_ns: int | None = None) -> None:
        """Mark a time, or all from one to another; what lies outside is left out."""
        from_ns, to_ns = max(from_ns, self.first_ns), min(from_ns if to_ns is None else to_ns, self.last_ns)
        if from_ns > to_ns:
            return
        begin, end = ((time_ns - self.first_ns) // self.part_ns for time_ns in (from_ns, to_ns))
        marked = b"\1" * (end - begin + 1)
        if self._parts[begin : end + 1] != marked:
            self._parts[begin : end + 1] = marked
            self.revision += 1

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Iterate over the marked times as (first, last) of neighbouring parts, in order."""
        at = self.first_ns
        for is_marked, parts in groupby(bytes(self._parts)):
            end = at + sum(1 for _ in parts) * self.part_ns
            if is_marked:
                yield at, min(end - 1, self.last_ns)
            at = end
