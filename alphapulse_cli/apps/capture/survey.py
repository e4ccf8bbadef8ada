"""Survey of one capture file: everything that one pass over its blocks shows. `info` and `check` stand on it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import Block, Damage
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import Entry, entry_of
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import BrokenRows, Kind, Row, parse_rows
from alphapulse_cli.errors import UsageError

MOST_REMEMBERED = 10_000  # openings, ends and losses of one file

Progress = Callable[[int], None]  # called with the number of bytes of the file that were read since the last call


class Loss(NamedTuple):
    """Rows that the capture's writer left out."""

    rows: int
    from_ns: int
    to_ns: int
    reason: str


@dataclass(slots=True)
class Connection:
    """One connection of a capture in one file. `opens` has its openings; `again` says that it was open when the file began."""

    number: int
    url: str = ""
    symbols: list[str] = field(default_factory=list)  # the exchange's own names
    opens: list[int] = field(default_factory=list)
    ends: list[tuple[int, str]] = field(default_factory=list)  # (time, reason)
    again: bool = False
    frames: int = 0


@dataclass(slots=True)
class Survey:
    """Contents of one file. Times are ns since 1970, 0 where there is no row."""

    path: Path
    size: int = 0
    head: Head | None = None  # None: its first block is lost
    kinds: Counter[str] = field(default_factory=Counter)
    frame_bytes: int = 0
    rows_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    connections: dict[int, Connection] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)  # symbols, while it was captured
    losses: list[Loss] = field(default_factory=list)
    lost_rows: int = 0
    damages: list[Damage] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)  # of the blocks as they lie in the file
    indexed: list[Entry] = field(default_factory=list)  # as its index has them
    has_index: bool = False
    closed: str = ""  # reason in the row `done` that ends a file closed in good order; "" without one

    @property
    def row_count(self) -> int:
        """Rows that can be read."""
        return sum(self.kinds.values())

    @property
    def cut_bytes(self) -> int:
        """Bytes at the end that are no whole block: its writer was killed, or is writing it now."""
        return sum(damage.length for damage in self.damages if damage.at_end)


def survey(path: Path, progress: Progress = lambda _: None) -> Survey:
    """Read the whole file. UsageError if it cannot be read, holds nothing of a capture, or was written by a newer version."""
    found = Survey(path)
    with CaptureFile(path) as file:
        found.size = file.size
        found.head = file.head_if_left()
        found.has_index, found.indexed = files.index_path(path).exists(), file.indexed()
        for part in file.scan():
            if isinstance(part, Block):
                _read_block(found, part)
                progress(part.compressed_bytes)
            else:
                found.damages.append(part)
                progress(part.length)
    if not found.kinds and not path.name.endswith(files.SUFFIX):
        reason = "an empty file" if not found.size else "no capture: no block of one is in it"
        raise UsageError(f"{path}: {reason}", f"captures are files that end in {files.SUFFIX}")
    return found


def _read_block(found: Survey, block: Block) -> None:
    rows: list[Row] = []
    try:
        rows.extend(parse_rows(block.rows))
    except BrokenRows as error:
        found.damages.append(Damage(block.offset, block.compressed_bytes, str(error), at_end=False))
    else:
        found.entries.append(entry_of(block, found.row_count, rows))
    found.rows_bytes += len(block.rows)
    for row in rows:
        _read_row(found, row)


def _read_row(found: Survey, row: Row) -> None:
    found.kinds[row.kind.decode("ascii", "replace")] += 1
    found.closed = ""
    found.first_ns = min(found.first_ns or row.time_ns, row.time_ns)
    found.last_ns = max(found.last_ns, row.time_ns)
    if row.kind == Kind.RECEIVED:
        found.frame_bytes += len(row.payload)
        _connection(found, row.connection).frames += 1
    elif row.kind == Kind.OPEN:
        _on_open(_connection(found, row.connection), row.time_ns, members(row))
    elif row.kind == Kind.SHUT:
        ends = _connection(found, row.connection).ends
        if len(ends) < MOST_REMEMBERED:
            ends.append((row.time_ns, text_of(members(row), "reason")))
    elif row.kind == Kind.MEMBERS:
        added = members(row).get("added")
        found.added += [text_of(one, "symbol")[:16] for one in added if isinstance(one, dict)] if isinstance(added, list) else []
    elif row.kind == Kind.LOST:
        _on_loss(found, members(row))
    elif row.kind == Kind.DONE:
        found.closed = text_of(members(row), "reason") or "done"


def _connection(found: Survey, number: int) -> Connection:
    return found.connections.setdefault(number, Connection(number))


def _on_open(connection: Connection, time_ns: int, said: dict[str, Any]) -> None:
    natives = said.get("symbols")
    connection.url = text_of(said, "url")
    connection.symbols = [str(native)[:64] for native in natives] if isinstance(natives, list) else []
    if said.get("again") is True:
        connection.again = not connection.opens
    elif len(connection.opens) < MOST_REMEMBERED:
        connection.opens.append(time_ns)


def _on_loss(found: Survey, said: dict[str, Any]) -> None:
    rows, from_ns, to_ns = (said.get(name) for name in ("rows", "from_ns", "to_ns"))
    count = rows if type(rows) is int and rows > 0 else 0
    found.lost_rows += count
    if len(found.losses) < MOST_REMEMBERED:
        times = [each if type(each) is int else 0 for each in (from_ns, to_ns)]
        found.losses.append(Loss(count, times[0], times[1], text_of(said, "reason")))


def members(row: Row) -> dict[str, Any]:
    """Members of a payload that is a JSON object in one line; none of one that is not."""
    try:
        said = orjson.loads(row.payload.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def text_of(said: dict[str, Any], name: str) -> str:
    """Member that is a text, 4,096 characters of it at most; "" where it is none."""
    value = said.get(name)
    return value[:4096] if isinstance(value, str) else ""


def surveys(paths: list[Path], progress: Progress = lambda _: None) -> Iterator[Survey]:
    """Iterate over the surveys of several files."""
    for path in paths:
        yield survey(path, progress)
