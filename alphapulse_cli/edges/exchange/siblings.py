"""State that the connections of one set share: they have one exchange, one address and one block of counters.

metadata     read by one of them at a time, its answer handed to all
pauses       the latest end among those that the exchange asked for is what readers see
counts       how many are open; whether any of them ever was
"""

import asyncio
from dataclasses import dataclass, field

from alphapulse_cli.flow.ingest import Ingest


@dataclass(slots=True)
class Siblings:
    """Shared state of the connections of one set."""

    ingests: list[Ingest] = field(default_factory=list)
    has_connected: bool = False  # whether any connection was ever open
    reader: asyncio.Task[None] | None = None  # the last read of the instrument metadata, by any of them
    _open: set[int] = field(default_factory=set)  # by `id` of the connection's ingest
    _waits: dict[int, int] = field(default_factory=dict)  # ends of the pauses asked for, by the same

    @property
    def is_reading(self) -> bool:
        """Whether one of them reads the instrument metadata now."""
        return self.reader is not None and not self.reader.done()

    def forget(self, ingest: Ingest) -> None:
        """Forget a closed connection; its end is still recorded by `ended`."""
        self.ingests.remove(ingest)
        self._waits.pop(id(ingest), None)

    def opened(self, ingest: Ingest) -> int:
        """Record an opened connection; returns the number of open ones."""
        self.has_connected = True
        self._open.add(id(ingest))
        return len(self._open)

    def ended(self, ingest: Ingest) -> int:
        """Record the end of a connection; returns how many are open."""
        self._open.discard(id(ingest))
        return len(self._open)

    def wait_until_ns(self, ingest: Ingest, until_ns: int) -> int:
        """Record the end of a connection's pause at the exchange's request, 0 for none; returns the latest of all connections."""
        self._waits[id(ingest)] = until_ns
        return max(self._waits.values())
