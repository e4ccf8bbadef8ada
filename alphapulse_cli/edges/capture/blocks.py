"""Blocks of a capture: whole rows in one zstd frame with a checksum, each readable without those before it.

A flipped bit or a torn end costs the block that it is in: `read_blocks` gives all others, and says what it left out.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK_BYTES = 64 << 10  # of rows; a single longer row has a block of its own
BLOCK_S = 1.0  # longest time that rows wait for their block to be written
MOST_BLOCK_BYTES = 128 << 20  # decompressed, of a block that is read: more is no capture of ours
WINDOW_BYTES = 1 << 20  # read at a time
SEARCH_BYTES = 1 << 30  # and four times the file: most bytes read in the search for blocks behind damage
MAGIC = b"\x28\xb5\x2f\xfd"  # of a zstd frame (RFC 8878)
FLAGS_AT, HAS_CHECKSUM = 4, 4  # byte of a frame that follows its magic, and its bit: without it a flipped bit would be believed
LEVEL = 1  # the least time; on recordings of five exchanges its blocks are 0.97 to 1.04 times as large as those of level 3
_OPTIONS: dict[int, int] = {zstd.CompressionParameter.compression_level: LEVEL, zstd.CompressionParameter.checksum_flag: 1}

Read = Callable[[int, int], bytes]  # (offset, count) -> at most that many bytes of a file


@dataclass(frozen=True, slots=True)
class Block:
    """Block of a file: where it lies, and its rows as bytes."""

    offset: int
    compressed_bytes: int
    rows: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a file that are no whole block."""

    offset: int
    length: int
    reason: str
    at_end: bool  # a block that was being written when its writer ended: nothing follows it


def compress(rows: bytes) -> bytes:
    """Compress whole rows into one block."""
    return zstd.compress(rows, options=_OPTIONS)


class Compressor:
    """Compressor of one block after another, for one thread: its memory is set up once, which saves a fifth of the time."""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(options=_OPTIONS)

    def compress(self, rows: bytes) -> bytes:
        """Compress whole rows into one block, as `compress` does."""
        self._compressor.set_pledged_input_size(len(rows))
        return self._compressor.compress(rows, zstd.ZstdCompressor.FLUSH_FRAME)


def decompress(block: bytes) -> bytes:
    """Rows of one block. ValueError, with the reason, for bytes that are not exactly one undamaged block."""
    if len(block) > FLAGS_AT and not block[FLAGS_AT] & HAS_CHECKSUM:
        raise ValueError("a block without a checksum")
    try:
        held = zstd.get_frame_info(block).decompressed_size
        if held is None:
            raise ValueError("no block of a capture: it does not state its size")
        if held > MOST_BLOCK_BYTES:
            raise ValueError(f"the block holds {held} bytes, and {MOST_BLOCK_BYTES} are the most that is read")
        decompressor = zstd.ZstdDecompressor()
        rows = decompressor.decompress(block, held + 1)
    except zstd.ZstdError as error:
        raise ValueError(_reason(error)) from None
    if not decompressor.eof or decompressor.unused_data or len(rows) != held:
        raise ValueError("the block is cut short")
    return rows


def read_blocks(read: Read, end: int, start: int = 0) -> Iterator[Block | Damage]:
    """Iterate over the blocks of a file of `end` bytes, from the offset `start` on, which must begin a block; Damage for what is none.

    `read` returns the bytes of (offset, count). After damage the next block is searched for; a file that holds the beginnings of
    blocks everywhere, and no blocks, is given up once the search has read it several times (SEARCH_BYTES).
    """
    left = [SEARCH_BYTES + 4 * (end - start)]
    while start < end:
        found = _block_at(read, start, end)
        if isinstance(found, Block):
            yield found
            start += found.compressed_bytes
            continue
        stop = _next_block(_counted(read, left), start + 1, end, left)
        yield Damage(start, stop - start, found, at_end=stop == end)
        start = stop


def _block_at(read: Read, start: int, end: int) -> Block | str:
    """Block that begins at `start`, or the reason why there is none."""
    count = WINDOW_BYTES
    while True:
        window = read(start, min(count, end - start))
        try:
            length = zstd.get_frame_size(window)
            break
        except zstd.ZstdError:
            if window[:4] != MAGIC[: len(window)]:
                return "no block of a capture"
            if start + count >= end:
                return "the block is cut short"
            if count >= MOST_BLOCK_BYTES:
                return f"the block is larger than {MOST_BLOCK_BYTES} bytes, the most that is read"
            count *= 4
    try:
        return Block(start, length, decompress(window[:length]))
    except ValueError as error:
        return str(error)


def _counted(read: Read, left: list[int]) -> Read:
    """`read`, with the number of bytes read taken from `left`."""

    def counted(offset: int, count: int) -> bytes:
        data = read(offset, count)
        left[0] -= len(data)
        return data

    return counted


def _next_block(read: Read, start: int, end: int, left: list[int]) -> int:
    """Offset of the next whole block from `start` on; `end` if there is none, or once `left` bytes were read in the search."""
    while start < end:
        window = read(start, WINDOW_BYTES)
        at = window.find(MAGIC)
        while at >= 0 and left[0] > 0:
            if isinstance(_block_at(read, start + at, end), Block):
                return start + at
            at = window.find(MAGIC, at + 1)
        if len(window) < len(MAGIC) or left[0] <= 0:
            break
        start += len(window) - len(MAGIC) + 1
    return end


def _reason(error: Exception) -> str:
    return "its checksum does not match" if "checksum" in str(error).lower() else "the block cannot be decompressed"
