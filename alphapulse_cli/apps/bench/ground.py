"""Environment of a benchmark: a segment directory of its own, the options of the run, and a callback for progress.

The directory is private to the run (`shm.private`) and uses the same memory as collectors do.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.apps.bench.report import LeftOut
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import Directory

RING_CAPACITY = layout.LEAST_RECORDS  # as `collect` makes them
SYMBOL = "BTC-USD"


@dataclass(slots=True)
class Ground:
    """Environment that a scenario gets."""

    directory: Directory
    quick: bool = False
    capture: Path | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    progress: Callable[[str], None] = lambda _: None  # takes the name of the present measurement

    @property
    def budget_s(self) -> float:
        """Time for one line, in seconds."""
        return 0.15 if self.quick else 2.0

    def several(self, quick: int, full: int) -> int:
        """The first number for a quick run, the second for a full one."""
        return quick if self.quick else full

    def leave_out(self, scenario: str, case: str, reason: str) -> None:
        """Record that a line was not measured, and why."""
        self.left_out.append(LeftOut(scenario, case, reason))

    @contextlib.contextmanager
    def outlet(
        self, set_name: str, exchange: str = "bench", symbols: Sequence[str] = (SYMBOL,), capacity: int = RING_CAPACITY
    ) -> Iterator[Outlet]:
        """Set of segments open for writing; its files are removed afterwards, since the next scenario may need the room."""
        with Outlet(self.directory, set_name, exchange, symbols, capacity, clock.monotonic_ns()) as outlet:
            yield outlet
        for name in self.directory.names():
            if name.startswith((f"{set_name}_", f"{set_name}.")):
                self.directory.unlink(name)
