"""Captures for tests: made of the simulators' frames without a socket."""

import tempfile
from pathlib import Path

from alphapulse_cli.apps.bench import captures
from alphapulse_cli.apps.bench.frames import STARTED_NS, BenchFeed, tape
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.market_maker import SimulatedMarket

BLOCK_ROWS = 50


def tape_rows(feed: BenchFeed, count: int, start_ns: int = STARTED_NS) -> tuple[Head, list[Row], SimulatedMarket]:
    """Head and rows of one connection to a simulated feed, and its market as it is after the last row."""
    made = tape(feed, count)
    assert made.market is not None
    return captures.head_of(made, start_ns), captures.rows_of(made, start_ns), made.market


def write_rows(
    folder: Path, head: Head, rows: list[Row], *, block_rows: int = BLOCK_ROWS, rotation: Rotation | None = None
) -> None:
    """Write a capture of these rows."""
    captures.write(folder, head, rows, block_rows=block_rows, rotation=rotation)


def write_with_checkpoints(folder: Path, head: Head, rows: list[Row], every: int, *, block_rows: int = BLOCK_ROWS) -> None:
    """Write a capture of one connection's rows, with checkpoints behind each `every` rows."""
    symbols = [one.symbol for one in head.instruments]
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_directory(f"{scratch}/segments", create=True) as directory,
        Outlet(directory, head.set_name, head.exchange, symbols, 1024, 1) as outlet,
    ):
        captures.write_with_checkpoints(folder, outlet, head, rows, every, block_rows=block_rows)
