"""When an exchange's instrument metadata is read again: tick, lot, minimum and trading status change while we run.

    beside each connection ─┐
    hourly ─────────────────┼─► due, at most once a minute
    a sign of a change ─────┤   (a finer number, a new grid)
    a quiet book ───────────┤   each two minutes at most: a halted market is quiet, and others are quiet often
    a market not traded freely ┘ each two minutes: it may be over at any moment

Times are CLOCK_MONOTONIC, handed in.
"""

PAUSE_NS = 60_000_000_000
SOON_NS = 120_000_000_000
EVERY_NS = 3600_000_000_000  # and up to a tenth sooner or later, lest all collectors ask together
SPREAD = 201  # seeds, each with an hour of its own


class MetadataSchedule:
    """The times of one connection's reads. `seed` chooses this collector's hour."""

    def __init__(self, seed: int) -> None:
        self._every_ns = EVERY_NS + (seed % SPREAD - SPREAD // 2) * EVERY_NS // 1000
        self._after_ns = 0  # no sooner
        self._due_ns = 0  # no later; 0 before the first connection

    def connected(self, monotonic_ns: int) -> None:
        """Plan a read beside a new connection; beside the first, which was preceded by one, a minute later."""
        pause_ns = PAUSE_NS if self._due_ns == 0 else 0
        self._due_ns = max(monotonic_ns + pause_ns, self._after_ns)

    def failed(self, monotonic_ns: int) -> None:
        """Plan another read in a minute: it could not be had."""
        self._due_ns = monotonic_ns + PAUSE_NS

    def hasten(self, monotonic_ns: int) -> None:
        """Plan a read in two minutes at the latest."""
        self._due_ns = min(self._due_ns, monotonic_ns + SOON_NS)

    def is_due(self, monotonic_ns: int) -> bool:
        """Whether the planned time has come."""
        return self._due_ns != 0 and monotonic_ns >= self._due_ns

    def may_read(self, monotonic_ns: int) -> bool:
        """Whether a sign of a change may have it read now: at most once a minute."""
        return monotonic_ns >= self._after_ns

    def may_read_for_quiet(self, monotonic_ns: int) -> bool:
        """Whether a quiet book may have it read now: at most each two minutes."""
        return monotonic_ns >= self._after_ns - PAUSE_NS + SOON_NS

    def read(self, monotonic_ns: int) -> None:
        """Note that it is read now, and plan the next time."""
        self._after_ns, self._due_ns = monotonic_ns + PAUSE_NS, monotonic_ns + self._every_ns
