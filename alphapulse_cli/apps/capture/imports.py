"""`capture import`: recordings of others become a capture of ours, which replays through the code that collects.

    pass 1   which feed it is, by marks in its frames; its symbols
    pass 2   their grids: from the recorded metadata, else the finest that any frame needs
    pass 3   rows, merged by time: each file with frames is a connection; REST snapshots go to the connection of their symbol;
             they are played as they are written, for checkpoints

Frames stay as they are, but for those of former protocols that no decoder of today reads (`edges.capture.former`).
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from alphapulse_cli.apps.capture.checkpointing import CheckpointedRun, checkpointing
from alphapulse_cli.apps.capture.recognized import Recording, recognize
from alphapulse_cli.edges.capture.foreign import Line, Reader, read_lines
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.rewriting import RunWriter, new_folder
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import UsageError

SNAPSHOT_MARK = b"@depthSnapshot"  # Tardis's own channel: snapshots that it fetched of Binance

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Plan of an import. `exchange` and `mode` are recognized where they are "", `depth` where it is 0."""

    format_name: str
    reader: Reader
    paths: Sequence[Path]
    folder: Path
    exchange: str = ""
    mode: str = ""
    depth: int = 0
    set_name: str = ""
    with_checkpoints: bool = True


@dataclass(slots=True)
class Imported:
    """Result of an import."""

    exchange: str
    mode: str
    symbols: list[str]
    frames: int = 0
    snapshots: int = 0
    left_out: int = 0  # frames of former protocols that have no like today, and answers that no book begins with
    first_ns: int = 0
    last_ns: int = 0
    notices: list[str] = field(default_factory=list)


def run(plan: ImportPlan) -> Imported:
    """Import the files. UsageError for lines and feeds that are not understood; StorageError."""
    recording = recognize(plan.paths, plan.reader, plan.exchange, plan.mode, plan.depth)
    imported = Imported(recording.exchange, recording.mode, [one.symbol for one in recording.instruments])
    imported.notices += recording.notices
    with new_folder(plan.folder) as folder, checkpointing(plan.with_checkpoints, imported.notices.append) as made:
        writer: RunWriter | CheckpointedRun | None = None
        for row in _rows(plan, recording, imported):
            if writer is None:
                writer = made.writer(folder, _head(plan, recording, row.time_ns))
                imported.first_ns = row.time_ns
            writer.put(row)
            imported.last_ns = max(imported.last_ns, row.time_ns)
        if writer is None or not imported.frames:
            raise UsageError(f"no frames in {', '.join(map(str, plan.paths))[:200]}")
        writer.close("imported")
    return imported


def _head(plan: ImportPlan, recording: Recording, run_ns: int) -> Head:
    return Head(
        recording.exchange,
        recording.mode,
        recording.depth,
        recording.channels,
        plan.set_name or recording.exchange,
        recording.url,
        run_ns,
        0,
        recording.instruments,
        f"{plan.format_name}{recording.former}"[:40],
    )


def _rows(plan: ImportPlan, recording: Recording, imported: Imported) -> Iterator[Row]:
    """Rows of all files by time; of equal times in the order of the files."""
    connections = {path: number for number, path in enumerate(recording.natives, 1)}
    told = [_timed(number, path, plan.reader) for number, path in enumerate(plan.paths)]
    opened: set[int] = set()
    for _, number, line in heapq.merge(*told, key=itemgetter(0, 1)):
        path = plan.paths[number]
        connection = connections.get(path, 0)
        if line.kind == Kind.REST:
            yield from _answer(line, recording, connections, imported)
            continue
        if line.kind == Kind.SHUT:
            if connection in opened:
                opened.discard(connection)
                yield Row(bytes(Kind.SHUT), line.time_ns, connection, b'{"reason":"disconnected"}')
            continue
        if not connection:
            continue
        if line.kind == Kind.OPEN and connection in opened:
            opened.discard(connection)
            yield Row(bytes(Kind.SHUT), line.time_ns, connection, b'{"reason":"a new connection begins"}')
        if connection not in opened:
            opened.add(connection)
            members = {"url": (line.url or recording.url)[:4096], "symbols": recording.natives[path]}
            yield Row(bytes(Kind.OPEN), line.time_ns, connection, orjson.dumps(members))
        if line.kind == Kind.SENT:
            yield Row(line.kind, line.time_ns, connection, line.payload)
        elif line.kind == Kind.RECEIVED:
            yield from _frame(line, recording, connection, imported, path)


def _frame(line: Line, recording: Recording, connection: int, imported: Imported, path: Path) -> Iterator[Row]:
    if SNAPSHOT_MARK in line.payload[:100]:
        snapshot = _generated(line.payload)
        if snapshot is not None:
            imported.snapshots += 1
            yield _rest(line.time_ns, connection, snapshot[0], "", snapshot[1])
            return
    try:
        payload = recording.translate(line.payload) if recording.translate is not None else line.payload
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    if payload is None:
        imported.left_out += 1
        return
    imported.frames += 1
    yield Row(line.kind, line.time_ns, connection, payload)


def _generated(frame: bytes) -> tuple[str, bytes] | None:
    """Symbol and body of a snapshot that Tardis put between the frames; None for another frame."""
    try:
        message = orjson.loads(frame)
        return message["stream"].partition("@")[0].upper(), orjson.dumps(message["data"])
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None


def _answer(line: Line, recording: Recording, connections: dict[Path, int], imported: Imported) -> Iterator[Row]:
    """Row of a REST answer with which a book begins; none of others: the metadata are in the head."""
    parts = urlsplit(line.url)
    native = parse_qs(parts.query).get("symbol", [""])[0]
    path = next((path for path, natives in recording.natives.items() if native in natives), None)
    if path is None or not parts.path.endswith("/depth"):
        imported.left_out += 1
        return
    imported.snapshots += 1
    yield _rest(line.time_ns, connections[path], native, f"{parts.path}?{parts.query}", line.payload)


def _rest(time_ns: int, connection: int, native: str, path: str, body: bytes) -> Row:
    members = {"request": "snapshot", "symbol": native, "path": path, "status": 200, "headers": {}}
    return Row(bytes(Kind.REST), time_ns, connection, orjson.dumps(members) + b"\n" + body)


def _timed(number: int, path: Path, reader: Reader) -> Iterator[tuple[int, int, Line]]:
    """Lines of a file with the time at which they are played: their own, but never before that of an earlier line."""
    reached_ns = 0
    for line in read_lines(path, reader):
        reached_ns = max(reached_ns, line.time_ns)
        yield reached_ns, number, line
