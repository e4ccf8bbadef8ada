"""Reader of captures: the rows of a file, or of many in order, from any time on; what cannot be read is left out and named.

    CaptureFile ─► entries (its index, or a scan) ─► blocks ─► rows

A file that is being written is read as far as its whole blocks go.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.blocks import MAGIC, Block, Damage, decompress, read_blocks
from alphapulse_cli.edges.capture.head import Head, parse_head
from alphapulse_cli.edges.capture.index import Entry, entry_of, read_index
from alphapulse_cli.edges.capture.rows import BrokenRows, Kind, Row, parse_rows
from alphapulse_cli.errors import UsageError

MOST_INDEX_BYTES = 1 << 30


@dataclass(slots=True)
class CaptureFile:
    """One file of a capture, open for reading in a `with`. UsageError for a file that is not there, or no capture.

    `damages` has the bytes that were found to be unreadable so far.
    """

    path: Path
    damages: list[Damage] = field(default_factory=list)
    size: int = 0  # bytes, when it was opened
    _source: int = -1  # file descriptor: a mapping of a file that its writer cuts would end this process
    _entries: list[Entry] | None = None
    _head: Head | None = None

    def __enter__(self) -> Self:
        try:
            self._source = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would block
            found = os.fstat(self._source)
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path}: {error.strerror}", f"captures are files that end in {files.SUFFIX}, and folders of them"
            ) from None
        if not stat.S_ISREG(found.st_mode):
            os.close(self._source)
            raise UsageError(f"cannot read {self.path}: not a file", f"captures are files that end in {files.SUFFIX}")
        self.size = found.st_size
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._source)

    @property
    def head(self) -> Head:
        """Head of the file. UsageError if it has none: no capture, its beginning is lost, or a newer version wrote it."""
        found = self.head_if_left()
        if found is None:
            raise UsageError(
                f"{self.path}: no capture, or its beginning is lost",
                f"captures are files that end in {files.SUFFIX}; `alphapulse capture check` tells what is left of this one",
            )
        return found

    def head_if_left(self) -> Head | None:
        """Head of the file; None where its first block is lost. UsageError for the head of another format or a newer version."""
        if self._head is None:
            first = next(read_blocks(self._read, self.size), None)
            row = next(_whole_rows(first.rows), None) if isinstance(first, Block) else None
            if row is None or row.kind != Kind.HEAD:
                return None
            try:
                self._head = parse_head(row.payload)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}", error.hint) from None
        return self._head

    def scan(self) -> Iterator[Block | Damage]:
        """Iterate over the blocks as they lie in the file, without its index; Damage for bytes that are no whole block."""
        return read_blocks(self._read, self.size)

    def indexed(self) -> list[Entry]:
        """Entries of the file's index, as far as it fits the file; none where there is none."""
        path = files.index_path(self.path)
        try:
            if path.stat().st_size > MOST_INDEX_BYTES:
                return []
            return read_index(path.read_bytes(), self.size)
        except OSError:
            return []

    def _fits(self, entries: Sequence[Entry]) -> bool:
        """Whether blocks begin where the first and the last entry say, and end there: else it is another file's index."""
        places = {place for entry in (*entries[:1], *entries[-1:]) for place in (entry.offset, entry.end)}
        begins = [self._read(place, len(MAGIC)) for place in places if place < self.size]
        return all(MAGIC.startswith(begin) for begin in begins)

    def entries(self) -> list[Entry]:
        """Entries of all whole blocks: from the index as far as it goes, then by a scan, which also finds damage."""
        if self._entries is None:
            indexed = self.indexed()
            self._entries = indexed if self._fits(indexed) else []
            after = self._entries[-1] if self._entries else None
            self._scan(after.end if after else 0, after.first_row + after.row_count if after else 0)
        return self._entries

    def blocks(self, start: int = 0) -> Iterator[tuple[Entry, bytes]]:
        """Iterate over the entries from number `start` on with their rows as bytes. Damaged ones are left out."""
        for entry in self.entries()[start:]:
            data = self._read(entry.offset, entry.compressed_bytes)
            try:
                yield entry, decompress(data)
            except ValueError as error:
                self._note(Damage(entry.offset, len(data), str(error), at_end=entry.end == self.size))

    def rows(self, from_ns: int | None = None, to_ns: int | None = None) -> Iterator[Row]:
        """Iterate over the rows, in the order in which they were written, of from_ns ≤ time < to_ns; None is unbounded."""
        for entry, block in self.blocks():
            if (from_ns is not None and entry.last_ns < from_ns) or (to_ns is not None and entry.first_ns >= to_ns):
                continue
            is_whole = (from_ns is None or entry.first_ns >= from_ns) and (to_ns is None or entry.last_ns < to_ns)
            try:
                for row in parse_rows(block):
                    if is_whole or ((from_ns is None or row.time_ns >= from_ns) and (to_ns is None or row.time_ns < to_ns)):
                        yield row
            except BrokenRows as error:
                self._note(Damage(entry.offset, entry.compressed_bytes, str(error), at_end=False))

    def _scan(self, start: int, first_row: int) -> None:
        """Add entries of the blocks that the index does not know."""
        assert self._entries is not None
        for found in read_blocks(self._read, self.size, start):
            if isinstance(found, Damage):
                self._note(found)
                continue
            try:
                entry = entry_of(found, first_row)
            except BrokenRows as error:
                self._note(Damage(found.offset, found.compressed_bytes, str(error), at_end=False))
                continue
            self._entries.append(entry)
            first_row += entry.row_count

    def _read(self, offset: int, count: int) -> bytes:
        return os.pread(self._source, count, offset)

    def _note(self, damage: Damage) -> None:
        if damage not in self.damages:
            self.damages.append(damage)


def _whole_rows(block: bytes) -> Iterator[Row]:
    """Rows of a block up to the first that is none."""
    with contextlib.suppress(BrokenRows):
        yield from parse_rows(block)


def read_rows(
    paths: Sequence[Path],
    from_ns: int | None = None,
    to_ns: int | None = None,
    on_damage: Callable[[Path, Damage], None] | None = None,
) -> Iterator[tuple[Head, Row]]:
    """Iterate over the rows of several files, one file after another, each with its file's head. UsageError for a file that is no capture."""
    for path in paths:
        with CaptureFile(path) as file:
            head = file.head
            for row in file.rows(from_ns, to_ns):
                yield head, row
            if on_damage is not None:
                for damage in file.damages:
                    on_damage(path, damage)
