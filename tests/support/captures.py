"""Captures for tests: made of the simulators' frames without a socket, or written row by row."""

import tempfile
from pathlib import Path

import orjson

from alphapulse_cli.apps.bench.frames import STARTED_NS, STEP_NS, BenchFeed, tape
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.rolling import RollingFiles, Rotation, RowBlock
from alphapulse_cli.edges.capture.rows import Kind, Row, row_bytes
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.sim.market_maker import SimulatedMarket

BLOCK_ROWS = 50


def write_rows(
    folder: Path, head: Head, rows: list[Row], *, block_rows: int = BLOCK_ROWS, rotation: Rotation | None = None
) -> None:
    """Write a capture of these rows."""
    folder.mkdir(exist_ok=True)
    made = RollingFiles(folder, _no_report, rotation or Rotation(0, 0), LeastFree(0.0, 0))
    for start in range(0, len(rows), block_rows):
        part = rows[start : start + block_rows]
        times = [row.time_ns for row in part]
        made.write(RowBlock(b"".join(row_bytes(*row) for row in part), len(part), min(times), max(times), head))
    made.close()


def tape_rows(feed: BenchFeed, count: int, start_ns: int = STARTED_NS) -> tuple[Head, list[Row], SimulatedMarket]:
    """Head and rows of one connection to a simulated feed, and its market as it is after the last row."""
    made = tape(feed, count)
    name, now_ns = made.exchange.facts.name, start_ns
    natives = [one.native for one in made.instruments]
    rows = [Row(bytes(Kind.OPEN), now_ns, 1, orjson.dumps({"url": "ws://127.0.0.1:1", "symbols": natives}))]
    for heard in made.opening:
        now_ns += STEP_NS
        if heard.is_snapshot:
            line = orjson.dumps({"request": "snapshot", "symbol": natives[0], "path": "/", "status": 200, "headers": {}})
            rows.append(Row(bytes(Kind.REST), now_ns, 1, line + b"\n" + heard.body))
        else:
            rows.append(Row(bytes(Kind.RECEIVED), now_ns, 1, heard.body))
    for frame in made.updates:
        now_ns += STEP_NS
        rows.append(Row(bytes(Kind.RECEIVED), now_ns, 1, frame))
    mode = made.exchange.facts.mode(feed.mode)
    head = Head(name, mode.name, made.depth, ("book",), name, "ws://127.0.0.1:1", start_ns, 0, tuple(made.instruments))
    assert made.market is not None
    return head, rows, made.market


def _no_report(_level: str, _text: str) -> None:
    """Take a report of the writer."""


def write_with_checkpoints(folder: Path, head: Head, rows: list[Row], every: int, *, block_rows: int = BLOCK_ROWS) -> None:
    """Write a capture of one connection's rows, with a checkpoint behind each `every` rows, as a collector makes them."""
    made = RollingFiles(folder, _no_report, Rotation(0, 0), LeastFree(0.0, 0))
    folder.mkdir(exist_ok=True)
    symbols = [one.symbol for one in head.instruments]
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_directory(f"{scratch}/segments", create=True) as directory,
        Outlet(directory, head.set_name, head.exchange, symbols, 1024, 1) as outlet,
    ):
        player = Player(head, lambda _: outlet, lambda *_: None)
        for start in range(0, len(rows), block_rows):
            part = rows[start : start + block_rows]
            for row in part:
                player.play(row)
            times = [row.time_ns for row in part]
            made.write(RowBlock(b"".join(row_bytes(*row) for row in part), len(part), min(times), max(times), head))
            if (start + block_rows) % every == 0:
                held = [
                    (Kind.HEAD, 0, head.to_payload()),
                    *((Kind.HELD, number, payload) for number, payload in player.checkpoints()),
                ]
                block = b"".join(row_bytes(kind, times[-1], number, payload) for kind, number, payload in held)
                made.write(RowBlock(block, len(held), times[-1], times[-1], head, (), HOLDS_CHECKPOINTS))
    made.close()
