"""Index of a capture file: an entry for each block, by place, row number and time. Append-only, and made anew where it is missing.

It lies beside the file with the suffix `.idx`. It holds nothing that the file itself does not hold: an index that does not fit its
file is ignored, and `capture check --repair` writes another.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alphapulse_cli.edges.capture.blocks import MOST_BLOCK_BYTES, Block
from alphapulse_cli.edges.capture.rows import BrokenRows, Kind, Row, parse_rows

MAGIC = b"alphapulse capture index 1\n".ljust(56, b"\0")
ENTRY = struct.Struct("<QIIQIIqq")  # and a CRC-32 of these bytes, and four zero bytes
ENTRY_BYTES = 56
LATEST_NS = 2**63 - 1  # of an entry: rows may state a later time, of which no calendar knows


HOLDS_CHECKPOINTS = 1  # flag of a block that begins with a head and has checkpoints of all connections that were open


class Entry(NamedTuple):
    """Entry of one block. Times are the earliest and the latest of its rows, in ns since 1970."""

    offset: int
    compressed_bytes: int
    rows_bytes: int  # decompressed
    first_row: int  # number of its first row in the file, from 0
    row_count: int
    flags: int  # HOLDS_CHECKPOINTS
    first_ns: int
    last_ns: int

    @property
    def end(self) -> int:
        """Offset of the byte after the block."""
        return self.offset + self.compressed_bytes


def entry_of(block: Block, first_row: int, rows: Sequence[Row] | None = None) -> Entry:
    """Make the entry of a block. BrokenRows if its bytes are not rows; `rows` are its rows where they are known."""
    rows = list(parse_rows(block.rows)) if rows is None else rows
    if not rows:
        raise BrokenRows("a block without rows", 0)
    times = [min(row.time_ns, LATEST_NS) for row in rows]
    flags = HOLDS_CHECKPOINTS if len(rows) > 1 and (rows[0].kind, rows[1].kind) == (Kind.HEAD, Kind.HELD) else 0
    return Entry(block.offset, block.compressed_bytes, len(block.rows), first_row, len(rows), flags, min(times), max(times))


def entry_bytes(entry: Entry) -> bytes:
    """Bytes of an entry in the index."""
    packed = ENTRY.pack(*entry)
    return packed + struct.pack("<II", zlib.crc32(packed), 0)


def read_index(data: bytes, file_bytes: int) -> list[Entry]:
    """Entries of an index, as far as they are whole, follow one another and lie within a file of `file_bytes`; none of a foreign one."""
    if data[: len(MAGIC)] != MAGIC:
        return []
    entries: list[Entry] = []
    end = first_row = 0
    for at in range(len(MAGIC), len(data) - ENTRY_BYTES + 1, ENTRY_BYTES):
        packed = data[at : at + ENTRY.size]
        entry = Entry(*ENTRY.unpack(packed))
        (crc,) = struct.unpack_from("<I", data, at + ENTRY.size)
        fits = entry.offset == end and entry.end <= file_bytes and entry.first_row == first_row and entry.row_count
        fits = fits and entry.compressed_bytes <= MOST_BLOCK_BYTES
        if crc != zlib.crc32(packed) or not fits:
            break
        entries.append(entry)
        end, first_row = entry.end, first_row + entry.row_count
    return entries


def index_bytes(entries: Iterable[Entry]) -> bytes:
    """Bytes of a whole index."""
    return MAGIC + b"".join(map(entry_bytes, entries))
