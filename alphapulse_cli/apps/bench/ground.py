"""The ground a benchmark stands on: a directory of segments of its own, what the person asked for, and where to say how far it is.

Nothing of anybody else's is touched: the directory lies in the segments' root, so that it is measured in the memory that is used, and
goes with the run. One that a killed run left behind goes with the next.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alphapulse_cli.apps.bench.report import LeftOut
from alphapulse_cli.edges.config.layers import DEFAULT_RING_RECORDS
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory

OURS = re.compile(r"bench-[0-9]{1,10}")
ABANDONED_AFTER_NS = 10_000_000_000
RING_CAPACITY = DEFAULT_RING_RECORDS  # as `collect` makes them
SYMBOL = "BTC-USD"


@dataclass(slots=True)
class Ground:
    """What a scenario gets."""

    directory: Directory
    quick: bool = False
    capture: Path | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    say: Callable[[str], None] = lambda _: None  # what is being measured now

    @property
    def budget_s(self) -> float:
        """Time for one line."""
        return 0.15 if self.quick else 2.0

    def several(self, quick: int, full: int) -> int:
        """One number for a quick run, one for a full one."""
        return quick if self.quick else full

    def leave_out(self, scenario: str, case: str, reason: str) -> None:
        """Say honestly that it was not measured."""
        self.left_out.append(LeftOut(scenario, case, reason))

    @contextlib.contextmanager
    def outlet(
        self, set_name: str, exchange: str = "bench", symbols: Sequence[str] = (SYMBOL,), capacity: int = RING_CAPACITY
    ) -> Iterator[Outlet]:
        """A set of segments open for writing, its files removed afterwards: the next scenario may need the room."""
        with Outlet(self.directory, set_name, exchange, symbols, capacity, clock.monotonic_ns()) as outlet:
            yield outlet
        for name in self.directory.names():
            if name.startswith((f"{set_name}_", f"{set_name}.")):
                self.directory.unlink(name)


@contextlib.contextmanager
def private_directory(shm_dir: str | None) -> Iterator[Directory]:
    """A directory for this run alone in the root of the segments; gone afterwards. StorageError."""
    with open_directory(shm_dir, create=True) as root:
        for name in root.names():
            if OURS.fullmatch(name) and _is_abandoned(root.path / name):
                shutil.rmtree(root.path / name, ignore_errors=True)
        directory = root.subdirectory(f"bench-{os.getpid()}", create=True)
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_EX)  # held while we live, whoever may see our pid
            yield directory
        finally:
            shutil.rmtree(directory.path, ignore_errors=True)
            directory.close()


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds its lock, for longer than it takes to make and lock one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return clock.realtime_ns() - os.fstat(fd).st_mtime_ns > ABANDONED_AFTER_NS
    except OSError:
        return False
    finally:
        os.close(fd)
