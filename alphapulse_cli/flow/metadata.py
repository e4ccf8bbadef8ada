"""Schedule of reads of an exchange's instrument metadata: tick, lot, minimum and trading status change while we run.

    beside each connection ─┐
    hourly ─────────────────┼─► due, at most once a minute
    a sign of a change ─────┤   (a finer number, a new grid)
    a quiet book ───────────┤   at most every two minutes: a halted market is quiet, and others are quiet often
    a restricted market ────┘   every two minutes: the restriction may end at any moment

Times are CLOCK_MONOTONIC, handed in.
"""

PAUSE_NS = 60_000_000_000
SOON_NS = 120_000_000_000
EVERY_NS = 3600_000_000_000  # up to a tenth sooner or later, so that collectors do not all read together
SPREAD = 201  # number of different intervals


class MetadataSchedule:
    """Times of one connection's reads. `seed` chooses this collector's interval."""

    def __init__(self, seed: int) -> None:
        self._every_ns = EVERY_NS + (seed % SPREAD - SPREAD // 2) * EVERY_NS // 1000
        self._after_ns = 0  # earliest time of the next read
        self._due_ns = 0  # latest time of the next read; 0 before the first connection

    def connected(self, monotonic_ns: int) -> None:
        """Schedule a read at a new connection; a minute later at the first one, since the metadata was read before it."""
        pause_ns = PAUSE_NS if self._due_ns == 0 else 0
        self._due_ns = max(monotonic_ns + pause_ns, self._after_ns)

    def failed(self, monotonic_ns: int) -> None:
        """Plan another read in a minute, after a failed one."""
        self._due_ns = monotonic_ns + PAUSE_NS

    def hasten(self, monotonic_ns: int) -> None:
        """Plan a read in two minutes at the latest."""
        self._due_ns = min(self._due_ns, monotonic_ns + SOON_NS)

    def is_due(self, monotonic_ns: int) -> bool:
        """Whether a scheduled read is due."""
        return self._due_ns != 0 and monotonic_ns >= self._due_ns

    def may_read(self, monotonic_ns: int) -> bool:
        """Whether a sign of a change may cause a read now: at most one a minute."""
        return monotonic_ns >= self._after_ns

    def may_read_for_quiet(self, monotonic_ns: int) -> bool:
        """Whether a quiet book may cause a read now: at most one in two minutes."""
        return monotonic_ns >= self._after_ns - PAUSE_NS + SOON_NS

    def read(self, monotonic_ns: int) -> None:
        """Note a read now, and plan the next one."""
        self._after_ns, self._due_ns = monotonic_ns + PAUSE_NS, monotonic_ns + self._every_ns
