"""`travel`: time to the exact book of an instant in a capture, compared with reading and decompressing the blocks needed.

That is one checkpoint and the blocks between it and the instant. A capture ten times as long must not take longer. Afterwards the
book is compared with that of a capture played from its beginning.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.bench import captures
from alphapulse_cli.apps.bench.frames import BenchFeed, tape
from alphapulse_cli.apps.bench.ground import Ground
from alphapulse_cli.apps.bench.report import Result, Samples
from alphapulse_cli.apps.replay.timeline import Recording, recordings
from alphapulse_cli.apps.travel import Travel
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.errors import IntegrityError

KRAKEN, COINBASE = BenchFeed("kraken", "kraken", ""), BenchFeed("coinbase, 45,800 levels", "coinbase", "")
LONGER = 10
LINES = ((KRAKEN, 1, ""), (KRAKEN, LONGER, f", a capture {LONGER} times as long"), (COINBASE, 1, ""))
CHECKPOINTS = 4  # in a capture of the usual length
READ = "reading and decompressing its checkpoint and the blocks behind it"
SEED, FEWEST = 11, 5


def measure(ground: Ground) -> Iterator[Result]:
    """Measure the lines of this scenario."""
    for feed, factor, words in LINES:
        ground.progress(f"travel: {feed.case}{words}")
        usual = ground.several(1_500, 6_000)
        made, folder = tape(feed, factor * usual), Path(ground.directory.path) / "captures"
        head = captures.head_of(made)
        with ground.outlet("bench-travel", head.exchange, [one.symbol for one in made.instruments]) as outlet:
            path = captures.write_with_checkpoints(folder, outlet, head, captures.rows_of(made), usual // CHECKPOINTS)
        [recording] = recordings([path])
        yield _line(ground, feed.case + words, recording)
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def _line(ground: Ground, case: str, recording: Recording) -> Result:
    samples, dice = Samples(), random.Random(SEED)  # noqa: S311 - no secret
    until = time.monotonic() + ground.budget_s
    span = recording.last_ns - recording.first_ns
    while len(samples.work) < FEWEST or time.monotonic() < until:
        instant = recording.first_ns + span // 2 + dice.randrange(span // 2)
        begun = time.perf_counter_ns()
        levels = _travelled(recording, instant)
        work = time.perf_counter_ns() - begun
        begun = time.perf_counter_ns()
        _read(recording, instant)
        reference = time.perf_counter_ns() - begun
        samples.work.append(float(work))
        samples.reference.append(float(reference))
        samples.ratios.append(work / reference)
    if [one.tolist() for one in levels] != [one.tolist() for one in _travelled(recording, instant, from_the_beginning=True)]:
        raise IntegrityError(f"travel, {case}: the book is not that of the capture played from its beginning")
    return samples.result("travel", case, READ, "Opening the file and its index for the span of the capture.")


def _travelled(recording: Recording, instant: int, *, from_the_beginning: bool = False) -> list[Any]:
    """Both sides of the book then, as arrays."""
    with Travel(recording, (), recording.first_ns if from_the_beginning else instant, _damaged) as travel:
        return [side for book in travel.to(instant) for side in book.sides()]


def _read(recording: Recording, instant: int) -> None:
    """Read and decompress the last checkpoint before the instant and the blocks behind it, up to the instant."""
    with CaptureFile(recording.files[0]) as file:
        entries = file.entries()
        begin = max(number for number, one in enumerate(entries) if one.flags & HOLDS_CHECKPOINTS and one.last_ns <= instant)
        for entry, _ in file.blocks(begin):
            if entry.last_ns > instant:
                return


def _damaged(path: Path, what: str) -> None:
    raise IntegrityError(f"{path}: {what}")
