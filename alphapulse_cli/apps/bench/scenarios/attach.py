"""`attach`: time to an exact full-depth book: find the set, map ring and image, copy, load, hash, compare the hash.

It is the cost of a terminal at its start, and of a lapped reader that heals its book.
"""

from collections.abc import Iterator

from alphapulse_cli.apps.bench.ground import SYMBOL, Ground
from alphapulse_cli.apps.bench.measure import by_turns, calls, memcpy_of
from alphapulse_cli.apps.bench.report import Result
from alphapulse_cli.apps.bench.scenarios.book import LEVEL_BYTES, LEVEL_COUNT, MEMCPY, full_book, keeper_of
from alphapulse_cli.errors import IntegrityError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.shm.directory import segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment

SET = "bench-attach"


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    with ground.outlet(SET) as outlet:
        keeper = keeper_of(outlet, full_book())
        replica = SetFollower(ground.directory, SET).books[SYMBOL]
        if replica.is_cold or replica.book.book_hash != keeper.book.book_hash:
            raise IntegrityError("the book that a reader attached to is not the writer's")
        memcpy = memcpy_of(LEVEL_COUNT * LEVEL_BYTES)
        work = calls("attach(directory, name)", attach=SetFollower, directory=ground.directory, name=SET)
        samples = by_turns(work, memcpy, ground.budget_s)
        yield samples.result(
            "attach", "hold the exact book", MEMCPY, "Imports and opening the directory; the writer is quiet meanwhile."
        )
        image = ImageReader(Segment.attach(ground.directory, segment_name(SegmentKind.BOOK, SET, SYMBOL)))
        samples = by_turns(calls("copy()", copy=image.copy), memcpy, ground.budget_s)
        yield samples.result(
            "attach", "copy the image", MEMCPY, "Mapping it, and checking the book's hash; the writer is quiet meanwhile."
        )
