"""Checkpoints of a connection: its books and its decoder's position, from which another process goes on in the middle of a capture.

    checkpoint(ingest) ─► bytes: a JSON object in one line, then the levels ─► resume(ingest, bytes)

    {"position": …, "books": [{"native", "version", "time_ns", "state", "reason", "checksum", "proved_ns", "price_decimals",
     "size_decimals", "bids", "asks", and what `Ingest.memory` has}, …]}⏎ and for each book its bids, then its asks: the ticks (i64,
     little-endian, best last), then the lots; "open": false beside the position of a connection that is lost

Prices and sizes stand in columns because they compress better so. There are no checkpoints while a book is healing, or in the first
half minute of one that has not come: what the decoder has buffered for it is not in them.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from alphapulse_cli.exchanges.protocol import Resumable
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

GOOD = (BookState.LIVE, BookState.STALE)
MOST_VERSION = 2**63 - 1
COMES_WITHIN_NS = 30_000_000_000  # of its connection: a first snapshot that comes later finds nothing buffered


class Taken(NamedTuple):
    """Checkpoint as it was taken, in the order of the books' images: a copy of their memory, which costs little."""

    line: bytes  # the JSON object
    sides: Sequence[bytes]  # of each book its bids and its asks, 16 bytes a level

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return len(self.line) + 1 + sum(map(len, self.sides))

    def payload(self) -> bytes:
        """Make the payload, with prices and sizes in columns."""
        return b"".join([self.line, b"\n", *(column for side in self.sides for column in _split(side))])


def checkpoint(ingest: Ingest, monotonic_ns: int, *, is_open: bool = True) -> bytes | None:
    """Make a checkpoint of a connection; of one that is not `is_open` its books are kept until it is made again.

    None if its decoder cannot go on from one, while one of its books is healing or its first snapshot is on the way, where there are no
    books, and on a machine of another byte order.
    """
    taken = take(ingest, monotonic_ns, is_open=is_open)
    return None if taken is None else taken.payload()


def take(ingest: Ingest, monotonic_ns: int, *, is_open: bool = True) -> Taken | None:
    """Take a checkpoint of a connection, whose payload may be made later; None as from `checkpoint`."""
    if not isinstance(ingest.decoder, Resumable) or sys.byteorder != "little" or not ingest.keepers:
        return None
    is_new = monotonic_ns - ingest.opened_ns < COMES_WITHIN_NS
    if is_open and any(_is_healing(keeper) or (is_new and keeper.state is BookState.COLD) for keeper in ingest.keepers.values()):
        return None
    books, sides = [], list[bytes]()
    for native, keeper in ingest.keepers.items():
        row, both = _book(native, keeper)
        books.append(row | ingest.memory(keeper, monotonic_ns))
        sides += both
    members = {"position": ingest.decoder.position(), "books": books, **({} if is_open else {"open": False})}
    return Taken(orjson.dumps(members), sides)


def levels_bytes(ingest: Ingest) -> int:
    """Bytes that the levels of a connection's books take in a checkpoint."""
    return sum(16 * (keeper.book.bid_count + keeper.book.ask_count) for keeper in ingest.keepers.values())


def resume(ingest: Ingest, payload: bytes, time_ns: int) -> None:
    """Take up a connection that has just been `connected`, at `time_ns`, at a checkpoint. ValueError for one that cannot be right.

    Books that were not good at the checkpoint are not now, and wait for their next snapshot.
    """
    decoder = ingest.decoder
    if not isinstance(decoder, Resumable):
        raise ValueError("the decoder of this exchange cannot go on from a checkpoint")  # noqa: TRY004 - one kind of error for callers
    line, _, columns = payload.partition(b"\n")
    try:
        members = orjson.loads(line)
        good, at = [], 0
        for row in members["books"]:
            counts = int(row["bids"]), int(row["asks"])
            sides = [_joined(columns, at, counts[0]), _joined(columns, at + 16 * counts[0], counts[1])]
            at += 16 * sum(counts)
            keeper = ingest.keepers.get(row["native"])
            if keeper is not None and _resume_book(ingest, keeper, row, sides, time_ns):
                good.append(row["native"])
        decoder.resume(members["position"], good)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"a checkpoint that cannot be right: {error!s:.100}") from None


def _is_healing(keeper: BookKeeper) -> bool:
    """Whether a snapshot of the book is on its way; one that the exchange's checksums never match may stay so for good."""
    return keeper.state is BookState.SYNCING and keeper.reason is not BookReason.UNVERIFIED


def _book(native: str, keeper: BookKeeper) -> tuple[dict[str, Any], tuple[bytes, bytes]]:
    image = ImageReader(keeper.image.segment).copy()
    assert image is not None, "the writer of an image reads it between two of its own edits"
    row = {
        "native": native,
        "version": keeper.version,
        "time_ns": image.timestamp_ns,
        "state": int(keeper.state),
        "reason": int(keeper.reason),
        "checksum": int(keeper.checksum),
        "proved_ns": keeper.proved_ns,
        "price_decimals": image.price_decimals,
        "size_decimals": image.size_decimals,
        "bids": len(image.bids) // 16,
        "asks": len(image.asks) // 16,
    }
    return row, (image.bids, image.asks)


def _resume_book(ingest: Ingest, keeper: BookKeeper, row: Mapping[str, Any], sides: list[bytes], time_ns: int) -> bool:
    """Give a keeper the book of a checkpoint; whether it is good."""
    state, version = BookState(row["state"]), int(row["version"])
    ingest.recall(keeper, row, time_ns, time_ns)
    if state is BookState.COLD:
        return False
    grid = _on_grid(keeper.instrument, int(row["price_decimals"]), int(row["size_decimals"]))
    if not 0 <= version <= MOST_VERSION:
        raise ValueError(f"a checkpoint with the version {version}")
    if grid is not keeper.instrument:
        ingest.decoder.use_instrument(grid)
    reason, checksum = BookReason(row["reason"]), ChecksumState(row["checksum"])
    is_kept = keeper.resume(grid, (sides[0], sides[1]), version, (state, reason, checksum), min(int(row["time_ns"]), time_ns))
    keeper.proved_ns = min(int(row.get("proved_ns", 0)), time_ns)  # absent in captures before November 2026
    return is_kept and state in GOOD


def _on_grid(instrument: Instrument, price_decimals: int, size_decimals: int) -> Instrument:
    """Instrument on exactly that grid. ValueError if it is coarser than the instrument's own, or too fine."""
    if (instrument.price_decimals, instrument.size_decimals) == (price_decimals, size_decimals):
        return instrument
    finer = instrument.on_grid(price_decimals, size_decimals)
    if finer is None or (finer.price_decimals, finer.size_decimals) != (price_decimals, size_decimals):
        raise ValueError(f"a checkpoint on the grid {price_decimals}, {size_decimals} of {instrument.id}")
    return finer


def _split(side: bytes) -> tuple[bytes, bytes]:
    words = memoryview(side).cast("q")
    return words[::2].tobytes(), words[1::2].tobytes()


def _joined(columns: bytes, at: int, count: int) -> bytes:
    """Side of an image, 16 bytes a level, from its two columns. ValueError where they are cut short."""
    end = at + 16 * count
    if count < 0 or end > len(columns):
        raise ValueError("a checkpoint that is cut short")
    side = bytearray(16 * count)
    words = memoryview(side).cast("q")
    words[::2] = memoryview(columns[at : at + 8 * count]).cast("q")
    words[1::2] = memoryview(columns[at + 8 * count : end]).cast("q")
    return bytes(side)
