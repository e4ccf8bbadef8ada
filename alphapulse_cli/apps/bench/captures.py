"""Captures of simulated feeds for `replay` and `travel`: the tape of a connection, written as a collector writes it."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from alphapulse_cli.apps.bench.frames import STARTED_NS, STEP_NS, Tape
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES
from alphapulse_cli.edges.capture.files import LeastFree, capture_files
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.rolling import RollingFiles, RowBlock
from alphapulse_cli.edges.capture.rows import Kind, Row, row_bytes
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.flow.outlet import Outlet

ADDRESS = "ws://127.0.0.1:1"


def head_of(tape: Tape, start_ns: int = STARTED_NS) -> Head:
    """Head of a tape's capture."""
    name = tape.exchange.facts.name
    return Head(name, tape.mode, tape.depth, (BOOK,), name, ADDRESS, start_ns, 0, tuple(tape.instruments))


def rows_of(tape: Tape, start_ns: int = STARTED_NS, step_ns: int = STEP_NS) -> list[Row]:
    """Rows of one connection: its opening, and its updates `step_ns` apart."""
    natives = [one.native for one in tape.instruments]
    rows = [Row(bytes(Kind.OPEN), start_ns, 1, orjson.dumps({"url": ADDRESS, "symbols": natives}))]
    for heard in tape.opening:
        time_ns = rows[-1].time_ns + STEP_NS
        if heard.is_snapshot:
            line = orjson.dumps({"request": "snapshot", "symbol": natives[0], "path": "/", "status": 200, "headers": {}})
            rows.append(Row(bytes(Kind.REST), time_ns, 1, line + b"\n" + heard.body))
        else:
            rows.append(Row(bytes(Kind.RECEIVED), time_ns, 1, heard.body))
    begin_ns = rows[-1].time_ns
    return rows + [Row(bytes(Kind.RECEIVED), begin_ns + place * step_ns, 1, frame) for place, frame in enumerate(tape.updates, 1)]


def write(folder: Path, head: Head, rows: Sequence[Row], *, block_rows: int = 0, rotation: Rotation | None = None) -> Path:
    """Write rows as a capture, in blocks of `block_rows` rows, or of BLOCK_BYTES; returns its (first) file."""
    folder.mkdir(exist_ok=True)
    made = _files(folder, rotation)
    for block in _blocks(head, rows, block_rows):
        made.write(block)
    made.close()
    return capture_files([folder], head.set_name)[0]


def write_with_checkpoints(
    folder: Path, outlet: Outlet, head: Head, rows: Sequence[Row], every: int, *, block_rows: int = 0
) -> Path:
    """Write rows with a checkpoint after each `every` of them, keeping the books in `outlet`. Returns the file."""
    folder.mkdir(exist_ok=True)
    made, player, since = _files(folder, None), Player(head, lambda _: outlet, lambda *_: None), 0
    at = 0
    for block in _blocks(head, rows, block_rows):
        for row in rows[at : at + block.row_count]:
            player.play(row)
        at, since = at + block.row_count, since + block.row_count
        made.write(block)
        made_now = player.checkpoints() if since >= every else ()
        if made_now:
            since = 0
            held = [(Kind.HEAD, 0, head.to_payload()), *((Kind.HELD, number, payload) for number, payload in made_now)]
            content = b"".join(row_bytes(kind, block.last_ns, number, payload) for kind, number, payload in held)
            made.write(RowBlock(content, len(held), block.last_ns, block.last_ns, head, (), HOLDS_CHECKPOINTS))
    made.close()
    return capture_files([folder], head.set_name)[0]


def _files(folder: Path, rotation: Rotation | None) -> RollingFiles:
    return RollingFiles(folder, lambda *_: None, rotation or Rotation(0, 0), LeastFree(0.0, 0))


def _blocks(head: Head, rows: Sequence[Row], block_rows: int) -> list[RowBlock]:
    blocks: list[RowBlock] = []
    waiting: list[bytes] = []
    times: list[int] = []
    for place, row in enumerate(rows, 1):
        waiting.append(row_bytes(*row))
        times.append(row.time_ns)
        is_full = len(waiting) >= block_rows if block_rows else sum(map(len, waiting)) >= BLOCK_BYTES
        if is_full or place == len(rows):
            blocks.append(RowBlock(b"".join(waiting), len(waiting), min(times), max(times), head))
            waiting, times = [], []
    return blocks
