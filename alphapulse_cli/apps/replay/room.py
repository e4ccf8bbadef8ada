"""Room in the rings of a replay: faster than it was recorded, it waits for the readers that it would lap.

It waits for them, too, behind each RESET, whose book they read from its image, and before a run ends: what follows would change the
image, or leave them in another order between the sets. So readers that were there from the beginning see the same at any speed.
"""

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm.cursor import AttachedReaders, CursorInfo
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingWriter

KEPT_FREE = 2  # part of a ring's capacity that the next block may fill: the half
JOIN_NS = 5_000_000_000  # a reader that has not come to a RESET by then is not waited for until it has


class Room:
    """Room in the two rings of one set."""

    def __init__(self, directory: Directory, outlet: Outlet) -> None:
        self._deltas = _Ring(directory, outlet.deltas)
        self._trades = _Ring(directory, outlet.trades)

    def missing(self, monotonic_ns: int) -> CursorInfo | None:
        """Reader that has to read on before more is published; None if there is room."""
        return self._deltas.unjoined(monotonic_ns) or self._deltas.missing(monotonic_ns) or self._trades.missing(monotonic_ns)

    def require_all_read(self) -> None:
        """Let `missing` name readers until they have read all deltas that are published now."""
        self._deltas.require(self._deltas.published)


class _Ring:
    """Ring, the position that its slowest reader is known to have passed, and the one that all have to reach."""

    def __init__(self, directory: Directory, ring: RingWriter) -> None:
        self._ring, self._readers = ring, AttachedReaders(directory, ring.segment)
        self._passed = ring.published
        self._joined = ring.after_reset
        self._required = self._since_ns = 0
        self._late: dict[str, int] = {}  # cursor of a reader that is not waited for -> its position

    @property
    def published(self) -> int:
        """Sequence of the next record."""
        return self._ring.published

    def require(self, position: int) -> None:
        """Let `unjoined` name readers until they have come to that position."""
        if position > self._required:
            self._required, self._since_ns = position, 0

    def missing(self, monotonic_ns: int) -> CursorInfo | None:
        """Slowest reader if it leaves less room than is kept free."""
        ring, most = self._ring, self._ring.capacity // KEPT_FREE
        if ring.published - self._passed < most:
            return None
        slowest = self._readers.slowest(monotonic_ns)
        self._passed = ring.published if slowest is None else slowest.position
        return slowest if ring.published - self._passed >= most else None

    def unjoined(self, monotonic_ns: int) -> CursorInfo | None:
        """Reader that has not come to the last RESET, or to what `require` was given; JOIN_NS at most."""
        if self._ring.after_reset > self._joined:
            self._joined = self._ring.after_reset
            self.require(self._joined)
        if not self._required:
            return None
        self._since_ns = self._since_ns or monotonic_ns
        behind = [one for one in self._readers.all(monotonic_ns) if one.position < self._required]
        awaited = [one for one in behind if self._late.get(one.name) != one.position]
        if awaited and monotonic_ns - self._since_ns < JOIN_NS:
            return min(awaited, key=lambda one: one.position)
        self._late.update({one.name: one.position for one in awaited})
        self._required = 0
        return None
