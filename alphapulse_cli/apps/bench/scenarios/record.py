"""`record`: time a frame of recording a capture as Parquet, the finishing of its files included, against playing the same capture.

Each round's dataset must have every update of the book.
"""

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from alphapulse_cli.apps.bench.frames import BenchFeed, Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.apps.bench.scenarios.replay import lines, replayed
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import IntegrityError, UsageError
from alphapulse_cli.flow.outlet import Outlet

REPLAY = "`replay` of the same capture"
UPDATES = 500, 3_000
FEEDS = (BenchFeed("kraken", "kraken", ""), BenchFeed("coinbase", "coinbase", ""))


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    if lacks(ground, "record", [feed.case for feed in FEEDS], "pyarrow"):
        return
    leaves_out = "Nothing: its own segments, reading them, the rows, their compression and the finished files are in it."
    yield from lines(ground, "record", _recorded, (REPLAY, replayed), leaves_out, FEEDS, UPDATES)


def lacks(ground: Ground, scenario: str, cases: Collection[str], module: str) -> bool:
    """Whether a module of an extra is missing; then the lines are left out, with the reason."""
    try:
        require(module, scenario if module != "duckdb" else "sql", f"bench {scenario}")
    except UsageError as problem:
        for case in cases:
            ground.leave_out(scenario, case, str(problem))
        return True
    return False


def _recorded(_: Outlet, path: Path, made: Tape) -> float:
    """Time in ns of recording a capture."""
    folder = Path(tempfile.mkdtemp(prefix="alphapulse-bench-"))
    try:
        begun = time.perf_counter_ns()
        groups = dataset_of(path, folder)
        spent = time.perf_counter_ns() - begun
        if groups < len(made.updates):
            raise IntegrityError(f"record, {made.exchange.facts.name}: {groups} of {len(made.updates)} groups are in the dataset")
        return float(spent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dataset_of(path: Path, folder: Path) -> int:
    """Record a capture into the folder; returns the number of groups."""
    from alphapulse_cli.apps.record.past import PastRecording
    from alphapulse_cli.apps.record.plan import RecordPlan

    plan = RecordPlan(str(folder), least_free=LeastFree(0.0, 0))
    recording = PastRecording(plan, [(one, ()) for one in recordings([path])], lambda *_: None)
    try:
        for _ in recording.run(lambda: True):
            pass
        return recording.groups
    finally:
        recording.close()
