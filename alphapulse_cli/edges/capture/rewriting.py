"""Writer of a capture that is made of rows of others: a cut, a merge, an import. It appears as a whole or not at all.

with new_folder(path) as folder:
    run = RunWriter(folder, head)
    for row in rows: run.put(row)
    run.close("cut")
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import BLOCK_BYTES
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.rolling import RollingFiles, RowBlock, Totals
from alphapulse_cli.edges.capture.rows import Kind, Row, row_bytes
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.market.instrument import Instrument

LEAST_FREE = LeastFree(0.0, 64 << 20)  # a tool that a person started may fill the disk, but not to the last byte


class RunWriter:
    """Writer of one run of one set into a folder. Rows come in the order in which they are to stand; StorageError if there is no room."""

    def __init__(self, folder: Path, head: Head, rotation: Rotation | None = None) -> None:
        self.head = head
        self.rows = 0  # put in so far
        self._files = RollingFiles(folder, _no_report, rotation or Rotation(), LEAST_FREE)
        self._folder = folder
        self._open: dict[int, bytes] = {}  # payloads of the rows `open` of connections that are open, to stand again in later files
        self._preamble: list[tuple[bytes, int, bytes]] = []  # of a file that begins with the rows that wait
        self._waiting: list[bytes] = []
        self._bytes = self._first_ns = self._last_ns = 0
        self._holds: list[Row] = []  # head and checkpoints that are a block of their own

    @property
    def totals(self) -> Totals:
        """Figures of what has been written so far."""
        return self._files.totals

    def put(self, row: Row) -> None:
        """Take in a row; the heads and ends of the files that it comes from are left out."""
        if row.kind == Kind.HELD:
            self._holds.append(row)
            return
        self._write_checkpoints()
        if row.kind in (bytes(Kind.HEAD), bytes(Kind.DONE)):
            return
        if row.kind == Kind.OPEN:
            payload = opened_again(row.payload)
            if payload is None:
                self._put(row)  # no connection: a replay says so, too
                return
            if payload == row.payload and row.connection in self._open:
                return  # it stands there already: the beginning of another file of the same run
            self._put(row)
            self._open[row.connection] = payload
            return
        if row.kind == Kind.SHUT:
            self._open.pop(row.connection, None)
        self._put(row)

    @property
    def is_between_blocks(self) -> bool:
        """Whether the next row begins a block: checkpoints there cut no block in two, which would compress worse."""
        return not self._waiting

    def put_checkpoints(self, rows: Sequence[Row], instruments: Sequence[Instrument]) -> None:
        """Write checkpoints of all open connections, behind the rows so far. `instruments` are those of the set at this place."""
        self._write_checkpoints()
        self._holds = list(rows)
        self._write_checkpoints(replace(self.head, instruments=instruments))

    def use_head(self, head: Head) -> None:
        """Let the rows from here on be of this head; other instruments begin another file."""
        self._write_checkpoints()
        if head.instruments != self.head.instruments and self._files.path is not None:
            self._put(Row(bytes(Kind.DONE), self._last_ns, 0, b'{"reason":"rotated"}'))
            self._hand_over()
            self._files.close()
        self.head = head

    def close(self, reason: str) -> None:
        """Write what is left and the row `done`, and end the file."""
        self._write_checkpoints()
        self._put(Row(bytes(Kind.DONE), self._last_ns, 0, orjson.dumps({"reason": reason})))
        self._hand_over()
        self._files.close()

    def _put(self, row: Row) -> None:
        self._take(row)
        if self._bytes >= BLOCK_BYTES:
            self._hand_over()

    def _take(self, row: Row) -> None:
        if not self._waiting:
            self._first_ns = self._last_ns = row.time_ns
            self._preamble = [(bytes(Kind.OPEN), connection, payload) for connection, payload in self._open.items()]
        self._first_ns, self._last_ns = min(self._first_ns, row.time_ns), max(self._last_ns, row.time_ns)
        data = row_bytes(*row)
        self._waiting.append(data)
        self._bytes += len(data)
        self.rows += 1

    def _write_checkpoints(self, head: Head | None = None) -> None:
        """Write checkpoints that wait, as a block that begins with a head."""
        if not self._holds:
            return
        held, self._holds = self._holds, []
        self._hand_over()
        for row in (Row(bytes(Kind.HEAD), held[0].time_ns, 0, (head or self.head).to_payload()), *held):  # one block, however large
            self._take(row)
        self._hand_over(HOLDS_CHECKPOINTS)

    def _hand_over(self, flags: int = 0) -> None:
        if not self._waiting:
            return
        rows, count = b"".join(self._waiting), len(self._waiting)
        self._waiting, self._bytes = [], 0
        self._files.write(
            RowBlock(rows, count, self._first_ns, self._last_ns, self.head, tuple(self._preamble), flags), is_last=True
        )
        if self._files.totals.stopped:
            raise StorageError(f"{self._folder}: {self._files.totals.stopped}")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Context of a folder that is written under another name and appears as `path` at the end; nothing of it stays after an error.

    UsageError if `path` is there and not an empty folder; StorageError where it cannot be made.
    """
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UsageError(f"{path} is there already", "name a new folder, or an empty one")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror}") from None
    try:
        os.chmod(partial, files.PRIVATE_FOLDER)  # noqa: PTH101 - as the folder of a collector
        yield partial
        partial.rename(path)
    except StorageError as error:
        hint = error.hint or "free room there, or name a folder on another disk"
        raise StorageError(str(error).replace(str(partial), str(path)), hint) from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def opened_again(payload: bytes) -> bytes | None:
    """Payload of a row `open` with the member that says that the connection was open already; None for one that cannot be right."""
    try:
        members = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(members, dict):
        return None
    return payload if members.get("again") is True else orjson.dumps({**members, "again": True})


def _no_report(_level: str, _text: str) -> None:
    """Take a report of the files: failures are raised."""
