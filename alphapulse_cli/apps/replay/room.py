"""Room in the rings of a replay: faster than it was recorded, it waits for the readers that it would lap."""

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm.cursor import AttachedReaders, CursorInfo
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.ring import RingWriter

KEPT_FREE = 2  # part of a ring's capacity that the next block may fill: the half


class Room:
    """Room in the two rings of one set."""

    def __init__(self, directory: Directory, outlet: Outlet) -> None:
        self._rings = [_Ring(directory, ring) for ring in (outlet.deltas, outlet.trades)]

    def missing(self, monotonic_ns: int) -> CursorInfo | None:
        """Reader that has to read on before more is published; None if there is room."""
        for ring in self._rings:
            behind = ring.missing(monotonic_ns)
            if behind is not None:
                return behind
        return None


class _Ring:
    """Ring, and the position that its slowest reader is known to have passed."""

    def __init__(self, directory: Directory, ring: RingWriter) -> None:
        self._ring, self._readers = ring, AttachedReaders(directory, ring.segment)
        self._passed = ring.published

    def missing(self, monotonic_ns: int) -> CursorInfo | None:
        ring, most = self._ring, self._ring.capacity // KEPT_FREE
        if ring.published - self._passed < most:
            return None
        slowest = self._readers.slowest(monotonic_ns)
        self._passed = ring.published if slowest is None else slowest.position
        return slowest if ring.published - self._passed >= most else None
