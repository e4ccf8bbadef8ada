"""Environment of a benchmark: a segment directory of its own, the options of the run, and a callback for progress.

The directory is in the segments' root, so that the run uses the same memory as collectors do, and is removed at its end. A
directory that a killed run left behind is removed by the next run. Other files are not touched.
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
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import Directory, open_directory

OURS = re.compile(r"bench-[0-9]{1,10}")
ABANDONED_AFTER_NS = 10_000_000_000
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


@contextlib.contextmanager
def private_directory(shm_dir: str | None) -> Iterator[Directory]:
    """Directory for this run alone, in the segments' root; removed afterwards. StorageError."""
    with open_directory(shm_dir, create=True) as root:
        for name in root.names():
            if OURS.fullmatch(name) and _is_abandoned(root.path / name):
                shutil.rmtree(root.path / name, ignore_errors=True)
        directory = root.subdirectory(f"bench-{os.getpid()}", create=True)
        try:
            fcntl.flock(directory.fd, fcntl.LOCK_EX)  # held while this process lives: a pid may be invisible in another container
            yield directory
        finally:
            shutil.rmtree(directory.path, ignore_errors=True)
            directory.close()


def _is_abandoned(path: Path) -> bool:
    """Whether the directory's lock is free, for longer than a run takes to make and lock one."""
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
