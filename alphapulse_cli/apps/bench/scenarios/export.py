"""`export`: time a frame of exporting a capture to another tool's files, against playing the same capture.

Each round's files must tell every change of the book that the capture has.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from alphapulse_cli.apps.bench.frames import BenchFeed, Tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.apps.bench.scenarios.record import REPLAY, UPDATES, lacks
from alphapulse_cli.apps.bench.scenarios.replay import lines, replayed
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.flow.outlet import Outlet

FORMATS = ("hftbacktest", "tardis-csv", "parquet")


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    for to in FORMATS:
        if to == "parquet" and lacks(ground, "export", [f"kraken, {to}"], "pyarrow"):
            continue
        feeds = (BenchFeed(f"kraken, {to}", "kraken", ""),)
        yield from lines(
            ground, "export", partial(_exported, to), (REPLAY, replayed), "Nothing: the finished files are in it.", feeds, UPDATES
        )


def _exported(to: str, _: Outlet, path: Path, made: Tape) -> float:
    """Time in ns of exporting a capture."""
    from alphapulse_cli.apps.export.export import export_to

    folder = Path(tempfile.mkdtemp(prefix="alphapulse-bench-"))
    try:
        begun = time.perf_counter_ns()
        done = export_to([path], to, folder / "out", (), ())
        spent = time.perf_counter_ns() - begun
        groups = sum(one["counts"].get("groups", 0) for one in done.summary["markets"])
        if not done.files or groups < len(made.updates):
            raise IntegrityError(f"export to {to}: {groups} of {len(made.updates)} groups are in the files")
        return float(spent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
