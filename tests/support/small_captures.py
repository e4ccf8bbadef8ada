"""Small captures made by the writer's own files: rows in, a folder out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rolling import RollingFiles, RowBlock
from alphapulse_cli.edges.capture.rows import Row, row_bytes
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
ETH = Instrument("kraken", "ETH-USD", "ETH/USD", 2, 8)
T0 = 1_764_324_000_000_000_000  # 2025-11-28T10:00:00Z
MS = 1_000_000
HEAD = Head("kraken", "v2", 10, ("book",), "kraken", "ws://127.0.0.1:1/v2", T0, 0, (BTC,))


def said(**members: object) -> bytes:
    """Payload of members."""
    return orjson.dumps(members)


def opened(at_ms: int, connection: int = 1, symbols: Sequence[str] = ("BTC/USD",)) -> Row:
    """Row `open`."""
    return Row(b"open", T0 + at_ms * MS, connection, said(url="ws://127.0.0.1:1/v2", symbols=list(symbols)))


def shut(at_ms: int, connection: int = 1, reason: str = "closed") -> Row:
    """Row `shut`."""
    return Row(b"shut", T0 + at_ms * MS, connection, said(reason=reason))


def frame(at_ms: int, payload: bytes | str, connection: int = 1) -> Row:
    """Row `recv`."""
    return Row(b"recv", T0 + at_ms * MS, connection, payload if isinstance(payload, bytes) else payload.encode())


def done(at_ms: int) -> Row:
    """Row `done`."""
    return Row(b"done", T0 + at_ms * MS, 0, said(reason="end"))


def write(
    folder: Path, rows: Iterable[Row], head: Head = HEAD, *, block_rows: int = 3, rotation: Rotation | None = None
) -> list[Path]:
    """Write the rows, `block_rows` in a block, as files of a capture in the folder, which is made; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*" + files.SUFFIX))
    made = RollingFiles(folder, lambda *_: None, rotation or Rotation(), LeastFree(0.0, 0))
    listed = list(rows)
    for start in range(0, len(listed), block_rows):
        part = listed[start : start + block_rows]
        times = [row.time_ns for row in part]
        made.write(RowBlock(b"".join(row_bytes(*row) for row in part), len(part), min(times), max(times), head))
    made.close()
    return sorted(set(folder.glob("*" + files.SUFFIX)) - before)


def read(folder: Path) -> list[Row]:
    """All rows of all files of a folder."""
    rows: list[Row] = []
    for path in files.capture_files([folder]):
        with CaptureFile(path) as file:
            rows += file.rows()
            assert not file.damages
    return rows
